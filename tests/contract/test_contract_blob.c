/* SPDX-License-Identifier: Apache-2.0 */
/* One list of tests, each run on every backend of the blobs: a folder, S3 in
 * path style, and S3 below a prefix. S3 is named by OLHO_TEST_S3 (an endpoint)
 * with OLHO_TEST_S3_KEY, _SECRET and _BUCKET. */
#include "test.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fetch.h"
#include "base/file.h"
#include "base/mem.h"
#include "blob/blob.h"

enum { KEY_TEXT_MAX = 1200 };

static char prefix[100]; /* of this test's keys: buckets outlive tests */

static const char *variable(const char *name)
{
    const char *value = getenv(name);

    if (value == NULL || value[0] == '\0') {
        static char why[100];

        snprintf(why, sizeof why, "%s is not set", name);
        SKIP(why);
    }
    return value;
}

static struct blob_options s3_options(void)
{
    return (struct blob_options){
        .endpoint = variable("OLHO_TEST_S3"),
        .access_key = variable("OLHO_TEST_S3_KEY"),
        .secret_key = variable("OLHO_TEST_S3_SECRET"),
        .timeout_ms = 20000,
        .retry_max = 2,
        .retry_pause_ms = 20,
    };
}

static struct blob *blob_of(const struct blob_options *options)
{
    struct blob *blob = NULL;
    struct err err = {0};

    snprintf(prefix, sizeof prefix, "t%d-%lld/", (int)getpid(),
             (long long)clock_us());
    CHECK_OK(blob_open(options, &blob, &err), err);
    return blob;
}

static struct blob *open_folder(void)
{
    struct blob_options options = {.url = test_dir()};

    return blob_of(&options);
}

static struct blob *open_s3(const char *below)
{
    struct blob_options options = s3_options();
    char url[300];

    snprintf(url, sizeof url, "s3://%s%s", variable("OLHO_TEST_S3_BUCKET"),
             below);
    options.url = url;
    return blob_of(&options);
}

#define EVERY_BLOB(what)                            \
    static void what(struct blob *blob);            \
    TEST(blob_in_a_folder_##what)                   \
    {                                               \
        struct blob *blob = open_folder();          \
        what(blob);                                 \
        blob_close(blob);                           \
    }                                               \
    TEST(blob_in_s3_##what)                         \
    {                                               \
        struct blob *blob = open_s3("");            \
        what(blob);                                 \
        blob_close(blob);                           \
    }                                               \
    TEST(blob_below_a_prefix_in_s3_##what)          \
    {                                               \
        struct blob *blob = open_s3("/some/where"); \
        what(blob);                                 \
        blob_close(blob);                           \
    }                                               \
    static void what(struct blob *blob)

/* A key of this test. Valid until the fourth call from now. */
static const char *key_of(const char *name)
{
    static char keys[4][KEY_TEXT_MAX];
    static int next;
    char *key = keys[next++ % 4];

    snprintf(key, KEY_TEXT_MAX, "%s%s", prefix, name);
    return key;
}

static void put(struct blob *blob, const char *name, const char *text)
{
    struct err err = {0};

    CHECK_OK(blob_write(blob, key_of(name), bytes_of_text(text), NULL, &err),
             err);
}

/* The blob's text, or the error's name. Valid until the next call. */
static const char *got(struct blob *blob, const char *name)
{
    static char text[1000];
    struct err err = {0};
    struct buf out;
    int rc;

    buf_init(&out, sizeof text - 1);
    rc = blob_read(blob, key_of(name), &out, &err);
    snprintf(text, sizeof text, "%s",
             rc != 0        ? err_name((enum err_code)rc)
             : out.len == 0 ? ""
                            : out.data);
    buf_release(&out);
    return text;
}

/* --- reading and writing ------------------------------------------------- */

EVERY_BLOB(gives_back_what_was_written_last)
{
    CHECK_TEXT(got(blob, "a/b.txt"), "NOT_FOUND");
    put(blob, "a/b.txt", "one");
    CHECK_TEXT(got(blob, "a/b.txt"), "one");
    put(blob, "a/b.txt", "two, longer");
    CHECK_TEXT(got(blob, "a/b.txt"), "two, longer");
    put(blob, "a/b.txt", "3");
    CHECK_TEXT(got(blob, "a/b.txt"), "3");
    CHECK_TEXT(got(blob, "a/c.txt"), "NOT_FOUND");
    CHECK_TEXT(got(blob, "a"), "NOT_FOUND");
    CHECK_TEXT(got(blob, "a/b.txt/c"), "NOT_FOUND");
}

EVERY_BLOB(keeps_an_empty_blob)
{
    put(blob, "empty", "");
    CHECK_TEXT(got(blob, "empty"), "");
}

EVERY_BLOB(takes_keys_of_many_kinds)
{
    static const char *const names[] = {"with space.jpg",
                                        "plus+plus",
                                        "tilde~",
                                        "100%",
                                        "%2F",
                                        "caf\xc3\xa9",
                                        "\xf0\x9f\x91\x81/a.jpg",
                                        "quote'\"",
                                        "a&b=c?d#e",
                                        "semi;colon:at@",
                                        "(x)[y]{z}",
                                        "dollar$star*",
                                        "-dash",
                                        "...",
                                        "a,b!c|d^e`f<g>"};
    char text[40];
    size_t i;

    for (i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(text, sizeof text, "number %zu", i);
        put(blob, names[i], text);
    }
    for (i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(text, sizeof text, "number %zu", i);
        CHECK_TEXT(got(blob, names[i]), text);
    }
}

EVERY_BLOB(adds_to_the_buffer_or_leaves_it)
{
    struct err err = {0};
    struct buf out;

    put(blob, "six", "123456");
    buf_init(&out, 9);
    buf_add_text(&out, "abc");
    CHECK_OK(blob_read(blob, key_of("six"), &out, &err), err);
    CHECK_TEXT(out.data, "abc123456");
    buf_release(&out);
    buf_init(&out, 8);
    buf_add_text(&out, "abc");
    CHECK_ERR(blob_read(blob, key_of("six"), &out, &err), ERR_TOO_LARGE);
    CHECK_HAS(err.text, "5 bytes");
    CHECK_HAS(err.text, "six");
    CHECK_TEXT(out.data, "abc");
    err = (struct err){0};
    CHECK_ERR(blob_read(blob, key_of("none"), &out, &err), ERR_NOT_FOUND);
    CHECK_HAS(err.text, "none");
    CHECK_TEXT(out.data, "abc");
    buf_release(&out);
}

enum { LARGE_LEN = 3 << 20 };

static uint8_t *large_bytes(void)
{
    uint8_t *bytes = mem_new(LARGE_LEN);
    uint32_t random = 7;
    size_t i;

    for (i = 0; i < LARGE_LEN; i++) {
        random = random * 1664525u + 1013904223u;
        bytes[i] = (uint8_t)(random >> 24);
    }
    return bytes;
}

EVERY_BLOB(streams_large_files_both_ways)
{
    uint8_t *bytes = large_bytes();
    char from[FILE_PATH_MAX], to[FILE_PATH_MAX];
    struct err err = {0};
    struct buf back;

    CHECK_OK(file_join(test_dir(), "from", from, &err), err);
    CHECK_OK(file_join(test_dir(), "to", to, &err), err);
    CHECK_OK(file_write(from, (struct bytes){bytes, LARGE_LEN}, &err), err);
    CHECK_OK(blob_write_file(blob, key_of("large"), from,
                             "application/octet-stream", &err),
             err);
    CHECK_OK(file_write(to, bytes_of_text("old"), &err), err);
    CHECK_OK(blob_read_file(blob, key_of("large"), to, LARGE_LEN, &err), err);
    buf_init(&back, LARGE_LEN + 1);
    CHECK_OK(file_read(to, &back, &err), err);
    CHECK_INT(back.len, LARGE_LEN);
    CHECK(memcmp(back.data, bytes, LARGE_LEN) == 0);
    buf_release(&back);
    buf_init(&back, LARGE_LEN);
    CHECK_OK(blob_read(blob, key_of("large"), &back, &err), err);
    CHECK(memcmp(back.data, bytes, LARGE_LEN) == 0);
    buf_release(&back);
    mem_free(bytes);
}

static int count_path(void *user, const char *path, struct err *err)
{
    (void)path;
    (void)err;
    ++*(int *)user;
    return 0;
}

EVERY_BLOB(leaves_an_old_file_when_a_new_one_does_not_come)
{
    char folder[FILE_PATH_MAX], to[FILE_PATH_MAX];
    struct err err = {0};
    struct buf back;
    int count = 0;

    CHECK_OK(file_join(test_dir(), "files", folder, &err), err);
    CHECK_OK(file_make_dir(folder, &err), err);
    CHECK_OK(file_join(folder, "to", to, &err), err);
    CHECK_OK(file_write(to, bytes_of_text("old"), &err), err);
    put(blob, "six", "123456");
    CHECK_ERR(blob_read_file(blob, key_of("none"), to, 100, &err),
              ERR_NOT_FOUND);
    err = (struct err){0};
    CHECK_ERR(blob_read_file(blob, key_of("six"), to, 5, &err), ERR_TOO_LARGE);
    buf_init(&back, 10);
    CHECK_OK(file_read(to, &back, &err), err);
    CHECK_TEXT(back.data, "old");
    buf_release(&back);
    CHECK_OK(file_walk(folder, count_path, &count, &err), err);
    CHECK_INT(count, 1);
    CHECK_OK(blob_read_file(blob, key_of("six"), to, 6, &err), err);
    err = (struct err){0};
    CHECK_ERR(blob_read_file(blob, key_of("six"), "no/folder/file", 6, &err),
              ERR_IO);
}

EVERY_BLOB(says_when_a_file_to_be_stored_is_missing)
{
    struct err err = {0};

    CHECK_ERR(blob_write_file(blob, key_of("x"), "no/such/file", NULL, &err),
              ERR_IO);
    CHECK_HAS(err.text, "no/such/file");
    CHECK_TEXT(got(blob, "x"), "NOT_FOUND");
}

/* --- finding and listing ------------------------------------------------- */

EVERY_BLOB(finds_length_and_time)
{
    int64_t before_ms = clock_wall_ms();
    struct blob_item item = {.len = 77};
    const char *key = key_of("found");
    struct err err = {0};
    bool is_found = true;

    CHECK_OK(blob_find(blob, key, &is_found, &item, &err), err);
    CHECK(!is_found);
    CHECK_INT(item.len, 77);
    put(blob, "found", "123456");
    CHECK_OK(blob_find(blob, key, &is_found, &item, &err), err);
    CHECK(is_found);
    CHECK_INT(item.len, 6);
    CHECK_TEXT(item.key, key);
    CHECK(item.modified_ms > before_ms - 60000);
    CHECK(item.modified_ms < clock_wall_ms() + 60000);
}

struct listed {
    struct buf text;    /* "name=len " of each */
    int count, stop_at; /* 0: at the end */
};

static int note(void *user, const struct blob_item *item, struct err *err)
{
    struct listed *listed = user;

    CHECK(strncmp(item->key, prefix, strlen(prefix)) == 0);
    CHECK(item->modified_ms > 1000000000000);
    buf_printf(&listed->text, "%s=%d ", item->key + strlen(prefix),
               (int)item->len);
    listed->count++;
    return listed->count == listed->stop_at
               ? err_set(err, ERR_CONFLICT, "enough")
               : 0;
}

static void expect_list(struct blob *blob, const char *below, const char *want)
{
    struct listed listed = {.count = 0};
    struct err err = {0};

    buf_init(&listed.text, 1 << 16);
    CHECK_OK(blob_list(blob, key_of(below), note, &listed, &err), err);
    CHECK_TEXT(listed.count > 0 ? listed.text.data : "", want);
    buf_release(&listed.text);
}

EVERY_BLOB(lists_keys_in_byte_order)
{
    static const char *const names[] = {"b",   "a/2",   "a-1",        "a0",
                                        "a/1", "a/x/y", "\xc3\xa9 +&"};
    size_t i;

    expect_list(blob, "", "");
    for (i = 0; i < sizeof names / sizeof names[0]; i++)
        put(blob, names[i], &"12345"[i % 5]);
    expect_list(blob, "", "a-1=3 a/1=1 a/2=4 a/x/y=5 a0=2 b=5 \xc3\xa9 +&=4 ");
    expect_list(blob, "a/", "a/1=1 a/2=4 a/x/y=5 ");
    expect_list(blob, "a", "a-1=3 a/1=1 a/2=4 a/x/y=5 a0=2 ");
    expect_list(blob, "a/x/y", "a/x/y=5 ");
    expect_list(blob, "a/x/y/z", "");
    expect_list(blob, "nothing", "");
}

EVERY_BLOB(stops_listing_when_told_to)
{
    struct listed listed = {.stop_at = 2};
    struct err err = {0};

    put(blob, "a", "1");
    put(blob, "b", "2");
    put(blob, "c", "3");
    buf_init(&listed.text, 1 << 16);
    CHECK_ERR(blob_list(blob, key_of(""), note, &listed, &err), ERR_CONFLICT);
    CHECK_TEXT(err.text, "enough");
    CHECK_TEXT(listed.text.data, "a=1 b=1 ");
    buf_release(&listed.text);
}

/* More than one page of a thousand. */
EVERY_BLOB(lists_more_than_a_page)
{
    struct listed listed = {.count = 0};
    struct err err = {0};
    char name[32];
    int i;

    for (i = 0; i < 1050; i++) {
        snprintf(name, sizeof name, "many/%04d", i);
        put(blob, name, "x");
    }
    buf_init(&listed.text, 1 << 20);
    CHECK_OK(blob_list(blob, key_of("many/"), note, &listed, &err), err);
    CHECK_INT(listed.count, 1050);
    CHECK_HAS(listed.text.data, "many/1049=1 ");
    buf_release(&listed.text);
}

/* --- keys ---------------------------------------------------------------- */

EVERY_BLOB(refuses_keys_that_might_lead_out)
{
    static const char *const keys[] = {
        "..",    "../x",  "a/../b",      "a/..",     ".",     "./a",
        "a/./b", "/a",    "/etc/passwd", "a\\b",     "..\\a", "a/",
        "a\nb",  "a\x7f", "\xff\xfe",    "a/b\x01/c"};
    struct blob_item item;
    struct buf out;
    bool is_found;
    size_t i;

    buf_init(&out, 100);
    for (i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        struct err err = {0};
        char to[FILE_PATH_MAX];

        CHECK_ERR(blob_read(blob, keys[i], &out, &err), ERR_FORBIDDEN);
        CHECK_ERR(blob_write(blob, keys[i], bytes_of_text("x"), NULL, &err),
                  ERR_FORBIDDEN);
        CHECK_ERR(blob_write_file(blob, keys[i], "x", NULL, &err),
                  ERR_FORBIDDEN);
        CHECK_OK(file_join(test_dir(), "to", to, &err), err);
        CHECK_ERR(blob_read_file(blob, keys[i], to, 9, &err), ERR_FORBIDDEN);
        CHECK_ERR(blob_find(blob, keys[i], &is_found, &item, &err),
                  ERR_FORBIDDEN);
    }
    buf_release(&out);
}

EVERY_BLOB(refuses_keys_that_are_too_long_or_empty)
{
    char key[BLOB_KEY_MAX + 2];
    struct err err = {0};
    struct buf out;

    memset(key, 'k', sizeof key - 1);
    key[sizeof key - 1] = '\0';
    buf_init(&out, 100);
    CHECK_ERR(blob_read(blob, key, &out, &err), ERR_INVALID);
    CHECK_HAS(err.text, "1025");
    CHECK_ERR(blob_read(blob, "", &out, &err), ERR_INVALID);
    buf_release(&out);
}

/* --- several threads ----------------------------------------------------- */

enum { THREADS = 4, ROUNDS = 25 };

struct worker {
    pthread_t thread;
    struct blob *blob;
    int number, mixed; /* bytes that are not as the first */
    struct err err;    /* of the first call that failed */
};

/* Writes whole texts of one letter and reads what another wrote. */
static void *work(void *user)
{
    struct worker *worker = user;
    char key[200], text[3000];
    int i;

    snprintf(key, sizeof key, "%sshared", prefix);
    for (i = 0; i < ROUNDS && worker->err.code == ERR_OK; i++) {
        struct buf out;
        size_t j;

        memset(text, 'a' + worker->number, sizeof text);
        buf_init(&out, sizeof text);
        if (blob_write(worker->blob, key,
                       (struct bytes){(uint8_t *)text, sizeof text}, NULL,
                       &worker->err) == 0 &&
            blob_read(worker->blob, key, &out, &worker->err) == 0)
            worker->mixed += out.len != sizeof text;
        for (j = 1; j < out.len; j++)
            worker->mixed += out.data[j] != out.data[0];
        buf_release(&out);
    }
    return NULL;
}

EVERY_BLOB(shows_readers_the_old_or_the_new_one)
{
    struct worker workers[THREADS];
    int i;

    for (i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.blob = blob, .number = i};
        CHECK_INT(pthread_create(&workers[i].thread, NULL, work, &workers[i]),
                  0);
    }
    for (i = 0; i < THREADS; i++)
        pthread_join(workers[i].thread, NULL);
    for (i = 0; i < THREADS; i++) {
        CHECK_TEXT(workers[i].err.text, "");
        CHECK_INT(workers[i].mixed, 0);
    }
}

/* --- S3 alone ------------------------------------------------------------ */

static int status_of(const char *url, struct fetch_reply *reply)
{
    struct fetch_options options = {.connection_max = 1};
    struct fetch_request request = {.url = url, .body_len_max = 4096};
    struct fetch *fetch = NULL;
    struct err err = {0};

    CHECK_OK(fetch_new(&options, &fetch, &err), err);
    CHECK_OK(fetch_run(fetch, &request, reply, &err), err);
    fetch_free(fetch);
    return reply->status;
}

TEST(blob_in_s3_signs_urls_that_anyone_may_read)
{
    struct blob *blob = open_s3("/some");
    struct fetch_reply reply = {0};
    char url[BLOB_URL_MAX], *at;
    struct err err = {0};

    put(blob, "with space+\xc3\xa9.jpg", "a photo");
    CHECK_OK(blob_presign(blob, key_of("with space+\xc3\xa9.jpg"), 60, url,
                          sizeof url, &err),
             err);
    CHECK_INT(status_of(url, &reply), 200);
    CHECK_TEXT(reply.body.data, "a photo");
    fetch_reply_release(&reply);
    at = strstr(url, "X-Amz-Expires=60");
    CHECK(at != NULL);
    at[strlen("X-Amz-Expires=")] = '9';
    CHECK_INT(status_of(url, &reply), 403);
    fetch_reply_release(&reply);
    blob_close(blob);
}

TEST(blob_in_s3_with_the_wrong_secret_is_forbidden)
{
    struct blob_options options = s3_options();
    struct blob *blob;
    struct err err = {0};
    struct buf out;
    char url[300];

    snprintf(url, sizeof url, "s3://%s", variable("OLHO_TEST_S3_BUCKET"));
    options.url = url;
    options.secret_key = "not-the-secret";
    blob = blob_of(&options);
    buf_init(&out, 100);
    CHECK_ERR(blob_read(blob, "some/key", &out, &err), ERR_FORBIDDEN);
    CHECK_HAS(err.text, variable("OLHO_TEST_S3_BUCKET"));
    CHECK_HAS(err.text, "some/key");
    CHECK_HAS(err.text, "SignatureDoesNotMatch");
    CHECK(strstr(err.text, "not-the-secret") == NULL);
    buf_release(&out);
    blob_close(blob);
}

TEST(blob_in_s3_of_a_bucket_that_is_not_there_is_not_found)
{
    struct blob_options options = s3_options();
    struct listed listed = {.count = 0};
    struct blob *blob;
    struct err err = {0};

    options.url = "s3://no-such-bucket-here";
    blob = blob_of(&options);
    CHECK_ERR(blob_list(blob, "", note, &listed, &err), ERR_NOT_FOUND);
    CHECK_HAS(err.text, "NoSuchBucket");
    blob_close(blob);
}
