/*
 * What the C++ test programs have in common, on top of what they share with those in C: the checks, the controls of the
 * edge and the reader of JSON.
 */
#ifndef TESTS_CHECK_HPP
#define TESTS_CHECK_HPP

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "adobe_target.hpp"
#include "check.h"

namespace at = adobe_target;
using namespace std::chrono_literals;

/* A program's files may be compiled with and without exceptions, and what follows is not the same in them. */
namespace {

/* The Result has no value, but an error of that status. */
#define CHECK_ERROR(expected, result) check_error(__FILE__, __LINE__, (expected), (result))

template <class T>
void check_error(const char* file, int line, target_status expected, const at::Result<T>& result) {
    if (result) {
        check_failed(file, line, "no error", "");
    }
    if (result.error().status() != expected || result.error().code() != target_status_name(expected)) {
        check_failed(file, line, target_status_name(expected), result.error().what());
    }
}

/* The value of a Result that has one. */
#define CHECK_VALUE(result) check_value(__FILE__, __LINE__, (result))

template <class T>
T check_value(const char* file, int line, at::Result<T> result) {
    if (!result) {
        check_failed(file, line, result.error().json().c_str(), "");
    }
    return std::move(*result);
}

inline void check_value(const char* file, int line, at::Result<void> result) {
    if (!result) {
        check_failed(file, line, result.error().json().c_str(), "");
    }
}

/* The text of a place in JSON, "" if there is none. */
inline std::string text_at(std::string_view json, const char* path) {
    const std::unique_ptr<char, void (*)(void*)> text(json_text(std::string(json).c_str(), path), std::free);
    return text ? std::string(text.get()) : std::string();
}

/* The value as it stands in the JSON. */
inline std::string raw_at(std::string_view json, const char* path) {
    const std::unique_ptr<char, void (*)(void*)> text(json_raw(std::string(json).c_str(), path), std::free);
    return text ? std::string(text.get()) : std::string();
}

/* What the edge has counted. */
inline std::string report_of(const char* edge) {
    const std::unique_ptr<char, void (*)(void*)> report(edge_report(edge), std::free);
    return report.get();
}

/* Configuration of a client of the edge, whose calls do not time out before a slow machine is done. */
inline std::string config_of(std::string_view edge, std::string_view more = "") {
    return R"({"client":"localedge","organization_id":"1234@AdobeOrg","secure":false,"timeout":3600000,)"
           R"("connect_timeout":3600000,"server_domain":)" +
           at::quote(edge) + std::string(more) + "}";
}

/* A number that threads raise and wait for. */
class Counter {
public:
    void raise() {
        const std::lock_guard<std::mutex> lock(mutex_);
        ++value_;
        changed_.notify_all();
    }
    int value() {
        const std::lock_guard<std::mutex> lock(mutex_);
        return value_;
    }
    void wait(int at_least) {
        std::unique_lock<std::mutex> lock(mutex_);
        changed_.wait(lock, [this, at_least] { return value_ >= at_least; });
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    int value_ = 0;
};

/* Waits until nobody but the caller has a share: what a std::function owned is gone. */
inline void wait_until_alone(const std::shared_ptr<int>& token) {
    while (token.use_count() > 1) {
        std::this_thread::sleep_for(1ms);
    }
}

}  // namespace

#endif
