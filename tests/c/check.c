#define _POSIX_C_SOURCE 200809L

#include "check.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

const char OFFERS[] = "{\"request\":{\"prefetch\":{\"mboxes\":[{\"name\":\"home\"},{\"name\":\"product1\"}]}}}";

const char DISPLAY[] = "{\"request\":{\"notifications\":[{\"id\":\"1\",\"type\":\"display\","
                       "\"timestamp\":1621530726000,\"mbox\":{\"name\":\"home\"}}]}}";

void check_failed(const char *file, int line, const char *what, const char *more) {
    fprintf(stderr, "%s:%d: %s %.1000s\n", file, line, what, more);
    fflush(NULL);
    /* Other threads may be anywhere: no cleaning up. */
    _exit(1);
}

void check_ok(const char *file, int line, target_status status, char **result) {
    if (status != TARGET_OK || *result == NULL) {
        check_failed(file, line, target_status_name(status), *result == NULL ? "without a result" : *result);
    }
}

void check_status(const char *file, int line, target_status expected, target_status status, char **result,
                  const char *field) {
    char *error = result == NULL ? NULL : *result;
    char *code, *named;
    if (status != expected) {
        char *what = text_of("%s instead of %s", target_status_name(status), target_status_name(expected));
        check_failed(file, line, what, error == NULL ? "" : error);
    }
    if (result == NULL) {
        return;
    }
    if (status != TARGET_OK) {
        if (error == NULL) {
            check_failed(file, line, "no error object", "");
        }
        code = json_text(error, "code");
        if (code == NULL || strcmp(code, target_status_name(status)) != 0) {
            check_failed(file, line, "another code in", error);
        }
        free(code);
        /* Whatever was given, it is not given back. */
        if (strlen(error) > 4000) {
            check_failed(file, line, "a very long error", error);
        }
    }
    if (field != NULL) {
        named = json_text(error, "field");
        if (named == NULL || strcmp(named, field) != 0) {
            check_failed(file, line, field, error);
        }
        free(named);
    }
    target_string_free(error);
    *result = NULL;
}

void check_json(const char *file, int line, const char *json, const char *path, const char *expected) {
    char *value = json_text(json, path);
    if (value == NULL || strcmp(value, expected) != 0) {
        char *what = text_of("%s is %s instead of %s in", path, value == NULL ? "missing" : value, expected);
        check_failed(file, line, what, json);
    }
    free(value);
}

int json_has(const char *json, const char *path) {
    char *value = json_raw(json, path);
    int has = value != NULL;
    free(value);
    return has;
}

target_client *client_of(const char *edge, const char *more) {
    char *config = text_of("{\"client\":\"localedge\",\"organization_id\":\"1234@AdobeOrg\",\"server_domain\":\"%s\","
                           "\"secure\":false,\"timeout\":3600000,\"connect_timeout\":3600000%s}",
                           edge, more);
    target_client *client = NULL;
    char *result = NULL;
    CHECK_CALL(TARGET_OK, target_client_create(config, &client, &result), result);
    CHECK(client != NULL);
    free(config);
    return client;
}

char *notification_of(const char *session, const char *id, const char *type) {
    return text_of("{\"session_id\":\"%s\",\"request\":{\"notifications\":[{\"id\":\"%s\",\"type\":\"%s\","
                   "\"timestamp\":1621530726000,\"mbox\":{\"name\":\"home\"}}]}}",
                   session, id, type);
}

void enqueue(target_client *client, const char *session, const char *id, const char *type) {
    char *options = notification_of(session, id, type);
    char *result = NULL;
    CHECK_OK(target_enqueue_notifications(client, options, &result), result);
    CHECK_JSON(result, "accepted[0]", id);
    CHECK(json_count(result, "accepted") == 1);
    target_string_free(result);
    free(options);
}

long stat_of(target_client *client, const char *path) {
    char *stats = NULL;
    char *text;
    long number;
    CHECK_OK(target_client_stats(client, &stats), stats);
    text = json_text(stats, path);
    if (text == NULL) {
        check_failed(__FILE__, __LINE__, path, stats);
    }
    number = strtol(text, NULL, 10);
    free(text);
    target_string_free(stats);
    return number;
}

void check_balance(target_client *client) {
    static const char *const names[] = {"accepted", "recovered", "acknowledged", "rejected", "dropped", "pending"};
    long sum = 0;
    char *stats = NULL;
    CHECK_OK(target_client_stats(client, &stats), stats);
    for (int i = 0; i < 6; i++) {
        char *path = text_of("notifications.%s", names[i]);
        char *text = json_text(stats, path);
        CHECK(text != NULL);
        sum += (i < 2 ? 1 : -1) * strtol(text, NULL, 10);
        free(text);
        free(path);
    }
    if (sum != 0) {
        check_failed(__FILE__, __LINE__, "the queue's numbers do not add up:", stats);
    }
    target_string_free(stats);
}

void remove_directory(const char *path) {
    DIR *entries = opendir(path);
    struct dirent *entry;
    CHECK(entries != NULL);
    while ((entry = readdir(entries)) != NULL) {
        char *inner = text_of("%s/%s", path, entry->d_name);
        struct stat status;
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 && lstat(inner, &status) == 0) {
            if (S_ISDIR(status.st_mode)) {
                remove_directory(inner);
            } else {
                unlink(inner);
            }
        }
        free(inner);
    }
    closedir(entries);
    CHECK(rmdir(path) == 0);
}

void counter_raise(struct counter *counter) {
    pthread_mutex_lock(&counter->lock);
    counter->value++;
    pthread_cond_broadcast(&counter->changed);
    pthread_mutex_unlock(&counter->lock);
}

long counter_value(struct counter *counter) {
    long value;
    pthread_mutex_lock(&counter->lock);
    value = counter->value;
    pthread_mutex_unlock(&counter->lock);
    return value;
}

void counter_wait(struct counter *counter, long at_least) {
    pthread_mutex_lock(&counter->lock);
    while (counter->value < at_least) {
        pthread_cond_wait(&counter->changed, &counter->lock);
    }
    pthread_mutex_unlock(&counter->lock);
}

void pause_ms(long milliseconds) {
    struct timespec time;
    time.tv_sec = milliseconds / 1000;
    time.tv_nsec = milliseconds % 1000 * 1000000;
    nanosleep(&time, NULL);
}

pthread_t thread_of(void *(*body)(void *), void *argument) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, body, argument) == 0);
    return thread;
}

void join(pthread_t thread) {
    CHECK(pthread_join(thread, NULL) == 0);
}
