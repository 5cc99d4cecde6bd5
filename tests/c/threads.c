/*
 * 64 threads on one client, all kinds of calls at the same time: all succeed, nobody gets another's result, and there
 * are never more connections than threads.
 */
#include "check.h"

#include <stdio.h>

enum { THREADS = 64, ROUNDS = 8 };

static target_client *client;
static struct counter ready = COUNTER;
static struct counter go = COUNTER;
static struct counter finished = COUNTER;

static void on_success(const char *envelope, void *user_data) {
    CHECK(json_has(envelope, "response"));
    counter_raise((struct counter *)user_data);
}

static void on_failure(const char *error, void *user_data) {
    (void)user_data;
    check_failed(__FILE__, __LINE__, "an asynchronous call failed", error);
}

static void get_offers(const char *session) {
    char *options = text_of("{\"session_id\":\"%s\",\"request\":{\"requestId\":\"r-%s\",\"execute\":{\"mboxes\":["
                            "{\"name\":\"home\"}]}}}",
                            session, session);
    char *cookie = text_of("session#%s#", session);
    char *request_id = text_of("r-%s", session);
    char *result = NULL;
    char *value;
    CHECK_OK(target_get_offers(client, options, &result), result);
    CHECK_JSON(result, "response.requestId", request_id);
    CHECK_JSON(result, "response.execute.mboxes[0].name", "home");
    value = json_text(result, "target_cookie.value");
    CHECK(strncmp(value, cookie, strlen(cookie)) == 0);
    free(value);
    target_string_free(result);
    free(request_id);
    free(cookie);
    free(options);
}

static void send_notifications(const char *session) {
    char *options = text_of("{\"session_id\":\"%s\",\"request\":{\"notifications\":[{\"id\":\"n-%s\","
                            "\"type\":\"display\",\"timestamp\":1621530726000,\"mbox\":{\"name\":\"home\"}}]}}",
                            session, session);
    char *id = text_of("n-%s", session);
    char *result = NULL;
    CHECK_OK(target_send_notifications(client, options, &result), result);
    CHECK(json_count(result, "meta.notifications.acknowledged") == 1);
    CHECK_JSON(result, "meta.notifications.acknowledged[0]", id);
    target_string_free(result);
    free(id);
    free(options);
}

static void get_attributes(const char *session) {
    char *options = text_of("{\"session_id\":\"%s\"}", session);
    char *result = NULL;
    CHECK_OK(target_get_attributes(client, "[\"cart\"]", options, &result), result);
    CHECK_JSON(result, "attributes.cart.discount", "15");
    target_string_free(result);
    free(options);
}

static void start_and_wait(const char *session) {
    char *options = text_of("{\"session_id\":\"%s\",\"request\":{\"execute\":{\"mboxes\":[{\"name\":\"hero\"}]}}}",
                            session);
    struct counter called = COUNTER;
    target_request *request = NULL;
    char *result = NULL;
    CHECK_STATUS(TARGET_OK,
                 target_get_offers_async(client, options, on_success, on_failure, &called, &request, NULL));
    free(options);
    CHECK_OK(target_request_wait(request, TARGET_WAIT_FOREVER, &result), result);
    CHECK_JSON(result, "response.execute.mboxes[0].name", "hero");
    target_string_free(result);
    target_request_free(request);
    /* The callback has its own copy and may still be running. */
    counter_wait(&called, 1);
}

static void look(void) {
    char *result = NULL;
    target_status status;
    CHECK_CALL(TARGET_OK, target_client_wait_ready(client, 0, &result), result);
    CHECK_OK(target_client_stats(client, &result), result);
    CHECK(json_has(result, "connections.open"));
    target_string_free(result);
    result = NULL;
    status = target_next_event(client, 0, &result);
    CHECK(status == TARGET_OK || status == TARGET_ERR_PENDING);
    target_string_free(result);
}

static void *work(void *argument) {
    long number = *(long *)argument;
    counter_raise(&ready);
    counter_wait(&go, 1);
    for (int round = 0; round < ROUNDS; round++) {
        char *session = text_of("s-%ld-%d", number, round);
        switch ((number + round) % 5) {
        case 0: get_offers(session); break;
        case 1: send_notifications(session); break;
        case 2: get_attributes(session); break;
        case 3: start_and_wait(session); break;
        default: look(); break;
        }
        free(session);
    }
    counter_raise(&finished);
    return NULL;
}

int main(int argc, char **argv) {
    pthread_t threads[THREADS];
    long numbers[THREADS];
    char *result = NULL;
    char *opened;
    CHECK(argc == 2);
    /* A pool with room for all, so that a connection is opened only when all others are in use. */
    client = client_of(argv[1], ",\"max_idle_connections\":64,\"max_idle_age\":600000");
    for (long i = 0; i < THREADS; i++) {
        numbers[i] = i;
        threads[i] = thread_of(work, &numbers[i]);
    }
    counter_wait(&ready, THREADS);
    counter_raise(&go);
    for (int i = 0; i < THREADS; i++) {
        join(threads[i]);
    }
    CHECK(counter_value(&finished) == THREADS);

    CHECK_OK(target_client_stats(client, &result), result);
    opened = json_text(result, "connections.opened");
    CHECK(opened != NULL && atoi(opened) >= 1 && atoi(opened) <= THREADS);
    CHECK(!json_has(result, "errors.validate") && !json_has(result, "errors.response"));
    CHECK_JSON(result, "retries", "0");
    free(opened);
    target_string_free(result);
    /* A call that was waited for may be on its way off the list; close waits for that too. */
    CHECK_STATUS(TARGET_OK, target_client_close(client, TARGET_WAIT_FOREVER, NULL));
    CHECK_OK(target_client_stats(client, &result), result);
    CHECK_JSON(result, "calls.in_flight", "0");
    target_string_free(result);
    target_client_free(client);
    return 0;
}
