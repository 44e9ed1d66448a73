/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <stdio.h>
#include <string.h>

#include "blob/blob.h"

/* The key that path means, or the error's name. Valid until the next call. */
static const char *split(const struct blob_options *options, const char *path)
{
    static char text[BLOB_KEY_MAX + 1];
    struct blob *blob = NULL;
    const char *key = "untouched";
    struct err err = {0};
    int rc;

    CHECK_OK(blob_open(options, &blob, &err), err);
    rc = blob_split(blob, path, &key, &err);
    if (rc)
        CHECK_TEXT(key, "untouched");
    snprintf(text, sizeof text, "%s", rc ? err_name((enum err_code)rc) : key);
    blob_close(blob);
    return text;
}

TEST(blob_split_finds_the_key_in_an_s3_path)
{
    struct blob_options options = {.url = "s3://photos"};

    CHECK_TEXT(split(&options, "photos/cars/1.jpg"), "cars/1.jpg");
    CHECK_TEXT(split(&options, "photos//cars/1.jpg"), "cars/1.jpg");
    CHECK_TEXT(split(&options, "s3://photos/cars/1.jpg"), "cars/1.jpg");
    CHECK_TEXT(split(&options, "1.jpg"), "1.jpg");
    CHECK_TEXT(split(&options, "photos"), "photos");
    CHECK_TEXT(split(&options, "photos/photos/1.jpg"), "photos/1.jpg");
}

TEST(blob_split_refuses_foreign_buckets)
{
    struct blob_options options = {.url = "s3://photos"};
    static const char *const paths[] = {
        "other/1.jpg",
        "other//1.jpg",
        "s3://other/1.jpg",
        "photos2/1.jpg",
        "photo/1.jpg",
        "s3://photos2/1.jpg",
        "Photos/1.jpg",
        "/photos/1.jpg",
        "s3:///photos/1.jpg",
        "s3://s3://photos",
        "https://h/photos/1.jpg",
        "s3://1.jpg",
    };
    size_t i;

    for (i = 0; i < sizeof paths / sizeof paths[0]; i++)
        CHECK_TEXT(split(&options, paths[i]), "FORBIDDEN");
}

TEST(blob_split_refuses_keys_that_might_lead_out)
{
    struct blob_options options = {.url = "s3://photos"};
    static const char *const paths[] = {
        "photos/../other/1.jpg",
        "photos/a/../../b",
        "..",
        "photos/..",
        "photos///etc/passwd",
        "photos/a\\b",
        "photos/./a",
        "a\nb",
        "photos/a/",
        "\xff",
    };
    size_t i;

    for (i = 0; i < sizeof paths / sizeof paths[0]; i++)
        CHECK_TEXT(split(&options, paths[i]), "FORBIDDEN");
    CHECK_TEXT(split(&options, "photos/"), "INVALID");
    CHECK_TEXT(split(&options, "photos//"), "INVALID");
    CHECK_TEXT(split(&options, ""), "INVALID");
}

TEST(blob_split_stays_below_the_configured_prefix)
{
    struct blob_options options = {.url = "s3://photos/cars/old/"};

    CHECK_TEXT(split(&options, "photos/cars/old/1.jpg"), "1.jpg");
    CHECK_TEXT(split(&options, "photos//cars/old/x/1.jpg"), "x/1.jpg");
    CHECK_TEXT(split(&options, "1.jpg"), "1.jpg");
    CHECK_TEXT(split(&options, "photos/cars/1.jpg"), "FORBIDDEN");
    CHECK_TEXT(split(&options, "photos/cars/oldest/1.jpg"), "FORBIDDEN");
    CHECK_TEXT(split(&options, "photos/cars/old/../1.jpg"), "FORBIDDEN");
}

TEST(blob_split_in_a_folder_knows_its_bucket_if_it_has_one)
{
    struct blob_options options = {.url = test_dir()};

    CHECK_TEXT(split(&options, "cars/1.jpg"), "cars/1.jpg");
    CHECK_TEXT(split(&options, "photos/1.jpg"), "photos/1.jpg");
    CHECK_TEXT(split(&options, "photos//1.jpg"), "FORBIDDEN");
    CHECK_TEXT(split(&options, "s3://photos/1.jpg"), "FORBIDDEN");
    options.bucket = "photos";
    CHECK_TEXT(split(&options, "cars/1.jpg"), "cars/1.jpg");
    CHECK_TEXT(split(&options, "photos/1.jpg"), "1.jpg");
    CHECK_TEXT(split(&options, "photos//1.jpg"), "1.jpg");
    CHECK_TEXT(split(&options, "s3://photos/1.jpg"), "1.jpg");
    CHECK_TEXT(split(&options, "cars//1.jpg"), "FORBIDDEN");
    CHECK_TEXT(split(&options, "photos/../1.jpg"), "FORBIDDEN");
    CHECK_TEXT(split(&options, "../1.jpg"), "FORBIDDEN");
}

TEST(blob_open_refuses_what_is_no_place)
{
    static const char *const urls[] = {
        NULL,
        "",
        "ftp://h/f",
        "s3://",
        "s3:///x",
        "s3://ab",
        "s3://a b c",
        "s3://-abc",
        "s3://a..\\b",
        "file://host/folder",
        "s3://0123456789012345678901234567890123456789012345678901234567890123",
    };
    struct blob *blob = NULL;
    size_t i;

    for (i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        struct blob_options options = {.url = urls[i]};
        struct err err = {0};

        CHECK_ERR(blob_open(&options, &blob, &err), ERR_INVALID);
        CHECK(blob == NULL);
    }
    blob_close(NULL);
}

TEST(blob_open_refuses_s3_options_that_cannot_be)
{
    static const struct blob_options wrong[] = {
        {.endpoint = "127.0.0.1:9000"},
        {.endpoint = "ftp://h"},
        {.endpoint = "http://"},
        {.endpoint = "http://h/path"},
        {.endpoint = "http:"
                     "//user:pw@h"},
        {.endpoint = "http:"
                     "//h?x"},
        {.endpoint = "http://h h"},
        {.public_endpoint = "nowhere"},
        {.access_key = "a"},
        {.secret_key = "b"},
        {.retry_max = 11},
        {.retry_max = -1},
        {.retry_pause_ms = 5001},
        {.retry_pause_ms = -1},
        {.connection_max = 257},
        {.connection_max = -1},
    };
    struct blob *blob = NULL;
    size_t i;

    for (i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct blob_options options = wrong[i];
        struct err err = {0};

        options.url = "s3://photos";
        CHECK_ERR(blob_open(&options, &blob, &err), ERR_INVALID);
        CHECK(blob == NULL);
    }
}
