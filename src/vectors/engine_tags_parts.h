/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of the tags of slots, of engine_tags.c and engine_tags_saved.c
 * alone. */
#ifndef OLHO_VECTORS_ENGINE_TAGS_PARTS_H
#define OLHO_VECTORS_ENGINE_TAGS_PARTS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "vectors/engine_tags.h"

enum { OWN_SLOTS = 2 };

struct piece {
    _Atomic(struct piece *) next; /* owned */
    int64_t cap;
    _Atomic int32_t *slots; /* behind itself, or mapped */
};

struct tag {
    const char *name, *value; /* behind itself */
    uint64_t hash;
    _Atomic int64_t count; /* release when raised, acquire when read */
    struct piece first;
    struct piece *last; /* that has slots; these two are of the thread that */
    int64_t last_begin; /* adds: how many slots are in those before it */
    _Atomic int32_t own_slots[OWN_SLOTS];
};

struct slot_tags {
    pthread_mutex_t mutex; /* guards what follows, but the lists of tags */
    struct tag **places;   /* owned, as are the tags; NULL: free */
    size_t place_count, count;
    _Atomic int64_t memory_len;
};

static inline int64_t tag_count(const struct tag *tag)
{
    return atomic_load_explicit(&tag->count, memory_order_acquire);
}

static inline struct piece *piece_next(const struct piece *piece)
{
    return atomic_load_explicit(&piece->next, memory_order_acquire);
}

static inline int32_t slot_at(const struct piece *piece, int64_t i)
{
    return atomic_load_explicit(&piece->slots[i], memory_order_relaxed);
}

/* The tag, made when it is not there. ERR_UNAVAILABLE. */
MUST_CHECK int slot_tags_make(struct slot_tags *tags, const char *name,
                              const char *value, struct tag **out,
                              struct err *err);

/* How many slots of the list are below `count`; *piece and *begin: the one
 * with the last of them, and how many are in those before it. */
int64_t tag_count_below(const struct tag *tag, int64_t count,
                        const struct piece **piece, int64_t *begin);

#endif
