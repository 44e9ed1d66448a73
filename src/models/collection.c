/* SPDX-License-Identifier: Apache-2.0 */
#include "models/collection.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "models/shelf.h"
#include "obs/metrics.h"

struct collection {
    char path[FILE_PATH_MAX];
    char model[2 * METADATA_NAME_MAX]; /* "name version" */
    int dim;

    bool is_foreign; /* a file of FAISS, or .npy */
    struct vecindex_options options;

    pthread_mutex_t mutex; /* guards what follows */
    struct flat *index;    /* NULL until the file is there; then stays */
    struct shelf *shelf;   /* the same for a foreign file */
};

/* The file that is named, else the one that came with the model, else our
 * own. */
static int find_path(const struct config *config, const struct bundle *bundle,
                     const char *path, char *out, struct err *err)
{
    char home[FILE_PATH_MAX];
    int rc;

    if (path[0] != '\0') {
        snprintf(out, FILE_PATH_MAX, "%s", path);
        return 0;
    }
    rc = file_join(bundle->dir, "embeddings.faiss", out, err);
    if (rc || file_exists(out))
        return rc;
    rc = file_join(bundle->dir, "index.olho", out, err);
    if (rc || file_exists(out))
        return rc;
    rc = config_home(config, home, err);
    return rc ? rc : file_join(home, "index.olho", out, err);
}

static struct vecindex_options foreign_options(const struct config *config)
{
    static const enum vecindex_type types[] = {
        [INDEX_AS_FILE] = VECINDEX_ANY,
        [INDEX_FLAT] = VECINDEX_FLAT,
        [INDEX_IVFFLAT] = VECINDEX_IVFFLAT,
        [INDEX_HNSW] = VECINDEX_HNSW,
    };
    static const enum vecindex_metric metrics[] = {
        [INDEX_METRIC_AS_FILE] = VECINDEX_METRIC_ANY,
        [INDEX_METRIC_L2] = VECINDEX_L2,
        [INDEX_METRIC_IP] = VECINDEX_IP,
    };

    return (struct vecindex_options){
        .type = types[config->index_type],
        .metric = metrics[config->index_metric],
        .nprobe = (int)config->nprobe,
        .ef_search = (int)config->ef_search,
        .is_mapped = config->is_index_mapped,
    };
}

int collection_new(const struct config *config, const struct bundle *bundle,
                   const char *path, struct collection **out, struct err *err)
{
    struct collection *collection = mem_new(sizeof *collection);
    int rc;

    rc = find_path(config, bundle, path, collection->path, err);
    if (rc) {
        mem_free(collection);
        return rc;
    }
    collection->is_foreign = shelf_is_path(collection->path);
    collection->options = foreign_options(config);
    snprintf(collection->model, sizeof collection->model, "%s %s",
             bundle->metadata.name, bundle->metadata.version);
    collection->dim = bundle->embedding_len;
    pthread_mutex_init(&collection->mutex, NULL);
    *out = collection;
    return 0;
}

void collection_free(struct collection *collection)
{
    if (collection == NULL)
        return;
    flat_close(collection->index);
    shelf_close(collection->shelf);
    pthread_mutex_destroy(&collection->mutex);
    mem_free(collection);
}

const char *collection_path(const struct collection *collection)
{
    return collection->path;
}

/* Vectors of two networks cannot be compared, even of equal length. */
static int check_model(const struct collection *collection, struct flat *index,
                       struct err *err)
{
    struct flat_info info;

    flat_info(index, &info);
    if (strncmp(info.model, collection->model, sizeof info.model - 1) != 0)
        return err_set(err, ERR_CONFLICT,
                       "index %s was made by model \"%s\", not by \"%s\"",
                       collection->path, info.model, collection->model);
    return 0;
}

static int open_index(struct collection *collection, enum flat_mode mode,
                      struct flat **out, struct err *err)
{
    struct flat *index = NULL;
    int rc;

    rc = flat_open(collection->path, mode, collection->dim, FLAT_L2,
                   collection->model, &index, err);
    if (rc)
        return rc;
    rc = check_model(collection, index, err);
    if (rc) {
        flat_close(index);
        return rc;
    }
    *out = index;
    return 0;
}

/* The index, up to date, or NULL in *out when there is no file yet. */
static int get_flat(struct collection *collection, struct flat **out,
                    struct err *err)
{
    struct err open_err = {0};
    struct flat_info info;
    int rc = 0;

    *out = NULL;
    if (collection->dim == 0)
        return 0;
    pthread_mutex_lock(&collection->mutex);
    if (collection->index == NULL)
        rc = open_index(collection, FLAT_READ, &collection->index, &open_err);
    *out = collection->index;
    pthread_mutex_unlock(&collection->mutex);
    /* Absent, or its first writer has not finished the header. */
    if (rc == ERR_NOT_FOUND)
        return 0;
    if (rc)
        *err = open_err;
    if (rc || *out == NULL)
        return rc;
    rc = flat_refresh(*out, err);
    flat_info(*out, &info);
    metrics_set(METRIC_INDEX_ITEMS, NULL, NULL, (double)info.count);
    return rc;
}

/* The foreign index, or NULL in *out when there is no file yet. */
static int get_shelf(struct collection *collection, struct shelf **out,
                     struct err *err)
{
    int rc = 0;

    *out = NULL;
    if (collection->dim == 0)
        return 0;
    pthread_mutex_lock(&collection->mutex);
    if (collection->shelf == NULL && file_exists(collection->path))
        rc = shelf_open(collection->path, &collection->options, collection->dim,
                        &collection->shelf, err);
    *out = collection->shelf;
    pthread_mutex_unlock(&collection->mutex);
    return rc;
}

static int foreign_info(struct collection *collection,
                        struct collection_info *out, struct err *err)
{
    struct vecindex_info index;
    struct shelf *shelf = NULL;
    int rc;

    rc = get_shelf(collection, &shelf, err);
    if (rc || shelf == NULL)
        return rc;
    shelf_info(shelf, &index);
    *out = (struct collection_info){
        .is_open = true,
        .type = index.type_name,
        .metric = index.metric_name,
        .count = index.count,
        .dim = index.dim,
        .is_exact = index.is_exact,
        .file_len = index.memory_len + index.mapped_len,
        .kernels = index.kernels,
    };
    metrics_set(METRIC_INDEX_ITEMS, NULL, NULL, (double)index.count);
    return 0;
}

int collection_info(struct collection *collection, struct collection_info *out,
                    struct err *err)
{
    struct collection_info info = {.type = "Flat",
                                   .metric = "L2",
                                   .kernels = "",
                                   .dim = collection->dim,
                                   .is_exact = true};
    struct flat *index = NULL;
    struct flat_info flat;
    int rc;

    if (collection->is_foreign) {
        rc = foreign_info(collection, &info, err);
        if (rc == 0)
            *out = info;
        return rc;
    }
    rc = get_flat(collection, &index, err);
    if (rc)
        return rc;
    if (index != NULL) {
        flat_info(index, &flat);
        info.is_open = true;
        info.metric = flat_metric_name(flat.metric);
        info.count = flat.count;
        info.dim = flat.dim;
        info.file_len = flat.file_len;
        info.torn_len = flat.torn_len;
        info.kernels = flat.kernels;
        snprintf(info.model, sizeof info.model, "%s", flat.model);
    }
    *out = info;
    return 0;
}

static struct neighbour neighbour_of(const struct flat_hit *hit,
                                     enum flat_metric metric)
{
    return (struct neighbour){
        .id = hit->entry.id,
        .path = hit->entry.path,
        .label = hit->entry.label,
        .sha256 = hit->entry.sha256,
        /* FAISS counts the squares, and thresholds in use were set on them. */
        .distance =
            metric == FLAT_L2 ? hit->distance * hit->distance : hit->distance,
    };
}

static int search_foreign(struct collection *collection, const float *query,
                          int len, int k, struct arena *arena,
                          struct neighbours *out, struct err *err)
{
    struct shelf *shelf = NULL;
    int rc;

    rc = get_shelf(collection, &shelf, err);
    if (rc || shelf == NULL)
        return rc;
    return shelf_search(shelf, query, len, k, arena, out, err);
}

static int search_own(struct collection *collection, const float *query,
                      int len, int k, struct arena *arena,
                      struct neighbours *out, struct err *err)
{
    struct neighbour *found = NULL;
    struct flat_hit *hits = NULL;
    struct flat *index = NULL;
    struct flat_info info;
    int i, count = 0, rc;

    rc = get_flat(collection, &index, err);
    if (rc || index == NULL)
        return rc;
    hits = arena_try(arena, (size_t)k, sizeof *hits);
    found = arena_try(arena, (size_t)k, sizeof *found);
    if (hits == NULL || found == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for %d neighbours", k);
    rc = flat_search(index, query, len, k, NULL, hits, &count, err);
    if (rc)
        return rc;
    flat_info(index, &info);
    for (i = 0; i < count; i++)
        found[i] = neighbour_of(&hits[i], info.metric);
    *out = (struct neighbours){found, count, true};
    return 0;
}

int collection_search(struct collection *collection, const float *query,
                      int len, int k, struct arena *arena,
                      struct neighbours *out, struct err *err)
{
    struct neighbours found = {.is_exact = true};
    int rc;

    rc = collection->is_foreign
             ? search_foreign(collection, query, len, k, arena, &found, err)
             : search_own(collection, query, len, k, arena, &found, err);
    if (rc == 0)
        *out = found;
    return rc;
}

/* The folder above the file, made when absent. */
static int make_folder(const char *path, struct err *err)
{
    char dir[FILE_PATH_MAX];
    char *slash;

    snprintf(dir, sizeof dir, "%s", path);
    slash = strrchr(dir, '/');
    if (slash == NULL || slash == dir)
        return 0;
    *slash = '\0';
    return file_make_dir(dir, err);
}

int collection_open_for_writing(struct collection *collection,
                                struct flat **out, struct err *err)
{
    int rc;

    if (collection->dim == 0)
        return err_set(err, ERR_UNPROCESSABLE,
                       "model \"%s\" gives no embedding, so that nothing can "
                       "be indexed",
                       collection->model);
    if (collection->is_foreign)
        return err_set(
            err, ERR_UNSUPPORTED,
            "%s is a file of FAISS, which is only read; name another "
            "index with --index, or `olho index import` it",
            collection->path);
    rc = make_folder(collection->path, err);
    return rc ? rc : open_index(collection, FLAT_WRITE, out, err);
}
