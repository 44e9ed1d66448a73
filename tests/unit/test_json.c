/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <string.h>

#include "base/json.h"

static struct json_value *parse(const char *text)
{
    struct json_value *document = NULL;
    struct err err = {0};

    CHECK_OK(json_parse(bytes_of_text(text), &document, &err), err);
    return document;
}

/* Checks that text is refused with a sentence that has `part`, and that the
 * out parameter stays as it was. */
static void refuse(const char *text, size_t len, const char *part)
{
    struct json_value *document = NULL;
    struct err err = {0};

    CHECK_ERR(
        json_parse((struct bytes){(const uint8_t *)text, len}, &document, &err),
        ERR_INVALID);
    CHECK_HAS(err.text, part);
    CHECK(document == NULL);
}

static void refuse_text(const char *text, const char *part)
{
    refuse(text, strlen(text), part);
}

TEST(json_reads_each_type)
{
    struct json_value *document =
        parse("{\"n\": null, \"b\": true, \"i\": -7, \"r\": 2.5,"
              " \"t\": \"caf\\u00e9\", \"a\": [1, 2], \"o\": {}}");
    double real = 0;
    int64_t whole = 0;
    bool yes = false;

    CHECK_INT(json_type(document), JSON_IS_OBJECT);
    CHECK_INT(json_count(document), 7);
    CHECK_INT(json_type(json_find(document, "n")), JSON_IS_NULL);
    CHECK_INT(json_type(json_find(document, "b")), JSON_IS_BOOL);
    CHECK(json_bool(json_find(document, "b"), &yes) && yes);
    CHECK(json_whole(json_find(document, "i"), &whole));
    CHECK_INT(whole, -7);
    CHECK(json_number(json_find(document, "r"), &real));
    CHECK_NEAR(real, 2.5, 0);
    CHECK_INT(json_type(json_find(document, "r")), JSON_IS_NUMBER);
    CHECK_TEXT(json_text(json_find(document, "t")), "caf\xc3\xa9");
    CHECK_INT(json_type(json_find(document, "a")), JSON_IS_ARRAY);
    CHECK_INT(json_count(json_find(document, "a")), 2);
    CHECK(json_number(json_at(json_find(document, "a"), 1), &real));
    CHECK_NEAR(real, 2, 0);
    CHECK_INT(json_type(json_find(document, "o")), JSON_IS_OBJECT);
    CHECK(json_find(document, "absent") == NULL);
    json_free(document);
}

TEST(json_reads_a_lone_value_and_skips_a_byte_order_mark)
{
    struct json_value *document = parse("\xef\xbb\xbf 3 ");
    int64_t whole = 0;

    CHECK(json_whole(document, &whole));
    CHECK_INT(whole, 3);
    json_free(document);
    json_free(NULL);
}

TEST(json_answers_wrong_types_without_touching_the_out)
{
    struct json_value *document = parse("[\"text\", 2.5, 3.0, 1e300, true]");
    double real = 9;
    int64_t whole = 9;
    bool yes = true;

    CHECK(!json_number(json_at(document, 0), &real));
    CHECK(!json_whole(json_at(document, 1), &whole));
    CHECK(!json_whole(json_at(document, 3), &whole));
    CHECK(!json_whole(json_at(document, 4), &whole));
    CHECK(!json_bool(json_at(document, 0), &yes));
    CHECK_NEAR(real, 9, 0);
    CHECK_INT(whole, 9);
    CHECK(yes);
    CHECK(json_whole(json_at(document, 2), &whole));
    CHECK_INT(whole, 3);
    CHECK(json_text(json_at(document, 1)) == NULL);
    CHECK(json_find(document, "key") == NULL);
    CHECK_INT(json_count(json_at(document, 0)), 0);
    json_free(document);
}

TEST(json_refuses_what_is_no_json)
{
    refuse_text("", "line 1");
    refuse_text("{", "too early");
    refuse_text("[1,]", "not valid JSON");
    refuse_text("{\"a\": 1} x", "after the end");
    refuse_text("[NaN]", "not valid JSON");
    refuse_text("[Infinity]", "not valid JSON");
    refuse_text("[01]", "not valid JSON");
    refuse_text("[1e999]", "too large");
    refuse_text("[99999999999999999999]", "too large");
    refuse_text("{'a': 1}", "not valid JSON");
    refuse_text("[\"a\nb\"]", "not valid JSON");
    refuse_text("{\"a\": 1,\n \"a\": 2}", "line 2");
    refuse_text("{\"a\": 1, \"a\": 2}", "twice");
    refuse_text("[\"\\ud800\"]", "not valid JSON");
    refuse_text("[\"\\u0000\"]", "NUL");
    refuse("[1]\0", 4, "line 1");
}

TEST(json_refuses_bytes_that_are_not_utf8)
{
    refuse_text("[\"\xff\"]", "UTF-8");
    refuse_text("[\"\xc0\xaf\"]", "UTF-8");
    refuse_text("[\"\xed\xa0\x80\"]", "UTF-8");
    refuse_text("[\"\xe2\x82\"]", "UTF-8");
}

TEST(json_says_line_and_column_but_does_not_quote_the_text)
{
    struct json_value *document = NULL;
    struct err err = {0};

    CHECK_ERR(
        json_parse(bytes_of_text("{\n  \"a\": secret\n}"), &document, &err),
        ERR_INVALID);
    CHECK_HAS(err.text, "JSON line 2, column ");
    CHECK(strstr(err.text, "secret") == NULL);
}

TEST(json_takes_64_levels_and_refuses_65)
{
    char text[200];
    struct json_value *document;

    memset(text, '[', 64);
    memset(text + 64, ']', 64);
    text[128] = '\0';
    document = parse(text);
    CHECK_INT(json_count(document), 1);
    json_free(document);
    memset(text, '[', 65);
    memset(text + 65, ']', 65);
    refuse(text, 130, "column 65: nested deeper than 64");
}

TEST(json_refuses_a_million_brackets_and_counts_none_in_texts)
{
    static char text[1000000];
    struct json_value *document;
    size_t i;

    memset(text, '[', sizeof text);
    refuse(text, sizeof text, "nested deeper");
    for (i = 0; i + 5 < sizeof text; i += 5)
        memcpy(text + i, "{\"a\":", 5);
    refuse(text, i, "nested deeper");
    document = parse("[\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
                     "[[[[[[[[[[[[[[[[[[[[[[\\\"[[[[[[[[[\\\\\"]");
    json_free(document);
}

static int note_key(void *user, const char *key, const struct json_value *value,
                    struct err *err)
{
    int64_t whole = 0;

    (void)json_whole(value, &whole);
    buf_printf(user, "%s=%d ", key, (int)whole);
    return whole == 3 ? err_set(err, ERR_INVALID, "three") : 0;
}

TEST(json_members_come_in_file_order_until_one_says_stop)
{
    struct json_value *document =
        parse("{\"z\": 1, \"a\": 2, \"m\": 3, \"b\": 4}");
    struct err err = {0};
    struct buf seen;

    buf_init(&seen, 100);
    CHECK_ERR(json_members(document, note_key, &seen, &err), ERR_INVALID);
    CHECK_TEXT(seen.data, "z=1 a=2 m=3 ");
    err = (struct err){0};
    CHECK_OK(json_members(json_find(document, "z"), note_key, &seen, &err),
             err);
    buf_release(&seen);
    json_free(document);
}

TEST(json_take_leaves_what_is_absent_or_null)
{
    struct json_value *document = parse("{\"k\": null}");
    const char *text = "kept";
    struct err err = {0};
    int64_t whole = 5;
    double real = 6;

    CHECK_OK(json_take_integer(document, "k", 1, 9, &whole, &err), err);
    CHECK_OK(json_take_number(document, "none", 0, 1, &real, &err), err);
    CHECK_OK(json_take_text(document, "none", &text, &err), err);
    CHECK_INT(whole, 5);
    CHECK_NEAR(real, 6, 0);
    CHECK_TEXT(text, "kept");
    json_free(document);
}

TEST(json_take_names_key_value_and_bounds)
{
    struct json_value *document =
        parse("{\"k\": 0, \"r\": 1.5, \"t\": \"x\", \"f\": 2.5}");
    const char *text = "kept";
    struct err err = {0};
    int64_t whole = 5;
    double real = 6;

    CHECK_ERR(json_take_integer(document, "k", 1, 9, &whole, &err),
              ERR_INVALID);
    CHECK_TEXT(err.text, "'k' is 0; it must be a whole number from 1 to 9");
    CHECK_ERR(json_take_integer(document, "f", 1, 9, &whole, &err),
              ERR_INVALID);
    CHECK_TEXT(err.text, "'f' must be a whole number from 1 to 9");
    CHECK_ERR(json_take_number(document, "r", 0, 1, &real, &err), ERR_INVALID);
    CHECK_TEXT(err.text, "'r' is 1.5; it must be a number from 0 to 1");
    CHECK_ERR(json_take_number(document, "t", 0, 1, &real, &err), ERR_INVALID);
    CHECK_ERR(json_take_text(document, "k", &text, &err), ERR_INVALID);
    CHECK_TEXT(err.text, "'k' must be a text");
    CHECK_INT(whole, 5);
    CHECK_NEAR(real, 6, 0);
    CHECK_TEXT(text, "kept");
    err = (struct err){0};
    CHECK_OK(json_take_integer(document, "k", 0, 9, &whole, &err), err);
    CHECK_OK(json_take_number(document, "r", 0, 1.5, &real, &err), err);
    CHECK_OK(json_take_text(document, "t", &text, &err), err);
    CHECK_INT(whole, 0);
    CHECK_NEAR(real, 1.5, 0);
    CHECK_TEXT(text, "x");
    json_free(document);
}
