/* SPDX-License-Identifier: Apache-2.0 */
#include "models/bundle.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "models/guess.h"
#include "models/metadata_file.h"

static bool is_model_dir(const char *dir)
{
    char path[FILE_PATH_MAX];
    struct err ignored = {0};

    return file_is_dir(dir) &&
           ((file_join(dir, "model.onnx", path, &ignored) == 0 &&
             file_exists(path)) ||
            (file_join(dir, "metadata.json", path, &ignored) == 0 &&
             file_exists(path)));
}

/* The folder of bundled models that belongs to this program's place. */
static void find_beside_program(char *out, size_t len)
{
    char program[FILE_PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    char *slash;

    out[0] = '\0';
    if (n <= 0)
        return;
    program[n] = '\0';
    slash = strrchr(program, '/');
    if (slash == NULL)
        return;
    *slash = '\0';
    snprintf(out, len, "%.*s/../models", (int)len - 16, program);
}

static int find_bundled(const char *name, char *dir, struct err *err)
{
    char beside[FILE_PATH_MAX];
    const char *roots[] = {getenv("OLHO_MODELS"), beside,
                           OLHO_DATA_DIR "/models"};
    size_t i;
    int rc;

    find_beside_program(beside, sizeof beside);
    for (i = 0; i < sizeof roots / sizeof roots[0]; i++) {
        if (roots[i] == NULL || roots[i][0] == '\0')
            continue;
        rc = file_join(roots[i], name, dir, err);
        if (rc)
            return rc;
        if (is_model_dir(dir))
            return 0;
    }
    return err_set(err, ERR_NOT_FOUND,
                   "there is no model \"%s\": neither a folder or file of that "
                   "name nor a model in $OLHO_MODELS, beside the program or "
                   "in " OLHO_DATA_DIR "/models",
                   name);
}

int bundle_find(const char *path, char *dir, struct err *err)
{
    const char *slash = strrchr(path, '/');

    if (path[0] == '\0')
        return err_set(err, ERR_INVALID, "MODEL_PATH is empty");
    if (strlen(path) >= FILE_PATH_MAX)
        return err_set(err, ERR_INVALID, "MODEL_PATH has %zu bytes; at most %d",
                       strlen(path), FILE_PATH_MAX - 1);
    if (file_is_dir(path)) {
        snprintf(dir, FILE_PATH_MAX, "%s", path);
        return 0;
    }
    if (!file_exists(path))
        return slash != NULL
                   ? err_set(err, ERR_NOT_FOUND, "there is no %s", path)
                   : find_bundled(path, dir, err);
    if (slash == NULL)
        snprintf(dir, FILE_PATH_MAX, ".");
    else
        snprintf(dir, FILE_PATH_MAX, "%.*s",
                 slash == path ? 1 : (int)(slash - path), path);
    return 0;
}

static int read_metadata(struct bundle *bundle, struct err *err)
{
    struct json_value *document = NULL;
    int rc;

    bundle->metadata.accuracy = NAN;
    rc = metadata_file_read(bundle->dir, &document, err);
    if (rc)
        return rc;
    if (document != NULL && metadata_read(document, &bundle->metadata, err))
        rc = err_wrap(err, "metadata.json");
    if (rc == 0)
        rc = metadata_file_check_sums(bundle->dir, document, err);
    json_free(document);
    return rc;
}

struct search {
    char path[FILE_PATH_MAX];
    char other[FILE_PATH_MAX];
    int count;
};

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);

    return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

static int see_file(void *user, const char *path, struct err *err)
{
    struct search *search = user;

    (void)err;
    if (ends_with(path, ".onnx")) {
        search->count++;
        snprintf(search->path, sizeof search->path, "%s", path);
    }
    if (ends_with(path, ".h5") || ends_with(path, ".keras"))
        snprintf(search->other, sizeof search->other, "%s", path);
    return 0;
}

/* The network's file: the one that metadata names, model.onnx, or the only
 * .onnx file of the folder. */
static int find_file(struct bundle *bundle, struct err *err)
{
    const char *name =
        bundle->metadata.file[0] != '\0' ? bundle->metadata.file : "model.onnx";
    struct search search = {.count = 0};
    int rc;

    rc = file_join(bundle->dir, name, bundle->file, err);
    if (rc || file_exists(bundle->file))
        return rc;
    if (bundle->metadata.file[0] != '\0')
        return err_set(err, ERR_NOT_FOUND, "there is no %s", bundle->file);
    rc = file_walk(bundle->dir, see_file, &search, err);
    if (rc)
        return rc;
    if (search.count == 0 && search.other[0] != '\0')
        return err_set(
            err, ERR_UNSUPPORTED,
            "%s is a Keras file; `olho model import` makes an ONNX file of it",
            search.other);
    if (search.count != 1)
        return err_set(err, ERR_NOT_FOUND,
                       "%s has %d .onnx files and no model.onnx; name the one "
                       "as \"file\" in metadata.json",
                       bundle->dir, search.count);
    snprintf(bundle->file, sizeof bundle->file, "%s", search.path);
    return 0;
}

/* A model without names is called like its folder and dated like its file. */
static void complete_names(struct bundle *bundle, const char *version)
{
    struct metadata *metadata = &bundle->metadata;
    char real[FILE_PATH_MAX];
    struct stat st;
    const char *slash;
    struct tm tm;

    if (metadata->name[0] == '\0' && realpath(bundle->dir, real) != NULL) {
        slash = strrchr(real, '/');
        snprintf(metadata->name, sizeof metadata->name, "%.100s",
                 slash != NULL && slash[1] != '\0' ? slash + 1 : "model");
    }
    if (version[0] != '\0')
        snprintf(metadata->version, sizeof metadata->version, "%.120s",
                 version);
    if (metadata->version[0] == '\0') {
        snprintf(metadata->version, sizeof metadata->version, "%.60s",
                 metadata->name);
        if (stat(bundle->file, &st) == 0 && gmtime_r(&st.st_mtime, &tm) != NULL)
            snprintf(metadata->version, sizeof metadata->version,
                     "%.60s_%04d%02d%02d", metadata->name, tm.tm_year + 1900,
                     tm.tm_mon + 1, tm.tm_mday);
    }
}

/* FNV-1a over length and time of a file; both are 0 of one that is not
 * there. */
static uint64_t add_stamp(uint64_t stamp, const char *path)
{
    uint64_t parts[3] = {0};
    struct stat st;
    size_t i;

    if (stat(path, &st) == 0) {
        parts[0] = (uint64_t)st.st_size;
        parts[1] = (uint64_t)st.st_mtim.tv_sec;
        parts[2] = (uint64_t)st.st_mtim.tv_nsec;
    }
    for (i = 0; i < sizeof parts; i++)
        stamp = (stamp ^ ((const uint8_t *)parts)[i]) * 0x100000001b3u;
    return stamp;
}

/* Over the network and the files that say how its input is made and what its
 * classes are called: answers change with each of them. */
static uint64_t stamp_of(const struct bundle *bundle)
{
    const char *const others[] = {"metadata.json", "labels.txt",
                                  "class_indices.json",
                                  bundle->metadata.labels};
    uint64_t stamp = add_stamp(0xcbf29ce484222325u, bundle->file);
    char path[FILE_PATH_MAX];
    struct err ignored = {0};
    size_t i;

    for (i = 0; i < sizeof others / sizeof others[0]; i++)
        if (others[i][0] != '\0' &&
            file_join(bundle->dir, others[i], path, &ignored) == 0)
            stamp = add_stamp(stamp, path);
    return stamp;
}

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

static int load(struct bundle *bundle, const struct config *config,
                struct err *err)
{
    struct engine_options options = {
        config->thread_count > 0 ? (int)config->thread_count : 1};
    bool is_made_up = false;
    int rc;

    /* Chosen now: a try that fails for want of memory means plain C for good.
     */
    (void)transform_kernels();
    rc = read_metadata(bundle, err);
    if (rc == 0)
        rc = find_file(bundle, err);
    if (rc)
        return rc;
    complete_names(bundle, config->model_version);
    bundle->file_stamp = stamp_of(bundle);
    options.has_8_bits = bundle->metadata.has_8_bits;
    rc = engine_open(bundle->file, &options, &bundle->engine, err);
    if (rc)
        return err_wrap(err, "%s", name_of(bundle->file));
    rc = guess_tensors(bundle, (int)config->input_size_px, err);
    if (rc == 0)
        rc =
            labels_read(bundle->dir, bundle->metadata.labels,
                        bundle->class_count, &bundle->labels, &is_made_up, err);
    if (rc)
        return rc;
    if (is_made_up && bundle->note_count < BUNDLE_NOTES_MAX)
        snprintf(bundle->notes[bundle->note_count++], BUNDLE_NOTE_LEN,
                 "labels made up: neither labels.txt nor class_indices.json");
    return bundle_try(bundle, err);
}

int bundle_open(const char *dir, const struct config *config,
                struct bundle **out, struct err *err)
{
    struct bundle *bundle = mem_new(sizeof *bundle);
    int rc;

    snprintf(bundle->dir, sizeof bundle->dir, "%s", dir);
    rc = load(bundle, config, err);
    if (rc) {
        bundle_close(bundle);
        return err_wrap(err, "model %s", dir);
    }
    mem_trim();
    bundle->loaded_ms = clock_wall_ms();
    *out = bundle;
    return 0;
}

void bundle_close(struct bundle *bundle)
{
    if (bundle == NULL)
        return;
    engine_close(bundle->engine);
    labels_release(&bundle->labels);
    mem_free(bundle);
}
