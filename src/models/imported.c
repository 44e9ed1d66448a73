/* SPDX-License-Identifier: Apache-2.0 */
#include "models/imported.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/json_write.h"
#include "base/log.h"
#include "models/keras_import.h"

enum { SMALL_LEN_MAX = 64 << 20, NAME_LEN = 32, BEGIN_LEN = 64 };

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

/* One checksum over all that goes in, so that a changed file makes another
 * folder, and so does another version of this program, which may import
 * otherwise. */
static int name_folder(const struct config *config,
                       const struct imported_files *files, char *out_sum,
                       char *out, struct err *err)
{
    const char *rest[] = {files->classes, files->labels, files->metadata};
    char all[4 * (HASH_HEX_LEN + 1) + BEGIN_LEN], sum[HASH_HEX_LEN + 1];
    size_t i, len;
    int rc;

    rc = hash_file(files->network, out_sum, err);
    if (rc)
        return rc;
    len = (size_t)snprintf(all, sizeof all, "%.40s %s %lld", OLHO_VERSION,
                           out_sum, (long long)config->input_size_px);
    for (i = 0; i < sizeof rest / sizeof rest[0]; i++) {
        if (rest[i] == NULL || rest[i][0] == '\0' || !file_exists(rest[i]))
            continue;
        rc = hash_file(rest[i], sum, err);
        if (rc)
            return rc;
        len += (size_t)snprintf(all + len, sizeof all - len, " %s", sum);
    }
    hash_sha256_hex(bytes_of_text(all), sum);
    rc = config_home(config, out, err);
    if (rc == 0) {
        char home[FILE_PATH_MAX], name[NAME_LEN];

        snprintf(home, sizeof home, "%s", out);
        snprintf(name, sizeof name, "imported/%.16s", sum);
        rc = file_join(home, name, out, err);
    }
    return rc;
}

static void put(struct json_writer *json, const struct json_value *value);

static int put_member(void *user, const char *key,
                      const struct json_value *value, struct err *err)
{
    (void)err;
    json_key(user, key);
    put(user, value);
    return 0;
}

static void put(struct json_writer *json, const struct json_value *value)
{
    struct err ignored = {0};
    int64_t whole;
    double number;
    bool flag = false;
    size_t i;

    switch (json_type(value)) {
    case JSON_IS_BOOL:
        (void)json_bool(value, &flag);
        json_put_bool(json, flag);
        break;
    case JSON_IS_NUMBER:
        /* A whole number stays one. */
        if (json_whole(value, &whole))
            json_put_integer(json, whole);
        else if (json_number(value, &number))
            json_put_double(json, number);
        break;
    case JSON_IS_TEXT:
        json_put_text(json, json_text(value));
        break;
    case JSON_IS_ARRAY:
        json_array_begin(json);
        for (i = 0; i < json_count(value); i++)
            put(json, json_at(value, i));
        json_array_end(json);
        break;
    case JSON_IS_OBJECT:
        json_object_begin(json);
        if (json_members(value, put_member, json, &ignored) != 0)
            break;
        json_object_end(json);
        break;
    case JSON_IS_NULL:
        json_put_null(json);
        break;
    }
}

struct merge {
    struct json_writer *json;
    const struct json_value *given; /* the user's object, or NULL */
};

/* The members of ours that the user's object does not have. */
static int put_ours(void *user, const char *key, const struct json_value *value,
                    struct err *err)
{
    struct merge *merge = user;
    const struct json_value *given =
        merge->given != NULL ? json_find(merge->given, key) : NULL;
    struct merge inner = {merge->json, given};

    if (given != NULL && json_type(given) != JSON_IS_OBJECT)
        return 0;
    json_key(merge->json, key);
    if (given == NULL || json_type(value) != JSON_IS_OBJECT) {
        put(merge->json, value);
        return 0;
    }
    json_object_begin(merge->json);
    if (json_members(value, put_ours, &inner, err) != 0)
        return err->code;
    if (json_members(given, put_member, merge->json, err) != 0)
        return err->code;
    json_object_end(merge->json);
    return 0;
}

/* The user's members, but for those that are about the file itself. */
static int put_given(void *user, const char *key,
                     const struct json_value *value, struct err *err)
{
    struct json_writer *json = user;

    if (strcmp(key, "file") == 0 || strcmp(key, "sha256") == 0 ||
        json_type(value) == JSON_IS_OBJECT)
        return 0;
    return put_member(json, key, value, err);
}

static int read_json(const char *path, struct json_value **out, struct err *err)
{
    struct buf text;
    int rc;

    *out = NULL;
    if (path == NULL || path[0] == '\0' || !file_exists(path))
        return 0;
    buf_init(&text, SMALL_LEN_MAX);
    rc = file_read(path, &text, err);
    if (rc == 0)
        rc = json_parse(buf_bytes(&text), out, err);
    if (rc == ERR_INVALID)
        err->code = rc = ERR_UNPROCESSABLE;
    buf_release(&text);
    return rc ? err_wrap(err, "%s", name_of(path)) : 0;
}

static int check_sum(const struct json_value *given, const char *network,
                     const char *sum, struct err *err)
{
    const struct json_value *sums = json_find(given, "sha256");
    const char *want =
        sums != NULL ? json_text(json_find(sums, name_of(network))) : NULL;

    if (want != NULL && strcmp(want, sum) != 0)
        return err_set(err, ERR_UNPROCESSABLE,
                       "%s has SHA-256 %.12s...; metadata.json says %.12s...",
                       network, sum, want);
    return 0;
}

/* metadata.json of the folder: what the user's says, then what the import
 * knows; a name when neither has one. */
static int merge_metadata(const char *dir, const struct imported_files *files,
                          const char *sum, struct err *err)
{
    struct json_value *ours = NULL, *given = NULL;
    char path[FILE_PATH_MAX], folder[FILE_PATH_MAX];
    struct json_writer json;
    struct merge merge;
    struct buf text;
    char *slash;
    int rc;

    buf_init(&text, SMALL_LEN_MAX);
    rc = file_join(dir, "metadata.json", path, err);
    if (rc == 0)
        rc = read_json(path, &ours, err);
    if (rc == 0)
        rc = read_json(files->metadata, &given, err);
    if (rc == 0 && given != NULL)
        rc = check_sum(given, files->network, sum, err);
    if (rc)
        goto out;
    merge = (struct merge){&json, given};
    json_writer_init(&json, &text);
    json_object_begin(&json);
    if (given != NULL)
        rc = json_members(given, put_given, &json, err);
    if ((given == NULL || json_find(given, "name") == NULL) &&
        (ours == NULL || json_find(ours, "name") == NULL) &&
        realpath(files->network, folder) != NULL) {
        slash = strrchr(folder, '/');
        *slash = '\0';
        json_key(&json, "name");
        json_put_text(&json, name_of(folder));
    }
    if (rc == 0)
        rc = json_members(ours, put_ours, &merge, err);
    json_object_end(&json);
    if (rc == 0)
        rc = buf_check(&text, err);
    if (rc == 0)
        rc = file_write(path, buf_bytes(&text), err);
out:
    json_free(ours);
    json_free(given);
    buf_release(&text);
    return rc;
}

static int copy(const char *from, const char *dir, const char *name,
                struct err *err)
{
    char to[FILE_PATH_MAX];
    struct buf data;
    int rc;

    if (from == NULL || from[0] == '\0' || !file_exists(from))
        return 0;
    buf_init(&data, SMALL_LEN_MAX);
    rc = file_join(dir, name, to, err);
    if (rc == 0)
        rc = file_read(from, &data, err);
    if (rc == 0)
        rc = file_write(to, buf_bytes(&data), err);
    buf_release(&data);
    return rc;
}

/* A model without a version is dated by its file, so the new file takes the
 * time of the old one. */
static void keep_time(const char *from, const char *dir)
{
    struct timespec times[2] = {{0, UTIME_OMIT}, {0, 0}};
    char to[FILE_PATH_MAX];
    struct err ignored = {0};
    struct stat st;

    if (stat(from, &st) != 0 || file_join(dir, "model.onnx", to, &ignored) != 0)
        return;
    times[1] = st.st_mtim;
    (void)utimensat(AT_FDCWD, to, times, 0);
}

static int import(const struct config *config,
                  const struct imported_files *files, const char *sum,
                  const char *dir, struct err *err)
{
    struct keras_options options = {.input_size_px =
                                        (int)config->input_size_px};
    struct keras_report report;
    int rc;

    log_write(LOG_INFO, "importing", log_text("file", files->network));
    rc = keras_import(files->network, &options, dir, &report, err);
    if (rc == 0)
        rc = copy(files->classes, dir, "class_indices.json", err);
    if (rc == 0)
        rc = copy(files->labels, dir, "labels.txt", err);
    if (rc == 0)
        rc = merge_metadata(dir, files, sum, err);
    if (rc == 0)
        keep_time(files->network, dir);
    return rc;
}

static void remove_part(const char *dir)
{
    static const char *const names[] = {"model.onnx", "metadata.json",
                                        "class_indices.json", "labels.txt"};
    char path[FILE_PATH_MAX];
    struct err ignored = {0};
    size_t i;

    for (i = 0; i < sizeof names / sizeof names[0]; i++)
        if (file_join(dir, names[i], path, &ignored) == 0)
            (void)unlink(path);
    (void)rmdir(dir);
}

int imported_prepare(const struct config *config,
                     const struct imported_files *files, char *out_dir,
                     struct err *err)
{
    char sum[HASH_HEX_LEN + 1], part[FILE_PATH_MAX];
    int rc;

    rc = name_folder(config, files, sum, out_dir, err);
    if (rc || file_is_dir(out_dir))
        return rc;
    if (snprintf(part, sizeof part, "%s.part%ld", out_dir, (long)getpid()) >=
        (int)sizeof part)
        return err_set(err, ERR_TOO_LARGE, "the path %.200s... is too long",
                       out_dir);
    rc = file_make_dir(part, err);
    if (rc == 0)
        rc = import(config, files, sum, part, err);
    if (rc == 0 && rename(part, out_dir) != 0 && !file_is_dir(out_dir))
        rc = err_set(err, ERR_IO, "%s cannot be made: %s", out_dir,
                     strerror(errno));
    remove_part(part);
    return rc ? err_wrap(err, "%s", files->network) : 0;
}
