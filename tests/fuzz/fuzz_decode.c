/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an image file: full size and scaled, within small limits. HEIF
 * and AVIF are left out: libheif is a library as it comes, without coverage,
 * and some versions leak on damaged files. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "image/decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static volatile unsigned sum; /* keeps the compiler from dropping the reads */

/* Reads every pixel, so that one outside the block shows. */
static void visit(const struct image *image,
                  const struct decode_options *options)
{
    size_t len = (size_t)image->width_px * (size_t)image->height_px * 3;

    assert(image->source_width_px <= options->limits.side_max_px);
    assert(image->source_height_px <= options->limits.side_max_px);
    for (size_t i = 0; i < len; i++)
        sum += image->pixels[i];
}

static void decode(struct bytes file, const struct decode_options *options)
{
    struct image *image = NULL;
    struct err err = {0};
    int rc = image_decode(file, options, &image, &err);

    assert((rc == 0) == (image != NULL));
    assert((rc == 0) == (err.text[0] == '\0'));
    if (rc == 0)
        visit(image, options);
    image_free(image);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const struct decode_options whole = {
        .limits = {.side_min_px = 1, .side_max_px = 512, .pixels_max = 1 << 16},
    };
    static const struct decode_options scaled = {
        .limits = {.side_min_px = 1, .side_max_px = 512, .pixels_max = 1 << 16},
        .target_width_px = 5,
        .target_height_px = 3,
    };
    struct bytes file = {data, len};
    enum image_format format = image_sniff(file);

    if (format == IMAGE_HEIF || format == IMAGE_AVIF)
        return 0;
    decode(file, &whole);
    if (format == IMAGE_JPEG)
        decode(file, &scaled);
    return 0;
}
