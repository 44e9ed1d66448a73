/* SPDX-License-Identifier: Apache-2.0 */
/* Searches take no lock: they read the number of rows once, and rows below it
 * never move or change, but for a path and label that an update replaces by
 * one pointer. `writing` is for those who add or take in; it is held while the
 * disk syncs, which is what it is for, and no search ever waits for it.
 * flat_ids has a mutex of its own, which is taken last and for a moment. */
#include "vectors/flat.h"

#include <assert.h>
#include <ctype.h>
#include <math.h>
#include <pthread.h>
#include <string.h>

#include "base/mem.h"
#include "vectors/dot.h"
#include "vectors/flat_file.h"
#include "vectors/flat_ids.h"
#include "vectors/flat_rows.h"
#include "vectors/nearest.h"

enum { RUN_LEN = 256 };

/* Squares and products of two vectors as long as this cannot overflow, with
 * room to spare; NaN and infinities are not below it. The cosine of a vector
 * shorter than the other limit would be all rounding. */
static const float square_max = 1e37F;
static const float square_min = 1e-30F;

/* Of a file the limits are wider: another processor's sum rounded otherwise. */
static const float file_slack = 2;

struct flat {
    const struct dot_kernels *kernels;
    enum flat_mode mode;
    int dim;
    enum flat_metric metric;
    struct flat_rows rows;
    struct flat_ids *ids;    /* owned */
    pthread_mutex_t writing; /* guards what follows, and adding to the above */
    struct flat_file *file;  /* owned */
    bool is_batch;           /* between flat_begin and flat_commit */
    int64_t batch_count;     /* records written in it */
};

const char *flat_metric_name(enum flat_metric metric)
{
    static const char *const names[] = {"L2", "IP", "cosine"};

    assert(metric >= FLAT_L2 && metric <= FLAT_COSINE);
    return names[metric];
}

/* --- vectors ---------------------------------------------------------- */

/* The square of the vector's length into *out, when it can be searched. */
static int check_vector(const struct flat *index, const float *vector,
                        float slack, float *out, struct err *err)
{
    float square = 0;

    index->kernels->inner(vector, &vector, 1, index->dim, &square);
    if (!(square <= square_max * slack))
        return err_set(err, ERR_INVALID,
                       "the vector has NaN, infinite or huge numbers "
                       "(its length must be below %.0e)",
                       sqrt((double)square_max));
    if (index->metric == FLAT_COSINE && square < square_min / slack)
        return err_set(err, ERR_INVALID,
                       "the vector has length 0, so no cosine");
    *out = square;
    return 0;
}

static float scale_of(const struct flat *index, float square)
{
    return index->metric == FLAT_COSINE ? 1 / sqrtf(square) : 1;
}

/* Lower-case digits into out (65 bytes); "" stays "". */
static int clean_sha256(const char *sha256, char *out, struct err *err)
{
    size_t i, len = strlen(sha256);

    if (len != 0 && len != HASH_HEX_LEN)
        return err_set(err, ERR_INVALID,
                       "a SHA-256 has %d hexadecimal digits, not %zu",
                       HASH_HEX_LEN, len);
    for (i = 0; i < len; i++) {
        if (!isxdigit((unsigned char)sha256[i]))
            return err_set(err, ERR_INVALID,
                           "a SHA-256 has only hexadecimal digits");
        out[i] = (char)tolower((unsigned char)sha256[i]);
    }
    out[len] = '\0';
    return 0;
}

/* --- open and take in ------------------------------------------------- */

/* Where a text of an entry is mapped, without touching the mapped page: an
 * index that was opened and not yet searched has none of them in memory. */
static const char *mapped_text(const struct flat_record *seen,
                               const struct flat_head *head, const char *text)
{
    return (const char *)(head + 1) + (text - (const char *)seen->vector);
}

static int take_entry(struct flat *index, const struct flat_record *seen,
                      const struct flat_head *head, struct err *err)
{
    int64_t count = flat_rows_count(&index->rows);
    char sha256[HASH_HEX_LEN + 1];
    float square = 0;
    struct err why;
    int rc;

    if (seen->id != count)
        return err_set(err, ERR_CORRUPT, "entry %lld where %lld should be",
                       (long long)seen->id, (long long)count);
    if (check_vector(index, seen->vector, file_slack, &square, &why) != 0 ||
        clean_sha256(seen->sha256, sha256, &why) != 0)
        return err_set(err, ERR_CORRUPT, "entry %lld: %s", (long long)count,
                       why.text);
    if (strcmp(seen->sha256, sha256) != 0)
        return err_set(err, ERR_CORRUPT, "entry %lld: capital digits",
                       (long long)count);
    rc = flat_rows_reserve(&index->rows, err);
    if (rc == 0)
        rc = flat_ids_reserve(index->ids, err);
    if (rc)
        return rc;
    /* The row comes last: an entry that is counted can be found. */
    if (sha256[0] != '\0' && flat_ids_find(index->ids, sha256) < 0)
        flat_ids_add(index->ids, mapped_text(seen, head, seen->sha256), count);
    flat_rows_add(&index->rows, head, scale_of(index, square));
    return 0;
}

static int take_record(void *user, const struct flat_record *seen,
                       const struct flat_head *head, struct err *err)
{
    struct flat *index = user;

    if (seen->kind == FLAT_ENTRY)
        return take_entry(index, seen, head, err);
    if (seen->kind == FLAT_UPDATE) {
        if (seen->id < 0 || seen->id >= flat_rows_count(&index->rows))
            return err_set(err, ERR_CORRUPT, "an update of no entry: %lld",
                           (long long)seen->id);
        flat_rows_rename(&index->rows, seen->id, head);
    }
    return 0;
}

static int make_shape(int dim, enum flat_metric metric, const char *model,
                      struct flat_shape *out, struct err *err)
{
    size_t len = model == NULL ? 0 : strnlen(model, sizeof out->model - 1);

    memset(out, 0, sizeof *out);
    if (dim < 0 || dim > FLAT_DIM_MAX)
        return err_set(err, ERR_INVALID,
                       "vectors of %d floats; an index has 1..%d", dim,
                       FLAT_DIM_MAX);
    out->dim = dim;
    out->metric = metric;
    if (len > 0)
        memcpy(out->model, model, len);
    return 0;
}

int flat_open(const char *path, enum flat_mode mode, int dim,
              enum flat_metric metric, const char *model, struct flat **out,
              struct err *err)
{
    struct flat *index = NULL;
    struct flat_shape shape;
    int rc;

    assert(metric >= FLAT_L2 && metric <= FLAT_COSINE);
    rc = make_shape(dim, metric, model, &shape, err);
    if (rc)
        return rc;
    index = mem_new(sizeof *index);
    index->kernels = dot_best();
    index->mode = mode;
    index->ids = flat_ids_new();
    pthread_mutex_init(&index->writing, NULL);
    rc = flat_file_open(path, mode, &shape, &index->file, err);
    if (rc == 0) {
        index->dim = flat_file_shape(index->file)->dim;
        index->metric = flat_file_shape(index->file)->metric;
        rc = flat_file_load(index->file, take_record, index, err);
    }
    if (rc) {
        flat_close(index);
        return rc;
    }
    *out = index;
    return 0;
}

void flat_close(struct flat *index)
{
    if (index == NULL)
        return;
    flat_file_close(index->file);
    flat_rows_release(&index->rows);
    flat_ids_free(index->ids);
    pthread_mutex_destroy(&index->writing);
    mem_free(index);
}

int flat_refresh(struct flat *index, struct err *err)
{
    bool has_more = false;
    int rc = flat_file_has_more(index->file, &has_more, err);

    if (rc || !has_more || index->mode == FLAT_WRITE)
        return rc;
    pthread_mutex_lock(&index->writing);
    rc = flat_file_refresh(index->file, take_record, index, err);
    pthread_mutex_unlock(&index->writing);
    return rc;
}

/* --- add -------------------------------------------------------------- */

/* With `writing` held: the record is in the file, and on disk unless a batch
 * is under way. */
static int put(struct flat *index, const struct flat_record *record,
               const struct flat_head **out, struct err *err)
{
    int rc = flat_file_append(index->file, record, out, err);

    if (rc)
        return rc;
    index->batch_count++;
    return index->is_batch ? 0 : flat_file_sync(index->file, err);
}

static int add_entry(struct flat *index, struct flat_record *record,
                     float square, struct err *err)
{
    const struct flat_head *head = NULL;
    struct flat_record mapped;
    int rc;

    record->kind = FLAT_ENTRY;
    record->id = flat_rows_count(&index->rows);
    rc = flat_rows_reserve(&index->rows, err);
    if (rc == 0)
        rc = flat_ids_reserve(index->ids, err);
    if (rc == 0)
        rc = put(index, record, &head, err);
    if (rc)
        return rc;
    flat_record_parts(head, index->dim, &mapped);
    /* As in take_entry, the row comes last. */
    if (record->sha256[0] != '\0')
        flat_ids_add(index->ids, mapped.sha256, record->id);
    flat_rows_add(&index->rows, head, scale_of(index, square));
    return 0;
}

static int update_entry(struct flat *index, struct flat_record *record,
                        int64_t id, struct err *err)
{
    const struct flat_head *head = NULL;
    struct flat_entry entry;
    int rc;

    flat_rows_entry(&index->rows, id, index->dim, &entry);
    if (strcmp(entry.path, record->path) == 0 &&
        strcmp(entry.label, record->label) == 0)
        return 0;
    record->kind = FLAT_UPDATE;
    record->id = id;
    record->sha256 = "";
    rc = put(index, record, &head, err);
    if (rc == 0)
        flat_rows_rename(&index->rows, id, head);
    return rc;
}

static int check_names(const struct flat *index, const char *path,
                       const char *label, struct err *err)
{
    if (index->mode != FLAT_WRITE)
        return err_set(err, ERR_INVALID, "the index is open for reading only");
    if (path[0] == '\0' || strlen(path) > FLAT_PATH_MAX)
        return err_set(err, ERR_INVALID,
                       "the path has %zu bytes; it must have 1..%d",
                       strlen(path), FLAT_PATH_MAX);
    if (strlen(label) > FLAT_LABEL_MAX)
        return err_set(err, ERR_INVALID, "the label has %zu bytes; at most %d",
                       strlen(label), FLAT_LABEL_MAX);
    return 0;
}

int flat_add(struct flat *index, const float *vector, const char *path,
             const char *sha256, const char *label, bool *is_new,
             struct err *err)
{
    char digits[HASH_HEX_LEN + 1];
    struct flat_record record = {.vector = vector,
                                 .path = path,
                                 .label = label == NULL ? "" : label,
                                 .sha256 = digits};
    int64_t id = -1;
    float square = 0;
    int rc;

    rc = check_names(index, path, record.label, err);
    if (rc == 0)
        rc = clean_sha256(sha256 == NULL ? "" : sha256, digits, err);
    if (rc == 0)
        rc = check_vector(index, vector, 1, &square, err);
    if (rc)
        return rc;
    pthread_mutex_lock(&index->writing);
    if (digits[0] != '\0')
        id = flat_ids_find(index->ids, digits);
    rc = id < 0 ? add_entry(index, &record, square, err)
                : update_entry(index, &record, id, err);
    pthread_mutex_unlock(&index->writing);
    if (rc == 0 && is_new != NULL)
        *is_new = id < 0;
    return rc;
}

int flat_begin(struct flat *index, struct err *err)
{
    int rc = 0;

    pthread_mutex_lock(&index->writing);
    if (index->mode != FLAT_WRITE)
        rc = err_set(err, ERR_INVALID, "the index is open for reading only");
    else if (index->is_batch)
        rc = err_set(err, ERR_CONFLICT, "a batch is under way already");
    else
        index->is_batch = true;
    index->batch_count = 0;
    pthread_mutex_unlock(&index->writing);
    return rc;
}

int flat_commit(struct flat *index, struct err *err)
{
    int rc = 0;

    pthread_mutex_lock(&index->writing);
    if (!index->is_batch)
        rc = err_set(err, ERR_INVALID, "no batch was begun");
    else if (index->batch_count > 0)
        rc = flat_file_sync(index->file, err);
    if (rc == 0 && index->batch_count > 1)
        flat_file_note_durable(index->file);
    index->is_batch = false;
    pthread_mutex_unlock(&index->writing);
    return rc;
}

/* --- search ----------------------------------------------------------- */

struct search {
    const float *query;
    float scale;     /* of the query */
    int64_t exclude; /* an id, or -1 */
    struct nearest nearest;
};

/* Distances of `count` rows; of L2 the squares, which keep the order. */
static void run_distances(const struct flat *index, const struct search *search,
                          const float *const *vectors, const float *scales,
                          int count, float *out)
{
    int i;

    if (index->metric == FLAT_L2) {
        index->kernels->square(search->query, vectors, count, index->dim, out);
        return;
    }
    index->kernels->inner(search->query, vectors, count, index->dim, out);
    for (i = 0; i < count; i++)
        out[i] = 1 - out[i] * search->scale * scales[i];
}

static void scan(const struct flat *index, struct search *search)
{
    int64_t count = flat_rows_count(&index->rows);
    float distances[RUN_LEN];
    struct near hit;
    int64_t id;
    int i, run;

    for (id = 0; id < count; id += run) {
        int left = count - id < RUN_LEN ? (int)(count - id) : RUN_LEN;
        const float *const *vectors = NULL;
        const float *scales = NULL;

        run = flat_rows_run(&index->rows, id, left, &vectors, &scales);
        run_distances(index, search, vectors, scales, run, distances);
        for (i = 0; i < run; i++) {
            hit.distance = distances[i];
            hit.id = id + i;
            if (hit.id != search->exclude)
                nearest_offer(&search->nearest, &hit);
        }
    }
    nearest_sort(&search->nearest);
}

static void give(const struct flat *index, const struct nearest *nearest,
                 struct flat_hit *out)
{
    int i;

    for (i = 0; i < nearest->count; i++) {
        float distance = nearest->hits[i].distance;

        flat_rows_entry(&index->rows, nearest->hits[i].id, index->dim,
                        &out[i].entry);
        /* Rounding may take the cosine of a vector with itself past 1. */
        if (index->metric == FLAT_COSINE && distance < 0)
            distance = 0;
        out[i].distance = index->metric == FLAT_L2 ? sqrtf(distance) : distance;
    }
}

static int find_exclude(struct flat *index, const char *sha256, int64_t *out,
                        struct err *err)
{
    char digits[HASH_HEX_LEN + 1];
    int rc;

    *out = -1;
    if (sha256 == NULL || sha256[0] == '\0')
        return 0;
    rc = clean_sha256(sha256, digits, err);
    if (rc == 0)
        *out = flat_ids_find(index->ids, digits);
    return rc;
}

int flat_search(struct flat *index, const float *query, int dim, int k,
                const char *exclude_sha256, struct flat_hit *out,
                int *out_count, struct err *err)
{
    struct near hits[FLAT_K_MAX];
    struct search search = {.query = query, .nearest = {hits, 0, k}};
    bool has_more = false;
    float square = 0;
    int rc;

    if (dim != index->dim)
        return err_set(err, ERR_INVALID,
                       "the vector has %d floats; the index has %d", dim,
                       index->dim);
    if (k < 1 || k > FLAT_K_MAX)
        return err_set(err, ERR_INVALID, "k is %d; it must be 1..%d", k,
                       FLAT_K_MAX);
    rc = check_vector(index, query, 1, &square, err);
    if (rc == 0)
        rc = find_exclude(index, exclude_sha256, &search.exclude, err);
    if (rc == 0)
        rc = flat_file_has_more(index->file, &has_more, err);
    if (rc)
        return rc;
    search.scale = scale_of(index, square);
    scan(index, &search);
    give(index, &search.nearest, out);
    *out_count = search.nearest.count;
    return 0;
}

int flat_get(struct flat *index, int64_t id, const float **out_vector,
             struct flat_entry *out, struct err *err)
{
    const float *const *vectors = NULL;
    const float *scales = NULL;
    bool has_more = false;
    int rc = flat_file_has_more(index->file, &has_more, err);

    if (rc)
        return rc;
    if (id < 0 || id >= flat_rows_count(&index->rows))
        return err_set(err, ERR_NOT_FOUND, "there is no entry with id %lld",
                       (long long)id);
    flat_rows_run(&index->rows, id, 1, &vectors, &scales);
    *out_vector = vectors[0];
    flat_rows_entry(&index->rows, id, index->dim, out);
    return 0;
}

bool flat_has(struct flat *index, const char *sha256)
{
    char digits[HASH_HEX_LEN + 1];
    struct err err;

    if (clean_sha256(sha256, digits, &err) != 0 || digits[0] == '\0')
        return false;
    return flat_ids_find(index->ids, digits) >= 0;
}

void flat_info(struct flat *index, struct flat_info *out)
{
    memset(out, 0, sizeof *out);
    out->dim = index->dim;
    out->metric = index->metric;
    out->kernels = index->kernels->name;
    out->count = flat_rows_count(&index->rows);
    memcpy(out->model, flat_file_shape(index->file)->model, sizeof out->model);
    out->torn_len = flat_file_torn_len(index->file);
    out->file_len = flat_file_len(index->file);
}
