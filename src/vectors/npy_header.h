/* SPDX-License-Identifier: Apache-2.0 */
/* The head of a .npy file: what lies in it, and from which byte on.
 * Thread-safe: no state. */
#ifndef OLHO_VECTORS_NPY_HEADER_H
#define OLHO_VECTORS_NPY_HEADER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum {
    NPY_SHAPE_MAX = 32,           /* dimensions, as in numpy 1 */
    NPY_HEADER_LEN_MAX = 1 << 16, /* bytes of magic and header */
};

struct npy_header {
    char kind;          /* 'f' 'i' 'u' 'U' 'S', 'O' or another of numpy's */
    int item_len;       /* bytes of a value; 0 for 'O' */
    bool is_big_endian; /* most significant byte first */
    bool is_fortran;    /* the first index runs fastest */
    int shape_count;
    int64_t shape[NPY_SHAPE_MAX];
    int64_t count;     /* values: the product of the shape */
    uint64_t data_at;  /* offset of the first value */
    uint64_t data_len; /* from there to the end of the file; but for 'O' it is
                        * count * item_len */
};

/* Reads the header from the first bytes of a file of file_len bytes: all of
 * it, or NPY_HEADER_LEN_MAX. ERR_CORRUPT says what is wrong; ERR_UNSUPPORTED
 * names a newer version or a type with fields. */
MUST_CHECK int npy_header_parse(struct bytes start, uint64_t file_len,
                                struct npy_header *out, struct err *err);

/* Writes magic and header of one dimension (column_count -1) or two, in C
 * order, filled up to a multiple of 64 bytes as numpy does. descr: "<f4". */
void npy_header_write(struct buf *out, const char *descr, int64_t row_count,
                      int64_t column_count);

/* "'<f4'" as a message shows it: into text, of 32 bytes. */
const char *npy_header_type(const struct npy_header *header, char *text);

#endif
