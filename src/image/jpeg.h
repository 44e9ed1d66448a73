/* SPDX-License-Identifier: Apache-2.0 */
/* A JPEG at full size, row by row, for those who need not keep it.
 * Stateless and thread-safe. */
#ifndef OLHO_IMAGE_JPEG_H
#define OLHO_IMAGE_JPEG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/* Whether rows can be had one after the other as the file is read: a JPEG of
 * one scan, grey or of three colours. Of the others every scan must be read
 * before the first row is known. False when it is no JPEG. */
bool jpeg_is_quick_to_scan(struct bytes file);

/* The sides as the file lies, before EXIF turns it. Fails as image_decode. */
MUST_CHECK int jpeg_read_size(struct bytes file, int *out_width_px,
                              int *out_height_px, struct err *err);

/* Takes one row of RGB; false: no more are wanted. */
typedef bool jpeg_row_fn(void *state, const uint8_t *rgb);

/* Decodes a file that is quick to scan, handing over its rows from above.
 * Fails as image_decode does, and with ERR_UNSUPPORTED for four inks; what is
 * damaged after the last row that was wanted is not noticed. */
MUST_CHECK int jpeg_scan_rows(struct bytes file, jpeg_row_fn *row, void *state,
                              struct err *err);

#endif
