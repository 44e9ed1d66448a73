/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <string.h>

TEST(err_keeps_code_and_sentence)
{
    struct err err = {0};

    CHECK_ERR(err_set(&err, ERR_INVALID, "k is %d; it must be 1..%d", 0, 9),
              ERR_INVALID);
    CHECK_INT(err.code, ERR_INVALID);
    CHECK_TEXT(err.text, "k is 0; it must be 1..9");
}

TEST(err_puts_context_before_the_sentence)
{
    struct err err = {0};

    err_set(&err, ERR_IO, "disk is full");
    CHECK_ERR(err_wrap(&err, "model '%s'", "clip"), ERR_IO);
    CHECK_TEXT(err.text, "model 'clip': disk is full");
}

TEST(err_cuts_what_is_too_long_and_stays_valid)
{
    struct err err = {0};
    char text[2 * ERR_TEXT_MAX];
    size_t i;

    /* Two bytes a character, so that the cut falls inside one. */
    for (i = 0; i + 2 < sizeof text; i += 2)
        memcpy(text + i, "\xc3\xa9", 2);
    text[i] = '\0';
    err_set(&err, ERR_INVALID, "x%s", text);
    CHECK_INT(strlen(err.text), ERR_TEXT_MAX - 1);
    err_set(&err, ERR_INVALID, "%s", text);
    CHECK_INT(strlen(err.text), ERR_TEXT_MAX - 1);
    CHECK_INT(err.text[ERR_TEXT_MAX - 2], '?');
    err_wrap(&err, "%s", text);
    CHECK_INT(strlen(err.text), ERR_TEXT_MAX - 1);
}

TEST(err_replaces_control_characters_and_stray_bytes)
{
    struct err err = {0};

    err_set(&err, ERR_INVALID, "a\nb\x1b[1m\xff\xc3 \xc3\xa9");
    CHECK_TEXT(err.text, "a?b?[1m?? \xc3\xa9");
}

TEST(err_names_and_http_codes_come_from_one_table)
{
    enum err_code code;

    CHECK_TEXT(err_name(ERR_OK), "OK");
    CHECK_INT(err_http(ERR_OK), 200);
    CHECK_TEXT(err_name(ERR_TOO_LARGE), "TOO_LARGE");
    CHECK_INT(err_http(ERR_BUSY), 429);
    for (code = ERR_INVALID; code < ERR_COUNT; code++)
        CHECK(err_http(code) >= 400 && err_http(code) < 600);
}
