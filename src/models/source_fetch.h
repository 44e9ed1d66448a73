/* SPDX-License-Identifier: Apache-2.0 */
/* Models in a bucket, copied into the data folder. What is there already, of
 * the same length and time, is not fetched again; so a server starts with the
 * copy when the bucket is away. Thread-safe between different paths. */
#ifndef OLHO_MODELS_SOURCE_FETCH_H
#define OLHO_MODELS_SOURCE_FETCH_H

#include "base/config.h"
#include "base/err.h"

/* Copies a model folder (or the folder of a file, or what a trainer left) of
 * "s3://bucket/prefix" and gives its local folder (FILE_PATH_MAX bytes). At
 * most 1000 files and 16 GiB. */
MUST_CHECK int source_fetch(const struct config *config, const char *url,
                            char *out_dir, struct err *err);

/* The same of one file; of an index also the labels.npy beside it. */
MUST_CHECK int source_fetch_file(const struct config *config, const char *url,
                                 char *out_path, struct err *err);

#endif
