/*
 * The whole header in a program without exceptions, and without RTTI.
 */
#include "check.hpp"

#if ADOBE_TARGET_EXCEPTIONS
#error "This program is to be compiled with -fno-exceptions or ADOBE_TARGET_NO_EXCEPTIONS."
#endif

static const char* edge;

static at::Client client_that_is_made() {
    CHECK_ERROR(TARGET_ERR_INVALID_OPTIONS, at::Client::try_create("{}"));
    at::Result<at::Client> made = at::Client::try_create(config_of(edge));
    CHECK(made.has_value());
    return std::move(made).value();
}

static void blocking_calls(const at::Client& client) {
    const at::Result<at::String> offers = client.try_get_offers(OFFERS);
    CHECK(offers && text_at(*offers, "response.prefetch.mboxes[0].name") == "home");
    CHECK(text_at(CHECK_VALUE(client.try_get_attributes({"cart"})), "attributes.cart.discount") == "15");
    CHECK(raw_at(CHECK_VALUE(client.try_send_notifications(DISPLAY)), "meta.notifications.acknowledged") == R"(["1"])");
    CHECK_ERROR(TARGET_ERR_UNSUPPORTED, client.try_refresh());
    CHECK_VALUE(client.try_wait_ready(at::forever));
}

static void the_queue(const at::Client& client) {
    CHECK_VALUE(client.try_enqueue_notifications(DISPLAY));
    CHECK(CHECK_VALUE(client.try_flush(at::forever)).acknowledged == 1);
    const auto first = CHECK_VALUE(client.try_next_event(0ms));
    CHECK(first && text_at(*first, "type") == "client_ready");
}

static void asynchronous_calls(const at::Client& client) {
    Counter done;
    const auto token = std::make_shared<int>(0);
    at::ResultCallback on_result = [&done, token](std::string_view) { done.raise(); };
    at::ErrorCallback on_error = [token](const at::Error& error) {
        check_failed(__FILE__, __LINE__, error.what(), "");
    };
    const at::Request request =
        CHECK_VALUE(client.try_get_offers_async(OFFERS, std::move(on_result), std::move(on_error)));
    CHECK_VALUE(request.try_wait());
    CHECK(CHECK_VALUE(request.try_wait_for(0ms)).has_value());
    CHECK_VALUE(request.try_cancel());
    done.wait(1);
    wait_until_alone(token);
    const at::Request other = CHECK_VALUE(client.try_get_attributes_async({"cart"}));
    const auto completion = CHECK_VALUE(client.try_next_completion(at::forever));
    CHECK(completion && completion->request_id == other.id() && completion->outcome);
    CHECK_VALUE(CHECK_VALUE(client.try_send_notifications_async(DISPLAY)).try_wait());
}

static void callbacks(at::Client& client) {
    Counter lines;
    CHECK_VALUE(at::try_set_logger([&lines](target_log_level, std::string_view) { lines.raise(); }, TARGET_LOG_TRACE));
    CHECK_VALUE(client.try_on_event([](std::string_view) {}));
    CHECK_VALUE(client.try_get_offers(OFFERS));
    CHECK_VALUE(client.try_on_event(nullptr));
    CHECK_VALUE(at::try_set_logger(nullptr));
    CHECK(lines.value() > 0);
}

int main(int, char** argv) {
    edge = argv[1];
    at::Client client = client_that_is_made();
    blocking_calls(client);
    the_queue(client);
    asynchronous_calls(client);
    callbacks(client);
    CHECK(CHECK_VALUE(client.try_close(at::forever)).complete());
    CHECK_ERROR(TARGET_ERR_CLOSED, client.try_get_offers(OFFERS));
    CHECK(!CHECK_VALUE(client.try_stats()).empty());
    return 0;
}
