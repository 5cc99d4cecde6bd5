/*
 * A program that was written for the first version of the ABI: it knows the frozen prototypes and not the current
 * header, and uses every function.
 */
#include <stdio.h>
#include <string.h>

#include "prototypes-1.h"

#define CHECK(condition) do { \
    if (!(condition)) { \
        fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
        return 1; \
    } \
} while (0)

enum { OK = 0, INVALID_ARGUMENT = 1, NOT_READY_YET = 13, CLOSED = 11 };

static void count(const char *json, void *user_data) {
    (void)json;
    ++*(int *)user_data;
}

static void ignore(target_log_level level, const char *message, void *user_data) {
    (void)level;
    (void)message;
    (void)user_data;
}

int main(void) {
    /* Nobody listens there; nothing is sent either. */
    static const char config[] = "{\"client\":\"acme\",\"organization_id\":\"1234@AdobeOrg\",\"proxy\":\"none\","
                                 "\"secure\":false,\"server_domain\":\"127.0.0.1:9\"}";
    static const char wrong[] = "{}";
    target_client *client = NULL;
    target_request *request = NULL;
    char *result = NULL;
    uint64_t id = 0;
    int calls = 0;
    int events = 0;

    CHECK(target_abi_version() == 1);
    CHECK(strlen(target_version()) >= 5);
    CHECK(strcmp(target_status_name(INVALID_ARGUMENT), "TARGET_ERR_INVALID_ARGUMENT") == 0);
    CHECK(target_set_logger(ignore, 5, NULL) == OK);
    CHECK(target_client_create(config, &client, &result) == OK && client != NULL && result != NULL);
    target_string_free(result);
    CHECK(target_client_wait_ready(client, 0, NULL) == OK);
    CHECK(target_client_on_event(client, count, &events) == OK);
    CHECK(target_client_on_event(client, NULL, NULL) == OK);
    CHECK(target_client_stats(client, &result) == OK && strchr(result, '{') == result);
    target_string_free(result);

    CHECK(target_get_offers(client, wrong, &result) != OK && result != NULL);
    target_string_free(result);
    CHECK(target_get_attributes(client, NULL, NULL, NULL) == INVALID_ARGUMENT);
    CHECK(target_send_notifications(client, wrong, NULL) != OK);
    CHECK(target_enqueue_notifications(client, wrong, NULL) != OK);
    CHECK(target_get_offers_async(client, wrong, count, count, &calls, &request, NULL) != OK && request == NULL);
    CHECK(target_get_attributes_async(client, NULL, NULL, count, count, &calls, &request, NULL) == INVALID_ARGUMENT);
    CHECK(target_send_notifications_async(client, wrong, count, count, &calls, &request, NULL) != OK);
    CHECK(calls == 0);
    CHECK(target_request_wait(NULL, 0, NULL) == INVALID_ARGUMENT);
    CHECK(target_request_cancel(NULL) == INVALID_ARGUMENT);
    CHECK(target_request_id(NULL) == 0);
    target_request_free(NULL);
    CHECK(target_next_completion(client, 0, &id, NULL) == NOT_READY_YET);
    CHECK(target_client_refresh(NULL, NULL) == INVALID_ARGUMENT);
    CHECK(target_flush(client, UINT64_MAX, NULL) == OK);
    CHECK(target_client_close(client, UINT64_MAX, NULL) == OK);
    CHECK(target_next_event(NULL, 0, NULL) == INVALID_ARGUMENT);
    CHECK(target_get_offers(client, "{\"request\":{\"execute\":{\"mboxes\":[{\"name\":\"a\"}]}}}", NULL) == CLOSED);
    target_client_free(client);
    CHECK(target_set_logger(NULL, 0, NULL) == OK);
    puts("all functions answer");
    return 0;
}
