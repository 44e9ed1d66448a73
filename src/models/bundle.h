/* SPDX-License-Identifier: Apache-2.0 */
/* A model folder, loaded: the network, how its input is made, its classes.
 *
 *     bundle_open("models/coins", &options, &bundle, &err);
 *     bundle_run(bundle, image, &result, &err);
 *
 * Read-only after bundle_open: any number of threads may run it at once. */
#ifndef OLHO_MODELS_BUNDLE_H
#define OLHO_MODELS_BUNDLE_H

#include <stdint.h>

#include "base/config.h"
#include "base/err.h"
#include "image/decode.h"
#include "infer/engine.h"
#include "models/labels.h"
#include "models/metadata.h"

/* The parts of a struct metadata that were not given, as text for people. */
enum { BUNDLE_NOTES_MAX = 12, BUNDLE_NOTE_LEN = 160 };

struct bundle {
    char dir[4096];  /* the folder */
    char file[4096]; /* the network's file */
    struct metadata metadata;
    struct labels labels;
    struct engine *engine;
    int class_count;   /* of labels and of scores; 2 for one sigmoid unit */
    int score_len;     /* values that the network gives for one image */
    int embedding_len; /* 0: the network gives none */
    int input_i, scores_i, embedding_i; /* of the engine's tensors; -1: none */
    int64_t loaded_ms;                  /* wall clock */
    uint64_t file_stamp; /* of length and time of the network's file, metadata
                          * and labels: another one of the same name has
                          * another stamp */
    int note_count;
    char notes[BUNDLE_NOTES_MAX][BUNDLE_NOTE_LEN]; /* what was guessed */
};

/* Finds the folder that `path` means: a folder, a file in one, or the name of
 * a bundled model (under $OLHO_MODELS, beside the program, or where `make
 * install` put them). dir has FILE_PATH_MAX bytes. ERR_NOT_FOUND names the
 * places. */
MUST_CHECK int bundle_find(const char *path, char *dir, struct err *err);

/* Loads a folder, checks the checksums of its metadata, runs it once on a grey
 * image. ERR_UNPROCESSABLE says what is wrong with it. The caller owns *out.
 * Of config are read: MODEL_PATH's other settings (INPUT_SIZE,
 * INFERENCE_THREADS, MODEL_VERSION). */
MUST_CHECK int bundle_open(const char *dir, const struct config *config,
                           struct bundle **out, struct err *err);
void bundle_close(struct bundle *bundle); /* NULL is allowed */

/* Runs a grey image, which tells whether the network runs at all and whether
 * its scores are probabilities, and takes its first memory before the first
 * request. bundle_open calls it. */
MUST_CHECK int bundle_try(struct bundle *bundle, struct err *err);

/* How long each part of one run took. */
struct bundle_times {
    int64_t preprocess_us;
    int64_t inference_us;
};

/* Scores of all classes (class_count probabilities) and, when embedding is not
 * NULL, the L2-normalised embedding (embedding_len floats). Blocks. */
MUST_CHECK int bundle_run(const struct bundle *bundle,
                          const struct image *image, float *scores,
                          float *embedding, struct bundle_times *times,
                          struct err *err);

/* The same for an image that has the sides of the network's input already, as
 * transform_pixels makes it: it is neither resized nor cut. */
MUST_CHECK int bundle_run_prepared(const struct bundle *bundle,
                                   const struct image *image, float *scores,
                                   float *embedding, struct bundle_times *times,
                                   struct err *err);

/* The k (1..class_count) best classes, best first, ties by class number. */
struct bundle_class {
    int id;
    float score;
};
void bundle_rank(const struct bundle *bundle, const float *scores, int k,
                 struct bundle_class *out);

#endif
