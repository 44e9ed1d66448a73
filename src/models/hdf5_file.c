/* SPDX-License-Identifier: Apache-2.0 */
#include "models/hdf5_file.h"

#include <hdf5.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

enum { PATH_LEN_MAX = 2048, FILTERS_MAX = 4 };

/* The most that deflate shrinks anything (1032 to 1, RFC 1951), and some. A
 * dataset that claims more than this of what is stored is a bomb. */
enum { INFLATION_MAX = 1100 };

struct hdf5_file {
    hid_t id;
};

static int damaged(const char *what, const char *path, struct err *err)
{
    return err_set(err, ERR_UNPROCESSABLE,
                   "the HDF5 file is damaged: %s of \"%.200s\" cannot be read",
                   what, path);
}

int hdf5_open(const char *path, struct hdf5_file **out, struct err *err)
{
    struct hdf5_file *file;
    hid_t access, id = H5I_INVALID_HID;

    /* The library prints to stderr and loads filters from a path in the
     * environment unless it is told not to. */
    (void)H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    (void)H5PLset_loading_state(0);
    access = H5Pcreate(H5P_FILE_ACCESS);
    if (access >= 0 && H5Pset_fapl_sec2(access) >= 0 &&
        H5Pset_fclose_degree(access, H5F_CLOSE_STRONG) >= 0 &&
        H5Pset_file_locking(access, false, true) >= 0)
        id = H5Fopen(path, H5F_ACC_RDONLY, access);
    if (access >= 0)
        H5Pclose(access);
    if (id < 0)
        return err_set(err, ERR_UNPROCESSABLE,
                       "it is no HDF5 file, or its beginning or end is "
                       "damaged");
    file = mem_new(sizeof *file);
    file->id = id;
    *out = file;
    return 0;
}

void hdf5_close(struct hdf5_file *file)
{
    if (file == NULL)
        return;
    H5Fclose(file->id);
    mem_free(file);
}

/* Whether the link at `path`, whose parents were checked, is a hard one. */
static bool is_hard_link(struct hdf5_file *file, const char *path)
{
    H5L_info_t info;

    return H5Lexists(file->id, path, H5P_DEFAULT) > 0 &&
           H5Lget_info(file->id, path, &info, H5P_DEFAULT) >= 0 &&
           info.type == H5L_TYPE_HARD;
}

bool hdf5_has(struct hdf5_file *file, const char *path)
{
    char part[PATH_LEN_MAX];
    size_t i, len = strlen(path);

    if (len == 0 || len >= sizeof part)
        return false;
    for (i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (!is_hard_link(file, part))
            return false;
    }
    return true;
}

/* Opens a group or a dataset; path "" is the root. */
static int open_object(struct hdf5_file *file, const char *path, hid_t *out,
                       struct err *err)
{
    if (path[0] != '\0' && !hdf5_has(file, path))
        return err_set(err, ERR_NOT_FOUND,
                       "the HDF5 file has no \"%.200s\" (links that leave the "
                       "file are not followed)",
                       path);
    *out = H5Oopen(file->id, path[0] != '\0' ? path : "/", H5P_DEFAULT);
    if (*out < 0)
        return damaged("the header", path, err);
    return 0;
}

bool hdf5_has_text(struct hdf5_file *file, const char *path, const char *name)
{
    struct err ignored = {0};
    bool has_it;
    hid_t object;

    if (open_object(file, path, &object, &ignored))
        return false;
    has_it = H5Aexists(object, name) > 0;
    H5Oclose(object);
    return has_it;
}

/* Texts of varying length: the library allots them, so it frees them. */
static int read_loose(hid_t attribute, hid_t type, size_t count,
                      struct buf *out)
{
    char **texts = mem_try(count, sizeof *texts);
    size_t i;
    int rc = texts == NULL || H5Aread(attribute, type, texts) < 0;

    for (i = 0; texts != NULL && i < count; i++) {
        if (rc == 0 && texts[i] != NULL)
            buf_add_text(out, texts[i]);
        if (rc == 0)
            buf_add_char(out, '\0');
        if (texts[i] != NULL)
            H5free_memory(texts[i]);
    }
    mem_free(texts);
    return rc;
}

/* Texts of one length each, filled with NULs or not. */
static int read_fixed(hid_t attribute, hid_t type, size_t count,
                      struct buf *out)
{
    size_t i, size = H5Tget_size(type);
    char *texts;
    int rc;

    if (size == 0 || size > HDF5_TEXT_MAX || count > HDF5_TEXT_MAX / size)
        return -1;
    texts = mem_try(count, size);
    rc = texts == NULL || H5Aread(attribute, type, texts) < 0;
    for (i = 0; rc == 0 && i < count; i++) {
        buf_add(out, texts + i * size, strnlen(texts + i * size, size));
        buf_add_char(out, '\0');
    }
    mem_free(texts);
    return rc;
}

static int read_attribute(hid_t attribute, struct buf *out, size_t *count)
{
    hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
    hssize_t points = space >= 0 ? H5Sget_simple_extent_npoints(space) : -1;
    int rc = -1;

    *count = 0;
    if (points == 0)
        rc = 0;
    else if (type >= 0 && points > 0 && points <= HDF5_TEXTS_MAX &&
             H5Tget_class(type) == H5T_STRING) {
        *count = (size_t)points;
        rc = H5Tis_variable_str(type) > 0
                 ? read_loose(attribute, type, *count, out)
                 : read_fixed(attribute, type, *count, out);
    }
    if (space >= 0)
        H5Sclose(space);
    if (type >= 0)
        H5Tclose(type);
    return rc;
}

int hdf5_read_texts(struct hdf5_file *file, const char *path, const char *name,
                    struct buf *out, size_t *count, struct err *err)
{
    hid_t object, attribute;
    int rc;

    rc = open_object(file, path, &object, err);
    if (rc)
        return rc;
    if (H5Aexists(object, name) <= 0) {
        H5Oclose(object);
        return err_set(err, ERR_NOT_FOUND,
                       "\"%.200s\" of the HDF5 file has no attribute %s", path,
                       name);
    }
    attribute = H5Aopen(object, name, H5P_DEFAULT);
    rc = attribute < 0 || read_attribute(attribute, out, count);
    if (attribute >= 0)
        H5Aclose(attribute);
    H5Oclose(object);
    return rc ? damaged("an attribute", path, err) : buf_check(out, err);
}

/* Only storage inside the file, and filters that are built in. */
static bool is_plain_storage(hid_t dataset)
{
    hid_t made = H5Dget_create_plist(dataset);
    H5D_layout_t layout;
    bool is_plain;
    int i, filter_count;

    if (made < 0)
        return false;
    layout = H5Pget_layout(made);
    filter_count = H5Pget_nfilters(made);
    is_plain = (layout == H5D_CONTIGUOUS || layout == H5D_CHUNKED ||
                layout == H5D_COMPACT) &&
               H5Pget_external_count(made) == 0 && filter_count >= 0 &&
               filter_count <= FILTERS_MAX;
    for (i = 0; is_plain && i < filter_count; i++) {
        unsigned flags, config;
        size_t value_count = 0;
        H5Z_filter_t filter = H5Pget_filter2(
            made, (unsigned)i, &flags, &value_count, NULL, 0, NULL, &config);

        is_plain = filter == H5Z_FILTER_DEFLATE ||
                   filter == H5Z_FILTER_SHUFFLE ||
                   filter == H5Z_FILTER_FLETCHER32;
    }
    H5Pclose(made);
    return is_plain;
}

/* The bytes of one chunk, which the library takes whole; 0 without chunks. */
static uint64_t chunk_len(hid_t dataset, size_t size)
{
    hid_t made = H5Dget_create_plist(dataset);
    hsize_t dims[HDF5_RANK_MAX] = {0};
    uint64_t len = size;
    int i, rank = 0;

    if (made < 0)
        return 0;
    if (H5Pget_layout(made) == H5D_CHUNKED)
        rank = H5Pget_chunk(made, HDF5_RANK_MAX, dims);
    for (i = 0; i < rank && i < HDF5_RANK_MAX; i++)
        if (__builtin_mul_overflow(len, (uint64_t)dims[i], &len))
            len = UINT64_MAX;
    H5Pclose(made);
    return rank > 0 ? len : 0;
}

static int open_dataset(struct hdf5_file *file, const char *path, hid_t *out,
                        struct err *err)
{
    int rc = open_object(file, path, out, err);

    if (rc)
        return rc;
    if (H5Iget_type(*out) != H5I_DATASET) {
        H5Oclose(*out);
        return err_set(err, ERR_UNPROCESSABLE, "\"%.200s\" is no dataset",
                       path);
    }
    if (!is_plain_storage(*out)) {
        H5Oclose(*out);
        return err_set(err, ERR_UNPROCESSABLE,
                       "\"%.200s\" is stored outside the file or with a "
                       "filter other than deflate, shuffle and fletcher32",
                       path);
    }
    return 0;
}

/* Its sizes, and that it holds float16, 32 or 64. */
static int shape_of(hid_t dataset, const char *path, int64_t *dims, int *rank,
                    struct err *err)
{
    hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset);
    hsize_t sizes[HDF5_RANK_MAX];
    bool is_float =
        type >= 0 && H5Tget_class(type) == H5T_FLOAT && H5Tget_size(type) <= 8;
    int i, n = space >= 0 ? H5Sget_simple_extent_ndims(space) : -1;

    if (n < 0 || n > HDF5_RANK_MAX ||
        (n > 0 && H5Sget_simple_extent_dims(space, sizes, NULL) != n))
        n = -1;
    if (space >= 0)
        H5Sclose(space);
    if (type >= 0)
        H5Tclose(type);
    if (n < 0)
        return damaged("the shape", path, err);
    if (!is_float)
        return err_set(err, ERR_UNPROCESSABLE,
                       "\"%.200s\" holds no floating-point numbers; quantised "
                       "weights are not read",
                       path);
    for (i = 0; i < n; i++) {
        if (sizes[i] > INT32_MAX)
            return err_set(err, ERR_UNPROCESSABLE,
                           "\"%.200s\" has a side of %llu; at most %d", path,
                           (unsigned long long)sizes[i], INT32_MAX);
        dims[i] = (int64_t)sizes[i];
    }
    *rank = n;
    return 0;
}

int hdf5_read_shape(struct hdf5_file *file, const char *path, int64_t *dims,
                    int *rank, struct err *err)
{
    hid_t dataset;
    int rc = open_dataset(file, path, &dataset, err);

    if (rc)
        return rc;
    rc = shape_of(dataset, path, dims, rank, err);
    H5Dclose(dataset);
    return rc;
}

/* Whether what is stored can hold `count` numbers, and no chunk is far larger
 * than all of them. */
static int check_storage(hid_t dataset, const char *path, size_t count,
                         struct err *err)
{
    hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset);
    size_t size = type >= 0 ? H5Tget_size(type) : 0;
    hssize_t points = space >= 0 ? H5Sget_simple_extent_npoints(space) : -1;
    uint64_t stored = H5Dget_storage_size(dataset), need, chunk;

    if (type >= 0)
        H5Tclose(type);
    if (space >= 0)
        H5Sclose(space);
    if (size == 0 || size > 8 || points < 0 || (size_t)points != count)
        return damaged("the shape", path, err);
    need = (uint64_t)count * size;
    chunk = chunk_len(dataset, size);
    if (need / INFLATION_MAX > stored || (count > 0 && stored == 0) ||
        (chunk == 0 && stored < need))
        return err_set(err, ERR_UNPROCESSABLE,
                       "\"%.200s\" claims %llu bytes, of which %llu are stored",
                       path, (unsigned long long)need,
                       (unsigned long long)stored);
    if (chunk / INFLATION_MAX > stored)
        return err_set(err, ERR_UNPROCESSABLE,
                       "\"%.200s\" claims pieces of %llu bytes; %llu bytes are "
                       "stored",
                       path, (unsigned long long)chunk,
                       (unsigned long long)stored);
    return 0;
}

int hdf5_read_floats(struct hdf5_file *file, const char *path, float *out,
                     size_t count, struct err *err)
{
    hid_t dataset;
    int rc = open_dataset(file, path, &dataset, err);

    if (rc)
        return rc;
    rc = check_storage(dataset, path, count, err);
    if (rc == 0 && H5Dread(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL,
                           H5P_DEFAULT, out) < 0)
        rc = damaged("the numbers", path, err);
    H5Dclose(dataset);
    return rc;
}
