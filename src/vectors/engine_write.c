/* SPDX-License-Identifier: Apache-2.0 */
/* Writers queue up with what they want; one of them takes the lead, serves all
 * that wait with as few syncs as it can, and wakes them. A wish lies on its
 * writer's stack: it is the writer's until it is queued, the lead's until
 * `done`, then the writer's again.
 *
 * Wishes that have nothing to do with each other go into one group: planned
 * (what is refused drops out), written, made ready in memory, synced,
 * published. One that touches what another of the group changes waits for the
 * next group. */
#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include "base/mem.h"
#include "vectors/engine_group.h"
#include "vectors/engine_parts.h"

/* Rows after which a group takes no more wishes. */
enum { GROUP_ROWS_MAX = 16384 };

enum wish { WISH_ADD, WISH_UPSERT, WISH_IDS, WISH_KEYS, WISH_MATCHING };

struct engine_write {
    enum wish wish;
    const struct vec_entry *entries; /* these are borrowed */
    const int64_t *ids;
    const char *const *keys;
    const struct vec_filter *filter;
    int count;
    int64_t *out_ids; /* NULL: not wanted */

    /* Of the lead. */
    int64_t row_begin, row_end;   /* of the group */
    int64_t gone_begin, gone_end; /* removed, not replaced */
    bool is_in;                   /* the group */

    int rc;          /* set before done */
    struct err *err; /* the writer's */
    bool done;       /* guarded by queueing */
    struct engine_write *next;
};

/* --- planning --------------------------------------------------------- */

/* Besides what went wrong, a wish may have to wait for the next group. */
enum { PLAN_LATER = -1 };

/* Whether nothing else is in the group, so that what was touched before was
 * touched by the wish itself. */
static bool is_alone(const struct engine_write *write)
{
    return write->row_begin == 0 && write->gone_begin == 0;
}

static int fail_there(int number, const struct vec_entry *entry, int64_t id,
                      bool is_key, struct err *err)
{
    if (is_key)
        return err_set(err, ERR_CONFLICT,
                       "entry %d: the key '%.100s' is that of entry %lld",
                       number, entry->key, (long long)id);
    return err_set(err, ERR_CONFLICT, "entry %d: the id %lld is there already",
                   number, (long long)id);
}

/* What the entry replaces, in *out, and the id that it has then, NEW for one
 * that is to be counted. */
static int find_place(const struct group *group, bool is_upsert, int number,
                      const struct vec_entry *entry, int64_t *out_id,
                      int64_t *out, struct err *err)
{
    struct generation *generation = group->generation;
    int64_t count = generation->count, owner = SLOT_NONE, slot = SLOT_NONE;
    bool has_key = entry->key != NULL && entry->key[0] != '\0';
    int rc = 0;

    if (has_key)
        rc = generation_find_key(generation, entry->key, count, &owner, err);
    if (rc)
        return rc;
    if (entry->id != VEC_ID_NEW)
        slot = generation_find_id(generation, entry->id, count);
    else if (is_upsert)
        slot = owner;
    if (!is_upsert && slot != SLOT_NONE)
        return fail_there(number, entry, entry->id, false, err);
    if (owner != SLOT_NONE && (!is_upsert || owner != slot))
        return fail_there(number, entry, generation_slot(generation, owner)->id,
                          true, err);
    *out = slot;
    *out_id = entry->id;
    if (slot != SLOT_NONE)
        *out_id = generation_slot(generation, slot)->id;
    return 0;
}

static int count_id(struct group *group, int64_t *out, struct err *err)
{
    if (group->next_id == INT64_MAX)
        return err_set(err, ERR_CONFLICT, "there are no ids left to give");
    *out = group->next_id++;
    return 0;
}

/* Touches what the entry changes. */
static int touch(struct group *group, int64_t id, const char *key, int64_t slot,
                 bool *out_is_new, struct err *err)
{
    struct log_record old;
    int rc;

    *out_is_new = group_touch(group, id, key);
    if (slot == SLOT_NONE)
        return 0;
    rc = generation_record(group->generation, slot, &old, err);
    if (rc == 0 && strcmp(old.key, key) != 0 &&
        !group_touch_key(group, old.key))
        *out_is_new = false;
    return rc;
}

static int plan_entry(struct group *group, const struct engine_write *write,
                      int number, struct err *err)
{
    const struct vec_entry *entry = &write->entries[number];
    const char *key = entry->key == NULL ? "" : entry->key;
    int64_t id = VEC_ID_NEW, slot = SLOT_NONE;
    bool is_new = true;
    int rc = find_place(group, write->wish == WISH_UPSERT, number, entry, &id,
                        &slot, err);

    if (rc == 0 && slot == SLOT_NONE && id > VEC_ID_MAX)
        rc = err_set(err, ERR_INVALID,
                     "entry %d: the id is %lld; that of a new entry must be "
                     "0..%lld",
                     number, (long long)id, (long long)VEC_ID_MAX);
    if (rc == 0 && id == VEC_ID_NEW)
        rc = count_id(group, &id, err);
    if (rc == 0)
        rc = touch(group, id, key, slot, &is_new, err);
    if (rc)
        return rc;
    if (!is_new && !is_alone(write))
        return PLAN_LATER;
    if (!is_new)
        return err_set(err, ERR_CONFLICT,
                       "entry %d takes the id or the key of another entry "
                       "that the same call changes",
                       number);
    if (slot != SLOT_NONE)
        group->gone[group->gone_count++] = (int32_t)slot;
    group->rows[group->row_count++] = (struct group_row){
        .id = id, .replaced = slot, .entry = entry, .key = key};
    return 0;
}

static int plan_entries(struct group *group, const struct engine_write *write,
                        struct err *err)
{
    int i, rc = group_reserve(group, write->count, 0, err);

    /* Ids that are counted come after all that are given. */
    for (i = 0; i < write->count; i++) {
        if (write->entries[i].id >= group->next_id)
            group->next_id = write->entries[i].id + 1;
    }
    for (i = 0; rc == 0 && i < write->count; i++)
        rc = plan_entry(group, write, i, err);
    return rc;
}

/* An id or a key that is named twice counts once. */
static int plan_gone(struct group *group, const struct engine_write *write,
                     int64_t slot, struct err *err)
{
    struct log_record old;
    int rc;

    if (slot == SLOT_NONE)
        return 0;
    rc = generation_record(group->generation, slot, &old, err);
    if (rc)
        return rc;
    if (group_touch(group, generation_slot(group->generation, slot)->id,
                    old.key))
        group->gone[group->gone_count++] = (int32_t)slot;
    else if (!is_alone(write))
        return PLAN_LATER;
    return 0;
}

static int plan_named(struct group *group, const struct engine_write *write,
                      struct err *err)
{
    struct generation *generation = group->generation;
    int i, rc = group_reserve(group, 0, write->count, err);

    for (i = 0; rc == 0 && i < write->count; i++) {
        int64_t count = generation->count, slot = SLOT_NONE;

        if (write->wish == WISH_IDS)
            slot = generation_find_id(generation, write->ids[i], count);
        else
            rc = generation_find_key(generation, write->keys[i], count, &slot,
                                     err);
        if (rc == 0)
            rc = plan_gone(group, write, slot, err);
    }
    return rc;
}

/* A filter may match anything that the group changes, so it is alone. */
static int plan_matching(struct group *group, const struct engine_write *write,
                         struct err *err)
{
    struct generation *generation = group->generation;
    int64_t count = generation->count, matching = 0, slot;
    uint64_t *wanted = NULL;
    struct slot_filter filter = {.removed = &generation->removed,
                                 .wanted_count = count};
    int rc;

    if (!is_alone(write))
        return PLAN_LATER;
    rc = slot_tags_filter(generation->tags, write->filter, count,
                          &generation->removed, &wanted, &matching, err);
    filter.wanted = wanted;
    if (rc == 0)
        rc = group_reserve(group, 0, matching, err);
    for (slot = 0; rc == 0 && slot < count; slot++) {
        if (slot_passes(&filter, slot))
            rc = plan_gone(group, write, slot, err);
    }
    mem_free(wanted);
    return rc;
}

/* Takes the wish into the group, or leaves the group as it was (but for what
 * was touched). */
static int plan(struct group *group, struct engine_write *write,
                struct err *err)
{
    int64_t next_id = group->next_id;
    int rc;

    write->row_begin = group->row_count;
    write->row_end = group->row_count;
    write->gone_begin = group->gone_count;
    if (write->wish == WISH_ADD || write->wish == WISH_UPSERT)
        rc = plan_entries(group, write, err);
    else if (write->wish == WISH_MATCHING)
        rc = plan_matching(group, write, err);
    else
        rc = plan_named(group, write, err);
    if (rc) {
        group->row_count = write->row_begin;
        group->gone_count = write->gone_begin;
        group->next_id = next_id;
    }
    write->row_end = group->row_count;
    write->gone_end = group->gone_count;
    write->is_in = rc == 0;
    return rc;
}

/* --- writing ---------------------------------------------------------- */

static int put_rows(struct group *group, const struct engine_write *write,
                    struct err *err)
{
    int64_t i;
    int rc = 0;

    for (i = write->row_begin; rc == 0 && i < write->row_end; i++) {
        struct group_row *row = &group->rows[i];
        const struct vec_entry *entry = row->entry;
        struct log_record record = {
            .kind = LOG_ITEM,
            .flags = (i + 1 < write->row_end ? (uint32_t)LOG_HAS_MORE : 0) |
                     (row->replaced != SLOT_NONE ? (uint32_t)LOG_REPLACES : 0),
            .id = row->id,
            .vector = entry->vector,
            .key = entry->key == NULL ? "" : entry->key,
            .path = entry->path == NULL ? "" : entry->path,
            .tags = entry->tags,
            .count = entry->tag_count};

        rc = log_file_put(group->generation->log, &record, &row->head, err);
    }
    return rc;
}

static int put_gone(struct group *group, const struct engine_write *write,
                    struct err *err)
{
    int64_t ids[LOG_IDS_MAX], i = write->gone_begin;
    int rc = 0;

    while (rc == 0 && i < write->gone_end) {
        struct log_record record = {.kind = LOG_GONE, .ids = ids};

        while (i < write->gone_end && record.count < LOG_IDS_MAX)
            ids[record.count++] =
                generation_slot(group->generation, group->gone[i++])->id;
        if (i < write->gone_end)
            record.flags = LOG_HAS_MORE;
        rc = log_file_put(group->generation->log, &record, NULL, err);
    }
    return rc;
}

/* Where the rows are, once they can be read there. The first head cannot until
 * it is committed, so texts are the writer's. */
static void find_mapped(struct group *group)
{
    struct log_file *log = group->generation->log;
    int64_t i;

    for (i = 0; i < group->row_count; i++) {
        struct group_row *row = &group->rows[i];

        row->record = log_file_offset(log, row->head);
        row->vector = row->record + LOG_HEAD_LEN;
        group->vectors[i] = (const float *)(const void *)(row->head + 1);
    }
}

static int write_group(struct group *group, struct engine_write *first,
                       const struct engine_write *end, struct err *err)
{
    struct log_file *log = group->generation->log;
    struct engine_write *write = NULL;
    int rc = 0;

    for (write = first; rc == 0 && write != end; write = write->next) {
        if (!write->is_in)
            continue;
        if (write->row_end > write->row_begin)
            rc = put_rows(group, write, err);
        else
            rc = put_gone(group, write, err);
    }
    if (rc == 0)
        rc = log_file_flush(log, err);
    if (rc)
        return rc;
    find_mapped(group);
    rc = group_prepare(group, err);
    if (rc) {
        log_file_cut(log);
        return rc;
    }
    rc = log_file_commit(log, err);
    if (rc)
        return rc;
    group_publish(group);
    if (group->row_count + group->gone_count > 1)
        log_file_note_durable(log);
    return 0;
}

/* --- the queue -------------------------------------------------------- */

static void tell_ids(const struct group *group, struct engine_write *write)
{
    int64_t i;

    for (i = write->row_begin; write->out_ids != NULL && i < write->row_end;
         i++)
        write->out_ids[i - write->row_begin] = group->rows[i].id;
}

/* Plans as many wishes as go together; returns the first that does not. */
static struct engine_write *gather(struct group *group,
                                   struct engine_write *first)
{
    struct engine_write *write = first;

    for (; write != NULL; write = write->next) {
        int rc;

        if (write != first && group->row_count + write->count > GROUP_ROWS_MAX)
            break;
        rc = plan(group, write, write->err);
        if (rc == PLAN_LATER)
            break;
        write->rc = rc;
        /* What a refused one has touched is free again. */
        if (rc && group->row_count == 0 && group->gone_count == 0)
            group_reset(group);
    }
    return write;
}

/* Serves a first part of the list; returns what is left of it. */
static struct engine_write *serve(struct vecengine *engine, struct group *group,
                                  struct engine_write *first)
{
    struct engine_write *end = NULL, *write = NULL;
    struct err err = {0};
    int rc = 0;

    group_reset(group);
    end = gather(group, first);
    if (group->row_count > 0 || group->gone_count > 0)
        rc = write_group(group, first, end, &err);
    for (write = first; write != end; write = write->next) {
        if (write->is_in && rc != 0)
            *write->err = err;
        if (write->is_in)
            write->rc = rc;
        if (write->rc == 0)
            tell_ids(group, write);
    }
    if (rc == 0)
        keeper_wake(engine);
    return end;
}

/* With the lead: serves all that wait. */
static void serve_all(struct vecengine *engine)
{
    struct engine_write *list = NULL, *left = NULL, *next = NULL;
    struct group group;

    pthread_mutex_lock(&engine->queueing);
    list = engine->first;
    engine->first = engine->last = NULL;
    pthread_mutex_unlock(&engine->queueing);
    group_init(&group, engine->current);
    for (left = list; left != NULL;)
        left = serve(engine, &group, left);
    group_release(&group);
    pthread_mutex_lock(&engine->queueing);
    for (; list != NULL; list = next) {
        next = list->next;
        list->done = true;
    }
    pthread_mutex_unlock(&engine->queueing);
}

static int submit(struct vecengine *engine, struct engine_write *write)
{
    pthread_mutex_lock(&engine->queueing);
    if (engine->first == NULL)
        engine->first = write;
    else
        engine->last->next = write;
    engine->last = write;
    while (!write->done) {
        if (engine->is_led) {
            pthread_cond_wait(&engine->queue_moved, &engine->queueing);
            continue;
        }
        engine->is_led = true;
        pthread_mutex_unlock(&engine->queueing);
        serve_all(engine);
        pthread_mutex_lock(&engine->queueing);
        engine->is_led = false;
        pthread_cond_broadcast(&engine->queue_moved);
    }
    pthread_mutex_unlock(&engine->queueing);
    return write->rc;
}

int vecengine_write(void *self, const struct vec_entry *entries, int count,
                    bool is_upsert, int64_t *out_ids, struct err *err)
{
    struct engine_write write = {.wish = is_upsert ? WISH_UPSERT : WISH_ADD,
                                 .entries = entries,
                                 .count = count,
                                 .out_ids = out_ids,
                                 .err = err};

    return submit(self, &write);
}

static int submit_removal(struct vecengine *engine, struct engine_write *write,
                          int64_t *out_removed)
{
    int rc = submit(engine, write);

    if (rc == 0 && out_removed != NULL)
        *out_removed = write->gone_end - write->gone_begin;
    return rc;
}

int vecengine_remove(void *self, const int64_t *ids, const char *const *keys,
                     int count, int64_t *out_removed, struct err *err)
{
    struct engine_write write = {.wish = ids != NULL ? WISH_IDS : WISH_KEYS,
                                 .ids = ids,
                                 .keys = keys,
                                 .count = count,
                                 .err = err};

    return submit_removal(self, &write, out_removed);
}

int vecengine_remove_matching(void *self, const struct vec_filter *filter,
                              int64_t *out_removed, struct err *err)
{
    struct engine_write write = {
        .wish = WISH_MATCHING, .filter = filter, .err = err};

    return submit_removal(self, &write, out_removed);
}
