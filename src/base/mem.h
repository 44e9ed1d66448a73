/* SPDX-License-Identifier: Apache-2.0 */
/* Memory: small fixed things that abort, sizes from outside that may fail,
 * and arenas that die with their request.
 *
 * Thread-safe, except that one arena belongs to one thread at a time. */
#ifndef OLHO_BASE_MEM_H
#define OLHO_BASE_MEM_H

#include <stdarg.h>
#include <stddef.h>

#include "base/err.h"

/* Zeroed memory for one small thing of fixed size; aborts when there is none.
 * The caller owns it and ends it with mem_free. */
void *mem_new(size_t size) __attribute__((returns_nonnull, malloc));

/* Zeroed memory for `count` things of `size` bytes whose number came from
 * outside. NULL when the product overflows or there is no memory. */
void *mem_try(size_t count, size_t size) MUST_CHECK;

/* The same without zeroing, aligned to 64 bytes (one cache line). */
void *mem_try_aligned(size_t count, size_t size) MUST_CHECK;

/* Grows or shrinks what mem_try gave (NULL: a new block; never an aligned
 * one). On failure returns NULL and leaves the block as it was. New bytes are
 * not zeroed. */
void *mem_resize(void *block, size_t count, size_t size) MUST_CHECK;

/* Ends any of the above. NULL is allowed. */
void mem_free(void *block);

/* A copy of text; aborts when there is no memory. The caller owns it. */
char *mem_text(const char *text) __attribute__((returns_nonnull));

/* Keeps the process small: blocks of 1 MB and more, which are pixels, go
 * back to the system when they are freed, and so does the end of the heap.
 * Called once, before threads start. */
void mem_stay_small(void);

/* Gives memory that is free back to the system: after a model is loaded, which
 * takes three times what it keeps. Costs about a millisecond. */
void mem_trim(void);

/* For tests: the call number `nth` (from 1) of mem_try, mem_try_aligned,
 * mem_resize and arena_try from now on fails, once; 0 turns it off.
 * mem_tries() is the number of such calls since the last mem_fail_at. */
void mem_fail_at(long nth);
long mem_tries(void);

/* An arena hands out memory that ends all at once. It grows by blocks up to
 * len_max bytes in all. */
struct arena;

struct arena *arena_new(size_t len_max) __attribute__((returns_nonnull));
void arena_free(struct arena *arena); /* NULL is allowed */

/* Keeps the first block and forgets everything else. */
void arena_reset(struct arena *arena);

/* Zeroed memory aligned to 16 bytes, or NULL over len_max or without memory.
 * Borrowed: valid until arena_reset or arena_free. */
void *arena_try(struct arena *arena, size_t count, size_t size) MUST_CHECK;

/* Copies of `len` bytes of text, with a NUL after them; formatted text. NULL
 * as above. */
char *arena_text(struct arena *arena, const char *text, size_t len) MUST_CHECK;
char *arena_printf(struct arena *arena, const char *format, ...)
    PRINTF_LIKE(2, 3) MUST_CHECK;

#endif
