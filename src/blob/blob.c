/* SPDX-License-Identifier: Apache-2.0 */
/* Checks keys and bounds, times and counts; the rest is the backend's. */
#include "blob/blob.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/url.h"
#include "blob/blob_ops.h"
#include "obs/metrics.h"

enum { SHOWN_MAX = 100, TEMPORARY_TRIES = 16 };

/* --- opening ------------------------------------------------------------- */

static const char *or_empty(const char *text)
{
    return text != NULL ? text : "";
}

/* "s3://bucket/a/b" into its bucket and "a/b/". */
static int open_s3(const char *rest, const struct blob_options *options,
                   struct blob **out, struct err *err)
{
    size_t bucket_len = strcspn(rest, "/"), len;
    const char *prefix = rest + bucket_len;
    struct buf bucket, text;
    int rc;

    buf_init(&bucket, FILE_PATH_MAX);
    buf_init(&text, BLOB_KEY_MAX);
    buf_add(&bucket, rest, bucket_len);
    buf_add_text(&text, prefix + strspn(prefix, "/"));
    for (len = text.len; len > 0 && text.data[len - 1] == '/';)
        text.data[--len] = '\0';
    text.len = len;
    if (len > 0)
        buf_add_char(&text, '/');
    rc = buf_check(&text, err);
    if (rc == 0)
        rc = buf_check(&bucket, err);
    if (rc == 0)
        rc = blob_s3_open(bucket.len > 0 ? bucket.data : "", options, out, err);
    if (rc == 0) {
        (*out)->bucket = mem_text(bucket.data);
        (*out)->prefix = mem_text(text.len > 0 ? text.data : "");
    }
    buf_release(&bucket);
    buf_release(&text);
    return rc;
}

static int open_folder(const char *url, const struct blob_options *options,
                       struct blob **out, struct err *err)
{
    char *folder = NULL;
    int rc;

    if (strncmp(url, "file://", 7) == 0) {
        if (url[7] != '/')
            return err_set(err, ERR_INVALID,
                           "a file URL has three slashes: file:///folder");
        folder = mem_text(url + 7);
        url_decode(folder, strlen(folder), false);
    } else if (url[0] == '\0' || strstr(url, "://") != NULL) {
        return err_set(err, ERR_INVALID,
                       "blobs are in a folder, at file:///folder or at "
                       "s3://bucket; this is none of them");
    } else {
        folder = mem_text(url);
    }
    rc = blob_folder_open(folder, out, err);
    if (rc == 0) {
        (*out)->bucket = mem_text(or_empty(options->bucket));
        (*out)->prefix = mem_text("");
    }
    mem_free(folder);
    return rc;
}

int blob_open(const struct blob_options *options, struct blob **out,
              struct err *err)
{
    const char *url = or_empty(options->url);

    if (strncmp(url, "s3://", 5) == 0)
        return open_s3(url + 5, options, out, err);
    return open_folder(url, options, out, err);
}

void blob_close(struct blob *blob)
{
    if (blob == NULL)
        return;
    mem_free(blob->bucket);
    mem_free(blob->prefix);
    blob->ops->close(blob);
}

const char *blob_backend(const struct blob *blob)
{
    return blob->ops->name;
}

/* --- keys ---------------------------------------------------------------- */

/* Whether a part between slashes is "." or "..". */
static bool has_dots(const char *key)
{
    size_t len;

    for (;; key += len + 1) {
        len = strcspn(key, "/");
        if ((len == 1 && key[0] == '.') ||
            (len == 2 && key[0] == '.' && key[1] == '.'))
            return true;
        if (key[len] == '\0')
            return false;
    }
}

static int check_key(const char *key, struct err *err)
{
    size_t len = strlen(key);

    if (len < 1 || len > BLOB_KEY_MAX)
        return err_set(err, ERR_INVALID,
                       "the key has %zu bytes; it must have 1..%d", len,
                       BLOB_KEY_MAX);
    if (key[0] == '/' || key[len - 1] == '/' || strchr(key, '\\') != NULL ||
        has_dots(key) || !url_is_clean_text(key, len))
        return err_set(err, ERR_FORBIDDEN,
                       "'%.*s' is no key: it must be clean text without '\\', "
                       "'.' and '..' parts and a '/' at its ends",
                       SHOWN_MAX, key);
    return 0;
}

/* Whether path begins with the blob's bucket and a '/'; the key is behind. */
static bool is_own_bucket(const struct blob *blob, const char *path,
                          const char **out_key)
{
    size_t len = strlen(blob->bucket);

    if (len == 0 || strncmp(path, blob->bucket, len) != 0 || path[len] != '/')
        return false;
    *out_key = path + len + 1 + (path[len + 1] == '/');
    return true;
}

int blob_split(const struct blob *blob, const char *path, const char **out,
               struct err *err)
{
    bool is_url = strncmp(path, "s3://", 5) == 0;
    bool is_folder = blob->ops->presign == NULL;
    const char *key = is_url ? path + 5 : path, *slash = strchr(key, '/');
    size_t prefix_len = strlen(blob->prefix);
    int rc;

    if (is_own_bucket(blob, key, &key)) {
        if (strncmp(key, blob->prefix, prefix_len) != 0)
            return err_set(err, ERR_FORBIDDEN,
                           "'%.*s' is outside the configured part of its "
                           "bucket",
                           SHOWN_MAX, path);
        key += prefix_len;
    } else if (is_url || (slash != NULL && (!is_folder || slash[1] == '/'))) {
        return err_set(err, ERR_FORBIDDEN,
                       "'%.*s' names a bucket that is not configured; paths "
                       "are bucket/key, or a key without '/'",
                       SHOWN_MAX, path);
    }
    rc = check_key(key, err);
    if (rc)
        return rc;
    *out = key;
    return 0;
}

/* --- calls --------------------------------------------------------------- */

/* Absence is an answer, not an error. */
static int measure(const char *operation, int64_t start_us, int rc)
{
    metrics_observe(METRIC_BLOB_SECONDS, operation, NULL,
                    (double)(clock_us() - start_us) / 1e6);
    if (rc != 0 && rc != ERR_NOT_FOUND)
        metrics_add(METRIC_BLOB_ERRORS, operation, err_name((enum err_code)rc),
                    1);
    return rc;
}

int blob_read(struct blob *blob, const char *key, struct buf *out,
              struct err *err)
{
    struct blob_sink sink = {.buf = out,
                             .start_len = out->len,
                             .fd = -1,
                             .len_max = out->len_max - out->len};
    int64_t start_us = clock_us();
    int rc = check_key(key, err);

    if (rc)
        return rc;
    rc = measure("read", start_us, blob->ops->read(blob, key, &sink, err));
    if (rc && out->data != NULL) {
        out->len = sink.start_len;
        out->data[out->len] = '\0';
    }
    return rc;
}

/* A new file beside path; its name into out. */
static int make_temporary(const char *path, char *out, int *out_fd,
                          struct err *err)
{
    uint64_t number = 0;
    int try, len, fd = -1;

    for (try = 0; try < TEMPORARY_TRIES && fd < 0; try++) {
        if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number)
            number += (uint64_t)clock_us();
        len = snprintf(out, FILE_PATH_MAX, "%s.part-%016llx", path,
                       (unsigned long long)number);
        if (len < 0 || len >= FILE_PATH_MAX)
            return err_set(err, ERR_TOO_LARGE, "a path is longer than %d bytes",
                           FILE_PATH_MAX - 1);
        fd = open(out, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (fd < 0 && errno != EEXIST)
            break;
    }
    if (fd < 0)
        return err_set(err, ERR_IO, "cannot write '%s': %s", path,
                       strerror(errno));
    *out_fd = fd;
    return 0;
}

int blob_read_file(struct blob *blob, const char *key, const char *path,
                   uint64_t len_max, struct err *err)
{
    struct blob_sink sink = {.fd = -1, .len_max = len_max};
    char temporary[FILE_PATH_MAX];
    int64_t start_us = clock_us();
    int rc = check_key(key, err);

    if (rc == 0)
        rc = make_temporary(path, temporary, &sink.fd, err);
    if (rc)
        return rc;
    rc = measure("read_file", start_us, blob->ops->read(blob, key, &sink, err));
    if (rc == 0 && fsync(sink.fd) != 0)
        rc = err_set(err, ERR_IO, "cannot write '%s': %s", path,
                     strerror(errno));
    close(sink.fd);
    if (rc == 0 && rename(temporary, path) != 0)
        rc = err_set(err, ERR_IO, "cannot write '%s': %s", path,
                     strerror(errno));
    if (rc)
        unlink(temporary);
    return rc;
}

static int write_source(struct blob *blob, const char *operation,
                        const char *key, const struct blob_source *source,
                        struct err *err)
{
    int64_t start_us = clock_us();
    int rc = check_key(key, err);

    if (rc)
        return rc;
    return measure(operation, start_us,
                   blob->ops->write(blob, key, source, err));
}

int blob_write(struct blob *blob, const char *key, struct bytes bytes,
               const char *content_type, struct err *err)
{
    struct blob_source source = {.bytes = bytes, .content_type = content_type};

    return write_source(blob, "write", key, &source, err);
}

int blob_write_file(struct blob *blob, const char *key, const char *path,
                    const char *content_type, struct err *err)
{
    struct blob_source source = {.path = path, .content_type = content_type};

    return write_source(blob, "write_file", key, &source, err);
}

/* --- listing ------------------------------------------------------------- */

struct listing {
    blob_list_fn *fn;
    void *user;
    int64_t in_fn_us; /* the time of the callback is not the backend's */
};

static int pass_item(void *user, const struct blob_item *item, struct err *err)
{
    struct listing *listing = user;
    struct err refused = {0};
    int64_t start_us;
    int rc;

    if (check_key(item->key, &refused) != 0)
        return 0;
    start_us = clock_us();
    rc = listing->fn(listing->user, item, err);
    listing->in_fn_us += clock_us() - start_us;
    return rc;
}

int blob_list(struct blob *blob, const char *prefix, blob_list_fn *fn,
              void *user, struct err *err)
{
    struct listing listing = {fn, user, 0};
    int64_t start_us = clock_us();
    int rc;

    if (strlen(prefix) > BLOB_KEY_MAX ||
        !url_is_clean_text(prefix, strlen(prefix)))
        return err_set(err, ERR_INVALID,
                       "the prefix of a key has %zu bytes; it must be clean "
                       "text of at most %d",
                       strlen(prefix), BLOB_KEY_MAX);
    rc = blob->ops->list(blob, prefix, pass_item, &listing, err);
    return measure("list", start_us + listing.in_fn_us, rc);
}

int blob_find(struct blob *blob, const char *key, bool *out_found,
              struct blob_item *out, struct err *err)
{
    struct blob_item item = {.key = key};
    struct err found = {0};
    int64_t start_us = clock_us();
    int rc = check_key(key, err);

    if (rc)
        return rc;
    rc = measure("find", start_us, blob->ops->find(blob, key, &item, &found));
    if (rc != 0 && rc != ERR_NOT_FOUND) {
        *err = found;
        return rc;
    }
    *out_found = rc == 0;
    if (rc == 0)
        *out = item;
    return 0;
}

int blob_presign(struct blob *blob, const char *key, int expires_s, char *out,
                 size_t size, struct err *err)
{
    struct buf url;
    int rc = check_key(key, err);

    assert(size > 0);
    if (rc)
        return rc;
    if (blob->ops->presign == NULL)
        return err_set(err, ERR_UNSUPPORTED,
                       "blobs in a %s have no URLs; an S3 bucket has",
                       blob->ops->name);
    if (expires_s < 1 || expires_s > BLOB_EXPIRES_MAX_S)
        return err_set(err, ERR_INVALID,
                       "a URL was asked for for %d s; it must be 1..%d",
                       expires_s, BLOB_EXPIRES_MAX_S);
    buf_init(&url, size - 1);
    rc = blob->ops->presign(blob, key, expires_s, &url, err);
    if (rc == 0)
        memcpy(out, url.data, url.len + 1);
    buf_release(&url);
    return rc;
}
