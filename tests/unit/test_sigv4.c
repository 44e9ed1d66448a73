/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "blob/sigv4.h"

enum { REFERENCE_LEN_MAX = 1 << 20 };

static struct json_value *reference(void)
{
    struct json_value *document = NULL;
    struct err err = {0};
    struct buf text;

    buf_init(&text, REFERENCE_LEN_MAX);
    CHECK_OK(file_read(test_data("sigv4/reference.json"), &text, &err), err);
    CHECK_OK(json_parse(buf_bytes(&text), &document, &err), err);
    buf_release(&text);
    return document;
}

static const char *text_of(const struct json_value *one, const char *key)
{
    const char *text = json_text(json_find(one, key));

    CHECK(text != NULL);
    return text;
}

static int64_t number_of(const struct json_value *one, const char *key)
{
    int64_t number = 0;

    CHECK(json_whole(json_find(one, key), &number));
    return number;
}

static int pairs_of(const struct json_value *one, const char *key,
                    struct sigv4_pair pairs[SIGV4_PAIRS_MAX])
{
    const struct json_value *list = json_find(one, key);
    size_t count = json_count(list), i;

    CHECK(count <= SIGV4_PAIRS_MAX);
    for (i = 0; i < count; i++) {
        pairs[i].name = json_text(json_at(json_at(list, i), 0));
        pairs[i].value = json_text(json_at(json_at(list, i), 1));
    }
    return (int)count;
}

static void check_case(const struct json_value *one, const char *access_key)
{
    struct sigv4_pair query[SIGV4_PAIRS_MAX], headers[SIGV4_PAIRS_MAX];
    struct sigv4_keys keys = {access_key, text_of(one, "secret"),
                              text_of(one, "region")};
    struct sigv4_request request = {
        .method = text_of(one, "method"),
        .host = text_of(one, "host"),
        .path = text_of(one, "path"),
        .query = query,
        .query_count = pairs_of(one, "query", query),
        .headers = headers,
        .header_count = pairs_of(one, "headers", headers),
        .payload_hash = text_of(one, "payload"),
        .time_ms = number_of(one, "time_ms"),
    };
    struct err err = {0};
    struct buf out;

    buf_init(&out, SIGV4_TEXT_MAX);
    CHECK_OK(sigv4_canonical(&request, &out, &err), err);
    CHECK_TEXT(out.data, text_of(one, "canonical"));
    buf_clear(&out);
    CHECK_OK(sigv4_authorize(&keys, &request, &out, &err), err);
    CHECK_TEXT(out.data, text_of(one, "authorization"));
    buf_clear(&out);
    request.method = "GET";
    request.query_count = 0;
    CHECK_OK(sigv4_presign(&keys, &request, (int)number_of(one, "expires"),
                           &out, &err),
             err);
    CHECK_TEXT(out.data, text_of(one, "presigned"));
    buf_release(&out);
}

TEST(sigv4_signs_as_the_reference_signer_does)
{
    struct json_value *document = reference();
    const struct json_value *cases = json_find(document, "cases");
    size_t i;

    CHECK(json_count(cases) > 50);
    for (i = 0; i < json_count(cases); i++)
        check_case(json_at(cases, i), text_of(document, "access_key"));
    json_free(document);
}

static const char *encoded(const char *text, bool keeps_slash)
{
    static char out[400];
    struct buf made;

    buf_init(&made, sizeof out - 1);
    sigv4_encode(text, keeps_slash, &made);
    snprintf(out, sizeof out, "%s", made.len > 0 ? made.data : "");
    buf_release(&made);
    return out;
}

TEST(sigv4_encodes_all_but_unreserved_characters)
{
    char text[2] = {0, 0}, want[4];
    int c;

    for (c = 1; c < 256; c++) {
        text[0] = (char)c;
        if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                   "0123456789-._~",
                   c) != NULL)
            snprintf(want, sizeof want, "%c", c);
        else
            snprintf(want, sizeof want, "%%%02X", (unsigned)c);
        CHECK_TEXT(encoded(text, false), want);
    }
    CHECK_TEXT(encoded("a/b c", true), "a/b%20c");
    CHECK_TEXT(encoded("", true), "");
}

TEST(sigv4_target_is_the_encoded_path_and_the_sorted_query)
{
    static const struct sigv4_pair query[] = {{"prefix", "a b"}, {"a", "/"}};
    struct sigv4_request request = {
        .path = "/b/k y", .query = query, .query_count = 2};
    struct err err = {0};
    struct buf out;

    buf_init(&out, 100);
    CHECK_OK(sigv4_target(&request, &out, &err), err);
    CHECK_TEXT(out.data, "/b/k%20y?a=%2F&prefix=a%20b");
    buf_clear(&out);
    request.query_count = 0;
    CHECK_OK(sigv4_target(&request, &out, &err), err);
    CHECK_TEXT(out.data, "/b/k%20y");
    buf_release(&out);
}

TEST(sigv4_writes_times_without_signs)
{
    char time[SIGV4_TIME_LEN];

    sigv4_time(1795262400123, time);
    CHECK_TEXT(time, "20261121T120000Z");
}

TEST(sigv4_refuses_what_is_too_long)
{
    static char path[SIGV4_TEXT_MAX], region[200];
    struct sigv4_keys keys = {"a", "b", "us-east-1"};
    struct sigv4_request request = {.method = "GET",
                                    .host = "h",
                                    .path = path,
                                    .payload_hash = SIGV4_UNSIGNED};
    struct err err = {0};
    struct buf out;

    memset(path, ' ', sizeof path - 1);
    memset(region, 'r', sizeof region - 1);
    buf_init(&out, 4 * SIGV4_TEXT_MAX);
    CHECK_ERR(sigv4_authorize(&keys, &request, &out, &err), ERR_TOO_LARGE);
    CHECK_INT(out.len, 0);
    err = (struct err){0};
    CHECK_ERR(sigv4_presign(&keys, &request, 60, &out, &err), ERR_TOO_LARGE);
    path[10] = '\0';
    keys.region = region;
    err = (struct err){0};
    CHECK_ERR(sigv4_authorize(&keys, &request, &out, &err), ERR_INVALID);
    err = (struct err){0};
    CHECK_ERR(sigv4_presign(&keys, &request, 60, &out, &err), ERR_INVALID);
    buf_release(&out);
}

TEST(torture_sigv4_without_memory)
{
    static const struct sigv4_pair query[] = {{"prefix", "a b"}, {"a", "/"}};
    struct sigv4_keys keys = {"a", "b", "us-east-1"};
    struct sigv4_request request = {.method = "GET",
                                    .host = "h",
                                    .path = "/b/k",
                                    .query = query,
                                    .query_count = 2,
                                    .payload_hash = SIGV4_UNSIGNED};
    int failures = 0, rc = 1;
    long nth;

    for (nth = 1; rc != 0; nth++) {
        struct err err = {0};
        struct buf out;

        CHECK(nth < 100);
        buf_init(&out, SIGV4_TEXT_MAX);
        mem_fail_at(nth);
        rc = sigv4_authorize(&keys, &request, &out, &err);
        if (rc == 0)
            rc = sigv4_presign(&keys, &request, 60, &out, &err);
        mem_fail_at(0);
        CHECK(rc == 0 || rc == ERR_UNAVAILABLE);
        failures += rc != 0;
        buf_release(&out);
    }
    CHECK(failures > 5);
}
