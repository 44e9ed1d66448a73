/* SPDX-License-Identifier: Apache-2.0 */
#include "image/axis.h"

#include <math.h>
#include <string.h>

/* The windows and the arithmetic of Pillow's precompute_coeffs, term by term:
 * equal weights are the condition for equal pixels. */
static double triangle(double x)
{
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

static double cubic(double x)
{
    const double a = -0.5;

    x = fabs(x);
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < 2.0)
        return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
}

static double box(double x)
{
    return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;
}

static const struct {
    double (*weight)(double x);
    double support;
} pillow[] = {
    [AXIS_TRIANGLE] = {triangle, 1.0},
    [AXIS_CUBIC] = {cubic, 2.0},
    [AXIS_BOX] = {box, 0.5},
};

static double widening(const struct axis_plan *plan)
{
    double scale = (double)plan->source_len / plan->resized_len;

    return scale < 1.0 ? 1.0 : scale;
}

int axis_taps_max(const struct axis_plan *plan)
{
    double taps;

    switch (plan->kind) {
    case AXIS_TRIANGLE:
    case AXIS_CUBIC:
    case AXIS_BOX:
        taps = ceil(pillow[plan->kind].support * widening(plan)) * 2 + 1;
        break;
    case AXIS_AREA:
        taps = ceil(widening(plan)) + 2;
        break;
    case AXIS_LINEAR:
    case AXIS_AREA_LINEAR:
        taps = 2;
        break;
    default:
        taps = 1;
    }
    return taps < plan->source_len ? (int)taps : plan->source_len;
}

static int32_t to_fixed(double weight)
{
    double scaled = weight * (1 << AXIS_FIXED_BITS);

    return (int32_t)(weight < 0 ? scaled - 0.5 : scaled + 0.5);
}

/* Weights that round to nothing at either end are left out. */
static void store_fixed(struct axis *axis, int i, int first, int count,
                        const double *row)
{
    int32_t *fixed = axis->fixed + (size_t)i * (size_t)axis->taps_max;
    int zeros = 0;

    for (int tap = 0; tap < count; tap++)
        fixed[tap] = to_fixed(row[tap]);
    while (count > 1 && fixed[count - 1] == 0)
        count--;
    while (zeros < count - 1 && fixed[zeros] == 0)
        zeros++;
    if (zeros > 0)
        memmove(fixed, fixed + zeros, (size_t)(count - zeros) * sizeof *fixed);
    axis->first[i] = first + zeros;
    axis->count[i] = count - zeros;
}

static void fill_pillow(struct axis *axis, const struct axis_plan *plan,
                        double *row)
{
    const double scale = (double)plan->source_len / plan->resized_len;
    const double wide = widening(plan), narrow = 1.0 / wide;
    const double support = pillow[plan->kind].support * wide;

    for (int i = 0; i < plan->len; i++) {
        double centre = (plan->from + i + 0.5) * scale;
        int first = (int)(centre - support + 0.5);
        int end = (int)(centre + support + 0.5);
        double sum = 0.0;

        if (first < 0)
            first = 0;
        if (end > plan->source_len)
            end = plan->source_len;
        for (int tap = 0; tap < end - first; tap++) {
            row[tap] = pillow[plan->kind].weight((tap + first - centre + 0.5) *
                                                 narrow);
            sum += row[tap];
        }
        for (int tap = 0; tap < end - first && sum != 0.0; tap++)
            row[tap] /= sum;
        store_fixed(axis, i, first, end - first, row);
    }
}

static void store_pair(struct axis *axis, const struct axis_plan *plan, int i,
                       int first, double part)
{
    float *weights = axis->weights + (size_t)i * (size_t)axis->taps_max;

    if (first < 0) {
        first = 0;
        part = 0.0;
    }
    if (first >= plan->source_len - 1) {
        first = plan->source_len - 1;
        part = 0.0;
    }
    axis->first[i] = first;
    axis->count[i] = part > 0.0 ? 2 : 1;
    weights[0] = (float)(1.0 - part);
    if (part > 0.0)
        weights[1] = (float)part;
}

static void fill_linear(struct axis *axis, const struct axis_plan *plan)
{
    const double scale = (double)plan->source_len / plan->resized_len;

    for (int i = 0; i < plan->len; i++) {
        double place = (plan->from + i + 0.5) * scale - 0.5;
        double left = floor(place);

        store_pair(axis, plan, i, (int)left, place - left);
    }
}

/* When it enlarges, INTER_AREA blends only in the target pixels that an edge
 * between two source pixels crosses. */
static void fill_area_linear(struct axis *axis, const struct axis_plan *plan)
{
    const double scale = (double)plan->source_len / plan->resized_len;
    const double shrink = (double)plan->resized_len / plan->source_len;

    for (int i = 0; i < plan->len; i++) {
        int left = (int)floor((plan->from + i) * scale);
        float part = (float)((plan->from + i + 1) - (left + 1) * shrink);

        part = part <= 0 ? 0.0F : part - floorf(part);
        store_pair(axis, plan, i, left, part);
    }
}

/* The cells of OpenCV's computeResizeAreaTab, slivers under 1/1000 dropped. */
static void fill_area(struct axis *axis, const struct axis_plan *plan)
{
    const double scale = (double)plan->source_len / plan->resized_len;
    const double sliver = 1e-3;

    for (int i = 0; i < plan->len; i++) {
        float *weights = axis->weights + (size_t)i * (size_t)axis->taps_max;
        double from = (plan->from + i) * scale, to = from + scale;
        double width = fmin(scale, plan->source_len - from);
        int end = (int)fmin(floor(to), plan->source_len - 1);
        int start = (int)fmin(ceil(from), end);
        int count = 0;

        axis->first[i] = start;
        if (start - from > sliver) {
            axis->first[i] = start - 1;
            weights[count++] = (float)((start - from) / width);
        }
        for (int at = start; at < end; at++)
            weights[count++] = (float)(1.0 / width);
        if (to - end > sliver)
            weights[count++] =
                (float)(fmin(fmin(to - end, 1.0), width) / width);
        axis->count[i] = count;
    }
}

static void fill_nearest(struct axis *axis, const struct axis_plan *plan)
{
    /* Pillow steps from the first centre; the sum of its roundings decides
     * where a centre falls on an edge, so the steps are taken here as well. */
    const double scale = (double)plan->source_len / plan->resized_len;
    double place = scale * 0.5;

    for (int i = 0; i < plan->from; i++)
        place += scale;
    for (int i = 0; i < plan->len; i++, place += scale) {
        int at = (int)place;

        axis->first[i] = at < plan->source_len ? at : plan->source_len - 1;
        axis->count[i] = 1;
        axis->weights[(size_t)i * (size_t)axis->taps_max] = 1.0F;
    }
}

static void fill_corner(struct axis *axis, const struct axis_plan *plan)
{
    const double scale = 1.0 / ((double)plan->resized_len / plan->source_len);

    for (int i = 0; i < plan->len; i++) {
        int at = (int)floor((plan->from + i) * scale);

        axis->first[i] = at < plan->source_len ? at : plan->source_len - 1;
        axis->count[i] = 1;
        axis->weights[(size_t)i * (size_t)axis->taps_max] = 1.0F;
    }
}

void axis_fill(struct axis *axis, const struct axis_plan *plan, double *row)
{
    switch (plan->kind) {
    case AXIS_TRIANGLE:
    case AXIS_CUBIC:
    case AXIS_BOX:
        fill_pillow(axis, plan, row);
        break;
    case AXIS_LINEAR:
        fill_linear(axis, plan);
        break;
    case AXIS_AREA:
        fill_area(axis, plan);
        break;
    case AXIS_AREA_LINEAR:
        fill_area_linear(axis, plan);
        break;
    case AXIS_NEAREST:
        fill_nearest(axis, plan);
        break;
    case AXIS_CORNER:
        fill_corner(axis, plan);
        break;
    }
}
