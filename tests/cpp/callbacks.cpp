/*
 * Callbacks of events and of the logger: replaced from outside, from inside, by several threads at once, with their
 * client moved meanwhile; and what becomes of what they own.
 */
#include <atomic>

#include "check.hpp"

static const char* edge;

/* Causes one event "send_notification_error". */
static void cause_event(const at::Client& client) {
    edge_answers_next(edge, R"([{"type":"status","status":400,"message":"no"}])");
    CHECK_ERROR(TARGET_ERR_HTTP, client.try_send_notifications(DISPLAY));
}

static void events_come_to_the_callback_in_their_order() {
    at::Client client(config_of(edge));
    std::vector<std::string> types;
    Counter events;
    client.on_event([&](std::string_view event) {
        CHECK(event.data()[event.size()] == '\0');
        types.push_back(text_at(event, "type"));
        if (types.size() == 2) {
            const at::Error error(raw_at(event, "error"));
            CHECK(error.status() == TARGET_ERR_HTTP && error.http_status() == 400 && error.api_message() == "no");
        }
        events.raise();
    });
    cause_event(client);
    events.wait(2);
    CHECK((types == std::vector<std::string>{"client_ready", "send_notification_error"}));
    CHECK(!client.next_event(0ms));
}

static void what_a_callback_owns_goes_when_it_is_replaced() {
    at::Client client(config_of(edge));
    const auto first = std::make_shared<int>(0), second = std::make_shared<int>(0);
    client.on_event([first](std::string_view) {});
    CHECK(first.use_count() == 2);
    client.on_event([second](std::string_view) {});
    CHECK(first.use_count() == 1 && second.use_count() == 2);
    client.on_event(nullptr);
    CHECK(second.use_count() == 1);
    client.on_event(nullptr);
    client.on_event([first](std::string_view) {});
    /* Events that are left go to it before it goes with its client. */
    cause_event(client);
    client = at::Client();
    CHECK(first.use_count() == 1);
}

static void replacing_waits_for_a_callback_that_runs() {
    at::Client client(config_of(edge));
    Counter entered;
    std::atomic<bool> left{false};
    const auto token = std::make_shared<int>(0);
    client.on_event([&entered, &left, token](std::string_view) {
        entered.raise();
        std::this_thread::sleep_for(20ms);
        left = true;
    });
    entered.wait(1);
    client.on_event(nullptr);
    CHECK(left && token.use_count() == 1);
}

/* It is still running on its own captures when it has replaced itself. */
static void a_callback_may_replace_itself() {
    at::Client client(config_of(edge));
    Counter set, replaced;
    Counter events_of_next;
    const auto token = std::make_shared<int>(0), next_token = std::make_shared<int>(0);
    client.on_event([&, token, text = std::string(1000, 'x')](std::string_view) {
        /* Two that replace at the same time leave what they replaced to the next. */
        set.wait(1);
        client.on_event([&events_of_next, next_token](std::string_view) { events_of_next.raise(); });
        client.on_event([&events_of_next, next_token](std::string_view) { events_of_next.raise(); });
        CHECK(token.use_count() == 2 && text == std::string(1000, 'x'));
        CHECK(next_token.use_count() == 2);
        replaced.raise();
    });
    set.raise();
    replaced.wait(1);
    wait_until_alone(token);
    cause_event(client);
    events_of_next.wait(1);
    client.on_event([&](std::string_view) { client.on_event(nullptr); });
    CHECK(next_token.use_count() == 1);
    cause_event(client);
    CHECK(replaced.value() == 1);
}

static void clients_move_while_their_callbacks_are_set() {
    at::Client client(config_of(edge));
    Counter events;
    const auto token = std::make_shared<int>(0);
    client.on_event([&events, token](std::string_view) { events.raise(); });
    at::Client other = std::move(client);
    cause_event(other);
    events.wait(2);
    client = std::move(other);
    cause_event(client);
    events.wait(3);
    client.on_event(nullptr);
    CHECK(token.use_count() == 1);
}

static void threads_may_replace_at_the_same_time() {
    at::Client client(config_of(edge));
    const auto token = std::make_shared<int>(0);
    std::atomic<int> events{0};
    const auto callback = [&] { return [&events, token](std::string_view) { events += *token + 1; }; };
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&client, &callback, i] {
            for (int n = 0; n < 200; ++n) {
                client.on_event(n % 3 == i % 3 ? at::EventCallback() : callback());
            }
        });
    }
    /* Enqueued notifications make events and fail nothing. */
    for (int n = 0; n < 50; ++n) {
        client.enqueue_notifications(DISPLAY);
        client.flush(at::forever);
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    /* Whichever was the last, this one comes after it. */
    client.on_event(nullptr);
    CHECK(token.use_count() == 1);
    const int before = events;
    cause_event(client);
    CHECK(events == before && client.next_event(at::forever));
}

/* Logs one line of level debug on this thread before it returns. */
static void cause_line(const at::Client& client) {
    CHECK_VALUE(client.try_get_offers(
        R"({"request":{"property":{"token":"other"},"execute":{"mboxes":[{"name":"home"}]}}})"));
}

static void the_logger_gets_lines_of_its_level() {
    const at::Client client(config_of(edge, R"(,"property_token":"mine")"));
    const auto token = std::make_shared<int>(0);
    std::atomic<int> lines{0};
    const at::LogCallback logger = [&lines, token](target_log_level level, std::string_view message) {
        CHECK(level >= TARGET_LOG_ERROR && level <= TARGET_LOG_DEBUG);
        lines += message.find("property") != std::string_view::npos;
    };
    at::set_logger(logger, TARGET_LOG_DEBUG);
    cause_line(client);
    CHECK(lines == 1);
    at::set_logger(logger, TARGET_LOG_ERROR);
    cause_line(client);
    CHECK(lines == 1);
    at::set_logger(nullptr);
    CHECK(token.use_count() == 2);
}

static void a_logger_may_replace_itself() {
    const at::Client client(config_of(edge, R"(,"property_token":"mine")"));
    const auto token = std::make_shared<int>(0), next_token = std::make_shared<int>(0);
    std::atomic<int> lines{0};
    at::set_logger(
        [&lines, token, next_token, text = std::string(1000, 'x')](target_log_level, std::string_view) {
            at::set_logger([&lines, next_token](target_log_level, std::string_view) { ++lines; }, TARGET_LOG_TRACE);
            CHECK(text == std::string(1000, 'x') && token.use_count() >= 2);
        },
        TARGET_LOG_TRACE);
    cause_line(client);
    cause_line(client);
    CHECK(lines > 0);
    at::set_logger(nullptr);
    CHECK(token.use_count() == 1 && next_token.use_count() == 1);
}

static void loggers_change_while_threads_log() {
    const at::Client client(config_of(edge));
    std::atomic<bool> over{false};
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) {
        threads.emplace_back([&] {
            while (!over) {
                client.get_offers(OFFERS);
            }
        });
    }
    const auto token = std::make_shared<int>(0);
    std::atomic<int> lines{0};
    for (int i = 0; i < 100; ++i) {
        at::set_logger(
            [&lines, i, token](target_log_level, std::string_view) {
                ++lines;
                if (i % 2 == 0) {
                    at::set_logger([&lines, token](target_log_level, std::string_view) { ++lines; }, TARGET_LOG_TRACE);
                }
            },
            TARGET_LOG_TRACE);
        client.get_offers(OFFERS);
    }
    at::set_logger(nullptr);
    CHECK(token.use_count() == 1);
    over = true;
    for (std::thread& thread : threads) {
        thread.join();
    }
}

int main(int, char** argv) {
    edge = argv[1];
    events_come_to_the_callback_in_their_order();
    what_a_callback_owns_goes_when_it_is_replaced();
    replacing_waits_for_a_callback_that_runs();
    a_callback_may_replace_itself();
    clients_move_while_their_callbacks_are_set();
    threads_may_replace_at_the_same_time();
    the_logger_gets_lines_of_its_level();
    a_logger_may_replace_itself();
    loggers_change_while_threads_log();
    /* One that is there until the end of the process. */
    at::set_logger([text = std::string(1000, 'x')](target_log_level, std::string_view) { CHECK(text.size() == 1000); },
                   TARGET_LOG_TRACE);
    return 0;
}
