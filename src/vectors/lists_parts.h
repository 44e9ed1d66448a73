/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of lists.h know of each other: of lists*.c alone.
 *
 * A list is a chain of chunks that are never moved or freed before lists_free.
 * The thread that inserts writes a row behind the last one and raises the
 * chunk's count past it; a new chunk is complete before `next` leads to it.
 * Both are released, and acquired by those who search, who so see whole rows
 * without waiting. Slots rise along a list. */
#ifndef OLHO_VECTORS_LISTS_PARTS_H
#define OLHO_VECTORS_LISTS_PARTS_H

#include <stdatomic.h>
#include <stdint.h>

#include "vectors/kmeans.h"
#include "vectors/lists.h"

struct list_chunk {
    struct list_chunk *_Atomic next;
    _Atomic int32_t count;
    int32_t cap;
    int32_t *slots;
    uint8_t *codes, *about; /* as struct codes_shape has it */
    void *block;            /* owned; all three lie there. NULL: mapped */
};

struct list {
    struct list_chunk *_Atomic first;
    struct list_chunk *last; /* with room or full; of who inserts */
    int64_t count, room;     /* rows, and how many more fit; of who inserts */
};

struct lists {
    const struct codes *codes; /* borrowed */
    struct codes_shape shape;
    struct kmeans *kmeans; /* owned */
    int nlist;
    int64_t trained_on;
    uint8_t *centroids, *centroid_about; /* owned; copies as codes_run takes */
    struct list *lists;                  /* owned; nlist */
    int32_t *adopted; /* owned; slots of lists of others, or NULL */

    _Atomic int64_t count;  /* released after the rows below it are there */
    _Atomic int64_t memory; /* bytes; relaxed: a figure */
};

/* Lists without rows; takes kmeans over, also on failure. */
MUST_CHECK int lists_new(const struct codes *codes, struct kmeans *kmeans,
                         int nlist, int64_t trained_on, struct lists **out,
                         struct err *err);

/* Makes room for `count` more rows. ERR_UNAVAILABLE. */
MUST_CHECK int lists_reserve(struct lists *lists, struct list *list,
                             int64_t count, struct err *err);

/* Appends a slot, for which there is room and which is above all in the
 * list. */
void lists_append(struct lists *lists, struct list *list, int32_t slot,
                  const struct codes *codes);

/* A chunk at the end of the list. */
void lists_link(struct list *list, struct list_chunk *chunk);

static inline const struct list_chunk *lists_first(const struct list *list)
{
    return atomic_load_explicit(&list->first, memory_order_acquire);
}

static inline const struct list_chunk *
lists_next(const struct list_chunk *chunk)
{
    return atomic_load_explicit(&chunk->next, memory_order_acquire);
}

static inline int32_t lists_chunk_count(const struct list_chunk *chunk)
{
    return atomic_load_explicit(&chunk->count, memory_order_acquire);
}

#endif
