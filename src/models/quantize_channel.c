/* SPDX-License-Identifier: Apache-2.0 */
/* Weights to int8, a scale per output channel.
 *
 * x86 processors without VNNI multiply 8-bit values in pairs (vpmaddubsw): two
 * activations of 0..255 times two weights, added into 16 bits with saturation.
 * ONNX Runtime's kernels use it, and two neighbouring weights of one sign that
 * together exceed 128 give wrong sums there: MobileNetV2 then agreed with its
 * float32 self on 60 % of photographs, against 91 % without saturation.
 * Keeping all weights in 7 bits avoids that and loses as much (50 %). So only
 * pairs that could exceed are made smaller, and the scale of a channel is the
 * one that costs the least squared error. The same file then gives the same
 * answers with VNNI and without.
 *
 * Pairs follow the order in which the kernels take weights: along input
 * channels first, then along the window. */
#include "models/quantize_graph.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

enum {
    LEVEL_MAX = 127,
    PAIR_MAX = 128, /* 255 * 128 is the most that 16 bits hold */
    CANDIDATES = 24,
};

/* Below this all weights of a channel are as good as zero. */
static const float scale_least = 1e-30f;

/* One channel's weights in the order of the kernels. */
struct channel {
    size_t count;
    float *weights;
    int8_t *levels;
    int8_t *best;
};

size_t quantize_weight_place(const struct onnx_tensor *weights, int axis,
                             size_t c, size_t i)
{
    size_t channels = (size_t)weights->dims[axis], window = 1, in;
    int d;

    if (axis == 1)
        return i * channels + c;
    in = (size_t)weights->dims[1];
    for (d = 2; d < weights->rank; d++)
        window *= (size_t)weights->dims[d];
    return (c * in + i % in) * window + i / in;
}

static int level_of(float weight, float scale)
{
    float level = rintf(weight / scale);

    return level > LEVEL_MAX    ? LEVEL_MAX
           : level < -LEVEL_MAX ? -LEVEL_MAX
                                : (int)level;
}

/* Takes the same from both of a pair that exceeds, the odd one from the
 * larger. */
static void calm_pair(int8_t *pair)
{
    int sign = pair[0] < 0 ? -1 : 1;
    int a = pair[0] * sign, b = pair[1] * sign, excess = a + b - PAIR_MAX;

    if (b < 0 || excess <= 0)
        return;
    a -= excess / 2 + (a >= b ? excess % 2 : 0);
    b = PAIR_MAX - a;
    pair[0] = (int8_t)(a * sign);
    pair[1] = (int8_t)(b * sign);
}

/* Fills levels; answers the squared error. */
static double try_scale(struct channel *channel, float scale, bool is_paired)
{
    double sum = 0;
    size_t i;

    for (i = 0; i < channel->count; i++)
        channel->levels[i] = (int8_t)level_of(channel->weights[i], scale);
    for (i = 0; is_paired && i + 1 < channel->count; i += 2)
        calm_pair(&channel->levels[i]);
    for (i = 0; i < channel->count; i++) {
        double off = channel->weights[i] - channel->levels[i] * (double)scale;

        sum += off * off;
    }
    return sum;
}

/* The scale at which the largest weight is LEVEL_MAX, and the one at which no
 * pair exceeds. */
static void bounds(const struct channel *channel, bool is_paired, float *least,
                   float *safe)
{
    float max = 0, pair_max = 0;
    size_t i;

    for (i = 0; i < channel->count; i++)
        max = fmaxf(max, fabsf(channel->weights[i]));
    for (i = 0; is_paired && i + 1 < channel->count; i += 2)
        if (channel->weights[i] * channel->weights[i + 1] > 0)
            pair_max = fmaxf(
                pair_max, fabsf(channel->weights[i] + channel->weights[i + 1]));
    *least = max / LEVEL_MAX;
    *safe = fmaxf(*least, pair_max / (PAIR_MAX - 1));
}

static float quantise_channel(struct channel *channel, bool is_paired,
                              float scale_min)
{
    float least, safe, best_scale = 0;
    double best = INFINITY;
    int i, steps;

    bounds(channel, is_paired, &least, &safe);
    least = fmaxf(least, scale_min);
    safe = fmaxf(safe, scale_min);
    if (!(least > scale_least))
        least = safe = 1;
    steps = safe > least ? CANDIDATES : 1;
    for (i = 0; i < steps; i++) {
        float scale =
            least + (safe - least) * (float)i / (float)(CANDIDATES - 1);
        double error = try_scale(channel, scale, is_paired);

        if (error >= best)
            continue;
        best = error;
        best_scale = scale;
        memcpy(channel->best, channel->levels, channel->count);
    }
    return best_scale;
}

static int take_memory(struct channel *channel, struct err *err)
{
    channel->weights = mem_try(channel->count, sizeof *channel->weights);
    channel->levels = mem_try(channel->count, 1);
    channel->best = mem_try(channel->count, 1);
    if (channel->weights == NULL || channel->levels == NULL ||
        channel->best == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for %zu weights",
                       channel->count);
    return 0;
}

static int check_finite(const struct onnx_tensor *weights, struct err *err)
{
    const float *from = weights->data;
    size_t i;

    for (i = 0; i < weights->data_len / sizeof *from; i++)
        if (!isfinite(from[i]))
            return err_set(err, ERR_UNPROCESSABLE,
                           "value %zu of weight '%s' is not finite", i,
                           weights->name);
    return 0;
}

int quantize_channels(const struct onnx_tensor *weights,
                      const struct quantize_weight_options *options,
                      int8_t *values, float *scales, struct err *err)
{
    size_t channels = (size_t)weights->dims[options->axis], c, i;
    size_t count = weights->data_len / sizeof(float);
    struct channel channel = {.count = channels > 0 ? count / channels : 0};
    const float *from = weights->data;
    int rc;

    rc = check_finite(weights, err);
    if (rc == 0)
        rc = take_memory(&channel, err);
    for (c = 0; rc == 0 && c < channels; c++) {
        for (i = 0; i < channel.count; i++)
            channel.weights[i] =
                from[quantize_weight_place(weights, options->axis, c, i)];
        scales[c] = quantise_channel(
            &channel, options->is_paired,
            options->scale_min != NULL ? options->scale_min[c] : 0);
        for (i = 0; i < channel.count; i++)
            values[quantize_weight_place(weights, options->axis, c, i)] =
                channel.best[i];
    }
    mem_free(channel.weights);
    mem_free(channel.levels);
    mem_free(channel.best);
    return rc;
}

static bool is_plain_gemm(const struct onnx_node *node)
{
    const struct onnx_attribute *alpha = onnx_find_attribute(node, "alpha");
    const struct onnx_attribute *beta = onnx_find_attribute(node, "beta");
    const struct onnx_attribute *turned = onnx_find_attribute(node, "transA");

    return (alpha == NULL || alpha->real == 1) &&
           (beta == NULL || beta->real == 1) &&
           (turned == NULL || turned->whole == 0);
}

const struct onnx_tensor *quantize_find_weights(const struct onnx_graph *graph,
                                                const struct onnx_node *node,
                                                int *axis)
{
    const struct onnx_attribute *turned = onnx_find_attribute(node, "transB");
    const struct onnx_tensor *weights;
    bool is_conv = strcmp(node->op, "Conv") == 0;
    bool is_gemm = strcmp(node->op, "Gemm") == 0;

    if (node->domain[0] != '\0' || node->input_count < 2 ||
        (!is_conv && !is_gemm && strcmp(node->op, "MatMul") != 0))
        return NULL;
    weights = onnx_find_tensor(graph, node->inputs[1]);
    if (weights == NULL || weights->type != ONNX_FLOAT ||
        weights->data_len == 0 || weights->rank != (is_conv ? 4 : 2) ||
        (is_gemm && !is_plain_gemm(node)) ||
        onnx_find_tensor(graph, node->inputs[0]) != NULL)
        return NULL;
    *axis =
        is_conv || (is_gemm && turned != NULL && turned->whole != 0) ? 0 : 1;
    return weights;
}
