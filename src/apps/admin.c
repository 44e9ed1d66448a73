/* SPDX-License-Identifier: Apache-2.0 */
#include "apps/admin.h"

#include <stdio.h>
#include <string.h>

#include "apps/collector.h"
#include "apps/database.h"
#include "apps/pick.h"
#include "base/clock.h"
#include "blob/blob.h"
#include "cache/cache.h"
#include "http/server.h"
#include "obs/metrics.h"
#include "store/writer.h"

static bool is_ready(const struct app *app)
{
    return app->server != NULL && !http_server_is_draining(app->server);
}

static void write_state(struct http_reply *reply, const char *state)
{
    struct json_writer json;

    json_writer_init(&json, &reply->body);
    json_object_begin(&json);
    json_key(&json, "status");
    json_put_text(&json, state);
    json_object_end(&json);
}

static int live(struct app *app, struct http_request *request,
                struct http_reply *reply, struct err *err)
{
    (void)app;
    (void)request;
    (void)err;
    write_state(reply, "live");
    return 0;
}

static int ready(struct app *app, struct http_request *request,
                 struct http_reply *reply, struct err *err)
{
    (void)request;
    (void)err;
    reply->status = is_ready(app) ? 200 : 503;
    write_state(reply, is_ready(app) ? "ready" : "draining");
    return 0;
}

static void write_database(struct json_writer *json, const struct app *app)
{
    char state[ERR_TEXT_MAX] = "none";
    struct writer_stats stats;

    if (app->database != NULL) {
        database_state(app->database, state, sizeof state);
        writer_stats(app->writer, &stats);
        if (stats.is_away && strcmp(state, "ok") == 0)
            snprintf(state, sizeof state, "away; %lld rows wait",
                     (long long)stats.spill_waiting + stats.waiting);
    }
    json_key(json, "database");
    json_put_text(json, state);
}

static void write_cache(struct json_writer *json, const struct app *app)
{
    json_key(json, "cache");
    if (app->cache == NULL)
        json_put_text(json, "none");
    else
        json_put_text(json, cache_stats(app->cache).is_up ? "ok" : "away");
}

/* Each part by name, so that one look tells what is wrong. */
static void write_parts(struct json_writer *json, const struct app *app,
                        const struct model_version *version)
{
    struct collection_info info = {0};
    struct err err = {0};

    json_key(json, "parts");
    json_object_begin(json);
    json_key(json, "model");
    json_put_text(json, "ok");
    json_key(json, "index");
    if (collection_info(version->collection, &info, &err) != 0)
        json_put_text(json, err.text);
    else
        json_put_text(json, info.is_open ? "ok" : "none");
    write_database(json, app);
    write_cache(json, app);
    json_key(json, "blob");
    json_put_text(json, app->blob != NULL ? blob_backend(app->blob) : "none");
    json_object_end(json);
    json_key(json, "index_size");
    json_put_integer(json, info.count);
}

static int health(struct app *app, struct http_request *request,
                  struct http_reply *reply, struct err *err)
{
    struct json_writer json;
    struct pick pick;

    (void)request;
    (void)err;
    pick_begin(app, NULL, &pick);
    json_writer_init(&json, &reply->body);
    json_object_begin(&json);
    json_key(&json, "status");
    json_put_text(&json, is_ready(app) ? "ok" : "draining");
    json_key(&json, "version");
    json_put_text(&json, OLHO_VERSION);
    json_key(&json, "model");
    json_put_text(&json, pick.version->bundle->metadata.name);
    json_key(&json, "model_version");
    json_put_text(&json, pick.version->bundle->metadata.version);
    json_key(&json, "uptime_s");
    json_put_fixed(&json, (double)(clock_wall_ms() - app->started_ms) / 1000,
                   3);
    write_parts(&json, app, pick.version);
    json_object_end(&json);
    pick_end(&pick);
    return 0;
}

static int metrics(struct app *app, struct http_request *request,
                   struct http_reply *reply, struct err *err)
{
    (void)app;
    (void)request;
    (void)err;
    reply->content_type = "text/plain; version=0.0.4; charset=utf-8";
    metrics_print(&reply->body);
    return 0;
}

/* A person who opens the address in a browser is told what there is. */
static int greet(struct app *app, struct http_request *request,
                 struct http_reply *reply, struct err *err)
{
    struct pick pick;

    (void)request;
    (void)err;
    pick_begin(app, NULL, &pick);
    reply->content_type = "text/plain; charset=utf-8";
    buf_printf(&reply->body,
               "olho %s serves %s %s\n\n"
               "Classify an image:  curl -F image=@photo.jpg "
               "http://ADDRESS/api/classify\n"
               "The model:          /api/model/status  /api/model/classes\n"
               "Operation:          /health  /health/live  /health/ready  "
               "/metrics\n",
               OLHO_VERSION, pick.version->bundle->metadata.name,
               pick.version->bundle->metadata.version);
    pick_end(&pick);
    return 0;
}

/* clang-format off */
static const struct http_route routes[] = {
    {"GET", "/", SCOPE_OPEN, BODY_NONE, greet, "What this is, for people.", true},
    {"GET", "/health", SCOPE_OPEN, BODY_NONE, health, "State of the server and its parts.", true},
    {"GET", "/health/live", SCOPE_OPEN, BODY_NONE, live, "200 while the process answers.", true},
    {"GET", "/health/ready", SCOPE_OPEN, BODY_NONE, ready, "200 while new requests are welcome, else 503.", true},
    {"GET", "/metrics", SCOPE_OPEN, BODY_NONE, metrics, "Metrics in the Prometheus text format.", true},
};
/* clang-format on */

const struct http_api admin_api = {
    "admin", routes, sizeof routes / sizeof routes[0], collector_error};
