/*
 * Events, polled and called back, and the logger: what comes in which order, and what is certain once the callback
 * has been replaced.
 */
#include "check.h"

#include <stdio.h>

#define FOREVER TARGET_WAIT_FOREVER
#define REFUSAL "{\"type\":\"status\",\"status\":400,\"message\":\"no\"}"

static const char *edge;

/* Causes one event "send_notification_error". */
static void cause_event(target_client *client) {
    edge_answers_next(edge, "[" REFUSAL "]");
    CHECK_STATUS(TARGET_ERR_HTTP, target_send_notifications(client, DISPLAY, NULL));
}

static void events_are_polled_in_their_order(void) {
    target_client *client = client_of(edge, "");
    char *result = NULL;
    char *timestamp;
    CHECK_OK(target_next_event(client, FOREVER, &result), result);
    CHECK_JSON(result, "type", "client_ready");
    timestamp = json_text(result, "timestamp");
    CHECK(timestamp != NULL && strlen(timestamp) == 13);
    free(timestamp);
    target_string_free(result);
    CHECK_CALL(TARGET_ERR_PENDING, target_next_event(client, 0, &result), result);
    CHECK_CALL(TARGET_ERR_PENDING, target_next_event(client, 1, &result), result);

    cause_event(client);
    CHECK_OK(target_next_event(client, FOREVER, &result), result);
    CHECK_JSON(result, "type", "send_notification_error");
    CHECK_JSON(result, "error.code", "TARGET_ERR_HTTP");
    CHECK_JSON(result, "error.api_message", "no");
    CHECK_JSON(result, "ids[0]", "1");
    target_string_free(result);
    target_client_free(client);
}

static void what_is_left_can_be_taken_after_close(void) {
    target_client *client = client_of(edge, "");
    char *result = NULL;
    cause_event(client);
    CHECK_STATUS(TARGET_OK, target_client_close(client, 0, NULL));
    CHECK_OK(target_next_event(client, FOREVER, &result), result);
    CHECK_JSON(result, "type", "client_ready");
    target_string_free(result);
    CHECK_OK(target_next_event(client, FOREVER, &result), result);
    CHECK_JSON(result, "type", "send_notification_error");
    target_string_free(result);
    CHECK_CALL(TARGET_ERR_CLOSED, target_next_event(client, FOREVER, &result), result);
    CHECK_CALL(TARGET_ERR_CLOSED, target_next_event(client, 0, &result), result);
    target_client_free(client);
}

static void *wait_for_event(void *client) {
    char *result = NULL;
    CHECK_CALL(TARGET_ERR_CLOSED, target_next_event((target_client *)client, FOREVER, &result), result);
    return NULL;
}

static void close_wakes_whoever_waits_for_events(void) {
    target_client *client = client_of(edge, "");
    pthread_t threads[4];
    CHECK_STATUS(TARGET_OK, target_next_event(client, 0, NULL));
    for (int i = 0; i < 4; i++) {
        threads[i] = thread_of(wait_for_event, client);
    }
    CHECK_STATUS(TARGET_OK, target_client_close(client, 0, NULL));
    for (int i = 0; i < 4; i++) {
        join(threads[i]);
    }
    target_client_free(client);
}

static void the_oldest_events_go_first(void) {
    target_client *client = client_of(edge, ",\"event_buffer\":1");
    char *result = NULL;
    cause_event(client);
    cause_event(client);
    CHECK_OK(target_next_event(client, 0, &result), result);
    CHECK_JSON(result, "type", "send_notification_error");
    CHECK_JSON(result, "lost", "2");
    target_string_free(result);
    target_client_free(client);
}

/* Takes events. */
struct taker {
    struct counter events;
    char types[8][40];
};

static const struct taker NEW_TAKER = {COUNTER, {""}};

static void take(const char *event, void *user_data) {
    struct taker *taker = (struct taker *)user_data;
    char *type = json_text(event, "type");
    long at = counter_value(&taker->events);
    CHECK(type != NULL && strlen(type) < sizeof taker->types[0]);
    if (at < 8) {
        strcpy(taker->types[at], type);
    }
    free(type);
    counter_raise(&taker->events);
}

static void a_callback_gets_what_was_kept_and_then_all_that_comes(void) {
    struct taker taker = NEW_TAKER;
    target_client *client = client_of(edge, "");
    char *result = NULL;
    cause_event(client);
    CHECK_STATUS(TARGET_OK, target_client_on_event(client, take, &taker));
    counter_wait(&taker.events, 2);
    CHECK(strcmp(taker.types[0], "client_ready") == 0);
    CHECK(strcmp(taker.types[1], "send_notification_error") == 0);
    cause_event(client);
    counter_wait(&taker.events, 3);
    CHECK_CALL(TARGET_ERR_PENDING, target_next_event(client, 0, &result), result);

    /* Once it is removed, events are kept again. */
    CHECK_STATUS(TARGET_OK, target_client_on_event(client, NULL, NULL));
    cause_event(client);
    CHECK_OK(target_next_event(client, FOREVER, &result), result);
    CHECK_JSON(result, "type", "send_notification_error");
    target_string_free(result);
    CHECK_STATUS(TARGET_OK, target_client_on_event(client, NULL, NULL));
    target_client_free(client);
    CHECK(counter_value(&taker.events) == 3);
}

static void what_is_left_goes_to_the_callback_before_free_returns(void) {
    struct taker taker = NEW_TAKER;
    target_client *client = client_of(edge, "");
    cause_event(client);
    cause_event(client);
    CHECK_STATUS(TARGET_OK, target_client_on_event(client, take, &taker));
    target_client_free(client);
    CHECK(counter_value(&taker.events) == 3);
}

/* A callback that is held inside its first event. */
struct held {
    struct counter entered;
    struct counter leave;
    struct counter left;
};

static const struct held NEW_HELD = {COUNTER, COUNTER, COUNTER};

static void hold(const char *event, void *user_data) {
    struct held *held = (struct held *)user_data;
    (void)event;
    counter_raise(&held->entered);
    counter_wait(&held->leave, 1);
    /* Time in which a wrong on_event would return. */
    pause_ms(20);
    counter_raise(&held->left);
}

/* The replacing thread tells when it is about to, and when it has. */
struct replacement {
    target_client *client;
    target_callback callback;
    void *user_data;
    struct counter begun;
    struct counter done;
};

static void *replace(void *argument) {
    struct replacement *replacement = (struct replacement *)argument;
    counter_raise(&replacement->begun);
    CHECK_STATUS(TARGET_OK,
                 target_client_on_event(replacement->client, replacement->callback, replacement->user_data));
    counter_raise(&replacement->done);
    return NULL;
}

static void replacing_waits_until_the_old_callback_has_left(void) {
    struct held held = NEW_HELD;
    target_client *client = client_of(edge, "");
    struct replacement replacement = {NULL, NULL, NULL, COUNTER, COUNTER};
    pthread_t thread;
    CHECK_STATUS(TARGET_OK, target_client_on_event(client, hold, &held));
    counter_wait(&held.entered, 1);
    replacement.client = client;
    thread = thread_of(replace, &replacement);
    counter_wait(&replacement.begun, 1);
    counter_raise(&held.leave);
    counter_wait(&replacement.done, 1);
    CHECK(counter_value(&held.left) == 1);
    join(thread);
    target_client_free(client);
    CHECK(counter_value(&held.entered) == 1);
}

static void hold_until_replaced(const char *event, void *user_data) {
    struct replacement *replacement = (struct replacement *)user_data;
    (void)event;
    counter_wait(&replacement->done, 1);
}

/* The old callback has left: what the new one does with the next event is no reason to wait. */
static void replacing_does_not_wait_for_the_new_callback(void) {
    struct held held = NEW_HELD;
    target_client *client = client_of(edge, "");
    struct replacement replacement = {NULL, hold_until_replaced, NULL, COUNTER, COUNTER};
    pthread_t thread;
    cause_event(client);
    CHECK_STATUS(TARGET_OK, target_client_on_event(client, hold, &held));
    counter_wait(&held.entered, 1);
    replacement.client = client;
    replacement.user_data = &replacement;
    thread = thread_of(replace, &replacement);
    counter_wait(&replacement.begun, 1);
    /* Lets the thread get into its wait; nothing depends on it but that this test tests something. */
    pause_ms(20);
    counter_raise(&held.leave);
    counter_wait(&replacement.done, 1);
    join(thread);
    target_client_free(client);
}

/* Removes itself on its first event, then stays inside for a while. */
struct self_removing {
    target_client *client;
    struct counter removed;
    struct held held;
};

static void remove_itself(const char *event, void *user_data) {
    struct self_removing *removing = (struct self_removing *)user_data;
    CHECK_STATUS(TARGET_OK, target_client_on_event(removing->client, NULL, NULL));
    counter_raise(&removing->removed);
    hold(event, &removing->held);
}

static void a_callback_may_remove_itself(void) {
    struct self_removing removing = {NULL, COUNTER, {COUNTER, COUNTER, COUNTER}};
    target_client *client = client_of(edge, "");
    char *result = NULL;
    cause_event(client);
    removing.client = client;
    CHECK_STATUS(TARGET_OK, target_client_on_event(client, remove_itself, &removing));
    counter_wait(&removing.removed, 1);
    /* The second event is not for it any more. */
    CHECK_OK(target_next_event(client, FOREVER, &result), result);
    CHECK_JSON(result, "type", "send_notification_error");
    target_string_free(result);
    counter_wait(&removing.held.entered, 1);
    counter_raise(&removing.held.leave);
    /* It has been removed already, but it may still run: this waits for it, too. */
    CHECK_STATUS(TARGET_OK, target_client_on_event(client, NULL, NULL));
    CHECK(counter_value(&removing.held.left) == 1);
    target_client_free(client);
    CHECK(counter_value(&removing.removed) == 1);
}

/* Does in an event callback what is allowed there, and what is not. */
struct calling {
    target_client *client;
    struct counter done;
};

static void call_the_library(const char *event, void *user_data) {
    struct calling *calling = (struct calling *)user_data;
    char *result = NULL;
    (void)event;
    CHECK_CALL(TARGET_OK, target_get_offers(calling->client, OFFERS, &result), result);
    CHECK_CALL(TARGET_ERR_PENDING, target_next_event(calling->client, 0, &result), result);
    CHECK_CALL(TARGET_ERR_WOULD_DEADLOCK, target_client_close(calling->client, FOREVER, &result), result);
    CHECK_CALL(TARGET_ERR_WOULD_DEADLOCK, target_client_wait_ready(calling->client, FOREVER, &result), result);
    target_client_free(calling->client);
    counter_raise(&calling->done);
}

static void an_event_callback_may_call_the_library(void) {
    struct calling calling = {NULL, COUNTER};
    calling.client = client_of(edge, "");
    CHECK_STATUS(TARGET_OK, target_client_on_event(calling.client, call_the_library, &calling));
    counter_wait(&calling.done, 1);
    CHECK_STATUS(TARGET_OK, target_get_offers(calling.client, OFFERS, NULL));
    target_client_free(calling.client);
}

/* Keeps what was logged. Lines come from several threads. */
struct log {
    pthread_mutex_t lock;
    int lines[8];
    int about_property;
    int about_free;
};

static const struct log NEW_LOG = {PTHREAD_MUTEX_INITIALIZER, {0}, 0, 0};

static void keep_line(target_log_level level, const char *message, void *user_data) {
    struct log *log = (struct log *)user_data;
    CHECK(level >= TARGET_LOG_ERROR && level <= TARGET_LOG_TRACE);
    pthread_mutex_lock(&log->lock);
    log->lines[level]++;
    log->about_property += strstr(message, "property") != NULL;
    log->about_free += strstr(message, "target_client_free") != NULL;
    pthread_mutex_unlock(&log->lock);
}

/* Logs one line of level debug on this thread before it returns. */
static void cause_debug_line(target_client *client) {
    CHECK_STATUS(TARGET_OK, target_get_offers(client,
                                              "{\"request\":{\"property\":{\"token\":\"other\"},"
                                              "\"execute\":{\"mboxes\":[{\"name\":\"home\"}]}}}",
                                              NULL));
}

static void free_client(const char *envelope, void *user_data) {
    (void)envelope;
    target_client_free((target_client *)user_data);
}

/* Logs one line of level error on a thread of the library before it returns. */
static void cause_error_line(target_client *client) {
    target_client *other = client_of(edge, "");
    (void)client;
    CHECK_STATUS(TARGET_OK, target_get_offers_async(other, OFFERS, free_client, free_client, other, NULL, NULL));
    target_client_free(other);
}

static void the_logger_gets_lines_up_to_its_level(void) {
    struct log log = NEW_LOG;
    target_client *client = client_of(edge, ",\"property_token\":\"mine\"");
    cause_debug_line(client);

    CHECK_STATUS(TARGET_OK, target_set_logger(keep_line, TARGET_LOG_DEBUG, &log));
    cause_debug_line(client);
    cause_error_line(client);
    CHECK(log.about_property == 1 && log.lines[TARGET_LOG_DEBUG] >= 1);
    CHECK(log.about_free == 1 && log.lines[TARGET_LOG_ERROR] == 1);

    log = NEW_LOG;
    CHECK_STATUS(TARGET_OK, target_set_logger(keep_line, TARGET_LOG_ERROR, &log));
    cause_debug_line(client);
    cause_error_line(client);
    CHECK(log.about_property == 0 && log.about_free == 1);
    CHECK(log.lines[TARGET_LOG_WARN] == 0 && log.lines[TARGET_LOG_INFO] == 0);
    CHECK(log.lines[TARGET_LOG_DEBUG] == 0 && log.lines[TARGET_LOG_TRACE] == 0);

    /* A level that does not exist changes nothing. */
    CHECK_STATUS(TARGET_ERR_INVALID_ARGUMENT, target_set_logger(keep_line, 0, &log));
    cause_error_line(client);
    CHECK(log.about_free == 2);

    CHECK_STATUS(TARGET_OK, target_set_logger(NULL, TARGET_LOG_TRACE, NULL));
    cause_debug_line(client);
    cause_error_line(client);
    CHECK(log.about_property == 0 && log.about_free == 2);
    target_client_free(client);
}

/* A logger that uses the library: what it causes there is not logged, or it would never end. */
static void log_and_call(target_log_level level, const char *message, void *user_data) {
    struct calling *calling = (struct calling *)user_data;
    (void)level;
    if (strstr(message, "property") != NULL) {
        counter_raise(&calling->done);
        cause_debug_line(calling->client);
        CHECK_STATUS(TARGET_OK, target_client_stats(calling->client, NULL));
    }
}

static void a_logger_may_call_the_library(void) {
    struct calling calling = {NULL, COUNTER};
    calling.client = client_of(edge, ",\"property_token\":\"mine\"");
    CHECK_STATUS(TARGET_OK, target_set_logger(log_and_call, TARGET_LOG_TRACE, &calling));
    cause_debug_line(calling.client);
    CHECK(counter_value(&calling.done) == 1);
    CHECK_STATUS(TARGET_OK, target_set_logger(NULL, 0, NULL));
    target_client_free(calling.client);
}

/* A logger that removes itself and then stays inside. */
static void log_and_remove(target_log_level level, const char *message, void *user_data) {
    struct self_removing *removing = (struct self_removing *)user_data;
    (void)level;
    CHECK_STATUS(TARGET_OK, target_set_logger(NULL, 0, NULL));
    counter_raise(&removing->removed);
    hold(message, &removing->held);
}

static void *cause_line(void *client) {
    cause_debug_line((target_client *)client);
    return NULL;
}

static void a_logger_may_remove_itself(void) {
    struct self_removing removing = {NULL, COUNTER, {COUNTER, COUNTER, COUNTER}};
    target_client *client = client_of(edge, ",\"property_token\":\"mine\"");
    pthread_t thread;
    CHECK_STATUS(TARGET_OK, target_set_logger(log_and_remove, TARGET_LOG_DEBUG, &removing));
    thread = thread_of(cause_line, client);
    counter_wait(&removing.held.entered, 1);
    cause_debug_line(client);
    CHECK(counter_value(&removing.removed) == 1);
    counter_raise(&removing.held.leave);
    /* It has been removed already, but it may still run: this waits for it, too. */
    CHECK_STATUS(TARGET_OK, target_set_logger(NULL, 0, NULL));
    CHECK(counter_value(&removing.held.left) == 1);
    join(thread);
    target_client_free(client);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    edge = argv[1];
    events_are_polled_in_their_order();
    what_is_left_can_be_taken_after_close();
    close_wakes_whoever_waits_for_events();
    the_oldest_events_go_first();
    a_callback_gets_what_was_kept_and_then_all_that_comes();
    what_is_left_goes_to_the_callback_before_free_returns();
    replacing_waits_until_the_old_callback_has_left();
    replacing_does_not_wait_for_the_new_callback();
    a_callback_may_remove_itself();
    an_event_callback_may_call_the_library();
    the_logger_gets_lines_up_to_its_level();
    a_logger_may_call_the_library();
    a_logger_may_remove_itself();
    return 0;
}
