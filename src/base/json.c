/* SPDX-License-Identifier: Apache-2.0 */
/* A struct json_value is a json_t of jansson under another name. */
#include "base/json.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* jansson has a type of the name of our function. */
#define json_type jansson_type
#include <jansson.h>
#undef json_type

enum { DEPTH_MAX = 64 };

/* 2^53: every whole double up to it is exact. */
#define WHOLE_MAX 9007199254740992.0

static const json_t *foreign(const struct json_value *value)
{
    return (const json_t *)(const void *)value;
}

static const struct json_value *ours(const json_t *value)
{
    return (const struct json_value *)(const void *)value;
}

static int fail_at(struct bytes text, size_t at, const char *what,
                   struct err *err)
{
    size_t i, line = 1, start = 0;

    for (i = 0; i < at && i < text.len; i++) {
        if (text.data[i] == '\n') {
            line++;
            start = i + 1;
        }
    }
    return err_set(err, ERR_INVALID, "JSON line %zu, column %zu: %s", line,
                   at - start + 1, what);
}

/* jansson calls itself for each level; this loop turns away what is too deep
 * before that. What is no JSON is left to jansson. */
static int check_depth(struct bytes text, struct err *err)
{
    bool is_in_text = false;
    int depth = 0;
    size_t i;

    for (i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];

        if (is_in_text) {
            if (c == '\\')
                i++;
            else if (c == '"')
                is_in_text = false;
        } else if (c == '"') {
            is_in_text = true;
        } else if (c == '[' || c == '{') {
            if (++depth > DEPTH_MAX)
                return fail_at(text, i, "nested deeper than 64 levels", err);
        } else if (c == ']' || c == '}') {
            depth--;
        }
    }
    return 0;
}

/* Our words for what went wrong; jansson's own quote the text. */
static const char *reason(enum json_error_code code)
{
    switch (code) {
    case json_error_premature_end_of_input:
        return "the text ends too early";
    case json_error_end_of_input_expected:
        return "there is text after the end";
    case json_error_invalid_utf8:
        return "not valid UTF-8";
    case json_error_duplicate_key:
        return "a key appears twice in one object";
    case json_error_null_character:
    case json_error_null_byte_in_key:
        return "a NUL character in a text";
    case json_error_numeric_overflow:
        return "a number is too large";
    default:
        return "not valid JSON";
    }
}

int json_parse(struct bytes text, struct json_value **out, struct err *err)
{
    static const char mark[] = "\xef\xbb\xbf"; /* some editors' first bytes */
    json_error_t error;
    json_t *document;
    int rc;

    if (text.len >= 3 && memcmp(text.data, mark, 3) == 0)
        text = (struct bytes){text.data + 3, text.len - 3};
    rc = check_depth(text, err);
    if (rc)
        return rc;
    document =
        json_loadb(text.len == 0 ? "" : (const char *)text.data, text.len,
                   JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (document == NULL) {
        if (json_error_code(&error) == json_error_out_of_memory)
            return err_set(err, ERR_UNAVAILABLE,
                           "no memory for %zu bytes of JSON", text.len);
        return err_set(err, ERR_INVALID, "JSON line %d, column %d: %s",
                       error.line > 0 ? error.line : 1,
                       error.column > 0 ? error.column : 1,
                       reason(json_error_code(&error)));
    }
    *out = (struct json_value *)(void *)document;
    return 0;
}

void json_free(struct json_value *document)
{
    json_decref((json_t *)(void *)document);
}

enum json_type json_type(const struct json_value *value)
{
    switch (json_typeof(foreign(value))) {
    case JSON_OBJECT:
        return JSON_IS_OBJECT;
    case JSON_ARRAY:
        return JSON_IS_ARRAY;
    case JSON_STRING:
        return JSON_IS_TEXT;
    case JSON_INTEGER:
    case JSON_REAL:
        return JSON_IS_NUMBER;
    case JSON_TRUE:
    case JSON_FALSE:
        return JSON_IS_BOOL;
    default:
        return JSON_IS_NULL;
    }
}

const struct json_value *json_find(const struct json_value *value,
                                   const char *key)
{
    return ours(json_object_get(foreign(value), key));
}

size_t json_count(const struct json_value *value)
{
    if (json_is_array(foreign(value)))
        return json_array_size(foreign(value));
    return json_object_size(foreign(value));
}

const struct json_value *json_at(const struct json_value *value, size_t i)
{
    const json_t *item = json_array_get(foreign(value), i);

    assert(item != NULL);
    return ours(item);
}

int json_members(const struct json_value *value, json_member_fn *fn, void *user,
                 struct err *err)
{
    json_t *object = (json_t *)(uintptr_t)value;
    void *place;
    int rc = 0;

    for (place = json_object_iter(object); place != NULL && rc == 0;
         place = json_object_iter_next(object, place))
        rc = fn(user, json_object_iter_key(place),
                ours(json_object_iter_value(place)), err);
    return rc;
}

const char *json_text(const struct json_value *value)
{
    return json_string_value(foreign(value));
}

bool json_number(const struct json_value *value, double *out)
{
    if (!json_is_number(foreign(value)))
        return false;
    *out = json_number_value(foreign(value));
    return true;
}

bool json_whole(const struct json_value *value, int64_t *out)
{
    double real;

    if (json_is_integer(foreign(value))) {
        *out = json_integer_value(foreign(value));
        return true;
    }
    if (!json_is_real(foreign(value)))
        return false;
    real = json_real_value(foreign(value));
    if (real != trunc(real) || fabs(real) > WHOLE_MAX)
        return false;
    *out = (int64_t)real;
    return true;
}

bool json_bool(const struct json_value *value, bool *out)
{
    if (!json_is_boolean(foreign(value)))
        return false;
    *out = json_is_true(foreign(value));
    return true;
}

/* The member, or NULL when it is absent or null. */
static const struct json_value *take(const struct json_value *object,
                                     const char *key)
{
    const struct json_value *value = json_find(object, key);

    return value == NULL || json_type(value) == JSON_IS_NULL ? NULL : value;
}

int json_take_integer(const struct json_value *object, const char *key,
                      int64_t min, int64_t max, int64_t *out, struct err *err)
{
    const struct json_value *value = take(object, key);
    int64_t whole;

    if (value == NULL)
        return 0;
    if (!json_whole(value, &whole))
        return err_set(err, ERR_INVALID,
                       "'%s' must be a whole number from %lld to %lld", key,
                       (long long)min, (long long)max);
    if (whole < min || whole > max)
        return err_set(err, ERR_INVALID,
                       "'%s' is %lld; it must be a whole number from %lld to "
                       "%lld",
                       key, (long long)whole, (long long)min, (long long)max);
    *out = whole;
    return 0;
}

int json_take_number(const struct json_value *object, const char *key,
                     double min, double max, double *out, struct err *err)
{
    const struct json_value *value = take(object, key);
    double number;

    if (value == NULL)
        return 0;
    if (!json_number(value, &number))
        return err_set(err, ERR_INVALID, "'%s' must be a number from %g to %g",
                       key, min, max);
    if (!(number >= min && number <= max))
        return err_set(err, ERR_INVALID,
                       "'%s' is %g; it must be a number from %g to %g", key,
                       number, min, max);
    *out = number;
    return 0;
}

int json_take_text(const struct json_value *object, const char *key,
                   const char **out, struct err *err)
{
    const struct json_value *value = take(object, key);

    if (value == NULL)
        return 0;
    if (json_text(value) == NULL)
        return err_set(err, ERR_INVALID, "'%s' must be a text", key);
    *out = json_text(value);
    return 0;
}
