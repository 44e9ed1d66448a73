/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors/npy.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "vectors/infile.h"
#include "vectors/npy_header.h"

enum { CHUNK_LEN = 64 << 10 };

/* Opens the file and stands on its first value. */
static int open_npy(const char *path, struct infile *file,
                    struct npy_header *header, struct err *err)
{
    struct buf start;
    uint64_t len;
    int rc;

    rc = infile_open(path, file, err);
    if (rc)
        return rc;
    len = file->len < NPY_HEADER_LEN_MAX ? file->len : NPY_HEADER_LEN_MAX;
    buf_init(&start, NPY_HEADER_LEN_MAX + 1);
    if (buf_reserve(&start, (size_t)len) == NULL) {
        rc = err_set(err, ERR_UNAVAILABLE, "no memory for '%s'", path);
    } else {
        infile_read(file, start.data, len);
        start.len = (size_t)len;
        rc = infile_check(file, err);
    }
    if (rc == 0)
        rc = npy_header_parse(buf_bytes(&start), file->len, header, err);
    buf_release(&start);
    if (rc) {
        infile_close(file);
        return err_wrap(err, "'%s'", path);
    }
    file->at = header->data_at;
    return 0;
}

static uint64_t load(const uint8_t *bytes, int len, bool is_big_endian)
{
    uint64_t value = 0;
    int i;

    for (i = 0; i < len; i++)
        value = value << 8 | bytes[is_big_endian ? i : len - 1 - i];
    return value;
}

/* IEEE 754 binary16: sign 1, exponent 5, fraction 10. */
static float half(uint16_t bits)
{
    int exponent = bits >> 10 & 31, fraction = bits & 1023;
    float value;

    if (exponent == 31)
        value = fraction != 0 ? NAN : INFINITY;
    else if (exponent == 0)
        value = ldexpf((float)fraction, -24);
    else
        value = ldexpf((float)(fraction + 1024), exponent - 25);
    return bits >> 15 ? -value : value;
}

static float real(const uint8_t *bytes, const struct npy_header *header)
{
    uint64_t bits = load(bytes, header->item_len, header->is_big_endian);
    uint32_t bits32 = (uint32_t)bits;
    double wide;
    float value;

    if (header->item_len == 2)
        return half((uint16_t)bits);
    if (header->item_len == 8) {
        memcpy(&wide, &bits, sizeof wide);
        return (float)wide;
    }
    memcpy(&value, &bits32, sizeof value);
    return value;
}

/* Values come in the file's order; with Fortran order the row runs fastest. */
static void read_reals(struct infile *file, const struct npy_header *header,
                       int64_t row_count, int64_t dim, float *out)
{
    uint8_t chunk[CHUNK_LEN];
    int64_t done = 0, i, part;

    assert(header->item_len > 0);
    if (header->item_len == 4 && !header->is_big_endian &&
        !header->is_fortran) {
        infile_read(file, out, (uint64_t)header->count * 4);
        return;
    }
    while (done < header->count) {
        part = CHUNK_LEN / header->item_len;
        part = header->count - done < part ? header->count - done : part;
        infile_read(file, chunk, (uint64_t)(part * header->item_len));
        for (i = 0; i < part; i++, done++) {
            int64_t place = header->is_fortran
                                ? done % row_count * dim + done / row_count
                                : done;

            out[place] = real(chunk + i * header->item_len, header);
        }
    }
}

static int check_matrix(const struct npy_header *header, int64_t *row_count,
                        int64_t *dim, struct err *err)
{
    char type[32];

    if (header->kind != 'f' || (header->item_len != 2 &&
                                header->item_len != 4 && header->item_len != 8))
        return err_set(err, ERR_UNSUPPORTED,
                       "values of type %s are not read as vectors; float16, "
                       "float32 and float64 are",
                       npy_header_type(header, type));
    if (header->shape_count < 1 || header->shape_count > 2)
        return err_set(err, ERR_INVALID,
                       "the array has %d dimensions; a matrix has 2",
                       header->shape_count);
    *row_count = header->shape_count == 2 ? header->shape[0] : 1;
    *dim = header->shape[header->shape_count - 1];
    if (*dim < 1 || *dim > NPY_DIM_MAX)
        return err_set(err, ERR_INVALID,
                       "a row has %" PRId64 " values; it must have 1..%d", *dim,
                       NPY_DIM_MAX);
    return 0;
}

int npy_read_matrix(const char *path, struct npy_matrix *out, struct err *err)
{
    struct infile file = {.fd = -1};
    struct npy_header header = {0};
    int64_t row_count = 0, dim = 0;
    float *rows = NULL;
    int rc;

    rc = open_npy(path, &file, &header, err);
    if (rc)
        return rc;
    rc = check_matrix(&header, &row_count, &dim, err);
    if (rc)
        goto out;
    rows = mem_try_aligned((size_t)header.count, sizeof *rows);
    if (rows == NULL) {
        rc = err_set(err, ERR_UNAVAILABLE,
                     "no memory for %" PRId64 " rows of %" PRId64 " values",
                     row_count, dim);
        goto out;
    }
    read_reals(&file, &header, row_count, dim, rows);
    rc = infile_check(&file, err);
    if (rc == 0) {
        *out = (struct npy_matrix){rows, row_count, (int)dim};
        rows = NULL;
    }
out:
    mem_free(rows);
    infile_close(&file);
    return rc ? err_wrap(err, "'%s'", path) : 0;
}

void npy_matrix_release(struct npy_matrix *matrix)
{
    mem_free(matrix->rows);
    *matrix = (struct npy_matrix){0};
}

static int64_t whole(const uint8_t *bytes, const struct npy_header *header)
{
    uint64_t bits = load(bytes, header->item_len, header->is_big_endian);
    int spare = 64 - 8 * header->item_len;

    if (header->kind == 'u')
        return (int64_t)bits;
    return (int64_t)(bits << spare) >> spare;
}

static int check_integers(const struct npy_header *header, struct err *err)
{
    int len = header->item_len;
    char type[32];

    if ((header->kind != 'i' && header->kind != 'u') ||
        (len != 1 && len != 2 && len != 4 && len != 8) ||
        (header->kind == 'u' && len == 8))
        return err_set(err, ERR_UNSUPPORTED,
                       "values of type %s are not read as whole numbers; "
                       "int8..int64 and uint8..uint32 are",
                       npy_header_type(header, type));
    if (header->shape_count != 1)
        return err_set(err, ERR_INVALID,
                       "the array has %d dimensions; a list of numbers has 1",
                       header->shape_count);
    return 0;
}

int npy_read_integers(const char *path, int64_t **out, int64_t *out_count,
                      struct err *err)
{
    struct infile file = {.fd = -1};
    struct npy_header header = {0};
    int64_t *values = NULL;
    uint8_t bytes[8];
    int64_t i;
    int rc;

    rc = open_npy(path, &file, &header, err);
    if (rc)
        return rc;
    rc = check_integers(&header, err);
    if (rc)
        goto out;
    values = mem_try((size_t)header.count, sizeof *values);
    if (values == NULL) {
        rc = err_set(err, ERR_UNAVAILABLE, "no memory for %" PRId64 " numbers",
                     header.count);
        goto out;
    }
    for (i = 0; i < header.count; i++) {
        infile_read(&file, bytes, (uint64_t)header.item_len);
        values[i] = whole(bytes, &header);
    }
    rc = infile_check(&file, err);
    if (rc == 0) {
        *out = values;
        *out_count = header.count;
        values = NULL;
    }
out:
    mem_free(values);
    infile_close(&file);
    return rc ? err_wrap(err, "'%s'", path) : 0;
}

/* Begins a file with its header. */
static int begin(const char *path, const char *descr, int64_t row_count,
                 int64_t column_count, struct outfile **out, struct err *err)
{
    struct buf header;
    int rc;

    buf_init(&header, 4096);
    npy_header_write(&header, descr, row_count, column_count);
    rc = buf_check(&header, err);
    if (rc == 0)
        rc = outfile_open(path, out, err);
    if (rc == 0)
        outfile_write(*out, header.data, header.len);
    buf_release(&header);
    return rc;
}

int npy_write_matrix(const char *path, const float *rows, int64_t row_count,
                     int dim, struct err *err)
{
    struct outfile *file = NULL;
    int rc;

    rc = begin(path, "<f4", row_count, dim, &file, err);
    if (rc)
        return rc;
    outfile_write(file, rows, (uint64_t)row_count * (uint64_t)dim * 4);
    return outfile_commit(file, err);
}

int npy_write_integers(const char *path, const int64_t *values, int64_t count,
                       struct err *err)
{
    struct outfile *file = NULL;
    int rc;

    rc = begin(path, "<i8", count, -1, &file, err);
    if (rc)
        return rc;
    outfile_write(file, values, (uint64_t)count * 8);
    return outfile_commit(file, err);
}
