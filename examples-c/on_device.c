/*
 * Decisions on this machine: offers and attributes from the rule artifact, what visitors will see on a coming date, and
 * the impressions that go out in the background.
 *
 * With a local edge it needs one that serves an artifact: target-local-edge --default-artifact
 */
#include <stdio.h>
#include <stdlib.h>

#include "adobe_target.h"
#include "config.h"
#include "json.h"

#define ON_DEVICE ",\"decisioning_method\":\"on-device\""
/* Noon of Black Friday 2030. The client sees it as now; nothing else on the machine does. */
#define ON_BLACK_FRIDAY ON_DEVICE ",\"fixed_clock_ms\":1922184000000"

/* Prints what a failed call says, frees it and the client, and is the exit status of the program. */
static int failed(target_client *client, const char *function, target_status status, char *error) {
    char *message = json_text(error, "message");
    fprintf(stderr, "%s: %s: %s\n", function, target_status_name(status), message);
    free(message);
    target_string_free(error);
    target_client_free(client);
    return EXIT_FAILURE;
}

/* Prints a part of a result. */
static void show(const char *title, const char *result, const char *path) {
    char *value = json_text(result, path);
    printf("%s: %s\n", title, value ? value : "(none)");
    free(value);
}

/* What happened so far: the artifact came, the client is ready. */
static void show_events(target_client *client) {
    char *event;
    while (target_next_event(client, 0, &event) == TARGET_OK) {
        show("Event", event, "type");
        target_string_free(event);
    }
    target_string_free(event);
}

/* What the cart will offer on that day. An mbox that is prefetched has attributes, too, and is not counted. */
static int preview(int argc, char **argv) {
    char *config = config_with(argc, argv, ON_BLACK_FRIDAY);
    target_client *client;
    char *result;
    target_status status = target_client_create(config, &client, &result);
    free(config);
    if (status != TARGET_OK) {
        return failed(NULL, "target_client_create", status, result);
    }
    target_string_free(result);
    status = target_get_attributes(client, "[\"cart\"]",
                                   "{\"request\":{\"prefetch\":{\"mboxes\":[{\"name\":\"cart\"}]}}}", &result);
    if (status != TARGET_OK) {
        return failed(client, "target_get_attributes", status, result);
    }
    show("Discount on Black Friday", result, "attributes.cart.discount");
    target_string_free(result);
    target_client_free(client);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv) {
    char *config = config_with(argc, argv, ON_DEVICE);
    target_client *client;
    char *result;
    target_status status = target_client_create(config, &client, &result);
    free(config);
    if (status != TARGET_OK) {
        return failed(NULL, "target_client_create", status, result);
    }
    target_string_free(result);

    /* Creating has waited for the artifact already. Where none came, the message says why. */
    status = target_client_wait_ready(client, 0, &result);
    if (status != TARGET_OK) {
        return failed(client, "target_client_wait_ready", status, result);
    }
    target_string_free(result);
    show_events(client);

    /* The answer needs no network. What it shows is reported in the background. */
    status = target_get_offers(client,
                               "{\"request\":{\"context\":{\"channel\":\"web\","
                               "\"address\":{\"url\":\"https://www.acme.com/sale/shoes\"}},"
                               "\"execute\":{\"mboxes\":[{\"name\":\"home\"},{\"name\":\"product1\"}]}}}",
                               &result);
    if (status != TARGET_OK) {
        return failed(client, "target_get_offers", status, result);
    }
    show("Decided", result, "meta.decisioning_method");
    show("Shown in home", result, "response.execute.mboxes[0].options[0].content");
    show("Shown in product1", result, "response.execute.mboxes[1].options[0].content");
    /* Impressions that the queue had no room for come back, to be reported by target_send_notifications. */
    printf("Not queued: %d\n", json_count(result, "meta.notifications.not_queued"));
    target_string_free(result);

    status = target_get_attributes(client, "[\"cart\"]", NULL, &result);
    if (status != TARGET_OK) {
        return failed(client, "target_get_attributes", status, result);
    }
    show("Discount", result, "attributes.cart.discount");
    target_string_free(result);

    if (preview(argc, argv) != EXIT_SUCCESS) {
        target_client_free(client);
        return EXIT_FAILURE;
    }

    /* Closing sends what waits, for five seconds at the most. */
    status = target_client_close(client, 5000, &result);
    if (status != TARGET_OK) {
        return failed(client, "target_client_close", status, result);
    }
    target_string_free(result);
    status = target_client_stats(client, &result);
    if (status != TARGET_OK) {
        return failed(client, "target_client_stats", status, result);
    }
    show("Decisions", result, "decisions");
    show("Artifact", result, "artifact.version");
    show("Impressions accepted", result, "notifications.accepted");
    show("Impressions acknowledged", result, "notifications.acknowledged");
    target_string_free(result);
    target_client_free(client);
    return EXIT_SUCCESS;
}
