/* SPDX-License-Identifier: Apache-2.0 */
/* Texts gathered from a file before it is known how many they are.
 * One thread at a time. */
#ifndef OLHO_VECTORS_NPY_POOL_H
#define OLHO_VECTORS_NPY_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "vectors/npy.h"

enum { NPY_POOL_EMPTY = -1 }; /* where "" is */

struct npy_pool {
    struct buf bytes; /* texts, a NUL after each */
    int64_t *places;  /* owned: for each text of the array, where it is */
    int64_t count, cap;
};

void npy_pool_init(struct npy_pool *pool);
void npy_pool_release(struct npy_pool *pool);

/* Copies a text of UTF-8 or of UCS-4 (zeros at its end left out); *out_place
 * says where it is. ERR_INVALID when it is not valid or has a NUL inside,
 * ERR_UNAVAILABLE. */
MUST_CHECK int npy_pool_utf8(struct npy_pool *pool, struct bytes text,
                             int64_t *out_place, struct err *err);
MUST_CHECK int npy_pool_ucs4(struct npy_pool *pool, struct bytes text,
                             bool is_big_endian, int64_t *out_place,
                             struct err *err);

/* The next text of the array is the one at place. ERR_UNAVAILABLE. */
MUST_CHECK int npy_pool_add(struct npy_pool *pool, int64_t place,
                            struct err *err);

/* Hands all over to the caller; the pool is to be released all the same. */
MUST_CHECK int npy_pool_finish(struct npy_pool *pool, struct npy_texts *out,
                               struct err *err);

/* The number of the character that begins at text, and its length in *len; -1
 * when it is not valid UTF-8 (RFC 3629). */
int32_t npy_utf8_char(const uint8_t *text, size_t left, int *len);

#endif
