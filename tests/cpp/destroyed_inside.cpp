/*
 * Clients that are destroyed inside a callback: the library goes on, and what it goes on with stays. They are leaked, so
 * this program is not looked at for leaks.
 */
#include <atomic>

#include "check.hpp"

static const char* edge;

/* The library logs it once, as target_client_free does. */
static std::atomic<int> complaints{0};

static void cause_event(target_client* client) {
    edge_answers_next(edge, R"([{"type":"status","status":400,"message":"no"}])");
    CHECK_STATUS(TARGET_ERR_HTTP, target_send_notifications(client, DISPLAY, nullptr));
}

/* The last pointer to the client goes with the callback of one of its calls. */
static void by_the_last_pointer_in_a_callback() {
    const auto token = std::make_shared<int>(0);
    Counter events;
    auto client = std::make_shared<at::Client>(config_of(edge));
    target_client* const handle = client->handle();
    client->on_event([&events, token](std::string_view) { events.raise(); });
    events.wait(1);
    edge_answers_next(edge, R"([{"type":"delay","ms":50}])");
    at::Client* const weak = client.get();
    const at::Request request = weak->get_offers_async(OFFERS, [owned = std::move(client)](std::string_view) {});
    CHECK(!request.wait().empty());
    while (complaints < 1) {
        std::this_thread::sleep_for(1ms);
    }
    /* It lives, and so does its callback. */
    cause_event(handle);
    events.wait(2);
    CHECK(token.use_count() == 2);
    target_client_free(handle);
    CHECK(complaints == 1);
}

static void in_its_own_event_callback() {
    const auto token = std::make_shared<int>(0);
    Counter events;
    auto client = std::make_unique<at::Client>(config_of(edge));
    target_client* const handle = client->handle();
    client->on_event([&client, &events, token](std::string_view) {
        client.reset();
        events.raise();
    });
    events.wait(1);
    CHECK(complaints == 2);
    cause_event(handle);
    events.wait(2);
    CHECK(token.use_count() == 2);
    target_client_free(handle);
}

static void by_assignment_in_an_error_callback() {
    Counter failed;
    at::Client client(config_of(edge));
    target_client* const handle = client.handle();
    edge_answers_next(edge, R"([{"type":"status","status":400}])");
    client.get_offers_async(OFFERS, nullptr, [&](const at::Error&) {
        client = at::Client(config_of(edge));
        failed.raise();
    });
    failed.wait(1);
    CHECK(complaints == 3 && client.handle() != handle);
    CHECK(!client.get_offers(OFFERS).empty());
    target_client_free(handle);
}

static void destroy(const char*, void* client) {
    static_cast<std::unique_ptr<at::Client>*>(client)->reset();
}

/* A callback that was set in C is one, too: only the library knows. */
static void in_a_callback_of_the_c_header() {
    const auto token = std::make_shared<int>(0);
    Counter events;
    auto client = std::make_unique<at::Client>(config_of(edge));
    target_client* const handle = client->handle();
    client->on_event([&events, token](std::string_view) { events.raise(); });
    events.wait(1);
    target_request* request = nullptr;
    CHECK_STATUS(TARGET_OK,
                 target_get_offers_async(handle, OFFERS, destroy, destroy, &client, &request, nullptr));
    CHECK_STATUS(TARGET_OK, target_request_wait(request, TARGET_WAIT_FOREVER, nullptr));
    target_request_free(request);
    while (complaints < 4) {
        std::this_thread::sleep_for(1ms);
    }
    cause_event(handle);
    events.wait(2);
    CHECK(token.use_count() == 2);
    target_client_free(handle);
}

int main(int, char** argv) {
    edge = argv[1];
    at::set_logger(
        [](target_log_level, std::string_view message) {
            complaints += message.find("target_client_free") != std::string_view::npos;
        },
        TARGET_LOG_ERROR);
    by_the_last_pointer_in_a_callback();
    in_its_own_event_callback();
    by_assignment_in_an_error_callback();
    in_a_callback_of_the_c_header();
    at::set_logger(nullptr);
    return 0;
}
