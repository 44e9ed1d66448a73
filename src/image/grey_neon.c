/* SPDX-License-Identifier: Apache-2.0 */
/* What is left over after whole steps goes to the plain kernels. */
#include "image/grey.h"

#include <arm_neon.h>

#include "image/quality.h"

enum {
    CONVERTED = 16, /* pixels in a step of `convert` and of `count` */
    STEP = 8,       /* of `laplace` */
    /* A step adds at most 2 * 1020 * 1020 to each of the 32-bit sums of
     * squares, so that many are taken before those are emptied. */
    STEPS_MAX = 1024,
};

static bool is_usable(void)
{
    return true;
}

static inline uint16x4_t convert_4(uint16x4_t red, uint16x4_t green,
                                   uint16x4_t blue)
{
    uint32x4_t sum = vmull_n_u16(red, GREY_RED);

    sum = vmlal_n_u16(sum, green, GREY_GREEN);
    sum = vmlal_n_u16(sum, blue, GREY_BLUE);
    return vrshrn_n_u32(sum, GREY_SHIFT);
}

static inline uint8x8_t convert_8(uint8x8_t red, uint8x8_t green,
                                  uint8x8_t blue)
{
    uint16x8_t r = vmovl_u8(red), g = vmovl_u8(green), b = vmovl_u8(blue);

    return vmovn_u16(vcombine_u16(
        convert_4(vget_low_u16(r), vget_low_u16(g), vget_low_u16(b)),
        convert_4(vget_high_u16(r), vget_high_u16(g), vget_high_u16(b))));
}

static void convert(const uint8_t *rgb, int count, uint8_t *grey)
{
    int i = 0;

    for (; i + CONVERTED <= count; i += CONVERTED, rgb += CONVERTED * 3) {
        uint8x16x3_t parts = vld3q_u8(rgb);

        vst1_u8(grey + i,
                convert_8(vget_low_u8(parts.val[0]), vget_low_u8(parts.val[1]),
                          vget_low_u8(parts.val[2])));
        vst1_u8(grey + i + 8, convert_8(vget_high_u8(parts.val[0]),
                                        vget_high_u8(parts.val[1]),
                                        vget_high_u8(parts.val[2])));
    }
    grey_kernels_c.convert(rgb, count - i, grey + i);
}

/* How many bytes are set. */
static int64_t set_bytes(uint8x16_t mask)
{
    return vaddvq_u8(vandq_u8(mask, vdupq_n_u8(1)));
}

static void count_levels(const uint8_t *grey, int count, struct grey_sums *sums)
{
    const uint8x16_t black = vdupq_n_u8(QUALITY_BLACK);
    const uint8x16_t white = vdupq_n_u8(QUALITY_WHITE);
    int i = 0;

    for (; i + CONVERTED <= count; i += CONVERTED) {
        uint8x16_t values = vld1q_u8(grey + i);

        sums->level += vaddlvq_u8(values);
        sums->dark += set_bytes(vcleq_u8(values, black));
        sums->bright += set_bytes(vcgeq_u8(values, white));
    }
    grey_kernels_c.count(grey + i, count - i, sums);
}

static void laplace(const uint8_t *above, const uint8_t *row,
                    const uint8_t *below, int count, struct grey_sums *sums)
{
    int i = 0;

    while (i + STEP <= count) {
        int32x4_t sum = vdupq_n_s32(0), squared = sum;

        for (int steps = 0; steps < STEPS_MAX && i + STEP <= count;
             steps++, i += STEP) {
            uint16x8_t around =
                vaddq_u16(vaddl_u8(vld1_u8(above + i), vld1_u8(below + i)),
                          vaddl_u8(vld1_u8(row + i - 1), vld1_u8(row + i + 1)));
            int16x8_t value = vreinterpretq_s16_u16(
                vsubq_u16(around, vshll_n_u8(vld1_u8(row + i), 2)));

            sum = vpadalq_s16(sum, value);
            squared =
                vmlal_s16(squared, vget_low_s16(value), vget_low_s16(value));
            squared =
                vmlal_s16(squared, vget_high_s16(value), vget_high_s16(value));
        }
        sums->laplacian += vaddlvq_s32(sum);
        sums->laplacian_squared += vaddlvq_s32(squared);
    }
    grey_kernels_c.laplace(above + i, row + i, below + i, count - i, sums);
}

const struct grey_kernels grey_kernels_neon = {
    "neon", is_usable, convert, count_levels, laplace,
};
