/* SPDX-License-Identifier: Apache-2.0 */
/* The vector engine as one of the competitors of bench/vectors/run.
 *
 *     bench-vectors ROWS.npy QUERIES.npy STORE
 *
 * Reads commands from standard input, a line each, and answers each with a
 * line of JSON:
 *
 *     build TYPE STORAGE threads=2 links=16 ef_construction=100 nlist=256
 *     search ef=64 nprobe=10 exact=0 threads=1 calls=200 begin=0 ids=0
 *
 * build makes the store STORE anew, from an empty file; the rows are read for
 * it and given back. search makes `calls` calls for the 10 nearest, each of one
 * query (from number `begin` on, and from the first again), in each of
 * `threads` threads, and tells the microseconds of each call, the seconds that
 * all took and, with ids=1, what was found. */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "vectors/npy.h"
#include "vectors/vecstore.h"

enum {
    LINE_MAX_LEN = 1024,
    THREADS_MAX = 16,
    K = 10,
    CALLS_MAX = 1 << 20,
    BATCH = 10000,
    ARENA_LEN = 1 << 20,
};

struct competitor {
    struct npy_matrix queries;
    const char *rows_path, *path;
    struct vecstore *store; /* NULL: not built yet */
};

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

_Noreturn static void give_up(const struct err *err)
{
    fprintf(stderr, "bench-vectors: %s\n", err->text);
    exit(1);
}

/* The number after "name=" in a line, or `otherwise`. */
static int number_of(const char *line, const char *name, int otherwise)
{
    char wanted[64];
    const char *at;

    snprintf(wanted, sizeof wanted, " %s=", name);
    at = strstr(line, wanted);
    return at == NULL ? otherwise : (int)strtol(at + strlen(wanted), NULL, 10);
}

/* Kilobytes that the process has of a kind: "RssAnon", "RssFile". */
static long resident_kb(const char *kind)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    long found = 0;

    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, kind, strlen(kind)) == 0)
            found = strtol(line + strlen(kind) + 1, NULL, 10);
    if (file != NULL)
        fclose(file);
    return found;
}

/* --- building ------------------------------------------------------------- */

static void remove_old(const char *path)
{
    static const char *const ends[] = {"", ".checkpoint", ".new",
                                       ".checkpoint.new"};
    char name[LINE_MAX_LEN];
    size_t i;

    for (i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        snprintf(name, sizeof name, "%s%s", path, ends[i]);
        unlink(name);
    }
}

static void add_all(struct competitor *self, const struct npy_matrix *rows)
{
    struct vec_entry *entries = mem_new(BATCH * sizeof *entries);
    int64_t done, part, i;
    struct err err = {0};

    for (done = 0; done < rows->row_count; done += part) {
        part = rows->row_count - done < BATCH ? rows->row_count - done : BATCH;
        for (i = 0; i < part; i++)
            entries[i] = (struct vec_entry){
                .id = done + i, .vector = rows->rows + (done + i) * rows->dim};
        if (vecstore_add(self->store, entries, (int)part, NULL, &err))
            give_up(&err);
    }
    mem_free(entries);
}

static void build(struct competitor *self, const char *line)
{
    struct vec_options options = {.dim = self->queries.dim,
                                  .metric = VECINDEX_IP};
    struct npy_matrix rows = {0};
    char type[32] = "", storage[32] = "";
    struct vec_info info;
    struct err err = {0};
    long anonymous = resident_kb("RssAnon"), mapped = resident_kb("RssFile");
    double began, added, built;

    if (sscanf(line, "build %31s %31s", type, storage) != 2) {
        fprintf(stderr, "bench-vectors: what is this: %s", line);
        exit(2);
    }
    if (vecindex_type_parse(type, &options.type, &err) ||
        vec_storage_parse(storage, &options.storage, &err))
        give_up(&err);
    options.thread_count = number_of(line, "threads", 1);
    options.links = number_of(line, "links", 0);
    options.ef_construction = number_of(line, "ef_construction", 0);
    options.nlist = number_of(line, "nlist", 0);
    vecstore_close(self->store);
    remove_old(self->path);
    if (npy_read_matrix(self->rows_path, &rows, &err))
        give_up(&err);
    began = now_s();
    if (vecstore_open(self->path, VEC_WRITE, &options, &self->store, &err))
        give_up(&err);
    add_all(self, &rows);
    added = now_s();
    if (vecstore_settle(self->store, NULL, NULL, &err) ||
        vecstore_info(self->store, &info, &err))
        give_up(&err);
    built = now_s();
    npy_matrix_release(&rows);
    printf("{\"add_s\": %.6f, \"build_s\": %.6f, \"memory_kb\": %ld, "
           "\"mapped_kb\": %ld, \"file_kb\": %lld, \"kernels\": \"%s\"}\n",
           added - began, built - began, resident_kb("RssAnon") - anonymous,
           resident_kb("RssFile") - mapped, (long long)info.file_len / 1024,
           info.kernels);
}

/* --- searching ------------------------------------------------------------ */

struct asker {
    struct competitor *self;
    struct vec_query query; /* what they have in common */
    int begin, calls;       /* the first query; how many are asked */
    double *times_us;       /* owned; of each call */
    int64_t *ids;           /* owned; K of each query, -1: fewer found */
    pthread_t thread;
};

static void ask_one(struct asker *asker, struct arena *arena, int number,
                    double *out_us)
{
    struct vec_query query = asker->query;
    struct vec_hits hits = {0};
    struct err err = {0};
    double began;
    int i;

    query.vector =
        asker->self->queries.rows + (int64_t)number * asker->self->queries.dim;
    arena_reset(arena);
    began = now_s();
    if (vecstore_search(asker->self->store, &query, arena, &hits, &err))
        give_up(&err);
    *out_us = (now_s() - began) * 1e6;
    for (i = 0; i < K; i++)
        asker->ids[(int64_t)number * K + i] =
            i < hits.count ? hits.list[i].id : -1;
}

static void *ask_all(void *argument)
{
    struct asker *asker = argument;
    struct arena *arena = arena_new(ARENA_LEN);
    int count = (int)asker->self->queries.row_count, i;

    for (i = 0; i < asker->calls; i++)
        ask_one(asker, arena, (asker->begin + i) % count, &asker->times_us[i]);
    arena_free(arena);
    return NULL;
}

static void print_answer(const struct asker *askers, int thread_count,
                         double seconds, bool has_ids)
{
    int count = (int)askers[0].self->queries.row_count, i, j;

    printf("{\"seconds\": %.6f, \"us\": [", seconds);
    for (i = 0; i < thread_count; i++)
        for (j = 0; j < askers[i].calls; j++)
            printf("%s%.2f", i + j > 0 ? "," : "", askers[i].times_us[j]);
    printf("], \"ids\": [");
    for (i = 0; has_ids && i < count * K; i++)
        printf("%s%lld", i > 0 ? "," : "", (long long)askers[0].ids[i]);
    printf("]}\n");
}

static void search(struct competitor *self, const char *line)
{
    struct asker askers[THREADS_MAX] = {0};
    int thread_count = number_of(line, "threads", 1), i;
    int count = (int)self->queries.row_count;
    int calls = number_of(line, "calls", count);
    double began;

    if (self->store == NULL || thread_count < 1 || thread_count > THREADS_MAX ||
        calls < 1 || calls > CALLS_MAX) {
        fprintf(stderr, "bench-vectors: cannot do: %s", line);
        exit(2);
    }
    for (i = 0; i < thread_count; i++)
        askers[i] = (struct asker){
            .self = self,
            .query = {.dim = self->queries.dim,
                      .k = K,
                      .nprobe = number_of(line, "nprobe", 0),
                      .ef_search = number_of(line, "ef", 0),
                      .is_exact = number_of(line, "exact", 0) != 0},
            .begin = number_of(line, "begin", 0) + count / thread_count * i,
            .calls = calls,
            .times_us = mem_new((size_t)calls * sizeof(double)),
            .ids = mem_new((size_t)count * K * sizeof(int64_t))};
    began = now_s();
    for (i = 1; i < thread_count; i++)
        if (pthread_create(&askers[i].thread, NULL, ask_all, &askers[i])) {
            fprintf(stderr, "bench-vectors: no thread\n");
            exit(1);
        }
    ask_all(&askers[0]);
    for (i = 1; i < thread_count; i++)
        pthread_join(askers[i].thread, NULL);
    print_answer(askers, thread_count, now_s() - began,
                 number_of(line, "ids", 0) != 0);
    for (i = 0; i < thread_count; i++) {
        mem_free(askers[i].times_us);
        mem_free(askers[i].ids);
    }
}

int main(int count, char **arguments)
{
    struct competitor self = {0};
    char line[LINE_MAX_LEN];
    struct err err = {0};

    if (count != 4) {
        fprintf(stderr, "usage: bench-vectors ROWS.npy QUERIES.npy STORE\n");
        return 2;
    }
    self.path = arguments[3];
    self.rows_path = arguments[1];
    if (npy_read_matrix(arguments[2], &self.queries, &err))
        give_up(&err);
    while (fgets(line, sizeof line, stdin) != NULL) {
        if (strncmp(line, "build ", 6) == 0)
            build(&self, line);
        else
            search(&self, line);
        fflush(stdout);
    }
    vecstore_close(self.store);
    remove_old(self.path);
    npy_matrix_release(&self.queries);
    return 0;
}
