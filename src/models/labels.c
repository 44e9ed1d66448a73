/* SPDX-License-Identifier: Apache-2.0 */
#include "models/labels.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/url.h"

enum { FILE_LEN_MAX = 64 << 20 };

static int labels_init(struct labels *labels, int count, struct err *err)
{
    labels->names = mem_try((size_t)count, sizeof *labels->names);
    if (labels->names == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for %d labels", count);
    labels->count = count;
    return 0;
}

void labels_release(struct labels *labels)
{
    int i;

    for (i = 0; i < labels->count; i++)
        mem_free(labels->names[i]);
    mem_free(labels->names);
    *labels = (struct labels){0};
}

static int set_name(struct labels *labels, int64_t i, const char *text,
                    size_t len, struct err *err)
{
    if (i < 0 || i >= labels->count)
        return err_set(err, ERR_UNPROCESSABLE,
                       "a label is numbered %lld; the model has classes 0..%d",
                       (long long)i, labels->count - 1);
    if (len == 0 || len > LABEL_LEN_MAX || !url_is_clean_text(text, len))
        return err_set(err, ERR_UNPROCESSABLE,
                       "label %lld has %zu bytes; it must be 1..%d bytes of "
                       "UTF-8",
                       (long long)i, len, LABEL_LEN_MAX);
    if (labels->names[i] != NULL)
        return err_set(err, ERR_UNPROCESSABLE,
                       "two labels are numbered %lld: \"%s\" and \"%.*s\"",
                       (long long)i, labels->names[i], (int)len, text);
    labels->names[i] = mem_try(len + 1, 1);
    if (labels->names[i] == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for labels");
    memcpy(labels->names[i], text, len);
    return 0;
}

static int64_t count_lines(const char *text, size_t len)
{
    int64_t lines = 0;
    size_t i;

    for (i = 0; i < len; i++)
        lines += text[i] == '\n';
    return lines + (len > 0 && text[len - 1] != '\n');
}

static int read_lines(struct labels *labels, const char *text, size_t len,
                      struct err *err)
{
    const char *end = text + len;
    int64_t i, lines = count_lines(text, len);
    int rc = 0;

    if (lines != labels->count)
        return err_set(err, ERR_UNPROCESSABLE,
                       "there are %lld labels; the model has %d classes",
                       (long long)lines, labels->count);
    for (i = 0; rc == 0 && i < lines; i++) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        const char *stop = newline != NULL ? newline : end;
        size_t line_len = (size_t)(stop - text);

        if (line_len > 0 && text[line_len - 1] == '\r')
            line_len--;
        rc = set_name(labels, i, text, line_len, err);
        text = stop + 1;
    }
    return rc;
}

static int set_member(void *user, const char *key,
                      const struct json_value *value, struct err *err)
{
    int64_t i;

    if (!json_whole(value, &i))
        return err_set(err, ERR_UNPROCESSABLE,
                       "class \"%s\" has no whole number", key);
    return set_name(user, i, key, strlen(key), err);
}

static int read_indices(struct labels *labels, struct bytes text,
                        struct err *err)
{
    struct json_value *document = NULL;
    int rc;

    rc = json_parse(text, &document, err);
    if (rc)
        return rc;
    if (json_type(document) != JSON_IS_OBJECT ||
        json_count(document) != (size_t)labels->count)
        rc = err_set(err, ERR_UNPROCESSABLE,
                     "there are %zu classes; the model has %d",
                     json_count(document), labels->count);
    if (rc == 0)
        rc = json_members(document, set_member, labels, err);
    json_free(document);
    return rc;
}

static int make_up(struct labels *labels)
{
    char name[32];
    int i;

    for (i = 0; i < labels->count; i++) {
        snprintf(name, sizeof name, "class %d", i);
        labels->names[i] = mem_text(name);
    }
    return 0;
}

/* Which file to read: the one that is named, else one that is there; "" for
 * none. */
static int choose_file(const char *dir, const char *file, char *path,
                       struct err *err)
{
    static const char *const usual[] = {"labels.txt", "class_indices.json"};
    size_t i;
    int rc;

    if (file[0] != '\0')
        return file_join(dir, file, path, err);
    for (i = 0; i < 2; i++) {
        rc = file_join(dir, usual[i], path, err);
        if (rc || file_exists(path))
            return rc;
    }
    path[0] = '\0';
    return 0;
}

static int read_file(const char *path, struct labels *labels, struct err *err)
{
    size_t len = strlen(path);
    struct buf text;
    int rc;

    buf_init(&text, FILE_LEN_MAX);
    rc = file_read(path, &text, err);
    if (rc)
        goto out;
    if (len > 5 && strcmp(path + len - 5, ".json") == 0)
        rc = read_indices(labels, buf_bytes(&text), err);
    else
        rc = read_lines(labels, text.data, text.len, err);
    if (rc)
        err_wrap(err, "%s", path);
out:
    buf_release(&text);
    return rc;
}

int labels_read(const char *dir, const char *file, int count,
                struct labels *out, bool *is_made_up, struct err *err)
{
    struct labels labels = {0};
    char path[FILE_PATH_MAX];
    int rc;

    if (count < 1 || count > LABELS_COUNT_MAX)
        return err_set(err, ERR_UNPROCESSABLE,
                       "the model has %d classes; it must have 1..%d", count,
                       LABELS_COUNT_MAX);
    rc = choose_file(dir, file, path, err);
    if (rc == 0)
        rc = labels_init(&labels, count, err);
    if (rc == 0)
        rc = path[0] == '\0' ? make_up(&labels) : read_file(path, &labels, err);
    if (rc) {
        labels_release(&labels);
        return rc;
    }
    *is_made_up = path[0] == '\0';
    *out = labels;
    return 0;
}
