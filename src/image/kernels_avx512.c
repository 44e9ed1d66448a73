/* SPDX-License-Identifier: Apache-2.0 */
/* The horizontal pass as kernels_avx2.c has it, with a column of 16 rows in
 * one vector. */
#include "image/kernels.h"

#include <immintrin.h>
#include <string.h>

#include "image/kernels_avx2.h"
#include "image/tile.h"

enum { ROWS = 16, TILE_PX = 80 };

static size_t columns_len(int tile_px)
{
    return (size_t)tile_px * 3 * ROWS * sizeof(int32_t);
}

static size_t across_room(int tile_px, int target_px)
{
    return columns_len(tile_px) + ((size_t)target_px * 3 + 8) * ROWS;
}

/* Rows n, n + 4, n + 8 and n + 12 in the quarters of one vector. */
static inline __m512i load_four(const uint8_t *const *rows, size_t at)
{
    __m512i four =
        _mm512_castsi128_si512(_mm_loadu_si128((const void *)(rows[0] + at)));

    four = _mm512_inserti32x4(four,
                              _mm_loadu_si128((const void *)(rows[4] + at)), 1);
    four = _mm512_inserti32x4(four,
                              _mm_loadu_si128((const void *)(rows[8] + at)), 2);
    return _mm512_inserti32x4(
        four, _mm_loadu_si128((const void *)(rows[12] + at)), 3);
}

/* Four neighbouring bytes of 16 rows to four columns. */
static inline void store_four(__m512i bytes, int32_t *out)
{
    const __m512i lowest = _mm512_set1_epi32(0xff);

    _mm512_store_si512(out, _mm512_and_si512(bytes, lowest));
    _mm512_store_si512(out + ROWS,
                       _mm512_and_si512(_mm512_srli_epi32(bytes, 8), lowest));
    _mm512_store_si512(out + 2 * ROWS,
                       _mm512_and_si512(_mm512_srli_epi32(bytes, 16), lowest));
    _mm512_store_si512(out + 3 * ROWS, _mm512_srli_epi32(bytes, 24));
}

/* Bytes at..at+15 of 16 rows to 16 columns. */
static inline void turn16(const uint8_t *const *rows, size_t at, int32_t *out)
{
    __m512i a = load_four(rows, at), b = load_four(rows + 1, at);
    __m512i c = load_four(rows + 2, at), d = load_four(rows + 3, at);
    __m512i ab = _mm512_unpacklo_epi32(a, b), cd = _mm512_unpacklo_epi32(c, d);

    store_four(_mm512_unpacklo_epi64(ab, cd), out);
    store_four(_mm512_unpackhi_epi64(ab, cd), out + 4 * ROWS);
    ab = _mm512_unpackhi_epi32(a, b);
    cd = _mm512_unpackhi_epi32(c, d);
    store_four(_mm512_unpacklo_epi64(ab, cd), out + 8 * ROWS);
    store_four(_mm512_unpackhi_epi64(ab, cd), out + 12 * ROWS);
}

/* Bytes at..at+len-1 of 16 rows to len columns. The last 16 are done again
 * rather than reading past the end. */
static void turn(const uint8_t *const *all, size_t at, size_t len, int32_t *out)
{
    const uint8_t *rows[ROWS];
    size_t i = 0;

    memcpy(rows, all, sizeof rows);
    for (; i + 16 <= len; i += 16)
        turn16(rows, at + i, out + i * ROWS);
    if (i < len && len >= 16) {
        turn16(rows, at + len - 16, out + (len - 16) * ROWS);
        return;
    }
    for (; i < len; i++)
        for (int row = 0; row < ROWS; row++)
            out[i * ROWS + (size_t)row] = rows[row][at + i];
}

static inline __m512i weigh(__m512i sum, __m512i weight, const int32_t *column)
{
    return _mm512_add_epi32(
        sum, _mm512_mullo_epi32(weight, _mm512_load_si512(column)));
}

static inline __m128i to_bytes(__m512i sum)
{
    __m512i value = _mm512_srai_epi32(sum, AXIS_FIXED_BITS);

    return _mm512_cvtusepi32_epi8(
        _mm512_max_epi32(value, _mm512_setzero_si512()));
}

/* A pixel of 16 rows to 48 bytes: red of all rows, green, blue. */
static inline void sum_pixel(const int32_t *fixed, int taps,
                             const int32_t *column, uint8_t *out)
{
    const __m512i half = _mm512_set1_epi32(1 << (AXIS_FIXED_BITS - 1));
    __m512i red = half, green = half, blue = half;

    for (int tap = 0; tap < taps; tap++, column += 3 * ROWS) {
        const __m512i weight = _mm512_set1_epi32(fixed[tap]);

        red = weigh(red, weight, column);
        green = weigh(green, weight, column + ROWS);
        blue = weigh(blue, weight, column + 2 * ROWS);
    }
    _mm_storeu_si128((void *)out, to_bytes(red));
    _mm_storeu_si128((void *)(out + ROWS), to_bytes(green));
    _mm_storeu_si128((void *)(out + 2 * ROWS), to_bytes(blue));
}

static void across(const struct kernel_across *pass, const uint8_t *const *rows,
                   uint8_t *const *out)
{
    const struct axis *axis = pass->axis;
    int32_t *columns = pass->room;
    uint8_t *packed = (uint8_t *)pass->room + columns_len(pass->tile_px);

    for (int n = 0; n < pass->tile_count; n++) {
        const struct tile tile = pass->tiles[n];
        const size_t at = (size_t)tile.source * 3;
        const size_t len = (size_t)(tile.source_end - tile.source) * 3;

        turn(rows, at, len, columns);
        tile_prefetch(pass, n, rows, ROWS);
        for (int i = tile.target; i < tile.target_end; i++) {
            size_t column = (size_t)(axis->first[i] - tile.source) * 3;

            sum_pixel(axis->fixed + (size_t)i * (size_t)axis->taps_max,
                      axis->count[i], columns + column * ROWS,
                      packed + (size_t)i * 3 * ROWS);
        }
    }
    avx2_turn_back(packed, axis->len * 3, out);
}

static inline __m512i weigh_bytes(__m512i sum, __m512i weight,
                                  const uint8_t *bytes)
{
    __m512i value = _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)bytes));

    return _mm512_add_epi32(sum, _mm512_mullo_epi32(weight, value));
}

/* 64 bytes at `at` of each row to 64 bytes. */
static inline void down64(const int32_t *fixed, int taps,
                          const uint8_t *const *rows, size_t at, uint8_t *out)
{
    const __m512i half = _mm512_set1_epi32(1 << (AXIS_FIXED_BITS - 1));
    __m512i a = half, b = half, c = half, d = half;

    for (int tap = 0; tap < taps; tap++) {
        const __m512i weight = _mm512_set1_epi32(fixed[tap]);
        const uint8_t *bytes = rows[tap] + at;

        a = weigh_bytes(a, weight, bytes);
        b = weigh_bytes(b, weight, bytes + 16);
        c = weigh_bytes(c, weight, bytes + 32);
        d = weigh_bytes(d, weight, bytes + 48);
    }
    _mm_storeu_si128((void *)out, to_bytes(a));
    _mm_storeu_si128((void *)(out + 16), to_bytes(b));
    _mm_storeu_si128((void *)(out + 32), to_bytes(c));
    _mm_storeu_si128((void *)(out + 48), to_bytes(d));
}

/* The rows of the ring have slack after them, so the last block may read more
 * than it keeps. */
static void down(const int32_t *fixed, int taps, const uint8_t *const *rows,
                 int len, uint8_t *out)
{
    const size_t all = (size_t)len;
    uint8_t rest[64];
    size_t i = 0;

    for (; i + 64 <= all; i += 64)
        down64(fixed, taps, rows, i, out + i);
    if (i == all)
        return;
    down64(fixed, taps, rows, i, rest);
    memcpy(out + i, rest, all - i);
}

const struct kernels kernels_avx512 = {
    .name = "avx512",
    .rows = ROWS,
    .tile_px = TILE_PX,
    .across_room = across_room,
    .across = across,
    .down = down,
    .across_float = avx2_across_float,
    .down_float = avx2_down_float,
    .planes = avx2_planes,
    .pixels = avx2_pixels,
    .planes_float = avx2_planes_float,
    .pixels_float = avx2_pixels_float,
};
