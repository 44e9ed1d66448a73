/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "models/onnx_edit.h"
#include "models/quantize_graph.h"

enum { ACTIVATION_MAX = 255 };

/* A bias in units of input scale times weight scale must fit into int32 with
 * room for the products that are added to it. */
static const float bias_level_max = 1 << 30;

/* Unsigned and with a zero point, since ONNX Runtime computes u8 times s8 1.6
 * times as fast as s8 times s8. Zero itself must be exact: borders are filled
 * with it. */
static void choose_scale(float min, float max, float *scale, int *zero)
{
    float low = fminf(min, 0), high = fmaxf(max, 0);

    *scale = (high - low) / ACTIVATION_MAX;
    if (!(*scale > 1e-30f))
        *scale = 1;
    *zero = (int)fminf(fmaxf(rintf(-low / *scale), 0), ACTIVATION_MAX);
}

static int choose_scales(struct quantize_plan *plan, struct err *err)
{
    int i, k;

    for (i = 0; i < plan->place_count; i++) {
        struct quantize_place *place = &plan->places[i];

        if (!isfinite(place->min) || !isfinite(place->max))
            return err_set(err, ERR_UNPROCESSABLE,
                           "value '%s' of the network is not finite on the "
                           "images",
                           place->name);
        k = place->group;
        plan->places[k].min = fminf(plan->places[k].min, place->min);
        plan->places[k].max = fmaxf(plan->places[k].max, place->max);
    }
    for (i = 0; i < plan->place_count; i++) {
        const struct quantize_place *group =
            &plan->places[plan->places[i].group];

        choose_scale(group->min, group->max, &plan->places[i].scale,
                     &plan->places[i].zero);
    }
    return 0;
}

/* Where an operator of quantised weights or values gets its numbers. */
struct parameters {
    char scale[ONNX_NAME_LEN], zero[ONNX_NAME_LEN];
};

static void add_parameters(struct onnx_graph *graph, const char *base,
                           float scale, int zero, struct parameters *out)
{
    uint8_t level = (uint8_t)zero;

    onnx_fresh_name(graph, base, "_scale", out->scale);
    onnx_add_tensor(graph, out->scale, ONNX_FLOAT, NULL, 0, &scale);
    onnx_fresh_name(graph, base, "_zero", out->zero);
    onnx_add_tensor(graph, out->zero, ONNX_UINT8, NULL, 0, &level);
}

/* Those who read a value in 8 bits, or who read what nobody else needs in
 * float32, read what DequantizeLinear gives. */
static void redirect(struct onnx_graph *graph, const struct quantize_plan *plan,
                     int node_count, const struct quantize_place *place)
{
    bool is_kept = onnx_is_graph_output(graph, place->name) ||
                   onnx_producer(graph, place->name) == NULL;
    int i, j;

    for (i = 0; i < node_count; i++) {
        struct onnx_node *node = graph->nodes[i];

        if (is_kept && plan->roles[i] == QUANTIZE_NOT)
            continue;
        for (j = 0; j < node->input_count; j++)
            if (strcmp(node->inputs[j], place->name) == 0)
                onnx_set_input(graph, node, j, place->restored);
    }
}

static void store_place(struct onnx_graph *graph, struct quantize_plan *plan,
                        int node_count, struct quantize_place *place)
{
    struct parameters parameters;
    char stored[ONNX_NAME_LEN], restored[ONNX_NAME_LEN];

    add_parameters(graph, place->name, place->scale, place->zero, &parameters);
    onnx_fresh_name(graph, place->name, "_u8", stored);
    onnx_fresh_name(graph, place->name, "_restored", restored);
    place->restored = mem_try(strlen(restored) + 1, 1);
    if (place->restored == NULL) {
        graph->is_broken = true;
        return;
    }
    memcpy(place->restored, restored, strlen(restored) + 1);
    redirect(graph, plan, node_count, place);
    onnx_add(graph, "QuantizeLinear", stored, place->name, parameters.scale,
             parameters.zero, NULL);
    onnx_add(graph, "DequantizeLinear", restored, stored, parameters.scale,
             parameters.zero, NULL);
}

/* A Relu or Clip whose output is stored in 8 bits: their range is within its
 * own, so the node before writes there itself. */
static void absorb_clamp(struct onnx_graph *graph, struct onnx_node *clamp)
{
    struct onnx_node *before = onnx_producer(graph, clamp->inputs[0]);

    if (before == NULL || onnx_use_count(graph, clamp->inputs[0]) != 1 ||
        strcmp(before->outputs[0], clamp->inputs[0]) != 0)
        return;
    clamp->is_removed = true;
    onnx_set_output(graph, before, clamp->outputs[0]);
}

/* --- weights -------------------------------------------------------------- */

struct heavy {
    struct onnx_node *node;
    const struct onnx_tensor *weights, *bias; /* bias: NULL for none */
    int axis;
    size_t channels;
    const struct quantize_place *place; /* of its input; NULL: weights only */
    int8_t *values;
    float *scales;   /* of the weights, by channel */
    int32_t *levels; /* of the bias */
};

/* Depthwise convolutions have kernels of their own, which add in 32 bits. */
static bool is_depthwise(const struct heavy *heavy)
{
    return heavy->weights->rank == 4 && heavy->weights->dims[1] == 1;
}

static void add_scales(struct onnx_graph *graph, const char *base,
                       const float *scales, size_t count, enum onnx_type type,
                       struct parameters *out)
{
    int64_t dims[1] = {(int64_t)count};

    onnx_fresh_name(graph, base, "_scale", out->scale);
    onnx_add_tensor(graph, out->scale, ONNX_FLOAT, dims, 1, scales);
    onnx_fresh_name(graph, base, "_zero", out->zero);
    onnx_add_tensor(graph, out->zero, type, dims, 1, NULL);
}

/* Stores values, and has input number i of the node read them restored. */
static void store_weights(struct onnx_graph *graph, struct onnx_node *node,
                          int i, const struct onnx_tensor *like,
                          enum onnx_type type, const void *values,
                          const float *scales, size_t count, int axis)
{
    char base[ONNX_NAME_LEN], stored[ONNX_NAME_LEN], restored[ONNX_NAME_LEN];
    struct parameters parameters;
    struct onnx_node *dequantize;

    snprintf(base, sizeof base, "%.*s", ONNX_TEXT_MAX, like->name);
    add_scales(graph, base, scales, count, type, &parameters);
    onnx_fresh_name(graph, base, "_stored", stored);
    onnx_add_tensor(graph, stored, type, like->dims, like->rank, values);
    onnx_fresh_name(graph, base, "_restored", restored);
    dequantize = onnx_add(graph, "DequantizeLinear", restored, stored,
                          parameters.scale, parameters.zero, NULL);
    onnx_set_int(graph, dequantize, "axis", axis);
    onnx_set_input(graph, node, i, restored);
}

static int take_memory(struct heavy *heavy, struct err *err)
{
    heavy->values = mem_try(heavy->weights->data_len / sizeof(float), 1);
    heavy->scales = mem_try(heavy->channels, sizeof *heavy->scales);
    heavy->levels = mem_try(heavy->channels, sizeof *heavy->levels);
    if (heavy->values == NULL || heavy->scales == NULL || heavy->levels == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for %zu weights",
                       heavy->weights->data_len / sizeof(float));
    return 0;
}

/* What the rounded weights of a channel add to its output on average: the
 * difference goes into the bias (Nagel et al., "Data-Free Quantization Through
 * Weight Equalization and Bias Correction", 2019). It restores most of what
 * calm pairs cost. */
static double find_shift(const struct heavy *heavy, size_t c)
{
    const struct quantize_place *place = heavy->place;
    size_t count = heavy->weights->data_len / sizeof(float) / heavy->channels;
    size_t ins = (size_t)heavy->weights->dims[1 - heavy->axis], i;
    size_t groups = (size_t)place->channel_count / ins;
    size_t first = c / (heavy->channels / groups) * ins;
    double shift = 0;

    for (i = 0; i < count; i++) {
        size_t k = quantize_weight_place(heavy->weights, heavy->axis, c, i);
        double restored = (double)heavy->values[k] * heavy->scales[c];

        shift += (((const float *)heavy->weights->data)[k] - restored) *
                 place->means[first + i % ins];
    }
    return shift;
}

/* Whether the means of the place are those of this node's channels. */
static bool has_means(const struct heavy *heavy)
{
    const struct quantize_place *place = heavy->place;
    int64_t ins = heavy->weights->dims[1 - heavy->axis];
    bool is_image = heavy->weights->rank == 4;

    return place->channel_count > 0 && place->is_image == is_image &&
           place->channel_count % ins == 0 &&
           (is_image || place->channel_count == ins) &&
           (int64_t)heavy->channels % (place->channel_count / ins) == 0;
}

static int quantise_values(struct heavy *heavy, struct err *err)
{
    struct quantize_weight_options options = {
        .axis = heavy->axis,
        .is_paired = !is_depthwise(heavy),
        .scale_min = heavy->scales,
    };
    const float *bias = heavy->bias != NULL ? heavy->bias->data : NULL;
    double in_scale = (double)heavy->place->scale;
    bool is_shifted = has_means(heavy);
    size_t c;
    int rc;

    for (c = 0; bias != NULL && c < heavy->channels; c++) {
        if (!isfinite(bias[c]))
            return err_set(err, ERR_UNPROCESSABLE,
                           "value %zu of weight '%s' is not finite", c,
                           heavy->bias->name);
        heavy->scales[c] =
            fabsf(bias[c]) / (heavy->place->scale * bias_level_max);
    }
    rc = quantize_channels(heavy->weights, &options, heavy->values,
                           heavy->scales, err);
    for (c = 0; rc == 0 && bias != NULL && c < heavy->channels; c++) {
        double shifted =
            (double)bias[c] + (is_shifted ? find_shift(heavy, c) : 0);

        heavy->levels[c] =
            (int32_t)lrint(shifted / (in_scale * (double)heavy->scales[c]));
    }
    return rc;
}

static void store_heavy(struct onnx_graph *graph, struct heavy *heavy)
{
    size_t c;

    store_weights(graph, heavy->node, 1, heavy->weights, ONNX_INT8,
                  heavy->values, heavy->scales, heavy->channels, heavy->axis);
    if (heavy->bias == NULL)
        return;
    for (c = 0; c < heavy->channels; c++)
        heavy->scales[c] *= heavy->place->scale;
    store_weights(graph, heavy->node, 2, heavy->bias, ONNX_INT32, heavy->levels,
                  heavy->scales, heavy->channels, 0);
}

/* A Conv or Gemm without a bias gets one, for find_shift. */
static void add_bias(struct onnx_graph *graph, struct heavy *heavy)
{
    int64_t count = (int64_t)heavy->channels;
    struct onnx_node *node = heavy->node;
    char name[ONNX_NAME_LEN];

    if (strcmp(node->op, "MatMul") == 0)
        return;
    if (node->input_count > 2 && node->inputs[2][0] != '\0') {
        heavy->bias = onnx_find_tensor(graph, node->inputs[2]);
        return;
    }
    onnx_fresh_name(graph, heavy->weights->name, "_bias", name);
    heavy->bias = onnx_add_tensor(graph, name, ONNX_FLOAT, &count, 1, NULL);
    if (node->input_count > 2)
        onnx_set_input(graph, node, 2, name);
    else
        onnx_add_input(graph, node, name);
}

/* place: of the node's input; NULL: weights only, and the bias stays. */
static int quantise_heavy(struct onnx_graph *graph, struct onnx_node *node,
                          const struct quantize_place *place, struct err *err)
{
    struct heavy heavy = {.node = node, .place = place};
    struct quantize_weight_options options = {.is_paired = false};
    int rc;

    heavy.weights = quantize_find_weights(graph, node, &heavy.axis);
    heavy.channels = (size_t)heavy.weights->dims[heavy.axis];
    options.axis = heavy.axis;
    if (place != NULL)
        add_bias(graph, &heavy);
    rc = take_memory(&heavy, err);
    if (rc == 0)
        rc = place != NULL ? quantise_values(&heavy, err)
                           : quantize_channels(heavy.weights, &options,
                                               heavy.values, heavy.scales, err);
    if (rc == 0)
        store_heavy(graph, &heavy);
    mem_free(heavy.values);
    mem_free(heavy.scales);
    mem_free(heavy.levels);
    return rc;
}

/* A factor or summand that is a weight. */
static void store_operands(struct onnx_graph *graph, struct onnx_node *node)
{
    int i;

    for (i = 0; i < node->input_count; i++) {
        const struct onnx_tensor *from =
            onnx_find_tensor(graph, node->inputs[i]);
        float min = 0, max = 0, scale;
        struct onnx_tensor *to;
        char name[ONNX_NAME_LEN], restored[ONNX_NAME_LEN];
        struct parameters parameters;
        size_t k, count;
        int zero;

        if (from == NULL)
            continue;
        count = from->data_len / sizeof(float);
        for (k = 0; k < count; k++) {
            min = fminf(min, ((const float *)from->data)[k]);
            max = fmaxf(max, ((const float *)from->data)[k]);
        }
        choose_scale(min, max, &scale, &zero);
        add_parameters(graph, from->name, scale, zero, &parameters);
        onnx_fresh_name(graph, from->name, "_stored", name);
        to = onnx_add_tensor(graph, name, ONNX_UINT8, from->dims, from->rank,
                             NULL);
        for (k = 0; to != NULL && k < count; k++)
            ((uint8_t *)to->data)[k] = (uint8_t)fminf(
                fmaxf(rintf(((const float *)from->data)[k] / scale) +
                          (float)zero,
                      0),
                ACTIVATION_MAX);
        onnx_fresh_name(graph, from->name, "_restored", restored);
        onnx_add(graph, "DequantizeLinear", restored, name, parameters.scale,
                 parameters.zero, NULL);
        onnx_set_input(graph, node, i, restored);
    }
}

static const struct quantize_place *
find_restored(const struct quantize_plan *plan, const char *restored)
{
    int i = 0;

    while (strcmp(plan->places[i].restored, restored) != 0)
        i++;
    return &plan->places[i];
}

int quantize_apply(struct onnx_graph *graph, struct quantize_plan *plan,
                   struct err *err)
{
    int node_count = graph->node_count, i, rc;

    rc = choose_scales(plan, err);
    if (rc)
        return rc;
    for (i = 0; i < node_count; i++)
        if (plan->roles[i] == QUANTIZE_CLAMP)
            absorb_clamp(graph, graph->nodes[i]);
    for (i = 0; i < plan->place_count; i++)
        store_place(graph, plan, node_count, &plan->places[i]);
    rc = onnx_check(graph, err);
    for (i = 0; rc == 0 && i < node_count; i++) {
        struct onnx_node *node = graph->nodes[i];

        if (plan->roles[i] == QUANTIZE_HEAVY)
            rc = quantise_heavy(graph, node,
                                find_restored(plan, node->inputs[0]), err);
        if (plan->roles[i] == QUANTIZE_LIGHT)
            store_operands(graph, node);
    }
    return rc ? rc : onnx_tidy(graph, err);
}

int quantize_weights(struct onnx_graph *graph, int *count, struct err *err)
{
    int node_count = graph->node_count, axis, i, rc = 0;

    *count = 0;
    for (i = 0; rc == 0 && i < node_count; i++) {
        struct onnx_node *node = graph->nodes[i];

        if (quantize_find_weights(graph, node, &axis) == NULL)
            continue;
        rc = quantise_heavy(graph, node, NULL, err);
        ++*count;
    }
    return rc ? rc : onnx_tidy(graph, err);
}
