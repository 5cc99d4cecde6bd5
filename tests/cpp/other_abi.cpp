/*
 * A program that was compiled for another version of the ABI is told so, and gets no client.
 */
#include "adobe_target.h"

#undef TARGET_ABI_VERSION
#define TARGET_ABI_VERSION 77u

#include "check.hpp"

int main(int, char** argv) {
    const auto client = at::Client::try_create(config_of(argv[1]));
    CHECK_ERROR(TARGET_ERR_UNSUPPORTED, client);
    CHECK(client.error().message() == "the library has ABI version 1, the program was compiled for 77");
    CHECK(client.error().field().empty() && client.error().phase() == "validate");
    return 0;
}
