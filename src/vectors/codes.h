/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of a store as they are searched: float32, float16, bfloat16 or int8
 * with a scale for each row; and where their float32 rows lie, by which what is
 * found is ranked.
 *
 * Inside, a distance is smaller when nearer: L2 is squared, the inner product
 * and the cosine carry a minus. An approximate distance comes with a bound of
 * its error (Cauchy and Schwarz, codes.c), so that an exact search needs the
 * float32 rows of those only that can be among the k nearest.
 *
 * One thread adds rows; any read those below a count that was published to
 * them. */
#ifndef OLHO_VECTORS_CODES_H
#define OLHO_VECTORS_CODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "vectors/checkpoint.h"
#include "vectors/nearest.h"
#include "vectors/slots.h"
#include "vectors/vecindex.h"
#include "vectors/vecstore.h"

struct codes;

/* Called before the float32 row of a slot is read for the first time (by
 * several threads at once, perhaps): verifies the checksum of its record.
 * ERR_CORRUPT. */
typedef int codes_check_fn(void *user, int64_t slot, struct err *err);

struct codes_options {
    int dim;
    enum vecindex_metric metric; /* not ANY */
    enum vec_storage storage;    /* not ANY */
    codes_check_fn *check;       /* NULL: rows are known to be right */
    void *user;
    const int64_t *ids; /* by slot, borrowed: what `nearest` is offered instead
                         * of slots, and ties go by; NULL: slots */
};

MUST_CHECK int codes_new(const struct codes_options *options,
                         struct codes **out, struct err *err);
void codes_free(struct codes *codes); /* NULL is allowed */

/* Adds the next `count` slots. The rows (of finite values; rows[i] need not be
 * aligned) are borrowed until codes_free and do not move: they are mapped.
 * They are read now, so they are known to be right. ERR_UNAVAILABLE: none was
 * added. */
MUST_CHECK int codes_add(struct codes *codes, const float *const *rows,
                         int64_t count, struct err *err);

int64_t codes_count(const struct codes *codes);
int64_t codes_memory(const struct codes *codes); /* bytes, mapped left out */
int codes_dim(const struct codes *codes);
enum vecindex_metric codes_metric(const struct codes *codes);
enum vec_storage codes_storage(const struct codes *codes);
const char *codes_kernels(const struct codes *codes); /* "avx2" */

/* The float32 row of a slot; checked first. ERR_CORRUPT. */
MUST_CHECK int codes_row(const struct codes *codes, int64_t slot,
                         const float **out, struct err *err);

/* --- into a checkpoint and back ------------------------------------------- */

/* The slots below `count`; their float32 rows are not in it. */
void codes_save(const struct codes *codes, int64_t count,
                struct checkpoint_writer *writer);

/* rows[i] is where the float32 row of slot i lies (copied; not looked at until
 * it is needed, and then checked). */
MUST_CHECK int codes_load(const struct codes_options *options,
                          struct checkpoint *checkpoint,
                          const float *const *rows, int64_t count,
                          struct codes **out, struct err *err);

/* --- a search --------------------------------------------------------------
 */

/* A query as the storage wants it. Of one thread at a time. */
struct codes_query;

/* `vector` (dim floats) is borrowed until codes_query_free. */
MUST_CHECK int codes_query_new(const struct codes *codes, const float *vector,
                               struct codes_query **out, struct err *err);

/* The same for a row of the codes themselves, for building graphs and lists:
 * no float32 row is read. */
MUST_CHECK int codes_query_slot(const struct codes *codes, int64_t slot,
                                struct codes_query **out, struct err *err);
void codes_query_free(struct codes_query *query); /* NULL is allowed */

/* Points a query that codes_query_slot made at another slot; no memory. */
void codes_query_move(const struct codes *codes, struct codes_query *query,
                      int64_t slot);

/* Approximate distances to `count` slots, wherever they lie. */
void codes_distances(const struct codes *codes, const struct codes_query *query,
                     const int32_t *slots, int count, float *out);

/* What a distance of codes_distances may be off by, at most. */
float codes_error(const struct codes *codes, const struct codes_query *query,
                  int64_t slot, float distance);

/* Whether two rows are equal as they are kept. */
bool codes_is_equal(const struct codes *codes, int64_t a, int64_t b);

/* Offers the exact float32 distances of `count` slots to `nearest` (ids are
 * slots, or those of the options), leaving out those that are farther than
 * `limit` (INFINITY: none) or that the error bound already rules out. approx:
 * of codes_distances, or NULL. ERR_CORRUPT. */
MUST_CHECK int codes_rerank(const struct codes *codes,
                            const struct codes_query *query,
                            const int32_t *slots, const float *approx,
                            int count, float limit, struct nearest *nearest,
                            struct err *err);

/* Offers the exact nearest of the slots begin..end-1 that pass the filter and
 * are not farther than `limit`: what looking at every float32 row would offer.
 * On up to `thread_count` threads, fewer when there is little to look at.
 * ERR_UNAVAILABLE, ERR_CORRUPT. */
MUST_CHECK int codes_scan(const struct codes *codes,
                          const struct codes_query *query, int64_t begin,
                          int64_t end, const struct slot_filter *filter,
                          float limit, int thread_count,
                          struct nearest *nearest, struct err *err);

/* --- copies that lie one behind the other ----------------------------------
 * What is kept of a row is code_len bytes, and about_len bytes that its
 * distances need beside them (a scale, lengths). A copy of both stands for the
 * row, so that lists.c has the rows of a list in one piece. */

struct codes_shape {
    size_t code_len, about_len; /* bytes */
};

void codes_shape(const struct codes *codes, struct codes_shape *out);
void codes_copy(const struct codes *codes, int64_t slot, void *code,
                void *about);

/* Where the codes of the slots from `slot` on, and what goes with them, lie
 * one behind the other already, and how many below `end` do (one or more). */
int64_t codes_piece(const struct codes *codes, int64_t slot, int64_t end,
                    const void **code, const void **about);

/* Approximate distances to `count` copies, whose codes lie one behind the
 * other (aligned to 64) and what goes with them likewise (aligned to 4), and
 * what each may be off by (errors). */
void codes_run(const struct codes *codes, const struct codes_query *query,
               const void *code, const void *about, int count, float *out,
               float *errors);

#endif
