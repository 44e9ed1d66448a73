/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "test.h"
#include "vectors/half_dot.h"

enum { ROW_MAX = 11, LEN_MAX = 41 * HALF_STEP };

static uint32_t bits_of(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* --- one value ------------------------------------------------------------ */

TEST(half_floats_come_back_as_they_were)
{
    int i;

    for (i = 0; i < 1 << 16; i++) {
        float value = half_to_float((uint16_t)i);
        float b = bfloat_to_float((uint16_t)i);

        if (isnan(value))
            CHECK(isnan(half_to_float(half_from_float(value))));
        else
            CHECK_INT(half_from_float(value), i);
        if (isnan(b))
            CHECK(isnan(bfloat_to_float(bfloat_from_float(b))));
        else
            CHECK_INT(bfloat_from_float(b), i);
    }
}

/* Between two neighbours the nearer one is taken, in the middle the even one,
 * for all of the positive ones that are finite. */
TEST(half_floats_are_the_nearest_with_ties_to_even)
{
    uint16_t i;

    for (i = 0; i < 0x7bff; i++) {
        float low = half_to_float(i), high = half_to_float((uint16_t)(i + 1));
        float middle = low / 2 + high / 2;

        CHECK_INT(half_from_float(middle), i + (i & 1));
        CHECK_INT(half_from_float(nextafterf(middle, low)), i);
        CHECK_INT(half_from_float(nextafterf(middle, high)), i + 1);
        CHECK_INT(half_from_float(-middle), 0x8000 + i + (i & 1));
    }
    for (i = 0; i < 0x7f7f; i++) {
        float low = bfloat_to_float(i);
        float high = bfloat_to_float((uint16_t)(i + 1));
        float middle = low / 2 + high / 2;

        /* Halving the smallest subnormal ones loses their last bit. */
        if (i < 4)
            continue;
        CHECK_INT(bfloat_from_float(middle), i + (i & 1));
        CHECK_INT(bfloat_from_float(nextafterf(middle, low)), i);
        CHECK_INT(bfloat_from_float(nextafterf(middle, high)), i + 1);
    }
}

TEST(half_floats_keep_signs_infinities_and_nan)
{
    CHECK_INT(half_from_float(-0.0F), 0x8000);
    CHECK_INT(half_from_float(65519), 0x7bff);
    CHECK_INT(half_from_float(65520), 0x7c00);
    CHECK_INT(half_from_float(-1e30F), 0xfc00);
    CHECK_INT(half_from_float((float)INFINITY), 0x7c00);
    CHECK(isnan(half_to_float(half_from_float((float)NAN))));
    CHECK_INT(half_from_float(1e-30F), 0);
    CHECK_INT(bfloat_from_float(-0.0F), 0x8000);
    CHECK_INT(bfloat_from_float((float)INFINITY), 0x7f80);
    CHECK(isnan(bfloat_to_float(bfloat_from_float((float)NAN))));
    CHECK_INT(bits_of(half_to_float(0x8000)), 0x80000000);
    CHECK_INT(bits_of(half_to_float(1)), bits_of(0x1p-24F));
}

/* --- kernels -------------------------------------------------------------- */

/* xorshift64: the same numbers in every run. */
static uint64_t state;

static float random_float(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (float)((double)(state >> 11) / 4503599627370496.0 - 1);
}

/* Rows at addresses that are aligned to nothing but their type, each ending
 * where its memory ends: a kernel that reads past a row is seen by the address
 * sanitizer. */
static uint16_t *rows[ROW_MAX];
static float *query;

static void fill(int len, bool is_bfloat)
{
    int i, j;

    state = 88172645463325252U + (uint64_t)len;
    query = mem_new(((size_t)len + 1) * sizeof *query);
    for (j = 0; j < len; j++)
        query[1 + j] = random_float();
    for (i = 0; i < ROW_MAX; i++) {
        rows[i] = mem_new(((size_t)len + 1) * sizeof(uint16_t));
        for (j = 0; j < len; j++) {
            /* A few subnormal ones among them. */
            float value = random_float() * (j % 19 == 0 ? 1e-7F : 3);

            rows[i][1 + j] =
                is_bfloat ? bfloat_from_float(value) : half_from_float(value);
        }
    }
}

static void clear(void)
{
    int i;

    for (i = 0; i < ROW_MAX; i++)
        mem_free(rows[i]);
    mem_free(query);
}

static void check_kernels(const struct half_kernels *kernels, int count,
                          int len, bool is_bfloat)
{
    const uint16_t *places[ROW_MAX] = {0};
    float got[ROW_MAX + 1];
    int i, j;

    for (i = 0; i < count; i++)
        places[i] = rows[ROW_MAX - 1 - i] + 1;
    got[count] = 42;
    (is_bfloat ? kernels->bfloat16 : kernels->float16)(query + 1, places, count,
                                                       len, got);
    for (i = 0; i < count; i++) {
        double want = 0, scale = 0;

        for (j = 0; j < len; j++) {
            double value = (double)(is_bfloat ? bfloat_to_float(places[i][j])
                                              : half_to_float(places[i][j]));

            want += value * (double)query[1 + j];
            scale += fabs(value * (double)query[1 + j]);
        }
        CHECK_NEAR((double)got[i], want, 1e-5 * scale);
    }
    CHECK(got[count] == 42);
}

TEST(half_kernels_that_can_run_here_agree_with_sums_in_double)
{
    const struct half_kernels *kernels;
    int len, count, pass, run_count = 0;
    size_t i;

    for (i = 0; (kernels = half_get(i)) != NULL; i++) {
        if (!kernels->is_usable())
            continue;
        for (len = HALF_STEP; len <= LEN_MAX; len += 5 * HALF_STEP)
            for (pass = 0; pass < 2; pass++) {
                fill(len, pass == 1);
                for (count = 0; count <= ROW_MAX; count++)
                    check_kernels(kernels, count, len, pass == 1);
                clear();
            }
        run_count++;
    }
    CHECK(run_count >= 1);
}

TEST(half_best_is_the_first_that_can_run)
{
    const struct half_kernels *kernels;
    size_t i = 0;

    while ((kernels = half_get(i)) != NULL && !kernels->is_usable())
        i++;
    CHECK(kernels == half_best());
    while (half_get(i) != NULL)
        i++;
    CHECK(half_get(i - 1) == &half_kernels_c);
}
