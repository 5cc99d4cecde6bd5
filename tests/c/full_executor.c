/*
 * More asynchronous calls than can be under way and can wait: one more is refused and never calls back; all that were
 * taken do, once.
 */
#include "check.h"

enum { THREADS = 32, WAITING = 10000 };

/* What the callbacks of all calls did. */
struct calls {
    struct counter closed;
    struct counter other;
};

static void on_failure(const char *error, void *user_data) {
    struct calls *calls = (struct calls *)user_data;
    char *code = json_text(error, "code");
    counter_raise(code != NULL && strcmp(code, "TARGET_ERR_CLOSED") == 0 ? &calls->closed : &calls->other);
    free(code);
}

static void on_success(const char *envelope, void *user_data) {
    struct calls *calls = (struct calls *)user_data;
    (void)envelope;
    counter_raise(&calls->other);
}

int main(int argc, char **argv) {
    struct calls calls = {COUNTER, COUNTER};
    target_client *client;
    target_request *request = NULL;
    char *result = NULL;
    target_status status;
    long taken = 0;
    CHECK(argc == 2);
    client = client_of(argv[1], "");
    edge_answers(argv[1], "{\"type\":\"silence\"}");
    do {
        status = target_get_offers_async(client, OFFERS, on_success, on_failure, &calls, &request, &result);
        if (status == TARGET_OK) {
            CHECK(result == NULL && request != NULL);
            target_request_free(request);
            taken++;
        }
    } while (status == TARGET_OK);
    CHECK(request == NULL);
    CHECK_JSON(result, "retryable", "true");
    CHECK_CALL(TARGET_ERR_QUEUE_FULL, status, result);
    /* A thread may not have come to its call yet when the last one was refused. */
    CHECK(taken >= WAITING && taken <= THREADS + WAITING);

    CHECK_STATUS(TARGET_OK, target_client_close(client, 0, NULL));
    target_client_free(client);
    CHECK(counter_value(&calls.closed) == taken && counter_value(&calls.other) == 0);
    return 0;
}
