/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors/dot.h"

static const struct dot_kernels *const by_speed[] = {
    &dot_kernels_avx512,
    &dot_kernels_avx2,
    &dot_kernels_neon,
    &dot_kernels_c,
};

const struct dot_kernels *dot_get(size_t i)
{
    size_t j;

    for (j = 0; j < sizeof by_speed / sizeof by_speed[0]; j++) {
        if (by_speed[j] != NULL && i-- == 0)
            return by_speed[j];
    }
    return NULL;
}

const struct dot_kernels *dot_best(void)
{
    const struct dot_kernels *kernels = NULL;
    size_t i;

    for (i = 0; (kernels = dot_get(i)) != NULL; i++) {
        if (kernels->is_usable())
            return kernels;
    }
    return &dot_kernels_c;
}
