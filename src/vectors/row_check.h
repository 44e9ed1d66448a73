/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a vector can be searched. Thread-safe. */
#ifndef OLHO_VECTORS_ROW_CHECK_H
#define OLHO_VECTORS_ROW_CHECK_H

#include "base/err.h"
#include "vectors/vecindex.h"

/* NaN, infinities, a length over 3e18 and, with cosine, a length of 0:
 * ERR_INVALID. slack is 1, or more for rows of a file, which another processor
 * may have summed otherwise. The vector need not be aligned. */
MUST_CHECK int row_check(const float *vector, int dim,
                         enum vecindex_metric metric, float slack,
                         struct err *err);

#endif
