/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "vectors/faiss_source.h"

/* The centroids are the rows of an index of its own. A graph over them is left
 * out: looking at all of them finds the same lists or nearer ones. */
static int read_centroids(struct faiss_source *source,
                          const struct faiss_head *head, struct faiss_ivf *ivf,
                          struct err *err)
{
    struct faiss_source copied = {.file = source->file};
    struct faiss_index centroids = {0};
    struct faiss_head inner = {0};
    int rc;

    rc = faiss_read_head(&copied, &inner, err);
    if (rc == 0 && faiss_is_flat(inner.code))
        rc = faiss_read_flat(&copied, &inner, &centroids, err);
    else if (rc == 0 && strcmp(inner.code, "IHNf") == 0)
        rc = faiss_read_hnsw(&copied, &inner, &centroids, err);
    else if (rc == 0)
        rc = faiss_refuse_code(inner.code, err);
    source->file = copied.file;
    if (rc == 0 && (inner.dim != head->dim || inner.count != ivf->list_count))
        rc = faiss_corrupt(source, "centroids that do not fit", err);
    if (rc == 0) {
        ivf->metric = inner.metric;
        ivf->centroids = centroids.row_block;
        centroids.row_block = NULL;
    } else {
        err_wrap(err, "the lists' centroids");
    }
    faiss_index_release(&centroids);
    return rc;
}

/* From an id to its place, which is found in the lists as well: an array, and
 * behind it pairs when they are hashed. */
static int skip_direct_map(struct faiss_source *source, struct err *err)
{
    uint8_t kind = infile_u8(&source->file);
    int64_t count = 0;
    int rc;

    if (kind > 2)
        return faiss_corrupt(source, "a map of ids of unknown type", err);
    rc = faiss_read_count(source, 8, "mapped ids", &count, err);
    if (rc)
        return rc;
    infile_skip(&source->file, (uint64_t)count * 8);
    if (kind < 2)
        return 0;
    rc = faiss_read_count(source, 16, "mapped ids", &count, err);
    if (rc == 0)
        infile_skip(&source->file, (uint64_t)count * 16);
    return rc;
}

/* The lengths of all lists, or pairs of list and length. */
static int read_list_lens(struct faiss_source *source, bool is_sparse,
                          struct faiss_ivf *ivf, struct err *err)
{
    int64_t count = 0, i;
    int rc = faiss_read_count(source, 8, "list lengths", &count, err);

    if (rc)
        return rc;
    if (is_sparse ? count % 2 != 0 || count / 2 > ivf->list_count
                  : count != ivf->list_count)
        return faiss_corrupt(source, "a wrong number of lists", err);
    for (i = 0; i < (is_sparse ? count / 2 : count); i++) {
        uint64_t list = is_sparse ? infile_u64(&source->file) : (uint64_t)i;
        uint64_t len = infile_u64(&source->file);

        if (list >= (uint64_t)ivf->list_count || len > source->file.len ||
            ivf->lists[list].count != 0)
            return faiss_corrupt(source, "a wrong list length", err);
        ivf->lists[list].count = (int64_t)len;
    }
    return 0;
}

static int read_list_start(struct faiss_source *source,
                           const struct faiss_head *head, struct faiss_ivf *ivf,
                           struct err *err)
{
    char code[FAISS_CODE_LEN + 1] = "", layout[FAISS_CODE_LEN + 1] = "";
    uint64_t list_count, len;
    int rc;

    infile_read(&source->file, code, FAISS_CODE_LEN);
    if (infile_check(&source->file, err))
        return (int)err->code;
    if (strcmp(code, "ilar") != 0)
        return err_set(err, ERR_UNSUPPORTED,
                       "inverted lists of type '%.4s' are not read; those in "
                       "the file itself ('ilar') are",
                       strcmp(code, "ilod") == 0   ? "ilod"
                       : strcmp(code, "il00") == 0 ? "il00"
                                                   : "????");
    list_count = infile_u64(&source->file);
    len = infile_u64(&source->file);
    infile_read(&source->file, layout, FAISS_CODE_LEN);
    if (list_count != (uint64_t)ivf->list_count ||
        len != (uint64_t)head->dim * 4)
        return faiss_corrupt(source, "lists that do not fit the index", err);
    if (strcmp(layout, "full") != 0 && strcmp(layout, "sprs") != 0)
        return faiss_corrupt(source, "lists in an unknown layout", err);
    rc = read_list_lens(source, strcmp(layout, "sprs") == 0, ivf, err);
    return rc ? rc : infile_check(&source->file, err);
}

static int read_lists(struct faiss_source *source, struct faiss_index *index,
                      struct err *err)
{
    struct faiss_ivf *ivf = &index->ivf;
    int64_t i, j, done = 0, total = 0;
    int rc = 0;

    for (i = 0; i < ivf->list_count; i++)
        if (__builtin_add_overflow(total, ivf->lists[i].count, &total))
            return faiss_corrupt(source, "lists that are too long", err);
    if (total != index->count)
        return faiss_corrupt(source, "lists with another number of rows", err);
    rc = faiss_make_rows(source, index, err);
    for (i = 0; rc == 0 && i < ivf->list_count; i++) {
        struct faiss_list *list = &ivf->lists[i];
        float *to = index->row_block == NULL
                        ? NULL
                        : index->row_block + done * index->dim;

        if (list->count == 0)
            continue;
        rc = faiss_read_rows(source, list->count, index->dim, to, &list->rows,
                             err);
        if (rc)
            break;
        list->ids = mem_try((size_t)list->count, sizeof *list->ids);
        if (list->ids == NULL)
            return faiss_no_memory(list->count, "ids", err);
        infile_read(&source->file, list->ids, (uint64_t)list->count * 8);
        rc = infile_check(&source->file, err);
        for (j = 0; rc == 0 && j < list->count; j++)
            if (list->ids[j] == -1)
                rc = faiss_corrupt(source, "the id -1", err);
        done += list->count;
    }
    return rc;
}

int faiss_read_ivf(struct faiss_source *source, const struct faiss_head *head,
                   struct faiss_index *index, struct err *err)
{
    struct faiss_ivf *ivf = &index->ivf;
    uint64_t list_count = infile_u64(&source->file);
    uint64_t nprobe = infile_u64(&source->file);
    int rc = infile_check(&source->file, err);

    if (rc)
        return rc;
    if (!head->is_trained)
        return err_set(err, ERR_UNSUPPORTED,
                       "the IVFFlat index was not trained: it has no lists");
    faiss_take_head(index, FAISS_IVF_FLAT, head);
    if (list_count < 1 ||
        list_count > infile_left(&source->file) / 4 / (uint64_t)head->dim ||
        nprobe < 1 || nprobe > INT32_MAX)
        return faiss_corrupt(source, "a wrong number of lists or of probes",
                             err);
    ivf->list_count = (int64_t)list_count;
    ivf->nprobe = (int64_t)nprobe;
    ivf->lists = mem_try((size_t)list_count, sizeof *ivf->lists);
    if (ivf->lists == NULL)
        return faiss_no_memory(ivf->list_count, "lists", err);
    rc = read_centroids(source, head, ivf, err);
    if (rc == 0)
        rc = skip_direct_map(source, err);
    if (rc == 0)
        rc = read_list_start(source, head, ivf, err);
    return rc ? rc : read_lists(source, index, err);
}
