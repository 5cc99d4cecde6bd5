/*
 * Forks while many threads are in the middle of all kinds of calls and so hold any lock that there is: every child
 * gets its work done. Arguments after the edge: how many forks, and how many threads.
 */
#define _POSIX_C_SOURCE 200809L

#include "check.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define FOREVER TARGET_WAIT_FOREVER

enum { WATCHDOG_SECONDS = 60, MOST_THREADS = 64, KINDS = 6 };

static const char ARTIFACT[] =
    "{\"version\":\"1.0.0\",\"meta\":{\"clientCode\":\"localedge\",\"environment\":\"production\"},"
    "\"globalMbox\":\"target-global-mbox\",\"geoTargetingEnabled\":false,\"responseTokens\":[],"
    "\"remoteMboxes\":[],\"localMboxes\":[\"home\"],\"remoteViews\":[],\"localViews\":[],"
    "\"rules\":{\"views\":{},\"mboxes\":{\"home\":[{\"ruleKey\":\"1\",\"activityId\":1,"
    "\"meta\":{\"activity.id\":1,\"experience.id\":0},\"condition\":true,\"consequence\":{\"name\":\"home\","
    "\"metrics\":[],\"options\":[{\"type\":\"html\",\"eventToken\":\"token\",\"content\":\"<b>Hi</b>\"}]}}]}}}";

static const char EXECUTE[] = "{\"request\":{\"execute\":{\"mboxes\":[{\"name\":\"home\"}]}}}";

static target_client *server_side, *on_device;
static struct counter ready = COUNTER;
static struct counter over = COUNTER;

static void ignore_line(target_log_level level, const char *message, void *user_data) {
    (void)level;
    (void)message;
    (void)user_data;
}

static void count(const char *json, void *user_data) {
    (void)json;
    counter_raise((struct counter *)user_data);
}

static void fail(const char *error, void *user_data) {
    (void)user_data;
    check_failed(__FILE__, __LINE__, "an asynchronous call failed", error);
}

static void start_and_wait(target_client *client) {
    struct counter called = COUNTER;
    target_request *request = NULL;
    CHECK_STATUS(TARGET_OK, target_get_offers_async(client, EXECUTE, count, fail, &called, &request, NULL));
    CHECK_STATUS(TARGET_OK, target_request_wait(request, FOREVER, NULL));
    target_request_free(request);
    counter_wait(&called, 1);
}

static void look(target_client *client) {
    char *result = NULL;
    target_status status;
    CHECK_OK(target_client_stats(client, &result), result);
    target_string_free(result);
    status = target_next_event(client, 0, NULL);
    CHECK(status == TARGET_OK || status == TARGET_ERR_PENDING);
}

static void *work(void *argument) {
    long number = *(long *)argument;
    counter_raise(&ready);
    for (long round = 0; counter_value(&over) == 0; round++) {
        switch ((number + round) % KINDS) {
        case 0: CHECK_STATUS(TARGET_OK, target_get_offers(server_side, OFFERS, NULL)); break;
        case 1: CHECK_STATUS(TARGET_OK, target_send_notifications(server_side, DISPLAY, NULL)); break;
        case 2: start_and_wait(number % 2 == 0 ? server_side : on_device); break;
        case 3: look(server_side); look(on_device); break;
        case 4: CHECK_STATUS(TARGET_OK, target_set_logger(ignore_line, TARGET_LOG_TRACE, NULL)); break;
        default: {
            /* Its queue may be full. */
            for (int i = 0; i < 20; i++) {
                CHECK_STATUS(TARGET_OK, target_get_offers(on_device, EXECUTE, NULL));
            }
            break;
        }
        }
    }
    return NULL;
}

static void use_in_child(void) {
    char *result = NULL;
    CHECK_CALL(TARGET_OK, target_send_notifications(server_side, DISPLAY, &result), result);
    CHECK_CALL(TARGET_OK, target_get_offers(on_device, EXECUTE, &result), result);
    start_and_wait(server_side);
    start_and_wait(on_device);
    CHECK_CALL(TARGET_ERR_PENDING, target_next_event(server_side, 0, &result), result);
    look(server_side);
    look(on_device);
    CHECK_STATUS(TARGET_OK, target_set_logger(NULL, TARGET_LOG_TRACE, NULL));
    CHECK_OK(target_client_close(on_device, FOREVER, &result), result);
    CHECK_JSON(result, "dropped", "0");
    CHECK_JSON(result, "pending", "0");
    target_string_free(result);
    CHECK_STATUS(TARGET_OK, target_client_close(server_side, FOREVER, NULL));
    target_client_free(on_device);
    target_client_free(server_side);
}

static void fork_and_use(void) {
    int status = 0;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(WATCHDOG_SECONDS);
        use_in_child();
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        char *how = text_of("wait status %d", status);
        check_failed(__FILE__, __LINE__, "a child failed or hung:", how);
    }
}

int main(int argc, char **argv) {
    pthread_t threads[MOST_THREADS];
    long numbers[MOST_THREADS];
    char *more = text_of(",\"decisioning_method\":\"on-device\",\"polling_interval\":0,\"target_location_hint\":\"35\","
                         "\"close_timeout\":600000,\"artifact_payload\":%s",
                         ARTIFACT);
    long forks, busy;
    CHECK(argc == 4);
    forks = atol(argv[2]);
    busy = atol(argv[3]);
    CHECK(busy <= MOST_THREADS);
    server_side = client_of(argv[1], "");
    on_device = client_of(argv[1], more);
    free(more);
    for (long i = 0; i < busy; i++) {
        numbers[i] = i;
        threads[i] = thread_of(work, &numbers[i]);
    }
    counter_wait(&ready, busy);
    for (long i = 0; i < forks; i++) {
        fork_and_use();
    }
    counter_raise(&over);
    for (long i = 0; i < busy; i++) {
        join(threads[i]);
    }
    CHECK_STATUS(TARGET_OK, target_set_logger(NULL, TARGET_LOG_TRACE, NULL));
    target_client_free(on_device);
    target_client_free(server_side);
    return 0;
}
