/* SPDX-License-Identifier: Apache-2.0 */
#include "store/rejects.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json_write.h"
#include "store/row.h"

/* JSON may take six bytes for one. */
enum { LINE_MAX_LEN = 8 * ROW_LEN_MAX };

static int fail(const char *what, const char *path, int number, struct err *err)
{
    return err_set(err, ERR_IO, "cannot %s '%s': %s", what, path,
                   strerror(number));
}

static void print(const struct store_row *row, const char *why, int64_t now_ms,
                  struct buf *out)
{
    char moment[CLOCK_TEXT_LEN];
    struct json_writer json;

    clock_format(now_ms, moment);
    json_writer_init(&json, out);
    json_object_begin(&json);
    json_key(&json, "rejected");
    json_put_text(&json, moment);
    json_key(&json, "error");
    json_put_text(&json, why);
    row_print(row, &json);
    json_object_end(&json);
    buf_add_char(out, '\n');
}

/* One write, so that a line is whole or is not there; a torn one is cut. */
static int append(int file, const char *path, const struct buf *line,
                  struct err *err)
{
    struct stat st;
    ssize_t done;

    if (fstat(file, &st) != 0)
        return fail("look at", path, errno, err);
    if (st.st_size + (int64_t)line->len > REJECTS_LEN_MAX)
        return err_set(err, ERR_TOO_LARGE, "'%s' has %lld bytes of %d", path,
                       (long long)st.st_size, REJECTS_LEN_MAX);
    do
        done = write(file, line->data, line->len);
    while (done < 0 && errno == EINTR);
    if (done == (ssize_t)line->len)
        return 0;
    (void)fail("write", path, done < 0 ? errno : ENOSPC, err);
    if (done > 0 && ftruncate(file, st.st_size) != 0)
        (void)err_wrap(err, "half a line stays");
    return err->code;
}

int rejects_add(const char *path, const struct store_row *row, const char *why,
                int64_t now_ms, struct err *err)
{
    struct buf line;
    int file, rc;

    buf_init(&line, LINE_MAX_LEN);
    print(row, why, now_ms, &line);
    rc = buf_check(&line, err);
    if (rc)
        goto out;
    file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (file < 0) {
        rc = fail("open", path, errno, err);
        goto out;
    }
    rc = append(file, path, &line, err);
    close(file);
out:
    buf_release(&line);
    return rc;
}
