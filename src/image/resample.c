/* SPDX-License-Identifier: Apache-2.0 */
#include "image/resample.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "base/mem.h"

enum mode {
    MODE_COPY,  /* nearest: pixels are picked */
    MODE_FIXED, /* Pillow: whole numbers, 8 bits between the passes */
    MODE_FLOAT, /* the others: floats to the end */
};

struct span {
    int from, len;
};

struct job {
    const struct transform *transform;
    const struct image *image;
    const struct kernels *kernels;
    struct fit_place place;
    enum mode mode;
    struct axis_plan columns_plan, rows_plan;
    struct axis columns, rows;

    /* The part of the source that is read; `first` of both axes counts from
     * its corner. */
    struct span source_columns, source_rows;

    /* With fixed weights: row n of the part, once resampled, lies at
     * n % ring_len in the ring, `stride` bytes each. */
    int resampled; /* rows that have been through the first pass */
    int ring_len;
    size_t stride;
    uint8_t *ring;
    struct kernel_across across;
    struct tile *tiles; /* the same as across.tiles, to be filled */

    const uint8_t **window; /* rows.taps_max pointers to rows */
    float *blended;         /* with float weights: after the first pass */

    /* Finished target rows; the sides that the image does not reach keep
     * their grey all the time, `blank` is grey from end to end. */
    uint8_t *line, *blank;
    float *line_float, *blank_float;
    double *weights; /* for axis_fill */
    float *floats;   /* the result, one of the two */
    uint8_t *pixels;
};

/* Cuts one block into pieces; with base NULL it only adds up. */
struct cutter {
    uint8_t *base;
    size_t used;
};

static void *cut(struct cutter *cutter, size_t count, size_t size)
{
    size_t at = cutter->used;

    cutter->used += (count * size + 63) / 64 * 64;
    return cutter->base == NULL ? NULL : cutter->base + at;
}

static size_t table_len(const struct axis *axis)
{
    return (size_t)axis->len * (size_t)axis->taps_max;
}

static void cut_axis(struct cutter *cutter, struct axis *axis, enum mode mode)
{
    axis->first = cut(cutter, (size_t)axis->len, sizeof *axis->first);
    axis->count = cut(cutter, (size_t)axis->len, sizeof *axis->count);
    if (mode == MODE_FIXED)
        axis->fixed = cut(cutter, table_len(axis), sizeof *axis->fixed);
    else
        axis->weights = cut(cutter, table_len(axis), sizeof *axis->weights);
}

/* All of a run's memory. Sides are at most 65535 px and 8192 px, and a table
 * of weights has at most about five per source or target pixel, so no product
 * overflows. */
static void cut_job(struct job *job, struct cutter *cutter)
{
    const size_t line_len = (size_t)job->transform->width_px * 3;
    const size_t source_len = (size_t)job->image->width_px * 3;
    const size_t taps = (size_t)job->rows.taps_max;
    int taps_max = job->columns.taps_max > job->rows.taps_max
                       ? job->columns.taps_max
                       : job->rows.taps_max;

    cut_axis(cutter, &job->columns, job->mode);
    cut_axis(cutter, &job->rows, job->mode);
    job->weights = cut(cutter, (size_t)taps_max + 2, sizeof *job->weights);
    job->window = cut(cutter, taps, sizeof *job->window);
    job->line = cut(cutter, line_len, 1);
    job->blank = cut(cutter, line_len, 1);
    if (job->mode == MODE_FIXED) {
        job->ring = cut(cutter, (size_t)job->ring_len, job->stride);
        job->tiles = cut(cutter, (size_t)job->columns.len, sizeof *job->tiles);
        job->across.room = cut(
            cutter,
            job->kernels->across_room(job->across.tile_px, job->columns.len),
            1);
    }
    if (job->mode == MODE_FLOAT) {
        job->blended = cut(cutter, source_len + 1, sizeof *job->blended);
        job->line_float = cut(cutter, line_len, sizeof *job->line_float);
        job->blank_float = cut(cutter, line_len, sizeof *job->blank_float);
    }
}

static enum axis_kind kind_of(enum filter filter, bool enlarges)
{
    switch (filter) {
    case FILTER_BILINEAR_AA:
        return AXIS_TRIANGLE;
    case FILTER_BICUBIC_AA:
        return AXIS_CUBIC;
    case FILTER_BOX:
        return AXIS_BOX;
    case FILTER_AREA:
        return enlarges ? AXIS_AREA_LINEAR : AXIS_AREA;
    case FILTER_NEAREST:
        return AXIS_NEAREST;
    case FILTER_NEAREST_CORNER:
        return AXIS_CORNER;
    default:
        return AXIS_LINEAR;
    }
}

static enum mode mode_of(enum filter filter)
{
    switch (filter) {
    case FILTER_BILINEAR_AA:
    case FILTER_BICUBIC_AA:
    case FILTER_BOX:
        return MODE_FIXED;
    case FILTER_NEAREST:
    case FILTER_NEAREST_CORNER:
        return MODE_COPY;
    default:
        return MODE_FLOAT;
    }
}

static void plan_axis(enum axis_kind kind, int source_len,
                      const struct fit_side *side, struct axis_plan *plan,
                      struct axis *axis)
{
    *plan = (struct axis_plan){
        .kind = kind,
        .source_len = source_len,
        .resized_len = side->resized_len,
        .from = side->from,
        .len = side->len,
    };
    *axis = (struct axis){.len = side->len, .taps_max = axis_taps_max(plan)};
}

static void plan_job(struct job *job)
{
    const struct image *image = job->image;
    const struct fit_place *place = &job->place;
    const int at_once = job->kernels->rows;
    bool enlarges = place->columns.resized_len > image->width_px ||
                    place->rows.resized_len > image->height_px;
    enum axis_kind kind = kind_of(job->transform->filter, enlarges);

    plan_axis(kind, image->width_px, &place->columns, &job->columns_plan,
              &job->columns);
    plan_axis(kind, image->height_px, &place->rows, &job->rows_plan,
              &job->rows);
    job->across.tile_px = job->kernels->tile_px;
    if (job->across.tile_px < job->columns.taps_max)
        job->across.tile_px = job->columns.taps_max;
    job->stride = ((size_t)job->columns.len * 3 + KERNEL_SLACK + 63) / 64 * 64;
    job->ring_len = job->rows.taps_max + at_once - 1;
    job->ring_len = (job->ring_len + at_once - 1) / at_once * at_once;
}

/* The run of source positions that an axis reads; `first` counts from its
 * begin afterwards. */
static struct span cut_to_span(struct axis *axis)
{
    int from = axis->first[0], end = from;

    for (int i = 0; i < axis->len; i++) {
        const int first = axis->first[i], last = first + axis->count[i];

        from = first < from ? first : from;
        end = last > end ? last : end;
    }
    for (int i = 0; i < axis->len; i++)
        axis->first[i] -= from;
    return (struct span){from, end - from};
}

static void fill_blank(struct job *job)
{
    const int line_len = job->transform->width_px * 3;

    memset(job->line, job->place.fill, (size_t)line_len);
    memset(job->blank, job->place.fill, (size_t)line_len);
    for (int i = 0; i < line_len && job->mode == MODE_FLOAT; i++)
        job->line_float[i] = job->blank_float[i] = job->place.fill;
}

/* The longest tile that begins with that target pixel. */
static struct tile tile_at(const struct axis *axis, int target, int most_px)
{
    struct tile tile = {target, target, 0, 0};
    int low = axis->first[target], high = low;

    for (int i = target; i < axis->len; i++) {
        int first = axis->first[i], end = first + axis->count[i];

        low = first < low ? first : low;
        high = end > high ? end : high;
        if (high - low > most_px)
            break;
        tile = (struct tile){target, i + 1, low, high};
    }
    return tile;
}

static void list_tiles(struct job *job)
{
    struct kernel_across *across = &job->across;

    across->axis = &job->columns;
    across->tiles = job->tiles;
    for (int at = 0; at < job->columns.len;) {
        struct tile tile = tile_at(&job->columns, at, across->tile_px);

        job->tiles[across->tile_count++] = tile;
        at = tile.target_end;
    }
}

/* Row n of the part that is read, from its first column on. */
static const uint8_t *source_row(const struct job *job, int n)
{
    const size_t row = (size_t)(job->source_rows.from + n);
    const size_t width = (size_t)job->image->width_px;

    return job->image->pixels +
           (row * width + (size_t)job->source_columns.from) * 3;
}

/* The first pass over the next rows; the last batch is made up with the last
 * row again, into slots of the ring that nobody reads. */
static void resample_batch(struct job *job)
{
    const int count = job->kernels->rows, last = job->source_rows.len - 1;
    const uint8_t *rows[2 * KERNEL_ROWS_MAX];
    uint8_t *out[KERNEL_ROWS_MAX];

    for (int i = 0; i < 2 * count; i++) {
        int n = job->resampled + i;

        rows[i] = source_row(job, n < last ? n : last);
    }
    for (int i = 0; i < count; i++) {
        int slot = (job->resampled + i) % job->ring_len;

        out[i] = job->ring + job->stride * (size_t)slot;
    }
    job->kernels->across(&job->across, rows, out);
    job->resampled += count;
}

static void finish_fixed(struct job *job, int y, uint8_t *out)
{
    const struct axis *rows = &job->rows;
    const int first = rows->first[y], count = rows->count[y];

    while (job->resampled < first + count)
        resample_batch(job);
    for (int tap = 0, slot = first % job->ring_len; tap < count; tap++) {
        job->window[tap] = job->ring + job->stride * (size_t)slot;
        slot = slot + 1 < job->ring_len ? slot + 1 : 0;
    }
    job->kernels->down(rows->fixed + (size_t)y * (size_t)rows->taps_max, count,
                       job->window, job->columns.len * 3, out);
}

static void finish_float(struct job *job, int y, float *out)
{
    const struct axis *rows = &job->rows;

    for (int tap = 0; tap < rows->count[y]; tap++)
        job->window[tap] = source_row(job, rows->first[y] + tap);
    job->kernels->down_float(rows->weights + (size_t)y * (size_t)rows->taps_max,
                             rows->count[y], job->window,
                             job->source_columns.len * 3, job->blended);
    job->kernels->across_float(&job->columns, job->blended, out);
}

static void finish_copy(const struct job *job, int y, uint8_t *out)
{
    const uint8_t *row = source_row(job, job->rows.first[y]);

    for (int i = 0; i < job->columns.len; i++, out += 3) {
        const uint8_t *pixel = row + (size_t)job->columns.first[i] * 3;

        out[0] = pixel[0];
        out[1] = pixel[1];
        out[2] = pixel[2];
    }
}

static bool is_swapped(const struct job *job)
{
    return job->floats != NULL && job->transform->order == ORDER_BGR &&
           job->transform->layout == LAYOUT_NHWC;
}

static void swap_pixels(uint8_t *pixel, int width)
{
    for (int i = 0; i < width; i++, pixel += 3) {
        uint8_t red = pixel[0];

        pixel[0] = pixel[2];
        pixel[2] = red;
    }
}

static void swap_floats(float *pixel, int width)
{
    for (int i = 0; i < width; i++, pixel += 3) {
        float red = pixel[0];

        pixel[0] = pixel[2];
        pixel[2] = red;
    }
}

/* Row y of the target in job->line or line_float; returns whether the image
 * reaches it. */
static bool finish_row(struct job *job, int target_y)
{
    const int y = target_y - job->place.rows.at;
    const size_t at = (size_t)job->place.columns.at * 3;

    if (y < 0 || y >= job->rows.len)
        return false;
    if (job->mode == MODE_FLOAT)
        finish_float(job, y, job->line_float + at);
    else if (job->mode == MODE_FIXED)
        finish_fixed(job, y, job->line + at);
    else
        finish_copy(job, y, job->line + at);
    if (is_swapped(job) && job->mode == MODE_FLOAT)
        swap_floats(job->line_float + at, job->columns.len);
    else if (is_swapped(job))
        swap_pixels(job->line + at, job->columns.len);
    return true;
}

/* Scale and bias are given by channel as laid out, kernels want them by
 * colour when they write planes and by place when they write pixels. */
static struct kernel_target target_of(const struct job *job, int y)
{
    const struct transform *transform = job->transform;
    const size_t width = (size_t)transform->width_px;
    const size_t area = width * (size_t)transform->height_px;
    const bool is_planar = transform->layout == LAYOUT_NCHW;
    struct kernel_target target = {0};

    for (int colour = 0; colour < 3; colour++) {
        int channel =
            is_planar && transform->order == ORDER_BGR ? 2 - colour : colour;

        target.scale[colour] = transform->scale[channel];
        target.bias[colour] = transform->bias[channel];
        target.planes[colour] =
            job->floats + area * (size_t)channel + width * (size_t)y;
    }
    target.row = job->floats + width * 3 * (size_t)y;
    return target;
}

static void emit_floats(const struct job *job, int y, bool is_reached)
{
    const struct kernels *kernels = job->kernels;
    const struct kernel_target target = target_of(job, y);
    const int width = job->transform->width_px;
    const uint8_t *line = is_reached ? job->line : job->blank;
    const float *line_float = is_reached ? job->line_float : job->blank_float;

    if (job->mode == MODE_FLOAT && job->transform->layout == LAYOUT_NCHW)
        kernels->planes_float(line_float, width, &target);
    else if (job->mode == MODE_FLOAT)
        kernels->pixels_float(line_float, width, &target);
    else if (job->transform->layout == LAYOUT_NCHW)
        kernels->planes(line, width, &target);
    else
        kernels->pixels(line, width, &target);
}

/* The weights are positive and sum to 1 but for rounding, so that a value can
 * leave 0..255 only by less than the half that is added. */
static void emit_pixels(const struct job *job, int y, bool is_reached)
{
    const size_t len = (size_t)job->transform->width_px * 3;
    const float *line_float = is_reached ? job->line_float : job->blank_float;
    uint8_t *out = job->pixels + len * (size_t)y;

    if (job->mode != MODE_FLOAT) {
        memcpy(out, is_reached ? job->line : job->blank, len);
        return;
    }
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(line_float[i] + 0.5F);
}

static int out_of_memory(const struct transform *transform, size_t len,
                         struct err *err)
{
    return err_set(err, ERR_UNAVAILABLE,
                   "no memory to resize to %dx%d px (%zu bytes)",
                   transform->width_px, transform->height_px, len);
}

int resample_run(const struct transform *transform, const struct image *image,
                 const struct kernels *kernels, float *floats, uint8_t *pixels,
                 struct err *err)
{
    struct job job = {
        .transform = transform,
        .image = image,
        .kernels = kernels,
        .place = fit_compute(transform, image->width_px, image->height_px),
        .mode = mode_of(transform->filter),
        .floats = floats,
        .pixels = pixels,
    };
    struct cutter cutter = {0};

    plan_job(&job);
    cut_job(&job, &cutter);
    cutter.base = mem_try_aligned(cutter.used, 1);
    if (cutter.base == NULL)
        return out_of_memory(transform, cutter.used, err);
    cutter.used = 0;
    cut_job(&job, &cutter);
    axis_fill(&job.columns, &job.columns_plan, job.weights);
    axis_fill(&job.rows, &job.rows_plan, job.weights);
    job.source_columns = cut_to_span(&job.columns);
    job.source_rows = cut_to_span(&job.rows);
    if (job.mode == MODE_FIXED)
        list_tiles(&job);
    fill_blank(&job);
    for (int y = 0; y < transform->height_px; y++) {
        bool is_reached = finish_row(&job, y);

        if (floats != NULL)
            emit_floats(&job, y, is_reached);
        else
            emit_pixels(&job, y, is_reached);
    }
    mem_free(cutter.base);
    return 0;
}
