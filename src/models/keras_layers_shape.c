/* SPDX-License-Identifier: Apache-2.0 */
/* Layers that change the shape, and those that join several values. */
#include <string.h>

#include "models/keras_build.h"

enum { SIDE_MAX = 1 << 28 };

/* Whether the numbers lie in Keras' order in memory although the value is
 * turned: one channel, or one place. */
static bool has_same_order(const struct keras_value *value)
{
    return value->dims[3] == 1 || (value->dims[1] == 1 && value->dims[2] == 1);
}

static void plain_order(struct keras_build *build, const struct keras_value *in,
                        struct keras_value *out)
{
    if (in->is_turned && !has_same_order(in))
        keras_unturn(build, in, out);
    else
        *out = *in;
}

int keras_build_flatten(struct keras_build *build,
                        const struct keras_layer *layer,
                        const struct keras_value *in, int in_count,
                        struct keras_value *out, struct err *err)
{
    struct keras_value plain, made = *in;
    const char *format = "channels_last";
    struct onnx_node *node;
    int rc;

    (void)in_count;
    rc = keras_get_text(layer, "data_format", &format, err);
    if (rc)
        return rc;
    if (strcmp(format, "channels_first") == 0 && in->rank > 2)
        return err_set(err, ERR_UNPROCESSABLE,
                       "flattening with the channels first is not read");
    plain_order(build, in, &plain);
    node = keras_emit(build, "Flatten", &made, plain.name, NULL, NULL);
    onnx_set_int(build->graph, node, "axis", 1);
    made.rank = 2;
    made.dims[1] = keras_value_len(in);
    made.is_turned = false;
    made.head = in->head;
    made.ending = in->ending;
    *out = made;
    return 0;
}

/* The shape that is asked for, with -1 worked out. */
static int read_shape(const struct keras_layer *layer, int64_t len, int *rank,
                      int64_t *dims, struct err *err)
{
    double numbers[KERAS_RANK_MAX];
    int64_t product = 1;
    int i, free_i = -1, count = 0, rc;

    rc = keras_get_numbers(layer, "target_shape", KERAS_RANK_MAX - 1, numbers,
                           &count, err);
    if (rc)
        return rc;
    for (i = 0; i < count; i++) {
        if (!(numbers[i] >= -1 && numbers[i] <= SIDE_MAX) || numbers[i] == 0 ||
            (numbers[i] < 0 && free_i >= 0))
            return err_set(err, ERR_UNPROCESSABLE, "target_shape has %g",
                           numbers[i]);
        if (numbers[i] < 0)
            free_i = i;
        dims[i + 1] = (int64_t)numbers[i];
        if (numbers[i] > 0 &&
            __builtin_mul_overflow(product, dims[i + 1], &product))
            product = INT64_MAX;
    }
    if (free_i >= 0) {
        dims[free_i + 1] = len / product;
        product *= dims[free_i + 1];
    }
    if (count == 0 || product != len)
        return err_set(err, ERR_UNPROCESSABLE,
                       "target_shape does not hold the %lld numbers of the "
                       "input",
                       (long long)len);
    dims[0] = -1;
    *rank = count + 1;
    return 0;
}

int keras_build_reshape(struct keras_build *build,
                        const struct keras_layer *layer,
                        const struct keras_value *in, int in_count,
                        struct keras_value *out, struct err *err)
{
    struct keras_value plain, made = *in;
    int64_t memory[KERAS_RANK_MAX];
    char shape[KERAS_NAME_MAX];
    int rc;

    (void)in_count;
    rc = read_shape(layer, keras_value_len(in), &made.rank, made.dims, err);
    if (rc)
        return rc;
    plain_order(build, in, &plain);
    memcpy(memory, made.dims, sizeof memory);
    made.is_turned = made.rank == 4 && has_same_order(&made);
    if (made.is_turned) {
        memory[1] = made.dims[3];
        memory[2] = made.dims[1];
        memory[3] = made.dims[2];
    }
    keras_wholes(build, memory, made.rank, shape);
    (void)keras_emit(build, "Reshape", &made, plain.name, shape, NULL);
    made.head = in->head;
    made.ending = made.rank == 2 ? in->ending : KERAS_LINEAR;
    *out = made;
    return 0;
}

int keras_build_permute(struct keras_build *build,
                        const struct keras_layer *layer,
                        const struct keras_value *in, int in_count,
                        struct keras_value *out, struct err *err)
{
    double numbers[KERAS_RANK_MAX];
    int64_t order[KERAS_RANK_MAX] = {0};
    struct keras_value plain, made;
    struct onnx_node *node;
    unsigned seen = 0;
    int i, count = 0, rc;

    (void)in_count;
    rc = keras_get_numbers(layer, "dims", KERAS_RANK_MAX, numbers, &count, err);
    if (rc)
        return rc;
    for (i = 0; i < count && count == in->rank - 1; i++)
        if (numbers[i] >= 1 && numbers[i] < in->rank) {
            order[i + 1] = (int64_t)numbers[i];
            seen |= 1U << order[i + 1];
        }
    if (seen != (1U << in->rank) - 2)
        return err_set(err, ERR_UNPROCESSABLE,
                       "dims is no order of the input's %d axes", in->rank - 1);
    keras_unturn(build, in, &plain);
    made = plain;
    for (i = 1; i < in->rank; i++)
        made.dims[i] = plain.dims[order[i]];
    node = keras_emit(build, "Transpose", &made, plain.name, NULL, NULL);
    onnx_set_ints(build->graph, node, "perm", order, (size_t)in->rank);
    *out = made;
    return 0;
}

int keras_combine(struct keras_build *build, const char *op,
                  const struct keras_value *a, const struct keras_value *b,
                  struct keras_value *out, struct err *err)
{
    struct keras_value left = *a, right = *b, made;
    int i;

    if (a->rank != b->rank)
        return err_set(err, ERR_UNPROCESSABLE,
                       "it joins inputs of rank %d and %d", a->rank, b->rank);
    if (a->is_turned != b->is_turned) {
        keras_turn(build, a, &left);
        keras_turn(build, b, &right);
    }
    made = left;
    for (i = 1; i < a->rank; i++) {
        if (a->dims[i] != b->dims[i] && a->dims[i] != 1 && b->dims[i] != 1)
            return err_set(err, ERR_UNPROCESSABLE,
                           "it joins inputs with sides of %lld and %lld",
                           (long long)a->dims[i], (long long)b->dims[i]);
        if (a->dims[i] == 1)
            made.dims[i] = b->dims[i];
    }
    (void)keras_emit(build, op, &made, left.name, right.name, NULL);
    *out = made;
    return keras_check_value(out, err);
}

static int combine_all(struct keras_build *build, const char *op,
                       const struct keras_value *in, int in_count,
                       struct keras_value *out, struct err *err)
{
    struct keras_value made = in[0];
    int i, rc = 0;

    if (in_count < 2)
        return err_set(err, ERR_UNPROCESSABLE, "it joins %d inputs", in_count);
    for (i = 1; i < in_count && rc == 0; i++)
        rc = keras_combine(build, op, &made, &in[i], &made, err);
    *out = made;
    return rc;
}

int keras_build_add(struct keras_build *build, const struct keras_layer *layer,
                    const struct keras_value *in, int in_count,
                    struct keras_value *out, struct err *err)
{
    (void)layer;
    return combine_all(build, "Add", in, in_count, out, err);
}

int keras_build_subtract(struct keras_build *build,
                         const struct keras_layer *layer,
                         const struct keras_value *in, int in_count,
                         struct keras_value *out, struct err *err)
{
    (void)layer;
    return combine_all(build, "Sub", in, in_count, out, err);
}

int keras_build_multiply(struct keras_build *build,
                         const struct keras_layer *layer,
                         const struct keras_value *in, int in_count,
                         struct keras_value *out, struct err *err)
{
    (void)layer;
    return combine_all(build, "Mul", in, in_count, out, err);
}

int keras_build_maximum(struct keras_build *build,
                        const struct keras_layer *layer,
                        const struct keras_value *in, int in_count,
                        struct keras_value *out, struct err *err)
{
    (void)layer;
    return combine_all(build, "Max", in, in_count, out, err);
}

int keras_build_minimum(struct keras_build *build,
                        const struct keras_layer *layer,
                        const struct keras_value *in, int in_count,
                        struct keras_value *out, struct err *err)
{
    (void)layer;
    return combine_all(build, "Min", in, in_count, out, err);
}

int keras_build_average(struct keras_build *build,
                        const struct keras_layer *layer,
                        const struct keras_value *in, int in_count,
                        struct keras_value *out, struct err *err)
{
    char number[KERAS_NAME_MAX];
    struct keras_value sum;
    int rc;

    (void)layer;
    rc = combine_all(build, "Add", in, in_count, &sum, err);
    if (rc)
        return rc;
    keras_scalar(build, 1.0F / (float)in_count, number);
    (void)keras_emit_like(build, "Mul", &sum, number, out);
    return 0;
}

static int check_joined(const struct keras_value *in, int in_count, int axis,
                        struct err *err)
{
    int i, j;

    for (i = 1; i < in_count; i++) {
        if (in[i].rank != in[0].rank)
            return err_set(err, ERR_UNPROCESSABLE,
                           "it joins inputs of rank %d and %d", in[0].rank,
                           in[i].rank);
        for (j = 1; j < in[0].rank; j++)
            if (j != axis && in[i].dims[j] != in[0].dims[j])
                return err_set(err, ERR_UNPROCESSABLE,
                               "it joins inputs with sides of %lld and %lld",
                               (long long)in[0].dims[j],
                               (long long)in[i].dims[j]);
    }
    return 0;
}

int keras_build_concatenate(struct keras_build *build,
                            const struct keras_layer *layer,
                            const struct keras_value *in, int in_count,
                            struct keras_value *out, struct err *err)
{
    struct keras_value made, value;
    struct onnx_node *node;
    int64_t number = -1, total = 0;
    int i, axis, rc;

    rc = keras_get_integer(layer, "axis", -KERAS_RANK_MAX, KERAS_RANK_MAX,
                           &number, err);
    if (rc == 0)
        rc = keras_axis(&in[0], number, &axis, err);
    if (rc == 0)
        rc = check_joined(in, in_count, axis, err);
    if (rc)
        return rc;
    /* All are turned before the node that reads them is added. */
    for (i = 0; i < in_count; i++)
        keras_turn(build, &in[i], &value);
    keras_turn(build, &in[0], &made);
    node = keras_emit(build, "Concat", &made, made.name, NULL, NULL);
    for (i = 0; i < in_count; i++) {
        keras_turn(build, &in[i], &value);
        if (i > 0)
            onnx_add_input(build->graph, node, value.name);
        total += in[i].dims[axis];
    }
    made.dims[axis] = total;
    onnx_set_int(build->graph, node, "axis", keras_memory_axis(&made, axis));
    *out = made;
    return keras_check_value(out, err);
}
