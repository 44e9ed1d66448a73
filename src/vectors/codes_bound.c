/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "vectors/codes_parts.h"

/* What may be lost to underflow in any sum of products, for each unit of a
 * row's length and beside it. */
static const float tiny = 1e-36F;

/* Below this the squares of lengths are not to be relied on. */
static const float short_len = 1e-15F;

void codes_inner(const struct codes *codes, const struct codes_query *query,
                 const void *const *rows, int count, float *out)
{
    int32_t dots[CODES_RUN_LEN];
    int i;

    if (codes->options.storage == VEC_FLOAT16) {
        codes->half->float16(query->values, (const uint16_t *const *)rows,
                             count, codes->step_len, out);
        return;
    }
    if (codes->options.storage == VEC_BFLOAT16) {
        codes->half->bfloat16(query->values, (const uint16_t *const *)rows,
                              count, codes->step_len, out);
        return;
    }
    codes->int8->dot(query->values, (const int8_t *const *)rows, count,
                     codes->step_len, dots);
    for (i = 0; i < count; i++)
        out[i] = query->scale * (float)dots[i];
}

/* With the cosine the row's code is of unit length, give or take roundings. */
static const float unit_len = 1.00001F;

static inline float row_len(const struct codes *codes,
                            const struct code_row *row)
{
    return codes->options.metric == VECINDEX_COSINE ? unit_len : row->len;
}

/* An upper bound of the sine of the angle between q' and x'. */
static float sine(const struct codes *codes, const struct codes_query *query,
                  float len, float inner)
{
    float cosine, square;

    if (!(len > short_len && query->code_len > short_len))
        return 1;
    cosine = inner / (query->code_len * len);
    square = 1 - cosine * cosine + 2 * codes->slack;
    return square > 1 ? 1 : square > 0 ? sqrtf(square) : 0;
}

float codes_slack(const struct codes *codes, const struct codes_query *query,
                  const struct code_row *row)
{
    float len = row_len(codes, row), sum = query->len + len;

    if (codes_is_l2(codes))
        return 2 * query->gap * len + codes->slack * sum * sum +
               tiny * (1 + len);
    return query->gap * len + codes->slack * query->len * len +
           tiny * (1 + len);
}

float codes_off(const struct codes *codes, const struct codes_query *query,
                const struct code_row *row, float inner)
{
    float gap = row->gap * query->code_len *
                sine(codes, query, row_len(codes, row), inner);

    return codes_slack(codes, query, row) + (codes_is_l2(codes) ? 2 : 1) * gap;
}

void codes_make_test(const struct codes *codes, struct codes_query *query)
{
    struct code_test *test = &query->test;
    float slack = codes->slack, gap = query->gap;

    if (codes_is_l2(codes)) {
        *test = (struct code_test){
            .floor = query->len * query->len * (1 - slack) - tiny,
            .square = 1 - slack,
            .slack = 2 * gap + 2 * slack * query->len + tiny,
            .gap = 2 * query->code_len,
            .inner = 2};
        return;
    }
    *test = (struct code_test){.floor = -tiny,
                               .slack = gap + slack * query->len + tiny,
                               .gap = query->code_len,
                               .inner = 1};
    if (codes->options.metric == VECINDEX_COSINE) {
        test->floor -= test->slack * unit_len;
        test->slack = 0;
    }
}

void codes_exact(const struct codes *codes, const struct codes_query *query,
                 const int32_t *slots, const float *const *rows, int count,
                 float *out)
{
    int i;

    if (codes_is_l2(codes)) {
        codes->dot->square(query->vector, rows, count, codes->options.dim, out);
        return;
    }
    codes->dot->inner(query->vector, rows, count, codes->options.dim, out);
    for (i = 0; i < count; i++)
        out[i] = codes->options.metric == VECINDEX_COSINE
                     ? -out[i] * query->unit_scale *
                           codes_about(codes, slots[i])->len
                     : -out[i];
}
