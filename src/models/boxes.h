/* SPDX-License-Identifier: Apache-2.0 */
/* What a detector of the YOLOv8 family gives, turned into boxes.
 *
 *     shape [1, 4 + classes, anchors]        channels first, as it is exported
 *        or [1, anchors, 4 + classes]        transposed
 *     cx cy w h                              in pixels of the network's input
 *     a score for each class                 0..1, no separate objectness
 *
 * Plain arithmetic; thread-safe. */
#ifndef OLHO_MODELS_BOXES_H
#define OLHO_MODELS_BOXES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "image/fit.h"

enum {
    BOXES_MAX = 300, /* kept, as Ultralytics' max_det has it */
    BOXES_CLASSES_MAX = 65536,
    BOXES_ANCHORS_MAX = 1 << 20,
};

/* How the values lie in memory. */
struct boxes_layout {
    int anchor_count, class_count;
    bool is_transposed; /* an anchor's values follow one another */
};

/* Finds the layout of an output; -1 is a free dimension. Which of the two
 * last dimensions counts the anchors is told by the number that an input of
 * that size has at strides 8, 16 and 32, else the larger one does.
 * ERR_UNPROCESSABLE says why it is none of these. */
MUST_CHECK int boxes_find_layout(const int64_t *dims, int rank,
                                 int input_width_px, int input_height_px,
                                 struct boxes_layout *out, struct err *err);

/* In pixels of the image, inside it, or of the input where that is said. */
struct box {
    float left, top, right, bottom;
    float score;
    int class_id;
};

/* Writes the anchors whose best class has at least score_min, best first, in
 * pixels of the input; out has anchor_count. Values that are not finite are
 * passed over. Returns how many. */
int boxes_decode(const struct boxes_layout *layout, const float *values,
                 float score_min, struct box *out);

/* Drops the boxes that overlap a better one of their class by more than
 * overlap_max (intersection over union, 0..1), and those after the first
 * BOXES_MAX. Returns how many are left. */
int boxes_suppress(struct box *boxes, int count, float overlap_max);

/* From pixels of the input to those of an image that was laid there, cut off
 * at its edges. False when nothing is left. */
bool boxes_unfit(const struct fit_place *place, int width_px, int height_px,
                 struct box *box);

#endif
