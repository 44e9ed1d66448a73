/* SPDX-License-Identifier: Apache-2.0 */
#include "models/bundle.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "models/guess.h"

enum { GREY = 114 };

static size_t tensor_count(const struct transform *transform)
{
    return (size_t)transform->width_px * (size_t)transform->height_px * 3;
}

/* Has output i of the engine written to data, for one image. */
static void bind_output(const struct bundle *bundle, int i, int len,
                        float *data, struct tensor *outputs)
{
    const struct tensor_spec *spec = engine_output(bundle->engine, i);
    struct tensor *out = &outputs[i];

    *out = (struct tensor){.type = TENSOR_FLOAT32, .rank = spec->rank};
    memcpy(out->dims, spec->dims, sizeof out->dims);
    out->dims[0] = 1;
    out->data = data;
    out->data_len = (size_t)len * sizeof *data;
}

/* Runs the engine on a prepared input; raw has score_len floats. */
static int run_engine(const struct bundle *bundle, float *input, float *raw,
                      float *embedding, struct err *err)
{
    struct tensor inputs[ENGINE_TENSORS_MAX] = {0};
    struct tensor outputs[ENGINE_TENSORS_MAX] = {0};
    const struct transform *transform = &bundle->metadata.transform;
    struct tensor *in = &inputs[bundle->input_i];
    bool is_nchw = transform->layout == LAYOUT_NCHW;

    *in = (struct tensor){.type = TENSOR_FLOAT32, .rank = 4, .data = input};
    in->data_len = tensor_count(transform) * sizeof *input;
    in->dims[0] = 1;
    in->dims[is_nchw ? 1 : 3] = 3;
    in->dims[is_nchw ? 2 : 1] = transform->height_px;
    in->dims[is_nchw ? 3 : 2] = transform->width_px;
    bind_output(bundle, bundle->scores_i, bundle->score_len, raw, outputs);
    if (embedding != NULL && bundle->embedding_i >= 0)
        bind_output(bundle, bundle->embedding_i, bundle->embedding_len,
                    embedding, outputs);
    return engine_run(bundle->engine, inputs, outputs, err);
}

/* Softmax in double, shifted by the largest value so that exp cannot
 * overflow. */
static void softmax(float *scores, int count)
{
    double sum = 0, max = scores[0];
    int i;

    for (i = 1; i < count; i++)
        if (scores[i] > max)
            max = scores[i];
    for (i = 0; i < count; i++)
        sum += exp(scores[i] - max);
    for (i = 0; i < count; i++)
        scores[i] = (float)(exp(scores[i] - max) / sum);
}

/* Turns what the network gave into class_count probabilities, in place. */
static int finish_scores(const struct bundle *bundle, float *scores,
                         struct err *err)
{
    int i;

    if (bundle->metadata.activation == ACTIVATION_SOFTMAX)
        softmax(scores, bundle->score_len);
    if (bundle->metadata.activation == ACTIVATION_SIGMOID)
        for (i = 0; i < bundle->score_len; i++)
            scores[i] = (float)(1 / (1 + exp(-(double)scores[i])));
    if (bundle->score_len == 1) {
        scores[1] = scores[0];
        scores[0] = 1 - scores[1];
    }
    for (i = 0; i < bundle->class_count; i++)
        if (!isfinite(scores[i]))
            return err_set(err, ERR_INTERNAL,
                           "the network gave no finite score for class %d", i);
    return 0;
}

static int normalise(float *vector, int len, struct err *err)
{
    double sum = 0;
    float factor;
    int i;

    for (i = 0; i < len; i++)
        sum += (double)vector[i] * vector[i];
    if (!isfinite(sum))
        return err_set(err, ERR_INTERNAL,
                       "the network gave an embedding that is not finite");
    if (sum == 0)
        return 0;
    factor = (float)(1 / sqrt(sum));
    for (i = 0; i < len; i++)
        vector[i] *= factor;
    return 0;
}

int bundle_try(struct bundle *bundle, struct err *err)
{
    const struct transform *transform = &bundle->metadata.transform;
    size_t i, count = tensor_count(transform);
    float *input = mem_try_aligned(count, sizeof *input);
    float *raw = mem_try((size_t)bundle->class_count, sizeof *raw);
    float *embedding =
        mem_try((size_t)bundle->embedding_len + 1, sizeof *embedding);
    int rc = 0;

    if (input == NULL || raw == NULL || embedding == NULL)
        rc = err_set(err, ERR_UNAVAILABLE, "no memory for an input of %zu",
                     count);
    for (i = 0; rc == 0 && i < count; i++)
        input[i] = GREY * transform->scale[0] + transform->bias[0];
    if (rc == 0)
        rc = run_engine(bundle, input, raw, embedding, err);
    if (rc == 0)
        guess_activation(bundle, raw);
    mem_free(input);
    mem_free(raw);
    mem_free(embedding);
    return rc;
}

static int run(const struct bundle *bundle, const struct transform *transform,
               const struct image *image, float *scores, float *embedding,
               struct bundle_times *times, struct err *err)
{
    float *input = mem_try_aligned(tensor_count(transform), sizeof *input);
    int64_t begin_us = clock_us(), prepared_us;
    int rc;

    if (input == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for an input of %zu",
                       tensor_count(transform));
    rc = transform_run(transform, image, input, err);
    prepared_us = clock_us();
    if (rc == 0)
        rc = run_engine(bundle, input, scores, embedding, err);
    if (rc == 0)
        rc = finish_scores(bundle, scores, err);
    if (rc == 0 && embedding != NULL)
        rc = normalise(embedding, bundle->embedding_len, err);
    times->preprocess_us = prepared_us - begin_us;
    times->inference_us = clock_us() - prepared_us;
    mem_free(input);
    return rc;
}

int bundle_run(const struct bundle *bundle, const struct image *image,
               float *scores, float *embedding, struct bundle_times *times,
               struct err *err)
{
    return run(bundle, &bundle->metadata.transform, image, scores, embedding,
               times, err);
}

int bundle_run_prepared(const struct bundle *bundle, const struct image *image,
                        float *scores, float *embedding,
                        struct bundle_times *times, struct err *err)
{
    struct transform as_it_is = bundle->metadata.transform;

    assert(image->width_px == as_it_is.width_px);
    assert(image->height_px == as_it_is.height_px);
    as_it_is.fit = FIT_STRETCH;
    as_it_is.filter = FILTER_NEAREST;
    return run(bundle, &as_it_is, image, scores, embedding, times, err);
}

void bundle_rank(const struct bundle *bundle, const float *scores, int k,
                 struct bundle_class *out)
{
    int i, j, count = 0;

    assert(k >= 1 && k <= bundle->class_count);
    for (i = 0; i < bundle->class_count; i++) {
        if (count == k && scores[i] <= out[count - 1].score)
            continue;
        if (count < k)
            count++;
        for (j = count - 1; j > 0 && out[j - 1].score < scores[i]; j--)
            out[j] = out[j - 1];
        out[j] = (struct bundle_class){i, scores[i]};
    }
}
