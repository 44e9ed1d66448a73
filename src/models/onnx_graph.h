/* SPDX-License-Identifier: Apache-2.0 */
/* An ONNX model in memory: read, built node by node, changed, written. What
 * the Keras import makes and the quantiser rewrites. The wire format is
 * protobuf, through protobuf-c and our own models/onnx.proto, in onnx_read.c
 * and onnx_write.c only (field numbers: the ONNX IR specification,
 * onnx/onnx.proto).
 *
 * A graph owns everything in it; texts and values are copied in. One thread at
 * a time. Growing it fails with ERR_UNAVAILABLE, reported once: the functions
 * that add return NULL or nothing, and onnx_check tells (like struct buf). */
#ifndef OLHO_MODELS_ONNX_GRAPH_H
#define OLHO_MODELS_ONNX_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum {
    ONNX_RANK_MAX = 8,
    ONNX_OPSET = 17,     /* of what is built */
    ONNX_IR_VERSION = 8, /* of what is built; belongs to opset 17 */
    ONNX_NODES_MAX = 1 << 16,
    ONNX_TENSORS_MAX = 1 << 16,
    ONNX_LINKS_MAX = 1024, /* inputs or outputs of a node or of the graph */
    ONNX_ATTRIBUTES_MAX = 64,
    ONNX_TEXT_MAX = 4096, /* bytes of a name or text, without the NUL */
    ONNX_FILE_LEN_MAX = INT32_MAX, /* what protobuf can hold */
};

/* TensorProto.DataType. */
enum onnx_type {
    ONNX_FLOAT = 1,
    ONNX_UINT8 = 2,
    ONNX_INT8 = 3,
    ONNX_INT32 = 6,
    ONNX_INT64 = 7,
    ONNX_BOOL = 9,
    ONNX_FLOAT16 = 10,
    ONNX_DOUBLE = 11,
};

enum onnx_attribute_kind {
    ONNX_ATTRIBUTE_FLOAT = 1,
    ONNX_ATTRIBUTE_INT = 2,
    ONNX_ATTRIBUTE_TEXT = 3,
    ONNX_ATTRIBUTE_TENSOR = 4,
    ONNX_ATTRIBUTE_FLOATS = 6,
    ONNX_ATTRIBUTE_INTS = 7,
};

struct onnx_tensor {
    char *name;
    enum onnx_type type;
    int rank;
    int64_t dims[ONNX_RANK_MAX];
    void *data; /* row-major, little-endian, owned */
    size_t data_len;
};

struct onnx_attribute {
    char *name;
    enum onnx_attribute_kind kind;
    float real;
    int64_t whole;
    char *text;
    struct onnx_tensor *tensor;
    float *reals;
    int64_t *wholes;
    size_t count; /* of reals or wholes */
};

struct onnx_node {
    char *name;
    char *op;      /* "Conv" */
    char *domain;  /* "" for ONNX's own */
    char **inputs; /* "" for one that is left out */
    int input_count;
    char **outputs;
    int output_count;
    struct onnx_attribute *attributes;
    int attribute_count;
    bool is_removed; /* not written any more */
};

struct onnx_value { /* an input, an output or a known shape between */
    char *name;
    enum onnx_type type;
    int rank;                    /* -1: unknown */
    int64_t dims[ONNX_RANK_MAX]; /* -1: free */
};

struct onnx_graph {
    int64_t opset, ir_version;
    struct onnx_node **nodes; /* in topological order, as the file has them */
    int node_count, node_cap;
    struct onnx_tensor **tensors; /* the initialisers: weights */
    int tensor_count, tensor_cap;
    struct onnx_value **inputs, **outputs, **values;
    int input_count, output_count, value_count;
    bool is_broken; /* memory ran out */
};

struct onnx_graph *onnx_new(void) __attribute__((returns_nonnull));
void onnx_free(struct onnx_graph *graph); /* NULL is allowed */

/* One that was taken out of its graph's list. */
void onnx_free_node(struct onnx_node *node);
void onnx_free_tensor(struct onnx_tensor *tensor);

/* Reads and writes a file. ERR_UNPROCESSABLE when it is no ONNX model or uses
 * what is not kept (external data, subgraphs, sparse tensors, functions, other
 * types), named. Every length is checked against what the tensor's shape needs,
 * and a file of n bytes takes at most 6 n and 64 MB while it is read. Weights
 * that are graph inputs too (files before IR version 4) are inputs no more.
 * Texts for people (doc strings, metadata) are left behind. */
MUST_CHECK int onnx_read(const char *path, struct onnx_graph **out,
                         struct err *err);
MUST_CHECK int onnx_write(const struct onnx_graph *graph, const char *path,
                          struct err *err);

/* The same for a file that is in memory; out has been initialised. */
MUST_CHECK int onnx_read_bytes(struct bytes file, struct onnx_graph **out,
                               struct err *err);
MUST_CHECK int onnx_write_bytes(const struct onnx_graph *graph, struct buf *out,
                                struct err *err);

/* Adds a node with one output and up to four inputs (NULL ends them); inputs
 * and outputs may be added afterwards. Returns it, or NULL without memory. */
struct onnx_node *onnx_add(struct onnx_graph *graph, const char *op,
                           const char *output, const char *input1,
                           const char *input2, const char *input3,
                           const char *input4);
void onnx_add_input(struct onnx_graph *graph, struct onnx_node *node,
                    const char *name);
void onnx_set_int(struct onnx_graph *graph, struct onnx_node *node,
                  const char *name, int64_t value);
void onnx_set_ints(struct onnx_graph *graph, struct onnx_node *node,
                   const char *name, const int64_t *values, size_t count);
void onnx_set_float(struct onnx_graph *graph, struct onnx_node *node,
                    const char *name, float value);
void onnx_set_floats(struct onnx_graph *graph, struct onnx_node *node,
                     const char *name, const float *values, size_t count);
void onnx_set_text(struct onnx_graph *graph, struct onnx_node *node,
                   const char *name, const char *value);
void onnx_set_tensor(struct onnx_graph *graph, struct onnx_node *node,
                     const char *name, enum onnx_type type, const int64_t *dims,
                     int rank, const void *data);
void onnx_add_output(struct onnx_graph *graph, struct onnx_node *node,
                     const char *name);
void onnx_set_names(struct onnx_graph *graph, struct onnx_node *node,
                    const char *name, const char *domain);

/* Adds a weight; data is copied (NULL: zeros). data_len follows from type and
 * dims. */
struct onnx_tensor *onnx_add_tensor(struct onnx_graph *graph, const char *name,
                                    enum onnx_type type, const int64_t *dims,
                                    int rank, const void *data);
void onnx_add_graph_input(struct onnx_graph *graph, const char *name,
                          enum onnx_type type, const int64_t *dims, int rank);
void onnx_add_graph_output(struct onnx_graph *graph, const char *name,
                           enum onnx_type type, const int64_t *dims, int rank);

void onnx_add_value(struct onnx_graph *graph, const char *name,
                    enum onnx_type type, const int64_t *dims, int rank);

/* Bytes of one element; 0 for a type that is not kept. */
size_t onnx_element_len(enum onnx_type type);

/* Elements of a shape, which has no free dimension; false when the shape is
 * negative or the product overflows. */
bool onnx_shape_count(const int64_t *dims, int rank, size_t *out);

/* NULL when absent. */
struct onnx_tensor *onnx_find_tensor(const struct onnx_graph *graph,
                                     const char *name);
struct onnx_node *onnx_producer(const struct onnx_graph *graph,
                                const char *value);
const struct onnx_attribute *onnx_find_attribute(const struct onnx_node *node,
                                                 const char *name);

/* How many node inputs and graph outputs read this value. */
int onnx_use_count(const struct onnx_graph *graph, const char *value);

/* ERR_UNAVAILABLE when something could not be added. */
MUST_CHECK int onnx_check(const struct onnx_graph *graph, struct err *err);

#endif
