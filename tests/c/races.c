/* Wrong on purpose: two threads write the same number, one of them on a thread of the library. */
#include <adobe_target.h>
#include <pthread.h>
#include <stddef.h>

static int written;

static void write_on_event(const char *event, void *user_data) {
    (void)event;
    (void)user_data;
    written++;
}

static void *write_too(void *unused) {
    written++;
    return unused;
}

int main(void) {
    target_client *client;
    pthread_t thread;
    if (target_client_create("{\"client\":\"a\",\"organization_id\":\"b\"}", &client, NULL) != TARGET_OK ||
        pthread_create(&thread, NULL, write_too, NULL) != 0) {
        return 0;
    }
    target_client_on_event(client, write_on_event, NULL);
    pthread_join(thread, NULL);
    target_client_free(client);
    return 0;
}
