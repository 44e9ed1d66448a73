/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of the rows of a store, each around a centroid (IVF, Sivic and
 * Zisserman 2003): a search looks at the nprobe nearest lists, whose codes lie
 * one behind the other.
 *
 * One thread at a time trains, inserts or saves; any number search beside it
 * and never wait. */
#ifndef OLHO_VECTORS_LISTS_H
#define OLHO_VECTORS_LISTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "vectors/checkpoint.h"
#include "vectors/codes.h"
#include "vectors/nearest.h"
#include "vectors/slots.h"

struct lists;

enum { LISTS_MAX = VECINDEX_NLIST_MAX };

struct lists_options {
    int nlist; /* 1..LISTS_MAX; 0: 4 * square root of the rows. No more than
                * there are rows */
    int thread_count;
    uint64_t seed; /* the same seed and rows: the same lists, on any number of
                    * threads */
    vec_progress_fn *progress; /* NULL: none. Not 0 stops: ERR_UNAVAILABLE */
    void *user;
};

/* Trains centroids by k-means on the rows of the slots below `count` that are
 * not removed (at least one: ERR_INVALID); no slot is in a list yet. codes is
 * borrowed until lists_free. ERR_UNAVAILABLE; ERR_CORRUPT: a row is. The caller
 * owns *out. */
MUST_CHECK int lists_train(const struct codes *codes, int64_t count,
                           const struct blocks *removed,
                           const struct lists_options *options,
                           struct lists **out, struct err *err);
void lists_free(struct lists *lists); /* NULL is allowed */

int lists_nlist(const struct lists *lists);
int64_t lists_count(const struct lists *lists); /* slots below this are in, but
                                                 * those that were removed */
/* Rows that there were when the centroids were made: lists that have grown to
 * several times as many are better trained anew. */
int64_t lists_trained_on(const struct lists *lists);
int64_t lists_memory(const struct lists *lists); /* bytes, mapped left out */

/* Puts the slots lists_count..end-1 in, but those that are removed by then.
 * On failure (ERR_UNAVAILABLE: no memory, or stopped; ERR_CORRUPT) what went in
 * stays in and is counted. */
MUST_CHECK int lists_insert(struct lists *lists, int64_t end,
                            const struct blocks *removed, int thread_count,
                            vec_progress_fn *progress, void *user,
                            struct err *err);

struct lists_query {
    const struct codes_query *query; /* borrowed */
    int nprobe;                      /* 1 or more; all: exact */
    int64_t end; /* only slots below this, a lists_count that was read before:
                  * what is inserted meanwhile is left to whoever scans the
                  * slots from there on */
    const struct slot_filter *filter; /* NULL: all pass */
    const float *distances;           /* of the centroids, smaller when nearer;
                                       * NULL: by their codes */
    float limit; /* what is farther is left out; INFINITY: none */
};

/* Offers the nearest (exact float32 distances; ids are slots) of the rows that
 * pass the filter in the nprobe nearest lists, and in more until k have passed
 * or there are no more lists. *out_is_exact: what looking at every row below
 * `end` would offer. ERR_UNAVAILABLE, ERR_CORRUPT. */
MUST_CHECK int lists_search(struct lists *lists,
                            const struct lists_query *query,
                            struct nearest *nearest, bool *out_is_exact,
                            struct err *err);

/* The lists of others: centroids (nlist * dim, copied), and which slots each
 * has, begins[i] up to begins[i + 1]. The rows stay where codes has them, so it
 * does not grow. The caller owns *out. ERR_UNAVAILABLE. */
MUST_CHECK int lists_adopt(const struct codes *codes, const float *centroids,
                           int nlist, const int64_t *begins, struct lists **out,
                           struct err *err);

/* Every slot is in one list at most, in the right one, with the codes that it
 * has: ERR_CORRUPT names the first that is not. */
MUST_CHECK int lists_check(struct lists *lists, struct err *err);

void lists_save(struct lists *lists, struct checkpoint_writer *writer);

/* codes: borrowed until lists_free; checkpoint: until then too, since what is
 * mapped stays there. ERR_CORRUPT, ERR_UNAVAILABLE. */
MUST_CHECK int lists_load(const struct codes *codes,
                          struct checkpoint *checkpoint, struct lists **out,
                          struct err *err);

/* The lists, around the same centroids, of the slots that are left when others
 * are dropped: to[slot], for slots below lists_count, is a slot's new number or
 * SLOT_NONE; numbers keep the order. codes are those after it. The caller owns
 * *out. ERR_UNAVAILABLE. */
MUST_CHECK int lists_renumber(const struct lists *lists,
                              const struct codes *codes, const int32_t *to,
                              struct lists **out, struct err *err);

#endif
