/* SPDX-License-Identifier: Apache-2.0 */
/* Changes to an ONNX graph that is in memory. As with onnx_graph.h, what cannot
 * be added for want of memory is told by onnx_check; one thread at a time. */
#ifndef OLHO_MODELS_ONNX_EDIT_H
#define OLHO_MODELS_ONNX_EDIT_H

#include "models/onnx_graph.h"

/* A name that nothing in the graph has: base and suffix, and a number when
 * that is taken. Valid for ONNX_NAME_LEN bytes. */
enum { ONNX_NAME_LEN = ONNX_TEXT_MAX + 64 };
void onnx_fresh_name(const struct onnx_graph *graph, const char *base,
                     const char *suffix, char out[ONNX_NAME_LEN]);

/* Gives input number i of a node, or its first output, another name. */
void onnx_set_input(struct onnx_graph *graph, struct onnx_node *node, int i,
                    const char *name);
void onnx_set_output(struct onnx_graph *graph, struct onnx_node *node,
                     const char *name);

/* Makes every node that reads `from` read `to`. Graph outputs stay. */
void onnx_replace_uses(struct onnx_graph *graph, const char *from,
                       const char *to);

bool onnx_is_graph_output(const struct onnx_graph *graph, const char *name);

/* Drops removed nodes, nodes that lead to no output, weights that nothing reads
 * and the shapes between; brings nodes into topological order.
 * ERR_UNPROCESSABLE when they form a circle. */
MUST_CHECK int onnx_tidy(struct onnx_graph *graph, struct err *err);

#endif
