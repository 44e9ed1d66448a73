/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors/blocks.h"

#include <string.h>

#include "base/mem.h"

enum { ALIGNMENT = 64 }; /* of a block: one cache line */

/* A zeroed block, with the pointer that mem_free wants in front of it. Large
 * ones come from the system and take memory only where they are touched, as
 * does the table. */
static uint8_t *block_new(size_t row_len)
{
    uint8_t *raw = mem_try(BLOCK_ROWS + ALIGNMENT, row_len), *block;

    if (raw == NULL)
        return NULL;
    block = raw + ALIGNMENT - (uintptr_t)raw % ALIGNMENT;
    memcpy(block - sizeof raw, &raw, sizeof raw);
    return block;
}

static void block_free(uint8_t *block)
{
    uint8_t *raw;

    memcpy(&raw, block - sizeof raw, sizeof raw);
    mem_free(raw);
}

int blocks_init(struct blocks *blocks, size_t row_len, struct err *err)
{
    *blocks = (struct blocks){.row_len = row_len};
    blocks->table = mem_try(BLOCKS_MAX, sizeof *blocks->table);
    if (blocks->table == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for a table of rows");
    return 0;
}

void blocks_release(struct blocks *blocks)
{
    int64_t i, count = blocks->cap >> BLOCK_SHIFT;

    for (i = blocks->mapped_blocks; i < count; i++)
        block_free(blocks->table[i]);
    mem_free(blocks->table);
    *blocks = (struct blocks){0};
}

int blocks_reserve(struct blocks *blocks, int64_t count, struct err *err)
{
    if (count > BLOCKS_ROWS_MAX)
        return err_set(err, ERR_UNAVAILABLE,
                       "%lld rows are more than the %lld that there can be",
                       (long long)count, (long long)BLOCKS_ROWS_MAX);
    while (blocks->cap < count) {
        uint8_t *block = block_new(blocks->row_len);

        if (block == NULL)
            return err_set(err, ERR_UNAVAILABLE, "no memory for %lld rows",
                           (long long)count);
        blocks->table[blocks->cap >> BLOCK_SHIFT] = block;
        blocks->cap += BLOCK_ROWS;
    }
    return 0;
}

int blocks_map(struct blocks *blocks, void *rows, int64_t count,
               struct err *err)
{
    int64_t whole = count & ~(int64_t)(BLOCK_ROWS - 1), i;
    int rc;

    if (count > BLOCKS_ROWS_MAX)
        return blocks_reserve(blocks, count, err);
    blocks->mapped = rows;
    for (i = 0; i < whole >> BLOCK_SHIFT; i++)
        blocks->table[i] =
            blocks->mapped + (size_t)(i << BLOCK_SHIFT) * blocks->row_len;
    blocks->mapped_blocks = (int)i;
    blocks->cap = whole;
    rc = blocks_reserve(blocks, count, err);
    if (rc == 0 && count > whole)
        memcpy(blocks_at(blocks, whole),
               blocks->mapped + (size_t)whole * blocks->row_len,
               (size_t)(count - whole) * blocks->row_len);
    return rc;
}

int64_t blocks_memory(const struct blocks *blocks)
{
    return (blocks->cap - ((int64_t)blocks->mapped_blocks << BLOCK_SHIFT)) *
           (int64_t)blocks->row_len;
}
