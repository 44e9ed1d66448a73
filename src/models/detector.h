/* SPDX-License-Identifier: Apache-2.0 */
/* An object detector of the YOLOv8 family in an ONNX file: one image input,
 * letterboxed as Ultralytics does, one output as boxes.h has it.
 *
 * Read-only after detector_open: any number of threads may run it at once. */
#ifndef OLHO_MODELS_DETECTOR_H
#define OLHO_MODELS_DETECTOR_H

#include "base/err.h"
#include "image/decode.h"
#include "models/boxes.h"

struct detector;

/* Loads the file and runs it once. score_min is the least score of a box.
 * ERR_NOT_FOUND: no such file; ERR_UNPROCESSABLE says why it is no detector
 * that we can read. The caller owns *out and ends it with detector_close. */
MUST_CHECK int detector_open(const char *path, double score_min,
                             struct detector **out, struct err *err);
void detector_close(struct detector *detector); /* NULL is allowed */

/* Writes the boxes in the image, best first, after non-maximum suppression of
 * each class; boxes has BOXES_MAX. Blocks. */
MUST_CHECK int detector_run(const struct detector *detector,
                            const struct image *image, struct box *boxes,
                            int *out_count, struct err *err);

#endif
