/* SPDX-License-Identifier: Apache-2.0 */
#include "apps/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/answer_json.h"
#include "base/clock.h"
#include "base/log.h"
#include "models/rollout.h"
#include "obs/metrics.h"
#include "store/writer.h"

enum { TOP_LEN_MAX = 64 << 10, PATH_COLUMN_LEN = 255 };

struct record record_of(const struct http_request *request,
                        const char *image_path)
{
    struct record record = {
        .request_id = request->id,
        .image_path = image_path,
        .latency_us = clock_us() - request->received_us,
    };
    const char *user = http_argument(request, "user_id");
    char *end;

    if (user != NULL && user[0] != '\0') {
        record.user_id = strtoll(user, &end, 10);
        /* The column is a 32-bit number. */
        if (*end != '\0' || record.user_id < 0 || record.user_id > INT32_MAX)
            record.user_id = 0;
    }
    return record;
}

static int ms(int64_t us)
{
    return (int)((us + 500) / 1000);
}

static void add(const struct app *app, const struct store_row *row)
{
    if (app->writer != NULL)
        (void)writer_add(app->writer, row);
}

static void add_prediction(const struct app *app, const struct pick *pick,
                           const struct record *record,
                           const struct answer *answer, int64_t now_ms)
{
    const struct bundle *bundle = pick->version->bundle;
    char path[PATH_COLUMN_LEN + 1];
    struct store_row row = {.table = STORE_PREDICTIONS, .created_ms = now_ms};

    if (record->image_path[0] != '\0')
        snprintf(path, sizeof path, "%s", record->image_path);
    else
        snprintf(path, sizeof path, "sha256:%s", answer->sha256);
    row.as.prediction = (struct store_prediction){
        .image_path = path,
        .class_name = answer_class(answer),
        .class_id = answer->is_undefined ? -1 : answer->top[0].id,
        .confidence = answer->is_undefined ? 0 : answer->top[0].score,
        .embedding = app->stores_embeddings ? answer->embedding : NULL,
        .embedding_len = bundle->embedding_len,
        .inference_ms = ms(answer->times.inference_us),
        .model_version = model_version_name(pick->version),
        .item_id = record->item_id,
    };
    add(app, &row);
}

static void add_log(const struct app *app, const struct pick *pick,
                    const struct record *record, const struct answer *answer,
                    int64_t now_ms)
{
    struct store_row row = {.table = STORE_LOGS, .created_ms = now_ms};
    struct json_writer json;
    struct buf top;
    struct err ignored = {0};

    buf_init(&top, TOP_LEN_MAX);
    json_writer_init(&json, &top);
    answer_write_top(&json, answer);
    row.as.log = (struct store_log){
        .request_id = record->request_id,
        .image_hash = answer->sha256,
        .class_name = answer_class(answer),
        .confidence = answer->is_undefined ? 0 : answer->top[0].score,
        .top_k_json = buf_check(&top, &ignored) == 0 ? top.data : NULL,
        .inference_ms = ms(answer->times.inference_us),
        .model_version = model_version_name(pick->version),
        .user_id = record->user_id,
        .status = "success",
    };
    add(app, &row);
    buf_release(&top);
}

static void add_ab(const struct app *app, const char *version,
                   const struct record *record, const char *prediction,
                   double confidence, const char *status)
{
    struct store_row row = {.table = STORE_AB, .created_ms = clock_wall_ms()};

    row.as.ab = (struct store_ab){
        .request_id = record->request_id,
        .model_version = version,
        .prediction = prediction,
        .confidence = confidence,
        .latency_ms = (double)record->latency_us / 1000,
        .status = status,
    };
    add(app, &row);
}

/* Takes the worse version out when AB_AUTO_ROLLBACK says so; one caller gets
 * to tell of it. */
static void watch(const struct app *app)
{
    struct rollout_report report;
    int arm = rollout_verdict(app->rollout);

    if (arm < 0)
        return;
    rollout_report(app->rollout, &report);
    metrics_add(METRIC_ROLLBACKS, report.arms[arm].name, NULL, 1);
    log_write(LOG_ERROR, "a version is taken out",
              log_text("version", report.arms[arm].name),
              log_text("why", report.arms[arm].reason));
}

void record_answer(const struct app *app, const struct pick *pick,
                   const struct record *record, const struct answer *answer)
{
    const char *name = model_version_name(pick->version);
    int64_t now_ms = clock_wall_ms();
    struct rollout_outcome outcome = {
        .latency_us = record->latency_us,
        .confidence = answer->top[0].score,
        .agreed = -1,
    };

    if (app->writer != NULL) {
        add_prediction(app, pick, record, answer, now_ms);
        add_log(app, pick, record, answer, now_ms);
    }
    if (app->rollout == NULL)
        return;
    rollout_remember(app->rollout, record->request_id, pick->arm,
                     answer_class(answer));
    rollout_record(app->rollout, pick->arm, &outcome);
    add_ab(app, name, record, answer_class(answer), outcome.confidence,
           "success");
    watch(app);
}

void record_failure(const struct app *app, const struct pick *pick,
                    const struct record *record, const struct err *err)
{
    const char *name = model_version_name(pick->version);
    int64_t now_ms = clock_wall_ms();
    struct store_row row = {.table = STORE_LOGS, .created_ms = now_ms};
    struct rollout_outcome outcome = {
        .latency_us = record->latency_us, .is_error = true, .agreed = -1};

    row.as.log = (struct store_log){
        .request_id = record->request_id,
        .inference_ms = ms(record->latency_us),
        .model_version = name,
        .user_id = record->user_id,
        .status = err->code == ERR_TIMEOUT ? "timeout" : "error",
        .error_message = err->text,
    };
    add(app, &row);
    if (app->rollout == NULL || err_http(err->code) < 500)
        return;
    rollout_record(app->rollout, pick->arm, &outcome);
    add_ab(app, name, record, NULL, 0, "error");
    watch(app);
}

void record_shadow(const struct app *app, const struct model_version *version,
                   int arm, const struct record *record,
                   const struct answer *answer, bool agreed)
{
    struct rollout_outcome outcome = {
        .latency_us = record->latency_us,
        .is_error = answer == NULL,
        .confidence = answer != NULL ? answer->top[0].score : 0,
        .agreed = answer != NULL ? agreed : -1,
    };

    /* Who sees that it is counted may give feedback on it at once. */
    if (answer != NULL)
        rollout_remember(app->rollout, record->request_id, arm,
                         answer_class(answer));
    rollout_record(app->rollout, arm, &outcome);
    add_ab(app, model_version_name(version), record,
           answer != NULL ? answer_class(answer) : NULL, outcome.confidence,
           answer != NULL ? "shadow" : "error");
}
