/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked of an image beside its class: is it sharp, well exposed, large
 * enough, new, does it show an object, was it made to deceive the network?
 *
 *     checks_open(config, &checks, &err);
 *     ...
 *     rc = checks_run(checks, &input, arena, &list, &crop, &err);
 *     image = crop != NULL ? crop : image;
 *     ... the network gives scores ...
 *     rc = checks_doubt(checks, bundle, image, scores, arena, &list, &err);
 *
 * What a setting turns off is never computed. With QUALITY_MODE=warn a check
 * that fails adds a warning; with reject it fails the call; with off no check
 * is made, and only the crop is left.
 *
 * Thread-safe: the recent images are guarded inside, everything else is
 * read-only after checks_open. docs/design/checks.md says what each is worth
 * and costs. */
#ifndef OLHO_APPS_CHECKS_H
#define OLHO_APPS_CHECKS_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/config.h"
#include "base/err.h"
#include "base/mem.h"
#include "image/decode.h"
#include "models/bundle.h"

/* In the order in which they are made; the names of `avisos`. */
/* clang-format off */
#define CHECKS(X)                                                      \
    X(SIZE,        "size")        /* the shorter side of the file, px  */ \
    X(BLUR,        "blur")        /* variance of the Laplacian         */ \
    X(DARK,        "dark")        /* share of nearly black pixels      */ \
    X(BRIGHT,      "bright")      /* share of nearly white pixels      */ \
    X(DUPLICATE,   "duplicate")   /* bits that differ from a recent one */ \
    X(OBJECT,      "object")      /* score of the best box             */ \
    X(ADVERSARIAL, "adversarial") /* move of the scores when squeezed  */
/* clang-format on */

enum check {
#define X(name, text) CHECK_##name,
    CHECKS(X)
#undef X
        CHECK_COUNT
};

/* One entry of `avisos`. */
struct check_warning {
    const char *check; /* "blur" */
    double score, limit;
    const char *message; /* one sentence with both numbers; of the arena */
};

struct check_list {
    struct check_warning warnings[CHECK_COUNT];
    int count;
};

struct checks;

/* Reads QUALITY_MODE and the settings after it; loads DETECTOR_MODEL when
 * there is one (ERR_UNPROCESSABLE, ERR_NOT_FOUND: it cannot be used). The
 * config is borrowed. The caller owns *out and ends it with checks_close. */
MUST_CHECK int checks_open(const struct config *config, struct checks **out,
                           struct err *err);
void checks_close(struct checks *checks); /* NULL is allowed */

/* Whether the image must be decoded at full size (decode target 0): a detector
 * looks for small things, and the blur is a number of the full image. Of large
 * JPEG files checks_run finds that by itself, for less. */
bool checks_want_full_size(const struct checks *checks, struct bytes file);

struct check_input {
    const struct image *image; /* upright, before any crop */
    struct bytes file;         /* that it was decoded from; read where image is
                                * smaller than that. Else it may be empty */
    const char *request_id;    /* by which a later duplicate names this one;
                                * the images of one request are not compared.
                                * NULL: neither compared nor remembered */
};

/* Everything that needs no network's scores. Adds to *list (zeroed by the
 * caller) and gives the part of the image to classify in *out_crop, NULL when
 * that is the whole; the caller owns it and ends it with image_free.
 * ERR_UNPROCESSABLE: a check failed and QUALITY_MODE is reject; ERR_UNAVAILABLE
 * without memory. After a failure *list and *out_crop are as they were. */
MUST_CHECK int checks_run(struct checks *checks,
                          const struct check_input *input, struct arena *arena,
                          struct check_list *list, struct image **out_crop,
                          struct err *err);

/* The adversarial check of the image that was classified (the crop, if there
 * was one), whose scores bundle_run gave. Runs the network again, once for
 * each squeezed version. Fails as checks_run. */
MUST_CHECK int checks_doubt(const struct checks *checks,
                            const struct bundle *bundle,
                            const struct image *image, const float *scores,
                            struct arena *arena, struct check_list *list,
                            struct err *err);

#endif
