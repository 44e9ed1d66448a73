/* SPDX-License-Identifier: Apache-2.0 */
/* Which rows of a store a search may find. A row is told by its slot: rows are
 * given slots 0, 1, 2... as they come and keep them until the store is
 * compacted; a removed row's slot stays empty until then. */
#ifndef OLHO_VECTORS_SLOTS_H
#define OLHO_VECTORS_SLOTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "vectors/blocks.h"

/* Slot numbers fit into 32 bits. */
enum { SLOT_NONE = -1 };

/* The byte of a removed slot; 0 for others. */
enum {
    SLOT_GONE = 1,
    SLOT_REPAIRED = 2, /* and the graph links past it, or never led to it */
};

struct slot_filter {
    /* Rows that were removed: 1 byte for each slot, not 0 from any time on (an
     * _Atomic uint8_t, relaxed: a row removed during a search may be found). */
    const struct blocks *removed;
    /* Rows that are wanted: bit slot % 64 of word slot / 64, constant, for
     * slots below wanted_count; NULL: all. Those above are not wanted. */
    const uint64_t *wanted;
    int64_t wanted_count;
};

static inline bool slot_is_removed(const struct blocks *removed, int64_t slot)
{
    const _Atomic uint8_t *at = blocks_at(removed, slot);

    return atomic_load_explicit(at, memory_order_relaxed) != 0;
}

static inline bool slot_passes(const struct slot_filter *filter, int64_t slot)
{
    if (slot_is_removed(filter->removed, slot))
        return false;
    if (filter->wanted == NULL)
        return true;
    return slot < filter->wanted_count &&
           (filter->wanted[slot >> 6] >> (slot & 63) & 1) != 0;
}

#endif
