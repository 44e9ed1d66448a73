/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of a model: how its input is made, what its outputs mean.
 * metadata.json says it; what it leaves out is read from the graph or guessed
 * (models/guess.h), and each guess is remembered.
 *
 *     {"name": "coins", "version": "v2", "file": "model.onnx",
 *      "accuracy": 0.97, "labels": "labels.txt",
 *      "input": {"name": "x", "width": 224, "height": 224, "layout": "NHWC",
 *                "channels": "RGB", "mean": [0, 0, 0], "std": [1, 1, 1],
 *                "filter": "bilinear-aa", "fit": "crop", "short_side": 256,
 *                "pad": 114},
 *      "output": {"scores": "y", "activation": "softmax", "embedding": "e"},
 *      "quantized": "int8-static",
 *      "sha256": {"model.onnx": "64 hexadecimal digits"}}
 *
 * The input is (pixel / 255 - mean) / std. Plain data; one thread at a time
 * while it is filled. */
#ifndef OLHO_MODELS_METADATA_H
#define OLHO_MODELS_METADATA_H

#include <stdbool.h>

#include "base/err.h"
#include "base/json.h"
#include "image/transform.h"
#include "infer/engine.h"

enum { METADATA_NAME_MAX = 128, METADATA_TEXT_MAX = 256 };

/* What still has to be done to the scores. */
enum activation {
    ACTIVATION_NONE,    /* they are probabilities */
    ACTIVATION_SOFTMAX, /* over all classes */
    ACTIVATION_SIGMOID, /* of the one unit of a two-class network */
    ACTIVATION_COUNT,
};

/* The parts that metadata.json may leave out, as bits. */
enum {
    KNOWN_SIZE = 1 << 0,
    KNOWN_LAYOUT = 1 << 1,
    KNOWN_NORMALISATION = 1 << 2,
    KNOWN_RESIZE = 1 << 3,
    KNOWN_SCORES = 1 << 4,
    KNOWN_ACTIVATION = 1 << 5,
    KNOWN_EMBEDDING = 1 << 6,
};

struct metadata {
    char name[METADATA_NAME_MAX];
    char version[METADATA_NAME_MAX];
    char created[METADATA_NAME_MAX];
    char description[METADATA_TEXT_MAX];
    char file[METADATA_NAME_MAX];    /* of the network, in the folder */
    char labels[METADATA_NAME_MAX];  /* of the labels; "": look for one */
    double accuracy;                 /* 0..1; NaN when unknown */
    bool has_8_bits;                 /* "quantized": "int8-static" */
    char input[TENSOR_NAME_MAX];     /* "": the only one */
    char scores[TENSOR_NAME_MAX];    /* "": to be found */
    char embedding[TENSOR_NAME_MAX]; /* "": to be found, or none */
    enum activation activation;
    struct transform transform;
    unsigned known; /* bits: what metadata.json said */
};

const char *activation_name(enum activation activation); /* "softmax" */

/* Fills *metadata, which is all zero, from a document. What is absent stays
 * zero (accuracy: NaN; no KNOWN bit). ERR_UNPROCESSABLE names the member and
 * the value that cannot be. */
MUST_CHECK int metadata_read(const struct json_value *document,
                             struct metadata *metadata, struct err *err);

/* Sets scale and bias of the transform to (pixel / 255 - mean) / std. */
void metadata_set_normalisation(struct metadata *metadata, const double mean[3],
                                const double std[3]);

#endif
