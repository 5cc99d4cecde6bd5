/*
 * The main job with callbacks: no thread of the program waits for the edge.
 *
 * Callbacks run on threads of the library, so whatever they share with the rest of the program needs a lock, or a
 * promise. They may call the library: the callback of the offers starts the report. They must not own the client.
 */
#include <chrono>
#include <future>
#include <iostream>
#include <memory>
#include <string>

#include "adobe_target.hpp"
#include "config.hpp"
#include "json.hpp"

using adobe_target::Client;
using adobe_target::Error;

/* One visitor's page. Its callbacks share it: it goes with the last of them. */
class Page : public std::enable_shared_from_this<Page> {
public:
    explicit Page(const Client& client) : client_(client) {}

    /* What the page will say of the report: the acknowledged ids. */
    std::future<std::string> shown() { return acknowledged_.get_future(); }

    void start() {
        const auto self = shared_from_this();
        client_.get_offers_async(
            R"({"request":{"prefetch":{"mboxes":[{"name":"home"},{"name":"product1"}]}}})",
            [self](std::string_view envelope) { self->show(envelope); },
            [self](const Error& error) { self->fail(error); });
    }

private:
    void show(std::string_view envelope) {
        using namespace std::chrono;
        const std::string offer = json::raw(envelope, "response.prefetch.mboxes[1]");
        std::cout << "Shown in product1: " << json::text(offer, "options[0].content") << '\n';
        const auto now = duration_cast<milliseconds>(system_clock::now().time_since_epoch());
        const std::string display =
            R"({"target_cookie":)" + json::raw(envelope, "target_cookie.value") +
            R"(,"request":{"notifications":[{"id":"1","type":"display","timestamp":)" + std::to_string(now.count()) +
            R"(,"mbox":{"name":"product1","state":)" + json::raw(offer, "state") + R"(},"tokens":[)" +
            json::raw(offer, "options[0].eventToken") + "]}]}}";
        const auto self = shared_from_this();
        /* Nothing may be thrown out of a callback, so this asks for a Result. */
        const auto report = client_.try_send_notifications_async(
            display,
            [self](std::string_view reported) {
                self->acknowledged_.set_value(json::raw(reported, "meta.notifications.acknowledged"));
            },
            [self](const Error& error) { self->fail(error); });
        if (!report) {
            fail(report.error());
        }
    }

    void fail(const Error& error) { acknowledged_.set_exception(std::make_exception_ptr(error)); }

    const Client& client_;
    std::promise<std::string> acknowledged_;
};

int main(int argc, char** argv) {
    try {
        const Client client(config_of(argc, argv));
        const auto page = std::make_shared<Page>(client);
        std::future<std::string> shown = page->shown();
        page->start();
        /* A server would go on with other visitors here. */
        const std::string acknowledged = shown.get();
        std::cout << "Acknowledged: " << acknowledged << '\n';
        return 0;
    } catch (const Error& error) {
        std::cerr << error.what() << '\n';
        return 1;
    }
}
