/* SPDX-License-Identifier: Apache-2.0 */
#include "apps/ab.h"

#include <string.h>

#include "apps/ab_json.h"
#include "apps/app.h"
#include "apps/collector.h"
#include "apps/database.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/url.h"
#include "models/rollout.h"
#include "store/writer.h"

/* A request that was answered just now may still be on its way to the
 * database; feedback waits for it that long. */
enum { FLUSH_MAX_US = 500000, CLASS_LEN_MAX = 400 };

static int show(struct app *app, struct http_request *request,
                struct http_reply *reply, struct err *err)
{
    struct rollout_report report = {
        .advice = ROLLOUT_KEEP,
        .advice_arm = -1,
        .reason = "one version answers all requests; AB_VERSIONS names others "
                  "to compare it with",
    };
    struct json_writer json;

    (void)request;
    (void)err;
    if (app->rollout != NULL)
        rollout_report(app->rollout, &report);
    json_writer_init(&json, &reply->body);
    ab_write_report(&json, &report);
    return 0;
}

/* What a person says an image shows. Texts are borrowed from the document. */
struct feedback {
    const char *request_id;
    const char *class_name;
};

static int take(const struct json_value *document, const char *key,
                size_t len_max, const char **out, struct err *err)
{
    int rc = json_take_text(document, key, out, err);
    size_t len;

    if (rc)
        return rc;
    len = *out != NULL ? strlen(*out) : 0;
    if (len == 0 || len > len_max || !url_is_clean_text(*out, len))
        return err_set(err, ERR_INVALID,
                       "%s has %zu bytes; it must be a text of 1..%zu", key,
                       len, len_max);
    return 0;
}

static int take_feedback(const struct json_value *document,
                         struct feedback *out, struct err *err)
{
    int rc;

    if (json_type(document) != JSON_IS_OBJECT)
        return err_set(err, ERR_INVALID,
                       "the body must be a JSON object with \"request_id\" and "
                       "\"classe\"");
    rc = take(document, "request_id", HTTP_ID_MAX, &out->request_id, err);
    return rc ? rc
              : take(document, "classe", CLASS_LEN_MAX, &out->class_name, err);
}

static int find_stored(struct app *app, const char *request_id,
                       struct store_answer *out, struct err *err)
{
    struct store *store = NULL;
    int rc;

    if (app->database == NULL)
        return err_set(err, ERR_NOT_FOUND,
                       "request \"%s\" is not among those remembered",
                       request_id);
    rc = database_get(app->database, &store, err);
    if (rc)
        return rc;
    rc = store_find_answer(store, request_id, out, err);
    if (rc != ERR_NOT_FOUND || app->writer == NULL ||
        !writer_flush(app->writer, clock_us() + FLUSH_MAX_US))
        return rc;
    *err = (struct err){0};
    return store_find_answer(store, request_id, out, err);
}

/* An answer that only the database still has is remembered again, so that
 * feedback that comes twice counts once. */
static int judge_stored(struct app *app, const struct feedback *feedback,
                        struct rollout_judgement *out, struct err *err)
{
    struct store_answer answer;
    int rc, arm;

    rc = find_stored(app, feedback->request_id, &answer, err);
    if (rc)
        return rc;
    arm = app->rollout != NULL
              ? rollout_find(app->rollout, answer.model_version)
              : -1;
    if (arm >= 0)
        rollout_remember(app->rollout, feedback->request_id, arm,
                         answer.class_name);
    if (arm >= 0 && rollout_judge(app->rollout, feedback->request_id,
                                  feedback->class_name, out))
        return 0;
    *out = (struct rollout_judgement){
        .arm = -1,
        .is_correct = strcmp(answer.class_name, feedback->class_name) == 0,
    };
    memcpy(out->predicted, answer.class_name,
           strnlen(answer.class_name, sizeof out->predicted - 1));
    return 0;
}

/* 200 says that it is in the database; 202 that it waits for it. */
static int keep(struct app *app, const struct feedback *feedback,
                bool *out_is_kept, struct err *err)
{
    struct store_row row = {
        .table = STORE_FEEDBACK,
        .created_ms = clock_wall_ms(),
        .as.feedback = {feedback->request_id, feedback->class_name},
    };

    *out_is_kept = true;
    if (app->writer == NULL)
        return 0;
    if (!writer_add(app->writer, &row))
        return err_set(err, ERR_UNAVAILABLE,
                       "the feedback cannot be kept now: the queue of rows for "
                       "the database is full");
    *out_is_kept = writer_flush(app->writer, clock_us() + FLUSH_MAX_US);
    return 0;
}

static void write_judgement(struct http_reply *reply,
                            const struct feedback *feedback,
                            const struct rollout_judgement *judgement)
{
    struct json_writer json;

    json_writer_init(&json, &reply->body);
    json_object_begin(&json);
    json_key(&json, "status");
    json_put_text(&json, "ok");
    json_key(&json, "request_id");
    json_put_text(&json, feedback->request_id);
    json_key(&json, "classe");
    json_put_text(&json, feedback->class_name);
    json_key(&json, "predicted");
    json_put_text(&json, judgement->predicted);
    json_key(&json, "correct");
    json_put_bool(&json, judgement->is_correct);
    json_object_end(&json);
}

static int give_feedback(struct app *app, struct http_request *request,
                         struct http_reply *reply, struct err *err)
{
    struct json_value *document = NULL;
    struct rollout_judgement judgement;
    struct feedback feedback = {NULL, NULL};
    bool is_kept = true;
    int rc;

    rc = json_parse(request->body, &document, err);
    if (rc == 0)
        rc = take_feedback(document, &feedback, err);
    if (rc)
        goto out;
    if (app->rollout == NULL ||
        !rollout_judge(app->rollout, feedback.request_id, feedback.class_name,
                       &judgement))
        rc = judge_stored(app, &feedback, &judgement, err);
    if (rc == 0)
        rc = keep(app, &feedback, &is_kept, err);
    if (rc == 0) {
        reply->status = is_kept ? 200 : 202;
        write_judgement(reply, &feedback, &judgement);
    }
out:
    json_free(document);
    return rc;
}

/* clang-format off */
static const struct http_route routes[] = {
    {"GET", "/api/ab", SCOPE_READ, BODY_NONE, show, "How the versions that serve compare.", false},
    {"POST", "/api/feedback", SCOPE_WRITE, BODY_SMALL, give_feedback, "Say what an image that was classified shows.", false},
};
/* clang-format on */

const struct http_api ab_api = {"ab", routes, sizeof routes / sizeof routes[0],
                                collector_error};
