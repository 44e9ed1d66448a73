/* SPDX-License-Identifier: Apache-2.0 */
#include "image/fit.h"

#include <math.h>

static struct fit_side stretch(int target_len)
{
    return (struct fit_side){.resized_len = target_len, .len = target_len};
}

/* torchvision's center_crop: an image that is too small is padded, the odd
 * pixel after it; one that is too large is cut at round((size - target) / 2),
 * halves to even. */
static struct fit_side crop(int resized_len, int target_len)
{
    struct fit_side side = {.resized_len = resized_len};

    if (resized_len < target_len) {
        side.at = (target_len - resized_len) / 2;
        side.len = resized_len;
        return side;
    }
    side.from = (int)rint((resized_len - target_len) / 2.0);
    side.len = target_len;
    return side;
}

static int scaled(int len, int numerator, int denominator)
{
    return (int)((int64_t)len * numerator / denominator);
}

static struct fit_place place_crop(const struct transform *transform,
                                   int width_px, int height_px)
{
    struct fit_place place = {0};
    int short_side = transform->short_side_px;
    int width, height;

    if (short_side == 0)
        short_side = transform->width_px < transform->height_px
                         ? transform->width_px
                         : transform->height_px;
    if (width_px <= height_px) {
        width = short_side;
        height = scaled(height_px, short_side, width_px);
    } else {
        height = short_side;
        width = scaled(width_px, short_side, height_px);
    }
    place.columns = crop(width, transform->width_px);
    place.rows = crop(height, transform->height_px);
    return place;
}

/* The ratio that fits, sides and margins rounded as Ultralytics' LetterBox
 * does: half a pixel too many goes after the image. */
static struct fit_side letterbox(double ratio, int len, int target_len)
{
    struct fit_side side = {0};
    double resized = rint(len * ratio);

    side.resized_len = resized < 1.0 ? 1 : (int)resized;
    if (side.resized_len > target_len)
        side.resized_len = target_len;
    side.len = side.resized_len;
    side.at = (int)rint((target_len - side.len) / 2.0 - 0.1);
    return side;
}

struct fit_place fit_compute(const struct transform *transform, int width_px,
                             int height_px)
{
    struct fit_place place = {0};
    double ratio;

    switch (transform->fit) {
    case FIT_CROP:
        return place_crop(transform, width_px, height_px);
    case FIT_LETTERBOX:
        ratio = fmin((double)transform->width_px / width_px,
                     (double)transform->height_px / height_px);
        place.columns = letterbox(ratio, width_px, transform->width_px);
        place.rows = letterbox(ratio, height_px, transform->height_px);
        place.fill = transform->pad;
        return place;
    default:
        place.columns = stretch(transform->width_px);
        place.rows = stretch(transform->height_px);
        return place;
    }
}
