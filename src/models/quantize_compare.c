/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "models/quantize_run.h"

/* A model whose best two classes differ by more is sure. */
static const float sure_above = 0.2f;

/* One of the two networks: what it says of the image at hand, how long each
 * took. */
struct side {
    const struct bundle *bundle;
    float *scores, *embedding;
    int64_t *times_us;
    struct bundle_class top[2];
};

struct comparison {
    struct side real, small;
    struct quantize_report *report;
    double similarity_sum;
};

static int run_side(struct side *side, const struct image *image, size_t i,
                    struct err *err)
{
    int k = side->bundle->class_count > 1 ? 2 : 1;
    struct bundle_times times;
    int rc;

    rc = bundle_run(side->bundle, image, side->scores, side->embedding, &times,
                    err);
    if (rc)
        return rc;
    side->times_us[i] = times.inference_us;
    bundle_rank(side->bundle, side->scores, k, side->top);
    return 0;
}

static int take_image(void *user, const struct image *image, struct err *err)
{
    struct comparison *comparison = user;
    struct side *real = &comparison->real, *small = &comparison->small;
    struct quantize_report *report = comparison->report;
    bool is_sure, has_agreed;
    int i, rc;

    rc = run_side(real, image, report->compared_count, err);
    if (rc == 0)
        rc = run_side(small, image, report->compared_count, err);
    if (rc)
        return rc;
    is_sure = real->top[0].score - real->top[1].score > sure_above;
    has_agreed = real->top[0].id == small->top[0].id;
    report->compared_count++;
    report->agreed_count += has_agreed;
    report->sure_count += is_sure;
    report->sure_agreed_count += is_sure && has_agreed;
    for (i = 0; i < real->bundle->embedding_len; i++)
        comparison->similarity_sum +=
            (double)real->embedding[i] * small->embedding[i];
    return 0;
}

static int compare_times(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static double median_ms(int64_t *times_us, size_t count)
{
    size_t middle = count / 2;

    qsort(times_us, count, sizeof *times_us, compare_times);
    return (double)times_us[middle] / 1000;
}

static int open_side(const struct bundle *bundle, size_t image_count,
                     struct side *side, struct err *err)
{
    side->bundle = bundle;
    side->scores = mem_try((size_t)bundle->class_count, sizeof(float));
    side->embedding = mem_try((size_t)bundle->embedding_len + 1, sizeof(float));
    side->times_us = mem_try(image_count, sizeof *side->times_us);
    if (side->scores == NULL || side->embedding == NULL ||
        side->times_us == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for %d scores",
                       bundle->class_count);
    return 0;
}

static void close_side(struct side *side)
{
    mem_free(side->scores);
    mem_free(side->embedding);
    mem_free(side->times_us);
}

int quantize_compare(const struct bundle *real, const struct bundle *small,
                     struct quantize_images *images,
                     struct quantize_report *report, struct err *err)
{
    struct comparison comparison = {.report = report};
    int rc;

    rc = open_side(real, images->count, &comparison.real, err);
    if (rc == 0)
        rc = open_side(small, images->count, &comparison.small, err);
    if (rc == 0)
        rc = quantize_images_run(images, HALF_HELD_OUT,
                                 &real->metadata.transform, take_image,
                                 &comparison, err);
    if (rc == 0 && report->compared_count < QUANTIZE_IMAGES_MIN / 2)
        rc = err_set(err, ERR_INVALID,
                     "only %zu of the images that are held out can be read; at "
                     "least %d are needed",
                     report->compared_count, QUANTIZE_IMAGES_MIN / 2);
    if (rc == 0) {
        size_t count = report->compared_count;

        report->float_ms = median_ms(comparison.real.times_us, count);
        report->int8_ms = median_ms(comparison.small.times_us, count);
        report->similarity = real->embedding_len > 0
                                 ? comparison.similarity_sum / (double)count
                                 : NAN;
    }
    close_side(&comparison.real);
    close_side(&comparison.small);
    return rc;
}
