/* SPDX-License-Identifier: Apache-2.0 */
#include "apps/collector.h"

#include "apps/answer_json.h"
#include "apps/classify.h"
#include "apps/collector_input.h"
#include "apps/pick.h"
#include "apps/record.h"
#include "apps/shadow.h"
#include "base/clock.h"
#include "obs/trace.h"

void collector_error(const struct http_request *request, const struct err *err,
                     struct http_reply *reply)
{
    struct json_writer json;

    json_writer_init(&json, &reply->body);
    json_object_begin(&json);
    json_key(&json, "erro");
    json_put_text(&json, err->text);
    json_key(&json, "error");
    json_put_text(&json, err->text);
    json_key(&json, "request_id");
    json_put_text(&json, request->id);
    json_object_end(&json);
}

static int read_options(const struct app *app,
                        const struct model_version *version,
                        const struct http_request *request,
                        struct classify_options *out, bool *with_embedding,
                        struct err *err)
{
    const struct config *config = app->config;
    int64_t classes = version->bundle->class_count, top_k, similar_k;
    bool is_similar = true;
    int rc;

    rc = http_argument_integer(
        request, "top_k", 1, classes,
        config->top_k < classes ? config->top_k : classes, &top_k, err);
    if (rc == 0)
        rc = http_argument_integer(request, "k", 1, COLLECTION_K_MAX,
                                   config->similar_k, &similar_k, err);
    if (rc == 0)
        rc = collector_flag(request, "similar", true, &is_similar, err);
    if (rc == 0)
        rc = collector_flag(request, "embedding", true, with_embedding, err);
    if (rc)
        return rc;
    out->top_k = (int)top_k;
    out->similar_k = is_similar ? (int)similar_k : 0;
    out->deadline_us = request->deadline_us;
    return 0;
}

static void write_answer(const struct app *app, struct http_reply *reply,
                         const struct answer *answer,
                         struct answer_style *style)
{
    int64_t begin_us = clock_us();
    struct json_writer json;

    style->items = answer_items_begin(app);
    json_writer_init(&json, &reply->body);
    answer_write(&json, answer, style);
    answer_items_end(&style->items);
    trace_phase("serialise", begin_us, clock_us());
}

static int answer_image(struct app *app, struct http_request *request,
                        const struct pick *pick,
                        const struct collector_image *image,
                        struct http_reply *reply, struct err *err)
{
    struct classify_options options = {.wants_sha256 = app->writer != NULL,
                                       .request_id = request->id};
    struct answer_style style = {
        .similar_min = (float)app->config->similarity_min,
        .request_id = request->id,
    };
    struct record record;
    struct answer answer;
    int64_t begin_us;
    int rc;

    rc = read_options(app, pick->version, request, &options,
                      &style.with_embedding, err);
    if (rc == 0)
        rc = classify_image(app, pick->version, image->file, &options,
                            request->arena, &answer, err);
    if (rc)
        return rc;
    write_answer(app, reply, &answer, &style);
    begin_us = clock_us();
    record = record_of(request, image->path);
    record_answer(app, pick, &record, &answer);
    trace_phase("database", begin_us, clock_us());
    shadow_begin(app, pick, &record, &answer, &options, image->file);
    return 0;
}

static int classify(struct app *app, struct http_request *request,
                    struct http_reply *reply, struct err *err)
{
    struct collector_image image;
    struct record record;
    struct pick pick;
    int rc;

    pick_begin(app, request, &pick);
    rc = collector_find_image(app, request, &image, err);
    if (rc == 0)
        rc = answer_image(app, request, &pick, &image, reply, err);
    if (rc) {
        record = record_of(request, image.path);
        record_failure(app, &pick, &record, err);
    }
    collector_image_release(&image);
    pick_end(&pick);
    return rc;
}

/* clang-format off */
static const struct http_route routes[] = {
    {"POST", "/api/classify", SCOPE_READ, BODY_IMAGE, classify,
     "Classify one image; similar images come along when there is an index.", false},
    {"POST", "/api/classify/batch", SCOPE_READ, BODY_BATCH, collector_batch,
     "Classify several images.", false},
    {"POST", "/api/classify/similarity", SCOPE_READ, BODY_IMAGE, collector_similarity,
     "Find the indexed images nearest to an embedding or an image.", false},
    {"GET", "/api/model/status", SCOPE_READ, BODY_NONE, collector_model_status,
     "What model serves, and its index.", false},
    {"GET", "/api/model/classes", SCOPE_READ, BODY_NONE, collector_model_classes,
     "The classes of the model.", false},
    {"POST", "/api/model/update", SCOPE_ADMIN, BODY_SMALL, collector_model_update,
     "Load another version of the model and put it in the place of this one.", false},
};
/* clang-format on */

const struct http_api collector_api = {
    "collector", routes, sizeof routes / sizeof routes[0], collector_error};
