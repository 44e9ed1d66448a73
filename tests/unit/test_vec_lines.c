/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "cmd/vec_lines.h"
#include "test.h"

enum { ARENA_LEN_MAX = 1 << 20 };

static int parse(const char *text, struct arena *arena, struct vec_line *out,
                 struct err *err)
{
    *err = (struct err){0};
    return vec_line_parse(bytes_of_text(text), arena, out, err);
}

TEST(vec_lines_come_back_as_they_were_written)
{
    static const char text[] =
        "{\"id\":7,\"key\":\"k\",\"path\":\"a.jpg\",\"tags\":{\"label\":"
        "[\"cat\",\"pet\"],\"odd\":\"1\"},\"vector\":[0.1,-3.0,2.5e-9]}\n";
    struct arena *arena = arena_new(ARENA_LEN_MAX);
    struct vec_line line;
    struct vec_hit entry;
    struct buf out;
    struct err err;

    CHECK_OK(parse(text, arena, &line, &err), err);
    CHECK_INT(line.dim, 3);
    CHECK_INT(line.entry.id, 7);
    CHECK_INT(line.entry.tag_count, 3);
    CHECK_TEXT(line.entry.tags[1].name, "label");
    CHECK_TEXT(line.entry.tags[1].value, "pet");
    entry = (struct vec_hit){.id = line.entry.id,
                             .key = line.entry.key,
                             .path = line.entry.path,
                             .tags = line.entry.tags,
                             .tag_count = line.entry.tag_count};
    buf_init(&out, 1 << 16);
    vec_line_write(&entry, line.entry.vector, line.dim, &out);
    CHECK_TEXT(out.data, text);
    buf_release(&out);
    arena_free(arena);
}

TEST(vec_lines_need_a_vector_alone)
{
    struct arena *arena = arena_new(ARENA_LEN_MAX);
    struct vec_line line;
    struct err err;

    CHECK_OK(parse("{\"vector\":[1]}", arena, &line, &err), err);
    CHECK(line.entry.id == VEC_ID_NEW && line.entry.tag_count == 0);
    CHECK(line.entry.key == NULL && line.entry.path == NULL);
    CHECK_OK(parse("{\"vector\":[1],\"id\":null,\"key\":null,\"tags\":null}",
                   arena, &line, &err),
             err);
    CHECK(line.entry.id == VEC_ID_NEW);
    arena_free(arena);
}

TEST(vec_lines_say_which_member_is_wrong)
{
    static const struct {
        const char *text, *part;
    } bad[] = {
        {"[1,2]", "no JSON object"},
        {"{}", "no \"vector\""},
        {"{\"vector\":[]}", "vector"},
        {"{\"vector\":7}", "vector"},
        {"{\"vector\":null}", "vector"},
        {"{\"vector\":[1,\"2\"]}", "vector[1]"},
        {"{\"vector\":[1e39]}", "vector[0]"},
        {"{\"vector\":[1],\"id\":-1}", "id"},
        {"{\"vector\":[1],\"id\":1.5}", "id"},
        {"{\"vector\":[1],\"key\":7}", "key"},
        {"{\"vector\":[1],\"path\":[]}", "path"},
        {"{\"vector\":[1],\"tags\":[]}", "tags"},
        {"{\"vector\":[1],\"tags\":{\"a\":[\"b\",7]}}", "\"a\""},
        {"{\"vector\":[1],\"label\":\"cat\"}", "\"label\""},
    };
    struct arena *arena = arena_new(ARENA_LEN_MAX);
    struct vec_line line = {.dim = -7};
    struct err err;
    size_t i;

    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_ERR(parse(bad[i].text, arena, &line, &err), ERR_INVALID);
        CHECK_HAS(err.text, bad[i].part);
        CHECK_INT(line.dim, -7);
    }
    arena_free(arena);
}

TEST(vec_lines_have_at_most_so_many_tags)
{
    struct arena *arena = arena_new(ARENA_LEN_MAX);
    struct vec_line line;
    struct err err;
    struct buf text;
    int i;

    buf_init(&text, 1 << 16);
    buf_add_text(&text, "{\"vector\":[1],\"tags\":{");
    for (i = 0; i < VEC_TAGS_MAX; i++)
        buf_printf(&text, "%s\"t%d\":\"v\"", i > 0 ? "," : "", i);
    buf_add_text(&text, "}}");
    CHECK_OK(parse(text.data, arena, &line, &err), err);
    CHECK_INT(line.entry.tag_count, VEC_TAGS_MAX);
    text.len -= 2;
    buf_add_text(&text, ",\"more\":\"v\"}}");
    CHECK_ERR(parse(text.data, arena, &line, &err), ERR_INVALID);
    buf_release(&text);
    arena_free(arena);
}

static const char *make_file(struct bytes content)
{
    static char path[FILE_PATH_MAX];
    struct err err = {0};

    CHECK_OK(file_join(test_dir(), "lines.jsonl", path, &err), err);
    CHECK_OK(file_write(path, content, &err), err);
    return path;
}

TEST(line_reader_counts_blank_lines_and_needs_no_last_end)
{
    static const char content[] = "one\n\n \t\r\ntwo\n\nthree";
    static const struct {
        const char *text;
        int number;
    } wanted[] = {{"one", 1}, {"two", 4}, {"three", 6}};
    struct line_reader *reader = NULL;
    struct err err = {0};
    struct bytes line;
    int64_t number, done, total;
    size_t i;

    CHECK_OK(line_reader_open(make_file(bytes_of_text(content)), &reader, &err),
             err);
    for (i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        CHECK_OK(line_reader_next(reader, &line, &number, &err), err);
        CHECK_INT(number, wanted[i].number);
        CHECK_INT(line.len, strlen(wanted[i].text));
        CHECK(memcmp(line.data, wanted[i].text, line.len) == 0);
    }
    CHECK_OK(line_reader_next(reader, &line, &number, &err), err);
    CHECK_INT(number, 0);
    line_reader_place(reader, &done, &total);
    CHECK_INT(done, sizeof content - 1);
    CHECK_INT(total, sizeof content - 1);
    line_reader_close(reader);
}

TEST(line_reader_passes_over_a_line_that_is_too_long)
{
    struct line_reader *reader = NULL;
    struct err err = {0};
    struct bytes line;
    struct buf content;
    int64_t number;
    char *room;

    buf_init(&content, VEC_LINE_LEN_MAX + 64);
    room = buf_reserve(&content, VEC_LINE_LEN_MAX + 1);
    CHECK(room != NULL);
    memset(room, 'x', VEC_LINE_LEN_MAX + 1);
    content.len += VEC_LINE_LEN_MAX + 1;
    buf_add_text(&content, "\nshort\n");
    CHECK_OK(line_reader_open(make_file(buf_bytes(&content)), &reader, &err),
             err);
    CHECK_ERR(line_reader_next(reader, &line, &number, &err), ERR_TOO_LARGE);
    CHECK_INT(number, 1);
    err = (struct err){0};
    CHECK_OK(line_reader_next(reader, &line, &number, &err), err);
    CHECK_INT(number, 2);
    CHECK_INT(line.len, 5);
    line_reader_close(reader);
    buf_release(&content);
}

TEST(line_reader_names_a_file_that_is_not_there)
{
    struct line_reader *reader = NULL;
    struct err err = {0};

    CHECK_ERR(line_reader_open("/nowhere/lines", &reader, &err), ERR_NOT_FOUND);
    CHECK_HAS(err.text, "/nowhere/lines");
    CHECK(reader == NULL);
}

TEST(vec_lines_survive_torture)
{
    static const char text[] = "{\"vector\":[1,2],\"key\":\"k\",\"path\":\"p\","
                               "\"tags\":{\"a\":[\"b\",\"c\"]}}";
    struct arena *arena = arena_new(ARENA_LEN_MAX);
    long nth = 0;
    int rc;

    do {
        struct vec_line line = {.dim = -7};
        struct err err;

        arena_reset(arena);
        mem_fail_at(++nth);
        rc = parse(text, arena, &line, &err);
        mem_fail_at(0);
        CHECK(rc == 0 ? line.dim == 2
                      : rc == ERR_UNAVAILABLE && line.dim == -7);
    } while (rc != 0);
    CHECK(nth > 1);
    arena_free(arena);
}
