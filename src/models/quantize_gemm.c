/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes that are a Gemm by another name. As a Gemm they give float32 from 8-bit
 * products, so that scores are not rounded. */
#include <string.h>

#include "models/onnx_edit.h"
#include "models/quantize_graph.h"

enum { CHAIN_MAX = 16 }; /* nodes that are looked at for a rank */

static bool is_op(const struct onnx_node *node, const char *op)
{
    return !node->is_removed && node->domain[0] == '\0' &&
           strcmp(node->op, op) == 0;
}

static struct onnx_node *find_reader(const struct onnx_graph *graph,
                                     const char *value, const char *op)
{
    int i;

    for (i = 0; i < graph->node_count; i++) {
        const struct onnx_attribute *axis =
            onnx_find_attribute(graph->nodes[i], "axis");

        if (is_op(graph->nodes[i], op) && graph->nodes[i]->input_count > 0 &&
            graph->nodes[i]->output_count == 1 &&
            strcmp(graph->nodes[i]->inputs[0], value) == 0 &&
            (axis == NULL || axis->whole == 1))
            return graph->nodes[i];
    }
    return NULL;
}

static bool is_single_pixel(const struct onnx_graph *graph,
                            const struct onnx_node *conv,
                            const struct onnx_tensor *weights)
{
    const struct onnx_node *pool = onnx_producer(graph, conv->inputs[0]);
    const struct onnx_attribute *group = onnx_find_attribute(conv, "group");
    const struct onnx_attribute *pads = onnx_find_attribute(conv, "pads");
    size_t i;

    if (pads != NULL && pads->kind != ONNX_ATTRIBUTE_INTS)
        return false;
    for (i = 0; pads != NULL && i < pads->count; i++)
        if (pads->wholes[i] != 0)
            return false;
    return pool != NULL && is_op(pool, "GlobalAveragePool") &&
           weights->dims[2] == 1 && weights->dims[3] == 1 &&
           (group == NULL || group->whole == 1) &&
           onnx_find_attribute(conv, "auto_pad") == NULL;
}

/* GlobalAveragePool, Conv 1x1, Flatten: the Conv reads one pixel. */
static void turn_conv(struct onnx_graph *graph, struct onnx_node *conv)
{
    struct onnx_node *after, *before, *gemm;
    const struct onnx_tensor *weights;
    char flat[ONNX_NAME_LEN], name[ONNX_NAME_LEN];
    int axis;

    weights = quantize_find_weights(graph, conv, &axis);
    if (weights == NULL || !is_single_pixel(graph, conv, weights) ||
        onnx_use_count(graph, conv->outputs[0]) != 1)
        return;
    after = find_reader(graph, conv->outputs[0], "Flatten");
    before = find_reader(graph, conv->inputs[0], "Flatten");
    if (after == NULL)
        return;
    onnx_fresh_name(graph, conv->inputs[0], "_flat", flat);
    if (before == NULL)
        before =
            onnx_add(graph, "Flatten", flat, conv->inputs[0], NULL, NULL, NULL);
    onnx_fresh_name(graph, weights->name, "_matrix", name);
    onnx_add_tensor(graph, name, ONNX_FLOAT, weights->dims, 2, weights->data);
    if (before == NULL)
        return;
    gemm = onnx_add(graph, "Gemm", after->outputs[0], before->outputs[0], name,
                    conv->input_count > 2 ? conv->inputs[2] : NULL, NULL);
    onnx_set_int(graph, gemm, "transB", 1);
    conv->is_removed = after->is_removed = true;
}

/* --- MatMul and Add ------------------------------------------------------- */

static bool has_shape_of_two(const struct onnx_graph *graph,
                             const struct onnx_node *reshape)
{
    const struct onnx_tensor *shape =
        reshape->input_count > 1 ? onnx_find_tensor(graph, reshape->inputs[1])
                                 : NULL;

    return shape != NULL && shape->rank == 1 && shape->dims[0] == 2;
}

/* Whether a value is known to have two dimensions: back along nodes that keep
 * the rank to one that makes it. */
static bool is_matrix(const struct onnx_graph *graph, const char *value)
{
    static const char *const keepers[] = {"Relu", "Clip",      "Sigmoid",
                                          "Tanh", "LeakyRelu", "Elu"};
    const struct onnx_node *node = onnx_producer(graph, value);
    int steps;

    for (steps = 0; node != NULL && steps < CHAIN_MAX; steps++) {
        size_t i, count = sizeof keepers / sizeof keepers[0];

        if (is_op(node, "Flatten") || is_op(node, "Gemm"))
            return true;
        if (is_op(node, "Reshape"))
            return has_shape_of_two(graph, node);
        for (i = 0; i < count && !is_op(node, keepers[i]); i++)
            continue;
        if (i == count || node->input_count < 1)
            return false;
        node = onnx_producer(graph, node->inputs[0]);
    }
    return false;
}

/* The node that alone reads a value, when it is of that kind. */
static struct onnx_node *find_only_reader(const struct onnx_graph *graph,
                                          const char *value, const char *op)
{
    int i, j;

    if (onnx_use_count(graph, value) != 1)
        return NULL;
    for (i = 0; i < graph->node_count; i++) {
        struct onnx_node *node = graph->nodes[i];

        for (j = 0; j < node->input_count; j++)
            if (is_op(node, op) && strcmp(node->inputs[j], value) == 0)
                return node;
    }
    return NULL;
}

static void turn_matmul(struct onnx_graph *graph, struct onnx_node *matmul)
{
    const struct onnx_tensor *weights, *bias;
    struct onnx_node *add;
    int axis, i;

    weights = quantize_find_weights(graph, matmul, &axis);
    if (weights == NULL || !is_matrix(graph, matmul->inputs[0]))
        return;
    add = find_only_reader(graph, matmul->outputs[0], "Add");
    if (add == NULL || add->input_count != 2 || add->output_count != 1)
        return;
    i = strcmp(add->inputs[0], matmul->outputs[0]) == 0 ? 1 : 0;
    bias = onnx_find_tensor(graph, add->inputs[i]);
    if (bias == NULL || bias->type != ONNX_FLOAT || bias->rank != 1 ||
        bias->dims[0] != weights->dims[1])
        return;
    onnx_add(graph, "Gemm", add->outputs[0], matmul->inputs[0],
             matmul->inputs[1], add->inputs[i], NULL);
    matmul->is_removed = add->is_removed = true;
}

void quantize_find_gemms(struct onnx_graph *graph)
{
    int i;

    for (i = 0; i < graph->node_count; i++) {
        struct onnx_node *node = graph->nodes[i];

        if (is_op(node, "Conv") && node->output_count == 1)
            turn_conv(graph, node);
        if (is_op(node, "MatMul") && node->output_count == 1)
            turn_matmul(graph, node);
    }
}
