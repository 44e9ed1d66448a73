/* SPDX-License-Identifier: Apache-2.0 */
/* The best kernels of this machine against the plain ones. */
#include "test.h"

#include <stddef.h>
#include <string.h>

#include "base/mem.h"
#include "image/grey.h"

enum { WIDTH = 200 };

static void fill_noise(uint8_t *bytes, size_t len)
{
    uint32_t state = 1;

    for (size_t i = 0; i < len; i++) {
        state = state * 1664525 + 1013904223;
        bytes[i] = (uint8_t)(state >> 24);
    }
}

static void run_kernels(const struct grey_kernels *kernels, int count,
                        const uint8_t *rgb, uint8_t grey[3][WIDTH + 2],
                        struct grey_sums *sums)
{
    memset(grey, 0, sizeof(uint8_t[3][WIDTH + 2]));
    for (int i = 0; i < 3; i++) {
        kernels->convert(rgb + (ptrdiff_t)i * WIDTH * 3, count, grey[i] + 1);
        kernels->count(grey[i] + 1, count, sums);
    }
    kernels->laplace(grey[0] + 1, grey[1] + 1, grey[2] + 1, count, sums);
}

TEST(grey_kernels_agree_at_every_width)
{
    const struct grey_kernels *best = grey_best();
    uint8_t want[3][WIDTH + 2], got[3][WIDTH + 2];
    uint8_t *rgb;

    if (best == &grey_kernels_c)
        SKIP("this processor has the plain kernels only");
    for (int count = 1; count <= WIDTH; count++) {
        struct grey_sums want_sums = {0}, got_sums = {0};

        /* The last row ends its block, so that a sanitizer sees any step
         * beyond it. */
        rgb = mem_try((size_t)WIDTH * 2 + (size_t)count, 3);
        CHECK(rgb != NULL);
        fill_noise(rgb, ((size_t)WIDTH * 2 + (size_t)count) * 3);
        run_kernels(&grey_kernels_c, count, rgb, want, &want_sums);
        run_kernels(best, count, rgb, got, &got_sums);
        mem_free(rgb);
        CHECK(memcmp(want, got, sizeof want) == 0);
        CHECK(memcmp(&want_sums, &got_sums, sizeof want_sums) == 0);
    }
}

/* More than the steps that 32 bits hold, of the largest values there are. */
TEST(grey_kernels_do_not_overflow_in_a_long_row)
{
    enum { LONG = 65535 };
    uint8_t *rows = mem_try(2, LONG + 2), *black = rows + 1;
    uint8_t *stripes = black + LONG + 2;
    const struct grey_kernels *all[] = {&grey_kernels_c, grey_best()};

    CHECK(rows != NULL);
    for (int i = -1; i <= LONG; i++)
        stripes[i] = i % 2 == 0 ? 255 : 0;
    for (int i = 0; i < 2; i++) {
        struct grey_sums sums = {0};

        /* +510 and -1020 by turns, the first and the last are -1020. */
        all[i]->laplace(black, stripes, black, LONG, &sums);
        CHECK_INT(sums.laplacian,
                  (int64_t)LONG / 2 * 510 - ((int64_t)LONG / 2 + 1) * 1020);
        CHECK_INT(sums.laplacian_squared,
                  (int64_t)LONG / 2 * 510 * 510 +
                      ((int64_t)LONG / 2 + 1) * 1020 * 1020);
    }
    mem_free(rows);
}
