/* SPDX-License-Identifier: Apache-2.0 */
/* A list is scanned by its copies of codes. Each row's distance then lies
 * between two numbers; the k-th smallest upper one is a limit, and only rows
 * whose lower one is not above it are looked at in float32, by their lower
 * numbers, until the k-th nearest is nearer than the next.
 *
 * When all lists are looked at, the numbers are certain (codes.h). Else what
 * rounding adds to an inner product is taken for a sum of independent small
 * terms: its spread is about the bound of Cauchy and Schwarz by the square root
 * of the number of values, and SPREADS of that is enough. A row that is missed
 * so, if ever there is one, is missed by a search that leaves out whole
 * lists. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "vectors/lists_parts.h"

enum {
    RUN_LEN = 256, /* rows in one call of codes_run */
    KEPT_MIN = 256,
    BATCH = 16, /* rows that are looked at in float32 together */
    SPREADS = 6,
};

struct kept {
    float lower, approx;
    int32_t slot;
};

struct lists_scan {
    struct lists *lists;
    const struct lists_query *query;
    struct nearest *nearest;
    struct nearest upper; /* owned hits; the upper numbers of rows that pass */
    float share;          /* of the errors that is counted on */
    int64_t seen;         /* rows that passed; not counted beyond k */
    bool is_certain;      /* what was ruled out was so for certain */
    struct kept *kept;    /* owned; rows to look at in float32 */
    int64_t kept_count, kept_cap;
};

/* --- rows ----------------------------------------------------------------- */

/* Rows whose lower number is above this are ruled out. */
static float bound_of(const struct lists_scan *scan)
{
    const struct nearest *upper = &scan->upper, *nearest = scan->nearest;
    float bound = scan->query->limit;

    if (upper->count == upper->k && upper->hits[0].distance < bound)
        bound = upper->hits[0].distance;
    if (nearest->count == nearest->k && nearest->hits[0].distance < bound)
        bound = nearest->hits[0].distance;
    return bound;
}

/* Drops what the bound rules out by now. */
static void sift(struct lists_scan *scan)
{
    float bound = bound_of(scan);
    int64_t i, count = 0;

    for (i = 0; i < scan->kept_count; i++)
        if (scan->kept[i].lower <= bound)
            scan->kept[count++] = scan->kept[i];
    scan->kept_count = count;
}

static int make_room(struct lists_scan *scan, struct err *err)
{
    struct kept *kept;
    int64_t cap;

    sift(scan);
    /* Sifting again and again for a few rows would take long. */
    if (scan->kept_count <= scan->kept_cap / 2)
        return 0;
    cap = 2 * scan->kept_cap;
    kept = mem_resize(scan->kept, (size_t)cap, sizeof *kept);
    if (kept == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory to search %d lists",
                       scan->lists->nlist);
    scan->kept = kept;
    scan->kept_cap = cap;
    return 0;
}

static int by_lower(const void *a, const void *b)
{
    const struct kept *x = a, *y = b;

    if (x->lower != y->lower)
        return x->lower < y->lower ? -1 : 1;
    return x->slot < y->slot ? -1 : x->slot > y->slot;
}

/* Looks at what was kept, nearest first. */
static int rank(struct lists_scan *scan, struct err *err)
{
    struct nearest *nearest = scan->nearest;
    int32_t slots[BATCH];
    float approx[BATCH];
    int64_t done;
    int len, rc = 0;

    sift(scan);
    if (scan->kept_count > 1)
        qsort(scan->kept, (size_t)scan->kept_count, sizeof *scan->kept,
              by_lower);
    for (done = 0; done < scan->kept_count && rc == 0; done += len) {
        if (scan->kept[done].lower > bound_of(scan))
            break;
        for (len = 0; len < BATCH && done + len < scan->kept_count; len++) {
            slots[len] = scan->kept[done + len].slot;
            approx[len] = scan->kept[done + len].approx;
        }
        rc = codes_rerank(scan->lists->codes, scan->query->query, slots, approx,
                          len, scan->query->limit, nearest, err);
    }
    return rc;
}

static int take_run(struct lists_scan *scan, const int32_t *slots,
                    const float *distances, const float *errors, int count,
                    struct err *err)
{
    float bound = bound_of(scan);
    int i, rc = 0;

    for (i = 0; rc == 0 && i < count; i++) {
        float error = scan->share * errors[i];
        bool is_near = distances[i] - error <= bound;

        if (!is_near && scan->seen >= scan->upper.k) {
            scan->is_certain = scan->is_certain && scan->share >= 1;
            continue;
        }
        if (scan->query->filter != NULL &&
            !slot_passes(scan->query->filter, slots[i]))
            continue;
        scan->seen++;
        if (!is_near) {
            scan->is_certain = scan->is_certain && scan->share >= 1;
            continue;
        }
        nearest_offer(&scan->upper,
                      &(struct near){distances[i] + error, slots[i]});
        bound = bound_of(scan);
        if (scan->kept_count == scan->kept_cap)
            rc = make_room(scan, err);
        if (rc == 0)
            scan->kept[scan->kept_count++] =
                (struct kept){distances[i] - error, distances[i], slots[i]};
    }
    return rc;
}

static int scan_chunk(struct lists_scan *scan, const struct list_chunk *chunk,
                      struct err *err)
{
    const struct lists *lists = scan->lists;
    float distances[RUN_LEN], errors[RUN_LEN];
    int32_t count = lists_chunk_count(chunk), done, part;
    int rc = 0;

    while (count > 0 && chunk->slots[count - 1] >= scan->query->end)
        count--;
    for (done = 0; rc == 0 && done < count; done += part) {
        part = count - done < RUN_LEN ? count - done : RUN_LEN;
        codes_run(lists->codes, scan->query->query,
                  chunk->codes + (size_t)done * lists->shape.code_len,
                  chunk->about + (size_t)done * lists->shape.about_len, part,
                  distances, errors);
        rc = take_run(scan, chunk->slots + done, distances, errors, part, err);
    }
    return rc;
}

static int scan_list(struct lists_scan *scan, int64_t list, struct err *err)
{
    const struct list_chunk *chunk = lists_first(&scan->lists->lists[list]);
    int rc = 0;

    for (; rc == 0 && chunk != NULL; chunk = lists_next(chunk))
        rc = scan_chunk(scan, chunk, err);
    return rc;
}

/* --- lists ---------------------------------------------------------------- */

static void measure_lists(const struct lists_scan *scan, float *out)
{
    const struct lists *lists = scan->lists;
    float errors[RUN_LEN];
    int done, part;

    for (done = 0; done < lists->nlist; done += part) {
        part = lists->nlist - done < RUN_LEN ? lists->nlist - done : RUN_LEN;
        codes_run(lists->codes, scan->query->query,
                  lists->centroids + (size_t)done * lists->shape.code_len,
                  lists->centroid_about + (size_t)done * lists->shape.about_len,
                  part, out + done, errors);
    }
}

/* The `width` nearest lists, nearest first, ties by number. */
static void choose_lists(const float *distances, int nlist, int width,
                         struct near *out)
{
    struct nearest nearest = {.hits = out, .k = width};
    int i;

    for (i = 0; i < nlist; i++)
        nearest_offer(&nearest, &(struct near){distances[i], i});
    nearest_sort(&nearest);
}

/* When the nprobe nearest come out short of k, twice as many are asked, and so
 * on. */
static int scan_lists(struct lists_scan *scan, const float *distances,
                      struct near *order, struct err *err)
{
    int nlist = scan->lists->nlist, done = 0, rc = 0;
    int width = scan->query->nprobe < nlist ? scan->query->nprobe : nlist;

    while (rc == 0 && done < nlist &&
           (done == 0 || scan->seen < scan->nearest->k)) {
        choose_lists(distances, nlist, width, order);
        for (; rc == 0 && done < width; done++)
            rc = scan_list(scan, order[done].id, err);
        width = width > nlist / 2 ? nlist : 2 * width;
    }
    scan->is_certain = scan->is_certain && done == nlist;
    return rc ? rc : rank(scan, err);
}

int lists_search(struct lists *lists, const struct lists_query *query,
                 struct nearest *nearest, bool *out_is_exact, struct err *err)
{
    size_t nlist = (size_t)lists->nlist;
    float share = SPREADS / sqrtf((float)codes_dim(lists->codes));
    float *measured = mem_try(nlist, sizeof *measured);
    struct near *order = mem_try(nlist, sizeof *order);
    struct lists_scan scan = {
        .lists = lists,
        .query = query,
        .nearest = nearest,
        .upper = {.hits = mem_try((size_t)nearest->k, sizeof *order),
                  .k = nearest->k},
        .share = share < 1 && query->nprobe < lists->nlist ? share : 1,
        .is_certain = true,
        .kept = mem_try(KEPT_MIN, sizeof *scan.kept),
        .kept_cap = KEPT_MIN};
    int rc;

    if (measured == NULL || order == NULL || scan.upper.hits == NULL ||
        scan.kept == NULL) {
        rc = err_set(err, ERR_UNAVAILABLE, "no memory to search %d lists",
                     lists->nlist);
    } else {
        if (query->distances == NULL)
            measure_lists(&scan, measured);
        rc = scan_lists(&scan,
                        query->distances == NULL ? measured : query->distances,
                        order, err);
        if (rc == 0)
            *out_is_exact = scan.is_certain;
    }
    mem_free(scan.kept);
    mem_free(scan.upper.hits);
    mem_free(measured);
    mem_free(order);
    return rc;
}
