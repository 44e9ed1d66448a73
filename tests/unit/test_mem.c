/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

static bool is_zero(const char *data, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++)
        if (data[i] != 0)
            return false;
    return true;
}

TEST(mem_try_refuses_a_product_that_overflows)
{
    CHECK(mem_try(SIZE_MAX / 2, 3) == NULL);
    CHECK(mem_try_aligned(SIZE_MAX, 1) == NULL);
    CHECK(mem_try_aligned(SIZE_MAX / 2, 1) == NULL);
    CHECK(mem_resize(NULL, SIZE_MAX, 2) == NULL);
}

TEST(mem_try_gives_zeroed_memory_even_for_nothing)
{
    char *some = mem_try(100, 3), *none = mem_try(0, 8);

    CHECK(some != NULL && is_zero(some, 300));
    CHECK(none != NULL);
    mem_free(some);
    mem_free(none);
    mem_free(NULL);
}

TEST(mem_try_aligned_gives_whole_cache_lines)
{
    size_t len;

    for (len = 0; len < 200; len += 13) {
        char *block = mem_try_aligned(len, 1);

        CHECK(block != NULL);
        CHECK_INT((uintptr_t)block % 64, 0);
        memset(block, 1, len);
        mem_free(block);
    }
}

TEST(mem_resize_keeps_what_was_there)
{
    char *block = mem_resize(NULL, 4, 1), *grown;

    CHECK(block != NULL);
    memcpy(block, "four", 4);
    grown = mem_resize(block, 10000, 1);
    CHECK(grown != NULL);
    CHECK(memcmp(grown, "four", 4) == 0);
    mem_free(grown);
}

TEST(mem_fail_at_fails_one_call_and_counts_all)
{
    void *first, *second, *third;

    mem_fail_at(2);
    first = mem_try(1, 1);
    second = mem_try(1, 1);
    third = mem_try_aligned(1, 1);
    CHECK_INT(mem_tries(), 3);
    mem_fail_at(0);
    CHECK(first != NULL && second == NULL && third != NULL);
    mem_free(first);
    mem_free(third);
}

TEST(mem_text_copies)
{
    const char *text = "abc";
    char *copy = mem_text(text);

    CHECK(copy != text);
    CHECK_TEXT(copy, "abc");
    mem_free(copy);
}

TEST(arena_gives_aligned_zeroed_memory_that_does_not_overlap)
{
    struct arena *arena = arena_new(1 << 20);
    char *blocks[200];
    size_t i;

    for (i = 0; i < 200; i++) {
        blocks[i] = arena_try(arena, i + 1, 3);
        CHECK(blocks[i] != NULL);
        CHECK_INT((uintptr_t)blocks[i] % 16, 0);
        CHECK(is_zero(blocks[i], (i + 1) * 3));
        memset(blocks[i], (int)i + 1, (i + 1) * 3);
    }
    for (i = 0; i < 200; i++) {
        CHECK_INT((unsigned char)blocks[i][0], i + 1);
        CHECK_INT((unsigned char)blocks[i][(i + 1) * 3 - 1], i + 1);
    }
    arena_free(arena);
}

TEST(arena_refuses_what_is_over_its_maximum)
{
    struct arena *arena = arena_new(20000);

    CHECK(arena_try(arena, 1, 16000) != NULL);
    CHECK(arena_try(arena, 1, 3000) != NULL);
    CHECK(arena_try(arena, 1, 5000) == NULL);
    CHECK(arena_try(arena, SIZE_MAX, 2) == NULL);
    CHECK(arena_try(arena, 1, SIZE_MAX / 2) == NULL);
    arena_free(arena);
    arena_free(NULL);
}

TEST(arena_is_empty_and_zeroed_after_a_reset)
{
    struct arena *arena = arena_new(1 << 20);
    char *block;
    int i;

    arena_reset(arena);
    for (i = 0; i < 3; i++) {
        block = arena_try(arena, 1, 1000);
        CHECK(block != NULL && is_zero(block, 1000));
        memset(block, 7, 1000);
        CHECK(arena_try(arena, 1, 100000) != NULL);
        arena_reset(arena);
    }
    arena_free(arena);
}

TEST(arena_copies_and_formats_text)
{
    struct arena *arena = arena_new(1 << 16);
    char *formatted, *copy = arena_text(arena, "abcdef", 3);

    CHECK_TEXT(copy, "abc");
    formatted = arena_printf(arena, "%s-%d", copy, 42);
    CHECK_TEXT(formatted, "abc-42");
    CHECK_TEXT(arena_text(arena, NULL, 0), "");
    arena_free(arena);
}

TEST(torture_arena_says_that_memory_ran_out)
{
    struct arena *arena = arena_new(1 << 16);
    void *block;

    mem_fail_at(1);
    block = arena_try(arena, 1, 8);
    mem_fail_at(0);
    CHECK(block == NULL);
    CHECK(arena_try(arena, 1, 8) != NULL);
    arena_free(arena);
}
