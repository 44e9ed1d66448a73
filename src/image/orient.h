/* SPDX-License-Identifier: Apache-2.0 */
/* Turns and mirrors pixels as EXIF orientation 1..8 asks. Thread-safe. */
#ifndef OLHO_IMAGE_ORIENT_H
#define OLHO_IMAGE_ORIENT_H

#include "image/decode.h"

/* Brings image upright, its source sizes too. orientation: 1..8. After
 * ERR_UNAVAILABLE image is as it was. */
MUST_CHECK int orient_run(struct image *image, int orientation,
                          struct err *err);

#endif
