/* SPDX-License-Identifier: Apache-2.0 */
#include "models/source.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "models/bundle.h"
#include "models/imported.h"
#include "models/keras_import.h"
#include "models/source_fetch.h"
#include "models/versions.h"

static bool has(const char *dir, const char *name)
{
    char path[FILE_PATH_MAX];
    struct err ignored = {0};

    return file_join(dir, name, path, &ignored) == 0 && file_exists(path);
}

struct search {
    char keras[FILE_PATH_MAX];
    int count;
    size_t dir_len;
};

static int see_file(void *user, const char *path, struct err *err)
{
    struct search *search = user;

    (void)err;
    if (keras_is_path(path) &&
        strchr(path + search->dir_len + 1, '/') == NULL) {
        search->count++;
        snprintf(search->keras, sizeof search->keras, "%s", path);
    }
    return 0;
}

/* The Keras file of a folder without an ONNX file: model.keras, model.h5 or the
 * only one. "" when there is none. */
static int find_keras(const char *dir, char *out, struct err *err)
{
    static const char *const names[] = {"model.keras", "model.h5"};
    struct search search = {.dir_len = strlen(dir)};
    size_t i;
    int rc;

    out[0] = '\0';
    for (i = 0; i < sizeof names / sizeof names[0]; i++)
        if (has(dir, names[i]))
            return file_join(dir, names[i], out, err);
    rc = file_walk(dir, see_file, &search, err);
    if (rc)
        return rc;
    if (search.count > 1)
        return err_set(err, ERR_UNPROCESSABLE,
                       "%s has %d Keras files and none is called model.keras",
                       dir, search.count);
    snprintf(out, FILE_PATH_MAX, "%s", search.keras);
    return 0;
}

static int prepare_trainer(const struct config *config,
                           const struct trainer_files *files,
                           struct source *out, struct err *err)
{
    struct imported_files parts = {
        .network = files->of[TRAINER_CLASSIFIER].path,
        .classes = files->of[TRAINER_CLASSES].path,
        .metadata = "",
    };
    int rc = imported_prepare(config, &parts, out->dir, err);

    if (rc == 0 && out->index[0] == '\0')
        snprintf(out->index, sizeof out->index, "%s",
                 files->of[TRAINER_INDEX].path);
    if (rc == 0 && !trainer_files_belong(files))
        log_write(LOG_WARN, "the files of the trainer are of different times",
                  log_text("network", files->of[TRAINER_CLASSIFIER].path),
                  log_text("index", files->of[TRAINER_INDEX].path));
    return rc;
}

static int prepare_keras(const struct config *config, const char *dir,
                         const char *file, struct source *out, struct err *err)
{
    char classes[FILE_PATH_MAX], labels[FILE_PATH_MAX];
    char metadata[FILE_PATH_MAX], index[FILE_PATH_MAX];
    struct imported_files parts = {file, classes, labels, metadata};
    int rc;

    rc = file_join(dir, "class_indices.json", classes, err);
    if (rc == 0)
        rc = file_join(dir, "labels.txt", labels, err);
    if (rc == 0)
        rc = file_join(dir, "metadata.json", metadata, err);
    if (rc == 0)
        rc = imported_prepare(config, &parts, out->dir, err);
    if (rc || out->index[0] != '\0')
        return rc;
    /* The index stays where it is, beside the network. */
    if (has(dir, "embeddings.faiss"))
        rc = file_join(dir, "embeddings.faiss", index, err);
    else
        rc = file_join(dir, "index.olho", index, err);
    if (rc == 0 && file_exists(index))
        snprintf(out->index, sizeof out->index, "%s", index);
    return rc;
}

static int prepare_dir(const struct config *config, const char *dir,
                       struct source *out, struct err *err)
{
    struct trainer_files files = {0};
    struct err ignored = {0};
    char keras[FILE_PATH_MAX];
    int rc;

    if (versions_is_root(dir)) {
        rc = versions_current(dir, out->dir, err);
        if (rc)
            return rc;
        dir = out->dir;
    }
    if (has(dir, "model.onnx")) {
        if (dir != out->dir)
            snprintf(out->dir, sizeof out->dir, "%s", dir);
        return 0;
    }
    if (versions_find_trainer(dir, &files, &ignored) == 0)
        return prepare_trainer(config, &files, out, err);
    rc = find_keras(dir, keras, err);
    if (rc)
        return rc;
    if (keras[0] != '\0')
        return prepare_keras(config, dir, keras, out, err);
    if (dir != out->dir)
        snprintf(out->dir, sizeof out->dir, "%s", dir);
    return 0;
}

int source_prepare(const struct config *config, const char *path,
                   const char *index_path, struct source *out, struct err *err)
{
    char dir[FILE_PATH_MAX];
    int rc;

    *out = (struct source){.dir = ""};
    snprintf(out->index, sizeof out->index, "%s", index_path);
    if (strncmp(index_path, "s3://", 5) == 0) {
        rc = source_fetch_file(config, index_path, out->index, err);
        if (rc)
            return rc;
    }
    if (strncmp(path, "s3://", 5) == 0)
        rc = source_fetch(config, path, dir, err);
    else
        rc = bundle_find(path, dir, err);
    if (rc)
        return rc;
    if (keras_is_path(path) && file_exists(path))
        return prepare_keras(config, dir, path, out, err);
    return prepare_dir(config, dir, out, err);
}
