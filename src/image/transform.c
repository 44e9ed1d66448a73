/* SPDX-License-Identifier: Apache-2.0 */
#include "image/transform.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include "image/kernels.h"
#include "image/resample.h"

enum { SIDE_MAX_PX = 8192 };

static const char *const filter_names[FILTER_COUNT] = {
    [FILTER_BILINEAR_AA] = "bilinear-aa",
    [FILTER_BICUBIC_AA] = "bicubic-aa",
    [FILTER_BILINEAR] = "bilinear",
    [FILTER_NEAREST] = "nearest",
    [FILTER_NEAREST_CORNER] = "nearest-corner",
    [FILTER_AREA] = "area",
    [FILTER_BOX] = "box",
};

static const char *const fit_names[FIT_COUNT] = {
    [FIT_STRETCH] = "stretch",
    [FIT_CROP] = "crop",
    [FIT_LETTERBOX] = "letterbox",
};

/* The set in use; NULL until the first use. Threads that race choose the same
 * constant, so relaxed order is enough. */
static _Atomic(const struct kernels *) chosen;

/* The last set is plain C, which agrees with itself. */
static const struct kernels *first_right(const struct kernels *const *sets)
{
    while (sets[1] != NULL && !kernels_are_right(sets[0]))
        sets++;
    return sets[0];
}

static const struct kernels *kernels_chosen(void)
{
    const struct kernels *kernels =
        atomic_load_explicit(&chosen, memory_order_relaxed);

    if (kernels == NULL) {
        kernels = first_right(kernels_usable());
        atomic_store_explicit(&chosen, kernels, memory_order_relaxed);
    }
    return kernels;
}

const char *filter_name(enum filter filter)
{
    assert(filter < FILTER_COUNT);
    return filter_names[filter];
}

enum filter filter_find(const char *name)
{
    int i = 0;

    while (i < FILTER_COUNT && strcmp(filter_names[i], name) != 0)
        i++;
    return (enum filter)i;
}

const char *fit_name(enum fit fit)
{
    assert(fit < FIT_COUNT);
    return fit_names[fit];
}

enum fit fit_find(const char *name)
{
    int i = 0;

    while (i < FIT_COUNT && strcmp(fit_names[i], name) != 0)
        i++;
    return (enum fit)i;
}

static int check(const struct transform *transform, const struct image *image,
                 struct err *err)
{
    assert(transform->filter < FILTER_COUNT);
    assert(transform->fit < FIT_COUNT);
    assert(image->width_px >= 1);
    assert(image->height_px >= 1);
    if (transform->width_px < 1 || transform->width_px > SIDE_MAX_PX ||
        transform->height_px < 1 || transform->height_px > SIDE_MAX_PX)
        return err_set(err, ERR_INVALID,
                       "the target is %dx%d px; sides must be 1..%d",
                       transform->width_px, transform->height_px, SIDE_MAX_PX);
    if (transform->short_side_px < 0 || transform->short_side_px > SIDE_MAX_PX)
        return err_set(err, ERR_INVALID,
                       "the short side is %d px; it must be 0..%d",
                       transform->short_side_px, SIDE_MAX_PX);
    return 0;
}

int transform_run(const struct transform *transform, const struct image *image,
                  float *out, struct err *err)
{
    int rc = check(transform, image, err);

    if (rc)
        return rc;
    return resample_run(transform, image, kernels_chosen(), out, NULL, err);
}

int transform_pixels(const struct transform *transform,
                     const struct image *image, uint8_t *out, struct err *err)
{
    int rc = check(transform, image, err);

    if (rc)
        return rc;
    return resample_run(transform, image, kernels_chosen(), NULL, out, err);
}

const char *transform_kernels(void)
{
    return kernels_chosen()->name;
}

bool transform_use_kernels(const char *name)
{
    const struct kernels *const *set = kernels_usable();

    if (name == NULL) {
        atomic_store_explicit(&chosen, first_right(set), memory_order_relaxed);
        return true;
    }
    while (*set != NULL && strcmp((*set)->name, name) != 0)
        set++;
    if (*set == NULL)
        return false;
    atomic_store_explicit(&chosen, *set, memory_order_relaxed);
    return true;
}
