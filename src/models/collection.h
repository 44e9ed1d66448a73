/* SPDX-License-Identifier: Apache-2.0 */
/* The index of images that goes with a model: found by the settings, opened
 * when its file appears, and kept up with what other processes add. It is a
 * set of vectors (vectors/vecstore.h) in a file of ours or in Milvus, which can
 * be written, or a file of FAISS with the names of its items in labels.npy
 * (vectors/vecindex.h), which is read.
 *
 * Thread-safe. */
#ifndef OLHO_MODELS_COLLECTION_H
#define OLHO_MODELS_COLLECTION_H

#include "base/config.h"
#include "base/err.h"
#include "base/mem.h"
#include "models/bundle.h"
#include "vectors/vecstore.h"

enum { COLLECTION_K_MAX = 1000 };

struct collection;

/* Knows where it is afterwards: at `path` (a file, or milvus://...) unless that
 * is empty, else where VECTORS_URL says, else in embeddings.faiss or index.olho
 * in the model's folder when one is there, else in index.olho in the data
 * folder. Opens nothing. The caller owns *out. */
MUST_CHECK int collection_new(const struct config *config,
                              const struct bundle *bundle, const char *path,
                              struct collection **out, struct err *err);
void collection_free(struct collection *collection); /* NULL is allowed */

/* Where it is, to be shown: a URL is without user and password. */
const char *collection_path(const struct collection *collection);

/* Whether it is a file of FAISS, or .npy. */
bool collection_is_foreign(const struct collection *collection);

struct collection_info {
    bool is_open;       /* false: there is no file yet */
    const char *type;   /* "Flat", "IVFFlat" or "HNSW" */
    const char *metric; /* "L2", "IP" or "cosine" */
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
    int64_t id;        /* in the index; in a new one they count from 0 */
    const char *path;  /* "" when there is none */
    const char *label; /* of its tag "label"; "" when there is none */
    const char *key;   /* what identifies the source: of an image its SHA-256
                        * in 64 hexadecimal digits; "" when there is none */
    float distance;    /* as FAISS counts it for L2: the squared distance;
                        * for the other metrics 1 - similarity */
};

struct neighbours {
    const struct neighbour *list; /* nearest first; in the arena, as the texts,
                                   * or borrowed from the collection */
    int count;
    bool is_exact;    /* they are the nearest for certain */
    const char *type; /* what found them: "Flat", "IVFFlat" or "HNSW" */
};

/* The k (1..COLLECTION_K_MAX) nearest to `query` of `len` values; none without
 * a file. */
MUST_CHECK int collection_search(struct collection *collection,
                                 const float *query, int len, int k,
                                 struct arena *arena, struct neighbours *out,
                                 struct err *err);

/* Opens the index anew, beside what searches it. With VEC_WRITE it is made
 * when absent, as `options` say; a type ANY is that of the settings, and dim,
 * model and timeout are the collection's own. The caller owns *out
 * (vecstore_close).
 * ERR_NOT_FOUND with VEC_READ; ERR_UNPROCESSABLE when the model gives no
 * embedding, ERR_UNSUPPORTED for a FAISS file. */
MUST_CHECK int collection_open_store(struct collection *collection,
                                     enum vec_mode mode,
                                     const struct vec_options *options,
                                     struct vecstore **out, struct err *err);

#endif
