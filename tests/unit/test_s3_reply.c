/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <stdio.h>
#include <string.h>

#include "blob/retry.h"
#include "blob/s3_list.h"
#include "blob/s3_reply.h"

static const char *unescaped(const char *raw)
{
    static char text[200];
    struct buf out;

    buf_init(&out, sizeof text - 1);
    s3_xml_text(bytes_of_text(raw), &out);
    snprintf(text, sizeof text, "%s", out.len > 0 ? out.data : "");
    buf_release(&out);
    return text;
}

TEST(s3_reply_finds_tags_one_after_the_other)
{
    struct bytes rest = bytes_of_text("<a>1</a><b><a>2</a></b><a></a><a>3");
    struct bytes found;

    CHECK(s3_xml_next(&rest, "a", &found));
    CHECK_INT(found.len, 1);
    CHECK_INT(found.data[0], '1');
    CHECK(s3_xml_next(&rest, "a", &found));
    CHECK_INT(found.data[0], '2');
    CHECK(s3_xml_next(&rest, "a", &found));
    CHECK_INT(found.len, 0);
    CHECK(!s3_xml_next(&rest, "a", &found));
    rest = (struct bytes){0};
    CHECK(!s3_xml_next(&rest, "a", &found));
    CHECK(s3_xml_is(bytes_of_text("<t>true</t>"), "t", "true"));
    CHECK(!s3_xml_is(bytes_of_text("<t>true </t>"), "t", "true"));
    CHECK(!s3_xml_is(bytes_of_text("<u>true</u>"), "t", "true"));
}

TEST(s3_reply_resolves_entities)
{
    CHECK_TEXT(unescaped("a&amp;b&lt;c&gt;&quot;&apos;"), "a&b<c>\"'");
    CHECK_TEXT(unescaped("&#38;&#x26;&#X41;"), "&&A");
    CHECK_TEXT(unescaped("&#233;&#x20ac;&#x1F441;"),
               "\xc3\xa9\xe2\x82\xac\xf0\x9f\x91\x81");
    CHECK_TEXT(unescaped("&amp;lt;"), "&lt;");
}

TEST(s3_reply_leaves_what_is_no_entity)
{
    static const char *const texts[] = {
        "&",           "&;",       "&#;",  "&#x;",     "&#xg;",
        "&#12",        "&nbsp;",   "&#0;", "&#xd800;", "&#x110000;",
        "&#99999999;", "a & b; c", "&#-1;"};
    size_t i;

    for (i = 0; i < sizeof texts / sizeof texts[0]; i++)
        CHECK_TEXT(unescaped(texts[i]), texts[i]);
}

TEST(s3_reply_says_code_and_message)
{
    char text[120], small[6];

    s3_error_text(bytes_of_text("<?xml?><Error><Code>NoSuchKey</Code>"
                                "<Message>It&apos;s\nnot <here</Message>"),
                  text, sizeof text);
    CHECK_TEXT(text, "NoSuchKey: It's?not <here");
    s3_error_text(bytes_of_text("<html>oops</html>"), text, sizeof text);
    CHECK_TEXT(text, "");
    s3_error_text(bytes_of_text("<Code>NoSuchKey</Code>"), small, sizeof small);
    CHECK_TEXT(small, "NoSuc");
}

TEST(s3_reply_reads_both_forms_of_time)
{
    CHECK_INT(s3_time_iso(bytes_of_text("2026-11-21T12:00:00.123Z")),
              1795262400123);
    CHECK_INT(s3_time_iso(bytes_of_text("2026-11-21T12:00:00Z")),
              1795262400000);
    CHECK_INT(s3_time_iso(bytes_of_text("2026-11-21T12:00:00.123456789Z")),
              1795262400123);
    CHECK_INT(s3_time_http(bytes_of_text("Sat, 21 Nov 2026 12:00:00 GMT")),
              1795262400000);
}

TEST(s3_reply_takes_no_other_text_for_a_time)
{
    static const char *const texts[] = {
        "",
        "yesterday",
        "2026-13-21T12:00:00.000Z",
        "2026-11-32T12:00:00.000Z",
        "2026-11-21T24:00:00.000Z",
        "2026-11-21 12:00:00.000Z",
        "1926-11-21T12:00:00.000Z",
        "20x6-11-21T12:00:00.000Z",
        "Sat, 21 Nev 2026 12:00:00 GMT",
        "Sat, 21 Nov 2026 12:60:00 GMT",
        "Sat, xx Nov 2026 12:00:00 GMT",
        "Saturday, 21-Nov-26 12:00:00 GMT",
    };
    size_t i;

    for (i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        CHECK_INT(s3_time_iso(bytes_of_text(texts[i])), 0);
        CHECK_INT(s3_time_http(bytes_of_text(texts[i])), 0);
    }
}

/* --- lists --------------------------------------------------------------- */

static int note(void *user, const struct blob_item *item, struct err *err)
{
    (void)err;
    buf_printf(user, "%s=%llu@%lld ", item->key, (unsigned long long)item->len,
               (long long)item->modified_ms);
    return 0;
}

/* What was listed, then "| " and the next token, or the error's name. */
static const char *listed(const char *prefix, const char *token,
                          const char *xml)
{
    static char text[1000];
    struct err err = {0};
    struct buf keys, next;
    int rc;

    buf_init(&keys, 500);
    buf_init(&next, S3_TOKEN_MAX);
    buf_add_text(&next, token);
    rc = s3_list_page("photos", prefix, bytes_of_text(xml), note, &keys, &next,
                      &err);
    snprintf(text, sizeof text, "%s| %s", keys.len > 0 ? keys.data : "",
             rc             ? err_name((enum err_code)rc)
             : next.len > 0 ? next.data
                            : "");
    buf_release(&keys);
    buf_release(&next);
    return text;
}

#define OBJECT(key, size)                                                    \
    "<Contents><Key>" key                                                    \
    "</Key><LastModified>2026-11-21T12:00:00.000Z</LastModified><Size>" size \
    "</Size></Contents>"
#define END "<IsTruncated>false</IsTruncated>"
#define MORE(token)                                                \
    "<IsTruncated>true</IsTruncated><NextContinuationToken>" token \
    "</NextContinuationToken>"

TEST(s3_list_gives_keys_lengths_and_times)
{
    CHECK_TEXT(listed("", "", END OBJECT("a", "1") OBJECT("b&amp;c", "22")),
               "a=1@1795262400000 b&c=22@1795262400000 | ");
    CHECK_TEXT(listed("", "", END), "| ");
    CHECK_TEXT(listed("", "", END "<Contents><Key>a</Key></Contents>"),
               "a=0@0 | ");
}

TEST(s3_list_decodes_keys_only_when_they_are_encoded)
{
    CHECK_TEXT(listed("", "", END OBJECT("a+b%20c", "1")),
               "a+b%20c=1@1795262400000 | ");
    CHECK_TEXT(listed("", "",
                      "<EncodingType>url</EncodingType>" END OBJECT(
                          "a+b%20c%2Bd", "1")),
               "a b c+d=1@1795262400000 | ");
}

TEST(s3_list_leaves_out_what_was_not_asked_for)
{
    CHECK_TEXT(
        listed("x/", "",
               END OBJECT("x/a", "1") OBJECT("y/b", "1") OBJECT("x", "1")
                   OBJECT("", "1") "<Contents><Size>1</Size></Contents>"),
        "a=1@1795262400000 | ");
    CHECK_TEXT(
        listed("", "",
               "<EncodingType>url</EncodingType>" END OBJECT("a%00b", "1")),
        "| ");
}

TEST(s3_list_goes_on_with_a_new_token_only)
{
    CHECK_TEXT(listed("", "", MORE("a&amp;b") OBJECT("a", "1")),
               "a=1@1795262400000 | a&b");
    CHECK_TEXT(listed("", "t1", MORE("t2")), "| t2");
    CHECK_TEXT(listed("", "t1", END), "| ");
    CHECK_TEXT(listed("", "t1", MORE("t1")), "| UNPROCESSABLE");
    CHECK_TEXT(listed("", "", MORE("")), "| UNPROCESSABLE");
    CHECK_TEXT(listed("", "", "<IsTruncated>true</IsTruncated>"),
               "| UNPROCESSABLE");
}

TEST(s3_list_refuses_what_is_no_list)
{
    CHECK_TEXT(listed("", "", ""), "| UNPROCESSABLE");
    CHECK_TEXT(listed("", "", "<html>hello</html>"), "| UNPROCESSABLE");
}

/* --- pauses -------------------------------------------------------------- */

TEST(retry_pauses_are_between_nothing_and_a_doubling_limit)
{
    int64_t limit_us = 100000;
    int retry;

    for (retry = 0; retry < 10; retry++) {
        CHECK_INT(retry_pause_us(100, retry, 0), 0);
        CHECK_INT(retry_pause_us(100, retry, (uint64_t)limit_us), limit_us);
        CHECK_INT(retry_pause_us(100, retry, (uint64_t)limit_us + 1), 0);
        limit_us *= 2;
        if (limit_us > RETRY_PAUSE_MAX_MS * 1000)
            limit_us = RETRY_PAUSE_MAX_MS * 1000;
    }
    CHECK_INT(retry_pause_us(0, 5, UINT64_MAX), 0);
}
