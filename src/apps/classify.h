/* SPDX-License-Identifier: Apache-2.0 */
/* One image from its bytes to its answer: the cache, else decode, check,
 * prepare, run and rank (apps/compute.h); then look for similar ones. Commands
 * and APIs share it.
 *
 * Thread-safe: everything it makes lives in the caller's arena. */
#ifndef OLHO_APPS_CLASSIFY_H
#define OLHO_APPS_CLASSIFY_H

#include <stdbool.h>

#include "apps/app.h"
#include "apps/checks.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"

struct classify_options {
    int top_k;              /* 1..classes */
    int similar_k;          /* 0: do not search */
    int64_t deadline_us;    /* monotonic; 0: none */
    bool wants_sha256;      /* answer.sha256 is needed, cache or not */
    const char *request_id; /* by which a later duplicate names this image;
                             * NULL: it is compared with none */
};

struct classify_times {
    int64_t decode_us, preprocess_us, inference_us, search_us;
};

struct answer {
    const struct bundle *bundle;    /* borrowed from the version */
    const struct bundle_class *top; /* top_k, best first */
    int top_count;
    const float *embedding;       /* embedding_len, L2-normalised; or NULL */
    const struct neighbour *hits; /* nearest first */
    int hit_count;
    const char *index_error;       /* why there was no search, or NULL */
    struct check_list checks;      /* what the checks found */
    bool is_cached;                /* not computed for this request */
    char sha256[HASH_HEX_LEN + 1]; /* of the file; "" when not needed */
    bool is_undefined;             /* by UNDEFINED_BELOW / _DISTANCE_ABOVE */
    bool is_accepted;              /* confidence reached the threshold */
    int width_px, height_px;       /* of the file, turned upright */
    struct classify_times times;
};

/* The version is borrowed, as is what *out has of it.
 * Fails with the decoder's errors, ERR_TIMEOUT when the deadline passes before
 * the network runs, ERR_TOO_LARGE over MAX_IMAGE_SIZE_MB. What *out points to
 * ends with the arena. */
MUST_CHECK int
classify_image(const struct app *app, const struct model_version *version,
               struct bytes file, const struct classify_options *options,
               struct arena *arena, struct answer *out, struct err *err);

#endif
