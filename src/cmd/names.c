/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/names.h"

#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/json_write.h"

enum { NAMES_LEN_MAX = 1 << 30 };

bool path_ends_with(const char *path, const char *end)
{
    size_t len = strlen(path), end_len = strlen(end);

    return len >= end_len && strcmp(path + len - end_len, end) == 0;
}

int64_t names_count(const struct names *names)
{
    return names->document != NULL ? (int64_t)json_count(names->document)
                                   : names->texts.count;
}

const char *names_get(const struct names *names, int64_t i)
{
    return names->document != NULL
               ? json_text(json_at(names->document, (size_t)i))
               : names->texts.texts[i];
}

void names_release(struct names *names)
{
    json_free(names->document);
    npy_texts_release(&names->texts);
    *names = (struct names){0};
}

static int read_json(const char *path, struct names *out, struct err *err)
{
    struct buf text;
    size_t i;
    int rc;

    buf_init(&text, NAMES_LEN_MAX);
    rc = file_read(path, &text, err);
    if (rc == 0)
        rc = json_parse(buf_bytes(&text), &out->document, err);
    buf_release(&text);
    if (rc)
        return rc;
    if (json_type(out->document) != JSON_IS_ARRAY)
        return err_set(err, ERR_INVALID, "'%s' is no array of texts", path);
    for (i = 0; i < json_count(out->document); i++)
        if (json_text(json_at(out->document, i)) == NULL)
            return err_set(err, ERR_INVALID, "'%s': element %zu is no text",
                           path, i);
    return 0;
}

int names_read(const char *path, int64_t wanted, struct names *out,
               struct err *err)
{
    int rc = path_ends_with(path, ".json")
                 ? read_json(path, out, err)
                 : npy_read_texts(path, &out->texts, err);

    if (rc == 0 && names_count(out) != wanted)
        rc = err_set(err, ERR_INVALID, "'%s' has %lld names for %lld vectors",
                     path, (long long)names_count(out), (long long)wanted);
    return rc;
}

static int write_json(const char *path, const char *const *names, int64_t count,
                      struct err *err)
{
    struct json_writer json;
    struct buf text;
    int64_t i;
    int rc;

    buf_init(&text, NAMES_LEN_MAX);
    json_writer_init(&json, &text);
    json_array_begin(&json);
    for (i = 0; i < count; i++)
        json_put_text(&json, names[i]);
    json_array_end(&json);
    buf_add_char(&text, '\n');
    rc = buf_check(&text, err);
    if (rc == 0)
        rc = file_write(path, buf_bytes(&text), err);
    buf_release(&text);
    return rc;
}

int names_write(const char *path, const char *const *names, int64_t count,
                struct err *err)
{
    return path_ends_with(path, ".json")
               ? write_json(path, names, count, err)
               : npy_write_texts(path, names, count, err);
}
