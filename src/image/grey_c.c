/* SPDX-License-Identifier: Apache-2.0 */
#include "image/grey.h"

#include "image/quality.h"

static bool is_usable(void)
{
    return true;
}

static void convert(const uint8_t *rgb, int count, uint8_t *grey)
{
    for (int i = 0; i < count; i++, rgb += 3)
        grey[i] = (uint8_t)((rgb[0] * GREY_RED + rgb[1] * GREY_GREEN +
                             rgb[2] * GREY_BLUE + (1 << (GREY_SHIFT - 1))) >>
                            GREY_SHIFT);
}

static void count_levels(const uint8_t *grey, int count, struct grey_sums *sums)
{
    /* A row has at most 65535 pixels, so 32 bits hold its sums. */
    uint32_t level = 0, dark = 0, bright = 0;

    for (int i = 0; i < count; i++) {
        level += grey[i];
        dark += grey[i] <= QUALITY_BLACK;
        bright += grey[i] >= QUALITY_WHITE;
    }
    sums->level += level;
    sums->dark += dark;
    sums->bright += bright;
}

static void laplace(const uint8_t *above, const uint8_t *row,
                    const uint8_t *below, int count, struct grey_sums *sums)
{
    int64_t squared = 0;
    int32_t sum = 0;

    for (int i = 0; i < count; i++) {
        int value = above[i] + below[i] + row[i - 1] + row[i + 1] - 4 * row[i];

        sum += value;
        squared += value * value;
    }
    sums->laplacian += sum;
    sums->laplacian_squared += squared;
}

const struct grey_kernels grey_kernels_c = {
    "c", is_usable, convert, count_levels, laplace,
};
