/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/vec_lines.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "cmd/names.h"

enum { PIECE_LEN = 1 << 18 };

/* --- one line ------------------------------------------------------------- */

struct parse {
    struct arena *arena;
    struct vec_line *line;
    struct vec_tag *tags; /* VEC_TAGS_MAX; NULL before the first */
};

static int no_memory(struct err *err)
{
    return err_set(err, ERR_UNAVAILABLE, "no memory for a line");
}

static int take_vector(struct parse *parse, const struct json_value *list,
                       struct err *err)
{
    size_t i, count = json_count(list);
    float *vector;
    double value;

    if (json_type(list) != JSON_IS_ARRAY || count < 1 || count > VEC_DIM_MAX)
        return err_set(err, ERR_INVALID,
                       "\"vector\" must be an array of 1..%d numbers",
                       VEC_DIM_MAX);
    vector = arena_try(parse->arena, count, sizeof *vector);
    if (vector == NULL)
        return no_memory(err);
    for (i = 0; i < count; i++) {
        if (!json_number(json_at(list, i), &value) || !isfinite((float)value))
            return err_set(err, ERR_INVALID,
                           "vector[%zu] is no finite float32 number", i);
        vector[i] = (float)value;
    }
    parse->line->entry.vector = vector;
    parse->line->dim = (int)count;
    return 0;
}

static int take_text(struct parse *parse, const char *key,
                     const struct json_value *value, const char **out,
                     struct err *err)
{
    const char *text = json_text(value);

    if (text == NULL)
        return err_set(err, ERR_INVALID, "\"%.60s\" must be a text", key);
    *out = arena_text(parse->arena, text, strlen(text));
    return *out != NULL ? 0 : no_memory(err);
}

static int take_tag(struct parse *parse, const char *name,
                    const struct json_value *value, struct err *err)
{
    struct vec_entry *entry = &parse->line->entry;
    struct vec_tag *tag;

    if (parse->tags == NULL) {
        parse->tags = arena_try(parse->arena, VEC_TAGS_MAX, sizeof *tag);
        if (parse->tags == NULL)
            return no_memory(err);
        entry->tags = parse->tags;
    }
    if (entry->tag_count == VEC_TAGS_MAX)
        return err_set(err, ERR_INVALID, "there are more than %d tags",
                       VEC_TAGS_MAX);
    tag = &parse->tags[entry->tag_count++];
    tag->name = arena_text(parse->arena, name, strlen(name));
    return tag->name != NULL ? take_text(parse, name, value, &tag->value, err)
                             : no_memory(err);
}

/* A tag has one value, or several in an array. */
static int take_tags(void *user, const char *name,
                     const struct json_value *value, struct err *err)
{
    size_t i;
    int rc = 0;

    if (json_type(value) != JSON_IS_ARRAY)
        return take_tag(user, name, value, err);
    for (i = 0; rc == 0 && i < json_count(value); i++)
        rc = take_tag(user, name, json_at(value, i), err);
    return rc;
}

static int take_member(void *user, const char *key,
                       const struct json_value *value, struct err *err)
{
    struct parse *parse = user;
    struct vec_entry *entry = &parse->line->entry;

    if (strcmp(key, "vector") == 0)
        return take_vector(parse, value, err);
    if (json_type(value) == JSON_IS_NULL)
        return 0;
    if (strcmp(key, "key") == 0)
        return take_text(parse, key, value, &entry->key, err);
    if (strcmp(key, "path") == 0)
        return take_text(parse, key, value, &entry->path, err);
    if (strcmp(key, "id") == 0) {
        if (json_whole(value, &entry->id) && entry->id >= 0)
            return 0;
        return err_set(err, ERR_INVALID,
                       "\"id\" must be a whole number from 0 on");
    }
    if (strcmp(key, "tags") != 0)
        return err_set(err, ERR_INVALID,
                       "there is no member \"%.60s\"; there are id, vector, "
                       "key, path and tags",
                       key);
    if (json_type(value) != JSON_IS_OBJECT)
        return err_set(err, ERR_INVALID, "\"tags\" must be an object");
    return json_members(value, take_tags, parse, err);
}

int vec_line_parse(struct bytes text, struct arena *arena, struct vec_line *out,
                   struct err *err)
{
    struct vec_line line = {.entry.id = VEC_ID_NEW};
    struct parse parse = {.arena = arena, .line = &line};
    struct json_value *document = NULL;
    int rc;

    rc = json_parse(text, &document, err);
    if (rc)
        return rc;
    if (json_type(document) != JSON_IS_OBJECT)
        rc = err_set(err, ERR_INVALID, "it is no JSON object");
    else
        rc = json_members(document, take_member, &parse, err);
    if (rc == 0 && line.dim == 0)
        rc = err_set(err, ERR_INVALID, "it has no \"vector\"");
    json_free(document);
    if (rc == 0)
        *out = line;
    return rc;
}

/* Values of one name stand together, wherever they stood. */
void vec_tags_write(struct json_writer *json, const struct vec_hit *entry)
{
    int i, j;

    json_object_begin(json);
    for (i = 0; i < entry->tag_count; i++) {
        const char *name = entry->tags[i].name;
        int first, count = 0;

        for (first = 0; strcmp(entry->tags[first].name, name) != 0;)
            first++;
        if (first < i)
            continue;
        for (j = i; j < entry->tag_count; j++)
            count += strcmp(entry->tags[j].name, name) == 0;
        json_key(json, name);
        if (count > 1)
            json_array_begin(json);
        for (j = i; j < entry->tag_count; j++)
            if (strcmp(entry->tags[j].name, name) == 0)
                json_put_text(json, entry->tags[j].value);
        if (count > 1)
            json_array_end(json);
    }
    json_object_end(json);
}

void vec_line_write(const struct vec_hit *entry, const float *vector, int dim,
                    struct buf *out)
{
    struct json_writer json;

    json_writer_init(&json, out);
    json_object_begin(&json);
    json_key(&json, "id");
    json_put_integer(&json, entry->id);
    if (entry->key[0] != '\0') {
        json_key(&json, "key");
        json_put_text(&json, entry->key);
    }
    if (entry->path[0] != '\0') {
        json_key(&json, "path");
        json_put_text(&json, entry->path);
    }
    if (entry->tag_count > 0) {
        json_key(&json, "tags");
        vec_tags_write(&json, entry);
    }
    json_key(&json, "vector");
    json_put_floats(&json, vector, (size_t)dim);
    json_object_end(&json);
    buf_add_char(out, '\n');
}

bool path_is_lines(const char *path)
{
    return strcmp(path, "-") == 0 || path_ends_with(path, ".jsonl") ||
           path_ends_with(path, ".ndjson") || path_ends_with(path, ".json");
}

/* --- many lines ----------------------------------------------------------- */

struct line_reader {
    const char *path; /* borrowed, for errors */
    int fd;
    int64_t number, done_len, total_len;
    bool is_at_end;
    struct buf line;
    size_t piece_at, piece_len; /* of piece, not yet taken */
    char piece[PIECE_LEN];
};

int line_reader_open(const char *path, struct line_reader **out,
                     struct err *err)
{
    bool is_stdin = strcmp(path, "-") == 0;
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    struct line_reader *reader;
    struct stat st = {0};

    if (fd < 0)
        return err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO,
                       "'%s' cannot be opened: %s", path, strerror(errno));
    reader = mem_new(sizeof *reader);
    reader->path = is_stdin ? "standard input" : path;
    reader->fd = fd;
    buf_init(&reader->line, VEC_LINE_LEN_MAX);
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        reader->total_len = st.st_size;
    *out = reader;
    return 0;
}

void line_reader_close(struct line_reader *reader)
{
    if (reader == NULL)
        return;
    if (reader->fd != STDIN_FILENO)
        close(reader->fd);
    buf_release(&reader->line);
    mem_free(reader);
}

static int fill(struct line_reader *reader, struct err *err)
{
    ssize_t n;

    do
        n = read(reader->fd, reader->piece, PIECE_LEN);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_set(err, ERR_IO, "%s cannot be read: %s", reader->path,
                       strerror(errno));
    reader->piece_at = 0;
    reader->piece_len = (size_t)n;
    reader->is_at_end = n == 0;
    reader->done_len += n;
    return 0;
}

/* One line into reader->line, whose failure says that it was too long. */
static int read_line(struct line_reader *reader, struct err *err)
{
    bool is_whole = false;
    int rc = 0;

    buf_clear(&reader->line);
    reader->number++;
    while (!is_whole && !reader->is_at_end) {
        const char *begin = reader->piece + reader->piece_at, *end;
        size_t len;

        if (reader->piece_len == 0) {
            rc = fill(reader, err);
            if (rc)
                return rc;
            continue;
        }
        end = memchr(begin, '\n', reader->piece_len);
        is_whole = end != NULL;
        len = is_whole ? (size_t)(end - begin) : reader->piece_len;
        buf_add(&reader->line, begin, len);
        len += is_whole;
        reader->piece_at += len;
        reader->piece_len -= len;
    }
    return 0;
}

static bool is_blank(const struct buf *line)
{
    size_t i;

    for (i = 0; i < line->len; i++)
        if (strchr(" \t\r", line->data[i]) == NULL || line->data[i] == '\0')
            return false;
    return !line->is_full && !line->is_broken;
}

int line_reader_next(struct line_reader *reader, struct bytes *out,
                     int64_t *out_number, struct err *err)
{
    int rc;

    do {
        *out_number = 0;
        if (reader->is_at_end)
            return 0;
        rc = read_line(reader, err);
        if (rc)
            return rc;
        *out_number = reader->number;
        rc = buf_check(&reader->line, err);
        if (rc)
            return rc;
    } while (is_blank(&reader->line));
    *out = buf_bytes(&reader->line);
    return 0;
}

void line_reader_place(const struct line_reader *reader, int64_t *out_done,
                       int64_t *out_total)
{
    *out_done = reader->done_len - (int64_t)reader->piece_len;
    *out_total = reader->total_len;
}
