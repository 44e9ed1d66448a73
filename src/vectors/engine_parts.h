/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the built-in engine, of engine*.c alone.
 *
 *     vecengine -- current --> generation: log file, codes, slots, tables, tags
 *         |                        |
 *         | keeper                 +-- index: graph or lists
 *
 * engine.c         opening, closing, taking a generation, info
 * engine_refresh.c what other processes have changed
 * engine_apply.c   a generation, and taking in the records of a log
 * engine_group.c   changes that become visible together
 * engine_write.c   the queue of writers and their common sync
 * engine_search.c  searching, getting, listing
 * engine_keeper.c  the thread that keeps the index; engine_index.c: how
 * engine_saved.c   the checkpoint: saving; engine_load.c: loading
 * engine_compact.c, engine_check.c
 *
 * Who may do what:
 * - Anybody reads a generation between vecengine_take and vecengine_give:
 *   slots below `count`, which never move or change; nothing is waited for.
 * - The lead (one thread at a time: vecengine_lead ... vecengine_unlead) adds
 *   to the generation and to its log, and may put another in its place. Writers
 *   take the lead in turns, and so do compaction and refreshing; a checkpoint
 *   takes it for the moment in which it copies what changes.
 * - The keeper (one thread at a time: vecengine_keep ... vecengine_unkeep)
 *   changes the index: graph_insert and so on, and vecengine_set_index. Who
 *   needs both takes the keeper's part first.
 * The mutexes below are held for a few instructions, `taking` last. */
#ifndef OLHO_VECTORS_ENGINE_PARTS_H
#define OLHO_VECTORS_ENGINE_PARTS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "vectors/blocks.h"
#include "vectors/checkpoint.h"
#include "vectors/codes.h"
#include "vectors/engine_ids.h"
#include "vectors/engine_tags.h"
#include "vectors/graph.h"
#include "vectors/lists.h"
#include "vectors/log_file.h"
#include "vectors/slots.h"
#include "vectors/vecstore.h"
#include "vectors/vecstore_backend.h"

enum {
    ENGINE_WALKS_MAX = 64, /* that are kept for the next searches */
};

/* What searches and the index go by; nothing is 0, ANY or (but for `type`)
 * AUTO. Constant after opening. */
struct engine_settings {
    enum vecindex_type type; /* AUTO, FLAT, IVFFLAT or HNSW */
    enum vec_storage storage;
    int links, ef_construction, ef_search;
    int nlist; /* 0: as many as fit the rows */
    int nprobe;
};

/* What a slot has, as it is in a checkpoint too. Offsets are of the log. */
struct engine_slot {
    int64_t id;
    int64_t record; /* of the record that has its key, path and tags */
    int64_t vector; /* of its float32 row */
};

/* A graph, or lists, or (both NULL) neither; counted. Pointers are constant,
 * what they lead to is the keeper's to change. */
struct engine_index {
    int ref_count;                 /* guarded by vecengine.taking */
    struct graph *graph;           /* owned */
    struct lists *lists;           /* owned */
    struct checkpoint *checkpoint; /* owned, closed after both; NULL: they
                                    * are mapped from the generation's */
    int walk_count; /* guarded by vecengine.taking, as are the walks */
    struct graph_walk *walks[ENGINE_WALKS_MAX]; /* owned; of no search now */
};

/* Which file was looked at. */
struct saved_seen {
    dev_t device;
    ino_t inode;
    int64_t changed_s, changed_ns;
};

/* Everything that has one numbering of slots and one log file; counted. */
struct generation {
    int ref_count;                 /* guarded by vecengine.taking */
    struct log_file *log;          /* owned; changed by the lead */
    struct codes *codes;           /* owned; row i is of slot i */
    struct checkpoint *checkpoint; /* owned; NULL: nothing is mapped from one */
    struct blocks slots;           /* struct engine_slot */
    struct blocks removed;         /* _Atomic uint8_t, see slots.h; the lead
                                    * makes 0 SLOT_GONE, the keeper makes that
                                    * SLOT_REPAIRED */
    struct slot_table ids, keys;   /* to the newest slot of each; it may be
                                    * removed, or not published yet */
    struct slot_tags *tags;        /* owned */
    _Atomic int64_t count;         /* slots that are published: everything of
                                    * them was written before (release) */
    _Atomic int64_t removed_count; /* of them */
    _Atomic int64_t next_id;       /* changed by the lead */
    _Atomic bool is_ordered;       /* ids go up with the slots */
    struct log_settings settings;  /* the last that the log has, or zeros;
                                    * changed by the lead. next_id in it is of
                                    * the time when it was written */

    /* Slots below this came from a checkpoint, and their records have not all
     * been looked at: generation_check_slot does so, once for each. Set before
     * the generation is shared. */
    int64_t unchecked_count;
    struct blocks checked; /* _Atomic uint8_t for each of them */

    /* Of the keeper, and of vecengine_load before: the end of the log that the
     * checkpoint on disk covers, 0 when there is none that fits; and why the
     * one that is there was not taken (code 0: it was, or there is none). */
    int64_t saved_len;
    struct err saved_err;
    struct saved_seen saved_seen; /* zeros: none is there, or look again */

    struct engine_index *index; /* counted, never NULL; guarded by taking */
};

struct vecengine {
    char *where;           /* owned; as it was given, maybe a link to: */
    char *path;            /* owned */
    char *checkpoint_path; /* owned; beside path. All constant after opening */
    enum vec_mode mode;
    struct log_shape shape; /* constant */
    struct engine_settings settings;
    struct log_settings opened; /* that the file had; constant after opening */
    int thread_count;

    pthread_mutex_t taking;     /* guards what follows */
    struct generation *current; /* counted */

    pthread_mutex_t queueing;   /* guards what follows */
    pthread_cond_t queue_moved; /* somebody ended the lead, or was served */
    bool is_led;
    struct engine_write *first, *last; /* who waits; on their own stacks */

    pthread_mutex_t keeping;   /* guards what follows */
    pthread_cond_t keep_moved; /* on the monotonic clock */
    bool is_kept;              /* somebody has the keeper's part */
    struct keeper *keeper;     /* owned; engine_keeper.c; NULL with VEC_READ */
};

/* --- taking and giving (engine.c) ------------------------------------------
 */

/* What a reader has for the time of a call. */
struct engine_view {
    struct generation *generation;
    struct engine_index *index;
    int64_t count; /* published slots, read once */
};

void vecengine_take(struct vecengine *engine, struct engine_view *out);
void vecengine_give(struct vecengine *engine, struct engine_view *view);

/* Puts another generation, or another index into the current generation, in
 * the place of the old, which ends with its last reader. Both take ownership
 * (a reference count of 1). The first by the lead that also has the keeper's
 * part, the second by the keeper. */
void vecengine_set_generation(struct vecengine *engine,
                              struct generation *generation);
void vecengine_set_index(struct vecengine *engine, struct engine_index *index);

/* A new index with a count of 1 around either or neither, which it owns. */
struct engine_index *engine_index_new(struct graph *graph, struct lists *lists)
    __attribute__((returns_nonnull));
void engine_index_free(struct engine_index *index); /* whatever its count */

/* The lead and the keeper's part, for one thread at a time; both block, but
 * try_keep, which is false when another thread has the part. */
void vecengine_lead(struct vecengine *engine);
void vecengine_unlead(struct vecengine *engine);
void vecengine_keep(struct vecengine *engine);
bool vecengine_try_keep(struct vecengine *engine);
void vecengine_unkeep(struct vecengine *engine);

/* --- generations (engine_apply.c) ------------------------------------------
 */

/* An empty generation over a log, which it owns from here on also when this
 * fails; count, tables and so on begin at 0. ERR_UNAVAILABLE. */
MUST_CHECK int generation_new(struct vecengine *engine, struct log_file *log,
                              struct generation **out, struct err *err);
void generation_free(struct generation *generation); /* NULL is allowed */

/* Of engine.c: a generation with all that is in a log, which it owns from here
 * on also when this fails. The engine's settings become those of the log that
 * `options` leave open; NULL: they stay as they are. */
MUST_CHECK int generation_open(struct vecengine *engine, struct log_file *log,
                               const struct vec_options *options,
                               struct generation **out, struct err *err);

/* codes_check_fn of codes whose user is a generation: verifies the records of a
 * slot the first time. ERR_CORRUPT. */
int generation_check_slot(void *generation, int64_t slot, struct err *err);

/* Takes in the batches of a log: generation_visit is a log_visit_fn whose user
 * is the reader, and generation_read_end publishes what has gathered. With
 * is_live every batch is published at once and as a whole. ERR_CORRUPT for what
 * no writer writes. The caller ends *out with generation_read_free. */
struct generation_reader;
MUST_CHECK int generation_read_new(struct generation *generation, bool is_live,
                                   struct generation_reader **out,
                                   struct err *err);
int generation_visit(void *reader, const struct log_head *const *heads,
                     int count, struct err *err);
MUST_CHECK int generation_read_end(struct generation_reader *reader,
                                   struct err *err);
void generation_read_free(struct generation_reader *reader); /* NULL: nothing */

/* Sets is_ordered by a look at all slots, as vecengine_set_generation does. */
void generation_see_order(struct generation *generation);

/* The slot that has the id or the key now, below `count` (INT64_MAX: any that
 * is published) and not removed; SLOT_NONE. ERR_CORRUPT when a record that came
 * from a checkpoint is not as it was written. */
int64_t generation_find_id(struct generation *generation, int64_t id,
                           int64_t count);
MUST_CHECK int generation_find_key(struct generation *generation,
                                   const char *key, int64_t count, int64_t *out,
                                   struct err *err);

/* The record with a slot's texts, read as log_record_parts does. Verified
 * first when it came from a checkpoint. */
MUST_CHECK int generation_record(struct generation *generation, int64_t slot,
                                 struct log_record *out, struct err *err);

static inline struct engine_slot *
generation_slot(const struct generation *generation, int64_t slot)
{
    return blocks_at(&generation->slots, slot);
}

/* --- the checkpoint (engine_load.c) ----------------------------------------
 */

/* Fills an empty generation from the checkpoint file when there is one that
 * belongs to its log: codes, slots, removed, tables, tags, count, next_id,
 * settings, unchecked_count, index. *out_offset is the end of the log that it
 * covers, or LOG_HEADER_LEN with nothing filled in: no file, another log's,
 * another storage or dim, damage (which the keeper reports and mends by
 * writing a new one). ERR_CORRUPT when the log is shorter than its checkpoint
 * says; ERR_UNAVAILABLE. Either leaves the generation to be freed. */
MUST_CHECK int vecengine_load(struct vecengine *engine,
                              struct generation *generation,
                              int64_t *out_offset, struct err *err);

/* Of a reader: takes the index of a newer checkpoint, when there is one of this
 * log that has no rows which were not read yet. One stat when there is none.
 * By who has the keeper's part. ERR_UNAVAILABLE. */
MUST_CHECK int vecengine_reload_index(struct vecengine *engine,
                                      struct err *err);

/* --- the keeper (engine_keeper.c, engine_compact.c, engine_check.c) --------
 */

/* Starts the thread (VEC_WRITE only); ends it, stopping what it does. */
MUST_CHECK int keeper_start(struct vecengine *engine, struct err *err);
void keeper_stop(struct vecengine *engine); /* also when not started */

/* Removes what a compaction or a checkpoint that was cut short left behind. By
 * who has the log's lock, and no keeper. */
void keeper_sweep(const struct vecengine *engine);

/* Tells it that there are new or removed slots. Called by the lead after
 * publishing; takes `keeping` for a few instructions. */
void keeper_wake(struct vecengine *engine);

int vecengine_settle(void *self, vec_progress_fn *progress, void *user,
                     struct err *err);
int vecengine_compact(void *self, vec_progress_fn *progress, void *user,
                      struct err *err);
int vecengine_check(void *self, vec_progress_fn *progress, void *user,
                    struct err *err);

/* --- what the backend does besides -----------------------------------------
 */

int vecengine_write(void *self, const struct vec_entry *entries, int count,
                    bool is_upsert, int64_t *out_ids, struct err *err);
int vecengine_remove(void *self, const int64_t *ids, const char *const *keys,
                     int count, int64_t *out_removed, struct err *err);
int vecengine_remove_matching(void *self, const struct vec_filter *filter,
                              int64_t *out_removed, struct err *err);
int vecengine_search(void *self, const struct vec_query *query,
                     struct arena *arena, struct vec_hits *out,
                     struct err *err);
int vecengine_get(void *self, int64_t id, struct arena *arena,
                  struct vec_hit *out, float *out_vector, struct err *err);
int vecengine_refresh(void *self, struct err *err);
int vecengine_list(void *self, int64_t after, int max, struct arena *arena,
                   struct vec_hits *out, float *out_vectors, struct err *err);

#endif
