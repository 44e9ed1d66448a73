/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/target.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/url.h"
#include "cmd/progress.h"
#include "cmd/terminal.h"
#include "models/shelf.h"

int target_number(const struct arguments *arguments, const char *name, int max,
                  int *out, struct err *err)
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

static int take_kinds(const struct arguments *arguments,
                      struct vec_options *out, struct err *err)
{
    const char *type = arguments_flag(arguments, "type");
    const char *metric = arguments_flag(arguments, "metric");
    const char *storage = arguments_flag(arguments, "storage");
    int rc = 0;

    if (type != NULL)
        rc = vecindex_type_parse(type, &out->type, err);
    if (rc == 0 && metric != NULL)
        rc = vecindex_metric_parse(metric, &out->metric, err);
    if (rc == 0 && storage != NULL)
        rc = vec_storage_parse(storage, &out->storage, err);
    return rc;
}

int target_options(const struct arguments *arguments, struct vec_options *out,
                   struct err *err)
{
    struct vec_options options = {0};
    const struct {
        const char *flag;
        int max;
        int *value;
    } numbers[] = {
        {"links", VECINDEX_LINKS_MAX, &options.links},
        {"ef-construction", VECINDEX_EF_MAX, &options.ef_construction},
        {"ef-search", VECINDEX_EF_MAX, &options.ef_search},
        {"nlist", VECINDEX_NLIST_MAX, &options.nlist},
        {"nprobe", VECINDEX_NPROBE_MAX, &options.nprobe},
        {"threads", VECINDEX_THREADS_MAX, &options.thread_count},
    };
    int rc = take_kinds(arguments, &options, err);
    size_t i;

    options.thread_count = session_worker_count(&arguments->config);
    for (i = 0; rc == 0 && i < sizeof numbers / sizeof numbers[0]; i++)
        rc = target_number(arguments, numbers[i].flag, numbers[i].max,
                           numbers[i].value, err);
    if (rc == 0)
        *out = options;
    return rc;
}

int target_find(const struct arguments *arguments, bool needs_model,
                struct target *out, struct err *err)
{
    struct target *target = out;
    int rc = 0;

    *target = (struct target){.where = arguments_flag(arguments, "collection")};
    if (target->where != NULL && target->where[0] == '\0')
        return err_set(err, ERR_INVALID, "--collection names nothing");
    if (target->where == NULL || needs_model) {
        rc = session_open(&arguments->config, &target->app, err);
        if (rc)
            return rc;
        target->version = registry_acquire(target->app.registry, 0);
    }
    if (target->where != NULL) {
        url_show(target->where, target->shown, sizeof target->shown);
        target->is_foreign = strstr(target->where, "://") == NULL &&
                             shelf_is_path(target->where);
    } else {
        snprintf(target->shown, sizeof target->shown, "%s",
                 collection_path(target->version->collection));
        target->is_foreign = collection_is_foreign(target->version->collection);
    }
    return 0;
}

/* A set beside the model's own may hold what any network made, unless this
 * one's vectors are to go in. */
static int open_named(struct target *target, enum vec_mode mode,
                      const struct vec_options *options, int dim,
                      struct err *err)
{
    struct vec_options own = *options;
    char model[2 * METADATA_NAME_MAX];

    if (target->is_foreign)
        return err_set(err, ERR_UNSUPPORTED,
                       "%s is a file of FAISS or numpy, which is only read; "
                       "`olho index import` takes it in",
                       target->shown);
    own.dim = dim;
    if (target->version != NULL) {
        snprintf(model, sizeof model, "%s %s",
                 target->version->bundle->metadata.name,
                 model_version_name(target->version));
        own.model = model;
    }
    return vecstore_open(target->where, mode, &own, &target->store, err);
}

int target_open_store(struct target *target, enum vec_mode mode,
                      const struct vec_options *options, int dim,
                      struct err *err)
{
    const struct vec_options as_it_is = {0};
    int rc;

    if (options == NULL)
        options = &as_it_is;
    rc = target->where != NULL
             ? open_named(target, mode, options, dim, err)
             : collection_open_store(target->version->collection, mode, options,
                                     &target->store, err);
    if (rc == ERR_NOT_FOUND && mode == VEC_READ) {
        *err = (struct err){0};
        rc = err_set(err, ERR_NOT_FOUND,
                     "there is no index %s; `olho index add DIR` makes it",
                     target->shown);
    }
    if (rc == 0)
        rc = vecstore_info(target->store, &target->info, err);
    if (rc == 0 && dim != 0 && target->info.dim != dim)
        rc = err_set(err, ERR_CONFLICT,
                     "vectors of %d values do not go into %s, which has "
                     "vectors of %d",
                     dim, target->shown, target->info.dim);
    return rc;
}

void target_close(struct target *target)
{
    vecstore_close(target->store);
    model_version_release(target->version);
    session_close(&target->app);
    *target = (struct target){0};
}

int target_settle(struct target *target, struct err *err)
{
    struct progress progress = {"entries indexed", clock_us()};
    int rc = vecstore_settle(target->store, progress_show, &progress, err);

    terminal_progress_end();
    if (rc == ERR_UNAVAILABLE && progress_is_stopped()) {
        *err = (struct err){0};
        fprintf(stderr,
                "olho: stopped; every entry is kept and found, and the next "
                "writing builds the index on\n");
        return 0;
    }
    return rc;
}
