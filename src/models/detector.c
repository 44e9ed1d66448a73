/* SPDX-License-Identifier: Apache-2.0 */
#include "models/detector.h"

#include "base/file.h"
#include "base/mem.h"
#include "image/transform.h"
#include "infer/engine.h"

enum {
    SIDE_PRESET_PX = 640, /* where the graph leaves it free */
    SIDE_MIN_PX = 32,
    SIDE_MAX_PX = 4096,
    GREY = 114, /* around the image, as Ultralytics has it */
};

/* Ultralytics' preset for boxes of one class. */
static const float overlap_max = 0.7F;

struct detector {
    struct engine *engine;
    struct transform transform;
    struct boxes_layout layout;
    float score_min;
};

static int find_side(int64_t dim, int *out, struct err *err)
{
    if (dim < 0)
        dim = SIDE_PRESET_PX;
    if (dim < SIDE_MIN_PX || dim > SIDE_MAX_PX)
        return err_set(err, ERR_UNPROCESSABLE,
                       "the input has a side of %lld px; %d..%d are taken",
                       (long long)dim, SIDE_MIN_PX, SIDE_MAX_PX);
    *out = (int)dim;
    return 0;
}

static int find_input(struct detector *detector, struct err *err)
{
    const struct tensor_spec *spec = engine_input(detector->engine, 0);
    struct transform *transform = &detector->transform;
    int rc;

    if (engine_input_count(detector->engine) != 1 ||
        spec->type != TENSOR_FLOAT32 || spec->rank != 4 || spec->dims[1] != 3 ||
        (spec->dims[0] != 1 && spec->dims[0] != -1))
        return err_set(err, ERR_UNPROCESSABLE,
                       "its input must be one float32 [1, 3, height, width]");
    *transform = (struct transform){
        .filter = FILTER_BILINEAR,
        .fit = FIT_LETTERBOX,
        .pad = GREY,
        .layout = LAYOUT_NCHW,
        .scale = {1.0F / 255, 1.0F / 255, 1.0F / 255},
    };
    rc = find_side(spec->dims[2], &transform->height_px, err);
    if (rc)
        return rc;
    return find_side(spec->dims[3], &transform->width_px, err);
}

static int find_output(struct detector *detector, struct err *err)
{
    const struct tensor_spec *spec = engine_output(detector->engine, 0);

    if (spec->type != TENSOR_FLOAT32)
        return err_set(err, ERR_UNPROCESSABLE,
                       "its first output must be float32");
    return boxes_find_layout(
        spec->dims, spec->rank, detector->transform.width_px,
        detector->transform.height_px, &detector->layout, err);
}

static size_t output_count(const struct boxes_layout *layout)
{
    return (size_t)layout->anchor_count * ((size_t)layout->class_count + 4);
}

static int run_engine(const struct detector *detector, float *input,
                      float *output, struct err *err)
{
    const struct boxes_layout *layout = &detector->layout;
    const struct transform *transform = &detector->transform;
    struct tensor inputs[ENGINE_TENSORS_MAX] = {0};
    struct tensor outputs[ENGINE_TENSORS_MAX] = {0};
    int anchors_i = layout->is_transposed ? 1 : 2;

    inputs[0] = (struct tensor){
        .type = TENSOR_FLOAT32,
        .rank = 4,
        .dims = {1, 3, transform->height_px, transform->width_px},
        .data = input,
        .data_len = (size_t)transform->height_px * (size_t)transform->width_px *
                    3 * sizeof *input,
    };
    outputs[0] = (struct tensor){
        .type = TENSOR_FLOAT32,
        .rank = 3,
        .dims = {1, layout->class_count + 4, layout->class_count + 4},
        .data = output,
        .data_len = output_count(layout) * sizeof *output,
    };
    outputs[0].dims[anchors_i] = layout->anchor_count;
    return engine_run(detector->engine, inputs, outputs, err);
}

int detector_run(const struct detector *detector, const struct image *image,
                 struct box *boxes, int *out_count, struct err *err)
{
    const struct transform *transform = &detector->transform;
    size_t anchors = (size_t)detector->layout.anchor_count;
    size_t pixels = (size_t)transform->width_px * (size_t)transform->height_px;
    struct fit_place place =
        fit_compute(transform, image->width_px, image->height_px);
    float *input = mem_try_aligned(pixels, 3 * sizeof *input);
    float *output =
        mem_try_aligned(output_count(&detector->layout), sizeof *output);
    struct box *found = mem_try(anchors, sizeof *found);
    int count, kept = 0, rc = 0;

    if (input == NULL || output == NULL || found == NULL)
        rc = err_set(err, ERR_UNAVAILABLE, "no memory for a detector of %zu px",
                     pixels);
    if (rc == 0)
        rc = transform_run(transform, image, input, err);
    if (rc == 0)
        rc = run_engine(detector, input, output, err);
    if (rc)
        goto out;
    count = boxes_decode(&detector->layout, output, detector->score_min, found);
    count = boxes_suppress(found, count, overlap_max);
    for (int i = 0; i < count; i++)
        if (boxes_unfit(&place, image->width_px, image->height_px, &found[i]))
            boxes[kept++] = found[i];
    *out_count = kept;
out:
    mem_free(input);
    mem_free(output);
    mem_free(found);
    return rc;
}

/* Whether the graph runs at all, and takes its memory before a request does. */
static int try_once(const struct detector *detector, struct err *err)
{
    struct box *boxes = mem_try(BOXES_MAX, sizeof *boxes);
    struct image *image = NULL;
    int count, rc;

    if (boxes == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for %d boxes",
                       BOXES_MAX);
    rc = image_new(SIDE_MIN_PX, SIDE_MIN_PX, &image, err);
    if (rc == 0)
        rc = detector_run(detector, image, boxes, &count, err);
    image_free(image);
    mem_free(boxes);
    return rc;
}

static int open_detector(struct detector *detector, const char *path,
                         struct err *err)
{
    const struct engine_options options = {.thread_count = 1};
    int rc;

    if (!file_exists(path))
        return err_set(err, ERR_NOT_FOUND, "there is no such file");
    rc = engine_open(path, &options, &detector->engine, err);
    if (rc == 0)
        rc = find_input(detector, err);
    if (rc == 0)
        rc = find_output(detector, err);
    if (rc == 0)
        rc = try_once(detector, err);
    return rc;
}

int detector_open(const char *path, double score_min, struct detector **out,
                  struct err *err)
{
    struct detector *detector = mem_new(sizeof *detector);

    detector->score_min = (float)score_min;
    if (open_detector(detector, path, err) != 0) {
        detector_close(detector);
        return err_wrap(err, "detector '%s'", path);
    }
    *out = detector;
    return 0;
}

void detector_close(struct detector *detector)
{
    if (detector == NULL)
        return;
    engine_close(detector->engine);
    mem_free(detector);
}
