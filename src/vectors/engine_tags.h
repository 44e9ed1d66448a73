/* SPDX-License-Identifier: Apache-2.0 */
/* The slots that have each tag, and from a filter to the rows that it lets
 * through.
 *
 * One thread changes it; any number evaluate filters beside it. Slots that were
 * not published to a reader may be in it already: readers pass their count. */
#ifndef OLHO_VECTORS_ENGINE_TAGS_H
#define OLHO_VECTORS_ENGINE_TAGS_H

#include <stdint.h>

#include "base/err.h"
#include "vectors/blocks.h"
#include "vectors/checkpoint.h"
#include "vectors/vecstore.h"

struct slot_tags;

struct slot_tags *slot_tags_new(void) __attribute__((returns_nonnull));
void slot_tags_free(struct slot_tags *tags);            /* NULL is allowed */
int64_t slot_tags_memory(const struct slot_tags *tags); /* mapped left out */

/* Adds a slot (higher than all before) to the tag's list; twice is once.
 * ERR_UNAVAILABLE. */
MUST_CHECK int slot_tags_add(struct slot_tags *tags, const char *name,
                             const char *value, int64_t slot, struct err *err);

/* Takes the slots from `count` on out again, which nobody was told of. */
void slot_tags_cut(struct slot_tags *tags, int64_t count);

/* The slots below `count` that pass, as slots.h wants them (the caller ends
 * *out with mem_free), and in *out_count how many of them are not removed.
 * ERR_UNAVAILABLE. */
MUST_CHECK int slot_tags_filter(struct slot_tags *tags,
                                const struct vec_filter *filter, int64_t count,
                                const struct blocks *removed, uint64_t **out,
                                int64_t *out_count, struct err *err);

/* Into a checkpoint, of the slots below `count` (beside slot_tags_add), and
 * back: what is mapped is borrowed until slot_tags_free. ERR_UNAVAILABLE,
 * ERR_CORRUPT. */
MUST_CHECK int slot_tags_save(struct slot_tags *tags, int64_t count,
                              struct checkpoint_writer *writer,
                              struct err *err);
MUST_CHECK int slot_tags_load(struct checkpoint *checkpoint, int64_t count,
                              struct slot_tags **out, struct err *err);

#endif
