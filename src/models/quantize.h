/* SPDX-License-Identifier: Apache-2.0 */
/* A model folder in float32 to one in int8, compared before it is kept.
 *
 *     quantize_model("models/coins", "models/coins-int8", &config, &options,
 *                    &report, &err);
 *
 * QUANTIZE_WEIGHTS stores weights as int8, a quarter of the size; the network
 * still computes in float32. QUANTIZE_STATIC computes in 8 bits: every second
 * image tells the range of each value, the others are held out and compare
 * both networks. docs/design/quantize.md says how. One thread at a time. */
#ifndef OLHO_MODELS_QUANTIZE_H
#define OLHO_MODELS_QUANTIZE_H

#include <stddef.h>
#include <stdint.h>

#include "base/config.h"
#include "base/err.h"

enum quantize_mode { QUANTIZE_WEIGHTS, QUANTIZE_STATIC };

enum {
    QUANTIZE_IMAGES_MIN = 20, /* fewer say nothing about agreement */
    QUANTIZE_IMAGES_MAX = 20000,
};

/* done of total images of a part of the work; both 0 at its end. */
typedef void quantize_progress_fn(void *user, size_t done, size_t total);

struct quantize_options {
    enum quantize_mode mode;
    const char *images_dir; /* a folder, walked; NULL: none */
    double agreement_min;   /* 0..1, of the images that the model is sure of */
    quantize_progress_fn *progress; /* NULL: none */
    void *user;                     /* for progress */
};

struct quantize_report {
    size_t skipped_count;    /* images that could not be read */
    size_t calibrated_count; /* that told ranges */
    size_t compared_count;   /* that were held out */
    size_t agreed_count;     /* of compared: same best class */
    size_t sure_count;       /* of compared: best two differ by over 0.2 */
    size_t sure_agreed_count;
    int64_t float_len, int8_len; /* bytes of the network's file */
    double float_ms, int8_ms;    /* median of a run at one thread */
    double similarity;           /* mean cosine of embeddings; NaN: none */
};

/* Quantises the model of folder dir into a new folder out_dir, which gets the
 * labels and licences too. It appears whole or not at all. Without images
 * QUANTIZE_WEIGHTS compares nothing. ERR_INVALID: out_dir is there already or
 * images are too few; ERR_UNPROCESSABLE: the network cannot be quantised, or
 * the two agree less than agreement_min (then *report is filled). */
MUST_CHECK int quantize_model(const char *dir, const char *out_dir,
                              const struct config *config,
                              const struct quantize_options *options,
                              struct quantize_report *report, struct err *err);

#endif
