/* SPDX-License-Identifier: Apache-2.0 */
/* One image from its bytes to its answer: decode, prepare, run, rank, look for
 * similar ones. Commands and APIs share it.
 *
 * Thread-safe: everything it makes lives in the caller's arena. */
#ifndef OLHO_APPS_CLASSIFY_H
#define OLHO_APPS_CLASSIFY_H

#include <stdbool.h>

#include "apps/app.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "models/bundle.h"
#include "vectors/flat.h"

struct classify_options {
    int top_k;           /* 1..classes */
    int similar_k;       /* 0: do not search */
    int64_t deadline_us; /* monotonic; 0: none */
};

struct classify_times {
    int64_t decode_us, preprocess_us, inference_us, search_us;
};

struct answer {
    const struct bundle *bundle;    /* borrowed: the model that answered */
    const struct bundle_class *top; /* top_k, best first */
    int top_count;
    const float *embedding;      /* embedding_len, L2-normalised; or NULL */
    const struct flat_hit *hits; /* nearest first */
    int hit_count;
    const char *index_error; /* why there was no search, or NULL */
    bool is_undefined;       /* by UNDEFINED_BELOW / _DISTANCE_ABOVE */
    bool is_accepted;        /* confidence reached the threshold */
    int width_px, height_px; /* of the file, turned upright */
    struct classify_times times;
};

/* Fails with the decoder's errors, ERR_TIMEOUT when the deadline passes before
 * the network runs, ERR_TOO_LARGE over MAX_IMAGE_SIZE_MB. What *out points to
 * ends with the arena. */
MUST_CHECK int classify_image(const struct app *app, struct bytes file,
                              const struct classify_options *options,
                              struct arena *arena, struct answer *out,
                              struct err *err);

/* The k nearest of an embedding of `len` values; their distance is the squared
 * Euclidean one. Without an index *out_count is 0. */
MUST_CHECK int classify_search(const struct app *app, const float *embedding,
                               int len, int k, struct arena *arena,
                               struct flat_hit **out, int *out_count,
                               struct err *err);

#endif
