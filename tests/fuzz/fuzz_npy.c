/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a .npy file: as texts, as a matrix and as whole numbers. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "vectors/npy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void read_texts(const uint8_t *data, size_t len)
{
    struct npy_texts texts = {0};
    struct err err = {0};
    size_t total = 0;
    int64_t i;

    if (npy_parse_texts((struct bytes){data, len}, &texts, &err) == 0)
        for (i = 0; i < texts.count; i++)
            total += strlen(texts.texts[i]);
    else
        assert(err.text[0] != '\0' && texts.texts == NULL);
    assert(total == 0 || texts.pool != NULL);
    npy_texts_release(&texts);
}

static void read_numbers(const uint8_t *data, size_t len)
{
    struct npy_matrix matrix = {0};
    int64_t *values = NULL, count = 0;
    struct err err = {0};
    char path[64];
    int fd = memfd_create("npy", MFD_CLOEXEC);

    assert(fd >= 0);
    assert(write(fd, data, len) == (ssize_t)len);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (npy_read_matrix(path, &matrix, &err) == 0)
        assert(matrix.row_count * matrix.dim * 2 <= (int64_t)len);
    npy_matrix_release(&matrix);
    err = (struct err){0};
    if (npy_read_integers(path, &values, &count, &err) == 0)
        assert(count <= (int64_t)len);
    mem_free(values);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    read_texts(data, len);
    read_numbers(data, len);
    return 0;
}
