/* SPDX-License-Identifier: Apache-2.0 */
/* The image goes by once, row by row. Three rows of grey are kept, each with
 * one pixel before and after it, mirrored as OpenCV does by default
 * (BORDER_REFLECT_101: the edge itself is not repeated). */
#include "image/quality.h"

#include <assert.h>

#include "base/mem.h"
#include "image/grey.h"
#include "image/jpeg.h"

enum { ROWS = 3, SIDE = 32 }; /* bytes before and after a row of grey */

/* What has gone by so far. */
struct meter {
    const struct grey_kernels *kernels;
    uint8_t *block, *rows[ROWS]; /* block is owned; row y is rows[y % ROWS] */
    int width_px;
    int64_t row_count;
    struct grey_sums sums;
};

static int begin(struct meter *meter, int width_px, struct err *err)
{
    size_t len = (size_t)width_px + 2 * (size_t)SIDE;

    *meter = (struct meter){.kernels = grey_best(), .width_px = width_px};
    meter->block = mem_try(ROWS, len);
    if (meter->block == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for %d rows of %d px",
                       ROWS, width_px);
    for (size_t i = 0; i < ROWS; i++)
        meter->rows[i] = meter->block + i * len + SIDE;
    return 0;
}

static void sum_row(struct meter *meter, int64_t above, int64_t y,
                    int64_t below)
{
    meter->kernels->laplace(meter->rows[above % ROWS], meter->rows[y % ROWS],
                            meter->rows[below % ROWS], meter->width_px,
                            &meter->sums);
}

/* Takes the next row, which completes the neighbours of the one before. */
static void add_row(struct meter *meter, const uint8_t *rgb)
{
    int width = meter->width_px;
    int64_t y = meter->row_count++;
    uint8_t *grey = meter->rows[y % ROWS];

    meter->kernels->convert(rgb, width, grey);
    meter->kernels->count(grey, width, &meter->sums);
    grey[-1] = grey[width > 1 ? 1 : 0];
    grey[width] = grey[width > 1 ? width - 2 : 0];
    if (y == 1)
        sum_row(meter, 1, 0, 1);
    else if (y > 1)
        sum_row(meter, y - 2, y - 1, y);
}

static void add_last_row(struct meter *meter)
{
    int64_t y = meter->row_count - 1;
    int64_t before = y > 0 ? y - 1 : 0;

    sum_row(meter, before, y, before);
}

/* Sum of the squared differences from the mean over `count` pixels. */
static double spread(const struct grey_sums *sums, double count)
{
    double sum = (double)sums->laplacian;

    return (double)sums->laplacian_squared - sum * sum / count;
}

int quality_measure(const struct image *image, struct quality *out,
                    struct err *err)
{
    size_t row_len = (size_t)image->width_px * 3;
    double count = (double)image->width_px * image->height_px;
    struct meter meter;
    int rc;

    assert(image->width_px >= 1);
    assert(image->height_px >= 1);
    rc = begin(&meter, image->width_px, err);
    if (rc)
        return rc;
    for (int y = 0; y < image->height_px; y++)
        add_row(&meter, image->pixels + row_len * (size_t)y);
    add_last_row(&meter);
    mem_free(meter.block);
    out->blur = spread(&meter.sums, count) / count;
    out->mean = (double)meter.sums.level / count;
    out->dark_share = (double)meter.sums.dark / count;
    out->bright_share = (double)meter.sums.bright / count;
    return 0;
}

/* The spread of a part is never more than that of the whole: each pixel adds
 * its own square, and the part's mean is where its squares are least. So once
 * the rows that have gone by spread as far as the whole must, it does. */
struct scan {
    struct meter meter;
    double enough; /* spread of the whole */
    bool is_enough;
};

static bool take_row(void *state, const uint8_t *rgb)
{
    struct scan *scan = state;
    struct meter *meter = &scan->meter;
    double count;

    add_row(meter, rgb);
    count = (double)(meter->row_count - 1) * meter->width_px;
    scan->is_enough = count > 0 && spread(&meter->sums, count) >= scan->enough;
    return !scan->is_enough;
}

int quality_scan_blur(struct bytes file, double enough, double *out,
                      struct err *err)
{
    struct scan scan = {0};
    int width_px, height_px, rc;
    double count;

    rc = jpeg_read_size(file, &width_px, &height_px, err);
    if (rc == 0)
        rc = begin(&scan.meter, width_px, err);
    if (rc)
        return rc;
    count = (double)width_px * height_px;
    scan.enough = enough * count;
    rc = jpeg_scan_rows(file, take_row, &scan, err);
    if (rc == 0 && !scan.is_enough)
        add_last_row(&scan.meter);
    mem_free(scan.meter.block);
    if (rc == 0)
        *out = spread(&scan.meter.sums, count) / count;
    return rc;
}

const char *quality_kernels(void)
{
    return grey_best()->name;
}
