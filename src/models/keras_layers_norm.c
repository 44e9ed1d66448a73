/* SPDX-License-Identifier: Apache-2.0 */
/* Normalising layers: all are value * a + b with constants. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "models/keras_build.h"

/* The axis of a layer, one number or a list of one. */
static int read_axis(const struct keras_layer *layer,
                     const struct keras_value *in, int *out, struct err *err)
{
    double axes[KERAS_RANK_MAX] = {-1};
    int count = 1, rc;

    rc = keras_get_numbers(layer, "axis", KERAS_RANK_MAX, axes, &count, err);
    if (rc)
        return rc;
    if (count != 1 || !(fabs(axes[0]) <= KERAS_RANK_MAX))
        return err_set(err, ERR_UNPROCESSABLE,
                       "it works along %d axes; one is read", count);
    return keras_axis(in, (int64_t)axes[0], out, err);
}

/* Reads one weight of `count` numbers, or gives `count` times `preset` when
 * the layer has none. *i counts the layer's weights. */
static int read_vector(struct keras_build *build,
                       const struct keras_layer *layer, const char *key,
                       bool has_it, float preset, int64_t count, int *i,
                       float **out, struct err *err)
{
    int64_t j;

    if (has_it)
        return keras_weights_read(build->weights, layer, (*i)++, key, &count, 1,
                                  out, err);
    *out = mem_try((size_t)count, sizeof **out);
    if (*out == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for %lld weights",
                       (long long)count);
    for (j = 0; j < count; j++)
        (*out)[j] = preset;
    return 0;
}

static void add_vector(struct keras_build *build, const char *what,
                       const float *numbers, int64_t count, char *name)
{
    struct onnx_tensor *tensor = keras_tensor(build, what, &count, 1, name);

    if (tensor != NULL)
        memcpy(tensor->data, numbers, tensor->data_len);
}

/* value * factor + term, each with one number for each place of an axis. */
static void scale_along(struct keras_build *build, const struct keras_value *in,
                        int axis, const float *factor, const float *term,
                        struct keras_value *out)
{
    int64_t dims[KERAS_RANK_MAX];
    char factor_name[KERAS_NAME_MAX], term_name[KERAS_NAME_MAX];
    struct keras_value made;
    struct onnx_tensor *tensor;
    int i;

    for (i = 0; i < in->rank; i++)
        dims[i] = 1;
    dims[keras_memory_axis(in, axis)] = in->dims[axis];
    tensor = keras_tensor(build, "factor", dims, in->rank, factor_name);
    if (tensor != NULL)
        memcpy(tensor->data, factor, tensor->data_len);
    tensor = keras_tensor(build, "term", dims, in->rank, term_name);
    if (tensor != NULL)
        memcpy(tensor->data, term, tensor->data_len);
    (void)keras_emit_like(build, "Mul", in, factor_name, &made);
    (void)keras_emit_like(build, "Add", &made, term_name, out);
}

/* The four vectors of a batch norm: gamma, beta, mean, variance. */
static int read_moments(struct keras_build *build,
                        const struct keras_layer *layer, int64_t count,
                        float *vectors[4], struct err *err)
{
    static const char *const keys[] = {"gamma", "beta", "moving_mean",
                                       "moving_variance"};
    bool has_it[4] = {true, true, true, true};
    int i, weight_i = 0, rc;

    rc = keras_get_bool(layer, "scale", &has_it[0], err);
    if (rc == 0)
        rc = keras_get_bool(layer, "center", &has_it[1], err);
    for (i = 0; i < 4 && rc == 0; i++)
        rc = read_vector(build, layer, keys[i], has_it[i], i == 0 ? 1 : 0,
                         count, &weight_i, &vectors[i], err);
    return rc;
}

/* As a node of its own where the channels are the second axis in memory, which
 * keras_fold may fold; else as product and sum. */
static void emit_batch_norm(struct keras_build *build,
                            const struct keras_value *in, int axis,
                            double epsilon, float *const vectors[4],
                            struct keras_value *out)
{
    static const char *const names[] = {"gamma", "beta", "mean", "variance"};
    int64_t i, count = in->dims[axis];
    char name[KERAS_NAME_MAX];
    struct onnx_node *node;

    if (keras_memory_axis(in, axis) != 1) {
        for (i = 0; i < count; i++) {
            double factor =
                vectors[0][i] / sqrt((double)vectors[3][i] + epsilon);

            vectors[1][i] = (float)(vectors[1][i] - vectors[2][i] * factor);
            vectors[0][i] = (float)factor;
        }
        scale_along(build, in, axis, vectors[0], vectors[1], out);
        return;
    }
    node = keras_emit_like(build, "BatchNormalization", in, NULL, out);
    onnx_set_float(build->graph, node, "epsilon", (float)epsilon);
    for (i = 0; i < 4; i++) {
        add_vector(build, names[i], vectors[i], count, name);
        onnx_add_input(build->graph, node, name);
    }
}

int keras_build_batch_norm(struct keras_build *build,
                           const struct keras_layer *layer,
                           const struct keras_value *in, int in_count,
                           struct keras_value *out, struct err *err)
{
    float *vectors[4] = {NULL, NULL, NULL, NULL};
    struct keras_value value;
    double epsilon = 1e-3;
    int axis, i, rc;

    (void)in_count;
    rc = read_axis(layer, in, &axis, err);
    if (rc == 0)
        rc = keras_get_number(layer, "epsilon", &epsilon, err);
    if (rc)
        return rc;
    if (axis == 3)
        keras_turn(build, in, &value);
    else
        keras_unturn(build, in, &value);
    rc = read_moments(build, layer, value.dims[axis], vectors, err);
    if (rc == 0)
        emit_batch_norm(build, &value, axis, epsilon, vectors, out);
    for (i = 0; i < 4; i++)
        mem_free(vectors[i]);
    return rc;
}

int keras_build_layer_norm(struct keras_build *build,
                           const struct keras_layer *layer,
                           const struct keras_value *in, int in_count,
                           struct keras_value *out, struct err *err)
{
    bool has_scale = true, has_center = true, is_rms = false;
    char gamma_name[KERAS_NAME_MAX], beta_name[KERAS_NAME_MAX];
    float *gamma = NULL, *beta = NULL;
    double epsilon = 1e-3;
    struct keras_value plain, made;
    struct onnx_node *node;
    int axis, weight_i = 0, rc;

    (void)in_count;
    rc = read_axis(layer, in, &axis, err);
    if (rc == 0)
        rc = keras_get_number(layer, "epsilon", &epsilon, err);
    if (rc == 0)
        rc = keras_get_bool(layer, "scale", &has_scale, err);
    if (rc == 0)
        rc = keras_get_bool(layer, "center", &has_center, err);
    if (rc == 0)
        rc = keras_get_bool(layer, "rms_scaling", &is_rms, err);
    if (rc)
        return rc;
    if (axis != in->rank - 1 || is_rms)
        return err_set(err, ERR_UNPROCESSABLE,
                       "only the last axis is normalised, without rms_scaling");
    keras_unturn(build, in, &plain);
    rc = read_vector(build, layer, "gamma", has_scale, 1, plain.dims[axis],
                     &weight_i, &gamma, err);
    if (rc == 0)
        rc = read_vector(build, layer, "beta", has_center, 0, plain.dims[axis],
                         &weight_i, &beta, err);
    if (rc == 0) {
        add_vector(build, "gamma", gamma, plain.dims[axis], gamma_name);
        add_vector(build, "beta", beta, plain.dims[axis], beta_name);
        made = plain;
        node = keras_emit(build, "LayerNormalization", &made, plain.name,
                          gamma_name, beta_name);
        onnx_set_int(build->graph, node, "axis", -1);
        onnx_set_float(build->graph, node, "epsilon", (float)epsilon);
        *out = made;
    }
    mem_free(gamma);
    mem_free(beta);
    return rc;
}

/* One number for all, or one for each channel, as float32. */
static int combine_numbers(struct keras_build *build, const char *op,
                           const struct keras_value *in, const float *numbers,
                           int64_t count, struct keras_value *out,
                           struct err *err)
{
    char name[KERAS_NAME_MAX];

    if (count == 1)
        keras_scalar(build, numbers[0], name);
    else if (count == in->dims[in->rank - 1])
        keras_channels(build, in, numbers, name);
    else
        return err_set(err, ERR_UNPROCESSABLE,
                       "it has %lld numbers for %lld channels",
                       (long long)count, (long long)in->dims[in->rank - 1]);
    (void)keras_emit_like(build, op, in, name, out);
    return 0;
}

static int combine_config(struct keras_build *build,
                          const struct keras_layer *layer, const char *key,
                          const char *op, float idle,
                          const struct keras_value *in, struct keras_value *out,
                          struct err *err)
{
    double *numbers = mem_new(KERAS_CONFIG_NUMBERS_MAX * sizeof *numbers);
    float *reals = mem_new(KERAS_CONFIG_NUMBERS_MAX * sizeof *reals);
    int i, count = 0, rc;

    *out = *in;
    rc = keras_get_numbers(layer, key, KERAS_CONFIG_NUMBERS_MAX, numbers,
                           &count, err);
    for (i = 0; i < count; i++)
        reals[i] = (float)numbers[i];
    if (rc == 0 && count > 0 && (count > 1 || reals[0] != idle))
        rc = combine_numbers(build, op, in, reals, count, out, err);
    mem_free(reals);
    mem_free(numbers);
    return rc;
}

int keras_build_rescaling(struct keras_build *build,
                          const struct keras_layer *layer,
                          const struct keras_value *in, int in_count,
                          struct keras_value *out, struct err *err)
{
    struct keras_value value, scaled;
    int rc;

    (void)in_count;
    build->has_own_scaling = build->has_own_scaling || in->is_input;
    keras_turn(build, in, &value);
    rc = combine_config(build, layer, "scale", "Mul", 1, &value, &scaled, err);
    return rc ? rc
              : combine_config(build, layer, "offset", "Add", 0, &scaled, out,
                               err);
}

/* A moment from the config, else from the file: Keras broadcasts it to 1 x ...
 * x channels, in files of some versions. */
static int read_moment(struct keras_build *build,
                       const struct keras_layer *layer, const char *key, int i,
                       float **out, int64_t *count, struct err *err)
{
    int64_t dims[HDF5_RANK_MAX], len = 1;
    double *numbers;
    int j, rank = 0, n = 0, rc;

    numbers = mem_new(KERAS_CONFIG_NUMBERS_MAX * sizeof *numbers);
    rc = keras_get_numbers(layer, key, KERAS_CONFIG_NUMBERS_MAX, numbers, &n,
                           err);
    if (rc == 0 && n > 0) {
        *out = mem_new((size_t)n * sizeof **out);
        for (j = 0; j < n; j++)
            (*out)[j] = (float)numbers[j];
        *count = n;
    } else if (rc == 0) {
        rc = keras_weights_shape(build->weights, layer, i, key, dims, &rank,
                                 err);
        for (j = 0; j < rank && rc == 0; j++)
            if (dims[j] > 1 && j < rank - 1)
                rc = err_set(err, ERR_UNPROCESSABLE,
                             "its %s is more than a list", key);
            else
                len *= dims[j];
        if (rc == 0)
            rc = keras_weights_read(build->weights, layer, i, key, dims, rank,
                                    out, err);
        *count = len;
    }
    mem_free(numbers);
    return rc;
}

/* (value - mean) / max(sqrt(variance), 1e-7). */
int keras_build_normalization(struct keras_build *build,
                              const struct keras_layer *layer,
                              const struct keras_value *in, int in_count,
                              struct keras_value *out, struct err *err)
{
    int64_t mean_count = 0, variance_count = 0, i;
    float *mean = NULL, *variance = NULL;
    struct keras_value value, centred;
    bool is_inverse = false;
    int rc;

    (void)in_count;
    build->has_own_scaling = build->has_own_scaling || in->is_input;
    keras_turn(build, in, &value);
    rc = keras_get_bool(layer, "invert", &is_inverse, err);
    if (rc == 0 && is_inverse)
        rc = err_set(err, ERR_UNPROCESSABLE, "it inverts; that is not read");
    if (rc == 0)
        rc = read_moment(build, layer, "mean", 0, &mean, &mean_count, err);
    if (rc == 0)
        rc = read_moment(build, layer, "variance", 1, &variance,
                         &variance_count, err);
    for (i = 0; i < variance_count && rc == 0; i++)
        variance[i] = 1 / fmaxf(sqrtf(variance[i]), 1e-7F);
    if (rc == 0)
        rc = combine_numbers(build, "Sub", &value, mean, mean_count, &centred,
                             err);
    if (rc == 0)
        rc = combine_numbers(build, "Mul", &centred, variance, variance_count,
                             out, err);
    mem_free(mean);
    mem_free(variance);
    return rc;
}
