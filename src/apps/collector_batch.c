/* SPDX-License-Identifier: Apache-2.0 */
/* POST /api/classify/batch. Each image is a job of the batch pool, so that a
 * batch uses every core; the handler waits for all of them.
 *
 * A `struct slot` belongs to the handler until its job is queued, to the pool
 * until the job has counted itself out under the batch's mutex, then to the
 * handler again. Each slot has an arena of its own. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "apps/answer_json.h"
#include "apps/classify.h"
#include "apps/collector.h"
#include "apps/collector_input.h"
#include "apps/pick.h"
#include "apps/record.h"
#include "base/clock.h"
#include "base/work.h"
#include "obs/trace.h"

enum { SLOT_LEN_MAX = 64 << 20 };

struct batch;

struct slot {
    struct work_job job; /* first: the pool gives it back */
    struct batch *batch;
    const struct http_part *part;
    struct arena *arena; /* of the answer */
    struct answer answer;
    struct err err; /* code ERR_OK: the answer stands */
};

struct batch {
    const struct app *app;
    const struct model_version *version;
    struct classify_options options;
    struct slot *slots;
    int count;

    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t done;
    int open_count; /* jobs not yet finished */
};

static void run_slot(struct work_job *job, enum work_outcome outcome)
{
    struct slot *slot = (struct slot *)job;
    struct batch *batch = slot->batch;

    if (outcome == WORK_STOPPED)
        err_set(&slot->err, ERR_UNAVAILABLE, "the server is stopping");
    else if (outcome == WORK_EXPIRED)
        err_set(&slot->err, ERR_TIMEOUT,
                "the deadline passed before the image's turn");
    else if (classify_image(batch->app, batch->version, slot->part->data,
                            &batch->options, slot->arena, &slot->answer,
                            &slot->err) != 0)
        slot->answer.bundle = NULL;
    pthread_mutex_lock(&batch->mutex);
    batch->open_count--;
    if (batch->open_count == 0)
        pthread_cond_signal(&batch->done);
    pthread_mutex_unlock(&batch->mutex);
}

static void finish_unqueued(struct batch *batch)
{
    pthread_mutex_lock(&batch->mutex);
    batch->open_count--;
    pthread_mutex_unlock(&batch->mutex);
}

static void run_all(struct batch *batch)
{
    int i;

    batch->open_count = batch->count;
    for (i = 0; i < batch->count; i++) {
        struct slot *slot = &batch->slots[i];

        slot->job.run = run_slot;
        slot->job.deadline_us = batch->options.deadline_us;
        if (work_add(batch->app->batch_pool, &slot->job, &slot->err) != 0)
            finish_unqueued(batch);
    }
    pthread_mutex_lock(&batch->mutex);
    while (batch->open_count > 0)
        pthread_cond_wait(&batch->done, &batch->mutex);
    pthread_mutex_unlock(&batch->mutex);
}

static int count_images(const struct http_request *request)
{
    int i, count = 0;

    for (i = 0; i < request->part_count; i++)
        count += collector_is_image(&request->parts[i]);
    return count;
}

static int check_request(const struct app *app,
                         const struct http_request *request, int count,
                         struct err *err)
{
    int max = (int)app->config->batch_image_max;

    if (count < 1)
        return err_set(err, ERR_INVALID,
                       "the form has %d fields and none of them is \"images\"",
                       request->part_count);
    if (count > max)
        return err_set(err, ERR_TOO_LARGE,
                       "the batch has %d images; at most %d (BATCH_SIZE) are "
                       "taken",
                       count, max);
    return 0;
}

static int fill(struct batch *batch, struct http_request *request,
                struct err *err)
{
    int i, n = 0;

    batch->slots =
        arena_try(request->arena, (size_t)batch->count, sizeof *batch->slots);
    if (batch->slots == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for %d images",
                       batch->count);
    for (i = 0; i < request->part_count; i++) {
        if (!collector_is_image(&request->parts[i]))
            continue;
        batch->slots[n].batch = batch;
        batch->slots[n].part = &request->parts[i];
        batch->slots[n].arena = arena_new(SLOT_LEN_MAX);
        n++;
    }
    return 0;
}

/* Each image of a batch leaves the rows of a request of its own: the writer
 * puts all of them into one multi-row insert. */
static void record_slot(const struct batch *batch, const struct pick *pick,
                        const struct http_request *request,
                        const struct slot *slot)
{
    const char *name = slot->part->filename;
    struct record record = record_of(request, name != NULL ? name : "");

    if (slot->err.code == ERR_OK)
        record_answer(batch->app, pick, &record, &slot->answer);
    else
        record_failure(batch->app, pick, &record, &slot->err);
}

static void write_slot(struct json_writer *json, const struct slot *slot,
                       int number, bool with_embedding)
{
    char id[16];

    snprintf(id, sizeof id, "%d", number);
    json_object_begin(json);
    json_key(json, "image_id");
    json_put_text(json, id);
    json_key(json, "filename");
    json_put_text(json, slot->part->filename);
    if (slot->err.code == ERR_OK) {
        answer_write_brief(json, &slot->answer, with_embedding);
    } else {
        json_key(json, "erro");
        json_put_text(json, slot->err.text);
        json_key(json, "error");
        json_put_text(json, slot->err.text);
    }
    json_object_end(json);
}

static void write_batch(struct http_reply *reply, const struct batch *batch,
                        bool with_embedding, int64_t begin_us)
{
    int64_t write_us = clock_us();
    struct json_writer json;
    int i;

    json_writer_init(&json, &reply->body);
    json_object_begin(&json);
    json_key(&json, "results");
    json_array_begin(&json);
    for (i = 0; i < batch->count; i++)
        write_slot(&json, &batch->slots[i], i + 1, with_embedding);
    json_array_end(&json);
    json_key(&json, "total_time_ms");
    json_put_fixed(&json, (double)(clock_us() - begin_us) / 1000, 3);
    json_key(&json, "model_version");
    json_put_text(&json, batch->version->bundle->metadata.version);
    json_object_end(&json);
    trace_phase("serialise", write_us, clock_us());
}

int collector_batch(struct app *app, struct http_request *request,
                    struct http_reply *reply, struct err *err)
{
    struct batch batch = {.app = app, .count = count_images(request)};
    struct pick pick;
    int64_t begin_us = clock_us(), top_k = 1;
    bool with_embedding = true;
    int i, rc;

    pick_begin(app, request, &pick);
    batch.version = pick.version;
    rc = check_request(app, request, batch.count, err);
    if (rc == 0)
        rc = http_argument_integer(request, "top_k", 1,
                                   pick.version->bundle->class_count, 1, &top_k,
                                   err);
    if (rc == 0)
        rc = collector_flag(request, "embedding", true, &with_embedding, err);
    if (rc == 0)
        rc = fill(&batch, request, err);
    if (rc)
        goto out;
    batch.options.top_k = (int)top_k;
    batch.options.deadline_us = request->deadline_us;
    batch.options.wants_sha256 = app->writer != NULL;
    batch.options.request_id = request->id;
    pthread_mutex_init(&batch.mutex, NULL);
    pthread_cond_init(&batch.done, NULL);
    run_all(&batch);
    write_batch(reply, &batch, with_embedding, begin_us);
    for (i = 0; i < batch.count; i++)
        record_slot(&batch, &pick, request, &batch.slots[i]);
    pthread_cond_destroy(&batch.done);
    pthread_mutex_destroy(&batch.mutex);
    for (i = 0; i < batch.count; i++)
        arena_free(batch.slots[i].arena);
out:
    pick_end(&pick);
    return rc;
}
