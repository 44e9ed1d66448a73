/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_text.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { YEAR_MAX = 9999 };

/* The length of the character at p (RFC 3629: shortest form only, no
 * surrogates, at most U+10FFFF); 0 when it is none. A NUL is none. */
static size_t character_len(const unsigned char *p)
{
    unsigned char low = 0x80, high = 0xbf;
    size_t len, i;

    if (p[0] < 0x80)
        return p[0] != '\0';
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (p[0] == 0xe0)
        low = 0xa0;
    if (p[0] == 0xed)
        high = 0x9f;
    if (p[0] == 0xf0)
        low = 0x90;
    if (p[0] == 0xf4)
        high = 0x8f;
    if (p[1] < low || p[1] > high)
        return 0;
    for (i = 2; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return len;
}

/* The bytes of the first `chars` characters, a byte that begins none counted
 * as one. */
static size_t fitting_len(const char *text, int chars, bool *is_clean)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t at = 0, len;
    int count;

    *is_clean = true;
    for (count = 0; p[at] != '\0' && (chars == 0 || count < chars); count++) {
        len = character_len(p + at);
        *is_clean = *is_clean && len > 0;
        at += len > 0 ? len : 1;
    }
    return at;
}

static void repair(char *text)
{
    size_t at = 0, len;

    while (text[at] != '\0') {
        len = character_len((unsigned char *)text + at);
        if (len == 0)
            text[at] = '?';
        at += len > 0 ? len : 1;
    }
}

int store_text_value(const char *text, int chars, struct arena *arena,
                     struct store_value *out, struct err *err)
{
    bool is_clean;
    char *copy;
    size_t len;

    *out = store_null_value();
    if (text == NULL)
        return 0;
    len = fitting_len(text, chars, &is_clean);
    if (!is_clean) {
        copy = arena_text(arena, text, len);
        if (copy == NULL)
            return err_set(err, ERR_UNAVAILABLE,
                           "memory is short for a text of %zu bytes", len);
        repair(copy);
        text = copy;
    }
    *out = (struct store_value){.kind = VALUE_TEXT, .data = text, .len = len};
    return 0;
}

int store_time_value(int64_t unix_ms, struct arena *arena,
                     struct store_value *out, struct err *err)
{
    time_t seconds = (time_t)(unix_ms / 1000 - (unix_ms % 1000 < 0));
    int millis = (int)(unix_ms - (int64_t)seconds * 1000);
    struct tm tm;
    char *text;

    if (gmtime_r(&seconds, &tm) == NULL || tm.tm_year + 1900 > YEAR_MAX ||
        tm.tm_year + 1900 < 1)
        return err_set(err, ERR_INVALID,
                       "the time %lld ms is not within the years 1..%d",
                       (long long)unix_ms, YEAR_MAX);
    text = arena_printf(arena, "%04d-%02d-%02d %02d:%02d:%02d.%03d",
                        tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
                        tm.tm_hour, tm.tm_min, tm.tm_sec, millis);
    if (text == NULL)
        return err_set(err, ERR_UNAVAILABLE, "memory is short for a time");
    *out = (struct store_value){
        .kind = VALUE_TEXT, .data = text, .len = strlen(text)};
    return 0;
}

struct store_value store_null_value(void)
{
    return (struct store_value){.kind = VALUE_NULL};
}

struct store_value store_integer_value(int64_t value)
{
    return (struct store_value){.kind = VALUE_INTEGER, .integer = value};
}

struct store_value store_decimal_value(double value, int decimals, double min,
                                       double max)
{
    double scale = pow(10, decimals);

    if (isnan(value))
        return store_null_value();
    value = value < min ? min : value > max ? max : value;
    return (struct store_value){.kind = VALUE_REAL,
                                .real = round(value * scale) / scale};
}

double store_field_number(const struct store_field *field, double otherwise)
{
    char *end;
    double value;

    if (field->data == NULL)
        return otherwise;
    value = strtod(field->data, &end);
    return end != field->data && *end == '\0' ? value : otherwise;
}

int64_t store_field_integer(const struct store_field *field, int64_t otherwise)
{
    char *end;
    long long value;

    if (field->data == NULL)
        return otherwise;
    value = strtoll(field->data, &end, 10);
    return end != field->data && *end == '\0' ? value : otherwise;
}

void store_field_text(const struct store_field *field, char *out, size_t size)
{
    size_t at = 0, len;

    out[0] = '\0';
    if (field->data == NULL)
        return;
    while (field->data[at] != '\0') {
        len = character_len((const unsigned char *)field->data + at);
        if (at + (len > 0 ? len : 1) >= size)
            break;
        at += len > 0 ? len : 1;
    }
    memcpy(out, field->data, at);
    out[at] = '\0';
}

int64_t store_field_time(const struct store_field *field)
{
    struct tm tm = {0};
    double fraction = 0;
    const char *rest;

    if (field->data == NULL)
        return 0;
    rest = strptime(field->data, "%Y-%m-%d", &tm);
    if (rest != NULL && (*rest == ' ' || *rest == 'T'))
        rest = strptime(rest + 1, "%H:%M:%S", &tm);
    if (rest == NULL)
        return 0;
    if (*rest == '.')
        fraction = strtod(rest, NULL);
    return (int64_t)timegm(&tm) * 1000 + (int64_t)(fraction * 1000 + 0.5);
}
