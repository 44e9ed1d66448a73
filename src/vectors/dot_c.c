/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors/dot.h"

/* As many sums as the widest kernel has lanes: the compiler may vectorise
 * without reordering, and the rounding error stays small for long rows. */
enum { LANES = 16 };

static bool is_usable(void)
{
    return true;
}

static float fold(const float *sums)
{
    float total = 0;
    int lane;

    for (lane = 0; lane < LANES; lane++)
        total += sums[lane];
    return total;
}

static float inner_row(const float *query, const float *row, int dim)
{
    float sums[LANES] = {0};
    int i, lane;

    for (i = 0; i + LANES <= dim; i += LANES) {
        for (lane = 0; lane < LANES; lane++)
            sums[lane] += dot_load(query + i + lane) * dot_load(row + i + lane);
    }
    for (lane = 0; i + lane < dim; lane++)
        sums[lane] += dot_load(query + i + lane) * dot_load(row + i + lane);
    return fold(sums);
}

static float square_row(const float *query, const float *row, int dim)
{
    float sums[LANES] = {0};
    int i, lane;

    for (i = 0; i + LANES <= dim; i += LANES) {
        for (lane = 0; lane < LANES; lane++) {
            float gap = dot_load(query + i + lane) - dot_load(row + i + lane);

            sums[lane] += gap * gap;
        }
    }
    for (lane = 0; i + lane < dim; lane++) {
        float gap = dot_load(query + i + lane) - dot_load(row + i + lane);

        sums[lane] += gap * gap;
    }
    return fold(sums);
}

static void inner(const float *query, const float *const *rows, int count,
                  int dim, float *out)
{
    int i;

    for (i = 0; i < count; i++)
        out[i] = inner_row(query, rows[i], dim);
}

static void square(const float *query, const float *const *rows, int count,
                   int dim, float *out)
{
    int i;

    for (i = 0; i < count; i++)
        out[i] = square_row(query, rows[i], dim);
}

const struct dot_kernels dot_kernels_c = {"c", is_usable, inner, square};
