/* SPDX-License-Identifier: Apache-2.0 */
/* Saving the checkpoint of a generation: what would be slow to compute again
 * from its log, up to an offset of it.
 *
 * What changes under writers (removed rows, tables) is copied in the moment in
 * which the lead is taken; the rest never changes for slots that are published,
 * and is written from where it is, while searches and writes go on. */
#include "vectors/engine_saved.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

struct snapshot {
    struct saved_head head;
    uint8_t *removed;     /* owned */
    uint64_t *ids, *keys; /* owned; places of the tables */
};

static int fail_memory(struct err *err)
{
    return err_set(err, ERR_UNAVAILABLE, "no memory for a checkpoint");
}

static int copy_places(struct slot_table *table, uint64_t **out,
                       int64_t *out_count, struct err *err)
{
    size_t count = 0;
    const uint64_t *places = slot_table_places(table, &count);
    uint64_t *copy;

    *out_count = (int64_t)count;
    if (count == 0)
        return 0;
    copy = mem_try_aligned(count, sizeof *copy);
    if (copy == NULL)
        return fail_memory(err);
    memcpy(copy, places, count * sizeof *copy);
    *out = copy;
    return 0;
}

static int copy_removed(const struct generation *generation,
                        struct snapshot *snapshot, struct err *err)
{
    int64_t slot;

    snapshot->removed = mem_try_aligned((size_t)snapshot->head.count + 1, 1);
    if (snapshot->removed == NULL)
        return fail_memory(err);
    for (slot = 0; slot < snapshot->head.count; slot++) {
        const _Atomic uint8_t *at = blocks_at(&generation->removed, slot);

        snapshot->removed[slot] =
            atomic_load_explicit(at, memory_order_relaxed);
    }
    return 0;
}

int snapshot_take(const struct vecengine *engine, struct generation *generation,
                  struct snapshot **out, struct err *err)
{
    struct snapshot *snapshot = NULL;
    /* What was only noted may not be on the disk yet, and a log that is shorter
     * than its checkpoint says is taken for damaged. */
    int rc = log_file_commit(generation->log, err);

    if (rc)
        return rc;
    snapshot = mem_new(sizeof *snapshot);
    snapshot->head = (struct saved_head){
        .log_seed = log_file_seed(generation->log),
        .dim = (uint32_t)engine->shape.dim,
        .metric = (uint32_t)engine->shape.metric,
        .storage = (uint32_t)codes_storage(generation->codes),
        .log_len = log_file_len(generation->log),
        .count = generation->count,
        .removed_count = generation->removed_count,
        .next_id = generation->next_id,
        .settings = generation->settings,
    };
    rc = copy_removed(generation, snapshot, err);
    if (rc == 0)
        rc = copy_places(&generation->ids, &snapshot->ids,
                         &snapshot->head.id_places, err);
    if (rc == 0)
        rc = copy_places(&generation->keys, &snapshot->keys,
                         &snapshot->head.key_places, err);
    if (rc) {
        snapshot_free(snapshot);
        return rc;
    }
    *out = snapshot;
    return 0;
}

void snapshot_free(struct snapshot *snapshot)
{
    if (snapshot == NULL)
        return;
    mem_free(snapshot->removed);
    mem_free(snapshot->ids);
    mem_free(snapshot->keys);
    mem_free(snapshot);
}

int64_t snapshot_log_len(const struct snapshot *snapshot)
{
    return snapshot->head.log_len;
}

static void put_slots(const struct generation *generation, int64_t count,
                      struct checkpoint_writer *writer)
{
    int64_t slot, run;

    for (slot = 0; slot < count; slot += run) {
        run = blocks_run(slot) < count - slot ? blocks_run(slot) : count - slot;
        checkpoint_put(writer, generation_slot(generation, slot),
                       (size_t)run * sizeof(struct engine_slot));
    }
}

static void put_index(const struct engine_index *index,
                      struct checkpoint_writer *writer)
{
    if (index->graph != NULL)
        graph_save(index->graph, writer);
    if (index->lists != NULL)
        lists_save(index->lists, writer);
}

int snapshot_save(const struct snapshot *snapshot,
                  const struct generation *generation,
                  const struct engine_index *index, const char *path,
                  struct err *err)
{
    struct checkpoint_writer *writer = NULL;
    struct saved_head head = snapshot->head;
    int rc = checkpoint_begin(path, &writer, err);

    if (rc)
        return rc;
    rc = log_file_share_access(generation->log, checkpoint_fd(writer), err);
    if (rc) {
        checkpoint_abandon(writer);
        return rc;
    }
    head.index = index->graph != NULL   ? SAVED_GRAPH
                 : index->lists != NULL ? SAVED_LISTS
                                        : SAVED_NONE;
    checkpoint_start(writer, SAVED_HEAD);
    checkpoint_put(writer, &head, sizeof head);
    checkpoint_start(writer, SAVED_SLOTS);
    put_slots(generation, head.count, writer);
    checkpoint_start(writer, SAVED_REMOVED);
    checkpoint_put(writer, snapshot->removed, (size_t)head.count);
    checkpoint_start(writer, SAVED_IDS);
    checkpoint_put(writer, snapshot->ids,
                   (size_t)head.id_places * sizeof *snapshot->ids);
    checkpoint_start(writer, SAVED_KEYS);
    checkpoint_put(writer, snapshot->keys,
                   (size_t)head.key_places * sizeof *snapshot->keys);
    rc = slot_tags_save(generation->tags, head.count, writer, err);
    if (rc) {
        checkpoint_abandon(writer);
        return rc;
    }
    codes_save(generation->codes, head.count, writer);
    put_index(index, writer);
    return checkpoint_commit(writer, err);
}

int compact_path(const struct vecengine *engine, enum compact_file file,
                 char out[FILE_PATH_MAX], struct err *err)
{
    int len = snprintf(out, FILE_PATH_MAX, "%s.compact%s", engine->path,
                       file == COMPACT_LOG ? "" : ".checkpoint");

    if (len < 0 || len >= FILE_PATH_MAX)
        return err_set(err, ERR_TOO_LARGE, "a path is longer than %d bytes",
                       FILE_PATH_MAX - 1);
    return 0;
}
