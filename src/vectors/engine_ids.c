/* SPDX-License-Identifier: Apache-2.0 */
/* Open addressing with linear steps. A larger table is filled beside the old
 * one, which nobody else changes, and only the pointer to it is exchanged under
 * the mutex: a find never waits for that. */
#include "vectors/engine_ids.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "base/random.h"
#include "vectors/slots.h"

enum { PLACE_COUNT_MIN = 64, CANDIDATE_COUNT = 8 };

static const uint64_t slot_mask = 0xffffffffU;

uint64_t slot_hash_id(int64_t id)
{
    return random_mix((uint64_t)id);
}

/* FNV-1a, eight bytes a step. A caller may name any text, so all of it counts,
 * and the high bits, which products mix best, come down at last. */
uint64_t slot_hash_key(const char *key)
{
    uint64_t hash = 0xcbf29ce484222325U;
    size_t len = strlen(key), i;

    for (i = 0; i < len; i += sizeof hash) {
        size_t step = len - i < sizeof hash ? len - i : sizeof hash;
        uint64_t word = 0;

        memcpy(&word, key + i, step);
        hash = (hash ^ word) * 0x100000001b3U;
        hash ^= hash >> 29;
    }
    return slot_hash_id((int64_t)(hash ^ len));
}

void slot_table_init(struct slot_table *table)
{
    *table = (struct slot_table){0};
    pthread_mutex_init(&table->mutex, NULL);
}

void slot_table_release(struct slot_table *table)
{
    pthread_mutex_destroy(&table->mutex);
    if (!table->is_mapped)
        mem_free(table->places);
    table->places = NULL;
    table->place_count = 0;
}

static size_t place_begin(uint64_t hash, size_t place_count)
{
    return (size_t)hash & (place_count - 1);
}

static bool is_roomy(size_t count, size_t place_count)
{
    return 3 * count <= 2 * place_count;
}

/* 32 bits of a hash: they are kept, so that a larger table needs no keys. */
static uint64_t fold(uint64_t hash)
{
    return (hash ^ hash >> 32) & slot_mask;
}

static void put_folded(uint64_t *places, size_t place_count, uint64_t place)
{
    size_t i = place_begin(place >> 32, place_count);

    while (places[i] != 0)
        i = (i + 1) & (place_count - 1);
    places[i] = place;
}

int slot_table_reserve(struct slot_table *table, size_t count, struct err *err)
{
    size_t wanted = table->count + count, i;
    size_t place_count =
        table->place_count > 0 ? table->place_count : PLACE_COUNT_MIN;
    uint64_t *places = NULL, *old = table->places;
    bool was_mapped = table->is_mapped;

    while (!is_roomy(wanted, place_count))
        place_count *= 2;
    if (place_count == table->place_count)
        return 0;
    places = mem_try(place_count, sizeof *places);
    if (places == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for %zu more entries",
                       count);
    for (i = 0; i < table->place_count; i++) {
        if (old[i] != 0)
            put_folded(places, place_count, old[i]);
    }
    pthread_mutex_lock(&table->mutex);
    table->places = places;
    table->place_count = place_count;
    table->is_mapped = false;
    pthread_mutex_unlock(&table->mutex);
    if (!was_mapped)
        mem_free(old);
    return 0;
}

/* Slots of that hash, but the first `skip` of them; at most `max`. */
static int candidates(struct slot_table *table, uint64_t folded, int skip,
                      int64_t *out, int max)
{
    size_t mask, i;
    int count = 0;

    pthread_mutex_lock(&table->mutex);
    mask = table->place_count - 1;
    i = place_begin(folded, table->place_count);
    while (table->place_count > 0 && table->places[i] != 0 && count < max) {
        uint64_t place = table->places[i];

        if (place >> 32 == folded && skip-- <= 0)
            out[count++] = (int64_t)(place & slot_mask) - 1;
        i = (i + 1) & mask;
    }
    pthread_mutex_unlock(&table->mutex);
    return count;
}

/* The mutex is not held while slots are compared, which may read a file. */
int64_t slot_table_find(struct slot_table *table, uint64_t hash, slot_is_fn *is,
                        const void *user)
{
    int64_t slots[CANDIDATE_COUNT];
    int skip, i, count;

    for (skip = 0;; skip += count) {
        count = candidates(table, fold(hash), skip, slots, CANDIDATE_COUNT);
        for (i = 0; i < count; i++) {
            if (is(user, slots[i]))
                return slots[i];
        }
        if (count < CANDIDATE_COUNT)
            return SLOT_NONE;
    }
}

void slot_table_put(struct slot_table *table, uint64_t hash, int64_t slot,
                    slot_is_fn *is, const void *user)
{
    uint64_t folded = fold(hash);
    size_t mask = table->place_count - 1;
    size_t i = place_begin(folded, table->place_count);

    assert(slot >= 0 && slot < BLOCKS_ROWS_MAX);
    /* Only this thread changes places, so it may read them as they are. */
    while (table->places[i] != 0 &&
           (table->places[i] >> 32 != folded ||
            !is(user, (int64_t)(table->places[i] & slot_mask) - 1)))
        i = (i + 1) & mask;
    pthread_mutex_lock(&table->mutex);
    if (table->places[i] == 0)
        table->count++;
    table->places[i] = folded << 32 | (uint64_t)(slot + 1);
    pthread_mutex_unlock(&table->mutex);
    assert(is_roomy(table->count, table->place_count));
}

const uint64_t *slot_table_places(const struct slot_table *table,
                                  size_t *out_count)
{
    *out_count = table->place_count;
    return table->places;
}

int slot_table_map(struct slot_table *table, uint64_t *places,
                   size_t place_count, int64_t slot_count, struct err *err)
{
    size_t count = 0, i;
    uint64_t worst = 0;
    bool is_wrong = false; /* a place is taken by no slot */

    for (i = 0; i < place_count; i++) {
        count += places[i] != 0;
        is_wrong |= places[i] != 0 && (places[i] & slot_mask) == 0;
        if ((places[i] & slot_mask) > worst)
            worst = places[i] & slot_mask;
    }
    if (is_wrong || (place_count & (place_count - 1)) != 0 ||
        !is_roomy(count, place_count) || (int64_t)worst > slot_count)
        return err_set(err, ERR_CORRUPT,
                       "a table of %zu places has %zu slots up to %lld of %lld",
                       place_count, count, (long long)worst - 1,
                       (long long)slot_count);
    table->places = places;
    table->place_count = place_count;
    table->count = count;
    table->is_mapped = true;
    return 0;
}

int64_t slot_table_memory(struct slot_table *table)
{
    int64_t len = 0;

    pthread_mutex_lock(&table->mutex);
    if (!table->is_mapped)
        len = (int64_t)(table->place_count * sizeof *table->places);
    pthread_mutex_unlock(&table->mutex);
    return len;
}
