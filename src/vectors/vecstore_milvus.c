/* SPDX-License-Identifier: Apache-2.0 */
/* A collection of a Milvus server as a backend of vecstore.h
 * (docs/design/milvus.md).
 *
 * Milvus knows no unique columns. Whether an id or key is there is asked before
 * the write, and writes with ids or keys take turns, so that two threads of a
 * process do not both find it free; other processes are not seen. */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "vectors/milvus_batch.h"
#include "vectors/milvus_expr.h"
#include "vectors/milvus_find.h"
#include "vectors/milvus_state.h"
#include "vectors/milvus_write.h"
#include "vectors/vecstore_backend.h"

enum {
    TIMEOUT_MS = 10000,
    TIMEOUT_MAX_S = 86400,
    EF_SEARCH = 64,
    NPROBE = 10,
    ASK_MAX = 1000, /* ids or keys in one question */
    WIDER = 4,      /* times the breadth, when too few were found */
};

struct milvus_store {
    struct milvus_link link;
    struct vec_options options; /* model is not kept */

    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t changed;
    bool is_writing; /* somebody's turn */
    struct milvus_shape shape;
};

static void shape_of(struct milvus_store *store, struct milvus_shape *out)
{
    pthread_mutex_lock(&store->mutex);
    *out = store->shape;
    pthread_mutex_unlock(&store->mutex);
}

/* The length of vectors is the caller's too and stays what it was at opening:
 * a collection that was made anew with another is not taken. */
static int read_shape(struct milvus_store *store, struct err *err)
{
    struct milvus_shape shape;
    int rc = milvus_shape_read(&store->link, &shape, err), dim;

    if (rc)
        return rc;
    pthread_mutex_lock(&store->mutex);
    dim = store->shape.dim;
    if (dim == 0 || dim == shape.dim)
        store->shape = shape;
    pthread_mutex_unlock(&store->mutex);
    if (dim != 0 && dim != shape.dim)
        return err_set(err, ERR_CONFLICT,
                       "collection '%s' was made anew with vectors of %d "
                       "values; it had %d",
                       store->link.url.collection, shape.dim, dim);
    return 0;
}

static void take_turn(struct milvus_store *store)
{
    pthread_mutex_lock(&store->mutex);
    while (store->is_writing)
        pthread_cond_wait(&store->changed, &store->mutex);
    store->is_writing = true;
    pthread_mutex_unlock(&store->mutex);
}

static void end_turn(struct milvus_store *store)
{
    pthread_mutex_lock(&store->mutex);
    store->is_writing = false;
    pthread_cond_signal(&store->changed);
    pthread_mutex_unlock(&store->mutex);
}

/* --- open ----------------------------------------------------------------- */

static void milvus_close(void *self)
{
    struct milvus_store *store = self;

    if (store == NULL)
        return;
    milvus_link_release(&store->link);
    pthread_cond_destroy(&store->changed);
    pthread_mutex_destroy(&store->mutex);
    mem_free(store);
}

static int make_collection(struct milvus_store *store, struct err *err)
{
    struct milvus_shape shape;
    int rc;

    rc = milvus_shape_create(&store->link, &store->options, err);
    if (rc == 0)
        rc = milvus_shape_read(&store->link, &shape, err);
    if (rc == 0 && !shape.has_index)
        rc = milvus_index_create(&store->link, &shape, &store->options, err);
    return rc ? rc : read_shape(store, err);
}

static const char *name_of(enum vecindex_metric metric)
{
    return metric == VECINDEX_L2   ? "L2"
           : metric == VECINDEX_IP ? "IP"
                                   : "cosine";
}

/* What the caller asked for against what is there. */
static int compare_shape(const struct milvus_store *store, const char *model,
                         struct err *err)
{
    const struct milvus_shape *shape = &store->shape;
    const struct vec_options *options = &store->options;
    const char *name = store->link.url.collection;

    if (options->dim != 0 && options->dim != shape->dim)
        return err_set(err, ERR_CONFLICT,
                       "collection '%s' has vectors of %d values; %d were "
                       "asked for",
                       name, shape->dim, options->dim);
    if (options->metric != VECINDEX_METRIC_ANY && shape->has_index &&
        options->metric != shape->metric)
        return err_set(err, ERR_CONFLICT,
                       "collection '%s' has the metric %s; %s was asked for",
                       name, name_of(shape->metric), name_of(options->metric));
    if (model != NULL && model[0] != '\0' && shape->model[0] != '\0' &&
        strcmp(model, shape->model) != 0)
        return err_set(err, ERR_CONFLICT,
                       "collection '%s' has vectors of the model '%s'; '%s' "
                       "was asked for",
                       name, shape->model, model);
    return 0;
}

static int find_collection(struct milvus_store *store, enum vec_mode mode,
                           struct err *err)
{
    int rc = read_shape(store, err);

    if (rc != ERR_NOT_FOUND || mode != VEC_WRITE || store->options.dim == 0)
        return rc;
    *err = (struct err){.code = ERR_OK};
    return make_collection(store, err);
}

int vecstore_milvus_open(const char *url, enum vec_mode mode,
                         const struct vec_options *options, void **out_self,
                         int *out_dim, enum vecindex_metric *out_metric,
                         struct err *err)
{
    double timeout_s = options->timeout_s;
    struct milvus_store *store;
    struct milvus_url parsed;
    int rc;

    rc = milvus_url_parse(url, &parsed, err);
    if (rc)
        return rc;
    if (!(timeout_s >= 0 && timeout_s <= TIMEOUT_MAX_S))
        return err_set(err, ERR_INVALID, "timeout_s is %g; it must be 0..%d",
                       timeout_s, TIMEOUT_MAX_S);
    store = mem_new(sizeof *store);
    pthread_mutex_init(&store->mutex, NULL);
    pthread_cond_init(&store->changed, NULL);
    store->options = *options;
    rc = milvus_link_init(
        &store->link, &parsed,
        timeout_s > 0 ? (int)(timeout_s * 1000) + 1 : TIMEOUT_MS, err);
    if (rc == 0)
        rc = find_collection(store, mode, err);
    if (rc == 0)
        rc = compare_shape(store, options->model, err);
    /* What was written before it is opened is seen. */
    if (rc == 0)
        rc = milvus_link_sync(&store->link, err);
    if (rc) {
        milvus_close(store);
        return rc;
    }
    store->options.model = NULL;
    if (store->options.metric == VECINDEX_METRIC_ANY)
        store->options.metric =
            store->shape.has_index ? store->shape.metric : VECINDEX_COSINE;
    *out_self = store;
    *out_dim = store->shape.dim;
    *out_metric = store->options.metric;
    return 0;
}

/* --- write ---------------------------------------------------------------- */

static int milvus_store_write(void *self, const struct vec_entry *entries,
                              int count, bool is_upsert, int64_t *out_ids,
                              struct err *err)
{
    struct milvus_store *store = self;
    struct milvus_shape shape;
    struct milvus_batch batch;
    int rc;

    shape_of(store, &shape);
    rc = milvus_batch_init(&batch, &store->link, &shape, entries, count,
                           is_upsert, err);
    if (rc)
        return rc;
    if (batch.needs_turn)
        take_turn(store);
    rc = milvus_batch_run(&batch, err);
    if (batch.needs_turn)
        end_turn(store);
    if (rc == 0 && out_ids != NULL)
        memcpy(out_ids, batch.ids, (size_t)count * sizeof *out_ids);
    milvus_batch_release(&batch);
    return rc;
}

/* --- remove --------------------------------------------------------------- */

/* Removes the rows that are there of those that the expression finds; at most
 * `max` at once, until there is none. */
static int remove_found(struct milvus_store *store,
                        const struct milvus_shape *shape, const char *expr,
                        int max, int64_t *removed, struct err *err)
{
    int64_t *ids = mem_try((size_t)max, sizeof *ids);
    struct buf after;
    int count = 0, rc = 0;

    if (ids == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for %d ids", max);
    buf_init(&after, MILVUS_EXPR_MAX);
    buf_add_text(&after, expr);
    do {
        rc = buf_check(&after, err);
        if (rc == 0)
            rc = milvus_query_ids(&store->link, shape, after.data, max, ids,
                                  &count, err);
        if (rc == 0 && count > 0)
            rc = milvus_delete(&store->link, shape, ids, count, err);
        if (rc)
            break;
        *removed += count;
        buf_clear(&after);
        if (count > 0)
            buf_printf(&after, "(%s) and %s > %" PRId64, expr, shape->id,
                       ids[count - 1]);
    } while (count == max);
    buf_release(&after);
    mem_free(ids);
    return rc;
}

static int milvus_remove(void *self, const int64_t *ids,
                         const char *const *keys, int count,
                         int64_t *out_removed, struct err *err)
{
    struct milvus_store *store = self;
    struct milvus_shape shape;
    int64_t removed = 0;
    struct buf expr;
    int i, part, rc = 0;

    shape_of(store, &shape);
    if (keys != NULL && shape.key.name[0] == '\0')
        count = 0;
    buf_init(&expr, MILVUS_EXPR_MAX);
    take_turn(store);
    for (i = 0; rc == 0 && i < count; i += part) {
        part = count - i < ASK_MAX ? count - i : ASK_MAX;
        if (keys != NULL)
            milvus_expr_keys(&shape, keys + i, part, &expr);
        else
            milvus_expr_ids(&shape, ids + i, part, &expr);
        rc = buf_check(&expr, err);
        if (rc == 0)
            rc = remove_found(store, &shape, expr.data, ASK_MAX, &removed, err);
    }
    end_turn(store);
    buf_release(&expr);
    if (rc && removed > 0)
        return err_wrap(err, "%" PRId64 " entries are removed", removed);
    if (rc == 0 && out_removed != NULL)
        *out_removed = removed;
    return rc;
}

static int milvus_remove_matching(void *self, const struct vec_filter *filter,
                                  int64_t *out_removed, struct err *err)
{
    struct milvus_store *store = self;
    struct milvus_shape shape;
    int64_t removed = 0;
    struct buf expr;
    int rc;

    shape_of(store, &shape);
    buf_init(&expr, MILVUS_EXPR_MAX);
    rc = milvus_expr_filter(&shape, filter, &expr, err);
    if (rc == 0) {
        take_turn(store);
        rc = remove_found(store, &shape, expr.data, MILVUS_QUERY_MAX, &removed,
                          err);
        end_turn(store);
    }
    buf_release(&expr);
    if (rc && removed > 0)
        return err_wrap(err, "%" PRId64 " entries are removed", removed);
    if (rc == 0 && out_removed != NULL)
        *out_removed = removed;
    return rc;
}

/* --- search --------------------------------------------------------------- */

static int breadth_of(const struct milvus_store *store,
                      const struct milvus_shape *shape,
                      const struct vec_query *query)
{
    if (shape->type == VECINDEX_IVFFLAT)
        return query->is_exact             ? VECINDEX_NLIST_MAX
               : query->nprobe > 0         ? query->nprobe
               : store->options.nprobe > 0 ? store->options.nprobe
                                           : NPROBE;
    return query->is_exact                ? MILVUS_EF_MAX
           : query->ef_search > 0         ? query->ef_search
           : store->options.ef_search > 0 ? store->options.ef_search
                                          : EF_SEARCH;
}

/* Milvus may give fewer than k though there are more; then it is asked to look
 * wider. */
static int search_until_full(struct milvus_store *store,
                             const struct milvus_shape *shape, const char *expr,
                             const struct vec_query *query, struct arena *arena,
                             struct vec_hits *out, struct err *err)
{
    int breadth = breadth_of(store, shape, query);
    int breadth_max = shape->type == VECINDEX_IVFFLAT && shape->nlist > 0
                          ? shape->nlist
                          : MILVUS_EF_MAX;
    int64_t count = 0;
    int rc;

    for (;;) {
        if (breadth > breadth_max)
            breadth = breadth_max;
        rc = milvus_search(&store->link, shape, expr, query, breadth, arena,
                           out, err);
        if (rc || out->count == query->k || breadth == breadth_max)
            return rc;
        rc = milvus_count(&store->link, expr, &count, err);
        if (rc || count <= out->count)
            return rc;
        breadth *= WIDER;
    }
}

/* Rows that are not yet in a segment of the index are looked at one by one
 * too. */
static bool is_exact(const struct milvus_shape *shape)
{
    return strcasecmp(shape->index_type, "FLAT") == 0;
}

static bool is_within(const struct milvus_shape *shape, float distance,
                      float radius)
{
    return shape->metric == VECINDEX_L2 ? distance <= radius
                                        : distance >= radius;
}

static int milvus_store_search(void *self, const struct vec_query *query,
                               struct arena *arena, struct vec_hits *out,
                               struct err *err)
{
    struct milvus_store *store = self;
    struct milvus_shape shape;
    struct vec_hits hits = {.count = 0};
    struct buf expr;
    int rc;

    shape_of(store, &shape);
    buf_init(&expr, MILVUS_EXPR_MAX);
    rc = milvus_expr_filter(&shape, query->filter, &expr, err);
    if (query->exclude_key != NULL && query->exclude_key[0] != '\0' &&
        shape.key.name[0] != '\0') {
        if (expr.len > 0)
            buf_add_text(&expr, " and ");
        buf_printf(&expr, "%s != ", shape.key.name);
        milvus_expr_text(query->exclude_key, &expr);
    }
    if (rc == 0)
        rc = buf_check(&expr, err);
    if (rc == 0)
        rc = search_until_full(store, &shape, expr.len > 0 ? expr.data : "",
                               query, arena, &hits, err);
    buf_release(&expr);
    if (rc)
        return rc;
    while (
        query->has_radius && hits.count > 0 &&
        !is_within(&shape, hits.list[hits.count - 1].distance, query->radius))
        hits.count--;
    hits.is_exact = is_exact(&shape);
    *out = hits;
    return 0;
}

/* --- read ----------------------------------------------------------------- */

static int milvus_get(void *self, int64_t id, struct arena *arena,
                      struct vec_hit *out, float *out_vector, struct err *err)
{
    struct milvus_store *store = self;
    struct milvus_shape shape;
    struct vec_hits hits = {.count = 0};
    struct buf expr;
    int rc;

    shape_of(store, &shape);
    buf_init(&expr, MILVUS_EXPR_MAX);
    milvus_expr_ids(&shape, &id, 1, &expr);
    rc = buf_check(&expr, err);
    if (rc == 0)
        rc = milvus_query_rows(&store->link, &shape, expr.data, 1, arena, &hits,
                               out_vector, err);
    buf_release(&expr);
    if (rc)
        return rc;
    if (hits.count == 0)
        return err_set(err, ERR_NOT_FOUND, "there is no entry %" PRId64, id);
    *out = hits.list[0];
    return 0;
}

/* Pages begin behind -1 (vecstore.h). Rows that others gave an id below 0 have
 * no place on them, and are not left out without a word. */
static int refuse_below_zero(struct milvus_store *store,
                             const struct milvus_shape *shape, struct err *err)
{
    char expr[MILVUS_NAME_MAX + 32];
    int64_t count = 0;
    int rc;

    snprintf(expr, sizeof expr, "%s < 0", shape->id);
    rc = milvus_count(&store->link, expr, &count, err);
    if (rc == 0 && count > 0)
        rc = err_set(err, ERR_UNSUPPORTED,
                     "collection '%s' has %" PRId64 " entries with ids below "
                     "0, which cannot be listed",
                     store->link.url.collection, count);
    return rc;
}

static int milvus_list(void *self, int64_t after, int max, struct arena *arena,
                       struct vec_hits *out, float *out_vectors,
                       struct err *err)
{
    struct milvus_store *store = self;
    struct milvus_shape shape;
    char expr[MILVUS_NAME_MAX + 32];
    int rc = 0;

    shape_of(store, &shape);
    if (after < 0)
        rc = refuse_below_zero(store, &shape, err);
    if (rc)
        return rc;
    snprintf(expr, sizeof expr, "%s > %" PRId64, shape.id, after);
    return milvus_query_rows(&store->link, &shape, expr, max, arena, out,
                             out_vectors, err);
}

static int milvus_refresh(void *self, struct err *err)
{
    struct milvus_store *store = self;
    int rc = milvus_link_sync(&store->link, err);

    return rc ? rc : read_shape(store, err);
}

/* --- care ----------------------------------------------------------------- */

static int milvus_settle(void *self, vec_progress_fn *progress, void *user,
                         struct err *err)
{
    const struct milvus_watcher watcher = {progress, user};
    struct milvus_store *store = self;
    struct milvus_shape shape;
    int rc;

    rc = read_shape(store, err);
    if (rc)
        return rc;
    shape_of(store, &shape);
    rc = milvus_flush(&store->link, &watcher, err);
    if (rc == 0 && !shape.has_index) {
        rc = milvus_index_create(&store->link, &shape, &store->options, err);
        if (rc == 0)
            rc = read_shape(store, err);
    }
    if (rc == 0)
        rc = milvus_await_index(&store->link, &shape, &watcher, err);
    return rc ? rc : milvus_load(&store->link, err);
}

static int milvus_store_compact(void *self, vec_progress_fn *progress,
                                void *user, struct err *err)
{
    const struct milvus_watcher watcher = {progress, user};
    struct milvus_store *store = self;
    struct milvus_shape shape;

    shape_of(store, &shape);
    return milvus_compact(&store->link, shape.collection_id, &watcher, err);
}

/* The server looks after its own files; what can be asked is asked. */
static int milvus_check(void *self, vec_progress_fn *progress, void *user,
                        struct err *err)
{
    struct milvus_store *store = self;
    struct milvus_shape shape;
    int64_t count = 0;
    int rc;

    (void)progress, (void)user;
    shape_of(store, &shape);
    rc = milvus_is_healthy(&store->link, err);
    if (rc == 0)
        rc = read_shape(store, err);
    if (rc == 0 && store->shape.dim != shape.dim)
        rc = err_set(err, ERR_CONFLICT,
                     "collection '%s' had vectors of %d values and has %d now",
                     store->link.url.collection, shape.dim, store->shape.dim);
    return rc ? rc : milvus_count(&store->link, "", &count, err);
}

static int milvus_info(void *self, struct vec_info *out, struct err *err)
{
    struct milvus_store *store = self;
    const struct vec_options *options = &store->options;
    struct milvus_shape shape;
    struct vec_info info = {
        .backend = "milvus", .storage = VEC_FLOAT32, .kernels = ""};
    int rc;

    shape_of(store, &shape);
    info.dim = shape.dim;
    info.metric = options->metric;
    info.type = shape.type;
    info.is_exact = is_exact(&shape);
    if (shape.type == VECINDEX_HNSW) {
        info.links = shape.links;
        info.ef_construction = shape.ef_construction;
        info.ef_search =
            options->ef_search > 0 ? options->ef_search : EF_SEARCH;
    } else if (shape.type == VECINDEX_IVFFLAT) {
        info.nlist = shape.nlist;
        info.nprobe = options->nprobe > 0 ? options->nprobe : NPROBE;
    }
    snprintf(info.model, sizeof info.model, "%s", shape.model);
    rc = milvus_version(&store->link, info.version, err);
    if (rc == 0 && shape.has_index)
        rc = milvus_count(&store->link, "", &info.count, err);
    if (rc == 0 && shape.has_index)
        rc = milvus_pending(&store->link, &shape, &info.pending, err);
    if (rc == 0)
        *out = info;
    return rc;
}

const struct vec_backend vecstore_milvus = {
    .name = "milvus",
    .close = milvus_close,
    .write = milvus_store_write,
    .remove = milvus_remove,
    .remove_matching = milvus_remove_matching,
    .search = milvus_store_search,
    .get = milvus_get,
    .list = milvus_list,
    .refresh = milvus_refresh,
    .settle = milvus_settle,
    .compact = milvus_store_compact,
    .check = milvus_check,
    .info = milvus_info,
};
