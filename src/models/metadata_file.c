/* SPDX-License-Identifier: Apache-2.0 */
#include "models/metadata_file.h"

#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/json_write.h"

enum { LEN_MAX = 1 << 20, INDENT = 2 };

static const char file_name[] = "metadata.json";

int metadata_file_read(const char *dir, struct json_value **out,
                       struct err *err)
{
    char path[FILE_PATH_MAX];
    struct buf text;
    int rc;

    *out = NULL;
    rc = file_join(dir, file_name, path, err);
    if (rc || !file_exists(path))
        return rc;
    buf_init(&text, LEN_MAX);
    rc = file_read(path, &text, err);
    if (rc == 0)
        rc = json_parse(buf_bytes(&text), out, err);
    if (rc == ERR_INVALID) /* the folder is at fault, not who named it */
        err->code = ERR_UNPROCESSABLE;
    if (rc)
        rc = err_wrap(err, "%s", file_name);
    buf_release(&text);
    return rc;
}

static int check_sum(void *user, const char *key,
                     const struct json_value *value, struct err *err)
{
    const char *dir = user, *want = json_text(value);
    char path[FILE_PATH_MAX], sum[HASH_HEX_LEN + 1];
    int rc;

    if (want == NULL || strlen(want) != HASH_HEX_LEN || strchr(key, '/'))
        return err_set(err, ERR_UNPROCESSABLE,
                       "sha256 of \"%s\" is no checksum of a file in the "
                       "folder",
                       key);
    rc = file_join(dir, key, path, err);
    if (rc == 0)
        rc = hash_file(path, sum, err);
    if (rc == 0 && strcmp(sum, want) != 0)
        rc = err_set(err, ERR_UNPROCESSABLE,
                     "%s has SHA-256 %.12s...; metadata.json says %.12s...",
                     path, sum, want);
    return rc;
}

int metadata_file_check_sums(const char *dir, const struct json_value *document,
                             struct err *err)
{
    if (document == NULL)
        return 0;
    if (json_members(json_find(document, "sha256"), check_sum, (void *)dir,
                     err) != 0)
        return err_wrap(err, "%s", file_name);
    return 0;
}

/* --- writing --- */

/* A value laid out for people: objects by lines, lists of scalars in one. */
struct layout_out {
    struct buf *out;
    int depth;
    bool has_items; /* of the object at hand */
};

static void write_value(const struct json_value *value, int depth,
                        struct buf *out);

static void begin_line(struct buf *out, int depth)
{
    buf_printf(out, "\n%*s", depth * INDENT, "");
}

static void write_key(const char *key, struct buf *out)
{
    struct json_writer json;

    json_writer_init(&json, out);
    json_put_text(&json, key);
    buf_add_text(out, ": ");
}

static int write_member(void *user, const char *key,
                        const struct json_value *value, struct err *err)
{
    struct layout_out *at = user;

    (void)err;
    if (at->has_items)
        buf_add_char(at->out, ',');
    at->has_items = true;
    begin_line(at->out, at->depth);
    write_key(key, at->out);
    write_value(value, at->depth, at->out);
    return 0;
}

static void write_object(const struct json_value *value, int depth,
                         struct buf *out)
{
    struct layout_out at = {out, depth + 1, false};
    struct err ignored = {0};

    buf_add_char(out, '{');
    (void)!json_members(value, write_member, &at, &ignored);
    if (at.has_items)
        begin_line(out, depth);
    buf_add_char(out, '}');
}

static void write_array(const struct json_value *value, int depth,
                        struct buf *out)
{
    size_t i, count = json_count(value);

    buf_add_char(out, '[');
    for (i = 0; i < count; i++) {
        if (i > 0)
            buf_add_text(out, ", ");
        write_value(json_at(value, i), depth, out);
    }
    buf_add_char(out, ']');
}

static void write_scalar(const struct json_value *value, struct buf *out)
{
    struct json_writer json;
    int64_t whole;
    double real;
    bool claim;

    json_writer_init(&json, out);
    if (json_text(value) != NULL)
        json_put_text(&json, json_text(value));
    else if (json_bool(value, &claim))
        json_put_bool(&json, claim);
    else if (json_whole(value, &whole))
        json_put_integer(&json, whole);
    else if (json_number(value, &real))
        json_put_double(&json, real);
    else
        json_put_null(&json);
}

/* Not deeper than json_parse lets a document be. */
static void write_value(const struct json_value *value, int depth,
                        struct buf *out)
{
    if (json_type(value) == JSON_IS_OBJECT)
        write_object(value, depth, out);
    else if (json_type(value) == JSON_IS_ARRAY)
        write_array(value, depth, out);
    else
        write_scalar(value, out);
}

/* A document with one member exchanged. */
struct exchange_out {
    struct layout_out at;
    const char *key;
    const struct json_value *value;
    bool is_done;
};

static int exchange_member(void *user, const char *key,
                           const struct json_value *value, struct err *err)
{
    struct exchange_out *exchange = user;
    bool is_it = strcmp(key, exchange->key) == 0;

    exchange->is_done = exchange->is_done || is_it;
    return write_member(&exchange->at, key, is_it ? exchange->value : value,
                        err);
}

static int write_exchanged(const struct json_value *document, const char *key,
                           const struct json_value *value, struct buf *out,
                           struct err *err)
{
    struct exchange_out exchange = {{out, 1, false}, key, value, false};
    int rc;

    buf_add_char(out, '{');
    rc = json_members(document, exchange_member, &exchange, err);
    if (rc == 0 && !exchange.is_done)
        rc = write_member(&exchange.at, key, value, err);
    buf_add_text(out, "\n}\n");
    return rc ? rc : buf_check(out, err);
}

int metadata_file_set(const char *dir, const char *key, struct bytes value,
                      struct err *err)
{
    struct json_value *document = NULL, *parsed = NULL;
    char path[FILE_PATH_MAX];
    struct buf text;
    int rc;

    buf_init(&text, LEN_MAX);
    rc = file_join(dir, file_name, path, err);
    if (rc == 0)
        rc = metadata_file_read(dir, &document, err);
    if (rc == 0)
        rc = json_parse(value, &parsed, err);
    if (rc == 0 && document != NULL && json_type(document) != JSON_IS_OBJECT)
        rc = err_set(err, ERR_UNPROCESSABLE, "%s is no JSON object", path);
    if (rc == 0)
        rc = write_exchanged(document, key, parsed, &text, err);
    if (rc == 0)
        rc = file_write(path, buf_bytes(&text), err);
    json_free(parsed);
    json_free(document);
    buf_release(&text);
    return rc;
}
