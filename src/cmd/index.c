/* SPDX-License-Identifier: Apache-2.0 */
/* `olho index info` and `olho index compact`. */
#include <stdio.h>

#include "base/clock.h"
#include "base/json_write.h"
#include "cmd/command.h"
#include "cmd/progress.h"
#include "cmd/target.h"
#include "cmd/terminal.h"

static const double mb = 1 << 20;

/* --- info ----------------------------------------------------------------- */

static void print_type(const struct vec_info *info)
{
    printf("index     %s%s", vecindex_type_name(info->type),
           info->is_auto ? ", chosen by size" : "");
    if (info->type == VECINDEX_HNSW)
        printf(" (M %d, efConstruction %d, efSearch %d)", info->links,
               info->ef_construction, info->ef_search);
    if (info->type == VECINDEX_IVFFLAT)
        printf(" (%d lists, %d probed)", info->nlist, info->nprobe);
    if (info->pending > 0)
        printf("; %lld are not in it yet and are scanned",
               (long long)info->pending);
    printf("\n");
}

static void print_info(const char *where, const struct vec_info *info)
{
    bool is_own = info->version[0] == '\0';

    printf("%-9s %s\n", is_own ? "file" : "server", where);
    if (!is_own)
        printf("version   %s %s\n", info->backend, info->version);
    printf("entries   %lld\n", (long long)info->count);
    if (info->model[0] != '\0')
        printf("model     %s\n", info->model);
    printf("vectors   %d values, %s, %s\n", info->dim,
           vecindex_metric_name(info->metric),
           info->is_exact ? "exact" : "approximate");
    print_type(info);
    if (!is_own)
        return;
    printf("size      %.3g MB in files, %.3g MB in memory (%s)\n",
           (double)info->file_len / mb, (double)info->memory_len / mb,
           vec_storage_name(info->storage));
    printf("kernels   %s\n", info->kernels);
    if (info->removed > 0)
        printf("removed   %lld that `olho index compact` takes out\n",
               (long long)info->removed);
    if (info->torn_len > 0)
        printf("torn      %lld bytes of an addition that never finished\n",
               (long long)info->torn_len);
}

static void put_numbers(struct json_writer *json, const struct vec_info *info)
{
    const struct {
        const char *key;
        int64_t value;
    } numbers[] = {
        {"images", info->count},
        {"dim", info->dim},
        {"removed", info->removed},
        {"pending", info->pending},
        {"bytes", info->file_len},
        {"memory_bytes", info->memory_len},
        {"links", info->links},
        {"ef_construction", info->ef_construction},
        {"ef_search", info->ef_search},
        {"nlist", info->nlist},
        {"nprobe", info->nprobe},
        {"torn_bytes", info->torn_len},
    };
    size_t i;

    for (i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        json_key(json, numbers[i].key);
        json_put_integer(json, numbers[i].value);
    }
}

static int print_info_json(const char *where, const struct vec_info *info,
                           struct err *err)
{
    const struct {
        const char *key, *value;
    } texts[] = {
        {"file", where},
        {"backend", info->backend},
        {"version", info->version},
        {"model", info->model},
        {"metric", vecindex_metric_name(info->metric)},
        {"index_type", vecindex_type_name(info->type)},
        {"storage", vec_storage_name(info->storage)},
        {"kernels", info->kernels},
    };
    struct json_writer json;
    struct buf line;
    size_t i;
    int rc;

    buf_init(&line, 1 << 20);
    json_writer_init(&json, &line);
    json_object_begin(&json);
    for (i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        json_key(&json, texts[i].key);
        json_put_text(&json, texts[i].value);
    }
    put_numbers(&json, info);
    json_key(&json, "auto");
    json_put_bool(&json, info->is_auto);
    json_key(&json, "exact");
    json_put_bool(&json, info->is_exact);
    json_object_end(&json);
    rc = buf_check(&line, err);
    if (rc == 0)
        printf("%s\n", line.data);
    buf_release(&line);
    return rc;
}

/* A file of FAISS as a set tells about itself. */
static int foreign_info(const struct target *target, struct vec_info *out,
                        struct err *err)
{
    const struct vecindex_options options = {.is_mapped = true,
                                             .is_lean = true};
    const char *path = target->where != NULL ? target->where : target->shown;
    struct vecindex *index = NULL;
    struct vecindex_info info;
    int rc = vecindex_open(path, &options, &index, err);

    if (rc)
        return rc;
    vecindex_info(index, &info);
    *out = (struct vec_info){
        .backend = "faiss",
        .dim = info.dim,
        .metric = info.metric,
        .type = info.type,
        .storage = VEC_FLOAT32,
        .is_exact = info.is_exact,
        .count = info.count,
        .links = info.links,
        .ef_construction = info.ef_construction,
        .ef_search = info.ef_search,
        .nlist = info.nlist,
        .nprobe = info.nprobe,
        .file_len = info.memory_len + info.mapped_len,
        .memory_len = info.memory_len,
        .kernels = info.kernels,
    };
    vecindex_free(index);
    return 0;
}

int command_index_info(struct arguments *arguments, struct err *err)
{
    struct target target = {0};
    int rc = target_find(arguments, false, &target, err);

    if (rc == 0 && target.is_foreign)
        rc = foreign_info(&target, &target.info, err);
    else if (rc == 0)
        rc = target_open_store(&target, VEC_READ, NULL, 0, err);
    if (rc == 0 && arguments_flag(arguments, "json") != NULL)
        rc = print_info_json(target.shown, &target.info, err);
    else if (rc == 0)
        print_info(target.shown, &target.info);
    target_close(&target);
    return rc ? EXIT_FAILED : EXIT_FINE;
}

/* --- compact -------------------------------------------------------------- */

static int compact(struct target *target, struct err *err)
{
    struct progress progress = {"entries", clock_us()};
    struct vec_info before = target->info;
    int rc = vecstore_compact(target->store, progress_show, &progress, err);

    terminal_progress_end();
    if (rc == 0)
        rc = vecstore_info(target->store, &target->info, err);
    if (rc)
        return rc;
    printf("%lld taken out; %lld in %s, %.3g MB (before: %.3g MB)\n",
           (long long)before.removed, (long long)target->info.count,
           target->shown, (double)target->info.file_len / mb,
           (double)before.file_len / mb);
    return 0;
}

int command_index_compact(struct arguments *arguments, struct err *err)
{
    struct target target = {0};
    int rc = target_find(arguments, false, &target, err);

    progress_catch();
    /* Reading first: writing would make it. */
    if (rc == 0)
        rc = target_open_store(&target, VEC_READ, NULL, 0, err);
    if (rc == 0) {
        vecstore_close(target.store);
        target.store = NULL;
        rc = target_open_store(&target, VEC_WRITE, NULL, 0, err);
    }
    if (rc == 0)
        rc = compact(&target, err);
    target_close(&target);
    return rc ? EXIT_FAILED : EXIT_FINE;
}
