/*
 * Asynchronous calls: which callback runs, what becomes of it, waits, cancelling, completions, and the end of the client
 * while calls go on.
 */
#include <atomic>

#include "check.hpp"

static const char* edge;

static const char SILENCE[] = R"({"type":"silence"})";

/* What the callbacks of a call did. A share of the token lives as long as they do. */
struct Calls {
    Counter succeeded;
    Counter failed;
    std::string text;
    target_status status = TARGET_OK;
    std::shared_ptr<int> token = std::make_shared<int>(0);

    at::ResultCallback on_result() {
        return [this, token = token](std::string_view envelope) {
            CHECK(token.use_count() >= 2 && envelope.data()[envelope.size()] == '\0');
            text = envelope;
            succeeded.raise();
        };
    }

    at::ErrorCallback on_error() {
        return [this, token = token](const at::Error& error) {
            text = error.json();
            status = error.status();
            failed.raise();
        };
    }
};

static void one_callback_runs_and_both_go() {
    const at::Client client(config_of(edge));
    Calls calls;
    const at::Request request = client.get_offers_async(OFFERS, calls.on_result(), calls.on_error());
    const at::String envelope = request.wait();
    calls.succeeded.wait(1);
    CHECK(calls.text == envelope.view());
    wait_until_alone(calls.token);
    CHECK(calls.failed.value() == 0 && calls.succeeded.value() == 1);

    edge_answers_next(edge, R"([{"type":"status","status":400,"message":"no"}])");
    client.send_notifications_async(DISPLAY, calls.on_result(), calls.on_error());
    calls.failed.wait(1);
    CHECK(calls.status == TARGET_ERR_HTTP && text_at(calls.text, "http_status") == "400");
    wait_until_alone(calls.token);

    client.get_attributes_async({"cart"}, std::nullopt, calls.on_result(), calls.on_error());
    calls.succeeded.wait(2);
    CHECK(text_at(calls.text, "attributes.cart.discount") == "15");
    wait_until_alone(calls.token);
}

static void an_empty_callback_is_skipped_and_the_other_goes() {
    const at::Client client(config_of(edge));
    Calls calls;
    client.get_offers_async(OFFERS, nullptr, calls.on_error()).wait();
    wait_until_alone(calls.token);
    edge_answers_next(edge, R"([{"type":"status","status":400}])");
    const at::Request failed = client.get_offers_async(OFFERS, calls.on_result());
    CHECK_ERROR(TARGET_ERR_HTTP, failed.try_wait());
    CHECK_ERROR(TARGET_ERR_HTTP, failed.try_wait_for(0ms));
    wait_until_alone(calls.token);
    CHECK(calls.succeeded.value() + calls.failed.value() == 0);
    /* They had a callback. */
    CHECK(!client.next_completion(0ms));
}

static void what_was_not_taken_goes_at_once() {
    at::Client client(config_of(edge));
    Calls calls;
    CHECK_ERROR(TARGET_ERR_INVALID_OPTIONS, client.try_get_offers_async("{}", calls.on_result(), calls.on_error()));
    CHECK(calls.token.use_count() == 1);
    client.close(0ms);
    CHECK_ERROR(TARGET_ERR_CLOSED, client.try_get_offers_async(OFFERS, calls.on_result(), calls.on_error()));
    CHECK_ERROR(TARGET_ERR_CLOSED,
                client.try_get_attributes_async({"cart"}, std::nullopt, calls.on_result(), calls.on_error()));
    CHECK_ERROR(TARGET_ERR_CLOSED, client.try_send_notifications_async(DISPLAY, calls.on_result(), calls.on_error()));
    CHECK(calls.token.use_count() == 1 && calls.succeeded.value() + calls.failed.value() == 0);
}

static void a_wait_that_ends_first_is_no_error() {
    const at::Client client(config_of(edge));
    edge_reset(edge);
    edge_answers_next(edge, R"([{"type":"silence"}])");
    Calls calls;
    const at::Request request = client.get_offers_async(OFFERS, calls.on_result(), calls.on_error());
    CHECK(!request.wait_for(0ms) && !request.wait_for(-1h) && !request.wait_for(1us));
    edge_wait_for_requests(edge, 1);
    request.cancel();
    request.cancel();
    CHECK_ERROR(TARGET_ERR_CANCELLED, request.try_wait());
    calls.failed.wait(1);
    CHECK(calls.status == TARGET_ERR_CANCELLED);
    wait_until_alone(calls.token);
}

static void calls_without_callbacks_are_completions() {
    const at::Client client(config_of(edge));
    CHECK(!client.next_completion(0ms));
    const at::Request request = client.get_offers_async(OFFERS);
    const std::optional<at::Completion> done = client.next_completion(at::forever);
    CHECK(done && done->request_id == request.id() && done->outcome);
    CHECK(done->outcome->view() == request.wait().view());

    edge_answers_next(edge, R"([{"type":"status","status":400}])");
    const std::uint64_t id = client.send_notifications_async(DISPLAY).id();
    const std::optional<at::Completion> failed = client.next_completion(at::forever);
    CHECK(failed && failed->request_id == id);
    CHECK_ERROR(TARGET_ERR_HTTP, failed->outcome);
    CHECK(text_at(failed->outcome.error().result(), "notifications.rejected[0]") == "1");
}

static void callbacks_may_call_the_client() {
    at::Client client(config_of(edge));
    Calls calls;
    Counter looked;
    client.get_offers_async(OFFERS, [&](std::string_view) {
        CHECK_ERROR(TARGET_ERR_WOULD_DEADLOCK, client.try_close(at::forever));
        CHECK_ERROR(TARGET_ERR_WOULD_DEADLOCK, client.try_flush(at::forever));
        CHECK(client.wait_ready(0ms) && !client.get_offers(OFFERS).empty());
        client.send_notifications_async(DISPLAY, calls.on_result(), calls.on_error());
        looked.raise();
    });
    calls.succeeded.wait(1);
    looked.wait(1);
    wait_until_alone(calls.token);
}

/* All at once, half of the handles dropped, then some from several threads at the same time. */
static void a_thousand_calls_end_once_each() {
    const at::Client client(config_of(edge));
    const auto token = std::make_shared<int>(0);
    std::atomic<int> succeeded{0}, failed{0};
    const auto start = [&](int calls) {
        std::vector<at::Request> kept;
        for (int i = 0; i < calls; ++i) {
            at::Request request = client.get_offers_async(
                OFFERS, [&succeeded, token](std::string_view) { ++succeeded; },
                [&failed, token](const at::Error&) { ++failed; });
            if (i % 2 == 0) {
                kept.push_back(std::move(request));
            }
        }
        for (const at::Request& request : kept) {
            request.wait();
        }
    };
    start(1000);
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back(start, 100);
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    wait_until_alone(token);
    CHECK(succeeded == 1400 && failed == 0);
}

static void the_end_of_the_client_ends_its_calls() {
    for (const bool closed_before : {false, true}) {
        edge_reset(edge);
        edge_answers(edge, SILENCE);
        Calls calls;
        std::vector<at::Request> requests;
        {
            at::Client client(config_of(edge, R"(,"close_timeout":1)"));
            for (int i = 0; i < 50; ++i) {
                const auto on_error = [&calls, token = calls.token](const at::Error& error) {
                    CHECK(error.status() == TARGET_ERR_CLOSED);
                    calls.failed.raise();
                };
                requests.push_back(client.get_offers_async(OFFERS, nullptr, on_error));
            }
            edge_wait_for_requests(edge, 1);
            if (closed_before) {
                client.close(0ms);
            }
        }
        CHECK(calls.failed.value() == 50 && calls.token.use_count() == 1);
        for (const at::Request& request : requests) {
            CHECK_ERROR(TARGET_ERR_CLOSED, request.try_wait());
        }
        edge_answers(edge, "null");
    }
}

static void assigning_ends_the_old_client() {
    edge_reset(edge);
    edge_answers(edge, SILENCE);
    at::Client client(config_of(edge, R"(,"close_timeout":1)"));
    Calls calls;
    /* The callback runs while the assignment waits for it, and uses the client that goes. */
    client.get_offers_async(OFFERS, nullptr, [&client, &calls](const at::Error&) {
        CHECK(!client.stats().empty());
        calls.failed.raise();
    });
    edge_wait_for_requests(edge, 1);
    client = at::Client();
    CHECK(calls.failed.value() == 1 && !client);
    edge_answers(edge, "null");
}

int main(int, char** argv) {
    edge = argv[1];
    one_callback_runs_and_both_go();
    an_empty_callback_is_skipped_and_the_other_goes();
    what_was_not_taken_goes_at_once();
    a_wait_that_ends_first_is_no_error();
    calls_without_callbacks_are_completions();
    callbacks_may_call_the_client();
    a_thousand_calls_end_once_each();
    the_end_of_the_client_ends_its_calls();
    assigning_ends_the_old_client();
    return 0;
}
