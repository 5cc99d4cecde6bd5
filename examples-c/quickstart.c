/*
 * The main job: ask for the offers of two mboxes, show one, report that it was shown.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "adobe_target.h"
#include "config.h"
#include "json.h"

/* Prints what a failed call says, frees it, and is the exit status of the program. */
static int failed(const char *function, target_status status, char *error) {
    char *message = json_text(error, "message");
    char *field = json_text(error, "field");
    fprintf(stderr, "%s: %s: %s%s%s\n", function, target_status_name(status), message, field ? ", field " : "",
            field ? field : "");
    free(message);
    free(field);
    target_string_free(error);
    return EXIT_FAILURE;
}

/* Prints a part of a result. */
static void show(const char *title, const char *result, const char *path) {
    char *value = json_raw(result, path);
    printf("%s: %s\n", title, value ? value : "(none)");
    free(value);
}

/* Prints a cookie of the envelope as a response to the visitor's browser would set it. */
static void show_cookie(const char *envelope, const char *name) {
    char *cookie = json_raw(envelope, name);
    if (cookie != NULL) {
        char *key = json_text(cookie, "name");
        char *value = json_text(cookie, "value");
        char *seconds = json_text(cookie, "maxAge");
        printf("Set-Cookie: %s=%s; Max-Age=%s; Path=/\n", key, value, seconds);
        free(key);
        free(value);
        free(seconds);
        free(cookie);
    }
}

/* The options that report an offer as shown. What has been taken out of the envelope goes back as it came. */
static char *display_of(const char *envelope, const char *mbox) {
    int count = json_count(envelope, "response.prefetch.mboxes");
    char *options = NULL;
    for (int i = 0; i < count && options == NULL; i++) {
        char *place = text_of("response.prefetch.mboxes[%d]", i);
        char *offer = json_raw(envelope, place);
        char *name = json_text(offer, "name");
        if (strcmp(name, mbox) == 0) {
            char *content = json_text(offer, "options[0].content");
            char *state = json_raw(offer, "state");
            char *token = json_raw(offer, "options[0].eventToken");
            char *cookie = json_raw(envelope, "target_cookie.value");
            if (state != NULL && token != NULL) {
                printf("Shown in %s: %s\n", mbox, content);
                options = text_of("{\"target_cookie\":%s,\"request\":{\"notifications\":["
                                  "{\"id\":\"1\",\"type\":\"display\",\"timestamp\":%lld,"
                                  "\"mbox\":{\"name\":\"%s\",\"state\":%s},\"tokens\":[%s]}]}}",
                                  cookie, (long long)time(NULL) * 1000, mbox, state, token);
            }
            free(content);
            free(state);
            free(token);
            free(cookie);
        }
        free(place);
        free(offer);
        free(name);
    }
    return options;
}

int main(int argc, char **argv) {
    char *config = config_of(argc, argv);
    target_client *client;
    char *result, *options;
    target_status status = target_client_create(config, &client, &result);
    free(config);
    if (status != TARGET_OK) {
        return failed("target_client_create", status, result);
    }
    target_string_free(result);

    status = target_get_offers(
        client, "{\"request\":{\"prefetch\":{\"mboxes\":[{\"name\":\"home\"},{\"name\":\"product1\"}]}}}", &result);
    if (status != TARGET_OK) {
        target_client_free(client);
        return failed("target_get_offers", status, result);
    }
    show("Request", result, "request");
    show_cookie(result, "target_cookie");
    show_cookie(result, "target_location_hint_cookie");
    options = display_of(result, "product1");
    target_string_free(result);
    if (options == NULL) {
        fputs("There is no offer for product1.\n", stderr);
        target_client_free(client);
        return EXIT_FAILURE;
    }

    status = target_send_notifications(client, options, &result);
    free(options);
    if (status != TARGET_OK) {
        target_client_free(client);
        return failed("target_send_notifications", status, result);
    }
    show("Request", result, "request");
    show_cookie(result, "target_cookie");
    show("Acknowledged", result, "meta.notifications.acknowledged");
    target_string_free(result);

    target_client_free(client);
    return EXIT_SUCCESS;
}
