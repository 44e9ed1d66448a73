/* SPDX-License-Identifier: Apache-2.0 */
/* Measuring stores of vectors: what goes in, what came out, and how both are
 * shown. One thread. */
#ifndef OLHO_CMD_BENCH_H
#define OLHO_CMD_BENCH_H

#include "base/buf.h"
#include "base/file.h"
#include "cmd/names.h"
#include "vectors/vecstore.h"

enum { BENCH_SINGLES = 100, BENCH_BATCH = 1000, BENCH_STORES_MAX = 8 };

/* --- what goes in (bench_data.c) ------------------------------------------ */

struct bench_wish {
    const char *embeddings; /* .npy; NULL: rows are made up */
    const char *names;      /* of its rows; NULL: none */
    int row_count, dim;     /* of those that are made up */
    int seed;
    int query_count;
    int k;
    enum vecindex_metric metric;
};

struct bench_data {
    float *rows; /* owned */
    int64_t count;
    int dim;
    int cluster_count;  /* 0: the rows were not made up */
    struct names names; /* none when they have none */
    float *queries;     /* owned; query_count * dim */
    float *limits;      /* owned; of each query the distance (as a vec_hit
                         * has it) of its k-th nearest, by looking at all */
    int query_count, k; /* k is at most count */
    enum vecindex_metric metric;
};

/* Reads or makes up the vectors, and finds the true neighbours. Ended with
 * bench_data_release, also after a failure. */
MUST_CHECK int bench_data_load(const struct bench_wish *wish,
                               struct bench_data *out, struct err *err);
void bench_data_release(struct bench_data *data);

/* --- what comes out (bench_run.c) ----------------------------------------- */

/* A stretch of the measurement. */
struct bench_phase {
    double wall_s;
    double cpu_s; /* of the measured process; NAN: it is not known */
};

struct bench_figures {
    char store[FILE_PATH_MAX]; /* "built-in", or where it is */
    struct vec_info info;      /* as it was searched */
    int64_t single_count;
    struct bench_phase singles; /* one by one */
    struct bench_phase settled; /* and everything done that is put off */
    int64_t batch_count;        /* entries */
    struct bench_phase batches;
    struct bench_phase indexed; /* the rest of the work, also flushing */
    double memory_len;          /* bytes added; NAN: not known */
    double mean_ms, p50_ms, p95_ms, p99_ms; /* of a search */
    double recall;                          /* 0..1 */
    bool is_exact;                          /* every search said that it was */
};

/* Fills an open, empty store and searches in it. pid: of the server on this
 * machine whose processor time and memory count; 0: not known; -1: this
 * process. out_ids (data->count, owned by the caller) takes the ids, and
 * *out_added how many there are, also after a failure. */
MUST_CHECK int bench_run(struct vecstore *store, const struct bench_data *data,
                         int pid, int64_t *out_ids, int64_t *out_added,
                         struct bench_figures *out, struct err *err);

/* --- how it is shown (bench_print.c, bench_svg.c) ------------------------- */

void bench_print_table(const struct bench_data *data,
                       const struct bench_figures *figures, int count);
void bench_print_json(const struct bench_data *data,
                      const struct bench_figures *figures, int count,
                      struct buf *out);
void bench_draw(const struct bench_data *data,
                const struct bench_figures *figures, int count,
                struct buf *out);

/* "20 000 vectors of 1024 values, made up in 500 clusters; ..." */
void bench_describe(const struct bench_data *data, struct buf *out);

/* A number for people: three digits that count, and a thin gap between
 * thousands. */
enum { BENCH_NUMBER_LEN = 48 };
void bench_number(double value, char out[BENCH_NUMBER_LEN]);

/* Entries a second; cores that were busy (NAN: not known). */
double bench_rate(int64_t count, const struct bench_phase *phase);
double bench_load(const struct bench_phase *phase);

#endif
