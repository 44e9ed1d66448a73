/* SPDX-License-Identifier: Apache-2.0 */
/* The horizontal pass turns 8 rows on their side, as kernels_avx2.c does: a
 * column is the same byte of 8 rows as 32-bit numbers, in two vectors. */
#include "image/kernels_neon.h"

#include <arm_neon.h>
#include <string.h>

#include "image/tile.h"

enum {
    ROWS = 8,
    TILE_PX = 160, /* 15 KB of turned columns: half of the first cache */
};

static size_t columns_len(int tile_px)
{
    return (size_t)tile_px * 3 * ROWS * sizeof(int32_t);
}

static size_t across_room(int tile_px, int target_px)
{
    return columns_len(tile_px) + ((size_t)target_px * 3 + 8) * ROWS;
}

/* Turns 8 rows of 8 bytes into 8 columns, in place; its own inverse. */
static inline void transpose(uint8x8_t *rows)
{
    uint16x4x2_t word[4];
    uint32x2x2_t pair[4];

    for (int i = 0; i < 2; i++) {
        uint8x8x2_t even = vtrn_u8(rows[4 * i], rows[4 * i + 1]);
        uint8x8x2_t odd = vtrn_u8(rows[4 * i + 2], rows[4 * i + 3]);

        for (int side = 0; side < 2; side++)
            word[2 * i + side] = vtrn_u16(vreinterpret_u16_u8(even.val[side]),
                                          vreinterpret_u16_u8(odd.val[side]));
    }
    /* word[side].val[half] holds rows 0..3, word[2 + side] rows 4..7. */
    for (int side = 0; side < 2; side++)
        for (int half = 0; half < 2; half++)
            pair[2 * half + side] =
                vtrn_u32(vreinterpret_u32_u16(word[side].val[half]),
                         vreinterpret_u32_u16(word[2 + side].val[half]));
    for (int i = 0; i < 4; i++) {
        rows[i] = vreinterpret_u8_u32(pair[i].val[0]);
        rows[4 + i] = vreinterpret_u8_u32(pair[i].val[1]);
    }
}

static inline void turn8(const uint8_t *const *rows, size_t at, int32_t *out)
{
    uint8x8_t bytes[8];

    for (int i = 0; i < 8; i++)
        bytes[i] = vld1_u8(rows[i] + at);
    transpose(bytes);
    for (int i = 0; i < 8; i++, out += ROWS) {
        uint16x8_t wide = vmovl_u8(bytes[i]);

        vst1q_s32(out, vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(wide))));
        vst1q_s32(out + 4, vreinterpretq_s32_u32(vmovl_high_u16(wide)));
    }
}

/* Bytes at..at+len-1 of 8 rows to len columns. The last 8 are done again
 * rather than reading past the end. */
static void turn(const uint8_t *const *rows, size_t at, size_t len,
                 int32_t *out)
{
    size_t i = 0;

    for (; i + 8 <= len; i += 8)
        turn8(rows, at + i, out + i * ROWS);
    if (i < len && len >= 8) {
        turn8(rows, at + len - 8, out + (len - 8) * ROWS);
        return;
    }
    for (; i < len; i++)
        for (int row = 0; row < ROWS; row++)
            out[i * ROWS + (size_t)row] = rows[row][at + i];
}

/* Eight sums to bytes, held at 0 and 255. */
static inline uint8x8_t to_bytes(int32x4_t low, int32x4_t high)
{
    uint16x4_t first = vqmovun_s32(vshrq_n_s32(low, AXIS_FIXED_BITS));
    uint16x4_t second = vqmovun_s32(vshrq_n_s32(high, AXIS_FIXED_BITS));

    return vqmovn_u16(vcombine_u16(first, second));
}

/* A pixel of 8 rows to 24 bytes: red of all rows, green, blue. */
static inline void sum_pixel(const int32_t *fixed, int taps,
                             const int32_t *column, uint8_t *out)
{
    const int32x4_t half = vdupq_n_s32(1 << (AXIS_FIXED_BITS - 1));
    int32x4_t red = half, red2 = half, green = half, green2 = half;
    int32x4_t blue = half, blue2 = half;

    for (int tap = 0; tap < taps; tap++, column += 3 * ROWS) {
        const int32x4_t weight = vdupq_n_s32(fixed[tap]);

        red = vmlaq_s32(red, weight, vld1q_s32(column));
        red2 = vmlaq_s32(red2, weight, vld1q_s32(column + 4));
        green = vmlaq_s32(green, weight, vld1q_s32(column + 8));
        green2 = vmlaq_s32(green2, weight, vld1q_s32(column + 12));
        blue = vmlaq_s32(blue, weight, vld1q_s32(column + 16));
        blue2 = vmlaq_s32(blue2, weight, vld1q_s32(column + 20));
    }
    vst1_u8(out, to_bytes(red, red2));
    vst1_u8(out + ROWS, to_bytes(green, green2));
    vst1_u8(out + 2 * ROWS, to_bytes(blue, blue2));
}

/* The columns of `packed`, 8 bytes each, back to 8 rows; up to 7 bytes after
 * each row are written. */
static void turn_back(const uint8_t *packed, int len, uint8_t *const *out)
{
    for (int i = 0; i < len; i += 8, packed += 8 * ROWS) {
        uint8x8_t bytes[8];

        for (int n = 0; n < 8; n++)
            bytes[n] = vld1_u8(packed + n * ROWS);
        transpose(bytes);
        for (int n = 0; n < 8; n++)
            vst1_u8(out[n] + i, bytes[n]);
    }
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
    turn_back(packed, axis->len * 3, out);
}

/* 16 bytes at `at` of each row to 16 bytes. */
static inline uint8x16_t down16(const int32_t *fixed, int taps,
                                const uint8_t *const *rows, size_t at)
{
    const int32x4_t half = vdupq_n_s32(1 << (AXIS_FIXED_BITS - 1));
    int32x4_t a = half, b = half, c = half, d = half;

    for (int tap = 0; tap < taps; tap++) {
        const int32x4_t weight = vdupq_n_s32(fixed[tap]);
        uint8x16_t bytes = vld1q_u8(rows[tap] + at);
        int16x8_t low = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(bytes)));
        int16x8_t high = vreinterpretq_s16_u16(vmovl_high_u8(bytes));

        a = vmlaq_s32(a, weight, vmovl_s16(vget_low_s16(low)));
        b = vmlaq_s32(b, weight, vmovl_high_s16(low));
        c = vmlaq_s32(c, weight, vmovl_s16(vget_low_s16(high)));
        d = vmlaq_s32(d, weight, vmovl_high_s16(high));
    }
    return vcombine_u8(to_bytes(a, b), to_bytes(c, d));
}

/* The rows of the ring have slack after them, so the last block may read more
 * than it keeps. */
static void down(const int32_t *fixed, int taps, const uint8_t *const *rows,
                 int len, uint8_t *out)
{
    const size_t all = (size_t)len;
    uint8_t rest[16];
    size_t i = 0;

    for (; i + 16 <= all; i += 16)
        vst1q_u8(out + i, down16(fixed, taps, rows, i));
    if (i == all)
        return;
    vst1q_u8(rest, down16(fixed, taps, rows, i));
    memcpy(out + i, rest, all - i);
}

const struct kernels kernels_neon = {
    .name = "neon",
    .rows = ROWS,
    .tile_px = TILE_PX,
    .across_room = across_room,
    .across = across,
    .down = down,
    .across_float = neon_across_float,
    .down_float = neon_down_float,
    .planes = neon_planes,
    .pixels = neon_pixels,
    .planes_float = neon_planes_float,
    .pixels_float = neon_pixels_float,
};
