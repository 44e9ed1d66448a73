/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "vectors/codes_parts.h"

/* Float32 rows whose distances are computed together. */
enum { BATCH = 16, LINE_LEN = 64 };

/* Codes that are on their way before the first is looked at; the kernels go on
 * from there. */
enum { FETCH = 4 };

static size_t value_size(const struct codes *codes)
{
    return codes->options.storage == VEC_INT8 ? sizeof(int16_t) : sizeof(float);
}

/* An empty one, with memory for its values. */
static int query_new(const struct codes *codes, struct codes_query **out,
                     struct err *err)
{
    struct codes_query *query = mem_try(1, sizeof *query);

    if (query != NULL && codes->stride > 0) {
        query->values =
            mem_try_aligned((size_t)codes->step_len, value_size(codes));
        if (query->values != NULL)
            memset(query->values, 0,
                   (size_t)codes->step_len * value_size(codes));
    }
    if (query == NULL || (codes->stride > 0 && query->values == NULL)) {
        codes_query_free(query);
        return err_set(err, ERR_UNAVAILABLE, "no memory for a query");
    }
    query->unit_scale = 1;
    *out = query;
    return 0;
}

void codes_query_free(struct codes_query *query)
{
    if (query == NULL)
        return;
    mem_free(query->unit);
    mem_free(query->values);
    mem_free(query);
}

static void make_unit(const float *vector, int dim, float *out)
{
    double square = 0, scale;
    int i;

    for (i = 0; i < dim; i++)
        square += (double)vector[i] * (double)vector[i];
    scale = square > 0 ? 1 / sqrt(square) : 0;
    for (i = 0; i < dim; i++)
        out[i] = (float)((double)vector[i] * scale);
}

int codes_query_new(const struct codes *codes, const float *vector,
                    struct codes_query **out, struct err *err)
{
    struct codes_query *query = NULL;
    int dim = codes->options.dim, rc = query_new(codes, &query, err);

    if (rc)
        return rc;
    query->vector = vector;
    if (codes->options.metric == VECINDEX_COSINE) {
        query->unit = mem_try((size_t)dim, sizeof *query->unit);
        if (query->unit == NULL) {
            codes_query_free(query);
            return err_set(err, ERR_UNAVAILABLE, "no memory for a query");
        }
        make_unit(vector, dim, query->unit);
        query->vector = query->unit;
    }
    codes_round_query(codes, query->vector, query);
    codes_make_test(codes, query);
    *out = query;
    return 0;
}

int codes_query_slot(const struct codes *codes, int64_t slot,
                     struct codes_query **out, struct err *err)
{
    int rc = query_new(codes, out, err);

    if (rc == 0)
        codes_query_move(codes, *out, slot);
    return rc;
}

/* Of a length that the compiler knows, between places that it knows to be
 * apart: it makes vectors of that. */
static void widen(const int8_t *restrict code, int16_t *restrict out)
{
    int i;

    for (i = 0; i < INT8_STEP; i++)
        out[i] = (int16_t)code[i];
}

void codes_query_move(const struct codes *codes, struct codes_query *query,
                      int64_t slot)
{
    const struct code_row *about = codes_about(codes, slot);
    bool is_cosine = codes->options.metric == VECINDEX_COSINE;
    const float *const *row = blocks_at(&codes->rows, slot);
    int i;

    query->len = is_cosine ? 1.00001F : about->len;
    query->code_len = query->len;
    query->gap = about->gap;
    query->scale = about->scale;
    if (codes->stride == 0) {
        query->vector = *row;
        query->unit_scale = is_cosine ? about->len : 1;
    } else if (codes->options.storage == VEC_INT8) {
        const int8_t *code = blocks_at(&codes->codes, slot);
        int16_t *wide = query->values;

        for (i = 0; i < codes->step_len; i += INT8_STEP)
            widen(code + i, wide + i);
    } else {
        const uint16_t *code = blocks_at(&codes->codes, slot);
        bool is_float16 = codes->options.storage == VEC_FLOAT16;
        float *values = query->values;

        for (i = 0; i < codes->step_len; i++)
            values[i] = about->scale * (is_float16 ? half_to_float(code[i])
                                                   : bfloat_to_float(code[i]));
    }
}

/* --- distances ------------------------------------------------------------ */

/* Of a row that is damaged, and was not checked because it is only walked
 * over. */
static float or_infinite(float distance)
{
    return isnan(distance) ? INFINITY : distance;
}

static void distances_float(const struct codes *codes,
                            const struct codes_query *query,
                            const int32_t *slots, int count, float *out)
{
    const float *rows[CODES_RUN_LEN];
    int i;

    for (i = 0; i < count; i++) {
        const float *const *at = blocks_at(&codes->rows, slots[i]);

        rows[i] = *at;
    }
    codes_exact(codes, query, slots, rows, count, out);
    for (i = 0; i < count; i++)
        out[i] = or_infinite(out[i]);
}

static void fetch(const void *bytes, size_t len)
{
    const char *at = bytes;
    size_t i;

    for (i = 0; i < len; i += LINE_LEN)
        __builtin_prefetch(at + i);
}

static void distances_run(const struct codes *codes,
                          const struct codes_query *query, const int32_t *slots,
                          int count, float *out)
{
    const void *rows[CODES_RUN_LEN];
    int i;

    for (i = 0; i < count; i++) {
        rows[i] = blocks_at(&codes->codes, slots[i]);
        if (i < FETCH)
            fetch(rows[i], codes->stride);
        __builtin_prefetch(codes_about(codes, slots[i]));
    }
    codes_inner(codes, query, rows, count, out);
    for (i = 0; i < count; i++) {
        const struct code_row *about = codes_about(codes, slots[i]);

        out[i] = codes_middle(codes, query, about, out[i] * about->scale);
    }
}

void codes_distances(const struct codes *codes, const struct codes_query *query,
                     const int32_t *slots, int count, float *out)
{
    int done, part;

    for (done = 0; done < count; done += part) {
        part = count - done < CODES_RUN_LEN ? count - done : CODES_RUN_LEN;
        if (codes->stride == 0)
            distances_float(codes, query, slots + done, part, out + done);
        else
            distances_run(codes, query, slots + done, part, out + done);
    }
}

float codes_error(const struct codes *codes, const struct codes_query *query,
                  int64_t slot, float distance)
{
    const struct code_row *about = codes_about(codes, slot);
    float inner = -distance;

    if (codes->stride == 0)
        return 0;
    if (codes_is_l2(codes))
        inner =
            (query->len * query->len + about->len * about->len - distance) / 2;
    return codes_off(codes, query, about, inner);
}

/* --- exact ---------------------------------------------------------------- */

/* What a row has to be as near as. */
static float limit_of(const struct nearest *nearest, float limit)
{
    if (nearest->count == nearest->k && nearest->hits[0].distance < limit)
        return nearest->hits[0].distance;
    return limit;
}

static void offer(const struct codes *codes, float distance, int64_t slot,
                  struct nearest *nearest)
{
    struct near near = codes_near(codes, distance, slot);

    nearest_offer(nearest, &near);
}

/* Offers the slots of one batch, whose rows are on their way. */
static int rerank_batch(const struct codes *codes,
                        const struct codes_query *query, const int32_t *slots,
                        int count, float limit, struct nearest *nearest,
                        struct err *err)
{
    const float *rows[BATCH] = {0};
    float distances[BATCH];
    int i, rc;

    for (i = 0; i < count; i++) {
        rc = codes_row(codes, slots[i], &rows[i], err);
        if (rc)
            return rc;
    }
    codes_exact(codes, query, slots, rows, count, distances);
    for (i = 0; i < count; i++)
        if (distances[i] <= limit)
            offer(codes, distances[i], slots[i], nearest);
    return 0;
}

int codes_rerank(const struct codes *codes, const struct codes_query *query,
                 const int32_t *slots, const float *approx, int count,
                 float limit, struct nearest *nearest, struct err *err)
{
    int32_t batch[BATCH];
    int i, len = 0, rc = 0;

    assert(query->vector != NULL);
    for (i = 0; i < count && rc == 0; i++) {
        const float *const *at = blocks_at(&codes->rows, slots[i]);

        if (approx != NULL &&
            approx[i] - codes_error(codes, query, slots[i], approx[i]) >
                limit_of(nearest, limit))
            continue;
        fetch((const void *)*at, (size_t)codes->options.dim * sizeof **at);
        batch[len++] = slots[i];
        if (len < BATCH)
            continue;
        rc = rerank_batch(codes, query, batch, len, limit, nearest, err);
        len = 0;
    }
    if (rc == 0 && len > 0)
        rc = rerank_batch(codes, query, batch, len, limit, nearest, err);
    return rc;
}
