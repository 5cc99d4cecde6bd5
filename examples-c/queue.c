/*
 * Notifications in the background: the page goes out at once, what it showed and what was clicked is reported by the
 * queue, and a spool keeps what could not be delivered yet for the next start.
 *
 * The spool is in TARGET_SPOOL, or in target-spool-example below the temporary directory.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "adobe_target.h"
#include "config.h"
#include "json.h"

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

/* Configures the client with a spool. What was left there by an earlier run is delivered, too. */
static char *config_with_spool(int argc, char **argv) {
    const char *spool = getenv("TARGET_SPOOL");
    const char *temporary = getenv("TMPDIR");
    char *directory = spool != NULL ? text_of("%s", spool)
                                    : text_of("%s/target-spool-example", temporary != NULL ? temporary : "/tmp");
    char *quoted = json_quoted(directory);
    char *members = text_of(",\"notifications\":{\"spool_dir\":%s}", quoted);
    char *config = config_with(argc, argv, members);
    free(directory);
    free(quoted);
    free(members);
    return config;
}

/* The options that report the display of the mbox and a click on it; NULL if there is nothing to show. The page has the
 * tokens until the visitor sees and clicks: here both happen at once. */
static char *reports_of(const char *offers) {
    char *token = json_raw(offers, "response.prefetch.mboxes[0].options[0].eventToken");
    char *click = json_raw(offers, "response.prefetch.mboxes[0].metrics[0].eventToken");
    char *cookie = json_raw(offers, "target_cookie.value");
    char *options = NULL;
    long long now = (long long)time(NULL) * 1000;
    if (token != NULL && cookie != NULL) {
        /* The cookie keeps both in the session of the page. Not every mbox has an activity that counts clicks. */
        options = text_of("{\"target_cookie\":%s,\"request\":{\"notifications\":["
                          "{\"id\":\"shown\",\"type\":\"display\",\"timestamp\":%lld,\"mbox\":{\"name\":\"home\"},"
                          "\"tokens\":[%s]},"
                          "{\"id\":\"clicked\",\"type\":\"click\",\"timestamp\":%lld,\"mbox\":{\"name\":\"home\"},"
                          "\"tokens\":[%s]}]}}",
                          cookie, now, token, now, click != NULL ? click : "");
    }
    free(token);
    free(click);
    free(cookie);
    return options;
}

/* What happened to notifications. Each ends as acknowledged, rejected or dropped. */
static void show_events(target_client *client) {
    char *event;
    while (target_next_event(client, 0, &event) == TARGET_OK) {
        char *ids = json_raw(event, "ids");
        if (ids != NULL) {
            char *type = json_text(event, "type");
            printf("Event: %s %s\n", type, ids);
            free(type);
        }
        free(ids);
        target_string_free(event);
    }
    target_string_free(event);
}

int main(int argc, char **argv) {
    char *config = config_with_spool(argc, argv);
    target_client *client;
    char *result, *options;
    target_status status = target_client_create(config, &client, &result);
    free(config);
    if (status != TARGET_OK) {
        return failed(NULL, "target_client_create", status, result);
    }
    target_string_free(result);

    status = target_get_offers(client, "{\"request\":{\"prefetch\":{\"mboxes\":[{\"name\":\"home\"}]}}}", &result);
    if (status != TARGET_OK) {
        return failed(client, "target_get_offers", status, result);
    }
    show("Shown in home", result, "response.prefetch.mboxes[0].options[0].content");
    options = reports_of(result);
    target_string_free(result);
    if (options == NULL) {
        fprintf(stderr, "home has nothing to be shown\n");
        target_client_free(client);
        return EXIT_FAILURE;
    }

    /* Returns at once. From here on both survive the end of this program; any other status says that neither was taken. */
    status = target_enqueue_notifications(client, options, &result);
    free(options);
    if (status != TARGET_OK) {
        return failed(client, "target_enqueue_notifications", status, result);
    }
    show("Accepted", result, "accepted");
    target_string_free(result);

    /* Nobody has to flush, the queue delivers within a second: unless something is to be certain now. */
    status = target_flush(client, 5000, &result);
    if (status == TARGET_ERR_PENDING) {
        show("Still pending", result, "result.pending");
    } else if (status != TARGET_OK) {
        return failed(client, "target_flush", status, result);
    } else {
        show("Acknowledged", result, "acknowledged");
        show("Rejected", result, "rejected");
    }
    target_string_free(result);
    show_events(client);

    /* What is left when the time is over stays in the spool, and is delivered when the program starts again. */
    status = target_client_close(client, 5000, &result);
    if (status == TARGET_ERR_PENDING) {
        show("Left in the spool", result, "result.pending");
    } else if (status != TARGET_OK) {
        return failed(client, "target_client_close", status, result);
    }
    target_string_free(result);
    target_client_free(client);
    return EXIT_SUCCESS;
}
