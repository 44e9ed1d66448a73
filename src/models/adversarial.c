/* SPDX-License-Identifier: Apache-2.0 */
/* The paper takes the L1 distance between probabilities. Of an uncertain
 * network that is small whatever was done to the image, so what is compared
 * here are the logarithms of the probabilities, which are the network's logits
 * but for a constant: 1 - the cosine of the angle between the two, each less
 * its mean. docs/design/checks.md has the numbers of both. */
#include "models/adversarial.h"

#include <math.h>

#include "base/mem.h"
#include "image/squeeze.h"
#include "image/transform.h"

enum { QUALITY = 75, DEGREES = 2, SQUEEZERS = 2 };

/* A probability below this is as good as none; keeps logarithms finite. */
static const double score_floor = 1e-12;

static int squeeze(const struct image *image, int which, struct image **out,
                   struct err *err)
{
    if (which == 0)
        return squeeze_jpeg(image, QUALITY, out, err);
    return squeeze_rotate(image, DEGREES, out, err);
}

static double mean_log(const float *scores, int count)
{
    double sum = 0;

    for (int i = 0; i < count; i++)
        sum += log(scores[i] + score_floor);
    return sum / count;
}

/* 0: the same direction .. 2: the opposite one. Scores without a direction,
 * all equal, are as far from others as a right angle. */
static double distance(const float *a, const float *b, int count)
{
    double mean_a = mean_log(a, count), mean_b = mean_log(b, count);
    double square_a = 0, square_b = 0, product = 0;

    for (int i = 0; i < count; i++) {
        double x = log(a[i] + score_floor) - mean_a;
        double y = log(b[i] + score_floor) - mean_b;

        square_a += x * x;
        square_b += y * y;
        product += x * y;
    }
    if (square_a == 0 && square_b == 0)
        return 0;
    if (square_a == 0 || square_b == 0)
        return 1;
    return 1 - product / sqrt(square_a * square_b);
}

static int measure(const struct bundle *bundle, const struct image *prepared,
                   const float *scores, int which, double *out, struct err *err)
{
    float *squeezed_scores =
        mem_try((size_t)bundle->class_count, sizeof *squeezed_scores);
    struct bundle_times times;
    struct image *squeezed = NULL;
    int rc;

    if (squeezed_scores == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for %d scores",
                       bundle->class_count);
    rc = squeeze(prepared, which, &squeezed, err);
    if (rc == 0)
        rc = bundle_run_prepared(bundle, squeezed, squeezed_scores,
                                 /* embedding= */ NULL, &times, err);
    if (rc == 0)
        *out = distance(scores, squeezed_scores, bundle->class_count);
    image_free(squeezed);
    mem_free(squeezed_scores);
    return rc;
}

int adversarial_score(const struct bundle *bundle, const struct image *image,
                      const float *scores, double *out, struct err *err)
{
    const struct transform *transform = &bundle->metadata.transform;
    struct image *prepared = NULL;
    double sum = 0, moved = 0;
    int rc;

    rc = image_new(transform->width_px, transform->height_px, &prepared, err);
    if (rc)
        return rc;
    rc = transform_pixels(transform, image, prepared->pixels, err);
    for (int i = 0; i < SQUEEZERS && rc == 0; i++) {
        rc = measure(bundle, prepared, scores, i, &moved, err);
        sum += moved;
    }
    image_free(prepared);
    if (rc == 0)
        *out = sum / SQUEEZERS;
    return rc;
}
