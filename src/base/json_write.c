/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json_write.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/url.h"

enum { NUMBER_LEN_MAX = 40, DECIMALS_MAX = 17 };

void json_writer_init(struct json_writer *json, struct buf *out)
{
    *json = (struct json_writer){.out = out};
}

static void begin_value(struct json_writer *json)
{
    if (json->is_after_key)
        json->is_after_key = false;
    else if (json->has_items[json->depth])
        buf_add_char(json->out, ',');
    json->has_items[json->depth] = true;
}

static void begin(struct json_writer *json, char bracket)
{
    assert(json->depth < JSON_WRITE_DEPTH_MAX);
    begin_value(json);
    buf_add_char(json->out, bracket);
    json->depth++;
    json->has_items[json->depth] = false;
}

static void end(struct json_writer *json, char bracket)
{
    assert(json->depth > 0);
    assert(!json->is_after_key);
    json->depth--;
    buf_add_char(json->out, bracket);
}

void json_object_begin(struct json_writer *json)
{
    begin(json, '{');
}

void json_object_end(struct json_writer *json)
{
    end(json, '}');
}

void json_array_begin(struct json_writer *json)
{
    begin(json, '[');
}

void json_array_end(struct json_writer *json)
{
    end(json, ']');
}

/* What may not stand as it is: control characters, '"', '\\' and what has to
 * be checked as UTF-8. */
static bool is_special(unsigned char c)
{
    return c < 0x20 || c == '"' || c == '\\' || c >= 0x80;
}

static void put_escape(struct buf *out, unsigned char c)
{
    static const char names[] = "\bb\ff\nn\rr\tt\"\"\\\\";
    const char *name;

    for (name = names; name[0] != '\0'; name += 2) {
        if ((unsigned char)name[0] == c) {
            buf_add_char(out, '\\');
            buf_add_char(out, name[1]);
            return;
        }
    }
    buf_printf(out, "\\u%04x", c);
}

/* Writes what starts at text, a special character, and returns its length. */
static size_t put_special(struct buf *out, const char *text, size_t len)
{
    unsigned char c = (unsigned char)text[0];
    size_t n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;

    if (c < 0x80) {
        put_escape(out, c);
        return 1;
    }
    if (n <= len && url_is_clean_text(text, n)) {
        buf_add(out, text, n);
        return n;
    }
    buf_add_text(out, "\xef\xbf\xbd");
    return 1;
}

static void put_quoted(struct buf *out, const char *text)
{
    size_t len = strlen(text), start = 0, i = 0;

    buf_add_char(out, '"');
    while (i < len) {
        if (!is_special((unsigned char)text[i])) {
            i++;
            continue;
        }
        buf_add(out, text + start, i - start);
        i += put_special(out, text + i, len - i);
        start = i;
    }
    buf_add(out, text + start, len - start);
    buf_add_char(out, '"');
}

void json_key(struct json_writer *json, const char *key)
{
    assert(!json->is_after_key);
    begin_value(json);
    put_quoted(json->out, key);
    buf_add_char(json->out, ':');
    json->is_after_key = true;
}

void json_put_text(struct json_writer *json, const char *text)
{
    if (text == NULL) {
        json_put_null(json);
        return;
    }
    begin_value(json);
    put_quoted(json->out, text);
}

void json_put_raw(struct json_writer *json, const char *text, size_t len)
{
    begin_value(json);
    buf_add(json->out, text, len);
}

void json_put_null(struct json_writer *json)
{
    json_put_raw(json, "null", 4);
}

void json_put_bool(struct json_writer *json, bool value)
{
    json_put_raw(json, value ? "true" : "false", value ? 4 : 5);
}

void json_put_integer(struct json_writer *json, int64_t value)
{
    begin_value(json);
    buf_printf(json->out, "%lld", (long long)value);
}

void json_put_float(struct json_writer *json, float value)
{
    char text[JSON_FLOAT_LEN_MAX];

    if (isfinite(value))
        json_put_raw(json, text, json_format_float(value, text));
    else
        json_put_null(json);
}

void json_put_double(struct json_writer *json, double value)
{
    char text[NUMBER_LEN_MAX];
    int len = 0, precision;
    double read;

    if (!isfinite(value)) {
        json_put_null(json);
        return;
    }
    for (precision = 15; precision <= DECIMALS_MAX; precision++) {
        len = snprintf(text, sizeof text, "%.*g", precision, value);
        /* By bits, for threads that take denormal numbers as 0. */
        read = strtod(text, NULL);
        if (memcmp(&read, &value, sizeof read) == 0)
            break;
    }
    if (strpbrk(text, ".e") == NULL) {
        memcpy(text + len, ".0", 3);
        len += 2;
    }
    json_put_raw(json, text, (size_t)len);
}

void json_put_fixed(struct json_writer *json, double value, int decimals)
{
    assert(decimals >= 0 && decimals <= DECIMALS_MAX);
    if (!isfinite(value)) {
        json_put_null(json);
        return;
    }
    begin_value(json);
    buf_printf(json->out, "%.*f", decimals, value);
}

/* "1.5,2,null" at `out`; returns the end. */
static char *put_list(char *out, const float *values, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) {
        if (i > 0)
            *out++ = ',';
        if (isfinite(values[i])) {
            out += json_format_float(values[i], out);
        } else {
            memcpy(out, "null", 4);
            out += 4;
        }
    }
    return out;
}

void json_put_floats(struct json_writer *json, const float *values,
                     size_t count)
{
    enum { ITEM_LEN_MAX = JSON_FLOAT_LEN_MAX + 1 };
    size_t room = json->out->len_max - json->out->len, i;
    char *start;

    json_array_begin(json);
    if (count > room / ITEM_LEN_MAX) {
        /* They may fit although they might not. */
        for (i = 0; i < count; i++)
            json_put_float(json, values[i]);
    } else {
        start = buf_reserve(json->out, count * ITEM_LEN_MAX);
        if (start != NULL)
            json->out->len += (size_t)(put_list(start, values, count) - start);
    }
    json_array_end(json);
}
