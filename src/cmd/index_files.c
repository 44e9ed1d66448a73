/* SPDX-License-Identifier: Apache-2.0 */
/* Files of vectors by themselves: no model and no settings are needed. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_write.h"
#include "base/mem.h"
#include "cmd/command.h"
#include "vectors/flat.h"
#include "vectors/npy.h"
#include "vectors/vecindex.h"

enum { LINE_LEN_MAX = 16 << 20, K = 10 };

/* A flag's whole number; *out stays as it is when the flag is not there. */
static int take_count(const struct arguments *arguments, const char *name,
                      int max, int *out, struct err *err)
{
    const char *text = arguments_flag(arguments, name);
    char *end;
    long value;

    if (text == NULL)
        return 0;
    errno = 0;
    value = strtol(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || value < 1 || value > max)
        return err_set(err, ERR_INVALID, "--%s is '%.20s'; it must be 1..%d",
                       name, text, max);
    *out = (int)value;
    return 0;
}

static int take_kind(const struct arguments *arguments,
                     struct vecindex_options *out, struct err *err)
{
    const char *type = arguments_flag(arguments, "type");
    const char *metric = arguments_flag(arguments, "metric");
    int rc = 0;

    if (type != NULL)
        rc = vecindex_type_parse(type, &out->type, err);
    if (rc == 0 && metric != NULL)
        rc = vecindex_metric_parse(metric, &out->metric, err);
    return rc;
}

static int take_options(const struct arguments *arguments,
                        struct vecindex_options *out, struct err *err)
{
    const struct {
        const char *flag;
        int max;
        int *value;
    } numbers[] = {
        {"nlist", VECINDEX_NLIST_MAX, &out->nlist},
        {"nprobe", VECINDEX_NPROBE_MAX, &out->nprobe},
        {"links", VECINDEX_LINKS_MAX, &out->links},
        {"ef-construction", VECINDEX_EF_MAX, &out->ef_construction},
        {"ef-search", VECINDEX_EF_MAX, &out->ef_search},
        {"threads", VECINDEX_THREADS_MAX, &out->thread_count},
    };
    int rc = take_kind(arguments, out, err);
    size_t i;

    for (i = 0; rc == 0 && i < sizeof numbers / sizeof numbers[0]; i++)
        rc = take_count(arguments, numbers[i].flag, numbers[i].max,
                        numbers[i].value, err);
    return rc;
}

static void print_about(const char *path, const struct vecindex_info *info)
{
    printf("%s: %lld vectors of %d values, %s, %s", path,
           (long long)info->count, info->dim, info->metric_name,
           info->type_name);
    if (info->type == VECINDEX_IVFFLAT)
        printf(" (%d lists, %d probed)", info->nlist, info->nprobe);
    if (info->type == VECINDEX_HNSW)
        printf(" (M %d, efConstruction %d, efSearch %d)", info->links,
               info->ef_construction, info->ef_search);
    printf("%s\n", info->has_ids ? ", ids of its own" : "");
}

int command_index_build(struct arguments *arguments, struct err *err)
{
    struct vecindex_options options = {0};
    struct vecindex *index = NULL;
    struct vecindex_info info;
    int rc = take_options(arguments, &options, err);

    if (rc == 0)
        rc = vecindex_open(arguments->words[0], &options, &index, err);
    if (rc == 0)
        rc = vecindex_save_faiss(index, arguments->words[1], err);
    if (rc == 0) {
        vecindex_info(index, &info);
        print_about(arguments->words[1], &info);
    }
    vecindex_free(index);
    return rc ? EXIT_FAILED : EXIT_FINE;
}

/* --- check ---------------------------------------------------------------- */

static int print_check_json(const char *path, const struct vecindex_info *info,
                            struct err *err)
{
    struct json_writer json;
    struct buf line;
    int rc;

    buf_init(&line, LINE_LEN_MAX);
    json_writer_init(&json, &line);
    json_object_begin(&json);
    json_key(&json, "file");
    json_put_text(&json, path);
    json_key(&json, "index_type");
    json_put_text(&json, info->type_name);
    json_key(&json, "metric");
    json_put_text(&json, info->metric_name);
    json_key(&json, "vectors");
    json_put_integer(&json, info->count);
    json_key(&json, "dim");
    json_put_integer(&json, info->dim);
    json_key(&json, "exact");
    json_put_bool(&json, info->is_exact);
    json_key(&json, "own_ids");
    json_put_bool(&json, info->has_ids);
    json_object_end(&json);
    rc = buf_check(&line, err);
    if (rc == 0)
        printf("%s\n", line.data);
    buf_release(&line);
    return rc;
}

static bool ends_with(const char *path, const char *end)
{
    size_t len = strlen(path), end_len = strlen(end);

    return len >= end_len && strcmp(path + len - end_len, end) == 0;
}

/* A collection of ours as an index is told about. */
static int check_own(const char *path, struct vecindex_info *out,
                     struct err *err)
{
    struct flat *index = NULL;
    struct flat_info info;
    int rc = flat_open(path, FLAT_READ, 0, FLAT_L2, NULL, &index, err);

    if (rc)
        return rc;
    flat_info(index, &info);
    *out = (struct vecindex_info){
        .type = VECINDEX_FLAT,
        .type_name = vecindex_type_name(VECINDEX_FLAT),
        .metric_name = flat_metric_name(info.metric),
        .count = info.count,
        .dim = info.dim,
        .is_exact = true,
    };
    if (info.torn_len > 0)
        fprintf(stderr,
                "olho: %s: %lld bytes of an addition that never finished\n",
                path, (long long)info.torn_len);
    flat_close(index);
    return 0;
}

static int check_one(const struct arguments *arguments, const char *path,
                     struct err *err)
{
    const struct vecindex_options options = {.is_mapped = true};
    struct vecindex *index = NULL;
    struct vecindex_info info;
    int rc;

    if (ends_with(path, ".olho")) {
        rc = check_own(path, &info, err);
    } else {
        rc = vecindex_open(path, &options, &index, err);
        if (rc == 0)
            vecindex_info(index, &info);
    }
    if (rc == 0 && arguments_flag(arguments, "json") != NULL)
        rc = print_check_json(path, &info, err);
    else if (rc == 0)
        print_about(path, &info);
    vecindex_free(index);
    return rc;
}

int command_index_check(struct arguments *arguments, struct err *err)
{
    int i, failed_count = 0;

    (void)err;
    for (i = 0; i < arguments->word_count; i++) {
        struct err own = {0};

        if (check_one(arguments, arguments->words[i], &own) == 0)
            continue;
        fprintf(stderr, "olho: %s\n", own.text);
        failed_count++;
    }
    return failed_count > 0 ? EXIT_FAILED : EXIT_FINE;
}

/* --- search --------------------------------------------------------------- */

static int print_hits(int64_t number, const struct vecindex_hit *hits,
                      int count, bool is_exact, struct err *err)
{
    struct json_writer json;
    struct buf line;
    int i, rc;

    buf_init(&line, LINE_LEN_MAX);
    json_writer_init(&json, &line);
    json_object_begin(&json);
    json_key(&json, "query");
    json_put_integer(&json, number);
    json_key(&json, "exact");
    json_put_bool(&json, is_exact);
    json_key(&json, "neighbours");
    json_array_begin(&json);
    for (i = 0; i < count; i++) {
        json_object_begin(&json);
        json_key(&json, "id");
        json_put_integer(&json, hits[i].id);
        json_key(&json, "distance");
        json_put_float(&json, hits[i].distance);
        json_object_end(&json);
    }
    json_array_end(&json);
    json_object_end(&json);
    buf_add_char(&line, '\n');
    rc = buf_check(&line, err);
    if (rc == 0)
        fwrite(line.data, 1, line.len, stdout);
    buf_release(&line);
    return rc;
}

static int search_all(struct vecindex *index, struct vecindex_query *query,
                      const struct npy_matrix *queries, struct err *err)
{
    struct vecindex_hit *hits = mem_try((size_t)query->k, sizeof *hits);
    bool is_exact = false;
    int64_t i;
    int count = 0, rc = 0;

    if (hits == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for %d hits", query->k);
    for (i = 0; rc == 0 && i < queries->row_count; i++) {
        query->vector = queries->rows + i * queries->dim;
        rc = vecindex_search(index, query, hits, &count, &is_exact, err);
        if (rc)
            err_wrap(err, "query %lld", (long long)i);
        else
            rc = print_hits(i, hits, count, is_exact, err);
    }
    mem_free(hits);
    return rc;
}

int command_index_search(struct arguments *arguments, struct err *err)
{
    const char *vectors = arguments_flag(arguments, "vectors");
    struct vecindex_options options = {0};
    struct vecindex_query query = {.k = K};
    struct npy_matrix queries = {0};
    struct vecindex *index = NULL;
    int rc = take_kind(arguments, &options, err);

    query.is_exact = arguments_flag(arguments, "exact") != NULL;
    if (rc == 0 && vectors == NULL)
        rc = err_set(err, ERR_INVALID, "--vectors FILE.npy is needed");
    if (rc == 0)
        rc = take_count(arguments, "k", VECINDEX_K_MAX, &query.k, err);
    if (rc == 0)
        rc = take_count(arguments, "nprobe", VECINDEX_NPROBE_MAX, &query.nprobe,
                        err);
    if (rc == 0)
        rc = take_count(arguments, "ef-search", VECINDEX_EF_MAX,
                        &query.ef_search, err);
    if (rc == 0)
        rc = npy_read_matrix(vectors, &queries, err);
    if (rc == 0)
        rc = vecindex_open(arguments->words[0], &options, &index, err);
    query.dim = queries.dim;
    if (rc == 0)
        rc = search_all(index, &query, &queries, err);
    vecindex_free(index);
    npy_matrix_release(&queries);
    return rc ? EXIT_FAILED : EXIT_FINE;
}
