/* SPDX-License-Identifier: Apache-2.0 */
/* A checkpoint of the engine: what is in it, and a moment of a generation to
 * make one of. Of engine*.c alone. */
#ifndef OLHO_VECTORS_ENGINE_SAVED_H
#define OLHO_VECTORS_ENGINE_SAVED_H

#include <stdint.h>

#include "base/file.h"
#include "vectors/engine_parts.h"

enum saved_index { SAVED_NONE, SAVED_GRAPH, SAVED_LISTS };

/* Section HEAD. */
struct saved_head {
    uint32_t log_seed; /* which log it is of */
    uint32_t dim, metric, storage;
    int64_t log_len; /* of it, that the checkpoint covers */
    int64_t count, removed_count, next_id;
    int64_t id_places, key_places; /* of the tables */
    uint32_t index;                /* enum saved_index */
    uint32_t zero;
    struct log_settings settings;
};
_Static_assert(sizeof(struct saved_head) == 136, "as written");

/* The other sections of its own; codes, tags, graph and lists name theirs. */
#define SAVED_HEAD "HEAD"
#define SAVED_SLOTS "SLOT"   /* struct engine_slot */
#define SAVED_REMOVED "GONE" /* a byte for each slot, see slots.h */
#define SAVED_IDS "IDHT"     /* places of the tables */
#define SAVED_KEYS "KEHT"

/* What changes of a generation, at one moment. */
struct snapshot;

/* By the lead; syncs the log. ERR_UNAVAILABLE, ERR_IO. The caller owns
 * *out. */
MUST_CHECK int snapshot_take(const struct vecengine *engine,
                             struct generation *generation,
                             struct snapshot **out, struct err *err);
void snapshot_free(struct snapshot *snapshot); /* NULL is allowed */
int64_t snapshot_log_len(const struct snapshot *snapshot);

/* Writes the checkpoint, beside searches and writes, by the keeper: the index,
 * which must not be ahead of the snapshot, is saved as it is now. ERR_IO,
 * ERR_UNAVAILABLE: the old file is as it was. */
MUST_CHECK int snapshot_save(const struct snapshot *snapshot,
                             const struct generation *generation,
                             const struct engine_index *index, const char *path,
                             struct err *err);

/* The files of a compaction: PATH.compact and its checkpoint, which get the
 * names of the log and of its checkpoint, in this order. */
enum compact_file { COMPACT_LOG, COMPACT_CHECKPOINT };
MUST_CHECK int compact_path(const struct vecengine *engine,
                            enum compact_file file, char out[FILE_PATH_MAX],
                            struct err *err);

#endif
