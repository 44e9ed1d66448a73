/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/mem.h"
#include "vectors/engine_group.h"
#include "vectors/engine_parts.h"
#include "vectors/row_check.h"

/* Rows that gather before they are published, when nobody looks on. */
enum { ROWS_MAX = 4096 };

/* Of a file the limits are wider: another processor's sum rounded otherwise. */
static const float file_slack = 2;

/* --- a generation ----------------------------------------------------- */

int generation_new(struct vecengine *engine, struct log_file *log,
                   struct generation **out, struct err *err)
{
    struct generation *generation = mem_new(sizeof *generation);
    const struct codes_options options = {.dim = engine->shape.dim,
                                          .metric = engine->shape.metric,
                                          .storage = engine->settings.storage,
                                          .check = generation_check_slot,
                                          .user = generation};
    int rc;

    generation->ref_count = 1;
    generation->is_ordered = true;
    generation->log = log;
    generation->index = engine_index_new(NULL, NULL);
    generation->tags = slot_tags_new();
    slot_table_init(&generation->ids);
    slot_table_init(&generation->keys);
    rc = blocks_init(&generation->slots, sizeof(struct engine_slot), err);
    if (rc == 0)
        rc = blocks_init(&generation->removed, 1, err);
    if (rc == 0)
        rc = blocks_init(&generation->checked, 1, err);
    if (rc == 0)
        rc = codes_new(&options, &generation->codes, err);
    if (rc) {
        generation_free(generation);
        return rc;
    }
    *out = generation;
    return 0;
}

void generation_free(struct generation *generation)
{
    if (generation == NULL)
        return;
    engine_index_free(generation->index);
    codes_free(generation->codes);
    slot_tags_free(generation->tags);
    slot_table_release(&generation->ids);
    slot_table_release(&generation->keys);
    blocks_release(&generation->slots);
    blocks_release(&generation->removed);
    blocks_release(&generation->checked);
    checkpoint_close(generation->checkpoint);
    log_file_close(generation->log);
    mem_free(generation);
}

void generation_see_order(struct generation *generation)
{
    int64_t before = -1, slot;
    bool is_ordered = true;

    for (slot = 0; is_ordered && slot < generation->count; slot++) {
        int64_t id = generation_slot(generation, slot)->id;

        is_ordered = id > before;
        before = id;
    }
    generation->is_ordered = is_ordered;
}

/* --- records of slots ------------------------------------------------- */

static int fail_slot(const struct engine_slot *slot, int64_t number,
                     struct err *err)
{
    return err_set(err, ERR_CORRUPT,
                   "the checkpoint says that row %lld, entry %lld, is at byte "
                   "%lld, which is another record",
                   (long long)number, (long long)slot->id,
                   (long long)slot->record);
}

/* Where the head of the record is that has the slot's float32 row. */
static int64_t vector_record(const struct engine_slot *slot)
{
    return slot->vector - LOG_HEAD_LEN;
}

static int verify_slot(struct generation *generation, int64_t number,
                       struct err *err)
{
    const struct engine_slot *slot = generation_slot(generation, number);
    int64_t with_vector = vector_record(slot);
    const struct log_head *head = NULL;
    int rc = log_file_verify(generation->log, slot->record, err);

    if (rc == 0 && with_vector != slot->record)
        rc = log_file_verify(generation->log, with_vector, err);
    if (rc)
        return rc;
    head = log_file_at(generation->log, slot->record);
    if (head->id != slot->id ||
        (head->kind != LOG_ITEM && head->kind != LOG_OLD_ENTRY &&
         head->kind != LOG_OLD_UPDATE))
        return fail_slot(slot, number, err);
    head = log_file_at(generation->log, with_vector);
    if (head->id != slot->id ||
        (head->kind != LOG_ITEM && head->kind != LOG_OLD_ENTRY))
        return fail_slot(slot, number, err);
    return 0;
}

int generation_check_slot(void *user, int64_t slot, struct err *err)
{
    struct generation *generation = user;
    _Atomic uint8_t *checked = NULL;
    int rc;

    if (slot >= generation->unchecked_count)
        return 0;
    checked = blocks_at(&generation->checked, slot);
    if (atomic_load_explicit(checked, memory_order_acquire) != 0)
        return 0;
    rc = verify_slot(generation, slot, err);
    if (rc == 0)
        atomic_store_explicit(checked, 1, memory_order_release);
    return rc;
}

int generation_record(struct generation *generation, int64_t number,
                      struct log_record *out, struct err *err)
{
    const struct engine_slot *slot = generation_slot(generation, number);
    int dim = log_file_shape(generation->log)->dim;
    struct log_record entry;
    int rc = generation_check_slot(generation, number, err);

    if (rc)
        return rc;
    log_record_parts(log_file_at(generation->log, slot->record), dim, out);
    if (out->kind == LOG_OLD_UPDATE) {
        log_record_parts(log_file_at(generation->log, vector_record(slot)), dim,
                         &entry);
        out->key = entry.key;
        out->vector = entry.vector;
    }
    return 0;
}

/* --- finding ---------------------------------------------------------- */

struct wanted {
    struct generation *generation;
    int64_t id;
    const char *key;
    bool is_gone; /* a removed row was passed by */
    struct err *err;
    int rc;
};

static bool has_id(const void *user, int64_t slot)
{
    const struct wanted *wanted = user;

    return generation_slot(wanted->generation, slot)->id == wanted->id;
}

/* A slot whose record is damaged is taken for the one that is looked for, and
 * that ends the looking. */
static bool has_key(const void *user, int64_t slot)
{
    struct wanted *wanted = *(struct wanted *const *)user;
    struct log_record record;

    if (slot_is_removed(&wanted->generation->removed, slot)) {
        wanted->is_gone = true;
        return false;
    }
    wanted->rc =
        generation_record(wanted->generation, slot, &record, wanted->err);
    return wanted->rc != 0 || strcmp(record.key, wanted->key) == 0;
}

/* What replaces a row is in the table before the row is marked as removed: so
 * a second look tells a replaced row from a removed one. */
int64_t generation_find_id(struct generation *generation, int64_t id,
                           int64_t count)
{
    const struct wanted wanted = {.generation = generation, .id = id};
    uint64_t hash = slot_hash_id(id);
    int64_t slot = slot_table_find(&generation->ids, hash, has_id, &wanted);
    int64_t before = SLOT_NONE;

    while (slot != before && slot < count &&
           slot_is_removed(&generation->removed, slot)) {
        before = slot;
        slot = slot_table_find(&generation->ids, hash, has_id, &wanted);
    }
    return slot != before && slot < count ? slot : SLOT_NONE;
}

int generation_find_key(struct generation *generation, const char *key,
                        int64_t count, int64_t *out, struct err *err)
{
    struct wanted wanted = {.generation = generation, .key = key, .err = err};
    const struct wanted *user = &wanted;
    uint64_t hash = slot_hash_key(key);
    int64_t slot = slot_table_find(&generation->keys, hash, has_key, &user);

    if (slot == SLOT_NONE && wanted.is_gone)
        slot = slot_table_find(&generation->keys, hash, has_key, &user);
    if (wanted.rc)
        return wanted.rc;
    *out = slot < count ? slot : SLOT_NONE;
    return 0;
}

/* --- reading a log ---------------------------------------------------- */

struct generation_reader {
    struct group group;
    bool is_live;
    int dim;
    enum vecindex_metric metric;
};

int generation_read_new(struct generation *generation, bool is_live,
                        struct generation_reader **out, struct err *err)
{
    struct generation_reader *reader = mem_new(sizeof *reader);
    int rc;

    group_init(&reader->group, generation);
    reader->is_live = is_live;
    reader->dim = log_file_shape(generation->log)->dim;
    reader->metric = log_file_shape(generation->log)->metric;
    rc = group_reserve(&reader->group, 1, 1, err);
    if (rc) {
        generation_read_free(reader);
        return rc;
    }
    *out = reader;
    return 0;
}

void generation_read_free(struct generation_reader *reader)
{
    if (reader == NULL)
        return;
    group_release(&reader->group);
    mem_free(reader);
}

int generation_read_end(struct generation_reader *reader, struct err *err)
{
    int rc = group_prepare(&reader->group, err);

    if (rc == 0)
        group_publish(&reader->group);
    if (rc == 0)
        group_reset(&reader->group);
    return rc;
}

/* Touches the entry, for which all before is published when it was touched by
 * that. */
static int touch(struct generation_reader *reader, int64_t id, const char *key,
                 struct err *err)
{
    int rc;

    if (group_touch(&reader->group, id, key))
        return 0;
    rc = generation_read_end(reader, err);
    if (rc == 0)
        (void)group_touch(&reader->group, id, key);
    return rc;
}

/* Empties the slot of an entry that was touched, with the key that it is about
 * to have: its old key is touched too. */
static int empty_slot(struct generation_reader *reader, int64_t slot,
                      const char *key, struct err *err)
{
    struct group *group = &reader->group;
    struct log_record old;
    int rc = generation_record(group->generation, slot, &old, err);

    if (rc)
        return rc;
    if (strcmp(old.key, key) != 0 && !group_touch_key(group, old.key)) {
        rc = generation_read_end(reader, err);
        if (rc)
            return rc;
        (void)group_touch(group, generation_slot(group->generation, slot)->id,
                          key);
        (void)group_touch_key(group, old.key);
    }
    group->gone[group->gone_count++] = (int32_t)slot;
    return 0;
}

/* What an item replaces: the slot that has its id. Its key is then no other
 * entry's. */
static int find_replaced(struct generation_reader *reader,
                         const struct log_record *record, int64_t *out,
                         struct err *err)
{
    struct generation *generation = reader->group.generation;
    int64_t count = generation->count, owner = SLOT_NONE;
    int rc = 0;

    *out = generation_find_id(generation, record->id, count);
    if (*out != SLOT_NONE && (record->flags & LOG_REPLACES) == 0)
        return err_set(err, ERR_CORRUPT, "entry %lld is there twice",
                       (long long)record->id);
    if (record->key[0] != '\0')
        rc = generation_find_key(generation, record->key, count, &owner, err);
    if (rc == 0 && owner != SLOT_NONE && owner != *out)
        rc = err_set(err, ERR_CORRUPT, "entry %lld has the key of entry %lld",
                     (long long)record->id,
                     (long long)generation_slot(generation, owner)->id);
    return rc;
}

static void add_row(struct generation_reader *reader,
                    const struct log_head *head,
                    const struct log_record *record, int64_t vector,
                    int64_t replaced)
{
    struct group *group = &reader->group;

    group->vectors[group->row_count] = record->vector;
    group->rows[group->row_count++] = (struct group_row){
        .id = record->id,
        .replaced = replaced,
        .record = log_file_offset(group->generation->log, head),
        .vector = vector,
        .key = record->key,
        .head = head};
    if (record->id >= group->next_id)
        group->next_id = record->id + 1;
}

static int take_item(struct generation_reader *reader,
                     const struct log_head *head,
                     const struct log_record *record, struct err *err)
{
    struct log_file *log = reader->group.generation->log;
    int64_t replaced = SLOT_NONE;
    struct err why = {0};
    int rc;

    if (row_check(record->vector, reader->dim, reader->metric, file_slack,
                  &why) != 0)
        return err_set(err, ERR_CORRUPT, "entry %lld: %s",
                       (long long)record->id, why.text);
    rc = touch(reader, record->id, record->key, err);
    if (rc == 0)
        rc = find_replaced(reader, record, &replaced, err);
    if (rc == 0 && replaced != SLOT_NONE)
        rc = empty_slot(reader, replaced, record->key, err);
    if (rc == 0)
        add_row(reader, head, record, log_file_offset(log, head + 1), replaced);
    return rc;
}

/* Of version 1: another path and label for an entry, which gets a new slot. */
static int take_update(struct generation_reader *reader,
                       const struct log_head *head,
                       const struct log_record *record, struct err *err)
{
    struct generation *generation = reader->group.generation;
    struct log_record mapped = *record, old;
    int64_t slot;
    int rc = touch(reader, record->id, "", err);

    if (rc)
        return rc;
    slot = generation_find_id(generation, record->id, generation->count);
    if (slot == SLOT_NONE)
        return err_set(err, ERR_CORRUPT, "an update of no entry: %lld",
                       (long long)record->id);
    rc = generation_record(generation, slot, &old, err);
    if (rc == 0)
        rc = empty_slot(reader, slot, "", err);
    if (rc)
        return rc;
    mapped.key = old.key;
    mapped.vector = old.vector;
    add_row(reader, head, &mapped, generation_slot(generation, slot)->vector,
            slot);
    return 0;
}

static int take_gone(struct generation_reader *reader,
                     const struct log_record *record, struct err *err)
{
    struct generation *generation = reader->group.generation;
    int i, rc = group_reserve(&reader->group, 1, record->count, err);

    for (i = 0; rc == 0 && i < record->count; i++) {
        int64_t slot;

        rc = touch(reader, record->ids[i], "", err);
        if (rc)
            return rc;
        slot =
            generation_find_id(generation, record->ids[i], generation->count);
        if (slot == SLOT_NONE)
            return err_set(err, ERR_CORRUPT, "a removal of no entry: %lld",
                           (long long)record->ids[i]);
        rc = empty_slot(reader, slot, "", err);
    }
    return rc;
}

static int take_record(struct generation_reader *reader,
                       const struct log_head *head, struct err *err)
{
    struct generation *generation = reader->group.generation;
    struct log_record record;
    int rc = group_reserve(&reader->group, 1, 1, err);

    if (rc)
        return rc;
    log_record_parts(head, reader->dim, &record);
    switch (record.kind) {
    case LOG_ITEM:
    case LOG_OLD_ENTRY:
        return take_item(reader, head, &record, err);
    case LOG_OLD_UPDATE:
        return take_update(reader, head, &record, err);
    case LOG_GONE:
        return take_gone(reader, &record, err);
    case LOG_SETTINGS:
        generation->settings = record.settings;
        if (reader->group.next_id < record.settings.next_id)
            reader->group.next_id = record.settings.next_id;
        return 0;
    default:
        return 0;
    }
}

int generation_visit(void *user, const struct log_head *const *heads, int count,
                     struct err *err)
{
    struct generation_reader *reader = user;
    int i, rc = 0;

    for (i = 0; rc == 0 && i < count; i++)
        rc = take_record(reader, heads[i], err);
    if (rc == 0 && (reader->is_live || reader->group.row_count >= ROWS_MAX))
        rc = generation_read_end(reader, err);
    return rc;
}
