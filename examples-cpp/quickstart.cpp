/*
 * The main job: ask for the offers of two mboxes, show one, report that it was shown.
 */
#include <chrono>
#include <iostream>
#include <string>

#include "adobe_target.hpp"
#include "config.hpp"
#include "json.hpp"

using adobe_target::quote;

/* Prints a cookie of the envelope as a response to the visitor's browser would set it. */
static void show_cookie(std::string_view envelope, const std::string& name) {
    if (const std::string cookie = json::raw(envelope, name); !cookie.empty()) {
        std::cout << "Set-Cookie: " << json::text(cookie, "name") << '=' << json::text(cookie, "value")
                  << "; Max-Age=" << json::text(cookie, "maxAge") << "; Path=/\n";
    }
}

/* The options that report an offer as shown, "" if there is none. What has been taken out of the envelope goes back as
 * it came. */
static std::string display_of(std::string_view envelope, const std::string& mbox) {
    using namespace std::chrono;
    const int count = json::count(envelope, "response.prefetch.mboxes");
    for (int i = 0; i < count; ++i) {
        const std::string offer = json::raw(envelope, "response.prefetch.mboxes[" + std::to_string(i) + "]");
        const std::string state = json::raw(offer, "state");
        const std::string token = json::raw(offer, "options[0].eventToken");
        if (json::text(offer, "name") != mbox || state.empty() || token.empty()) {
            continue;
        }
        std::cout << "Shown in " << mbox << ": " << json::text(offer, "options[0].content") << '\n';
        const auto now = duration_cast<milliseconds>(system_clock::now().time_since_epoch());
        return R"({"target_cookie":)" + json::raw(envelope, "target_cookie.value") +
               R"(,"request":{"notifications":[{"id":"1","type":"display","timestamp":)" + std::to_string(now.count()) +
               R"(,"mbox":{"name":)" + quote(mbox) + R"(,"state":)" + state + R"(},"tokens":[)" + token + "]}]}}";
    }
    return "";
}

int main(int argc, char** argv) {
    try {
        const adobe_target::Client client(config_of(argc, argv));
        const adobe_target::String offers =
            client.get_offers(R"({"request":{"prefetch":{"mboxes":[{"name":"home"},{"name":"product1"}]}}})");
        show_cookie(offers, "target_cookie");
        show_cookie(offers, "target_location_hint_cookie");

        const std::string display = display_of(offers, "product1");
        if (display.empty()) {
            std::cerr << "There is no offer for product1.\n";
            return 1;
        }
        const adobe_target::String reported = client.send_notifications(display);
        show_cookie(reported, "target_cookie");
        std::cout << "Acknowledged: " << json::raw(reported, "meta.notifications.acknowledged") << '\n';
        return 0;
    } catch (const adobe_target::Error& error) {
        std::cerr << error.what() << (error.field().empty() ? "" : ", field ") << error.field() << '\n';
        return 1;
    }
}
