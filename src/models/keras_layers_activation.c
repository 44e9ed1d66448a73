/* SPDX-License-Identifier: Apache-2.0 */
/* Activations: functions by name, and the layers that are one. The formulas
 * are those of keras.activations. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "models/keras_build.h"

typedef void function_fn(struct keras_build *build,
                         const struct keras_value *in, struct keras_value *out);

static void clip(struct keras_build *build, const struct keras_value *in,
                 double min, double max, struct keras_value *out)
{
    char low[KERAS_NAME_MAX], high[KERAS_NAME_MAX];
    struct keras_value made = *in;

    keras_scalar(build, (float)min, low);
    keras_scalar(build, (float)max, high);
    (void)keras_emit(build, "Clip", &made, in->name, low, high);
    *out = made;
}

static void scale(struct keras_build *build, const struct keras_value *in,
                  const char *op, double by, struct keras_value *out)
{
    char number[KERAS_NAME_MAX];

    keras_scalar(build, (float)by, number);
    (void)keras_emit_like(build, op, in, number, out);
}

static void relu(struct keras_build *build, const struct keras_value *in,
                 struct keras_value *out)
{
    (void)keras_emit_like(build, "Relu", in, NULL, out);
}

static void relu6(struct keras_build *build, const struct keras_value *in,
                  struct keras_value *out)
{
    clip(build, in, 0, 6, out);
}

static void leaky(struct keras_build *build, const struct keras_value *in,
                  double slope, struct keras_value *out)
{
    struct onnx_node *node = keras_emit_like(build, "LeakyRelu", in, NULL, out);

    onnx_set_float(build->graph, node, "alpha", (float)slope);
}

static void leaky_relu(struct keras_build *build, const struct keras_value *in,
                       struct keras_value *out)
{
    leaky(build, in, 0.2, out);
}

static void elu_by(struct keras_build *build, const struct keras_value *in,
                   double alpha, struct keras_value *out)
{
    struct onnx_node *node = keras_emit_like(build, "Elu", in, NULL, out);

    onnx_set_float(build->graph, node, "alpha", (float)alpha);
}

static void elu(struct keras_build *build, const struct keras_value *in,
                struct keras_value *out)
{
    elu_by(build, in, 1, out);
}

static void selu(struct keras_build *build, const struct keras_value *in,
                 struct keras_value *out)
{
    (void)keras_emit_like(build, "Selu", in, NULL, out);
}

static void softplus(struct keras_build *build, const struct keras_value *in,
                     struct keras_value *out)
{
    (void)keras_emit_like(build, "Softplus", in, NULL, out);
}

static void softsign(struct keras_build *build, const struct keras_value *in,
                     struct keras_value *out)
{
    (void)keras_emit_like(build, "Softsign", in, NULL, out);
}

static void exponential(struct keras_build *build, const struct keras_value *in,
                        struct keras_value *out)
{
    (void)keras_emit_like(build, "Exp", in, NULL, out);
}

static void hyperbolic(struct keras_build *build, const struct keras_value *in,
                       struct keras_value *out)
{
    (void)keras_emit_like(build, "Tanh", in, NULL, out);
}

static void sigmoid(struct keras_build *build, const struct keras_value *in,
                    struct keras_value *out)
{
    (void)keras_emit_like(build, "Sigmoid", in, NULL, out);
    out->ending = KERAS_SIGMOID;
}

/* x * f(x), where gate is f(x). */
static void gated(struct keras_build *build, const struct keras_value *in,
                  const struct keras_value *gate, struct keras_value *out)
{
    (void)keras_emit_like(build, "Mul", in, gate->name, out);
}

static void silu(struct keras_build *build, const struct keras_value *in,
                 struct keras_value *out)
{
    struct keras_value gate;

    sigmoid(build, in, &gate);
    gated(build, in, &gate, out);
}

static void linear_sigmoid(struct keras_build *build,
                           const struct keras_value *in, double slope,
                           struct keras_value *out)
{
    struct onnx_node *node =
        keras_emit_like(build, "HardSigmoid", in, NULL, out);

    onnx_set_float(build->graph, node, "alpha", (float)slope);
    onnx_set_float(build->graph, node, "beta", 0.5F);
}

/* Keras 2 took 0.2 x + 0.5; Keras 3 takes x / 6 + 0.5. */
static void hard_sigmoid(struct keras_build *build,
                         const struct keras_value *in, struct keras_value *out)
{
    linear_sigmoid(build, in, build->major < 3 ? 0.2 : 1.0 / 6, out);
}

static void hard_silu(struct keras_build *build, const struct keras_value *in,
                      struct keras_value *out)
{
    struct keras_value gate;

    linear_sigmoid(build, in, 1.0 / 6, &gate);
    gated(build, in, &gate, out);
}

static void mish(struct keras_build *build, const struct keras_value *in,
                 struct keras_value *out)
{
    struct keras_value gate;

    softplus(build, in, &gate);
    hyperbolic(build, &gate, &gate);
    gated(build, in, &gate, out);
}

/* x * (1 + erf(x / sqrt 2)) / 2, in the order that ONNX Runtime knows as one
 * function. */
static void gelu(struct keras_build *build, const struct keras_value *in,
                 struct keras_value *out)
{
    struct keras_value gate, product;

    scale(build, in, "Div", sqrt(2), &gate);
    (void)keras_emit_like(build, "Erf", &gate, NULL, &gate);
    scale(build, &gate, "Add", 1, &gate);
    gated(build, in, &gate, &product);
    scale(build, &product, "Mul", 0.5, out);
}

static void softmax_along(struct keras_build *build,
                          const struct keras_value *in, int axis,
                          struct keras_value *out)
{
    struct onnx_node *node = keras_emit_like(build, "Softmax", in, NULL, out);

    onnx_set_int(build->graph, node, "axis", keras_memory_axis(in, axis));
    out->ending = KERAS_SOFTMAX;
}

static void softmax(struct keras_build *build, const struct keras_value *in,
                    struct keras_value *out)
{
    softmax_along(build, in, in->rank - 1, out);
}

static void linear(struct keras_build *build, const struct keras_value *in,
                   struct keras_value *out)
{
    (void)build;
    *out = *in;
}

static const struct {
    const char *name;
    function_fn *build;
} functions[] = {
    {"linear", linear},
    {"relu", relu},
    {"relu6", relu6},
    {"leaky_relu", leaky_relu},
    {"elu", elu},
    {"selu", selu},
    {"gelu", gelu},
    {"mish", mish},
    {"silu", silu},
    {"swish", silu},
    {"hard_silu", hard_silu},
    {"hard_swish", hard_silu},
    {"sigmoid", sigmoid},
    {"hard_sigmoid", hard_sigmoid},
    {"tanh", hyperbolic},
    {"softmax", softmax},
    {"softplus", softplus},
    {"softsign", softsign},
    {"exponential", exponential},
};

/* An activation that is a layer: {"class_name": "LeakyReLU", "config": ...}. */
static int activate_by_layer(struct keras_build *build,
                             const struct keras_layer *layer,
                             const struct json_value *what,
                             const struct keras_value *in,
                             struct keras_value *out, struct err *err)
{
    const char *class_name = json_text(json_find(what, "class_name"));
    const struct keras_layer_type *type =
        class_name != NULL ? keras_layer_find(class_name) : NULL;
    struct keras_layer inner = {.name = layer->name,
                                .class_name = class_name,
                                .config = json_find(what, "config"),
                                .parent = layer->parent};

    if (type == NULL || !type->is_activation ||
        strcmp(class_name, "Activation") == 0 || inner.config == NULL)
        return err_set(err, ERR_UNPROCESSABLE,
                       "its activation is a \"%.60s\", which is not known",
                       class_name != NULL ? class_name : "(nothing)");
    return type->build(build, &inner, in, 1, out, err);
}

int keras_activate_by_name(struct keras_build *build, const char *name,
                           const struct keras_value *in,
                           struct keras_value *out, struct err *err)
{
    struct keras_value made;
    size_t i;

    for (i = 0; i < sizeof functions / sizeof functions[0]; i++)
        if (strcmp(functions[i].name, name) == 0) {
            functions[i].build(build, in, &made);
            made.head = in->head;
            *out = made;
            return 0;
        }
    return err_set(err, ERR_UNPROCESSABLE,
                   "its activation is \"%.60s\", which is not known", name);
}

int keras_activate(struct keras_build *build, const struct keras_layer *layer,
                   const struct json_value *what, const struct keras_value *in,
                   struct keras_value *out, struct err *err)
{
    const char *name;
    int head = in->head, rc;

    if (what == NULL || json_type(what) == JSON_IS_NULL) {
        *out = *in;
        return 0;
    }
    name = json_text(what);
    if (name == NULL)
        name = json_text(json_find(what, "config"));
    if (name != NULL)
        return keras_activate_by_name(build, name, in, out, err);
    rc = activate_by_layer(build, layer, what, in, out, err);
    if (rc == 0)
        out->head = head;
    return rc;
}

int keras_build_activation(struct keras_build *build,
                           const struct keras_layer *layer,
                           const struct keras_value *in, int in_count,
                           struct keras_value *out, struct err *err)
{
    (void)in_count;
    return keras_activate(build, layer, json_find(layer->config, "activation"),
                          in, out, err);
}

/* Where x is under the threshold: slope * (x - threshold). */
static void relu_over(struct keras_build *build, const struct keras_value *in,
                      double threshold, double slope, struct keras_value *out)
{
    char number[KERAS_NAME_MAX];
    struct keras_value is_over, below, made = *in;

    keras_scalar(build, (float)threshold, number);
    (void)keras_emit_like(build, "Greater", in, number, &is_over);
    (void)keras_emit_like(build, "Sub", in, number, &below);
    scale(build, &below, "Mul", slope, &below);
    (void)keras_emit(build, "Where", &made, is_over.name, in->name, below.name);
    *out = made;
}

int keras_build_relu(struct keras_build *build, const struct keras_layer *layer,
                     const struct keras_value *in, int in_count,
                     struct keras_value *out, struct err *err)
{
    double max = INFINITY, slope = 0, threshold = 0;
    int rc;

    (void)in_count;
    rc = keras_get_number(layer, "max_value", &max, err);
    if (rc == 0)
        rc = keras_get_number(layer, "negative_slope", &slope, err);
    if (rc == 0)
        rc = keras_get_number(layer, "threshold", &threshold, err);
    if (rc)
        return rc;
    if (max < 0 || slope < 0 || threshold < 0)
        return err_set(err, ERR_UNPROCESSABLE,
                       "max_value, negative_slope or threshold is negative");
    if (threshold > 0)
        relu_over(build, in, threshold, slope, out);
    else if (slope > 0)
        leaky(build, in, slope, out);
    else if (isfinite(max))
        clip(build, in, 0, max, out);
    else
        relu(build, in, out);
    if (isfinite(max) && (threshold > 0 || slope > 0))
        scale(build, out, "Min", max, out);
    out->head = in->head;
    return 0;
}

int keras_build_relu6(struct keras_build *build,
                      const struct keras_layer *layer,
                      const struct keras_value *in, int in_count,
                      struct keras_value *out, struct err *err)
{
    (void)layer;
    (void)in_count;
    (void)err;
    relu6(build, in, out);
    return 0;
}

int keras_build_leaky_relu(struct keras_build *build,
                           const struct keras_layer *layer,
                           const struct keras_value *in, int in_count,
                           struct keras_value *out, struct err *err)
{
    double slope = 0.3;
    int rc;

    (void)in_count;
    rc = keras_get_number(layer, "alpha", &slope, err);
    if (rc == 0)
        rc = keras_get_number(layer, "negative_slope", &slope, err);
    if (rc == 0)
        leaky(build, in, slope, out);
    return rc;
}

int keras_build_elu(struct keras_build *build, const struct keras_layer *layer,
                    const struct keras_value *in, int in_count,
                    struct keras_value *out, struct err *err)
{
    double alpha = 1;
    int rc;

    (void)in_count;
    rc = keras_get_number(layer, "alpha", &alpha, err);
    if (rc == 0)
        elu_by(build, in, alpha, out);
    return rc;
}

int keras_build_softmax(struct keras_build *build,
                        const struct keras_layer *layer,
                        const struct keras_value *in, int in_count,
                        struct keras_value *out, struct err *err)
{
    double axis = -1;
    int place, head = in->head, rc;

    (void)in_count;
    rc = keras_get_number(layer, "axis", &axis, err);
    if (rc == 0 && !(fabs(axis) <= KERAS_RANK_MAX))
        axis = KERAS_RANK_MAX;
    if (rc == 0)
        rc = keras_axis(in, (int64_t)axis, &place, err);
    if (rc)
        return rc;
    softmax_along(build, in, place, out);
    out->head = head;
    return 0;
}

/* The slopes have the shape of one value, with 1 where axes share them. */
int keras_build_prelu(struct keras_build *build,
                      const struct keras_layer *layer,
                      const struct keras_value *in, int in_count,
                      struct keras_value *out, struct err *err)
{
    double shared[KERAS_RANK_MAX];
    int64_t dims[KERAS_RANK_MAX] = {0}, memory[KERAS_RANK_MAX];
    char name[KERAS_NAME_MAX];
    struct keras_value plain;
    struct onnx_tensor *tensor;
    float *slopes = NULL;
    int i, place, count = 0, rc;

    (void)in_count;
    rc = keras_get_numbers(layer, "shared_axes", KERAS_RANK_MAX, shared, &count,
                           err);
    for (i = 1; i < in->rank; i++)
        dims[i - 1] = in->dims[i];
    for (i = 0; i < count && rc == 0; i++) {
        rc = fabs(shared[i]) <= KERAS_RANK_MAX
                 ? keras_axis(in, (int64_t)shared[i], &place, err)
                 : err_set(err, ERR_UNPROCESSABLE, "shared_axes has %g",
                           shared[i]);
        if (rc == 0)
            dims[place - 1] = 1;
    }
    if (rc == 0)
        rc = keras_weights_read(build->weights, layer, 0, "alpha", dims,
                                in->rank - 1, &slopes, err);
    if (rc)
        return rc;
    memcpy(memory, dims, sizeof memory);
    plain = *in;
    if (in->is_turned && (dims[0] > 1 || dims[1] > 1)) {
        keras_unturn(build, in, &plain);
    } else if (in->is_turned) {
        memory[0] = dims[2];
        memory[1] = memory[2] = 1;
    }
    tensor = keras_tensor(build, "slopes", memory, in->rank - 1, name);
    if (tensor != NULL)
        memcpy(tensor->data, slopes, tensor->data_len);
    mem_free(slopes);
    (void)keras_emit_like(build, "PRelu", &plain, name, out);
    return 0;
}
