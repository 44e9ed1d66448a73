/* SPDX-License-Identifier: Apache-2.0 */
/* Files of vectors by themselves: no model and no settings are needed. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json_write.h"
#include "base/url.h"
#include "cmd/command.h"
#include "cmd/progress.h"
#include "cmd/target.h"
#include "cmd/terminal.h"
#include "models/shelf.h"
#include "vectors/vecindex.h"

enum { LINE_LEN_MAX = 16 << 20 };

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
        rc = target_number(arguments, numbers[i].flag, numbers[i].max,
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

/* Reads every byte of a set and tells about it as of an index. */
static int check_store(struct vecstore *store, const char *shown,
                       struct vecindex_info *out, struct err *err)
{
    struct progress progress = {"checked", clock_us()};
    struct vec_info info;
    int rc = vecstore_check(store, progress_show, &progress, err);

    terminal_progress_end();
    if (rc == 0)
        rc = vecstore_info(store, &info, err);
    if (rc)
        return rc;
    *out = (struct vecindex_info){
        .type = info.type,
        .type_name = vecindex_type_name(info.type),
        .metric_name = vecindex_metric_name(info.metric),
        .count = info.count,
        .dim = info.dim,
        .is_exact = info.is_exact,
        .nlist = info.nlist,
        .nprobe = info.nprobe,
        .links = info.links,
        .ef_construction = info.ef_construction,
        .ef_search = info.ef_search,
    };
    if (info.torn_len > 0)
        fprintf(stderr,
                "olho: %s: %lld bytes of an addition that never finished\n",
                shown, (long long)info.torn_len);
    return 0;
}

static int check_index(const char *path, struct vecindex_info *out,
                       struct err *err)
{
    const struct vecindex_options options = {.is_mapped = true,
                                             .is_lean = true};
    struct vecindex *index = NULL;
    int rc = vecindex_open(path, &options, &index, err);

    if (rc == 0)
        vecindex_info(index, out);
    vecindex_free(index);
    return rc;
}

static int print_check(const struct arguments *arguments, const char *shown,
                       const struct vecindex_info *info, struct err *err)
{
    if (arguments_flag(arguments, "json") != NULL)
        return print_check_json(shown, info, err);
    print_about(shown, info);
    return 0;
}

static int check_word(const struct arguments *arguments, const char *where,
                      struct err *err)
{
    const struct vec_options as_it_is = {0};
    struct vecstore *store = NULL;
    struct vecindex_info info;
    char shown[FILE_PATH_MAX];
    int rc;

    url_show(where, shown, sizeof shown);
    if (strstr(where, "://") == NULL && shelf_is_path(where)) {
        rc = check_index(where, &info, err);
    } else {
        rc = vecstore_open(where, VEC_READ, &as_it_is, &store, err);
        if (rc == 0)
            rc = check_store(store, shown, &info, err);
        vecstore_close(store);
    }
    return rc ? rc : print_check(arguments, shown, &info, err);
}

/* Without a word it is that of --collection, or the model's own. */
static int check_target(const struct arguments *arguments, struct err *err)
{
    struct target target = {0};
    struct vecindex_info info;
    int rc = target_find(arguments, false, &target, err);

    if (rc == 0 && target.is_foreign) {
        rc = check_index(target.where != NULL ? target.where : target.shown,
                         &info, err);
    } else if (rc == 0) {
        rc = target_open_store(&target, VEC_READ, NULL, 0, err);
        if (rc == 0)
            rc = check_store(target.store, target.shown, &info, err);
    }
    if (rc == 0)
        rc = print_check(arguments, target.shown, &info, err);
    target_close(&target);
    return rc;
}

int command_index_check(struct arguments *arguments, struct err *err)
{
    int i, failed_count = 0;

    progress_catch();
    if (arguments->word_count == 0)
        return check_target(arguments, err) ? EXIT_FAILED : EXIT_FINE;
    for (i = 0; i < arguments->word_count && !progress_is_stopped(); i++) {
        struct err own = {0};

        if (check_word(arguments, arguments->words[i], &own) == 0)
            continue;
        fprintf(stderr, "olho: %s\n", own.text);
        failed_count++;
    }
    return failed_count > 0 || progress_is_stopped() ? EXIT_FAILED : EXIT_FINE;
}
