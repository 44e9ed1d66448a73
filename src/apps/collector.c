/* SPDX-License-Identifier: Apache-2.0 */
#include "apps/collector.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "apps/answer_json.h"
#include "apps/app.h"
#include "apps/classify.h"
#include "apps/collection.h"
#include "base/clock.h"
#include "base/json.h"
#include "obs/metrics.h"

enum { SIMILARITY_K_PRESET = 5 };

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

bool collector_is_image(const struct http_part *part)
{
    static const char *const names[] = {"image", "file", "images", "images[]"};
    size_t i;

    for (i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(part->name, names[i]) == 0)
            return true;
    return false;
}

int collector_flag(const struct http_request *request, const char *name,
                   bool preset, bool *out, struct err *err)
{
    const char *text = http_argument(request, name);

    if (text == NULL)
        *out = preset;
    else if (strcmp(text, "1") == 0 || strcasecmp(text, "true") == 0)
        *out = true;
    else if (strcmp(text, "0") == 0 || strcasecmp(text, "false") == 0)
        *out = false;
    else
        return err_set(err, ERR_INVALID,
                       "%s is \"%.40s\"; it must be 1, 0, true or false", name,
                       text);
    return 0;
}

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* A JSON body names an image in the blob store. */
static int find_stored(const struct http_request *request, struct err *err)
{
    struct json_value *document = NULL;
    const char *path = NULL;
    int rc;

    rc = json_parse(request->body, &document, err);
    if (rc)
        return rc;
    rc = json_take_text(document, "image_path", &path, err);
    if (rc == 0 && path == NULL)
        rc = json_take_text(document, "imagen_path", &path, err);
    if (rc == 0 && path == NULL)
        rc = err_set(err, ERR_INVALID,
                     "the JSON body has no \"image_path\"; an image may also "
                     "be sent as multipart/form-data or as the body itself");
    else if (rc == 0)
        rc = err_set(err, ERR_UNSUPPORTED,
                     "image_path is \"%.100s\", but no blob store is "
                     "configured; send the image itself",
                     path);
    json_free(document);
    return rc;
}

/* The bytes of the one image of a request, in any of its forms. */
static int find_image(const struct http_request *request, struct bytes *out,
                      struct err *err)
{
    int i;

    if (request->body.len == 0)
        return err_set(err, ERR_INVALID,
                       "the body has 0 bytes; send an image as "
                       "multipart/form-data field \"image\" or \"file\"");
    if (strcmp(request->content_type, "application/json") == 0)
        return find_stored(request, err);
    if (starts_with(request->content_type, "image/") ||
        request->content_type[0] == '\0' ||
        strcmp(request->content_type, "application/octet-stream") == 0) {
        *out = request->body;
        return 0;
    }
    if (strcmp(request->content_type, "multipart/form-data") != 0 &&
        strcmp(request->content_type, "application/x-www-form-urlencoded") != 0)
        return err_set(err, ERR_MEDIA_TYPE,
                       "Content-Type is \"%.60s\"; it must be "
                       "multipart/form-data, image/* or application/json",
                       request->content_type);
    for (i = 0; i < request->part_count; i++)
        if (collector_is_image(&request->parts[i])) {
            *out = request->parts[i].data;
            return 0;
        }
    if (request->part_count == 0)
        return err_set(err, ERR_INVALID,
                       "the form has no field; \"image\" or \"file\" must hold "
                       "an image");
    return err_set(err, ERR_INVALID,
                   "the form has no field \"image\" or \"file\"; its first of "
                   "%d is \"%.60s\"",
                   request->part_count, request->parts[0].name);
}

static int read_options(const struct app *app,
                        const struct http_request *request,
                        struct classify_options *out, bool *with_embedding,
                        struct err *err)
{
    const struct config *config = app->config;
    int64_t classes = app->bundle->class_count, top_k, similar_k;
    bool is_similar = true;
    int rc;

    rc = http_argument_integer(
        request, "top_k", 1, classes,
        config->top_k < classes ? config->top_k : classes, &top_k, err);
    if (rc == 0)
        rc = http_argument_integer(request, "k", 1, FLAT_K_MAX,
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

static int classify(struct app *app, struct http_request *request,
                    struct http_reply *reply, struct err *err)
{
    struct classify_options options;
    struct answer_style style = {
        .similar_min = (float)app->config->similarity_min,
        .request_id = request->id,
    };
    struct json_writer json;
    struct answer answer;
    struct bytes file;
    int64_t begin_us;
    int rc;

    rc = find_image(request, &file, err);
    if (rc == 0)
        rc = read_options(app, request, &options, &style.with_embedding, err);
    if (rc == 0)
        rc = classify_image(app, file, &options, request->arena, &answer, err);
    if (rc)
        return rc;
    begin_us = clock_us();
    json_writer_init(&json, &reply->body);
    answer_write(&json, &answer, &style);
    metrics_observe(METRIC_PHASE_SECONDS, "serialise", NULL,
                    (double)(clock_us() - begin_us) / 1e6);
    return 0;
}

/* The arguments of a similarity search. */
struct similarity {
    const float *embedding;
    int len;
    int64_t k;
    double threshold;
};

static int read_vector(const struct json_value *list, struct arena *arena,
                       struct similarity *out, struct err *err)
{
    size_t i, count = json_count(list);
    float *vector;
    double value;

    if (list == NULL || json_type(list) != JSON_IS_ARRAY)
        return err_set(err, ERR_INVALID,
                       "the JSON body has no list \"embedding\"");
    if (count < 1 || count > FLAT_DIM_MAX)
        return err_set(err, ERR_INVALID,
                       "embedding has %zu values; it must have 1..%d", count,
                       FLAT_DIM_MAX);
    vector = arena_try(arena, count, sizeof *vector);
    if (vector == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for %zu values", count);
    for (i = 0; i < count; i++) {
        if (!json_number(json_at(list, i), &value) || !isfinite((float)value))
            return err_set(err, ERR_INVALID,
                           "embedding[%zu] is no finite float32 number", i);
        vector[i] = (float)value;
    }
    out->embedding = vector;
    out->len = (int)count;
    return 0;
}

static int read_json_query(struct http_request *request, struct similarity *out,
                           struct err *err)
{
    struct json_value *document = NULL;
    int rc;

    rc = json_parse(request->body, &document, err);
    if (rc)
        return rc;
    rc =
        read_vector(json_find(document, "embedding"), request->arena, out, err);
    if (rc == 0)
        rc = json_take_integer(document, "k", 1, FLAT_K_MAX, &out->k, err);
    if (rc == 0)
        rc =
            json_take_number(document, "threshold", 0, 1, &out->threshold, err);
    json_free(document);
    return rc;
}

static int read_threshold(const struct http_request *request, double *out,
                          struct err *err)
{
    const char *text = http_argument(request, "threshold");
    char *end;
    double value;

    if (text == NULL)
        return 0;
    value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= 0 && value <= 1))
        return err_set(err, ERR_INVALID,
                       "threshold is \"%.40s\"; it must be a number from 0 to "
                       "1",
                       text);
    *out = value;
    return 0;
}

/* An image instead of a vector: its embedding is computed first. */
static int read_image_query(struct app *app, struct http_request *request,
                            struct similarity *out, struct err *err)
{
    struct classify_options options = {1, 0, request->deadline_us};
    struct answer answer;
    struct bytes file;
    int rc;

    rc = find_image(request, &file, err);
    if (rc == 0)
        rc = http_argument_integer(request, "k", 1, FLAT_K_MAX, out->k, &out->k,
                                   err);
    if (rc == 0)
        rc = read_threshold(request, &out->threshold, err);
    if (rc == 0)
        rc = classify_image(app, file, &options, request->arena, &answer, err);
    if (rc)
        return rc;
    if (answer.embedding == NULL)
        return err_set(err, ERR_UNPROCESSABLE,
                       "model \"%s\" gives no embedding",
                       app->bundle->metadata.name);
    out->embedding = answer.embedding;
    out->len = app->bundle->embedding_len;
    return 0;
}

static int similarity(struct app *app, struct http_request *request,
                      struct http_reply *reply, struct err *err)
{
    struct similarity query = {.k = SIMILARITY_K_PRESET,
                               .threshold = app->config->similarity_min};
    struct flat_hit *hits = NULL;
    struct json_writer json;
    int64_t begin_us, search_us;
    int count = 0, rc;

    rc = strcmp(request->content_type, "application/json") == 0
             ? read_json_query(request, &query, err)
             : read_image_query(app, request, &query, err);
    if (rc)
        return rc;
    if (query.len != app->bundle->embedding_len)
        return err_set(err, ERR_INVALID,
                       "embedding has %d values; the model's has %d", query.len,
                       app->bundle->embedding_len);
    begin_us = clock_us();
    rc = classify_search(app, query.embedding, query.len, (int)query.k,
                         request->arena, &hits, &count, err);
    if (rc)
        return rc;
    search_us = clock_us() - begin_us;
    metrics_observe(METRIC_PHASE_SECONDS, "search", NULL,
                    (double)search_us / 1e6);
    json_writer_init(&json, &reply->body);
    json_object_begin(&json);
    count = answer_write_similar(&json, hits, count, query.threshold);
    json_key(&json, "search_time_ms");
    json_put_fixed(&json, (double)search_us / 1000, 3);
    json_key(&json, "total_found");
    json_put_integer(&json, count);
    json_key(&json, "index_type");
    json_put_text(&json, "Flat");
    json_key(&json, "exact");
    json_put_bool(&json, true);
    json_object_end(&json);
    return 0;
}

static int write_status(struct json_writer *json, const struct app *app,
                        struct err *err)
{
    const struct bundle *bundle = app->bundle;
    const struct metadata *metadata = &bundle->metadata;
    struct flat_info info = {0};
    struct flat *index = NULL;
    char loaded[CLOCK_TEXT_LEN];
    int rc;

    rc = collection_get(app->collection, &index, err);
    if (rc)
        return rc;
    if (index != NULL)
        flat_info(index, &info);
    clock_format(bundle->loaded_ms, loaded);
    json_object_begin(json);
    json_key(json, "model_version");
    json_put_text(json, metadata->version);
    json_key(json, "status");
    json_put_text(json, "loaded");
    json_key(json, "accuracy");
    json_put_double(json, metadata->accuracy);
    json_key(json, "total_classes");
    json_put_integer(json, bundle->class_count);
    json_key(json, "input_shape");
    json_array_begin(json);
    json_put_integer(json, metadata->transform.height_px);
    json_put_integer(json, metadata->transform.width_px);
    json_put_integer(json, 3);
    json_array_end(json);
    json_key(json, "faiss_index_size");
    json_put_integer(json, info.count);
    json_key(json, "index_type");
    json_put_text(json, "Flat");
    json_key(json, "last_updated");
    json_put_text(json, loaded);
    json_key(json, "model_path");
    json_put_text(json, bundle->file);
    json_key(json, "backend");
    json_put_text(json, engine_version());
    json_key(json, "instances_ready");
    json_put_integer(json, app->worker_count);
    json_object_end(json);
    return 0;
}

static int model_status(struct app *app, struct http_request *request,
                        struct http_reply *reply, struct err *err)
{
    struct json_writer json;

    (void)request;
    json_writer_init(&json, &reply->body);
    return write_status(&json, app, err);
}

static int model_classes(struct app *app, struct http_request *request,
                         struct http_reply *reply, struct err *err)
{
    const struct bundle *bundle = app->bundle;
    struct json_writer json;
    int i;

    (void)request;
    (void)err;
    json_writer_init(&json, &reply->body);
    json_object_begin(&json);
    json_key(&json, "total_classes");
    json_put_integer(&json, bundle->class_count);
    json_key(&json, "classes");
    json_array_begin(&json);
    for (i = 0; i < bundle->class_count; i++) {
        json_object_begin(&json);
        json_key(&json, "id");
        json_put_integer(&json, i);
        json_key(&json, "name");
        json_put_text(&json, bundle->labels.names[i]);
        json_object_end(&json);
    }
    json_array_end(&json);
    json_key(&json, "model_version");
    json_put_text(&json, bundle->metadata.version);
    json_object_end(&json);
    return 0;
}

/* clang-format off */
static const struct http_route routes[] = {
    {"POST", "/api/classify", SCOPE_READ, BODY_IMAGE, classify,
     "Classify one image; similar images come along when there is an index.", false},
    {"POST", "/api/classify/batch", SCOPE_READ, BODY_BATCH, collector_batch,
     "Classify several images.", false},
    {"POST", "/api/classify/similarity", SCOPE_READ, BODY_IMAGE, similarity,
     "Find the indexed images nearest to an embedding or an image.", false},
    {"GET", "/api/model/status", SCOPE_READ, BODY_NONE, model_status,
     "What model serves, and its index.", false},
    {"GET", "/api/model/classes", SCOPE_READ, BODY_NONE, model_classes,
     "The classes of the model.", false},
};
/* clang-format on */

const struct http_api collector_api = {
    "collector", routes, sizeof routes / sizeof routes[0], collector_error};
