/* SPDX-License-Identifier: Apache-2.0 */
/* An HDF5 file, read: texts of attributes and numbers of datasets, as Keras
 * stores them. Only what Keras writes is read: hard links, plain or chunked
 * datasets, the filters deflate, shuffle and fletcher32. Soft and external
 * links, external and virtual storage and every other filter are refused.
 *
 * The HDF5 library is not thread-safe and may crash on a hostile file: one
 * thread of the process, and that in a child (models/keras_import.c). */
#ifndef OLHO_MODELS_HDF5_FILE_H
#define OLHO_MODELS_HDF5_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum {
    HDF5_RANK_MAX = 8,
    HDF5_TEXT_MAX = 16 << 20, /* bytes of one attribute */
    HDF5_TEXTS_MAX = 1 << 16, /* texts of one attribute */
};

struct hdf5_file;

/* Fails with ERR_UNPROCESSABLE when it is no HDF5 file. The caller owns
 * *out. */
MUST_CHECK int hdf5_open(const char *path, struct hdf5_file **out,
                         struct err *err);
void hdf5_close(struct hdf5_file *file); /* NULL is allowed */

/* Whether a path ("a/b/c") leads to a group or dataset by hard links only. */
bool hdf5_has(struct hdf5_file *file, const char *path);
bool hdf5_has_text(struct hdf5_file *file, const char *path, const char *name);

/* The text of an attribute; of an array, its texts one after the other with a
 * NUL after each, *count of them. path "" is the root. out is initialised by
 * the caller and appended to; its len_max is a limit too. ERR_NOT_FOUND when
 * there is no such object or attribute. */
MUST_CHECK int hdf5_read_texts(struct hdf5_file *file, const char *path,
                               const char *name, struct buf *out, size_t *count,
                               struct err *err);

/* The shape of a dataset of floating-point numbers; dims has HDF5_RANK_MAX.
 * ERR_NOT_FOUND when it is not there. */
MUST_CHECK int hdf5_read_shape(struct hdf5_file *file, const char *path,
                               int64_t *dims, int *rank, struct err *err);

/* Its `count` numbers as float32; count must be the product of its sizes. */
MUST_CHECK int hdf5_read_floats(struct hdf5_file *file, const char *path,
                                float *out, size_t count, struct err *err);

#endif
