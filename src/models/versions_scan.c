/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of each version without loading it. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/mem.h"
#include "models/metadata.h"
#include "models/metadata_file.h"
#include "models/versions_file.h"

enum { LABELS_LEN_MAX = 64 << 20 };

static int add_len(void *user, const char *path, struct err *err)
{
    struct stat about;

    (void)err;
    if (stat(path, &about) == 0)
        *(int64_t *)user += about.st_size;
    return 0;
}

/* What is read of a labels file is its length in classes, not its names. */
static int64_t count_labels(const char *path)
{
    struct json_value *document = NULL;
    struct err ignored = {0};
    int64_t count = 0;
    struct buf text;
    size_t i;

    buf_init(&text, LABELS_LEN_MAX);
    if (file_read(path, &text, &ignored) != 0 || text.len == 0)
        goto out;
    if (text.data[0] == '{') {
        if (json_parse(buf_bytes(&text), &document, &ignored) == 0)
            count = (int64_t)json_count(document);
        goto out;
    }
    for (i = 0; i < text.len; i++)
        count += text.data[i] == '\n';
    count += text.data[text.len - 1] != '\n';
out:
    json_free(document);
    buf_release(&text);
    return count;
}

/* "classes" of the metadata (a number, or their list), else the labels. */
static int64_t count_classes(const char *dir, const struct json_value *document,
                             const char *labels)
{
    const char *names[] = {labels, "labels.txt", "class_indices.json"};
    const struct json_value *classes = json_find(document, "classes");
    char path[FILE_PATH_MAX];
    struct err ignored = {0};
    int64_t count = 0;
    size_t i;

    if (json_whole(classes, &count) && count > 0)
        return count;
    if (json_count(classes) > 0)
        return (int64_t)json_count(classes);
    for (i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i][0] != '\0' &&
            file_join(dir, names[i], path, &ignored) == 0 && file_exists(path))
            return count_labels(path);
    return 0;
}

/* The day of the folder's last change, for a version that says none. */
static void date_folder(struct version *version)
{
    struct stat about;
    struct tm tm;

    if (stat(version->dir, &about) == 0 &&
        gmtime_r(&about.st_mtime, &tm) != NULL)
        snprintf(version->created, sizeof version->created, "%04d-%02d-%02d",
                 tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
}

static void check_sums(const struct json_value *document, bool with_sums,
                       struct version *version)
{
    struct err err = {0};

    if (json_count(json_find(document, "sha256")) == 0) {
        version->sums = VERSION_SUMS_NONE;
    } else if (!with_sums) {
        version->sums = VERSION_SUMS_UNREAD;
    } else if (metadata_file_check_sums(version->dir, document, &err) == 0) {
        version->sums = VERSION_SUMS_OK;
    } else {
        version->sums = VERSION_SUMS_WRONG;
        snprintf(version->problem, sizeof version->problem, "%s", err.text);
    }
}

static void look(struct version *version, bool with_sums)
{
    struct json_value *document = NULL;
    struct metadata metadata = {.accuracy = NAN};
    struct err err = {0};

    if (metadata_file_read(version->dir, &document, &err) != 0 ||
        (document != NULL && metadata_read(document, &metadata, &err) != 0))
        snprintf(version->problem, sizeof version->problem, "%s", err.text);
    else
        check_sums(document, with_sums, version);
    version->accuracy = metadata.accuracy;
    snprintf(version->said, sizeof version->said, "%s", metadata.version);
    snprintf(version->created, sizeof version->created, "%s", metadata.created);
    if (version->created[0] == '\0')
        date_folder(version);
    version->class_count =
        count_classes(version->dir, document, metadata.labels);
    json_free(document);
}

static int scan_one(const char *root, const char *name,
                    const struct version_choice *choice, bool with_sums,
                    struct version *out, struct err *err)
{
    int rc;

    *out = (struct version){.accuracy = NAN};
    snprintf(out->name, sizeof out->name, "%s", name);
    rc = versions_dir(root, name, out->dir, err);
    if (rc)
        return rc;
    out->is_current = strcmp(name, choice->current) == 0;
    out->is_previous =
        choice->history_count > 0 && strcmp(name, choice->history[0]) == 0;
    rc = file_walk(out->dir, add_len, &out->len, err);
    if (rc == 0)
        look(out, with_sums);
    return rc;
}

int versions_scan(const char *root, bool with_sums, version_fn *fn, void *user,
                  struct err *err)
{
    struct version_names *names = mem_new(sizeof *names);
    struct version *version = mem_new(sizeof *version);
    struct version_choice choice;
    int i, rc;

    rc = version_choice_read(root, &choice, err);
    if (rc == 0)
        rc = version_names_read(root, names, err);
    for (i = 0; rc == 0 && i < names->count; i++) {
        rc = scan_one(root, names->names[i], &choice, with_sums, version, err);
        if (rc == ERR_NOT_FOUND) /* removed since the folder was read */
            *err = (struct err){0};
        if (rc == 0)
            rc = fn(user, version, err);
        else if (rc == ERR_NOT_FOUND)
            rc = 0;
    }
    mem_free(version);
    mem_free(names);
    return rc;
}
