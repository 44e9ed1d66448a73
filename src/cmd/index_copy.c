/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors and the names of their items between the collection and files of
 * FAISS, numpy and JSON. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "cmd/command.h"
#include "cmd/session.h"
#include "cmd/terminal.h"
#include "vectors/npy.h"
#include "vectors/vecindex.h"

enum { NAMES_LEN_MAX = 1 << 30, COMMIT_MAX = 1000 };

static bool ends_with(const char *path, const char *end)
{
    size_t len = strlen(path), end_len = strlen(end);

    return len >= end_len && strcmp(path + len - end_len, end) == 0;
}

/* --- names ---------------------------------------------------------------- */

/* Names of items by number, from .npy or from a JSON array of texts. */
struct names {
    struct npy_texts texts;
    struct json_value *document; /* owned; NULL: texts */
};

static int64_t names_count(const struct names *names)
{
    return names->document != NULL ? (int64_t)json_count(names->document)
                                   : names->texts.count;
}

static const char *names_get(const struct names *names, int64_t i)
{
    return names->document != NULL
               ? json_text(json_at(names->document, (size_t)i))
               : names->texts.texts[i];
}

static void names_release(struct names *names)
{
    json_free(names->document);
    npy_texts_release(&names->texts);
}

static int read_json_names(const char *path, struct names *out, struct err *err)
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

static int read_names(const char *path, int64_t wanted, struct names *out,
                      struct err *err)
{
    int rc = ends_with(path, ".json") ? read_json_names(path, out, err)
                                      : npy_read_texts(path, &out->texts, err);

    if (rc == 0 && names_count(out) != wanted)
        rc = err_set(err, ERR_INVALID, "'%s' has %lld names for %lld vectors",
                     path, (long long)names_count(out), (long long)wanted);
    return rc;
}

static int write_json_names(const char *path, const char *const *names,
                            int64_t count, struct err *err)
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

/* --- import --------------------------------------------------------------- */

/* The label of an item is the name of its folder, as where the trainer put
 * it: "coins/50c/img1.jpg" is of "50c". */
static void folder_of(const char *name, char out[FLAT_LABEL_MAX + 1])
{
    const char *end = strrchr(name, '/'), *begin = end;

    out[0] = '\0';
    if (end == NULL)
        return;
    while (begin > name && begin[-1] != '/')
        begin--;
    if (end - begin <= FLAT_LABEL_MAX)
        snprintf(out, FLAT_LABEL_MAX + 1, "%.*s", (int)(end - begin), begin);
}

static int import_row(struct vecindex *from, struct flat *to, int64_t place,
                      const struct names *names, float *row, struct err *err)
{
    int64_t id = vecindex_id(from, place);
    char label[FLAT_LABEL_MAX + 1], number[32];
    const char *name = number;
    int rc = vecindex_row(from, id, row, err);

    if (rc)
        return rc;
    snprintf(number, sizeof number, "%lld", (long long)id);
    if (names_count(names) > 0)
        name = names_get(names, place);
    folder_of(name, label);
    return flat_add(to, row, name[0] == '\0' ? number : name, "", label, NULL,
                    err);
}

static int import_rows(struct vecindex *from, struct flat *to,
                       const struct names *names, struct err *err)
{
    int64_t begin_us = clock_us(), i;
    struct vecindex_info info;
    float *row;
    int rc = 0;

    vecindex_info(from, &info);
    row = mem_try((size_t)info.dim, sizeof *row);
    if (row == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for a row");
    for (i = 0; rc == 0 && i < info.count; i++) {
        if (i % COMMIT_MAX == 0)
            rc = flat_begin(to, err);
        if (rc == 0)
            rc = import_row(from, to, i, names, row, err);
        if (rc == 0 &&
            (i % COMMIT_MAX == COMMIT_MAX - 1 || i == info.count - 1)) {
            rc = flat_commit(to, err);
            terminal_progress("vectors", i + 1, info.count, begin_us);
        }
    }
    terminal_progress_end();
    mem_free(row);
    return rc;
}

/* Rows in the order of their ids, which names are told by; so lists are taken
 * apart first. */
static int open_source(const char *path, struct vecindex **out, struct err *err)
{
    const struct vecindex_options options = {.type = VECINDEX_FLAT};

    return vecindex_open(path, &options, out, err);
}

int command_index_import(struct arguments *arguments, struct err *err)
{
    const char *labels = arguments_flag(arguments, "labels");
    struct model_version *version = NULL;
    struct vecindex *from = NULL;
    struct flat *to = NULL;
    struct app app = {0};
    struct names names = {0};
    struct vecindex_info info;
    struct flat_info own;
    int rc = open_source(arguments->words[0], &from, err);

    if (rc)
        goto out;
    vecindex_info(from, &info);
    if (labels != NULL)
        rc = read_names(labels, info.count, &names, err);
    if (rc == 0)
        rc = session_open(&arguments->config, &app, err);
    if (rc)
        goto out;
    version = registry_acquire(app.registry, 0);
    rc = collection_open_for_writing(version->collection, &to, err);
    if (rc)
        goto out;
    flat_info(to, &own);
    if (own.dim != info.dim)
        rc = err_set(err, ERR_CONFLICT,
                     "'%s' has vectors of %d values; the index has %d",
                     arguments->words[0], info.dim, own.dim);
    else
        rc = import_rows(from, to, &names, err);
    flat_info(to, &own);
    if (rc == 0)
        printf("%lld added; %lld in %s\n", (long long)info.count,
               (long long)own.count, collection_path(version->collection));
out:
    flat_close(to);
    model_version_release(version);
    session_close(&app);
    names_release(&names);
    vecindex_free(from);
    return rc ? EXIT_FAILED : EXIT_FINE;
}

/* --- export --------------------------------------------------------------- */

/* All of a collection in memory. */
struct copy {
    float *rows;        /* owned */
    const char **names; /* owned; the texts are the collection's */
    int64_t count;
    int dim;
    enum flat_metric metric;
};

static void copy_release(struct copy *copy)
{
    mem_free(copy->rows);
    mem_free(copy->names);
}

static int copy_read(struct flat *index, struct copy *out, struct err *err)
{
    struct flat_entry entry;
    struct flat_info info;
    const float *row = NULL;
    int64_t i;
    int rc = 0;

    flat_info(index, &info);
    out->count = info.count;
    out->dim = info.dim;
    out->metric = info.metric;
    out->rows = mem_try_aligned((size_t)info.count * (size_t)info.dim,
                                sizeof *out->rows);
    out->names = mem_try((size_t)info.count, sizeof *out->names);
    if (out->rows == NULL || out->names == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for %lld vectors",
                       (long long)info.count);
    for (i = 0; rc == 0 && i < info.count; i++) {
        rc = flat_get(index, i, &row, &entry, err);
        if (rc)
            break;
        memcpy(out->rows + i * info.dim, row, (size_t)info.dim * sizeof *row);
        out->names[i] = entry.path;
    }
    return rc;
}

static int write_vectors(const struct arguments *arguments,
                         const struct copy *copy, struct err *err)
{
    static const enum vecindex_metric metrics[] = {
        [FLAT_L2] = VECINDEX_L2,
        [FLAT_IP] = VECINDEX_IP,
        [FLAT_COSINE] = VECINDEX_COSINE,
    };
    const char *type = arguments_flag(arguments, "type");
    const char *path = arguments->words[0];
    struct vecindex_options options = {.type = VECINDEX_FLAT,
                                       .metric = metrics[copy->metric]};
    struct vecindex *index = NULL;
    int rc = 0;

    if (ends_with(path, ".npy"))
        return npy_write_matrix(path, copy->rows, copy->count, copy->dim, err);
    if (type != NULL)
        rc = vecindex_type_parse(type, &options.type, err);
    if (rc == 0)
        rc = vecindex_build(copy->rows, NULL, copy->count, copy->dim, &options,
                            &index, err);
    if (rc == 0)
        rc = vecindex_save_faiss(index, path, err);
    vecindex_free(index);
    return rc;
}

static int export_all(const struct arguments *arguments, struct flat *index,
                      struct err *err)
{
    const char *labels = arguments_flag(arguments, "labels");
    struct copy copy = {0};
    int rc = copy_read(index, &copy, err);

    if (rc == 0)
        rc = write_vectors(arguments, &copy, err);
    if (rc == 0 && labels != NULL)
        rc = ends_with(labels, ".json")
                 ? write_json_names(labels, copy.names, copy.count, err)
                 : npy_write_texts(labels, copy.names, copy.count, err);
    if (rc == 0)
        printf("%lld vectors of %d values in %s\n", (long long)copy.count,
               copy.dim, arguments->words[0]);
    copy_release(&copy);
    return rc;
}

int command_index_export(struct arguments *arguments, struct err *err)
{
    struct model_version *version = NULL;
    struct flat *index = NULL;
    struct app app = {0};
    int rc = session_open(&arguments->config, &app, err);

    if (rc)
        goto out;
    version = registry_acquire(app.registry, 0);
    rc = flat_open(collection_path(version->collection), FLAT_READ, 0, FLAT_L2,
                   NULL, &index, err);
    if (rc == 0)
        rc = export_all(arguments, index, err);
out:
    flat_close(index);
    model_version_release(version);
    session_close(&app);
    return rc ? EXIT_FAILED : EXIT_FINE;
}
