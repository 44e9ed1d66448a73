/* SPDX-License-Identifier: Apache-2.0 */
/* Members of a layer's config, checked. */
#include <math.h>
#include <string.h>

#include "models/keras_config.h"

enum { PRINT_DEPTH_MAX = 4 };

static const struct json_value *member(const struct keras_layer *layer,
                                       const char *key)
{
    const struct json_value *value = json_find(layer->config, key);

    return value != NULL && json_type(value) == JSON_IS_NULL ? NULL : value;
}

static int wrong(const char *key, const struct json_value *value,
                 const char *want, struct err *err)
{
    struct buf text;

    buf_init(&text, 80);
    keras_config_print(value, &text);
    err_set(err, ERR_UNPROCESSABLE, "%s is %s; it must be %s", key,
            text.data != NULL ? text.data : "(long)", want);
    buf_release(&text);
    return ERR_UNPROCESSABLE;
}

int keras_get_integer(const struct keras_layer *layer, const char *key,
                      int64_t min, int64_t max, int64_t *out, struct err *err)
{
    const struct json_value *value = member(layer, key);
    int64_t number;

    if (value == NULL)
        return 0;
    if (!json_whole(value, &number) || number < min || number > max)
        return wrong(key, value, "a whole number within its limits", err);
    *out = number;
    return 0;
}

int keras_get_number(const struct keras_layer *layer, const char *key,
                     double *out, struct err *err)
{
    const struct json_value *value = member(layer, key);
    double number;
    int count;

    if (value == NULL)
        return 0;
    if (!keras_numbers(value, 1, &number, &count) || count != 1)
        return wrong(key, value, "a number", err);
    *out = number;
    return 0;
}

int keras_get_bool(const struct keras_layer *layer, const char *key, bool *out,
                   struct err *err)
{
    const struct json_value *value = member(layer, key);

    if (value != NULL && !json_bool(value, out))
        return wrong(key, value, "true or false", err);
    return 0;
}

int keras_get_pair(const struct keras_layer *layer, const char *key,
                   int64_t min, int64_t max, int64_t out[2], struct err *err)
{
    const struct json_value *value = member(layer, key);
    int64_t pair[2];

    if (value == NULL)
        return 0;
    if (json_whole(value, &pair[0])) {
        pair[1] = pair[0];
    } else if (json_type(value) != JSON_IS_ARRAY || json_count(value) != 2 ||
               !json_whole(json_at(value, 0), &pair[0]) ||
               !json_whole(json_at(value, 1), &pair[1])) {
        return wrong(key, value, "a whole number or two", err);
    }
    if (pair[0] < min || pair[0] > max || pair[1] < min || pair[1] > max)
        return wrong(key, value, "within its limits", err);
    out[0] = pair[0];
    out[1] = pair[1];
    return 0;
}

/* The list inside {"class_name": "__numpy__", "config": {"value": [...]}},
 * also "__tensor__"; else the value itself. */
static const struct json_value *unwrapped(const struct json_value *value)
{
    const struct json_value *config = json_find(value, "config"), *inside;

    inside = config != NULL ? json_find(config, "value") : NULL;
    if (inside == NULL)
        inside = json_find(value, "value");
    return inside != NULL ? inside : value;
}

static bool gather(const struct json_value *value, int depth, int max,
                   double *out, int *count)
{
    double number;
    size_t i;

    if (json_number(value, &number)) {
        if (*count == max || !isfinite(number))
            return false;
        out[(*count)++] = number;
        return true;
    }
    if (json_type(value) != JSON_IS_ARRAY || depth == KERAS_RANK_MAX)
        return false;
    for (i = 0; i < json_count(value); i++)
        if (!gather(json_at(value, i), depth + 1, max, out, count))
            return false;
    return true;
}

bool keras_numbers(const struct json_value *value, int max, double *out,
                   int *count)
{
    *count = 0;
    return gather(unwrapped(value), 0, max, out, count) && *count > 0;
}

int keras_get_numbers(const struct keras_layer *layer, const char *key, int max,
                      double *out, int *count, struct err *err)
{
    const struct json_value *value = member(layer, key);

    if (value == NULL)
        return 0;
    if (!keras_numbers(value, max, out, count))
        return wrong(key, value, "a number or a list of them", err);
    return 0;
}

int keras_get_text(const struct keras_layer *layer, const char *key,
                   const char **out, struct err *err)
{
    const struct json_value *value = member(layer, key);

    if (value == NULL)
        return 0;
    if (json_text(value) == NULL)
        return wrong(key, value, "a text", err);
    *out = json_text(value);
    return 0;
}

struct printing {
    struct buf *out;
    int depth;
    bool is_first;
};

static void print(const struct json_value *value, int depth, struct buf *out);

/* What every layer has, and what is nothing, says little. */
static bool is_dull(const char *key, const struct json_value *value)
{
    return json_type(value) == JSON_IS_NULL || strcmp(key, "name") == 0 ||
           strcmp(key, "trainable") == 0 || strcmp(key, "dtype") == 0;
}

static int print_member(void *user, const char *key,
                        const struct json_value *value, struct err *err)
{
    struct printing *printing = user;

    (void)err;
    if (is_dull(key, value))
        return 0;
    if (!printing->is_first)
        buf_add_text(printing->out, ", ");
    printing->is_first = false;
    buf_printf(printing->out, "\"%.60s\": ", key);
    print(value, printing->depth + 1, printing->out);
    return printing->out->is_full || printing->out->is_broken;
}

static void print_list(const struct json_value *value, int depth,
                       struct buf *out)
{
    size_t i;

    buf_add_char(out, '[');
    for (i = 0; i < json_count(value) && !out->is_full && !out->is_broken;
         i++) {
        if (i > 0)
            buf_add_text(out, ", ");
        print(json_at(value, i), depth + 1, out);
    }
    buf_add_char(out, ']');
}

static void print(const struct json_value *value, int depth, struct buf *out)
{
    struct printing printing = {out, depth, true};
    struct err ignored = {0};
    bool is_on = false;
    double number = 0;

    if (depth > PRINT_DEPTH_MAX) {
        buf_add_text(out, "...");
        return;
    }
    switch (json_type(value)) {
    case JSON_IS_NULL:
        buf_add_text(out, "null");
        break;
    case JSON_IS_BOOL:
        (void)json_bool(value, &is_on);
        buf_add_text(out, is_on ? "true" : "false");
        break;
    case JSON_IS_NUMBER:
        (void)json_number(value, &number);
        buf_printf(out, "%.9g", number);
        break;
    case JSON_IS_TEXT:
        buf_printf(out, "\"%.60s\"", json_text(value));
        break;
    case JSON_IS_ARRAY:
        print_list(value, depth, out);
        break;
    case JSON_IS_OBJECT:
        buf_add_char(out, '{');
        if (json_members(value, print_member, &printing, &ignored) == 0)
            buf_add_char(out, '}');
        break;
    }
}

void keras_config_print(const struct json_value *value, struct buf *out)
{
    print(value, 0, out);
}
