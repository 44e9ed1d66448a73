/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of an index in memory: where each entry's vector and names lie.
 *
 * Rows are added and never moved or taken away, so any number of threads read
 * rows 0..count-1 without a lock while one thread adds. */
#ifndef OLHO_VECTORS_FLAT_ROWS_H
#define OLHO_VECTORS_FLAT_ROWS_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/err.h"
#include "vectors/flat_record.h"

enum { FLAT_ROWS_BLOCKS_MAX = 40 };

/* A block has as many rows as all before it; the first has 1024. The three
 * arrays are written before `count` is raised past them; only names[] changes
 * after that. */
struct flat_block {
    const float **vectors;                    /* owned array, borrowed rows */
    float *scales;                            /* owned; 1 / norm */
    _Atomic(const struct flat_head *) *names; /* owned array; where the path
                                               * and label now are */
};

struct flat_rows {
    struct flat_block blocks[FLAT_ROWS_BLOCKS_MAX];
    _Atomic int64_t count; /* release when raised, acquire when read */
};

void flat_rows_release(struct flat_rows *rows);

int64_t flat_rows_count(const struct flat_rows *rows);

/* Makes room for one more, so that the next flat_rows_add cannot fail. Fails
 * with ERR_UNAVAILABLE. */
MUST_CHECK int flat_rows_reserve(struct flat_rows *rows, struct err *err);

/* Adds a row for an entry's mapped record, which is borrowed until
 * flat_rows_release. */
void flat_rows_add(struct flat_rows *rows, const struct flat_head *entry,
                   float scale);

/* Gives row `id` the path and label of an update's mapped record. */
void flat_rows_rename(struct flat_rows *rows, int64_t id,
                      const struct flat_head *update);

/* The rows from `id` on that lie in one block, at most `count`: their number.
 * *vectors and *scales point at the first. */
int flat_rows_run(const struct flat_rows *rows, int64_t id, int count,
                  const float *const **vectors, const float **scales);

/* The entry of row `id`. */
void flat_rows_entry(const struct flat_rows *rows, int64_t id, int dim,
                     struct flat_entry *out);

#endif
