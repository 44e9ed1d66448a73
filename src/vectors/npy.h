/* SPDX-License-Identifier: Apache-2.0 */
/* Files of numpy.save: matrices of numbers, and arrays of texts.
 *
 *     magic "\x93NUMPY", version 1.0 2.0 3.0, length, header, data
 *     header {'descr': '<f4', 'fortran_order': False, 'shape': (5, 2), }
 *
 * An array of Python objects is a pickle. Ours is no pickle machine: it knows
 * the instructions that numpy writes for texts and refuses every other one by
 * name, so nothing that a file says is ever imported or called.
 * Every count is checked against the file's length before memory is taken.
 * Thread-safe: no state. */
#ifndef OLHO_VECTORS_NPY_H
#define OLHO_VECTORS_NPY_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum {
    NPY_DIM_MAX = 65536,        /* columns of a matrix */
    NPY_TEXTS_LEN_MAX = 1 << 28 /* bytes of a file of texts */
};

/* A matrix, rows one behind the other whatever order the file had. */
struct npy_matrix {
    float *rows; /* owned; row_count * dim */
    int64_t row_count;
    int dim;
};

/* Reads a matrix of float16, float32 or float64 (either byte order, C or
 * Fortran order) as float32; an array of one dimension is one row. Values that
 * float32 cannot hold become infinities. ERR_UNSUPPORTED names another type;
 * ERR_CORRUPT what in the file is wrong. Ended with npy_matrix_release. */
MUST_CHECK int npy_read_matrix(const char *path, struct npy_matrix *out,
                               struct err *err);
void npy_matrix_release(struct npy_matrix *matrix); /* also of a zeroed one */

/* Whole numbers, from int8..int64 and uint8..uint32 in one dimension; *out is
 * owned by the caller (mem_free). */
MUST_CHECK int npy_read_integers(const char *path, int64_t **out,
                                 int64_t *out_count, struct err *err);

/* Texts by number; each is UTF-8, without a NUL inside. */
struct npy_texts {
    const char **texts; /* owned; equal ones may be one */
    int64_t count;
    char *pool; /* owned: what they point to */
};

/* Reads the texts of an array of any shape in C order: numpy's own ("<U12",
 * "|S12") or objects that are str or None (""), as
 * numpy.save(allow_pickle=True) writes them under numpy 1 and 2. ERR_INVALID
 * names the first instruction or value that is something else. Ended with
 * npy_texts_release. */
MUST_CHECK int npy_read_texts(const char *path, struct npy_texts *out,
                              struct err *err);
MUST_CHECK int npy_parse_texts(struct bytes file, struct npy_texts *out,
                               struct err *err);
void npy_texts_release(struct npy_texts *texts); /* also of a zeroed one */

/* Write a file that numpy.load reads without allow_pickle: float32 in C order;
 * "<U" as wide as the longest text (which must be UTF-8: ERR_INVALID); int64.
 * The file is there whole or not at all. */
MUST_CHECK int npy_write_matrix(const char *path, const float *rows,
                                int64_t row_count, int dim, struct err *err);
MUST_CHECK int npy_write_texts(const char *path, const char *const *texts,
                               int64_t count, struct err *err);
MUST_CHECK int npy_write_integers(const char *path, const int64_t *values,
                                  int64_t count, struct err *err);

#endif
