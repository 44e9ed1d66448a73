/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "vectors/infile.h"
#include "vectors/npy.h"
#include "vectors/npy_header.h"
#include "vectors/npy_pickle.h"
#include "vectors/npy_pool.h"

/* Where value i lies in a file whose first index runs fastest. */
static int64_t fortran_place(const struct npy_header *header, int64_t i)
{
    int64_t place = 0, stride = header->count;
    int axis;

    for (axis = header->shape_count - 1; axis >= 0; axis--) {
        stride /= header->shape[axis];
        place += i % header->shape[axis] * stride;
        i /= header->shape[axis];
    }
    return place;
}

/* Zeros at the end of a "|S12" are none of the text. */
static struct bytes without_zeros(struct bytes text)
{
    while (text.len > 0 && text.data[text.len - 1] == 0)
        text.len--;
    return text;
}

static int read_fixed(const struct npy_header *header, const uint8_t *values,
                      struct npy_pool *pool, struct err *err)
{
    size_t len = (size_t)header->item_len;
    int64_t i, at, place = 0;
    int rc = 0;

    for (i = 0; rc == 0 && i < header->count; i++) {
        struct bytes text = {0};

        at = header->is_fortran ? fortran_place(header, i) : i;
        text = (struct bytes){values + (size_t)at * len, len};
        rc = header->kind == 'U'
                 ? npy_pool_ucs4(pool, text, header->is_big_endian, &place, err)
                 : npy_pool_utf8(pool, without_zeros(text), &place, err);
        if (rc == 0)
            rc = npy_pool_add(pool, place, err);
        if (rc)
            err_wrap(err, "text %" PRId64, i);
    }
    return rc;
}

int npy_parse_texts(struct bytes file, struct npy_texts *out, struct err *err)
{
    struct npy_header header;
    struct npy_pool pool;
    struct bytes data;
    char type[32];
    int rc;

    rc = npy_header_parse(file, file.len, &header, err);
    if (rc)
        return rc;
    data = (struct bytes){file.data + header.data_at,
                          file.len - (size_t)header.data_at};
    npy_pool_init(&pool);
    if (header.kind == 'O')
        rc = npy_pickle_read(data, header.count, &pool, err);
    else if ((header.kind == 'U' || header.kind == 'S') &&
             (header.item_len > 0 || header.count == 0))
        rc = read_fixed(&header, data.data, &pool, err);
    else
        rc = err_set(err, ERR_UNSUPPORTED,
                     "values of type %s are not read as texts; '<U', '|S' and "
                     "objects are",
                     npy_header_type(&header, type));
    if (rc == 0)
        rc = npy_pool_finish(&pool, out, err);
    npy_pool_release(&pool);
    return rc;
}

int npy_read_texts(const char *path, struct npy_texts *out, struct err *err)
{
    struct buf file;
    int rc;

    buf_init(&file, NPY_TEXTS_LEN_MAX);
    rc = file_read(path, &file, err);
    if (rc == 0) {
        rc = npy_parse_texts(buf_bytes(&file), out, err);
        if (rc)
            err_wrap(err, "'%s'", path);
    }
    buf_release(&file);
    return rc;
}

void npy_texts_release(struct npy_texts *texts)
{
    mem_free(texts->texts);
    mem_free(texts->pool);
    *texts = (struct npy_texts){0};
}

/* The characters of a text. */
static int count_chars(const char *text, size_t *out, struct err *err)
{
    const uint8_t *bytes = (const uint8_t *)text;
    size_t left = strlen(text), count = 0;
    int len;

    for (; left > 0; left -= (size_t)len, bytes += len, count++)
        if (npy_utf8_char(bytes, left, &len) < 0)
            return err_set(err, ERR_INVALID, "a text is not valid UTF-8");
    *out = count;
    return 0;
}

static void write_text(struct outfile *file, const char *text, size_t width)
{
    const uint8_t *bytes = (const uint8_t *)text;
    size_t left = strlen(text);
    int len;

    for (; left > 0; left -= (size_t)len, bytes += len, width--)
        outfile_u32(file, (uint32_t)npy_utf8_char(bytes, left, &len));
    for (; width > 0; width--)
        outfile_u32(file, 0);
}

int npy_write_texts(const char *path, const char *const *texts, int64_t count,
                    struct err *err)
{
    size_t width = 1, chars = 0;
    struct outfile *file = NULL;
    struct buf header;
    char descr[32];
    int64_t i;
    int rc;

    for (i = 0; i < count; i++) {
        rc = count_chars(texts[i], &chars, err);
        if (rc)
            return err_wrap(err, "text %" PRId64, i);
        width = chars > width ? chars : width;
    }
    snprintf(descr, sizeof descr, "<U%zu", width);
    buf_init(&header, 4096);
    npy_header_write(&header, descr, count, -1);
    rc = buf_check(&header, err);
    if (rc == 0)
        rc = outfile_open(path, &file, err);
    if (rc == 0) {
        outfile_write(file, header.data, header.len);
        for (i = 0; i < count; i++)
            write_text(file, texts[i], width);
        rc = outfile_commit(file, err);
    }
    buf_release(&header);
    return rc;
}
