/* SPDX-License-Identifier: Apache-2.0 */
/* What the layers of a Keras model are built with: values, nodes, constants
 * and weights of the ONNX graph that comes out. Internal to models/keras_*.c.
 *
 * Keras keeps images as N x H x W x C, ONNX Runtime is fastest on N x C x H x
 * W. So a value may be "turned": its dims are those that Keras knows, its
 * memory has the channels first. Layers ask for the form they need; the turn
 * back happens only where the order of the numbers shows (Flatten, Reshape).
 *
 * One thread at a time. */
#ifndef OLHO_MODELS_KERAS_BUILD_H
#define OLHO_MODELS_KERAS_BUILD_H

#include "models/keras_config.h"
#include "models/keras_import.h"
#include "models/keras_weights.h"
#include "models/onnx_graph.h"

enum {
    KERAS_NAME_MAX = 160,
    KERAS_BUILT_MAX = 16384,         /* calls of layers, with nested models */
    KERAS_ELEMENTS_MAX = 1 << 28,    /* of one value, for one image */
    KERAS_CHANNELS_MAX = 1 << 20,    /* of one layer */
    KERAS_CONFIG_NUMBERS_MAX = 8192, /* of one member of a config */
};

/* What was done last to a value, as far as scores are concerned. */
enum keras_ending { KERAS_LINEAR, KERAS_SOFTMAX, KERAS_SIGMOID, KERAS_OTHER };

struct keras_value {
    char name[KERAS_NAME_MAX];
    int rank;
    int64_t dims[KERAS_RANK_MAX]; /* as Keras has them; dims[0] is -1 */
    bool is_turned;               /* of rank 4, memory is N x C x H x W */
    bool is_input;                /* the image itself, nothing done to it */
    enum keras_ending ending;
    int head; /* place in build->heads of what entered the last layer that has
               * weights, when only such as Flatten came after; -1 */
    const struct keras_layer *layer; /* that made it */
};

struct keras_build {
    struct onnx_graph *graph;      /* owned by the caller */
    struct keras_weights *weights; /* borrowed */
    const struct keras_options *options;
    int major;  /* of the Keras that wrote the file: 2 or 3 */
    int serial; /* of names */
    int built_count;
    int64_t file_len;                /* bytes, for progress */
    const struct keras_layer *layer; /* being built: names come from it */
    struct keras_value *heads;       /* owned */
    int head_count;
    bool has_own_scaling;
    bool has_named; /* a layer is named as the embedding */
    struct keras_value named;
};

/* Adds a node whose output gets a fresh name in out->name; inputs end with
 * NULL. The caller sets the rest of *out. NULL without memory, which
 * onnx_check tells in the end. */
struct onnx_node *keras_emit(struct keras_build *build, const char *op,
                             struct keras_value *out, const char *input1,
                             const char *input2, const char *input3);

/* A value of the same shape and form as `in`, made by one node. in2 may be
 * NULL. */
struct onnx_node *keras_emit_like(struct keras_build *build, const char *op,
                                  const struct keras_value *in,
                                  const char *input2, struct keras_value *out);

/* Constants; `name` (KERAS_NAME_MAX bytes) receives a fresh one. A float
 * tensor is returned to be filled; NULL without memory. */
struct onnx_tensor *keras_tensor(struct keras_build *build, const char *what,
                                 const int64_t *dims, int rank, char *name);
void keras_scalar(struct keras_build *build, float value, char *name);
void keras_wholes(struct keras_build *build, const int64_t *values, int count,
                  char *name);

/* One number for each of the value's last Keras dimension, shaped to be
 * combined with it in the form that it has. */
void keras_channels(struct keras_build *build, const struct keras_value *value,
                    const float *numbers, char *name);

/* The same value in the other form; a value of another rank than 4, or one
 * that already has the form, as it is. */
void keras_turn(struct keras_build *build, const struct keras_value *in,
                struct keras_value *out);
void keras_unturn(struct keras_build *build, const struct keras_value *in,
                  struct keras_value *out);

/* A value of rank 4 with the channels first in memory, whatever the layer's
 * data_format is: its channels, height and width. */
struct keras_plane {
    char name[KERAS_NAME_MAX];
    int64_t channels, height, width;
    bool is_first; /* Keras too has the channels first */
};

MUST_CHECK int keras_plane(struct keras_build *build,
                           const struct keras_layer *layer,
                           const struct keras_value *in,
                           struct keras_plane *out, struct err *err);

/* The value that a node working on planes gives: out->name is set already. */
void keras_from_plane(const struct keras_plane *plane, int64_t channels,
                      int64_t height, int64_t width, struct keras_value *out);

/* Remembers `in` as what entered a layer with weights; for out->head. */
MUST_CHECK int keras_head(struct keras_build *build,
                          const struct keras_value *in, int *head,
                          struct err *err);

/* ERR_UNPROCESSABLE when a value is too large or has no elements. */
MUST_CHECK int keras_check_value(const struct keras_value *value,
                                 struct err *err);

/* Elements for one image. */
int64_t keras_value_len(const struct keras_value *value);

/* Number `axis` of Keras (negative: from the end) as a place in its dims. */
MUST_CHECK int keras_axis(const struct keras_value *value, int64_t axis,
                          int *out, struct err *err);

/* Where a Keras dimension lies in memory. */
int keras_memory_axis(const struct keras_value *value, int axis);

/* A function by name or as an object, as "activation" has it; NULL: none. */
MUST_CHECK int keras_activate(struct keras_build *build,
                              const struct keras_layer *layer,
                              const struct json_value *what,
                              const struct keras_value *in,
                              struct keras_value *out, struct err *err);

MUST_CHECK int keras_activate_by_name(struct keras_build *build,
                                      const char *name,
                                      const struct keras_value *in,
                                      struct keras_value *out, struct err *err);

/* Builds one call of a layer: in has in_count values. */
typedef int keras_layer_fn(struct keras_build *build,
                           const struct keras_layer *layer,
                           const struct keras_value *in, int in_count,
                           struct keras_value *out, struct err *err);

struct keras_layer_type {
    const char *class_name;
    keras_layer_fn *build;
    int in_max;         /* 1, or how many values it takes */
    bool is_activation; /* may stand as another layer's activation */
};

/* NULL when there is none. */
const struct keras_layer_type *keras_layer_find(const char *class_name);

keras_layer_fn keras_build_same, keras_build_conv, keras_build_depthwise,
    keras_build_separable, keras_build_conv_transpose, keras_build_dense,
    keras_build_batch_norm, keras_build_layer_norm, keras_build_rescaling,
    keras_build_normalization, keras_build_relu, keras_build_relu6,
    keras_build_leaky_relu, keras_build_prelu, keras_build_elu,
    keras_build_softmax, keras_build_activation, keras_build_zero_padding,
    keras_build_cropping, keras_build_max_pooling, keras_build_average_pooling,
    keras_build_global_average, keras_build_global_max, keras_build_flatten,
    keras_build_reshape, keras_build_permute, keras_build_add,
    keras_build_subtract, keras_build_multiply, keras_build_average,
    keras_build_maximum, keras_build_minimum, keras_build_concatenate,
    keras_build_upsampling;

/* Adds, multiplies ... two values of one rank with broadcasting. */
MUST_CHECK int keras_combine(struct keras_build *build, const char *op,
                             const struct keras_value *a,
                             const struct keras_value *b,
                             struct keras_value *out, struct err *err);

/* Builds a call of an operation with constants: a TFOpLambda of Keras 2 or one
 * of keras.ops. values has one for each argument that is a tensor. */
MUST_CHECK int keras_build_operation(struct keras_build *build,
                                     const struct keras_layer *layer,
                                     const struct keras_call *call,
                                     const struct keras_value *values,
                                     struct keras_value *out, struct err *err);

/* Builds a whole model on its input; *out receives its first output. */
MUST_CHECK int keras_build_model(struct keras_build *build,
                                 const struct keras_model *model,
                                 const struct keras_value *in,
                                 struct keras_value *out, struct err *err);

/* Folds what costs time for nothing: zero padding into the convolution after
 * it and, unless batch norms are kept, these into the layer before. Unused
 * weights go. Returns the number of batch norms folded. */
int keras_fold(struct onnx_graph *graph, bool keeps_batch_norms);

#endif
