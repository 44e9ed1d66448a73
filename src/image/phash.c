/* SPDX-License-Identifier: Apache-2.0 */
#include "image/phash.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "image/grey.h"
#include "image/transform.h"

enum { SIDE = 32, LOW = 8, BITS = LOW * LOW, STEPS = 1024 };

static const double pi = 3.14159265358979323846;

static int shrink(const struct image *image, uint8_t *grey, struct err *err)
{
    static const struct transform small = {
        .width_px = SIDE, .height_px = SIDE, .filter = FILTER_BOX};
    uint8_t pixels[SIDE * SIDE * 3];
    int rc = transform_pixels(&small, image, pixels, err);

    if (rc == 0)
        grey_best()->convert(pixels, SIDE * SIDE, grey);
    return rc;
}

/* The LOW lowest frequencies of the columns, then of the rows of those: DCT-II
 * without a norm, which the median does not need. Rounded, so that what is
 * nothing but rounding in an image of one colour is zero. */
static void transform_low(const uint8_t *grey, double *out)
{
    double waves[LOW][SIDE], columns[LOW][SIDE];
    int i, j, k;

    for (i = 0; i < LOW; i++)
        for (k = 0; k < SIDE; k++)
            waves[i][k] = cos(pi / SIDE * (k + 0.5) * i);
    memset(columns, 0, sizeof columns);
    for (i = 0; i < LOW; i++)
        for (k = 0; k < SIDE; k++)
            for (j = 0; j < SIDE; j++)
                columns[i][j] += waves[i][k] * grey[k * SIDE + j];
    for (i = 0; i < LOW; i++)
        for (j = 0; j < LOW; j++) {
            out[i * LOW + j] = 0;
            for (k = 0; k < SIDE; k++)
                out[i * LOW + j] += columns[i][k] * waves[j][k];
            out[i * LOW + j] = rint(out[i * LOW + j] * STEPS);
        }
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

int phash_compute(const struct image *image, uint64_t *out, struct err *err)
{
    double low[BITS], sorted[BITS], median;
    uint8_t grey[SIDE * SIDE];
    uint64_t hash = 0;
    int rc = shrink(image, grey, err);

    if (rc)
        return rc;
    transform_low(grey, low);
    memcpy(sorted, low, sizeof sorted);
    qsort(sorted, BITS, sizeof *sorted, compare);
    median = (sorted[BITS / 2 - 1] + sorted[BITS / 2]) / 2;
    for (int i = 0; i < BITS; i++)
        hash = hash << 1 | (low[i] > median);
    *out = hash;
    return 0;
}

int phash_distance(uint64_t a, uint64_t b)
{
    return __builtin_popcountll(a ^ b);
}
