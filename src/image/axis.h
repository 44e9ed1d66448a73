/* SPDX-License-Identifier: Apache-2.0 */
/* One axis of a resize: for each target position, the run of source positions
 * it reads and their weights. Seven of these tables make the seven filters.
 *
 * Thread-safe: an axis belongs to its caller. */
#ifndef OLHO_IMAGE_AXIS_H
#define OLHO_IMAGE_AXIS_H

#include <stdint.h>

enum axis_kind {
    AXIS_TRIANGLE,    /* Pillow BILINEAR, widened when shrinking */
    AXIS_CUBIC,       /* Pillow BICUBIC, the same */
    AXIS_BOX,         /* Pillow BOX, the same */
    AXIS_LINEAR,      /* two taps between pixel centres */
    AXIS_AREA,        /* the mean over the source pixels covered */
    AXIS_AREA_LINEAR, /* two taps as OpenCV INTER_AREA enlarges */
    AXIS_NEAREST,     /* one tap, by the centre */
    AXIS_CORNER,      /* one tap, by the left edge */
};

/* Fixed weights have this many bits after the point, as Pillow's. */
enum { AXIS_FIXED_BITS = 22 };

/* source_len positions are resized to resized_len, of which only
 * from..from+len-1 are wanted. All but from are at least 1. */
struct axis_plan {
    enum axis_kind kind;
    int source_len, resized_len;
    int from, len;
};

struct axis {
    int len;        /* of first and count */
    int taps_max;   /* weights per position, unused ones included */
    int *first;     /* the first source position read */
    int *count;     /* 1..taps_max positions are read */
    int32_t *fixed; /* len * taps_max, for the kinds of Pillow */
    float *weights; /* len * taps_max, for the other kinds */
};

/* An upper bound of the weights per position. */
int axis_taps_max(const struct axis_plan *plan);

/* Fills an axis whose len, taps_max and arrays the caller has set; `weights`
 * is not touched for Pillow's kinds, `fixed` not for the others. `row` is room
 * for taps_max doubles. */
void axis_fill(struct axis *axis, const struct axis_plan *plan, double *row);

#endif
