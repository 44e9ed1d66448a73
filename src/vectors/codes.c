/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors/codes.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "vectors/codes_parts.h"

/* For what is computed of a row in float. */
static const float own_slack = 1e-5F;

/* Half of a float's last place, and into how many sums at least the kernels
 * part a row; their roundings beside those of the sums. */
static const float rounding = 6e-8F;
enum { SUMS_MIN = 8, ROUNDINGS = 16 };

static void measure(struct codes *codes)
{
    const struct codes_options *options = &codes->options;
    float sums = rounding * ((float)options->dim / SUMS_MIN + ROUNDINGS);
    int step = options->storage == VEC_INT8 ? INT8_STEP : HALF_STEP;

    codes->dot = dot_best();
    codes->int8 = int8_best();
    codes->half = half_best();
    codes->step_len = (options->dim + step - 1) / step * step;
    codes->slack = own_slack + sums;
    if (options->storage == VEC_INT8) {
        codes->stride = (size_t)codes->step_len;
    } else if (options->storage != VEC_FLOAT32) {
        codes->stride = (size_t)codes->step_len * 2;
        codes->slack += sums;
    }
}

int codes_new(const struct codes_options *options, struct codes **out,
              struct err *err)
{
    struct codes *codes = mem_new(sizeof *codes);
    int rc;

    assert(options->dim >= 1 && options->dim <= VEC_DIM_MAX);
    assert(options->metric != VECINDEX_METRIC_ANY);
    assert(options->storage != VEC_STORAGE_ANY);
    codes->options = *options;
    measure(codes);
    rc = blocks_init(&codes->rows, sizeof(const float *), err);
    if (rc == 0)
        rc = blocks_init(&codes->about, sizeof(struct code_row), err);
    if (rc == 0)
        rc = blocks_init(&codes->checked, sizeof(_Atomic uint8_t), err);
    if (rc == 0 && codes->stride > 0)
        rc = blocks_init(&codes->codes, codes->stride, err);
    if (rc) {
        codes_free(codes);
        return rc;
    }
    *out = codes;
    return 0;
}

void codes_free(struct codes *codes)
{
    if (codes == NULL)
        return;
    blocks_release(&codes->rows);
    blocks_release(&codes->about);
    blocks_release(&codes->checked);
    blocks_release(&codes->codes);
    mem_free(codes);
}

/* --- rows ----------------------------------------------------------------- */

static int make_room(struct codes *codes, int64_t count, struct err *err)
{
    int rc = blocks_reserve(&codes->rows, count, err);

    if (rc == 0)
        rc = blocks_reserve(&codes->about, count, err);
    if (rc == 0)
        rc = blocks_reserve(&codes->checked, count, err);
    if (rc == 0 && codes->stride > 0)
        rc = blocks_reserve(&codes->codes, count, err);
    return rc;
}

static void set_row(struct codes *codes, int64_t slot, const float *row,
                    bool is_checked)
{
    const float **at = blocks_at(&codes->rows, slot);
    _Atomic uint8_t *checked = blocks_at(&codes->checked, slot);

    *at = row;
    atomic_store_explicit(checked, is_checked, memory_order_relaxed);
}

int codes_add(struct codes *codes, const float *const *rows, int64_t count,
              struct err *err)
{
    int64_t first = codes_count(codes), i;
    int rc = make_room(codes, first + count, err);

    if (rc)
        return rc;
    for (i = 0; i < count; i++) {
        int64_t slot = first + i;

        set_row(codes, slot, rows[i], true);
        codes_round(codes, rows[i],
                    codes->stride > 0 ? blocks_at(&codes->codes, slot) : NULL,
                    blocks_at(&codes->about, slot));
    }
    atomic_store_explicit(&codes->count, first + count, memory_order_release);
    return 0;
}

int codes_row(const struct codes *codes, int64_t slot, const float **out,
              struct err *err)
{
    _Atomic uint8_t *checked = blocks_at(&codes->checked, slot);
    const float *const *at = blocks_at(&codes->rows, slot);

    if (!atomic_load_explicit(checked, memory_order_relaxed)) {
        int rc = codes->options.check == NULL
                     ? 0
                     : codes->options.check(codes->options.user, slot, err);

        if (rc)
            return rc;
        atomic_store_explicit(checked, 1, memory_order_relaxed);
    }
    *out = *at;
    return 0;
}

bool codes_is_equal(const struct codes *codes, int64_t a, int64_t b)
{
    const struct code_row *about_a = codes_about(codes, a);
    const struct code_row *about_b = codes_about(codes, b);
    const float *const *row_a, *const *row_b;

    if (about_a->scale != about_b->scale || about_a->len != about_b->len)
        return false;
    if (codes->stride > 0)
        return memcmp(blocks_at(&codes->codes, a), blocks_at(&codes->codes, b),
                      codes->stride) == 0;
    row_a = blocks_at(&codes->rows, a);
    row_b = blocks_at(&codes->rows, b);
    return memcmp((const void *)*row_a, (const void *)*row_b,
                  (size_t)codes->options.dim * sizeof **row_a) == 0;
}

/* --- about ---------------------------------------------------------------- */

int64_t codes_count(const struct codes *codes)
{
    return atomic_load_explicit(&codes->count, memory_order_acquire);
}

/* Of the rows that are there: what is reserved beyond them was not touched. */
static int64_t memory_of(const struct blocks *blocks, int64_t count)
{
    int64_t mapped = (int64_t)blocks->mapped_blocks << BLOCK_SHIFT;

    return (count > mapped ? count - mapped : 0) * (int64_t)blocks->row_len;
}

int64_t codes_memory(const struct codes *codes)
{
    int64_t count = codes_count(codes);

    return (int64_t)sizeof *codes + memory_of(&codes->rows, count) +
           memory_of(&codes->about, count) + memory_of(&codes->checked, count) +
           memory_of(&codes->codes, count);
}

int codes_dim(const struct codes *codes)
{
    return codes->options.dim;
}

enum vecindex_metric codes_metric(const struct codes *codes)
{
    return codes->options.metric;
}

enum vec_storage codes_storage(const struct codes *codes)
{
    return codes->options.storage;
}

const char *codes_kernels(const struct codes *codes)
{
    if (codes->options.storage == VEC_INT8)
        return codes->int8->name;
    return codes->options.storage == VEC_FLOAT32 ? codes->dot->name
                                                 : codes->half->name;
}

/* --- into a checkpoint and back ------------------------------------------- */

static void save_blocks(const struct blocks *blocks, const char *name,
                        int64_t count, struct checkpoint_writer *writer)
{
    int64_t row, run;

    checkpoint_start(writer, name);
    for (row = 0; row < count; row += run) {
        run = blocks_run(row);
        if (run > count - row)
            run = count - row;
        checkpoint_put(writer, blocks_at(blocks, row),
                       (size_t)run * blocks->row_len);
    }
}

void codes_save(const struct codes *codes, int64_t count,
                struct checkpoint_writer *writer)
{
    assert(count <= codes_count(codes));
    save_blocks(&codes->about, "CROW", count, writer);
    if (codes->stride > 0)
        save_blocks(&codes->codes, "CODE", count, writer);
}

static int load_blocks(struct blocks *blocks, const char *name, int64_t count,
                       struct checkpoint *checkpoint, struct err *err)
{
    void *section = NULL;
    int64_t len = 0;
    int rc = checkpoint_section(checkpoint, name, count, blocks->row_len,
                                &section, &len, err);

    return rc ? rc : blocks_map(blocks, section, count, err);
}

int codes_load(const struct codes_options *options,
               struct checkpoint *checkpoint, const float *const *rows,
               int64_t count, struct codes **out, struct err *err)
{
    struct codes *codes = NULL;
    int64_t i;
    int rc = codes_new(options, &codes, err);

    if (rc)
        return rc;
    rc = load_blocks(&codes->about, "CROW", count, checkpoint, err);
    if (rc == 0 && codes->stride > 0)
        rc = load_blocks(&codes->codes, "CODE", count, checkpoint, err);
    if (rc == 0)
        rc = make_room(codes, count, err);
    if (rc) {
        codes_free(codes);
        return rc;
    }
    for (i = 0; i < count; i++)
        set_row(codes, i, rows[i], false);
    atomic_store_explicit(&codes->count, count, memory_order_release);
    *out = codes;
    return 0;
}
