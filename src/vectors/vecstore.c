/* SPDX-License-Identifier: Apache-2.0 */
/* Checks what callers give, the same for every backend, and dispatches. */
#include "vectors/vecstore.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "vectors/row_check.h"
#include "vectors/vecstore_backend.h"

struct vecstore {
    const struct vec_backend *backend;
    void *self; /* owned */
    enum vec_mode mode;
    int dim;
    enum vecindex_metric metric;
};

static const char *const storage_names[] = {"any", "float32", "float16",
                                            "bfloat16", "int8"};

const char *vec_storage_name(enum vec_storage storage)
{
    assert(storage >= VEC_STORAGE_ANY && storage <= VEC_INT8);
    return storage_names[storage];
}

int vec_storage_parse(const char *text, enum vec_storage *out, struct err *err)
{
    int storage;

    for (storage = VEC_FLOAT32; storage <= VEC_INT8; storage++) {
        if (strcasecmp(text, storage_names[storage]) == 0) {
            *out = (enum vec_storage)storage;
            return 0;
        }
    }
    return err_set(err, ERR_INVALID,
                   "storage '%.40s' is not known; it is float32, float16, "
                   "bfloat16 or int8",
                   text);
}

/* --- opening ---------------------------------------------------------- */

static int check_range(const char *name, int value, int max, struct err *err)
{
    if (value < 0 || value > max)
        return err_set(err, ERR_INVALID, "%s is %d; it must be 0..%d", name,
                       value, max);
    return 0;
}

static int check_options(const struct vec_options *options, struct err *err)
{
    const struct {
        const char *name;
        int value, max;
    } ranges[] = {
        {"dim", options->dim, VEC_DIM_MAX},
        {"metric", (int)options->metric, VECINDEX_COSINE},
        {"type", (int)options->type, VECINDEX_HNSW},
        {"storage", (int)options->storage, VEC_INT8},
        {"links", options->links, VECINDEX_LINKS_MAX},
        {"ef_construction", options->ef_construction, VECINDEX_EF_MAX},
        {"ef_search", options->ef_search, VECINDEX_EF_MAX},
        {"nlist", options->nlist, VECINDEX_NLIST_MAX},
        {"nprobe", options->nprobe, VECINDEX_NPROBE_MAX},
        {"thread_count", options->thread_count, VECINDEX_THREADS_MAX},
    };
    size_t i;
    int rc = 0;

    for (i = 0; rc == 0 && i < sizeof ranges / sizeof ranges[0]; i++)
        rc = check_range(ranges[i].name, ranges[i].value, ranges[i].max, err);
    if (rc == 0 && !(options->timeout_s >= 0 && options->timeout_s <= 86400))
        rc = err_set(err, ERR_INVALID,
                     "timeout_s is %g; it must be 0..86400 seconds",
                     options->timeout_s);
    return rc;
}

/* Also what asks for TLS, which Milvus's side has the words to refuse: a path
 * has no "://" in it. */
static bool is_milvus(const char *where)
{
    return strstr(where, "://") != NULL;
}

static int check_where(const char *where, struct err *err)
{
    if (where == NULL || where[0] == '\0')
        return err_set(err, ERR_INVALID, "an index needs a path or a URL");
    return 0;
}

int vecstore_open(const char *where, enum vec_mode mode,
                  const struct vec_options *options, struct vecstore **out,
                  struct err *err)
{
    struct vecstore store = {.mode = mode};
    int rc = check_where(where, err);

    if (rc == 0)
        rc = check_options(options, err);
    if (rc)
        return rc;
    if (is_milvus(where)) {
        store.backend = &vecstore_milvus;
        rc = vecstore_milvus_open(where, mode, options, &store.self, &store.dim,
                                  &store.metric, err);
    } else {
        store.backend = &vecstore_engine;
        rc = vecstore_engine_open(where, mode, options, &store.self, &store.dim,
                                  &store.metric, err);
    }
    if (rc)
        return rc;
    *out = mem_new(sizeof **out);
    **out = store;
    return 0;
}

int vecstore_drop(const char *where, const struct vec_options *options,
                  struct err *err)
{
    int rc = check_where(where, err);

    if (rc == 0)
        rc = check_options(options, err);
    if (rc)
        return rc;
    return is_milvus(where) ? vecstore_milvus_drop(where, options, err)
                            : vecstore_engine_drop(where, options, err);
}

void vecstore_close(struct vecstore *store)
{
    if (store == NULL)
        return;
    store->backend->close(store->self);
    mem_free(store);
}

/* --- checks ----------------------------------------------------------- */

static int check_mode(const struct vecstore *store, struct err *err)
{
    if (store->mode != VEC_WRITE)
        return err_set(err, ERR_INVALID, "the index is open for reading only");
    return 0;
}

static int check_count(const char *what, int count, int max, struct err *err)
{
    if (count < 1 || count > max)
        return err_set(err, ERR_INVALID, "%s is %d; it must be 1..%d", what,
                       count, max);
    return 0;
}

/* NULL is "". */
static int check_text(const char *what, const char *text, size_t min,
                      size_t max, struct err *err)
{
    size_t len = text == NULL ? 0 : strlen(text);

    if (len < min || len > max)
        return err_set(err, ERR_INVALID,
                       "the %s has %zu bytes; it must have %zu..%zu", what, len,
                       min, max);
    return 0;
}

static int check_tags(const struct vec_entry *entry, struct err *err)
{
    int i, rc = 0;

    if (entry->tag_count < 0 || entry->tag_count > VEC_TAGS_MAX)
        return err_set(err, ERR_INVALID,
                       "there are %d tags; there may be 0..%d",
                       entry->tag_count, VEC_TAGS_MAX);
    for (i = 0; rc == 0 && i < entry->tag_count; i++) {
        rc = check_text("name of a tag", entry->tags[i].name, 1,
                        VEC_TAG_NAME_MAX, err);
        if (rc == 0 && entry->tags[i].value == NULL)
            rc = err_set(err, ERR_INVALID, "tag '%s' has no value",
                         entry->tags[i].name);
        if (rc == 0)
            rc = check_text("value of a tag", entry->tags[i].value, 0,
                            VEC_TAG_VALUE_MAX, err);
    }
    return rc;
}

static int check_entry(const struct vecstore *store,
                       const struct vec_entry *entry, struct err *err)
{
    int rc = 0;

    if (entry->id != VEC_ID_NEW && (entry->id < 0 || entry->id == INT64_MAX))
        rc = err_set(err, ERR_INVALID, "the id is %lld; it must be 0..%lld",
                     (long long)entry->id, (long long)INT64_MAX - 1);
    if (rc == 0 && entry->vector == NULL)
        rc = err_set(err, ERR_INVALID, "there is no vector");
    if (rc == 0)
        rc = row_check(entry->vector, store->dim, store->metric, 1, err);
    if (rc == 0)
        rc = check_text("key", entry->key, 0, VEC_KEY_MAX, err);
    if (rc == 0)
        rc = check_text("path", entry->path, 0, VEC_PATH_MAX, err);
    return rc ? rc : check_tags(entry, err);
}

/* --- the same twice --------------------------------------------------- */

struct named {
    int64_t id;
    const char *key; /* "": none */
    int number;
};

static int compare_ids(const void *a, const void *b)
{
    const struct named *x = a, *y = b;

    if (x->id != y->id)
        return x->id < y->id ? -1 : 1;
    return x->number - y->number;
}

static int compare_keys(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    int order = strcmp(x->key, y->key);

    return order != 0 ? order : x->number - y->number;
}

static int find_twice(struct named *list, int count, struct err *err)
{
    int i;

    qsort(list, (size_t)count, sizeof *list, compare_ids);
    for (i = 1; i < count; i++) {
        if (list[i].id != VEC_ID_NEW && list[i].id == list[i - 1].id)
            return err_set(
                err, ERR_INVALID, "entry %d has the id %lld, as entry %d has",
                list[i].number, (long long)list[i].id, list[i - 1].number);
    }
    qsort(list, (size_t)count, sizeof *list, compare_keys);
    for (i = 1; i < count; i++) {
        if (list[i].key[0] != '\0' && strcmp(list[i].key, list[i - 1].key) == 0)
            return err_set(err, ERR_INVALID,
                           "entry %d has the key '%.100s', as entry %d has",
                           list[i].number, list[i].key, list[i - 1].number);
    }
    return 0;
}

static int check_twice(const struct vec_entry *entries, int count,
                       struct err *err)
{
    struct named *list = NULL;
    int i, rc;

    if (count == 1)
        return 0;
    list = mem_try((size_t)count, sizeof *list);
    if (list == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for %d entries", count);
    for (i = 0; i < count; i++)
        list[i] = (struct named){
            entries[i].id, entries[i].key == NULL ? "" : entries[i].key, i};
    rc = find_twice(list, count, err);
    mem_free(list);
    return rc;
}

/* --- writing ---------------------------------------------------------- */

static int write_entries(struct vecstore *store,
                         const struct vec_entry *entries, int count,
                         bool is_upsert, int64_t *out_ids, struct err *err)
{
    int i, rc = check_mode(store, err);

    if (rc == 0)
        rc = check_count("the number of entries", count, VEC_BATCH_MAX, err);
    if (rc)
        return rc;
    for (i = 0; i < count; i++) {
        if (check_entry(store, &entries[i], err) != 0)
            return err_wrap(err, "entry %d", i);
    }
    rc = check_twice(entries, count, err);
    if (rc)
        return rc;
    return store->backend->write(store->self, entries, count, is_upsert,
                                 out_ids, err);
}

int vecstore_add(struct vecstore *store, const struct vec_entry *entries,
                 int count, int64_t *out_ids, struct err *err)
{
    return write_entries(store, entries, count, false, out_ids, err);
}

int vecstore_upsert(struct vecstore *store, const struct vec_entry *entries,
                    int count, int64_t *out_ids, struct err *err)
{
    return write_entries(store, entries, count, true, out_ids, err);
}

int vecstore_remove(struct vecstore *store, const int64_t *ids, int count,
                    int64_t *out_removed, struct err *err)
{
    int rc = check_mode(store, err);

    if (rc == 0)
        rc = check_count("the number of ids", count, VEC_BATCH_MAX, err);
    if (rc)
        return rc;
    return store->backend->remove(store->self, ids, NULL, count, out_removed,
                                  err);
}

int vecstore_remove_keys(struct vecstore *store, const char *const *keys,
                         int count, int64_t *out_removed, struct err *err)
{
    int i, rc = check_mode(store, err);

    if (rc == 0)
        rc = check_count("the number of keys", count, VEC_BATCH_MAX, err);
    for (i = 0; rc == 0 && i < count; i++)
        rc = check_text("key", keys[i], 1, VEC_KEY_MAX, err);
    if (rc)
        return rc;
    return store->backend->remove(store->self, NULL, keys, count, out_removed,
                                  err);
}

static int check_term(const struct vec_term *term, struct err *err)
{
    int i,
        rc = check_text("name of a tag", term->name, 1, VEC_TAG_NAME_MAX, err);

    if (rc == 0)
        rc = check_count("the number of values of a term", term->value_count,
                         VEC_VALUES_MAX, err);
    for (i = 0; rc == 0 && i < term->value_count; i++)
        rc = check_text("value of a tag", term->values[i], 0, VEC_TAG_VALUE_MAX,
                        err);
    return rc;
}

static int check_filter(const struct vec_filter *filter, int terms_min,
                        struct err *err)
{
    int i, rc = 0;

    if (filter->term_count < terms_min || filter->term_count > VEC_TERMS_MAX)
        return err_set(err, ERR_INVALID,
                       "the filter has %d terms; it must have %d..%d",
                       filter->term_count, terms_min, VEC_TERMS_MAX);
    for (i = 0; rc == 0 && i < filter->term_count; i++)
        rc = check_term(&filter->terms[i], err);
    return rc;
}

int vecstore_remove_matching(struct vecstore *store,
                             const struct vec_filter *filter,
                             int64_t *out_removed, struct err *err)
{
    int rc = check_mode(store, err);

    if (rc == 0)
        rc = check_filter(filter, 1, err);
    if (rc)
        return rc;
    return store->backend->remove_matching(store->self, filter, out_removed,
                                           err);
}

/* --- reading ---------------------------------------------------------- */

static int check_query(const struct vecstore *store,
                       const struct vec_query *query, struct err *err)
{
    int rc = 0;

    if (query->dim != store->dim)
        return err_set(err, ERR_INVALID,
                       "the query has %d floats; the index has vectors of %d",
                       query->dim, store->dim);
    rc = check_count("k", query->k, VEC_K_MAX, err);
    if (rc == 0)
        rc = check_range("nprobe", query->nprobe, VECINDEX_NPROBE_MAX, err);
    if (rc == 0)
        rc = check_range("ef_search", query->ef_search, VECINDEX_EF_MAX, err);
    if (rc == 0 && query->has_radius && !isfinite(query->radius))
        rc = err_set(err, ERR_INVALID, "the radius is no finite number");
    if (rc == 0 && query->filter != NULL)
        rc = check_filter(query->filter, 0, err);
    if (rc)
        return rc;
    if (row_check(query->vector, store->dim, store->metric, 1, err) != 0)
        return err_wrap(err, "query");
    return 0;
}

int vecstore_search(struct vecstore *store, const struct vec_query *query,
                    struct arena *arena, struct vec_hits *out, struct err *err)
{
    int rc = check_query(store, query, err);

    return rc ? rc
              : store->backend->search(store->self, query, arena, out, err);
}

int vecstore_get(struct vecstore *store, int64_t id, struct arena *arena,
                 struct vec_hit *out, float *out_vector, struct err *err)
{
    return store->backend->get(store->self, id, arena, out, out_vector, err);
}

int vecstore_list(struct vecstore *store, int64_t after, int max,
                  struct arena *arena, struct vec_hits *out, float *out_vectors,
                  struct err *err)
{
    int rc = check_count("the length of a page", max, VEC_K_MAX, err);

    if (rc)
        return rc;
    return store->backend->list(store->self, after, max, arena, out,
                                out_vectors, err);
}

/* --- the rest --------------------------------------------------------- */

int vecstore_refresh(struct vecstore *store, struct err *err)
{
    return store->backend->refresh(store->self, err);
}

int vecstore_settle(struct vecstore *store, vec_progress_fn *progress,
                    void *user, struct err *err)
{
    int rc = check_mode(store, err);

    return rc ? rc : store->backend->settle(store->self, progress, user, err);
}

int vecstore_compact(struct vecstore *store, vec_progress_fn *progress,
                     void *user, struct err *err)
{
    int rc = check_mode(store, err);

    return rc ? rc : store->backend->compact(store->self, progress, user, err);
}

int vecstore_check(struct vecstore *store, vec_progress_fn *progress,
                   void *user, struct err *err)
{
    return store->backend->check(store->self, progress, user, err);
}

int vecstore_info(struct vecstore *store, struct vec_info *out, struct err *err)
{
    return store->backend->info(store->self, out, err);
}
