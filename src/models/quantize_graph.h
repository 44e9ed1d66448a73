/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of quantising a network, on its graph; models/quantize.h puts them
 * together. One thread at a time.
 *
 *     quantize_unfold(graph, &err);            plain float32
 *     quantize_plan(graph, &plan, &err);       which values become 8-bit
 *     quantize_watch(second, plan);            a second graph gives the ranges
 *     quantize_apply(graph, plan, &err);       QuantizeLinear and the rest  */
#ifndef OLHO_MODELS_QUANTIZE_GRAPH_H
#define OLHO_MODELS_QUANTIZE_GRAPH_H

#include "models/onnx_graph.h"

/* A value between nodes that becomes 8-bit. */
struct quantize_place {
    char *name; /* owned */
    int group;  /* places of one group have one scale; the lowest index */
    float min, max;
    /* The mean of each channel that a node with weights reads, made by
     * calibration; owned. channel_count 0: no such node. */
    float *means;
    int channel_count;
    bool is_image; /* channels come second, as Conv has them; else last */
    float scale;   /* of the group, made by quantize_apply */
    int zero;
    char *restored; /* owned: the name of what DequantizeLinear gives */
};

enum quantize_role {
    QUANTIZE_NOT,   /* stays float32 */
    QUANTIZE_HEAVY, /* Conv, Gemm, MatMul: has weights */
    QUANTIZE_LIGHT, /* computes in 8 bits: Add, Concat ... */
    QUANTIZE_SAME,  /* moves values: MaxPool, Reshape ... */
    QUANTIZE_CLAMP, /* Relu, Clip: what 8 bits do by themselves */
    QUANTIZE_END,   /* stays float32, reads an 8-bit value */
};

struct quantize_plan {
    enum quantize_role *roles; /* by node of the graph */
    struct quantize_place *places;
    int place_count;
};

/* Weights that are stored as int8 or as Constant become plain float32 weights;
 * Dropout and Identity go; batch norms are folded into the Conv before them; a
 * 1x1 Conv over one pixel, and MatMul and Add, become the Gemm that they are.
 * ERR_UNPROCESSABLE when the network computes in 8 bits already or is of an
 * operator set before 13. */
MUST_CHECK int quantize_unfold(struct onnx_graph *graph, struct err *err);

/* ERR_UNPROCESSABLE when nothing can be quantised. The graph must not change
 * until the plan is applied. */
MUST_CHECK int quantize_plan(const struct onnx_graph *graph,
                             struct quantize_plan **out, struct err *err);
void quantize_plan_free(struct quantize_plan *plan); /* NULL is allowed */

/* Gives the graph one output, QUANTIZE_RANGES, in place of its own: the least
 * and the largest value of each place, two floats each, then the means of each
 * place that has channels. quantize_watched_count says how many floats. */
#define QUANTIZE_RANGES "olho_ranges"
void quantize_watch(struct onnx_graph *graph, const struct quantize_plan *plan);
size_t quantize_watched_count(const struct quantize_plan *plan);

/* Rewrites the graph with the ranges that the plan holds. */
MUST_CHECK int quantize_apply(struct onnx_graph *graph,
                              struct quantize_plan *plan, struct err *err);

/* Stores the weights of Conv, Gemm and MatMul as int8 with a scale per output
 * channel, behind DequantizeLinear; *count of them. */
MUST_CHECK int quantize_weights(struct onnx_graph *graph, int *count,
                                struct err *err);

/* The last part of unfolding. */
void quantize_find_gemms(struct onnx_graph *graph);

/* --- between the steps ---------------------------------------------------- */

/* The weights of a Conv, Gemm or MatMul of ONNX's own domain, and which of
 * their dimensions counts output channels. NULL when they are no float32
 * weights of a rank that is quantised. */
const struct onnx_tensor *quantize_find_weights(const struct onnx_graph *graph,
                                                const struct onnx_node *node,
                                                int *axis);

/* Where weight i of output channel c lies; i counts input channels first, then
 * the window. */
size_t quantize_weight_place(const struct onnx_tensor *weights, int axis,
                             size_t c, size_t i);

/* An int8 copy of weights with a scale for each channel along axis. With
 * is_paired, no two neighbours that one multiply-add takes can exceed 16 bits
 * (quantize_channel.c says why). scale_min: NULL or a least scale for each
 * channel. values and scales are the caller's. */
struct quantize_weight_options {
    int axis;
    bool is_paired;
    const float *scale_min;
};
MUST_CHECK int quantize_channels(const struct onnx_tensor *weights,
                                 const struct quantize_weight_options *options,
                                 int8_t *values, float *scales,
                                 struct err *err);

#endif
