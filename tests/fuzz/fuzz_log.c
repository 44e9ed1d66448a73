/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the log of a store, of version 1 or 2. The first byte is no part
 * of it: bit 0 opens for writing, bit 1 puts right checksums on what looks like
 * records, so that what lies behind the checksums is reached, bit 2 on the
 * header. */
#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/mem.h"
#include "vectors/log_record.h"
#include "vectors/vecstore.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { WRITE = 1, SIGN_RECORDS = 2, SIGN_HEADER = 4, K = 5 };

static void sign_header(uint8_t *file, size_t len)
{
    struct log_header header;

    if (len < sizeof header)
        return;
    memcpy(&header, file, sizeof header);
    header.crc = hash_crc32c(0, &header, offsetof(struct log_header, crc));
    memcpy(file, &header, sizeof header);
}

static void sign_records(uint8_t *file, size_t len)
{
    struct log_header header;
    struct log_head head;
    uint64_t offset = LOG_HEADER_LEN;
    uint32_t start;

    if (len < sizeof header)
        return;
    memcpy(&header, file, sizeof header);
    start = header.version == 1 ? header.crc : header.seed;
    while (offset + sizeof head <= len) {
        uint32_t seed = hash_crc32c(start, &offset, sizeof offset);
        size_t left = len - offset;
        size_t body_len;

        memcpy(&head, file + offset, sizeof head);
        body_len = head.len < LOG_HEAD_LEN ? 0 : head.len - LOG_HEAD_LEN;
        if (body_len > left - LOG_HEAD_LEN)
            body_len = left - LOG_HEAD_LEN;
        head.body_crc =
            hash_crc32c(seed, file + offset + LOG_HEAD_LEN, body_len);
        head.head_crc =
            hash_crc32c(seed, &head, offsetof(struct log_head, head_crc));
        memcpy(file + offset, &head, sizeof head);
        offset += LOG_HEAD_LEN + (body_len + LOG_ALIGNMENT - 1) /
                                     LOG_ALIGNMENT * LOG_ALIGNMENT;
    }
}

static void check_hits(const struct vec_hits *hits, int max)
{
    int i;

    assert(hits->count <= max);
    for (i = 0; i < hits->count; i++) {
        assert(hits->list[i].distance == hits->list[i].distance);
        assert(strlen(hits->list[i].path) <= VEC_PATH_MAX);
        assert(strlen(hits->list[i].key) <= VEC_KEY_MAX);
        assert(hits->list[i].tag_count <= VEC_TAGS_MAX);
    }
}

static void look(struct vecstore *store, const struct vec_query *query,
                 struct arena *arena)
{
    struct vec_hits hits = {0};
    struct err err = {0};
    int i;

    if (vecstore_search(store, query, arena, &hits, &err) == 0)
        check_hits(&hits, K);
    for (i = 1; i < hits.count; i++)
        assert(hits.list[i - 1].id != hits.list[i].id);
    if (vecstore_list(store, -1, K, arena, &hits, NULL, &err) == 0)
        check_hits(&hits, K);
    for (i = 1; i < hits.count; i++)
        assert(hits.list[i - 1].id < hits.list[i].id);
}

/* What is there can be searched; with VEC_WRITE it takes one more. */
static void use(struct vecstore *store, enum vec_mode mode, struct arena *arena)
{
    static float vector[VEC_DIM_MAX] = {1};
    struct vec_query query = {.vector = vector, .k = K};
    const struct vec_entry entry = {
        .id = VEC_ID_NEW, .vector = vector, .path = "path"};
    struct vec_info before, after;
    struct err err = {0};

    if (vecstore_info(store, &before, &err) != 0)
        abort();
    query.dim = before.dim;
    look(store, &query, arena);
    if (vecstore_refresh(store, &err) != 0 || mode == VEC_READ)
        return;
    if (vecstore_add(store, &entry, 1, NULL, &err) != 0)
        return;
    if (vecstore_info(store, &after, &err) != 0)
        abort();
    assert(after.count == before.count + 1);
    look(store, &query, arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const struct vec_options options = {0};
    struct arena *arena = NULL;
    struct vecstore *store = NULL;
    struct err err = {0};
    enum vec_mode mode;
    uint8_t *file = NULL;
    char path[64];
    int fd;

    if (len < 1)
        return 0;
    mode = data[0] & WRITE ? VEC_WRITE : VEC_READ;
    file = mem_new(len);
    memcpy(file, data + 1, len - 1);
    if (data[0] & SIGN_HEADER)
        sign_header(file, len - 1);
    if (data[0] & SIGN_RECORDS)
        sign_records(file, len - 1);
    fd = memfd_create("log", MFD_CLOEXEC);
    assert(fd >= 0);
    assert(write(fd, file, len - 1) == (ssize_t)(len - 1));
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    arena = arena_new(64 << 20);
    if (vecstore_open(path, mode, &options, &store, &err) == 0)
        use(store, mode, arena);
    else
        assert(err.text[0] != '\0');
    vecstore_close(store);
    arena_free(arena);
    close(fd);
    mem_free(file);
    return 0;
}
