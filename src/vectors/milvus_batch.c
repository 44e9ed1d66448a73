/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors/milvus_batch.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/hash.h"
#include "base/mem.h"
#include "vectors/milvus_expr.h"
#include "vectors/milvus_find.h"
#include "vectors/milvus_write.h"

enum {
    ASK_MAX = 1000,           /* ids or keys in one question */
    TEXTS_LEN_MAX = 16 << 20, /* of the answer to one */
};

/* --- which ids ------------------------------------------------------------ */

static bool has_key(const struct vec_entry *entry)
{
    return entry->key != NULL && entry->key[0] != '\0';
}

static int64_t random_id(void)
{
    uint64_t id = 0;

    while (getrandom(&id, sizeof id, 0) != sizeof id) {
    }
    return (int64_t)(id >> 1);
}

/* The same key has the same id everywhere, so that two writers of it do not
 * make two rows. */
static int64_t id_of_key(const char *key)
{
    uint8_t sum[HASH_SHA256_LEN];
    uint64_t id = 0;
    int i;

    hash_sha256(bytes_of_text(key), sum);
    for (i = 0; i < 8; i++)
        id = id << 8 | sum[i];
    return (int64_t)(id >> 1);
}

static void choose_ids(struct milvus_batch *batch)
{
    int i;

    for (i = 0; i < batch->count; i++) {
        const struct vec_entry *entry = &batch->entries[i];

        batch->ids[i] = entry->id != VEC_ID_NEW ? entry->id
                        : has_key(entry)        ? id_of_key(entry->key)
                                                : random_id();
    }
}

/* Without ids of our own neither is what is asked for. */
static int check_auto_id(const struct milvus_batch *batch, struct err *err)
{
    int i;

    for (i = 0; i < batch->count; i++) {
        const struct vec_entry *entry = &batch->entries[i];

        if (entry->id != VEC_ID_NEW)
            return err_set(err, ERR_UNSUPPORTED,
                           "entry %d has the id %" PRId64 ", and the "
                           "collection's ids are given by Milvus (autoID)",
                           i, entry->id);
        if (batch->is_upsert && has_key(entry))
            return err_set(err, ERR_UNSUPPORTED,
                           "entry %d cannot replace one: the collection's ids "
                           "are given by Milvus (autoID)",
                           i);
    }
    return 0;
}

/* --- who is there --------------------------------------------------------- */

/* A row that is there has the key or the id of an entry: a conflict, or the
 * one to replace. An id that only followed from a key and belongs to a row with
 * another key, which was changed since, is given up for a random one. */
static int meet_entry(struct milvus_batch *batch, int i,
                      const struct vec_hit *row, struct err *err)
{
    const struct vec_entry *entry = &batch->entries[i];
    bool is_given = entry->id != VEC_ID_NEW;

    if (has_key(entry) && strcmp(entry->key, row->key) == 0) {
        if (!batch->is_upsert || (is_given && entry->id != row->id))
            return err_set(err, ERR_CONFLICT,
                           "entry %d: the key '%.100s' is that of entry "
                           "%" PRId64,
                           i, entry->key, row->id);
        batch->ids[i] = row->id;
    } else if (batch->ids[i] == row->id && is_given && !batch->is_upsert) {
        return err_set(err, ERR_CONFLICT,
                       "entry %d: the id %" PRId64 " is there already", i,
                       row->id);
    } else if (batch->ids[i] == row->id && !is_given) {
        batch->ids[i] = random_id();
    }
    return 0;
}

static int meet(struct milvus_batch *batch, int from, int count,
                const struct vec_hits *rows, struct err *err)
{
    int i, j, rc = 0;

    for (i = 0; rc == 0 && i < rows->count; i++)
        for (j = from; rc == 0 && j < from + count; j++)
            rc = meet_entry(batch, j, &rows->list[i], err);
    return rc;
}

/* id in [..] or olho_key in [..]; nothing for entries with neither. */
static int write_question(const struct milvus_batch *batch, int from, int count,
                          struct buf *out, struct err *err)
{
    const char *keys[ASK_MAX];
    int64_t ids[ASK_MAX];
    struct buf of_keys;
    int i, id_count = 0, key_count = 0, rc;

    for (i = from; i < from + count; i++) {
        const struct vec_entry *entry = &batch->entries[i];

        if (has_key(entry))
            keys[key_count++] = entry->key;
        if (!batch->shape->has_auto_id &&
            (has_key(entry) || entry->id != VEC_ID_NEW))
            ids[id_count++] = batch->ids[i];
    }
    buf_init(&of_keys, MILVUS_EXPR_MAX);
    buf_clear(out);
    if (id_count > 0)
        milvus_expr_ids(batch->shape, ids, id_count, out);
    if (key_count > 0) {
        milvus_expr_keys(batch->shape, keys, key_count, &of_keys);
        if (id_count > 0)
            buf_add_text(out, " or ");
        buf_add(out, of_keys.data, of_keys.len);
    }
    rc = buf_check(&of_keys, err);
    if (rc == 0)
        rc = buf_check(out, err);
    buf_release(&of_keys);
    return rc;
}

static int ask_part(struct milvus_batch *batch, int from, int count,
                    struct buf *question, struct err *err)
{
    struct vec_hits rows = {.count = 0};
    struct arena *arena;
    int rc;

    rc = write_question(batch, from, count, question, err);
    if (rc || question->len == 0)
        return rc;
    arena = arena_new(TEXTS_LEN_MAX);
    rc = milvus_query_rows(batch->link, batch->shape, question->data, 2 * count,
                           arena, &rows, NULL, err);
    if (rc == 0)
        rc = meet(batch, from, count, &rows, err);
    arena_free(arena);
    return rc;
}

static int by_value(const void *a, const void *b)
{
    const int64_t *left = a, *right = b;

    return (*left > *right) - (*left < *right);
}

/* Two entries of a call may not become one row. */
static int check_alone(const struct milvus_batch *batch, struct err *err)
{
    int64_t *sorted;
    int i, rc = 0;

    sorted = mem_try((size_t)batch->count, sizeof *sorted);
    if (sorted == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for %d ids",
                       batch->count);
    memcpy(sorted, batch->ids, (size_t)batch->count * sizeof *sorted);
    qsort(sorted, (size_t)batch->count, sizeof *sorted, by_value);
    for (i = 1; rc == 0 && i < batch->count; i++)
        if (sorted[i] == sorted[i - 1])
            rc = err_set(err, ERR_CONFLICT,
                         "two entries of the call have or replace the id "
                         "%" PRId64,
                         sorted[i]);
    mem_free(sorted);
    return rc;
}

static int ask(struct milvus_batch *batch, struct err *err)
{
    struct buf question;
    int from, part, rc = 0;

    buf_init(&question, MILVUS_EXPR_MAX);
    for (from = 0; rc == 0 && from < batch->count; from += part) {
        part = batch->count - from < ASK_MAX ? batch->count - from : ASK_MAX;
        rc = ask_part(batch, from, part, &question, err);
    }
    buf_release(&question);
    if (rc == 0 && !batch->shape->has_auto_id)
        rc = check_alone(batch, err);
    return rc;
}

/* --- write ---------------------------------------------------------------- */

/* After a failure: takes back what is stored, or says what is. Ids that were
 * given, or follow from keys, may be those of rows that somebody else has added
 * meanwhile, so only rows with random ids are taken back; and not when the
 * server was slow, because the caller has waited its time. */
static int undo(struct milvus_batch *batch, int stored, int perhaps,
                struct err *err)
{
    const struct milvus_shape *shape = batch->shape;
    bool is_ours = !shape->has_auto_id && !batch->needs_turn;
    struct err ignored = {0};

    if (stored + perhaps > 0 && is_ours && err->code != ERR_TIMEOUT &&
        milvus_delete(batch->link, shape, batch->ids, stored + perhaps,
                      &ignored) == 0)
        stored = 0;
    if (stored + perhaps == 0)
        return err->code;
    return err_wrap(err, "of %d entries %d are stored and %d perhaps",
                    batch->count, stored, perhaps);
}

static int write_part(struct milvus_batch *batch, int from, int count,
                      enum grpc_fate *out_fate, struct err *err)
{
    struct milvus_link *link = batch->link;
    int rc;

    rc = milvus_write(link, batch->shape, batch->entries + from, count,
                      batch->is_upsert && !batch->shape->has_auto_id,
                      batch->ids + from, out_fate, err);
    if (rc != ERR_UNAVAILABLE || *out_fate != GRPC_PERHAPS ||
        batch->shape->has_auto_id)
        return rc;
    *err = (struct err){.code = ERR_OK};
    rc = milvus_write(link, batch->shape, batch->entries + from, count, true,
                      batch->ids + from, out_fate, err);
    if (rc && *out_fate == GRPC_NOT_DONE)
        *out_fate = GRPC_PERHAPS; /* the first try, still */
    return rc;
}

static int write_parts(struct milvus_batch *batch, struct err *err)
{
    int step = milvus_part_max(batch->shape), from, part, rc;
    enum grpc_fate fate = GRPC_NOT_DONE;

    for (from = 0; from < batch->count; from += part) {
        part = batch->count - from < step ? batch->count - from : step;
        rc = write_part(batch, from, part, &fate, err);
        if (rc)
            return undo(batch, from, fate == GRPC_PERHAPS ? part : 0, err);
    }
    return 0;
}

/* --- all of it -------------------------------------------------------------
 */

int milvus_batch_init(struct milvus_batch *batch, struct milvus_link *link,
                      const struct milvus_shape *shape,
                      const struct vec_entry *entries, int count,
                      bool is_upsert, struct err *err)
{
    int i, rc = 0;

    *batch = (struct milvus_batch){.link = link,
                                   .shape = shape,
                                   .entries = entries,
                                   .count = count,
                                   .is_upsert = is_upsert};
    for (i = 0; rc == 0 && i < count; i++) {
        rc = milvus_check_entry(shape, &entries[i], i, err);
        if (entries[i].id != VEC_ID_NEW || has_key(&entries[i]))
            batch->needs_turn = true;
    }
    if (rc == 0 && shape->has_auto_id)
        rc = check_auto_id(batch, err);
    if (rc)
        return rc;
    batch->ids = mem_try((size_t)count, sizeof *batch->ids);
    if (batch->ids == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for %d entries", count);
    choose_ids(batch);
    return 0;
}

int milvus_batch_run(struct milvus_batch *batch, struct err *err)
{
    int rc = batch->needs_turn ? ask(batch, err) : 0;

    return rc ? rc : write_parts(batch, err);
}

void milvus_batch_release(struct milvus_batch *batch)
{
    mem_free(batch->ids);
    batch->ids = NULL;
}
