/* SPDX-License-Identifier: Apache-2.0 */
#include "base/url.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

size_t url_decode(char *text, size_t len, bool is_form)
{
    size_t i, out = 0;

    for (i = 0; i < len; i++) {
        char c = text[i];

        if (c == '+' && is_form) {
            c = ' ';
        } else if (c == '%' && i + 2 < len && hex_value(text[i + 1]) >= 0 &&
                   hex_value(text[i + 2]) >= 0) {
            c = (char)(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
            i += 2;
        }
        text[out++] = c;
    }
    text[out] = '\0';
    return out;
}

/* The length of the UTF-8 sequence at p, or 0 when it is none (RFC 3629:
 * shortest form only, no surrogates, at most U+10FFFF). */
static size_t sequence_len(const uint8_t *p, size_t len)
{
    static const uint8_t second_min[] = {[0xe0 - 0xc2] = 0xa0,
                                         [0xf0 - 0xc2] = 0x90};
    size_t n = p[0] < 0x80   ? 1
               : p[0] < 0xc2 ? 0
               : p[0] < 0xe0 ? 2
               : p[0] < 0xf0 ? 3
               : p[0] < 0xf5 ? 4
                             : 0;
    uint8_t low = 0x80, high = 0xbf;
    size_t i;

    if (n < 2 || n > len)
        return n > len ? 0 : n;
    if ((size_t)(p[0] - 0xc2) < sizeof second_min && second_min[p[0] - 0xc2])
        low = second_min[p[0] - 0xc2];
    if (p[0] == 0xed)
        high = 0x9f;
    if (p[0] == 0xf4)
        high = 0x8f;
    if (p[1] < low || p[1] > high)
        return 0;
    for (i = 2; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

bool url_is_clean_text(const char *text, size_t len)
{
    const uint8_t *p = (const uint8_t *)text;
    size_t i = 0;

    while (i < len) {
        size_t n = sequence_len(p + i, len - i);

        if (n == 0 || p[i] < 0x20 || p[i] == 0x7f)
            return false;
        i += n;
    }
    return true;
}

/* The last '@' of all, since a password that was not encoded may hold a '/'. */
void url_show(const char *url, char *out, size_t size)
{
    const char *scheme = strstr(url, "://");
    const char *at = strrchr(url, '@');

    if (scheme != NULL && at != NULL && at > scheme)
        snprintf(out, size, "%.*s%s", (int)(scheme + 3 - url), url, at + 1);
    else
        snprintf(out, size, "%s", url);
}
