/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a spill file, and its records as rows. The first byte is no
 * part of it: bit 0 puts a right checksum on the head, bit 1 on what looks like
 * records, so that what lies behind the checksums is reached. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/mem.h"
#include "store/row.h"
#include "store/row_queue.h"
#include "store/spill.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { SIGN_HEAD = 1, SIGN_RECORDS = 2, LEN_MAX = 1 << 20 };

static const uint8_t mark[] = {0x6d, 0xf0, 0xa7, 0x52};

static void sign_head(uint8_t *file, size_t len)
{
    uint32_t crc;

    if (len < SPILL_HEAD_LEN)
        return;
    crc = hash_crc32c(0, file, SPILL_HEAD_LEN - sizeof crc);
    memcpy(file + SPILL_HEAD_LEN - sizeof crc, &crc, sizeof crc);
}

static void sign_records(uint8_t *file, size_t len)
{
    size_t at = SPILL_HEAD_LEN;

    while (at + SPILL_RECORD_HEAD_LEN < len) {
        uint32_t record_len, crc;

        memcpy(&record_len, file + at + 4, sizeof record_len);
        if (memcmp(file + at, mark, sizeof mark) != 0 ||
            record_len > len - at - SPILL_RECORD_HEAD_LEN) {
            at++;
            continue;
        }
        crc = hash_crc32c(0, &record_len, sizeof record_len);
        crc = hash_crc32c(crc, file + at + SPILL_RECORD_HEAD_LEN, record_len);
        memcpy(file + at + 8, &crc, sizeof crc);
        at += SPILL_RECORD_HEAD_LEN + record_len;
    }
}

/* A row that can be read can be written, and is the same bytes then. */
static void use_row(const struct buf *record)
{
    struct row_node *node = row_node_of_len(record->len), *again;
    struct json_writer json;
    struct store_row row;
    struct err err = {0};
    struct buf text;

    assert(node != NULL);
    memcpy(node->bytes, record->data, record->len);
    if (row_decode((struct bytes){node->bytes, node->len}, &row, &err) == 0) {
        again = row_node_new(&row);
        assert(again != NULL && again->len == node->len);
        /* The head has a spare field, which is not kept. */
        assert(memcmp(again->bytes + 4, node->bytes + 4, node->len - 4) == 0);
        mem_free(again);
        buf_init(&text, 8 * SPILL_RECORD_MAX);
        json_writer_init(&json, &text);
        json_object_begin(&json);
        row_print(&row, &json);
        json_object_end(&json);
        assert(buf_check(&text, &err) == 0);
        buf_release(&text);
    } else {
        assert(err.text[0] != '\0');
    }
    mem_free(node);
}

/* Reads what is there, forgets the first record, and adds one. */
static void use(struct spill *spill)
{
    int64_t offset = spill_first(spill), second = 0, count = 0;
    struct spill_info before, after;
    struct err err = {0};
    struct buf record;
    int rc;

    spill_info(spill, &before);
    buf_init(&record, SPILL_RECORD_MAX + 1);
    while ((rc = spill_read(spill, &offset, &record, &err)) == 0 &&
           record.len > 0) {
        use_row(&record);
        if (count++ == 0)
            second = offset;
    }
    assert(rc == 0);
    assert(count == before.record_count);
    if (count > 0)
        assert(spill_forget(spill, second, 1, &err) == 0);
    assert(spill_add(spill, bytes_of_text("one more"), &err) == 0);
    spill_info(spill, &after);
    assert(after.record_count == count + (count == 0));
    assert(after.damaged == before.damaged);
    buf_release(&record);
}

static int64_t open_and_use(const char *path)
{
    struct spill *spill = NULL;
    struct spill_info info = {0};
    struct err err = {0};

    if (spill_open(path, LEN_MAX, &spill, &err) != 0) {
        assert(err.text[0] != '\0');
        return -1;
    }
    use(spill);
    spill_info(spill, &info);
    spill_close(spill);
    return info.record_count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct spill *spill = NULL;
    struct spill_info info;
    struct err err = {0};
    uint8_t *file;
    char path[64];
    int64_t count;
    int fd;

    if (len < 1 || len > LEN_MAX / 2)
        return 0;
    file = mem_new(len);
    memcpy(file, data + 1, len - 1);
    if (data[0] & SIGN_HEAD)
        sign_head(file, len - 1);
    if (data[0] & SIGN_RECORDS)
        sign_records(file, len - 1);
    fd = memfd_create("spill", MFD_CLOEXEC);
    assert(fd >= 0);
    assert(write(fd, file, len - 1) == (ssize_t)(len - 1));
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    count = open_and_use(path);
    if (count >= 0) {
        /* What was left can be opened, and has no torn end any more. */
        assert(spill_open(path, LEN_MAX, &spill, &err) == 0);
        spill_info(spill, &info);
        assert(info.record_count == count);
        assert(info.cut_len == 0);
        spill_close(spill);
    }
    close(fd);
    mem_free(file);
    return 0;
}
