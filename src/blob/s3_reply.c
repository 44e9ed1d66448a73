/* SPDX-License-Identifier: Apache-2.0 */
#include "blob/s3_reply.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { TAG_MAX = 64, ENTITY_MAX = 10, ERROR_TEXT_MAX = 200 };

/* Where needle begins in text, or text's end. */
static size_t find_text(struct bytes text, const char *needle)
{
    const uint8_t *at = NULL;

    if (text.len > 0)
        at = memmem(text.data, text.len, needle, strlen(needle));
    return at == NULL ? text.len : (size_t)(at - text.data);
}

static struct bytes behind(struct bytes text, size_t len)
{
    return (struct bytes){len > 0 ? text.data + len : text.data,
                          text.len - len};
}

bool s3_xml_next(struct bytes *rest, const char *tag, struct bytes *out)
{
    char begin[TAG_MAX], end[TAG_MAX];
    struct bytes inside;
    size_t at;

    snprintf(begin, sizeof begin, "<%s>", tag);
    snprintf(end, sizeof end, "</%s>", tag);
    at = find_text(*rest, begin);
    if (at == rest->len)
        return false;
    inside = behind(*rest, at + strlen(begin));
    at = find_text(inside, end);
    if (at == inside.len)
        return false;
    *rest = behind(inside, at + strlen(end));
    inside.len = at;
    *out = inside;
    return true;
}

bool s3_xml_find(struct bytes xml, const char *tag, struct bytes *out)
{
    return s3_xml_next(&xml, tag, out);
}

bool s3_xml_is(struct bytes xml, const char *tag, const char *text)
{
    struct bytes found;

    return s3_xml_find(xml, tag, &found) && found.len == strlen(text) &&
           memcmp(found.data, text, found.len) == 0;
}

/* --- text ---------------------------------------------------------------- */

static void add_utf8(uint32_t point, struct buf *out)
{
    if (point < 0x80) {
        buf_add_char(out, (char)point);
        return;
    }
    if (point < 0x800) {
        buf_add_char(out, (char)(0xc0 | point >> 6));
    } else {
        if (point < 0x10000) {
            buf_add_char(out, (char)(0xe0 | point >> 12));
        } else {
            buf_add_char(out, (char)(0xf0 | point >> 18));
            buf_add_char(out, (char)(0x80 | (point >> 12 & 63)));
        }
        buf_add_char(out, (char)(0x80 | (point >> 6 & 63)));
    }
    buf_add_char(out, (char)(0x80 | (point & 63)));
}

/* "#38" or "#x26": a character that XML allows, else 0. */
static uint32_t numbered_point(const uint8_t *text, size_t len)
{
    bool is_hex = len > 1 && (text[1] == 'x' || text[1] == 'X');
    size_t i = is_hex ? 2 : 1;
    uint32_t point = 0, digit;

    if (i >= len)
        return 0;
    for (; i < len; i++) {
        if (text[i] >= '0' && text[i] <= '9')
            digit = text[i] - '0';
        else if (is_hex && (text[i] | 32) >= 'a' && (text[i] | 32) <= 'f')
            digit = (uint32_t)(text[i] | 32) - 'a' + 10;
        else
            return 0;
        point = point * (is_hex ? 16 : 10) + digit;
        if (point > 0x10ffff)
            return 0;
    }
    return point >= 0xd800 && point < 0xe000 ? 0 : point;
}

static uint32_t entity_point(const uint8_t *text, size_t len)
{
    static const struct {
        const char *name;
        char point;
    } named[] = {
        {"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};
    size_t i;

    if (len > 0 && text[0] == '#')
        return numbered_point(text, len);
    for (i = 0; i < sizeof named / sizeof named[0]; i++)
        if (len == strlen(named[i].name) &&
            memcmp(text, named[i].name, len) == 0)
            return (uint32_t)named[i].point;
    return 0;
}

void s3_xml_text(struct bytes raw, struct buf *out)
{
    const uint8_t *end;
    uint32_t point;
    size_t i, room;

    for (i = 0; i < raw.len; i++) {
        point = 0;
        end = NULL;
        if (raw.data[i] == '&') {
            room = raw.len - i - 1 < ENTITY_MAX ? raw.len - i - 1 : ENTITY_MAX;
            end = room == 0 ? NULL : memchr(raw.data + i + 1, ';', room);
        }
        if (end != NULL)
            point = entity_point(raw.data + i + 1,
                                 (size_t)(end - raw.data) - i - 1);
        if (point != 0) {
            add_utf8(point, out);
            i = (size_t)(end - raw.data);
        } else {
            buf_add_char(out, (char)raw.data[i]);
        }
    }
}

void s3_error_text(struct bytes xml, char *out, size_t size)
{
    static const char *const tags[] = {"Code", "Message"};
    struct bytes raw;
    struct buf text;
    size_t i;

    buf_init(&text, ERROR_TEXT_MAX);
    for (i = 0; i < 2; i++) {
        if (!s3_xml_find(xml, tags[i], &raw))
            continue;
        if (text.len > 0)
            buf_add_text(&text, ": ");
        if (raw.len > ERROR_TEXT_MAX / 2)
            raw.len = ERROR_TEXT_MAX / 2;
        s3_xml_text(raw, &text);
    }
    for (i = 0; i < text.len && i + 1 < size; i++)
        out[i] =
            text.data[i] >= ' ' && text.data[i] <= '~' ? text.data[i] : '?';
    out[i] = '\0';
    buf_release(&text);
}

/* --- times --------------------------------------------------------------- */

/* `len` digits at `at`, or -1. */
static int number_at(struct bytes text, size_t at, size_t len)
{
    int number = 0;
    size_t i;

    if (at + len > text.len)
        return -1;
    for (i = at; i < at + len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return -1;
        number = number * 10 + (text.data[i] - '0');
    }
    return number;
}

static int64_t to_ms(int year, int month, int day, const int clock[3])
{
    struct tm parts = {.tm_year = year - 1900,
                       .tm_mon = month - 1,
                       .tm_mday = day,
                       .tm_hour = clock[0],
                       .tm_min = clock[1],
                       .tm_sec = clock[2]};

    if (year < 1970 || month < 1 || month > 12 || day < 1 || day > 31 ||
        clock[0] < 0 || clock[0] > 23 || clock[1] < 0 || clock[1] > 59 ||
        clock[2] < 0 || clock[2] > 60)
        return 0;
    return (int64_t)timegm(&parts) * 1000;
}

int64_t s3_time_iso(struct bytes text)
{
    const int clock[3] = {number_at(text, 11, 2), number_at(text, 14, 2),
                          number_at(text, 17, 2)};
    int64_t ms;
    int fraction;

    if (text.len < 20 || text.data[10] != 'T')
        return 0;
    ms = to_ms(number_at(text, 0, 4), number_at(text, 5, 2),
               number_at(text, 8, 2), clock);
    fraction = text.data[19] == '.' ? number_at(text, 20, 3) : 0;
    return ms != 0 && fraction > 0 ? ms + fraction : ms;
}

int64_t s3_time_http(struct bytes text)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    const int clock[3] = {number_at(text, 17, 2), number_at(text, 20, 2),
                          number_at(text, 23, 2)};
    int month;

    if (text.len < 29)
        return 0;
    for (month = 1; month <= 12; month++)
        if (memcmp(months + 3 * (month - 1), text.data + 8, 3) == 0)
            return to_ms(number_at(text, 12, 4), month, number_at(text, 5, 2),
                         clock);
    return 0;
}
