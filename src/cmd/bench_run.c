/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cmd/bench.h"
#include "cmd/progress.h"
#include "cmd/terminal.h"

enum { TEXT_LEN = 4096, WARM_UP = 10, ARENA_LEN_MAX = 64 << 20 };

/* --- the measured process ------------------------------------------------- */

/* Reads the start of a file of /proc about pid (-1: this process). */
static bool read_about(int pid, const char *name, char out[TEXT_LEN])
{
    char path[64] = "/proc/self";
    FILE *file;
    size_t len;

    if (pid == 0)
        return false;
    if (pid > 0)
        snprintf(path, sizeof path, "/proc/%d", pid);
    snprintf(path + strlen(path), sizeof path - strlen(path), "/%s", name);
    file = fopen(path, "re");
    if (file == NULL)
        return false;
    len = fread(out, 1, TEXT_LEN - 1, file);
    fclose(file);
    out[len] = '\0';
    return len > 0;
}

/* User and system time, fields 14 and 15 of proc(5). The second field may hold
 * anything, so counting starts behind its last parenthesis. */
static double cpu_seconds(int pid)
{
    char text[TEXT_LEN];
    const char *field;
    char *rest;
    double ticks;
    int i;

    if (!read_about(pid, "stat", text))
        return NAN;
    field = strrchr(text, ')');
    for (i = 2; field != NULL && i < 14; i++) {
        field = strchr(field, ' ');
        if (field != NULL)
            field++;
    }
    if (field == NULL)
        return NAN;
    ticks = strtod(field, &rest);
    ticks += strtod(rest, NULL);
    return ticks / (double)sysconf(_SC_CLK_TCK);
}

/* What a process has taken for itself. Pages of mapped files are left out: the
 * kernel takes them back as it likes. */
static double memory_bytes(int pid)
{
    char text[TEXT_LEN];
    const char *line;

    if (!read_about(pid, "status", text))
        return NAN;
    line = strstr(text, "\nRssAnon:");
    return line == NULL ? NAN
                        : strtod(line + strlen("\nRssAnon:"), NULL) * 1024;
}

/* --- a stretch of time ---------------------------------------------------- */

struct run {
    struct vecstore *store;
    const struct bench_data *data;
    int pid;
    int64_t *ids;
    int64_t added;
    int64_t begin_us; /* of the stretch */
    double begin_cpu_s;
};

static void start(struct run *run)
{
    run->begin_cpu_s = cpu_seconds(run->pid);
    run->begin_us = clock_us();
}

static void stop(struct run *run, struct bench_phase *out)
{
    out->wall_s = (double)(clock_us() - run->begin_us) / 1e6;
    out->cpu_s = cpu_seconds(run->pid) - run->begin_cpu_s;
}

double bench_rate(int64_t count, const struct bench_phase *phase)
{
    return phase->wall_s > 0 ? (double)count / phase->wall_s : NAN;
}

double bench_load(const struct bench_phase *phase)
{
    return phase->wall_s > 0 ? phase->cpu_s / phase->wall_s : NAN;
}

/* --- writing -------------------------------------------------------------- */

static int add(struct run *run, int count, struct err *err)
{
    const struct bench_data *data = run->data;
    struct vec_entry entries[BENCH_BATCH];
    struct vec_tag tags[BENCH_BATCH];
    int i, rc;

    for (i = 0; i < count; i++) {
        int64_t row = run->added + i;

        entries[i] = (struct vec_entry){
            .id = VEC_ID_NEW,
            .vector = data->rows + row * data->dim,
        };
        if (names_count(&data->names) == 0)
            continue;
        tags[i] = (struct vec_tag){"label", names_get(&data->names, row)};
        entries[i].tags = &tags[i];
        entries[i].tag_count = 1;
    }
    rc = vecstore_add(run->store, entries, count, run->ids + run->added, err);
    if (rc)
        return err_wrap(err, "rows from %lld on", (long long)run->added);
    run->added += count;
    return progress_go_on(err);
}

static int add_up_to(struct run *run, int64_t end, int step, const char *what,
                     struct bench_phase *out, struct err *err)
{
    int64_t begin_us = clock_us(), first = run->added;
    int rc = 0;

    start(run);
    while (rc == 0 && run->added < end) {
        int64_t left = end - run->added;

        rc = add(run, left < step ? (int)left : step, err);
        terminal_progress(what, run->added - first, end - first, begin_us);
    }
    stop(run, out);
    terminal_progress_end();
    return rc;
}

static int settle(struct run *run, struct bench_phase *out, struct err *err)
{
    struct progress progress = {"entries indexed", clock_us()};
    int rc;

    start(run);
    rc = vecstore_settle(run->store, progress_show, &progress, err);
    stop(run, out);
    terminal_progress_end();
    return rc;
}

static int write_all(struct run *run, struct bench_figures *out,
                     struct err *err)
{
    int64_t count = run->data->count;
    double memory_before = memory_bytes(run->pid);
    int rc;

    out->single_count = count < BENCH_SINGLES ? count : BENCH_SINGLES;
    out->batch_count = count - out->single_count;
    rc = add_up_to(run, out->single_count, 1, "rows one by one", &out->singles,
                   err);
    if (rc == 0)
        rc = settle(run, &out->settled, err);
    if (rc == 0)
        rc = add_up_to(run, count, BENCH_BATCH, "rows in batches",
                       &out->batches, err);
    if (rc == 0)
        rc = settle(run, &out->indexed, err);
    out->memory_len = memory_bytes(run->pid) - memory_before;
    return rc;
}

/* --- searching ------------------------------------------------------------ */

/* A hit counts when it is as near as the k-th nearest of all rows; so it does
 * not matter which of two equal ones was found. The slack is for sums in
 * another order. */
static int count_right(const struct bench_data *data, int number,
                       const struct vec_hits *hits)
{
    float limit = data->limits[number];
    float slack = 1e-5f * (1 + fabsf(limit));
    int i, count = 0;

    for (i = 0; i < hits->count; i++)
        count += data->metric == VECINDEX_L2
                     ? hits->list[i].distance <= limit + slack
                     : hits->list[i].distance >= limit - slack;
    return count;
}

static int search_one(struct run *run, int number, struct arena *arena,
                      double *out_ms, struct vec_hits *out, struct err *err)
{
    const struct bench_data *data = run->data;
    struct vec_query query = {
        .vector = data->queries + (size_t)number * (size_t)data->dim,
        .dim = data->dim,
        .k = data->k,
    };
    int64_t begin_us = clock_us();
    int rc;

    arena_reset(arena);
    rc = vecstore_search(run->store, &query, arena, out, err);
    *out_ms = (double)(clock_us() - begin_us) / 1e3;
    return rc ? rc : progress_go_on(err);
}

static int compare_times(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* The smallest time that a share of all are not above. */
static double quantile(const double *sorted, int count, double share)
{
    int place = (int)ceil(share * count) - 1;

    return sorted[place < 0 ? 0 : place];
}

static void sum_up(double *times, int count, struct bench_figures *out)
{
    double sum = 0;
    int i;

    for (i = 0; i < count; i++)
        sum += times[i];
    qsort(times, (size_t)count, sizeof *times, compare_times);
    out->mean_ms = sum / count;
    out->p50_ms = quantile(times, count, 0.5);
    out->p95_ms = quantile(times, count, 0.95);
    out->p99_ms = quantile(times, count, 0.99);
}

static int search_all(struct run *run, struct bench_figures *out,
                      struct err *err)
{
    const struct bench_data *data = run->data;
    double *times = mem_try((size_t)data->query_count, sizeof *times);
    struct arena *arena = arena_new(ARENA_LEN_MAX);
    struct vec_hits hits = {0};
    int64_t right_count = 0;
    int i, rc = 0;

    if (times == NULL)
        rc = err_set(err, ERR_UNAVAILABLE, "no memory for %d times",
                     data->query_count);
    for (i = 0; rc == 0 && i < WARM_UP; i++)
        rc = search_one(run, i % data->query_count, arena, &times[0], &hits,
                        err);
    out->is_exact = true;
    for (i = 0; rc == 0 && i < data->query_count; i++) {
        rc = search_one(run, i, arena, &times[i], &hits, err);
        if (rc)
            break;
        right_count += count_right(data, i, &hits);
        out->is_exact &= hits.is_exact;
    }
    if (rc == 0) {
        sum_up(times, data->query_count, out);
        out->recall =
            (double)right_count / ((double)data->query_count * (double)data->k);
    }
    mem_free(times);
    arena_free(arena);
    return rc;
}

int bench_run(struct vecstore *store, const struct bench_data *data, int pid,
              int64_t *out_ids, int64_t *out_added, struct bench_figures *out,
              struct err *err)
{
    struct run run = {.store = store, .data = data, .pid = pid, .ids = out_ids};
    int rc = write_all(&run, out, err);

    *out_added = run.added;
    if (rc == 0)
        rc = vecstore_info(store, &out->info, err);
    return rc ? rc : search_all(&run, out, err);
}
