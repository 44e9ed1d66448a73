/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"

#include <assert.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Small photographs stay below: giving their pixels back and taking them anew
 * costs some 0.3 ms of page faults a request. */
enum { BIG_LEN = 1 << 20 };
enum { ALIGNMENT = 64, ARENA_BLOCK_LEN = 16 << 10, ARENA_ALIGNMENT = 16 };

/* Relaxed order: the torture tests that read these run on one thread. */
static atomic_long tries;
static atomic_long failing_try;

static bool must_fail(void)
{
    long nth = atomic_fetch_add_explicit(&tries, 1, memory_order_relaxed) + 1;

    return nth == atomic_load_explicit(&failing_try, memory_order_relaxed);
}

void mem_fail_at(long nth)
{
    atomic_store(&failing_try, nth);
    atomic_store(&tries, 0);
}

long mem_tries(void)
{
    return atomic_load(&tries);
}

void *mem_new(size_t size)
{
    void *block = calloc(1, size);

    if (block == NULL) {
        fprintf(stderr, "olho: out of memory (%zu bytes)\n", size);
        abort();
    }
    return block;
}

/* False when count * size does not fit; a product of 0 asks for one byte. */
static bool product(size_t count, size_t size, size_t *out)
{
    if (__builtin_mul_overflow(count, size, out) || *out > PTRDIFF_MAX)
        return false;
    if (*out == 0)
        *out = 1;
    return true;
}

void *mem_try(size_t count, size_t size)
{
    size_t len;

    if (must_fail() || !product(count, size, &len))
        return NULL;
    return calloc(1, len);
}

void *mem_try_aligned(size_t count, size_t size)
{
    size_t len;

    if (must_fail() || !product(count, size, &len) ||
        len > PTRDIFF_MAX - ALIGNMENT)
        return NULL;
    len = (len + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return aligned_alloc(ALIGNMENT, len);
}

void *mem_resize(void *block, size_t count, size_t size)
{
    size_t len;

    if (must_fail() || !product(count, size, &len))
        return NULL;
    return realloc(block, len);
}

void mem_free(void *block)
{
    free(block);
}

char *mem_text(const char *text)
{
    size_t len = strlen(text);
    char *copy = mem_new(len + 1);

    memcpy(copy, text, len);
    return copy;
}

void mem_stay_small(void)
{
    mallopt(M_MMAP_THRESHOLD, BIG_LEN);
    mallopt(M_TRIM_THRESHOLD, 2 * BIG_LEN);
}

void mem_trim(void)
{
    malloc_trim(0);
}

struct block {
    struct block *next;
    size_t len;  /* of data */
    size_t used; /* of data */
    _Alignas(ARENA_ALIGNMENT) char data[];
};

struct arena {
    struct block *first; /* of ARENA_BLOCK_LEN, kept over resets */
    struct block *last;  /* the one being filled */
    size_t len_max;
    size_t len; /* of all blocks */
};

static struct block *block_try(size_t len)
{
    struct block *block = mem_try(1, sizeof *block + len);

    if (block != NULL)
        block->len = len;
    return block;
}

struct arena *arena_new(size_t len_max)
{
    struct arena *arena = mem_new(sizeof *arena);

    arena->len_max = len_max;
    return arena;
}

void arena_reset(struct arena *arena)
{
    struct block *block, *next;

    if (arena->first == NULL)
        return;
    for (block = arena->first->next; block != NULL; block = next) {
        next = block->next;
        mem_free(block);
    }
    memset(arena->first->data, 0, arena->first->used);
    arena->first->next = NULL;
    arena->first->used = 0;
    arena->last = arena->first;
    arena->len = arena->first->len;
}

void arena_free(struct arena *arena)
{
    if (arena == NULL)
        return;
    arena_reset(arena);
    mem_free(arena->first);
    mem_free(arena);
}

/* A new last block with room for at least len bytes. */
static bool add_block(struct arena *arena, size_t len)
{
    size_t block_len = len > ARENA_BLOCK_LEN ? len : ARENA_BLOCK_LEN;
    struct block *block;

    if (block_len > arena->len_max - arena->len)
        block_len = len;
    if (block_len > arena->len_max - arena->len)
        return false;
    block = block_try(block_len);
    if (block == NULL)
        return false;
    if (arena->last == NULL)
        arena->first = block;
    else
        arena->last->next = block;
    arena->last = block;
    arena->len += block_len;
    return true;
}

void *arena_try(struct arena *arena, size_t count, size_t size)
{
    size_t len;
    void *data;

    if (!product(count, size, &len) || len > PTRDIFF_MAX - ARENA_ALIGNMENT)
        return NULL;
    len = (len + ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT;
    if ((arena->last == NULL || arena->last->len - arena->last->used < len) &&
        !add_block(arena, len))
        return NULL;
    data = arena->last->data + arena->last->used;
    arena->last->used += len;
    return data;
}

char *arena_text(struct arena *arena, const char *text, size_t len)
{
    char *copy = arena_try(arena, len + 1, 1);

    if (copy != NULL && len > 0)
        memcpy(copy, text, len);
    return copy;
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
    va_list args;
    char *text = NULL;
    int len;

    va_start(args, format);
    len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    assert(len >= 0);
    text = arena_try(arena, (size_t)len + 1, 1);
    if (text == NULL)
        return NULL;
    va_start(args, format);
    vsnprintf(text, (size_t)len + 1, format, args);
    va_end(args);
    return text;
}
