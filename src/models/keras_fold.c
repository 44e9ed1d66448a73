/* SPDX-License-Identifier: Apache-2.0 */
/* What training needed and answering does not: batch norms become part of the
 * weights before them, zero padding part of the convolution after it. */
#include <math.h>
#include <string.h>

#include "models/keras_build.h"
#include "models/onnx_edit.h"

enum { BATCH_NORM_INPUTS = 5, PLANE_PADS = 8 };

static const char *input_of(const struct onnx_node *node, int i)
{
    return i < node->input_count ? node->inputs[i] : "";
}

static const struct onnx_tensor *weight_of(const struct onnx_graph *graph,
                                           const struct onnx_node *node, int i)
{
    return onnx_find_tensor(graph, input_of(node, i));
}

/* Pad of the sides only, with zeros, read by this convolution only. */
static const int64_t *side_pads(const struct onnx_graph *graph,
                                const struct onnx_node *pad)
{
    const struct onnx_tensor *sizes, *fill;
    const int64_t *pads;
    float zero;

    if (pad == NULL || pad->is_removed || strcmp(pad->op, "Pad") != 0 ||
        onnx_use_count(graph, pad->outputs[0]) != 1)
        return NULL;
    sizes = weight_of(graph, pad, 1);
    fill = weight_of(graph, pad, 2);
    if (sizes == NULL || fill == NULL ||
        sizes->data_len != PLANE_PADS * sizeof *pads ||
        fill->data_len != sizeof zero)
        return NULL;
    memcpy(&zero, fill->data, sizeof zero);
    pads = sizes->data;
    return zero == 0 && pads[0] == 0 && pads[1] == 0 && pads[4] == 0 &&
                   pads[5] == 0
               ? pads
               : NULL;
}

static void fold_padding(struct onnx_graph *graph, struct onnx_node *conv)
{
    struct onnx_node *pad = onnx_producer(graph, conv->inputs[0]);
    const struct onnx_attribute *own = onnx_find_attribute(conv, "pads");
    const int64_t *pads = side_pads(graph, pad);
    int64_t sum[4];
    int i;

    if (pads == NULL || own == NULL || own->count != 4)
        return;
    for (i = 0; i < 4; i++)
        sum[i] = own->wholes[i] + pads[i < 2 ? i + 2 : i + 4];
    onnx_set_ints(graph, conv, "pads", sum, 4);
    onnx_set_input(graph, conv, 0, pad->inputs[0]);
    pad->is_removed = true;
}

/* The four vectors of a batch norm and what they come to: y = factor * x +
 * term. False when they are not all there. */
struct norm {
    const float *gamma, *beta, *mean, *variance;
    int64_t count;
    double epsilon;
};

static bool read_norm(const struct onnx_graph *graph,
                      const struct onnx_node *node, struct norm *out)
{
    const struct onnx_attribute *epsilon = onnx_find_attribute(node, "epsilon");
    const struct onnx_tensor *tensors[4];
    int i;

    if (node->input_count != BATCH_NORM_INPUTS || epsilon == NULL)
        return false;
    for (i = 0; i < 4; i++) {
        tensors[i] = weight_of(graph, node, i + 1);
        if (tensors[i] == NULL || tensors[i]->rank != 1)
            return false;
    }
    out->gamma = tensors[0]->data;
    out->beta = tensors[1]->data;
    out->mean = tensors[2]->data;
    out->variance = tensors[3]->data;
    out->count = tensors[0]->dims[0];
    out->epsilon = (double)epsilon->real;
    return true;
}

static double factor_of(const struct norm *norm, int64_t i)
{
    return norm->gamma[i] / sqrt((double)norm->variance[i] + norm->epsilon);
}

/* Multiplies the weights of each output: rows of a convolution's kernel,
 * columns of a Gemm's. */
static void scale_weights(struct onnx_tensor *weights, const struct norm *norm,
                          bool is_conv)
{
    float *data = weights->data;
    int64_t i, count = (int64_t)(weights->data_len / sizeof *data);
    int64_t row_len = count / norm->count;

    for (i = 0; i < count; i++)
        data[i] = (float)(data[i] * factor_of(norm, is_conv ? i / row_len
                                                            : i % norm->count));
}

/* Folds a batch norm into the convolution or Gemm that it follows. */
static bool fold_norm(struct onnx_graph *graph, struct onnx_node *node)
{
    struct onnx_node *before = onnx_producer(graph, node->inputs[0]);
    struct onnx_tensor *weights, *bias;
    struct norm norm;
    char name[ONNX_NAME_LEN];
    bool is_conv;
    float *data;
    int64_t i;

    if (before == NULL || before->is_removed ||
        onnx_use_count(graph, node->inputs[0]) != 1)
        return false;
    is_conv = strcmp(before->op, "Conv") == 0;
    weights = onnx_find_tensor(graph, input_of(before, 1));
    bias = onnx_find_tensor(graph, input_of(before, 2));
    if ((!is_conv && strcmp(before->op, "Gemm") != 0) || weights == NULL ||
        !read_norm(graph, node, &norm) ||
        norm.count != weights->dims[is_conv ? 0 : 1] ||
        (bias == NULL && before->input_count > 2))
        return false;
    if (bias == NULL) {
        onnx_fresh_name(graph, weights->name, ".bias", name);
        bias = onnx_add_tensor(graph, name, ONNX_FLOAT, &norm.count, 1, NULL);
        if (bias == NULL)
            return false;
        onnx_add_input(graph, before, name);
    }
    scale_weights(weights, &norm, is_conv);
    data = bias->data;
    for (i = 0; i < norm.count; i++)
        data[i] = (float)((data[i] - norm.mean[i]) * factor_of(&norm, i) +
                          norm.beta[i]);
    node->is_removed = true;
    onnx_replace_uses(graph, node->outputs[0], before->outputs[0]);
    return true;
}

int keras_fold(struct onnx_graph *graph, bool keeps_batch_norms)
{
    int i, count = 0;

    for (i = 0; i < graph->node_count && !graph->is_broken; i++) {
        struct onnx_node *node = graph->nodes[i];

        if (strcmp(node->op, "Conv") == 0)
            fold_padding(graph, node);
        else if (strcmp(node->op, "BatchNormalization") == 0 &&
                 !keeps_batch_norms && fold_norm(graph, node))
            count++;
    }
    return count;
}
