/* SPDX-License-Identifier: Apache-2.0 */
/* Writing: faiss_file.c from the other side, field by field. */
#include <math.h>
#include <string.h>

#include "vectors/faiss_file.h"
#include "vectors/infile.h"

/* FAISS fills this in and does not look at it. */
enum { UNUSED = 1 << 20 };

static void put_code(struct outfile *file, const char *code)
{
    outfile_write(file, code, 4);
}

static void put_head(struct outfile *file, const char *code, int dim,
                     int64_t count, enum faiss_metric metric)
{
    put_code(file, code);
    outfile_u32(file, (uint32_t)dim);
    outfile_u64(file, (uint64_t)count);
    outfile_u64(file, UNUSED);
    outfile_u64(file, UNUSED);
    outfile_u8(file, 1); /* trained */
    outfile_u32(file, (uint32_t)metric);
}

static void put_flat(struct outfile *file, const float *rows, int64_t count,
                     int dim, enum faiss_metric metric)
{
    uint64_t value_count = (uint64_t)count * (uint64_t)dim;

    put_head(file, metric == FAISS_L2 ? "IxF2" : "IxFI", dim, count, metric);
    outfile_u64(file, value_count);
    outfile_write(file, rows, value_count * 4);
}

/* The chance that an entry's top level is `level` (Malkov and Yashunin 2018,
 * section 4), which FAISS draws from when it adds to the graph. */
static void put_chances(struct outfile *file, const struct faiss_graph *graph)
{
    int links = graph->start_count > 2 ? graph->starts[2] - graph->starts[1]
                                       : graph->starts[1] / 2;
    double scale = 1 / log(links > 1 ? links : 2);
    int level;

    outfile_u64(file, (uint64_t)graph->start_count - 1);
    for (level = 0; level < graph->start_count - 1; level++) {
        double chance = exp(-level / scale) * (1 - exp(-1 / scale));
        uint64_t bits;

        memcpy(&bits, &chance, sizeof bits);
        outfile_u64(file, bits);
    }
}

static void put_hnsw(struct outfile *file, const struct faiss_index *index)
{
    const struct faiss_graph *graph = &index->graph;
    uint64_t count = (uint64_t)index->count;
    int i;

    put_head(file, "IHNf", index->dim, index->count, index->metric);
    put_chances(file, graph);
    outfile_u64(file, (uint64_t)graph->start_count);
    for (i = 0; i < graph->start_count; i++)
        outfile_u32(file, (uint32_t)graph->starts[i]);
    outfile_u64(file, count);
    outfile_write(file, graph->levels, count * 4);
    outfile_u64(file, count + 1);
    outfile_write(file, graph->offsets, (count + 1) * 8);
    outfile_u64(file, graph->offsets[count]);
    outfile_write(file, graph->neighbours, graph->offsets[count] * 4);
    outfile_u32(file, (uint32_t)graph->entry);
    outfile_u32(file, graph->entry < 0
                          ? (uint32_t)-1
                          : (uint32_t)graph->levels[graph->entry] - 1);
    outfile_u32(file, (uint32_t)graph->ef_construction);
    outfile_u32(file, (uint32_t)graph->ef_search);
    outfile_u32(file, 1); /* no longer used by FAISS */
    put_flat(file, index->rows, index->count, index->dim, index->metric);
}

static void put_ivf(struct outfile *file, const struct faiss_index *index)
{
    const struct faiss_ivf *ivf = &index->ivf;
    int64_t i;

    put_head(file, "IwFl", index->dim, index->count, index->metric);
    outfile_u64(file, (uint64_t)ivf->list_count);
    outfile_u64(file, (uint64_t)ivf->nprobe);
    put_flat(file, ivf->centroids, ivf->list_count, index->dim, ivf->metric);
    outfile_u8(file, 0); /* no map from ids to places */
    outfile_u64(file, 0);
    put_code(file, "ilar");
    outfile_u64(file, (uint64_t)ivf->list_count);
    outfile_u64(file, (uint64_t)index->dim * 4);
    put_code(file, "full");
    outfile_u64(file, (uint64_t)ivf->list_count);
    for (i = 0; i < ivf->list_count; i++)
        outfile_u64(file, (uint64_t)ivf->lists[i].count);
    for (i = 0; i < ivf->list_count; i++) {
        const struct faiss_list *list = &ivf->lists[i];

        outfile_write(file, list->rows,
                      (uint64_t)list->count * (uint64_t)index->dim * 4);
        outfile_write(file, list->ids, (uint64_t)list->count * 8);
    }
}

int faiss_file_write(const char *path, const struct faiss_index *index,
                     struct err *err)
{
    struct outfile *file = NULL;
    int rc = outfile_open(path, &file, err);

    if (rc)
        return rc;
    if (index->ids != NULL)
        put_head(file, index->is_id_map2 ? "IxM2" : "IxMp", index->dim,
                 index->count, index->metric);
    switch (index->kind) {
    case FAISS_FLAT:
        put_flat(file, index->rows, index->count, index->dim, index->metric);
        break;
    case FAISS_IVF_FLAT:
        put_ivf(file, index);
        break;
    case FAISS_HNSW_FLAT:
        put_hnsw(file, index);
        break;
    }
    if (index->ids != NULL) {
        outfile_u64(file, (uint64_t)index->count);
        outfile_write(file, index->ids, (uint64_t)index->count * 8);
    }
    return outfile_commit(file, err);
}
