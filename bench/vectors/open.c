/* SPDX-License-Identifier: Apache-2.0 */
/* How long a large set takes to open, and the first search in it.
 *
 *     bench-open [-t TYPE] [-l LINKS] [-e EF] [-k] PATH ROWS DIM
 *
 * Makes a set at PATH (which must not be there) of ROWS generated rows of DIM
 * values with keys and a tag, settles it, and opens it for reading: TURNS times
 * with its files in memory, and once from the log alone, as after damage to the
 * checkpoint. Prints the milliseconds and the bytes of the files. -k keeps
 * them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "vectors/vecstore.h"

enum { TURNS = 7, BATCH = 2000, TEXT_LEN = 32, TAG_CLASSES = 100 };

struct plan {
    const char *path;
    char checkpoint[4200];
    int64_t rows;
    struct vec_options options;
    bool keeps;
};

static void check(int rc, const struct err *err)
{
    if (rc == 0)
        return;
    fprintf(stderr, "bench-open: %s\n", err->text);
    exit(1);
}

static double ms_since(int64_t begin_us)
{
    return (double)(clock_us() - begin_us) / 1000;
}

/* The row number `number`, entries in -1..1. */
static void make_row(int64_t number, int dim, float *out)
{
    uint64_t state = (uint64_t)number * 0x9e3779b97f4a7c15U + 1;
    int i;

    for (i = 0; i < dim; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out[i] = (float)(state >> 40) / (float)(1 << 23) - 1;
    }
}

/* --- making ---------------------------------------------------------------
 */

struct batch {
    struct vec_entry entries[BATCH];
    struct vec_tag tags[BATCH];
    char keys[BATCH][TEXT_LEN], classes[BATCH][TEXT_LEN];
    float *vectors; /* owned; BATCH * dim */
};

static void fill(struct batch *batch, int64_t first, int count, int dim)
{
    int i;

    for (i = 0; i < count; i++) {
        float *vector = batch->vectors + (size_t)i * (size_t)dim;

        make_row(first + i, dim, vector);
        snprintf(batch->keys[i], TEXT_LEN, "key-%lld", (long long)(first + i));
        snprintf(batch->classes[i], TEXT_LEN, "%lld",
                 (long long)((first + i) % TAG_CLASSES));
        batch->tags[i] = (struct vec_tag){"class", batch->classes[i]};
        batch->entries[i] = (struct vec_entry){.id = VEC_ID_NEW,
                                               .vector = vector,
                                               .key = batch->keys[i],
                                               .tags = &batch->tags[i],
                                               .tag_count = 1};
    }
}

static void make(const struct plan *plan)
{
    struct batch *batch = mem_new(sizeof *batch);
    struct vecstore *store = NULL;
    struct err err = {0};
    int64_t begin_us = clock_us(), first;

    batch->vectors = mem_try(BATCH * sizeof(float), (size_t)plan->options.dim);
    if (batch->vectors == NULL)
        exit(1);
    check(vecstore_open(plan->path, VEC_WRITE, &plan->options, &store, &err),
          &err);
    for (first = 0; first < plan->rows; first += BATCH) {
        int count =
            plan->rows - first < BATCH ? (int)(plan->rows - first) : (int)BATCH;

        fill(batch, first, count, plan->options.dim);
        check(vecstore_add(store, batch->entries, count, NULL, &err), &err);
    }
    printf("add ms %.0f\n", ms_since(begin_us));
    begin_us = clock_us();
    check(vecstore_settle(store, NULL, NULL, &err), &err);
    printf("settle ms %.0f\n", ms_since(begin_us));
    vecstore_close(store);
    mem_free(batch->vectors);
    mem_free(batch);
}

/* --- opening --------------------------------------------------------------
 */

/* Opens, searches once, closes. */
static double open_once(const struct plan *plan, double *out_search_ms)
{
    const struct vec_options any = {0};
    struct arena *arena = arena_new(1 << 20);
    struct vecstore *store = NULL;
    struct vec_hits hits;
    struct err err = {0};
    float *vector = mem_try((size_t)plan->options.dim, sizeof *vector);
    struct vec_query query = {
        .vector = vector, .dim = plan->options.dim, .k = 10};
    int64_t begin_us;
    double ms;

    if (vector == NULL)
        exit(1);
    make_row(-1, plan->options.dim, vector);
    begin_us = clock_us();
    check(vecstore_open(plan->path, VEC_READ, &any, &store, &err), &err);
    ms = ms_since(begin_us);
    begin_us = clock_us();
    check(vecstore_search(store, &query, arena, &hits, &err), &err);
    *out_search_ms = ms_since(begin_us);
    vecstore_close(store);
    mem_free(vector);
    arena_free(arena);
    return ms;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void measure(const struct plan *plan)
{
    double open_ms[TURNS], search_ms[TURNS];
    char aside[4300];
    int i;

    for (i = 0; i < TURNS; i++)
        open_ms[i] = open_once(plan, &search_ms[i]);
    qsort(open_ms, TURNS, sizeof *open_ms, by_size);
    qsort(search_ms, TURNS, sizeof *search_ms, by_size);
    printf("open ms least %.1f median %.1f\n", open_ms[0], open_ms[TURNS / 2]);
    printf("first search ms least %.1f median %.1f\n", search_ms[0],
           search_ms[TURNS / 2]);
    snprintf(aside, sizeof aside, "%s.aside", plan->checkpoint);
    if (rename(plan->checkpoint, aside) != 0)
        exit(1);
    printf("open from the log alone ms %.0f\n", open_once(plan, &search_ms[0]));
    if (rename(aside, plan->checkpoint) != 0)
        exit(1);
}

static void tell_len(const char *what, const char *path)
{
    struct stat about = {0};

    if (stat(path, &about) == 0)
        printf("%s MB %.0f\n", what, (double)about.st_size / (1 << 20));
}

/* --- arguments ------------------------------------------------------------
 */

static int usage(void)
{
    fprintf(stderr, "usage: bench-open [-t TYPE] [-l LINKS] [-e EF] [-k] PATH "
                    "ROWS DIM\n");
    return 2;
}

static int read_arguments(int argc, char **argv, struct plan *plan)
{
    struct err err = {0};
    int option;

    plan->options =
        (struct vec_options){.metric = VECINDEX_L2, .type = VECINDEX_FLAT};
    while ((option = getopt(argc, argv, "t:l:e:k")) != -1)
        switch (option) {
        case 't':
            check(vecindex_type_parse(optarg, &plan->options.type, &err), &err);
            break;
        case 'l':
            plan->options.links = (int)strtol(optarg, NULL, 10);
            break;
        case 'e':
            plan->options.ef_construction = (int)strtol(optarg, NULL, 10);
            break;
        case 'k':
            plan->keeps = true;
            break;
        default:
            return usage();
        }
    if (argc - optind != 3)
        return usage();
    plan->path = argv[optind];
    plan->rows = strtoll(argv[optind + 1], NULL, 10);
    plan->options.dim = (int)strtol(argv[optind + 2], NULL, 10);
    plan->options.thread_count = 2;
    snprintf(plan->checkpoint, sizeof plan->checkpoint, "%s.checkpoint",
             plan->path);
    return 0;
}

int main(int argc, char **argv)
{
    struct plan plan = {0};
    int rc = read_arguments(argc, argv, &plan);

    if (rc)
        return rc;
    if (access(plan.path, F_OK) == 0) {
        fprintf(stderr, "bench-open: %s is there already\n", plan.path);
        return 1;
    }
    make(&plan);
    tell_len("log", plan.path);
    tell_len("checkpoint", plan.checkpoint);
    measure(&plan);
    if (!plan.keeps) {
        unlink(plan.path);
        unlink(plan.checkpoint);
    }
    return 0;
}
