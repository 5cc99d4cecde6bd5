/*
 * Asynchronous calls: which callback runs, when, and how often; handles before and after everything; cancelling;
 * completions; what a callback may do.
 */
#include "check.h"

#include <stdio.h>

#define SILENCE "{\"type\":\"silence\"}"
#define REFUSAL "{\"type\":\"status\",\"status\":400,\"message\":\"no\"}"
#define FOREVER TARGET_WAIT_FOREVER

static const char *edge;
static target_client *client;

/* What the callbacks of one call did. */
struct call {
    struct counter succeeded;
    struct counter failed;
    char code[40];
};

static const struct call NEW_CALL = {COUNTER, COUNTER, ""};

static void on_success(const char *envelope, void *user_data) {
    struct call *call = (struct call *)user_data;
    CHECK(json_has(envelope, "response"));
    counter_raise(&call->succeeded);
}

static void on_failure(const char *error, void *user_data) {
    struct call *call = (struct call *)user_data;
    char *code = json_text(error, "code");
    CHECK(code != NULL && strlen(code) < sizeof call->code);
    strcpy(call->code, code);
    free(code);
    counter_raise(&call->failed);
}

static void must_not_run(const char *json, void *user_data) {
    (void)user_data;
    check_failed(__FILE__, __LINE__, "a callback that must not run", json);
}

/* Starts a call without callbacks. */
static target_request *started(void) {
    target_request *request = NULL;
    CHECK_STATUS(TARGET_OK, target_get_offers_async(client, OFFERS, NULL, NULL, NULL, &request, NULL));
    CHECK(request != NULL);
    return request;
}

static void exactly_one_callback_runs_once(void) {
    enum { CALLS = 60 };
    static struct call calls[CALLS];
    client = client_of(edge, "");
    edge_answers_next(edge, "[{\"type\":\"none\",\"times\":30}," REFUSAL "]");
    for (int i = 0; i < CALLS; i++) {
        char *result = (char *)client;
        calls[i] = NEW_CALL;
        if (i % 3 == 0) {
            CHECK_STATUS(TARGET_OK,
                         target_get_offers_async(client, OFFERS, on_success, on_failure, &calls[i], NULL, &result));
        } else if (i % 3 == 1) {
            CHECK_STATUS(TARGET_OK, target_get_attributes_async(client, "[\"cart\"]", NULL, on_success, on_failure,
                                                                &calls[i], NULL, &result));
        } else {
            CHECK_STATUS(TARGET_OK, target_send_notifications_async(client, DISPLAY, on_success, on_failure, &calls[i],
                                                                    NULL, &result));
        }
        CHECK(result == NULL);
    }
    CHECK_STATUS(TARGET_OK, target_client_close(client, FOREVER, NULL));
    /* Once it is freed, no callback can run any more: the counts are final. */
    target_client_free(client);
    long succeeded = 0, failed = 0;
    for (int i = 0; i < CALLS; i++) {
        long of_call = counter_value(&calls[i].succeeded);
        succeeded += of_call;
        failed += counter_value(&calls[i].failed);
        CHECK(of_call + counter_value(&calls[i].failed) == 1);
        CHECK(of_call == 1 || strcmp(calls[i].code, "TARGET_ERR_HTTP") == 0);
    }
    CHECK(succeeded == CALLS - 1 && failed == 1);
}

static void a_null_callback_is_skipped(void) {
    target_request *request = NULL;
    char *result = NULL;
    uint64_t id = 7;
    client = client_of(edge, "");
    CHECK_STATUS(TARGET_OK, target_get_offers_async(client, OFFERS, NULL, must_not_run, NULL, &request, NULL));
    CHECK_CALL(TARGET_OK, target_request_wait(request, FOREVER, &result), result);
    target_request_free(request);
    edge_answers(edge, REFUSAL);
    CHECK_STATUS(TARGET_OK, target_get_offers_async(client, OFFERS, must_not_run, NULL, NULL, &request, NULL));
    CHECK_CALL(TARGET_ERR_HTTP, target_request_wait(request, FOREVER, &result), result);
    target_request_free(request);
    edge_answers(edge, "null");
    /* A call with a callback is never a completion, whether or not the callback ran. */
    CHECK_STATUS(TARGET_OK, target_client_close(client, FOREVER, NULL));
    CHECK_CALL(TARGET_ERR_CLOSED, target_next_completion(client, FOREVER, &id, &result), result);
    CHECK(id == 0);
    target_client_free(client);
}

static void calls_without_callbacks_come_as_completions(void) {
    enum { CALLS = 20 };
    uint64_t ids[CALLS];
    uint64_t id;
    char *result = NULL;
    client = client_of(edge, "");
    CHECK_CALL(TARGET_ERR_PENDING, target_next_completion(client, 0, &id, &result), result);
    CHECK(id == 0);
    for (int i = 0; i < CALLS; i++) {
        target_request *request = started();
        ids[i] = target_request_id(request);
        CHECK(ids[i] > 0 && (i == 0 || ids[i] > ids[i - 1]));
        /* The completion needs no handle. */
        target_request_free(request);
    }
    for (int i = 0; i < CALLS; i++) {
        int known = 0;
        CHECK_OK(target_next_completion(client, FOREVER, &id, &result), result);
        CHECK(json_has(result, "response.prefetch"));
        target_string_free(result);
        for (int j = 0; j < CALLS; j++) {
            if (ids[j] == id) {
                known++;
                ids[j] = 0;
            }
        }
        CHECK(known == 1);
    }
    CHECK_CALL(TARGET_ERR_PENDING, target_next_completion(client, 0, &id, &result), result);

    edge_answers(edge, REFUSAL);
    target_request_free(started());
    CHECK_CALL(TARGET_ERR_HTTP, target_next_completion(client, FOREVER, &id, &result), result);
    CHECK(id != 0);
    edge_answers(edge, "null");
    target_client_free(client);
}

/* Its thread makes the outcome known and hands over the completion in one step, or this would find one now and then. */
static void a_result_that_was_waited_for_is_no_completion(void) {
    uint64_t id;
    client = client_of(edge, "");
    for (int i = 0; i < 300; i++) {
        target_request *request = started();
        CHECK_STATUS(TARGET_OK, target_request_wait(request, FOREVER, NULL));
        CHECK_STATUS(TARGET_ERR_PENDING, target_next_completion(client, 0, &id, NULL));
        target_request_free(request);
    }
    target_client_free(client);
}

static void a_handle_outlives_its_client(void) {
    target_request *request;
    char *first = NULL, *again = NULL;
    client = client_of(edge, "");
    request = started();
    CHECK_OK(target_request_wait(request, FOREVER, &first), first);
    CHECK_OK(target_request_wait(request, 0, &again), again);
    CHECK(first != again && strcmp(first, again) == 0);
    target_string_free(again);
    CHECK_STATUS(TARGET_OK, target_client_close(client, 0, NULL));
    CHECK_OK(target_request_wait(request, 0, &again), again);
    CHECK(strcmp(first, again) == 0);
    target_string_free(again);
    target_client_free(client);
    CHECK_OK(target_request_wait(request, FOREVER, &again), again);
    CHECK(strcmp(first, again) == 0);
    target_string_free(again);
    CHECK_STATUS(TARGET_OK, target_request_cancel(request));
    CHECK_STATUS(TARGET_OK, target_request_wait(request, 0, NULL));
    CHECK(target_request_id(request) == 1);
    target_string_free(first);
    target_request_free(request);
}

static void a_wait_that_ends_first_loses_nothing(void) {
    target_request *request;
    char *result = NULL;
    client = client_of(edge, "");
    edge_reset(edge);
    edge_answers(edge, SILENCE);
    request = started();
    CHECK_CALL(TARGET_ERR_PENDING, target_request_wait(request, 0, &result), result);
    edge_wait_for_requests(edge, 1);
    CHECK_CALL(TARGET_ERR_PENDING, target_request_wait(request, 1, &result), result);
    target_request_cancel(request);
    CHECK_CALL(TARGET_ERR_CANCELLED, target_request_wait(request, FOREVER, &result), result);
    target_request_free(request);

    /* The call's own deadline is another matter. */
    CHECK_STATUS(TARGET_OK,
                 target_get_offers_async(client, "{\"timeout\":20,\"request\":{\"execute\":{\"pageLoad\":{}}}}", NULL,
                                         NULL, NULL, &request, NULL));
    CHECK_CALL(TARGET_ERR_TIMEOUT, target_request_wait(request, FOREVER, &result), result);
    target_request_free(request);
    edge_answers(edge, "null");
    target_client_free(client);
}

static void cancelling_ends_a_call_under_way(void) {
    struct call call = NEW_CALL;
    target_request *request = NULL;
    char *result = NULL;
    client = client_of(edge, "");
    edge_reset(edge);
    edge_answers(edge, SILENCE);
    CHECK_STATUS(TARGET_OK, target_send_notifications_async(client, DISPLAY, on_success, on_failure, &call, &request,
                                                            NULL));
    edge_wait_for_requests(edge, 1);
    CHECK_STATUS(TARGET_OK, target_request_cancel(request));
    CHECK_STATUS(TARGET_OK, target_request_cancel(request));
    CHECK(target_request_wait(request, FOREVER, &result) == TARGET_ERR_CANCELLED);
    CHECK_JSON(result, "code", "TARGET_ERR_CANCELLED");
    CHECK_JSON(result, "result.notifications.unknown[0]", "1");
    target_string_free(result);
    edge_answers(edge, "null");
    target_client_free(client);
    CHECK(counter_value(&call.failed) == 1 && counter_value(&call.succeeded) == 0);
    CHECK(strcmp(call.code, "TARGET_ERR_CANCELLED") == 0);
    CHECK_STATUS(TARGET_ERR_CANCELLED, target_request_wait(request, 0, NULL));
    target_request_free(request);
}

/* All threads are busy with a silent edge, so the next call waits for one, and never gets it. */
static void cancelling_before_anything_was_sent(void) {
    enum { THREADS = 32 };
    struct call call = NEW_CALL;
    target_request *requests[THREADS];
    target_request *waiting = NULL;
    char *result = NULL;
    client = client_of(edge, "");
    edge_reset(edge);
    edge_answers(edge, SILENCE);
    for (int i = 0; i < THREADS; i++) {
        requests[i] = started();
    }
    edge_wait_for_requests(edge, THREADS);
    CHECK_STATUS(TARGET_OK, target_send_notifications_async(client, DISPLAY, on_success, on_failure, &call, &waiting,
                                                            NULL));
    CHECK_STATUS(TARGET_OK, target_request_cancel(waiting));
    CHECK(target_request_wait(waiting, FOREVER, &result) == TARGET_ERR_CANCELLED);
    CHECK_JSON(result, "result.notifications.not_sent[0]", "1");
    CHECK_JSON(result, "attempts", "0");
    target_string_free(result);
    target_request_free(waiting);
    for (int i = 0; i < THREADS; i++) {
        CHECK_STATUS(TARGET_OK, target_request_cancel(requests[i]));
        CHECK_STATUS(TARGET_ERR_CANCELLED, target_request_wait(requests[i], FOREVER, NULL));
        target_request_free(requests[i]);
    }
    target_client_free(client);
    CHECK(counter_value(&call.failed) == 1 && counter_value(&call.succeeded) == 0);
    /* Nobody is left who could send anything. */
    CHECK(edge_requests(edge) == THREADS);
    edge_answers(edge, "null");
}

/* What the callback below has to do with. */
struct inside {
    target_request *unfinished;
    target_request *own;
    struct counter own_is_known;
    struct call nested;
    struct counter done;
};

static void waits_are_refused(struct inside *inside) {
    char *result = NULL;
    CHECK_CALL(TARGET_ERR_WOULD_DEADLOCK, target_client_close(client, FOREVER, &result), result);
    CHECK_CALL(TARGET_ERR_WOULD_DEADLOCK, target_client_close(client, 0, &result), result);
    CHECK_CALL(TARGET_ERR_WOULD_DEADLOCK, target_client_wait_ready(client, FOREVER, &result), result);
    CHECK_CALL(TARGET_ERR_WOULD_DEADLOCK, target_flush(client, FOREVER, &result), result);
    CHECK_CALL(TARGET_ERR_WOULD_DEADLOCK, target_request_wait(inside->unfinished, FOREVER, &result), result);
    /* To look is no wait. */
    CHECK_CALL(TARGET_ERR_PENDING, target_request_wait(inside->unfinished, 0, &result), result);
    CHECK_CALL(TARGET_OK, target_client_wait_ready(client, 0, &result), result);
    /* Does nothing, or what follows would not work. */
    target_client_free(client);
}

static void the_library_works(struct inside *inside) {
    char *result = NULL;
    CHECK_CALL(TARGET_OK, target_get_offers(client, OFFERS, &result), result);
    CHECK_CALL(TARGET_OK, target_send_notifications(client, DISPLAY, &result), result);
    CHECK_STATUS(TARGET_OK,
                 target_get_offers_async(client, OFFERS, on_success, on_failure, &inside->nested, NULL, NULL));
    CHECK_CALL(TARGET_OK, target_client_stats(client, &result), result);
    CHECK_STATUS(TARGET_OK, target_client_on_event(client, NULL, NULL));
    CHECK_STATUS(TARGET_OK, target_set_logger(NULL, 0, NULL));
    CHECK_CALL(TARGET_OK, target_next_event(client, 0, &result), result);
    CHECK_CALL(TARGET_ERR_PENDING, target_next_completion(client, 0, NULL, &result), result);
    /* A call has finished when its callback runs. */
    counter_wait(&inside->own_is_known, 1);
    CHECK_CALL(TARGET_OK, target_request_wait(inside->own, FOREVER, &result), result);
    CHECK_STATUS(TARGET_OK, target_request_cancel(inside->own));
    target_request_free(inside->own);
}

static void on_offers_do_everything(const char *envelope, void *user_data) {
    struct inside *inside = (struct inside *)user_data;
    CHECK(json_has(envelope, "response"));
    waits_are_refused(inside);
    the_library_works(inside);
    counter_raise(&inside->done);
}

static void a_callback_may_call_the_library_but_not_wait_for_itself(void) {
    struct inside inside = {NULL, NULL, COUNTER, {COUNTER, COUNTER, ""}, COUNTER};
    client = client_of(edge, "");
    edge_reset(edge);
    edge_answers_next(edge, "[" SILENCE "]");
    CHECK_STATUS(TARGET_OK,
                 target_get_offers_async(client, OFFERS, NULL, on_failure, &inside.nested, &inside.unfinished, NULL));
    edge_wait_for_requests(edge, 1);
    CHECK_STATUS(TARGET_OK,
                 target_get_offers_async(client, OFFERS, on_offers_do_everything, NULL, &inside, &inside.own, NULL));
    counter_raise(&inside.own_is_known);
    counter_wait(&inside.done, 1);
    counter_wait(&inside.nested.succeeded, 1);
    CHECK_STATUS(TARGET_OK, target_request_cancel(inside.unfinished));
    counter_wait(&inside.nested.failed, 1);
    CHECK(strcmp(inside.nested.code, "TARGET_ERR_CANCELLED") == 0);
    target_request_free(inside.unfinished);
    CHECK_STATUS(TARGET_OK, target_client_close(client, FOREVER, NULL));
    target_client_free(client);
}

/* The handle is there before a callback can run, so that the callback may look at it. */
struct early {
    target_request *request;
    struct counter done;
};

static void on_offers_look_at_handle(const char *envelope, void *user_data) {
    struct early *early = (struct early *)user_data;
    (void)envelope;
    CHECK(early->request != NULL);
    CHECK(target_request_id(early->request) > 0);
    CHECK_STATUS(TARGET_OK, target_request_wait(early->request, 0, NULL));
    counter_raise(&early->done);
}

static void a_callback_finds_the_handle(void) {
    client = client_of(edge, "");
    for (int i = 0; i < 100; i++) {
        struct early early = {NULL, COUNTER};
        CHECK_STATUS(TARGET_OK, target_get_offers_async(client, OFFERS, on_offers_look_at_handle, NULL, &early,
                                                        &early.request, NULL));
        counter_wait(&early.done, 1);
        target_request_free(early.request);
    }
    target_client_free(client);
}

/* A callback that waits for a completion is told when no more can come, or close would wait for it without end. */
static void on_offers_wait_for_completion(const char *envelope, void *user_data) {
    struct call *call = (struct call *)user_data;
    uint64_t id = 7;
    (void)envelope;
    counter_raise(&call->succeeded);
    CHECK_STATUS(TARGET_ERR_CLOSED, target_next_completion(client, FOREVER, &id, NULL));
    CHECK(id == 0);
    counter_raise(&call->failed);
}

static void close_ends_a_callback_that_waits_for_completions(void) {
    struct call call = NEW_CALL;
    client = client_of(edge, "");
    CHECK_STATUS(TARGET_OK,
                 target_get_offers_async(client, OFFERS, on_offers_wait_for_completion, NULL, &call, NULL, NULL));
    counter_wait(&call.succeeded, 1);
    CHECK_STATUS(TARGET_OK, target_client_close(client, FOREVER, NULL));
    target_client_free(client);
    CHECK(counter_value(&call.failed) == 1);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    edge = argv[1];
    exactly_one_callback_runs_once();
    a_null_callback_is_skipped();
    calls_without_callbacks_come_as_completions();
    a_result_that_was_waited_for_is_no_completion();
    a_handle_outlives_its_client();
    a_wait_that_ends_first_loses_nothing();
    cancelling_ends_a_call_under_way();
    cancelling_before_anything_was_sent();
    a_callback_may_call_the_library_but_not_wait_for_itself();
    a_callback_finds_the_handle();
    close_ends_a_callback_that_waits_for_completions();
    return 0;
}
