/* SPDX-License-Identifier: Apache-2.0 */
/* Pooling, padding, cropping and enlarging. */
#include "models/keras_window.h"

#include <string.h>

enum { WINDOW_MAX = 4096, BORDER_MAX = 8192, ENLARGE_MAX = 256 };

bool keras_has_member(const struct keras_layer *layer, const char *key)
{
    const struct json_value *value = json_find(layer->config, key);

    return value != NULL && json_type(value) != JSON_IS_NULL;
}

int keras_window_sizes(const struct keras_layer *layer, const char *size_key,
                       struct keras_window *out, struct err *err)
{
    bool is_pool = strcmp(size_key, "pool_size") == 0;
    int rc;

    *out = (struct keras_window){.dilation = {1, 1}};
    if (is_pool)
        out->kernel[0] = out->kernel[1] = 2;
    rc = keras_get_pair(layer, size_key, 1, WINDOW_MAX, out->kernel, err);
    if (rc == 0 && out->kernel[0] == 0)
        rc = err_set(err, ERR_UNPROCESSABLE, "it has no %s", size_key);
    out->stride[0] = is_pool ? out->kernel[0] : 1;
    out->stride[1] = is_pool ? out->kernel[1] : 1;
    if (rc == 0)
        rc = keras_get_pair(layer, "strides", 1, WINDOW_MAX, out->stride, err);
    if (rc == 0)
        rc = keras_get_pair(layer, "dilation_rate", 1, WINDOW_MAX,
                            out->dilation, err);
    return rc;
}

int keras_window_read(const struct keras_layer *layer, const char *size_key,
                      const struct keras_plane *in, struct keras_window *out,
                      struct err *err)
{
    const int64_t side[] = {in->height, in->width};
    const char *padding = "valid";
    bool is_same;
    int i, rc;

    rc = keras_window_sizes(layer, size_key, out, err);
    if (rc == 0)
        rc = keras_get_text(layer, "padding", &padding, err);
    if (rc)
        return rc;
    is_same = strcmp(padding, "same") == 0;
    if (!is_same && strcmp(padding, "valid") != 0)
        return err_set(err, ERR_UNPROCESSABLE,
                       "padding is \"%.60s\"; it must be same or valid",
                       padding);
    for (i = 0; i < 2; i++) {
        int64_t reach = (out->kernel[i] - 1) * out->dilation[i] + 1, pad;

        if (!is_same && side[i] < reach)
            return err_set(err, ERR_UNPROCESSABLE,
                           "its window of %lld is larger than its input's %lld",
                           (long long)reach, (long long)side[i]);
        out->out[i] = is_same ? (side[i] + out->stride[i] - 1) / out->stride[i]
                              : (side[i] - reach) / out->stride[i] + 1;
        pad = (out->out[i] - 1) * out->stride[i] + reach - side[i];
        if (!is_same || pad < 0)
            pad = 0;
        out->pads[i] = pad / 2;
        out->pads[i + 2] = pad - pad / 2;
    }
    return 0;
}

static int pool(struct keras_build *build, const struct keras_layer *layer,
                const char *op, const struct keras_value *in,
                struct keras_value *out, struct err *err)
{
    struct keras_window window;
    struct keras_plane plane;
    struct onnx_node *node;
    int rc;

    rc = keras_plane(build, layer, in, &plane, err);
    if (rc == 0)
        rc = keras_window_read(layer, "pool_size", &plane, &window, err);
    if (rc)
        return rc;
    node = keras_emit(build, op, out, plane.name, NULL, NULL);
    keras_from_plane(&plane, plane.channels, window.out[0], window.out[1], out);
    onnx_set_ints(build->graph, node, "kernel_shape", window.kernel, 2);
    onnx_set_ints(build->graph, node, "strides", window.stride, 2);
    onnx_set_ints(build->graph, node, "pads", window.pads, 4);
    return 0;
}

int keras_build_max_pooling(struct keras_build *build,
                            const struct keras_layer *layer,
                            const struct keras_value *in, int in_count,
                            struct keras_value *out, struct err *err)
{
    (void)in_count;
    return pool(build, layer, "MaxPool", in, out, err);
}

int keras_build_average_pooling(struct keras_build *build,
                                const struct keras_layer *layer,
                                const struct keras_value *in, int in_count,
                                struct keras_value *out, struct err *err)
{
    (void)in_count;
    return pool(build, layer, "AveragePool", in, out, err);
}

static int global_pool(struct keras_build *build,
                       const struct keras_layer *layer, const char *op,
                       const struct keras_value *in, struct keras_value *out,
                       struct err *err)
{
    struct keras_plane plane;
    struct onnx_node *node;
    bool keeps = false;
    int rc;

    rc = keras_plane(build, layer, in, &plane, err);
    if (rc == 0)
        rc = keras_get_bool(layer, "keepdims", &keeps, err);
    if (rc)
        return rc;
    (void)keras_emit(build, op, out, plane.name, NULL, NULL);
    keras_from_plane(&plane, plane.channels, 1, 1, out);
    if (keeps)
        return 0;
    node = keras_emit_like(build, "Flatten", out, NULL, out);
    onnx_set_int(build->graph, node, "axis", 1);
    out->rank = 2;
    out->dims[1] = plane.channels;
    out->is_turned = false;
    return 0;
}

int keras_build_global_average(struct keras_build *build,
                               const struct keras_layer *layer,
                               const struct keras_value *in, int in_count,
                               struct keras_value *out, struct err *err)
{
    (void)in_count;
    return global_pool(build, layer, "GlobalAveragePool", in, out, err);
}

int keras_build_global_max(struct keras_build *build,
                           const struct keras_layer *layer,
                           const struct keras_value *in, int in_count,
                           struct keras_value *out, struct err *err)
{
    (void)in_count;
    return global_pool(build, layer, "GlobalMaxPool", in, out, err);
}

/* The four borders, top, bottom, left, right, of one number, of one for each
 * axis, or of two for each. */
static int read_borders(const struct keras_layer *layer, const char *key,
                        int64_t borders[4], struct err *err)
{
    double numbers[4];
    int i, count = 0, rc;

    rc = keras_get_numbers(layer, key, 4, numbers, &count, err);
    if (rc)
        return rc;
    if (count == 3)
        return err_set(err, ERR_UNPROCESSABLE, "%s has 3 numbers", key);
    for (i = 0; i < 4; i++) {
        double number = count == 4   ? numbers[i]
                        : count == 2 ? numbers[i / 2]
                        : count == 1 ? numbers[0]
                                     : 1;

        if (!(number >= 0 && number <= BORDER_MAX))
            return err_set(err, ERR_UNPROCESSABLE,
                           "%s has %g; it must be 0..%d", key, number,
                           BORDER_MAX);
        borders[i] = (int64_t)number;
    }
    return 0;
}

int keras_build_zero_padding(struct keras_build *build,
                             const struct keras_layer *layer,
                             const struct keras_value *in, int in_count,
                             struct keras_value *out, struct err *err)
{
    char sizes[KERAS_NAME_MAX], zero[KERAS_NAME_MAX];
    int64_t borders[4], pads[8] = {0};
    struct keras_plane plane;
    int rc;

    (void)in_count;
    rc = keras_plane(build, layer, in, &plane, err);
    if (rc == 0)
        rc = read_borders(layer, "padding", borders, err);
    if (rc)
        return rc;
    pads[2] = borders[0];
    pads[3] = borders[2];
    pads[6] = borders[1];
    pads[7] = borders[3];
    keras_wholes(build, pads, 8, sizes);
    keras_scalar(build, 0, zero);
    (void)keras_emit(build, "Pad", out, plane.name, sizes, zero);
    keras_from_plane(&plane, plane.channels,
                     plane.height + borders[0] + borders[1],
                     plane.width + borders[2] + borders[3], out);
    return keras_check_value(out, err);
}

int keras_build_cropping(struct keras_build *build,
                         const struct keras_layer *layer,
                         const struct keras_value *in, int in_count,
                         struct keras_value *out, struct err *err)
{
    static const int64_t axes[] = {2, 3};
    char starts[KERAS_NAME_MAX], ends[KERAS_NAME_MAX], names[KERAS_NAME_MAX];
    int64_t borders[4], from[2], to[2];
    struct keras_plane plane;
    struct onnx_node *node;
    int rc;

    (void)in_count;
    rc = keras_plane(build, layer, in, &plane, err);
    if (rc == 0)
        rc = read_borders(layer, "cropping", borders, err);
    if (rc)
        return rc;
    from[0] = borders[0];
    from[1] = borders[2];
    to[0] = plane.height - borders[1];
    to[1] = plane.width - borders[3];
    if (to[0] <= from[0] || to[1] <= from[1])
        return err_set(err, ERR_UNPROCESSABLE,
                       "it leaves nothing of %lld x %lld",
                       (long long)plane.height, (long long)plane.width);
    keras_wholes(build, from, 2, starts);
    keras_wholes(build, to, 2, ends);
    keras_wholes(build, axes, 2, names);
    node = keras_emit(build, "Slice", out, plane.name, starts, ends);
    onnx_add_input(build->graph, node, names);
    keras_from_plane(&plane, plane.channels, to[0] - from[0], to[1] - from[1],
                     out);
    return 0;
}

int keras_build_upsampling(struct keras_build *build,
                           const struct keras_layer *layer,
                           const struct keras_value *in, int in_count,
                           struct keras_value *out, struct err *err)
{
    const char *way = "nearest";
    int64_t size[2] = {2, 2}, dims[] = {4};
    char scales[KERAS_NAME_MAX];
    struct keras_plane plane;
    struct onnx_tensor *tensor;
    struct onnx_node *node;
    bool is_nearest;
    int rc;

    (void)in_count;
    rc = keras_plane(build, layer, in, &plane, err);
    if (rc == 0)
        rc = keras_get_pair(layer, "size", 1, ENLARGE_MAX, size, err);
    if (rc == 0)
        rc = keras_get_text(layer, "interpolation", &way, err);
    if (rc)
        return rc;
    is_nearest = strcmp(way, "nearest") == 0;
    if (!is_nearest && strcmp(way, "bilinear") != 0)
        return err_set(err, ERR_UNPROCESSABLE,
                       "interpolation is \"%.60s\"; nearest and bilinear are "
                       "read",
                       way);
    tensor = keras_tensor(build, "scales", dims, 1, scales);
    if (tensor != NULL) {
        float numbers[] = {1, 1, (float)size[0], (float)size[1]};

        memcpy(tensor->data, numbers, sizeof numbers);
    }
    node = keras_emit(build, "Resize", out, plane.name, "", scales);
    onnx_set_text(build->graph, node, "mode",
                  is_nearest ? "nearest" : "linear");
    onnx_set_text(build->graph, node, "coordinate_transformation_mode",
                  is_nearest ? "asymmetric" : "half_pixel");
    if (is_nearest)
        onnx_set_text(build->graph, node, "nearest_mode", "floor");
    keras_from_plane(&plane, plane.channels, plane.height * size[0],
                     plane.width * size[1], out);
    return keras_check_value(out, err);
}
