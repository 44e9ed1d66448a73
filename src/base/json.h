/* SPDX-License-Identifier: Apache-2.0 */
/* JSON in: a parsed document and checked access to it. (JSON out:
 * base/json_write.h.) The parser is jansson; it lives in json.c only.
 *
 * A document may be read by several threads at once. */
#ifndef OLHO_BASE_JSON_H
#define OLHO_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum json_type {
    JSON_IS_NULL,
    JSON_IS_BOOL,
    JSON_IS_NUMBER,
    JSON_IS_TEXT,
    JSON_IS_ARRAY,
    JSON_IS_OBJECT,
};

struct json_value; /* borrowed from its document, valid as long as that */

/* Parses a whole UTF-8 text. Duplicate keys, bytes that are not UTF-8, NaN,
 * trailing text and a nesting over 64 fail with ERR_INVALID and the place. The
 * caller owns *out and ends it with json_free. */
MUST_CHECK int json_parse(struct bytes text, struct json_value **out,
                          struct err *err);
void json_free(struct json_value *document); /* NULL is allowed */

enum json_type json_type(const struct json_value *value);

/* The member called key; NULL when absent or when value is no object. */
const struct json_value *json_find(const struct json_value *value,
                                   const char *key);

/* Number of elements or members; 0 for anything else. */
size_t json_count(const struct json_value *value);

/* Element i of an array; i must be below json_count. */
const struct json_value *json_at(const struct json_value *value, size_t i);

/* Calls fn for each member in file order until it returns other than 0;
 * returns that. 0 when value is no object. */
typedef int json_member_fn(void *user, const char *key,
                           const struct json_value *value, struct err *err);
MUST_CHECK int json_members(const struct json_value *value, json_member_fn *fn,
                            void *user, struct err *err);

/* The text (NUL-terminated, borrowed), or NULL when value is none. */
const char *json_text(const struct json_value *value);

/* False, *out untouched, when value is no number (or no whole one), no bool.
 * A real without a fraction, as 3.0, counts as whole. (jansson exports a
 * json_integer, which ours must not shadow.) */
bool json_number(const struct json_value *value, double *out);
bool json_whole(const struct json_value *value, int64_t *out);
bool json_bool(const struct json_value *value, bool *out);

/* A member of an object that may be absent or null (*out then stays as it
 * is); a wrong type or a value outside min..max: ERR_INVALID naming key. */
MUST_CHECK int json_take_integer(const struct json_value *object,
                                 const char *key, int64_t min, int64_t max,
                                 int64_t *out, struct err *err);
MUST_CHECK int json_take_number(const struct json_value *object,
                                const char *key, double min, double max,
                                double *out, struct err *err);
MUST_CHECK int json_take_text(const struct json_value *object, const char *key,
                              const char **out, struct err *err);

#endif
