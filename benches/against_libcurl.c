/*
 * target_send_notifications against libcurl posting the same bytes to the same server.
 *
 * against_libcurl HOST:PORT [CALLS [ROUNDS]]
 *
 * Both clients take turns in one process: so many sequential calls on one thread, then the same from eight
 * threads. CPU is that of this process alone (getrusage), the server is another one. The medians of all rounds
 * are printed as a table with ratios. "only target" or "only curl" as a last argument makes CALLS calls with
 * that client and nothing else, to be counted by strace.
 */
#define _POSIX_C_SOURCE 200809L
#include <adobe_target.h>
#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { MAX_ROUNDS = 31, THREADS = 8 };

static const char OPTIONS[] =
    "{\"session_id\":\"7f3d0a52-6d0c-4b62-9f0c-0d7cf0a5a0c1\",\"target_cookie\":"
    "\"session#7f3d0a52-6d0c-4b62-9f0c-0d7cf0a5a0c1#4102444800|PC#c2f0f9f8d3c24ac6a1f8c0f9aab0d1b7.35_0#4102444800\","
    "\"request\":{\"context\":{\"channel\":\"web\",\"timeOffsetInMinutes\":60,\"address\":{\"url\":"
    "\"https://shop.example.com/products/1?utm_source=mail\"},\"userAgent\":\"Mozilla/5.0 (X11; Linux x86_64) "
    "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36\"},\"notifications\":[{\"id\":\"1\","
    "\"type\":\"display\",\"timestamp\":1621530726000,\"mbox\":{\"name\":\"product1\"},\"tokens\":[]}]}}";

static target_client *client;
static char *body;
static char url[512];
static struct curl_slist *headers;

static void die(const char *what) {
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static double cpu_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec +
           ((double)usage.ru_utime.tv_usec + (double)usage.ru_stime.tv_usec) / 1e6;
}

static double wall_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void target_calls(long calls) {
    for (long i = 0; i < calls; i++) {
        char *result = NULL;
        target_status status = target_send_notifications(client, OPTIONS, &result);
        if (status != TARGET_OK) die(result);
        target_string_free(result);
    }
}

struct answer {
    char *text;
    size_t used, size;
};

static size_t take(char *data, size_t one, size_t count, void *to) {
    struct answer *answer = to;
    (void)one;
    if (answer->used + count + 1 > answer->size) {
        answer->size = (answer->used + count + 1) * 2;
        answer->text = realloc(answer->text, answer->size);
        if (answer->text == NULL) die("no memory");
    }
    memcpy(answer->text + answer->used, data, count);
    answer->used += count;
    answer->text[answer->used] = '\0';
    return count;
}

static CURL *new_handle(struct answer *answer) {
    CURL *curl = curl_easy_init();
    if (curl == NULL) die("curl_easy_init");
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)strlen(body));
    curl_easy_setopt(curl, CURLOPT_ACCEPT_ENCODING, "gzip");
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, 3000L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
    return curl;
}

/* The handle of the main thread is reused from round to round, as a program would. */
static void curl_calls_on(CURL *curl, struct answer *answer, long calls) {
    for (long i = 0; i < calls; i++) {
        long status = 0;
        answer->used = 0;
        if (curl_easy_perform(curl) != CURLE_OK) die("curl_easy_perform");
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
        if (status != 200) die(answer->text);
    }
}

static void curl_calls(long calls) {
    static CURL *curl;
    static struct answer answer;
    if (curl == NULL) curl = new_handle(&answer);
    curl_calls_on(curl, &answer, calls);
}

static void *target_thread(void *calls) {
    target_calls(*(long *)calls);
    return NULL;
}

static void *curl_thread(void *calls) {
    struct answer answer = {0};
    CURL *curl = new_handle(&answer);
    curl_calls_on(curl, &answer, *(long *)calls);
    curl_easy_cleanup(curl);
    free(answer.text);
    return NULL;
}

static void in_threads(void *(*work)(void *), long calls) {
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, work, &calls) != 0) die("pthread_create");
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
}

static void target_in_threads(long calls) { in_threads(target_thread, calls / THREADS); }
static void curl_in_threads(long calls) { in_threads(curl_thread, calls / THREADS); }

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count) {
    qsort(values, (size_t)count, sizeof *values, ascending);
    return values[count / 2];
}

static void compare(const char *name, void (*ours)(long), void (*theirs)(long), long calls, int rounds) {
    void (*run[2])(long) = {ours, theirs};
    double cpu[2][MAX_ROUNDS], rate[2][MAX_ROUNDS];
    for (int which = 0; which < 2; which++) run[which](calls / 10);
    for (int round = 0; round < rounds; round++) {
        for (int which = 0; which < 2; which++) {
            double cpu_before = cpu_seconds(), wall_before = wall_seconds();
            run[which](calls);
            cpu[which][round] = (cpu_seconds() - cpu_before) / (double)calls * 1e6;
            rate[which][round] = (double)calls / (wall_seconds() - wall_before);
        }
    }
    double our_cpu = median(cpu[0], rounds), their_cpu = median(cpu[1], rounds);
    double our_rate = median(rate[0], rounds), their_rate = median(rate[1], rounds);
    printf("%-10s  CPU/call  target %6.2f us  libcurl %6.2f us  ratio %4.2f\n", name, our_cpu, their_cpu,
           our_cpu / their_cpu);
    printf("%-10s  calls/s   target %6.0f     libcurl %6.0f     ratio %4.2f\n", name, our_rate, their_rate,
           our_rate / their_rate);
}

/* The member "request" of a result is the body that was sent. */
static char *sent_body(const char *result) {
    const char *from = strstr(result, "\"request\":{");
    const char *to = strstr(result, ",\"visitor_state\":");
    if (from == NULL || to == NULL) die("no request in the result");
    from += strlen("\"request\":");
    char *copy = malloc((size_t)(to - from) + 1);
    if (copy == NULL) die("no memory");
    memcpy(copy, from, (size_t)(to - from));
    copy[to - from] = '\0';
    return copy;
}

int main(int argc, char **argv) {
    if (argc < 2) die("usage: against_libcurl HOST:PORT [CALLS [ROUNDS]] [only target|curl]");
    long calls = argc > 2 ? atol(argv[2]) : 20000;
    int rounds = argc > 3 ? atoi(argv[3]) : 7;
    if (rounds < 1 || rounds > MAX_ROUNDS) die("1 to 31 rounds");
    char config[512];
    snprintf(config, sizeof config,
             "{\"client\":\"demo\",\"organization_id\":\"0DD934B85278256B0A490D44@AdobeOrg\",\"server_domain\":\"%s\","
             "\"secure\":false,\"proxy\":\"none\"}",
             argv[1]);
    char *result = NULL;
    if (target_client_create(config, &client, &result) != TARGET_OK) die(result);
    target_string_free(result);
    if (target_send_notifications(client, OPTIONS, &result) != TARGET_OK) die(result);
    body = sent_body(result);
    target_string_free(result);
    snprintf(url, sizeof url,
             "http://%s/rest/v1/delivery?imsOrgId=0DD934B85278256B0A490D44%%40AdobeOrg&"
             "sessionId=7f3d0a52-6d0c-4b62-9f0c-0d7cf0a5a0c1",
             argv[1]);
    headers = curl_slist_append(headers, "Content-Type: application/json");
    headers = curl_slist_append(headers, "X-EXC-SDK: adobe-target-native");
    headers = curl_slist_append(headers, "X-EXC-SDK-Version: 0.1.0");
    headers = curl_slist_append(headers, "X-Request-Id: 5efee0d8-3779-4b12-a74e-e04848faf191");
    headers = curl_slist_append(headers, "Accept:");
    headers = curl_slist_append(headers, "Expect:");
    curl_global_init(CURL_GLOBAL_DEFAULT);

    if (argc > 4 && strcmp(argv[argc - 1], "target") == 0) {
        target_calls(calls);
    } else if (argc > 4 && strcmp(argv[argc - 1], "curl") == 0) {
        curl_calls(calls);
    } else {
        compare("1 thread", target_calls, curl_calls, calls, rounds);
        compare("8 threads", target_in_threads, curl_in_threads, calls, rounds);
        if (target_client_stats(client, &result) == TARGET_OK) {
            printf("stats      %s\n", result);
            target_string_free(result);
        }
    }
    target_client_free(client);
    curl_slist_free_all(headers);
    free(body);
    return 0;
}
