/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "test.h"

/* The test vectors of RFC 4648, section 10. */
static const struct {
    const char *plain, *encoded;
} vectors[] = {
    {"", ""},
    {"f", "Zg=="},
    {"fo", "Zm8="},
    {"foo", "Zm9v"},
    {"foob", "Zm9vYg=="},
    {"fooba", "Zm9vYmE="},
    {"foobar", "Zm9vYmFy"},
};

TEST(base64_encodes_and_decodes_the_vectors_of_the_rfc)
{
    struct err err = {0};
    struct buf text;
    char copy[16];
    size_t i, len;

    buf_init(&text, 64);
    for (i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        buf_clear(&text);
        base64_encode(bytes_of_text(vectors[i].plain), &text);
        CHECK_TEXT(text.data != NULL ? text.data : "", vectors[i].encoded);
        snprintf(copy, sizeof copy, "%s", vectors[i].encoded);
        CHECK_OK(base64_decode(copy, strlen(copy), &len, &err), err);
        CHECK_INT(len, strlen(vectors[i].plain));
        CHECK_INT(memcmp(copy, vectors[i].plain, len), 0);
    }
    buf_release(&text);
}

TEST(base64_keeps_every_byte)
{
    uint8_t bytes[256];
    struct err err = {0};
    struct buf text;
    size_t i, len;

    for (i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(255 - i);
    buf_init(&text, 1024);
    base64_encode((struct bytes){bytes, sizeof bytes}, &text);
    CHECK_OK(base64_decode(text.data, text.len, &len, &err), err);
    CHECK_INT(len, sizeof bytes);
    CHECK_INT(memcmp(text.data, bytes, len), 0);
    buf_release(&text);
}

TEST(base64_refuses_what_is_none)
{
    static const char *const texts[] = {
        "Z", "Zg=", "Zg=a", "Z===", "====", "Zg\n=", "Zm9-", "Zg==Zg=="};
    char copy[16];
    size_t i, len = 99;

    for (i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct err err = {0};

        snprintf(copy, sizeof copy, "%s", texts[i]);
        CHECK_ERR(base64_decode(copy, strlen(copy), &len, &err), ERR_INVALID);
        CHECK_INT(len, 99);
    }
}
