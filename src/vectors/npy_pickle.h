/* SPDX-License-Identifier: Apache-2.0 */
/* The pickle that numpy.save writes for an array of str objects, and nothing
 * else: no name is looked up, nothing is imported, made or called.
 * Thread-safe: no state. */
#ifndef OLHO_VECTORS_NPY_PICKLE_H
#define OLHO_VECTORS_NPY_PICKLE_H

#include "base/buf.h"
#include "base/err.h"
#include "vectors/npy_pool.h"

/* Adds the array's texts, in C order, to the pool; there must be `count`.
 * ERR_INVALID names the instruction, global or value that is not of such an
 * array; ERR_CORRUPT a pickle that does not hold together. */
MUST_CHECK int npy_pickle_read(struct bytes pickle, int64_t count,
                               struct npy_pool *pool, struct err *err);

#endif
