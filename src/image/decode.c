/* SPDX-License-Identifier: Apache-2.0 */
#include "image/decode.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "image/codec.h"
#include "image/exif.h"
#include "image/orient.h"
#include "image/sniff.h"

static const struct codec *const codecs[IMAGE_FORMAT_COUNT] = {
    [IMAGE_JPEG] = &codec_jpeg, [IMAGE_PNG] = &codec_png,
    [IMAGE_WEBP] = &codec_webp, [IMAGE_GIF] = &codec_gif,
    [IMAGE_BMP] = &codec_bmp,   [IMAGE_HEIF] = &codec_heif,
    [IMAGE_AVIF] = &codec_avif,
};

const char *image_format_name(enum image_format format)
{
    return format < IMAGE_FORMAT_COUNT ? codecs[format]->name : "unknown";
}

const char *image_format_mime(enum image_format format)
{
    return format < IMAGE_FORMAT_COUNT ? codecs[format]->mime
                                       : "application/octet-stream";
}

const char *image_formats(void)
{
    return codec_heif.is_in ? "JPEG PNG WebP GIF BMP HEIF AVIF"
                            : "JPEG PNG WebP GIF BMP";
}

enum image_format image_sniff(struct bytes file)
{
    return sniff_image(file);
}

void image_free(struct image *image)
{
    if (image == NULL)
        return;
    mem_free(image->pixels);
    mem_free(image);
}

int image_new(int width_px, int height_px, struct image **out, struct err *err)
{
    struct image *image;

    if (width_px < 1 || height_px < 1 || width_px > CODEC_SIDE_MAX ||
        height_px > CODEC_SIDE_MAX)
        return err_set(err, ERR_INVALID,
                       "an image of %dx%d px is asked for; sides must be "
                       "1..%d px",
                       width_px, height_px, CODEC_SIDE_MAX);
    image = mem_new(sizeof(*image));
    image->pixels = mem_try((size_t)width_px * (size_t)height_px, 3);
    if (image->pixels == NULL) {
        image_free(image);
        return err_set(err, ERR_UNAVAILABLE, "no memory for %dx%d px", width_px,
                       height_px);
    }
    image->width_px = image->source_width_px = width_px;
    image->height_px = image->source_height_px = height_px;
    image->format = IMAGE_FORMAT_COUNT;
    *out = image;
    return 0;
}

static int find_format(struct bytes file, enum image_format *out,
                       struct err *err)
{
    const char *other;

    if (file.len == 0)
        return err_set(err, ERR_INVALID, "the image is empty (0 bytes)");
    *out = sniff_image(file);
    if (*out != IMAGE_FORMAT_COUNT)
        return 0;
    other = sniff_other(file);
    if (other != NULL)
        return err_set(err, ERR_MEDIA_TYPE,
                       "this looks like %s; the images read here are %s", other,
                       image_formats());
    return err_set(err, ERR_MEDIA_TYPE,
                   "this is no image in a known format; those read here "
                   "are %s",
                   image_formats());
}

/* The target as it lies in the file, before the picture is turned. */
static struct decode_options lie_down(const struct decode_options *options,
                                      int orientation)
{
    struct decode_options lying = *options;

    if (exif_swaps_sides(orientation)) {
        lying.target_width_px = options->target_height_px;
        lying.target_height_px = options->target_width_px;
    }
    return lying;
}

int image_decode(struct bytes file, const struct decode_options *options,
                 struct image **out, struct err *err)
{
    struct image *image;
    struct decode_options lying;
    enum image_format format;
    int orientation, rc;

    assert(options != NULL);
    rc = find_format(file, &format, err);
    if (rc)
        return rc;
    orientation = exif_orientation(file, format);
    lying = lie_down(options, orientation);
    image = mem_new(sizeof(*image));
    image->format = format;
    rc = codecs[format]->decode(file, &lying, image, err);
    if (!rc)
        rc = orient_run(image, orientation, err);
    if (rc) {
        image_free(image);
        return rc;
    }
    *out = image;
    return 0;
}
