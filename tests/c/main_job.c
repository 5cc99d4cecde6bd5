/*
 * The main job with everything that its results promise: offers, attributes, notifications, what the edge counted,
 * and what a refusal says. Compiles as C99 and as C++17.
 */
#include "check.h"

static target_client *client;

static void the_library_is_the_one_of_the_header(void) {
    CHECK(strcmp(target_version(), TARGET_VERSION) == 0);
    CHECK(target_abi_version() == TARGET_ABI_VERSION);
    CHECK(strcmp(target_status_name(TARGET_OK), "TARGET_OK") == 0);
    CHECK(strcmp(target_status_name(TARGET_ERR_UNSUPPORTED), "TARGET_ERR_UNSUPPORTED") == 0);
    CHECK(strcmp(target_status_name(-1), "TARGET_ERR_UNKNOWN") == 0);
}

static void a_client_is_ready_at_once(void) {
    char *result = NULL;
    CHECK_OK(target_client_wait_ready(client, 0, &result), result);
    CHECK(strcmp(result, "{\"ready\":true}") == 0);
    target_string_free(result);
}

/* The offers of home and product1; the caller frees them. */
static char *offers_have_what_the_header_says(void) {
    char *result = NULL;
    char *value;
    CHECK_OK(target_get_offers(client, OFFERS, &result), result);

    CHECK_JSON(result, "request.prefetch.mboxes[0].name", "home");
    CHECK_JSON(result, "request.prefetch.mboxes[1].name", "product1");
    CHECK_JSON(result, "request.prefetch.mboxes[1].index", "1");
    CHECK_JSON(result, "request.context.channel", "web");
    CHECK_JSON(result, "response.prefetch.mboxes[0].options[0].content", "<h1>Welcome back</h1>");
    CHECK_JSON(result, "response.prefetch.mboxes[1].options[0].content", "<span class=\"badge\">Bestseller</span>");
    CHECK_JSON(result, "target_cookie.name", "mbox");
    CHECK_JSON(result, "target_location_hint_cookie.name", "mboxEdgeCluster");
    CHECK_JSON(result, "target_location_hint_cookie.value", "35");
    CHECK_JSON(result, "target_location_hint_cookie.maxAge", "1860");
    CHECK_JSON(result, "meta.decisioning_method", "server-side");
    value = json_text(result, "target_cookie.value");
    CHECK(value != NULL && strncmp(value, "session#", 8) == 0 && strstr(value, "|PC#") != NULL);
    free(value);
    return result;
}

/* Reports a display and a click of product1; the answer acknowledges both, and the edge has counted both. */
static void notifications_are_acknowledged_and_counted(const char *edge, const char *offers) {
    char *cookie = json_raw(offers, "target_cookie.value");
    char *state = json_raw(offers, "response.prefetch.mboxes[1].state");
    char *display = json_raw(offers, "response.prefetch.mboxes[1].options[0].eventToken");
    char *click = json_raw(offers, "response.prefetch.mboxes[1].metrics[0].eventToken");
    char *options = text_of("{\"targetCookie\":%s,\"request\":{\"notifications\":["
                            "{\"id\":\"1\",\"type\":\"display\",\"timestamp\":1621530726000,"
                            "\"mbox\":{\"name\":\"product1\",\"state\":%s},\"tokens\":[%s]},"
                            "{\"id\":\"2\",\"type\":\"click\",\"timestamp\":1621530727000,"
                            "\"mbox\":{\"name\":\"product1\"},\"tokens\":[%s]}]}}",
                            cookie, state, display, click);
    char *result = NULL;
    char *report, *before, *after, *impression_id;
    edge_reset(edge);
    CHECK_OK(target_send_notifications(client, options, &result), result);

    CHECK(json_count(result, "meta.notifications.acknowledged") == 2);
    CHECK_JSON(result, "meta.notifications.acknowledged[0]", "1");
    CHECK_JSON(result, "meta.notifications.acknowledged[1]", "2");
    CHECK(json_count(result, "meta.notifications.unacknowledged") == 0);
    CHECK_JSON(result, "response.notifications[0].id", "1");
    CHECK_JSON(result, "request.notifications[0].timestamp", "1621530726000");
    impression_id = json_text(result, "request.notifications[0].impressionId");
    CHECK(impression_id != NULL && strlen(impression_id) == 36);
    CHECK(!json_has(result, "request.notifications[1].impressionId"));

    /* The visitor is still the same: what the cookie says of session and device has not changed. */
    before = json_text(offers, "response.id.tntId");
    after = json_text(result, "request.id.tntId");
    CHECK(before != NULL && after != NULL && strcmp(before, after) == 0);

    report = edge_report(edge);
    CHECK_JSON(report, "requests", "1");
    CHECK_JSON(report, "sessions", "1");
    CHECK_JSON(report, "notifications.processed", "2");
    CHECK_JSON(report, "impressions.by_mbox.product1", "1");
    CHECK_JSON(report, "clicks.by_mbox.product1", "1");

    free(report);
    free(before);
    free(after);
    free(impression_id);
    target_string_free(result);
    free(cookie);
    free(state);
    free(display);
    free(click);
    free(options);
}

static void attributes_are_the_json_offers(void) {
    char *result = NULL;
    CHECK_OK(target_get_attributes(client, "[\"cart\",\"hero\"]", NULL, &result), result);
    CHECK_JSON(result, "attributes.cart.discount", "15");
    CHECK_JSON(result, "attributes.cart.free_shipping", "true");
    CHECK_JSON(result, "attributes.hero.title", "Summer is here");
    CHECK_JSON(result, "request.execute.mboxes[0].name", "cart");
    CHECK_JSON(result, "request.execute.mboxes[1].index", "2");
    target_string_free(result);
}

static void a_refusal_says_why_and_what_became_of_each_notification(void) {
    char *result = NULL;
    target_status status =
        target_send_notifications(client,
                                  "{\"request\":{\"notifications\":[{\"id\":\"9\",\"type\":\"display\","
                                  "\"timestamp\":1621530726000,\"mbox\":{\"name\":\"home\"},\"tokens\":[\"no\"]}]}}",
                                  &result);
    CHECK_JSON(result, "http_status", "400");
    CHECK_JSON(result, "phase", "response");
    CHECK_JSON(result, "retryable", "false");
    CHECK_JSON(result, "attempts", "1");
    CHECK_JSON(result, "result.notifications.rejected[0]", "9");
    CHECK(json_count(result, "result.notifications.acknowledged") == 0);
    CHECK(json_has(result, "api_message"));
    CHECK_CALL(TARGET_ERR_HTTP, status, result);
}

/* A caller that does not want a result has nothing to free. */
static void every_result_may_be_null(void) {
    target_client *other = NULL;
    target_request *request = NULL;
    CHECK_STATUS(TARGET_ERR_INVALID_JSON, target_client_create("", &other, NULL));
    CHECK(other == NULL);
    CHECK_STATUS(TARGET_OK, target_client_create("{\"client\":\"a\",\"organizationId\":\"b\"}", &other, NULL));
    CHECK(other != NULL);
    target_client_free(other);

    CHECK_STATUS(TARGET_OK, target_client_wait_ready(client, TARGET_WAIT_FOREVER, NULL));
    CHECK_STATUS(TARGET_OK, target_client_stats(client, NULL));
    CHECK_STATUS(TARGET_ERR_UNSUPPORTED, target_client_refresh(client, NULL));
    CHECK_STATUS(TARGET_OK, target_get_offers(client, OFFERS, NULL));
    CHECK_STATUS(TARGET_ERR_INVALID_OPTIONS, target_get_offers(client, "{}", NULL));
    CHECK_STATUS(TARGET_OK, target_get_attributes(client, "[\"cart\"]", NULL, NULL));
    CHECK_STATUS(TARGET_OK, target_send_notifications(client, DISPLAY, NULL));
    CHECK_STATUS(TARGET_OK, target_get_offers_async(client, OFFERS, NULL, NULL, NULL, NULL, NULL));
    CHECK_STATUS(TARGET_OK, target_next_completion(client, TARGET_WAIT_FOREVER, NULL, NULL));
    CHECK_STATUS(TARGET_OK, target_get_attributes_async(client, "[\"home\"]", OFFERS, NULL, NULL, NULL, &request, NULL));
    CHECK_STATUS(TARGET_OK, target_request_wait(request, TARGET_WAIT_FOREVER, NULL));
    target_request_free(request);
    CHECK_STATUS(TARGET_OK, target_enqueue_notifications(client, DISPLAY, NULL));
    CHECK_STATUS(TARGET_OK, target_flush(client, TARGET_WAIT_FOREVER, NULL));
    CHECK_STATUS(TARGET_OK, target_flush(client, 0, NULL));
    /* client_ready, the error of the refused notification, and that the enqueued one is acknowledged. */
    CHECK_STATUS(TARGET_OK, target_next_event(client, 0, NULL));
    CHECK_STATUS(TARGET_OK, target_next_event(client, 0, NULL));
    CHECK_STATUS(TARGET_OK, target_next_event(client, 0, NULL));
    CHECK_STATUS(TARGET_ERR_PENDING, target_next_event(client, 0, NULL));
    CHECK_STATUS(TARGET_OK, target_client_close(client, TARGET_WAIT_FOREVER, NULL));
}

static void what_works_after_close(void) {
    char *result = NULL;
    CHECK_CALL(TARGET_ERR_CLOSED, target_get_offers(client, OFFERS, &result), result);
    CHECK_CALL(TARGET_ERR_CLOSED, target_get_attributes(client, "[\"cart\"]", NULL, &result), result);
    CHECK_CALL(TARGET_ERR_CLOSED, target_send_notifications(client, DISPLAY, &result), result);
    CHECK_CALL(TARGET_ERR_CLOSED, target_client_wait_ready(client, TARGET_WAIT_FOREVER, &result), result);

    CHECK_OK(target_client_stats(client, &result), result);
    CHECK_JSON(result, "calls.get_offers", "5");
    CHECK_JSON(result, "calls.get_attributes", "4");
    CHECK_JSON(result, "calls.send_notifications", "4");
    CHECK_JSON(result, "calls.in_flight", "0");
    CHECK_JSON(result, "requests", "10");
    CHECK_JSON(result, "retries", "0");
    CHECK_JSON(result, "errors.response", "1");
    CHECK_JSON(result, "notifications.acknowledged", "1");
    CHECK_JSON(result, "notification_calls.acknowledged", "3");
    CHECK_JSON(result, "notification_calls.rejected", "1");
    target_string_free(result);
}

int main(int argc, char **argv) {
    char *offers;
    CHECK(argc == 2);
    the_library_is_the_one_of_the_header();
    client = client_of(argv[1], "");
    a_client_is_ready_at_once();
    offers = offers_have_what_the_header_says();
    notifications_are_acknowledged_and_counted(argv[1], offers);
    target_string_free(offers);
    attributes_are_the_json_offers();
    a_refusal_says_why_and_what_became_of_each_notification();
    every_result_may_be_null();
    what_works_after_close();
    target_client_free(client);
    target_client_free(NULL);
    return 0;
}
