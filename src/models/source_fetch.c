/* SPDX-License-Identifier: Apache-2.0 */
#include "models/source_fetch.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "models/keras_import.h"
#include "models/shelf.h"
#include "models/stored.h"
#include "models/versions.h"

enum { FILES_MAX = 1000 };
static const uint64_t bytes_max = (uint64_t)16 << 30;

/* A file of the bucket that belongs to the model. */
struct remote {
    char key[BLOB_KEY_MAX + 1];
    uint64_t len;
    int64_t modified_ms;
};

struct listing {
    struct remote *files; /* owned: FILES_MAX */
    int count;
    uint64_t len;
    size_t prefix_len;
    struct trainer_files trainer;
};

/* Files directly in the folder only: a model has no folders. */
static int see(void *user, const struct blob_item *item, struct err *err)
{
    struct listing *listing = user;
    const char *name = item->key + listing->prefix_len;
    struct remote *file = &listing->files[listing->count];

    if (name[0] == '\0' || strchr(name, '/') != NULL)
        return 0;
    (void)trainer_files_offer(&listing->trainer, item->key, item->modified_ms);
    if (listing->count == FILES_MAX || listing->len + item->len > bytes_max)
        return err_set(err, ERR_TOO_LARGE,
                       "the folder has more than %d files or 16 GiB",
                       FILES_MAX);
    snprintf(file->key, sizeof file->key, "%s", item->key);
    file->len = item->len;
    file->modified_ms = item->modified_ms;
    listing->len += item->len;
    listing->count++;
    return 0;
}

/* "bucket" and "models/v3/" of "s3://bucket/models/v3". A file's folder is
 * meant, and a folder's name may end with a slash or not. */
static void split(const char *url, char *bucket_url, size_t size, char *prefix)
{
    const char *bucket = url + strlen("s3://");
    const char *key = strchrnul(bucket, '/');
    size_t len;
    char *slash;

    snprintf(bucket_url, size, "s3://%.*s", (int)(key - bucket), bucket);
    while (*key == '/')
        key++;
    snprintf(prefix, BLOB_KEY_MAX + 1, "%s", key);
    len = strlen(prefix);
    slash = strrchr(prefix, '/');
    if (len > 5 &&
        (keras_is_path(prefix) || strcmp(prefix + len - 5, ".onnx") == 0)) {
        if (slash != NULL)
            slash[1] = '\0';
        else
            prefix[0] = '\0';
    } else if (len > 0 && prefix[len - 1] != '/' && len < BLOB_KEY_MAX) {
        prefix[len] = '/';
        prefix[len + 1] = '\0';
    }
}

static int check_len(const char *url, struct err *err)
{
    size_t len = strlen(url);

    if (len > BLOB_KEY_MAX)
        return err_set(err, ERR_INVALID,
                       "the address %.100s... has %zu bytes; at most %d", url,
                       len, BLOB_KEY_MAX);
    return 0;
}

/* Of a trainer's bucket the newest network is served with its own classes and
 * index. Another one that is named must not turn into it unsaid. */
static int check_named(const struct listing *listing, const char *url,
                       struct err *err)
{
    const char *newest = listing->trainer.of[TRAINER_CLASSIFIER].path;
    const char *named = strrchr(url, '/') + 1;

    if (newest[0] == '\0' || !keras_is_path(named) ||
        strcmp(newest + listing->prefix_len, named) == 0)
        return 0;
    return err_set(err, ERR_UNPROCESSABLE,
                   "%.100s is not the newest of its folder, which is %.100s; "
                   "put another one into a folder of its own",
                   named, newest + listing->prefix_len);
}

/* The folder of the copies of one place. */
static int local_dir(const struct config *config, const char *place, char *out,
                     struct err *err)
{
    char home[FILE_PATH_MAX], sum[HASH_HEX_LEN + 1], name[64];
    int rc;

    hash_sha256_hex(bytes_of_text(place), sum);
    snprintf(name, sizeof name, "fetched/%.16s", sum);
    rc = config_home(config, home, err);
    if (rc == 0)
        rc = file_join(home, name, out, err);
    return rc ? rc : file_make_dir(out, err);
}

/* Fetches unless the copy has its length and time, which it is given. */
static int fetch(struct blob *blob, const struct remote *file, const char *path,
                 struct err *err)
{
    struct timespec times[2] = {
        {0, UTIME_OMIT},
        {file->modified_ms / 1000, file->modified_ms % 1000 * 1000000}};
    struct stat st;
    int rc;

    if (stat(path, &st) == 0 && (uint64_t)st.st_size == file->len &&
        st.st_mtim.tv_sec == times[1].tv_sec)
        return 0;
    log_write(LOG_INFO, "fetching", log_text("key", file->key),
              log_integer("bytes", (int64_t)file->len));
    rc = blob_read_file(blob, file->key, path, bytes_max, err);
    if (rc == 0 && utimensat(AT_FDCWD, path, times, 0) != 0)
        rc = err_set(err, ERR_IO, "the time of %s cannot be set", path);
    return rc;
}

static bool is_wanted(const struct listing *listing, const struct remote *file)
{
    int i;

    if (listing->trainer.of[TRAINER_CLASSIFIER].path[0] == '\0')
        return true;
    for (i = 0; i < TRAINER_FILE_COUNT; i++)
        if (strcmp(listing->trainer.of[i].path, file->key) == 0)
            return true;
    return false;
}

static int fetch_all(struct blob *blob, const struct listing *listing,
                     const char *dir, struct err *err)
{
    char path[FILE_PATH_MAX];
    int i, rc = 0;

    for (i = 0; rc == 0 && i < listing->count; i++) {
        const struct remote *file = &listing->files[i];

        if (!is_wanted(listing, file))
            continue;
        rc = file_join(dir, file->key + listing->prefix_len, path, err);
        if (rc == 0)
            rc = fetch(blob, file, path, err);
    }
    return rc;
}

static bool is_away(int rc)
{
    return rc == ERR_UNAVAILABLE || rc == ERR_TIMEOUT;
}

int source_fetch(const struct config *config, const char *url, char *out_dir,
                 struct err *err)
{
    struct listing listing = {.files =
                                  mem_try(FILES_MAX, sizeof *listing.files)};
    char bucket_url[FILE_PATH_MAX], prefix[BLOB_KEY_MAX + 1];
    struct blob *blob = NULL;
    int rc;

    if (listing.files == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for %d files",
                       FILES_MAX);
    rc = check_len(url, err);
    if (rc)
        goto out;
    split(url, bucket_url, sizeof bucket_url, prefix);
    listing.prefix_len = strlen(prefix);
    rc = local_dir(config, url, out_dir, err);
    if (rc == 0)
        rc = stored_open(config, bucket_url, &blob, err);
    if (rc)
        goto out;
    rc = blob_list(blob, prefix, see, &listing, err);
    if (rc == 0 && listing.count == 0)
        rc = err_set(err, ERR_NOT_FOUND, "there is nothing under %.200s", url);
    if (rc == 0)
        rc = check_named(&listing, url, err);
    if (rc == 0)
        rc = fetch_all(blob, &listing, out_dir, err);
    if (is_away(rc) && listing.count == 0) {
        log_write(LOG_WARN, "the bucket is away; its last copy is taken",
                  log_text("url", url), log_text("why", err->text));
        *err = (struct err){0};
        rc = 0;
    }
out:
    blob_close(blob);
    mem_free(listing.files);
    return rc ? err_wrap(err, "%.200s", url) : 0;
}

static int fetch_found(struct blob *blob, const struct blob_item *item,
                       const char *key, const char *path, struct err *err)
{
    struct remote file = {.len = item->len, .modified_ms = item->modified_ms};

    snprintf(file.key, sizeof file.key, "%.*s", BLOB_KEY_MAX, key);
    return fetch(blob, &file, path, err);
}

/* The labels of the index with that key, when there are any. */
static int fetch_labels(struct blob *blob, const char *key, const char *dir,
                        struct err *err)
{
    char keys[SHELF_LABEL_PATHS][FILE_PATH_MAX], path[FILE_PATH_MAX];
    int i, count = shelf_label_paths(key, keys), rc = 0;
    struct blob_item item = {0};
    bool is_found = false;

    for (i = 0; rc == 0 && !is_found && i < count; i++) {
        const char *slash = strrchr(keys[i], '/');

        rc = blob_find(blob, keys[i], &is_found, &item, err);
        if (rc == 0 && is_found)
            rc = file_join(dir, slash != NULL ? slash + 1 : keys[i], path, err);
        if (rc == 0 && is_found)
            rc = fetch_found(blob, &item, keys[i], path, err);
    }
    return rc;
}

int source_fetch_file(const struct config *config, const char *url,
                      char *out_path, struct err *err)
{
    char bucket_url[FILE_PATH_MAX], dir[FILE_PATH_MAX];
    const char *bucket = url + strlen("s3://");
    const char *key = strchrnul(bucket, '/');
    const char *name = strrchr(url, '/') + 1;
    struct blob_item item = {0};
    struct blob *blob = NULL;
    bool is_found = false;
    int rc;

    rc = check_len(url, err);
    if (rc)
        return rc;
    snprintf(bucket_url, sizeof bucket_url, "s3://%.*s", (int)(key - bucket),
             bucket);
    while (*key == '/')
        key++;
    rc = local_dir(config, url, dir, err);
    if (rc == 0)
        rc = file_join(dir, name, out_path, err);
    if (rc == 0)
        rc = stored_open(config, bucket_url, &blob, err);
    if (rc == 0)
        rc = blob_find(blob, key, &is_found, &item, err);
    if (rc == 0 && !is_found)
        rc = err_set(err, ERR_NOT_FOUND, "there is no %.200s", url);
    if (rc == 0)
        rc = fetch_found(blob, &item, key, out_path, err);
    if (rc == 0 && shelf_is_path(name))
        rc = fetch_labels(blob, key, dir, err);
    blob_close(blob);
    return rc;
}
