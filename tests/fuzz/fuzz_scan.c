/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a JPEG whose rows go by, up to its end and only in part. What
 * the scan says of a file that also decodes must be what its pixels say. */
#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "image/decode.h"
#include "image/jpeg.h"
#include "image/quality.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* More than any image has. */
static const double never = 1e9;

static void compare(struct bytes file, double scanned)
{
    static const struct decode_options options = {
        .limits = {.side_min_px = 1, .side_max_px = 512, .pixels_max = 1 << 16},
    };
    struct image *image = NULL;
    struct quality quality;
    struct err err = {0};

    if (image_decode(file, &options, &image, &err) != 0)
        return;
    assert(quality_measure(image, &quality, &err) == 0);
    assert(fabs(quality.blur - scanned) <= 1e-9 * (1 + scanned));
    image_free(image);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct bytes file = {data, len};
    int width_px = 0, height_px = 0;
    struct err err = {0}, scan_err = {0};
    double whole = -1, part = -1;
    int rc;

    if (!jpeg_is_quick_to_scan(file))
        return 0;
    assert(jpeg_read_size(file, &width_px, &height_px, &err) == 0);
    if ((int64_t)width_px * height_px > 1 << 16)
        return 0;
    rc = quality_scan_blur(file, never, &whole, &scan_err);
    assert((rc == 0) == (scan_err.text[0] == '\0'));
    assert((rc == 0) == (whole >= 0));
    if (rc != 0)
        return 0;
    compare(file, whole);
    assert(quality_scan_blur(file, whole / 2, &part, &err) == 0);
    assert(part <= whole * (1 + 1e-9) && part >= whole / 2 * (1 - 1e-9));
    return 0;
}
