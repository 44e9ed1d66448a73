/* SPDX-License-Identifier: Apache-2.0 */
#include "models/versions_file.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/url.h"

enum { FILE_LEN_MAX = 64 << 10 };

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);

    return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

bool version_is_model(const char *dir)
{
    static const char *const ends[] = {".onnx", ".keras", ".h5"};
    DIR *folder = opendir(dir);
    struct dirent *entry;
    bool is_model = false;
    size_t i;

    while (folder != NULL && !is_model && (entry = readdir(folder)) != NULL) {
        is_model = strcmp(entry->d_name, "metadata.json") == 0;
        for (i = 0; i < sizeof ends / sizeof ends[0]; i++)
            is_model = is_model || (entry->d_name[0] != '.' &&
                                    ends_with(entry->d_name, ends[i]));
    }
    if (folder != NULL)
        closedir(folder);
    return is_model;
}

static bool is_name(const char *name)
{
    size_t len = strlen(name);

    return len > 0 && len < VERSION_NAME_MAX && name[0] != '.' &&
           strchr(name, '/') == NULL && url_is_clean_text(name, len);
}

int versions_dir(const char *root, const char *name, char *out, struct err *err)
{
    char dir[FILE_PATH_MAX];
    int rc;

    if (!is_name(name))
        return err_set(err, ERR_INVALID,
                       "\"%.140s\" is no name of a version; it must be that "
                       "of a folder in %s",
                       name, root);
    rc = file_join(root, name, dir, err);
    if (rc)
        return rc;
    if (!file_is_dir(dir))
        return err_set(err, ERR_NOT_FOUND, "there is no version \"%s\" in %s",
                       name, root);
    memcpy(out, dir, strlen(dir) + 1);
    return 0;
}

/* --- the folders --- */

/* "v10" is above "v9". */
static int by_version(const void *a, const void *b)
{
    return strverscmp(a, b);
}

static int add_name(struct version_names *names, const char *root,
                    const char *name, struct err *err)
{
    char dir[FILE_PATH_MAX];
    struct err ignored = {0};

    if (!is_name(name) || file_join(root, name, dir, &ignored) != 0 ||
        !file_is_dir(dir) || !version_is_model(dir))
        return 0;
    if (names->count == VERSIONS_MAX)
        return err_set(err, ERR_TOO_LARGE, "%s has more than %d versions", root,
                       VERSIONS_MAX);
    snprintf(names->names[names->count++], VERSION_NAME_MAX, "%s", name);
    return 0;
}

int version_names_read(const char *root, struct version_names *out,
                       struct err *err)
{
    DIR *folder = opendir(root);
    struct dirent *entry;
    int rc = 0;

    if (folder == NULL)
        return err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO,
                       "cannot read folder %s: %s", root,
                       errno == ENOENT ? "it is not there" : "it failed");
    out->count = 0;
    while (rc == 0 && (entry = readdir(folder)) != NULL)
        rc = add_name(out, root, entry->d_name, err);
    closedir(folder);
    qsort(out->names, (size_t)out->count, sizeof out->names[0], by_version);
    return rc;
}

bool versions_is_root(const char *path)
{
    struct version_names *names;
    char file[FILE_PATH_MAX];
    struct err ignored = {0};
    bool has_versions;

    if (!file_is_dir(path) || version_is_model(path) ||
        file_join(path, "current.json", file, &ignored) != 0)
        return false;
    if (file_exists(file))
        return true;
    names = mem_new(sizeof *names);
    has_versions =
        version_names_read(path, names, &ignored) == 0 && names->count > 0;
    mem_free(names);
    return has_versions;
}

/* --- current.json --- */

/* The highest version, or "". */
static int choose_highest(const char *root, struct version_choice *out,
                          struct err *err)
{
    struct version_names *names = mem_new(sizeof *names);
    int rc = version_names_read(root, names, err);

    if (rc == 0 && names->count > 0)
        memcpy(out->current, names->names[names->count - 1], VERSION_NAME_MAX);
    mem_free(names);
    return rc;
}

static int take_name(const struct json_value *value, char *out, struct err *err)
{
    const char *name = json_text(value);

    if (name == NULL || !is_name(name))
        return err_set(err, ERR_CORRUPT, "it names no version");
    snprintf(out, VERSION_NAME_MAX, "%s", name);
    return 0;
}

static int take_choice(const struct json_value *document,
                       struct version_choice *out, struct err *err)
{
    const struct json_value *history = json_find(document, "history");
    size_t i, count = json_count(history);
    int rc;

    rc = take_name(json_find(document, "version"), out->current, err);
    if (rc)
        return rc;
    if (history != NULL &&
        (json_type(history) != JSON_IS_ARRAY || count > VERSIONS_HISTORY_MAX))
        return err_set(err, ERR_CORRUPT,
                       "its history is no list of at most %d versions",
                       VERSIONS_HISTORY_MAX);
    for (i = 0; rc == 0 && i < count; i++)
        rc = take_name(json_at(history, i), out->history[i], err);
    out->history_count = (int)count;
    out->is_written = true;
    return rc;
}

int version_choice_read(const char *root, struct version_choice *out,
                        struct err *err)
{
    struct json_value *document = NULL;
    char path[FILE_PATH_MAX];
    struct buf text;
    int rc;

    *out = (struct version_choice){.current = ""};
    rc = file_join(root, "current.json", path, err);
    if (rc)
        return rc;
    if (!file_exists(path))
        return choose_highest(root, out, err);
    buf_init(&text, FILE_LEN_MAX);
    rc = file_read(path, &text, err);
    if (rc == 0 && json_parse(buf_bytes(&text), &document, err) != 0)
        rc = err->code = ERR_CORRUPT;
    if (rc == 0)
        rc = take_choice(document, out, err);
    if (rc == ERR_CORRUPT)
        rc = err_wrap(err, "%s", path);
    json_free(document);
    buf_release(&text);
    return rc;
}
