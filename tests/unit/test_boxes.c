/* SPDX-License-Identifier: Apache-2.0 */
/* What a detector's output says, against plain Python
 * (tools/make_boxes_reference.py). */
#include "test.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "image/transform.h"
#include "models/boxes.h"

struct golden {
    int image_width_px, image_height_px, input_width_px, input_height_px;
    struct boxes_layout layout;
    uint32_t seed;
    float score_min, overlap_max;
    int count;
};

static bool read_case(const char *line, struct golden *out)
{
    int transposed = 0;
    int count = sscanf(
        line, "case %d %d %d %d %d %d %d %u %f %f %d", &out->image_width_px,
        &out->image_height_px, &out->input_width_px, &out->input_height_px,
        &out->layout.class_count, &out->layout.anchor_count, &transposed,
        &out->seed, &out->score_min, &out->overlap_max, &out->count);

    out->layout.is_transposed = transposed != 0;
    return count == 11;
}

/* 24 random bits as a fraction, as the script has them. */
static float draw(uint32_t *state)
{
    *state = *state * 1664525 + 1013904223;
    return (float)(*state >> 8) / 16777216.0F;
}

static float *make_values(const struct golden *golden)
{
    size_t channels = (size_t)golden->layout.class_count + 4;
    size_t anchors = (size_t)golden->layout.anchor_count;
    float *values = mem_try(channels * anchors, sizeof *values);
    uint32_t state = golden->seed;

    CHECK(values != NULL);
    for (size_t i = 0; i < anchors; i++)
        for (size_t j = 0; j < channels; j++) {
            float value = draw(&state);

            if (j < 4)
                value *= j < 2 ? 512 : 256;
            values[golden->layout.is_transposed ? i * channels + j
                                                : j * anchors + i] = value;
        }
    return values;
}

static int find_boxes(const struct golden *golden, struct box *out)
{
    const struct transform transform = {
        .width_px = golden->input_width_px,
        .height_px = golden->input_height_px,
        .fit = FIT_LETTERBOX,
    };
    struct fit_place place = fit_compute(&transform, golden->image_width_px,
                                         golden->image_height_px);
    float *values = make_values(golden);
    int i, kept = 0, count;

    count = boxes_decode(&golden->layout, values, golden->score_min, out);
    count = boxes_suppress(out, count, golden->overlap_max);
    for (i = 0; i < count; i++)
        if (boxes_unfit(&place, golden->image_width_px, golden->image_height_px,
                        &out[i]))
            out[kept++] = out[i];
    mem_free(values);
    return kept;
}

static void compare_box(const struct box *got, const char *line)
{
    struct box want = {0};

    CHECK_INT(sscanf(line, "box %d %f %f %f %f %f", &want.class_id, &want.score,
                     &want.left, &want.top, &want.right, &want.bottom),
              6);
    CHECK_INT(got->class_id, want.class_id);
    CHECK_NEAR(got->score, want.score, 1e-7);
    CHECK_NEAR(got->left, want.left, 1e-2);
    CHECK_NEAR(got->top, want.top, 1e-2);
    CHECK_NEAR(got->right, want.right, 1e-2);
    CHECK_NEAR(got->bottom, want.bottom, 1e-2);
}

TEST(boxes_are_those_of_plain_python)
{
    FILE *file = fopen(test_data("detector/reference.txt"), "r");
    struct golden golden = {0};
    int cases = 0, count = 0, next = 0;
    struct box *boxes = mem_try(8400, sizeof *boxes);
    char line[512];

    CHECK(file != NULL);
    CHECK(boxes != NULL);
    while (fgets(line, sizeof line, file) != NULL) {
        if (line[0] == '#')
            continue;
        if (strncmp(line, "box", 3) == 0) {
            CHECK(next < count);
            compare_box(&boxes[next++], line);
            continue;
        }
        CHECK_INT(next, count);
        CHECK(read_case(line, &golden));
        count = find_boxes(&golden, boxes);
        CHECK_INT(count, golden.count);
        next = 0;
        cases++;
    }
    CHECK_INT(next, count);
    CHECK(cases >= 9);
    mem_free(boxes);
    fclose(file);
}

TEST(boxes_find_the_layout_of_an_output)
{
    static const struct {
        int64_t dims[3];
        int side_px, anchors, classes;
        bool is_transposed;
    } cases[] = {
        {{1, 84, 8400}, 640, 8400, 80, false},
        {{1, 8400, 84}, 640, 8400, 80, true},
        {{-1, 84, -1}, 640, 8400, 80, false},
        {{1, -1, 84}, 640, 8400, 80, true},
        {{1, 6, 84}, 64, 84, 2, false},
        {{1, 84, 6}, 64, 84, 2, true},
        /* Fewer anchors than values for each: told by the grid alone. */
        {{1, 84, 21}, 32, 21, 80, false},
        {{1, 21, 84}, 32, 21, 80, true},
        /* No grid that we know: the larger side. */
        {{1, 5, 100}, 640, 100, 1, false},
        {{1, 100, 5}, 640, 100, 1, true},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct boxes_layout layout = {0};
        struct err err = {0};

        CHECK_OK(boxes_find_layout(cases[i].dims, 3, cases[i].side_px,
                                   cases[i].side_px, &layout, &err),
                 err);
        CHECK_INT(layout.anchor_count, cases[i].anchors);
        CHECK_INT(layout.class_count, cases[i].classes);
        CHECK_INT(layout.is_transposed, cases[i].is_transposed);
    }
}

TEST(boxes_refuse_an_output_of_another_kind)
{
    static const struct {
        int64_t dims[4];
        int rank;
        const char *part;
    } cases[] = {
        {{1, 84}, 2, "2 dimensions"},
        {{1, 84, 8400, 1}, 4, "4 dimensions"},
        {{2, 84, 8400}, 3, "3 dimensions"},
        {{1, -1, -1}, 3, "free"},
        {{1, 25200, 85}, 3, "YOLOv5"},
        {{1, 85, 25200}, 3, "YOLOv5"},
        {{1, 4, 8400}, 3, "4 values"},
        {{1, 70000, 8400}, 3, "70000 values"},
        {{1, 5, 2000000}, 3, "2000000 anchors"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct boxes_layout layout = {.anchor_count = 7};
        struct err err = {0};

        CHECK_ERR(boxes_find_layout(cases[i].dims, cases[i].rank, 640, 640,
                                    &layout, &err),
                  ERR_UNPROCESSABLE);
        CHECK_HAS(err.text, cases[i].part);
        CHECK_INT(layout.anchor_count, 7);
    }
}

TEST(boxes_pass_over_values_that_are_not_finite)
{
    static const struct boxes_layout layout = {
        .anchor_count = 5, .class_count = 1, .is_transposed = true};
    const float values[] = {
        NAN,  1, 2, 2,        0.9F, /**/
        1,    1, 2, INFINITY, 0.9F, /**/
        1,    1, 2, 2,        NAN,  /**/
        1,    1, 0, 2,        0.9F, /**/
        5.0F, 5, 2, 4.0F,     0.5F,
    };
    struct box boxes[5];

    CHECK_INT(boxes_decode(&layout, values, 0.25F, boxes), 1);
    CHECK(boxes[0].left == 4);
    CHECK(boxes[0].top == 3);
    CHECK(boxes[0].right == 6);
    CHECK(boxes[0].bottom == 7);
}

TEST(boxes_of_other_classes_do_not_suppress_each_other)
{
    struct box boxes[] = {
        {0, 0, 10, 10, 0.9F, 0},
        {0, 0, 10, 10, 0.8F, 1},
        {0, 0, 10, 9, 0.7F, 0},
        {0, 0, 10, 4, 0.6F, 0},
    };

    CHECK_INT(boxes_suppress(boxes, 4, 0.7F), 3);
    CHECK_INT(boxes[1].class_id, 1);
    CHECK(boxes[2].bottom == 4);
}
