/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cmd/tags.h"
#include "test.h"

enum { WORDS_MAX = 12, ARENA_LEN_MAX = 1 << 20 };

/* A command line, and what is read of it. */
struct reading {
    struct arguments arguments;
    struct arena *arena;
    struct err err;
};

static void reading_begin(struct reading *reading,
                          const char *const words[WORDS_MAX])
{
    const char *argv[WORDS_MAX];
    int argc = 0;

    *reading = (struct reading){.arena = arena_new(ARENA_LEN_MAX)};
    while (argc < WORDS_MAX && words[argc] != NULL) {
        argv[argc] = words[argc];
        argc++;
    }
    CHECK_OK(arguments_read(&reading->arguments, argc, argv, &reading->err),
             reading->err);
}

static void reading_end(struct reading *reading)
{
    arguments_release(&reading->arguments);
    arena_free(reading->arena);
}

TEST(tags_are_names_and_values)
{
    struct reading reading;
    const struct vec_tag *tags;
    int count = -1;

    reading_begin(&reading, (const char *const[WORDS_MAX]){
                                "index", "add", "x", "--tag", "colour=red",
                                "--tag=a=b=c", "--tag", "empty="});
    CHECK_OK(tags_read(&reading.arguments, reading.arena, &tags, &count,
                       &reading.err),
             reading.err);
    CHECK_INT(count, 3);
    CHECK_TEXT(tags[0].name, "colour");
    CHECK_TEXT(tags[0].value, "red");
    CHECK_TEXT(tags[1].name, "a");
    CHECK_TEXT(tags[1].value, "b=c");
    CHECK_TEXT(tags[2].value, "");
    reading_end(&reading);
}

TEST(tags_without_a_name_are_refused)
{
    static const char *const bad[] = {"colour", "=red", ""};
    struct reading reading;
    const struct vec_tag *tags = NULL;
    int count = -1;
    size_t i;

    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        reading_begin(&reading, (const char *const[WORDS_MAX]){
                                    "index", "add", "x", "--tag", bad[i]});
        CHECK_ERR(tags_read(&reading.arguments, reading.arena, &tags, &count,
                            &reading.err),
                  ERR_INVALID);
        CHECK(tags == NULL && count == -1);
        reading_end(&reading);
    }
}

TEST(filters_take_values_apart_at_commas)
{
    struct reading reading;
    struct vec_filter filter;

    reading_begin(&reading, (const char *const[WORDS_MAX]){
                                "index", "remove", "--where", "label=cat,dog",
                                "--where", "name!=a\\,b,,c\\"});
    CHECK_OK(
        filter_read(&reading.arguments, reading.arena, &filter, &reading.err),
        reading.err);
    CHECK_INT(filter.term_count, 2);
    CHECK_TEXT(filter.terms[0].name, "label");
    CHECK(!filter.terms[0].is_not);
    CHECK_INT(filter.terms[0].value_count, 2);
    CHECK_TEXT(filter.terms[0].values[0], "cat");
    CHECK_TEXT(filter.terms[0].values[1], "dog");
    CHECK_TEXT(filter.terms[1].name, "name");
    CHECK(filter.terms[1].is_not);
    CHECK_INT(filter.terms[1].value_count, 3);
    CHECK_TEXT(filter.terms[1].values[0], "a,b");
    CHECK_TEXT(filter.terms[1].values[1], "");
    CHECK_TEXT(filter.terms[1].values[2], "c\\");
    reading_end(&reading);
}

TEST(filters_without_name_or_value_are_refused)
{
    static const char *const bad[] = {"label", "=cat", "!=cat", ""};
    struct reading reading;
    struct vec_filter filter;
    size_t i;

    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        reading_begin(&reading, (const char *const[WORDS_MAX]){
                                    "index", "remove", "--where", bad[i]});
        CHECK_ERR(filter_read(&reading.arguments, reading.arena, &filter,
                              &reading.err),
                  ERR_INVALID);
        reading_end(&reading);
    }
}

TEST(filters_pass_what_a_search_would_find)
{
    const struct vec_tag tags[] = {{"label", "cat"}, {"label", "pet"}};
    const struct vec_hit cat = {.tags = tags, .tag_count = 2};
    const struct vec_hit bare = {.tag_count = 0};
    const char *const values[] = {"dog", "pet"};
    struct vec_term terms[] = {{"label", values, 2, false},
                               {"label", values, 1, true}};
    const struct vec_filter both = {terms, 2}, none = {terms, 0};
    const struct vec_filter first = {terms, 1}, second = {terms + 1, 1};

    CHECK(filter_passes(&both, &cat));
    CHECK(filter_passes(&none, &cat) && filter_passes(&none, &bare));
    CHECK(!filter_passes(&first, &bare));
    CHECK(filter_passes(&second, &bare));
    terms[0].value_count = 1;
    CHECK(!filter_passes(&first, &cat));
    terms[1].value_count = 2;
    CHECK(!filter_passes(&second, &cat));
}
