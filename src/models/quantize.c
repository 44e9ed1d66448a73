/* SPDX-License-Identifier: Apache-2.0 */
#include "models/quantize.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/mem.h"
#include "models/onnx_edit.h"
#include "models/quantize_run.h"

/* What the steps share. */
struct work {
    const struct config *config;
    const struct quantize_options *options;
    struct quantize_report *report;
    struct quantize_images images;
    struct bundle *real, *small;
    char dir[FILE_PATH_MAX];
    char file[FILE_PATH_MAX]; /* of the new network */
};

static int make_plain(const struct work *work, struct onnx_graph **out,
                      struct err *err)
{
    struct onnx_graph *graph = NULL;
    int rc;

    rc = onnx_read(work->real->file, &graph, err);
    if (rc == 0)
        rc = quantize_unfold(graph, err);
    if (rc) {
        onnx_free(graph);
        return rc;
    }
    *out = graph;
    return 0;
}

/* The plan speaks of nodes by number, so the watched graph is a second one,
 * unfolded the same way. */
static int calibrate(struct work *work, struct quantize_plan *plan,
                     struct err *err)
{
    struct onnx_graph *watched = NULL;
    int rc = make_plain(work, &watched, err);

    if (rc)
        return rc;
    quantize_watch(watched, plan);
    rc = onnx_tidy(watched, err);
    if (rc == 0)
        rc = quantize_calibrate(watched, work->real, &work->images, plan,
                                &work->report->calibrated_count, err);
    onnx_free(watched);
    return rc;
}

static int make_static(struct work *work, struct err *err)
{
    struct quantize_plan *plan = NULL;
    struct onnx_graph *graph = NULL;
    int rc;

    rc = make_plain(work, &graph, err);
    if (rc == 0)
        rc = quantize_plan(graph, &plan, err);
    if (rc == 0)
        rc = calibrate(work, plan, err);
    if (rc == 0)
        rc = quantize_apply(graph, plan, err);
    if (rc == 0)
        rc = onnx_write(graph, work->file, err);
    quantize_plan_free(plan);
    onnx_free(graph);
    return rc;
}

static int make_weights(struct work *work, struct err *err)
{
    struct onnx_graph *graph = NULL;
    int count = 0, rc;

    rc = onnx_read(work->real->file, &graph, err);
    if (rc == 0)
        rc = quantize_weights(graph, &count, err);
    if (rc == 0 && count == 0)
        rc = err_set(err, ERR_UNPROCESSABLE,
                     "%s has no float32 weights of Conv, Gemm or MatMul; "
                     "perhaps they are int8 already",
                     work->real->file);
    if (rc == 0)
        rc = onnx_write(graph, work->file, err);
    onnx_free(graph);
    return rc;
}

static int64_t file_len(const char *path)
{
    struct stat about;

    return stat(path, &about) == 0 ? (int64_t)about.st_size : 0;
}

/* Whether the two agree well enough to keep the new one. */
static int judge(const struct work *work, struct err *err)
{
    const struct quantize_report *report = work->report;
    double least = work->options->agreement_min, agreement;

    if (report->sure_count == 0 && least > 0)
        return err_set(err, ERR_UNPROCESSABLE,
                       "the model is sure of none of the %zu images held out, "
                       "so agreement cannot be judged; nothing was written",
                       report->compared_count);
    agreement = (double)report->sure_agreed_count / (double)report->sure_count;
    if (report->sure_count > 0 && agreement < least)
        return err_set(err, ERR_UNPROCESSABLE,
                       "the int8 network agrees on %.4f of the %zu images that "
                       "the model is sure of; at least %.4f are wanted, and "
                       "nothing was written",
                       agreement, report->sure_count, least);
    return 0;
}

static int compare(struct work *work, struct err *err)
{
    int rc;

    rc = bundle_open(work->dir, work->config, &work->small, err);
    if (rc == 0)
        rc = quantize_compare(work->real, work->small, &work->images,
                              work->report, err);
    if (rc == 0)
        rc = judge(work, err);
    return rc;
}

/* Fills the new folder; the caller drops it on failure. */
static int fill(struct work *work, struct err *err)
{
    enum quantize_mode mode = work->options->mode;
    int rc;

    rc = file_join(work->dir, "model.onnx", work->file, err);
    if (rc == 0)
        rc = mode == QUANTIZE_STATIC ? make_static(work, err)
                                     : make_weights(work, err);
    if (rc)
        return rc;
    work->report->float_len = file_len(work->real->file);
    work->report->int8_len = file_len(work->file);
    rc = quantize_folder_describe(work->real, work->dir, mode, work->report,
                                  err);
    if (rc || work->options->images_dir == NULL)
        return rc;
    rc = compare(work, err);
    if (rc == 0)
        rc = quantize_folder_describe(work->real, work->dir, mode, work->report,
                                      err);
    return rc;
}

static int run(struct work *work, const char *dir, const char *out_dir,
               struct err *err)
{
    const struct quantize_options *options = work->options;
    int rc;

    if (file_exists(out_dir) || file_is_dir(out_dir))
        return err_set(err, ERR_INVALID, "%s is there already", out_dir);
    if (options->mode == QUANTIZE_STATIC && options->images_dir == NULL)
        return err_set(err, ERR_INVALID,
                       "--mode static needs --images, a folder of photographs "
                       "to calibrate and compare with");
    if (options->images_dir != NULL) {
        rc = quantize_images_list(work->config, options, &work->images, err);
        if (rc)
            return rc;
    }
    rc = bundle_open(dir, work->config, &work->real, err);
    if (rc == 0)
        rc = quantize_folder_begin(work->real, out_dir, work->dir, err);
    if (rc)
        return rc;
    rc = fill(work, err);
    if (rc == 0)
        rc = quantize_folder_keep(work->dir, out_dir, err);
    if (rc)
        quantize_folder_drop(work->dir);
    return rc;
}

int quantize_model(const char *dir, const char *out_dir,
                   const struct config *config,
                   const struct quantize_options *options,
                   struct quantize_report *report, struct err *err)
{
    struct work *work = mem_new(sizeof *work);
    int rc;

    *report = (struct quantize_report){.similarity = NAN};
    work->config = config;
    work->options = options;
    work->report = report;
    rc = run(work, dir, out_dir, err);
    report->skipped_count = work->images.skipped_count;
    bundle_close(work->real);
    bundle_close(work->small);
    quantize_images_release(&work->images);
    mem_free(work);
    return rc;
}
