/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base64.h"

#include <stdint.h>
#include <string.h>

static const char alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct bytes bytes, struct buf *out)
{
    size_t i;

    for (i = 0; i < bytes.len; i += 3) {
        size_t left = bytes.len - i;
        uint32_t group = (uint32_t)bytes.data[i] << 16;
        char text[4];

        if (left > 1)
            group |= (uint32_t)bytes.data[i + 1] << 8;
        if (left > 2)
            group |= bytes.data[i + 2];
        text[0] = alphabet[group >> 18];
        text[1] = alphabet[group >> 12 & 63];
        text[2] = '=';
        text[3] = '=';
        if (left > 1)
            text[2] = alphabet[group >> 6 & 63];
        if (left > 2)
            text[3] = alphabet[group & 63];
        buf_add(out, text, sizeof text);
    }
}

/* The value of a character; -1 when it is none of the alphabet. */
static int value_of(char c)
{
    const char *place = c != '\0' ? strchr(alphabet, c) : NULL;

    return place != NULL ? (int)(place - alphabet) : -1;
}

int base64_decode(char *text, size_t len, size_t *out_len, struct err *err)
{
    size_t padding = 0, count = 0, i;
    uint32_t group = 0;
    int value;

    if (len % 4 != 0)
        return err_set(err, ERR_INVALID,
                       "a text of %zu characters is no Base64; their number "
                       "must be a multiple of 4",
                       len);
    while (padding < 2 && padding < len && text[len - 1 - padding] == '=')
        padding++;
    for (i = 0; i < len; i++) {
        value = i < len - padding ? value_of(text[i]) : 0;
        if (value < 0)
            return err_set(err, ERR_INVALID,
                           "the character %zu of a Base64 text is none of its "
                           "alphabet",
                           i + 1);
        group = group << 6 | (uint32_t)value;
        if (i % 4 != 3)
            continue;
        text[count++] = (char)(group >> 16);
        text[count++] = (char)(group >> 8);
        text[count++] = (char)group;
        group = 0;
    }
    *out_len = count - padding;
    return 0;
}
