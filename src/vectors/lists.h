/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of the rows of a store, each around a centroid (IVF, Sivic and
 * Zisserman 2003): a search looks at the nprobe nearest lists, whose codes lie
 * one behind the other.
 *
 * One thread at a time trains, inserts or saves; any number search beside it
 * and never wait. */
#ifndef OLHO_VECTORS_LISTS_H
#define OLHO_VECTORS_LISTS_H

#include <stdint.h>

#include "base/err.h"
#include "vectors/checkpoint.h"
#include "vectors/codes.h"
#include "vectors/nearest.h"
#include "vectors/slots.h"

struct lists;

/* Trains `nlist` (0: 4 * square root of the count) centroids by k-means on the
 * rows of the slots below `count` that are not removed, on up to thread_count
 * threads; no slot is in a list yet. codes is borrowed until lists_free.
 * ERR_UNAVAILABLE: no memory, or stopped by progress. */
MUST_CHECK int lists_train(const struct codes *codes, int64_t count,
                           const struct blocks *removed, int nlist,
                           int thread_count, uint64_t seed,
                           vec_progress_fn *progress, void *user,
                           struct lists **out, struct err *err);
void lists_free(struct lists *lists); /* NULL is allowed */

int lists_nlist(const struct lists *lists);
int64_t lists_count(const struct lists *lists); /* slots below this are in */
int64_t lists_trained_on(const struct lists *lists); /* rows at that time */
int64_t lists_memory(const struct lists *lists);     /* bytes */

/* Puts the slots lists_count..end-1 in, but those that are removed. */
MUST_CHECK int lists_insert(struct lists *lists, int64_t end,
                            const struct blocks *removed, int thread_count,
                            vec_progress_fn *progress, void *user,
                            struct err *err);

/* Offers the nearest (exact float32 distances; ids are slots) of the rows that
 * pass the filter in the nprobe nearest lists, and in more until k were seen
 * or there are no more. *out_seen: rows that passed; *out_is_exact: all lists
 * were looked at. */
MUST_CHECK int lists_search(struct lists *lists,
                            const struct codes_query *query, int nprobe,
                            const struct slot_filter *filter, float limit,
                            struct nearest *nearest, int64_t *out_seen,
                            bool *out_is_exact, struct err *err);

/* Every slot is in one list at most, in the right one: ERR_CORRUPT. */
MUST_CHECK int lists_check(struct lists *lists, struct err *err);

void lists_save(struct lists *lists, struct checkpoint_writer *writer);
MUST_CHECK int lists_load(const struct codes *codes,
                          struct checkpoint *checkpoint, struct lists **out,
                          struct err *err);

#endif
