/* SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>

#include "image/kernels.h"

static const struct kernels *const sets[] = {&kernels_avx512, &kernels_avx2,
                                             &kernels_c, NULL};

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vnni");
}

const struct kernels *const *kernels_usable(void)
{
    /* Whoever has the first has the second as well. */
    if (has_avx512())
        return sets;
    return has_avx2() ? sets + 1 : sets + 2;
}
