/* SPDX-License-Identifier: Apache-2.0 */
#include "models/collection.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/url.h"
#include "models/last_failure.h"
#include "models/live_set.h"
#include "models/shelf.h"
#include "obs/metrics.h"

enum {
    /* What is known of an index on another machine may be this old. */
    INFO_AGE_MAX_US = 2000000,
};

struct collection {
    char where[FILE_PATH_MAX]; /* a file or a URL, with its password */
    char shown[FILE_PATH_MAX];
    char model[2 * METADATA_NAME_MAX]; /* "name version" */
    int dim;
    bool is_remote; /* a URL */

    bool is_foreign; /* a file of FAISS, or .npy */
    struct vecindex_options foreign_options;
    enum vecindex_type type; /* that ours becomes when it is written */
    int nprobe, ef_search;   /* of a search of ours; 0: the index's own */
    double timeout_s;        /* of a remote one */
    struct live_set *set;    /* owned; ours, as searches use it */

    pthread_mutex_t mutex; /* guards what follows */
    struct shelf *shelf;   /* NULL until the foreign file is there; stays */
    struct last_failure failure; /* to open that */
    struct vec_info known;       /* of a remote one */
    int64_t known_us;            /* when that was learnt */
};

/* The file that is named, else the one that came with the model, else our
 * own. */
static int find_path(const struct config *config, const struct bundle *bundle,
                     const char *path, char *out, struct err *err)
{
    char home[FILE_PATH_MAX];
    int rc;

    if (path[0] == '\0')
        path = config->vectors_url;
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

static const enum vecindex_type types[] = {
    [INDEX_AS_FILE] = VECINDEX_ANY,
    [INDEX_FLAT] = VECINDEX_FLAT,
    [INDEX_IVFFLAT] = VECINDEX_IVFFLAT,
    [INDEX_HNSW] = VECINDEX_HNSW,
};

static struct vecindex_options foreign_options(const struct config *config)
{
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

/* A setting that was left as it is preset leaves an index of ours its own
 * value: 0. */
static int chosen(const char *name, int64_t value, int max)
{
    const struct option *row =
        option_find(config_options, config_option_count, name);

    assert(row != NULL);
    if (value == strtol(row->preset, NULL, 10))
        return 0;
    return value > max ? max : (int)value;
}

/* Vectors of two networks cannot be compared, even of equal length. */
static struct vec_options own_options(const struct collection *collection,
                                      const struct vec_options *options)
{
    struct vec_options own = *options;

    own.dim = collection->dim;
    own.model = collection->model;
    own.timeout_s = collection->timeout_s;
    return own;
}

int collection_new(const struct config *config, const struct bundle *bundle,
                   const char *path, struct collection **out, struct err *err)
{
    struct collection *collection = mem_new(sizeof *collection);
    struct vec_options searching;
    int rc;

    rc = find_path(config, bundle, path, collection->where, err);
    if (rc) {
        mem_free(collection);
        return rc;
    }
    collection->is_remote = strstr(collection->where, "://") != NULL;
    url_show(collection->where, collection->shown, sizeof collection->shown);
    collection->is_foreign =
        !collection->is_remote && shelf_is_path(collection->where);
    collection->foreign_options = foreign_options(config);
    snprintf(collection->model, sizeof collection->model, "%s %s",
             bundle->metadata.name, bundle->metadata.version);
    collection->dim = bundle->embedding_len;
    collection->type = types[config->index_type];
    collection->timeout_s = config->vectors_timeout_s;
    collection->nprobe =
        chosen("FAISS_NPROBE", config->nprobe, VECINDEX_NPROBE_MAX);
    collection->ef_search =
        chosen("HNSW_EF_SEARCH", config->ef_search, VECINDEX_EF_MAX);
    searching = own_options(collection, &(struct vec_options){0});
    collection->set = live_set_new(collection->where, &searching);
    pthread_mutex_init(&collection->mutex, NULL);
    *out = collection;
    return 0;
}

void collection_free(struct collection *collection)
{
    if (collection == NULL)
        return;
    live_set_free(collection->set);
    shelf_close(collection->shelf);
    pthread_mutex_destroy(&collection->mutex);
    mem_free(collection);
}

const char *collection_path(const struct collection *collection)
{
    return collection->shown;
}

bool collection_is_foreign(const struct collection *collection)
{
    return collection->is_foreign;
}

/* --- ours ----------------------------------------------------------------- */

/* The index, up to date, or NULL in *out when there is none yet. */
static int get_store(struct collection *collection, struct live_store **out,
                     struct err *err)
{
    *out = NULL;
    return collection->dim == 0 ? 0
                                : live_set_acquire(collection->set, out, err);
}

static int open_store(const struct collection *collection, enum vec_mode mode,
                      const struct vec_options *options, struct vecstore **out,
                      struct err *err)
{
    struct vec_options own = own_options(collection, options);

    return vecstore_open(collection->where, mode, &own, out, err);
}

/* What there is to say of the index. A search must not wait for another
 * machine's answer to this, so `is_fresh` says who asks: somebody who wants to
 * know how it is now, or a search. */
static int get_info(struct collection *collection, struct vecstore *store,
                    bool is_fresh, struct vec_info *out, struct err *err)
{
    int64_t now_us = clock_us();
    bool is_known;
    int rc;

    pthread_mutex_lock(&collection->mutex);
    is_known = collection->is_remote && collection->known_us != 0 &&
               (!is_fresh || now_us - collection->known_us < INFO_AGE_MAX_US);
    *out = collection->known;
    pthread_mutex_unlock(&collection->mutex);
    if (is_known)
        return 0;
    rc = vecstore_info(store, out, err);
    if (rc)
        return rc;
    metrics_set(METRIC_INDEX_ITEMS, NULL, NULL, (double)out->count);
    pthread_mutex_lock(&collection->mutex);
    collection->known = *out;
    collection->known_us = now_us;
    pthread_mutex_unlock(&collection->mutex);
    return 0;
}

static int own_info(struct collection *collection, struct collection_info *out,
                    struct err *err)
{
    struct live_store *live = NULL;
    struct vec_info info;
    int rc;

    rc = get_store(collection, &live, err);
    if (rc || live == NULL)
        return rc;
    rc = get_info(collection, live->store, true, &info, err);
    live_set_release(collection->set, live);
    if (rc)
        return rc;
    *out = (struct collection_info){
        .is_open = true,
        .type = vecindex_type_name(info.type),
        .metric = vecindex_metric_name(info.metric),
        .count = info.count,
        .dim = info.dim,
        .is_exact = info.is_exact,
        .file_len = info.file_len,
        .torn_len = info.torn_len,
        .kernels = info.kernels,
    };
    snprintf(out->model, sizeof out->model, "%s", info.model);
    return 0;
}

static const char *label_of(const struct vec_hit *hit)
{
    int i;

    for (i = 0; i < hit->tag_count; i++)
        if (strcmp(hit->tags[i].name, "label") == 0)
            return hit->tags[i].value;
    return "";
}

/* FAISS counts the squares, and thresholds in use were set on them. */
static struct neighbour neighbour_of(const struct vec_hit *hit,
                                     enum vecindex_metric metric)
{
    return (struct neighbour){
        .id = hit->id,
        .path = hit->path,
        .label = label_of(hit),
        .key = hit->key,
        .distance = metric == VECINDEX_L2 ? hit->distance : 1 - hit->distance,
    };
}

static int search_own(struct collection *collection, const float *query,
                      int len, int k, struct arena *arena,
                      struct neighbours *out, struct err *err)
{
    struct vec_query wanted = {.vector = query,
                               .dim = len,
                               .k = k,
                               .nprobe = collection->nprobe,
                               .ef_search = collection->ef_search};
    struct neighbour *found = NULL;
    struct live_store *live = NULL;
    struct vec_hits hits;
    struct vec_info info;
    int i, rc;

    rc = get_store(collection, &live, err);
    if (rc || live == NULL)
        return rc;
    rc = get_info(collection, live->store, false, &info, err);
    if (rc == 0)
        rc = vecstore_search(live->store, &wanted, arena, &hits, err);
    live_set_release(collection->set, live);
    if (rc)
        return rc;
    found = arena_try(arena, (size_t)hits.count, sizeof *found);
    if (found == NULL && hits.count > 0)
        return err_set(err, ERR_UNAVAILABLE, "no memory for %d neighbours",
                       hits.count);
    for (i = 0; i < hits.count; i++)
        found[i] = neighbour_of(&hits.list[i], info.metric);
    *out = (struct neighbours){found, hits.count, hits.is_exact,
                               vecindex_type_name(info.type)};
    return 0;
}

/* --- foreign -------------------------------------------------------------- */

/* With the mutex held. Leaves it NULL when there is no file yet. */
static int try_shelf(struct collection *collection, struct err *err)
{
    const struct file_state state = file_state_get(collection->where);
    int rc;

    if (state.inode == 0)
        return 0;
    rc = last_failure_tell(&collection->failure, &state, err);
    if (rc)
        return rc;
    rc = shelf_open(collection->where, &collection->foreign_options,
                    collection->dim, &collection->shelf, err);
    if (rc)
        last_failure_set(&collection->failure, &state, err);
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
    if (collection->shelf == NULL)
        rc = try_shelf(collection, err);
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

/* --- either --------------------------------------------------------------- */

int collection_info(struct collection *collection, struct collection_info *out,
                    struct err *err)
{
    struct collection_info info = {.type = "Flat",
                                   .metric = "L2",
                                   .kernels = "",
                                   .dim = collection->dim,
                                   .is_exact = true};
    int rc = collection->is_foreign ? foreign_info(collection, &info, err)
                                    : own_info(collection, &info, err);

    if (rc == 0)
        *out = info;
    return rc;
}

int collection_search(struct collection *collection, const float *query,
                      int len, int k, struct arena *arena,
                      struct neighbours *out, struct err *err)
{
    struct neighbours found = {.is_exact = true, .type = "Flat"};
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

/* A server's preset is the cosine; a new index of ours counts as FAISS does,
 * wherever it is, so that thresholds mean the same. */
static int choose_metric(const struct collection *collection,
                         enum vecindex_metric *out, struct err *err)
{
    const struct vec_options as_it_is = {0};
    struct vecstore *store = NULL;
    struct err absent = {0};
    int rc = open_store(collection, VEC_READ, &as_it_is, &store, &absent);

    vecstore_close(store);
    if (rc == ERR_NOT_FOUND) {
        *out = VECINDEX_L2;
        return 0;
    }
    if (rc)
        *err = absent;
    return rc;
}

int collection_open_store(struct collection *collection, enum vec_mode mode,
                          const struct vec_options *options,
                          struct vecstore **out, struct err *err)
{
    struct vec_options wanted = *options;
    int rc = 0;

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
            collection->shown);
    if (mode == VEC_WRITE && wanted.type == VECINDEX_ANY)
        wanted.type = collection->type;
    if (mode == VEC_WRITE && !collection->is_remote)
        rc = make_folder(collection->where, err);
    else if (mode == VEC_WRITE && wanted.metric == VECINDEX_METRIC_ANY)
        rc = choose_metric(collection, &wanted.metric, err);
    return rc ? rc : open_store(collection, mode, &wanted, out, err);
}
