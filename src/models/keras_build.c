/* SPDX-License-Identifier: Apache-2.0 */
#include "models/keras_build.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

static void fresh_name(struct keras_build *build, const char *what, char *name)
{
    snprintf(name, KERAS_NAME_MAX, "%d.%s.%.100s", ++build->serial, what,
             build->layer != NULL ? build->layer->name : "");
}

struct onnx_node *keras_emit(struct keras_build *build, const char *op,
                             struct keras_value *out, const char *input1,
                             const char *input2, const char *input3)
{
    char name[KERAS_NAME_MAX];
    struct onnx_node *node;

    fresh_name(build, op, name);
    node = onnx_add(build->graph, op, name, input1, input2, input3, NULL);
    memcpy(out->name, name, sizeof out->name); /* an input may be out->name */
    out->is_input = false;
    out->ending = KERAS_LINEAR;
    out->head = -1;
    out->layer = build->layer;
    return node;
}

struct onnx_node *keras_emit_like(struct keras_build *build, const char *op,
                                  const struct keras_value *in,
                                  const char *input2, struct keras_value *out)
{
    struct keras_value made = *in;
    struct onnx_node *node =
        keras_emit(build, op, &made, in->name, input2, NULL);

    *out = made;
    return node;
}

struct onnx_tensor *keras_tensor(struct keras_build *build, const char *what,
                                 const int64_t *dims, int rank, char *name)
{
    fresh_name(build, what, name);
    return onnx_add_tensor(build->graph, name, ONNX_FLOAT, dims, rank, NULL);
}

void keras_scalar(struct keras_build *build, float value, char *name)
{
    fresh_name(build, "number", name);
    (void)onnx_add_tensor(build->graph, name, ONNX_FLOAT, NULL, 0, &value);
}

void keras_wholes(struct keras_build *build, const int64_t *values, int count,
                  char *name)
{
    int64_t dims[] = {count};

    fresh_name(build, "sizes", name);
    (void)onnx_add_tensor(build->graph, name, ONNX_INT64, dims, 1, values);
}

void keras_channels(struct keras_build *build, const struct keras_value *value,
                    const float *numbers, char *name)
{
    int64_t dims[] = {value->dims[value->rank - 1], 1, 1};

    fresh_name(build, "numbers", name);
    (void)onnx_add_tensor(build->graph, name, ONNX_FLOAT, dims,
                          value->is_turned ? 3 : 1, numbers);
}

/* Every use of a value shares one turned one. */
static void transpose(struct keras_build *build, const struct keras_value *in,
                      bool is_turned, struct keras_value *out)
{
    static const int64_t to_first[] = {0, 3, 1, 2}, to_last[] = {0, 2, 3, 1};
    struct keras_value made = *in;
    struct onnx_node *node;

    snprintf(made.name, sizeof made.name, "%.*s.%s", KERAS_NAME_MAX - 8,
             in->name, is_turned ? "nchw" : "nhwc");
    made.is_turned = is_turned;
    if (onnx_producer(build->graph, made.name) == NULL) {
        node = onnx_add(build->graph, "Transpose", made.name, in->name, NULL,
                        NULL, NULL);
        onnx_set_ints(build->graph, node, "perm",
                      is_turned ? to_first : to_last, 4);
    }
    *out = made;
}

void keras_turn(struct keras_build *build, const struct keras_value *in,
                struct keras_value *out)
{
    if (in->rank == 4 && !in->is_turned)
        transpose(build, in, true, out);
    else
        *out = *in;
}

void keras_unturn(struct keras_build *build, const struct keras_value *in,
                  struct keras_value *out)
{
    if (in->is_turned)
        transpose(build, in, false, out);
    else
        *out = *in;
}

int keras_plane(struct keras_build *build, const struct keras_layer *layer,
                const struct keras_value *in, struct keras_plane *out,
                struct err *err)
{
    const char *format = "channels_last";
    struct keras_value value;
    int rc;

    rc = keras_get_text(layer, "data_format", &format, err);
    if (rc)
        return rc;
    if (strcmp(format, "channels_first") != 0 &&
        strcmp(format, "channels_last") != 0)
        return err_set(err, ERR_UNPROCESSABLE,
                       "data_format \"%.60s\" is "
                       "unknown",
                       format);
    if (in->rank != 4)
        return err_set(err, ERR_UNPROCESSABLE,
                       "its input has rank %d; images have 4", in->rank);
    out->is_first = strcmp(format, "channels_first") == 0;
    if (out->is_first) {
        keras_unturn(build, in, &value);
        out->channels = value.dims[1];
        out->height = value.dims[2];
        out->width = value.dims[3];
    } else {
        keras_turn(build, in, &value);
        out->channels = value.dims[3];
        out->height = value.dims[1];
        out->width = value.dims[2];
    }
    memcpy(out->name, value.name, sizeof out->name);
    return 0;
}

void keras_from_plane(const struct keras_plane *plane, int64_t channels,
                      int64_t height, int64_t width, struct keras_value *out)
{
    out->rank = 4;
    out->is_turned = !plane->is_first;
    out->dims[0] = -1;
    out->dims[1] = plane->is_first ? channels : height;
    out->dims[2] = plane->is_first ? height : width;
    out->dims[3] = plane->is_first ? width : channels;
}

int keras_head(struct keras_build *build, const struct keras_value *in,
               int *head, struct err *err)
{
    struct keras_value *longer =
        mem_resize(build->heads, (size_t)build->head_count + 1, sizeof *longer);

    if (longer == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for the layers");
    build->heads = longer;
    longer[build->head_count] = *in;
    *head = build->head_count++;
    return 0;
}

int64_t keras_value_len(const struct keras_value *value)
{
    int64_t len = 1;
    int i;

    for (i = 1; i < value->rank; i++)
        len *= value->dims[i];
    return len;
}

int keras_check_value(const struct keras_value *value, struct err *err)
{
    int64_t len = 1;
    int i;

    for (i = 1; i < value->rank; i++) {
        if (value->dims[i] < 1)
            return err_set(err, ERR_UNPROCESSABLE,
                           "its output would have a side of %lld",
                           (long long)value->dims[i]);
        if (__builtin_mul_overflow(len, value->dims[i], &len) ||
            len > KERAS_ELEMENTS_MAX)
            return err_set(err, ERR_UNPROCESSABLE,
                           "its output would have over %d numbers for one "
                           "image",
                           KERAS_ELEMENTS_MAX);
    }
    return 0;
}

int keras_axis(const struct keras_value *value, int64_t axis, int *out,
               struct err *err)
{
    int64_t place = axis < 0 ? axis + value->rank : axis;

    if (place < 1 || place >= value->rank)
        return err_set(err, ERR_UNPROCESSABLE,
                       "axis is %lld; the input has rank %d, the first is the "
                       "batch",
                       (long long)axis, value->rank);
    *out = (int)place;
    return 0;
}

int keras_memory_axis(const struct keras_value *value, int axis)
{
    static const int turned[] = {0, 2, 3, 1};

    return value->is_turned ? turned[axis] : axis;
}
