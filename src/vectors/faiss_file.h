/* SPDX-License-Identifier: Apache-2.0 */
/* Index files of FAISS, read and written: IndexFlatL2, IndexFlatIP and
 * IndexFlat, IndexIVFFlat and IndexHNSWFlat over them, and IndexIDMap and
 * IndexIDMap2 around any of these. Others are refused by name.
 *
 * Numbers are little-endian and lie without padding. docs/design/vectors.md
 * has the layout. Every count is checked against the file's length before
 * memory is taken, every link and id against what it points to, every value
 * for NaN and infinity.
 * Thread-safe: no state; what was read is constant. */
#ifndef OLHO_VECTORS_FAISS_FILE_H
#define OLHO_VECTORS_FAISS_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum {
    FAISS_DIM_MAX = 65536,
    FAISS_LEVEL_MAX = 64,   /* levels of a graph */
    FAISS_LINKS_MAX = 4096, /* links of an entry on one level */
};

enum faiss_kind { FAISS_FLAT, FAISS_IVF_FLAT, FAISS_HNSW_FLAT };
enum faiss_metric { FAISS_INNER, FAISS_L2 }; /* numbers as in the file */

/* Entries of one list of an IndexIVFFlat, in the file's order. */
struct faiss_list {
    const float *rows; /* count * dim; see faiss_index.rows */
    int64_t *ids;      /* count */
    int64_t count;
};

struct faiss_ivf {
    float *centroids;         /* owned; list_count * dim */
    struct faiss_list *lists; /* owned, their ids too */
    int64_t list_count;
    int64_t nprobe;
    enum faiss_metric metric; /* of the search for lists */
};

/* Entry i has levels[i] levels (1: the ground alone). Its links on level l are
 * neighbours[offsets[i] + starts[l]] up to starts[l + 1], -1 after the last. */
struct faiss_graph {
    int32_t *levels;     /* owned; count */
    uint64_t *offsets;   /* owned; count + 1 */
    int32_t *neighbours; /* owned; offsets[count] */
    int32_t starts[FAISS_LEVEL_MAX + 1];
    int start_count; /* of starts; the levels that a file tells of, and one */
    int32_t entry;   /* where a search begins; -1 when there is nothing */
    int ef_construction, ef_search;
};

struct faiss_index {
    enum faiss_kind kind;
    enum faiss_metric metric;
    int dim;
    int64_t count;
    int64_t *ids;      /* owned; by position, from an IDMap. NULL: none */
    bool is_id_map2;   /* an IndexIDMap2; with ids */
    const float *rows; /* count * dim, but for FAISS_IVF_FLAT. Not aligned when
                        * mapped: read with memcpy or the kernels of dot.h */
    struct faiss_ivf ivf;     /* of FAISS_IVF_FLAT */
    struct faiss_graph graph; /* of FAISS_HNSW_FLAT */

    float *row_block; /* owned; where rows are copied to. NULL: mapped */
    struct bytes map; /* owned mapping of the file, or empty */
};

/* Reads the file at path. With is_mapped rows stay in the file, which other
 * processes that do so share; then it must never be written in place, only
 * replaced by renaming (as faiss_file_write does), else a read of it is a
 * fault (SIGBUS). ERR_NOT_FOUND; ERR_UNSUPPORTED names the kind of index;
 * ERR_CORRUPT the place of the damage. Ended with faiss_index_release. */
MUST_CHECK int faiss_file_read(const char *path, bool is_mapped,
                               struct faiss_index *out, struct err *err);

/* Writes a file that FAISS reads; there whole or not at all. Borrows all. */
MUST_CHECK int faiss_file_write(const char *path,
                                const struct faiss_index *index,
                                struct err *err);

void faiss_index_release(struct faiss_index *index); /* also of a zeroed one */

/* Frees levels, offsets and links; the rest stays. */
void faiss_graph_release(struct faiss_graph *graph);

#endif
