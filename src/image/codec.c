/* SPDX-License-Identifier: Apache-2.0 */
#include "image/codec.h"

#include <inttypes.h>

#include "base/mem.h"

int codec_check(int64_t width_px, int64_t height_px,
                const struct image_limits *limits, struct err *err)
{
    int side_max_px = limits->side_max_px;

    if (side_max_px > CODEC_SIDE_MAX)
        side_max_px = CODEC_SIDE_MAX;
    if (width_px < 1 || height_px < 1 || width_px < limits->side_min_px ||
        height_px < limits->side_min_px || width_px > side_max_px ||
        height_px > side_max_px)
        return err_set(err, ERR_UNPROCESSABLE,
                       "image is %" PRId64 "x%" PRId64
                       " px; sides must be %d..%d px",
                       width_px, height_px, limits->side_min_px, side_max_px);
    if (width_px * height_px > limits->pixels_max)
        return err_set(err, ERR_UNPROCESSABLE,
                       "image is %" PRId64 "x%" PRId64 " px, %" PRId64
                       " pixels; at most %" PRId64 " are allowed",
                       width_px, height_px, width_px * height_px,
                       limits->pixels_max);
    return 0;
}

int codec_take_pixels(struct image *image, int width_px, int height_px,
                      struct err *err)
{
    image->width_px = width_px;
    image->height_px = height_px;
    image->pixels = mem_try_aligned((size_t)width_px * (size_t)height_px, 3);
    return image->pixels == NULL ? codec_no_memory(image, err) : 0;
}

int codec_begin(struct image *image, int64_t width_px, int64_t height_px,
                const struct image_limits *limits, struct err *err)
{
    int rc = codec_check(width_px, height_px, limits, err);

    if (rc)
        return rc;
    image->source_width_px = (int)width_px;
    image->source_height_px = (int)height_px;
    return codec_take_pixels(image, (int)width_px, (int)height_px, err);
}

int codec_damaged(const struct image *image, const char *what, struct err *err)
{
    return err_set(err, ERR_UNPROCESSABLE, "%s is damaged: %s",
                   image_format_name(image->format), what);
}

int codec_no_memory(const struct image *image, struct err *err)
{
    return err_set(err, ERR_UNAVAILABLE, "no memory for a %s of %dx%d px",
                   image_format_name(image->format), image->width_px,
                   image->height_px);
}

/* n / 255, rounded, exact for 0..65535. */
static uint8_t divide_by_255(unsigned n)
{
    n += 128;
    return (uint8_t)((n + (n >> 8)) >> 8);
}

void codec_over_white(const uint8_t *rgba, uint8_t *rgb, size_t count)
{
    for (size_t i = 0; i < count; i++, rgba += 4, rgb += 3) {
        unsigned alpha = rgba[3];
        unsigned white = 255 * (255 - alpha);

        rgb[0] = divide_by_255(rgba[0] * alpha + white);
        rgb[1] = divide_by_255(rgba[1] * alpha + white);
        rgb[2] = divide_by_255(rgba[2] * alpha + white);
    }
}
