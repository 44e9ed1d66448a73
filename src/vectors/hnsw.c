/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors/hnsw.h"

#include <math.h>
#include <pthread.h>

#include "base/mem.h"
#include "vectors/graph_faiss.h"

/* Levels less likely than this are not told of in a file. */
static const double chance_min = 1e-9;

/* A walk that no search uses now. */
struct idle {
    struct graph_walk *walk; /* owned */
    struct idle *next;       /* owned */
};

/* A search takes a walk or makes one, and gives it back, so there are as many
 * as ever searched at once. */
struct hnsw {
    const struct codes *codes; /* borrowed */
    struct graph *graph;       /* owned; constant */
    pthread_mutex_t mutex;     /* guards what follows */
    struct idle *first;        /* owned */
};

void hnsw_describe(const struct vecindex_options *options,
                   struct faiss_graph *out)
{
    int links = options->links, level = 0, at = 0;
    double scale = 1 / log(links > 1 ? links : 2);

    *out = (struct faiss_graph){.entry = -1,
                                .ef_construction = options->ef_construction,
                                .ef_search = options->ef_search};
    while (level < FAISS_LEVEL_MAX &&
           exp(-level / scale) * (1 - exp(-1 / scale)) >= chance_min) {
        at += level == 0 ? 2 * links : links;
        out->starts[++level] = at;
    }
    out->start_count = level + 1;
}

static int build(const struct codes *codes,
                 const struct vecindex_options *options, struct graph **out,
                 struct err *err)
{
    const struct graph_options wanted = {
        options->links, options->ef_construction, options->seed};
    int rc = graph_new(codes, &wanted, out, err);

    return rc ? rc
              : graph_insert(*out, codes_count(codes), NULL,
                             options->thread_count, NULL, NULL, err);
}

int hnsw_new(const struct codes *codes, const struct faiss_graph *file,
             const struct vecindex_options *options, struct hnsw **out,
             struct err *err)
{
    struct hnsw *hnsw = mem_new(sizeof *hnsw);
    int rc;

    hnsw->codes = codes;
    pthread_mutex_init(&hnsw->mutex, NULL);
    rc = file->levels != NULL
             ? graph_from_faiss(codes, file, codes_count(codes), &hnsw->graph,
                                err)
             : build(codes, options, &hnsw->graph, err);
    if (rc) {
        hnsw_free(hnsw);
        return rc;
    }
    *out = hnsw;
    return 0;
}

void hnsw_free(struct hnsw *hnsw)
{
    struct idle *idle, *next;

    if (hnsw == NULL)
        return;
    for (idle = hnsw->first; idle != NULL; idle = next) {
        next = idle->next;
        graph_walk_free(idle->walk);
        mem_free(idle);
    }
    graph_free(hnsw->graph);
    pthread_mutex_destroy(&hnsw->mutex);
    mem_free(hnsw);
}

int64_t hnsw_memory(const struct hnsw *hnsw)
{
    return (int64_t)sizeof *hnsw + graph_memory(hnsw->graph);
}

static int take_walk(struct hnsw *hnsw, struct idle **out, struct err *err)
{
    struct idle *idle;
    int rc;

    pthread_mutex_lock(&hnsw->mutex);
    idle = hnsw->first;
    if (idle != NULL)
        hnsw->first = idle->next;
    pthread_mutex_unlock(&hnsw->mutex);
    if (idle == NULL) {
        idle = mem_new(sizeof *idle);
        rc = graph_walk_new(hnsw->graph, &idle->walk, err);
        if (rc) {
            mem_free(idle);
            return rc;
        }
    }
    *out = idle;
    return 0;
}

static void give_walk(struct hnsw *hnsw, struct idle *idle)
{
    pthread_mutex_lock(&hnsw->mutex);
    idle->next = hnsw->first;
    hnsw->first = idle;
    pthread_mutex_unlock(&hnsw->mutex);
}

int hnsw_search(struct hnsw *hnsw, const float *query, int ef,
                struct nearest *nearest, int64_t *out_count, struct err *err)
{
    struct codes_query *codes_query = NULL;
    struct idle *idle = NULL;
    const int32_t *slots;
    const float *distances;
    int count = 0, rc = take_walk(hnsw, &idle, err);

    if (rc)
        return rc;
    rc = codes_query_new(hnsw->codes, query, &codes_query, err);
    if (rc == 0)
        rc = graph_search(hnsw->graph, idle->walk, codes_query,
                          ef > VECINDEX_EF_MAX ? VECINDEX_EF_MAX : ef, NULL,
                          &slots, &distances, &count, err);
    if (rc == 0)
        rc = codes_rerank(hnsw->codes, codes_query, slots, distances, count,
                          INFINITY, nearest, err);
    codes_query_free(codes_query);
    give_walk(hnsw, idle);
    if (rc == 0)
        *out_count = count;
    return rc;
}

int hnsw_write(const struct hnsw *hnsw, const char *path,
               const struct faiss_index *index, struct err *err)
{
    struct faiss_index whole = *index;
    int rc = graph_to_faiss(hnsw->graph, &whole.graph, err);

    if (rc == 0)
        rc = faiss_file_write(path, &whole, err);
    faiss_graph_release(&whole.graph);
    return rc;
}
