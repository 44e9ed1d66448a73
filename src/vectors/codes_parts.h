/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of codes.h know of each other: of codes*.c alone.
 *
 * A row x is kept as x' = scale * code, where scale is the one that makes the
 * gap e = x - x' shortest, so that e is at right angles to x'. A query q is
 * kept likewise as q', of more bits. Then <q,x> = <q',x'> + <q-q',x> + <q',e>,
 * by Cauchy and Schwarz
 *
 *     |<q-q',x>| <= |q-q'| |x|
 *     |<q',e>| = |<q'-ax',e>| <= |q'-ax'| |e|   for every number a,
 *
 * of which the best leaves |e| |q'| times the sine of the angle between q' and
 * x': rows near the query are known better than others. What the kernels of
 * dot.h make of <q,x> or of the squared distance is off by no more than a
 * rounding for each step of a sum, in parts of the sum of its absolute terms
 * (Higham 2002, section 4.2), which |q| |x| and (|q| + |x|)^2 bound. So each
 * row's exact distance, as the kernels compute it, lies between two known
 * numbers. */
#ifndef OLHO_VECTORS_CODES_PARTS_H
#define OLHO_VECTORS_CODES_PARTS_H

#include <stdatomic.h>

#include "vectors/blocks.h"
#include "vectors/codes.h"
#include "vectors/dot.h"
#include "vectors/half_dot.h"
#include "vectors/int8_dot.h"

/* Rows in one call of a kernel, and how many it takes at once. */
enum { CODES_RUN_LEN = 256, CODES_STREAMS = 4 };

/* From which a row's lower number follows when nothing is known of the angle
 * (codes_lower). */
struct code_test {
    float floor, square, slack, gap, inner;
};

/* What is known of a row beside its code. */
struct code_row {
    float scale;
    float gap; /* |x - x'|, rounded up */
    float len; /* |x|, rounded up. Cosine: 1 / |x|, by which the code and the
                * gap are multiplied */
};

struct codes {
    struct codes_options options;
    const struct dot_kernels *dot;
    const struct int8_kernels *int8;
    const struct half_kernels *half;
    size_t stride; /* bytes from code to code; 0 with float32 */
    int step_len;  /* values of a code, zeros at its end included */
    float slack;   /* roundings of the kernels and of what is computed of a
                    * row, in parts of |q| |x| */

    /* By slot. Written by the thread that adds, below nothing published. */
    struct blocks rows;    /* const float * */
    struct blocks about;   /* struct code_row */
    struct blocks codes;   /* not with float32 */
    struct blocks checked; /* _Atomic uint8_t */

    _Atomic int64_t count; /* released after the slots below it are there */
};

struct codes_query {
    const float *vector; /* borrowed, or `unit`; NULL: of a slot whose row is
                          * not to be read */
    float *unit;         /* owned; cosine: the query at unit length */
    float unit_scale;    /* that makes the vector that; 1, but of a slot */
    void *values;        /* owned; as the kernel wants them, step_len */
    float scale;         /* of the values */
    float gap;           /* |q - q'|, rounded up */
    float code_len;      /* |q'|, rounded up */
    float len;           /* |q|, rounded up */
    struct code_test test;
};

/* --- one row (codes_round.c) ---------------------------------------------- */

/* Fills the code (stride bytes) and what is known of it. */
void codes_round(const struct codes *codes, const float *row, void *code,
                 struct code_row *out);

/* The same for a query of dim aligned floats: its values and lengths. */
void codes_round_query(const struct codes *codes, const float *vector,
                       struct codes_query *query);

/* --- distances (codes_bound.c) -------------------------------------------- */

/* Inner products of the query with codes that lie anywhere, without the rows'
 * scales. Not with float32. */
void codes_inner(const struct codes *codes, const struct codes_query *query,
                 const void *const *rows, int count, float *out);

/* How far the exact distance may be off that for all reasons but the row's
 * gap, and for all. */
float codes_slack(const struct codes *codes, const struct codes_query *query,
                  const struct code_row *row);
float codes_off(const struct codes *codes, const struct codes_query *query,
                const struct code_row *row, float inner);

/* Makes query->test of all else in the query. */
void codes_make_test(const struct codes *codes, struct codes_query *query);

/* Exact distances of `count` slots, whose rows are given. */
void codes_exact(const struct codes *codes, const struct codes_query *query,
                 const int32_t *slots, const float *const *rows, int count,
                 float *out);

static inline float codes_lower(const struct code_test *test,
                                const struct code_row *row, float inner)
{
    return test->floor + row->len * (test->square * row->len - test->slack) -
           test->gap * row->gap - test->inner * row->scale * inner;
}

/* What `nearest` is told of a slot. */
static inline struct near codes_near(const struct codes *codes, float distance,
                                     int64_t slot)
{
    const int64_t *ids = codes->options.ids;

    return (struct near){distance, ids == NULL ? slot : ids[slot]};
}

static inline const struct code_row *codes_about(const struct codes *codes,
                                                 int64_t slot)
{
    return blocks_at(&codes->about, slot);
}

static inline bool codes_is_l2(const struct codes *codes)
{
    return codes->options.metric == VECINDEX_L2;
}

/* The distance from the inner product of q' and x'. The lengths are a little
 * too long, by far less than the slack. */
static inline float codes_middle(const struct codes *codes,
                                 const struct codes_query *query,
                                 const struct code_row *row, float inner)
{
    if (codes_is_l2(codes))
        return query->len * query->len + row->len * row->len - 2 * inner;
    return -inner;
}

#endif
