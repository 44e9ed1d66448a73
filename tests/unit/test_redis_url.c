/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <stdio.h>
#include <string.h>

#include "cache/redis_url.h"

/* "user|password|host|port|db", or the error's name. */
static const char *parsed(const char *url)
{
    static char text[2048];
    struct redis_url out = {.port = -7};
    struct err err = {0};
    int rc = redis_url_parse(url, &out, &err);

    if (rc) {
        CHECK_INT(out.port, -7);
        snprintf(text, sizeof text, "%s", err_name((enum err_code)rc));
    } else {
        snprintf(text, sizeof text, "%s|%s|%s|%d|%d", out.user, out.password,
                 out.host, out.port, out.db);
    }
    return text;
}

TEST(redis_url_is_taken_apart)
{
    CHECK_TEXT(parsed("redis://cache"), "||cache|6379|0");
    CHECK_TEXT(parsed("redis://cache/"), "||cache|6379|0");
    CHECK_TEXT(parsed("redis://10.0.0.1:7000/3"), "||10.0.0.1|7000|3");
    CHECK_TEXT(parsed("redis://:pw@cache:1/0"), "|pw|cache|1|0");
    CHECK_TEXT(parsed("redis://me:p%40w%2F@cache"), "me|p@w/|cache|6379|0");
    CHECK_TEXT(parsed("redis://me:a:b@c@cache"), "me|a:b@c|cache|6379|0");
    CHECK_TEXT(parsed("redis://[::1]:7000/2"), "||::1|7000|2");
    CHECK_TEXT(parsed("redis://[::1]"), "||::1|6379|0");
}

TEST(redis_url_that_cannot_be_is_refused)
{
    static const char *const urls[] = {
        "",
        "http://h",
        "redis:/cache",
        "redis://",
        "redis://:7000",
        "redis://cache:",
        "redis://cache:0",
        "redis://cache:65536",
        "redis://cache:99999999999",
        "redis://cache:7x",
        "redis://cache/x",
        "redis://cache/70000",
        "redis://cache/1/2",
        "redis://cache?x=1",
        "redis://user@cache",
        "redis://:%00@cache",
    };
    size_t i;

    for (i = 0; i < sizeof urls / sizeof urls[0]; i++)
        CHECK_TEXT(parsed(urls[i]), "INVALID");
    CHECK_TEXT(parsed("rediss://cache"), "UNSUPPORTED");
}

TEST(redis_url_of_too_long_parts_is_refused)
{
    char url[700];

    snprintf(url, sizeof url, "redis://%0300d", 1);
    CHECK_TEXT(parsed(url), "INVALID");
    snprintf(url, sizeof url, "redis://:%0300d@cache", 1);
    CHECK_TEXT(parsed(url), "INVALID");
}

TEST(redis_url_errors_keep_the_password_to_themselves)
{
    struct redis_url out;
    struct err err = {0};

    CHECK_ERR(redis_url_parse("redis://me:hush@cache:x", &out, &err),
              ERR_INVALID);
    CHECK(strstr(err.text, "hush") == NULL);
}
