/*
 * An exception that leaves a callback ends the program by std::terminate; what the library has on its stack never sees
 * it. The argument says which callback.
 */
#include <stdexcept>
#include <unistd.h>

#include "check.hpp"

static void end_as_expected() {
    const std::exception_ptr error = std::current_exception();
    try {
        std::rethrow_exception(error);
    } catch (const std::runtime_error& thrown) {
        _exit(std::string_view(thrown.what()) == "mine" ? 42 : 1);
    } catch (...) {
        _exit(1);
    }
}

int main(int, char** argv) {
    const std::string_view callback = argv[2];
    std::set_terminate(end_as_expected);
    at::Client client(config_of(argv[1]));
    if (callback == "result") {
        client.get_offers_async(OFFERS, [](std::string_view) { throw std::runtime_error("mine"); });
    } else if (callback == "error") {
        edge_answers_next(argv[1], R"([{"type":"status","status":400}])");
        client.get_offers_async(OFFERS, nullptr, [](const at::Error&) { throw std::runtime_error("mine"); });
    } else if (callback == "event") {
        client.on_event([](std::string_view) { throw std::runtime_error("mine"); });
    } else {
        at::set_logger([](target_log_level, std::string_view) { throw std::runtime_error("mine"); }, TARGET_LOG_TRACE);
        client.get_offers(OFFERS);
    }
    client.close(at::forever);
    return 0;
}
