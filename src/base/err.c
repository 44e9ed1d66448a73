/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/url.h"

static const struct {
    const char *name;
    int http;
} codes[ERR_COUNT] = {{"OK", 200},
#define X(name, http) {#name, http},
                      ERR_CODES(X)
#undef X
};

/* Paths and names from outside end up in messages, and messages end up in
 * JSON: control characters and stray bytes become '?', one for one. */
static void make_clean(char *text)
{
    size_t i, len = strlen(text);

    while (len > 0 && !url_is_clean_text(text, len)) {
        for (i = 0; i < len; i++) {
            unsigned char c = (unsigned char)text[i];
            size_t n = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;

            if (i + n > len || !url_is_clean_text(text + i, n)) {
                text[i] = '?';
                n = 1;
            }
            i += n - 1;
        }
    }
}

int err_set(struct err *err, enum err_code code, const char *format, ...)
{
    va_list args;

    assert(code > ERR_OK && code < ERR_COUNT);
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    make_clean(err->text);
    err->code = code;
    return (int)code;
}

int err_wrap(struct err *err, const char *format, ...)
{
    char inner[ERR_TEXT_MAX];
    va_list args;
    size_t len;

    assert(err->code != ERR_OK);
    memcpy(inner, err->text, sizeof inner);
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    len = strlen(err->text);
    snprintf(err->text + len, sizeof err->text - len, ": %s", inner);
    make_clean(err->text);
    return (int)err->code;
}

const char *err_name(enum err_code code)
{
    assert(code >= ERR_OK && code < ERR_COUNT);
    return codes[code].name;
}

int err_http(enum err_code code)
{
    assert(code >= ERR_OK && code < ERR_COUNT);
    return codes[code].http;
}
