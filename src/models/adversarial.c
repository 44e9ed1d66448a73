/* SPDX-License-Identifier: Apache-2.0 */
/* The paper takes the largest L1 distance between probabilities. Of an
 * uncertain network that is small whatever was done to the image, and one
 * squeezer that does not suit an image decides. Compared here are directions:
 * the logarithms of the probabilities, which are the network's logits but for
 * a constant, less their mean, brought to length 1. What the squeezers have in
 * common is the mean of their directions; the score is 1 - its cosine with
 * that of the image itself. docs/design/checks.md has the numbers of both. */
#include "models/adversarial.h"

#include <math.h>

#include "base/mem.h"
#include "image/squeeze.h"
#include "image/transform.h"

enum { QUALITY = 75, DEGREES = 2, SQUEEZERS = 3 };

/* A probability below this is as good as none; keeps logarithms finite. */
static const double score_floor = 1e-12;

static int squeeze(const struct image *image, int which, struct image **out,
                   struct err *err)
{
    if (which == 0)
        return squeeze_jpeg(image, QUALITY, out, err);
    if (which == 1)
        return squeeze_median(image, out, err);
    return squeeze_rotate(image, DEGREES, out, err);
}

/* Adds the direction of the scores to sum; equal scores have none. */
static void add_direction(const float *scores, int count, double *sum)
{
    double mean = 0, square = 0;
    int i;

    for (i = 0; i < count; i++)
        mean += log(scores[i] + score_floor) / count;
    for (i = 0; i < count; i++) {
        double part = log(scores[i] + score_floor) - mean;

        square += part * part;
    }
    for (i = 0; i < count && square > 0; i++)
        sum[i] += (log(scores[i] + score_floor) - mean) / sqrt(square);
}

/* 0: the same direction .. 2: the opposite one; 1 when one has none. */
static double distance(const double *a, const double *b, int count)
{
    double square_a = 0, square_b = 0, product = 0;

    for (int i = 0; i < count; i++) {
        square_a += a[i] * a[i];
        square_b += b[i] * b[i];
        product += a[i] * b[i];
    }
    if (square_a == 0 || square_b == 0)
        return square_a == square_b ? 0 : 1;
    return 1 - product / sqrt(square_a * square_b);
}

/* What one call computes with; the three arrays are owned. */
struct doubt {
    const struct bundle *bundle;
    float *scores;     /* of a squeezed version */
    double *own, *sum; /* directions: of the image, of all squeezed versions */
};

static int add_squeezed(struct doubt *doubt, const struct image *prepared,
                        int which, struct err *err)
{
    struct bundle_times times;
    struct image *squeezed = NULL;
    int rc;

    rc = squeeze(prepared, which, &squeezed, err);
    if (rc == 0)
        rc = bundle_run_prepared(doubt->bundle, squeezed, doubt->scores,
                                 /* embedding= */ NULL, &times, err);
    if (rc == 0)
        add_direction(doubt->scores, doubt->bundle->class_count, doubt->sum);
    image_free(squeezed);
    return rc;
}

static int add_all(struct doubt *doubt, const struct image *image,
                   struct err *err)
{
    const struct transform *transform = &doubt->bundle->metadata.transform;
    struct image *prepared = NULL;
    int rc;

    rc = image_new(transform->width_px, transform->height_px, &prepared, err);
    if (rc)
        return rc;
    rc = transform_pixels(transform, image, prepared->pixels, err);
    for (int i = 0; i < SQUEEZERS && rc == 0; i++)
        rc = add_squeezed(doubt, prepared, i, err);
    image_free(prepared);
    return rc;
}

int adversarial_score(const struct bundle *bundle, const struct image *image,
                      const float *scores, double *out, struct err *err)
{
    size_t count = (size_t)bundle->class_count;
    struct doubt doubt = {
        .bundle = bundle,
        .scores = mem_try(count, sizeof *doubt.scores),
        .own = mem_try(count, sizeof *doubt.own),
        .sum = mem_try(count, sizeof *doubt.sum),
    };
    int rc;

    if (doubt.scores == NULL || doubt.own == NULL || doubt.sum == NULL)
        rc = err_set(err, ERR_UNAVAILABLE, "no memory for %zu scores", count);
    else
        rc = add_all(&doubt, image, err);
    if (rc == 0) {
        add_direction(scores, bundle->class_count, doubt.own);
        *out = distance(doubt.own, doubt.sum, bundle->class_count);
    }
    mem_free(doubt.scores);
    mem_free(doubt.own);
    mem_free(doubt.sum);
    return rc;
}
