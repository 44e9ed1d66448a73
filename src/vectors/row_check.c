/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors/row_check.h"

#include <math.h>

#include "vectors/dot.h"

/* Squares and products of two vectors as long as this cannot overflow, with
 * room to spare; NaN and infinities are not below it. The cosine of a vector
 * shorter than the other limit would be all rounding. */
static const float square_max = 1e37F;
static const float square_min = 1e-30F;

int row_check(const float *vector, int dim, enum vecindex_metric metric,
              float slack, struct err *err)
{
    float square = 0;

    dot_best()->inner(vector, &vector, 1, dim, &square);
    if (!(square <= square_max * slack))
        return err_set(err, ERR_INVALID,
                       "the vector has NaN, infinite or huge numbers (its "
                       "length must be below %.0e)",
                       sqrt((double)square_max));
    if (metric == VECINDEX_COSINE && square < square_min / slack)
        return err_set(err, ERR_INVALID,
                       "the vector has length 0, so no cosine");
    return 0;
}
