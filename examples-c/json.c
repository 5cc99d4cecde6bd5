#include "json.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *allocate(size_t size) {
    char *text = (char *)malloc(size);
    if (text == NULL) {
        fputs("out of memory\n", stderr);
        exit(EXIT_FAILURE);
    }
    return text;
}

static char *copy(const char *from, const char *end) {
    size_t length = (size_t)(end - from);
    char *text = allocate(length + 1);
    memcpy(text, from, length);
    text[length] = '\0';
    return text;
}

static const char *skip_blanks(const char *at) {
    return at + strspn(at, " \t\r\n");
}

/* From the opening quote to the closing one, or to the end of a text that is cut off. */
static const char *end_of_string(const char *at) {
    for (at++; *at != '\0' && *at != '"'; at++) {
        if (*at == '\\' && at[1] != '\0') {
            at++;
        }
    }
    return at;
}

/* From the opening quote to what follows the closing one. */
static const char *skip_string(const char *at) {
    at = end_of_string(at);
    return *at == '"' ? at + 1 : at;
}

/* From the first character of a value to what follows it. Nesting is counted, so depth costs no stack. */
static const char *skip_value(const char *at) {
    int depth = 0;
    do {
        at = skip_blanks(at);
        if (*at == '\0') {
            return at;
        }
        if (*at == '"') {
            at = skip_string(at);
        } else if (strchr("{[", *at) != NULL) {
            depth++;
            at++;
        } else if (strchr("}]", *at) != NULL) {
            depth--;
            at++;
        } else if (strchr(",:", *at) != NULL) {
            at++;
        } else {
            at += strcspn(at, "{}[],:\" \t\r\n");
        }
    } while (depth > 0);
    return at;
}

/* Four hexadecimal digits, or -1. */
static long hexadecimal(const char *at) {
    char digits[5] = {0};
    if (strspn(at, "0123456789abcdefABCDEF") < 4) {
        return -1;
    }
    memcpy(digits, at, 4);
    return strtol(digits, NULL, 16);
}

static char *put_utf8(char *out, long point) {
    if (point < 0x80) {
        *out++ = (char)point;
    } else if (point < 0x800) {
        *out++ = (char)(0xC0 | (point >> 6));
        *out++ = (char)(0x80 | (point & 0x3F));
    } else if (point < 0x10000) {
        *out++ = (char)(0xE0 | (point >> 12));
        *out++ = (char)(0x80 | ((point >> 6) & 0x3F));
        *out++ = (char)(0x80 | (point & 0x3F));
    } else {
        *out++ = (char)(0xF0 | (point >> 18));
        *out++ = (char)(0x80 | ((point >> 12) & 0x3F));
        *out++ = (char)(0x80 | ((point >> 6) & 0x3F));
        *out++ = (char)(0x80 | (point & 0x3F));
    }
    return out;
}

/* The content of the string that begins with the quote at `at`. The escaped form is never shorter than the content. */
static char *content(const char *at) {
    const char *end = end_of_string(at);
    char *text = allocate((size_t)(end - at) + 1);
    char *out = text;
    for (at++; at < end; at++) {
        long unit, low;
        if (*at != '\\') {
            *out++ = *at;
            continue;
        }
        at++;
        switch (*at) {
        case 'b': *out++ = '\b'; break;
        case 'f': *out++ = '\f'; break;
        case 'n': *out++ = '\n'; break;
        case 'r': *out++ = '\r'; break;
        case 't': *out++ = '\t'; break;
        case 'u':
            unit = hexadecimal(at + 1);
            if (unit < 0) {
                *out++ = *at;
                break;
            }
            low = unit >= 0xD800 && unit < 0xDC00 && at[5] == '\\' && at[6] == 'u' ? hexadecimal(at + 7) : -1;
            at += 4;
            if (low >= 0xDC00 && low < 0xE000) {
                unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
                at += 6;
            } else if (unit == 0 || (unit >= 0xD800 && unit < 0xE000)) {
                /* Half a pair has no UTF-8, and a C string holds no NUL: the replacement character. */
                unit = 0xFFFD;
            }
            out = put_utf8(out, unit);
            break;
        default: *out++ = *at; break;
        }
    }
    *out = '\0';
    return text;
}

/* The value of the member of that name in the object that begins at `at`, or NULL. */
static const char *member(const char *at, const char *name, size_t length) {
    if (*at != '{') {
        return NULL;
    }
    for (at = skip_blanks(at + 1); *at == '"'; at = skip_blanks(at + 1)) {
        char *key = content(at);
        int found = strlen(key) == length && memcmp(key, name, length) == 0;
        free(key);
        at = skip_blanks(skip_string(at));
        if (*at != ':') {
            return NULL;
        }
        at = skip_blanks(at + 1);
        if (found) {
            return at;
        }
        at = skip_blanks(skip_value(at));
        if (*at != ',') {
            return NULL;
        }
    }
    return NULL;
}

/* The element of that number in the array that begins at `at`, or NULL; its length goes to `count` if that is not
 * NULL. */
static const char *element(const char *at, long number, int *count) {
    int n = 0;
    if (*at != '[') {
        return NULL;
    }
    at = skip_blanks(at + 1);
    while (*at != ']' && *at != '\0') {
        if (count == NULL && n == number) {
            return at;
        }
        n++;
        at = skip_blanks(skip_value(at));
        if (*at == ',') {
            at = skip_blanks(at + 1);
        }
    }
    if (count != NULL) {
        *count = n;
    }
    return NULL;
}

static const char *find(const char *json, const char *path) {
    const char *at = skip_blanks(json);
    while (at != NULL && *path != '\0') {
        if (*path == '[') {
            char *end;
            at = element(at, strtol(path + 1, &end, 10), NULL);
            path = *end == ']' ? end + 1 : end;
        } else {
            size_t length = strcspn(path, ".[");
            at = member(at, path, length);
            path += length;
        }
        if (*path == '.') {
            path++;
        }
    }
    return at;
}

char *json_raw(const char *json, const char *path) {
    const char *at = find(json, path);
    return at == NULL ? NULL : copy(at, skip_value(at));
}

char *json_text(const char *json, const char *path) {
    const char *at = find(json, path);
    if (at == NULL || strncmp(at, "null", 4) == 0) {
        return NULL;
    }
    return *at == '"' ? content(at) : copy(at, skip_value(at));
}

int json_count(const char *json, const char *path) {
    const char *at = find(json, path);
    int count = 0;
    if (at != NULL) {
        element(at, -1, &count);
    }
    return count;
}

char *json_quoted(const char *text) {
    /* A control character becomes six. */
    char *quoted = allocate(strlen(text) * 6 + 3);
    char *out = quoted;
    *out++ = '"';
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20) {
            out += sprintf(out, "\\u%04x", (unsigned)*text);
            continue;
        }
        if (*text == '"' || *text == '\\') {
            *out++ = '\\';
        }
        *out++ = *text;
    }
    *out++ = '"';
    *out = '\0';
    return quoted;
}

char *text_of(const char *format, ...) {
    va_list arguments;
    int length;
    char *text;
    va_start(arguments, format);
    length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0) {
        fputs("a text cannot be formatted\n", stderr);
        exit(EXIT_FAILURE);
    }
    text = allocate((size_t)length + 1);
    va_start(arguments, format);
    vsnprintf(text, (size_t)length + 1, format, arguments);
    va_end(arguments);
    return text;
}
