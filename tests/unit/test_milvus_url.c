/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <stdio.h>
#include <string.h>

#include "vectors/milvus_url.h"

static struct milvus_url parsed(const char *text)
{
    struct milvus_url url;
    struct err err = {0};

    CHECK_OK(milvus_url_parse(text, &url, &err), err);
    return url;
}

TEST(milvus_url_has_defaults)
{
    struct milvus_url url = parsed("milvus://db/faces");

    CHECK_TEXT(url.host, "db");
    CHECK_INT(url.port, 19530);
    CHECK_TEXT(url.collection, "faces");
    CHECK_TEXT(url.database, "");
    CHECK_TEXT(url.user, "");
}

TEST(milvus_url_takes_all_its_parts)
{
    struct milvus_url url =
        parsed("milvus://root:p%40ss%2F:%25@[::1]:1234/lfw_2?database=d_1");

    CHECK_TEXT(url.user, "root");
    CHECK_TEXT(url.password, "p@ss/:%");
    CHECK_TEXT(url.host, "::1");
    CHECK_INT(url.port, 1234);
    CHECK_TEXT(url.collection, "lfw_2");
    CHECK_TEXT(url.database, "d_1");
}

TEST(milvus_url_refuses_what_it_cannot_be)
{
    static const char *const rows[][2] = {
        {"", "does not begin with milvus://"},
        {"http://h/c", "does not begin with milvus://"},
        {"milvus://h", "names no collection"},
        {"milvus://h?database=d", "names no collection"},
        {"milvus://h/", "collection"},
        {"milvus://h/1c", "no digit first"},
        {"milvus://h/a-b", "collection"},
        {"milvus://h/a b", "collection"},
        {"milvus://h/a/b", "behind its collection"},
        {"milvus://h/a?db=1", "behind its collection"},
        {"milvus://h/a#b", "behind its collection"},
        {"milvus://h/a?database=", "database"},
        {"milvus://h/a?database=x&y", "database"},
        {"milvus:///a", "no host"},
        {"milvus://h:0/a", "no port"},
        {"milvus://h:65536/a", "no port"},
        {"milvus://h:/a", "no port"},
        {"milvus://h:1x/a", "no port"},
        {"milvus://u@h/a", "both user and password"},
        {"milvus://u:@h/a", "both user and password"},
        {"milvus://:p@h/a", "both user and password"},
        {"milvus://u%0a:p@h/a", "cannot be sent"},
        {"milvus://u%3a:p@h/a", "cannot be sent"},
    };
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct milvus_url url = {.port = 7};
        struct err err = {0};

        CHECK_ERR(milvus_url_parse(rows[i][0], &url, &err), ERR_INVALID);
        CHECK_HAS(err.text, rows[i][1]);
        CHECK_INT(url.port, 7);
    }
}

TEST(milvus_url_says_that_tls_is_not_supported)
{
    static const char *const rows[] = {"https://h/c", "milvuss://h/c",
                                       "milvus+tls://h/c", "GRPCS://h/c"};
    struct milvus_url url;
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err err = {0};

        CHECK_ERR(milvus_url_parse(rows[i], &url, &err), ERR_UNSUPPORTED);
        CHECK_HAS(err.text, "TLS");
    }
}

TEST(milvus_url_keeps_secrets_out_of_errors)
{
    struct milvus_url url;
    struct err err = {0};

    CHECK_ERR(milvus_url_parse("milvus://mallory:hunter2@h:x/c", &url, &err),
              ERR_INVALID);
    CHECK(strstr(err.text, "mallory") == NULL);
    CHECK(strstr(err.text, "hunter2") == NULL);
}

TEST(milvus_url_refuses_parts_that_are_too_long)
{
    char text[2 * MILVUS_NAME_MAX], name[MILVUS_NAME_MAX + 1];
    struct milvus_url url;
    struct err err = {0};

    memset(name, 'a', sizeof name);
    name[MILVUS_NAME_MAX] = '\0';
    snprintf(text, sizeof text, "milvus://h/%s", name);
    CHECK_ERR(milvus_url_parse(text, &url, &err), ERR_INVALID);
    snprintf(text, sizeof text, "milvus://%s/c", name);
    CHECK_ERR(milvus_url_parse(text, &url, &err), ERR_INVALID);
    name[MILVUS_NAME_MAX - 1] = '\0';
    snprintf(text, sizeof text, "milvus://h/%s", name);
    CHECK_TEXT(parsed(text).collection, name);
}
