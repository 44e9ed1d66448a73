/* SPDX-License-Identifier: Apache-2.0 */
/* Tags into a checkpoint and back.
 *
 * TAGD: for each tag the number of its slots (8 bytes), then name, NUL, value,
 * NUL, zeros up to a multiple of 8. TAGS: the slots (4 bytes each) of all tags
 * one list behind the other, in the order of TAGD. */
#include <stdbool.h>
#include <string.h>

#include "base/mem.h"
#include "vectors/engine_tags_parts.h"

static size_t text_len(const struct tag *tag)
{
    return strlen(tag->name) + strlen(tag->value) + 2;
}

static int64_t len_below(const struct tag *tag, int64_t count)
{
    const struct piece *piece = NULL;
    int64_t begin = 0;

    return tag_count_below(tag, count, &piece, &begin);
}

static void put_list(const struct tag *tag, int64_t len,
                     struct checkpoint_writer *writer)
{
    const struct piece *piece = &tag->first;

    while (len > 0) {
        int64_t part = len < piece->cap ? len : piece->cap;

        checkpoint_put(writer, piece->slots, (size_t)part * sizeof(int32_t));
        len -= part;
        piece = piece_next(piece);
    }
}

static void put_name(const struct tag *tag, int64_t len,
                     struct checkpoint_writer *writer)
{
    static const uint8_t zeros[8];
    size_t texts = text_len(tag);

    checkpoint_put(writer, &len, sizeof len);
    checkpoint_put(writer, tag->name, texts);
    checkpoint_put(writer, zeros, (8 - texts % 8) % 8);
}

/* The tags of now: those that come later have no slot below count. */
static int copy_places(struct slot_tags *tags, struct tag ***out, size_t *count)
{
    struct tag **copy = NULL;
    size_t i;

    pthread_mutex_lock(&tags->mutex);
    copy = mem_try(tags->count + 1, sizeof(struct tag *));
    *count = 0;
    for (i = 0; copy != NULL && i < tags->place_count; i++) {
        if (tags->places[i] != NULL)
            copy[(*count)++] = tags->places[i];
    }
    pthread_mutex_unlock(&tags->mutex);
    *out = copy;
    return copy == NULL ? ERR_UNAVAILABLE : 0;
}

int slot_tags_save(struct slot_tags *tags, int64_t count,
                   struct checkpoint_writer *writer, struct err *err)
{
    struct tag **list = NULL;
    size_t list_count = 0, i;

    if (copy_places(tags, &list, &list_count) != 0)
        return err_set(err, ERR_UNAVAILABLE, "no memory to save the tags");
    checkpoint_start(writer, "TAGD");
    for (i = 0; i < list_count; i++)
        put_name(list[i], len_below(list[i], count), writer);
    checkpoint_start(writer, "TAGS");
    for (i = 0; i < list_count; i++)
        put_list(list[i], len_below(list[i], count), writer);
    mem_free(list);
    return 0;
}

/* What is left of the two sections. */
struct saved {
    const uint8_t *names;
    int64_t names_len;
    _Atomic int32_t *slots;
    int64_t slots_len; /* in slots */
};

static int fail_saved(struct err *err)
{
    return err_set(err, ERR_CORRUPT,
                   "the tags of the checkpoint make no "
                   "sense");
}

static bool is_list_right(const _Atomic int32_t *slots, int64_t len,
                          int64_t count)
{
    int64_t before = -1, i;

    for (i = 0; i < len; i++) {
        if (slots[i] <= before || slots[i] >= count)
            return false;
        before = slots[i];
    }
    return true;
}

/* Takes the next tag of the sections. */
static int load_tag(struct slot_tags *tags, struct saved *saved, int64_t count,
                    struct err *err)
{
    const char *name = (const char *)saved->names + sizeof(int64_t);
    struct tag *tag = NULL;
    int64_t len = -1, left = saved->names_len - (int64_t)sizeof len, step;
    size_t name_len, value_len = 0;
    int rc;

    if (left < 2)
        return fail_saved(err);
    memcpy(&len, saved->names, sizeof len);
    name_len = strnlen(name, (size_t)left);
    if ((int64_t)name_len < left)
        value_len = strnlen(name + name_len + 1, (size_t)left - name_len - 1);
    step = (int64_t)(name_len + value_len + 2 + 7) / 8 * 8;
    if (step > left || len < 0 || len > saved->slots_len ||
        !is_list_right(saved->slots, len, count))
        return fail_saved(err);
    rc = slot_tags_make(tags, name, name + name_len + 1, &tag, err);
    if (rc)
        return rc;
    if (tag->count != 0)
        return fail_saved(err);
    if (len > 0) {
        tag->first.slots = saved->slots;
        tag->first.cap = len;
        tag->count = len;
    }
    saved->names += (int64_t)sizeof len + step;
    saved->names_len -= (int64_t)sizeof len + step;
    saved->slots += len;
    saved->slots_len -= len;
    return 0;
}

int slot_tags_load(struct checkpoint *checkpoint, int64_t count,
                   struct slot_tags **out, struct err *err)
{
    struct slot_tags *tags = slot_tags_new();
    struct saved saved = {0};
    void *names = NULL, *slots = NULL;
    int rc = checkpoint_section(checkpoint, "TAGD", 0, 0, &names,
                                &saved.names_len, err);

    if (rc == 0)
        rc = checkpoint_section(checkpoint, "TAGS", 0, 0, &slots,
                                &saved.slots_len, err);
    saved.names = names;
    saved.slots = slots;
    saved.slots_len /= (int64_t)sizeof(int32_t);
    while (rc == 0 && saved.names_len > 0)
        rc = load_tag(tags, &saved, count, err);
    if (rc == 0 && saved.slots_len != 0)
        rc = fail_saved(err);
    if (rc) {
        slot_tags_free(tags);
        return rc;
    }
    *out = tags;
    return 0;
}
