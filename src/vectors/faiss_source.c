/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors/faiss_source.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/mem.h"

enum { PIECE = 1024 }; /* values looked at together */

static const struct {
    const char *code, *name;
} refused[] = {
    {"IxPT", "IndexPreTransform"},
    {"IxSQ", "IndexScalarQuantizer"},
    {"IxPq", "IndexPQ"},
    {"IxPo", "IndexPQ"},
    {"IxHe", "IndexLSH"},
    {"IxHE", "IndexLSH"},
    {"IxRF", "IndexRefine"},
    {"IxRQ", "IndexResidualQuantizer"},
    {"IvFl", "IndexIVFFlat of an old FAISS"},
    {"IwFd", "IndexIVFFlatDedup"},
    {"IwSQ", "IndexIVFScalarQuantizer"},
    {"IwSq", "IndexIVFScalarQuantizer"},
    {"IwPQ", "IndexIVFPQ"},
    {"IwQR", "IndexIVFPQR"},
    {"IwPf", "IndexIVFPQFastScan"},
    {"IPfs", "IndexPQFastScan"},
    {"IHNp", "IndexHNSWPQ"},
    {"IHNs", "IndexHNSWSQ"},
    {"IHN2", "IndexHNSW2Level"},
    {"INSf", "IndexNSGFlat"},
    {"INNf", "IndexNNDescentFlat"},
    {"IBxF", "IndexBinaryFlat"},
    {"IBwF", "IndexBinaryIVF"},
    {"IBHf", "IndexBinaryHNSW"},
    {"Imiq", "MultiIndexQuantizer"},
};

static const char *const known[] = {"IxF2", "IxFI", "IxFl", "IxMp",
                                    "IxM2", "IwFl", "IHNf"};

int faiss_corrupt(const struct faiss_source *source, const char *what,
                  struct err *err)
{
    int rc = infile_check(&source->file, err);

    if (rc)
        return rc;
    return err_set(err, ERR_CORRUPT, "%s before byte %" PRIu64 " of %" PRIu64,
                   what, source->file.at, source->file.len);
}

/* The count in front of a list of values of `size` bytes, which all lie
 * before the end of the file. */
int faiss_read_count(struct faiss_source *source, uint64_t size,
                     const char *what, int64_t *out, struct err *err)
{
    uint64_t count = infile_u64(&source->file);
    int rc = infile_check(&source->file, err);

    if (rc)
        return rc;
    if (count > infile_left(&source->file) / size)
        return err_set(err, ERR_CORRUPT,
                       "%" PRIu64 " %s at byte %" PRIu64
                       " are more than the file has",
                       count, what, source->file.at);
    *out = (int64_t)count;
    return 0;
}

int faiss_expect_count(struct faiss_source *source, uint64_t size,
                       const char *what, int64_t wanted, struct err *err)
{
    int64_t count = 0;
    int rc = faiss_read_count(source, size, what, &count, err);

    if (rc == 0 && count != wanted)
        rc = err_set(err, ERR_CORRUPT,
                     "%" PRId64 " %s before byte %" PRIu64
                     "; there must be %" PRId64,
                     count, what, source->file.at, wanted);
    return rc;
}

int faiss_no_memory(int64_t count, const char *what, struct err *err)
{
    return err_set(err, ERR_UNAVAILABLE, "no memory for %" PRId64 " %s", count,
                   what);
}

/* Whether no value is NaN or infinite. They need not be aligned. */
static bool is_finite(const void *values, int64_t count)
{
    const char *at = values;
    uint32_t bits[PIECE];
    int64_t i, part;
    uint32_t bad = 0;

    assert(values != NULL || count == 0);
    for (; count > 0; count -= part, at += part * 4) {
        part = count < PIECE ? count : PIECE;
        memcpy(bits, at, (size_t)part * 4);
        for (i = 0; i < part; i++)
            bad |= (bits[i] & 0x7f800000) == 0x7f800000;
    }
    return bad == 0;
}

/* `count` rows from here on: mapped, or copied to `to`, which has room. */
int faiss_read_rows(struct faiss_source *source, int64_t count, int dim,
                    float *to, const float **out, struct err *err)
{
    uint64_t len = (uint64_t)count * (uint64_t)dim * 4;
    uint64_t at = source->file.at;
    int rc;

    if (source->map.len > 0) {
        *out = (const float *)(const void *)(source->map.data + at);
        infile_skip(&source->file, len);
    } else {
        *out = to;
        infile_read(&source->file, to, len);
    }
    rc = infile_check(&source->file, err);
    if (rc == 0 && !is_finite(*out, count * dim))
        rc = err_set(err, ERR_CORRUPT,
                     "NaN or infinity in the rows at byte %" PRIu64, at);
    return rc;
}

/* Room for rows that are not mapped; their bytes are known to be there. */
int faiss_make_rows(const struct faiss_source *source,
                    struct faiss_index *index, struct err *err)
{
    if (source->map.len > 0)
        return 0;
    index->row_block = mem_try_aligned(
        (size_t)index->count * (size_t)index->dim, sizeof *index->row_block);
    return index->row_block == NULL ? faiss_no_memory(index->count, "rows", err)
                                    : 0;
}

static int check_metric(struct faiss_source *source, int32_t number,
                        struct faiss_head *out, struct err *err)
{
    int rc = infile_check(&source->file, err);

    if (rc)
        return rc;
    if (number != FAISS_INNER && number != FAISS_L2)
        return err_set(err, ERR_UNSUPPORTED,
                       "an index with FAISS metric %d is not read; 0 (inner "
                       "product) and 1 (L2) are",
                       (int)number);
    out->metric = (enum faiss_metric)number;
    return 0;
}

int faiss_refuse_code(const char *code, struct err *err)
{
    char shown[FAISS_CODE_LEN + 1];
    size_t i;

    for (i = 0; i < sizeof refused / sizeof refused[0]; i++)
        if (memcmp(code, refused[i].code, FAISS_CODE_LEN) == 0)
            return err_set(err, ERR_UNSUPPORTED,
                           "a FAISS index of type %s (%s) is not read; Flat, "
                           "IVFFlat, HNSWFlat and IDMap are",
                           refused[i].code, refused[i].name);
    for (i = 0; i < FAISS_CODE_LEN; i++)
        shown[i] = (char)(code[i] > ' ' && code[i] <= '~' ? code[i] : '?');
    shown[FAISS_CODE_LEN] = '\0';
    return err_set(err, ERR_UNSUPPORTED,
                   "a FAISS index of type '%s' is not known", shown);
}

static bool is_known(const char *code)
{
    size_t i;

    for (i = 0; i < sizeof known / sizeof known[0]; i++)
        if (memcmp(code, known[i], FAISS_CODE_LEN) == 0)
            return true;
    return false;
}

/* What every index begins with. */
int faiss_read_head(struct faiss_source *source, struct faiss_head *out,
                    struct err *err)
{
    uint32_t dim;
    uint64_t count;
    int rc;

    infile_read(&source->file, out->code, FAISS_CODE_LEN);
    out->code[FAISS_CODE_LEN] = '\0';
    rc = infile_check(&source->file, err);
    if (rc == 0 && !is_known(out->code))
        rc = faiss_refuse_code(out->code, err);
    if (rc)
        return rc;
    dim = infile_u32(&source->file);
    count = infile_u64(&source->file);
    infile_skip(&source->file, 16); /* no longer used by FAISS */
    out->is_trained = infile_u8(&source->file) != 0;
    rc = check_metric(source, (int32_t)infile_u32(&source->file), out, err);
    if (rc)
        return rc;
    if (dim < 1 || dim > FAISS_DIM_MAX)
        return err_set(err, ERR_CORRUPT,
                       "the index has %" PRIu32 " dimensions; it must have "
                       "1..%d",
                       dim, FAISS_DIM_MAX);
    if (count > source->file.len / dim / 4)
        return err_set(err, ERR_CORRUPT,
                       "%" PRIu64 " rows of %" PRIu32
                       " values are more than the file has",
                       count, dim);
    out->dim = (int)dim;
    out->count = (int64_t)count;
    return 0;
}

bool faiss_is_flat(const char *code)
{
    return strcmp(code, "IxF2") == 0 || strcmp(code, "IxFI") == 0 ||
           strcmp(code, "IxFl") == 0;
}

void faiss_take_head(struct faiss_index *index, enum faiss_kind kind,
                     const struct faiss_head *head)
{
    index->kind = kind;
    index->metric = head->metric;
    index->dim = head->dim;
    index->count = head->count;
}

/* Behind the head. */
int faiss_read_flat(struct faiss_source *source, const struct faiss_head *head,
                    struct faiss_index *index, struct err *err)
{
    int rc;

    faiss_take_head(index, FAISS_FLAT, head);
    rc = faiss_expect_count(source, 4, "values", head->count * head->dim, err);
    if (rc == 0)
        rc = faiss_make_rows(source, index, err);
    if (rc == 0)
        rc = faiss_read_rows(source, head->count, head->dim, index->row_block,
                             &index->rows, err);
    return rc;
}
