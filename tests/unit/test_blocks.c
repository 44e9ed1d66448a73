/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/mem.h"
#include "test.h"
#include "vectors/blocks.h"

enum { LEN = 24, MAPPED = 2 * BLOCK_ROWS + 5 };

TEST(blocks_grow_without_moving_a_row)
{
    struct blocks blocks = {0};
    struct err err = {0};
    uint8_t *first, *last;
    int i;

    CHECK_OK(blocks_init(&blocks, LEN, &err), err);
    CHECK_INT(blocks_memory(&blocks), 0);
    CHECK_OK(blocks_reserve(&blocks, 1, &err), err);
    CHECK_INT(blocks.cap, BLOCK_ROWS);
    first = blocks_at(&blocks, 0);
    last = blocks_at(&blocks, BLOCK_ROWS - 1);
    CHECK_INT(last - first, (BLOCK_ROWS - 1) * LEN);
    CHECK_INT((uintptr_t)first % 64, 0);
    memset(first, 1, (size_t)BLOCK_ROWS * LEN);
    CHECK_OK(blocks_reserve(&blocks, 3 * BLOCK_ROWS + 1, &err), err);
    CHECK_OK(blocks_reserve(&blocks, 7, &err), err);
    CHECK_INT(blocks.cap, 4 * BLOCK_ROWS);
    CHECK_INT(blocks_memory(&blocks), 4LL * BLOCK_ROWS * LEN);
    CHECK(blocks_at(&blocks, 0) == (void *)first);
    for (i = 0; i < LEN; i++) {
        CHECK_INT(((uint8_t *)blocks_at(&blocks, BLOCK_ROWS - 1))[i], 1);
        CHECK_INT(((uint8_t *)blocks_at(&blocks, BLOCK_ROWS))[i], 0);
        CHECK_INT(((uint8_t *)blocks_at(&blocks, 4 * BLOCK_ROWS - 1))[i], 0);
    }
    blocks_release(&blocks);
    blocks_release(&blocks);
}

TEST(blocks_run_ends_where_a_block_ends)
{
    CHECK_INT(blocks_run(0), BLOCK_ROWS);
    CHECK_INT(blocks_run(BLOCK_ROWS - 1), 1);
    CHECK_INT(blocks_run(BLOCK_ROWS), BLOCK_ROWS);
    CHECK_INT(blocks_run(5 * (int64_t)BLOCK_ROWS + 3), BLOCK_ROWS - 3);
}

TEST(blocks_leave_whole_blocks_where_they_are_mapped)
{
    uint8_t *rows = mem_try_aligned(MAPPED, LEN);
    struct blocks blocks = {0};
    struct err err = {0};
    int i;

    for (i = 0; i < MAPPED * LEN; i++)
        rows[i] = (uint8_t)(i * 7 >> 3);
    CHECK_OK(blocks_init(&blocks, LEN, &err), err);
    CHECK_OK(blocks_map(&blocks, rows, MAPPED, &err), err);
    CHECK_INT(blocks_memory(&blocks), BLOCK_ROWS * LEN);
    CHECK(blocks_at(&blocks, 0) == (void *)rows);
    CHECK(blocks_at(&blocks, 2 * BLOCK_ROWS - 1) ==
          (void *)(rows + (2 * BLOCK_ROWS - 1) * LEN));
    CHECK_OK(blocks_reserve(&blocks, 5 * BLOCK_ROWS, &err), err);
    for (i = 0; i < MAPPED; i++)
        CHECK_INT(memcmp(blocks_at(&blocks, i), rows + i * LEN, LEN), 0);
    blocks_release(&blocks);
    /* It was borrowed: it is still there. */
    CHECK_INT(rows[8], 7);
    mem_free(rows);
}

TEST(blocks_without_memory_stay_as_they_were)
{
    struct blocks blocks = {0};
    struct err err = {0};

    mem_fail_at(1);
    CHECK_ERR(blocks_init(&blocks, LEN, &err), ERR_UNAVAILABLE);
    mem_fail_at(0);
    blocks_release(&blocks);
    err = (struct err){0};
    CHECK_OK(blocks_init(&blocks, LEN, &err), err);
    mem_fail_at(2);
    CHECK_ERR(blocks_reserve(&blocks, 3 * BLOCK_ROWS, &err), ERR_UNAVAILABLE);
    mem_fail_at(0);
    CHECK_INT(blocks.cap, BLOCK_ROWS);
    err = (struct err){0};
    CHECK_OK(blocks_reserve(&blocks, 3 * BLOCK_ROWS, &err), err);
    CHECK_INT(blocks.cap, 3 * BLOCK_ROWS);
    blocks_release(&blocks);
}

TEST(blocks_refuse_more_rows_than_a_slot_can_tell)
{
    struct blocks blocks = {0};
    struct err err = {0};

    CHECK_OK(blocks_init(&blocks, LEN, &err), err);
    CHECK_ERR(blocks_reserve(&blocks, BLOCKS_ROWS_MAX + 1, &err),
              ERR_UNAVAILABLE);
    CHECK_HAS(err.text, "1073741825");
    err = (struct err){0};
    CHECK_ERR(blocks_map(&blocks, &err, BLOCKS_ROWS_MAX + 1, &err),
              ERR_UNAVAILABLE);
    CHECK_INT(blocks.cap, 0);
    blocks_release(&blocks);
}
