/* SPDX-License-Identifier: Apache-2.0 */
#include "image/kernels.h"

/* Every aarch64 has NEON, so nothing is asked of the machine. */
static const struct kernels *const sets[] = {&kernels_neon, &kernels_c, NULL};

const struct kernels *const *kernels_usable(void)
{
    return sets;
}
