/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors/engine_group.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"

enum { CAP_MIN = 64 };

void group_init(struct group *group, struct generation *generation)
{
    *group = (struct group){.generation = generation};
    group_reset(group);
}

void group_release(struct group *group)
{
    mem_free(group->rows);
    mem_free(group->vectors);
    mem_free(group->gone);
    mem_free(group->touched);
    *group = (struct group){0};
}

void group_reset(struct group *group)
{
    group->row_count = group->gone_count = group->touched_count = 0;
    group->next_id = group->generation->next_id;
    if (group->touched_cap > 0)
        memset(group->touched, 0,
               (size_t)group->touched_cap * sizeof *group->touched);
}

/* --- room ------------------------------------------------------------- */

static int64_t cap_for(int64_t cap, int64_t count)
{
    if (cap < CAP_MIN)
        cap = CAP_MIN;
    while (cap < count)
        cap *= 2;
    return cap;
}

static bool reserve_rows(struct group *group, int64_t count)
{
    int64_t cap = cap_for(group->row_cap, count);
    struct group_row *rows = NULL;
    const float **vectors = NULL;

    if (cap == group->row_cap)
        return true;
    rows = mem_resize(group->rows, (size_t)cap, sizeof *rows);
    if (rows == NULL)
        return false;
    group->rows = rows;
    vectors = mem_resize(group->vectors, (size_t)cap, sizeof *vectors);
    if (vectors == NULL)
        return false;
    group->vectors = vectors;
    group->row_cap = cap;
    return true;
}

static bool reserve_gone(struct group *group, int64_t count)
{
    int64_t cap = cap_for(group->gone_cap, count);
    int32_t *gone = NULL;

    if (cap == group->gone_cap)
        return true;
    gone = mem_resize(group->gone, (size_t)cap, sizeof *gone);
    if (gone == NULL)
        return false;
    group->gone = gone;
    group->gone_cap = cap;
    return true;
}

/* Puts a hash in; false when it was there. */
static bool touch(uint64_t *touched, int64_t cap, uint64_t hash)
{
    uint64_t mask = (uint64_t)cap - 1, i;

    hash += hash == 0;
    for (i = hash & mask; touched[i] != 0; i = (i + 1) & mask) {
        if (touched[i] == hash)
            return false;
    }
    touched[i] = hash;
    return true;
}

static bool reserve_touched(struct group *group, int64_t count)
{
    int64_t cap = cap_for(group->touched_cap, 2 * count), i;
    uint64_t *touched = NULL;

    if (cap == group->touched_cap)
        return true;
    touched = mem_try((size_t)cap, sizeof *touched);
    if (touched == NULL)
        return false;
    for (i = 0; i < group->touched_cap; i++) {
        if (group->touched[i] != 0)
            (void)touch(touched, cap, group->touched[i]);
    }
    mem_free(group->touched);
    group->touched = touched;
    group->touched_cap = cap;
    return true;
}

int group_reserve(struct group *group, int64_t rows, int64_t gone,
                  struct err *err)
{
    int64_t touched = group->touched_count + 4 * (rows + gone);

    if (!reserve_rows(group, group->row_count + rows) ||
        !reserve_gone(group, group->gone_count + rows + gone) ||
        !reserve_touched(group, touched))
        return err_set(err, ERR_UNAVAILABLE, "no memory for %lld changes",
                       (long long)(rows + gone));
    return 0;
}

bool group_touch_key(struct group *group, const char *key)
{
    /* Not the hash of an id that a caller may choose. */
    uint64_t hash = slot_hash_id((int64_t)(slot_hash_key(key) ^ 0x6b6579U));

    if (key[0] == '\0')
        return true;
    group->touched_count++;
    return touch(group->touched, group->touched_cap, hash);
}

bool group_touch(struct group *group, int64_t id, const char *key)
{
    uint64_t hash = slot_hash_id(id);
    bool is_new = touch(group->touched, group->touched_cap, hash);

    group->touched_count++;
    return group_touch_key(group, key) && is_new;
}

/* --- prepare ---------------------------------------------------------- */

static int reserve_memory(struct group *group, int64_t count, struct err *err)
{
    struct generation *generation = group->generation;
    int rc = blocks_reserve(&generation->slots, count, err);

    if (rc == 0)
        rc = blocks_reserve(&generation->removed, count, err);
    if (rc == 0)
        rc =
            slot_table_reserve(&generation->ids, (size_t)group->row_count, err);
    if (rc == 0)
        rc = slot_table_reserve(&generation->keys, (size_t)group->row_count,
                                err);
    return rc;
}

static int add_read_tags(struct generation *generation,
                         const struct log_head *head, int64_t slot,
                         struct err *err)
{
    int dim = log_file_shape(generation->log)->dim;
    struct log_record record;
    const char *at = NULL;
    struct vec_tag tag;
    int rc = 0;

    log_record_parts(head, dim, &record);
    while (rc == 0 && log_record_tag(&record, &at, &tag))
        rc = slot_tags_add(generation->tags, tag.name, tag.value, slot, err);
    return rc;
}

static int add_tags(struct generation *generation, const struct group_row *row,
                    int64_t slot, struct err *err)
{
    const struct vec_entry *entry = row->entry;
    int i, rc = 0;

    if (entry == NULL)
        return add_read_tags(generation, row->head, slot, err);
    for (i = 0; rc == 0 && i < entry->tag_count; i++)
        rc = slot_tags_add(generation->tags, entry->tags[i].name,
                           entry->tags[i].value, slot, err);
    return rc;
}

int group_prepare(struct group *group, struct err *err)
{
    struct generation *generation = group->generation;
    int64_t base = generation->count, i;
    int rc = 0;

    if (group->row_count == 0)
        return 0;
    assert(codes_count(generation->codes) == base);
    rc = reserve_memory(group, base + group->row_count, err);
    for (i = 0; rc == 0 && i < group->row_count; i++) {
        const struct group_row *row = &group->rows[i];
        struct engine_slot *slot = NULL;

        rc = add_tags(generation, row, base + i, err);
        slot = generation_slot(generation, base + i);
        slot->id = row->id;
        slot->record = row->record;
        slot->vector = row->vector;
    }
    /* Last, because it cannot be taken back. */
    if (rc == 0)
        rc =
            codes_add(generation->codes, group->vectors, group->row_count, err);
    if (rc)
        slot_tags_cut(generation->tags, base);
    return rc;
}

/* --- publish ---------------------------------------------------------- */

struct wanted_id {
    const struct generation *generation;
    int64_t id;
};

static bool is_same_id(const void *user, int64_t slot)
{
    const struct wanted_id *wanted = user;

    return generation_slot(wanted->generation, slot)->id == wanted->id;
}

/* A key takes the place of the row that it replaces, or of a removed one. */
struct free_place {
    const struct generation *generation;
    int64_t replaced;
};

static bool is_free(const void *user, int64_t slot)
{
    const struct free_place *place = user;

    return slot == place->replaced ||
           slot_is_removed(&place->generation->removed, slot);
}

static void put_row(struct generation *generation, const struct group_row *row,
                    int64_t slot)
{
    const struct wanted_id wanted = {generation, row->id};
    const struct free_place place = {generation, row->replaced};

    slot_table_put(&generation->ids, slot_hash_id(row->id), slot, is_same_id,
                   &wanted);
    if (row->key[0] != '\0')
        slot_table_put(&generation->keys, slot_hash_key(row->key), slot,
                       is_free, &place);
}

/* In this order, so that an entry that is replaced is never missing: the new
 * row is there, then it is the one that its id means, then the old is gone. */
void group_publish(struct group *group)
{
    struct generation *generation = group->generation;
    int64_t base = generation->count, next_id = generation->next_id, i;

    for (i = 0; i < group->row_count; i++) {
        if (group->rows[i].id < next_id)
            generation->is_ordered = false;
        next_id = group->rows[i].id + 1;
    }
    atomic_store_explicit(&generation->count, base + group->row_count,
                          memory_order_release);
    for (i = 0; i < group->row_count; i++)
        put_row(generation, &group->rows[i], base + i);
    for (i = 0; i < group->gone_count; i++) {
        _Atomic uint8_t *at = blocks_at(&generation->removed, group->gone[i]);

        atomic_store_explicit(at, SLOT_GONE, memory_order_relaxed);
    }
    generation->removed_count += group->gone_count;
    generation->next_id = group->next_id;
}
