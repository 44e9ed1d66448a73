/* SPDX-License-Identifier: Apache-2.0 */
#include "models/zip_file.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <zip.h>

#include "base/mem.h"

enum { PIECE_LEN = 1 << 18 };

struct archive {
    zip_t *zip;
};

int archive_open(const char *path, struct archive **out, struct err *err)
{
    struct archive *archive;
    zip_t *zip;
    int code = 0;

    zip = zip_open(path, ZIP_RDONLY | ZIP_CHECKCONS, &code);
    if (zip == NULL)
        return err_set(err, ERR_UNPROCESSABLE,
                       "it is no zip archive, or a damaged one (libzip says "
                       "%d)",
                       code);
    archive = mem_new(sizeof *archive);
    archive->zip = zip;
    *out = archive;
    return 0;
}

void archive_close(struct archive *archive)
{
    if (archive == NULL)
        return;
    zip_discard(archive->zip);
    mem_free(archive);
}

bool archive_has(struct archive *archive, const char *name)
{
    return zip_name_locate(archive->zip, name, 0) >= 0;
}

static int open_entry(struct archive *archive, const char *name,
                      uint64_t len_max, zip_file_t **out, struct err *err)
{
    const zip_uint64_t wanted =
        ZIP_STAT_SIZE | ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
    zip_stat_t stat;

    zip_stat_init(&stat);
    if (zip_stat(archive->zip, name, 0, &stat) != 0)
        return err_set(err, ERR_NOT_FOUND, "the archive has no %s", name);
    if ((stat.valid & wanted) != wanted ||
        stat.encryption_method != ZIP_EM_NONE ||
        (stat.comp_method != ZIP_CM_STORE &&
         stat.comp_method != ZIP_CM_DEFLATE))
        return err_set(err, ERR_UNPROCESSABLE,
                       "%s of the archive is encrypted or packed otherwise "
                       "than by deflate",
                       name);
    if (stat.size > len_max)
        return err_set(err, ERR_TOO_LARGE,
                       "%s of the archive has %llu bytes; at most %llu", name,
                       (unsigned long long)stat.size,
                       (unsigned long long)len_max);
    *out = zip_fopen(archive->zip, name, 0);
    if (*out == NULL)
        return err_set(err, ERR_UNPROCESSABLE,
                       "%s of the archive cannot be opened", name);
    return 0;
}

typedef int take_fn(void *user, const char *data, size_t len, struct err *err);

/* Hands an entry over piece by piece. What it gives is counted: an entry may
 * hold more than its header claims. */
static int read_pieces(struct archive *archive, const char *name,
                       uint64_t len_max, take_fn *take, void *user,
                       struct err *err)
{
    zip_file_t *entry = NULL;
    char *piece = mem_new(PIECE_LEN);
    uint64_t total = 0;
    zip_int64_t n;
    int rc = open_entry(archive, name, len_max, &entry, err);

    while (rc == 0) {
        n = zip_fread(entry, piece, PIECE_LEN);
        if (n == 0)
            break;
        if (n < 0)
            rc = err_set(err, ERR_UNPROCESSABLE,
                         "%s of the archive is damaged after %llu bytes", name,
                         (unsigned long long)total);
        else if ((total += (uint64_t)n) > len_max)
            rc = err_set(err, ERR_TOO_LARGE,
                         "%s of the archive has over %llu bytes", name,
                         (unsigned long long)len_max);
        else
            rc = take(user, piece, (size_t)n, err);
    }
    if (entry != NULL && zip_fclose(entry) != 0 && rc == 0)
        rc = err_set(err, ERR_UNPROCESSABLE, "%s of the archive is damaged",
                     name);
    mem_free(piece);
    return rc;
}

static int take_into_buf(void *user, const char *data, size_t len,
                         struct err *err)
{
    struct buf *out = user;

    buf_add(out, data, len);
    return buf_check(out, err);
}

int archive_read(struct archive *archive, const char *name, struct buf *out,
                 struct err *err)
{
    return read_pieces(archive, name, out->len_max - out->len, take_into_buf,
                       out, err);
}

static int take_into_file(void *user, const char *data, size_t len,
                          struct err *err)
{
    const int *fd = user;
    ssize_t n;

    while (len > 0) {
        n = write(*fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(err, ERR_IO, "writing failed: %s", strerror(errno));
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

int archive_extract(struct archive *archive, const char *name, int fd,
                    uint64_t len_max, struct err *err)
{
    return read_pieces(archive, name, len_max, take_into_file, &fd, err);
}
