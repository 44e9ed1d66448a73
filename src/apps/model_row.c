/* SPDX-License-Identifier: Apache-2.0 */
#include "apps/model_row.h"

#include <math.h>
#include <stdio.h>

#include "apps/database.h"
#include "base/log.h"
#include "base/mem.h"

struct entry {
    struct work_job job; /* first: the pool gives it back */
    struct database *database;
    struct model_version *version; /* held */
};

static struct store_metrics row_of(const struct model_version *version)
{
    struct store_metrics row = {
        .accuracy = version->bundle->metadata.accuracy,
        .precision = NAN,
        .recall = NAN,
        .f1_score = NAN,
        .inference_avg_ms = NAN,
    };

    snprintf(row.model_version, sizeof row.model_version, "%s",
             model_version_name(version));
    return row;
}

static int write_row(struct entry *entry, struct err *err)
{
    const struct model_version *version = entry->version;
    struct store_metrics row = row_of(version);
    struct collection_info info = {0};
    struct err ignored = {0};
    struct store *store = NULL;
    int rc;

    rc = database_reach(entry->database, &store, err);
    if (rc)
        return rc;
    rc = store_find_metrics(store, model_version_name(version), &row, err);
    if (rc == ERR_NOT_FOUND)
        *err = (struct err){0};
    else if (rc)
        return rc;
    __atomic_store(&entry->version->stored_accuracy, &row.accuracy,
                   __ATOMIC_RELAXED);
    if (!isnan(version->bundle->metadata.accuracy))
        row.accuracy = version->bundle->metadata.accuracy;
    if (collection_info(version->collection, &info, &ignored) == 0)
        row.index_size = info.count;
    row.class_count = version->bundle->class_count;
    row.loaded_ms = version->bundle->loaded_ms;
    return store_put_metrics(store, &row, err);
}

static void run(struct work_job *job, enum work_outcome outcome)
{
    struct entry *entry = (struct entry *)job;
    struct err err = {0};

    if (outcome == WORK_RUN && write_row(entry, &err) != 0)
        log_write(LOG_WARN, "the row of model_metrics is not written",
                  log_text("why", err.text));
    model_version_release(entry->version);
    mem_free(entry);
}

void model_row_begin(const struct app *app, struct model_version *version)
{
    struct err err = {0};
    struct entry *entry;

    if (app->database == NULL || app->background == NULL)
        return;
    entry = mem_new(sizeof *entry);
    entry->job.run = run;
    entry->database = app->database;
    entry->version = model_version_hold(version);
    if (work_add(app->background, &entry->job, &err) == 0)
        return;
    model_version_release(entry->version);
    mem_free(entry);
}

double model_row_accuracy(const struct model_version *version)
{
    double accuracy = version->bundle->metadata.accuracy;

    if (isnan(accuracy))
        __atomic_load(&version->stored_accuracy, &accuracy, __ATOMIC_RELAXED);
    return accuracy;
}
