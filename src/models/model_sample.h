/* SPDX-License-Identifier: Apache-2.0 */
/* A model's own sample: one image and what the model said of it when the
 * sample was made, in metadata.json. It tells whether a model still answers as
 * it did: on another machine, after a conversion, with another engine.
 *
 *     "sample": {"image": "sample.jpg", "class": "moeda", "score": 0.93,
 *                "embedding": [16 projections], "tolerance": 0.001}
 *
 * Without an image, "seed", "width" and "height" say which noise it was. A
 * bundle may be used by other threads meanwhile. */
#ifndef OLHO_MODELS_MODEL_SAMPLE_H
#define OLHO_MODELS_MODEL_SAMPLE_H

#include "base/err.h"
#include "models/bundle.h"

/* The embedding is held against the sums of its values with 16 patterns of
 * signs: a change of any value shows in all of them. */
enum { MODEL_SAMPLE_PROJECTIONS = 16 };

struct model_sample {
    char image[METADATA_NAME_MAX]; /* in the folder; "": noise */
    int64_t seed, width_px, height_px;
    char class_name[METADATA_TEXT_MAX];
    double score;
    int projection_count; /* 0: the model gives no embedding */
    double projections[MODEL_SAMPLE_PROJECTIONS];
    double tolerance; /* of the score and of a projection */
};

/* What a check found. */
struct model_sample_result {
    struct model_sample said;    /* the metadata */
    struct model_sample got;     /* what the model says now */
    double score_difference;     /* of the sample's class; absolute */
    double embedding_difference; /* the largest of the projections */
};

/* Runs the sample in the metadata.json of dir, which is the bundle's own folder
 * or the one that it was imported from. ERR_NOT_FOUND: there is none;
 * ERR_UNPROCESSABLE: the model answers otherwise (out is filled), or the sample
 * cannot be read. */
MUST_CHECK int model_sample_check(const struct bundle *bundle, const char *dir,
                                  struct model_sample_result *out,
                                  struct err *err);

/* Runs an image (NULL: noise), which is copied into dir, and stores what the
 * model says of it there as the sample. */
MUST_CHECK int model_sample_write(const struct bundle *bundle, const char *dir,
                                  const char *image_path,
                                  struct model_sample *out, struct err *err);

#endif
