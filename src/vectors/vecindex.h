/* SPDX-License-Identifier: Apache-2.0 */
/* An index of vectors in memory, for reading: Flat (exact), IVFFlat or HNSW,
 * loaded from a FAISS or .npy file or built from rows.
 *
 *     struct vecindex_options options = {.nprobe = 16};
 *     struct vecindex_query query = {.vector = v, .dim = 512, .k = 3};
 *     rc = vecindex_open("embeddings.faiss", &options, &index, err);
 *     rc = vecindex_search(index, &query, hits, &count, &is_exact, err);
 *
 * A set that changes while it is searched is another thing: vectors/vecstore.h.
 * Thread-safe: after open or build nothing changes, and searches run beside
 * each other. */
#ifndef OLHO_VECTORS_VECINDEX_H
#define OLHO_VECTORS_VECINDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum {
    VECINDEX_DIM_MAX = 65536,
    VECINDEX_K_MAX = 10000,
    VECINDEX_NLIST_MAX = 1 << 20,
    VECINDEX_NPROBE_MAX = VECINDEX_NLIST_MAX,
    VECINDEX_LINKS_MAX = 512,
    VECINDEX_EF_MAX = 10000,
    VECINDEX_THREADS_MAX = 256,
    /* AUTO: rows up to which Flat is taken. A graph is quicker from a few
     * thousand on, but not exact, and takes seconds to build; docs/design/
     * vectors.md has what that costs. */
    VECINDEX_FLAT_MAX = 20000,
};

enum vecindex_type {
    VECINDEX_ANY,  /* open: as the file has it; build: as AUTO */
    VECINDEX_AUTO, /* Flat up to VECINDEX_FLAT_MAX rows, else HNSW */
    VECINDEX_FLAT,
    VECINDEX_IVFFLAT,
    VECINDEX_HNSW,
};

enum vecindex_metric {
    VECINDEX_METRIC_ANY, /* open: as the file has it; else L2 */
    VECINDEX_L2,         /* squared Euclidean distance; smaller is nearer */
    VECINDEX_IP,         /* inner product; larger is nearer */
    VECINDEX_COSINE,     /* cosine; larger is nearer. Rows become unit length,
                          * and a file of it says IP */
};

/* 0 in any number: the file's value, or else the default in brackets. */
struct vecindex_options {
    enum vecindex_type type;
    enum vecindex_metric metric;
    int nlist;           /* IVFFlat: lists (4 * square root of the count) */
    int nprobe;          /* IVFFlat: lists that a search looks at (10) */
    int links;           /* HNSW: M, of an entry on each upper level (16) */
    int ef_construction; /* HNSW: breadth of the search for links (200) */
    int ef_search;       /* HNSW: breadth of a search (64) */
    int thread_count;    /* that build (as many as there are cores); 1 makes
                          * the same index every time */
    uint64_t seed;       /* of all that is random (1) */
    bool is_mapped;      /* open: leave rows in the file where that can be, for
                          * processes to share; faiss_file.h has the price */
    bool is_lean;        /* no copy of the rows in int8, which takes a
                          * quarter of their memory and finds the same sooner */
};

struct vecindex_query {
    const float *vector; /* dim floats */
    int dim;
    int k;         /* 1..VECINDEX_K_MAX */
    int nprobe;    /* 0: the index's; else 1..VECINDEX_NPROBE_MAX */
    int ef_search; /* 0: the index's; else 1..VECINDEX_EF_MAX */
    bool is_exact; /* look at every row, whatever the type */
};

struct vecindex_hit {
    float distance; /* as the metric says it */
    int64_t id;
};

struct vecindex_info {
    enum vecindex_type type;
    const char *type_name; /* "Flat", "IVFFlat" or "HNSW" */
    enum vecindex_metric metric;
    const char *metric_name; /* "L2", "IP" or "cosine" */
    int64_t count;
    int dim;
    bool is_exact;                         /* every search looks at every row */
    bool has_ids;                          /* ids are not simply 0..count-1 */
    int nlist, nprobe;                     /* of IVFFlat, else 0 */
    int links, ef_construction, ef_search; /* of HNSW, else 0 */
    int64_t memory_len;  /* bytes taken, mapped ones left out */
    int64_t mapped_len;  /* bytes */
    const char *kernels; /* "avx512", "avx2", "neon" or "c" */
};

struct vecindex;

const char *vecindex_type_name(enum vecindex_type type);       /* "Flat" */
const char *vecindex_metric_name(enum vecindex_metric metric); /* "L2" */

/* "flat", "ivfflat" or "ivf", "hnsw", "auto"; "l2", "ip", "cosine", in any
 * case. ERR_INVALID names the text and what it may be. */
MUST_CHECK int vecindex_type_parse(const char *text, enum vecindex_type *out,
                                   struct err *err);
MUST_CHECK int vecindex_metric_parse(const char *text,
                                     enum vecindex_metric *out,
                                     struct err *err);

/* Loads a file of FAISS (faiss_file.h) or a matrix in .npy (npy.h). When the
 * options name another type or metric than the file's, the index is built anew
 * from its rows, under the same ids. The caller owns *out and ends it with
 * vecindex_free. Fails as faiss_file_read and vecindex_build do. */
MUST_CHECK int vecindex_open(const char *path,
                             const struct vecindex_options *options,
                             struct vecindex **out, struct err *err);

/* Builds an index of `count` rows of `dim` floats, which are copied; their ids
 * are 0..count-1, or ids[i] when ids is not NULL (copied; -1 is not allowed).
 * No rows at all are fine. NaN, infinities, rows longer than 3e18, a zero row
 * with cosine, an option out of range: ERR_INVALID names row and value.
 * ERR_UNAVAILABLE without memory. */
MUST_CHECK int vecindex_build(const float *rows, const int64_t *ids,
                              int64_t count, int dim,
                              const struct vecindex_options *options,
                              struct vecindex **out, struct err *err);
void vecindex_free(struct vecindex *index); /* NULL is allowed */

/* The k nearest, nearest first, ties by id, into out (room for k). *out_count
 * is below k only when the index has fewer: a search of lists or of a graph
 * that comes out short looks further. *out_is_exact says whether every row was
 * looked at. ERR_INVALID for another dim (naming both), NaN and infinities, a
 * zero query with cosine, or a k, nprobe or ef_search out of range. */
MUST_CHECK int vecindex_search(struct vecindex *index,
                               const struct vecindex_query *query,
                               struct vecindex_hit *out, int *out_count,
                               bool *out_is_exact, struct err *err);

/* Copies the row with that id, as it is searched (with cosine: of unit
 * length), into out (dim floats). ERR_NOT_FOUND. */
MUST_CHECK int vecindex_row(struct vecindex *index, int64_t id, float *out,
                            struct err *err);

/* The id of the entry at `place` 0..count-1, in the order of the rows that
 * were built from (IVFFlat: of its lists). */
int64_t vecindex_id(const struct vecindex *index, int64_t place);

/* Writes a file of FAISS; there whole or not at all. Index files of the same
 * rows, options and one thread are the same byte for byte. */
MUST_CHECK int vecindex_save_faiss(struct vecindex *index, const char *path,
                                   struct err *err);

void vecindex_info(struct vecindex *index, struct vecindex_info *out);

#endif
