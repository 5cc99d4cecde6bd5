/*
 * One program with three libraries that know nothing of each other: ours, another one written in Rust, and OpenSSL's,
 * which has cryptography as ours has. Each does its work, also inside callbacks of ours.
 */
#include "check.h"

#include <openssl/evp.h>
#include <stdio.h>

uint32_t other_catches(uint32_t depth);
uint32_t other_threads_panic(uint32_t threads, uint32_t depth);
uint32_t other_destroyed(void);
uint32_t other_panics(void);
uint32_t other_sum(uint32_t numbers);

static uint32_t panics, destroyed;

static void other_works(void) {
    CHECK(other_sum(100) == 4950);
    CHECK(other_catches(7) == 1);
    CHECK(other_threads_panic(3, 4) == 3);
    panics += 1 + 3;
    destroyed += 8 + 3 * 5;
    CHECK(other_panics() == panics);
    CHECK(other_destroyed() == destroyed);
}

static void openssl_works(void) {
    static const unsigned char expected[] = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea};
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int length = 0;
    CHECK(EVP_Digest("abc", 3, digest, &length, EVP_sha256(), NULL) == 1);
    CHECK(length == 32 && memcmp(digest, expected, sizeof expected) == 0);
}

static struct counter answered = COUNTER;

static void on_a_thread_of_ours(const char *json, void *user_data) {
    (void)user_data;
    CHECK_JSON(json, "response.prefetch.mboxes[0].name", "home");
    other_works();
    openssl_works();
    counter_raise(&answered);
}

static void failed(const char *json, void *user_data) {
    (void)user_data;
    check_failed(__FILE__, __LINE__, "the asynchronous call failed", json);
}

int main(int argc, char **argv) {
    target_client *client;
    char *result = NULL;
    CHECK(argc == 2);
    other_works();
    client = client_of(argv[1], "");
    openssl_works();
    CHECK_OK(target_get_offers(client, OFFERS, &result), result);
    CHECK_JSON(result, "response.prefetch.mboxes[0].name", "home");
    target_string_free(result);
    other_works();
    CHECK_STATUS(TARGET_OK, target_get_offers_async(client, OFFERS, on_a_thread_of_ours, failed, NULL, NULL, NULL));
    counter_wait(&answered, 1);
    /* What was refused has gone through all that catches errors inside. */
    CHECK_FIELD(TARGET_ERR_INVALID_OPTIONS, target_get_offers(client, "{\"reqest\":{}}", &result), result, "reqest");
    target_client_free(client);
    other_works();
    openssl_works();
    printf("%u panics, %u values destroyed\n", other_panics(), other_destroyed());
    return 0;
}
