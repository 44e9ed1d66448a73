/* SPDX-License-Identifier: Apache-2.0 */
#include "image/squeeze.h"

#include <math.h>

#include "base/buf.h"
#include "image/encode.h"

enum {
    FILE_LEN_ROOM = 64 << 10, /* for the headers and a last chunk */
    SIDE_MAX_PX = 65500,      /* of a JPEG */
};

static const double degree = 3.14159265358979323846 / 180;

int squeeze_jpeg(const struct image *image, int quality, struct image **out,
                 struct err *err)
{
    const struct decode_options options = {
        .limits = {1, SIDE_MAX_PX, (int64_t)SIDE_MAX_PX * SIDE_MAX_PX}};
    struct buf file;
    int rc;

    /* Noise at the best quality is about as long as its pixels. */
    buf_init(&file, (size_t)image->width_px * (size_t)image->height_px * 6 +
                        FILE_LEN_ROOM);
    rc = image_encode_jpeg(image, quality, &file, err);
    if (rc == 0)
        rc = image_decode(buf_bytes(&file), &options, out, err);
    buf_release(&file);
    return rc;
}

static uint8_t least(uint8_t a, uint8_t b)
{
    return a < b ? a : b;
}

static uint8_t greatest(uint8_t a, uint8_t b)
{
    return a > b ? a : b;
}

/* The sum of all but the least and the greatest. */
static uint8_t median_of(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
    uint8_t low = least(least(a, b), least(c, d));
    uint8_t high = greatest(greatest(a, b), greatest(c, d));

    return (uint8_t)((a + b + c + d - low - high + 1) / 2);
}

int squeeze_median(const struct image *image, struct image **out,
                   struct err *err)
{
    size_t row_len = (size_t)image->width_px * 3;
    struct image *squeezed = NULL;
    int rc;

    rc = image_new(image->width_px, image->height_px, &squeezed, err);
    if (rc)
        return rc;
    for (int y = 0; y < image->height_px; y++) {
        int before = y > 0 ? y - 1 : image->height_px > 1;
        const uint8_t *row = image->pixels + row_len * (size_t)y;
        const uint8_t *above = image->pixels + row_len * (size_t)before;
        uint8_t *target = squeezed->pixels + row_len * (size_t)y;

        for (size_t i = 0; i < row_len; i++) {
            size_t left = i >= 3 ? i - 3 : row_len > 3 ? i + 3 : i;

            target[i] = median_of(row[i], row[left], above[i], above[left]);
        }
    }
    *out = squeezed;
    return 0;
}

/* The two pixels around a place on a side, and the share of the second. */
struct between {
    int first, second;
    double share;
};

static struct between look(double place, int len)
{
    struct between between;

    place = fmin(fmax(place, 0), len - 1);
    between.first = (int)place;
    between.second =
        between.first + 1 < len ? between.first + 1 : between.first;
    between.share = place - between.first;
    return between;
}

static double mix(double first, double second, double share)
{
    return first * (1 - share) + second * share;
}

static void sample(const struct image *image, struct between x,
                   struct between y, uint8_t *out)
{
    size_t row_len = (size_t)image->width_px * 3;
    const uint8_t *above = image->pixels + row_len * (size_t)y.first;
    const uint8_t *below = image->pixels + row_len * (size_t)y.second;
    size_t left = (size_t)x.first * 3, right = (size_t)x.second * 3;

    for (size_t i = 0; i < 3; i++)
        out[i] = (uint8_t)(mix(mix(above[left + i], above[right + i], x.share),
                               mix(below[left + i], below[right + i], x.share),
                               y.share) +
                           0.5);
}

int squeeze_rotate(const struct image *image, double degrees,
                   struct image **out, struct err *err)
{
    double along = cos(degrees * degree), across = sin(degrees * degree);
    double centre_x = (image->width_px - 1) / 2.0;
    double centre_y = (image->height_px - 1) / 2.0;
    struct image *turned = NULL;
    uint8_t *pixel;
    int x, y, rc;

    rc = image_new(image->width_px, image->height_px, &turned, err);
    if (rc)
        return rc;
    pixel = turned->pixels;
    for (y = 0; y < image->height_px; y++)
        for (x = 0; x < image->width_px; x++, pixel += 3) {
            double dx = x - centre_x, dy = y - centre_y;

            sample(image,
                   look(along * dx + across * dy + centre_x, image->width_px),
                   look(-across * dx + along * dy + centre_y, image->height_px),
                   pixel);
        }
    *out = turned;
    return 0;
}
