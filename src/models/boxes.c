/* SPDX-License-Identifier: Apache-2.0 */
#include "models/boxes.h"

#include <math.h>
#include <stdlib.h>

enum { CORNERS = 4 }; /* values before the scores */

/* Cells of the three grids over an input. */
static int64_t expected_anchors(int width_px, int height_px)
{
    int64_t count = 0;

    for (int stride = 8; stride <= 32; stride *= 2)
        count += (int64_t)(width_px / stride) * (height_px / stride);
    return count;
}

static int describe(const struct boxes_layout *layout, int64_t anchors,
                    int64_t channels, struct boxes_layout *out, struct err *err)
{
    if (channels <= CORNERS || channels > CORNERS + BOXES_CLASSES_MAX)
        return err_set(err, ERR_UNPROCESSABLE,
                       "each anchor has %lld values; a YOLOv8 detector has 4 "
                       "and 1..%d classes",
                       (long long)channels, BOXES_CLASSES_MAX);
    if (anchors < 1 || anchors > BOXES_ANCHORS_MAX)
        return err_set(err, ERR_UNPROCESSABLE,
                       "the output has %lld anchors; 1..%d are read",
                       (long long)anchors, BOXES_ANCHORS_MAX);
    *out = *layout;
    out->anchor_count = (int)anchors;
    out->class_count = (int)(channels - CORNERS);
    return 0;
}

int boxes_find_layout(const int64_t *dims, int rank, int input_width_px,
                      int input_height_px, struct boxes_layout *out,
                      struct err *err)
{
    int64_t expected = expected_anchors(input_width_px, input_height_px);
    int64_t first, second;

    if (rank != 3 || (dims[0] != 1 && dims[0] != -1))
        return err_set(err, ERR_UNPROCESSABLE,
                       "the output has %d dimensions; [1, 4 + classes, "
                       "anchors] is read",
                       rank);
    first = dims[1] < 0 ? expected : dims[1];
    second = dims[2] < 0 ? expected : dims[2];
    if (dims[1] < 0 && dims[2] < 0)
        return err_set(err, ERR_UNPROCESSABLE,
                       "both of the output's last dimensions are free; one "
                       "must say 4 + classes");
    /* YOLOv5 has three anchors in each cell, and one value more for each. */
    if (first == 3 * expected || second == 3 * expected)
        return err_set(err, ERR_UNPROCESSABLE,
                       "the output has 3 anchors in each cell, as YOLOv5's; "
                       "YOLOv8's is read");
    if (second == expected || (first != expected && second >= first))
        return describe(&(struct boxes_layout){.is_transposed = false}, second,
                        first, out, err);
    return describe(&(struct boxes_layout){.is_transposed = true}, first,
                    second, out, err);
}

static int compare(const void *a, const void *b)
{
    const struct box *x = a, *y = b;

    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    if (x->left != y->left)
        return x->left < y->left ? -1 : 1;
    return (x->top > y->top) - (x->top < y->top);
}

int boxes_decode(const struct boxes_layout *layout, const float *values,
                 float score_min, struct box *out)
{
    size_t anchors = (size_t)layout->anchor_count;
    size_t channels = (size_t)layout->class_count + CORNERS;
    size_t anchor_step = layout->is_transposed ? channels : 1;
    size_t channel_step = layout->is_transposed ? 1 : anchors;
    int count = 0;

    for (size_t i = 0; i < anchors; i++) {
        const float *at = values + i * anchor_step;
        float cx = at[0], cy = at[channel_step];
        float w = at[2 * channel_step], h = at[3 * channel_step];
        struct box box = {.score = -1};

        for (int j = 0; j < layout->class_count; j++) {
            float score = at[(size_t)(CORNERS + j) * channel_step];

            if (isfinite(score) && score > box.score) {
                box.score = score;
                box.class_id = j;
            }
        }
        if (box.score < score_min || !isfinite(cx) || !isfinite(cy) ||
            !isfinite(w) || !isfinite(h) || w <= 0 || h <= 0)
            continue;
        box.left = cx - w / 2;
        box.top = cy - h / 2;
        box.right = cx + w / 2;
        box.bottom = cy + h / 2;
        out[count++] = box;
    }
    qsort(out, (size_t)count, sizeof *out, compare);
    return count;
}

/* In double: sides near the largest float have an area beyond it. */
static double area(const struct box *box)
{
    return ((double)box->right - box->left) * ((double)box->bottom - box->top);
}

static double overlap(const struct box *a, const struct box *b)
{
    double width = (double)fminf(a->right, b->right) - fmaxf(a->left, b->left);
    double height = (double)fminf(a->bottom, b->bottom) - fmaxf(a->top, b->top);
    double shared = width > 0 && height > 0 ? width * height : 0;

    return shared / (area(a) + area(b) - shared);
}

int boxes_suppress(struct box *boxes, int count, float overlap_max)
{
    int kept = 0;

    for (int i = 0; i < count && kept < BOXES_MAX; i++) {
        int j = 0;

        while (j < kept && (boxes[j].class_id != boxes[i].class_id ||
                            overlap(&boxes[j], &boxes[i]) <= overlap_max))
            j++;
        if (j == kept)
            boxes[kept++] = boxes[i];
    }
    return kept;
}

static float unfit(const struct fit_side *side, float value, int len)
{
    float back = (value - (float)side->at + (float)side->from) * (float)len /
                 (float)side->resized_len;

    return fminf(fmaxf(back, 0), (float)len);
}

bool boxes_unfit(const struct fit_place *place, int width_px, int height_px,
                 struct box *box)
{
    box->left = unfit(&place->columns, box->left, width_px);
    box->right = unfit(&place->columns, box->right, width_px);
    box->top = unfit(&place->rows, box->top, height_px);
    box->bottom = unfit(&place->rows, box->bottom, height_px);
    return box->right > box->left && box->bottom > box->top;
}
