/*
 * The main job: offers, a display and a click of one of them, attributes, the background queue, close. With exceptions.
 */
#include <iostream>

#include "check.hpp"

static const char* edge;

static const char PREFETCH[] = R"({"request":{"prefetch":{"mboxes":[{"name":"home"},{"name":"product1"}]}}})";

/* Options that report the second of the offers as shown and clicked. */
static std::string display_and_click_of(std::string_view offers) {
    const std::string mbox = "response.prefetch.mboxes[1]";
    return R"({"target_cookie":)" + raw_at(offers, "target_cookie.value") +
           R"(,"request":{"notifications":[{"id":"1","type":"display","timestamp":1621530726000,)"
           R"("mbox":{"name":"product1","state":)" +
           raw_at(offers, (mbox + ".state").c_str()) + R"(},"tokens":[)" +
           raw_at(offers, (mbox + ".options[0].eventToken").c_str()) +
           R"(]},{"id":"2","type":"click","timestamp":1621530727000,"mbox":{"name":"product1"},"tokens":[)" +
           raw_at(offers, (mbox + ".metrics[0].eventToken").c_str()) + "]}]}}";
}

static void offers_are_shown_and_reported(const at::Client& client) {
    edge_reset(edge);
    const at::String offers = client.get_offers(PREFETCH);
    CHECK_JSON(offers.c_str(), "response.prefetch.mboxes[0].options[0].content", "<h1>Welcome back</h1>");
    CHECK(offers.size() == std::strlen(offers.c_str()) && offers.view() == offers.c_str() && offers.str() == offers.view());

    const at::String reported = client.send_notifications(display_and_click_of(offers));
    CHECK(raw_at(reported, "meta.notifications.acknowledged") == R"(["1","2"])");
    const std::string report = report_of(edge);
    CHECK(text_at(report, "impressions.by_mbox.product1") == "1" && text_at(report, "clicks.by_mbox.product1") == "1");
    CHECK(text_at(report, "sessions") == "1");
}

static void attributes_are_asked_for_in_each_way(const at::Client& client) {
    CHECK(text_at(client.get_attributes({"cart"}), "attributes.cart.discount") == "15");
    CHECK(text_at(client.get_attributes({"cart", "hero"}), "attributes.hero.title") == "Summer is here");
    const std::vector<std::string> names{"hero"};
    const at::String attributes = client.get_attributes(names, R"({"session_id":"mine"})");
    CHECK(text_at(attributes, "attributes.hero.title") == "Summer is here");
    CHECK(text_at(attributes, "request.execute.mboxes[0].name") == "hero");
    CHECK(text_at(client.get_attributes(at::MboxNames::from_json(R"(["cart"])")), "attributes.cart.discount") == "15");
}

static void notifications_are_delivered_in_the_background(const at::Client& client) {
    const at::String taken = client.enqueue_notifications(DISPLAY);
    CHECK(taken.view() == R"({"accepted":["1"]})");
    const at::Counts counts = client.flush(at::forever);
    CHECK(counts.complete() && counts.acknowledged == 1 && counts.rejected == 0 && counts.dropped == 0);
    CHECK(client.flush(0ms).complete());
}

static void a_flush_that_ends_first_has_counts(const at::Client& client) {
    edge_answers(edge, R"({"type":"status","status":503})");
    client.enqueue_notifications(DISPLAY);
    const at::Counts counts = client.flush(0ms);
    CHECK(!counts.complete() && counts.pending == 1 && counts.acknowledged == 0);
    edge_answers(edge, "null");
    CHECK(client.flush(at::forever).acknowledged == 1);
}

static void events_are_polled(at::Client& client) {
    const std::optional<at::String> event = client.next_event(at::forever);
    CHECK(event && text_at(*event, "type") == "client_ready");
    while (client.next_event(0ms)) {
    }
}

static void clients_move(at::Client& client) {
    const target_client* const handle = client.handle();
    at::Client other(std::move(client));
    CHECK(other.handle() == handle && other);
    client = std::move(other);
    CHECK(client.handle() == handle);
    at::Client& itself = client;
    client = std::move(itself);
    CHECK(client.handle() == handle);
    std::swap(client, other);
    CHECK(other.handle() == handle && !client);
    client = at::Client(config_of(edge));
    std::swap(client, other);
    /* This one closes the client that `other` holds. */
    other = at::Client();
    CHECK(client.handle() == handle && client.wait_ready(0ms));
}

static void strings_and_requests_outlive_the_client() {
    at::String offers, again;
    at::Request request;
    {
        const at::Client client(config_of(edge));
        offers = client.get_offers(PREFETCH);
        request = client.get_offers_async(PREFETCH);
        again = request.wait();
    }
    CHECK(request.id() > 0 && request.wait().view() == again.view() && request.wait_for(0ms)->view() == again.view());
    request.cancel();
    CHECK(text_at(offers, "target_cookie.name") == "mbox");
    const at::Request moved = std::move(request);
    CHECK(moved && moved.wait().view() == again.view());
}

static void close_gives_counts_and_ends_the_client(at::Client& client) {
    CHECK(client.close(at::forever).complete());
    CHECK(client.close(0ms).complete());
    CHECK_ERROR(TARGET_ERR_CLOSED, client.try_get_offers(PREFETCH));
    CHECK(text_at(client.stats(), "calls.in_flight") == "0");
    CHECK_ERROR(TARGET_ERR_CLOSED, client.try_next_completion(at::forever));
    while (client.try_next_event(0ms)) {
    }
    CHECK_ERROR(TARGET_ERR_CLOSED, client.try_next_event(at::forever));
}

int main(int, char** argv) {
    edge = argv[1];
    at::Client client(config_of(edge));
    CHECK(client.wait_ready(0ms) && client.wait_ready(at::forever));
    offers_are_shown_and_reported(client);
    attributes_are_asked_for_in_each_way(client);
    notifications_are_delivered_in_the_background(client);
    a_flush_that_ends_first_has_counts(client);
    events_are_polled(client);
    clients_move(client);
    strings_and_requests_outlive_the_client();
    close_gives_counts_and_ends_the_client(client);
    std::cout << client.stats() << '\n';
    return 0;
}
