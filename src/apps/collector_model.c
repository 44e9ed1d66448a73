/* SPDX-License-Identifier: Apache-2.0 */
/* /api/model: what serves, and putting another version in its place. */
#include <stdio.h>
#include <string.h>

#include "apps/collector.h"
#include "apps/model_row.h"
#include "apps/pick.h"
#include "apps/update.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"

static int write_status(struct json_writer *json, const struct app *app,
                        const struct model_version *version, struct err *err)
{
    const struct bundle *bundle = version->bundle;
    const struct metadata *metadata = &bundle->metadata;
    struct collection_info info;
    char loaded[CLOCK_TEXT_LEN];
    int rc;

    rc = collection_info(version->collection, &info, err);
    if (rc)
        return rc;
    clock_format(bundle->loaded_ms, loaded);
    json_object_begin(json);
    json_key(json, "model_version");
    json_put_text(json, metadata->version);
    json_key(json, "status");
    json_put_text(json, "loaded");
    json_key(json, "accuracy");
    json_put_double(json, model_row_accuracy(version));
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
    json_put_text(json, info.type);
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

int collector_model_status(struct app *app, struct http_request *request,
                           struct http_reply *reply, struct err *err)
{
    struct json_writer json;
    struct pick pick;
    int rc;

    (void)request;
    pick_begin(app, NULL, &pick);
    json_writer_init(&json, &reply->body);
    rc = write_status(&json, app, pick.version, err);
    pick_end(&pick);
    return rc;
}

static void write_classes(struct json_writer *json, const struct bundle *bundle)
{
    int i;

    json_object_begin(json);
    json_key(json, "total_classes");
    json_put_integer(json, bundle->class_count);
    json_key(json, "classes");
    json_array_begin(json);
    for (i = 0; i < bundle->class_count; i++) {
        json_object_begin(json);
        json_key(json, "id");
        json_put_integer(json, i);
        json_key(json, "name");
        json_put_text(json, bundle->labels.names[i]);
        json_object_end(json);
    }
    json_array_end(json);
    json_key(json, "model_version");
    json_put_text(json, bundle->metadata.version);
    json_object_end(json);
}

int collector_model_classes(struct app *app, struct http_request *request,
                            struct http_reply *reply, struct err *err)
{
    struct json_writer json;
    struct pick pick;

    (void)request;
    (void)err;
    pick_begin(app, NULL, &pick);
    json_writer_init(&json, &reply->body);
    write_classes(&json, pick.version->bundle);
    pick_end(&pick);
    return 0;
}

static int read_update(const struct http_request *request, char *model,
                       char *index, struct err *err)
{
    struct json_value *document = NULL;
    const char *model_text = NULL, *index_text = NULL;
    int rc;

    rc = json_parse(request->body, &document, err);
    if (rc == 0)
        rc = json_take_text(document, "model_path", &model_text, err);
    if (rc == 0)
        rc = json_take_text(document, "embeddings_path", &index_text, err);
    if (rc == 0 && (model_text == NULL || model_text[0] == '\0'))
        rc = err_set(err, ERR_INVALID, "the JSON body has no \"model_path\"");
    if (rc == 0 &&
        (strlen(model_text) >= FILE_PATH_MAX ||
         (index_text != NULL && strlen(index_text) >= FILE_PATH_MAX)))
        rc = err_set(err, ERR_INVALID, "a path has more than %d bytes",
                     FILE_PATH_MAX - 1);
    if (rc == 0) {
        snprintf(model, FILE_PATH_MAX, "%s", model_text);
        snprintf(index, FILE_PATH_MAX, "%s",
                 index_text != NULL ? index_text : "");
    }
    json_free(document);
    return rc;
}

int collector_model_update(struct app *app, struct http_request *request,
                           struct http_reply *reply, struct err *err)
{
    char model[FILE_PATH_MAX], index[FILE_PATH_MAX], message[256];
    struct update_result result;
    struct json_writer json;
    int rc;

    rc = read_update(request, model, index, err);
    if (rc == 0)
        rc = update_model(app, model, index, &result, err);
    if (rc)
        return rc;
    snprintf(message, sizeof message, "Model %s loaded successfully",
             result.now);
    json_writer_init(&json, &reply->body);
    json_object_begin(&json);
    json_key(&json, "status");
    json_put_text(&json, "success");
    json_key(&json, "message");
    json_put_text(&json, message);
    json_key(&json, "previous_version");
    json_put_text(&json, result.previous);
    json_key(&json, "new_version");
    json_put_text(&json, result.now);
    json_object_end(&json);
    return 0;
}
