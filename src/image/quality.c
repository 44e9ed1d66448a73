/* SPDX-License-Identifier: Apache-2.0 */
/* The image goes by once, row by row. Three rows of grey are kept, each with
 * one pixel before and after it, mirrored as OpenCV does by default
 * (BORDER_REFLECT_101: the edge itself is not repeated). */
#include "image/quality.h"

#include <assert.h>

#include "base/mem.h"
#include "image/grey.h"

enum { ROWS = 3, SIDE = 32 }; /* bytes before and after a row of grey */

/* 101 without repeating the edge; the only pixel of a side is its own mirror
 * image. */
static int mirrored(int i, int len)
{
    if (len == 1)
        return 0;
    if (i < 0)
        return -i;
    return i < len ? i : 2 * len - 2 - i;
}

static void convert_row(const struct grey_kernels *kernels,
                        const struct image *image, int y, uint8_t *grey,
                        struct grey_sums *sums)
{
    int width = image->width_px;

    kernels->convert(image->pixels + (size_t)y * (size_t)width * 3, width,
                     grey);
    kernels->count(grey, width, sums);
    grey[-1] = grey[mirrored(-1, width)];
    grey[width] = grey[mirrored(width, width)];
}

static void sum_up(const struct grey_kernels *kernels,
                   const struct image *image, uint8_t *const rows[ROWS],
                   struct grey_sums *sums)
{
    int height = image->height_px;

    convert_row(kernels, image, 0, rows[0], sums);
    for (int y = 0; y < height; y++) {
        if (y + 1 < height)
            convert_row(kernels, image, y + 1, rows[(y + 1) % ROWS], sums);
        kernels->laplace(rows[mirrored(y - 1, height) % ROWS], rows[y % ROWS],
                         rows[mirrored(y + 1, height) % ROWS], image->width_px,
                         sums);
    }
}

int quality_measure(const struct image *image, struct quality *out,
                    struct err *err)
{
    size_t len = (size_t)image->width_px + 2 * (size_t)SIDE;
    double count = (double)image->width_px * image->height_px, mean;
    struct grey_sums sums = {0};
    uint8_t *block, *rows[ROWS];

    assert(image->width_px >= 1);
    assert(image->height_px >= 1);
    block = mem_try(ROWS, len);
    if (block == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for %d rows of %d px",
                       ROWS, image->width_px);
    for (size_t i = 0; i < ROWS; i++)
        rows[i] = block + i * len + SIDE;
    sum_up(grey_best(), image, rows, &sums);
    mem_free(block);
    mean = (double)sums.laplacian / count;
    out->blur = (double)sums.laplacian_squared / count - mean * mean;
    out->mean = (double)sums.level / count;
    out->dark_share = (double)sums.dark / count;
    out->bright_share = (double)sums.bright / count;
    return 0;
}

const char *quality_kernels(void)
{
    return grey_best()->name;
}
