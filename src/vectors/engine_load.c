/* SPDX-License-Identifier: Apache-2.0 */
/* Loading a checkpoint, which is believed as far as its checksums go: every
 * offset, slot and count in it is checked before it is used, but that a row is
 * where it says is seen only when the row's record is verified, before its
 * first use. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "vectors/engine_saved.h"

/* What is loaded, before it is the generation's. */
struct loaded {
    struct checkpoint *checkpoint;
    struct saved_head head;
    struct blocks slots, removed, checked;
    struct codes *codes;
    struct slot_tags *tags;
    struct graph *graph;
    struct lists *lists;
};

static void loaded_release(struct loaded *loaded)
{
    graph_free(loaded->graph);
    lists_free(loaded->lists);
    codes_free(loaded->codes);
    slot_tags_free(loaded->tags);
    blocks_release(&loaded->slots);
    blocks_release(&loaded->removed);
    blocks_release(&loaded->checked);
    checkpoint_close(loaded->checkpoint);
    *loaded = (struct loaded){0};
}

/* Whether the checkpoint is of this log, as it is kept in memory now; else
 * nothing is wrong with it, but it is of no use. */
static bool is_fit(const struct vecengine *engine,
                   const struct generation *generation,
                   const struct saved_head *head)
{
    return head->log_seed == log_file_seed(generation->log) &&
           head->dim == (uint32_t)engine->shape.dim &&
           head->metric == (uint32_t)engine->shape.metric &&
           head->storage == (uint32_t)engine->settings.storage;
}

static int read_head(struct loaded *loaded, struct err *err)
{
    void *bytes = NULL;
    int rc = checkpoint_section(loaded->checkpoint, SAVED_HEAD, 1,
                                sizeof loaded->head, &bytes, NULL, err);
    const struct saved_head *head = &loaded->head;

    if (rc)
        return rc;
    memcpy(&loaded->head, bytes, sizeof loaded->head);
    if (head->count < 0 || head->count > BLOCKS_ROWS_MAX ||
        head->log_len < LOG_HEADER_LEN || head->next_id < 0 ||
        head->id_places < 0 || head->key_places < 0 ||
        head->index > SAVED_LISTS)
        return err_set(err, ERR_CORRUPT,
                       "section HEAD of the checkpoint makes no sense "
                       "(%lld rows, %lld bytes of log)",
                       (long long)head->count, (long long)head->log_len);
    return 0;
}

/* Where the float32 rows lie, which is checked against the log's length only:
 * reading them would take as long as reading the log. */
static int find_rows(const struct vecengine *engine,
                     const struct generation *generation,
                     const struct loaded *loaded, const float **out,
                     struct err *err)
{
    int64_t row_len = (int64_t)engine->shape.dim * (int64_t)sizeof(float);
    int64_t len = loaded->head.log_len, i;

    for (i = 0; i < loaded->head.count; i++) {
        const struct engine_slot *slot = blocks_at(&loaded->slots, i);

        if (slot->id < 0 || slot->record < LOG_HEADER_LEN ||
            slot->record > len - LOG_HEAD_LEN ||
            slot->record % LOG_ALIGNMENT != 0 ||
            slot->vector < LOG_HEADER_LEN + LOG_HEAD_LEN ||
            slot->vector > len - row_len || slot->vector % LOG_ALIGNMENT != 0)
            return err_set(err, ERR_CORRUPT,
                           "section SLOT of the checkpoint makes no sense at "
                           "row %lld",
                           (long long)i);
        out[i] = log_file_find(generation->log, slot->vector, row_len);
        if (out[i] == NULL)
            return err_set(err, ERR_CORRUPT,
                           "byte %lld of the log, where row %lld of the "
                           "checkpoint is, is not mapped",
                           (long long)slot->vector, (long long)i);
    }
    return 0;
}

static int load_rows(const struct vecengine *engine,
                     struct generation *generation, struct loaded *loaded,
                     struct err *err)
{
    const struct codes_options options = {
        .dim = engine->shape.dim,
        .metric = engine->shape.metric,
        .storage = engine->settings.storage,
        .check = generation_check_slot,
        .user = generation,
    };
    int64_t count = loaded->head.count;
    const float **rows = mem_try((size_t)count + 1, sizeof *rows);
    int rc;

    if (rows == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for a checkpoint");
    rc = find_rows(engine, generation, loaded, rows, err);
    if (rc == 0)
        rc = codes_load(&options, loaded->checkpoint, rows, count,
                        &loaded->codes, err);
    mem_free(rows);
    return rc;
}

static int map_blocks(struct loaded *loaded, const char *name, size_t row_len,
                      struct blocks *out, struct err *err)
{
    void *rows = NULL;
    int rc = checkpoint_section(loaded->checkpoint, name, loaded->head.count,
                                row_len, &rows, NULL, err);

    if (rc == 0)
        rc = blocks_init(out, row_len, err);
    return rc ? rc : blocks_map(out, rows, loaded->head.count, err);
}

/* The count in the head is not believed. */
static int load_removed(struct loaded *loaded, struct err *err)
{
    int64_t slot, count = 0;
    int rc = map_blocks(loaded, SAVED_REMOVED, 1, &loaded->removed, err);

    if (rc)
        return rc;
    for (slot = 0; slot < loaded->head.count; slot++)
        count += slot_is_removed(&loaded->removed, slot);
    loaded->head.removed_count = count;
    rc = blocks_init(&loaded->checked, 1, err);
    return rc ? rc : blocks_reserve(&loaded->checked, loaded->head.count, err);
}

static bool wants_graph(const struct engine_settings *settings)
{
    return settings->type == VECINDEX_AUTO || settings->type == VECINDEX_HNSW;
}

/* The index that the checkpoint has, unless another one is wanted now. */
static int load_index(const struct vecengine *engine, const struct codes *codes,
                      struct loaded *loaded, struct err *err)
{
    const struct engine_settings *settings = &engine->settings;
    struct graph_options options;
    int rc = 0;

    if (loaded->head.index == SAVED_GRAPH && wants_graph(settings)) {
        rc = graph_load(codes, loaded->checkpoint, &loaded->graph, err);
        if (rc)
            return rc;
        graph_options(loaded->graph, &options);
        if (options.links != settings->links ||
            graph_count(loaded->graph) > loaded->head.count) {
            graph_free(loaded->graph);
            loaded->graph = NULL;
        }
    } else if (loaded->head.index == SAVED_LISTS &&
               settings->type == VECINDEX_IVFFLAT) {
        rc = lists_load(codes, loaded->checkpoint, &loaded->lists, err);
        if (rc)
            return rc;
        if ((settings->nlist != 0 &&
             settings->nlist != lists_nlist(loaded->lists)) ||
            lists_count(loaded->lists) > loaded->head.count) {
            lists_free(loaded->lists);
            loaded->lists = NULL;
        }
    }
    return 0;
}

static int load_tables(struct generation *generation, struct loaded *loaded,
                       struct err *err)
{
    const struct saved_head *head = &loaded->head;
    void *ids = NULL, *keys = NULL;
    int rc = checkpoint_section(loaded->checkpoint, SAVED_IDS, head->id_places,
                                sizeof(uint64_t), &ids, NULL, err);

    if (rc == 0)
        rc =
            checkpoint_section(loaded->checkpoint, SAVED_KEYS, head->key_places,
                               sizeof(uint64_t), &keys, NULL, err);
    if (rc == 0)
        rc = slot_table_map(&generation->ids, ids, (size_t)head->id_places,
                            head->count, err);
    if (rc)
        return rc;
    rc = slot_table_map(&generation->keys, keys, (size_t)head->key_places,
                        head->count, err);
    if (rc) {
        slot_table_release(&generation->ids);
        slot_table_init(&generation->ids);
    }
    return rc;
}

/* Everything of an open checkpoint that fits; the tables come last, because
 * they go into the generation at once. */
static int load_sections(const struct vecengine *engine,
                         struct generation *generation, struct loaded *loaded,
                         struct err *err)
{
    int rc = map_blocks(loaded, SAVED_SLOTS, sizeof(struct engine_slot),
                        &loaded->slots, err);

    if (rc == 0)
        rc = load_removed(loaded, err);
    if (rc == 0)
        rc = load_rows(engine, generation, loaded, err);
    if (rc == 0)
        rc = slot_tags_load(loaded->checkpoint, loaded->head.count,
                            &loaded->tags, err);
    if (rc == 0)
        rc = load_index(engine, loaded->codes, loaded, err);
    return rc ? rc : load_tables(generation, loaded, err);
}

/* Moves what was loaded into the generation. */
static void hand_over(struct generation *generation, struct loaded *loaded)
{
    const struct saved_head *head = &loaded->head;

    blocks_release(&generation->slots);
    blocks_release(&generation->removed);
    blocks_release(&generation->checked);
    codes_free(generation->codes);
    slot_tags_free(generation->tags);
    generation->slots = loaded->slots;
    generation->removed = loaded->removed;
    generation->checked = loaded->checked;
    generation->codes = loaded->codes;
    generation->tags = loaded->tags;
    generation->checkpoint = loaded->checkpoint;
    generation->index->graph = loaded->graph;
    generation->index->lists = loaded->lists;
    generation->count = head->count;
    generation->removed_count = head->removed_count;
    generation->next_id = head->next_id;
    generation->settings = head->settings;
    generation->unchecked_count = head->count;
    generation->saved_len = head->log_len;
    *loaded = (struct loaded){0};
}

/* Opens the checkpoint at path and reads its head. *out_is_fit is false, with
 * the reason in generation->saved_err unless there is no file, when it is of no
 * use. ERR_UNAVAILABLE. */
static int open_fit(const struct vecengine *engine,
                    struct generation *generation, const char *path,
                    struct loaded *loaded, bool *out_is_fit, struct err *err)
{
    int rc = checkpoint_open(path, &loaded->checkpoint, err);

    if (rc == 0)
        rc = read_head(loaded, err);
    *out_is_fit = rc == 0 && is_fit(engine, generation, &loaded->head);
    if (*out_is_fit || rc == ERR_UNAVAILABLE)
        return rc;
    if (rc != 0 && rc != ERR_NOT_FOUND)
        generation->saved_err = *err;
    *err = (struct err){0};
    loaded_release(loaded);
    return 0;
}

/* The checkpoint has its name, or still the one that compaction gave it when it
 * was ended between its two renames; then a writer puts that right. */
static int open_either(const struct vecengine *engine,
                       struct generation *generation, struct loaded *loaded,
                       bool *out_is_fit, struct err *err)
{
    char path[FILE_PATH_MAX];
    int rc = open_fit(engine, generation, engine->checkpoint_path, loaded,
                      out_is_fit, err);

    if (rc || *out_is_fit)
        return rc;
    rc = compact_path(engine, COMPACT_CHECKPOINT, path, err);
    if (rc == 0)
        rc = open_fit(engine, generation, path, loaded, out_is_fit, err);
    if (rc || !*out_is_fit)
        return rc;
    generation->saved_err = (struct err){0};
    if (engine->mode == VEC_WRITE)
        /* When this fails it is found as it was found now. */
        (void)rename(path, engine->checkpoint_path);
    return 0;
}

/* Whether the file is another than at the last look, so that one that is of no
 * use is looked at once. */
static bool is_news(const struct vecengine *engine,
                    struct generation *generation)
{
    struct saved_seen seen = {0};
    struct stat about;

    if (stat(engine->checkpoint_path, &about) == 0)
        seen = (struct saved_seen){about.st_dev, about.st_ino,
                                   about.st_mtim.tv_sec, about.st_mtim.tv_nsec};
    if (memcmp(&seen, &generation->saved_seen, sizeof seen) == 0)
        return false;
    generation->saved_seen = seen;
    return seen.inode != 0;
}

int vecengine_load(struct vecengine *engine, struct generation *generation,
                   int64_t *out_offset, struct err *err)
{
    struct loaded loaded = {0};
    bool is_fit = false;
    int rc;

    *out_offset = LOG_HEADER_LEN;
    (void)is_news(engine, generation);
    rc = open_either(engine, generation, &loaded, &is_fit, err);
    if (rc || !is_fit)
        return rc;
    rc = log_file_reach(generation->log, loaded.head.log_len, err);
    if (rc == 0)
        rc = load_sections(engine, generation, &loaded, err);
    else if (rc == ERR_CORRUPT)
        goto out;
    if (rc == 0) {
        *out_offset = loaded.head.log_len;
        hand_over(generation, &loaded);
    } else if (rc != ERR_UNAVAILABLE) {
        generation->saved_err = *err;
        *err = (struct err){0};
        rc = 0;
    }
out:
    loaded_release(&loaded);
    return rc;
}

/* --- another checkpoint ----------------------------------------------------
 */

static int reload(struct vecengine *engine, struct generation *generation,
                  struct err *err)
{
    struct engine_index *index = NULL;
    struct loaded loaded = {0};
    bool is_fit = false;
    int rc = open_fit(engine, generation, engine->checkpoint_path, &loaded,
                      &is_fit, err);

    if (rc || !is_fit)
        return rc;
    /* Rows that this process has not read yet would be linked to. */
    if (loaded.head.count > generation->count) {
        generation->saved_seen = (struct saved_seen){0};
        goto out;
    }
    rc = load_index(engine, generation->codes, &loaded, err);
    if (rc == 0 && (loaded.graph != NULL || loaded.lists != NULL)) {
        index = engine_index_new(loaded.graph, loaded.lists);
        index->checkpoint = loaded.checkpoint;
        loaded.graph = NULL;
        loaded.lists = NULL;
        loaded.checkpoint = NULL;
        vecengine_set_index(engine, index);
    }
    if (rc != 0 && rc != ERR_UNAVAILABLE) {
        *err = (struct err){0};
        rc = 0;
    }
out:
    loaded_release(&loaded);
    return rc;
}

int vecengine_reload_index(struct vecengine *engine, struct err *err)
{
    struct engine_view view;
    int rc = 0;

    vecengine_take(engine, &view);
    if (is_news(engine, view.generation))
        rc = reload(engine, view.generation, err);
    vecengine_give(engine, &view);
    return rc;
}
