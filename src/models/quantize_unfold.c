/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "models/onnx_edit.h"
#include "models/quantize_graph.h"

enum { OPSET_MIN = 13 }; /* DequantizeLinear has an axis from here on */

static double value_at(const struct onnx_tensor *tensor, size_t i)
{
    switch (tensor->type) {
    case ONNX_INT8:
        return ((const int8_t *)tensor->data)[i];
    case ONNX_UINT8:
        return ((const uint8_t *)tensor->data)[i];
    case ONNX_INT32:
        return ((const int32_t *)tensor->data)[i];
    default:
        return ((const float *)tensor->data)[i];
    }
}

static size_t count_of(const struct onnx_tensor *tensor)
{
    return tensor->data_len / onnx_element_len(tensor->type);
}

static bool is_op(const struct onnx_node *node, const char *op)
{
    return !node->is_removed && node->domain[0] == '\0' &&
           strcmp(node->op, op) == 0;
}

/* How many values share each scale: (i / stride) % count is its number. */
static bool find_stride(const struct onnx_node *node,
                        const struct onnx_tensor *from,
                        const struct onnx_tensor *scale, size_t *stride)
{
    const struct onnx_attribute *attribute = onnx_find_attribute(node, "axis");
    int64_t axis = attribute != NULL ? attribute->whole : 1;
    int i;

    *stride = 1;
    if (count_of(scale) == 1)
        return true;
    if (axis < 0)
        axis += from->rank;
    if (axis < 0 || axis >= from->rank || scale->rank != 1 ||
        scale->dims[0] != from->dims[axis])
        return false;
    for (i = (int)axis + 1; i < from->rank; i++)
        *stride *= (size_t)from->dims[i];
    return true;
}

/* Weights that were stored as int8 become float32 again. */
static int unfold_weights(struct onnx_graph *graph, struct onnx_node *node,
                          struct err *err)
{
    const struct onnx_tensor *from = onnx_find_tensor(graph, node->inputs[0]);
    const struct onnx_tensor *scale =
        node->input_count > 1 ? onnx_find_tensor(graph, node->inputs[1]) : NULL;
    const struct onnx_tensor *zero =
        node->input_count > 2 ? onnx_find_tensor(graph, node->inputs[2]) : NULL;
    struct onnx_tensor *to;
    size_t stride = 1, i;

    if (from == NULL || scale == NULL || scale->type != ONNX_FLOAT ||
        onnx_element_len(from->type) > 4 || from->type == ONNX_FLOAT16 ||
        !find_stride(node, from, scale, &stride) ||
        (zero != NULL &&
         (zero->type != from->type || count_of(zero) != count_of(scale))))
        return err_set(err, ERR_UNPROCESSABLE,
                       "the network computes in 8 bits already: node '%s' is a "
                       "%s of something else than weights",
                       node->name, node->op);
    to = onnx_add_tensor(graph, node->outputs[0], ONNX_FLOAT, from->dims,
                         from->rank, NULL);
    for (i = 0; to != NULL && i < count_of(to); i++) {
        size_t k = i / stride % count_of(scale);
        double offset = zero != NULL ? value_at(zero, k) : 0;

        ((float *)to->data)[i] =
            (float)((value_at(from, i) - offset) * value_at(scale, k));
    }
    node->is_removed = true;
    return 0;
}

static bool is_quantised_op(const struct onnx_node *node)
{
    static const char *const ops[] = {"QuantizeLinear", "DynamicQuantizeLinear",
                                      "QLinearConv",    "QLinearMatMul",
                                      "ConvInteger",    "MatMulInteger"};
    size_t i;

    if (node->domain[0] != '\0')
        return strncmp(node->op, "Q", 1) == 0;
    for (i = 0; i < sizeof ops / sizeof ops[0]; i++)
        if (strcmp(node->op, ops[i]) == 0)
            return true;
    return false;
}

static int unfold_quantised(struct onnx_graph *graph, struct err *err)
{
    int i, rc = 0;

    for (i = 0; rc == 0 && i < graph->node_count; i++) {
        struct onnx_node *node = graph->nodes[i];

        if (is_quantised_op(node))
            return err_set(err, ERR_UNPROCESSABLE,
                           "the network computes in 8 bits already: node '%s' "
                           "is a %s",
                           node->name, node->op);
        if (is_op(node, "DequantizeLinear") && node->output_count == 1 &&
            node->input_count > 0)
            rc = unfold_weights(graph, node, err);
    }
    return rc;
}

static void unfold_constant(struct onnx_graph *graph, struct onnx_node *node)
{
    const struct onnx_attribute *value = onnx_find_attribute(node, "value");
    const struct onnx_tensor *from;

    if (value == NULL || value->kind != ONNX_ATTRIBUTE_TENSOR ||
        value->tensor == NULL || onnx_is_graph_output(graph, node->outputs[0]))
        return;
    from = value->tensor;
    onnx_add_tensor(graph, node->outputs[0], from->type, from->dims, from->rank,
                    from->data);
    node->is_removed = true;
}

/* Takes a node out whose first output is its first input. */
static void bypass(struct onnx_graph *graph, struct onnx_node *node)
{
    if (node->input_count < 1 ||
        onnx_is_graph_output(graph, node->outputs[0]) ||
        (node->output_count > 1 && onnx_use_count(graph, node->outputs[1]) > 0))
        return;
    node->is_removed = true;
    onnx_replace_uses(graph, node->outputs[0], node->inputs[0]);
}

/* --- batch norms ---------------------------------------------------------- */

struct batch_norm {
    const float *scale, *bias, *mean, *variance; /* by channel */
    float epsilon;
};

static const float *find_channels(const struct onnx_graph *graph,
                                  const char *name, int64_t count)
{
    const struct onnx_tensor *tensor = onnx_find_tensor(graph, name);

    return tensor != NULL && tensor->type == ONNX_FLOAT && tensor->rank == 1 &&
                   tensor->dims[0] == count
               ? tensor->data
               : NULL;
}

static bool read_batch_norm(const struct onnx_graph *graph,
                            const struct onnx_node *node, int64_t count,
                            struct batch_norm *out)
{
    const struct onnx_attribute *epsilon = onnx_find_attribute(node, "epsilon");
    const struct onnx_attribute *training =
        onnx_find_attribute(node, "training_mode");

    if (node->input_count != 5 || (training != NULL && training->whole != 0))
        return false;
    out->epsilon = epsilon != NULL ? epsilon->real : 1e-5f;
    out->scale = find_channels(graph, node->inputs[1], count);
    out->bias = find_channels(graph, node->inputs[2], count);
    out->mean = find_channels(graph, node->inputs[3], count);
    out->variance = find_channels(graph, node->inputs[4], count);
    return out->scale != NULL && out->bias != NULL && out->mean != NULL &&
           out->variance != NULL;
}

/* New weights and a new bias for the Conv: the old ones may be shared. */
static void fold_values(struct onnx_graph *graph, struct onnx_node *conv,
                        const struct onnx_tensor *weights, const float *bias,
                        const struct batch_norm *norm)
{
    char name[ONNX_NAME_LEN];
    struct onnx_tensor *folded, *folded_bias;
    size_t count = (size_t)weights->dims[0], i;
    size_t each = count_of(weights) / count;

    onnx_fresh_name(graph, weights->name, "_folded", name);
    folded = onnx_add_tensor(graph, name, ONNX_FLOAT, weights->dims,
                             weights->rank, weights->data);
    onnx_set_input(graph, conv, 1, name);
    onnx_fresh_name(graph, weights->name, "_bias", name);
    folded_bias =
        onnx_add_tensor(graph, name, ONNX_FLOAT, weights->dims, 1, NULL);
    if (conv->input_count > 2)
        onnx_set_input(graph, conv, 2, name);
    else
        onnx_add_input(graph, conv, name);
    if (folded == NULL || folded_bias == NULL)
        return;
    for (i = 0; i < count_of(folded); i++) {
        size_t c = i / each;
        double factor =
            norm->scale[c] / sqrt((double)norm->variance[c] + norm->epsilon);

        ((float *)folded->data)[i] =
            (float)(((float *)folded->data)[i] * factor);
        ((float *)folded_bias->data)[c] =
            (float)(((bias != NULL ? bias[c] : 0) - (double)norm->mean[c]) *
                        factor +
                    norm->bias[c]);
    }
}

static void fold_batch_norm(struct onnx_graph *graph, struct onnx_node *node)
{
    struct onnx_node *conv = onnx_producer(graph, node->inputs[0]);
    const struct onnx_tensor *weights;
    const float *bias = NULL;
    struct batch_norm norm;
    int axis;

    if (conv == NULL || !is_op(conv, "Conv") ||
        onnx_use_count(graph, node->inputs[0]) != 1)
        return;
    weights = quantize_find_weights(graph, conv, &axis);
    if (weights == NULL ||
        !read_batch_norm(graph, node, weights->dims[0], &norm))
        return;
    if (conv->input_count > 2) {
        bias = find_channels(graph, conv->inputs[2], weights->dims[0]);
        if (bias == NULL)
            return;
    }
    fold_values(graph, conv, weights, bias, &norm);
    onnx_set_output(graph, conv, node->outputs[0]);
    node->is_removed = true;
}

int quantize_unfold(struct onnx_graph *graph, struct err *err)
{
    int i, rc;

    if (graph->opset < OPSET_MIN)
        return err_set(err, ERR_UNPROCESSABLE,
                       "it uses operator set %lld; %d or later can be "
                       "quantised",
                       (long long)graph->opset, OPSET_MIN);
    rc = unfold_quantised(graph, err);
    for (i = 0; rc == 0 && i < graph->node_count; i++) {
        struct onnx_node *node = graph->nodes[i];

        if (is_op(node, "Constant") && node->output_count == 1)
            unfold_constant(graph, node);
        if ((is_op(node, "Identity") || is_op(node, "Dropout")) &&
            node->output_count > 0)
            bypass(graph, node);
    }
    for (i = 0; rc == 0 && i < graph->node_count; i++)
        if (is_op(graph->nodes[i], "BatchNormalization") &&
            graph->nodes[i]->output_count > 0 &&
            graph->nodes[i]->input_count > 0)
            fold_batch_norm(graph, graph->nodes[i]);
    if (rc == 0)
        quantize_find_gemms(graph);
    return rc ? rc : onnx_tidy(graph, err);
}
