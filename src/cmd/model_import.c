/* SPDX-License-Identifier: Apache-2.0 */
/* `olho model import`: a model file made into a model folder. It is written
 * under another name and renamed when it has run, so that a folder is there
 * whole or not at all. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "cmd/command.h"
#include "cmd/terminal.h"
#include "models/bundle.h"
#include "models/keras_import.h"

enum {
    GREY = 128,
    SHOWN_MAX = 3,
    NAME_MAX_LEN = 200,
    PIECE_LEN = 1 << 16,
};

/* What may lie beside a model and belongs to it. */
static const char *const companions[] = {"class_indices.json", "labels.txt",
                                         "labels.npy", "embeddings.faiss"};
enum { COMPANION_COUNT = sizeof companions / sizeof companions[0] };

struct import {
    char source[FILE_PATH_MAX]; /* the model's file */
    char folder[FILE_PATH_MAX]; /* where it lies */
    char out[FILE_PATH_MAX];    /* the folder to be made */
    char part[FILE_PATH_MAX];   /* the same until it is whole */
    const char *embedding;      /* the layer that the user names, or NULL */
    int input_size_px;
    int64_t begin_us;
    bool is_keras;
    bool is_copied[COMPANION_COUNT];
};

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);

    return len > end_len && strcmp(text + len - end_len, end) == 0;
}

static bool is_onnx(const char *name)
{
    return ends_with(name, ".onnx");
}

/* The model in a folder: the only file that is one. */
static int find_in_folder(const char *folder, char *out, struct err *err)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    char found[FILE_PATH_MAX];
    bool is_saved_model = false;
    int count = 0, rc = 0;

    if (dir == NULL)
        return err_set(err, ERR_IO, "%s cannot be read: %s", folder,
                       strerror(errno));
    while (rc == 0 && (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, "saved_model.pb") == 0)
            is_saved_model = true;
        if (entry->d_name[0] == '.' ||
            (!keras_is_path(entry->d_name) && !is_onnx(entry->d_name)))
            continue;
        rc = file_join(folder, entry->d_name, found, err);
        count++;
    }
    closedir(dir);
    if (rc)
        return rc;
    if (is_saved_model)
        return err_set(err, ERR_UNPROCESSABLE,
                       "%s is a SavedModel of TensorFlow; save the model as "
                       ".keras or .h5",
                       folder);
    if (count != 1)
        return err_set(err, ERR_INVALID,
                       "%s has %d files that are models (.keras, .h5, .onnx); "
                       "name the one",
                       folder, count);
    memcpy(out, found, sizeof found);
    return 0;
}

/* The folder that a path's last part lies in, without that part. */
static void folder_of(const char *path, char *out)
{
    const char *slash = strrchr(path, '/');

    if (slash == NULL)
        snprintf(out, FILE_PATH_MAX, ".");
    else
        snprintf(out, FILE_PATH_MAX, "%.*s",
                 slash == path ? 1 : (int)(slash - path), path);
}

/* models/NAME, where NAME is that of the file, or of its folder when the file
 * is called model. */
static int preset_out(struct import *import, struct err *err)
{
    char real[FILE_PATH_MAX], name[NAME_MAX_LEN + 1], *slash, *dot;

    if (realpath(import->source, real) == NULL)
        return err_set(err, ERR_IO, "%s cannot be read: %s", import->source,
                       strerror(errno));
    slash = strrchr(real, '/');
    dot = strrchr(slash, '.');
    if (dot != NULL)
        *dot = '\0';
    if (strcmp(slash, "/model") == 0) {
        *slash = '\0';
        slash = strrchr(real, '/');
    }
    snprintf(name, sizeof name, "%s",
             slash != NULL && slash[1] != '\0' ? slash + 1 : "model");
    return file_join("models", name, import->out, err);
}

static int prepare(const struct arguments *arguments, struct import *import,
                   struct err *err)
{
    const char *path = arguments->words[0],
               *out = arguments_flag(arguments, "out");
    size_t len;
    int rc = 0;

    import->begin_us = clock_us();
    import->embedding = arguments_flag(arguments, "embedding");
    import->input_size_px = (int)arguments->config.input_size_px;
    if (strlen(path) >= sizeof import->source)
        return err_set(err, ERR_INVALID, "the path has over %d bytes",
                       FILE_PATH_MAX - 1);
    if (file_is_dir(path))
        rc = find_in_folder(path, import->source, err);
    else if (!file_exists(path))
        rc = err_set(err, ERR_NOT_FOUND, "there is no %s", path);
    else
        snprintf(import->source, sizeof import->source, "%s", path);
    if (rc)
        return rc;
    import->is_keras = keras_is_path(import->source);
    if (!import->is_keras && !is_onnx(import->source))
        return err_set(err, ERR_INVALID, "%s is neither .keras, .h5 nor .onnx",
                       import->source);
    folder_of(import->source, import->folder);
    if (out == NULL)
        rc = preset_out(import, err);
    else
        snprintf(import->out, sizeof import->out, "%.4000s", out);
    for (len = strlen(import->out); len > 1 && import->out[len - 1] == '/';)
        import->out[--len] = '\0';
    if (rc == 0 && (file_exists(import->out) || file_is_dir(import->out)))
        rc = err_set(err, ERR_CONFLICT,
                     "%s is there already; give another --out", import->out);
    return rc;
}

static int copy_bytes(FILE *from, FILE *to, const char *path, struct err *err)
{
    char *piece = mem_new(PIECE_LEN);
    bool is_fine;
    size_t n;

    do {
        n = fread(piece, 1, PIECE_LEN, from);
        is_fine = fwrite(piece, 1, n, to) == n;
    } while (is_fine && n == PIECE_LEN);
    mem_free(piece);
    if (!is_fine || ferror(from) || fflush(to) != 0 || fsync(fileno(to)) != 0)
        return err_set(err, ERR_IO, "copying %s failed: %s", path,
                       strerror(errno));
    return 0;
}

static int copy_file(const char *from_path, const char *to_path,
                     struct err *err)
{
    FILE *from = fopen(from_path, "rb"), *to = NULL;
    int rc;

    if (from != NULL)
        to = fopen(to_path, "wbx");
    if (to == NULL)
        rc = err_set(err, ERR_IO, "%s cannot be copied: %s", from_path,
                     strerror(errno));
    else
        rc = copy_bytes(from, to, from_path, err);
    if (from != NULL)
        fclose(from);
    if (to != NULL && fclose(to) != 0 && rc == 0)
        rc = err_set(err, ERR_IO, "%s cannot be written", to_path);
    return rc;
}

/* Copies a file of the model's folder under the same or another name, when it
 * is there. */
static int copy_companion(const struct import *import, const char *name,
                          const char *new_name, bool *is_there, struct err *err)
{
    char from[FILE_PATH_MAX], to[FILE_PATH_MAX];
    int rc;

    rc = file_join(import->folder, name, from, err);
    if (rc == 0)
        rc = file_join(import->part, new_name, to, err);
    if (rc)
        return rc;
    *is_there = file_exists(from);
    return *is_there ? copy_file(from, to, err) : 0;
}

static int make_part(struct import *import, struct err *err)
{
    char parent[FILE_PATH_MAX];
    const char *slash = strrchr(import->out, '/');
    int len, rc;

    folder_of(import->out, parent);
    rc = file_make_dir(parent, err);
    if (rc)
        return rc;
    len = snprintf(import->part, sizeof import->part, "%s/.%s.part-XXXXXX",
                   parent, slash != NULL ? slash + 1 : import->out);
    if (len >= (int)sizeof import->part)
        return err_set(err, ERR_INVALID, "--out is too long");
    if (mkdtemp(import->part) == NULL) {
        import->part[0] = '\0';
        return err_set(err, ERR_IO, "cannot make a folder in %s: %s", parent,
                       strerror(errno));
    }
    return 0;
}

/* Removes what a failed import made. */
static void remove_part(const struct import *import)
{
    static const char *const own[] = {"model.onnx", "metadata.json"};
    char path[FILE_PATH_MAX];
    struct err ignored = {0};
    size_t i;

    if (import->part[0] == '\0')
        return;
    for (i = 0; i < 2; i++)
        if (file_join(import->part, own[i], path, &ignored) == 0)
            (void)unlink(path);
    for (i = 0; i < COMPANION_COUNT; i++)
        if (file_join(import->part, companions[i], path, &ignored) == 0)
            (void)unlink(path);
    (void)rmdir(import->part);
}

static void show_progress(void *user, int64_t done, int64_t total)
{
    const struct import *import = user;

    terminal_progress("bytes of weights", done < total ? done : total, total,
                      import->begin_us);
}

static void print_keras(const struct import *import,
                        const struct keras_report *report)
{
    printf("model      %s, Keras %s, %s\n", import->source,
           report->keras_version[0] != '\0' ? report->keras_version
                                            : "of unknown version",
           report->class_name);
    printf("layers     %d, %lld weights\n", report->layer_count,
           (long long)report->weight_count);
    printf("network    %d nodes, %d batch norms folded\n", report->node_count,
           report->folded_count);
    printf("input      \"%s\", %d x %d px, %s\n", report->input,
           report->width_px, report->height_px,
           report->has_own_scaling ? "values 0..255 (it scales by itself)"
                                   : "value / 255");
    printf("scores     \"%s\", %d, %s\n", report->scores, report->class_count,
           report->activation);
    if (report->embedding_len > 0)
        printf("embedding  \"%s\", %d values\n", report->embedding,
               report->embedding_len);
    else
        printf("embedding  none\n");
}

static int import_keras(const struct import *import, struct err *err)
{
    struct keras_options options = {.input_size_px = import->input_size_px,
                                    .embedding = import->embedding,
                                    .progress = show_progress,
                                    .user = (void *)(uintptr_t)import};
    struct keras_report report;
    int rc;

    rc = keras_import(import->source, &options, import->part, &report, err);
    terminal_progress_end();
    if (rc == 0)
        print_keras(import, &report);
    return rc;
}

static int import_onnx(const struct import *import, struct err *err)
{
    const char *name = strrchr(import->source, '/');
    bool is_there = false;
    int rc;

    if (import->embedding != NULL)
        return err_set(err, ERR_INVALID,
                       "--embedding names a layer of a Keras model; an ONNX "
                       "model says it in metadata.json");
    rc = copy_companion(import, name != NULL ? name + 1 : import->source,
                        "model.onnx", &is_there, err);
    if (rc == 0)
        rc = copy_companion(import, "metadata.json", "metadata.json", &is_there,
                            err);
    if (rc == 0)
        printf("model      %s, %s\n", import->source,
               is_there ? "with its metadata.json" : "without metadata.json");
    return rc;
}

/* Runs the new model once, on a grey image, and says what it thinks of it. */
static int try_out(const struct bundle *bundle, struct err *err)
{
    const struct transform *transform = &bundle->metadata.transform;
    struct bundle_class best[SHOWN_MAX];
    struct bundle_times times;
    struct image *image = NULL;
    float *scores;
    int i,
        k = bundle->class_count < SHOWN_MAX ? bundle->class_count : SHOWN_MAX;
    int rc;

    scores = mem_try((size_t)bundle->class_count, sizeof *scores);
    if (scores == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for %d scores",
                       bundle->class_count);
    rc = image_new(transform->width_px, transform->height_px, &image, err);
    if (rc == 0) {
        memset(image->pixels, GREY,
               (size_t)image->width_px * (size_t)image->height_px * 3);
        rc = bundle_run(bundle, image, scores, NULL, &times, err);
    }
    if (rc == 0) {
        bundle_rank(bundle, scores, k, best);
        printf("grey image ");
        for (i = 0; i < k; i++)
            printf("%s%s %.3f", i > 0 ? ", " : "",
                   bundle->labels.names[best[i].id], (double)best[i].score);
        printf(" (%.1f ms)\n", (double)times.inference_us / 1000);
    }
    image_free(image);
    mem_free(scores);
    return rc;
}

static int open_part(const struct import *import, const struct config *config,
                     struct err *err)
{
    struct bundle *bundle = NULL;
    int rc;

    rc = bundle_open(import->part, config, &bundle, err);
    if (rc)
        return rc;
    rc = try_out(bundle, err);
    bundle_close(bundle);
    return rc;
}

static int run(struct import *import, const struct config *config,
               struct err *err)
{
    size_t i;
    int rc;

    rc = make_part(import, err);
    if (rc == 0)
        rc = import->is_keras ? import_keras(import, err)
                              : import_onnx(import, err);
    for (i = 0; i < COMPANION_COUNT && rc == 0; i++) {
        rc = copy_companion(import, companions[i], companions[i],
                            &import->is_copied[i], err);
        if (rc == 0 && import->is_copied[i])
            printf("copied     %s\n", companions[i]);
    }
    if (rc == 0)
        rc = open_part(import, config, err);
    if (rc == 0 && chmod(import->part, 0755) != 0)
        rc = err_set(err, ERR_IO, "%s: %s", import->part, strerror(errno));
    if (rc == 0 && rename(import->part, import->out) != 0)
        rc = err_set(err, ERR_IO, "%s cannot be made: %s", import->out,
                     strerror(errno));
    return rc;
}

int command_model_import(struct arguments *arguments, struct err *err)
{
    struct import *import = mem_new(sizeof *import);
    int rc;

    rc = prepare(arguments, import, err);
    if (rc == 0)
        rc = run(import, &arguments->config, err);
    if (rc)
        remove_part(import);
    else
        printf("written    %s, in %.1f s\n", import->out,
               (double)(clock_us() - import->begin_us) / 1e6);
    mem_free(import);
    return rc ? EXIT_FAILED : EXIT_FINE;
}
