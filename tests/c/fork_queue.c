/*
 * The queue over a fork: each process delivers what it took and nothing else, a spool has a place for each of them, and
 * the place of a process that died is free for others although its child lives.
 *
 * Takes the address of the edge, a number of forks, and a number of threads that are busy meanwhile.
 */
#define _POSIX_C_SOURCE 200809L

#include "check.h"

#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FOREVER TARGET_WAIT_FOREVER
/* Nothing goes out before somebody flushes. */
#define SLOW "\"flush_interval\":3600000"

enum { WATCHDOG_SECONDS = 120, MOST_THREADS = 64, OWN = 3 };

static const char *edge;
static char directory[] = "/tmp/target-fork-XXXXXX";

/* A client with a spool of that name, or without one. */
static target_client *client_with(const char *spool, const char *queue) {
    char *place = spool == NULL ? text_of("%s", "") : text_of("\"spool_dir\":\"%s/%s\",", directory, spool);
    char *more = text_of(",\"notifications\":{%s%s}", place, queue);
    target_client *client = client_of(edge, more);
    free(place);
    free(more);
    return client;
}

static void enqueue_own(target_client *client, const char *who) {
    for (int i = 0; i < OWN; i++) {
        char *id = text_of("%s-%d", who, i);
        enqueue(client, who, id, "display");
        free(id);
    }
}

static void check_number(const char *json, const char *path, long expected) {
    char *text = text_of("%ld", expected);
    CHECK_JSON(json, path, text);
    free(text);
}

/* So many have been processed, each once. */
static void check_processed(long expected) {
    char *report = edge_report(edge);
    check_number(report, "notifications.processed", expected);
    check_number(report, "notifications.distinct", expected);
    check_number(report, "visits.total", expected);
    check_number(report, "duplicate_impressions", 0);
    free(report);
}

static void ended_well(pid_t child) {
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        char *how = text_of("wait status %d", status);
        check_failed(__FILE__, __LINE__, "a child failed or hung:", how);
    }
}

/* Closes and frees the client; everything of this process has been delivered. */
static void close_with(target_client *client, long acknowledged) {
    char *result = NULL;
    CHECK_OK(target_client_close(client, FOREVER, &result), result);
    check_number(result, "acknowledged", acknowledged);
    check_number(result, "dropped", 0);
    check_number(result, "pending", 0);
    target_string_free(result);
    check_balance(client);
    target_client_free(client);
}

static int exists(const char *spool, const char *slot) {
    char *path = text_of("%s/%s/%s", directory, spool, slot);
    struct stat status;
    int found = stat(path, &status) == 0;
    free(path);
    return found;
}

static void each_delivers_its_own(const char *spool) {
    target_client *client = client_with(spool, SLOW);
    pid_t child;
    edge_reset(edge);
    enqueue_own(client, "parent");
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(WATCHDOG_SECONDS);
        CHECK(stat_of(client, "notifications.accepted") == 0);
        CHECK(stat_of(client, "notifications.recovered") == 0);
        CHECK(stat_of(client, "notifications.pending") == 0);
        CHECK_STATUS(TARGET_OK, target_flush(client, FOREVER, NULL));
        CHECK(edge_requests(edge) == 0);
        enqueue_own(client, "child");
        close_with(client, OWN);
        check_processed(OWN);
        _exit(0);
    }
    ended_well(child);
    if (spool != NULL) {
        CHECK(exists(spool, "0/lock") && exists(spool, "1/lock") && !exists(spool, "2"));
    }
    CHECK(stat_of(client, "notifications.pending") == OWN);
    close_with(client, OWN);
    check_processed(2 * OWN);
    if (spool != NULL) {
        client = client_with(spool, SLOW);
        CHECK(stat_of(client, "notifications.recovered") == 0);
        target_client_free(client);
    }
}

static void tell(int pipe_end, char what) {
    CHECK(write(pipe_end, &what, 1) == 1);
}

static void hear(int pipe_end, char what) {
    char heard = '\0';
    CHECK(read(pipe_end, &heard, 1) == 1 && heard == what);
}

/* A process with a client and a child; it is killed while the child lives on. */
static void die_with_a_child(const char *spool, int child_uses_it, int told[2], int held[2]) {
    target_client *client = client_with(spool, SLOW);
    pid_t child;
    enqueue_own(client, "dead");
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(WATCHDOG_SECONDS);
        if (child_uses_it) {
            enqueue_own(client, "orphan");
        }
        tell(told[1], 'r');
        hear(held[0], 'g');
        if (child_uses_it) {
            close_with(client, OWN);
        }
        tell(told[1], 'e');
        _exit(0);
    }
    hear(told[0], 'r');
    kill(getpid(), SIGKILL);
}

static void the_dead_are_inherited_while_their_children_live(const char *spool, int child_uses_it) {
    int told[2], held[2], status = 0;
    target_client *heir;
    pid_t parent;
    edge_reset(edge);
    CHECK(pipe(told) == 0 && pipe(held) == 0);
    parent = fork();
    CHECK(parent >= 0);
    if (parent == 0) {
        alarm(WATCHDOG_SECONDS);
        die_with_a_child(spool, child_uses_it, told, held);
        _exit(1);
    }
    CHECK(waitpid(parent, &status, 0) == parent);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    heir = client_with(spool, SLOW);
    CHECK(stat_of(heir, "notifications.recovered") == OWN);
    close_with(heir, OWN);
    check_processed(OWN);
    tell(held[1], 'g');
    hear(told[0], 'e');
    check_processed(child_uses_it ? 2 * OWN : OWN);
    for (int i = 0; i < 2; i++) {
        close(told[i]);
        close(held[i]);
    }
}

static void a_click_that_a_dead_process_may_have_sent_is_not_repeated(void) {
    pid_t parent;
    target_client *heir;
    char *event = NULL;
    int status = 0;
    edge_reset(edge);
    edge_answers_next(edge, "[{\"type\":\"silence\"}]");
    parent = fork();
    CHECK(parent >= 0);
    if (parent == 0) {
        target_client *client = client_with("click", "\"flush_interval\":1");
        alarm(WATCHDOG_SECONDS);
        enqueue(client, "s", "perhaps", "click");
        edge_wait_for_requests(edge, 1);
        kill(getpid(), SIGKILL);
    }
    CHECK(waitpid(parent, &status, 0) == parent);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    heir = client_with("click", "\"flush_interval\":1");
    CHECK(stat_of(heir, "notifications.recovered") == 1);
    CHECK(stat_of(heir, "notifications.dropped") == 1);
    check_balance(heir);
    /* The first event is that the client is ready, or this. */
    do {
        target_string_free(event);
        event = NULL;
        CHECK_OK(target_next_event(heir, FOREVER, &event), event);
    } while (!json_has(event, "reason"));
    CHECK_JSON(event, "type", "notification_dropped");
    CHECK_JSON(event, "reason", "outcome_unknown");
    CHECK_JSON(event, "ids[0]", "perhaps");
    target_string_free(event);
    target_client_free(heir);
    check_processed(0);
}

static target_client *shared;
static struct counter ready = COUNTER, over = COUNTER, taken = COUNTER;

static void *keep_enqueueing(void *argument) {
    long number = *(long *)argument;
    char *session = text_of("thread-%ld", number);
    counter_raise(&ready);
    for (long i = 0; counter_value(&over) == 0; i++) {
        char *id = text_of("%s-%ld", session, i);
        enqueue(shared, session, id, "display");
        counter_raise(&taken);
        free(id);
        if (i % 8 == 0) {
            pause_ms(1);
        }
    }
    free(session);
    return NULL;
}

static void fork_among_busy_threads(const char *spool, long forks, long busy) {
    pthread_t threads[MOST_THREADS];
    long numbers[MOST_THREADS];
    shared = client_with(spool, "\"max_queued\":100000000,\"spool_max_bytes\":8000000000");
    ready.value = over.value = taken.value = 0;
    edge_reset(edge);
    for (long i = 0; i < busy; i++) {
        numbers[i] = i;
        threads[i] = thread_of(keep_enqueueing, &numbers[i]);
    }
    counter_wait(&ready, busy);
    for (long i = 0; i < forks; i++) {
        pid_t child;
        fflush(NULL);
        child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            char *who = text_of("child-%ld", i);
            alarm(WATCHDOG_SECONDS);
            enqueue_own(shared, who);
            close_with(shared, OWN);
            _exit(0);
        }
        ended_well(child);
    }
    counter_raise(&over);
    for (long i = 0; i < busy; i++) {
        join(threads[i]);
    }
    CHECK_STATUS(TARGET_OK, target_flush(shared, FOREVER, NULL));
    CHECK(stat_of(shared, "notifications.accepted") == taken.value);
    CHECK(stat_of(shared, "notifications.acknowledged") == taken.value);
    check_balance(shared);
    target_client_free(shared);
    check_processed(taken.value + forks * OWN);
    if (spool != NULL) {
        shared = client_with(spool, SLOW);
        CHECK(stat_of(shared, "notifications.recovered") == 0);
        CHECK(stat_of(shared, "notifications.spool_damaged") == 0);
        target_client_free(shared);
    }
}

int main(int argc, char **argv) {
    CHECK(argc == 4);
    edge = argv[1];
    CHECK(atol(argv[3]) <= MOST_THREADS);
    CHECK(mkdtemp(directory) != NULL);
    each_delivers_its_own(NULL);
    each_delivers_its_own("own");
    the_dead_are_inherited_while_their_children_live("idle", 0);
    the_dead_are_inherited_while_their_children_live("busy", 1);
    a_click_that_a_dead_process_may_have_sent_is_not_repeated();
    fork_among_busy_threads(NULL, atol(argv[2]), atol(argv[3]));
    fork_among_busy_threads("threads", atol(argv[2]), atol(argv[3]));
    remove_directory(directory);
    return 0;
}
