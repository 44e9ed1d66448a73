/* SPDX-License-Identifier: Apache-2.0 */
/* The watched network gives the least and largest value of each place for one
 * image, in one output; the widest range over the images is kept. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "models/quantize_run.h"

struct calibration {
    const struct bundle *bundle;
    struct engine *engine;
    int ranges_i; /* of the engine's outputs */
    struct quantize_plan *plan;
    float *input, *ranges;
    size_t count; /* of images */
};

static size_t input_count(const struct transform *transform)
{
    return (size_t)transform->width_px * (size_t)transform->height_px * 3;
}

static int run_engine(struct calibration *calibration, struct err *err)
{
    const struct transform *transform =
        &calibration->bundle->metadata.transform;
    struct tensor inputs[ENGINE_TENSORS_MAX] = {0};
    struct tensor outputs[ENGINE_TENSORS_MAX] = {0};
    struct tensor *in = &inputs[calibration->bundle->input_i];
    struct tensor *out = &outputs[calibration->ranges_i];
    bool is_nchw = transform->layout == LAYOUT_NCHW;

    *in = (struct tensor){.type = TENSOR_FLOAT32, .rank = 4};
    in->data = calibration->input;
    in->data_len = input_count(transform) * sizeof(float);
    in->dims[0] = 1;
    in->dims[is_nchw ? 1 : 3] = 3;
    in->dims[is_nchw ? 2 : 1] = transform->height_px;
    in->dims[is_nchw ? 3 : 2] = transform->width_px;
    *out = (struct tensor){.type = TENSOR_FLOAT32, .rank = 1};
    out->data = calibration->ranges;
    out->dims[0] = (int64_t)quantize_watched_count(calibration->plan);
    out->data_len = (size_t)out->dims[0] * sizeof(float);
    return engine_run(calibration->engine, inputs, outputs, err);
}

static int take_bounds(struct calibration *calibration,
                       struct quantize_place *place, const float *bounds,
                       struct err *err)
{
    if (!isfinite(bounds[0]) || !isfinite(bounds[1]))
        return err_set(err, ERR_UNPROCESSABLE,
                       "value '%s' of the network is not finite on an image",
                       place->name);
    if (calibration->count == 0 || bounds[0] < place->min)
        place->min = bounds[0];
    if (calibration->count == 0 || bounds[1] > place->max)
        place->max = bounds[1];
    return 0;
}

/* The mean so far moves by its share of what the new image adds. */
static const float *take_means(const struct calibration *calibration,
                               struct quantize_place *place, const float *means)
{
    int i;

    for (i = 0; i < place->channel_count; i++)
        place->means[i] +=
            (means[i] - place->means[i]) / (float)(calibration->count + 1);
    return means + place->channel_count;
}

static int take_image(void *user, const struct image *image, struct err *err)
{
    struct calibration *calibration = user;
    struct quantize_plan *plan = calibration->plan;
    const float *means = calibration->ranges + 2 * (size_t)plan->place_count;
    int i, rc;

    rc = transform_run(&calibration->bundle->metadata.transform, image,
                       calibration->input, err);
    if (rc == 0)
        rc = run_engine(calibration, err);
    for (i = 0; rc == 0 && i < plan->place_count; i++) {
        rc = take_bounds(calibration, &plan->places[i],
                         &calibration->ranges[2 * (size_t)i], err);
        means = take_means(calibration, &plan->places[i], means);
    }
    calibration->count++;
    return rc;
}

static int write_all(int file, struct bytes data, struct err *err)
{
    size_t done = 0;

    while (done < data.len) {
        ssize_t put = write(file, data.data + done, data.len - done);

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return err_set(err, ERR_UNAVAILABLE,
                           "no memory for a network of %zu bytes", data.len);
        done += (size_t)put;
    }
    return 0;
}

/* Through a file that is only in memory, since an engine opens a path. */
static int open_engine(const struct onnx_graph *graph, struct engine **out,
                       struct err *err)
{
    struct engine_options options = {.thread_count = 1};
    struct buf packed;
    char path[64];
    int file = -1, rc;

    buf_init(&packed, ONNX_FILE_LEN_MAX);
    rc = onnx_write_bytes(graph, &packed, err);
    if (rc)
        goto out;
    file = memfd_create("network", MFD_CLOEXEC);
    if (file < 0) {
        rc = err_set(err, ERR_UNAVAILABLE,
                     "no memory for a network of %zu bytes", packed.len);
        goto out;
    }
    rc = write_all(file, buf_bytes(&packed), err);
    buf_release(&packed);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    if (rc == 0)
        rc = engine_open(path, &options, out, err);
out:
    buf_release(&packed);
    if (file >= 0)
        close(file);
    return rc;
}

static int find_ranges(struct calibration *calibration, struct err *err)
{
    int i;

    for (i = 0; i < engine_output_count(calibration->engine); i++)
        if (strcmp(engine_output(calibration->engine, i)->name,
                   QUANTIZE_RANGES) == 0) {
            calibration->ranges_i = i;
            return 0;
        }
    return err_set(err, ERR_INTERNAL, "the watched network has no output '%s'",
                   QUANTIZE_RANGES);
}

int quantize_calibrate(const struct onnx_graph *watched,
                       const struct bundle *bundle,
                       struct quantize_images *images,
                       struct quantize_plan *plan, size_t *count,
                       struct err *err)
{
    const struct transform *transform = &bundle->metadata.transform;
    struct calibration calibration = {.bundle = bundle, .plan = plan};
    int rc;

    calibration.input = mem_try_aligned(input_count(transform), sizeof(float));
    calibration.ranges = mem_try(quantize_watched_count(plan), sizeof(float));
    if (calibration.input == NULL || calibration.ranges == NULL)
        rc = err_set(err, ERR_UNAVAILABLE, "no memory for an input of %zu",
                     input_count(transform));
    else
        rc = open_engine(watched, &calibration.engine, err);
    if (rc == 0)
        rc = find_ranges(&calibration, err);
    if (rc == 0)
        rc = quantize_images_run(images, HALF_CALIBRATES, transform, take_image,
                                 &calibration, err);
    if (rc == 0 && calibration.count < QUANTIZE_IMAGES_MIN / 2)
        rc = err_set(err, ERR_INVALID,
                     "only %zu of the images that calibrate can be read; at "
                     "least %d are needed",
                     calibration.count, QUANTIZE_IMAGES_MIN / 2);
    *count = calibration.count;
    engine_close(calibration.engine);
    mem_free(calibration.input);
    mem_free(calibration.ranges);
    return rc;
}
