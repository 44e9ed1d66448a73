/* SPDX-License-Identifier: Apache-2.0 */
/* /api/model: what serves, and putting another version in its place. */
#include "apps/collector.h"
#include "apps/pick.h"
#include "base/clock.h"

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
