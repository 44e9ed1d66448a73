/* SPDX-License-Identifier: Apache-2.0 */
/* madd multiplies sixteen pairs and adds two products each up. A tile of two
 * rows by four shares its loads: six for eight of these. Rows are taken in
 * parts, so that those of `a` stay in the nearest cache. */
#include "vectors/int16_dot.h"

#include <immintrin.h>
#include <string.h>

enum { ROWS = 2, OTHERS = 4, LANES = 16, PART = 512 };

static bool is_usable(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static int32_t fold(__m256i sums)
{
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(sums),
                                 _mm256_extracti128_si256(sums, 1));

    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1));
    return _mm_cvtsi128_si32(four);
}

struct tile {
    const int16_t *a, *b;
    int32_t *out;
    int len, out_len; /* from row to row */
    int part;         /* values to take */
};

/* Adds to out. Inlined where the counts are constants. */
static inline __attribute__((always_inline)) void
dot_tile(int row_count, int other_count, const struct tile *tile, int i, int j)
{
    const int16_t *a = tile->a + (int64_t)i * tile->len;
    const int16_t *b = tile->b + (int64_t)j * tile->len;
    int32_t *out = tile->out + (int64_t)i * tile->out_len + j;
    __m256i sums[ROWS][OTHERS];
    int m;

    for (i = 0; i < row_count; i++)
        for (j = 0; j < other_count; j++)
            sums[i][j] = _mm256_setzero_si256();
            /* Without it the compiler moves all the sums about in every step.
             */
#pragma GCC unroll 4
    for (m = 0; m < tile->part; m += LANES) {
        __m256i rows[ROWS];

        for (i = 0; i < row_count; i++)
            rows[i] = _mm256_loadu_si256(
                (const void *)(a + (int64_t)i * tile->len + m));
        for (j = 0; j < other_count; j++) {
            __m256i other = _mm256_loadu_si256(
                (const void *)(b + (int64_t)j * tile->len + m));

            for (i = 0; i < row_count; i++)
                sums[i][j] = _mm256_add_epi32(
                    sums[i][j], _mm256_madd_epi16(rows[i], other));
        }
    }
    for (i = 0; i < row_count; i++)
        for (j = 0; j < other_count; j++)
            out[(int64_t)i * tile->out_len + j] += fold(sums[i][j]);
}

static inline __attribute__((always_inline)) void
dot_rows(int other_count, const struct tile *tile, int a_count, int j)
{
    int i;

    for (i = 0; i + ROWS <= a_count; i += ROWS)
        dot_tile(ROWS, other_count, tile, i, j);
    for (; i < a_count; i++)
        dot_tile(1, other_count, tile, i, j);
}

static void dot(const int16_t *a, int a_count, const int16_t *b, int b_count,
                int len, int32_t *out)
{
    int begin, j;

    memset(out, 0, (size_t)a_count * (size_t)b_count * sizeof *out);
    for (begin = 0; begin < len; begin += PART) {
        const struct tile tile = {.a = a + begin,
                                  .b = b + begin,
                                  .out = out,
                                  .len = len,
                                  .out_len = b_count,
                                  .part =
                                      len - begin < PART ? len - begin : PART};

        for (j = 0; j + OTHERS <= b_count; j += OTHERS)
            dot_rows(OTHERS, &tile, a_count, j);
        for (; j < b_count; j++)
            dot_rows(1, &tile, a_count, j);
    }
}

const struct int16_kernels int16_kernels_avx2 = {"avx2", is_usable, dot};
