/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "vectors/codes_parts.h"

enum { CODE_MAX = 127, WIDE_MAX = 32767 };

/* Where rows of float16 have their largest value: far from its overflow, and
 * with room for smaller ones below. */
static const float half_max = 16384;

/* Lengths and gaps are rounded up by this: they are sums in double, rounded
 * to float. */
static const double up = 1 + 1e-6;

static float largest(const float *row, int dim)
{
    float max = 0;
    int i;

    for (i = 0; i < dim; i++) {
        float size = fabsf(dot_load(row + i));

        max = size > max ? size : max;
    }
    return max;
}

static float length(const float *row, int dim)
{
    double square = 0;
    int i;

    for (i = 0; i < dim; i++) {
        double value = (double)dot_load(row + i);

        square += value * value;
    }
    return (float)(sqrt(square) * up);
}

/* To whole numbers of that range. */
static int round_to(double value, int max)
{
    int code = (int)(value < 0 ? value - 0.5 : value + 0.5);

    return code > max ? max : code < -max ? -max : code;
}

/* Puts one value, as parts of a step, and gives what was put. */
static double put_value(enum vec_storage storage, double parts, void *code,
                        int i)
{
    uint16_t half;

    if (storage == VEC_INT8) {
        ((int8_t *)code)[i] = (int8_t)round_to(parts, CODE_MAX);
        return ((int8_t *)code)[i];
    }
    half = storage == VEC_FLOAT16 ? half_from_float((float)parts)
                                  : bfloat_from_float((float)parts);
    ((uint16_t *)code)[i] = half;
    return (double)(storage == VEC_FLOAT16 ? half_to_float(half)
                                           : bfloat_to_float(half));
}

static double get_value(enum vec_storage storage, const void *code, int i)
{
    if (storage == VEC_INT8)
        return ((const int8_t *)code)[i];
    if (storage == VEC_FLOAT16)
        return (double)half_to_float(((const uint16_t *)code)[i]);
    return (double)bfloat_to_float(((const uint16_t *)code)[i]);
}

/* The step of the codes, in which the largest value is the largest code. */
static float step_of(enum vec_storage storage, float max)
{
    if (storage == VEC_INT8)
        return max / CODE_MAX;
    return storage == VEC_FLOAT16 ? max / half_max : 1;
}

void codes_round(const struct codes *codes, const float *row, void *code,
                 struct code_row *out)
{
    enum vec_storage storage = codes->options.storage;
    int i, dim = codes->options.dim;
    float len = length(row, dim), step;
    double per_step, unit = 1, cross = 0, square = 0, gap = 0;

    out->len = len;
    if (codes->options.metric == VECINDEX_COSINE) {
        out->len = len > 0 ? (float)(up / (double)len) : 0;
        if (!isfinite(out->len))
            out->len = 0;
        unit = (double)out->len;
    }
    out->scale = 1;
    out->gap = 0;
    if (storage == VEC_FLOAT32)
        return;
    memset(code, 0, codes->stride);
    step = step_of(storage, (float)((double)largest(row, dim) * unit));
    per_step = step > 0 ? 1 / (double)step : 0;
    for (i = 0; i < dim; i++) {
        double value = (double)dot_load(row + i) * unit;
        double put = put_value(storage, value * per_step, code, i);

        cross += value * put;
        square += put * put;
    }
    out->scale = square > 0 ? (float)(cross / square) : 0;
    for (i = 0; i < dim; i++) {
        double off = (double)dot_load(row + i) * unit -
                     (double)out->scale * get_value(storage, code, i);

        gap += off * off;
    }
    out->gap = (float)(sqrt(gap) * up);
}

/* The step of an int8 query: neither a value nor, in a sum with extremes, an
 * inner product may leave its range. */
static double wide_step(const struct codes *codes, const float *vector)
{
    double sum = 0, by_max, by_sum;
    int i, dim = codes->options.dim;

    for (i = 0; i < dim; i++)
        sum += fabs((double)vector[i]);
    by_max = (double)largest(vector, dim) / WIDE_MAX;
    /* Rounding may add half of a step to each value. */
    by_sum = sum / (INT8_SUM_MAX - dim);
    return by_max > by_sum ? by_max : by_sum;
}

void codes_round_query(const struct codes *codes, const float *vector,
                       struct codes_query *query)
{
    int i, dim = codes->options.dim;
    int16_t *wide = query->values;
    double gap = 0, square = 0, scale, per_step;

    query->len = length(vector, dim);
    query->code_len = query->len;
    query->scale = 1;
    query->gap = 0;
    if (codes->options.storage == VEC_FLOAT32)
        return;
    if (codes->options.storage != VEC_INT8) {
        memcpy(query->values, vector, (size_t)dim * sizeof *vector);
        return;
    }
    query->scale = (float)(wide_step(codes, vector) * up);
    scale = (double)query->scale;
    per_step = scale > 0 ? 1 / scale : 0;
    for (i = 0; i < dim; i++) {
        double value = (double)vector[i], put;

        wide[i] = (int16_t)round_to(value * per_step, WIDE_MAX);
        put = scale * wide[i];
        square += put * put;
        gap += (value - put) * (value - put);
    }
    query->code_len = (float)(sqrt(square) * up);
    query->gap = (float)(sqrt(gap) * up);
}
