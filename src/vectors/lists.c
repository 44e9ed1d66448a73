/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors/lists.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "vectors/lists_parts.h"

enum {
    CHUNK_ROWS_MIN = 8,
    GROWTH = 4,      /* a new chunk has room for a part of the list in 4 */
    BATCH = 1 << 16, /* slots whose lists are found before they go in */
    STEP = 1 << 12,  /* between two calls of progress */
    CHUNK_ROWS_MAX = 1 << 24,
};

/* --- chunks --------------------------------------------------------------- */

static size_t row_len(const struct lists *lists)
{
    return lists->shape.code_len + lists->shape.about_len + sizeof(int32_t);
}

static struct list_chunk *chunk_new(struct lists *lists, int64_t cap)
{
    struct list_chunk *made = mem_try(1, sizeof *made);
    uint8_t *block = mem_try_aligned((size_t)cap, row_len(lists));

    if (made == NULL || block == NULL) {
        mem_free(made);
        mem_free(block);
        return NULL;
    }
    made->block = block;
    made->cap = (int32_t)cap;
    made->codes = block;
    made->about = block + (size_t)cap * lists->shape.code_len;
    made->slots = (void *)(made->about + (size_t)cap * lists->shape.about_len);
    atomic_fetch_add_explicit(
        &lists->memory, (int64_t)(sizeof *made + (size_t)cap * row_len(lists)),
        memory_order_relaxed);
    return made;
}

void lists_link(struct list *list, struct list_chunk *chunk)
{
    struct list_chunk *last = list->last;

    if (last == NULL) {
        list->last = chunk;
        atomic_store_explicit(&list->first, chunk, memory_order_release);
        return;
    }
    while (lists_next(last) != NULL)
        last = atomic_load_explicit(&last->next, memory_order_relaxed);
    atomic_store_explicit(&last->next, chunk, memory_order_release);
}

int lists_reserve(struct lists *lists, struct list *list, int64_t count,
                  struct err *err)
{
    while (list->room < count) {
        int64_t wanted = count - list->room;
        struct list_chunk *chunk;

        if (wanted < list->count / GROWTH)
            wanted = list->count / GROWTH;
        if (wanted < CHUNK_ROWS_MIN)
            wanted = CHUNK_ROWS_MIN;
        if (wanted > CHUNK_ROWS_MAX)
            wanted = CHUNK_ROWS_MAX;
        chunk = chunk_new(lists, wanted);
        if (chunk == NULL)
            return err_set(err, ERR_UNAVAILABLE,
                           "no memory for %lld more rows of a list",
                           (long long)wanted);
        lists_link(list, chunk);
        list->room += wanted;
    }
    return 0;
}

void lists_append(struct lists *lists, struct list *list, int32_t slot,
                  const struct codes *codes)
{
    struct list_chunk *chunk = list->last;
    int32_t at = atomic_load_explicit(&chunk->count, memory_order_relaxed);

    assert(list->room > 0);
    while (at == chunk->cap) {
        chunk = atomic_load_explicit(&chunk->next, memory_order_relaxed);
        at = atomic_load_explicit(&chunk->count, memory_order_relaxed);
    }
    list->last = chunk;
    codes_copy(codes, slot, chunk->codes + (size_t)at * lists->shape.code_len,
               chunk->about + (size_t)at * lists->shape.about_len);
    chunk->slots[at] = slot;
    atomic_store_explicit(&chunk->count, at + 1, memory_order_release);
    list->count++;
    list->room--;
}

/* --- from centroids to lists ---------------------------------------------- */

/* Copies of the centroids in the storage of the rows, so that a query is held
 * against both alike. */
static int copy_centroids(struct lists *lists, struct err *err)
{
    const struct codes_options options = {
        .dim = codes_dim(lists->codes),
        .metric = codes_metric(lists->codes),
        .storage = codes_storage(lists->codes),
    };
    const float *centroids = kmeans_centroids(lists->kmeans);
    struct codes *codes = NULL;
    int rc = codes_new(&options, &codes, err), i;

    for (i = 0; rc == 0 && i < lists->nlist; i++) {
        const float *row = centroids + (int64_t)i * options.dim;

        rc = codes_add(codes, &row, 1, err);
        if (rc == 0)
            codes_copy(
                codes, i, lists->centroids + (size_t)i * lists->shape.code_len,
                lists->centroid_about + (size_t)i * lists->shape.about_len);
    }
    codes_free(codes);
    return rc;
}

int lists_new(const struct codes *codes, struct kmeans *kmeans, int nlist,
              int64_t trained_on, struct lists **out, struct err *err)
{
    struct lists *made = mem_new(sizeof *made);
    size_t count = (size_t)nlist;
    int rc;

    made->codes = codes;
    made->kmeans = kmeans;
    made->nlist = nlist;
    made->trained_on = trained_on;
    codes_shape(codes, &made->shape);
    made->centroids = mem_try_aligned(count, made->shape.code_len);
    made->centroid_about = mem_try_aligned(count, made->shape.about_len);
    made->lists = mem_try(count, sizeof *made->lists);
    if (made->centroids == NULL || made->centroid_about == NULL ||
        made->lists == NULL)
        rc = err_set(err, ERR_UNAVAILABLE, "no memory for %d lists", nlist);
    else
        rc = copy_centroids(made, err);
    if (rc) {
        lists_free(made);
        return rc;
    }
    atomic_store_explicit(
        &made->memory,
        kmeans_memory(kmeans) +
            (int64_t)(sizeof *made +
                      count * (made->shape.code_len + made->shape.about_len +
                               sizeof *made->lists)),
        memory_order_relaxed);
    *out = made;
    return 0;
}

void lists_free(struct lists *lists)
{
    struct list_chunk *chunk, *next;
    int i;

    if (lists == NULL)
        return;
    for (i = 0; lists->lists != NULL && i < lists->nlist; i++)
        for (chunk = lists->lists[i].first; chunk != NULL; chunk = next) {
            next = chunk->next;
            mem_free(chunk->block);
            mem_free(chunk);
        }
    kmeans_free(lists->kmeans);
    mem_free(lists->centroids);
    mem_free(lists->centroid_about);
    mem_free(lists->lists);
    mem_free(lists->adopted);
    mem_free(lists);
}

int lists_nlist(const struct lists *lists)
{
    return lists->nlist;
}

int64_t lists_count(const struct lists *lists)
{
    return atomic_load_explicit(&lists->count, memory_order_acquire);
}

int64_t lists_trained_on(const struct lists *lists)
{
    return lists->trained_on;
}

int64_t lists_memory(const struct lists *lists)
{
    return atomic_load_explicit(&lists->memory, memory_order_relaxed);
}

/* --- training ------------------------------------------------------------- */

/* The float32 rows of slots. */
static int find_rows(const struct codes *codes, const int64_t *slots,
                     int64_t count, const float **out, struct err *err)
{
    int64_t i;
    int rc = 0;

    for (i = 0; rc == 0 && i < count; i++)
        rc = codes_row(codes, slots[i], &out[i], err);
    return rc;
}

static int train(const struct codes *codes, int64_t *slots, int64_t count,
                 const struct lists_options *options, struct lists **out,
                 struct err *err)
{
    struct kmeans_options wanted = {
        .dim = codes_dim(codes),
        .metric = codes_metric(codes),
        .nlist = options->nlist > 0 ? options->nlist
                                    : (int)(4 * sqrt((double)count)),
        .thread_count = options->thread_count,
        .progress = options->progress,
        .user = options->user,
    };
    struct kmeans *kmeans = NULL;
    const float **rows = NULL;
    int64_t sample;
    int rc;

    if (wanted.nlist > count)
        wanted.nlist = (int)count;
    sample = (int64_t)wanted.nlist * KMEANS_SAMPLE_PER_LIST;
    if (sample > count)
        sample = count;
    kmeans_draw(slots, count, sample, options->seed);
    rows = mem_try((size_t)sample, sizeof *rows);
    if (rows == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for a sample of %lld",
                       (long long)sample);
    rc = find_rows(codes, slots, sample, rows, err);
    if (rc == 0)
        rc = kmeans_train(rows, sample, &wanted, &kmeans, err);
    mem_free(rows);
    return rc ? rc : lists_new(codes, kmeans, wanted.nlist, count, out, err);
}

int lists_train(const struct codes *codes, int64_t count,
                const struct blocks *removed,
                const struct lists_options *options, struct lists **out,
                struct err *err)
{
    int64_t *slots = mem_try((size_t)count, sizeof *slots);
    int64_t i, left = 0;
    int rc;

    assert(options->nlist >= 0 && options->nlist <= LISTS_MAX);
    if (slots == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for %lld slots",
                       (long long)count);
    for (i = 0; i < count; i++)
        if (!slot_is_removed(removed, i))
            slots[left++] = i;
    if (left == 0)
        rc = err_set(err, ERR_INVALID, "there are no rows to make lists of");
    else
        rc = train(codes, slots, left, options, out, err);
    mem_free(slots);
    return rc;
}

/* --- inserting ------------------------------------------------------------ */

struct batch {
    int64_t *slots;     /* owned; BATCH, those that are not removed */
    const float **rows; /* owned */
    int32_t *lists;     /* owned; of each slot */
    int64_t *counts;    /* owned; for each list */
    int64_t count;      /* of slots */
};

struct inserting {
    struct lists *lists;
    const struct blocks *removed;
    int64_t begin, end; /* of the whole */
    int thread_count;
    vec_progress_fn *progress;
    void *user;
};

/* Finds the lists of the batch's slots, which end at `end`. */
static int find_lists(const struct inserting *insert, struct batch *batch,
                      int64_t end, struct err *err)
{
    const struct lists *lists = insert->lists;
    int64_t done, part;
    int rc =
        find_rows(lists->codes, batch->slots, batch->count, batch->rows, err);

    for (done = 0; rc == 0 && done < batch->count; done += part) {
        part = batch->count - done < STEP ? batch->count - done : STEP;
        rc =
            kmeans_assign(lists->kmeans, batch->rows + done, part,
                          insert->thread_count, batch->lists + done, NULL, err);
        if (rc == 0 && insert->progress != NULL &&
            insert->progress(insert->user,
                             end - insert->begin - (batch->count - done - part),
                             insert->end - insert->begin) != 0)
            rc = err_set(err, ERR_UNAVAILABLE, "stopped inserting into lists");
    }
    return rc;
}

static int put_batch(struct lists *lists, const struct batch *batch,
                     struct err *err)
{
    int64_t i;
    int list, rc = 0;

    memset(batch->counts, 0, (size_t)lists->nlist * sizeof *batch->counts);
    for (i = 0; i < batch->count; i++)
        batch->counts[batch->lists[i]]++;
    for (list = 0; rc == 0 && list < lists->nlist; list++)
        rc =
            lists_reserve(lists, &lists->lists[list], batch->counts[list], err);
    for (i = 0; rc == 0 && i < batch->count; i++)
        lists_append(lists, &lists->lists[batch->lists[i]],
                     (int32_t)batch->slots[i], lists->codes);
    return rc;
}

static int insert_batches(const struct inserting *insert, struct batch *batch,
                          struct err *err)
{
    struct lists *lists = insert->lists;
    int64_t begin = insert->begin, end, slot;
    int rc = 0;

    for (; rc == 0 && begin < insert->end; begin = end) {
        end = insert->end - begin < BATCH ? insert->end : begin + BATCH;
        batch->count = 0;
        for (slot = begin; slot < end; slot++)
            if (!slot_is_removed(insert->removed, slot))
                batch->slots[batch->count++] = slot;
        rc = find_lists(insert, batch, end, err);
        if (rc == 0)
            rc = put_batch(lists, batch, err);
        if (rc == 0)
            atomic_store_explicit(&lists->count, end, memory_order_release);
    }
    return rc;
}

int lists_insert(struct lists *lists, int64_t end, const struct blocks *removed,
                 int thread_count, vec_progress_fn *progress, void *user,
                 struct err *err)
{
    const struct inserting insert = {.lists = lists,
                                     .removed = removed,
                                     .begin = lists_count(lists),
                                     .end = end,
                                     .thread_count = thread_count,
                                     .progress = progress,
                                     .user = user};
    int64_t cap = end - insert.begin < BATCH ? end - insert.begin : BATCH;
    struct batch batch = {0};
    int rc;

    if (cap <= 0)
        return 0;
    batch.slots = mem_try((size_t)cap, sizeof *batch.slots);
    batch.rows = mem_try((size_t)cap, sizeof *batch.rows);
    batch.lists = mem_try((size_t)cap, sizeof *batch.lists);
    batch.counts = mem_try((size_t)lists->nlist, sizeof *batch.counts);
    if (batch.slots == NULL || batch.rows == NULL || batch.lists == NULL ||
        batch.counts == NULL)
        rc = err_set(err, ERR_UNAVAILABLE, "no memory to insert %lld rows",
                     (long long)cap);
    else
        rc = insert_batches(&insert, &batch, err);
    mem_free(batch.slots);
    mem_free(batch.rows);
    mem_free(batch.lists);
    mem_free(batch.counts);
    return rc;
}

/* --- renumbering ---------------------------------------------------------- */

static int renumber_list(struct lists *made, const struct list *from, int list,
                         const int32_t *to, struct err *err)
{
    struct list *into = &made->lists[list];
    const struct list_chunk *chunk;
    int rc = lists_reserve(made, into, from->count, err);
    int32_t i;

    for (chunk = lists_first(from); rc == 0 && chunk != NULL;
         chunk = lists_next(chunk))
        for (i = 0; i < lists_chunk_count(chunk); i++)
            if (to[chunk->slots[i]] != SLOT_NONE)
                lists_append(made, into, to[chunk->slots[i]], made->codes);
    return rc;
}

int lists_renumber(const struct lists *lists, const struct codes *codes,
                   const int32_t *to, struct lists **out, struct err *err)
{
    const struct kmeans_options options = {.dim = codes_dim(codes),
                                           .metric = codes_metric(codes),
                                           .nlist = lists->nlist};
    struct kmeans *kmeans = NULL;
    struct lists *made = NULL;
    int64_t count = 0, slot;
    int rc =
            kmeans_new(kmeans_centroids(lists->kmeans), &options, &kmeans, err),
        i;

    if (rc == 0)
        rc = lists_new(codes, kmeans, lists->nlist, lists->trained_on, &made,
                       err);
    for (i = 0; rc == 0 && i < lists->nlist; i++)
        rc = renumber_list(made, &lists->lists[i], i, to, err);
    if (rc) {
        lists_free(made);
        return rc;
    }
    for (slot = lists_count(lists) - 1; slot >= 0 && count == 0; slot--)
        if (to[slot] != SLOT_NONE)
            count = (int64_t)to[slot] + 1;
    atomic_store_explicit(&made->count, count, memory_order_release);
    *out = made;
    return 0;
}

/* --- lists of others ------------------------------------------------------ */

/* The slots themselves, for lists that are parts of their order. */
static int32_t *count_up(int64_t count)
{
    int32_t *slots = mem_try((size_t)count, sizeof *slots);
    int64_t i;

    for (i = 0; slots != NULL && i < count; i++)
        slots[i] = (int32_t)i;
    return slots;
}

static int adopt_list(struct lists *lists, int32_t *slots, int64_t begin,
                      int64_t end, int list, struct err *err)
{
    while (begin < end) {
        struct list_chunk *chunk = mem_try(1, sizeof *chunk);
        const void *code, *about;

        if (chunk == NULL)
            return err_set(err, ERR_UNAVAILABLE, "no memory for %d lists",
                           lists->nlist);
        chunk->cap =
            (int32_t)codes_piece(lists->codes, begin, end, &code, &about);
        chunk->codes = (uint8_t *)(uintptr_t)code;
        chunk->about = (uint8_t *)(uintptr_t)about;
        chunk->slots = slots + begin;
        atomic_store_explicit(&chunk->count, chunk->cap, memory_order_relaxed);
        lists_link(&lists->lists[list], chunk);
        lists->lists[list].count += chunk->cap;
        begin += chunk->cap;
    }
    return 0;
}

int lists_adopt(const struct codes *codes, const float *centroids, int nlist,
                const int64_t *begins, struct lists **out, struct err *err)
{
    const struct kmeans_options options = {
        .dim = codes_dim(codes), .metric = codes_metric(codes), .nlist = nlist};
    struct kmeans *kmeans = NULL;
    struct lists *made = NULL;
    int rc = kmeans_new(centroids, &options, &kmeans, err), i;

    if (rc == 0)
        rc = lists_new(codes, kmeans, nlist, begins[nlist], &made, err);
    if (rc == 0) {
        made->adopted = count_up(begins[nlist]);
        if (made->adopted == NULL)
            rc = err_set(err, ERR_UNAVAILABLE, "no memory for %lld slots",
                         (long long)begins[nlist]);
    }
    for (i = 0; rc == 0 && i < nlist; i++)
        rc = adopt_list(made, made->adopted, begins[i], begins[i + 1], i, err);
    if (rc) {
        lists_free(made);
        return rc;
    }
    atomic_fetch_add_explicit(&made->memory,
                              begins[nlist] * (int64_t)sizeof *made->adopted,
                              memory_order_relaxed);
    atomic_store_explicit(&made->count, begins[nlist], memory_order_release);
    *out = made;
    return 0;
}
