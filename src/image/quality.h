/* SPDX-License-Identifier: Apache-2.0 */
/* How sharp and how well exposed an image is.
 *
 * The grey values are those of OpenCV's cvtColor(RGB2GRAY), to the last bit,
 * and the blur is the number of
 *
 *     cv2.Laplacian(grey, cv2.CV_64F).var()
 *
 * to the rounding of a double: the sums are whole numbers. It says something
 * of the full image only, for each halving of the sides changes it; turning
 * and mirroring do not. Stateless and thread-safe. */
#ifndef OLHO_IMAGE_QUALITY_H
#define OLHO_IMAGE_QUALITY_H

#include "base/err.h"
#include "image/decode.h"

/* Black and white of studio video (ITU-R BT.601): grey values up to the first
 * and from the second on show nothing. */
enum { QUALITY_BLACK = 16, QUALITY_WHITE = 235 };

struct quality {
    double blur;         /* variance of the Laplacian; small: blurred */
    double mean;         /* of the grey values, 0..255 */
    double dark_share;   /* of pixels up to QUALITY_BLACK, 0..1 */
    double bright_share; /* of pixels from QUALITY_WHITE on */
};

/* Reads each pixel once. ERR_UNAVAILABLE without memory for three rows. */
MUST_CHECK int quality_measure(const struct image *image, struct quality *out,
                               struct err *err);

/* The blur of a JPEG at full size, whatever scale it was decoded at: rows go by
 * without being kept, and it ends as soon as the blur cannot be below `enough`
 * any more; *out is then at least that, else it is the number itself. Most
 * photographs end in the first tenth. Takes what jpeg_is_quick_to_scan takes;
 * fails as image_decode does. */
MUST_CHECK int quality_scan_blur(struct bytes file, double enough, double *out,
                                 struct err *err);

/* The kernels in use: "avx2", "neon" or "c". */
const char *quality_kernels(void);

#endif
