/* SPDX-License-Identifier: Apache-2.0 */
/* Open addressing with linear steps; at most half of the places are taken. */
#include "vectors/flat_ids.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"

enum { PLACE_COUNT_MIN = 64 };

struct place {
    uint64_t hash;
    int64_t id;
    const char *sha256; /* NULL: free */
};

struct flat_ids {
    pthread_mutex_t mutex; /* guards what follows */
    struct place *places;  /* owned; a power of two of them */
    size_t place_count;
    size_t count;
};

struct flat_ids *flat_ids_new(void)
{
    struct flat_ids *ids = mem_new(sizeof *ids);

    pthread_mutex_init(&ids->mutex, NULL);
    return ids;
}

void flat_ids_free(struct flat_ids *ids)
{
    if (ids == NULL)
        return;
    pthread_mutex_destroy(&ids->mutex);
    mem_free(ids->places);
    mem_free(ids);
}

/* FNV-1a, eight digits a step. A caller may name any 64 digits, so all of them
 * count, and the high bits, which products mix best, come down at last. */
static uint64_t hash_of(const char *sha256)
{
    uint64_t hash = 0xcbf29ce484222325U;
    uint64_t word;
    int i;

    for (i = 0; i < HASH_HEX_LEN; i += (int)sizeof word) {
        memcpy(&word, sha256 + i, sizeof word);
        hash = (hash ^ word) * 0x100000001b3U;
        hash ^= hash >> 29;
    }
    hash *= 0xff51afd7ed558ccdU;
    return hash ^ hash >> 32;
}

/* The place that has sha256, or the free one where it belongs. */
static struct place *place_find(struct place *places, size_t place_count,
                                uint64_t hash, const char *sha256)
{
    size_t i = hash & (place_count - 1);

    while (places[i].sha256 != NULL &&
           (places[i].hash != hash || strcmp(places[i].sha256, sha256) != 0))
        i = (i + 1) & (place_count - 1);
    return &places[i];
}

/* With the mutex held. */
static bool grow(struct flat_ids *ids)
{
    size_t place_count =
        ids->place_count > 0 ? 2 * ids->place_count : PLACE_COUNT_MIN;
    struct place *places = mem_try(place_count, sizeof *places);
    size_t i;

    if (places == NULL)
        return false;
    for (i = 0; i < ids->place_count; i++) {
        const struct place *old = &ids->places[i];

        if (old->sha256 != NULL)
            *place_find(places, place_count, old->hash, old->sha256) = *old;
    }
    mem_free(ids->places);
    ids->places = places;
    ids->place_count = place_count;
    return true;
}

int flat_ids_reserve(struct flat_ids *ids, struct err *err)
{
    bool is_roomy = true;

    pthread_mutex_lock(&ids->mutex);
    if (2 * (ids->count + 1) > ids->place_count)
        is_roomy = grow(ids);
    pthread_mutex_unlock(&ids->mutex);
    if (!is_roomy)
        return err_set(err, ERR_UNAVAILABLE, "no memory for another entry");
    return 0;
}

void flat_ids_add(struct flat_ids *ids, const char *sha256, int64_t id)
{
    uint64_t hash = hash_of(sha256);
    struct place *place = NULL;

    pthread_mutex_lock(&ids->mutex);
    assert(2 * (ids->count + 1) <= ids->place_count);
    place = place_find(ids->places, ids->place_count, hash, sha256);
    place->hash = hash;
    place->id = id;
    place->sha256 = sha256;
    ids->count++;
    pthread_mutex_unlock(&ids->mutex);
}

int64_t flat_ids_find(struct flat_ids *ids, const char *sha256)
{
    int64_t id = -1;

    pthread_mutex_lock(&ids->mutex);
    if (ids->place_count > 0) {
        const struct place *place =
            place_find(ids->places, ids->place_count, hash_of(sha256), sha256);

        if (place->sha256 != NULL)
            id = place->id;
    }
    pthread_mutex_unlock(&ids->mutex);
    return id;
}
