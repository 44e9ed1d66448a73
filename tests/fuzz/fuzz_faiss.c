/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an index file of FAISS. The first byte is no part of it: bit 0
 * maps the file, bits 1 and 2 ask for another type. What opens is searched,
 * written and read back. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "vectors/faiss_file.h"
#include "vectors/vecindex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { K = 5, COUNT_MAX = 300 };

static void search(struct vecindex *index)
{
    static float vector[VECINDEX_DIM_MAX] = {1, -2, 0.5F};
    struct vecindex_query query = {.vector = vector, .k = K};
    struct vecindex_hit hits[K];
    struct vecindex_info info;
    struct err err = {0};
    bool is_exact = false;
    int i, count = 0;

    vecindex_info(index, &info);
    query.dim = info.dim;
    if (vecindex_search(index, &query, hits, &count, &is_exact, &err) != 0)
        return;
    assert(count == (info.count < K ? info.count : K));
    for (i = 0; i < count; i++) {
        float row[8];

        assert(hits[i].distance == hits[i].distance);
        if (info.dim <= 8)
            assert(vecindex_row(index, hits[i].id, row, &err) == 0);
    }
}

static void write_back(const char *path)
{
    struct faiss_index index = {0}, back = {0};
    struct err err = {0};
    char other[64];

    if (faiss_file_read(path, false, &index, &err) != 0) {
        assert(err.text[0] != '\0');
        return;
    }
    snprintf(other, sizeof other, "/tmp/olho-fuzz-faiss-%ld", (long)getpid());
    assert(faiss_file_write(other, &index, &err) == 0);
    assert(faiss_file_read(other, false, &back, &err) == 0);
    assert(back.count == index.count && back.kind == index.kind);
    unlink(other);
    faiss_index_release(&index);
    faiss_index_release(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const enum vecindex_type types[] = {VECINDEX_ANY, VECINDEX_FLAT,
                                               VECINDEX_IVFFLAT, VECINDEX_HNSW};
    struct vecindex_options options = {.thread_count = 1};
    struct vecindex *index = NULL;
    struct err err = {0};
    char path[64];
    int fd;

    if (len < 1)
        return 0;
    options.is_mapped = data[0] & 1;
    options.type = len < COUNT_MAX * 8 ? types[data[0] >> 1 & 3] : VECINDEX_ANY;
    fd = memfd_create("faiss", MFD_CLOEXEC);
    assert(fd >= 0);
    assert(write(fd, data + 1, len - 1) == (ssize_t)(len - 1));
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (vecindex_open(path, &options, &index, &err) == 0)
        search(index);
    else
        assert(err.text[0] != '\0');
    vecindex_free(index);
    write_back(path);
    close(fd);
    return 0;
}
