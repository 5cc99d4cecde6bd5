/*
 * The parts of the header that need no client: its reader of JSON, quoting, times, texts, errors and results.
 */
#include <limits>
#include <sstream>
#include <type_traits>

#include "check.hpp"

static_assert(!std::is_copy_constructible_v<at::Client> && !std::is_copy_assignable_v<at::Client>);
static_assert(std::is_nothrow_move_constructible_v<at::Client> && std::is_nothrow_move_assignable_v<at::Client>);
static_assert(!std::is_copy_constructible_v<at::Request> && std::is_nothrow_move_constructible_v<at::Request>);
static_assert(!std::is_copy_constructible_v<at::String> && std::is_nothrow_move_constructible_v<at::String>);
static_assert(std::is_nothrow_copy_constructible_v<at::Error> && std::is_base_of_v<std::exception, at::Error>);
static_assert(!std::is_convertible_v<at::Result<at::String>, bool> && !std::is_convertible_v<at::Request, bool>);

static std::string unquoted(std::string_view raw) {
    return at::detail::text_of(raw).value_or("(none)");
}

static void strings_are_read() {
    CHECK(unquoted(R"("")").empty());
    CHECK(unquoted(R"("plain")") == "plain");
    CHECK(unquoted(R"("\"\\\/\b\f\n\r\t")") == "\"\\/\b\f\n\r\t");
    CHECK(unquoted(R"("\u0041\u00e9\u20AC")") == "A\xC3\xA9\xE2\x82\xAC");
    CHECK(unquoted(R"("\ud83d\ude00!")") == "\xF0\x9F\x98\x80!");
    CHECK(unquoted("\"\xC3\xA9\"") == "\xC3\xA9");
    CHECK(unquoted(R"("a\u0000b")") == std::string("a\0b", 3));
    CHECK(unquoted(R"("\uffff\u07ff\u0800")") == "\xEF\xBF\xBF\xDF\xBF\xE0\xA0\x80");
    CHECK(unquoted(R"("\udbff\udfff")") == "\xF4\x8F\xBF\xBF");
}

static void lone_surrogates_are_replaced() {
    const std::string replaced = "\xEF\xBF\xBD";
    CHECK(unquoted(R"("\ud83d")") == replaced);
    CHECK(unquoted(R"("\ude00x")") == replaced + "x");
    CHECK(unquoted(R"("\ud83d\u0041")") == replaced + "A");
    CHECK(unquoted(R"("\ud83d\ud83d\ude00")") == replaced + "\xF0\x9F\x98\x80");
    CHECK(unquoted(R"("\ud83dude00")") == replaced + "ude00");
    CHECK(unquoted(R"("\ud83d\n")") == replaced + "\n");
}

static void what_is_no_string_is_none() {
    for (const char* raw : {"", "\"", "null", "12", "\"open", "\"a\"b\"", R"("\x")", R"("\u12")", R"("\u12g4")",
                            R"("\)", R"("\")", R"("\u-123")", R"("\u+123")", "\"a\" "}) {
        CHECK(unquoted(raw) == "(none)");
    }
}

static std::string members_of(std::string_view object) {
    std::string members;
    at::detail::for_each_member(object, [&members](std::string_view name, std::string_view raw) {
        members.append(name).append("=").append(raw).append(";");
    });
    return members;
}

static void members_are_read_and_what_they_hold_is_left_as_it_is() {
    CHECK(members_of("{}").empty());
    CHECK(members_of(" { } ").empty());
    CHECK(members_of(R"({"a":1,"b":"x","c":null,"d":true})") == R"(a=1;b="x";c=null;d=true;)");
    CHECK(members_of(" {\n \"a\" : -1.5e3 ,\t\"b\" :\r\n[ 1 , {\"a\":2} ] } ") == R"(a=-1.5e3;b=[ 1 , {"a":2} ];)");
    CHECK(members_of(R"({"a":{"b":{"c":"}]\"{"}},"d":[[],[{}]],"e":0})") == R"(a={"b":{"c":"}]\"{"}};d=[[],[{}]];e=0;)");
    CHECK(members_of(R"({"\u0061\"":"\\","b":"\\\""})") == R"(a"="\\";b="\\\"";)");
}

/* Nothing is read past the end, wherever the text is cut off; what was whole before is there. */
static void text_that_is_no_json_ends_the_reading() {
    const std::string whole = R"({"a":{"b":["\u00e9\"",1]},"c":"\ud83d\ude00","d":-1.5})";
    for (std::size_t length = 0; length <= whole.size(); ++length) {
        /* On the heap and of that size, for valgrind. */
        const std::vector<char> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
        const std::string members = members_of(std::string_view(cut.data(), cut.size()));
        CHECK(std::string_view(R"(a={"b":["\u00e9\"",1]};c="\ud83d\ude00";d=-1.5;)").substr(0, members.size()) == members ||
              members.find(";d=-") != std::string::npos);
        (void)at::Error(TARGET_ERR_HTTP, std::string_view(cut.data(), cut.size()));
    }
    for (const char* json : {"", "null", "[]", "[1]", "\"a\"", "{,}", "{a:1}", "{\"a\"}", "{\"a\":}", "{\"a\":,\"b\":1}",
                             "{\"a\":]}", "{\"a\" 1}", "{\"a\":1"}) {
        CHECK(members_of(json).size() <= 4);
    }
    CHECK(members_of(R"({"a":1,"b":})") == "a=1;");
    CHECK(members_of(std::string(100000, '[')).empty());
    CHECK(members_of("{\"a\":" + std::string(1000000, '[')).empty());
}

static void integers_are_read() {
    CHECK(at::detail::integer_of("0") == 0 && at::detail::integer_of("-12") == -12);
    CHECK(at::detail::integer_of("9223372036854775807") == std::numeric_limits<std::int64_t>::max());
    for (const char* raw : {"", "null", "1.5", "1e3", "9223372036854775808", "\"1\"", "+1", "0x1"}) {
        CHECK(!at::detail::integer_of(raw));
    }
}

static void texts_are_quoted() {
    CHECK(at::quote("") == R"("")");
    CHECK(at::quote("a\"b\\c/d") == R"("a\"b\\c/d")");
    CHECK(at::quote("\n\r\t\b\f\x1f\x7f") == "\"\\n\\r\\t\\u0008\\u000c\\u001f\x7f\"");
    CHECK(at::quote(std::string_view("a\0b", 3)) == R"("a\u0000b")");
    CHECK(at::quote("\xC3\xA9\xFF") == "\"\xC3\xA9\xFF\"");
    std::string all;
    for (int c = 0; c < 256; ++c) {
        all += static_cast<char>(c);
    }
    CHECK(unquoted(at::quote(all)) == all);
}

static void times_are_milliseconds() {
    using std::chrono::duration;
    CHECK(at::Timeout(0ms).count() == 0 && at::Timeout(-1ms).count() == 0 && at::Timeout(-1h).count() == 0);
    CHECK(at::Timeout(3s).count() == 3000 && at::Timeout(1ns).count() == 1 && at::Timeout(1001us).count() == 2);
    CHECK(at::Timeout(std::chrono::hours(24 * 365)).count() == 31536000000u);
    CHECK(at::Timeout(duration<double>(0.0005)).count() == 1);
    CHECK(at::forever.count() == TARGET_WAIT_FOREVER);
    CHECK(at::Timeout(std::chrono::milliseconds::max()).count() == TARGET_WAIT_FOREVER);
    CHECK(at::Timeout(std::chrono::hours::max()).count() == TARGET_WAIT_FOREVER);
    CHECK(at::Timeout(std::chrono::milliseconds::min()).count() == 0);
    CHECK(at::Timeout(std::chrono::hours::min()).count() == 0);
    CHECK(at::Timeout(duration<double>(std::numeric_limits<double>::infinity())).count() == TARGET_WAIT_FOREVER);
    CHECK(at::Timeout(duration<double>(std::numeric_limits<double>::quiet_NaN())).count() == 0);
}

static void names_become_json() {
    CHECK(at::MboxNames{}.json() == "[]");
    CHECK((at::MboxNames{"hero", "a\"b"}.json() == R"(["hero","a\"b"])"));
    CHECK(at::MboxNames(std::vector<std::string>{"x", "y"}).json() == R"(["x","y"])");
    CHECK(at::MboxNames(std::vector<std::string_view>{"x"}).json() == R"(["x"])");
    CHECK(at::MboxNames::from_json("[ ]").json() == "[ ]");
}

static void strings_are_views_that_free_themselves() {
    at::String none;
    CHECK(none.empty() && *none.c_str() == '\0' && none.view().empty() && none.str().empty());
    at::String null(static_cast<char*>(nullptr));
    CHECK(null.empty());
    std::ostringstream out;
    out << none;
    CHECK(out.str().empty());
}

static void errors_have_their_facts() {
    const at::Error error(
        TARGET_ERR_HTTP,
        R"({"code":"TARGET_ERR_HTTP","message":"the edge answered 400: \u00e9\n","phase":"response","field":"a[0].\"b\"",)"
        R"("http_status":400,"api_message":"no \ud83d\ude00","request_id":"7e1f","retryable":true,"retry_after_ms":1500,)"
        R"("attempts":3,"elapsed_ms":12,"result":{"notifications":{"unknown":["1"]}},"new":[{"code":"other"}]})");
    CHECK(error.status() == TARGET_ERR_HTTP && error.code() == "TARGET_ERR_HTTP");
    CHECK(error.message() == "the edge answered 400: \xC3\xA9\n" && error.phase() == "response");
    CHECK(std::string_view(error.what()) == "TARGET_ERR_HTTP: " + error.message());
    CHECK(error.field() == "a[0].\"b\"" && error.http_status() == 400 && error.api_message() == "no \xF0\x9F\x98\x80");
    CHECK(error.request_id() == "7e1f" && error.retryable() && error.retry_after() == 1500ms);
    CHECK(error.attempts() == 3 && error.elapsed() == 12ms);
    CHECK(error.result() == R"({"notifications":{"unknown":["1"]}})");
    CHECK(error.json().front() == '{' && error.json().back() == '}');

    const at::Error copy = error;
    CHECK(&copy.json() == &error.json());
    at::Error other("{}");
    other = copy;
    CHECK(other.status() == TARGET_ERR_HTTP);
}

static void facts_that_are_null_or_missing_are_none() {
    const at::Error nulls(R"({"code":"TARGET_ERR_CLOSED","message":"m","phase":"validate","field":null,"http_status":null,)"
                          R"("api_message":null,"request_id":null,"retryable":false,"retry_after_ms":null,"result":null})");
    CHECK(nulls.status() == TARGET_ERR_CLOSED && nulls.field().empty() && !nulls.http_status());
    CHECK(!nulls.retry_after() && !nulls.retryable() && nulls.result().empty() && nulls.attempts() == 0);

    const at::Error none(TARGET_ERR_TIMEOUT, "");
    CHECK(none.status() == TARGET_ERR_TIMEOUT && none.code() == "TARGET_ERR_TIMEOUT" && none.message().empty());
    CHECK(std::string_view(none.what()) == "TARGET_ERR_TIMEOUT");

    const at::Error unknown(R"({"code":"TARGET_ERR_OF_THE_FUTURE"})");
    CHECK(unknown.status() == TARGET_ERR_INTERNAL && unknown.code() == "TARGET_ERR_OF_THE_FUTURE");
    const at::Error numbered(77, R"({"code":"TARGET_ERR_OF_THE_FUTURE"})");
    CHECK(numbered.status() == 77 && numbered.code() == "TARGET_ERR_OF_THE_FUTURE");
}

static void results_have_a_value_or_an_error() {
    at::Result<std::string> value(std::string("text"));
    CHECK(value && value.has_value() && *value == "text" && value->size() == 4 && value.value() == "text");
    CHECK(std::move(value).value() == "text");
    const at::Result<std::string> error(at::Error(TARGET_ERR_CLOSED, ""));
    CHECK_ERROR(TARGET_ERR_CLOSED, error);
    CHECK(at::Result<void>().has_value());
    at::Result<void>().value();
    CHECK_ERROR(TARGET_ERR_CLOSED, at::Result<void>(error.error()));
#if ADOBE_TARGET_EXCEPTIONS
    int caught = 0;
    try {
        (void)error.value();
    } catch (const std::exception& thrown) {
        caught += std::string_view(thrown.what()) == "TARGET_ERR_CLOSED";
    }
    try {
        at::Result<void>(error.error()).value();
    } catch (const at::Error& thrown) {
        caught += thrown.status() == TARGET_ERR_CLOSED;
    }
    CHECK(caught == 2);
#endif
}

int main() {
    strings_are_read();
    lone_surrogates_are_replaced();
    what_is_no_string_is_none();
    members_are_read_and_what_they_hold_is_left_as_it_is();
    text_that_is_no_json_ends_the_reading();
    integers_are_read();
    texts_are_quoted();
    times_are_milliseconds();
    names_become_json();
    strings_are_views_that_free_themselves();
    errors_have_their_facts();
    facts_that_are_null_or_missing_are_none();
    results_have_a_value_or_an_error();
    CHECK(at::version() == TARGET_VERSION && at::abi_version() == TARGET_ABI_VERSION);
    CHECK(at::status_name(TARGET_ERR_TIMEOUT) == "TARGET_ERR_TIMEOUT");
    return 0;
}
