/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <string.h>

#include "base/url.h"

static const char *decoded(const char *text, bool is_form)
{
    static char out[100];
    size_t len = strlen(text);

    memcpy(out, text, len + 1);
    url_decode(out, len, is_form);
    return out;
}

TEST(url_decode_reads_percent_pairs_in_either_case)
{
    CHECK_TEXT(decoded("a%20b%2Fc%2fd", false), "a b/c/d");
    CHECK_TEXT(decoded("%C3%A9", false), "\xc3\xa9");
    CHECK_TEXT(decoded("%2525", false), "%25");
}

TEST(url_decode_leaves_broken_pairs_alone)
{
    CHECK_TEXT(decoded("100%", false), "100%");
    CHECK_TEXT(decoded("%4", false), "%4");
    CHECK_TEXT(decoded("%zz%4g", false), "%zz%4g");
    CHECK_TEXT(decoded("", false), "");
}

TEST(url_decode_reads_plus_as_space_in_forms_only)
{
    CHECK_TEXT(decoded("a+b%2B", true), "a b+");
    CHECK_TEXT(decoded("a+b", false), "a+b");
}

TEST(url_decode_tells_the_length_of_text_with_nul)
{
    char text[] = "a%00b";

    CHECK_INT(url_decode(text, 5, false), 3);
    CHECK(memcmp(text, "a\0b", 4) == 0);
}

static bool is_clean(const char *text)
{
    return url_is_clean_text(text, strlen(text));
}

TEST(url_clean_text_takes_the_shortest_utf8_only)
{
    CHECK(is_clean("caf\xc3\xa9"));
    CHECK(is_clean("\xe2\x82\xac \xf0\x9f\x99\x82"));
    CHECK(is_clean("\xed\x9f\xbf\xf4\x8f\xbf\xbf"));
    CHECK(!is_clean("\xc0\xaf"));
    CHECK(!is_clean("\xe0\x80\xaf"));
    CHECK(!is_clean("\xf0\x80\x80\xaf"));
    CHECK(!is_clean("\xed\xa0\x80"));
    CHECK(!is_clean("\xf4\x90\x80\x80"));
    CHECK(!is_clean("\xf5\x80\x80\x80"));
    CHECK(!is_clean("\x80"));
    CHECK(!is_clean("\xe2\x82"));
    CHECK(!is_clean("\xe2\x28\xa1"));
}

TEST(url_clean_text_refuses_control_characters)
{
    CHECK(!is_clean("a\nb"));
    CHECK(!is_clean("\x7f"));
    CHECK(!url_is_clean_text("a\0b", 3));
    CHECK(url_is_clean_text("", 0));
}

static const char *shown(const char *url)
{
    static char out[64];

    url_show(url, out, sizeof out);
    return out;
}

TEST(url_is_shown_without_user_and_password)
{
    CHECK_TEXT(shown("milvus://root:Se:c@ret@db:19530/faces"),
               "milvus://db:19530/faces");
    CHECK_TEXT(shown("milvus://root:se/cret@db/faces?database=a"),
               "milvus://db/faces?database=a");
    CHECK_TEXT(shown("milvus://db/faces"), "milvus://db/faces");
    CHECK_TEXT(shown("me@home/index.olho"), "me@home/index.olho");
    CHECK_TEXT(shown(""), "");
}
