/*
 * Connections that end while a request is being written raise no SIGPIPE in a program that has not asked for its
 * being ignored. Here the program is the server, one that reads a little and no more, so that the writing goes on
 * until somebody ends it.
 */
#define _POSIX_C_SOURCE 200809L

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"

#define FOREVER TARGET_WAIT_FOREVER

static int listener;
static char address[32];
/* Options whose request is far larger than what the system takes before anybody reads. */
static char *large;

static void listen_somewhere(void) {
    struct sockaddr_in any;
    socklen_t length = sizeof any;
    int little = 16 * 1024;
    memset(&any, 0, sizeof any);
    any.sin_family = AF_INET;
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(listener >= 0);
    CHECK(setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &little, sizeof little) == 0);
    CHECK(bind(listener, (struct sockaddr *)&any, sizeof any) == 0);
    CHECK(listen(listener, 16) == 0);
    CHECK(getsockname(listener, (struct sockaddr *)&any, &length) == 0);
    sprintf(address, "127.0.0.1:%d", ntohs(any.sin_port));
}

static void make_large(void) {
    enum { SIZE = 8 * 1024 * 1024 };
    char *filling = (char *)malloc(SIZE + 1);
    CHECK(filling != NULL);
    memset(filling, 'x', SIZE);
    filling[SIZE] = '\0';
    large = text_of("{\"request\":{\"execute\":{\"pageLoad\":{}},\"filling\":\"%s\"}}", filling);
    free(filling);
}

/* The connection of a call that is writing, or rather waits to go on writing: nothing more arrives. */
static int writing(void) {
    char first[1000];
    int arrived = 0, before = -1, unchanged = 0;
    int connection = accept(listener, NULL, NULL);
    CHECK(connection >= 0);
    CHECK(recv(connection, first, sizeof first, MSG_WAITALL) == sizeof first);
    while (unchanged < 10) {
        CHECK(ioctl(connection, FIONREAD, &arrived) == 0);
        unchanged = arrived == before ? unchanged + 1 : 0;
        before = arrived;
        pause_ms(5);
    }
    return connection;
}

static target_request *started(target_client *client) {
    target_request *request = NULL;
    CHECK_STATUS(TARGET_OK, target_get_offers_async(client, large, NULL, NULL, NULL, &request, NULL));
    return request;
}

static void ended_with(target_status expected, target_request *request) {
    char *result = NULL;
    CHECK_CALL(expected, target_request_wait(request, FOREVER, &result), result);
    target_request_free(request);
}

static void cancelled_while_writing(void) {
    target_client *client = client_of(address, "");
    target_request *request = started(client);
    int connection = writing();
    CHECK_STATUS(TARGET_OK, target_request_cancel(request));
    ended_with(TARGET_ERR_CANCELLED, request);
    close(connection);
    target_client_free(client);
}

static void closed_while_writing(void) {
    target_client *client = client_of(address, "");
    target_request *request = started(client);
    int connection = writing();
    CHECK_STATUS(TARGET_OK, target_client_close(client, 0, NULL));
    ended_with(TARGET_ERR_CLOSED, request);
    close(connection);
    target_client_free(client);
}

static void server_resets_while_writing(void) {
    target_client *client = client_of(address, ",\"retry\":{\"max_attempts\":1}");
    target_request *request = started(client);
    struct linger reset = {1, 0};
    int connection = writing();
    CHECK(setsockopt(connection, SOL_SOCKET, SO_LINGER, &reset, sizeof reset) == 0);
    close(connection);
    ended_with(TARGET_ERR_NETWORK, request);
    target_client_free(client);
}

static void server_closes_while_writing(void) {
    target_client *client = client_of(address, ",\"retry\":{\"max_attempts\":1}");
    target_request *request = started(client);
    close(writing());
    ended_with(TARGET_ERR_NETWORK, request);
    target_client_free(client);
}

int main(void) {
    struct sigaction action;
    /* Whoever started this program may have had it ignored. */
    memset(&action, 0, sizeof action);
    action.sa_handler = SIG_DFL;
    CHECK(sigaction(SIGPIPE, &action, NULL) == 0);
    listen_somewhere();
    make_large();
    cancelled_while_writing();
    closed_while_writing();
    server_resets_while_writing();
    server_closes_while_writing();
    free(large);
    close(listener);
    return 0;
}
