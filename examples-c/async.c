/*
 * The main job with callbacks: no thread of the program waits for the edge.
 *
 * Callbacks run on threads of the library, so whatever they share with the rest of the program needs a lock. They may
 * call the library: the callback of the offers starts the report.
 */
#define _POSIX_C_SOURCE 200809L

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "adobe_target.h"
#include "config.h"
#include "json.h"

/* One visitor's page. It lives until its last callback has run. */
struct page {
    target_client *client;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int finished;
    int exit_status;
};

static void finish(struct page *page, int exit_status) {
    pthread_mutex_lock(&page->lock);
    page->finished = 1;
    page->exit_status = exit_status;
    pthread_cond_signal(&page->changed);
    pthread_mutex_unlock(&page->lock);
}

/* The err_callback of both calls. */
static void on_error(const char *error, void *user_data) {
    char *code = json_text(error, "code");
    char *message = json_text(error, "message");
    fprintf(stderr, "%s: %s\n", code, message);
    free(code);
    free(message);
    finish(user_data, EXIT_FAILURE);
}

static void on_reported(const char *envelope, void *user_data) {
    char *request = json_raw(envelope, "request");
    char *acknowledged = json_raw(envelope, "meta.notifications.acknowledged");
    printf("Request: %s\nAcknowledged: %s\n", request, acknowledged);
    free(request);
    free(acknowledged);
    finish(user_data, EXIT_SUCCESS);
}

static void on_offers(const char *envelope, void *user_data) {
    struct page *page = user_data;
    /* The envelope is gone when this returns: what is needed later is copied now. */
    char *request = json_raw(envelope, "request");
    char *cookie = json_raw(envelope, "target_cookie.value");
    char *content = json_text(envelope, "response.prefetch.mboxes[1].options[0].content");
    char *state = json_raw(envelope, "response.prefetch.mboxes[1].state");
    char *token = json_raw(envelope, "response.prefetch.mboxes[1].options[0].eventToken");
    if (state == NULL || token == NULL) {
        fputs("There is no offer for product1.\n", stderr);
        finish(page, EXIT_FAILURE);
    } else {
        char *error;
        char *options = text_of("{\"target_cookie\":%s,\"request\":{\"notifications\":["
                                "{\"id\":\"1\",\"type\":\"display\",\"timestamp\":%lld,"
                                "\"mbox\":{\"name\":\"product1\",\"state\":%s},\"tokens\":[%s]}]}}",
                                cookie, (long long)time(NULL) * 1000, state, token);
        printf("Request: %s\nShown in product1: %s\n", request, content);
        if (target_send_notifications_async(page->client, options, on_reported, on_error, page, NULL, &error) !=
            TARGET_OK) {
            /* It was not taken, so neither of its callbacks will run. */
            on_error(error, page);
            target_string_free(error);
        }
        free(options);
    }
    free(request);
    free(cookie);
    free(content);
    free(state);
    free(token);
}

int main(int argc, char **argv) {
    struct page page = {0};
    char *config = config_of(argc, argv);
    char *result;
    target_status status = target_client_create(config, &page.client, &result);
    free(config);
    if (status != TARGET_OK) {
        fprintf(stderr, "%s\n", result);
        target_string_free(result);
        return EXIT_FAILURE;
    }
    target_string_free(result);
    pthread_mutex_init(&page.lock, NULL);
    pthread_cond_init(&page.changed, NULL);

    status = target_get_offers_async(
        page.client, "{\"request\":{\"prefetch\":{\"mboxes\":[{\"name\":\"home\"},{\"name\":\"product1\"}]}}}",
        on_offers, on_error, &page, NULL, &result);
    if (status != TARGET_OK) {
        on_error(result, &page);
        target_string_free(result);
    }

    /* A server would go on with other visitors here. */
    pthread_mutex_lock(&page.lock);
    while (!page.finished) {
        pthread_cond_wait(&page.changed, &page.lock);
    }
    pthread_mutex_unlock(&page.lock);

    /* Once this has returned, no callback runs. */
    target_client_free(page.client);
    pthread_cond_destroy(&page.changed);
    pthread_mutex_destroy(&page.lock);
    return page.exit_status;
}
