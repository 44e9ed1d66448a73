/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a file of vectors in lines of JSON. What is read is written and
 * read again, and must be the same. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "cmd/vec_lines.h"

enum { ARENA_LEN_MAX = 64 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const char *or_none(const char *text)
{
    return text != NULL ? text : "";
}

static void check_same(const struct vec_line *one, const struct vec_line *other)
{
    const struct vec_entry *a = &one->entry, *b = &other->entry;

    assert(a->id == b->id && one->dim == other->dim);
    assert(memcmp(a->vector, b->vector, (size_t)one->dim * sizeof *a->vector) ==
           0);
    assert(strcmp(or_none(a->key), or_none(b->key)) == 0);
    assert(strcmp(or_none(a->path), or_none(b->path)) == 0);
    assert(a->tag_count == b->tag_count);
}

/* A line that has no id is written with one. */
static void write_and_read(struct vec_line *line, struct arena *arena)
{
    struct vec_line again;
    struct err err = {0};
    struct vec_hit entry;
    struct buf text;

    if (line->entry.id == VEC_ID_NEW)
        line->entry.id = 0;
    entry = (struct vec_hit){.id = line->entry.id,
                             .key = or_none(line->entry.key),
                             .path = or_none(line->entry.path),
                             .tags = line->entry.tags,
                             .tag_count = line->entry.tag_count};
    buf_init(&text, VEC_LINE_LEN_MAX);
    vec_line_write(&entry, line->entry.vector, line->dim, &text);
    if (buf_check(&text, &err) == 0) {
        assert(vec_line_parse(buf_bytes(&text), arena, &again, &err) == 0);
        check_same(line, &again);
    }
    buf_release(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct arena *arena = arena_new(ARENA_LEN_MAX);
    struct line_reader *reader = NULL;
    int64_t number = 1, before = 0;
    struct vec_line line;
    struct bytes text;
    char path[64];
    int fd = memfd_create("lines", MFD_CLOEXEC);

    assert(fd >= 0);
    assert(write(fd, data, len) == (ssize_t)len);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    assert(line_reader_open(path, &reader, &(struct err){0}) == 0);
    while (number != 0) {
        struct err err = {0};

        if (line_reader_next(reader, &text, &number, &err) != 0)
            continue;
        assert(number == 0 || number > before);
        before = number;
        arena_reset(arena);
        if (number != 0 && vec_line_parse(text, arena, &line, &err) == 0)
            write_and_read(&line, arena);
    }
    line_reader_close(reader);
    arena_free(arena);
    close(fd);
    return 0;
}
