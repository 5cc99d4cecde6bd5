/*
 * What the test programs have in common: checks that end the program, a client of the edge under test, and flags and
 * counters by which threads wait for each other.
 *
 * Each program gets the address of a local edge ("127.0.0.1:8080") as its argument and ends with 0 if all is well. A
 * wait has no limit of its own: whoever runs a program ends it when it takes too long.
 */
#ifndef TESTS_CHECK_H
#define TESTS_CHECK_H

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "adobe_target.h"
#include "edge.h"
#include "json.h"

#define CHECK(condition) ((condition) ? (void)0 : check_failed(__FILE__, __LINE__, #condition, ""))

/* The call has that status, and no result. */
#define CHECK_STATUS(expected, call) check_status(__FILE__, __LINE__, (expected), (call), NULL, NULL)

/* The call succeeds with a result, which stays. */
#define CHECK_OK(call, result) check_ok(__FILE__, __LINE__, (call), &(result))

/* The call has that status. Frees its result. */
#define CHECK_CALL(expected, call, result) check_status(__FILE__, __LINE__, (expected), (call), &(result), NULL)

/* The call has that status, and its error object names that field. Frees it. */
#define CHECK_FIELD(expected, call, result, field) \
    check_status(__FILE__, __LINE__, (expected), (call), &(result), (field))

/* The JSON has that string, or that text of another value, in that place. */
#define CHECK_JSON(json, path, expected) check_json(__FILE__, __LINE__, (json), (path), (expected))

void check_failed(const char *file, int line, const char *what, const char *more);
void check_ok(const char *file, int line, target_status status, char **result);
void check_status(const char *file, int line, target_status expected, target_status status, char **result,
                  const char *field);
void check_json(const char *file, int line, const char *json, const char *path, const char *expected);

/* Whether the JSON has something in that place. */
int json_has(const char *json, const char *path);

/* A client whose calls do not time out before a slow machine is done. `more` is put into its configuration: further
 * members with a comma before each, or "". */
target_client *client_of(const char *edge, const char *more);

/* Prefetches the mboxes home and product1. */
extern const char OFFERS[];

/* Reports the mbox as shown, without a token. */
extern const char DISPLAY[];

/* Options with one notification of home: "display" or "click". Freed with free(). */
char *notification_of(const char *session, const char *id, const char *type);

/* Hands such a notification to the queue, which takes it. */
void enqueue(target_client *client, const char *session, const char *id, const char *type);

/* A number of the statistics, such as "notifications.pending". */
long stat_of(target_client *client, const char *path);

/* Every notification has one state: what came is what went, and what is pending. */
void check_balance(target_client *client);

/* Removes a directory with all that is in it. */
void remove_directory(const char *path);

/* A number that threads raise and wait for. */
struct counter {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    long value;
};

#define COUNTER {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0}

void counter_raise(struct counter *counter);
long counter_value(struct counter *counter);
void counter_wait(struct counter *counter, long at_least);

/* Gives other threads time. Nothing is concluded from it. */
void pause_ms(long milliseconds);

pthread_t thread_of(void *(*body)(void *), void *argument);
void join(pthread_t thread);

#endif
