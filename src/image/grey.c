/* SPDX-License-Identifier: Apache-2.0 */
#include "image/grey.h"

#include <stddef.h>

const struct grey_kernels *grey_best(void)
{
    if (&grey_kernels_avx2 != NULL && grey_kernels_avx2.is_usable())
        return &grey_kernels_avx2;
    if (&grey_kernels_neon != NULL && grey_kernels_neon.is_usable())
        return &grey_kernels_neon;
    return &grey_kernels_c;
}
