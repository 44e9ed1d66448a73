/* SPDX-License-Identifier: Apache-2.0 */
/* Codes are looked at in runs. A row's distance lies between a lower and an
 * upper number (codes_parts.h); the k-th smallest of the upper ones is a limit
 * that k rows keep, and a row whose lower one is above it cannot be among the k
 * nearest. Those that are left are looked at in float32, by their lower
 * numbers, until the k-th nearest is nearer than the next lower one. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "vectors/codes_parts.h"
#include "vectors/parallel.h"

/* Bytes of rows for which another thread is worth its start. */
enum { THREAD_LEN = 8 << 20 };

/* Rows that a thread takes at once. */
enum { PART_LEN = BLOCK_ROWS / 4, KEPT_MIN = 256, BATCH = 16 };

struct kept {
    float lower;
    int32_t slot;
};

/* What one thread has found. */
struct part {
    struct nearest uppers; /* owned hits; the k smallest upper numbers */
    struct nearest exact;  /* owned hits; float32 only */
    struct kept *kept;     /* owned */
    int64_t kept_count, kept_cap;
    int rc;
    struct err err;
};

struct scan {
    const struct codes *codes;
    const struct codes_query *query;
    const struct slot_filter *filter;
    int64_t begin;
    _Atomic float limit;  /* of all threads; relaxed: any earlier one holds */
    struct part *parts;   /* owned; of each thread */
    _Atomic bool is_over; /* a thread failed; relaxed */
};

/* Slots of one run, where their codes or rows lie, and what is known of
 * them. */
struct run {
    int count;
    int32_t slots[CODES_RUN_LEN];
    const void *places[CODES_RUN_LEN];
    const struct code_row *about[CODES_RUN_LEN];
    float inner[CODES_RUN_LEN];
};

static float limit_of(struct scan *scan)
{
    return atomic_load_explicit(&scan->limit, memory_order_relaxed);
}

static void lower_limit(struct scan *scan, float limit)
{
    float old = limit_of(scan);

    while (limit < old && !atomic_compare_exchange_weak_explicit(
                              &scan->limit, &old, limit, memory_order_relaxed,
                              memory_order_relaxed))
        continue;
}

static bool passes(const struct scan *scan, int64_t slot)
{
    return scan->filter == NULL || slot_passes(scan->filter, slot);
}

/* --- runs ----------------------------------------------------------------- */

/* Lists what is wanted of begin..end-1, up to a run of it; gives where the next
 * run begins. */
static int64_t list_wanted(const struct slot_filter *filter, int64_t begin,
                           int64_t end, int32_t *out, int *out_count)
{
    int64_t slot = begin;
    int count = 0;

    if (end > filter->wanted_count)
        end = filter->wanted_count;
    while (slot < end && count < CODES_RUN_LEN) {
        uint64_t word = filter->wanted[slot >> 6] >> (slot & 63);

        if (word == 0) {
            slot = (slot | 63) + 1;
            continue;
        }
        slot += __builtin_ctzll(word);
        if (slot < end)
            out[count++] = (int32_t)slot;
        slot++;
    }
    *out_count = count;
    return slot;
}

/* Only what is wanted is looked at, from four streams as in fill_all. Gives
 * where the next run begins. */
static int64_t fill_wanted(const struct scan *scan, int64_t begin, int64_t end,
                           struct run *run)
{
    const struct codes *codes = scan->codes;
    int32_t listed[CODES_RUN_LEN];
    int len = 0, quarter, count = 0, i, j;
    int64_t next = list_wanted(scan->filter, begin, end, listed, &len);

    quarter = (len + CODES_STREAMS - 1) / CODES_STREAMS;
    for (i = 0; i < quarter; i++)
        for (j = i; j < len; j += quarter) {
            run->slots[count] = listed[j];
            run->about[count] = codes_about(codes, listed[j]);
            if (codes->stride > 0)
                run->places[count] = blocks_at(&codes->codes, listed[j]);
            count++;
        }
    run->count = count;
    return count > 0 ? next : end;
}

/* All of begin..end-1, which lie in one block. Kernels take four rows at once:
 * from four streams, far enough apart for the processor to fetch each ahead
 * (where memory is the limit, three times the speed of four rows beside each
 * other). */
static void fill_all(const struct codes *codes, int64_t begin, int64_t end,
                     struct run *run)
{
    const struct code_row *about = codes_about(codes, begin);
    const uint8_t *code =
        codes->stride > 0 ? blocks_at(&codes->codes, begin) : NULL;
    int len = (int)(end - begin),
        quarter = (len + CODES_STREAMS - 1) / CODES_STREAMS;
    int count = 0, i, j;

    for (i = 0; i < quarter; i++)
        for (j = i; j < len; j += quarter) {
            run->slots[count] = (int32_t)(begin + j);
            if (code != NULL)
                run->places[count] = code + (size_t)j * codes->stride;
            run->about[count++] = about + j;
        }
    run->count = count;
}

/* Fills the next run of begin..end-1; gives where the one after it begins. */
static int64_t fill_run(const struct scan *scan, int64_t begin, int64_t end,
                        struct run *run)
{
    int64_t len = blocks_run(begin), next;

    if (scan->filter != NULL && scan->filter->wanted != NULL)
        return fill_wanted(scan, begin, end, run);
    len = len < CODES_RUN_LEN ? len : CODES_RUN_LEN;
    next = begin + (len < end - begin ? len : end - begin);
    fill_all(scan->codes, begin, next, run);
    return next;
}

/* --- codes ---------------------------------------------------------------- */

static int keep(struct part *part, float lower, int64_t slot, struct err *err)
{
    if (part->kept_count == part->kept_cap) {
        int64_t cap = part->kept_cap > 0 ? 2 * part->kept_cap : KEPT_MIN;
        struct kept *kept =
            mem_resize(part->kept, (size_t)cap, sizeof *part->kept);

        if (kept == NULL)
            return err_set(err, ERR_UNAVAILABLE, "no memory for a search");
        part->kept = kept;
        part->kept_cap = cap;
    }
    part->kept[part->kept_count++] = (struct kept){lower, (int32_t)slot};
    return 0;
}

/* Keeps what the limit lets through, and lowers it. */
static int take_row(struct scan *scan, struct part *part,
                    const struct code_row *row, int64_t slot, float inner)
{
    float middle = codes_middle(scan->codes, scan->query, row, inner);
    float off = codes_off(scan->codes, scan->query, row, inner);

    if (middle - off > limit_of(scan) || !passes(scan, slot))
        return 0;
    nearest_offer(&part->uppers, &(struct near){middle + off, slot});
    if (part->uppers.count == part->uppers.k)
        lower_limit(scan, part->uppers.hits[0].distance);
    return keep(part, middle - off, slot, &part->err);
}

static int take_run(struct scan *scan, struct part *part, struct run *run)
{
    const struct code_test test = scan->query->test;
    float limit = limit_of(scan);
    int i, rc = 0;

    codes_inner(scan->codes, scan->query, run->places, run->count, run->inner);
    for (i = 0; i < run->count && rc == 0; i++) {
        const struct code_row *row = run->about[i];

        /* Most are ruled out before the angle is looked at. */
        if (codes_lower(&test, row, run->inner[i]) > limit)
            continue;
        rc = take_row(scan, part, row, run->slots[i],
                      run->inner[i] * row->scale);
        limit = limit_of(scan);
    }
    return rc;
}

/* --- float32 rows --------------------------------------------------------- */

static int take_exact(struct scan *scan, struct part *part, struct run *run)
{
    struct near near;
    int i, rc;

    for (i = 0; i < run->count; i++) {
        const float *row;

        rc = codes_row(scan->codes, run->slots[i], &row, &part->err);
        if (rc)
            return rc;
        run->places[i] = row;
    }
    codes_exact(scan->codes, scan->query, run->slots,
                (const float *const *)run->places, run->count, run->inner);
    for (i = 0; i < run->count; i++) {
        if (run->inner[i] > limit_of(scan) || !passes(scan, run->slots[i]))
            continue;
        near = codes_near(scan->codes, run->inner[i], run->slots[i]);
        nearest_offer(&part->exact, &near);
        if (part->exact.count == part->exact.k)
            lower_limit(scan, part->exact.hits[0].distance);
    }
    return 0;
}

/* --- all threads ---------------------------------------------------------- */

static void scan_part(void *user, int worker, int64_t begin, int64_t end)
{
    struct scan *scan = user;
    struct part *part = &scan->parts[worker];
    struct run run = {0};

    begin += scan->begin;
    end += scan->begin;
    while (begin < end &&
           !atomic_load_explicit(&scan->is_over, memory_order_relaxed)) {
        begin = fill_run(scan, begin, end, &run);
        if (run.count == 0)
            continue;
        part->rc = scan->codes->stride > 0 ? take_run(scan, part, &run)
                                           : take_exact(scan, part, &run);
        if (part->rc)
            atomic_store_explicit(&scan->is_over, true, memory_order_relaxed);
    }
}

static int by_lower(const void *a, const void *b)
{
    const struct kept *x = a, *y = b;

    if (x->lower != y->lower)
        return x->lower < y->lower ? -1 : 1;
    return x->slot < y->slot ? -1 : x->slot > y->slot;
}

/* Looks at what a thread kept, nearest first. */
static int rerank(struct scan *scan, struct part *part, float limit,
                  struct nearest *nearest, struct err *err)
{
    int32_t slots[BATCH];
    float end = limit_of(scan);
    int64_t i, count = 0;
    int len, rc = 0;

    for (i = 0; i < part->kept_count; i++)
        if (part->kept[i].lower <= end)
            part->kept[count++] = part->kept[i];
    if (count > 1)
        qsort(part->kept, (size_t)count, sizeof *part->kept, by_lower);
    for (i = 0; i < count && rc == 0; i += len) {
        if (nearest->count == nearest->k &&
            part->kept[i].lower > nearest->hits[0].distance)
            break;
        for (len = 0; len < BATCH && i + len < count; len++)
            slots[len] = part->kept[i + len].slot;
        rc = codes_rerank(scan->codes, scan->query, slots, NULL, len, limit,
                          nearest, err);
    }
    return rc;
}

static int begin_parts(struct scan *scan, int thread_count, int k,
                       struct err *err)
{
    int i;

    scan->parts = mem_try((size_t)thread_count, sizeof *scan->parts);
    for (i = 0; scan->parts != NULL && i < thread_count; i++) {
        struct nearest *nearest = scan->codes->stride > 0
                                      ? &scan->parts[i].uppers
                                      : &scan->parts[i].exact;

        nearest->k = k;
        nearest->hits = mem_try((size_t)k, sizeof *nearest->hits);
        if (nearest->hits == NULL)
            return err_set(err, ERR_UNAVAILABLE, "no memory for a search");
    }
    return scan->parts != NULL
               ? 0
               : err_set(err, ERR_UNAVAILABLE, "no memory for a search");
}

/* Offers what the threads found; the first error of any is the scan's. */
static int end_parts(struct scan *scan, int thread_count, float limit,
                     struct nearest *nearest, struct err *err)
{
    int i, j, rc = 0;

    for (i = 0; i < thread_count && rc == 0; i++) {
        rc = scan->parts[i].rc;
        if (rc)
            *err = scan->parts[i].err;
    }
    for (i = 0; i < thread_count && rc == 0; i++) {
        for (j = 0; j < scan->parts[i].exact.count; j++)
            nearest_offer(nearest, &scan->parts[i].exact.hits[j]);
        rc = rerank(scan, &scan->parts[i], limit, nearest, err);
    }
    return rc;
}

/* Starting a thread takes some 50 us, in which one looks at 1 MB. */
static int threads_for(const struct codes *codes, int64_t count, int wanted)
{
    int64_t row_len = codes->stride > 0
                          ? (int64_t)codes->stride
                          : codes->options.dim * (int64_t)sizeof(float);
    int64_t most = 1 + count * row_len / THREAD_LEN;

    return wanted < most ? wanted : (int)most;
}

int codes_scan(const struct codes *codes, const struct codes_query *query,
               int64_t begin, int64_t end, const struct slot_filter *filter,
               float limit, int thread_count, struct nearest *nearest,
               struct err *err)
{
    struct scan scan = {.codes = codes,
                        .query = query,
                        .filter = filter,
                        .begin = begin,
                        .limit = limit};
    int i, rc;

    if (begin >= end)
        return 0;
    thread_count = threads_for(codes, end - begin, thread_count);
    if (nearest->count == nearest->k)
        lower_limit(&scan, nearest->hits[0].distance);
    rc = begin_parts(&scan, thread_count, nearest->k, err);
    if (rc == 0) {
        parallel_run(thread_count, end - begin, PART_LEN, scan_part, &scan);
        rc = end_parts(&scan, thread_count, limit, nearest, err);
    }
    for (i = 0; scan.parts != NULL && i < thread_count; i++) {
        mem_free(scan.parts[i].uppers.hits);
        mem_free(scan.parts[i].exact.hits);
        mem_free(scan.parts[i].kept);
    }
    mem_free(scan.parts);
    return rc;
}
