/*
 * A program of two files, one with exceptions and one without: each has the functions that it was compiled with.
 */
#include "check.hpp"
#include "mixed.hpp"

#if !ADOBE_TARGET_EXCEPTIONS
#error "This file is to be compiled with exceptions."
#endif

static const char* edge;

static std::string refused_with_exceptions(const at::Client& client) {
    try {
        return client.get_offers("{}").str();
    } catch (const at::Error& error) {
        return error.code();
    }
}

static void each_has_its_own() {
    const at::Client client(config_of(edge));
    for (int i = 0; i < 3; ++i) {
        CHECK(refused_with_exceptions(client) == "TARGET_ERR_INVALID_OPTIONS");
        CHECK(refused_without_exceptions(config_of(edge)) == "TARGET_ERR_INVALID_OPTIONS");
    }
    bool thrown = false;
    try {
        at::Result<at::String>(at::Error(TARGET_ERR_CLOSED, "")).value();
    } catch (const at::Error&) {
        thrown = true;
    }
    CHECK(thrown);
}

/* That a thread is inside a callback is known to both. */
static void callbacks_of_one_are_callbacks_of_the_other() {
    const at::Client client(config_of(edge));
    Counter done;
    client.get_offers_async(OFFERS, [&done](std::string_view) {
        destroy_without_exceptions(config_of(edge));
        done.raise();
    });
    done.wait(1);
}

int main(int, char** argv) {
    edge = argv[1];
    each_has_its_own();
    callbacks_of_one_are_callbacks_of_the_other();
    return 0;
}
