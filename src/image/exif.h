/* SPDX-License-Identifier: Apache-2.0 */
/* The orientation that a camera noted in a file's EXIF data (EXIF 2.32, tag
 * 0x0112): in a JPEG's APP1 segment, a PNG's eXIf or a WebP's EXIF chunk.
 *
 * Stateless and thread-safe. */
#ifndef OLHO_IMAGE_EXIF_H
#define OLHO_IMAGE_EXIF_H

#include "base/buf.h"
#include "image/decode.h"

/* 1..8 as EXIF numbers them; 1 (upright) when there is no EXIF data, when it
 * is broken, or when the format keeps none. Reads nothing outside file. */
int exif_orientation(struct bytes file, enum image_format format);

/* Whether that orientation exchanges width and height. */
bool exif_swaps_sides(int orientation);

/* The orientation in a TIFF block, which is what EXIF data is. */
int exif_read_tiff(struct bytes tiff);

#endif
