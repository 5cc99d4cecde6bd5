/* Wrong on purpose: a thread of the library and one of the program write the same number. */
#include <adobe_target.h>
#include <pthread.h>
#include <stddef.h>

static int written;
/* Relaxed, so that waiting for it orders nothing. */
static int seen;

static void write_on_event(const char *event, void *user_data) {
    (void)event;
    (void)user_data;
    written++;
    __atomic_store_n(&seen, 1, __ATOMIC_RELAXED);
}

static void *write_too(void *unused) {
    written++;
    return unused;
}

int main(void) {
    target_client *client;
    pthread_t thread;
    if (target_client_create("{\"client\":\"a\",\"organization_id\":\"b\"}", &client, NULL) != TARGET_OK ||
        pthread_create(&thread, NULL, write_too, NULL) != 0 ||
        target_client_on_event(client, write_on_event, NULL) != TARGET_OK) {
        return 0;
    }
    /* The client is ready, and that is an event. */
    while (__atomic_load_n(&seen, __ATOMIC_RELAXED) == 0) {
    }
    pthread_join(thread, NULL);
    target_client_free(client);
    return 0;
}
