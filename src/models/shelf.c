/* SPDX-License-Identifier: Apache-2.0 */
#include "models/shelf.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "vectors/npy.h"

struct shelf {
    struct vecindex *index;
    struct npy_texts labels; /* by id; count 0: none */
};

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);

    return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

bool shelf_is_path(const char *path)
{
    return ends_with(path, ".faiss") || ends_with(path, ".index") ||
           ends_with(path, ".npy");
}

int shelf_label_paths(const char *path,
                      char out[SHELF_LABEL_PATHS][FILE_PATH_MAX])
{
    static const char begin[] = "index_original_";
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    int folder_len = (int)(name - path), count = 0;

    if (strncmp(name, begin, sizeof begin - 1) == 0 &&
        ends_with(name, ".faiss")) {
        const char *time = name + sizeof begin - 1;

        snprintf(out[count++], FILE_PATH_MAX, "%.*slabels_original_%.*s.npy",
                 folder_len, path, (int)(strlen(time) - strlen(".faiss")),
                 time);
    }
    snprintf(out[count++], FILE_PATH_MAX, "%.*slabels.npy", folder_len, path);
    return count;
}

/* Where the labels of an index are; "" when there are none. */
static void find_labels(const char *path, char *out)
{
    char paths[SHELF_LABEL_PATHS][FILE_PATH_MAX];
    int i, count = shelf_label_paths(path, paths);

    out[0] = '\0';
    for (i = 0; i < count && out[0] == '\0'; i++)
        if (file_exists(paths[i]))
            memcpy(out, paths[i], FILE_PATH_MAX);
}

static int read_labels(struct shelf *shelf, const char *path, struct err *err)
{
    struct vecindex_info info;
    char labels[FILE_PATH_MAX];
    int rc;

    find_labels(path, labels);
    if (labels[0] == '\0')
        return 0;
    rc = npy_read_texts(labels, &shelf->labels, err);
    if (rc)
        return rc;
    vecindex_info(shelf->index, &info);
    if (shelf->labels.count != info.count)
        return err_set(err, ERR_UNPROCESSABLE,
                       "%s has %lld labels; %s has %lld vectors", labels,
                       (long long)shelf->labels.count, path,
                       (long long)info.count);
    return 0;
}

int shelf_open(const char *path, const struct vecindex_options *options,
               int dim, struct shelf **out, struct err *err)
{
    struct shelf *shelf = mem_new(sizeof *shelf);
    struct vecindex_info info;
    int rc;

    rc = vecindex_open(path, options, &shelf->index, err);
    if (rc == 0) {
        vecindex_info(shelf->index, &info);
        if (info.dim != dim)
            rc = err_set(err, ERR_CONFLICT,
                         "the vectors of %s have %d values; the model's "
                         "embedding has %d",
                         path, info.dim, dim);
    }
    if (rc == 0)
        rc = read_labels(shelf, path, err);
    if (rc) {
        shelf_close(shelf);
        return rc;
    }
    *out = shelf;
    return 0;
}

void shelf_close(struct shelf *shelf)
{
    if (shelf == NULL)
        return;
    vecindex_free(shelf->index);
    npy_texts_release(&shelf->labels);
    mem_free(shelf);
}

void shelf_info(const struct shelf *shelf, struct vecindex_info *out)
{
    vecindex_info(shelf->index, out);
}

static const char *path_of(const struct shelf *shelf, int64_t id,
                           struct arena *arena)
{
    if (id >= 0 && id < shelf->labels.count)
        return shelf->labels.texts[id];
    return arena_printf(arena, "#%lld", (long long)id);
}

int shelf_search(const struct shelf *shelf, const float *query, int len, int k,
                 struct arena *arena, struct neighbours *out, struct err *err)
{
    struct vecindex_query wanted = {.vector = query, .dim = len, .k = k};
    struct vecindex_hit *hits = arena_try(arena, (size_t)k, sizeof *hits);
    struct neighbour *found = arena_try(arena, (size_t)k, sizeof *found);
    struct vecindex_info info;
    bool is_exact = true;
    int i, count = 0, rc;

    if (hits == NULL || found == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for %d neighbours", k);
    rc = vecindex_search(shelf->index, &wanted, hits, &count, &is_exact, err);
    if (rc)
        return rc;
    vecindex_info(shelf->index, &info);
    for (i = 0; i < count; i++) {
        found[i] = (struct neighbour){
            .id = hits[i].id,
            .path = path_of(shelf, hits[i].id, arena),
            .label = "",
            .key = "",
            .distance = info.metric == VECINDEX_L2 ? hits[i].distance
                                                   : 1 - hits[i].distance,
        };
        if (found[i].path == NULL)
            return err_set(err, ERR_UNAVAILABLE, "no memory for a path");
    }
    *out = (struct neighbours){found, count, is_exact, info.type_name};
    return 0;
}
