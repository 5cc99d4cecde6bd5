/*
 * The end of a client: with calls in flight against an edge that is silent, by several threads at once, and while
 * callbacks run.
 */
#include "check.h"

#include <stdio.h>

#define FOREVER TARGET_WAIT_FOREVER
#define SILENCE "{\"type\":\"silence\"}"

enum { BLOCKING = 4, ASYNCHRONOUS = 40, WITHOUT_CALLBACKS = 4, THREADS = 32 };

static const char *edge;

/* A client with calls in flight, and what became of them. */
struct flight {
    target_client *client;
    pthread_t threads[BLOCKING];
    target_request *requests[WITHOUT_CALLBACKS];
    struct counter closed;
    struct counter other;
};

static void count(const char *error, void *user_data) {
    struct flight *flight = (struct flight *)user_data;
    char *code = json_text(error, "code");
    counter_raise(code != NULL && strcmp(code, "TARGET_ERR_CLOSED") == 0 ? &flight->closed : &flight->other);
    free(code);
}

static void count_success(const char *envelope, void *user_data) {
    struct flight *flight = (struct flight *)user_data;
    (void)envelope;
    counter_raise(&flight->other);
}

static void *block(void *argument) {
    struct flight *flight = (struct flight *)argument;
    char *result = NULL;
    target_status status = target_get_offers(flight->client, OFFERS, &result);
    CHECK(result != NULL);
    counter_raise(status == TARGET_ERR_CLOSED ? &flight->closed : &flight->other);
    target_string_free(result);
    return NULL;
}

/* Starts calls of all kinds, more than there are threads, and returns when as many as can be are under way. */
static struct flight *in_flight(const char *more) {
    static const struct flight new_flight = {NULL, {0}, {NULL}, COUNTER, COUNTER};
    struct flight *flight = (struct flight *)malloc(sizeof *flight);
    CHECK(flight != NULL);
    *flight = new_flight;
    flight->client = client_of(edge, more);
    edge_reset(edge);
    edge_answers(edge, SILENCE);
    for (int i = 0; i < WITHOUT_CALLBACKS; i++) {
        CHECK_STATUS(TARGET_OK, target_get_offers_async(flight->client, OFFERS, NULL, NULL, NULL,
                                                        &flight->requests[i], NULL));
    }
    for (int i = 0; i < ASYNCHRONOUS; i++) {
        CHECK_STATUS(TARGET_OK,
                     target_get_offers_async(flight->client, OFFERS, count_success, count, flight, NULL, NULL));
    }
    for (int i = 0; i < BLOCKING; i++) {
        flight->threads[i] = thread_of(block, flight);
    }
    edge_wait_for_requests(edge, THREADS + BLOCKING);
    return flight;
}

/* Every call has ended with TARGET_ERR_CLOSED, and every callback has run, once. The client is freed already. */
static void all_ended_as_closed(struct flight *flight) {
    for (int i = 0; i < WITHOUT_CALLBACKS; i++) {
        char *result = NULL;
        CHECK_CALL(TARGET_ERR_CLOSED, target_request_wait(flight->requests[i], FOREVER, &result), result);
        target_request_free(flight->requests[i]);
    }
    CHECK(counter_value(&flight->closed) == BLOCKING + ASYNCHRONOUS);
    CHECK(counter_value(&flight->other) == 0);
    free(flight);
    edge_answers(edge, "null");
}

static void join_all(struct flight *flight) {
    for (int i = 0; i < BLOCKING; i++) {
        join(flight->threads[i]);
    }
}

static void close_ends_what_is_in_flight(void) {
    struct flight *flight = in_flight("");
    char *result = NULL;
    CHECK_OK(target_client_close(flight->client, 0, &result), result);
    CHECK_JSON(result, "pending", "0");
    CHECK(strcmp(result, "{\"acknowledged\":0,\"rejected\":0,\"dropped\":0,\"pending\":0}") == 0);
    target_string_free(result);
    join_all(flight);
    CHECK_CALL(TARGET_ERR_CLOSED, target_get_offers(flight->client, OFFERS, &result), result);
    target_client_free(flight->client);
    all_ended_as_closed(flight);
}

/* The time is given to calls that may end, and they are given it. */
static void close_waits_for_what_ends_in_time(void) {
    struct flight flight = {NULL, {0}, {NULL}, COUNTER, COUNTER};
    flight.client = client_of(edge, "");
    edge_answers(edge, "{\"type\":\"delay\",\"ms\":100}");
    for (int i = 0; i < 8; i++) {
        CHECK_STATUS(TARGET_OK,
                     target_get_offers_async(flight.client, OFFERS, count_success, count, &flight, NULL, NULL));
    }
    CHECK_STATUS(TARGET_OK, target_client_close(flight.client, FOREVER, NULL));
    CHECK(counter_value(&flight.other) == 8 && counter_value(&flight.closed) == 0);
    edge_answers(edge, "null");
    target_client_free(flight.client);
}

struct closer {
    target_client *client;
    uint64_t timeout_ms;
    char *counts;
};

static void *close_it(void *argument) {
    struct closer *closer = (struct closer *)argument;
    CHECK_OK(target_client_close(closer->client, closer->timeout_ms, &closer->counts), closer->counts);
    return NULL;
}

/* One of them has no time, so that all come to their end. */
static void parallel_closes_answer_the_same(void) {
    struct flight *flight = in_flight("");
    struct closer closers[8];
    pthread_t threads[8];
    for (int i = 0; i < 8; i++) {
        closers[i].client = flight->client;
        closers[i].timeout_ms = i == 7 ? 10 : FOREVER;
        closers[i].counts = NULL;
        threads[i] = thread_of(close_it, &closers[i]);
    }
    for (int i = 0; i < 8; i++) {
        join(threads[i]);
        CHECK(strcmp(closers[i].counts, closers[0].counts) == 0 || i == 0);
    }
    for (int i = 0; i < 8; i++) {
        target_string_free(closers[i].counts);
    }
    join_all(flight);
    CHECK_STATUS(TARGET_OK, target_client_close(flight->client, FOREVER, NULL));
    target_client_free(flight->client);
    all_ended_as_closed(flight);
}

static void what_works_after_close(void) {
    struct flight *flight = in_flight("");
    char *result = NULL;
    uint64_t id;
    CHECK_STATUS(TARGET_OK, target_client_close(flight->client, 0, NULL));
    join_all(flight);
    for (int i = 0; i < WITHOUT_CALLBACKS; i++) {
        CHECK_CALL(TARGET_ERR_CLOSED, target_next_completion(flight->client, FOREVER, &id, &result), result);
        CHECK(id != 0);
    }
    CHECK_CALL(TARGET_ERR_CLOSED, target_next_completion(flight->client, FOREVER, &id, &result), result);
    CHECK(id == 0);
    CHECK_CALL(TARGET_ERR_CLOSED, target_request_wait(flight->requests[0], 0, &result), result);
    CHECK_OK(target_next_event(flight->client, 0, &result), result);
    CHECK_JSON(result, "type", "client_ready");
    target_string_free(result);
    CHECK_CALL(TARGET_ERR_CLOSED, target_next_event(flight->client, FOREVER, &result), result);
    CHECK_OK(target_client_stats(flight->client, &result), result);
    CHECK_JSON(result, "calls.in_flight", "0");
    target_string_free(result);
    target_client_free(flight->client);
    all_ended_as_closed(flight);
}

/* Frees a client that nobody has closed. Blocking calls must not be running on it, so they end first. */
static void free_closes(void) {
    struct flight flight = {NULL, {0}, {NULL}, COUNTER, COUNTER};
    flight.client = client_of(edge, ",\"close_timeout\":0");
    edge_reset(edge);
    edge_answers(edge, SILENCE);
    for (int i = 0; i < ASYNCHRONOUS; i++) {
        CHECK_STATUS(TARGET_OK,
                     target_get_offers_async(flight.client, OFFERS, count_success, count, &flight, NULL, NULL));
    }
    edge_wait_for_requests(edge, THREADS);
    target_client_free(flight.client);
    CHECK(counter_value(&flight.closed) == ASYNCHRONOUS && counter_value(&flight.other) == 0);
    edge_answers(edge, "null");
}

static void free_of_an_unused_client(void) {
    target_client_free(client_of(edge, ""));
    target_client_free(NULL);
    target_request_free(NULL);
    target_string_free(NULL);
}

/* A callback that is still running when the client is freed. */
struct slow {
    struct counter entered;
    struct counter leave;
    struct counter left;
};

static void be_slow(const char *json, void *user_data) {
    struct slow *slow = (struct slow *)user_data;
    (void)json;
    counter_raise(&slow->entered);
    counter_wait(&slow->leave, 1);
    /* Time in which a wrong free would return. */
    pause_ms(200);
    counter_raise(&slow->left);
}

static void free_waits_for_callbacks_that_run(void) {
    struct slow of_calls = {COUNTER, COUNTER, COUNTER};
    struct slow of_events = {COUNTER, COUNTER, COUNTER};
    target_client *client = client_of(edge, ",\"close_timeout\":0");
    CHECK_STATUS(TARGET_OK, target_client_on_event(client, be_slow, &of_events));
    CHECK_STATUS(TARGET_OK, target_get_offers_async(client, OFFERS, be_slow, be_slow, &of_calls, NULL, NULL));
    CHECK_STATUS(TARGET_OK, target_get_offers_async(client, OFFERS, be_slow, be_slow, &of_calls, NULL, NULL));
    counter_wait(&of_calls.entered, 2);
    counter_wait(&of_events.entered, 1);
    counter_raise(&of_calls.leave);
    counter_raise(&of_events.leave);
    target_client_free(client);
    CHECK(counter_value(&of_calls.left) == 2);
    CHECK(counter_value(&of_events.left) == 1);
}

/* Clients come and go without leaving anything behind that another one could trip over. */
static void many_clients(void) {
    target_client *clients[8];
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 8; i++) {
            clients[i] = client_of(edge, "");
            CHECK_STATUS(TARGET_OK, target_get_offers_async(clients[i], OFFERS, NULL, NULL, NULL, NULL, NULL));
        }
        for (int i = 0; i < 8; i++) {
            CHECK_STATUS(TARGET_OK, target_get_offers(clients[i], OFFERS, NULL));
            target_client_free(clients[i]);
        }
    }
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    edge = argv[1];
    close_ends_what_is_in_flight();
    close_waits_for_what_ends_in_time();
    parallel_closes_answer_the_same();
    what_works_after_close();
    free_closes();
    free_of_an_unused_client();
    free_waits_for_callbacks_that_run();
    many_clients();
    return 0;
}
