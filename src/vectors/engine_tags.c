/* SPDX-License-Identifier: Apache-2.0 */
/* Every tag has a list of slots, in order, in pieces that double and never
 * move; readers go over those that were counted when they began. A slot that is
 * rewritten after a cut is one that no reader was told of. A tag that one row
 * alone has, such as its owner's number, takes one small block. The mutex
 * guards the table of tags and is held for one look into it. */
#include "vectors/engine_tags.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "base/mem.h"
#include "vectors/engine_tags_parts.h"
#include "vectors/slots.h"

enum { PLACE_COUNT_MIN = 64 };

struct slot_tags *slot_tags_new(void)
{
    struct slot_tags *tags = mem_new(sizeof *tags);

    pthread_mutex_init(&tags->mutex, NULL);
    return tags;
}

static void tag_free(struct tag *tag)
{
    struct piece *piece = tag->first.next, *next = NULL;

    for (; piece != NULL; piece = next) {
        next = piece->next;
        mem_free(piece);
    }
    mem_free(tag);
}

void slot_tags_free(struct slot_tags *tags)
{
    size_t i;

    if (tags == NULL)
        return;
    for (i = 0; i < tags->place_count; i++) {
        if (tags->places[i] != NULL)
            tag_free(tags->places[i]);
    }
    pthread_mutex_destroy(&tags->mutex);
    mem_free(tags->places);
    mem_free(tags);
}

int64_t slot_tags_memory(const struct slot_tags *tags)
{
    return tags->memory_len;
}

/* --- the table -------------------------------------------------------- */

static uint64_t hash_of(const char *name, const char *value)
{
    uint64_t hash = 0xcbf29ce484222325U;

    for (; *name != '\0'; name++)
        hash = (hash ^ (uint8_t)*name) * 0x100000001b3U;
    hash = (hash ^ 0xff) * 0x100000001b3U;
    for (; *value != '\0'; value++)
        hash = (hash ^ (uint8_t)*value) * 0x100000001b3U;
    hash *= 0xff51afd7ed558ccdU;
    return hash ^ hash >> 32;
}

/* The place that has the tag, or the free one where it belongs. */
static struct tag **place_find(struct tag **places, size_t place_count,
                               uint64_t hash, const char *name,
                               const char *value)
{
    size_t i = (size_t)hash & (place_count - 1);

    while (places[i] != NULL &&
           (places[i]->hash != hash || strcmp(places[i]->name, name) != 0 ||
            strcmp(places[i]->value, value) != 0))
        i = (i + 1) & (place_count - 1);
    return &places[i];
}

static struct tag *find(struct slot_tags *tags, const char *name,
                        const char *value)
{
    struct tag *tag = NULL;

    pthread_mutex_lock(&tags->mutex);
    if (tags->place_count > 0)
        tag = *place_find(tags->places, tags->place_count, hash_of(name, value),
                          name, value);
    pthread_mutex_unlock(&tags->mutex);
    return tag;
}

/* A table with room for `count` tags; filled beside the old one, which only
 * this thread changes. */
static bool reserve(struct slot_tags *tags, size_t count)
{
    size_t place_count =
        tags->place_count > 0 ? tags->place_count : PLACE_COUNT_MIN;
    struct tag **places = NULL, **old = tags->places;
    size_t i;

    while (2 * count > place_count)
        place_count *= 2;
    if (place_count == tags->place_count)
        return true;
    places = mem_try(place_count, sizeof *places);
    if (places == NULL)
        return false;
    for (i = 0; i < tags->place_count; i++) {
        if (old[i] != NULL)
            *place_find(places, place_count, old[i]->hash, old[i]->name,
                        old[i]->value) = old[i];
    }
    pthread_mutex_lock(&tags->mutex);
    tags->memory_len +=
        (int64_t)((place_count - tags->place_count) * sizeof(struct tag *));
    tags->places = places;
    tags->place_count = place_count;
    pthread_mutex_unlock(&tags->mutex);
    mem_free(old);
    return true;
}

static struct tag *tag_new(struct slot_tags *tags, const char *name,
                           const char *value)
{
    size_t name_len = strlen(name) + 1, value_len = strlen(value) + 1;
    size_t len = sizeof(struct tag) + name_len + value_len;
    struct tag *tag = mem_try(len, 1);
    char *texts = (char *)(tag + 1);

    if (tag == NULL)
        return NULL;
    memcpy(texts, name, name_len);
    memcpy(texts + name_len, value, value_len);
    tag->name = texts;
    tag->value = texts + name_len;
    tag->hash = hash_of(name, value);
    tag->first.cap = OWN_SLOTS;
    tag->first.slots = tag->own_slots;
    tag->last = &tag->first;
    tags->memory_len += (int64_t)len;
    return tag;
}

int slot_tags_make(struct slot_tags *tags, const char *name, const char *value,
                   struct tag **out, struct err *err)
{
    struct tag *tag = find(tags, name, value);

    if (tag == NULL) {
        if (!reserve(tags, tags->count + 1))
            return err_set(err, ERR_UNAVAILABLE, "no memory for another tag");
        tag = tag_new(tags, name, value);
        if (tag == NULL)
            return err_set(err, ERR_UNAVAILABLE, "no memory for another tag");
        pthread_mutex_lock(&tags->mutex);
        *place_find(tags->places, tags->place_count, tag->hash, name, value) =
            tag;
        tags->count++;
        pthread_mutex_unlock(&tags->mutex);
    }
    *out = tag;
    return 0;
}

/* --- the list of a tag ------------------------------------------------ */

static struct piece *piece_new(struct slot_tags *tags, int64_t cap)
{
    size_t len = sizeof(struct piece) + (size_t)cap * sizeof(int32_t);
    struct piece *piece = mem_try(len, 1);

    if (piece == NULL)
        return NULL;
    piece->cap = cap;
    piece->slots = (_Atomic int32_t *)(void *)(piece + 1);
    tags->memory_len += (int64_t)len;
    return piece;
}

/* Where entry `count` of the list goes, in *out. */
static bool make_room(struct slot_tags *tags, struct tag *tag, int64_t count,
                      _Atomic int32_t **out)
{
    while (count - tag->last_begin == tag->last->cap) {
        struct piece *next = piece_next(tag->last);

        if (next == NULL) {
            next = piece_new(tags, count < OWN_SLOTS ? OWN_SLOTS : count);
            if (next == NULL)
                return false;
            atomic_store_explicit(&tag->last->next, next, memory_order_release);
        }
        tag->last_begin += tag->last->cap;
        tag->last = next;
    }
    *out = &tag->last->slots[count - tag->last_begin];
    return true;
}

int slot_tags_add(struct slot_tags *tags, const char *name, const char *value,
                  int64_t slot, struct err *err)
{
    _Atomic int32_t *place = NULL;
    struct tag *tag = NULL;
    int rc = slot_tags_make(tags, name, value, &tag, err);
    int64_t count;

    if (rc)
        return rc;
    assert(tag != NULL);
    count = tag_count(tag);
    if (count > tag->last_begin &&
        slot_at(tag->last, count - tag->last_begin - 1) == slot)
        return 0;
    if (!make_room(tags, tag, count, &place))
        return err_set(err, ERR_UNAVAILABLE, "no memory for the tags");
    atomic_store_explicit(place, (int32_t)slot, memory_order_relaxed);
    atomic_store_explicit(&tag->count, count + 1, memory_order_release);
    return 0;
}

int64_t tag_count_below(const struct tag *tag, int64_t count,
                        const struct piece **piece, int64_t *begin)
{
    int64_t left = tag_count(tag), low = 0, high, len = left;

    *piece = &tag->first;
    *begin = 0;
    while (left > (*piece)->cap && slot_at(piece_next(*piece), 0) < count) {
        left -= (*piece)->cap;
        *begin += (*piece)->cap;
        *piece = piece_next(*piece);
    }
    high = left < (*piece)->cap ? left : (*piece)->cap;
    assert(*begin + high <= len);
    while (low < high) {
        int64_t middle = low + (high - low) / 2;

        if (slot_at(*piece, middle) < count)
            low = middle + 1;
        else
            high = middle;
    }
    return *begin + low;
}

void slot_tags_cut(struct slot_tags *tags, int64_t count)
{
    size_t i;

    for (i = 0; i < tags->place_count; i++) {
        struct tag *tag = tags->places[i];
        const struct piece *piece = NULL;
        int64_t left;

        if (tag == NULL)
            continue;
        left = tag_count_below(tag, count, &piece, &tag->last_begin);
        tag->last = &tag->first;
        while (tag->last != piece)
            tag->last = piece_next(tag->last);
        atomic_store_explicit(&tag->count, left, memory_order_release);
    }
}

/* --- filters ---------------------------------------------------------- */

/* Sets (or, with is_not, clears) the bits of the tag's slots below count. */
static void mark(const struct tag *tag, int64_t count, bool is_not,
                 uint64_t *bits)
{
    const struct piece *piece = &tag->first;
    int64_t left = tag_count(tag), i = 0;

    for (; left > 0; left--, i++) {
        uint64_t bit;
        int32_t slot;

        if (i == piece->cap) {
            piece = piece_next(piece);
            i = 0;
        }
        slot = slot_at(piece, i);
        if (slot >= count)
            return;
        bit = (uint64_t)1 << (slot & 63);
        if (is_not)
            bits[slot >> 6] &= ~bit;
        else
            bits[slot >> 6] |= bit;
    }
}

static void mark_term(struct slot_tags *tags, const struct vec_term *term,
                      int64_t count, bool is_not, uint64_t *bits)
{
    int i;

    for (i = 0; i < term->value_count; i++) {
        const struct tag *tag = find(tags, term->name, term->values[i]);

        if (tag != NULL)
            mark(tag, count, is_not, bits);
    }
}

static void set_all(uint64_t *bits, int64_t count)
{
    memset(bits, 0xff, (size_t)(count / 64) * sizeof *bits);
    if (count % 64 != 0)
        bits[count / 64] = ((uint64_t)1 << (count % 64)) - 1;
}

/* What the filter's terms leave of all slots; `more` is as large as `bits`. */
static void apply_terms(struct slot_tags *tags, const struct vec_filter *filter,
                        int64_t count, uint64_t *bits, uint64_t *more)
{
    size_t len = (size_t)((count + 63) / 64), j;
    bool is_first = true;
    int i;

    for (i = 0; i < filter->term_count; i++) {
        if (filter->terms[i].is_not)
            continue;
        if (is_first) {
            mark_term(tags, &filter->terms[i], count, false, bits);
            is_first = false;
            continue;
        }
        memset(more, 0, len * sizeof *more);
        mark_term(tags, &filter->terms[i], count, false, more);
        for (j = 0; j < len; j++)
            bits[j] &= more[j];
    }
    if (is_first)
        set_all(bits, count);
    for (i = 0; i < filter->term_count; i++) {
        if (filter->terms[i].is_not)
            mark_term(tags, &filter->terms[i], count, true, bits);
    }
}

static int64_t count_wanted(const uint64_t *bits, int64_t count,
                            const struct blocks *removed)
{
    int64_t wanted = 0, word;

    for (word = 0; word < (count + 63) / 64; word++) {
        uint64_t left = bits[word];

        for (; left != 0; left &= left - 1)
            wanted +=
                !slot_is_removed(removed, 64 * word + __builtin_ctzll(left));
    }
    return wanted;
}

int slot_tags_filter(struct slot_tags *tags, const struct vec_filter *filter,
                     int64_t count, const struct blocks *removed,
                     uint64_t **out, int64_t *out_count, struct err *err)
{
    size_t len = (size_t)((count + 63) / 64);
    uint64_t *bits = mem_try(2 * len + 1, sizeof *bits);

    if (bits == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for a filter");
    apply_terms(tags, filter, count, bits, bits + len);
    *out = bits;
    *out_count = count_wanted(bits, count, removed);
    return 0;
}
