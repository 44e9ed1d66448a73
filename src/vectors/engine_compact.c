/* SPDX-License-Identifier: Apache-2.0 */
/* Compacting: a new log without removed rows, a generation over it, and its
 * checkpoint are made beside the old ones, which searches and writes go on
 * with. What happens meanwhile is taken over in passes. In each, the lead is
 * taken to look what changed, which is quick, and given back to copy that; in
 * the last, which finds little, it is kept until the new generation stands in
 * the place of the old.
 *
 * On disk, PATH.compact is renamed to PATH, and this moment decides: before it
 * the old log is the set, with all that was acknowledged, after it the new one,
 * which is durable by then and has the same. PATH.compact.checkpoint is renamed
 * to PATH.checkpoint next; a checkpoint is used with the log that it names
 * only, so it may have the wrong name for a while. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "vectors/engine_keeper.h"
#include "vectors/engine_saved.h"

enum {
    PUT_MAX = 4096,      /* records between two syncs, or so many bytes */
    PUT_LEN = 32 << 20,  /* of vectors */
    LAST_MAX = 256,      /* changes that writers may wait for */
    PASSES_MAX = 16,     /* before they wait for more than that */
    SLOT_PENDING = -2,   /* seen, and not copied yet */
    FLAT_AGAIN_PART = 2, /* AUTO: the scan, from half of VECINDEX_FLAT_MAX */
};

struct compaction {
    struct vecengine *engine;
    struct keeper_work *work;
    struct engine_view old; /* taken; its count is not used */
    char path[FILE_PATH_MAX], checkpoint_path[FILE_PATH_MAX];
    struct generation *fresh; /* owned until it is set */
    struct log_file *log;     /* fresh's */
    struct generation_reader *reader;

    /* The slots that were looked at: to[slot] is its number in fresh, SLOT_NONE
     * (not wanted, or taken out again) or SLOT_PENDING. */
    int32_t *to; /* owned */
    int64_t seen_count, copied_count, fresh_count;
    int64_t *gone; /* owned; ids to take out of fresh */
    int64_t gone_count, gone_cap;

    const struct log_head *heads[PUT_MAX]; /* put and not committed */
    int head_count;
};

static int fail_memory(struct err *err)
{
    return err_set(err, ERR_UNAVAILABLE, "no memory to compact");
}

/* --- looking what changed --------------------------------------------------
 */

static int add_gone(struct compaction *compaction, int64_t slot,
                    struct err *err)
{
    int64_t cap = compaction->gone_cap > 0 ? 2 * compaction->gone_cap : 256;
    int64_t *gone;

    if (compaction->gone_count == compaction->gone_cap) {
        gone = mem_resize(compaction->gone, (size_t)cap, sizeof *gone);
        if (gone == NULL)
            return fail_memory(err);
        compaction->gone = gone;
        compaction->gone_cap = cap;
    }
    compaction->gone[compaction->gone_count++] =
        generation_slot(compaction->old.generation, slot)->id;
    compaction->to[slot] = SLOT_NONE;
    return 0;
}

/* By the lead: which slots were added, and which of those that are in fresh
 * were removed. */
static int look(struct compaction *compaction, struct err *err)
{
    const struct generation *old = compaction->old.generation;
    int64_t count = old->count, slot;
    int32_t *to =
        mem_resize(compaction->to, (size_t)count + 1, sizeof *compaction->to);
    int rc = 0;

    if (to == NULL)
        return fail_memory(err);
    compaction->to = to;
    for (slot = 0; rc == 0 && slot < compaction->seen_count; slot++)
        if (to[slot] != SLOT_NONE && slot_is_removed(&old->removed, slot))
            rc = add_gone(compaction, slot, err);
    for (; rc == 0 && slot < count; slot++)
        to[slot] = slot_is_removed(&old->removed, slot) ? (int32_t)SLOT_NONE
                                                        : (int32_t)SLOT_PENDING;
    if (rc == 0)
        compaction->seen_count = count;
    return rc;
}

/* --- copying ---------------------------------------------------------------
 */

/* What was put becomes durable and part of fresh. */
static int commit(struct compaction *compaction, struct err *err)
{
    int i, rc = log_file_commit(compaction->log, err);

    for (i = 0; rc == 0 && i < compaction->head_count; i++)
        rc =
            generation_visit(compaction->reader, &compaction->heads[i], 1, err);
    compaction->head_count = 0;
    if (rc == 0 && keeper_is_ended(compaction->work))
        rc = err_set(err, ERR_UNAVAILABLE, "compacting was stopped");
    return rc;
}

static int put(struct compaction *compaction, const struct log_record *record,
               struct err *err)
{
    int64_t row_len =
        (int64_t)compaction->engine->shape.dim * (int64_t)sizeof(float);
    int rc = log_file_put(compaction->log, record,
                          &compaction->heads[compaction->head_count], err);

    if (rc)
        return rc;
    compaction->head_count++;
    if (compaction->head_count == PUT_MAX ||
        compaction->head_count * row_len >= PUT_LEN)
        rc = commit(compaction, err);
    return rc;
}

static int put_row(struct compaction *compaction, int64_t slot, struct err *err)
{
    struct generation *old = compaction->old.generation;
    struct vec_tag tags[VEC_TAGS_MAX];
    struct log_record record;
    const char *at = NULL;
    const float *row = NULL;
    int count = 0;
    int rc = generation_record(old, slot, &record, err);

    if (rc == 0)
        rc = codes_row(old->codes, slot, &row, err);
    if (rc)
        return rc;
    while (count < VEC_TAGS_MAX && log_record_tag(&record, &at, &tags[count]))
        count++;
    record.kind = LOG_ITEM;
    record.flags = 0;
    record.id = generation_slot(old, slot)->id;
    record.vector = row;
    record.tags = tags;
    record.count = count;
    rc = put(compaction, &record, err);
    if (rc == 0)
        compaction->to[slot] = (int32_t)compaction->fresh_count++;
    return rc;
}

/* Removals go first: an id or key that they free may be in a row. */
static int put_gone(struct compaction *compaction, struct err *err)
{
    int64_t done = 0, left = compaction->gone_count;
    int rc = 0;

    while (rc == 0 && left > 0) {
        struct log_record record = {.kind = LOG_GONE, .key = "", .path = ""};

        record.count = left < LOG_IDS_MAX ? (int)left : (int)LOG_IDS_MAX;
        record.ids = compaction->gone + done;
        rc = put(compaction, &record, err);
        done += record.count;
        left -= record.count;
    }
    compaction->gone_count = 0;
    return rc;
}

/* Copies what the last look found. */
static int take_over(struct compaction *compaction, struct err *err)
{
    int64_t slot = compaction->copied_count;
    int rc =
        generation_read_new(compaction->fresh, false, &compaction->reader, err);

    if (rc)
        return rc;
    rc = put_gone(compaction, err);
    for (; rc == 0 && slot < compaction->seen_count; slot++) {
        if (compaction->to[slot] == SLOT_PENDING)
            rc = put_row(compaction, slot, err);
        (void)keeper_report(compaction->work, slot, compaction->seen_count);
    }
    if (rc == 0)
        rc = commit(compaction, err);
    if (rc == 0)
        rc = generation_read_end(compaction->reader, err);
    if (rc == 0)
        compaction->copied_count = compaction->seen_count;
    generation_read_free(compaction->reader);
    compaction->reader = NULL;
    return rc;
}

static int look_and_take_over(struct compaction *compaction, struct err *err)
{
    int rc;

    vecengine_lead(compaction->engine);
    rc = look(compaction, err);
    vecengine_unlead(compaction->engine);
    return rc ? rc : take_over(compaction, err);
}

/* --- index and checkpoint --------------------------------------------------
 */

/* The old index under the new numbers, unless the set is small now. */
static int take_over_index(struct compaction *compaction, struct err *err)
{
    const struct engine_index *from = compaction->old.index;
    struct engine_index *to = compaction->fresh->index;
    const struct codes *codes = compaction->fresh->codes;
    int rc = 0;

    if (compaction->engine->settings.type == VECINDEX_AUTO &&
        compaction->fresh_count < VECINDEX_FLAT_MAX / FLAT_AGAIN_PART)
        return 0;
    if (from->graph != NULL)
        rc = graph_renumber(from->graph, codes, compaction->to,
                            compaction->fresh_count, &to->graph, err);
    if (rc == 0 && from->lists != NULL)
        rc =
            lists_renumber(from->lists, codes, compaction->to, &to->lists, err);
    return rc;
}

static int save(struct compaction *compaction, struct err *err)
{
    struct snapshot *snapshot = NULL;
    int rc =
        snapshot_take(compaction->engine, compaction->fresh, &snapshot, err);

    if (rc)
        return rc;
    rc = snapshot_save(snapshot, compaction->fresh, compaction->fresh->index,
                       compaction->checkpoint_path, err);
    compaction->fresh->saved_len = snapshot_log_len(snapshot);
    snapshot_free(snapshot);
    return rc;
}

/* --- the exchange ----------------------------------------------------------
 */

/* Ids that were given stay given, also those of rows that are not there. */
static int put_settings(struct compaction *compaction, struct err *err)
{
    const struct generation *old = compaction->old.generation;
    struct log_record record = {
        .kind = LOG_SETTINGS, .key = "", .path = "", .settings = old->settings};
    int rc =
        generation_read_new(compaction->fresh, false, &compaction->reader, err);

    if (rc)
        return rc;
    record.settings.next_id = old->next_id;
    rc = put(compaction, &record, err);
    if (rc == 0)
        rc = commit(compaction, err);
    if (rc == 0)
        rc = generation_read_end(compaction->reader, err);
    generation_read_free(compaction->reader);
    compaction->reader = NULL;
    return rc;
}

/* By the lead. Once the log has its name the new generation is the set, whether
 * the folder could be synced or not. */
static int exchange(struct compaction *compaction, struct err *err)
{
    struct vecengine *engine = compaction->engine;
    bool has_more = false, is_replaced = false;
    struct err other = {0};
    int rc = log_file_rename(compaction->log, engine->path, err);

    if (rc != 0 && (log_file_has_more(compaction->old.generation->log,
                                      &has_more, &is_replaced, &other) != 0 ||
                    !is_replaced))
        return rc;
    if (rename(compaction->checkpoint_path, engine->checkpoint_path) != 0) {
        /* It is found under its other name when the set is opened, and the next
         * one gets the right name. */
        compaction->fresh->saved_len = 0;
    }
    vecengine_set_generation(engine, compaction->fresh);
    compaction->fresh = NULL;
    return rc;
}

static int finish(struct compaction *compaction, struct err *err)
{
    int rc;

    vecengine_lead(compaction->engine);
    rc = look(compaction, err);
    if (rc == 0)
        rc = take_over(compaction, err);
    if (rc == 0)
        rc = put_settings(compaction, err);
    if (rc == 0)
        rc = exchange(compaction, err);
    vecengine_unlead(compaction->engine);
    return rc;
}

/* --- the whole -------------------------------------------------------------
 */

static int begin(struct compaction *compaction, struct err *err)
{
    struct vecengine *engine = compaction->engine;
    int rc = compact_path(engine, COMPACT_LOG, compaction->path, err);

    if (rc == 0)
        rc = compact_path(engine, COMPACT_CHECKPOINT,
                          compaction->checkpoint_path, err);
    if (rc == 0)
        rc = log_file_create(compaction->path, &engine->shape, &compaction->log,
                             err);
    if (rc == 0)
        rc = generation_new(engine, compaction->log, &compaction->fresh, err);
    if (rc == 0)
        rc = log_file_take_access(compaction->log,
                                  compaction->old.generation->log, err);
    /* Who opens a log looks for settings at its beginning. */
    return rc ? rc : put_settings(compaction, err);
}

static int run(struct compaction *compaction, struct err *err)
{
    int pass, rc = begin(compaction, err);

    if (rc == 0)
        rc = look_and_take_over(compaction, err);
    if (rc == 0)
        rc = take_over_index(compaction, err);
    if (rc == 0)
        rc = save(compaction, err);
    for (pass = 0; rc == 0 && pass < PASSES_MAX; pass++) {
        int64_t before = compaction->seen_count;

        rc = look_and_take_over(compaction, err);
        if (compaction->seen_count - before <= LAST_MAX)
            break;
    }
    return rc ? rc : finish(compaction, err);
}

static void remove_files(const struct vecengine *engine)
{
    char path[FILE_PATH_MAX], fresh[FILE_PATH_MAX + 8];
    struct err err = {0};

    if (compact_path(engine, COMPACT_LOG, path, &err) == 0)
        unlink(path);
    if (compact_path(engine, COMPACT_CHECKPOINT, path, &err) != 0)
        return;
    unlink(path);
    snprintf(fresh, sizeof fresh, "%s.new", path);
    unlink(fresh);
}

int keeper_compact(struct vecengine *engine, struct keeper_work *work,
                   struct err *err)
{
    struct compaction *compaction = mem_new(sizeof *compaction);
    int rc;

    compaction->engine = engine;
    compaction->work = work;
    vecengine_take(engine, &compaction->old);
    rc = run(compaction, err);
    vecengine_give(engine, &compaction->old);
    generation_free(compaction->fresh);
    if (rc)
        remove_files(engine);
    mem_free(compaction->to);
    mem_free(compaction->gone);
    mem_free(compaction);
    return rc;
}

void keeper_sweep(const struct vecengine *engine)
{
    char fresh[FILE_PATH_MAX + 8];

    remove_files(engine);
    snprintf(fresh, sizeof fresh, "%s.new", engine->checkpoint_path);
    unlink(fresh);
}
