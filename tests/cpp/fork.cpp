/*
 * A forked child uses its parent's client, and goes without a trace when it has not.
 */
#include <sys/wait.h>
#include <unistd.h>

#include "check.hpp"

static const char* edge;

template <class Child>
static void in_a_child(Child child) {
    const pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        child();
        _exit(0);
    }
    int status = -1;
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(int, char** argv) {
    edge = argv[1];
    Counter events;
    const auto token = std::make_shared<int>(0);
    at::Client client(config_of(edge, R"(,"property_token":"mine")"));
    client.on_event([&events, token](std::string_view) { events.raise(); });
    events.wait(1);
    int lines = 0;
    at::set_logger([&lines](target_log_level, std::string_view) { ++lines; }, TARGET_LOG_WARN);
    const at::Request request = client.get_offers_async(OFFERS);
    const at::String offers = request.wait();

    in_a_child([&] {
        CHECK(client.get_offers(OFFERS).size() > 0);
        CHECK_ERROR(TARGET_ERR_CLOSED, request.try_wait());
        CHECK_ERROR(TARGET_ERR_CLOSED, request.try_cancel());
        Counter done;
        client.get_offers_async(OFFERS, [&done](std::string_view) { done.raise(); });
        done.wait(1);
        client.on_event(nullptr);
        CHECK(token.use_count() == 1);
        client.close(at::forever);
        client = at::Client();
    });
    in_a_child([&] {
        client = at::Client();
        CHECK(token.use_count() == 1);
        at::set_logger(nullptr);
    });

    CHECK(client.get_offers(OFFERS).size() > 0 && request.wait().view() == offers.view());
    client = at::Client();
    CHECK(token.use_count() == 1);
    at::set_logger(nullptr);
    return 0;
}
