/*
 * What a web server does: some worker threads share one client, each handles the page views of many visitors. A page
 * view asks for offers with the visitor's own cookies, then reports what was shown.
 *
 *     server ADDRESS [THREADS [VISITORS [VIEWS]]]
 */
#define _POSIX_C_SOURCE 200809L

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "adobe_target.h"
#include "config.h"
#include "json.h"

struct worker {
    pthread_t thread;
    target_client *client;
    int number;
    int visitors;
    int views;
    /* What it did. Nobody else looks until it has been joined. */
    int calls;
    int failures;
    int acknowledged;
};

/* Counts a call. The result, if it was one; NULL and a line on stderr if it was an error. */
static char *outcome_of(struct worker *worker, const char *function, target_status status, char *result) {
    worker->calls++;
    if (status == TARGET_OK) {
        return result;
    }
    worker->failures++;
    fprintf(stderr, "worker %d: %s: %s\n", worker->number, function, result);
    target_string_free(result);
    return NULL;
}

/* Takes a cookie's value out of an envelope, as JSON. The old one is freed; without a new one it stays. */
static void keep_cookie(char **kept, const char *envelope, const char *path) {
    char *value = json_raw(envelope, path);
    if (value != NULL) {
        free(*kept);
        *kept = value;
    }
}

/* One page view. The cookies are what the visitor's browser sends, and then what it is told to keep. */
static void serve(struct worker *worker, int visitor, int view, char **cookie, char **hint) {
    char *options = text_of("{\"target_cookie\":%s,\"target_location_hint\":%s,"
                            "\"request\":{\"prefetch\":{\"mboxes\":[{\"name\":\"home\"},{\"name\":\"product1\"}]}}}",
                            *cookie, *hint);
    char *result = NULL;
    target_status status = target_get_offers(worker->client, options, &result);
    char *envelope = outcome_of(worker, "target_get_offers", status, result);
    char *state, *token;
    free(options);
    if (envelope == NULL) {
        /* The page is shown with its default content. */
        return;
    }
    keep_cookie(cookie, envelope, "target_cookie.value");
    keep_cookie(hint, envelope, "target_location_hint_cookie.value");
    state = json_raw(envelope, "response.prefetch.mboxes[1].state");
    token = json_raw(envelope, "response.prefetch.mboxes[1].options[0].eventToken");
    target_string_free(envelope);

    if (state != NULL && token != NULL) {
        options = text_of("{\"target_cookie\":%s,\"target_location_hint\":%s,\"request\":{\"notifications\":["
                          "{\"id\":\"%d-%d-%d\",\"type\":\"display\",\"timestamp\":%lld,"
                          "\"mbox\":{\"name\":\"product1\",\"state\":%s},\"tokens\":[%s]}]}}",
                          *cookie, *hint, worker->number, visitor, view, (long long)time(NULL) * 1000, state, token);
        status = target_send_notifications(worker->client, options, &result);
        envelope = outcome_of(worker, "target_send_notifications", status, result);
        free(options);
        if (envelope != NULL) {
            worker->acknowledged += json_count(envelope, "meta.notifications.acknowledged");
            keep_cookie(cookie, envelope, "target_cookie.value");
            target_string_free(envelope);
        }
    }
    free(state);
    free(token);
}

static void *work(void *argument) {
    struct worker *worker = argument;
    for (int visitor = 0; visitor < worker->visitors; visitor++) {
        /* A new visitor has no cookies. */
        char *cookie = text_of("null");
        char *hint = text_of("null");
        for (int view = 0; view < worker->views; view++) {
            serve(worker, visitor, view, &cookie, &hint);
        }
        free(cookie);
        free(hint);
    }
    return NULL;
}

static int number_of(int argc, char **argv, int at, int otherwise) {
    int number = argc > at ? atoi(argv[at]) : otherwise;
    return number > 0 ? number : otherwise;
}

int main(int argc, char **argv) {
    int threads = number_of(argc, argv, 2, 8);
    int visitors = number_of(argc, argv, 3, 200);
    int views = number_of(argc, argv, 4, 2);
    int calls = 0, failures = 0, acknowledged = 0, started = 0;
    char *config = config_of(argc, argv);
    struct worker *workers = calloc((size_t)threads, sizeof *workers);
    struct timespec from, to;
    double seconds;
    target_client *client;
    char *result;
    target_status status = target_client_create(config, &client, &result);
    free(config);
    if (status != TARGET_OK || workers == NULL) {
        fprintf(stderr, "%s\n", status != TARGET_OK ? result : "out of memory");
        target_string_free(result);
        target_client_free(client);
        free(workers);
        return EXIT_FAILURE;
    }
    target_string_free(result);

    clock_gettime(CLOCK_MONOTONIC, &from);
    for (int i = 0; i < threads; i++) {
        workers[i].client = client;
        workers[i].number = i;
        workers[i].visitors = visitors;
        workers[i].views = views;
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0) {
            fputs("no more threads\n", stderr);
            break;
        }
        started++;
    }
    for (int i = 0; i < started; i++) {
        pthread_join(workers[i].thread, NULL);
        calls += workers[i].calls;
        failures += workers[i].failures;
        acknowledged += workers[i].acknowledged;
    }
    clock_gettime(CLOCK_MONOTONIC, &to);
    seconds = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;

    printf("%d calls by %d threads in %.2f s: %.0f calls/s, %d failed, %d notifications acknowledged\n", calls,
           started, seconds, calls / seconds, failures, acknowledged);
    if (target_client_stats(client, &result) == TARGET_OK) {
        printf("Stats: %s\n", result);
    }
    target_string_free(result);
    target_client_free(client);
    free(workers);
    return failures == 0 && started == threads ? EXIT_SUCCESS : EXIT_FAILURE;
}
