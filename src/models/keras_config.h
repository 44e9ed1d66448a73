/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration of a Keras model, as JSON has it, made into a tree:
 * models of layers, layers that are models, and the calls that join them.
 * Both dialects are read, that of Keras 2 (lists of [name, node, tensor]) and
 * that of Keras 3 (objects "__keras_tensor__").
 *
 * Everything is checked: a source always is a call of a layer of the same
 * model. Texts are borrowed from the JSON document, which must outlive the
 * tree. Read-only after it is made. */
#ifndef OLHO_MODELS_KERAS_CONFIG_H
#define OLHO_MODELS_KERAS_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"

enum {
    KERAS_LAYERS_MAX = 4096,   /* of a file, in all nested models */
    KERAS_CALLS_MAX = 8192,    /* of all layers */
    KERAS_ARGUMENTS_MAX = 256, /* of one call */
    KERAS_DEPTH_MAX = 8,       /* of nested models */
    KERAS_RANK_MAX = 5,
};

/* A tensor that a call of a layer gave. */
struct keras_source {
    int layer; /* place in the model's layers */
    int call;
    int tensor;
};

/* What a layer is called with: a tensor, or a constant when value is set. */
struct keras_argument {
    struct keras_source source;
    const struct json_value *value; /* NULL: a tensor */
    const char *key;                /* "" for one without a name */
};

struct keras_call {
    struct keras_argument *arguments; /* owned */
    int argument_count;
    bool is_training; /* called with training=True */
};

struct keras_model;

struct keras_layer {
    const char *name, *class_name;
    const struct json_value *config;
    bool is_operation; /* of keras.ops, in Keras 3: no layer */
    struct keras_call *calls;
    int call_count;
    struct keras_model *model; /* the layer is a model; owned */
    const struct keras_model *parent;
};

struct keras_model {
    const char *name, *class_name;
    const struct keras_layer *owner; /* the layer it is; NULL: the whole */
    struct keras_layer *layers;
    int layer_count;
    struct keras_source *inputs, *outputs;
    int input_count, output_count;
    const struct json_value *input_shape; /* of a Sequential without an
                                           * InputLayer; else NULL */
    bool is_sequential;
};

/* Reads {"class_name": "Functional", "config": {...}}. ERR_UNPROCESSABLE says
 * what is missing or too much, naming the layer. The caller owns *out. */
MUST_CHECK int keras_config_read(const struct json_value *document,
                                 struct keras_model **out, struct err *err);
void keras_config_free(struct keras_model *model); /* NULL is allowed */

/* The layers of a model and those in it. */
int keras_config_layer_count(const struct keras_model *model);

/* Members of a layer's config. Absent or null ones leave *out as it is; what
 * is of another type, or outside min..max, is ERR_UNPROCESSABLE. A pair is
 * one number for both or a list of two; numbers are one or a list of up to
 * `max` (*count says how many; a nested list is flattened). */
MUST_CHECK int keras_get_integer(const struct keras_layer *layer,
                                 const char *key, int64_t min, int64_t max,
                                 int64_t *out, struct err *err);
MUST_CHECK int keras_get_number(const struct keras_layer *layer,
                                const char *key, double *out, struct err *err);
MUST_CHECK int keras_get_bool(const struct keras_layer *layer, const char *key,
                              bool *out, struct err *err);
MUST_CHECK int keras_get_pair(const struct keras_layer *layer, const char *key,
                              int64_t min, int64_t max, int64_t out[2],
                              struct err *err);
MUST_CHECK int keras_get_numbers(const struct keras_layer *layer,
                                 const char *key, int max, double *out,
                                 int *count, struct err *err);
MUST_CHECK int keras_get_text(const struct keras_layer *layer, const char *key,
                              const char **out, struct err *err);

/* Numbers of a JSON value, as keras_get_numbers; false when it is none. */
bool keras_numbers(const struct json_value *value, int max, double *out,
                   int *count);

/* A JSON value as text, at most out->len_max bytes of it, for messages; what
 * every layer has (its name, dtype ...) is left out. */
void keras_config_print(const struct json_value *value, struct buf *out);

#endif
