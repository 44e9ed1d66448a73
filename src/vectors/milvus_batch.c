/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors/milvus_batch.h"

#include <inttypes.h>
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

static int ask_ids(struct milvus_batch *batch, struct buf *expr,
                   struct err *err)
{
    int64_t asked[ASK_MAX], found[ASK_MAX];
    int i = 0, count, found_count = 0, rc;

    while (i < batch->count) {
        for (count = 0; i < batch->count && count < ASK_MAX; i++)
            if (batch->entries[i].id != VEC_ID_NEW)
                asked[count++] = batch->entries[i].id;
        if (count == 0)
            continue;
        milvus_expr_ids(batch->shape, asked, count, expr);
        rc = buf_check(expr, err);
        if (rc == 0)
            rc = milvus_query_ids(batch->link, batch->shape, expr->data, count,
                                  found, &found_count, err);
        if (rc)
            return rc;
        if (found_count > 0)
            return err_set(err, ERR_CONFLICT,
                           "an entry with the id %" PRId64 " is there already",
                           found[0]);
    }
    return 0;
}

/* A row has the key of an entry: a conflict, or it is the one to replace. */
static int meet_key(struct milvus_batch *batch, const struct vec_hit *hit,
                    struct err *err)
{
    int i;

    if (!batch->is_upsert)
        return err_set(err, ERR_CONFLICT,
                       "an entry with the key '%.64s' is there already",
                       hit->key);
    for (i = 0; i < batch->count; i++) {
        const struct vec_entry *entry = &batch->entries[i];

        if (!has_key(entry) || strcmp(entry->key, hit->key) != 0)
            continue;
        if (entry->id == VEC_ID_NEW)
            batch->ids[i] = hit->id;
        else if (entry->id != hit->id)
            batch->replaced[batch->replaced_count++] = hit->id;
    }
    return 0;
}

static int ask_keys(struct milvus_batch *batch, const char *const *keys,
                    int count, struct buf *expr, struct err *err)
{
    struct arena *arena = arena_new(TEXTS_LEN_MAX);
    struct vec_hits hits = {.count = 0};
    int i, rc;

    milvus_expr_keys(batch->shape, keys, count, expr);
    rc = buf_check(expr, err);
    if (rc == 0)
        rc = milvus_query_rows(batch->link, batch->shape, expr->data, count,
                               arena, &hits, NULL, err);
    for (i = 0; rc == 0 && i < hits.count; i++)
        rc = meet_key(batch, &hits.list[i], err);
    arena_free(arena);
    return rc;
}

static int ask_all_keys(struct milvus_batch *batch, struct buf *expr,
                        struct err *err)
{
    const char *keys[ASK_MAX];
    int i = 0, count, rc = 0;

    while (rc == 0 && i < batch->count) {
        for (count = 0; i < batch->count && count < ASK_MAX; i++)
            if (has_key(&batch->entries[i]))
                keys[count++] = batch->entries[i].key;
        if (count > 0)
            rc = ask_keys(batch, keys, count, expr, err);
    }
    return rc;
}

static int ask(struct milvus_batch *batch, struct err *err)
{
    struct buf expr;
    int rc = 0;

    buf_init(&expr, MILVUS_EXPR_MAX);
    if (!batch->is_upsert)
        rc = ask_ids(batch, &expr, err);
    if (rc == 0)
        rc = ask_all_keys(batch, &expr, err);
    buf_release(&expr);
    return rc;
}

/* --- write ---------------------------------------------------------------- */

/* After a failure: takes back what is stored, or says what is. Not when the
 * server was slow, because the caller has waited its time. */
static int undo(struct milvus_batch *batch, int stored, int perhaps,
                struct err *err)
{
    const struct milvus_shape *shape = batch->shape;
    int known = shape->has_auto_id ? stored : stored + perhaps;
    struct err ignored = {0};

    if (stored + perhaps == 0)
        return err->code;
    if (!batch->is_upsert && err->code != ERR_TIMEOUT &&
        known == stored + perhaps &&
        milvus_delete(batch->link, shape, batch->ids, known, &ignored) == 0)
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
    if (batch->replaced_count == 0)
        return 0;
    return milvus_delete(batch->link, batch->shape, batch->replaced,
                         batch->replaced_count, err);
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
    batch->replaced = mem_try((size_t)count, sizeof *batch->replaced);
    if (batch->ids == NULL || batch->replaced == NULL) {
        milvus_batch_release(batch);
        return err_set(err, ERR_UNAVAILABLE, "no memory for %d entries", count);
    }
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
    mem_free(batch->replaced);
    batch->ids = batch->replaced = NULL;
}
