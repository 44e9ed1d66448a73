/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an index file. The first byte is no part of it: bit 0 opens for
 * writing, bit 1 puts right checksums on what looks like records, so that what
 * lies behind the checksums is reached, bit 2 on the header. */
#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/mem.h"
#include "vectors/flat.h"
#include "vectors/flat_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { WRITE = 1, SIGN_RECORDS = 2, SIGN_HEADER = 4, K = 5 };

static void sign_header(uint8_t *file, size_t len)
{
    struct flat_header header;

    if (len < sizeof header)
        return;
    memcpy(&header, file, sizeof header);
    header.crc = hash_crc32c(0, &header, offsetof(struct flat_header, crc));
    memcpy(file, &header, sizeof header);
}

static void sign_records(uint8_t *file, size_t len)
{
    struct flat_header header;
    struct flat_head head;
    uint64_t offset = FLAT_HEADER_LEN;

    if (len < sizeof header)
        return;
    memcpy(&header, file, sizeof header);
    while (offset + sizeof head <= len) {
        uint32_t seed = hash_crc32c(header.crc, &offset, sizeof offset);
        size_t left = len - offset;
        size_t body_len;

        memcpy(&head, file + offset, sizeof head);
        body_len = head.len < FLAT_HEAD_LEN ? 0 : head.len - FLAT_HEAD_LEN;
        if (body_len > left - FLAT_HEAD_LEN)
            body_len = left - FLAT_HEAD_LEN;
        head.body_crc =
            hash_crc32c(seed, file + offset + FLAT_HEAD_LEN, body_len);
        head.head_crc =
            hash_crc32c(seed, &head, offsetof(struct flat_head, head_crc));
        memcpy(file + offset, &head, sizeof head);
        offset += FLAT_HEAD_LEN + (body_len + FLAT_ALIGNMENT - 1) /
                                      FLAT_ALIGNMENT * FLAT_ALIGNMENT;
    }
}

static void search(struct flat *index, const float *query, int dim)
{
    struct flat_hit hits[K];
    struct err err = {0};
    int i, count = 0;

    if (flat_search(index, query, dim, K, NULL, hits, &count, &err) != 0)
        return;
    assert(count <= K);
    for (i = 0; i < count; i++) {
        assert(hits[i].distance == hits[i].distance);
        assert(i == 0 || hits[i - 1].distance <= hits[i].distance);
        assert(strlen(hits[i].entry.path) <= FLAT_PATH_MAX);
        assert(strlen(hits[i].entry.label) <= FLAT_LABEL_MAX);
        if (hits[i].entry.sha256[0] != '\0')
            assert(flat_has(index, hits[i].entry.sha256));
    }
}

/* What is there can be searched; with FLAT_WRITE it takes one more. */
static void use(struct flat *index, enum flat_mode mode)
{
    static float query[FLAT_DIM_MAX];
    struct flat_info before, after;
    struct err err = {0};

    flat_info(index, &before);
    query[0] = 1;
    search(index, query, before.dim);
    if (flat_refresh(index, &err) != 0)
        return;
    if (mode == FLAT_WRITE &&
        flat_add(index, query, "path", "", "label", NULL, &err) == 0) {
        flat_info(index, &after);
        assert(after.count == before.count + 1);
        search(index, query, before.dim);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    enum flat_mode mode;
    struct flat *index = NULL;
    struct err err = {0};
    uint8_t *file = NULL;
    char path[64];
    int fd;

    if (len < 1)
        return 0;
    mode = data[0] & WRITE ? FLAT_WRITE : FLAT_READ;
    file = mem_new(len);
    memcpy(file, data + 1, len - 1);
    if (data[0] & SIGN_HEADER)
        sign_header(file, len - 1);
    if (data[0] & SIGN_RECORDS)
        sign_records(file, len - 1);
    fd = memfd_create("index", MFD_CLOEXEC);
    assert(fd >= 0);
    assert(write(fd, file, len - 1) == (ssize_t)(len - 1));
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (flat_open(path, mode, 0, FLAT_L2, NULL, &index, &err) == 0)
        use(index, mode);
    else
        assert(err.text[0] != '\0');
    flat_close(index);
    close(fd);
    mem_free(file);
    return 0;
}
