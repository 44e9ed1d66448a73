/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors/flat_rows.h"

#include <assert.h>
#include <stddef.h>

#include "base/mem.h"

enum { FIRST_BITS = 10 };

/* Block 0 has rows 0..1023, block b > 0 has 2^(b+9)..2^(b+10)-1. */
static int block_of(int64_t id, int64_t *first)
{
    int block = 0;

    if (id >> FIRST_BITS != 0)
        block = 64 - __builtin_clzll((uint64_t)id >> FIRST_BITS);
    *first = block == 0 ? 0 : (int64_t)1 << (block + FIRST_BITS - 1);
    return block;
}

static int64_t block_len(int block)
{
    return (int64_t)1 << (block == 0 ? FIRST_BITS : block + FIRST_BITS - 1);
}

void flat_rows_release(struct flat_rows *rows)
{
    int i;

    for (i = 0; i < FLAT_ROWS_BLOCKS_MAX; i++) {
        mem_free(rows->blocks[i].vectors);
        mem_free(rows->blocks[i].scales);
        mem_free(rows->blocks[i].names);
        rows->blocks[i] = (struct flat_block){0};
    }
}

int64_t flat_rows_count(const struct flat_rows *rows)
{
    return atomic_load_explicit(&rows->count, memory_order_acquire);
}

int flat_rows_reserve(struct flat_rows *rows, struct err *err)
{
    int64_t first;
    int number = block_of(flat_rows_count(rows), &first);
    size_t len = (size_t)block_len(number);
    struct flat_block *block = &rows->blocks[number];

    assert(number < FLAT_ROWS_BLOCKS_MAX);
    if (block->vectors == NULL)
        block->vectors = mem_try(len, sizeof *block->vectors);
    if (block->scales == NULL)
        block->scales = mem_try(len, sizeof *block->scales);
    if (block->names == NULL)
        block->names = mem_try(len, sizeof *block->names);
    if (block->vectors == NULL || block->scales == NULL || block->names == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for %zu more rows",
                       len);
    return 0;
}

void flat_rows_add(struct flat_rows *rows, const struct flat_head *entry,
                   float scale)
{
    int64_t id = flat_rows_count(rows);
    int64_t first;
    struct flat_block *block = &rows->blocks[block_of(id, &first)];

    block->vectors[id - first] = (const float *)(const void *)(entry + 1);
    block->scales[id - first] = scale;
    atomic_store_explicit(&block->names[id - first], entry,
                          memory_order_release);
    atomic_store_explicit(&rows->count, id + 1, memory_order_release);
}

void flat_rows_rename(struct flat_rows *rows, int64_t id,
                      const struct flat_head *update)
{
    int64_t first;
    struct flat_block *block = &rows->blocks[block_of(id, &first)];

    assert(id >= 0 && id < flat_rows_count(rows));
    atomic_store_explicit(&block->names[id - first], update,
                          memory_order_release);
}

int flat_rows_run(const struct flat_rows *rows, int64_t id, int count,
                  const float *const **vectors, const float **scales)
{
    int64_t first;
    int number = block_of(id, &first);
    const struct flat_block *block = &rows->blocks[number];
    int64_t left = first + block_len(number) - id;

    *vectors = block->vectors + (id - first);
    *scales = block->scales + (id - first);
    return left < count ? (int)left : count;
}

void flat_rows_entry(const struct flat_rows *rows, int64_t id, int dim,
                     struct flat_entry *out)
{
    int64_t first;
    const struct flat_block *block = &rows->blocks[block_of(id, &first)];
    const struct flat_head *entry =
        (const struct flat_head *)(const void *)block->vectors[id - first] - 1;
    const struct flat_head *names =
        atomic_load_explicit(&block->names[id - first], memory_order_acquire);
    struct flat_record record;

    flat_record_parts(entry, dim, &record);
    out->id = id;
    out->sha256 = record.sha256;
    flat_record_parts(names, dim, &record);
    out->path = record.path;
    out->label = record.label;
}
