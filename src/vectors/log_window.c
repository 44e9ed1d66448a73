/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors/log_window.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

static const size_t len_min = 1 << 20;

int log_window_read(int fd, int64_t offset, void *out, size_t len,
                    size_t *out_len, struct err *err)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = pread(fd, (uint8_t *)out + done, len - done,
                          offset + (int64_t)done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(err, ERR_IO, "read at byte %lld: %s",
                           (long long)offset, strerror(errno));
        if (n == 0)
            break;
        done += (size_t)n;
    }
    *out_len = done;
    return 0;
}

int log_window_init(struct log_window *window, int fd, int dim, uint32_t seed,
                    int64_t size, struct err *err)
{
    size_t len = log_record_len_max(dim);

    memset(window, 0, sizeof *window);
    window->fd = fd;
    window->dim = dim;
    window->seed = seed;
    window->size = size;
    window->len_max = len > len_min ? len : len_min;
    window->data = mem_try_aligned(window->len_max, 1);
    if (window->data == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory to read records");
    return 0;
}

void log_window_release(struct log_window *window)
{
    mem_free(window->data);
    window->data = NULL;
}

void log_window_clear(struct log_window *window)
{
    window->offset = 0;
    window->len = 0;
}

/* The len bytes at offset into *out; NULL when the file ends before. */
static int look(struct log_window *window, int64_t offset, size_t len,
                const struct log_head **out, struct err *err)
{
    size_t behind = (size_t)(offset - window->offset);
    int rc;

    assert(len <= window->len_max && offset >= window->offset);
    if (window->len < len || behind > window->len - len) {
        behind = 0;
        window->offset = offset;
        rc = log_window_read(window->fd, offset, window->data, window->len_max,
                             &window->len, err);
        if (rc) {
            window->len = 0;
            return rc;
        }
    }
    *out = NULL;
    if (len <= window->len - behind)
        *out = (const void *)(window->data + behind);
    return 0;
}

int log_window_record(struct log_window *window, int64_t offset,
                      enum log_state *out_state, struct log_record *out,
                      uint32_t *out_len, struct err *err)
{
    const struct log_head *head = NULL;
    uint64_t left = (uint64_t)(window->size - offset);
    uint64_t place = (uint64_t)offset;
    int rc;

    *out_state = LOG_TORN;
    rc = look(window, offset, LOG_HEAD_LEN, &head, err);
    if (rc || head == NULL)
        return rc;
    *out_state = log_head_check(head, window->dim, window->seed, place, left);
    if (*out_state != LOG_WHOLE)
        return 0;
    *out_len = head->len;
    *out_state = LOG_TORN;
    rc = look(window, offset, *out_len, &head, err);
    if (rc || head == NULL)
        return rc;
    /* It may have been read anew, and have changed in between. */
    *out_state =
        log_head_check(head, window->dim, window->seed, place, *out_len);
    if (*out_state != LOG_WHOLE)
        return 0;
    *out_len = head->len;
    *out_state = log_record_read(head, window->dim, window->seed, place, out);
    return 0;
}

int log_window_proof(struct log_window *window, int64_t offset, bool *out,
                     struct err *err)
{
    int64_t place = offset + LOG_ALIGNMENT;

    *out = false;
    for (; place + LOG_HEAD_LEN <= window->size; place += LOG_ALIGNMENT) {
        const struct log_head *head = NULL;
        int rc = look(window, place, LOG_HEAD_LEN, &head, err);

        if (rc || head == NULL)
            return rc;
        if (head->durable_len > (uint64_t)offset &&
            head->durable_len <= (uint64_t)place &&
            log_head_is_whole(head, window->seed, (uint64_t)place)) {
            *out = true;
            return 0;
        }
    }
    return 0;
}
