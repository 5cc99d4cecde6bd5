/*
 * On-device decisioning from C: a client that is given its artifact decides without asking anybody, downloads a newer
 * one when told to, and reports what it showed when it is closed.
 */
#include "check.h"

#include <stdio.h>

#define FOREVER TARGET_WAIT_FOREVER
#define THREADS 4
#define CALLS 25

/* The mbox home has one offer for the parameter plan=gold and one for all others, flags has attributes, and hero is
 * the edge's. `title` is part of both offers of home. */
static char *artifact_of(const char *version, const char *title) {
    return text_of("{\"version\":\"%s\",\"meta\":{\"clientCode\":\"localedge\",\"environment\":\"production\"},"
                   "\"globalMbox\":\"target-global-mbox\",\"geoTargetingEnabled\":false,\"responseTokens\":[],"
                   "\"remoteMboxes\":[\"hero\"],\"localMboxes\":[\"home\",\"flags\"],"
                   "\"remoteViews\":[],\"localViews\":[],\"rules\":{\"views\":{},\"mboxes\":{"
                   "\"home\":["
                   "{\"ruleKey\":\"1\",\"activityId\":1,\"meta\":{\"activity.id\":1,\"experience.id\":0},"
                   "\"condition\":{\"==\":[{\"var\":\"mbox.plan\"},\"gold\"]},"
                   "\"consequence\":{\"name\":\"home\",\"metrics\":[],\"options\":["
                   "{\"type\":\"html\",\"eventToken\":\"token-gold\",\"content\":\"<b>%s, gold</b>\"}]}},"
                   "{\"ruleKey\":\"2\",\"activityId\":1,\"meta\":{\"activity.id\":1,\"experience.id\":1},"
                   "\"condition\":true,"
                   "\"consequence\":{\"name\":\"home\",\"metrics\":[],\"options\":["
                   "{\"type\":\"html\",\"eventToken\":\"token-all\",\"content\":\"<b>%s</b>\"}]}}],"
                   "\"flags\":["
                   "{\"ruleKey\":\"3\",\"activityId\":3,\"meta\":{\"activity.id\":3,\"experience.id\":0},"
                   "\"condition\":true,"
                   "\"consequence\":{\"name\":\"flags\",\"metrics\":[],\"options\":["
                   "{\"type\":\"json\",\"eventToken\":\"token-flags\",\"content\":{\"dark\":true,\"share\":0.5,"
                   "\"title\":\"%s\"}}]}}]}}}",
                   version, title, title, title);
}

static const char *edge;
static target_client *client;

static char *on_device_members(const char *artifact) {
    return text_of(",\"decisioning_method\":\"on-device\",\"polling_interval\":0,\"cdn_base_path\":\"%s\","
                   "\"target_location_hint\":\"35\",\"close_timeout\":600000%s%s",
                   edge, artifact == NULL ? "" : ",\"artifact_payload\":", artifact == NULL ? "" : artifact);
}

/* The next event that is not about the delivery of impressions, which are sent meanwhile. */
static char *next_event(void) {
    for (;;) {
        char *event = NULL;
        char *type;
        int is_other;
        CHECK_OK(target_next_event(client, FOREVER, &event), event);
        type = json_text(event, "type");
        CHECK(type != NULL);
        is_other = strncmp(type, "notification_", 13) != 0;
        free(type);
        if (is_other) {
            return event;
        }
        target_string_free(event);
    }
}

static void a_client_with_a_payload_is_ready_at_once(void) {
    char *artifact = artifact_of("1.0.0", "Hello");
    char *more = on_device_members(artifact);
    char *result = NULL;
    client = client_of(edge, more);
    CHECK_OK(target_client_wait_ready(client, FOREVER, &result), result);
    CHECK(strcmp(result, "{\"ready\":true}") == 0);
    target_string_free(result);
    result = next_event();
    CHECK_JSON(result, "type", "client_ready");
    target_string_free(result);
    CHECK_STATUS(TARGET_ERR_PENDING, target_next_event(client, 0, NULL));
    free(more);
    free(artifact);
}

static void offers_are_decided_without_asking_anybody(void) {
    const char *options = "{\"session_id\":\"s1\",\"request\":{\"id\":{\"tntId\":\"device-1.35_0\"},"
                          "\"execute\":{\"mboxes\":[{\"name\":\"home\",\"parameters\":{\"plan\":\"gold\"}}]},"
                          "\"prefetch\":{\"mboxes\":[{\"name\":\"home\"},{\"name\":\"hero\"}]}}}";
    char *result = NULL;
    CHECK_OK(target_get_offers(client, options, &result), result);
    CHECK_JSON(result, "response.status", "206");
    CHECK_JSON(result, "response.client", "localedge");
    CHECK_JSON(result, "response.id.tntId", "device-1.35_0");
    CHECK_JSON(result, "response.execute.mboxes[0].name", "home");
    CHECK_JSON(result, "response.execute.mboxes[0].options[0].content", "<b>Hello, gold</b>");
    CHECK(!json_has(result, "response.execute.mboxes[0].options[0].eventToken"));
    CHECK_JSON(result, "response.prefetch.mboxes[0].options[0].content", "<b>Hello</b>");
    CHECK_JSON(result, "response.prefetch.mboxes[0].options[0].eventToken", "token-all");
    CHECK(!json_has(result, "response.prefetch.mboxes[1].options"));
    CHECK_JSON(result, "meta.decisioning_method", "on-device");
    CHECK(json_count(result, "meta.remote_mboxes") == 1);
    CHECK_JSON(result, "meta.remote_mboxes[0]", "hero");
    CHECK(json_count(result, "meta.remote_views") == 0);
    CHECK_JSON(result, "target_cookie.name", "mbox");
    CHECK_JSON(result, "target_location_hint_cookie.value", "35");
    target_string_free(result);
}

static void attributes_are_the_json_offers(void) {
    char *result = NULL;
    CHECK_OK(target_get_attributes(client, "[\"flags\",\"home\"]", NULL, &result), result);
    CHECK_JSON(result, "attributes.flags.dark", "true");
    CHECK_JSON(result, "attributes.flags.share", "0.5");
    CHECK_JSON(result, "attributes.flags.title", "Hello");
    CHECK(!json_has(result, "attributes.home"));
    CHECK_JSON(result, "meta.decisioning_method", "on-device");
    target_string_free(result);
}

static void take_offers(const char *json, void *user_data) {
    char *method = json_text(json, "meta.decisioning_method");
    CHECK(method != NULL && strcmp(method, "on-device") == 0);
    free(method);
    counter_raise((struct counter *)user_data);
}

static void asynchronous_calls_are_decided_too(void) {
    struct counter called = COUNTER;
    char *result = NULL;
    target_request *request = NULL;
    CHECK_STATUS(TARGET_OK, target_get_offers_async(client, "{\"request\":{\"prefetch\":{\"mboxes\":[{\"name\":\"home\"}]}}}",
                                                    take_offers, NULL, &called, &request, NULL));
    counter_wait(&called, 1);
    CHECK_OK(target_request_wait(request, FOREVER, &result), result);
    CHECK_JSON(result, "response.prefetch.mboxes[0].options[0].content", "<b>Hello</b>");
    target_string_free(result);
    target_request_free(request);
}

static void *decide(void *unused) {
    (void)unused;
    for (int i = 0; i < CALLS; i++) {
        char *result = NULL;
        CHECK_OK(target_get_offers(client, "{\"request\":{\"prefetch\":{\"mboxes\":[{\"name\":\"home\"}]}}}", &result),
                 result);
        CHECK_JSON(result, "response.prefetch.mboxes[0].options[0].content", "<b>Hello</b>");
        target_string_free(result);
    }
    return NULL;
}

static void threads_decide_at_the_same_time(void) {
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        threads[i] = thread_of(decide, NULL);
    }
    for (int i = 0; i < THREADS; i++) {
        join(threads[i]);
    }
}

static void refresh_brings_a_newer_artifact(void) {
    char *newer = artifact_of("1.1.0", "Good morning");
    char *result = NULL;
    char *etag;
    edge_serves(edge, newer);
    CHECK_OK(target_client_refresh(client, &result), result);
    CHECK_JSON(result, "version", "1.1.0");
    CHECK_JSON(result, "changed", "true");
    etag = json_text(result, "etag");
    CHECK(etag != NULL);
    target_string_free(result);
    result = next_event();
    CHECK_JSON(result, "type", "artifact_download_succeeded");
    CHECK_JSON(result, "version", "1.1.0");
    CHECK_JSON(result, "etag", etag);
    target_string_free(result);
    result = next_event();
    CHECK_JSON(result, "type", "geo_location_updated");
    target_string_free(result);
    free(etag);

    CHECK_OK(target_get_offers(client, "{\"request\":{\"prefetch\":{\"mboxes\":[{\"name\":\"home\"}]}}}", &result),
             result);
    CHECK_JSON(result, "response.prefetch.mboxes[0].options[0].content", "<b>Good morning</b>");
    target_string_free(result);

    CHECK_OK(target_client_refresh(client, &result), result);
    CHECK_JSON(result, "changed", "false");
    target_string_free(result);
    free(newer);
}

static void a_bad_artifact_changes_nothing(void) {
    char *other = artifact_of("2.0.0", "No");
    char *result = NULL;
    target_status status;
    edge_serves(edge, other);
    status = target_client_refresh(client, &result);
    CHECK(strstr(result, "version (2.0.0) is not supported") != NULL);
    CHECK_CALL(TARGET_ERR_INVALID_RESPONSE, status, result);
    result = next_event();
    CHECK_JSON(result, "type", "artifact_download_failed");
    CHECK_JSON(result, "error.code", "TARGET_ERR_INVALID_RESPONSE");
    target_string_free(result);
    CHECK_OK(target_get_offers(client, "{\"request\":{\"prefetch\":{\"mboxes\":[{\"name\":\"home\"}]}}}", &result),
             result);
    CHECK_JSON(result, "response.prefetch.mboxes[0].options[0].content", "<b>Good morning</b>");
    target_string_free(result);
    free(other);
}

static void the_counters_tell_of_decisions_and_of_the_artifact(void) {
    char *result = NULL;
    char *decisions = text_of("%d", 5 + THREADS * CALLS);
    CHECK_OK(target_client_stats(client, &result), result);
    CHECK_JSON(result, "decisions", decisions);
    CHECK_JSON(result, "rule_errors", "0");
    CHECK_JSON(result, "artifact.version", "1.1.0");
    CHECK_JSON(result, "artifact.rules", "3");
    CHECK_JSON(result, "artifact.skipped_rules", "0");
    CHECK_JSON(result, "artifact.downloads", "1");
    CHECK_JSON(result, "artifact.not_modified", "1");
    CHECK_JSON(result, "artifact.failures", "1");
    target_string_free(result);
    free(decisions);
}

/* The executed decisions: home for gold, flags and home as attributes. */
static void close_sends_what_was_shown(void) {
    char *result = NULL;
    char *report;
    CHECK_OK(target_client_close(client, FOREVER, &result), result);
    target_string_free(result);
    report = edge_report(edge);
    CHECK_JSON(report, "impressions.by_mbox.home", "2");
    CHECK_JSON(report, "impressions.by_mbox.flags", "1");
    free(report);

    CHECK_CALL(TARGET_ERR_CLOSED, target_get_offers(client, OFFERS, &result), result);
    CHECK_CALL(TARGET_ERR_CLOSED, target_client_refresh(client, &result), result);
    CHECK_CALL(TARGET_ERR_CLOSED, target_client_wait_ready(client, FOREVER, &result), result);
    CHECK_OK(target_client_stats(client, &result), result);
    CHECK_JSON(result, "artifact.version", "1.1.0");
    target_string_free(result);
    while (target_next_event(client, FOREVER, NULL) == TARGET_OK) {
    }
    CHECK_STATUS(TARGET_ERR_CLOSED, target_next_event(client, FOREVER, NULL));
    target_client_free(client);
}

static void without_an_artifact_a_call_is_not_ready_and_hybrid_asks_the_edge(void) {
    static const char *const METHODS[] = {"on-device", "hybrid"};
    for (int i = 0; i < 2; i++) {
        char *config = text_of("{\"client\":\"localedge\",\"organization_id\":\"1234@AdobeOrg\",\"secure\":false,"
                               "\"server_domain\":\"%s\",\"timeout\":3600000,"
                               "\"artifact_location\":\"http://%s/nothing\",\"maximum_wait_ready\":1,"
                               "\"target_location_hint\":\"35\",\"decisioning_method\":\"%s\"}",
                               edge, edge, METHODS[i]);
        target_client *other = NULL;
        char *result = NULL;
        target_status status;
        CHECK_OK(target_client_create(config, &other, &result), result);
        CHECK(strcmp(result, "{\"ready\":false}") == 0);
        target_string_free(result);
        CHECK_CALL(TARGET_ERR_PENDING, target_client_wait_ready(other, 0, &result), result);
        status = target_get_offers(other, OFFERS, &result);
        if (i == 0) {
            CHECK_JSON(result, "phase", "decide");
            CHECK_CALL(TARGET_ERR_NOT_READY, status, result);
        } else {
            CHECK_JSON(result, "meta.decisioning_method", "server-side");
            CHECK_JSON(result, "meta.edge_reason", "not_ready");
            CHECK_CALL(TARGET_OK, status, result);
        }
        target_client_free(other);
        free(config);
    }
}

static void a_payload_that_is_no_artifact_is_refused(void) {
    static const char *const PAYLOADS[] = {"{}", "[]", "5", "{\"version\":\"2.0.0\",\"rules\":{}}", "\"text\""};
    for (int i = 0; i < 5; i++) {
        char *config = text_of("{\"client\":\"a\",\"organization_id\":\"b\",\"decisioning_method\":\"on-device\","
                               "\"artifact_payload\":%s}",
                               PAYLOADS[i]);
        target_client *other = NULL;
        char *result = NULL;
        CHECK_FIELD(TARGET_ERR_INVALID_OPTIONS, target_client_create(config, &other, &result), result,
                    "artifact_payload");
        CHECK(other == NULL);
        free(config);
    }
}

int main(int argc, char **argv) {
    char *tokens;
    CHECK(argc == 2);
    edge = argv[1];
    /* The edge takes the tokens of artifacts that it has served. */
    tokens = artifact_of("1.0.0", "");
    edge_serves(edge, tokens);
    free(tokens);

    a_client_with_a_payload_is_ready_at_once();
    offers_are_decided_without_asking_anybody();
    attributes_are_the_json_offers();
    asynchronous_calls_are_decided_too();
    threads_decide_at_the_same_time();
    refresh_brings_a_newer_artifact();
    a_bad_artifact_changes_nothing();
    the_counters_tell_of_decisions_and_of_the_artifact();
    close_sends_what_was_shown();
    without_an_artifact_a_call_is_not_ready_and_hybrid_asks_the_edge();
    a_payload_that_is_no_artifact_is_refused();
    return 0;
}
