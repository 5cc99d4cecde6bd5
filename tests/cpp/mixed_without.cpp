#include "check.hpp"
#include "mixed.hpp"

#if ADOBE_TARGET_EXCEPTIONS
#error "This file is to be compiled without exceptions."
#endif

std::string refused_without_exceptions(const std::string& config) {
    const at::Client client = CHECK_VALUE(at::Client::try_create(config));
    const at::Result<at::String> refused = client.try_get_offers("{}");
    return refused ? refused->str() : refused.error().code();
}

void destroy_without_exceptions(const std::string& config) {
    const auto token = std::make_shared<int>(0);
    at::Client client = CHECK_VALUE(at::Client::try_create(config));
    target_client* const handle = client.handle();
    Counter events;
    CHECK_VALUE(client.try_on_event([&events, token](std::string_view) { events.raise(); }));
    events.wait(1);
    client = at::Client();
    CHECK(token.use_count() == 2);
    /* The library has done nothing, so it can be told to forget the callback. */
    CHECK_STATUS(TARGET_OK, target_client_on_event(handle, nullptr, nullptr));
}
