/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json_write.h"
#include "cmd/bench.h"
#include "cmd/terminal.h"

static const double mb = 1 << 20;

enum { LABEL_WIDTH = 26, CELL_WIDTH = 30 };

/* --- texts ---------------------------------------------------------------- */

void bench_number(double value, char out[BENCH_NUMBER_LEN])
{
    char digits[BENCH_NUMBER_LEN];
    size_t len, lead, i, at = 0;
    int decimals;

    if (!isfinite(value)) {
        snprintf(out, BENCH_NUMBER_LEN, "-");
        return;
    }
    decimals = fabs(value) >= 99.95    ? 0
               : fabs(value) >= 9.995  ? 1
               : fabs(value) >= 0.9995 ? 2
                                       : 3;
    snprintf(digits, sizeof digits, "%.*f", decimals,
             value > 1e15 ? 1e15 : value);
    len = strcspn(digits, ".");
    lead = len % 3;
    for (i = 0; digits[i] != '\0' && at + 2 < BENCH_NUMBER_LEN; i++) {
        if (i > 0 && i < len && i % 3 == lead && digits[i - 1] != '-')
            out[at++] = ' ';
        out[at++] = digits[i];
    }
    out[at] = '\0';
}

void bench_describe(const struct bench_data *data, struct buf *out)
{
    char count[BENCH_NUMBER_LEN];

    bench_number((double)data->count, count);
    buf_printf(out, "%s vectors of %d values", count, data->dim);
    if (data->cluster_count > 0)
        buf_printf(out, ", made up in %d cluster%s", data->cluster_count,
                   data->cluster_count == 1 ? "" : "s");
    buf_printf(out, "; %s; %d searches for %d neighbours",
               vecindex_metric_name(data->metric), data->query_count, data->k);
}

static void index_cell(const struct bench_figures *figures, struct buf *out)
{
    const struct vec_info *info = &figures->info;

    buf_printf(out, "%s", vecindex_type_name(info->type));
    if (info->type == VECINDEX_HNSW && info->links > 0)
        buf_printf(out, " M %d, ef %d", info->links, info->ef_search);
    if (info->type == VECINDEX_IVFFLAT && info->nlist > 0)
        buf_printf(out, " %d/%d lists", info->nprobe, info->nlist);
}

static void answers_cell(const struct bench_figures *figures, struct buf *out)
{
    buf_add_text(out, figures->is_exact ? "exact" : "approximate");
}

/* --- the table ------------------------------------------------------------ */

/* Writes one store's cell of a row. */
typedef void cell_fn(const struct bench_figures *figures, struct buf *out);

static void put(struct buf *out, double value, const char *unit)
{
    char text[BENCH_NUMBER_LEN];

    bench_number(value, text);
    buf_printf(out, "%s%s", text, isfinite(value) ? unit : "");
}

static void singles_cell(const struct bench_figures *figures, struct buf *out)
{
    put(out, bench_rate(figures->single_count, &figures->singles), " rows/s");
}

static void settled_cell(const struct bench_figures *figures, struct buf *out)
{
    put(out, figures->settled.wall_s, " s");
}

static void batches_cell(const struct bench_figures *figures, struct buf *out)
{
    if (figures->batch_count > 0)
        put(out, bench_rate(figures->batch_count, &figures->batches),
            " rows/s");
    else
        put(out, NAN, "");
}

static void indexed_cell(const struct bench_figures *figures, struct buf *out)
{
    put(out, figures->indexed.wall_s, " s");
}

static void load_cell(const struct bench_figures *figures, struct buf *out)
{
    struct bench_phase both = {figures->batches.wall_s +
                                   figures->indexed.wall_s,
                               figures->batches.cpu_s + figures->indexed.cpu_s};

    put(out, bench_load(&both), " cores");
}

static void memory_cell(const struct bench_figures *figures, struct buf *out)
{
    put(out, figures->memory_len / mb, " MB");
}

static void mean_cell(const struct bench_figures *figures, struct buf *out)
{
    put(out, figures->mean_ms, " ms");
}

static void tail_cell(const struct bench_figures *figures, struct buf *out)
{
    put(out, figures->p50_ms, " / ");
    put(out, figures->p95_ms, " / ");
    put(out, figures->p99_ms, " ms");
}

static void recall_cell(const struct bench_figures *figures, struct buf *out)
{
    buf_printf(out, "%.4f", figures->recall);
}

static const struct {
    const char *label;
    cell_fn *fn;
} rows[] = {
    {"added one by one", singles_cell},
    {"  then settled in", settled_cell},
    {"added in batches of 1000", batches_cell},
    {"  then indexed in", indexed_cell},
    {"  processor load", load_cell},
    {"  memory added", memory_cell},
    {"search, mean", mean_cell},
    {"  p50 / p95 / p99", tail_cell},
    {"recall", recall_cell},
    {"index", index_cell},
    {"answers", answers_cell},
};

/* Long names lose their beginning, which tells least. */
static void print_head(const struct bench_figures *figures, int count)
{
    char cell[2 * CELL_WIDTH];
    int i;

    printf("%-*s", LABEL_WIDTH, "");
    for (i = 0; i < count; i++) {
        const char *name = figures[i].store;
        size_t len = strlen(name);

        if (len > CELL_WIDTH - 2)
            snprintf(cell, sizeof cell, "...%-*s", CELL_WIDTH - 3,
                     name + len - (CELL_WIDTH - 5));
        else
            snprintf(cell, sizeof cell, "%-*.*s", CELL_WIDTH, CELL_WIDTH - 2,
                     name);
        terminal_bold(cell);
    }
    printf("\n");
}

void bench_print_table(const struct bench_data *data,
                       const struct bench_figures *figures, int count)
{
    struct buf text;
    size_t row;
    int i;

    buf_init(&text, 1 << 16);
    bench_describe(data, &text);
    printf("%s\n\n", text.data != NULL ? text.data : "");
    print_head(figures, count);
    for (row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        printf("%-*s", LABEL_WIDTH, rows[row].label);
        for (i = 0; i < count; i++) {
            buf_clear(&text);
            rows[row].fn(&figures[i], &text);
            printf("%-*s", CELL_WIDTH, text.data != NULL ? text.data : "");
        }
        printf("\n");
    }
    buf_release(&text);
}

/* --- JSON ----------------------------------------------------------------- */

/* What is not known prints as null. */
static void put_numbers(struct json_writer *json,
                        const struct bench_figures *figures)
{
    const struct {
        const char *key;
        double value;
    } numbers[] = {
        {"single_rows", (double)figures->single_count},
        {"single_seconds", figures->singles.wall_s},
        {"single_cpu_seconds", figures->singles.cpu_s},
        {"settle_seconds", figures->settled.wall_s},
        {"settle_cpu_seconds", figures->settled.cpu_s},
        {"batch_rows", (double)figures->batch_count},
        {"batch_seconds", figures->batches.wall_s},
        {"batch_cpu_seconds", figures->batches.cpu_s},
        {"index_seconds", figures->indexed.wall_s},
        {"index_cpu_seconds", figures->indexed.cpu_s},
        {"memory_added_bytes", figures->memory_len},
        {"search_mean_ms", figures->mean_ms},
        {"search_p50_ms", figures->p50_ms},
        {"search_p95_ms", figures->p95_ms},
        {"search_p99_ms", figures->p99_ms},
        {"recall", figures->recall},
    };
    size_t i;

    for (i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        json_key(json, numbers[i].key);
        json_put_double(json, numbers[i].value);
    }
}

static void put_store(struct json_writer *json,
                      const struct bench_figures *figures)
{
    json_object_begin(json);
    json_key(json, "store");
    json_put_text(json, figures->store);
    json_key(json, "backend");
    json_put_text(json, figures->info.backend);
    json_key(json, "version");
    json_put_text(json, figures->info.version);
    json_key(json, "index_type");
    json_put_text(json, vecindex_type_name(figures->info.type));
    json_key(json, "exact");
    json_put_bool(json, figures->is_exact);
    put_numbers(json, figures);
    json_object_end(json);
}

void bench_print_json(const struct bench_data *data,
                      const struct bench_figures *figures, int count,
                      struct buf *out)
{
    struct json_writer json;
    int i;

    json_writer_init(&json, out);
    json_object_begin(&json);
    json_key(&json, "rows");
    json_put_integer(&json, data->count);
    json_key(&json, "dim");
    json_put_integer(&json, data->dim);
    json_key(&json, "clusters");
    json_put_integer(&json, data->cluster_count);
    json_key(&json, "metric");
    json_put_text(&json, vecindex_metric_name(data->metric));
    json_key(&json, "queries");
    json_put_integer(&json, data->query_count);
    json_key(&json, "k");
    json_put_integer(&json, data->k);
    json_key(&json, "stores");
    json_array_begin(&json);
    for (i = 0; i < count; i++)
        put_store(&json, &figures[i]);
    json_array_end(&json);
    json_object_end(&json);
    buf_add_char(out, '\n');
}
