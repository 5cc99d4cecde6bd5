/*
 * Reads single values out of JSON: the reader of the C examples for std::string. Programs that have a JSON library use
 * that.
 */
#ifndef EXAMPLES_JSON_HPP
#define EXAMPLES_JSON_HPP

#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "../examples-c/json.h"

namespace json {

/* The value in a place such as "response.prefetch.mboxes[0]", as it stands in the JSON: fit to be put into other JSON.
 * "" when there is none. */
inline std::string raw(std::string_view json, const std::string& path) {
    const std::unique_ptr<char, void (*)(void*)> value(json_raw(std::string(json).c_str(), path.c_str()), std::free);
    return value ? value.get() : "";
}

/* The content of a string, of any other value what raw() gives. */
inline std::string text(std::string_view json, const std::string& path) {
    const std::unique_ptr<char, void (*)(void*)> value(json_text(std::string(json).c_str(), path.c_str()), std::free);
    return value ? value.get() : "";
}

/* How many elements an array has. */
inline int count(std::string_view json, const std::string& path) {
    return json_count(std::string(json).c_str(), path.c_str());
}

}  // namespace json

#endif
