/* SPDX-License-Identifier: Apache-2.0 */
/* An array of rows that grows and never moves: blocks of BLOCK_ROWS rows, so
 * that readers go on while one thread makes room. The first rows may lie in a
 * mapped file.
 *
 * One thread grows it; any read rows below a count that was published to them
 * (released and acquired) after the rows were written. */
#ifndef OLHO_VECTORS_BLOCKS_H
#define OLHO_VECTORS_BLOCKS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
    BLOCK_SHIFT = 14,
    BLOCK_ROWS = 1 << BLOCK_SHIFT, /* 16 384 */
    BLOCKS_MAX = 1 << 16,
};
#define BLOCKS_ROWS_MAX ((int64_t)BLOCKS_MAX << BLOCK_SHIFT) /* 2^30 rows */

struct blocks {
    size_t row_len;      /* bytes of a row */
    uint8_t **table;     /* owned; BLOCKS_MAX pointers, NULL: no block yet */
    uint8_t *mapped;     /* borrowed; where the first rows lie */
    int mapped_blocks;   /* that lie there and are not freed */
    _Atomic int64_t cap; /* rows that there is room for; any thread may ask */
};

/* Of rows of row_len bytes (1 or more). ERR_UNAVAILABLE. */
MUST_CHECK int blocks_init(struct blocks *blocks, size_t row_len,
                           struct err *err);
void blocks_release(struct blocks *blocks); /* also of a zeroed one */

/* Takes `count` rows that lie one behind the other, aligned to 64, as the
 * first rows of a new array: whole blocks stay where they are (borrowed until
 * blocks_release), the rest is copied. ERR_UNAVAILABLE. */
MUST_CHECK int blocks_map(struct blocks *blocks, void *rows, int64_t count,
                          struct err *err);

/* Makes room for `count` rows in all; new ones are zero. ERR_UNAVAILABLE, also
 * over BLOCKS_ROWS_MAX. */
MUST_CHECK int blocks_reserve(struct blocks *blocks, int64_t count,
                              struct err *err);

int64_t blocks_memory(const struct blocks *blocks); /* bytes, mapped left out */

static inline void *blocks_at(const struct blocks *blocks, int64_t row)
{
    return blocks->table[row >> BLOCK_SHIFT] +
           (size_t)(row & (BLOCK_ROWS - 1)) * blocks->row_len;
}

/* How many rows from `row` on lie in one piece. */
static inline int64_t blocks_run(int64_t row)
{
    return BLOCK_ROWS - (row & (BLOCK_ROWS - 1));
}

#endif
