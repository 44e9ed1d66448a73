/* SPDX-License-Identifier: Apache-2.0 */
/* Reading. The layout is known from files that faiss-cpu wrote; there is no
 * description of it, and no checksum in it, so a flipped bit among the rows
 * that leaves a number finite cannot be noticed. All else is checked. */
#include "vectors/faiss_file.h"

#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "vectors/faiss_source.h"

static int read_plain(struct faiss_source *source,
                      const struct faiss_head *head, struct faiss_index *index,
                      struct err *err)
{
    if (faiss_is_flat(head->code))
        return faiss_read_flat(source, head, index, err);
    if (strcmp(head->code, "IwFl") == 0)
        return faiss_read_ivf(source, head, index, err);
    if (strcmp(head->code, "IHNf") == 0)
        return faiss_read_hnsw(source, head, index, err);
    return faiss_refuse_code(head->code, err);
}

/* With ids of its own, an IDMap is over positions; those that lists hold must
 * be such. */
static bool are_positions(const struct faiss_index *index)
{
    int64_t i, j;

    for (i = 0; i < index->ivf.list_count; i++)
        for (j = 0; j < index->ivf.lists[i].count; j++)
            if (index->ivf.lists[i].ids[j] < 0 ||
                index->ivf.lists[i].ids[j] >= index->count)
                return false;
    return true;
}

static int read_id_map(struct faiss_source *source,
                       const struct faiss_head *head, struct faiss_index *index,
                       struct err *err)
{
    struct faiss_head inner = {0};
    int64_t i;
    int rc = faiss_read_head(source, &inner, err);

    if (rc == 0 && (inner.dim != head->dim || inner.count != head->count ||
                    inner.metric != head->metric))
        rc = faiss_corrupt(source, "an IDMap that does not fit its index", err);
    if (rc == 0)
        rc = read_plain(source, &inner, index, err);
    if (rc == 0)
        rc = faiss_expect_count(source, 8, "ids", head->count, err);
    if (rc)
        return rc;
    index->ids = mem_try((size_t)head->count, sizeof *index->ids);
    if (index->ids == NULL)
        return faiss_no_memory(head->count, "ids", err);
    for (i = 0; i < head->count; i++) {
        index->ids[i] = (int64_t)infile_u64(&source->file);
        if (index->ids[i] == -1)
            return faiss_corrupt(source, "the id -1", err);
    }
    if (!are_positions(index))
        return faiss_corrupt(source, "ids in lists that the IDMap has not",
                             err);
    index->is_id_map2 = strcmp(head->code, "IxM2") == 0;
    return infile_check(&source->file, err);
}

static int read_index(struct faiss_source *source, struct faiss_index *index,
                      struct err *err)
{
    struct faiss_head head = {0};
    int rc = faiss_read_head(source, &head, err);

    if (rc)
        return rc;
    if (strcmp(head.code, "IxMp") == 0 || strcmp(head.code, "IxM2") == 0)
        rc = read_id_map(source, &head, index, err);
    else
        rc = read_plain(source, &head, index, err);
    if (rc == 0 && infile_left(&source->file) > 0)
        rc = err_set(err, ERR_CORRUPT,
                     "the index ends at byte %" PRIu64 " of %" PRIu64,
                     source->file.at, source->file.len);
    return rc;
}

static int map_file(struct faiss_source *source, struct err *err)
{
    void *map;

    if (source->file.len == 0)
        return 0;
    map = mmap(NULL, (size_t)source->file.len, PROT_READ, MAP_SHARED,
               source->file.fd, 0);
    if (map == MAP_FAILED)
        return err_set(err, ERR_UNAVAILABLE,
                       "cannot map %" PRIu64 " bytes of the file",
                       source->file.len);
    source->map = (struct bytes){map, (size_t)source->file.len};
    return 0;
}

int faiss_file_read(const char *path, bool is_mapped, struct faiss_index *out,
                    struct err *err)
{
    struct faiss_source source = {.file = {.fd = -1}};
    struct faiss_index index = {0};
    int rc = infile_open(path, &source.file, err);

    if (rc)
        return rc;
    if (is_mapped)
        rc = map_file(&source, err);
    index.map = source.map;
    if (rc == 0)
        rc = read_index(&source, &index, err);
    infile_close(&source.file);
    if (rc) {
        faiss_index_release(&index);
        return err_wrap(err, "'%s'", path);
    }
    *out = index;
    return 0;
}

void faiss_graph_release(struct faiss_graph *graph)
{
    mem_free(graph->levels);
    mem_free(graph->offsets);
    mem_free(graph->neighbours);
    graph->levels = NULL;
    graph->offsets = NULL;
    graph->neighbours = NULL;
}

void faiss_index_release(struct faiss_index *index)
{
    int64_t i;

    for (i = 0; index->ivf.lists != NULL && i < index->ivf.list_count; i++)
        mem_free(index->ivf.lists[i].ids);
    mem_free(index->ivf.lists);
    mem_free(index->ivf.centroids);
    faiss_graph_release(&index->graph);
    mem_free(index->ids);
    mem_free(index->row_block);
    if (index->map.len > 0)
        munmap((void *)(uintptr_t)index->map.data, index->map.len);
    *index = (struct faiss_index){0};
}
