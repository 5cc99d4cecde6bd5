/*
 * The JSON reader of the examples, on which the other test programs rely.
 */
#include "check.h"

static const char JSON[] =
    " { \"a\" : { \"b\" : [ 1 , { \"c\" : \"x\" } , [ ] , { } , -1.5e3 ] , \"t\" : true , \"n\" : null } ,\n"
    "   \"text\" : \"\\\"\\\\\\/\\b\\f\\n\\r\\t \\u00e9 \\u20AC \\ud83d\\uDE00 ]}\" ,\n"
    "   \"broken\" : \"\\ud83d|\\ude00|\\u0000|\\ud83d\\u0041\" , \"\\u0061\\\"b\" : 2 , \"empty\" : \"\" , \"a\" : 3 } ";

static void raw_is(const char *path, const char *expected) {
    char *value = json_raw(JSON, path);
    CHECK(value != NULL && strcmp(value, expected) == 0);
    free(value);
}

static void missing(const char *json, const char *path) {
    CHECK(json_raw(json, path) == NULL);
    CHECK(json_text(json, path) == NULL);
    CHECK(json_count(json, path) == 0);
}

static void values_are_found_by_their_path(void) {
    raw_is("a.b[0]", "1");
    raw_is("a.b[1]", "{ \"c\" : \"x\" }");
    raw_is("a.b[1].c", "\"x\"");
    raw_is("a.b[2]", "[ ]");
    raw_is("a.b[3]", "{ }");
    raw_is("a.b[4]", "-1.5e3");
    raw_is("a.t", "true");
    raw_is("a.n", "null");
    raw_is("a\"b", "2");
    raw_is("empty", "\"\"");
    CHECK(json_count(JSON, "a.b") == 5);
    CHECK(json_count(JSON, "a.b[2]") == 0);
}

static void what_is_missing_is_null(void) {
    static const char *const paths[] = {"b",      "a.c",    "a.b[5]",   "a.b[0].c", "a.b.c",
                                        "a[0]",   "text.a", "a.b[1].d", "a.t.x",    "a.b[3].c"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        missing(JSON, paths[i]);
    }
    missing("", "a");
    missing("5", "a");
    missing("[]", "[0]");
    CHECK(json_text(JSON, "a.n") == NULL);
}

static void strings_are_decoded(void) {
    CHECK_JSON(JSON, "text", "\"\\/\b\f\n\r\t \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 ]}");
    CHECK_JSON(JSON, "broken", "\xef\xbf\xbd|\xef\xbf\xbd|\xef\xbf\xbd|\xef\xbf\xbd" "A");
    CHECK_JSON(JSON, "empty", "");
    CHECK_JSON(JSON, "a.b[4]", "-1.5e3");
}

static void quoting_and_reading_give_the_same(void) {
    const char *text = "\" \\ / \x01 \x1f \n \xc3\xa9 \x7f";
    char *quoted = json_quoted(text);
    char *json = text_of("{\"a\":[%s]}", quoted);
    CHECK_JSON(json, "a[0]", text);
    CHECK(strcmp(quoted, "\"\\\" \\\\ / \\u0001 \\u001f \\u000a \xc3\xa9 \x7f\"") == 0);
    free(quoted);
    free(json);
}

/* Truncated text ends the search; it must not be read beyond its end. */
static void every_truncated_text(void) {
    char *text = text_of("%s", JSON);
    for (size_t length = strlen(text); length-- > 0;) {
        text[length] = '\0';
        free(json_raw(text, "a.b[4]"));
        free(json_text(text, "text"));
        free(json_text(text, "broken"));
        CHECK(json_count(text, "a.b") <= 5);
    }
    free(text);
}

int main(void) {
    values_are_found_by_their_path();
    what_is_missing_is_null();
    strings_are_decoded();
    quoting_and_reading_give_the_same();
    every_truncated_text();
    return 0;
}
