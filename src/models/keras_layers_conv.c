/* SPDX-License-Identifier: Apache-2.0 */
/* Convolutions and Dense. Kernels are turned from Keras' height x width x in x
 * out to ONNX' out x in x height x width. */
#include <string.h>

#include "base/mem.h"
#include "models/keras_build.h"
#include "models/keras_window.h"

/* Adds the bias, when the layer has one, as the last input. */
static int add_bias(struct keras_build *build, const struct keras_layer *layer,
                    int64_t count, int i, struct onnx_node *node,
                    struct err *err)
{
    char name[KERAS_NAME_MAX];
    struct onnx_tensor *tensor;
    bool has_bias = true;
    float *bias = NULL;
    int rc;

    rc = keras_get_bool(layer, "use_bias", &has_bias, err);
    if (rc || !has_bias)
        return rc;
    rc = keras_weights_read(build->weights, layer, i, "bias", &count, 1, &bias,
                            err);
    if (rc)
        return rc;
    tensor = keras_tensor(build, "bias", &count, 1, name);
    if (tensor != NULL)
        memcpy(tensor->data, bias, tensor->data_len);
    mem_free(bias);
    onnx_add_input(build->graph, node, name);
    return 0;
}

/* to[b][a] = from[a][b], for `count` blocks one after the other. */
static void swap_axes(const float *from, size_t count, size_t a_len,
                      size_t b_len, float *to)
{
    size_t i, a, b, size = a_len * b_len;

    for (i = 0; i < count; i++)
        for (a = 0; a < a_len; a++)
            for (b = 0; b < b_len; b++)
                to[i * size + b * a_len + a] = from[i * size + a * b_len + b];
}

/* Reads a kernel of height x width x a x b and gives it as b x a x height x
 * width, or as a x b x ... when is_by_in. The name of the tensor goes into
 * name; dims are those of ONNX. */
static int add_kernel(struct keras_build *build,
                      const struct keras_layer *layer, int i, const char *key,
                      const int64_t dims[4], bool is_by_in, int64_t first,
                      char *name, struct err *err)
{
    size_t places = (size_t)(dims[0] * dims[1]);
    size_t a_len = (size_t)dims[2], b_len = (size_t)dims[3];
    int64_t out_dims[4] = {dims[3], dims[2], dims[0], dims[1]};
    struct onnx_tensor *tensor;
    float *kernel = NULL, *swapped = NULL;
    int rc;

    if (is_by_in) {
        out_dims[0] = first;
        out_dims[1] = dims[2] * dims[3] / first;
    }
    rc = keras_weights_read(build->weights, layer, i, key, dims, 4, &kernel,
                            err);
    if (rc)
        return rc;
    swapped =
        is_by_in ? kernel : mem_try(places * a_len * b_len, sizeof *swapped);
    tensor = keras_tensor(build, "kernel", out_dims, 4, name);
    if (swapped == NULL) {
        rc = err_set(err, ERR_UNAVAILABLE, "no memory for a kernel");
    } else if (tensor != NULL) {
        if (!is_by_in)
            swap_axes(kernel, places, a_len, b_len, swapped);
        swap_axes(swapped, 1, places, a_len * b_len, tensor->data);
    }
    if (swapped != kernel)
        mem_free(swapped);
    mem_free(kernel);
    return rc;
}

/* A convolution node over a plane; the value that it gives. */
static struct onnx_node *emit_conv(struct keras_build *build,
                                   const struct keras_plane *plane,
                                   const struct keras_window *window,
                                   const char *kernel, int64_t filters,
                                   int64_t groups, struct keras_value *out)
{
    struct onnx_node *node =
        keras_emit(build, "Conv", out, plane->name, kernel, NULL);

    keras_from_plane(plane, filters, window->out[0], window->out[1], out);
    onnx_set_ints(build->graph, node, "kernel_shape", window->kernel, 2);
    onnx_set_ints(build->graph, node, "strides", window->stride, 2);
    onnx_set_ints(build->graph, node, "dilations", window->dilation, 2);
    onnx_set_ints(build->graph, node, "pads", window->pads, 4);
    onnx_set_int(build->graph, node, "group", groups);
    return node;
}

/* The end of every layer with weights: its bias, its activation, its head. */
static int finish(struct keras_build *build, const struct keras_layer *layer,
                  const struct keras_value *in, int64_t units, int bias_i,
                  struct onnx_node *node, struct keras_value *out,
                  struct err *err)
{
    struct keras_value made = *out;
    int rc = keras_check_value(&made, err);

    if (rc == 0)
        rc = add_bias(build, layer, units, bias_i, node, err);
    if (rc == 0)
        rc = keras_head(build, in, &made.head, err);
    return rc ? rc
              : keras_activate(build, layer,
                               json_find(layer->config, "activation"), &made,
                               out, err);
}

int keras_build_conv(struct keras_build *build, const struct keras_layer *layer,
                     const struct keras_value *in, int in_count,
                     struct keras_value *out, struct err *err)
{
    int64_t filters = 0, groups = 1, dims[4];
    char kernel[KERAS_NAME_MAX];
    struct keras_window window;
    struct keras_plane plane;
    struct onnx_node *node;
    int rc;

    (void)in_count;
    rc = keras_plane(build, layer, in, &plane, err);
    if (rc == 0)
        rc = keras_window_read(layer, "kernel_size", &plane, &window, err);
    if (rc == 0)
        rc = keras_get_integer(layer, "filters", 1, KERAS_CHANNELS_MAX,
                               &filters, err);
    if (rc == 0)
        rc = keras_get_integer(layer, "groups", 1, KERAS_CHANNELS_MAX, &groups,
                               err);
    if (rc)
        return rc;
    if (filters < 1 || filters % groups != 0 || plane.channels % groups != 0)
        return err_set(err, ERR_UNPROCESSABLE,
                       "it has %lld filters in %lld groups over %lld channels",
                       (long long)filters, (long long)groups,
                       (long long)plane.channels);
    dims[0] = window.kernel[0];
    dims[1] = window.kernel[1];
    dims[2] = plane.channels / groups;
    dims[3] = filters;
    rc = add_kernel(build, layer, 0, "kernel", dims, false, 0, kernel, err);
    if (rc)
        return rc;
    node = emit_conv(build, &plane, &window, kernel, filters, groups, out);
    return finish(build, layer, in, filters, 1, node, out, err);
}

static int read_multiplier(const struct keras_layer *layer,
                           const struct keras_plane *plane, int64_t *out,
                           struct err *err)
{
    int64_t multiplier = 1;
    int rc = keras_get_integer(layer, "depth_multiplier", 1, KERAS_CHANNELS_MAX,
                               &multiplier, err);

    if (rc)
        return rc;
    if (multiplier > KERAS_CHANNELS_MAX / plane->channels)
        return err_set(err, ERR_UNPROCESSABLE,
                       "depth_multiplier is %lld over %lld channels",
                       (long long)multiplier, (long long)plane->channels);
    *out = multiplier;
    return 0;
}

/* The part over each channel by itself. Its kernel, height x width x channels
 * x multiplier, is in ONNX one of channels * multiplier filters of depth 1. */
static int emit_depthwise(struct keras_build *build,
                          const struct keras_layer *layer, const char *key,
                          const struct keras_plane *plane,
                          struct keras_window *window, int64_t *channels,
                          struct onnx_node **node, struct keras_value *out,
                          struct err *err)
{
    char kernel[KERAS_NAME_MAX];
    int64_t multiplier = 1, dims[4];
    int rc;

    rc = keras_window_read(layer, "kernel_size", plane, window, err);
    if (rc == 0)
        rc = read_multiplier(layer, plane, &multiplier, err);
    if (rc)
        return rc;
    *channels = plane->channels * multiplier;
    dims[0] = window->kernel[0];
    dims[1] = window->kernel[1];
    dims[2] = plane->channels;
    dims[3] = multiplier;
    rc = add_kernel(build, layer, 0, key, dims, true, *channels, kernel, err);
    if (rc)
        return rc;
    *node = emit_conv(build, plane, window, kernel, *channels, plane->channels,
                      out);
    return 0;
}

int keras_build_depthwise(struct keras_build *build,
                          const struct keras_layer *layer,
                          const struct keras_value *in, int in_count,
                          struct keras_value *out, struct err *err)
{
    struct keras_window window;
    struct keras_plane plane;
    struct onnx_node *node = NULL;
    int64_t channels = 0;
    int rc;

    (void)in_count;
    rc = keras_plane(build, layer, in, &plane, err);
    if (rc == 0)
        rc = emit_depthwise(build, layer, "depthwise_kernel|kernel", &plane,
                            &window, &channels, &node, out, err);
    return rc ? rc : finish(build, layer, in, channels, 1, node, out, err);
}

int keras_build_separable(struct keras_build *build,
                          const struct keras_layer *layer,
                          const struct keras_value *in, int in_count,
                          struct keras_value *out, struct err *err)
{
    struct keras_window window, point = {{1, 1}, {1, 1}, {1, 1}, {0}, {0}};
    int64_t channels = 0, filters = 0, dims[4] = {1, 1};
    char kernel[KERAS_NAME_MAX];
    struct keras_value middle;
    struct keras_plane plane;
    struct onnx_node *node = NULL;
    int rc;

    (void)in_count;
    rc = keras_plane(build, layer, in, &plane, err);
    if (rc == 0)
        rc = keras_get_integer(layer, "filters", 1, KERAS_CHANNELS_MAX,
                               &filters, err);
    if (rc == 0)
        rc = emit_depthwise(build, layer, "depthwise_kernel", &plane, &window,
                            &channels, &node, &middle, err);
    if (rc == 0)
        rc = keras_check_value(&middle, err);
    if (rc)
        return rc;
    dims[2] = channels;
    dims[3] = filters;
    rc = add_kernel(build, layer, 1, "pointwise_kernel", dims, false, 0, kernel,
                    err);
    if (rc)
        return rc;
    memcpy(plane.name, middle.name, sizeof plane.name);
    memcpy(point.out, window.out, sizeof point.out);
    node = emit_conv(build, &plane, &point, kernel, filters, 1, out);
    return finish(build, layer, in, filters, 2, node, out, err);
}

/* Keras makes the output stride times the input, or with "valid" larger by
 * what the kernel sticks out; ONNX is told what to cut off. */
static void transpose_window(struct keras_window *window, bool is_same,
                             const struct keras_plane *plane, int64_t more[2])
{
    const int64_t side[] = {plane->height, plane->width};
    int i;

    for (i = 0; i < 2; i++) {
        int64_t over = window->kernel[i] - window->stride[i];
        int64_t cut = is_same && over > 0 ? over : 0;

        more[i] = over < 0 ? -over : 0;
        window->out[i] =
            side[i] * window->stride[i] + (!is_same && over > 0 ? over : 0);
        window->pads[i] = cut / 2;
        window->pads[i + 2] = cut - cut / 2;
    }
}

int keras_build_conv_transpose(struct keras_build *build,
                               const struct keras_layer *layer,
                               const struct keras_value *in, int in_count,
                               struct keras_value *out, struct err *err)
{
    const char *padding = "valid";
    int64_t filters = 0, dims[4], more[2];
    char kernel[KERAS_NAME_MAX];
    struct keras_window window;
    struct keras_plane plane;
    struct onnx_node *node;
    int rc;

    (void)in_count;
    rc = keras_plane(build, layer, in, &plane, err);
    if (rc == 0)
        rc = keras_window_sizes(layer, "kernel_size", &window, err);
    if (rc == 0)
        rc = keras_get_integer(layer, "filters", 1, KERAS_CHANNELS_MAX,
                               &filters, err);
    if (rc == 0)
        rc = keras_get_text(layer, "padding", &padding, err);
    if (rc)
        return rc;
    if (keras_has_member(layer, "output_padding") || window.dilation[0] > 1 ||
        window.dilation[1] > 1)
        return err_set(err, ERR_UNPROCESSABLE,
                       "output_padding and dilation_rate of a transposed "
                       "convolution are not read");
    transpose_window(&window, strcmp(padding, "same") == 0, &plane, more);
    dims[0] = window.kernel[0];
    dims[1] = window.kernel[1];
    dims[2] = filters;
    dims[3] = plane.channels;
    rc = add_kernel(build, layer, 0, "kernel", dims, false, 0, kernel, err);
    if (rc)
        return rc;
    node = keras_emit(build, "ConvTranspose", out, plane.name, kernel, NULL);
    keras_from_plane(&plane, filters, window.out[0], window.out[1], out);
    onnx_set_ints(build->graph, node, "kernel_shape", window.kernel, 2);
    onnx_set_ints(build->graph, node, "strides", window.stride, 2);
    onnx_set_ints(build->graph, node, "pads", window.pads, 4);
    onnx_set_ints(build->graph, node, "output_padding", more, 2);
    return finish(build, layer, in, filters, 1, node, out, err);
}

/* Over the last axis of a value of higher rank: a product, then the bias. */
static int dense_along(struct keras_build *build,
                       const struct keras_layer *layer,
                       const struct keras_value *in, const char *kernel,
                       int64_t units, struct keras_value *out, struct err *err)
{
    struct keras_value plain, made;
    struct onnx_node *node;
    bool has_bias = true;
    int rc = keras_get_bool(layer, "use_bias", &has_bias, err);

    if (rc)
        return rc;
    keras_unturn(build, in, &plain);
    made = plain;
    made.dims[made.rank - 1] = units;
    node = keras_emit(build, "MatMul", &made, plain.name, kernel, NULL);
    if (has_bias)
        node = keras_emit_like(build, "Add", &made, NULL, &made);
    *out = made;
    return finish(build, layer, in, units, 1, node, out, err);
}

int keras_build_dense(struct keras_build *build,
                      const struct keras_layer *layer,
                      const struct keras_value *in, int in_count,
                      struct keras_value *out, struct err *err)
{
    int64_t units = 0, dims[2];
    char name[KERAS_NAME_MAX];
    struct onnx_tensor *tensor;
    struct onnx_node *node;
    float *kernel = NULL;
    int rc;

    (void)in_count;
    rc = keras_get_integer(layer, "units", 1, KERAS_CHANNELS_MAX, &units, err);
    if (rc)
        return rc;
    dims[0] = in->dims[in->rank - 1];
    dims[1] = units;
    rc = keras_weights_read(build->weights, layer, 0, "kernel", dims, 2,
                            &kernel, err);
    if (rc)
        return rc;
    tensor = keras_tensor(build, "kernel", dims, 2, name);
    if (tensor != NULL)
        memcpy(tensor->data, kernel, tensor->data_len);
    mem_free(kernel);
    if (in->rank != 2)
        return dense_along(build, layer, in, name, units, out, err);
    node = keras_emit(build, "Gemm", out, in->name, name, NULL);
    out->rank = 2;
    out->dims[0] = -1;
    out->dims[1] = units;
    out->is_turned = false;
    return finish(build, layer, in, units, 1, node, out, err);
}
