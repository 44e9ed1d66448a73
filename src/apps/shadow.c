/* SPDX-License-Identifier: Apache-2.0 */
/* A job owns its copy of the image and its hold on the version from the moment
 * it is queued until it has run; the pool calls it exactly once. */
#include "apps/shadow.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "apps/answer_json.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/work.h"
#include "obs/metrics.h"

enum { ARENA_LEN_MAX = 64 << 20, NAME_LEN_MAX = 256 };

struct shadow {
    struct work_job job; /* first: the pool gives it back */
    const struct app *app;
    struct model_version *version; /* held */
    int arm;
    struct classify_options options;
    char request_id[HTTP_ID_MAX + 1];
    char served[NAME_LEN_MAX]; /* the class that was answered */
    size_t len;
    uint8_t *file; /* owned */
};

/* Bytes of images that wait. Relaxed: only a bound, checked by who adds. */
static _Atomic size_t waiting_len;

static void shadow_free(struct shadow *shadow)
{
    atomic_fetch_sub_explicit(&waiting_len, shadow->len, memory_order_relaxed);
    model_version_release(shadow->version);
    mem_free(shadow->file);
    mem_free(shadow);
}

static void run(struct work_job *job, enum work_outcome outcome)
{
    struct shadow *shadow = (struct shadow *)job;
    struct arena *arena = arena_new(ARENA_LEN_MAX);
    struct record record = {.request_id = shadow->request_id, .image_path = ""};
    int64_t begin_us = clock_us();
    struct answer answer;
    struct err err = {0};
    int rc = -1;

    if (outcome == WORK_RUN)
        rc = classify_image(shadow->app, shadow->version,
                            (struct bytes){shadow->file, shadow->len},
                            &shadow->options, arena, &answer, &err);
    record.latency_us = clock_us() - begin_us;
    if (rc == 0)
        record_shadow(shadow->app, shadow->version, shadow->arm, &record,
                      &answer,
                      strcmp(answer_class(&answer), shadow->served) == 0);
    else if (outcome == WORK_RUN)
        record_shadow(shadow->app, shadow->version, shadow->arm, &record, NULL,
                      false);
    arena_free(arena);
    shadow_free(shadow);
}

static struct shadow *shadow_new(const struct app *app, const struct pick *pick,
                                 const struct record *record,
                                 const struct answer *served,
                                 const struct classify_options *options,
                                 struct bytes file)
{
    struct shadow *shadow = mem_new(sizeof *shadow);
    int class_count;

    shadow->job.run = run;
    shadow->app = app;
    shadow->arm = pick->shadow_arm;
    shadow->version = registry_acquire(app->registry, pick->shadow_arm);
    shadow->options = *options;
    shadow->options.similar_k = 0;
    shadow->options.deadline_us = 0;
    shadow->options.request_id = NULL;
    if (shadow->version != NULL) {
        class_count = shadow->version->bundle->class_count;
        if (shadow->options.top_k > class_count)
            shadow->options.top_k = class_count;
    }
    snprintf(shadow->request_id, sizeof shadow->request_id, "%s",
             record->request_id);
    snprintf(shadow->served, sizeof shadow->served, "%s", answer_class(served));
    shadow->len = file.len;
    atomic_fetch_add_explicit(&waiting_len, file.len, memory_order_relaxed);
    shadow->file = mem_try(file.len, 1);
    if (shadow->file == NULL || shadow->version == NULL) {
        shadow_free(shadow);
        return NULL;
    }
    memcpy(shadow->file, file.data, file.len);
    return shadow;
}

void shadow_begin(const struct app *app, const struct pick *pick,
                  const struct record *record, const struct answer *served,
                  const struct classify_options *options, struct bytes file)
{
    struct shadow *shadow = NULL;
    struct err err = {0};

    if (pick->shadow_arm < 0 || app->shadow_pool == NULL)
        return;
    if (atomic_load_explicit(&waiting_len, memory_order_relaxed) + file.len <=
        SHADOW_LEN_MAX)
        shadow = shadow_new(app, pick, record, served, options, file);
    if (shadow != NULL && work_add(app->shadow_pool, &shadow->job, &err) == 0)
        return;
    if (shadow != NULL)
        shadow_free(shadow);
    metrics_add(METRIC_SHADOW_SKIPPED, NULL, NULL, 1);
}
