/* SPDX-License-Identifier: Apache-2.0 */
#include "apps/update.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "apps/model_row.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "models/rollout.h"
#include "models/shelf.h"
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

static bool is_url(const char *path)
{
    return strncmp(path, "s3://", 5) == 0;
}

/* Bytes of "s3://bucket", also when more or nothing follows. */
static size_t bucket_len(const char *url)
{
    return 5 + strcspn(url + 5, "/");
}

static bool has_bucket_of(const char *url, const char *setting)
{
    size_t len = bucket_len(url);

    return is_url(setting) && bucket_len(setting) == len &&
           strncmp(url, setting, len) == 0;
}

/* The server's keys may open more buckets than its clients should see: a
 * request names only those that the settings name. */
static int check_bucket(const struct config *config, const char *url,
                        struct err *err)
{
    const char *bucket = url + 5;
    size_t len = bucket_len(url) - 5;

    if (has_bucket_of(url, config->model_path) ||
        has_bucket_of(url, config->embeddings_path) ||
        has_bucket_of(url, config->blob_url) ||
        (len > 0 && strlen(config->minio_bucket) == len &&
         strncmp(bucket, config->minio_bucket, len) == 0))
        return 0;
    return err_set(err, ERR_FORBIDDEN,
                   "\"%.100s\" names a bucket that is neither that of "
                   "MODEL_PATH nor that of the images",
                   url);
}

/* The file or folder that a request names, which must lie in MODEL_ROOT after
 * every link is followed, or in a bucket of the settings. */
static int resolve(const struct config *config, const char *path, char *out,
                   struct err *err)
{
    char root[FILE_PATH_MAX], joined[FILE_PATH_MAX];
    int rc;

    if (has_dots(path))
        return err_set(err, ERR_FORBIDDEN,
                       "the path \"%.100s\" leads out of the model root", path);
    if (path[0] == '\0' || is_url(path)) {
        snprintf(out, FILE_PATH_MAX, "%s", path);
        return path[0] == '\0' ? 0 : check_bucket(config, path, err);
    }
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

void update_mark(const struct model_version *version,
                 char out[HASH_HEX_LEN + 1])
{
    const struct bundle *bundle = version->bundle;
    const char *index = collection_path(version->collection);
    struct stat st = {0};
    struct buf text;

    buf_init(&text, 4 * FILE_PATH_MAX);
    buf_printf(&text, "%s\n%llx\n%s\n", bundle->file,
               (unsigned long long)bundle->file_stamp, index);
    /* Ours grows while it is served, and is kept up with. */
    if (shelf_is_path(index) && stat(index, &st) == 0)
        buf_printf(&text, "%lld %lld.%09ld\n", (long long)st.st_size,
                   (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    hash_sha256_hex(buf_bytes(&text), out);
    buf_release(&text);
}

static void name(char *out, const struct model_version *version)
{
    snprintf(out, METADATA_NAME_MAX, "%s", model_version_name(version));
}

/* With `updating` held. mark NULL: takes what is there in any case; else only
 * when its mark is another, which then is in mark. */
static int swap(struct app *app, const char *model_path,
                const char *embeddings_path, char *mark,
                struct update_result *out, struct err *err)
{
    struct model_version *before = registry_acquire(app->registry, 0);
    struct model_version *after = NULL;
    char found[HASH_HEX_LEN + 1];
    int rc;

    rc = load(app, model_path, embeddings_path, &after, err);
    if (rc)
        goto out;
    update_mark(after, found);
    out->is_changed = mark == NULL || strcmp(mark, found) != 0;
    name(out->previous, before);
    name(out->now, out->is_changed ? after : before);
    /* First what may fail: then the old one serves on. */
    if (out->is_changed && app->rollout != NULL)
        rc = rollout_replace(app->rollout, 0, out->now, err);
    if (rc || !out->is_changed)
        goto out;
    if (mark != NULL)
        snprintf(mark, sizeof found, "%s", found);
    model_row_begin(app, after);
    registry_put(app->registry, 0, after);
    after = NULL;
out:
    model_version_release(after);
    model_version_release(before);
    return rc;
}

static int swap_alone(struct app *app, const char *model_path,
                      const char *embeddings_path, char *mark,
                      struct update_result *out, struct err *err)
{
    int rc;

    *out = (struct update_result){.is_changed = false};
    if (pthread_mutex_trylock(&updating) != 0)
        return err_set(err, ERR_CONFLICT, "another update is under way");
    rc = swap(app, model_path, embeddings_path, mark, out, err);
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
    return rc ? rc : swap_alone(app, model, index, NULL, out, err);
}

int update_reload(struct app *app, struct update_result *out, struct err *err)
{
    return swap_alone(app, app->config->model_path,
                      app->config->embeddings_path, app->model_mark, out, err);
}
