/* SPDX-License-Identifier: Apache-2.0 */
/* From an id or a key to the slot that has it: a table of hashes and slots,
 * which leaves the comparing to its caller. Nothing is taken out: what was
 * removed is told by its slot, and a newer slot takes the place of an older.
 *
 * One thread changes it; any find beside it. The mutex is held for one probe
 * or for the exchange of a pointer, and never while another is taken. */
#ifndef OLHO_VECTORS_ENGINE_IDS_H
#define OLHO_VECTORS_ENGINE_IDS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct slot_table {
    pthread_mutex_t mutex; /* guards what follows */
    uint64_t *places;      /* high half: hash; low half: slot + 1, 0: free */
    size_t place_count;    /* a power of two, or 0 */
    size_t count;          /* places in use, at most two in three */
    bool is_mapped;        /* places are borrowed, not owned */
};

/* Whether a slot is the one that is looked for. */
typedef bool slot_is_fn(const void *user, int64_t slot);

uint64_t slot_hash_id(int64_t id);
uint64_t slot_hash_key(const char *key);

void slot_table_init(struct slot_table *table);
void slot_table_release(struct slot_table *table);

/* Makes room for `count` more, so that as many slot_table_put cannot fail.
 * ERR_UNAVAILABLE. */
MUST_CHECK int slot_table_reserve(struct slot_table *table, size_t count,
                                  struct err *err);

/* The slot, or SLOT_NONE. `is` may be called for slots of other hashes too. */
int64_t slot_table_find(struct slot_table *table, uint64_t hash, slot_is_fn *is,
                        const void *user);

/* Puts `slot` in; `is` tells the older slot whose place it takes. */
void slot_table_put(struct slot_table *table, uint64_t hash, int64_t slot,
                    slot_is_fn *is, const void *user);

/* For a checkpoint, while nobody changes the table: its places, borrowed; and
 * a new table over places that are mapped privately (borrowed until release;
 * ERR_CORRUPT when they are no table of slots below slot_count). */
const uint64_t *slot_table_places(const struct slot_table *table,
                                  size_t *out_count);
MUST_CHECK int slot_table_map(struct slot_table *table, uint64_t *places,
                              size_t place_count, int64_t slot_count,
                              struct err *err);
int64_t
slot_table_memory(struct slot_table *table); /* bytes, mapped left out */

#endif
