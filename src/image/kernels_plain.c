/* SPDX-License-Identifier: Apache-2.0 */
#include "image/kernels.h"

static const struct kernels *const sets[] = {&kernels_c, NULL};

const struct kernels *const *kernels_usable(void)
{
    return sets;
}
