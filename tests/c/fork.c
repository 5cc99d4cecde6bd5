/*
 * A client that was made before a fork: it works in every child, and what the parent has stays the parent's.
 */
#define _POSIX_C_SOURCE 200809L

#include "check.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define FOREVER TARGET_WAIT_FOREVER

enum { CHILDREN = 4, ROUNDS = 5, WATCHDOG_SECONDS = 120 };

static const char *edge;

/* Runs the body in a child. */
static pid_t child_of(void (*body)(target_client *, int), target_client *client, int number) {
    pid_t child;
    fflush(NULL);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(WATCHDOG_SECONDS);
        body(client, number);
        _exit(0);
    }
    return child;
}

static void succeeded(pid_t child) {
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        char *how = text_of("wait status %d", status);
        check_failed(__FILE__, __LINE__, "a child failed:", how);
    }
}

static void in_child(void (*body)(target_client *, int), target_client *client) {
    succeeded(child_of(body, client, 0));
}

static void check_number(const char *json, const char *path, long expected) {
    char *text = text_of("%ld", expected);
    CHECK_JSON(json, path, text);
    free(text);
}

/* Each notification that was sent has been processed, and none twice. */
static void check_processed(long expected) {
    char *report = edge_report(edge);
    check_number(report, "notifications.processed", expected);
    check_number(report, "notifications.distinct", expected);
    check_number(report, "duplicate_impressions", 0);
    free(report);
}

static char *display_of(const char *who, int number, int round) {
    return text_of("{\"session_id\":\"%s-%d-%d\",\"request\":{\"notifications\":[{\"id\":\"%s-%d-%d\","
                   "\"type\":\"display\",\"timestamp\":1621530726000,\"mbox\":{\"name\":\"home\"}}]}}",
                   who, number, round, who, number, round);
}

static void send_display(target_client *client, const char *who, int number, int round) {
    char *options = display_of(who, number, round);
    char *result = NULL;
    CHECK_OK(target_send_notifications(client, options, &result), result);
    CHECK(json_count(result, "meta.notifications.acknowledged") == 1);
    target_string_free(result);
    free(options);
}

static void count_success(const char *envelope, void *user_data) {
    CHECK(json_has(envelope, "response"));
    counter_raise((struct counter *)user_data);
}

static void fail(const char *error, void *user_data) {
    (void)user_data;
    check_failed(__FILE__, __LINE__, "an asynchronous call failed", error);
}

static void use_all_forms(target_client *client, const char *who, int number) {
    struct counter called = COUNTER;
    char *result = NULL;
    char *options;
    uint64_t id = 0;
    for (int round = 0; round < ROUNDS; round++) {
        send_display(client, who, number, round);
        CHECK_CALL(TARGET_OK, target_get_offers(client, OFFERS, &result), result);
        options = display_of(who, number, ROUNDS + round);
        CHECK_STATUS(TARGET_OK, target_send_notifications_async(client, options, count_success, fail, &called, NULL,
                                                                NULL));
        free(options);
    }
    counter_wait(&called, ROUNDS);
    CHECK_STATUS(TARGET_OK, target_get_offers_async(client, OFFERS, NULL, NULL, NULL, NULL, NULL));
    CHECK_STATUS(TARGET_OK, target_get_offers_async(client, OFFERS, count_success, fail, &called, NULL, NULL));
    counter_wait(&called, ROUNDS + 1);
    /* With callbacks, even of NULL alone, a call is polled for only if it had none. */
    CHECK_OK(target_next_completion(client, FOREVER, &id, &result), result);
    CHECK(id > 0);
    target_string_free(result);
}

enum { DISPLAYS = 2 * ROUNDS };

static void use_and_free(target_client *client, int number) {
    char *result = NULL;
    CHECK_OK(target_client_stats(client, &result), result);
    CHECK_JSON(result, "calls.get_offers", "0");
    CHECK_JSON(result, "connections.open", "0");
    target_string_free(result);
    result = NULL;
    CHECK_CALL(TARGET_ERR_PENDING, target_next_event(client, 0, &result), result);
    use_all_forms(client, "child", number);
    CHECK_STATUS(TARGET_OK, target_client_close(client, FOREVER, NULL));
    CHECK_STATUS(TARGET_ERR_CLOSED, target_get_offers(client, OFFERS, NULL));
    target_client_free(client);
}

static void children_and_parent_work_side_by_side(void) {
    target_client *client = client_of(edge, ",\"max_idle_age\":600000");
    pid_t children[CHILDREN];
    char *result = NULL;
    edge_reset(edge);
    send_display(client, "parent", 0, 0);
    for (int i = 0; i < CHILDREN; i++) {
        children[i] = child_of(use_and_free, client, i);
    }
    for (int round = 1; round <= ROUNDS; round++) {
        send_display(client, "parent", 0, round);
    }
    for (int i = 0; i < CHILDREN; i++) {
        succeeded(children[i]);
    }
    send_display(client, "parent", 0, ROUNDS + 1);
    /* The connection of before the fork, undisturbed by its copies. */
    CHECK_OK(target_client_stats(client, &result), result);
    CHECK_JSON(result, "connections.opened", "1");
    target_string_free(result);
    target_client_free(client);
    check_processed(CHILDREN * DISPLAYS + ROUNDS + 2);
}

static const char ARTIFACT[] =
    "{\"version\":\"1.0.0\",\"meta\":{\"clientCode\":\"localedge\",\"environment\":\"production\"},"
    "\"globalMbox\":\"target-global-mbox\",\"geoTargetingEnabled\":false,\"responseTokens\":[],"
    "\"remoteMboxes\":[],\"localMboxes\":[\"home\"],\"remoteViews\":[],\"localViews\":[],"
    "\"rules\":{\"views\":{},\"mboxes\":{\"home\":[{\"ruleKey\":\"1\",\"activityId\":1,"
    "\"meta\":{\"activity.id\":1,\"experience.id\":0},\"condition\":true,\"consequence\":{\"name\":\"home\","
    "\"metrics\":[],\"options\":[{\"type\":\"html\",\"eventToken\":\"token\",\"content\":\"<b>Hi</b>\"}]}}]}}}";

static void decide(target_client *client) {
    char *result = NULL;
    CHECK_OK(target_get_offers(client, "{\"request\":{\"execute\":{\"mboxes\":[{\"name\":\"home\"}]}}}", &result),
             result);
    CHECK_JSON(result, "response.execute.mboxes[0].options[0].content", "<b>Hi</b>");
    CHECK_JSON(result, "meta.decisioning_method", "on-device");
    target_string_free(result);
}

static void close_with(target_client *client, long acknowledged) {
    char *result = NULL;
    CHECK_OK(target_client_close(client, FOREVER, &result), result);
    check_number(result, "acknowledged", acknowledged);
    check_number(result, "dropped", 0);
    check_number(result, "pending", 0);
    target_string_free(result);
}

enum { DECISIONS = 3 };

static void decide_and_close(target_client *client, int number) {
    char *result = NULL;
    (void)number;
    CHECK_CALL(TARGET_OK, target_client_wait_ready(client, 0, &result), result);
    for (int i = 0; i < DECISIONS; i++) {
        decide(client);
    }
    CHECK_OK(target_client_stats(client, &result), result);
    CHECK_JSON(result, "artifact.version", "1.0.0");
    CHECK_JSON(result, "artifact.downloads", "0");
    target_string_free(result);
    close_with(client, DECISIONS);
    target_client_free(client);
}

static void only_close(target_client *client, int number) {
    (void)number;
    close_with(client, 0);
    CHECK_STATUS(TARGET_ERR_CLOSED, target_get_offers(client, OFFERS, NULL));
    close_with(client, 0);
    target_client_free(client);
}

static void impressions_are_delivered_by_the_process_that_decided(void) {
    char *more = text_of(",\"decisioning_method\":\"on-device\",\"cdn_base_path\":\"%s\",\"close_timeout\":600000,"
                         "\"maximum_wait_ready\":3600000,\"notifications\":{\"flush_interval\":3600000}",
                         edge);
    target_client *client;
    pid_t children[CHILDREN];
    char *report;
    edge_reset(edge);
    edge_serves(edge, ARTIFACT);
    client = client_of(edge, more);
    decide(client);
    for (int i = 0; i < CHILDREN; i++) {
        children[i] = child_of(i == 0 ? only_close : decide_and_close, client, i);
    }
    for (int i = 0; i < CHILDREN; i++) {
        succeeded(children[i]);
    }
    report = edge_report(edge);
    CHECK_JSON(report, "artifact_requests.requests", "1");
    free(report);
    check_processed((CHILDREN - 1) * DECISIONS);
    close_with(client, 1);
    target_client_free(client);
    check_processed((CHILDREN - 1) * DECISIONS + 1);
    report = edge_report(edge);
    /* Each child has inherited the location hint, too: one request asked for it. The others have an impression. */
    check_number(report, "sessions", (CHILDREN - 1) * DECISIONS + 2);
    free(report);
    free(more);
}

static target_request *finished, *in_flight;

static void use_handles(target_client *client, int number) {
    uint64_t id = 1;
    (void)number;
    CHECK(target_request_id(finished) == 1 && target_request_id(in_flight) == 2);
    for (int i = 0; i < 2; i++) {
        target_request *request = i == 0 ? finished : in_flight;
        char *result = NULL;
        CHECK_CALL(TARGET_ERR_CLOSED, target_request_wait(request, FOREVER, &result), result);
        CHECK_CALL(TARGET_ERR_CLOSED, target_request_wait(request, 0, &result), result);
        CHECK_STATUS(TARGET_ERR_CLOSED, target_request_cancel(request));
        target_request_free(request);
    }
    CHECK_STATUS(TARGET_ERR_PENDING, target_next_completion(client, 0, &id, NULL));
    CHECK(id == 0);
    target_client_free(client);
}

static void handles_are_closed_in_the_child(void) {
    target_client *client = client_of(edge, "");
    char *result = NULL;
    CHECK_STATUS(TARGET_OK, target_get_offers_async(client, OFFERS, NULL, NULL, NULL, &finished, NULL));
    CHECK_CALL(TARGET_OK, target_request_wait(finished, FOREVER, &result), result);
    edge_reset(edge);
    edge_answers_next(edge, "[{\"type\":\"silence\"}]");
    CHECK_STATUS(TARGET_OK, target_get_offers_async(client, OFFERS, NULL, NULL, NULL, &in_flight, NULL));
    edge_wait_for_requests(edge, 1);
    in_child(use_handles, client);
    CHECK_CALL(TARGET_OK, target_request_wait(finished, FOREVER, &result), result);
    CHECK_STATUS(TARGET_ERR_PENDING, target_request_wait(in_flight, 0, NULL));
    CHECK_STATUS(TARGET_OK, target_request_cancel(in_flight));
    CHECK_CALL(TARGET_ERR_CANCELLED, target_request_wait(in_flight, FOREVER, &result), result);
    target_request_free(finished);
    target_request_free(in_flight);
    target_client_free(client);
}

static void find_closed(target_client *client, int number) {
    char *result = NULL;
    (void)number;
    CHECK_CALL(TARGET_ERR_CLOSED, target_get_offers(client, OFFERS, &result), result);
    CHECK_CALL(TARGET_ERR_CLOSED, target_send_notifications(client, DISPLAY, &result), result);
    CHECK_CALL(TARGET_ERR_CLOSED, target_get_offers_async(client, OFFERS, NULL, NULL, NULL, NULL, &result), result);
    CHECK_CALL(TARGET_ERR_CLOSED, target_client_wait_ready(client, FOREVER, &result), result);
    CHECK_CALL(TARGET_ERR_CLOSED, target_client_refresh(client, &result), result);
    CHECK_CALL(TARGET_ERR_CLOSED, target_next_event(client, FOREVER, &result), result);
    CHECK_CALL(TARGET_ERR_CLOSED, target_next_completion(client, FOREVER, NULL, &result), result);
    CHECK_OK(target_client_stats(client, &result), result);
    target_string_free(result);
    close_with(client, 0);
    target_client_free(client);
}

static void free_only(target_client *client, int number) {
    (void)number;
    target_client_free(client);
}

static void do_nothing(target_client *client, int number) {
    (void)client;
    (void)number;
}

static void what_is_closed_stays_closed(void) {
    char *more = text_of(",\"decisioning_method\":\"on-device\",\"polling_interval\":0,\"artifact_payload\":%s",
                         ARTIFACT);
    target_client *server_side = client_of(edge, "");
    target_client *on_device = client_of(edge, more);
    close_with(server_side, 0);
    close_with(on_device, 0);
    in_child(find_closed, server_side);
    in_child(find_closed, on_device);
    in_child(free_only, on_device);
    target_client_free(server_side);
    target_client_free(on_device);
    free(more);
}

static void a_child_need_not_use_it(void) {
    target_client *client = client_of(edge, "");
    CHECK_STATUS(TARGET_OK, target_get_offers(client, OFFERS, NULL));
    in_child(do_nothing, client);
    in_child(free_only, client);
    in_child(only_close, client);
    CHECK_STATUS(TARGET_OK, target_get_offers(client, OFFERS, NULL));
    target_client_free(client);
}

static void send_and_free(target_client *client, int number) {
    send_display(client, "grandchild", number, 0);
    target_client_free(client);
}

static void pass_on(target_client *client, int number) {
    (void)number;
    in_child(send_and_free, client);
}

static void use_and_pass_on(target_client *client, int number) {
    (void)number;
    send_display(client, "child", 1, 0);
    succeeded(child_of(send_and_free, client, 1));
    send_display(client, "child", 1, 1);
    target_client_free(client);
}

static void grandchildren_may_use_it_too(void) {
    target_client *client = client_of(edge, "");
    edge_reset(edge);
    send_display(client, "parent", 0, 0);
    in_child(pass_on, client);
    in_child(use_and_pass_on, client);
    send_display(client, "parent", 0, 1);
    target_client_free(client);
    check_processed(6);
}

/* How many sockets the process has. */
static int sockets(void) {
    DIR *directory = opendir("/proc/self/fd");
    struct dirent *entry;
    int number = 0;
    CHECK(directory != NULL);
    while ((entry = readdir(directory)) != NULL) {
        char *path = text_of("/proc/self/fd/%s", entry->d_name);
        char target[64];
        ssize_t length = readlink(path, target, sizeof target);
        number += length > 7 && strncmp(target, "socket:", 7) == 0;
        free(path);
    }
    closedir(directory);
    return number;
}

static int inherited_sockets;

static void look_for_sockets(target_client *client, int number) {
    (void)number;
    CHECK(sockets() == inherited_sockets);
    /* A number that is free again may be anybody's: the parent's objects, freed or not, leave it alone. */
    int copies[2];
    CHECK(pipe(copies) == 0);
    target_client_free(client);
    target_request_free(in_flight);
    CHECK(write(copies[1], "x", 1) == 1);
}

static void no_socket_is_inherited(void) {
    target_client *client;
    inherited_sockets = sockets();
    client = client_of(edge, "");
    CHECK_STATUS(TARGET_OK, target_get_offers(client, OFFERS, NULL));
    edge_reset(edge);
    edge_answers_next(edge, "[{\"type\":\"silence\"}]");
    CHECK_STATUS(TARGET_OK, target_get_offers_async(client, OFFERS, NULL, NULL, NULL, &in_flight, NULL));
    edge_wait_for_requests(edge, 1);
    CHECK(sockets() > inherited_sockets);
    in_child(look_for_sockets, client);
    CHECK_STATUS(TARGET_OK, target_request_cancel(in_flight));
    CHECK_STATUS(TARGET_OK, target_get_offers(client, OFFERS, NULL));
    target_request_free(in_flight);
    target_client_free(client);
}

static struct counter events = COUNTER;
static struct counter lines = COUNTER;

static void count_event(const char *event, void *user_data) {
    CHECK(json_has(event, "type"));
    counter_raise((struct counter *)user_data);
}

/* Uses the client inside the logger, in which a child starts it again. */
static void count_line(target_log_level level, const char *message, void *user_data) {
    (void)level;
    CHECK(message[0] != '\0');
    if (user_data != NULL) {
        CHECK_STATUS(TARGET_OK, target_client_stats((target_client *)user_data, NULL));
    }
    counter_raise(&lines);
}

static void hear(target_client *client, int number) {
    long events_before = counter_value(&events), lines_before = counter_value(&lines);
    (void)number;
    edge_answers_next(edge, "[{\"type\":\"status\",\"status\":400,\"message\":\"no\"}]");
    CHECK_STATUS(TARGET_ERR_HTTP, target_send_notifications(client, DISPLAY, NULL));
    counter_wait(&events, events_before + 1);
    CHECK(counter_value(&lines) > lines_before);
    CHECK_STATUS(TARGET_OK, target_client_on_event(client, NULL, NULL));
    CHECK_STATUS(TARGET_OK, target_set_logger(count_line, TARGET_LOG_DEBUG, NULL));
    CHECK_STATUS(TARGET_OK, target_get_offers(client, OFFERS, NULL));
    CHECK_STATUS(TARGET_OK, target_set_logger(NULL, TARGET_LOG_DEBUG, NULL));
    target_client_free(client);
}

static void callbacks_are_inherited(void) {
    target_client *client = client_of(edge, "");
    CHECK_STATUS(TARGET_OK, target_client_on_event(client, count_event, &events));
    counter_wait(&events, 1);
    CHECK_STATUS(TARGET_OK, target_set_logger(count_line, TARGET_LOG_DEBUG, client));
    in_child(hear, client);
    CHECK_STATUS(TARGET_OK, target_set_logger(NULL, TARGET_LOG_DEBUG, NULL));
    target_client_free(client);
}

static target_client *forked_in_callback;
static pid_t returning, ending;
static struct counter forked = COUNTER;

static void fork_in_callback(const char *envelope, void *user_data) {
    (void)envelope;
    (void)user_data;
    ending = child_of(use_and_free, forked_in_callback, 0);
    returning = fork();
    CHECK(returning >= 0);
    if (returning == 0) {
        /* On this thread waits are allowed now; then its only thread ends, and with it the child. */
        alarm(WATCHDOG_SECONDS);
        use_and_free(forked_in_callback, 1);
        return;
    }
    counter_raise(&forked);
}

static void a_callback_may_fork(void) {
    forked_in_callback = client_of(edge, "");
    edge_reset(edge);
    CHECK_STATUS(TARGET_OK,
                 target_get_offers_async(forked_in_callback, OFFERS, fork_in_callback, fail, NULL, NULL, NULL));
    counter_wait(&forked, 1);
    succeeded(ending);
    succeeded(returning);
    CHECK_STATUS(TARGET_OK, target_get_offers(forked_in_callback, OFFERS, NULL));
    target_client_free(forked_in_callback);
    check_processed(2 * DISPLAYS);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    edge = argv[1];
    children_and_parent_work_side_by_side();
    impressions_are_delivered_by_the_process_that_decided();
    handles_are_closed_in_the_child();
    what_is_closed_stays_closed();
    a_child_need_not_use_it();
    grandchildren_may_use_it_too();
    no_socket_is_inherited();
    callbacks_are_inherited();
    a_callback_may_fork();
    return 0;
}
