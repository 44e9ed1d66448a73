/* SPDX-License-Identifier: Apache-2.0 */
/* Lists in a checkpoint: the centroids, how long each list is, and then slots,
 * codes and what goes with these, list after list, so that a list is one chunk
 * that lies in the mapped file. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "vectors/lists_parts.h"

enum { FORMAT = 1, CHECK_STEP = 4096 };

/* int64 each, in this order. */
enum {
    AT_FORMAT,
    AT_NLIST,
    AT_DIM,
    AT_METRIC,
    AT_STORAGE,
    AT_CODE_LEN,
    AT_ABOUT_LEN,
    AT_COUNT, /* lists_count */
    AT_TRAINED_ON,
    AT_TOTAL, /* rows in all lists */
    HEAD_LEN
};

/* --- saving --------------------------------------------------------------- */

enum part { SLOTS, CODES, ABOUT };

static void put_rows(const struct lists *lists, enum part part,
                     struct checkpoint_writer *writer)
{
    const struct list_chunk *chunk;
    int i;

    for (i = 0; i < lists->nlist; i++)
        for (chunk = lists_first(&lists->lists[i]); chunk != NULL;
             chunk = lists_next(chunk)) {
            size_t count = (size_t)lists_chunk_count(chunk);

            switch (part) {
            case SLOTS:
                checkpoint_put(writer, chunk->slots,
                               count * sizeof *chunk->slots);
                break;
            case CODES:
                checkpoint_put(writer, chunk->codes,
                               count * lists->shape.code_len);
                break;
            case ABOUT:
                checkpoint_put(writer, chunk->about,
                               count * lists->shape.about_len);
                break;
            }
        }
}

void lists_save(struct lists *lists, struct checkpoint_writer *writer)
{
    int64_t head[HEAD_LEN] = {
        [AT_FORMAT] = FORMAT,
        [AT_NLIST] = lists->nlist,
        [AT_DIM] = codes_dim(lists->codes),
        [AT_METRIC] = codes_metric(lists->codes),
        [AT_STORAGE] = codes_storage(lists->codes),
        [AT_CODE_LEN] = (int64_t)lists->shape.code_len,
        [AT_ABOUT_LEN] = (int64_t)lists->shape.about_len,
        [AT_COUNT] = lists_count(lists),
        [AT_TRAINED_ON] = lists->trained_on,
    };
    int i;

    for (i = 0; i < lists->nlist; i++)
        head[AT_TOTAL] += lists->lists[i].count;
    checkpoint_start(writer, "ivfh");
    checkpoint_put(writer, head, sizeof head);
    checkpoint_start(writer, "ivfc");
    checkpoint_put(writer, kmeans_centroids(lists->kmeans),
                   (size_t)lists->nlist * (size_t)head[AT_DIM] * sizeof(float));
    checkpoint_start(writer, "ivfn");
    for (i = 0; i < lists->nlist; i++)
        checkpoint_put(writer, &lists->lists[i].count, sizeof(int64_t));
    checkpoint_start(writer, "ivfs");
    put_rows(lists, SLOTS, writer);
    checkpoint_start(writer, "ivfk");
    put_rows(lists, CODES, writer);
    checkpoint_start(writer, "ivfa");
    put_rows(lists, ABOUT, writer);
}

/* --- loading -------------------------------------------------------------- */

struct saved {
    const int64_t *head;
    const float *centroids;
    const int64_t *counts;
    int32_t *slots;
    uint8_t *codes, *about;
};

static int check_head(const struct codes *codes, const int64_t *head,
                      struct err *err)
{
    struct codes_shape shape;

    codes_shape(codes, &shape);
    if (head[AT_FORMAT] != FORMAT)
        return err_set(err, ERR_UNSUPPORTED,
                       "the lists are of format %" PRId64 "; this is %d",
                       head[AT_FORMAT], FORMAT);
    if (head[AT_DIM] != codes_dim(codes) ||
        head[AT_METRIC] != (int64_t)codes_metric(codes) ||
        head[AT_STORAGE] != (int64_t)codes_storage(codes) ||
        head[AT_CODE_LEN] != (int64_t)shape.code_len ||
        head[AT_ABOUT_LEN] != (int64_t)shape.about_len)
        return err_set(err, ERR_CORRUPT,
                       "the lists are of other rows, of %" PRId64 " values",
                       head[AT_DIM]);
    if (head[AT_NLIST] < 1 || head[AT_NLIST] > LISTS_MAX)
        return err_set(err, ERR_CORRUPT, "%" PRId64 " lists; there are 1..%d",
                       head[AT_NLIST], LISTS_MAX);
    if (head[AT_COUNT] < 0 || head[AT_COUNT] > codes_count(codes) ||
        head[AT_TOTAL] < 0 || head[AT_TOTAL] > head[AT_COUNT])
        return err_set(err, ERR_CORRUPT,
                       "lists of %" PRId64 " rows of %" PRId64
                       " slots; there are %" PRId64,
                       head[AT_TOTAL], head[AT_COUNT], codes_count(codes));
    return 0;
}

static int find_saved(const struct codes *codes, struct checkpoint *checkpoint,
                      struct saved *out, struct err *err)
{
    void *found[6] = {NULL};
    int64_t len;
    int rc = checkpoint_section(checkpoint, "ivfh", HEAD_LEN, sizeof(int64_t),
                                &found[0], &len, err);

    if (rc)
        return rc;
    out->head = found[0];
    rc = check_head(codes, out->head, err);
    if (rc == 0)
        rc = checkpoint_section(checkpoint, "ivfc",
                                out->head[AT_NLIST] * out->head[AT_DIM],
                                sizeof(float), &found[1], &len, err);
    if (rc == 0)
        rc = checkpoint_section(checkpoint, "ivfn", out->head[AT_NLIST],
                                sizeof(int64_t), &found[2], &len, err);
    if (rc == 0)
        rc = checkpoint_section(checkpoint, "ivfs", out->head[AT_TOTAL],
                                sizeof(int32_t), &found[3], &len, err);
    if (rc == 0)
        rc = checkpoint_section(checkpoint, "ivfk", out->head[AT_TOTAL],
                                (size_t)out->head[AT_CODE_LEN], &found[4], &len,
                                err);
    if (rc == 0)
        rc = checkpoint_section(checkpoint, "ivfa", out->head[AT_TOTAL],
                                (size_t)out->head[AT_ABOUT_LEN], &found[5],
                                &len, err);
    out->centroids = found[1];
    out->counts = found[2];
    out->slots = found[3];
    out->codes = found[4];
    out->about = found[5];
    return rc;
}

/* Finite, and with the cosine not all zeros. */
static int check_centroids(const struct saved *saved, struct err *err)
{
    int64_t i, j, dim = saved->head[AT_DIM];

    for (i = 0; i < saved->head[AT_NLIST]; i++) {
        double square = 0;

        for (j = 0; j < dim; j++)
            square += (double)saved->centroids[i * dim + j] *
                      (double)saved->centroids[i * dim + j];
        if (!isfinite((float)square) ||
            (saved->head[AT_METRIC] == VECINDEX_COSINE && !(square > 0)))
            return err_set(err, ERR_CORRUPT,
                           "centroid %" PRId64 " of the lists is none", i);
    }
    return 0;
}

static int check_slots(const struct saved *saved, struct err *err)
{
    int64_t i, j, begin = 0;

    for (i = 0; i < saved->head[AT_NLIST]; i++) {
        int64_t count = saved->counts[i], last = -1;

        if (count < 0 || count > saved->head[AT_TOTAL] - begin)
            return err_set(err, ERR_CORRUPT,
                           "list %" PRId64 " has %" PRId64 " rows; %" PRId64
                           " are left",
                           i, count, saved->head[AT_TOTAL] - begin);
        for (j = begin; j < begin + count; last = saved->slots[j++])
            if (saved->slots[j] <= last ||
                saved->slots[j] >= saved->head[AT_COUNT])
                return err_set(err, ERR_CORRUPT,
                               "list %" PRId64 " has slot %d after %" PRId64
                               ", of %" PRId64,
                               i, saved->slots[j], last, saved->head[AT_COUNT]);
        begin += count;
    }
    if (begin != saved->head[AT_TOTAL])
        return err_set(err, ERR_CORRUPT,
                       "the lists have %" PRId64 " rows, not %" PRId64, begin,
                       saved->head[AT_TOTAL]);
    return 0;
}

static int link_saved(struct lists *lists, const struct saved *saved,
                      struct err *err)
{
    int64_t begin = 0;
    int i;

    for (i = 0; i < lists->nlist; begin += saved->counts[i++]) {
        struct list_chunk *chunk;

        if (saved->counts[i] == 0)
            continue;
        chunk = mem_try(1, sizeof *chunk);
        if (chunk == NULL)
            return err_set(err, ERR_UNAVAILABLE, "no memory for %d lists",
                           lists->nlist);
        chunk->slots = saved->slots + begin;
        chunk->codes = saved->codes + (size_t)begin * lists->shape.code_len;
        chunk->about = saved->about + (size_t)begin * lists->shape.about_len;
        chunk->cap = (int32_t)saved->counts[i];
        atomic_store_explicit(&chunk->count, chunk->cap, memory_order_relaxed);
        lists_link(&lists->lists[i], chunk);
        lists->lists[i].count = saved->counts[i];
    }
    atomic_store_explicit(&lists->count, saved->head[AT_COUNT],
                          memory_order_release);
    return 0;
}

int lists_load(const struct codes *codes, struct checkpoint *checkpoint,
               struct lists **out, struct err *err)
{
    struct saved saved = {0};
    struct kmeans *kmeans = NULL;
    struct lists *made = NULL;
    int rc = find_saved(codes, checkpoint, &saved, err);

    if (rc == 0)
        rc = check_centroids(&saved, err);
    if (rc == 0)
        rc = check_slots(&saved, err);
    if (rc == 0) {
        const struct kmeans_options options = {.dim = codes_dim(codes),
                                               .metric = codes_metric(codes),
                                               .nlist =
                                                   (int)saved.head[AT_NLIST]};

        rc = kmeans_new(saved.centroids, &options, &kmeans, err);
    }
    if (rc == 0)
        rc = lists_new(codes, kmeans, (int)saved.head[AT_NLIST],
                       saved.head[AT_TRAINED_ON], &made, err);
    if (rc == 0)
        rc = link_saved(made, &saved, err);
    if (rc) {
        lists_free(made);
        return rc;
    }
    *out = made;
    return 0;
}

/* --- checking ------------------------------------------------------------- */

struct checking {
    const struct lists *lists;
    uint8_t *is_seen;   /* owned; by slot */
    const float **rows; /* owned; CHECK_STEP */
    int32_t *found;     /* owned; CHECK_STEP, their lists */
    uint8_t *code;      /* owned; one row's */
    uint8_t *about;     /* owned */
};

/* Slots, order, doubles and codes. */
static int check_row(struct checking *check, int list,
                     const struct list_chunk *chunk, int32_t at,
                     struct err *err)
{
    const struct lists *lists = check->lists;
    const struct codes_shape *shape = &lists->shape;
    int32_t slot = chunk->slots[at];

    if (slot < 0 || slot >= lists_count(lists))
        return err_set(err, ERR_CORRUPT,
                       "list %d has slot %d; there are %" PRId64, list, slot,
                       lists_count(lists));
    if (check->is_seen[slot])
        return err_set(err, ERR_CORRUPT,
                       "slot %d is in list %d and in another place", slot,
                       list);
    check->is_seen[slot] = 1;
    codes_copy(lists->codes, slot, check->code, check->about);
    if (memcmp(check->code, chunk->codes + (size_t)at * shape->code_len,
               shape->code_len) != 0 ||
        memcmp(check->about, chunk->about + (size_t)at * shape->about_len,
               shape->about_len) != 0)
        return err_set(err, ERR_CORRUPT, "slot %d has other codes in list %d",
                       slot, list);
    return 0;
}

/* Whether `count` rows of a chunk are where they belong. */
static int check_places(struct checking *check, int list, const int32_t *slots,
                        int32_t count, struct err *err)
{
    const struct lists *lists = check->lists;
    int32_t i;
    int rc = 0;

    for (i = 0; rc == 0 && i < count; i++)
        rc = codes_row(lists->codes, slots[i], &check->rows[i], err);
    if (rc == 0)
        rc = kmeans_assign(lists->kmeans, check->rows, count, 1, check->found,
                           NULL, err);
    for (i = 0; rc == 0 && i < count; i++)
        if (check->found[i] != list)
            rc = err_set(err, ERR_CORRUPT,
                         "slot %d is in list %d; it belongs in %d", slots[i],
                         list, check->found[i]);
    return rc;
}

static int check_chunk(struct checking *check, int list,
                       const struct list_chunk *chunk, struct err *err)
{
    int32_t count = lists_chunk_count(chunk), i, part;
    int rc = 0;

    for (i = 0; rc == 0 && i < count; i++)
        rc = check_row(check, list, chunk, i, err);
    for (i = 0; rc == 0 && i < count; i += part) {
        part = count - i < CHECK_STEP ? count - i : CHECK_STEP;
        rc = check_places(check, list, chunk->slots + i, part, err);
    }
    return rc;
}

int lists_check(struct lists *lists, struct err *err)
{
    struct checking check = {
        .lists = lists,
        .is_seen = mem_try((size_t)lists_count(lists) + 1, 1),
        .rows = mem_try(CHECK_STEP, sizeof *check.rows),
        .found = mem_try(CHECK_STEP, sizeof *check.found),
        .code = mem_try_aligned(1, lists->shape.code_len),
        .about = mem_try_aligned(1, lists->shape.about_len),
    };
    const struct list_chunk *chunk;
    int i, rc = 0;

    if (check.is_seen == NULL || check.rows == NULL || check.found == NULL ||
        check.code == NULL || check.about == NULL)
        rc = err_set(err, ERR_UNAVAILABLE, "no memory to check %d lists",
                     lists->nlist);
    for (i = 0; rc == 0 && i < lists->nlist; i++)
        for (chunk = lists_first(&lists->lists[i]); rc == 0 && chunk != NULL;
             chunk = lists_next(chunk))
            rc = check_chunk(&check, i, chunk, err);
    mem_free(check.is_seen);
    mem_free(check.rows);
    mem_free(check.found);
    mem_free(check.code);
    mem_free(check.about);
    return rc;
}
