/*
 * The functions, types and constants of ABI 1, as they are for ever: compiled together with the current header, which C
 * refuses where the two contradict each other, and instead of it, as in a program that was written for the first version
 * (tests/abi.rs). What is new is appended, here and in symbols.txt. Nothing else changes while the ABI is 1; docs/abi.md
 * tells what to do where it must.
 */
#ifndef ADOBE_TARGET_PROTOTYPES_1_H
#define ADOBE_TARGET_PROTOTYPES_1_H

#include <stddef.h>
#include <stdint.h>

typedef int32_t target_status;
typedef int32_t target_log_level;
typedef struct target_client target_client;
typedef struct target_request target_request;
typedef void (*target_callback)(const char *json, void *user_data);
typedef void (*target_log_callback)(target_log_level level, const char *message, void *user_data);

const char *target_version(void);
uint32_t target_abi_version(void);
target_status target_client_create(const char *config, target_client **client, char **result);
target_status target_client_close(target_client *client, uint64_t timeout_ms, char **result);
void target_client_free(target_client *client);
target_status target_client_wait_ready(target_client *client, uint64_t timeout_ms, char **result);
target_status target_client_refresh(target_client *client, char **result);
target_status target_client_stats(target_client *client, char **result);
target_status target_get_offers(target_client *client, const char *options, char **result);
target_status target_get_attributes(target_client *client, const char *mbox_names, const char *options,
    char **result);
target_status target_send_notifications(target_client *client, const char *options, char **result);
target_status target_get_offers_async(target_client *client, const char *options, target_callback callback,
    target_callback err_callback, void *user_data, target_request **request, char **result);
target_status target_get_attributes_async(target_client *client, const char *mbox_names, const char *options,
    target_callback callback, target_callback err_callback, void *user_data, target_request **request,
    char **result);
target_status target_send_notifications_async(target_client *client, const char *options, target_callback callback,
    target_callback err_callback, void *user_data, target_request **request, char **result);
target_status target_request_wait(target_request *request, uint64_t timeout_ms, char **result);
target_status target_request_cancel(target_request *request);
uint64_t target_request_id(const target_request *request);
void target_request_free(target_request *request);
target_status target_next_completion(target_client *client, uint64_t timeout_ms, uint64_t *request_id, char **result);
target_status target_enqueue_notifications(target_client *client, const char *options, char **result);
target_status target_flush(target_client *client, uint64_t timeout_ms, char **result);
target_status target_next_event(target_client *client, uint64_t timeout_ms, char **result);
target_status target_client_on_event(target_client *client, target_callback callback, void *user_data);
target_status target_set_logger(target_log_callback callback, target_log_level max_level, void *user_data);
void target_string_free(char *text);
const char *target_status_name(target_status status);

/* With the current header: its constants have these values. */
#ifdef ADOBE_TARGET_H
_Static_assert(TARGET_ABI_VERSION == 1, "TARGET_ABI_VERSION");
_Static_assert(TARGET_WAIT_FOREVER == UINT64_MAX, "TARGET_WAIT_FOREVER");
_Static_assert(TARGET_OK == 0, "TARGET_OK");
_Static_assert(TARGET_ERR_INVALID_ARGUMENT == 1, "TARGET_ERR_INVALID_ARGUMENT");
_Static_assert(TARGET_ERR_INVALID_JSON == 2, "TARGET_ERR_INVALID_JSON");
_Static_assert(TARGET_ERR_INVALID_OPTIONS == 3, "TARGET_ERR_INVALID_OPTIONS");
_Static_assert(TARGET_ERR_NOT_READY == 4, "TARGET_ERR_NOT_READY");
_Static_assert(TARGET_ERR_TIMEOUT == 5, "TARGET_ERR_TIMEOUT");
_Static_assert(TARGET_ERR_NETWORK == 6, "TARGET_ERR_NETWORK");
_Static_assert(TARGET_ERR_HTTP == 7, "TARGET_ERR_HTTP");
_Static_assert(TARGET_ERR_INVALID_RESPONSE == 8, "TARGET_ERR_INVALID_RESPONSE");
_Static_assert(TARGET_ERR_QUEUE_FULL == 9, "TARGET_ERR_QUEUE_FULL");
_Static_assert(TARGET_ERR_STORAGE == 10, "TARGET_ERR_STORAGE");
_Static_assert(TARGET_ERR_CLOSED == 11, "TARGET_ERR_CLOSED");
_Static_assert(TARGET_ERR_INTERNAL == 12, "TARGET_ERR_INTERNAL");
_Static_assert(TARGET_ERR_PENDING == 13, "TARGET_ERR_PENDING");
_Static_assert(TARGET_ERR_CANCELLED == 14, "TARGET_ERR_CANCELLED");
_Static_assert(TARGET_ERR_WOULD_DEADLOCK == 15, "TARGET_ERR_WOULD_DEADLOCK");
_Static_assert(TARGET_ERR_UNSUPPORTED == 16, "TARGET_ERR_UNSUPPORTED");
_Static_assert(TARGET_LOG_ERROR == 1, "TARGET_LOG_ERROR");
_Static_assert(TARGET_LOG_WARN == 2, "TARGET_LOG_WARN");
_Static_assert(TARGET_LOG_INFO == 3, "TARGET_LOG_INFO");
_Static_assert(TARGET_LOG_DEBUG == 4, "TARGET_LOG_DEBUG");
_Static_assert(TARGET_LOG_TRACE == 5, "TARGET_LOG_TRACE");
#endif

#endif
