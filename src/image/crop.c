/* SPDX-License-Identifier: Apache-2.0 */
#include "image/crop.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static int centre_len(int len, double share)
{
    int kept = (int)rint(len * share);

    return kept < 1 ? 1 : kept;
}

struct crop crop_centre(const struct image *image, double share)
{
    int width = centre_len(image->width_px, share);
    int height = centre_len(image->height_px, share);
    struct crop crop = {.left = (image->width_px - width) / 2,
                        .top = (image->height_px - height) / 2};

    assert(share >= 0 && share <= 1);
    crop.right = crop.left + width;
    crop.bottom = crop.top + height;
    return crop;
}

int crop_run(const struct image *image, const struct crop *crop,
             struct image **out, struct err *err)
{
    size_t row_len = (size_t)(crop->right - crop->left) * 3;
    struct image *part = NULL;
    int rc;

    assert(crop->left >= 0 && crop->left < crop->right);
    assert(crop->right <= image->width_px);
    assert(crop->top >= 0 && crop->top < crop->bottom);
    assert(crop->bottom <= image->height_px);
    rc = image_new(crop->right - crop->left, crop->bottom - crop->top, &part,
                   err);
    if (rc)
        return rc;
    for (int y = crop->top; y < crop->bottom; y++)
        memcpy(part->pixels + (size_t)(y - crop->top) * row_len,
               image->pixels +
                   ((size_t)y * (size_t)image->width_px + (size_t)crop->left) *
                       3,
               row_len);
    part->format = image->format;
    part->source_width_px = image->source_width_px;
    part->source_height_px = image->source_height_px;
    *out = part;
    return 0;
}
