/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors/dot.h"

#include <math.h>

/* Odd, so that the ends of rows and the last rows are tried as well. */
enum { DIM = 83, ROWS = 7 };

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

/* A set is used only after it agreed with plain C on this very machine: no
 * build machine has every instruction set, so tests alone cannot promise it. */
static bool is_right(const struct dot_kernels *kernels)
{
    float query[DIM], rows[ROWS][DIM], want[ROWS], got[ROWS];
    const float *places[ROWS];
    int i, j, pass;

    for (i = 0; i < ROWS; i++) {
        places[i] = rows[i];
        for (j = 0; j < DIM; j++) {
            query[j] = (float)(j * 37 % 101) / 101 - 0.5F;
            rows[i][j] = (float)((i * 53 + j * 29) % 97) / 97 - 0.5F;
        }
    }
    for (pass = 0; pass < 2; pass++) {
        (pass ? dot_kernels_c.square : dot_kernels_c.inner)(query, places, ROWS,
                                                            DIM, want);
        (pass ? kernels->square : kernels->inner)(query, places, ROWS, DIM,
                                                  got);
        for (i = 0; i < ROWS; i++)
            if (!(fabsf(want[i] - got[i]) <= 1e-5F * DIM))
                return false;
    }
    return true;
}

const struct dot_kernels *dot_best(void)
{
    const struct dot_kernels *kernels = NULL;
    size_t i;

    for (i = 0; (kernels = dot_get(i)) != NULL; i++) {
        if (kernels->is_usable() && is_right(kernels))
            return kernels;
    }
    return &dot_kernels_c;
}
