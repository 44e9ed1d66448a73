/* SPDX-License-Identifier: Apache-2.0 */
/* The pieces that index files of FAISS are made of, as read and checked. Of
 * the faiss_*.c alone. One thread at a time. */
#ifndef OLHO_VECTORS_FAISS_SOURCE_H
#define OLHO_VECTORS_FAISS_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "vectors/faiss_file.h"
#include "vectors/infile.h"

enum { FAISS_CODE_LEN = 4 };

/* A file being read: `file` stands behind what was read of it. */
struct faiss_source {
    struct infile file;
    struct bytes map; /* of the whole file; empty: rows are copied */
};

struct faiss_head {
    char code[FAISS_CODE_LEN + 1];
    int dim;
    int64_t count;
    enum faiss_metric metric;
    bool is_trained;
};

/* ERR_CORRUPT: "what before byte N of M", or why the file could not be read. */
int faiss_corrupt(const struct faiss_source *source, const char *what,
                  struct err *err);
int faiss_no_memory(int64_t count, const char *what, struct err *err);

/* The count in front of a list of values of `size` bytes, which all lie
 * before the end of the file; expect: which must be `wanted`. */
MUST_CHECK int faiss_read_count(struct faiss_source *source, uint64_t size,
                                const char *what, int64_t *out,
                                struct err *err);
MUST_CHECK int faiss_expect_count(struct faiss_source *source, uint64_t size,
                                  const char *what, int64_t wanted,
                                  struct err *err);

/* What every index begins with; ERR_UNSUPPORTED for another metric. */
MUST_CHECK int faiss_read_head(struct faiss_source *source,
                               struct faiss_head *out, struct err *err);
void faiss_take_head(struct faiss_index *index, enum faiss_kind kind,
                     const struct faiss_head *head);

/* ERR_UNSUPPORTED, by name where it is known. */
int faiss_refuse_code(const char *code, struct err *err);

/* Room for rows that are not mapped; their bytes are known to be there. */
MUST_CHECK int faiss_make_rows(const struct faiss_source *source,
                               struct faiss_index *index, struct err *err);

/* `count` rows from here on: mapped, or copied to `to`, which has room. */
MUST_CHECK int faiss_read_rows(struct faiss_source *source, int64_t count,
                               int dim, float *to, const float **out,
                               struct err *err);

/* What comes behind the head of an IndexFlat, of an IndexHNSWFlat, and of an
 * IndexIVFFlat. */
bool faiss_is_flat(const char *code);
MUST_CHECK int faiss_read_flat(struct faiss_source *source,
                               const struct faiss_head *head,
                               struct faiss_index *index, struct err *err);
MUST_CHECK int faiss_read_hnsw(struct faiss_source *source,
                               const struct faiss_head *head,
                               struct faiss_index *index, struct err *err);
MUST_CHECK int faiss_read_ivf(struct faiss_source *source,
                              const struct faiss_head *head,
                              struct faiss_index *index, struct err *err);

#endif
