/* SPDX-License-Identifier: Apache-2.0 */
/* What the horizontal passes of all vector kernels do with a tile.
 *
 * Thread-safe: plain arithmetic. */
#ifndef OLHO_IMAGE_TILE_H
#define OLHO_IMAGE_TILE_H

#include <stddef.h>

#include "image/kernels.h"

/* Asks for the source pixels of the tile after this one, or for the first ones
 * of the next rows: many short runs, which the machine does not foresee. */
static inline void tile_prefetch(const struct kernel_across *across, int n,
                                 const uint8_t *const *rows, int row_count)
{
    const int next = n + 1 < across->tile_count ? n + 1 : 0;
    const size_t at = (size_t)across->tiles[next].source * 3;
    const size_t end = (size_t)across->tiles[next].source_end * 3;

    rows += next == 0 ? row_count : 0;
    for (int row = 0; row < row_count; row++)
        for (size_t i = at; i < end; i += CACHE_LINE)
            __builtin_prefetch(rows[row] + i);
}

#endif
