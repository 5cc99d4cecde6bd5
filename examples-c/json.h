/*
 * Reads single values out of JSON text, and writes text. It does what the examples need and no more: programs that
 * have a JSON library use that.
 *
 * A path names members and elements: "response.prefetch.mboxes[0].name". Members whose names have a dot or a bracket
 * cannot be named. The JSON must be valid, as that of the library is. Strings that are returned are freed with
 * free(). Out of memory ends the program.
 */
#ifndef EXAMPLES_JSON_H
#define EXAMPLES_JSON_H

/* The value as it stands in the JSON, a string with its quotes and escapes: fit to be put into other JSON. NULL when
 * there is none. */
char *json_raw(const char *json, const char *path);

/* The content of a string, of any other value what json_raw gives. NULL when there is none, or null. */
char *json_text(const char *json, const char *path);

/* How many elements an array has. 0 when there is none. */
int json_count(const char *json, const char *path);

/* A text as a JSON string, with quotes. */
char *json_quoted(const char *text);

/* Like printf, to a string. */
char *text_of(const char *format, ...);

#endif
