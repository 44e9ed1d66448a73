/* SPDX-License-Identifier: Apache-2.0 */
/* Changes that become visible together: rows to be added and slots that they
 * or removals leave empty. Writers gather one from their calls, readers from
 * the records of a log.
 *
 *     group_add, group_remove ... -> group_prepare -> group_publish
 *
 * Nothing in it changes anything twice: group_touch tells. Of the lead. */
#ifndef OLHO_VECTORS_ENGINE_GROUP_H
#define OLHO_VECTORS_ENGINE_GROUP_H

#include <stdbool.h>
#include <stdint.h>

#include "vectors/engine_parts.h"

struct group_row {
    int64_t id;
    int64_t replaced;       /* the slot that it empties, or SLOT_NONE */
    int64_t record, vector; /* offsets in the log, see engine_slot */
    const char *key;        /* borrowed until it is published */
    /* Of a writer what it gave and where that is mapped, of a reader NULL and
     * the record that has the tags. */
    const struct vec_entry *entry;
    const struct log_head *head;
};

struct group {
    struct generation *generation;
    struct group_row *rows; /* owned */
    const float **vectors;  /* owned; where the rows are mapped */
    int64_t row_count, row_cap;
    int32_t *gone; /* owned; slots to be emptied */
    int64_t gone_count, gone_cap;
    uint64_t *touched; /* owned; hashes, 0: free */
    int64_t touched_count, touched_cap;
    int64_t next_id;
};

void group_init(struct group *group, struct generation *generation);
void group_release(struct group *group);
void group_reset(struct group *group); /* empty, to be filled anew */

/* Makes room for as many more. ERR_UNAVAILABLE. */
MUST_CHECK int group_reserve(struct group *group, int64_t rows, int64_t gone,
                             struct err *err);

/* Whether the entry (its id, its key: "" is none) was not touched before; now
 * it is. There is room for two keys and two ids of each row and each gone slot.
 */
bool group_touch(struct group *group, int64_t id, const char *key);
bool group_touch_key(struct group *group, const char *key);

/* Of rows that are in the file and can be read there: all that can fail.
 * ERR_UNAVAILABLE, and then nothing has changed. */
MUST_CHECK int group_prepare(struct group *group, struct err *err);

/* Makes it visible. What was prepared must be published or its generation be
 * given up. */
void group_publish(struct group *group);

#endif
