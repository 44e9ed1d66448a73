/* SPDX-License-Identifier: Apache-2.0 */
/* The index of images that goes with a model: found by the settings, opened
 * when its file appears, and kept up with what other processes add. The file
 * is one of ours (vectors/flat.h), which can be written, or one of FAISS with
 * the names of its items in labels.npy (vectors/vecindex.h), which is read.
 *
 * Thread-safe. */
#ifndef OLHO_MODELS_COLLECTION_H
#define OLHO_MODELS_COLLECTION_H

#include "base/config.h"
#include "base/err.h"
#include "base/mem.h"
#include "models/bundle.h"
#include "vectors/flat.h"

enum { COLLECTION_K_MAX = FLAT_K_MAX };

struct collection;

/* Knows the file's name afterwards: `path` unless it is empty, else
 * embeddings.faiss or index.olho in the model's folder when one is there, else
 * index.olho in the data folder. Opens nothing. The caller owns *out. */
MUST_CHECK int collection_new(const struct config *config,
                              const struct bundle *bundle, const char *path,
                              struct collection **out, struct err *err);
void collection_free(struct collection *collection); /* NULL is allowed */

const char *collection_path(const struct collection *collection);

struct collection_info {
    bool is_open;       /* false: there is no file yet */
    const char *type;   /* "Flat", "IVFFlat" or "HNSW" */
    const char *metric; /* "L2", "IP" or "COSINE" */
    int64_t count;      /* items */
    int dim;            /* values of a vector */
    bool is_exact;      /* searches find the nearest for certain */
    int64_t file_len;   /* bytes */
    int64_t torn_len;   /* bytes of an addition that never finished */
    char model[2 * METADATA_NAME_MAX]; /* that made the vectors; "": unknown */
    const char *kernels;               /* "avx512", "avx2", "neon" or "c" */
};

/* Opens or refreshes the index and says what is in it. ERR_CONFLICT when
 * another model made its vectors, or their length is not the model's. */
MUST_CHECK int collection_info(struct collection *collection,
                               struct collection_info *out, struct err *err);

struct neighbour {
    int64_t id;         /* its place in the index, from 0 */
    const char *path;   /* borrowed from the collection */
    const char *label;  /* "" when there is none */
    const char *sha256; /* 64 hexadecimal digits, or "" */
    float distance;     /* as FAISS counts it for L2: the squared distance;
                         * for the other metrics 1 - similarity */
};

struct neighbours {
    const struct neighbour *list; /* nearest first, in the arena */
    int count;
    bool is_exact; /* they are the nearest for certain */
};

/* The k (1..COLLECTION_K_MAX) nearest to `query` of `len` values; none without
 * a file. */
MUST_CHECK int collection_search(struct collection *collection,
                                 const float *query, int len, int k,
                                 struct arena *arena, struct neighbours *out,
                                 struct err *err);

/* Opens the index for writing, making it when absent. The caller owns *out
 * (flat_close). ERR_UNPROCESSABLE when the model gives no embedding,
 * ERR_UNSUPPORTED for a FAISS file. */
MUST_CHECK int collection_open_for_writing(struct collection *collection,
                                           struct flat **out, struct err *err);

#endif
