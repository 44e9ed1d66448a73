/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of an index in memory know of each other: of vecindex*.c,
 * ivf*.c alone.
 *
 * Inside, a distance is smaller when nearer: the inner product and the cosine
 * carry a minus. Rows are told by their place 0..count-1. */
#ifndef OLHO_VECTORS_VECINDEX_PARTS_H
#define OLHO_VECTORS_VECINDEX_PARTS_H

#include <stdint.h>

#include "base/err.h"
#include "vectors/dot.h"
#include "vectors/faiss_file.h"
#include "vectors/lists.h"
#include "vectors/nearest.h"
#include "vectors/vecindex.h"

enum { VECINDEX_RUN_LEN = 256 }; /* rows in one call of a kernel */

struct id_place {
    int64_t id, place;
};

struct hnsw;
struct codes;

struct vecindex {
    enum vecindex_type type;
    enum vecindex_metric metric;
    const struct dot_kernels *kernels;
    int nprobe, ef_search; /* of a search that names none */

    /* The rows and what is over them, as a file has it. data.ids are of Flat
     * and HNSW; IVFFlat has its ids in the lists. */
    struct faiss_index data;
    int64_t *list_begins;   /* owned; IVFFlat: the place of each list's first
                             * row, and the count */
    struct id_place *by_id; /* owned, sorted; NULL: ids are places */
    bool has_ids;           /* ids are not simply 0..count-1 */
    struct lists *lists;    /* owned; IVFFlat, over quick */
    int64_t *list_ids;      /* owned; IVFFlat: of places */
    struct hnsw *hnsw;      /* owned; HNSW, over quick */
    struct codes *quick;    /* owned; Flat: NULL when lean or small */
};

/* A search under way: `query` as the metric wants it. */
struct vecindex_scan {
    const struct vecindex *index;
    const float *query;
    struct nearest *nearest; /* takes distances and ids */
};

/* Distances from a query to rows: the kernel of the metric, with its sign. */
void vecindex_distances(const struct dot_kernels *kernels,
                        enum faiss_metric metric, const float *query,
                        const float *const *rows, int count, int dim,
                        float *out);

/* Offers `count` rows that lie one behind the other; the id of the first is
 * first_id, or ids[0] when ids is not NULL. */
void vecindex_scan_rows(const struct vecindex_scan *scan, const float *rows,
                        const int64_t *ids, int64_t first_id, int64_t count);

/* The row at a place. */
const float *vecindex_place(const struct vecindex *index, int64_t place);

/* Puts data.rows into lists and frees what they were in. options are
 * complete. ERR_UNAVAILABLE without memory: rows are as they were. */
MUST_CHECK int ivf_build(struct vecindex *index,
                         const struct vecindex_options *options,
                         struct err *err);

/* Makes what searches go by, once the rows are those to stay. */
MUST_CHECK int ivf_finish(struct vecindex *index, bool is_lean,
                          struct err *err);

/* Looks at nprobe lists, and at more until k rows were seen. *out_is_exact:
 * those were all. */
MUST_CHECK int ivf_search(const struct vecindex_scan *scan, int nprobe,
                          bool *out_is_exact, struct err *err);

#endif
