/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * adobe_target.h for C++17 and later: objects that free themselves, errors with their facts, std::function for
 * callbacks. Header-only, on nothing but adobe_target.h and the standard library. What functions do, which keys
 * configuration and options have and what results look like is in adobe_target.h.
 *
 *
 * Example
 *
 *     #include <cstdio>
 *     #include <adobe_target.hpp>
 *
 *     int main() {
 *         try {
 *             adobe_target::Client client(R"({"client":"acme","organization_id":"1234@AdobeOrg"})");
 *             adobe_target::String offers =
 *                 client.get_offers(R"({"request":{"execute":{"mboxes":[{"name":"home"}]}}})");
 *             std::puts(offers.c_str());
 *         } catch (const adobe_target::Error& error) {
 *             std::fprintf(stderr, "%s\n", error.what());
 *             return 1;
 *         }
 *     }
 *
 *
 * Texts
 *
 *     Configuration, options and results are JSON. Arguments are read during the call only and need no NUL at their
 *     end; one with a NUL inside is refused with TARGET_ERR_INVALID_ARGUMENT. quote() makes a JSON string of a text.
 *
 * Errors
 *
 *     Each function that may fail comes twice: get_offers() throws an Error, try_get_offers() returns a Result, which
 *     has the value or the Error. Nothing else is thrown, std::bad_alloc apart.
 *     Without exceptions (-fno-exceptions, or ADOBE_TARGET_NO_EXCEPTIONS defined before this header) there are the
 *     try_ functions alone, and value() of a Result that has none ends the program. Such files may be linked with
 *     others that use exceptions; the types of the two are different ones, and cannot be passed between them. An
 *     inline function of yours that uses them in both kinds of files would be defined twice: keep it out of headers.
 *     A wait that ends first is no error: it returns an empty std::optional, or says so in its result.
 *
 * Objects
 *
 *     Client, Request and String can be moved, not copied. One that was moved from, or made by its default
 *     constructor, is empty: its functions fail with TARGET_ERR_INVALID_ARGUMENT. Strings and requests stay valid
 *     when their client is gone.
 *
 * Threads
 *
 *     Every function of a Client and of a Request may be called from any thread at any time on the same object, const
 *     or not. To move, assign and destroy is what no other call may run beside. Everything else is a plain value.
 *
 * Callbacks
 *
 *     They run on threads of the library, no lock is held meanwhile, and they may call the library. An exception that
 *     leaves one ends the program, as one that leaves a std::thread does. Texts that they get end with a NUL, and are
 *     gone when the callback returns.
 *     A std::function is destroyed once it cannot run any more: that of an asynchronous call after its one callback
 *     has run, or at once if the call was not taken; that of events and of the logger when it is replaced, or, replaced
 *     from inside, when it has returned (a logger: when the next one is set from outside); that of events also with
 *     its client. Where two threads replace the same one at the same time, both stay until the next replacement.
 *     Inside a callback a Client must not be destroyed: as target_client_free does it logs an error and does nothing,
 *     the client goes on and is leaked with its callbacks. Do not let a callback own the last pointer to its client.
 *
 * The library
 *
 *     What has no counterpart here can be done by the functions of adobe_target.h with Client::handle() and
 *     Request::handle(). Events and logger of one client or process should be set by one of the two only, and by one
 *     of files with and files without exceptions.
 */

#ifndef ADOBE_TARGET_HPP
#define ADOBE_TARGET_HPP

#if __cplusplus < 201703L && !(defined(_MSVC_LANG) && _MSVC_LANG >= 201703L)
#error "adobe_target.hpp needs C++17: -std=c++17"
#endif

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <functional>
#include <initializer_list>
#include <iosfwd>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif

#include "adobe_target.h"

/** Whether the functions that throw are there. */
#if !defined(ADOBE_TARGET_NO_EXCEPTIONS) && (defined(__cpp_exceptions) || defined(_CPPUNWIND))
#define ADOBE_TARGET_EXCEPTIONS 1
#else
#define ADOBE_TARGET_EXCEPTIONS 0
#endif

/* What must be one thing in the whole process, also where a program hides its symbols. */
#if defined(__GNUC__)
#define ADOBE_TARGET_VISIBLE __attribute__((visibility("default")))
#else
#define ADOBE_TARGET_VISIBLE
#endif

namespace adobe_target {

/* The same in files with and without exceptions. */
namespace process {

/* How many callbacks the calling thread is inside of. */
struct Inside {
    int callbacks = 0;
    int loggers = 0;
};

ADOBE_TARGET_VISIBLE inline Inside& inside() noexcept {
    static thread_local Inside inside;
    return inside;
}

/* Tells a forked child from its parent. */
inline long number() noexcept {
#if defined(__unix__) || defined(__APPLE__)
    return static_cast<long>(::getpid());
#else
    return 0;
#endif
}

}  // namespace process

#if ADOBE_TARGET_EXCEPTIONS
inline namespace v1 {
#else
inline namespace v1_no_exceptions {
#endif

/** The version of the library that is linked or loaded; TARGET_VERSION is that of the headers. */
inline std::string_view version() noexcept { return target_version(); }

/** The ABI version of the library that is linked or loaded. A Client is only made where it is TARGET_ABI_VERSION. */
inline std::uint32_t abi_version() noexcept { return target_abi_version(); }

/** The name of a status, such as "TARGET_ERR_TIMEOUT". */
inline std::string_view status_name(target_status status) noexcept { return target_status_name(status); }

/**
 * A text as a JSON string, with its quotes. Text that is not UTF-8 stays so, and the library refuses it.
 */
inline std::string quote(std::string_view text) {
    static constexpr char hex[] = "0123456789abcdef";
    std::string quoted;
    quoted.reserve(text.size() + 2);
    quoted += '"';
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        switch (c) {
            case '"': quoted += "\\\""; break;
            case '\\': quoted += "\\\\"; break;
            case '\n': quoted += "\\n"; break;
            case '\r': quoted += "\\r"; break;
            case '\t': quoted += "\\t"; break;
            default:
                if (byte < 0x20) {
                    quoted += "\\u00";
                    quoted += hex[byte >> 4];
                    quoted += hex[byte & 15];
                } else {
                    quoted += c;
                }
        }
    }
    quoted += '"';
    return quoted;
}

/* How this header reads the library's JSON: the members of an object, and not what is inside their values. */
namespace detail {

constexpr std::size_t npos = std::string_view::npos;

inline std::size_t skip_space(std::string_view json, std::size_t at) noexcept {
    while (at < json.size() && (json[at] == ' ' || json[at] == '\t' || json[at] == '\n' || json[at] == '\r')) {
        ++at;
    }
    return at;
}

/* Behind the string that begins there; npos if it has no end. */
inline std::size_t skip_string(std::string_view json, std::size_t at) noexcept {
    for (++at; at < json.size(); ++at) {
        if (json[at] == '"') {
            return at + 1;
        }
        if (json[at] == '\\') {
            ++at;
        }
    }
    return npos;
}

/* Behind the value that begins there; npos if there is none, or no end of it. */
inline std::size_t skip_value(std::string_view json, std::size_t at) noexcept {
    std::size_t depth = 0;
    while (at < json.size()) {
        const char c = json[at];
        if (c == '"') {
            at = skip_string(json, at);
        } else if (c == '{' || c == '[') {
            ++depth;
            ++at;
        } else if (c == '}' || c == ']') {
            if (depth == 0) {
                return npos;
            }
            --depth;
            ++at;
        } else if (depth > 0) {
            ++at;
            continue;
        } else {
            const std::size_t begin = at;
            at = std::min(json.find_first_of(",:}] \t\r\n\"", at), json.size());
            return at == begin ? npos : at;
        }
        if (depth == 0 || at == npos) {
            return at;
        }
    }
    return npos;
}

inline void append_utf8(std::string& text, std::uint32_t code) {
    const auto put = [&text](std::uint32_t byte) { text += static_cast<char>(static_cast<unsigned char>(byte)); };
    if (code < 0x80) {
        put(code);
    } else if (code < 0x800) {
        put(0xC0 | code >> 6);
        put(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        put(0xE0 | code >> 12);
        put(0x80 | (code >> 6 & 0x3F));
        put(0x80 | (code & 0x3F));
    } else {
        put(0xF0 | code >> 18);
        put(0x80 | (code >> 12 & 0x3F));
        put(0x80 | (code >> 6 & 0x3F));
        put(0x80 | (code & 0x3F));
    }
}

/* The four digits of a \u escape. */
inline std::optional<std::uint32_t> hex4(std::string_view json, std::size_t at) noexcept {
    if (at > json.size() || json.size() - at < 4) {
        return std::nullopt;
    }
    std::uint32_t code = 0;
    const char* const end = json.data() + at + 4;
    const auto read = std::from_chars(json.data() + at, end, code, 16);
    return read.ec == std::errc() && read.ptr == end ? std::optional<std::uint32_t>(code) : std::nullopt;
}

/* The text of a JSON string. Nothing if the value is none. A lone surrogate becomes U+FFFD. */
inline std::optional<std::string> text_of(std::string_view raw) {
    if (raw.size() < 2 || raw.front() != '"' || skip_string(raw, 0) != raw.size()) {
        return std::nullopt;
    }
    raw = raw.substr(1, raw.size() - 2);
    std::string text;
    text.reserve(raw.size());
    for (std::size_t at = 0; at < raw.size(); ++at) {
        if (raw[at] != '\\') {
            text += raw[at];
            continue;
        }
        ++at;
        switch (raw[at]) {
            case '"':
            case '\\':
            case '/': text += raw[at]; break;
            case 'b': text += '\b'; break;
            case 'f': text += '\f'; break;
            case 'n': text += '\n'; break;
            case 'r': text += '\r'; break;
            case 't': text += '\t'; break;
            case 'u': {
                const auto first = hex4(raw, at + 1);
                if (!first) {
                    return std::nullopt;
                }
                at += 4;
                std::uint32_t code = *first;
                if (code >= 0xD800 && code < 0xDC00 && raw.substr(at + 1, 2) == "\\u") {
                    const auto second = hex4(raw, at + 3);
                    if (second && *second >= 0xDC00 && *second < 0xE000) {
                        code = 0x10000 + ((code - 0xD800) << 10) + (*second - 0xDC00);
                        at += 6;
                    }
                }
                append_utf8(text, code >= 0xD800 && code < 0xE000 ? 0xFFFD : code);
                break;
            }
            default: return std::nullopt;
        }
    }
    return text;
}

/* The number, if it is an integer that has room. */
inline std::optional<std::int64_t> integer_of(std::string_view raw) noexcept {
    std::int64_t number = 0;
    const char* const end = raw.data() + raw.size();
    const auto read = std::from_chars(raw.data(), end, number);
    return !raw.empty() && read.ec == std::errc() && read.ptr == end ? std::optional<std::int64_t>(number)
                                                                     : std::nullopt;
}

/* Calls take(name, raw value) for each member of an object, up to where the text is no JSON any more. */
template <class Take>
void for_each_member(std::string_view object, Take take) {
    std::size_t at = skip_space(object, 0);
    if (at >= object.size() || object[at] != '{') {
        return;
    }
    do {
        const std::size_t name = skip_space(object, at + 1);
        if (name >= object.size() || object[name] != '"') {
            return;
        }
        const std::size_t name_end = skip_string(object, name);
        if (name_end == npos) {
            return;
        }
        const std::size_t colon = skip_space(object, name_end);
        if (colon >= object.size() || object[colon] != ':') {
            return;
        }
        const std::size_t value = skip_space(object, colon + 1);
        const std::size_t value_end = skip_value(object, value);
        if (value_end == npos) {
            return;
        }
        if (const auto text = text_of(object.substr(name, name_end - name))) {
            take(std::string_view(*text), object.substr(value, value_end - value));
        }
        at = skip_space(object, value_end);
    } while (at < object.size() && object[at] == ',');
}

}  // namespace detail

/**
 * A text that the library has made. It is freed with the object.
 */
class String {
public:
    String() noexcept = default;

    /** Takes over what a function of adobe_target.h has put into "result". NULL is an empty text. */
    explicit String(char* text) noexcept : text_(text), size_(text != nullptr ? std::strlen(text) : 0) {}

    String(String&& other) noexcept
        : text_(std::exchange(other.text_, nullptr)), size_(std::exchange(other.size_, 0)) {}

    String& operator=(String&& other) noexcept {
        String taken(std::move(other));
        std::swap(text_, taken.text_);
        std::swap(size_, taken.size_);
        return *this;
    }

    ~String() { target_string_free(text_); }

    /** Valid as long as the object is neither moved, assigned nor destroyed. */
    std::string_view view() const noexcept { return {c_str(), size_}; }

    /** The same with a NUL at its end, never NULL. */
    const char* c_str() const noexcept { return text_ != nullptr ? text_ : ""; }

    std::string str() const { return std::string(view()); }
    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }

    operator std::string_view() const noexcept { return view(); }

    template <class Traits>
    friend std::basic_ostream<char, Traits>& operator<<(std::basic_ostream<char, Traits>& out, const String& text) {
        return out << text.view();
    }

private:
    char* text_ = nullptr;
    std::size_t size_ = 0;
};

/**
 * Why a function failed: the error object of adobe_target.h with its facts. Copies are cheap and share them.
 */
class ADOBE_TARGET_VISIBLE Error : public std::exception {
public:
    /** Reads an error object, such as one in an event. */
    explicit Error(std::string_view json) : Error(std::nullopt, json) {}

    /** An error object with the status that came with it. Without an object the status is all there is. */
    Error(target_status status, std::string_view json) : Error(std::optional<target_status>(status), json) {}

    Error(const Error&) noexcept = default;
    Error& operator=(const Error&) noexcept = default;
    ~Error() override = default;

    /** Code and message. */
    const char* what() const noexcept override { return facts_->what.c_str(); }

    /** One of the TARGET_ERR_ constants; new ones may come. */
    target_status status() const noexcept { return facts_->status; }

    /** The name of the status, such as "TARGET_ERR_HTTP". */
    const std::string& code() const noexcept { return facts_->code; }

    /** For people; names the field and the limit. */
    const std::string& message() const noexcept { return facts_->message; }

    /** Where it happened, such as "validate", "connect" or "response". */
    const std::string& phase() const noexcept { return facts_->phase; }

    /** The argument or member that is wrong, such as "request.notifications[0].timestamp", or "". */
    const std::string& field() const noexcept { return facts_->field; }

    /** The status of the edge's answer, if there was one. */
    std::optional<int> http_status() const noexcept { return facts_->http_status; }

    /** What the edge said, or "". */
    const std::string& api_message() const noexcept { return facts_->api_message; }

    /** "requestId" of the request that failed, or "". */
    const std::string& request_id() const noexcept { return facts_->request_id; }

    /** Whether the same call may succeed later. */
    bool retryable() const noexcept { return facts_->retryable; }

    /** The wait that the edge asked for. */
    std::optional<std::chrono::milliseconds> retry_after() const noexcept { return facts_->retry_after; }

    /** HTTP requests made. */
    std::uint64_t attempts() const noexcept { return facts_->attempts; }

    /** Since the call began. */
    std::chrono::milliseconds elapsed() const noexcept { return facts_->elapsed; }

    /** JSON where a part of the work was done, or "": of notifications, what became of each. */
    const std::string& result() const noexcept { return facts_->result; }

    /** The error object as the library has written it. */
    const std::string& json() const noexcept { return facts_->json; }

private:
    struct Facts {
        target_status status = TARGET_ERR_INTERNAL;
        std::string json, what, code, message, phase, field, api_message, request_id, result;
        std::optional<int> http_status;
        bool retryable = false;
        std::optional<std::chrono::milliseconds> retry_after;
        std::uint64_t attempts = 0;
        std::chrono::milliseconds elapsed{0};
    };

    Error(std::optional<target_status> status, std::string_view json) {
        auto facts = std::make_shared<Facts>();
        facts->json = json;
        detail::for_each_member(
            json, [&facts](std::string_view name, std::string_view raw) { read(*facts, name, raw); });
        if (facts->code.empty()) {
            facts->code = target_status_name(status.value_or(TARGET_ERR_INTERNAL));
        }
        facts->status = status ? *status : status_of(facts->code);
        facts->what = facts->message.empty() ? facts->code : facts->code + ": " + facts->message;
        facts_ = std::move(facts);
    }

    static void read(Facts& facts, std::string_view name, std::string_view raw) {
        const auto text = [raw] { return detail::text_of(raw).value_or(std::string()); };
        const auto number = detail::integer_of(raw);
        if (name == "code") {
            facts.code = text();
        } else if (name == "message") {
            facts.message = text();
        } else if (name == "phase") {
            facts.phase = text();
        } else if (name == "field") {
            facts.field = text();
        } else if (name == "api_message") {
            facts.api_message = text();
        } else if (name == "request_id") {
            facts.request_id = text();
        } else if (name == "retryable") {
            facts.retryable = raw == "true";
        } else if (name == "result") {
            facts.result = raw == "null" ? std::string_view() : raw;
        } else if (name == "http_status" && number) {
            facts.http_status = static_cast<int>(*number);
        } else if (name == "retry_after_ms" && number) {
            facts.retry_after = std::chrono::milliseconds(*number);
        } else if (name == "attempts" && number) {
            facts.attempts = static_cast<std::uint64_t>(*number);
        } else if (name == "elapsed_ms" && number) {
            facts.elapsed = std::chrono::milliseconds(*number);
        }
    }

    /* Callbacks get the name alone. The numbers that may come are small. */
    static target_status status_of(const std::string& code) noexcept {
        for (target_status status = 0; status < 256; ++status) {
            if (code == target_status_name(status)) {
                return status;
            }
        }
        return TARGET_ERR_INTERNAL;
    }

    std::shared_ptr<const Facts> facts_;
};

namespace detail {

/* Somebody took a value that is not there. */
[[noreturn]] inline void no_value(const Error& error) {
#if ADOBE_TARGET_EXCEPTIONS
    throw error;
#else
    static_cast<void>(error);
    std::abort();
#endif
}

}  // namespace detail

/**
 * What a try_ function returns: a value, or the Error.
 *
 * value() throws the Error if there is no value, or ends the program where there are no exceptions; * and -> end it in
 * any case, and so does error() if there is none.
 */
template <class T>
class [[nodiscard]] Result {
public:
    using value_type = T;

    Result(T value) noexcept(std::is_nothrow_move_constructible_v<T>)
        : outcome_(std::in_place_index<0>, std::move(value)) {}
    Result(Error error) noexcept : outcome_(std::in_place_index<1>, std::move(error)) {}

    bool has_value() const noexcept { return outcome_.index() == 0; }
    explicit operator bool() const noexcept { return has_value(); }

    T& value() & {
        check();
        return **this;
    }
    const T& value() const& {
        check();
        return **this;
    }
    T&& value() && {
        check();
        return *std::move(*this);
    }

    T& operator*() & noexcept { return present(std::get_if<0>(&outcome_)); }
    const T& operator*() const& noexcept { return present(std::get_if<0>(&outcome_)); }
    T&& operator*() && noexcept { return std::move(present(std::get_if<0>(&outcome_))); }
    T* operator->() noexcept { return &**this; }
    const T* operator->() const noexcept { return &**this; }

    const Error& error() const noexcept { return present(std::get_if<1>(&outcome_)); }

private:
    void check() const {
        if (!has_value()) {
            detail::no_value(error());
        }
    }

    template <class Part>
    static Part& present(Part* part) noexcept {
        if (part == nullptr) {
            std::abort();
        }
        return *part;
    }

    std::variant<T, Error> outcome_;
};

/** The same of a function that has nothing to return. */
template <>
class [[nodiscard]] Result<void> {
public:
    using value_type = void;

    Result() noexcept = default;
    Result(Error error) noexcept : error_(std::move(error)) {}

    bool has_value() const noexcept { return !error_; }
    explicit operator bool() const noexcept { return has_value(); }

    void value() const {
        if (error_) {
            detail::no_value(*error_);
        }
    }

    const Error& error() const noexcept {
        if (!error_) {
            std::abort();
        }
        return *error_;
    }

private:
    std::optional<Error> error_;
};

/**
 * How long a function may wait: any duration of std::chrono, or forever. Zero only looks, and so does less than
 * zero. Parts of a millisecond count as a whole one.
 */
class Timeout {
public:
    template <class Rep, class Period>
    constexpr Timeout(std::chrono::duration<Rep, Period> duration) noexcept
        : count_(whole(std::chrono::duration<double, std::milli>(duration).count())) {}

    static constexpr Timeout unlimited() noexcept {
        Timeout timeout{std::chrono::milliseconds::zero()};
        timeout.count_ = TARGET_WAIT_FOREVER;
        return timeout;
    }

    /** In milliseconds, as adobe_target.h has it. */
    constexpr std::uint64_t count() const noexcept { return count_; }

private:
    static constexpr std::uint64_t whole(double milliseconds) noexcept {
        if (!(milliseconds > 0)) {
            return 0;
        }
        if (milliseconds >= 9e18) {
            return TARGET_WAIT_FOREVER;
        }
        const auto floor = static_cast<std::uint64_t>(milliseconds);
        return static_cast<double>(floor) < milliseconds ? floor + 1 : floor;
    }

    std::uint64_t count_;
};

/** A wait without a limit. */
inline constexpr Timeout forever = Timeout::unlimited();

/** Takes the result of an asynchronous call. */
using ResultCallback = std::function<void(std::string_view envelope)>;

/** Takes the error of an asynchronous call. */
using ErrorCallback = std::function<void(const Error& error)>;

/** Takes an event. */
using EventCallback = std::function<void(std::string_view event)>;

/**
 * Takes a log line. Runs on whichever thread logs, and on several at the same time. Take a level that you do not know
 * for TARGET_LOG_TRACE.
 */
using LogCallback = std::function<void(target_log_level level, std::string_view message)>;

/**
 * What became of notifications in the background queue.
 */
struct Counts {
    std::uint64_t acknowledged = 0;
    std::uint64_t rejected = 0;
    std::uint64_t dropped = 0;
    /** Those that have no outcome yet. */
    std::uint64_t pending = 0;

    /** Whether each has its outcome. */
    bool complete() const noexcept { return pending == 0; }
};

/**
 * Names of mboxes for get_attributes: {"hero", "cart"}, a vector of texts, or JSON.
 */
class MboxNames {
public:
    MboxNames(std::initializer_list<std::string_view> names) { append(names); }
    MboxNames(const std::vector<std::string>& names) { append(names); }
    MboxNames(const std::vector<std::string_view>& names) { append(names); }

    /** A JSON array of strings, taken as it is. */
    static MboxNames from_json(std::string_view array) {
        MboxNames names{};
        names.json_ = array;
        return names;
    }

    /** As a JSON array. */
    const std::string& json() const noexcept { return json_; }

private:
    template <class Names>
    void append(const Names& names) {
        json_ = "[";
        for (const auto& name : names) {
            if (json_.size() > 1) {
                json_ += ',';
            }
            json_ += quote(name);
        }
        json_ += ']';
    }

    std::string json_;
};

namespace detail {

/* The call of a function that has a result. */
template <class Call>
Result<String> result_of(Call call) {
    char* text = nullptr;
    const target_status status = call(&text);
    String result(text);
    if (status != TARGET_OK) {
        return Error(status, result);
    }
    return Result<String>(std::move(result));
}

/* The same of a wait: nothing if it ended first. */
template <class Call>
Result<std::optional<String>> result_of_wait(Call call) {
    char* text = nullptr;
    const target_status status = call(&text);
    String result(text);
    if (status == TARGET_ERR_PENDING) {
        return std::optional<String>();
    }
    if (status != TARGET_OK) {
        return Error(status, result);
    }
    return std::optional<String>(std::move(result));
}

/* An error of this header's own, with the members of the library's. */
inline Error refusal(target_status status, std::string_view field, const std::string& message) {
    std::string json = "{\"code\":" + quote(target_status_name(status)) + ",\"message\":" + quote(message);
    json += ",\"phase\":\"validate\",\"field\":" + (field.empty() ? "null" : quote(field));
    json += ",\"http_status\":null,\"api_message\":null,\"request_id\":null,\"retryable\":false";
    json += ",\"retry_after_ms\":null,\"attempts\":0,\"elapsed_ms\":0}";
    return Error(status, json);
}

/* The call of a function that says no more than its status. */
inline Result<void> done(target_status status, const char* function, const char* argument) {
    if (status == TARGET_OK) {
        return {};
    }
    const bool invalid = status == TARGET_ERR_INVALID_ARGUMENT;
    return refusal(status, invalid ? argument : "",
                   std::string(function) + (invalid ? ": invalid `" + std::string(argument) + "`" : " failed"));
}

/* An argument as the library takes it: with a NUL at its end, and none before. */
class Text {
public:
    Text(const char* name, std::optional<std::string_view> text) {
        if (!text) {
            return;
        }
        if (const std::size_t at = text->find('\0'); at != npos) {
            error_ = refusal(TARGET_ERR_INVALID_ARGUMENT, name,
                             "`" + std::string(name) + "` has a NUL (byte " + std::to_string(at) + ")");
            return;
        }
        text_.emplace(*text);
    }

    const char* c_str() const noexcept { return text_ ? text_->c_str() : nullptr; }
    const std::optional<Error>& error() const noexcept { return error_; }

private:
    std::optional<std::string> text_;
    std::optional<Error> error_;
};

/* Counts of flush and close. Those that are incomplete come in an error. */
template <class Call>
Result<Counts> counts_of(Call call) {
    const Result<String> result = result_of(call);
    if (!result && (result.error().status() != TARGET_ERR_PENDING || result.error().result().empty())) {
        return result.error();
    }
    Counts counts;
    for_each_member(result ? result->view() : result.error().result(),
                    [&counts](std::string_view name, std::string_view raw) {
                        const auto number = static_cast<std::uint64_t>(integer_of(raw).value_or(0));
                        if (name == "acknowledged") {
                            counts.acknowledged = number;
                        } else if (name == "rejected") {
                            counts.rejected = number;
                        } else if (name == "dropped") {
                            counts.dropped = number;
                        } else if (name == "pending") {
                            counts.pending = number;
                        }
                    });
    return counts;
}

/* While it lives, the thread is inside a callback. */
class Entered {
public:
    explicit Entered(bool logger) noexcept : loggers_(logger ? 1 : 0) {
        ++process::inside().callbacks;
        process::inside().loggers += loggers_;
    }
    Entered(const Entered&) = delete;
    Entered& operator=(const Entered&) = delete;
    ~Entered() {
        --process::inside().callbacks;
        process::inside().loggers -= loggers_;
    }

private:
    int loggers_;
};

/* The callbacks of an asynchronous call. The one that runs frees both. */
struct Call {
    ResultCallback on_result;
    ErrorCallback on_error;

    static void succeeded(const char* json, void* user_data) noexcept {
        const Entered entered(false);
        const std::unique_ptr<Call> call(static_cast<Call*>(user_data));
        if (call->on_result) {
            call->on_result(json);
        }
    }

    static void failed(const char* json, void* user_data) noexcept {
        const Entered entered(false);
        const std::unique_ptr<Call> call(static_cast<Call*>(user_data));
        if (call->on_error) {
            call->on_error(Error(json));
        }
    }
};

/*
 * The functions that were given to the library one after the other, for the same purpose. The library has one of them,
 * and promises when the one before no longer runs. Of two threads that replace it at the same time only the library
 * knows who was the last: then both stay until the next replacement.
 */
template <class Function>
class Replaceable {
public:
    /* What the library has as user data. Whoever runs it holds it, so that it may be replaced from inside. */
    struct Holder : std::enable_shared_from_this<Holder> {
        explicit Holder(Function f) : function(std::move(f)) {}
        const Function function;
    };

    /* set(user data) gives it to the library. `others_may_run`: its return does not mean that the old one is done. */
    template <class Set>
    target_status replace(Function function, bool others_may_run, Set set) {
        return history().replace(std::move(function), others_may_run, set);
    }

    /* Whether there was ever one in this process. */
    bool was_set() const noexcept { return history_.load()->was_set.load(); }

    Replaceable() : history_(new History) {}
    Replaceable(const Replaceable&) = delete;
    Replaceable& operator=(const Replaceable&) = delete;
    ~Replaceable() { delete history_.load(); }

private:
    struct History {
        std::mutex mutex;
        std::vector<std::shared_ptr<Holder>> kept;
        std::uint64_t begun = 0;
        int under_way = 0;
        std::atomic<bool> was_set{false};
        const long of_process = process::number();

        template <class Set>
        target_status replace(Function function, bool others_may_run, Set set);
    };

    /* A forked child begins anew: a thread of its parent's may have held the lock. Then what that kept stays. */
    History& history() {
        History* found = history_.load();
        if (found->of_process != process::number()) {
            auto own = std::make_unique<History>();
            own->was_set = true;
            History* const inherited = found;
            if (history_.compare_exchange_strong(found, own.get())) {
                found = own.release();
                if (inherited->mutex.try_lock()) {
                    const std::lock_guard<std::mutex> lock(found->mutex);
                    found->kept.insert(found->kept.begin(), inherited->kept.begin(), inherited->kept.end());
                    inherited->kept.clear();
                    inherited->mutex.unlock();
                }
            }
        }
        return *found;
    }

    std::atomic<History*> history_;
};

template <class Function>
template <class Set>
target_status Replaceable<Function>::History::replace(Function function, bool others_may_run, Set set) {
    std::shared_ptr<Holder> next;
    if (function) {
        next = std::make_shared<Holder>(std::move(function));
    }
    /* Made first: nothing may fail once the library has it. */
    std::vector<std::shared_ptr<Holder>> gone{next};
    std::uint64_t own = 0;
    bool alone = false;
    {
        const std::lock_guard<std::mutex> lock(mutex);
        kept.push_back(next);
        was_set = was_set || next;
        alone = under_way++ == 0;
        own = ++begun;
    }
    const target_status status = set(next.get());
    {
        const std::lock_guard<std::mutex> lock(mutex);
        --under_way;
        alone = alone && own == begun;
        if (status != TARGET_OK) {
            for (auto& one : kept) {
                if (one == next) {
                    std::swap(one, kept.back());
                    kept.pop_back();
                    break;
                }
            }
        } else if (alone && !others_may_run) {
            kept.swap(gone);
        }
    }
    /* Without the lock: what a function owns may do anything when it goes. */
    return status;
}

using Events = Replaceable<EventCallback>;
using Loggers = Replaceable<LogCallback>;

inline void on_event(const char* json, void* user_data) noexcept {
    const Entered entered(false);
    const auto holder = static_cast<Events::Holder*>(user_data)->shared_from_this();
    holder->function(json);
}

inline void on_line(target_log_level level, const char* message, void* user_data) noexcept {
    const Entered entered(true);
    const auto holder = static_cast<Loggers::Holder*>(user_data)->shared_from_this();
    holder->function(level, message);
}

/* Never destroyed: threads of the library may log while the process ends. */
ADOBE_TARGET_VISIBLE inline Loggers& loggers() {
    static auto* const loggers = new Loggers;
    return *loggers;
}

}  // namespace detail

/**
 * An asynchronous call. It may be used after its client was closed and after its client was destroyed. Destroying it
 * neither cancels the call nor waits for it.
 */
class Request {
public:
    Request() noexcept = default;

    /** Takes over a handle of adobe_target.h. */
    explicit Request(target_request* handle) noexcept : handle_(handle) {}

    Request(Request&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}

    Request& operator=(Request&& other) noexcept {
        Request taken(std::move(other));
        std::swap(handle_, taken.handle_);
        return *this;
    }

    ~Request() { target_request_free(handle_); }

    /** Whether it is one: not empty. */
    explicit operator bool() const noexcept { return handle_ != nullptr; }

    /** The number of the call, unique in its client; 0 if empty. */
    std::uint64_t id() const noexcept { return target_request_id(handle_); }

    /** For functions of adobe_target.h. Still owned by this object. */
    target_request* handle() const noexcept { return handle_; }

    /**
     * Waits until the call has finished. The same result comes from every wait, as a fresh copy. Inside a callback, for
     * a call that has not finished: TARGET_ERR_WOULD_DEADLOCK.
     */
    Result<String> try_wait() const {
        return detail::result_of(
            [this](char** result) { return target_request_wait(handle_, TARGET_WAIT_FOREVER, result); });
    }

    /** The same with a limit: nothing if the call goes on. */
    Result<std::optional<String>> try_wait_for(Timeout timeout) const {
        return detail::result_of_wait(
            [this, timeout](char** result) { return target_request_wait(handle_, timeout.count(), result); });
    }

    /** Ends the call with TARGET_ERR_CANCELLED unless it has finished. Returns at once. */
    Result<void> try_cancel() const {
        return detail::done(target_request_cancel(handle_), "target_request_cancel", "request");
    }

#if ADOBE_TARGET_EXCEPTIONS
    String wait() const { return try_wait().value(); }
    std::optional<String> wait_for(Timeout timeout) const { return try_wait_for(timeout).value(); }
    void cancel() const { try_cancel().value(); }
#endif

private:
    target_request* handle_ = nullptr;
};

/**
 * A finished call that was started without callbacks.
 */
struct Completion {
    /** Request::id() of the call. */
    std::uint64_t request_id;
    /** How it ended. */
    Result<String> outcome;
};

/**
 * A client of Target. One serves a whole process: it pools connections, and any number of threads may use it.
 *
 * Destroying it closes it with its "close_timeout" if it is open still, waits for callbacks that run, and joins its
 * threads: after it none of its callbacks runs. Moving it leaves what goes on as it is.
 */
class Client {
public:
    /** An empty one. */
    Client() noexcept = default;

    /** Makes a client from a JSON object. See target_client_create. */
    static Result<Client> try_create(std::string_view config) {
        if (target_abi_version() != TARGET_ABI_VERSION) {
            return detail::refusal(TARGET_ERR_UNSUPPORTED, {},
                                   "the library has ABI version " + std::to_string(target_abi_version()) +
                                       ", the program was compiled for " + std::to_string(TARGET_ABI_VERSION));
        }
        const detail::Text text("config", config);
        if (text.error()) {
            return *text.error();
        }
        Client client;
        client.state_ = std::make_unique<State>();
        const Result<String> created = detail::result_of([&client, &text](char** result) {
            return target_client_create(text.c_str(), &client.state_->handle, result);
        });
        if (!created) {
            return created.error();
        }
        return Result<Client>(std::move(client));
    }

    Client(Client&& other) noexcept = default;

    Client& operator=(Client&& other) noexcept {
        if (this != &other) {
            end();
            state_ = std::move(other.state_);
        }
        return *this;
    }

    ~Client() { end(); }

    /** Whether it is one: not empty. */
    explicit operator bool() const noexcept { return state_ != nullptr; }

    /** For functions of adobe_target.h. Still owned by this object; NULL if empty. */
    target_client* handle() const noexcept { return state_ != nullptr ? state_->handle : nullptr; }

    /**
     * Ends the client. What could not be delivered in time is counted as pending and left to the next client on the
     * spool. See target_client_close.
     */
    Result<Counts> try_close(Timeout timeout) {
        return detail::counts_of(
            [this, timeout](char** result) { return target_client_close(handle(), timeout.count(), result); });
    }

    /**
     * Waits until the client can decide. A wait that ended first is an Error here, with the status TARGET_ERR_PENDING
     * and the reason of the last failed download in its message.
     */
    Result<void> try_wait_ready(Timeout timeout) const {
        const Result<String> ready = detail::result_of(
            [this, timeout](char** result) { return target_client_wait_ready(handle(), timeout.count(), result); });
        return ready ? Result<void>() : Result<void>(ready.error());
    }

    /** Downloads the rule artifact now. See target_client_refresh. */
    Result<String> try_refresh() const {
        return detail::result_of([this](char** result) { return target_client_refresh(handle(), result); });
    }

    /** Counters since the client was made. Works after close. See target_client_stats. */
    Result<String> try_stats() const {
        return detail::result_of([this](char** result) { return target_client_stats(handle(), result); });
    }

    /** Asks for offers. Blocks until the edge has answered. See target_get_offers. */
    Result<String> try_get_offers(std::string_view options) const { return blocking(target_get_offers, options); }

    /** Asks for JSON offers as attributes. Options may be left out. See target_get_attributes. */
    Result<String> try_get_attributes(const MboxNames& names,
                                      std::optional<std::string_view> options = std::nullopt) const {
        const detail::Text mboxes("mbox_names", names.json());
        const detail::Text text("options", options);
        if (mboxes.error() || text.error()) {
            return mboxes.error() ? *mboxes.error() : *text.error();
        }
        return detail::result_of([this, &mboxes, &text](char** result) {
            return target_get_attributes(handle(), mboxes.c_str(), text.c_str(), result);
        });
    }

    /** Reports what a visitor was shown and has clicked. Blocks until the edge has answered. See
     * target_send_notifications. */
    Result<String> try_send_notifications(std::string_view options) const {
        return blocking(target_send_notifications, options);
    }

    /** Hands notifications to the background queue and returns. See target_enqueue_notifications. */
    Result<String> try_enqueue_notifications(std::string_view options) const {
        return blocking(target_enqueue_notifications, options);
    }

    /** Delivers what is pending in the background queue; what is not in time is counted as such. See target_flush. */
    Result<Counts> try_flush(Timeout timeout) const {
        return detail::counts_of(
            [this, timeout](char** result) { return target_flush(handle(), timeout.count(), result); });
    }

    /**
     * Does get_offers on a thread of the library and returns at once. See target_get_offers_async.
     *
     * Once it has succeeded exactly one of the callbacks runs, once, also when the client is closed first; an empty one
     * is skipped. With both empty the finished call waits for next_completion. If it fails, none ever runs.
     * The Request may be dropped; callbacks run all the same.
     */
    Result<Request> try_get_offers_async(std::string_view options, ResultCallback on_result = nullptr,
                                         ErrorCallback on_error = nullptr) const {
        return start(target_get_offers_async, options, std::move(on_result), std::move(on_error));
    }

    /** Does get_attributes on a thread of the library and returns at once. See try_get_offers_async. */
    Result<Request> try_get_attributes_async(const MboxNames& names,
                                             std::optional<std::string_view> options = std::nullopt,
                                             ResultCallback on_result = nullptr,
                                             ErrorCallback on_error = nullptr) const {
        const detail::Text mboxes("mbox_names", names.json());
        if (mboxes.error()) {
            return *mboxes.error();
        }
        const auto attributes = [&mboxes](target_client* client, const char* text, target_callback callback,
                                          target_callback err_callback, void* user_data, target_request** request,
                                          char** result) {
            return target_get_attributes_async(client, mboxes.c_str(), text, callback, err_callback, user_data, request,
                                               result);
        };
        return start(attributes, options, std::move(on_result), std::move(on_error));
    }

    /** Does send_notifications on a thread of the library and returns at once. See try_get_offers_async. */
    Result<Request> try_send_notifications_async(std::string_view options, ResultCallback on_result = nullptr,
                                                 ErrorCallback on_error = nullptr) const {
        return start(target_send_notifications_async, options, std::move(on_result), std::move(on_error));
    }

    /** Takes one finished call of those without callbacks; nothing if none came in time. See target_next_completion. */
    Result<std::optional<Completion>> try_next_completion(Timeout timeout) const {
        std::uint64_t id = 0;
        Result<String> outcome = detail::result_of([this, timeout, &id](char** result) {
            return target_next_completion(handle(), timeout.count(), &id, result);
        });
        if (id != 0) {
            return std::optional<Completion>(Completion{id, std::move(outcome)});
        }
        if (outcome || outcome.error().status() == TARGET_ERR_PENDING) {
            return std::optional<Completion>();
        }
        return outcome.error();
    }

    /** Takes one event; nothing if none came in time. See target_next_event. */
    Result<std::optional<String>> try_next_event(Timeout timeout) const {
        return detail::result_of_wait(
            [this, timeout](char** result) { return target_next_event(handle(), timeout.count(), result); });
    }

    /**
     * Has events handed to a callback, one after the other on a thread of their own, instead of kept for next_event.
     * An empty one (nullptr) removes the old. When this returns, the old one no longer runs and is gone; called inside
     * it, it goes when it has returned. See target_client_on_event.
     */
    Result<void> try_on_event(EventCallback callback) {
        static constexpr char name[] = "target_client_on_event";
        if (!state_) {
            return detail::done(TARGET_ERR_INVALID_ARGUMENT, name, "client");
        }
        const auto set = [this](void* holder) {
            return target_client_on_event(handle(), holder != nullptr ? detail::on_event : nullptr, holder);
        };
        /* Events run on one thread: called inside the old callback, there is no other that could run. */
        return detail::done(state_->events.replace(std::move(callback), false, set), name, "client");
    }

#if ADOBE_TARGET_EXCEPTIONS
    /* The same, throwing. */

    explicit Client(std::string_view config) : Client(try_create(config).value()) {}

    Counts close(Timeout timeout) { return try_close(timeout).value(); }

    /** Whether the client can decide, within that time. */
    bool wait_ready(Timeout timeout) const {
        const Result<void> ready = try_wait_ready(timeout);
        if (!ready && ready.error().status() == TARGET_ERR_PENDING) {
            return false;
        }
        ready.value();
        return true;
    }

    String refresh() const { return try_refresh().value(); }
    String stats() const { return try_stats().value(); }
    String get_offers(std::string_view options) const { return try_get_offers(options).value(); }

    String get_attributes(const MboxNames& names, std::optional<std::string_view> options = std::nullopt) const {
        return try_get_attributes(names, options).value();
    }

    String send_notifications(std::string_view options) const { return try_send_notifications(options).value(); }
    String enqueue_notifications(std::string_view options) const { return try_enqueue_notifications(options).value(); }
    Counts flush(Timeout timeout) const { return try_flush(timeout).value(); }

    Request get_offers_async(std::string_view options, ResultCallback on_result = nullptr,
                             ErrorCallback on_error = nullptr) const {
        return try_get_offers_async(options, std::move(on_result), std::move(on_error)).value();
    }

    Request get_attributes_async(const MboxNames& names, std::optional<std::string_view> options = std::nullopt,
                                 ResultCallback on_result = nullptr, ErrorCallback on_error = nullptr) const {
        return try_get_attributes_async(names, options, std::move(on_result), std::move(on_error)).value();
    }

    Request send_notifications_async(std::string_view options, ResultCallback on_result = nullptr,
                                     ErrorCallback on_error = nullptr) const {
        return try_send_notifications_async(options, std::move(on_result), std::move(on_error)).value();
    }

    std::optional<Completion> next_completion(Timeout timeout) const { return try_next_completion(timeout).value(); }
    std::optional<String> next_event(Timeout timeout) const { return try_next_event(timeout).value(); }
    void on_event(EventCallback callback) { try_on_event(std::move(callback)).value(); }
#endif

private:
    /* Stays where it is when the client moves. */
    struct State {
        target_client* handle = nullptr;
        detail::Events events;
        const long of_process = process::number();
    };

    /*
     * Whether the library will refuse to free the client, and goes on with the callbacks that it has: inside callbacks
     * of this header, and those that were set in C, of which only the library knows. A child is not asked: a client that
     * it has not used would start for the answer.
     */
    static bool is_refused(const State& state) noexcept {
        return process::inside().callbacks > 0 ||
               (state.events.was_set() && state.of_process == process::number() &&
                target_client_wait_ready(state.handle, 1, nullptr) == TARGET_ERR_WOULD_DEADLOCK);
    }

    void end() noexcept {
        if (!state_) {
            return;
        }
        if (state_->handle != nullptr && is_refused(*state_)) {
            target_client_free(state_.release()->handle);
            return;
        }
        /* Callbacks that still come may use this object. */
        target_client_free(state_->handle);
        state_.reset();
    }

    template <class Function>
    Result<String> blocking(Function function, std::string_view options) const {
        const detail::Text text("options", options);
        if (text.error()) {
            return *text.error();
        }
        return detail::result_of(
            [this, function, &text](char** result) { return function(handle(), text.c_str(), result); });
    }

    template <class Function>
    Result<Request> start(Function function, std::optional<std::string_view> options, ResultCallback on_result,
                          ErrorCallback on_error) const {
        const detail::Text text("options", options);
        if (text.error()) {
            return *text.error();
        }
        std::unique_ptr<detail::Call> call;
        if (on_result || on_error) {
            /* Both are given to the library even if one is empty: whichever runs frees them. */
            call = std::make_unique<detail::Call>();
            call->on_result = std::move(on_result);
            call->on_error = std::move(on_error);
        }
        target_request* handle_of_call = nullptr;
        char* result = nullptr;
        const target_status status =
            function(handle(), text.c_str(), call ? detail::Call::succeeded : nullptr,
                     call ? detail::Call::failed : nullptr, call.get(), &handle_of_call, &result);
        const String error(result);
        if (status != TARGET_OK) {
            return Error(status, error);
        }
        /* It may have run already: not to be touched. */
        static_cast<void>(call.release());
        return Request(handle_of_call);
    }

    std::unique_ptr<State> state_;
};

/**
 * Sets the logger of the whole process; nullptr removes it. When this returns, the old one no longer runs and is gone;
 * called inside it, it runs no more after that line and goes when the next one is set. See target_set_logger.
 */
inline Result<void> try_set_logger(LogCallback logger, target_log_level max_level = TARGET_LOG_INFO) {
    const auto set = [max_level](void* holder) {
        return target_set_logger(holder != nullptr ? detail::on_line : nullptr, max_level, holder);
    };
    /* Lines come from several threads, and inside a logger the library does not wait for the others. */
    const target_status status = detail::loggers().replace(std::move(logger), process::inside().loggers > 0, set);
    return detail::done(status, "target_set_logger", "max_level");
}

#if ADOBE_TARGET_EXCEPTIONS
/** The same, throwing. */
inline void set_logger(LogCallback logger, target_log_level max_level = TARGET_LOG_INFO) {
    try_set_logger(std::move(logger), max_level).value();
}
#endif

}  // inline namespace
}  // namespace adobe_target

#undef ADOBE_TARGET_VISIBLE

#endif /* ADOBE_TARGET_HPP */
