/* SPDX-License-Identifier: Apache-2.0 */
/* Each metric has a list of series that only grows. A series is filled before
 * the count that makes it visible is stored with release order, and readers
 * load that count with acquire order, so finding one needs no lock; the mutex
 * is taken to add one. The figures themselves are independent counters in
 * relaxed order: a scrape sees each of them as it is at its own moment. */
#include "obs/metrics.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "obs/process.h"

enum kind { COUNTER, GAUGE, SECONDS, RATIO };

enum { BOUNDS_MAX = 20, OTHER = METRICS_SERIES_MAX - 1 };

static const struct {
    enum kind kind;
    const char *name, *label1, *label2, *help;
} table[METRIC_COUNT] = {
#define X(name, kind, exposed, label1, label2, help) \
    {kind, exposed, label1, label2, help},
    METRICS(X)
#undef X
};

static const struct {
    const char *type; /* as Prometheus calls it */
    int bound_count;
    double bounds[BOUNDS_MAX]; /* upper, included */
} kinds[] = {
    [COUNTER] = {"counter"},
    [GAUGE] = {"gauge"},
    [SECONDS] = {"histogram", 20, {0.0005, 0.001, 0.002, 0.003, 0.005,
                                   0.0075, 0.01,  0.015, 0.02,  0.03,
                                   0.05,   0.075, 0.1,   0.2,   0.3,
                                   0.5,    1,     2.5,   5,     10}},
    [RATIO] = {"histogram",
               10,
               {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1}},
};

struct series {
    uint32_t hash;         /* of both labels */
    char *label1, *label2; /* owned, NULL for none */
    atomic_ullong count;   /* of a counter */
    atomic_ullong bits;    /* a double: of a gauge, or a histogram's sum */
    atomic_ullong buckets[BOUNDS_MAX + 1]; /* the last: above all bounds */
};

static struct {
    atomic_int count; /* of the series that are ready */
    struct series *series[METRICS_SERIES_MAX];
} lists[METRIC_COUNT];

/* Held to add a series to any list. */
static pthread_mutex_t adding = PTHREAD_MUTEX_INITIALIZER;

/* FNV-1a; a NULL counts as empty, and a byte stands between the labels. */
static uint32_t hash_labels(const char *label1, const char *label2)
{
    uint32_t hash = 2166136261u;
    const char *p;

    for (p = label1; p != NULL && *p != '\0'; p++)
        hash = (hash ^ (uint8_t)*p) * 16777619u;
    hash = (hash ^ 0xff) * 16777619u;
    for (p = label2; p != NULL && *p != '\0'; p++)
        hash = (hash ^ (uint8_t)*p) * 16777619u;
    return hash;
}

static bool is_same(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static struct series *find(enum metric metric, uint32_t hash,
                           const char *label1, const char *label2)
{
    int count =
        atomic_load_explicit(&lists[metric].count, memory_order_acquire);
    int i;

    for (i = 0; i < count; i++) {
        struct series *series = lists[metric].series[i];

        if (series->hash == hash && is_same(series->label1, label1) &&
            is_same(series->label2, label2))
            return series;
    }
    return NULL;
}

static struct series *series_new(uint32_t hash, const char *label1,
                                 const char *label2)
{
    struct series *series = mem_new(sizeof *series);

    series->hash = hash;
    series->label1 = label1 == NULL ? NULL : mem_text(label1);
    series->label2 = label2 == NULL ? NULL : mem_text(label2);
    return series;
}

/* The place OTHER is kept for what finds no place of its own. */
static struct series *add(enum metric metric, uint32_t hash, const char *label1,
                          const char *label2)
{
    struct series *series;
    int count;

    pthread_mutex_lock(&adding);
    series = find(metric, hash, label1, label2);
    count = atomic_load_explicit(&lists[metric].count, memory_order_relaxed);
    if (series == NULL && count > OTHER) {
        series = lists[metric].series[OTHER];
    } else if (series == NULL) {
        if (count == OTHER) {
            label1 = label1 == NULL ? NULL : "other";
            label2 = label2 == NULL ? NULL : "other";
            hash = hash_labels(label1, label2);
        }
        series = series_new(hash, label1, label2);
        lists[metric].series[count] = series;
        atomic_store_explicit(&lists[metric].count, count + 1,
                              memory_order_release);
    }
    pthread_mutex_unlock(&adding);
    return series;
}

static struct series *find_or_add(enum metric metric, const char *label1,
                                  const char *label2)
{
    uint32_t hash = hash_labels(label1, label2);
    struct series *series;

    assert(metric < METRIC_COUNT);
    assert((label1 == NULL) == (table[metric].label1 == NULL));
    assert((label2 == NULL) == (table[metric].label2 == NULL));
    series = find(metric, hash, label1, label2);
    return series != NULL ? series : add(metric, hash, label1, label2);
}

static double real_of(unsigned long long bits)
{
    uint64_t word = bits;
    double real;

    memcpy(&real, &word, sizeof real);
    return real;
}

static unsigned long long bits_of(double real)
{
    uint64_t word;

    memcpy(&word, &real, sizeof word);
    return word;
}

static double load_real(atomic_ullong *bits)
{
    return real_of(atomic_load_explicit(bits, memory_order_relaxed));
}

static void add_real(atomic_ullong *bits, double amount)
{
    unsigned long long old = atomic_load_explicit(bits, memory_order_relaxed);

    while (!atomic_compare_exchange_weak_explicit(
        bits, &old, bits_of(real_of(old) + amount), memory_order_relaxed,
        memory_order_relaxed))
        continue;
}

void metrics_add(enum metric metric, const char *label1, const char *label2,
                 int64_t amount)
{
    struct series *series = find_or_add(metric, label1, label2);

    assert(table[metric].kind == GAUGE || table[metric].kind == COUNTER);
    if (table[metric].kind == GAUGE) {
        add_real(&series->bits, (double)amount);
    } else {
        assert(amount >= 0);
        atomic_fetch_add_explicit(&series->count, (unsigned long long)amount,
                                  memory_order_relaxed);
    }
}

void metrics_set(enum metric metric, const char *label1, const char *label2,
                 double value)
{
    struct series *series = find_or_add(metric, label1, label2);

    assert(table[metric].kind == GAUGE);
    atomic_store_explicit(&series->bits, bits_of(value), memory_order_relaxed);
}

void metrics_observe(enum metric metric, const char *label1, const char *label2,
                     double value)
{
    struct series *series = find_or_add(metric, label1, label2);
    enum kind kind = table[metric].kind;
    int i = 0;

    assert(kind == SECONDS || kind == RATIO);
    if (!isfinite(value))
        return;
    while (i < kinds[kind].bound_count && value > kinds[kind].bounds[i])
        i++;
    atomic_fetch_add_explicit(&series->buckets[i], 1, memory_order_relaxed);
    add_real(&series->bits, value);
}

static unsigned long long bucket_sum(struct series *series)
{
    unsigned long long sum = 0;
    int i;

    for (i = 0; i <= BOUNDS_MAX; i++)
        sum += atomic_load_explicit(&series->buckets[i], memory_order_relaxed);
    return sum;
}

double metrics_get(enum metric metric, const char *label1, const char *label2)
{
    struct series *series =
        find(metric, hash_labels(label1, label2), label1, label2);

    if (series == NULL)
        return 0;
    switch (table[metric].kind) {
    case COUNTER:
        return (double)atomic_load_explicit(&series->count,
                                            memory_order_relaxed);
    case GAUGE:
        return load_real(&series->bits);
    default:
        return (double)bucket_sum(series);
    }
}

/* name="value" with what the format wants escaped. */
static void put_label(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, "%s=\"", name);
    for (; *value != '\0'; value++) {
        if (*value == '\n')
            buf_add_text(out, "\\n");
        else if (*value == '"' || *value == '\\')
            buf_printf(out, "\\%c", *value);
        else
            buf_add_char(out, *value);
    }
    buf_add_char(out, '"');
}

/* name_suffix{labels} and a space; bound is NULL, or the value of "le". */
static void put_name(struct buf *out, enum metric metric, const char *suffix,
                     const struct series *series, const char *bound)
{
    const char *comma = "";

    buf_printf(out, "%s%s", table[metric].name, suffix);
    if (series->label1 != NULL || bound != NULL)
        buf_add_char(out, '{');
    if (series->label1 != NULL) {
        put_label(out, table[metric].label1, series->label1);
        comma = ",";
    }
    if (series->label2 != NULL) {
        buf_add_text(out, comma);
        put_label(out, table[metric].label2, series->label2);
    }
    if (bound != NULL)
        buf_printf(out, "%sle=\"%s\"", comma, bound);
    if (series->label1 != NULL || bound != NULL)
        buf_add_char(out, '}');
    buf_add_char(out, ' ');
}

/* The count is the sum of the buckets that were just read, so that the lines
 * of one histogram agree with each other. */
static void put_histogram(struct buf *out, enum metric metric,
                          struct series *series)
{
    enum kind kind = table[metric].kind;
    unsigned long long sum = 0;
    char bound[32];
    int i;

    for (i = 0; i <= kinds[kind].bound_count; i++) {
        if (i < kinds[kind].bound_count)
            snprintf(bound, sizeof bound, "%g", kinds[kind].bounds[i]);
        else
            snprintf(bound, sizeof bound, "+Inf");
        sum += atomic_load_explicit(&series->buckets[i], memory_order_relaxed);
        put_name(out, metric, "_bucket", series, bound);
        buf_printf(out, "%llu\n", sum);
    }
    put_name(out, metric, "_sum", series, NULL);
    buf_printf(out, "%.15g\n", load_real(&series->bits));
    put_name(out, metric, "_count", series, NULL);
    buf_printf(out, "%llu\n", sum);
}

static void put_series(struct buf *out, enum metric metric,
                       struct series *series)
{
    switch (table[metric].kind) {
    case COUNTER:
        put_name(out, metric, "", series, NULL);
        buf_printf(out, "%llu\n",
                   atomic_load_explicit(&series->count, memory_order_relaxed));
        break;
    case GAUGE:
        put_name(out, metric, "", series, NULL);
        buf_printf(out, "%.15g\n", load_real(&series->bits));
        break;
    default:
        put_histogram(out, metric, series);
    }
}

void metrics_print(struct buf *out)
{
    enum metric metric;
    int i, count;

    for (metric = 0; metric < METRIC_COUNT; metric++) {
        buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", table[metric].name,
                   table[metric].help, table[metric].name,
                   kinds[table[metric].kind].type);
        /* Without labels there is one series, from the start. */
        if (table[metric].label1 == NULL)
            find_or_add(metric, NULL, NULL);
        count =
            atomic_load_explicit(&lists[metric].count, memory_order_acquire);
        for (i = 0; i < count; i++)
            put_series(out, metric, lists[metric].series[i]);
    }
    process_print(out);
}

void metrics_document(struct buf *out)
{
    enum metric metric;

    buf_add_text(out, "| Metric | Kind | Labels | Meaning |\n"
                      "| --- | --- | --- | --- |\n");
    for (metric = 0; metric < METRIC_COUNT; metric++) {
        buf_printf(out, "| `%s` | %s |", table[metric].name,
                   kinds[table[metric].kind].type);
        if (table[metric].label1 != NULL)
            buf_printf(out, " `%s`", table[metric].label1);
        if (table[metric].label2 != NULL)
            buf_printf(out, ", `%s`", table[metric].label2);
        buf_printf(out, " | %s |\n", table[metric].help);
    }
    process_document(out);
}
