/* SPDX-License-Identifier: Apache-2.0 */
/* Small networks for the tests of the quantiser, and runs of them. */
#ifndef OLHO_QUANTIZE_FIXTURE_H
#define OLHO_QUANTIZE_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "infer/engine.h"
#include "models/quantize_graph.h"

enum { SIDE = 8, INPUT_COUNT = 3 * SIDE * SIDE, CLASSES = 4, FEATURES = 8 };

/* Values in -1..1 that are the same on every run. */
void tiny_fill(float *values, size_t count, unsigned seed);
void tiny_add_random(struct onnx_graph *graph, const char *name,
                     const int64_t *dims, int rank, unsigned seed);
void tiny_add_conv(struct onnx_graph *graph, const char *output,
                   const char *input, const char *weights, const char *bias,
                   int group, int pad);

/* A small network of the kinds of nodes that classifiers have: a residual block
 * around a depthwise convolution, an embedding and scores. */
struct onnx_graph *tiny_network(void);

/* Batch norm behind a Conv with and one without a bias, a Constant, Dropout and
 * a classifier that is a Conv. */
struct onnx_graph *tiny_tangled(void);

/* A graph opened for runs on [1, 3, SIDE, SIDE]; engine_close ends it. */
struct tiny_session {
    struct engine *engine;
    float input[INPUT_COUNT];
};
void tiny_open(struct tiny_session *session, const struct onnx_graph *graph,
               bool has_8_bits);

/* The first output for the input of that seed. */
void tiny_run(struct tiny_session *session, unsigned seed, float *out,
              const int64_t *dims, int rank);
void tiny_scores(const struct onnx_graph *graph, bool has_8_bits, unsigned seed,
                 float *scores);

/* The same graph, unfolded; its plan; a place of that, or NULL. */
struct onnx_graph *tiny_unfold(struct onnx_graph *graph);
struct quantize_plan *tiny_plan(const struct onnx_graph *graph);
const struct quantize_place *tiny_place(const struct quantize_plan *plan,
                                        const char *name);

#endif
