/* SPDX-License-Identifier: Apache-2.0 */
#include "apps/update.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/model_row.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "models/rollout.h"
#include "obs/metrics.h"

/* Held while a version is loaded, so that two updates do not take the memory
 * of three models. */
static pthread_mutex_t updating = PTHREAD_MUTEX_INITIALIZER;

void update_widen(const struct app *app, const struct model_version *version)
{
    int count = app->worker_count < ENGINE_THREADS_MAX ? app->worker_count
                                                       : ENGINE_THREADS_MAX;
    struct err err = {0};

    if (app->config->thread_count > 0 || count < 2)
        return;
    if (engine_widen(version->bundle->engine, count, &err) != 0)
        log_write(LOG_WARN, "a lone request gets one core only",
                  log_text("why", err.text));
    mem_trim();
}

static bool has_dots(const char *path)
{
    const char *at = path;

    while (at != NULL) {
        while (*at == '/')
            at++;
        if (strncmp(at, "..", 2) == 0 && (at[2] == '/' || at[2] == '\0'))
            return true;
        at = strchr(at, '/');
    }
    return false;
}

static bool is_below(const char *path, const char *root)
{
    size_t len = strlen(root);

    return strncmp(path, root, len) == 0 &&
           (path[len] == '/' || path[len] == '\0' || root[len - 1] == '/');
}

/* The file or folder that a request names, which must lie in MODEL_ROOT after
 * every link is followed. */
static int resolve(const struct config *config, const char *path, char *out,
                   struct err *err)
{
    char root[FILE_PATH_MAX], joined[FILE_PATH_MAX];
    int rc;

    if (path[0] == '\0' || strncmp(path, "s3://", 5) == 0) {
        snprintf(out, FILE_PATH_MAX, "%s", path);
        return 0;
    }
    if (has_dots(path))
        return err_set(err, ERR_FORBIDDEN,
                       "the path \"%.100s\" leads out of the model root", path);
    if (realpath(config->model_root, root) == NULL)
        return err_set(err, ERR_UNPROCESSABLE,
                       "MODEL_ROOT is \"%.100s\", which is not there",
                       config->model_root);
    if (path[0] == '/')
        snprintf(joined, sizeof joined, "%s", path);
    else if ((rc = file_join(root, path, joined, err)) != 0)
        return rc;
    if (path[0] == '/' && !is_below(path, root))
        return err_set(err, ERR_FORBIDDEN,
                       "the path \"%.100s\" is outside of the model root",
                       path);
    if (realpath(joined, out) == NULL)
        return err_set(err, ERR_UNPROCESSABLE,
                       "there is no \"%.200s\" in the model root", path);
    if (!is_below(out, root))
        return err_set(err, ERR_FORBIDDEN,
                       "the path \"%.100s\" leads out of the model root", path);
    return 0;
}

/* Loads a version and tries its index, beside the one that serves.
 * MODEL_VERSION names the version of the start, not this one. */
static int load(const struct app *app, const char *model_path,
                const char *embeddings_path, struct model_version **out,
                struct err *err)
{
    struct config config = *app->config;
    struct model_version *version = NULL;
    struct collection_info info;
    char none[] = "";
    int rc;

    config.model_version = none;
    rc =
        model_version_open(&config, model_path, embeddings_path, &version, err);
    if (rc == 0)
        rc = collection_info(version->collection, &info, err);
    if (rc) {
        model_version_release(version);
        if (rc != ERR_FORBIDDEN)
            err->code = rc = ERR_UNPROCESSABLE;
        return rc;
    }
    update_widen(app, version);
    *out = version;
    return 0;
}

static bool is_same(const struct bundle *a, const struct bundle *b)
{
    return strcmp(a->file, b->file) == 0 && a->file_stamp == b->file_stamp;
}

static void name(char *out, const struct model_version *version)
{
    snprintf(out, METADATA_NAME_MAX, "%s", model_version_name(version));
}

/* With `updating` held. */
static int swap(struct app *app, const char *model_path,
                const char *embeddings_path, bool only_if_changed,
                struct update_result *out, struct err *err)
{
    struct model_version *before = registry_acquire(app->registry, 0);
    struct model_version *after = NULL;
    int rc;

    rc = load(app, model_path, embeddings_path, &after, err);
    if (rc)
        goto out;
    name(out->previous, before);
    name(out->now, after);
    out->is_changed =
        !only_if_changed || !is_same(before->bundle, after->bundle);
    if (out->is_changed) {
        model_row_begin(app, after);
        registry_put(app->registry, 0, after);
        after = NULL;
        if (app->rollout != NULL)
            rc = rollout_replace(app->rollout, 0, out->now, err);
    }
out:
    model_version_release(after);
    model_version_release(before);
    return rc;
}

static int swap_alone(struct app *app, const char *model_path,
                      const char *embeddings_path, bool only_if_changed,
                      struct update_result *out, struct err *err)
{
    int rc;

    *out = (struct update_result){.is_changed = false};
    if (pthread_mutex_trylock(&updating) != 0)
        return err_set(err, ERR_CONFLICT, "another update is under way");
    rc = swap(app, model_path, embeddings_path, only_if_changed, out, err);
    pthread_mutex_unlock(&updating);
    metrics_add(METRIC_MODEL_UPDATES, rc == 0 ? "ok" : "failed", NULL, 1);
    if (rc)
        log_write(LOG_ERROR, "the model is not updated",
                  log_text("path", model_path), log_text("why", err->text));
    else if (out->is_changed)
        log_write(LOG_INFO, "the model is updated",
                  log_text("previous", out->previous),
                  log_text("now", out->now));
    return rc;
}

int update_model(struct app *app, const char *model_path,
                 const char *embeddings_path, struct update_result *out,
                 struct err *err)
{
    char model[FILE_PATH_MAX], index[FILE_PATH_MAX];
    int rc;

    rc = resolve(app->config, model_path, model, err);
    if (rc == 0)
        rc = resolve(app->config, embeddings_path, index, err);
    return rc ? rc : swap_alone(app, model, index, false, out, err);
}

int update_reload(struct app *app, struct update_result *out, struct err *err)
{
    return swap_alone(app, app->config->model_path,
                      app->config->embeddings_path, true, out, err);
}
