/* SPDX-License-Identifier: Apache-2.0 */
/* A row x is kept as x' = scale * codes, with its length |x| and its gap
 * |x - x'|; a query q likewise. By Cauchy and Schwarz
 *
 *     |<q,x> - <q',x'>| = |<q-q',x'> + <q,x-x'>|
 *                      <= |q-q'| (|x| + |x-x'|) + |q| |x-x'|
 *
 * and <q',x'> is a sum of whole numbers, without any error. What the kernels
 * of dot.h make of <q,x> or of the squared distance is off by no more than a
 * rounding for each step of a sum, in parts of the sum of its absolute terms
 * (Higham 2002, section 4.2), which |q| |x| and (|q| + |x|)^2 bound. So each
 * row's distance, as the kernels would compute it, lies between two known
 * numbers. The k-th smallest upper one is a limit that k rows keep; a row whose
 * lower one is above it cannot be among the k nearest. */
#include "vectors/int8_rows.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "vectors/dot.h"
#include "vectors/int8_dot.h"
#include "vectors/nearest.h"

enum { RUN_LEN = 256, CODE_MAX = 127 };

/* For what is computed here in float. */
static const float own_slack = 1e-5F;

/* Half of a float's last place, and into how many sums at least the kernels of
 * dot.h part a row; their roundings beside those of the sums. */
static const float rounding = 6e-8F;
enum { SUMS_MIN = 8, ROUNDINGS = 16 };

/* Lengths and gaps are rounded up by this: they are sums in double, rounded
 * to float. */
static const double up = 1 + 1e-6;

struct int8_row {
    float scale, len, gap;
};

struct int8_rows {
    const struct int8_kernels *kernels;
    enum faiss_metric metric;
    int64_t count;
    int dim, stride;        /* stride: bytes from row to row */
    float slack;            /* of the kernels and of what is computed here */
    int8_t *codes;          /* owned; count * stride */
    struct int8_row *about; /* owned; count */
};

/* Fills codes (stride bytes, zeros at the end) and what is known of them. */
static void round_row(const float *row, int dim, int8_t *codes,
                      struct int8_row *out)
{
    double square = 0, gap = 0, scale;
    float max = 0;
    int i;

    for (i = 0; i < dim; i++)
        max = fmaxf(max, fabsf(dot_load(row + i)));
    out->scale = max / CODE_MAX;
    scale = (double)out->scale;
    for (i = 0; i < dim; i++) {
        double value = (double)dot_load(row + i);
        double code = scale > 0 ? nearbyint(value / scale) : 0;

        code = code > CODE_MAX ? CODE_MAX : code < -CODE_MAX ? -CODE_MAX : code;
        codes[i] = (int8_t)code;
        square += value * value;
        gap += (value - scale * code) * (value - scale * code);
    }
    out->len = (float)(sqrt(square) * up);
    out->gap = (float)(sqrt(gap) * up);
}

int int8_rows_new(const float *rows, int64_t count, int dim,
                  enum faiss_metric metric, struct int8_rows **out,
                  struct err *err)
{
    struct int8_rows *made = mem_new(sizeof *made);
    int64_t i;

    made->kernels = int8_best();
    made->metric = metric;
    made->count = count;
    made->dim = dim;
    made->stride = (dim + INT8_STEP - 1) / INT8_STEP * INT8_STEP;
    made->slack = own_slack + rounding * ((float)dim / SUMS_MIN + ROUNDINGS);
    made->codes = mem_try_aligned((size_t)count, (size_t)made->stride);
    made->about = mem_try((size_t)count, sizeof *made->about);
    if (made->codes == NULL || made->about == NULL) {
        int8_rows_free(made);
        return err_set(err, ERR_UNAVAILABLE, "no memory for %lld rows in int8",
                       (long long)count);
    }
    memset(made->codes, 0, (size_t)count * (size_t)made->stride);
    for (i = 0; i < count; i++)
        round_row(rows + i * dim, dim, made->codes + i * made->stride,
                  &made->about[i]);
    *out = made;
    return 0;
}

void int8_rows_free(struct int8_rows *rows)
{
    if (rows == NULL)
        return;
    mem_free(rows->codes);
    mem_free(rows->about);
    mem_free(rows);
}

int64_t int8_rows_memory(const struct int8_rows *rows)
{
    return (int64_t)sizeof *rows +
           rows->count * (rows->stride + (int64_t)sizeof *rows->about);
}

/* The middle of where a row's distance lies, and how far off it may be. */
static inline void bound(const struct int8_rows *rows,
                         const struct int8_row *query,
                         const struct int8_row *row, int32_t dot, float *middle,
                         float *error)
{
    float inner = query->scale * row->scale * (float)dot;
    float off = query->gap * (row->len + row->gap) + query->len * row->gap;
    float sum = query->len + row->len;

    if (rows->metric == FAISS_L2) {
        /* The lengths are a little too long, by far less than the slack. */
        *middle = query->len * query->len + row->len * row->len - 2 * inner;
        *error = 2 * off + rows->slack * sum * sum;
    } else {
        *middle = -inner;
        *error = off + rows->slack * (query->len * row->len + fabsf(inner));
    }
}

/* The lower bound of each row, and the limit that k upper bounds keep. */
static float scan(const struct int8_rows *rows, const int8_t *codes,
                  const struct int8_row *query, struct nearest *nearest,
                  float *lower)
{
    int32_t dots[RUN_LEN];
    int64_t done;
    int i, part;

    for (done = 0; done < rows->count; done += part) {
        part =
            rows->count - done < RUN_LEN ? (int)(rows->count - done) : RUN_LEN;
        rows->kernels->dot(codes, rows->codes + done * rows->stride, part,
                           rows->stride, dots);
        for (i = 0; i < part; i++) {
            float middle, error;

            bound(rows, query, &rows->about[done + i], dots[i], &middle,
                  &error);
            lower[done + i] = middle - error;
            nearest_offer(nearest, &(struct near){middle + error, done + i});
        }
    }
    return nearest->hits[0].distance;
}

/* Packs the places that pass the limit; out has room for all. */
static int64_t pick(const float *lower, int64_t count, float limit,
                    int64_t *out)
{
    int64_t i, picked = 0;

    for (i = 0; i < count; i++)
        if (lower[i] <= limit)
            out[picked++] = i;
    return picked;
}

int int8_rows_candidates(const struct int8_rows *rows, const float *query,
                         int k, int64_t **out, int64_t *out_count,
                         struct err *err)
{
    int8_t *codes = mem_try((size_t)rows->stride, 1);
    float *lower = mem_try_aligned((size_t)rows->count, sizeof *lower);
    int64_t *places = mem_try_aligned((size_t)rows->count, sizeof *places);
    struct nearest nearest = {.hits = mem_try((size_t)k, sizeof *nearest.hits),
                              .k = k};
    struct int8_row about;
    int rc = 0;

    if (codes == NULL || lower == NULL || places == NULL ||
        nearest.hits == NULL) {
        rc = err_set(err, ERR_UNAVAILABLE, "no memory for a search");
    } else {
        round_row(query, rows->dim, codes, &about);
        *out_count = pick(lower, rows->count,
                          scan(rows, codes, &about, &nearest, lower), places);
        *out = places;
        places = NULL;
    }
    mem_free(codes);
    mem_free(lower);
    mem_free(places);
    mem_free(nearest.hits);
    return rc;
}
