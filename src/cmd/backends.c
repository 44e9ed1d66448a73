/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/backends.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/answer_pack.h"
#include "apps/checks.h"
#include "apps/database.h"
#include "apps/items.h"
#include "apps/model_row.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "cache/cache.h"
#include "cache/flight.h"
#include "models/rollout.h"
#include "models/stored.h"
#include "obs/trace.h"
#include "store/writer.h"

enum {
    STOP_MS = 10000,
    RECENT_MAX = 100000, /* answers remembered for feedback */
    SHADOW_THREADS = 1,
    BACKGROUND_MAX = 64,
    SHADOW_WAITING_MAX = 64,
};

static int open_writer(struct app *app, struct err *err)
{
    const struct config *config = app->config;
    char home[FILE_PATH_MAX], spill[FILE_PATH_MAX];
    struct writer_options options = {
        .queue_max = (int)config->store_queue_max,
        .batch_max = (int)config->store_batch_max,
        .flush_ms = (int)(config->store_flush_s * 1000),
        .stop_ms = STOP_MS,
        .spill_path = spill,
        .spill_len_max = config->store_spill_max_mb << 20,
        .write = database_write,
        .write_user = app->database,
    };
    int rc;

    rc = config_home(config, home, err);
    if (rc == 0)
        rc = file_make_dir(home, err);
    if (rc == 0)
        rc = file_join(home, "olho.spill", spill, err);
    if (rc == 0)
        rc = writer_new(NULL, &options, &app->writer, err);
    /* Two servers may share a data folder; the second keeps its rows in memory
     * alone. */
    if (rc == ERR_CONFLICT) {
        log_write(LOG_WARN,
                  "rows are not kept on disk while the database is "
                  "away",
                  log_text("why", err->text));
        *err = (struct err){0};
        options.spill_path = NULL;
        rc = writer_new(NULL, &options, &app->writer, err);
    }
    return rc;
}

static int open_database(struct app *app, struct err *err)
{
    const struct config *config = app->config;
    int rc;

    if (strcmp(config->store_url, "none") == 0)
        return 0;
    rc = database_new(config, &app->database, err);
    if (rc == 0)
        rc = open_writer(app, err);
    if (rc == 0)
        rc =
            items_new(app->database, config->items_refresh_s, &app->items, err);
    if (rc)
        return rc;
    app->stores_embeddings = config->store_embeddings == EMBEDDINGS_ON ||
                             (config->store_embeddings == EMBEDDINGS_AUTO &&
                              !database_is_file(app->database));
    return 0;
}

static int open_cache(struct app *app, struct err *err)
{
    const struct config *config = app->config;
    struct cache_options options = {
        .bytes_max = (size_t)config->cache_size_mb << 20,
        .ttl_s = (int)config->cache_ttl_s,
        .redis_url = config->redis_url,
        .timeout_ms = (int)(config->redis_timeout_s * 1000),
    };

    if (options.bytes_max == 0 && config->redis_url[0] == '\0')
        return 0;
    /* What depends on the images before this one cannot be kept. */
    if (config->duplicate_distance >= 0 &&
        config->quality_mode != QUALITY_OFF) {
        log_write(LOG_INFO, "no answer is cached, because DUPLICATE_DISTANCE "
                            "compares each image with those before it");
        return 0;
    }
    answer_stamp(config, app->answer_stamp);
    app->flight = flight_new();
    return cache_open(&options, &app->cache, err);
}

/* --- versions to compare --- */

struct arms {
    struct rollout_options options;
    int count;
};

/* One "PATH=WEIGHT" or "PATH=shadow" of AB_VERSIONS: loads the version into the
 * next arm. */
static int add_arm(struct app *app, char *text, struct arms *arms,
                   struct err *err)
{
    struct rollout_arm *arm = &arms->options.arms[arms->count];
    struct model_version *version = NULL;
    struct config config = *app->config;
    char *equals = strrchr(text, '='), *end = NULL;
    char none[] = "";
    int rc;

    if (arms->count == REGISTRY_ARMS_MAX)
        return err_set(err, ERR_INVALID,
                       "AB_VERSIONS has more than %d versions",
                       REGISTRY_ARMS_MAX - 1);
    arm->weight = 1;
    if (equals != NULL) {
        *equals = '\0';
        arm->is_shadow = strcmp(equals + 1, "shadow") == 0;
        arm->weight = arm->is_shadow ? 0 : strtod(equals + 1, &end);
        if (!arm->is_shadow && (end == equals + 1 || *end != '\0'))
            return err_set(err, ERR_INVALID,
                           "AB_VERSIONS gives \"%.100s\" the weight \"%.40s\"; "
                           "it must be a number or \"shadow\"",
                           text, equals + 1);
    }
    config.model_version = none;
    rc = model_version_open(&config, text, "", &version, err);
    if (rc)
        return err_wrap(err, "AB_VERSIONS");
    arm->name = model_version_name(version);
    registry_put(app->registry, arms->count, version);
    arms->count++;
    return 0;
}

static int restore_arm(void *user, const struct store_ab_total *total,
                       struct err *err)
{
    struct rollout_total sum = {
        total->request_count,  total->error_count,   total->confidence_sum,
        total->feedback_count, total->correct_count,
    };

    (void)err;
    (void)rollout_restore(user, total->model_version, &sum);
    return 0;
}

/* Goes on where the last run ended, when the database answers now. */
static void restore(struct app *app)
{
    struct store *store = NULL;
    struct err err = {0};
    int rc;

    if (app->database == NULL)
        return;
    rc = database_reach(app->database, &store, &err);
    if (rc == 0)
        rc = store_scan_ab(store, 0, restore_arm, app->rollout, &err);
    if (rc)
        log_write(LOG_WARN, "the comparison of versions begins anew",
                  log_text("why", err.text));
    /* An arm that was taken out before the restart is taken out again. */
    (void)rollout_verdict(app->rollout);
}

static int open_arms(struct app *app, struct err *err)
{
    const struct config *config = app->config;
    struct model_version *control = registry_acquire(app->registry, 0);
    struct arms arms = {
        .options = {.arms = {{model_version_name(control), 1, true, false}},
                    .seed = (uint64_t)clock_wall_ms(),
                    .sample_min = config->ab_sample_min,
                    .alpha = 0.05,
                    .margin = 0.01,
                    .is_auto_rollback = config->is_ab_auto_rollback,
                    .recent_max = RECENT_MAX},
        .count = 1,
    };
    char *list = mem_text(config->ab_versions), *rest = list, *text;
    int rc = 0;

    while (rc == 0 && (text = strsep(&rest, ",")) != NULL)
        if (text[0] != '\0')
            rc = add_arm(app, text, &arms, err);
    arms.options.arm_count = arms.count;
    if (rc == 0)
        rc = rollout_new(&arms.options, &app->rollout, err);
    if (rc == 0)
        rc = work_new("shadow", SHADOW_THREADS, SHADOW_WAITING_MAX,
                      &app->shadow_pool, err);
    if (rc == 0)
        restore(app);
    mem_free(list);
    model_version_release(control);
    return rc;
}

static void add_row(const struct app *app, int arm)
{
    struct model_version *version = registry_acquire(app->registry, arm);

    if (version != NULL)
        model_row_begin(app, version);
    model_version_release(version);
}

int backends_open(struct app *app, struct err *err)
{
    struct trace_options traces = {app->config->trace_endpoint,
                                   app->config->trace_service,
                                   app->config->trace_ratio};
    int i, rc;

    rc = trace_open(&traces, err);
    if (rc == 0)
        rc = stored_open(app->config, NULL, &app->blob, err);
    if (rc == 0)
        rc = open_database(app, err);
    if (rc == 0)
        rc = open_cache(app, err);
    if (rc == 0)
        rc = checks_open(app->config, &app->checks, err);
    if (rc == 0 && app->config->ab_versions[0] != '\0')
        rc = open_arms(app, err);
    if (rc == 0)
        rc = work_new("background", 1, BACKGROUND_MAX, &app->background, err);
    for (i = 0; rc == 0 && i < REGISTRY_ARMS_MAX; i++)
        add_row(app, i);
    if (rc == 0 && app->items != NULL)
        items_wait(app->items,
                   clock_us() + (int64_t)(app->config->store_timeout_s * 1e6));
    return rc;
}

void backends_close(struct app *app)
{
    /* Who adds rows, then the writer, and only then those who may be waiting
     * for the database to open: the rows are safe by then. */
    work_free(app->shadow_pool);
    writer_free(app->writer);
    work_free(app->background);
    items_free(app->items);
    database_free(app->database);
    cache_free(app->cache);
    flight_free(app->flight);
    checks_close(app->checks);
    blob_close(app->blob);
    rollout_free(app->rollout);
    trace_close();
    app->background = NULL;
    app->shadow_pool = NULL;
    app->items = NULL;
    app->writer = NULL;
    app->database = NULL;
    app->cache = NULL;
    app->flight = NULL;
    app->checks = NULL;
    app->blob = NULL;
    app->rollout = NULL;
}
