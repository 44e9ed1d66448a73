/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json_write.h"
#include "cmd/command.h"
#include "cmd/images.h"
#include "cmd/session.h"
#include "cmd/terminal.h"

/* Entries go to disk in groups: one sync serves up to COMMIT_MAX of them, and
 * only what is on disk is printed as added. */
enum { COMMIT_MAX = 32 };

struct addition {
    struct flat *index;
    const char *label; /* NULL: none */
    bool is_label_from_folder;
    struct {
        char path[FILE_PATH_MAX];
        bool is_new;
    } open[COMMIT_MAX]; /* added, not yet on disk */
    int open_count;
    int added_count, known_count, failed_count, skipped_count;
};

static int commit(struct addition *addition, struct err *err)
{
    int i, rc;

    if (addition->open_count == 0)
        return 0;
    rc = flat_commit(addition->index, err);
    if (rc)
        return rc;
    terminal_progress_end();
    for (i = 0; i < addition->open_count; i++) {
        printf("%s %s\n", addition->open[i].is_new ? "added" : "updated",
               addition->open[i].path);
        addition->added_count += addition->open[i].is_new;
        addition->known_count += !addition->open[i].is_new;
    }
    fflush(stdout);
    addition->open_count = 0;
    return 0;
}

/* The name of the folder that a file lies in. */
static const char *folder_name(const char *path, char *out, size_t len)
{
    const char *end = strrchr(path, '/');
    const char *begin;

    if (end == NULL || end == path)
        return "";
    begin = end;
    while (begin > path && begin[-1] != '/')
        begin--;
    snprintf(out, len, "%.*s", (int)(end - begin), begin);
    return out;
}

static int add_one(struct addition *addition, const struct image_result *result,
                   struct err *err)
{
    char *path = addition->open[addition->open_count].path;
    char folder[FILE_PATH_MAX];
    const char *label = addition->label != NULL ? addition->label : "";
    int rc;

    if (realpath(result->path, path) == NULL)
        snprintf(path, FILE_PATH_MAX, "%s", result->path);
    if (addition->is_label_from_folder)
        label = folder_name(path, folder, sizeof folder);
    if (addition->open_count == 0) {
        rc = flat_begin(addition->index, err);
        if (rc)
            return rc;
    }
    rc = flat_add(addition->index, result->answer.embedding, path,
                  result->sha256, label,
                  &addition->open[addition->open_count].is_new, err);
    if (rc)
        return rc;
    addition->open_count++;
    return addition->open_count == COMMIT_MAX ? commit(addition, err) : 0;
}

static int take_result(void *user, const struct image_result *result,
                       struct err *err)
{
    struct addition *addition = user;

    if (result->err.code == ERR_OK)
        return add_one(addition, result, err);
    if (result->is_walked && (result->err.code == ERR_MEDIA_TYPE ||
                              result->err.code == ERR_INVALID)) {
        addition->skipped_count++;
        return 0;
    }
    terminal_progress_end();
    fprintf(stderr, "olho: %s: %s\n", result->path, result->err.text);
    addition->failed_count++;
    return 0;
}

static int add_all(const struct app *app, struct arguments *arguments,
                   struct addition *addition, struct err *err)
{
    struct model_version *version = registry_acquire(app->registry, 0);
    struct collection *collection = version->collection;
    struct classify_options options = {.top_k = 1};
    struct flat_info info;
    struct err ignored = {0};
    int rc;

    rc = collection_open_for_writing(collection, &addition->index, err);
    if (rc)
        goto out;
    flat_info(addition->index, &info);
    if (info.torn_len > 0)
        fprintf(stderr,
                "olho: %lld bytes of an addition that never finished were cut "
                "off %s\n",
                (long long)info.torn_len, collection_path(collection));
    rc = images_run(app, arguments->words, arguments->word_count, &options,
                    take_result, addition, err);
    if (rc == 0)
        rc = commit(addition, err);
    else if (commit(addition, &ignored) != 0)
        fprintf(stderr, "olho: %s\n", ignored.text);
    flat_info(addition->index, &info);
    printf("%d added, %d updated, %d failed, %d skipped; %lld images in %s\n",
           addition->added_count, addition->known_count, addition->failed_count,
           addition->skipped_count, (long long)info.count,
           collection_path(collection));
    flat_close(addition->index);
out:
    model_version_release(version);
    return rc;
}

int command_index_add(struct arguments *arguments, struct err *err)
{
    struct addition addition = {
        .label = arguments_flag(arguments, "label"),
        .is_label_from_folder =
            arguments_flag(arguments, "label-from-folder") != NULL,
    };
    struct app app = {0};
    int rc;

    if (addition.label != NULL && addition.is_label_from_folder) {
        err_set(err, ERR_INVALID,
                "--label and --label-from-folder exclude each other");
        return EXIT_USAGE;
    }
    rc = session_open(&arguments->config, &app, err);
    if (rc == 0)
        rc = add_all(&app, arguments, &addition, err);
    session_close(&app);
    return rc || addition.failed_count > 0 ? EXIT_FAILED : EXIT_FINE;
}

static void print_info(const char *path, const struct collection_info *info)
{
    printf("file      %s\n", path);
    printf("images    %lld\n", (long long)info->count);
    printf("size      %.3g MB\n", (double)info->file_len / (1 << 20));
    printf("model     %s\n", info->model);
    printf("vectors   %d values, %s, %s (%s)\n", info->dim, info->metric,
           info->is_exact ? "exact" : "approximate", info->type);
    printf("kernels   %s\n", info->kernels);
    if (info->torn_len > 0)
        printf("torn      %lld bytes of an addition that never finished\n",
               (long long)info->torn_len);
}

static void print_info_json(const char *path,
                            const struct collection_info *info)
{
    struct json_writer json;
    struct buf line;

    buf_init(&line, 1 << 20);
    json_writer_init(&json, &line);
    json_object_begin(&json);
    json_key(&json, "file");
    json_put_text(&json, path);
    json_key(&json, "images");
    json_put_integer(&json, info->count);
    json_key(&json, "bytes");
    json_put_integer(&json, info->file_len);
    json_key(&json, "model");
    json_put_text(&json, info->model);
    json_key(&json, "dim");
    json_put_integer(&json, info->dim);
    json_key(&json, "metric");
    json_put_text(&json, info->metric);
    json_key(&json, "index_type");
    json_put_text(&json, info->type);
    json_key(&json, "kernels");
    json_put_text(&json, info->kernels);
    json_key(&json, "torn_bytes");
    json_put_integer(&json, info->torn_len);
    json_object_end(&json);
    printf("%s\n", line.data);
    buf_release(&line);
}

int command_index_info(struct arguments *arguments, struct err *err)
{
    struct app app = {0};
    struct model_version *version;
    struct collection_info info;
    const char *path;
    int rc;

    rc = session_open(&arguments->config, &app, err);
    if (rc)
        return EXIT_FAILED;
    version = registry_acquire(app.registry, 0);
    path = collection_path(version->collection);
    rc = collection_info(version->collection, &info, err);
    if (rc == 0 && !info.is_open)
        rc = err_set(err, ERR_NOT_FOUND,
                     "there is no index %s; `olho index add DIR` makes it",
                     path);
    if (rc == 0) {
        if (arguments_flag(arguments, "json") != NULL)
            print_info_json(path, &info);
        else
            print_info(path, &info);
    }
    model_version_release(version);
    session_close(&app);
    return rc ? EXIT_FAILED : EXIT_FINE;
}
