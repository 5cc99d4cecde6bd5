/*
 * Every byte of a caller is hostile: NULL, bytes that are no UTF-8, texts that are no JSON, JSON that is no options,
 * and very much of it. Each gets its status and an error that names the field; nothing is sent. The program asks the
 * edge for nothing either, so whoever runs it may check that no connection came.
 *
 *     bad_input ADDRESS [BYTES ELEMENTS]     how long texts and lists are, 20 MB and a million unless given
 */
#include "check.h"

#include <stdio.h>

static target_client *client;

/* Out-parameters must be written, so they begin as what no function may leave. */
#define GARBAGE ((void *)client)

static void must_not_run(const char *json, void *user_data) {
    (void)user_data;
    check_failed(__FILE__, __LINE__, "a callback of a call that was not taken", json);
}

/* Gives options to every function that takes them; `as_notifications` to those for notifications, too. */
static void refused(target_status expected, const char *options, const char *field, int as_notifications) {
    target_request *request = (target_request *)GARBAGE;
    char *result = (char *)GARBAGE;
    CHECK_FIELD(expected, target_get_offers(client, options, &result), result, field);
    CHECK_FIELD(expected,
                target_get_offers_async(client, options, must_not_run, must_not_run, NULL, &request, &result), result,
                field);
    CHECK(request == NULL);
    if (as_notifications) {
        CHECK_FIELD(expected, target_send_notifications(client, options, &result), result, field);
        request = (target_request *)GARBAGE;
        CHECK_FIELD(
            expected,
            target_send_notifications_async(client, options, must_not_run, must_not_run, NULL, &request, &result),
            result, field);
        CHECK(request == NULL);
    }
}

/* The same, and as options of attributes. */
static void refused_everywhere(target_status expected, const char *options, const char *field) {
    target_request *request = (target_request *)GARBAGE;
    char *result = (char *)GARBAGE;
    refused(expected, options, field, 1);
    CHECK_FIELD(expected, target_get_attributes(client, "[\"home\"]", options, &result), result, field);
    CHECK_FIELD(expected,
                target_get_attributes_async(client, "[\"home\"]", options, must_not_run, must_not_run, NULL, &request,
                                            &result),
                result, field);
    CHECK(request == NULL);
}

static void null_is_an_invalid_argument(void) {
    target_client *other = (target_client *)GARBAGE;
    target_request *request = (target_request *)GARBAGE;
    char *result = (char *)GARBAGE;
    uint64_t id = 7;
    const target_status invalid = TARGET_ERR_INVALID_ARGUMENT;

    CHECK_FIELD(invalid, target_client_create(NULL, &other, &result), result, "config");
    CHECK(other == NULL);
    CHECK_FIELD(invalid, target_client_create("{\"client\":\"a\",\"organization_id\":\"b\"}", NULL, &result), result,
                "client");
    CHECK_FIELD(invalid, target_client_close(NULL, 0, &result), result, "client");
    CHECK_FIELD(invalid, target_client_wait_ready(NULL, 0, &result), result, "client");
    CHECK_FIELD(invalid, target_client_refresh(NULL, &result), result, "client");
    CHECK_FIELD(invalid, target_client_stats(NULL, &result), result, "client");
    CHECK_FIELD(invalid, target_get_offers(NULL, OFFERS, &result), result, "client");
    CHECK_FIELD(invalid, target_get_offers(client, NULL, &result), result, "options");
    CHECK_FIELD(invalid, target_get_attributes(NULL, "[\"home\"]", NULL, &result), result, "client");
    CHECK_FIELD(invalid, target_get_attributes(client, NULL, NULL, &result), result, "mbox_names");
    CHECK_FIELD(invalid, target_send_notifications(NULL, DISPLAY, &result), result, "client");
    CHECK_FIELD(invalid, target_send_notifications(client, NULL, &result), result, "options");

    CHECK_FIELD(invalid,
                target_get_offers_async(NULL, OFFERS, must_not_run, must_not_run, NULL, &request, &result), result,
                "client");
    CHECK(request == NULL);
    request = (target_request *)GARBAGE;
    CHECK_FIELD(invalid, target_get_offers_async(client, NULL, must_not_run, must_not_run, NULL, &request, &result),
                result, "options");
    CHECK(request == NULL);
    request = (target_request *)GARBAGE;
    CHECK_FIELD(invalid,
                target_get_attributes_async(NULL, "[\"home\"]", NULL, must_not_run, must_not_run, NULL, &request,
                                            &result),
                result, "client");
    CHECK(request == NULL);
    CHECK_FIELD(invalid,
                target_get_attributes_async(client, NULL, NULL, must_not_run, must_not_run, NULL, NULL, &result),
                result, "mbox_names");
    CHECK_FIELD(invalid,
                target_send_notifications_async(NULL, DISPLAY, must_not_run, must_not_run, NULL, NULL, &result),
                result, "client");
    CHECK_FIELD(invalid,
                target_send_notifications_async(client, NULL, must_not_run, must_not_run, NULL, NULL, &result),
                result, "options");

    CHECK_FIELD(invalid, target_request_wait(NULL, 0, &result), result, "request");
    CHECK_STATUS(invalid, target_request_cancel(NULL));
    CHECK(target_request_id(NULL) == 0);
    target_request_free(NULL);

    CHECK_FIELD(invalid, target_next_completion(NULL, 0, &id, &result), result, "client");
    CHECK(id == 0);
    CHECK_FIELD(invalid, target_enqueue_notifications(NULL, DISPLAY, &result), result, "client");
    CHECK_FIELD(invalid, target_enqueue_notifications(client, NULL, &result), result, "options");
    CHECK_FIELD(invalid, target_flush(NULL, 0, &result), result, "client");
    CHECK_FIELD(invalid, target_next_event(NULL, 0, &result), result, "client");
    CHECK_STATUS(invalid, target_client_on_event(NULL, must_not_run, NULL));
    CHECK_STATUS(invalid, target_client_on_event(NULL, NULL, NULL));
    CHECK_STATUS(TARGET_OK, target_set_logger(NULL, 0, NULL));
    target_client_free(NULL);
    target_string_free(NULL);

    /* Nobody wants to know more than the status. */
    CHECK_STATUS(invalid, target_client_create(NULL, NULL, NULL));
    CHECK_STATUS(invalid, target_get_offers(NULL, NULL, NULL));
    CHECK_STATUS(invalid, target_get_attributes(NULL, NULL, NULL, NULL));
    CHECK_STATUS(invalid, target_send_notifications(NULL, NULL, NULL));
    CHECK_STATUS(invalid, target_get_offers_async(NULL, NULL, NULL, NULL, NULL, NULL, NULL));
    CHECK_STATUS(invalid, target_get_attributes_async(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL));
    CHECK_STATUS(invalid, target_send_notifications_async(NULL, NULL, NULL, NULL, NULL, NULL, NULL));
    CHECK_STATUS(invalid, target_request_wait(NULL, 0, NULL));
    CHECK_STATUS(invalid, target_next_completion(NULL, 0, NULL, NULL));
}

static void log_nothing(target_log_level level, const char *message, void *user_data) {
    (void)level;
    (void)message;
    (void)user_data;
}

static void levels_that_do_not_exist_are_invalid(void) {
    CHECK_STATUS(TARGET_ERR_INVALID_ARGUMENT, target_set_logger(log_nothing, 0, NULL));
    CHECK_STATUS(TARGET_ERR_INVALID_ARGUMENT, target_set_logger(log_nothing, 6, NULL));
    CHECK_STATUS(TARGET_ERR_INVALID_ARGUMENT, target_set_logger(log_nothing, -1, NULL));
}

static void bytes_that_are_no_utf_8(void) {
    static const char *const texts[] = {
        "\xff",                                  /* no first byte */
        "{\"request\":{\"a\":\"\xc3\"}}",        /* a character without its end */
        "{\"request\":{\"a\":\"\xed\xa0\x80\"}}",      /* half a surrogate pair */
        "{\"request\":{\"a\":\"\xc0\x80\"}}",        /* a NUL in disguise */
        "{\"request\":{\"a\":\"\xf5\x80\x80\x80\"}}" /* beyond Unicode */
    };
    target_client *other = (target_client *)GARBAGE;
    char *result = (char *)GARBAGE;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        refused_everywhere(TARGET_ERR_INVALID_ARGUMENT, texts[i], "options");
        CHECK_FIELD(TARGET_ERR_INVALID_ARGUMENT, target_get_attributes(client, texts[i], NULL, &result), result,
                    "mbox_names");
        CHECK_FIELD(TARGET_ERR_INVALID_ARGUMENT, target_enqueue_notifications(client, texts[i], &result), result,
                    "options");
        CHECK_FIELD(TARGET_ERR_INVALID_ARGUMENT, target_client_create(texts[i], &other, &result), result, "config");
        CHECK(other == NULL);
    }
}

static void texts_that_are_no_json(void) {
    static const struct {
        const char *text;
        const char *field;
    } cases[] = {
        {"", "options"},
        {" ", "options"},
        {"nonsense", "options"},
        {"\xef\xbb\xbf{\"request\":{\"a\":1}}", "options"}, /* a byte order mark */
        {"{\"request\":{\"a\":1}} {}", "options"},
        {"{'request':{}}", "options"},
        {"{\"request\":{\"a\":1},}", "options"},
        {"{\"request\":{\"a\":[1,]}}", "request.a[1]"},
        {"{\"request\":{\"a\":01}}", "request.a"},
        {"{\"request\":{\"a\":+1}}", "request.a"},
        {"{\"request\":{\"a\":1.}}", "request.a"},
        {"{\"request\":{\"a\":Infinity}}", "request.a"},
        {"{\"request\":{\"a\":\"\\x41\"}}", "request.a"},
        {"{\"request\":{\"a\":\"\\ud800\"}}", "request.a"}, /* half a surrogate pair has no UTF-8 */
        {"{\"request\":{\"a\":\"\n\"}}", "request.a"},
        {"{\"session_id\":\"a\x1f\",\"request\":{\"a\":1}}", "session_id"},
        {"{\"request\":{\"notifications\":[{\"id\":\"1\",\"type\":\"display\",\"timestamp\":NaN}]}}",
         "request.notifications[0].timestamp"},
    };
    target_client *other = NULL;
    char *result = NULL;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        refused_everywhere(TARGET_ERR_INVALID_JSON, cases[i].text, cases[i].field);
    }
    CHECK_FIELD(TARGET_ERR_INVALID_JSON, target_get_attributes(client, "[\"home\"", NULL, &result), result,
                "mbox_names");
    CHECK_FIELD(TARGET_ERR_INVALID_JSON, target_client_create("{\"client\":", &other, &result), result, "client");
}

/* Cut off anywhere, an object is no JSON. */
static void every_truncated_text(void) {
    const char *whole = "{\"request\":{\"notifications\":[{\"id\":\"\\u00e9\xc3\xa9\",\"type\":\"display\","
                        "\"timestamp\":1621530726000,\"tokens\":[\"a\",null,true,-1.5e3]}]},\"timeout\":100}";
    size_t length = strlen(whole);
    char *text = text_of("%s", whole);
    char *result = NULL;
    while (length-- > 0) {
        target_status expected = TARGET_ERR_INVALID_JSON;
        text[length] = '\0';
        if (length > 0 && (unsigned char)text[length - 1] == 0xc3) {
            expected = TARGET_ERR_INVALID_ARGUMENT;
        }
        CHECK_CALL(expected, target_get_offers(client, text, &result), result);
        CHECK_CALL(expected, target_send_notifications(client, text, &result), result);
    }
    free(text);
}

static void options_that_are_wrong(void) {
    static const struct {
        const char *members;
        const char *field;
    } cases[] = {
        {"\"timeout\":\"100\"", "timeout"},
        {"\"timeout\":1.5", "timeout"},
        {"\"timeout\":-1", "timeout"},
        {"\"timeout\":1e400", "timeout"},
        {"\"timeout\":9223372036854775808", "timeout"},
        {"\"timeout\":true", "timeout"},
        {"\"retry_clicks\":1", "retry_clicks"},
        {"\"retryClicks\":\"true\"", "retryClicks"},
        {"\"session_id\":7", "session_id"},
        {"\"session_id\":\"a b\"", "session_id"},
        {"\"session_id\":\"a?b\"", "session_id"},
        {"\"session_id\":\"a/b\"", "session_id"},
        {"\"session_id\":\"a\\u0000b\"", "session_id"},
        {"\"session_id\":\"a\\r\\nX-Injected: 1\"", "session_id"},
        {"\"session_id\":\"\\u007f\"", "session_id"},
        {"\"session_id\":\"\\u0085\"", "session_id"},
        {"\"sessionId\":[]", "sessionId"},
        {"\"target_location_hint\":\"x.evil.org/\"", "target_location_hint"},
        {"\"target_location_hint\":\"35.evil.org\"", "target_location_hint"},
        {"\"target_location_hint\":\"a@b\"", "target_location_hint"},
        {"\"target_location_hint\":\"a:80\"", "target_location_hint"},
        {"\"target_location_hint\":\"a#\"", "target_location_hint"},
        {"\"targetLocationHint\":35", "targetLocationHint"},
        {"\"target_cookie\":{}", "target_cookie"},
        {"\"visitor_cookie\":1", "visitor_cookie"},
        {"\"consumer_id\":false", "consumer_id"},
        {"\"customer_ids\":\"a\"", "customer_ids"},
        {"\"customer_ids\":[1]", "customer_ids[0]"},
        {"\"customer_ids\":{\"a\":{\"id\":\"x\",\"authState\":3}}", "customer_ids.a.authState"},
        {"\"decisioning_method\":\"edge\"", "decisioning_method"},
        {"\"decisioning_method\":1", "decisioning_method"},
        {"\"unknown\":1", "unknown"},
        {"\"Timeout\":1", "Timeout"},
        {"\"\":1", ""},
        {"\"timeout\":1,\"timeout\":1", "timeout"},
        {"\"session_id\":\"a\",\"sessionId\":\"a\"", "sessionId"},
        {"\"retryClicks\":null,\"retry_clicks\":true", "retry_clicks"},
        {"\"events\":{\"a\":1}", "events"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *options = text_of("{\"request\":{\"prefetch\":{\"mboxes\":[{\"name\":\"home\"}]},\"notifications\":["
                                "{\"id\":\"1\",\"type\":\"display\",\"timestamp\":1}]},%s}",
                                cases[i].members);
        refused_everywhere(TARGET_ERR_INVALID_OPTIONS, options, cases[i].field);
        free(options);
    }
    refused_everywhere(TARGET_ERR_INVALID_OPTIONS, "5", "options");
    refused_everywhere(TARGET_ERR_INVALID_OPTIONS, "[]", "options");
    refused_everywhere(TARGET_ERR_INVALID_OPTIONS, "null", "options");
    refused_everywhere(TARGET_ERR_INVALID_OPTIONS, "\"{}\"", "options");
    refused_everywhere(TARGET_ERR_INVALID_OPTIONS, "{\"request\":[]}", "request");
    refused_everywhere(TARGET_ERR_INVALID_OPTIONS, "{\"request\":\"\"}", "request");
    refused(TARGET_ERR_INVALID_OPTIONS, "{}", "request", 1);
    refused(TARGET_ERR_INVALID_OPTIONS, "{\"request\":null}", "request", 1);
    refused(TARGET_ERR_INVALID_OPTIONS, "{\"request\":{}}", "request", 1);
}

static void requests_that_are_wrong(void) {
    static const struct {
        const char *members;
        const char *field;
    } cases[] = {
        {"\"execute\":[]", "request.execute"},
        {"\"execute\":{\"mboxes\":{}}", "request.execute.mboxes"},
        {"\"execute\":{\"mboxes\":[7]}", "request.execute.mboxes[0]"},
        {"\"execute\":{\"mboxes\":[{}]}", "request.execute.mboxes[0].name"},
        {"\"execute\":{\"mboxes\":[{\"name\":\"\"}]}", "request.execute.mboxes[0].name"},
        {"\"execute\":{\"mboxes\":[{\"name\":\"a\"},{\"name\":7}]}", "request.execute.mboxes[1].name"},
        {"\"execute\":{\"mboxes\":[{\"name\":\"a\",\"index\":\"1\"}]}", "request.execute.mboxes[0].index"},
        {"\"execute\":{\"mboxes\":[{\"name\":\"a\",\"index\":2147483648}]}", "request.execute.mboxes[0].index"},
        {"\"execute\":{\"mboxes\":[{\"name\":\"a\",\"parameters\":[]}]}", "request.execute.mboxes[0].parameters"},
        {"\"execute\":{\"mboxes\":[{\"name\":\"a\",\"order\":1}]}", "request.execute.mboxes[0].order"},
        {"\"prefetch\":{\"views\":[1]}", "request.prefetch.views[0]"},
        {"\"prefetch\":{\"mboxes\":[{\"name\":null}]}", "request.prefetch.mboxes[0].name"},
    };
    static const struct {
        const char *members;
        const char *field;
    } notifications[] = {
        {"7", "request.notifications[0]"},
        {"{}", "request.notifications[0].id"},
        {"{\"type\":\"display\",\"timestamp\":1}", "request.notifications[0].id"},
        {"{\"id\":7,\"type\":\"display\",\"timestamp\":1}", "request.notifications[0].id"},
        {"{\"id\":\"1\",\"timestamp\":1}", "request.notifications[0].type"},
        {"{\"id\":\"1\",\"type\":\"view\",\"timestamp\":1}", "request.notifications[0].type"},
        {"{\"id\":\"1\",\"type\":\"display\"}", "request.notifications[0].timestamp"},
        {"{\"id\":\"1\",\"type\":\"display\",\"timestamp\":null}", "request.notifications[0].timestamp"},
        {"{\"id\":\"1\",\"type\":\"display\",\"timestamp\":\"1\"}", "request.notifications[0].timestamp"},
        {"{\"id\":\"1\",\"type\":\"display\",\"timestamp\":1.5}", "request.notifications[0].timestamp"},
        {"{\"id\":\"1\",\"type\":\"display\",\"timestamp\":1e999}", "request.notifications[0].timestamp"},
        {"{\"id\":\"1\",\"type\":\"display\",\"timestamp\":1,\"tokens\":\"a\"}", "request.notifications[0].tokens"},
        {"{\"id\":\"1\",\"type\":\"display\",\"timestamp\":1,\"tokens\":[1]}", "request.notifications[0].tokens[0]"},
        {"{\"id\":\"1\",\"type\":\"display\",\"timestamp\":1,\"mbox\":\"a\"}", "request.notifications[0].mbox"},
    };
    char *result = NULL;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *options = text_of("{\"request\":{%s}}", cases[i].members);
        refused(TARGET_ERR_INVALID_OPTIONS, options, cases[i].field, 0);
        free(options);
    }
    for (size_t i = 0; i < sizeof notifications / sizeof *notifications; i++) {
        char *options = text_of("{\"request\":{\"notifications\":[%s]}}", notifications[i].members);
        refused(TARGET_ERR_INVALID_OPTIONS, options, notifications[i].field, 1);
        free(options);
    }
    CHECK_FIELD(TARGET_ERR_INVALID_OPTIONS, target_send_notifications(client, OFFERS, &result), result,
                "request.notifications");
    CHECK_FIELD(TARGET_ERR_INVALID_OPTIONS,
                target_send_notifications(client, "{\"request\":{\"notifications\":[]}}", &result), result,
                "request.notifications");
    CHECK_FIELD(TARGET_ERR_INVALID_OPTIONS, target_get_attributes(client, "{}", NULL, &result), result, "mbox_names");
    CHECK_FIELD(TARGET_ERR_INVALID_OPTIONS, target_get_attributes(client, "[7]", NULL, &result), result,
                "mbox_names[0]");
    CHECK_FIELD(TARGET_ERR_INVALID_OPTIONS, target_get_attributes(client, "[\"a\",\"\"]", NULL, &result), result,
                "mbox_names[1]");
}

static void configurations_that_are_wrong(void) {
    static const struct {
        const char *config;
        target_status status;
        const char *field;
    } cases[] = {
        {"[]", TARGET_ERR_INVALID_OPTIONS, "config"},
        {"{}", TARGET_ERR_INVALID_OPTIONS, "client"},
        {"{\"client\":\"\"}", TARGET_ERR_INVALID_OPTIONS, "client"},
        {"{\"client\":7}", TARGET_ERR_INVALID_OPTIONS, "client"},
        {"{\"client\":\"a/../b\",\"organization_id\":\"b\"}", TARGET_ERR_INVALID_OPTIONS, "client"},
        {"{\"client\":\"a\"}", TARGET_ERR_INVALID_OPTIONS, "organization_id"},
        {"{\"client\":\"a\",\"organization_id\":\"b\",\"organizationId\":\"b\"}", TARGET_ERR_INVALID_OPTIONS,
         "organizationId"},
        {"{\"client\":\"a\",\"organization_id\":\"b\",\"colour\":1}", TARGET_ERR_INVALID_OPTIONS, "colour"},
        {"{\"client\":\"a\",\"organization_id\":\"b\",\"timeout\":\"1\"}", TARGET_ERR_INVALID_OPTIONS, "timeout"},
        {"{\"client\":\"a\",\"organization_id\":\"b\",\"server_domain\":\"http://a\"}", TARGET_ERR_INVALID_OPTIONS,
         "server_domain"},
        {"{\"client\":\"a\",\"organization_id\":\"b\",\"tls\":{\"caFile\":7}}", TARGET_ERR_INVALID_OPTIONS,
         "tls.caFile"},
        {"{\"client\":\"a\",\"organization_id\":\"b\",\"headers\":{\"Host\":\"x\"}}", TARGET_ERR_INVALID_OPTIONS,
         "headers.Host"},
        {"{\"client\":\"a\",\"organization_id\":\"b\",\"headers\":{\"X-A\":\"b\\r\\nc: d\"}}",
         TARGET_ERR_INVALID_OPTIONS, "headers.X-A"},
        {"{\"client\":\"a\",\"organization_id\":\"b\",\"decisioning_method\":\"on-device\",\"artifact_payload\":{}}",
         TARGET_ERR_INVALID_OPTIONS, "artifact_payload"},
        {"{\"client\":\"a\",\"organization_id\":\"b\",\"notifications\":{\"spool_dir\":\"/dev/null\"}}",
         TARGET_ERR_STORAGE, "notifications.spool_dir"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        target_client *other = (target_client *)GARBAGE;
        char *result = (char *)GARBAGE;
        CHECK_FIELD(cases[i].status, target_client_create(cases[i].config, &other, &result), result, cases[i].field);
        CHECK(other == NULL);
    }
}

/* `count` times the same text, between two others. */
static char *repeated(const char *before, const char *text, size_t count, const char *after) {
    size_t length = strlen(text);
    char *all = (char *)malloc(strlen(before) + count * length + strlen(after) + 1);
    char *at = all;
    CHECK(all != NULL);
    at += sprintf(at, "%s", before);
    for (size_t i = 0; i < count; i++, at += length) {
        memcpy(at, text, length);
    }
    strcpy(at, after);
    return all;
}

static void very_deep_json(void) {
    static const struct {
        const char *before, *text, *after;
    } cases[] = {
        {"", "[", ""},
        {"{\"request\":", "{\"a\":", "1"},
        {"{\"request\":{\"execute\":{\"mboxes\":[{\"name\":\"a\",\"parameters\":", "[", ""},
    };
    char *result = NULL;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *options = repeated(cases[i].before, cases[i].text, 10000, cases[i].after);
        CHECK_CALL(TARGET_ERR_INVALID_JSON, target_get_offers(client, options, &result), result);
        CHECK_CALL(TARGET_ERR_INVALID_JSON, target_send_notifications(client, options, &result), result);
        free(options);
    }
}

static void very_long_json(size_t size) {
    static const struct {
        const char *before, *text, *after;
        target_status status;
        const char *field;
    } cases[] = {
        {"{\"request\":{\"a\":1},\"session_id\":\"", "s", "\"}", TARGET_ERR_INVALID_OPTIONS, "session_id"},
        {"{\"request\":{\"a\":1},\"target_location_hint\":\"", "3", "\"}", TARGET_ERR_INVALID_OPTIONS,
         "target_location_hint"},
        {"{\"request\":{\"a\":1},\"timeout\":", "1", "}", TARGET_ERR_INVALID_OPTIONS, "timeout"},
        {"{\"request\":{\"execute\":{\"mboxes\":[{\"name\":\"", "m", "\"}]}}}", TARGET_ERR_INVALID_OPTIONS,
         "request.execute.mboxes[0].name"},
        {"{\"request\":{\"execute\":{\"mboxes\":[{\"name\":\"m\",\"parameters\":{\"p\":\"", "v", "\"}}]}}}",
         TARGET_ERR_INVALID_OPTIONS, "request.execute.mboxes[0].parameters.p"},
        {"{\"request\":{\"execute\":{\"mboxes\":[{\"name\":\"m\",\"parameters\":{\"", "p", "\":\"v\"}}]}}}",
         TARGET_ERR_INVALID_OPTIONS, "request.execute.mboxes[0].parameters"},
        {"{\"request\":{\"a\":\"", "a", "}}", TARGET_ERR_INVALID_JSON, "request.a"},
        {"{\"request\":{\"a\":1},\"", "k", "\":1}", TARGET_ERR_INVALID_OPTIONS, NULL},
        {"{\"request\":{\"a\":1},\"customer_ids\":{\"", "k", "\":true}}", TARGET_ERR_INVALID_OPTIONS, NULL},
        {"{\"request\":{\"a\":{\"", "k", "\":NaN}}}", TARGET_ERR_INVALID_JSON, NULL},
    };
    target_client *other = NULL;
    char *result = NULL;
    char *options;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        options = repeated(cases[i].before, cases[i].text, size, cases[i].after);
        CHECK_FIELD(cases[i].status, target_get_offers(client, options, &result), result, cases[i].field);
        free(options);
    }
    options = repeated("{\"client\":\"a\",\"organization_id\":\"b\",\"headers\":{\"", "h", size, "\":1}}");
    CHECK_CALL(TARGET_ERR_INVALID_OPTIONS, target_client_create(options, &other, &result), result);
    free(options);
    options = repeated("{\"request\":{\"notifications\":[{\"type\":\"display\",\"timestamp\":1,\"id\":\"", "i", size,
                       "\"}]}}");
    CHECK_FIELD(TARGET_ERR_INVALID_OPTIONS, target_send_notifications(client, options, &result), result,
                "request.notifications[0].id");
    free(options);
    options = repeated("[\"", "n", size, "\"]");
    CHECK_FIELD(TARGET_ERR_INVALID_OPTIONS, target_get_attributes(client, options, NULL, &result), result,
                "mbox_names[0]");
    free(options);
}

/* An array of as many different names. */
static char *many_names(size_t count) {
    char *names = (char *)malloc(count * 12 + 3);
    char *at = names;
    CHECK(names != NULL);
    *at++ = '[';
    for (size_t i = 0; i < count; i++) {
        at += sprintf(at, "%s\"%lu\"", i > 0 ? "," : "", (unsigned long)i);
    }
    strcpy(at, "]");
    return names;
}

static void very_many_elements(size_t count) {
    char *result = NULL;
    char *options = repeated("{\"request\":{\"execute\":{\"mboxes\":[{\"name\":\"m\"}", ",{\"name\":\"m\"}", count - 1,
                             "]}}}");
    CHECK_FIELD(TARGET_ERR_INVALID_OPTIONS, target_get_offers(client, options, &result), result,
                "request.execute.mboxes");
    free(options);
    options = many_names(count);
    CHECK_FIELD(TARGET_ERR_INVALID_OPTIONS, target_get_attributes(client, options, NULL, &result), result,
                "mbox_names");
    free(options);
    options = repeated("{\"request\":{\"notifications\":[", "{},", count - 1, "{}]}}");
    CHECK_FIELD(TARGET_ERR_INVALID_OPTIONS, target_send_notifications(client, options, &result), result,
                "request.notifications[0].id");
    free(options);
    options = repeated("{\"request\":{\"a\":1}", ",\"timeout\":1", count, "}");
    CHECK_FIELD(TARGET_ERR_INVALID_OPTIONS, target_get_offers(client, options, &result), result, "timeout");
    free(options);
}

static void nothing_was_sent(void) {
    char *result = NULL;
    CHECK_OK(target_client_stats(client, &result), result);
    CHECK_JSON(result, "requests", "0");
    CHECK_JSON(result, "connections.opened", "0");
    CHECK_JSON(result, "calls.in_flight", "0");
    target_string_free(result);
}

int main(int argc, char **argv) {
    size_t bytes = 20 * 1000 * 1000, elements = 1000 * 1000;
    CHECK(argc == 2 || argc == 4);
    if (argc == 4) {
        bytes = strtoul(argv[2], NULL, 10);
        elements = strtoul(argv[3], NULL, 10);
    }
    client = client_of(argv[1], "");
    null_is_an_invalid_argument();
    levels_that_do_not_exist_are_invalid();
    bytes_that_are_no_utf_8();
    texts_that_are_no_json();
    every_truncated_text();
    options_that_are_wrong();
    requests_that_are_wrong();
    configurations_that_are_wrong();
    very_deep_json();
    very_long_json(bytes);
    very_many_elements(elements);
    nothing_was_sent();
    target_client_free(client);
    return 0;
}
