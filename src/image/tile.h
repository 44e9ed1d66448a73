/* SPDX-License-Identifier: Apache-2.0 */
/* How the horizontal passes that turn rows on their side cut a row in tiles,
 * so that the turned columns stay in the first cache.
 *
 * Thread-safe: plain arithmetic. */
#ifndef OLHO_IMAGE_TILE_H
#define OLHO_IMAGE_TILE_H

#include "image/axis.h"

/* Target pixels target..target_end-1 read source..source_end-1 and no other
 * source pixels, at most tile_px(...) of them. */
struct tile {
    int target, target_end;
    int source, source_end;
};

/* The most source pixels in a tile: enough for the taps of one target pixel,
 * at least `wanted`. */
static inline int tile_px(const struct axis *axis, int wanted)
{
    return axis->taps_max > wanted ? axis->taps_max : wanted;
}

/* The longest tile that begins with that target pixel. */
static inline struct tile tile_at(const struct axis *axis, int target,
                                  int most_px)
{
    struct tile tile = {target, target, 0, 0};
    int low = axis->first[target], high = low;

    for (int i = target; i < axis->len; i++) {
        int first = axis->first[i], end = first + axis->count[i];

        low = first < low ? first : low;
        high = end > high ? end : high;
        if (high - low > most_px)
            break;
        tile = (struct tile){target, i + 1, low, high};
    }
    return tile;
}

#endif
