/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <string.h>

#include "http/auth.h"
#include "http/header.h"

static struct err err;

static struct auth *open_keys(const char *keys)
{
    struct auth *auth = NULL;

    err = (struct err){0};
    CHECK_OK(auth_new(keys, &auth, &err), err);
    return auth;
}

static int check(const struct auth *auth, enum http_scope scope,
                 const char *authorization, const char *key)
{
    err = (struct err){0};
    return auth_check(auth, scope, authorization, key, &err);
}

TEST(auth_lets_everybody_in_without_keys)
{
    struct auth *auth = open_keys("");

    CHECK_OK(check(auth, SCOPE_ADMIN, NULL, NULL), err);
    CHECK_OK(check(auth, SCOPE_ADMIN, "Bearer x", NULL), err);
    auth_free(auth);
}

TEST(auth_takes_a_key_from_either_header)
{
    struct auth *auth = open_keys("read:r1, write:w1,admin:a1");

    CHECK_OK(check(auth, SCOPE_READ, "Bearer r1", NULL), err);
    CHECK_OK(check(auth, SCOPE_READ, "bearer  r1", NULL), err);
    CHECK_OK(check(auth, SCOPE_READ, NULL, "r1"), err);
    CHECK_OK(check(auth, SCOPE_WRITE, "Basic zzz", "w1"), err);
    CHECK_OK(check(auth, SCOPE_OPEN, NULL, NULL), err);
    auth_free(auth);
}

TEST(auth_gives_each_scope_those_below_it)
{
    struct auth *auth = open_keys("read:r1,write:w1,admin:a1");
    static const char *const keys[] = {"r1", "w1", "a1"};
    int key, scope;

    for (key = 0; key < 3; key++)
        for (scope = SCOPE_READ; scope <= SCOPE_ADMIN; scope++)
            CHECK_ERR(check(auth, (enum http_scope)scope, NULL, keys[key]),
                      scope <= key + 1 ? ERR_OK : ERR_FORBIDDEN);
    CHECK_ERR(check(auth, SCOPE_ADMIN, NULL, "w1"), ERR_FORBIDDEN);
    CHECK_TEXT(err.text, "the key may write; this needs a key that may admin");
    auth_free(auth);
}

TEST(auth_refuses_unknown_and_missing_keys)
{
    static const char *const wrong[] = {"",   "r",   "r12",    "R1",
                                        "1r", "r1 ", "read:r1"};
    struct auth *auth = open_keys("read:r1");
    char longest[AUTH_KEY_LEN_MAX + 2];
    size_t i;

    for (i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        CHECK_ERR(check(auth, SCOPE_READ, NULL, wrong[i]), ERR_UNAUTHORIZED);
    CHECK_ERR(check(auth, SCOPE_READ, NULL, NULL), ERR_UNAUTHORIZED);
    CHECK_ERR(check(auth, SCOPE_READ, "Bearer", NULL), ERR_UNAUTHORIZED);
    CHECK_ERR(check(auth, SCOPE_READ, "Bearerr1", NULL), ERR_UNAUTHORIZED);
    CHECK_ERR(check(auth, SCOPE_READ, "r1", NULL), ERR_UNAUTHORIZED);
    memset(longest, 'r', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    CHECK_ERR(check(auth, SCOPE_READ, NULL, longest), ERR_UNAUTHORIZED);
    auth_free(auth);
}

TEST(auth_refuses_settings_without_showing_a_key)
{
    static const char *const wrong[] = {"secret",          "root:secret",
                                        "read:",           "read:a,secret",
                                        "read:se\x01cret", ":secret"};
    struct auth *auth = NULL;
    size_t i;

    for (i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        err = (struct err){0};
        CHECK_ERR(auth_new(wrong[i], &auth, &err), ERR_INVALID);
        CHECK(strstr(err.text, "secret") == NULL);
        CHECK(auth == NULL);
    }
}

TEST(header_knows_who_takes_gzip)
{
    static const struct {
        const char *value;
        bool want;
    } cases[] = {
        {NULL, false},
        {"", false},
        {"gzip", true},
        {"GZIP", true},
        {"deflate, gzip;q=1.0, *;q=0.5", true},
        {"gzip;q=0", false},
        {"gzip;q=0.000", false},
        {"gzip; q=0.001", true},
        {"*", true},
        {"*;q=0", false},
        {"gzip;q=0, *", false},
        {"identity", false},
        {"gzipped", false},
        {"br;q=1.0,gzip", true},
        {",,,", false},
    };
    size_t i;

    for (i = 0; i < sizeof cases / sizeof cases[0]; i++)
        CHECK_INT(header_accepts_gzip(cases[i].value), cases[i].want);
}

TEST(header_finds_words_of_a_list)
{
    CHECK(header_has_word("a, 100-Continue", "100-continue"));
    CHECK(header_has_word("close", "close"));
    CHECK(!header_has_word("closed", "close"));
    CHECK(!header_has_word("", "close"));
    CHECK(!header_has_word(NULL, "close"));
}
