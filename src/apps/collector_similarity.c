/* SPDX-License-Identifier: Apache-2.0 */
/* POST /api/classify/similarity. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "apps/answer_json.h"
#include "apps/classify.h"
#include "apps/collector.h"
#include "apps/collector_input.h"
#include "apps/pick.h"
#include "base/clock.h"
#include "base/json.h"
#include "obs/trace.h"

enum { SIMILARITY_K_PRESET = 5 };

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
    if (count < 1 || count > VEC_DIM_MAX)
        return err_set(err, ERR_INVALID,
                       "embedding has %zu values; it must have 1..%d", count,
                       VEC_DIM_MAX);
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

static int read_json_query(const struct http_request *request,
                           struct similarity *out, struct err *err)
{
    struct json_value *document = NULL;
    int rc;

    rc = json_parse(request->body, &document, err);
    if (rc)
        return rc;
    rc =
        read_vector(json_find(document, "embedding"), request->arena, out, err);
    if (rc == 0)
        rc =
            json_take_integer(document, "k", 1, COLLECTION_K_MAX, &out->k, err);
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
static int read_image_query(const struct app *app,
                            const struct model_version *version,
                            const struct http_request *request,
                            struct similarity *out, struct err *err)
{
    struct classify_options options = {.top_k = 1,
                                       .deadline_us = request->deadline_us};
    struct collector_image image;
    struct answer answer;
    int rc;

    rc = collector_find_image(app, request, &image, err);
    if (rc == 0)
        rc = http_argument_integer(request, "k", 1, COLLECTION_K_MAX, out->k,
                                   &out->k, err);
    if (rc == 0)
        rc = read_threshold(request, &out->threshold, err);
    if (rc == 0)
        rc = classify_image(app, version, image.file, &options, request->arena,
                            &answer, err);
    collector_image_release(&image);
    if (rc)
        return rc;
    if (answer.embedding == NULL)
        return err_set(err, ERR_UNPROCESSABLE,
                       "model \"%s\" gives no embedding",
                       version->bundle->metadata.name);
    out->embedding = answer.embedding;
    out->len = version->bundle->embedding_len;
    return 0;
}

static void write_found(struct http_reply *reply, const struct app *app,
                        const struct similarity *query,
                        const struct neighbours *found, int64_t search_us)
{
    struct answer_items items = answer_items_begin(app);
    struct json_writer json;
    int count;

    json_writer_init(&json, &reply->body);
    json_object_begin(&json);
    count = answer_write_similar(&json, found->list, found->count,
                                 query->threshold, &items);
    answer_items_end(&items);
    json_key(&json, "search_time_ms");
    json_put_fixed(&json, (double)search_us / 1000, 3);
    json_key(&json, "total_found");
    json_put_integer(&json, count);
    json_key(&json, "index_type");
    json_put_text(&json, found->type);
    json_key(&json, "exact");
    json_put_bool(&json, found->is_exact);
    json_object_end(&json);
}

static int search(const struct app *app, const struct model_version *version,
                  const struct http_request *request, struct http_reply *reply,
                  struct err *err)
{
    struct similarity query = {.k = SIMILARITY_K_PRESET,
                               .threshold = app->config->similarity_min};
    struct neighbours found;
    int64_t begin_us, search_us;
    int rc;

    rc = strcmp(request->content_type, "application/json") == 0
             ? read_json_query(request, &query, err)
             : read_image_query(app, version, request, &query, err);
    if (rc)
        return rc;
    if (query.len != version->bundle->embedding_len)
        return err_set(err, ERR_INVALID,
                       "embedding has %d values; the model's has %d", query.len,
                       version->bundle->embedding_len);
    begin_us = clock_us();
    rc = collection_search(version->collection, query.embedding, query.len,
                           (int)query.k, request->arena, &found, err);
    if (rc)
        return rc;
    search_us = clock_us() - begin_us;
    trace_phase("search", begin_us, begin_us + search_us);
    write_found(reply, app, &query, &found, search_us);
    return 0;
}

int collector_similarity(struct app *app, struct http_request *request,
                         struct http_reply *reply, struct err *err)
{
    struct pick pick;
    int rc;

    pick_begin(app, request, &pick);
    rc = search(app, pick.version, request, reply, err);
    pick_end(&pick);
    return rc;
}
