#define _POSIX_C_SOURCE 200809L

#include "edge.h"

#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"

static int connected_to(const char *edge) {
    struct addrinfo hints, *found = NULL;
    const char *colon = strrchr(edge, ':');
    char host[64];
    int edge_socket;
    CHECK(colon != NULL && (size_t)(colon - edge) < sizeof host);
    memcpy(host, edge, (size_t)(colon - edge));
    host[colon - edge] = '\0';
    memset(&hints, 0, sizeof hints);
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
    hints.ai_socktype = SOCK_STREAM;
    CHECK(getaddrinfo(host, colon + 1, &hints, &found) == 0);
    edge_socket = socket(found->ai_family, SOCK_STREAM, 0);
    CHECK(edge_socket >= 0);
    CHECK(connect(edge_socket, found->ai_addr, found->ai_addrlen) == 0);
    freeaddrinfo(found);
    return edge_socket;
}

/* Sends a request and gives the body of its answer, which must be 200. */
static char *exchange(const char *edge, const char *method, const char *path, const char *body) {
    int edge_socket = connected_to(edge);
    char *request = text_of("%s %s HTTP/1.1\r\nHost: edge\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
                            method, path, strlen(body), body);
    size_t length = strlen(request), sent = 0, received = 0, room = 65536;
    char *answer = (char *)malloc(room + 1);
    char *end;
    CHECK(answer != NULL);
    while (sent < length) {
        ssize_t n = send(edge_socket, request + sent, length - sent, MSG_NOSIGNAL);
        CHECK(n > 0);
        sent += (size_t)n;
    }
    for (;;) {
        ssize_t n = recv(edge_socket, answer + received, room - received, 0);
        CHECK(n >= 0);
        if (n == 0) {
            break;
        }
        received += (size_t)n;
        if (received == room) {
            room *= 2;
            answer = (char *)realloc(answer, room + 1);
            CHECK(answer != NULL);
        }
    }
    close(edge_socket);
    answer[received] = '\0';
    if (strncmp(answer, "HTTP/1.1 200 ", 13) != 0) {
        check_failed(__FILE__, __LINE__, request, answer);
    }
    free(request);
    end = strstr(answer, "\r\n\r\n");
    CHECK(end != NULL);
    memmove(answer, end + 4, strlen(end + 4) + 1);
    return answer;
}

void edge_answers(const char *edge, const char *fault) {
    free(exchange(edge, "POST", "/control/default_reply", fault));
}

void edge_answers_next(const char *edge, const char *faults) {
    free(exchange(edge, "POST", "/control/faults", faults));
}

void edge_serves(const char *edge, const char *artifact) {
    free(exchange(edge, "POST", "/control/artifact", artifact));
}

void edge_reset(const char *edge) {
    free(exchange(edge, "POST", "/control/reset", ""));
}

char *edge_report(const char *edge) {
    return exchange(edge, "GET", "/report", "");
}

long edge_requests(const char *edge) {
    char *report = edge_report(edge);
    char *requests = json_text(report, "requests");
    long number;
    CHECK(requests != NULL);
    number = strtol(requests, NULL, 10);
    free(requests);
    free(report);
    return number;
}

void edge_wait_for_requests(const char *edge, long at_least) {
    while (edge_requests(edge) < at_least) {
        pause_ms(5);
    }
}
