/* SPDX-License-Identifier: Apache-2.0 */
#include "apps/classify.h"

#include <assert.h>

#include "base/clock.h"
#include "image/decode.h"
#include "obs/metrics.h"

static double seconds(int64_t us)
{
    return (double)us / 1e6;
}

static int out_of_memory(struct err *err)
{
    return err_set(err, ERR_UNAVAILABLE, "no memory for an answer");
}

static int decode(const struct config *config,
                  const struct transform *transform, struct bytes file,
                  struct image **out, struct err *err)
{
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
    if (!config->is_decode_exact) {
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

/* A broken index does not take the class away from the answer; the answer
 * says that nothing was searched. */
static int add_similar(const struct model_version *version, int k,
                       struct arena *arena, struct answer *answer,
                       struct err *err)
{
    int64_t begin_us = clock_us();
    struct err search_err = {0};
    struct neighbour *hits = NULL;
    int rc;

    if (k == 0 || answer->embedding == NULL)
        return 0;
    rc = collection_search(version->collection, answer->embedding,
                           version->bundle->embedding_len, k, NULL, arena,
                           &hits, &answer->hit_count, NULL, &search_err);
    answer->times.search_us = clock_us() - begin_us;
    metrics_observe(METRIC_PHASE_SECONDS, "search", NULL,
                    seconds(answer->times.search_us));
    answer->hits = hits;
    if (rc == 0)
        return 0;
    answer->hit_count = 0;
    answer->index_error = arena_printf(arena, "%s", search_err.text);
    return answer->index_error != NULL ? 0 : out_of_memory(err);
}

static void judge(const struct config *config, struct answer *answer)
{
    float score = answer->top[0].score;

    answer->is_undefined =
        (config->undefined_below > 0 && score < config->undefined_below) ||
        (config->undefined_distance_above > 0 && answer->hit_count > 0 &&
         answer->hits[0].distance > config->undefined_distance_above);
    answer->is_accepted =
        !answer->is_undefined && score >= config->confidence_min;
    metrics_add(METRIC_PREDICTIONS, answer->bundle->metadata.version,
                answer->is_accepted ? "true" : "false", 1);
    metrics_observe(METRIC_CONFIDENCE, answer->bundle->metadata.version, NULL,
                    score);
}

/* Runs the network and ranks its scores. */
static int run(const struct bundle *bundle, const struct image *image,
               int top_k, struct arena *arena, struct answer *answer,
               struct err *err)
{
    float *scores =
        arena_try(arena, (size_t)bundle->class_count, sizeof *scores);
    struct bundle_class *top = arena_try(arena, (size_t)top_k, sizeof *top);
    struct bundle_times times = {0};
    float *embedding = NULL;
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
    answer->bundle = bundle;
    answer->top = top;
    answer->top_count = top_k;
    answer->embedding = embedding;
    answer->times.preprocess_us = times.preprocess_us;
    answer->times.inference_us = times.inference_us;
    metrics_observe(METRIC_PHASE_SECONDS, "preprocess", NULL,
                    seconds(times.preprocess_us));
    metrics_observe(METRIC_PHASE_SECONDS, "inference", NULL,
                    seconds(times.inference_us));
    return 0;
}

static int classify(const struct app *app, const struct model_version *version,
                    struct bytes file, const struct classify_options *options,
                    struct arena *arena, struct answer *out, struct err *err)
{
    struct image *image = NULL;
    struct answer answer = {0};
    int64_t begin_us = clock_us();
    int rc;

    rc = decode(app->config, &version->bundle->metadata.transform, file, &image,
                err);
    if (rc)
        return rc;
    answer.times.decode_us = clock_us() - begin_us;
    metrics_observe(METRIC_PHASE_SECONDS, "decode", NULL,
                    seconds(answer.times.decode_us));
    answer.width_px = image->source_width_px;
    answer.height_px = image->source_height_px;
    if (options->deadline_us != 0 && clock_us() > options->deadline_us)
        rc = err_set(err, ERR_TIMEOUT,
                     "the deadline passed before the network ran");
    if (rc == 0)
        rc = run(version->bundle, image, options->top_k, arena, &answer, err);
    image_free(image);
    if (rc == 0)
        rc = add_similar(version, options->similar_k, arena, &answer, err);
    if (rc)
        return rc;
    judge(app->config, &answer);
    *out = answer;
    return 0;
}

int classify_image(const struct app *app, const struct model_version *version,
                   struct bytes file, const struct classify_options *options,
                   struct arena *arena, struct answer *out, struct err *err)
{
    int rc;

    assert(options->top_k >= 1 &&
           options->top_k <= version->bundle->class_count);
    engine_enter(version->bundle->engine);
    rc = classify(app, version, file, options, arena, out, err);
    engine_leave(version->bundle->engine);
    return rc;
}
