/* SPDX-License-Identifier: Apache-2.0 */
/* Networks run on a folder of images, for models/quantize.h. One thread at a
 * time. */
#ifndef OLHO_MODELS_QUANTIZE_RUN_H
#define OLHO_MODELS_QUANTIZE_RUN_H

#include "models/bundle.h"
#include "models/quantize.h"
#include "models/quantize_graph.h"

/* The images of a folder in name order. Every second one (the first, the
 * third ...) calibrates, the others are held out. */
struct quantize_images {
    char **paths; /* owned */
    size_t count;
    size_t skipped_count; /* that turned out to be no image */
    const struct config *config;
    const struct quantize_options *options;
};

MUST_CHECK int quantize_images_list(const struct config *config,
                                    const struct quantize_options *options,
                                    struct quantize_images *out,
                                    struct err *err);
void quantize_images_release(struct quantize_images *images);

enum quantize_half { HALF_CALIBRATES, HALF_HELD_OUT };

/* Calls fn with each image of a half that can be read, counts the others and
 * shows progress; stops at the first answer other than 0 and returns it. */
typedef int quantize_image_fn(void *user, const struct image *image,
                              struct err *err);
MUST_CHECK int quantize_images_run(struct quantize_images *images,
                                   enum quantize_half half,
                                   const struct transform *transform,
                                   quantize_image_fn *fn, void *user,
                                   struct err *err);

/* Fills the ranges of the plan's places: runs the watched graph (see
 * quantize_watch) on the calibrating half. *count of images. */
MUST_CHECK int quantize_calibrate(const struct onnx_graph *watched,
                                  const struct bundle *bundle,
                                  struct quantize_images *images,
                                  struct quantize_plan *plan, size_t *count,
                                  struct err *err);

/* Runs both models on the held-out half and fills what the report says of
 * it. */
MUST_CHECK int quantize_compare(const struct bundle *real,
                                const struct bundle *small,
                                struct quantize_images *images,
                                struct quantize_report *report,
                                struct err *err);

/* A new model folder beside out_dir: labels and licences of bundle's folder, no
 * network yet. dir gets its path (FILE_PATH_MAX bytes). */
MUST_CHECK int quantize_folder_begin(const struct bundle *bundle,
                                     const char *out_dir, char *dir,
                                     struct err *err);

/* Writes metadata.json once the network is there. */
MUST_CHECK int quantize_folder_describe(const struct bundle *bundle,
                                        const char *dir,
                                        enum quantize_mode mode,
                                        const struct quantize_report *report,
                                        struct err *err);

/* The new folder gets its name, or goes. */
MUST_CHECK int quantize_folder_keep(const char *dir, const char *out_dir,
                                    struct err *err);
void quantize_folder_drop(const char *dir);

#endif
