/* SPDX-License-Identifier: Apache-2.0 */
#include "apps/compute.h"

#include "apps/checks.h"
#include "base/clock.h"
#include "image/decode.h"
#include "obs/trace.h"

static int out_of_memory(struct err *err)
{
    return err_set(err, ERR_UNAVAILABLE, "no memory for an answer");
}

static int decode(const struct app *app, const struct transform *transform,
                  struct bytes file, struct image **out, struct err *err)
{
    const struct config *config = app->config;
    size_t len_max = (size_t)(config->image_size_max_mb * (1 << 20));
    struct decode_options options = {
        .limits = {(int)config->image_side_min_px,
                   (int)config->image_side_max_px,
                   (int64_t)(config->image_megapixels_max * 1e6)},
    };

    if (file.len > len_max)
        return err_set(err, ERR_TOO_LARGE,
                       "image has %zu bytes; at most %zu (MAX_IMAGE_SIZE_MB "
                       "%g) are taken",
                       file.len, len_max, config->image_size_max_mb);
    if (!config->is_decode_exact &&
        (app->checks == NULL || !checks_want_full_size(app->checks, file))) {
        options.target_width_px = transform->width_px;
        options.target_height_px = transform->height_px;
        if (transform->fit == FIT_CROP &&
            transform->short_side_px > transform->width_px)
            options.target_width_px = transform->short_side_px;
        if (transform->fit == FIT_CROP &&
            transform->short_side_px > transform->height_px)
            options.target_height_px = transform->short_side_px;
    }
    return image_decode(file, &options, out, err);
}

/* Runs the network and ranks its scores. */
static int run(const struct bundle *bundle, const struct image *image,
               int top_k, struct arena *arena, struct answer *answer,
               const float **out_scores, struct err *err)
{
    float *scores =
        arena_try(arena, (size_t)bundle->class_count, sizeof *scores);
    struct bundle_class *top = arena_try(arena, (size_t)top_k, sizeof *top);
    struct bundle_times times = {0};
    float *embedding = NULL;
    int64_t inference_us; /* when it began */
    int rc;

    if (bundle->embedding_len > 0) {
        embedding =
            arena_try(arena, (size_t)bundle->embedding_len, sizeof *embedding);
        if (embedding == NULL)
            return out_of_memory(err);
    }
    if (scores == NULL || top == NULL)
        return out_of_memory(err);
    rc = bundle_run(bundle, image, scores, embedding, &times, err);
    if (rc)
        return rc;
    bundle_rank(bundle, scores, top_k, top);
    *out_scores = scores;
    answer->top = top;
    answer->top_count = top_k;
    answer->embedding = embedding;
    answer->times.preprocess_us = times.preprocess_us;
    answer->times.inference_us = times.inference_us;
    inference_us = clock_us() - times.inference_us;
    trace_phase("preprocess", inference_us - times.preprocess_us, inference_us);
    trace_phase("inference", inference_us, inference_us + times.inference_us);
    return 0;
}

/* The checks, then the network on what they leave of the image. */
static int judge_image(const struct app *app, const struct bundle *bundle,
                       const struct check_input *input,
                       const struct classify_options *options,
                       struct arena *arena, struct answer *answer,
                       struct err *err)
{
    const struct image *image = input->image;
    struct image *crop = NULL;
    const float *scores = NULL;
    int64_t begin_us = clock_us();
    int rc = 0;

    if (app->checks != NULL) {
        rc = checks_run(app->checks, input, arena, &answer->checks, &crop, err);
        trace_phase("checks", begin_us, clock_us());
    }
    if (rc == 0 && options->deadline_us != 0 &&
        clock_us() > options->deadline_us)
        rc = err_set(err, ERR_TIMEOUT,
                     "the deadline passed before the network ran");
    if (rc == 0)
        rc = run(bundle, crop != NULL ? crop : image, options->top_k, arena,
                 answer, &scores, err);
    if (rc == 0 && app->checks != NULL)
        rc = checks_doubt(app->checks, bundle, crop != NULL ? crop : image,
                          scores, arena, &answer->checks, err);
    image_free(crop);
    return rc;
}

int compute_answer(const struct app *app, const struct bundle *bundle,
                   struct bytes file, const struct classify_options *options,
                   struct arena *arena, struct answer *answer, struct err *err)
{
    struct check_input input = {.file = file,
                                .request_id = options->request_id};
    int64_t begin_us = clock_us();
    struct image *image = NULL;
    int rc;

    rc = decode(app, &bundle->metadata.transform, file, &image, err);
    if (rc)
        return rc;
    answer->times.decode_us = clock_us() - begin_us;
    trace_phase("decode", begin_us, begin_us + answer->times.decode_us);
    answer->width_px = image->source_width_px;
    answer->height_px = image->source_height_px;
    input.image = image;
    rc = judge_image(app, bundle, &input, options, arena, answer, err);
    image_free(image);
    return rc;
}
