/*
 * What errors say, whether they are thrown or returned: of the library, of objects that are empty, and of texts with a
 * NUL inside.
 */
#include "check.hpp"

static const char* edge;

static void a_client_that_cannot_be_made_says_why() {
    try {
        const at::Client client(R"({"client":"acme"})");
        check_failed(__FILE__, __LINE__, "a client without an organization", "");
    } catch (const at::Error& error) {
        CHECK(error.status() == TARGET_ERR_INVALID_OPTIONS && error.code() == "TARGET_ERR_INVALID_OPTIONS");
        CHECK(error.message() == "Organization Id is required" && error.field() == "organization_id");
        CHECK(error.phase() == "validate" && error.attempts() == 0 && !error.http_status() && !error.retryable());
        CHECK(std::string_view(error.what()) == "TARGET_ERR_INVALID_OPTIONS: Organization Id is required");
    }
    CHECK_ERROR(TARGET_ERR_INVALID_JSON, at::Client::try_create("{"));
    CHECK_ERROR(TARGET_ERR_INVALID_JSON, at::Client::try_create(""));
    CHECK_ERROR(TARGET_ERR_INVALID_ARGUMENT, at::Client::try_create("\xFF"));
}

static void a_refusal_has_its_facts(const at::Client& client) {
    edge_answers_next(edge, R"([{"type":"status","status":429,"retry_after":"7","message":"slow \"down\""}])");
    const auto refused = client.try_send_notifications(
        R"({"timeout":5000,"request":{"requestId":"mine","notifications":[{"id":"9\"\u00e9","type":"display",)"
        R"("timestamp":1621530726000,"mbox":{"name":"home"}}]}})");
    CHECK_ERROR(TARGET_ERR_HTTP, refused);
    const at::Error& error = refused.error();
    CHECK(error.http_status() == 429 && error.phase() == "response" && error.api_message() == "slow \"down\"");
    CHECK(error.retryable() && error.retry_after() == 7s && error.attempts() == 1 && error.request_id() == "mine");
    CHECK(text_at(error.result(), "notifications.rejected[0]") == "9\"\xC3\xA9" ||
          text_at(error.result(), "notifications.not_sent[0]") == "9\"\xC3\xA9");
    CHECK(text_at(error.json(), "http_status") == "429");
}

static void a_deadline_has_its_facts(const at::Client& client) {
    edge_answers_next(edge, R"([{"type":"silence"}])");
    try {
        client.get_offers(R"({"timeout":50,"request":{"execute":{"pageLoad":{}}}})");
        check_failed(__FILE__, __LINE__, "an answer of a silent edge", "");
    } catch (const std::exception& caught) {
        const auto* const error = dynamic_cast<const at::Error*>(&caught);
        CHECK(error != nullptr && error->status() == TARGET_ERR_TIMEOUT && error->elapsed() >= 50ms);
        CHECK(error->result().empty() && error->retryable());
    }
}

static void options_name_their_field(const at::Client& client) {
    const auto refused = client.try_get_offers(R"({"request":{"execute":{"mboxes":[{"name":1}]}}})");
    CHECK_ERROR(TARGET_ERR_INVALID_OPTIONS, refused);
    CHECK(refused.error().field() == "request.execute.mboxes[0].name");
    CHECK_ERROR(TARGET_ERR_INVALID_OPTIONS, client.try_get_attributes({}));
    CHECK_ERROR(TARGET_ERR_INVALID_JSON, client.try_get_attributes(at::MboxNames::from_json("cart")));
    CHECK_ERROR(TARGET_ERR_INVALID_JSON, client.try_get_attributes({"cart"}, ""));
    CHECK_ERROR(TARGET_ERR_INVALID_ARGUMENT, client.try_get_attributes({"\xFF"}));
    CHECK_ERROR(TARGET_ERR_UNSUPPORTED, client.try_refresh());
    CHECK_ERROR(TARGET_ERR_INVALID_ARGUMENT, at::try_set_logger([](target_log_level, std::string_view) {}, 0));
}

template <class T>
static void is_about(const at::Result<T>& result, const char* field) {
    CHECK_ERROR(TARGET_ERR_INVALID_ARGUMENT, result);
    CHECK(result.error().field() == field && result.error().phase() == "validate" && !result.error().message().empty());
    CHECK(text_at(result.error().json(), "code") == "TARGET_ERR_INVALID_ARGUMENT");
}

/* Nothing is cut off: what follows the NUL may be what matters. */
static void texts_with_a_nul_are_refused(const at::Client& client) {
    const std::string options = std::string(OFFERS) + '\0' + "and more";
    const at::ResultCallback on_result = [](std::string_view) { check_failed(__FILE__, __LINE__, "a result", ""); };
    const at::ErrorCallback on_error = [](const at::Error&) { check_failed(__FILE__, __LINE__, "an error", ""); };
    is_about(at::Client::try_create(config_of(edge) + '\0'), "config");
    is_about(client.try_get_offers(options), "options");
    is_about(client.try_get_attributes({"cart"}, options), "options");
    is_about(client.try_get_attributes(at::MboxNames::from_json(std::string_view("[\"a\0\"]", 6))), "mbox_names");
    is_about(client.try_send_notifications(options), "options");
    is_about(client.try_enqueue_notifications(options), "options");
    is_about(client.try_get_offers_async(options, on_result, on_error), "options");
    is_about(client.try_get_attributes_async({"cart"}, options, on_result, on_error), "options");
    is_about(client.try_send_notifications_async(options, on_result, on_error), "options");
    CHECK(client.try_get_offers(options).error().message() ==
          "`options` has a NUL (byte " + std::to_string(std::strlen(OFFERS)) + ")");
    /* A name may have one, as far as JSON goes. */
    CHECK(client.try_get_attributes({std::string_view("a\0b", 3)}).has_value());
    /* Texts need no NUL at their end. */
    CHECK(client.try_get_offers(std::string_view(options).substr(0, std::strlen(OFFERS))).has_value());
}

static void an_empty_client_answers(at::Client client) {
    CHECK(!client && client.handle() == nullptr);
    is_about(client.try_get_offers(OFFERS), "client");
    is_about(client.try_get_attributes({"cart"}), "client");
    is_about(client.try_send_notifications(DISPLAY), "client");
    is_about(client.try_enqueue_notifications(DISPLAY), "client");
    is_about(client.try_flush(at::forever), "client");
    is_about(client.try_close(at::forever), "client");
    is_about(client.try_wait_ready(at::forever), "client");
    is_about(client.try_refresh(), "client");
    is_about(client.try_stats(), "client");
    is_about(client.try_next_event(at::forever), "client");
    is_about(client.try_next_completion(at::forever), "client");
    is_about(client.try_on_event([](std::string_view) {}), "client");
    is_about(client.try_on_event(nullptr), "client");
    const auto token = std::make_shared<int>(0);
    is_about(client.try_get_offers_async(OFFERS, [token](std::string_view) {}), "client");
    is_about(client.try_send_notifications_async(DISPLAY, nullptr, [token](const at::Error&) {}), "client");
    is_about(client.try_get_attributes_async({"cart"}, std::nullopt, [token](std::string_view) {}), "client");
    CHECK(token.use_count() == 1);
    int thrown = 0;
    try {
        client.stats();
    } catch (const at::Error& error) {
        thrown += error.status() == TARGET_ERR_INVALID_ARGUMENT;
    }
    try {
        client.on_event(nullptr);
    } catch (const at::Error& error) {
        thrown += error.status() == TARGET_ERR_INVALID_ARGUMENT;
    }
    CHECK(thrown == 2);
}

static void an_empty_request_answers() {
    at::Request request;
    CHECK(!request && request.id() == 0 && request.handle() == nullptr);
    is_about(request.try_wait(), "request");
    is_about(request.try_wait_for(1s), "request");
    is_about(request.try_cancel(), "request");
}

int main(int, char** argv) {
    edge = argv[1];
    a_client_that_cannot_be_made_says_why();
    at::Client client(config_of(edge));
    a_refusal_has_its_facts(client);
    a_deadline_has_its_facts(client);
    options_name_their_field(client);
    texts_with_a_nul_are_refused(client);
    const at::Client moved = std::move(client);
    an_empty_client_answers(std::move(client));
    an_empty_client_answers(at::Client());
    CHECK(moved.wait_ready(0ms));
    an_empty_request_answers();
    return 0;
}
