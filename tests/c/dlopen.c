/*
 * The library as a plug-in has it: opened when it is needed, closed while clients live, and opened again.
 *
 *     dlopen LIBRARY EDGE
 *
 * Nothing of it is linked: what follows <adobe_target.h> here are types and constants.
 */
#define _GNU_SOURCE

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "adobe_target.h"
#include "json.h"

#define CHECK(condition) do { \
    if (!(condition)) { \
        const char *why = dlerror(); \
        fprintf(stderr, "%s:%d: %s %s\n", __FILE__, __LINE__, #condition, why == NULL ? "" : why); \
        exit(1); \
    } \
} while (0)

#define HOME "{\"request\":{\"execute\":{\"mboxes\":[{\"name\":\"home\"}]}}}"

typedef const char *(*version_function)(void);
typedef uint32_t (*abi_function)(void);
typedef target_status (*create_function)(const char *, target_client **, char **);
typedef target_status (*call_function)(target_client *, const char *, char **);
typedef target_status (*stats_function)(target_client *, char **);
typedef void (*free_function)(target_client *);
typedef void (*string_function)(char *);

struct library {
    version_function version;
    abi_function abi;
    create_function create;
    call_function get_offers, enqueue;
    stats_function stats;
    free_function client_free;
    string_function string_free;
};

/* ISO C has no cast from an object's address to a function's; POSIX has this. */
#define FIND(handle, function, name) do { \
    void *address = dlsym((handle), (name)); \
    CHECK(address != NULL); \
    memcpy(&(function), &address, sizeof address); \
} while (0)

static struct library functions_of(void *handle) {
    struct library library;
    FIND(handle, library.version, "target_version");
    FIND(handle, library.abi, "target_abi_version");
    FIND(handle, library.create, "target_client_create");
    FIND(handle, library.get_offers, "target_get_offers");
    FIND(handle, library.enqueue, "target_enqueue_notifications");
    FIND(handle, library.stats, "target_client_stats");
    FIND(handle, library.client_free, "target_client_free");
    FIND(handle, library.string_free, "target_string_free");
    return library;
}

static void *opened(const char *path) {
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CHECK(handle != NULL);
    return handle;
}

static int is_mapped(const char *path) {
    void *handle = dlopen(path, RTLD_NOW | RTLD_NOLOAD);
    return handle != NULL && dlclose(handle) == 0;
}

static int is_global(void) {
    int found = dlsym(RTLD_DEFAULT, "target_version") != NULL;
    dlerror();
    return found;
}

static target_client *client_of(struct library *library, const char *edge) {
    char *config = text_of("{\"client\":\"localedge\",\"organization_id\":\"1234@AdobeOrg\",\"server_domain\":\"%s\","
                           "\"secure\":false,\"timeout\":3600000,\"connect_timeout\":3600000,"
                           "\"close_timeout\":3600000,\"notifications\":{\"flush_interval\":1}}", edge);
    target_client *client = NULL;
    CHECK(library->create(config, &client, NULL) == TARGET_OK && client != NULL);
    free(config);
    return client;
}

static void enqueue(struct library *library, target_client *client, const char *id) {
    char *options = text_of("{\"session_id\":\"s\",\"request\":{\"notifications\":[{\"id\":\"%s\",\"type\":\"display\","
                            "\"timestamp\":1621530726000,\"mbox\":{\"name\":\"home\"}}]}}", id);
    CHECK(library->enqueue(client, options, NULL) == TARGET_OK);
    free(options);
}

static void wait_for_acknowledged(struct library *library, target_client *client, long wanted) {
    static const struct timespec moment = {0, 1000000};
    long acknowledged = -1;
    while (acknowledged < wanted) {
        char *stats = NULL, *text;
        CHECK(library->stats(client, &stats) == TARGET_OK);
        text = json_text(stats, "notifications.acknowledged");
        CHECK(text != NULL);
        acknowledged = strtol(text, NULL, 10);
        free(text);
        library->string_free(stats);
        nanosleep(&moment, NULL);
    }
    CHECK(acknowledged == wanted);
}

int main(int argc, char **argv) {
    const char *path = argv[1];
    const char *edge = argv[2];
    struct library first, second;
    target_client *kept, *left;
    void *handle, *other;
    char *result = NULL;

    CHECK(argc == 3);
    CHECK(!is_mapped(path));
    handle = opened(path);
    CHECK(is_mapped(path) && !is_global());
    first = functions_of(handle);
    CHECK(first.abi() == TARGET_ABI_VERSION && strcmp(first.version(), TARGET_VERSION) == 0);
    kept = client_of(&first, edge);
    enqueue(&first, kept, "before");
    CHECK(dlclose(handle) == 0);

    /* Closed by all who had it, and there all the same: its threads deliver, and its functions can be called. */
    CHECK(is_mapped(path) && !is_global());
    wait_for_acknowledged(&first, kept, 1);
    CHECK(strcmp(first.version(), TARGET_VERSION) == 0);
    enqueue(&first, kept, "while closed");
    wait_for_acknowledged(&first, kept, 2);

    /* Opened again it is the same one, and knows the client. */
    handle = opened(path);
    second = functions_of(handle);
    CHECK(second.version == first.version && second.version() == first.version());
    CHECK(memcmp(&first, &second, sizeof first) == 0);
    CHECK(second.get_offers(kept, HOME, &result) == TARGET_OK);
    second.string_free(result);

    /* Opened twice, closed once. */
    other = opened(path);
    CHECK(other == handle);
    CHECK(dlclose(other) == 0);
    left = client_of(&second, edge);
    enqueue(&second, left, "other");
    wait_for_acknowledged(&second, left, 1);
    second.client_free(kept);
    CHECK(dlclose(handle) == 0);
    CHECK(is_mapped(path) && !is_global());

    /* A client that nobody frees ends with the process, not before and not badly. */
    enqueue(&second, left, "last");
    wait_for_acknowledged(&second, left, 2);
    puts("done");
    return 0;
}
