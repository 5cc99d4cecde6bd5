/*
 * The queue: what it takes and refuses, what a flush and a close say, and what becomes of each notification.
 */
#define _POSIX_C_SOURCE 200809L

#include "check.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOREVER TARGET_WAIT_FOREVER
/* Nothing was counted: clicks may be sent again, too. */
#define UNAVAILABLE "{\"type\":\"status\",\"status\":429}"
#define SILENCE "[{\"type\":\"silence\"}]"
#define IMPATIENT "\"retry_base_delay\":1,\"retry_max_delay\":5"

static const char *edge;
static char directory[] = "/tmp/target-queue-XXXXXX";

static target_client *client_with(const char *notifications) {
    char *more = text_of(",\"notifications\":{%s}", notifications);
    target_client *client;
    /* Before it begins to deliver what a spool has. */
    edge_answers(edge, "null");
    edge_reset(edge);
    client = client_of(edge, more);
    free(more);
    return client;
}

static target_client *client_with_spool(const char *name, const char *more) {
    char *notifications = text_of("\"spool_dir\":\"%s/%s\",%s", directory, name, more);
    target_client *client = client_with(notifications);
    free(notifications);
    return client;
}

/* The counts of flush and close, in a result or in an error. */
static void check_counts(char *json, const char *prefix, long acknowledged, long rejected, long dropped, long pending) {
    char *expected = text_of("{\"acknowledged\":%ld,\"rejected\":%ld,\"dropped\":%ld,\"pending\":%ld}", acknowledged,
                             rejected, dropped, pending);
    static const char *const names[] = {"acknowledged", "rejected", "dropped", "pending"};
    for (int i = 0; i < 4; i++) {
        char *path = text_of("%s%s", prefix, names[i]);
        char *value = json_text(expected, names[i]);
        CHECK_JSON(json, path, value);
        free(value);
        free(path);
    }
    free(expected);
    target_string_free(json);
}

static void delivers(target_client *client, long acknowledged, long rejected, long dropped) {
    char *result = NULL;
    CHECK_OK(target_flush(client, FOREVER, &result), result);
    check_counts(result, "", acknowledged, rejected, dropped, 0);
}

/* Flush or close in vain: what is left stands in the error. */
static void check_pending(target_status status, char **error, long pending) {
    CHECK(status == TARGET_ERR_PENDING && *error != NULL);
    CHECK_JSON(*error, "code", "TARGET_ERR_PENDING");
    check_counts(*error, "result.", 0, 0, 0, pending);
}

/* Takes events until one of this type comes. Those of other types are passed over. */
static char *next_event_of(target_client *client, const char *type) {
    for (;;) {
        char *event = NULL, *its_type;
        int found;
        CHECK_OK(target_next_event(client, FOREVER, &event), event);
        its_type = json_text(event, "type");
        CHECK(its_type != NULL);
        found = strcmp(its_type, type) == 0;
        free(its_type);
        if (found) {
            return event;
        }
        target_string_free(event);
    }
}

static void is_dropped(target_client *client, const char *id, const char *session, const char *reason) {
    char *event = next_event_of(client, "notification_dropped");
    CHECK_JSON(event, "ids[0]", id);
    CHECK_JSON(event, "session_id", session);
    CHECK_JSON(event, "reason", reason);
    CHECK(json_has(event, "timestamp") && json_has(event, "attempts"));
    target_string_free(event);
}

static void ids_come_back(void) {
    static const char BOTH[] =
        "{\"session_id\":\"s\",\"request\":{\"notifications\":["
        "{\"id\":\"shown\",\"type\":\"display\",\"timestamp\":1621530726000,\"mbox\":{\"name\":\"home\"}},"
        "{\"id\":\"clicked\",\"type\":\"click\",\"timestamp\":1621530726001,\"mbox\":{\"name\":\"home\"}}]}}";
    target_client *client = client_with("\"flush_interval\":3600000");
    char *result = NULL, *event, *report;
    CHECK_OK(target_enqueue_notifications(client, BOTH, &result), result);
    CHECK(json_count(result, "accepted") == 2);
    CHECK_JSON(result, "accepted[0]", "shown");
    CHECK_JSON(result, "accepted[1]", "clicked");
    target_string_free(result);
    enqueue(client, "s", "too", "display");
    CHECK(stat_of(client, "notifications.pending") == 3);
    delivers(client, 3, 0, 0);
    /* Nothing is left to be flushed. */
    delivers(client, 0, 0, 0);
    event = next_event_of(client, "notification_acknowledged");
    CHECK(json_count(event, "ids") == 3);
    CHECK_JSON(event, "ids[0]", "shown");
    CHECK_JSON(event, "ids[1]", "clicked");
    CHECK_JSON(event, "ids[2]", "too");
    CHECK_JSON(event, "session_id", "s");
    CHECK_JSON(event, "attempts", "1");
    target_string_free(event);
    report = edge_report(edge);
    CHECK_JSON(report, "requests", "1");
    CHECK_JSON(report, "notifications.processed", "3");
    CHECK_JSON(report, "visits.total", "2");
    CHECK_JSON(report, "clicks.total", "1");
    free(report);
    check_balance(client);
    target_client_free(client);
    CHECK_CALL(TARGET_ERR_INVALID_ARGUMENT, target_enqueue_notifications(NULL, BOTH, &result), result);
    CHECK_CALL(TARGET_ERR_INVALID_ARGUMENT, target_flush(NULL, FOREVER, &result), result);
}

#define GOOD "{\"id\":\"1\",\"type\":\"display\",\"timestamp\":1621530726000,\"mbox\":{\"name\":\"home\"}}"

static void a_bad_one_is_named_and_nothing_taken(void) {
    static const char *const bad[][2] = {
        {"{\"type\":\"display\",\"timestamp\":1}", "id"},
        {"{\"id\":\"2\",\"type\":\"visit\",\"timestamp\":1}", "type"},
        {"{\"id\":\"2\",\"type\":\"display\"}", "timestamp"},
        {"{\"id\":\"2\",\"type\":\"display\",\"timestamp\":1,\"tokens\":[7]}", "tokens[0]"},
    };
    target_client *client = client_with("\"flush_interval\":3600000");
    char *result = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *options = text_of("{\"request\":{\"notifications\":[" GOOD ",%s]}}", bad[i][0]);
        char *field = text_of("request.notifications[1].%s", bad[i][1]);
        CHECK_FIELD(TARGET_ERR_INVALID_OPTIONS, target_enqueue_notifications(client, options, &result), result, field);
        free(field);
        free(options);
    }
    CHECK(stat_of(client, "notifications.accepted") == 0);
    delivers(client, 0, 0, 0);
    CHECK(edge_requests(edge) == 0);
    target_client_free(client);
}

static void only_notifications_are_queued(void) {
    static const char *const other[][2] = {
        {"\"execute\":{\"pageLoad\":{}}", "request.execute"},
        {"\"prefetch\":{\"views\":[{}]}", "request.prefetch"},
        {"\"impressionId\":\"i\"", "request.impressionId"},
    };
    target_client *client = client_with(IMPATIENT);
    char *result = NULL;
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        char *options = text_of("{\"request\":{\"notifications\":[" GOOD "],%s}}", other[i][0]);
        CHECK_FIELD(TARGET_ERR_INVALID_OPTIONS, target_enqueue_notifications(client, options, &result), result,
                    other[i][1]);
        free(options);
    }
    CHECK_FIELD(TARGET_ERR_INVALID_OPTIONS,
                target_enqueue_notifications(client, "{\"request\":{\"context\":{\"channel\":\"web\"}}}", &result),
                result, "request.notifications");
    CHECK(stat_of(client, "notifications.accepted") == 0);
    target_client_free(client);
}

static void a_flush_says_what_is_left(void) {
    target_client *client = client_with(IMPATIENT);
    char *result = NULL;
    edge_answers(edge, UNAVAILABLE);
    enqueue(client, "s", "1", "display");
    enqueue(client, "s", "2", "display");
    enqueue(client, "t", "3", "click");
    check_pending(target_flush(client, 0, &result), &result, 3);
    edge_wait_for_requests(edge, 2);
    check_pending(target_flush(client, 20, &result), &result, 3);
    CHECK_STATUS(TARGET_ERR_PENDING, target_flush(client, 0, NULL));
    target_string_free(next_event_of(client, "send_notification_error"));
    edge_answers(edge, "null");
    CHECK_OK(target_flush(client, FOREVER, &result), result);
    /* Some may have been delivered before this flush began. */
    CHECK_JSON(result, "pending", "0");
    CHECK_JSON(result, "rejected", "0");
    CHECK_JSON(result, "dropped", "0");
    target_string_free(result);
    CHECK(stat_of(client, "notifications.acknowledged") == 3);
    check_balance(client);
    target_client_free(client);
}

struct flushing {
    target_client *client;
    struct counter done;
};

static void flush_in_callback(const char *json, void *user_data) {
    struct flushing *flushing = (struct flushing *)user_data;
    char *result = NULL;
    (void)json;
    CHECK_CALL(TARGET_ERR_WOULD_DEADLOCK, target_flush(flushing->client, FOREVER, &result), result);
    CHECK_CALL(TARGET_ERR_WOULD_DEADLOCK, target_flush(flushing->client, 1, &result), result);
    check_pending(target_flush(flushing->client, 0, &result), &result, 1);
    counter_raise(&flushing->done);
}

static void fail(const char *error, void *user_data) {
    (void)user_data;
    check_failed(__FILE__, __LINE__, "an asynchronous call failed", error);
}

static void a_callback_does_not_wait(void) {
    target_client *client = client_with(IMPATIENT);
    struct flushing flushing = {NULL, COUNTER};
    char *result = NULL;
    flushing.client = client;
    edge_answers_next(edge, SILENCE);
    enqueue(client, "s", "1", "display");
    edge_wait_for_requests(edge, 1);
    /* That the client is ready. */
    CHECK_STATUS(TARGET_OK, target_client_on_event(client, flush_in_callback, &flushing));
    counter_wait(&flushing.done, 1);
    CHECK_STATUS(TARGET_OK, target_client_on_event(client, NULL, NULL));
    CHECK_STATUS(TARGET_OK, target_get_offers_async(client, OFFERS, flush_in_callback, fail, &flushing, NULL, NULL));
    counter_wait(&flushing.done, 2);
    CHECK_OK(target_client_close(client, 0, &result), result);
    check_counts(result, "", 0, 0, 1, 0);
    target_client_free(client);
}

static void what_is_full_takes_nothing(void) {
    target_client *client = client_with("\"max_queued\":3," IMPATIENT);
    char *result = NULL;
    char *two = text_of("{\"request\":{\"notifications\":[" GOOD "," GOOD "]}}");
    edge_answers(edge, UNAVAILABLE);
    enqueue(client, "s", "1", "display");
    CHECK_CALL(TARGET_OK, target_enqueue_notifications(client, two, &result), result);
    CHECK_CALL(TARGET_ERR_QUEUE_FULL, target_enqueue_notifications(client, two, &result), result);
    CHECK_CALL(TARGET_ERR_QUEUE_FULL, target_enqueue_notifications(client, two, &result), result);
    CHECK(stat_of(client, "notifications.accepted") == 3);
    CHECK(stat_of(client, "notifications.pending") == 3);
    edge_answers(edge, "null");
    CHECK_STATUS(TARGET_OK, target_flush(client, FOREVER, NULL));
    CHECK(stat_of(client, "notifications.acknowledged") == 3);
    CHECK_CALL(TARGET_OK, target_enqueue_notifications(client, two, &result), result);
    CHECK_STATUS(TARGET_OK, target_flush(client, FOREVER, NULL));
    CHECK(stat_of(client, "notifications.acknowledged") == 5);
    check_balance(client);
    free(two);
    target_client_free(client);
}

#define FOREIGN "{\"id\":\"bad\",\"type\":\"click\",\"timestamp\":1621530726000,\"tokens\":[\"foreign\"]}"

static void enqueue_good_and_bad(target_client *client) {
    char *result = NULL;
    CHECK_CALL(TARGET_OK,
               target_enqueue_notifications(
                   client, "{\"session_id\":\"s\",\"request\":{\"notifications\":[" GOOD "," FOREIGN "]}}", &result),
               result);
}

static void the_bad_one_is_rejected_alone(void) {
    target_client *client = client_with(IMPATIENT);
    char *event;
    enqueue_good_and_bad(client);
    delivers(client, 1, 1, 0);
    event = next_event_of(client, "notification_rejected");
    CHECK(json_count(event, "ids") == 1);
    CHECK_JSON(event, "ids[0]", "bad");
    CHECK_JSON(event, "session_id", "s");
    CHECK_JSON(event, "reason", "rejected");
    CHECK_JSON(event, "http_status", "400");
    CHECK_JSON(event, "api_message", "notifications[0].tokens[0]: invalid token");
    CHECK(json_has(event, "attempts"));
    target_string_free(event);
    check_balance(client);
    target_client_free(client);
}

static void what_is_given_up_says_why(void) {
    target_client *client = client_with("\"time_to_live\":50," IMPATIENT);
    char *result = NULL;
    edge_answers(edge, UNAVAILABLE);
    enqueue(client, "a", "late", "display");
    is_dropped(client, "late", "a", "expired");
    CHECK(stat_of(client, "notifications.dropped") == 1);
    target_client_free(client);

    client = client_with(IMPATIENT);
    edge_answers_next(edge, "[{\"type\":\"reset_after_reading\",\"counted\":true}]");
    enqueue(client, "b", "perhaps", "click");
    is_dropped(client, "perhaps", "b", "outcome_unknown");
    /* A display is known by its impressionId: it is sent again, and counted once. */
    edge_answers_next(edge, "[{\"type\":\"reset_after_reading\",\"counted\":true}]");
    enqueue(client, "b", "twice", "display");
    CHECK_STATUS(TARGET_OK, target_flush(client, FOREVER, NULL));
    CHECK(stat_of(client, "notifications.acknowledged") == 1);
    result = edge_report(edge);
    CHECK_JSON(result, "notifications.ids.twice", "2");
    CHECK_JSON(result, "visits.total", "1");
    CHECK_JSON(result, "duplicate_impressions", "1");
    free(result);
    target_client_free(client);

    client = client_with(IMPATIENT);
    edge_answers(edge, UNAVAILABLE);
    enqueue(client, "c", "left", "display");
    result = NULL;
    CHECK_OK(target_client_close(client, 0, &result), result);
    check_counts(result, "", 0, 0, 1, 0);
    CHECK_OK(target_client_close(client, FOREVER, &result), result);
    check_counts(result, "", 0, 0, 1, 0);
    is_dropped(client, "left", "c", "closed");
    CHECK(stat_of(client, "notifications.pending") == 0);
    check_balance(client);
    CHECK_CALL(TARGET_ERR_CLOSED, target_flush(client, FOREVER, &result), result);
    CHECK_CALL(TARGET_ERR_CLOSED, target_enqueue_notifications(client, DISPLAY, &result), result);
    target_client_free(client);
}

static void a_spool_keeps_the_rest(void) {
    target_client *client = client_with_spool("rest", IMPATIENT);
    target_client *second;
    char *result = NULL, *report;
    edge_answers(edge, UNAVAILABLE);
    enqueue(client, "a", "1", "display");
    enqueue(client, "a", "2", "display");
    enqueue(client, "b", "3", "display");
    CHECK(stat_of(client, "notifications.spool_bytes") > 0);
    check_pending(target_client_close(client, 0, &result), &result, 3);
    check_pending(target_client_close(client, FOREVER, &result), &result, 3);
    CHECK(stat_of(client, "notifications.pending") == 3);
    CHECK(stat_of(client, "notifications.dropped") == 0);
    check_balance(client);

    /* What is closed has left its directory to others already. */
    second = client_with_spool("rest", IMPATIENT);
    CHECK(stat_of(second, "notifications.recovered") == 3);
    CHECK(stat_of(second, "notifications.accepted") == 0);
    CHECK_STATUS(TARGET_OK, target_flush(second, FOREVER, NULL));
    CHECK(stat_of(second, "notifications.acknowledged") == 3);
    check_balance(second);
    report = edge_report(edge);
    CHECK_JSON(report, "notifications.processed", "3");
    CHECK_JSON(report, "notifications.distinct", "3");
    CHECK_JSON(report, "sessions", "2");
    free(report);
    target_client_free(client);
    target_client_free(second);

    second = client_with_spool("rest", IMPATIENT);
    CHECK(stat_of(second, "notifications.recovered") == 0);
    CHECK(stat_of(second, "notifications.spool_damaged") == 0);
    target_client_free(second);
}

/* What may have been counted is not left for others to send again. */
static void a_click_on_its_way_is_not_kept(void) {
    target_client *client = client_with_spool("click", IMPATIENT);
    char *result = NULL;
    edge_answers_next(edge, SILENCE);
    enqueue(client, "s", "perhaps", "click");
    edge_wait_for_requests(edge, 1);
    CHECK_OK(target_client_close(client, 0, &result), result);
    check_counts(result, "", 0, 0, 1, 0);
    is_dropped(client, "perhaps", "s", "outcome_unknown");
    check_balance(client);
    target_client_free(client);
    client = client_with_spool("click", IMPATIENT);
    CHECK(stat_of(client, "notifications.recovered") == 0);
    target_client_free(client);
}

/* Two clients at once have a place each. */
static void a_spool_may_be_shared(void) {
    target_client *first = client_with_spool("shared", IMPATIENT);
    target_client *second = client_with_spool("shared", IMPATIENT);
    edge_answers(edge, UNAVAILABLE);
    enqueue(first, "a", "1", "display");
    enqueue(second, "b", "2", "display");
    CHECK(stat_of(second, "notifications.recovered") == 0);
    edge_answers(edge, "null");
    CHECK_STATUS(TARGET_OK, target_flush(first, FOREVER, NULL));
    CHECK_STATUS(TARGET_OK, target_flush(second, FOREVER, NULL));
    CHECK(stat_of(first, "notifications.acknowledged") == 1);
    CHECK(stat_of(second, "notifications.acknowledged") == 1);
    target_client_free(first);
    target_client_free(second);
}

static void rejected_ones_are_written_down(void) {
    target_client *client = client_with_spool("rejected", IMPATIENT);
    char *path = text_of("%s/rejected/rejected.jsonl", directory);
    char line[4096];
    struct stat status;
    FILE *file;
    enqueue_good_and_bad(client);
    delivers(client, 1, 1, 0);
    file = fopen(path, "r");
    CHECK(file != NULL);
    CHECK(fgets(line, sizeof line, file) != NULL);
    CHECK_JSON(line, "session_id", "s");
    CHECK_JSON(line, "http_status", "400");
    CHECK_JSON(line, "api_message", "notifications[0].tokens[0]: invalid token");
    CHECK_JSON(line, "notification.id", "bad");
    CHECK_JSON(line, "notification.tokens[0]", "foreign");
    CHECK(fgets(line, sizeof line, file) == NULL);
    fclose(file);
    CHECK(stat(path, &status) == 0 && (status.st_mode & 0777) == 0600);
    free(path);
    target_client_free(client);
}

static void keys_may_be_in_camel_case(void) {
    char *notifications = text_of("\"maxQueued\":1,\"maxBatch\":1,\"flushInterval\":1,\"workers\":1,"
                                  "\"retryBaseDelay\":3600000,\"retryMaxDelay\":3600000,\"timeToLive\":3600000,"
                                  "\"spoolDir\":\"%s/camel\",\"spoolMaxBytes\":4096,\"spoolSync\":\"each\"",
                                  directory);
    target_client *client = client_with(notifications);
    char *config, *result = NULL;
    enqueue(client, "s", "1", "display");
    CHECK_STATUS(TARGET_OK, target_flush(client, FOREVER, NULL));
    CHECK(stat_of(client, "notifications.acknowledged") == 1);
    target_client_free(client);
    free(notifications);
    config = text_of("{\"client\":\"c\",\"organization_id\":\"o\",\"notifications\":{\"spoolDirectory\":\"x\"}}");
    CHECK_FIELD(TARGET_ERR_INVALID_OPTIONS, target_client_create(config, &client, &result), result,
                "notifications.spoolDirectory");
    CHECK(client == NULL);
    free(config);
    config = text_of("{\"client\":\"c\",\"organization_id\":\"o\",\"notifications\":{\"max_queued\":1,\"maxQueued\":1}}");
    CHECK_FIELD(TARGET_ERR_INVALID_OPTIONS, target_client_create(config, &client, &result), result,
                "notifications.maxQueued");
    free(config);
    /* A spool that cannot be opened is an error of create. */
    config = text_of("{\"client\":\"c\",\"organization_id\":\"o\",\"notifications\":{\"spool_dir\":\"/dev/null/x\"}}");
    CHECK_FIELD(TARGET_ERR_STORAGE, target_client_create(config, &client, &result), result, "notifications.spool_dir");
    free(config);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    edge = argv[1];
    CHECK(mkdtemp(directory) != NULL);
    ids_come_back();
    a_bad_one_is_named_and_nothing_taken();
    only_notifications_are_queued();
    a_flush_says_what_is_left();
    a_callback_does_not_wait();
    what_is_full_takes_nothing();
    the_bad_one_is_rejected_alone();
    what_is_given_up_says_why();
    a_spool_keeps_the_rest();
    a_click_on_its_way_is_not_kept();
    a_spool_may_be_shared();
    rejected_ones_are_written_down();
    keys_may_be_in_camel_case();
    remove_directory(directory);
    return 0;
}
