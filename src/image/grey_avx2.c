/* SPDX-License-Identifier: Apache-2.0 */
/* What is left over after whole steps goes to the plain kernels. */
#include "image/grey.h"

#include <immintrin.h>

#include "image/quality.h"

enum {
    CONVERTED = 32, /* pixels in a step of `convert` */
    STEP = 16,      /* of `laplace` */
    /* A step adds at most 2 * 1020 * 1020 to each of the 32-bit sums of
     * squares, so that many are taken before those are emptied. */
    STEPS_MAX = 1024,
};

static bool is_usable(void)
{
    return __builtin_cpu_supports("avx2");
}

/* Eight pixels from 24 bytes to eight 32-bit grey values; reads 28 bytes. */
static inline __m256i convert_8(const uint8_t *rgb)
{
    const __m256i red_green = _mm256_setr_epi8(
        0, -1, 1, -1, 3, -1, 4, -1, 6, -1, 7, -1, 9, -1, 10, -1, 0, -1, 1, -1,
        3, -1, 4, -1, 6, -1, 7, -1, 9, -1, 10, -1);
    const __m256i blue = _mm256_setr_epi8(
        2, -1, -1, -1, 5, -1, -1, -1, 8, -1, -1, -1, 11, -1, -1, -1, 2, -1, -1,
        -1, 5, -1, -1, -1, 8, -1, -1, -1, 11, -1, -1, -1);
    const __m256i one = _mm256_set1_epi32(1 << 16);
    const __m256i weights = _mm256_set1_epi32(GREY_GREEN << 16 | GREY_RED);
    const __m256i blue_and_half =
        _mm256_set1_epi32(1 << (GREY_SHIFT - 1) << 16 | GREY_BLUE);
    __m256i bytes =
        _mm256_setr_m128i(_mm_loadu_si128((const __m128i *)rgb),
                          _mm_loadu_si128((const __m128i *)(rgb + 12)));
    __m256i sum = _mm256_add_epi32(
        _mm256_madd_epi16(_mm256_shuffle_epi8(bytes, red_green), weights),
        _mm256_madd_epi16(
            _mm256_or_si256(_mm256_shuffle_epi8(bytes, blue), one),
            blue_and_half));

    return _mm256_srli_epi32(sum, GREY_SHIFT);
}

static void convert(const uint8_t *rgb, int count, uint8_t *grey)
{
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    int i = 0;

    /* The last load of a step ends four bytes after its pixels. */
    for (; i + CONVERTED + 2 <= count; i += CONVERTED, rgb += CONVERTED * 3) {
        __m256i low = _mm256_packus_epi32(convert_8(rgb), convert_8(rgb + 24));
        __m256i high =
            _mm256_packus_epi32(convert_8(rgb + 48), convert_8(rgb + 72));

        _mm256_storeu_si256(
            (__m256i *)(grey + i),
            _mm256_permutevar8x32_epi32(_mm256_packus_epi16(low, high), order));
    }
    grey_kernels_c.convert(rgb, count - i, grey + i);
}

static int64_t fold_64(__m256i sums)
{
    int64_t parts[4];

    _mm256_storeu_si256((__m256i *)parts, sums);
    return parts[0] + parts[1] + parts[2] + parts[3];
}

static int64_t fold_32(__m256i sums)
{
    return fold_64(_mm256_add_epi64(
        _mm256_cvtepi32_epi64(_mm256_castsi256_si128(sums)),
        _mm256_cvtepi32_epi64(_mm256_extracti128_si256(sums, 1))));
}

static int set_bytes(__m256i mask)
{
    return __builtin_popcount((unsigned)_mm256_movemask_epi8(mask));
}

static void count_levels(const uint8_t *grey, int count, struct grey_sums *sums)
{
    const __m256i black = _mm256_set1_epi8(QUALITY_BLACK);
    const __m256i white = _mm256_set1_epi8((char)QUALITY_WHITE);
    __m256i level = _mm256_setzero_si256();
    int i = 0;

    for (; i + 32 <= count; i += 32) {
        __m256i values = _mm256_loadu_si256((const __m256i *)(grey + i));

        level = _mm256_add_epi64(
            level, _mm256_sad_epu8(values, _mm256_setzero_si256()));
        sums->dark += set_bytes(
            _mm256_cmpeq_epi8(_mm256_min_epu8(values, black), values));
        sums->bright += set_bytes(
            _mm256_cmpeq_epi8(_mm256_max_epu8(values, white), values));
    }
    sums->level += fold_64(level);
    grey_kernels_c.count(grey + i, count - i, sums);
}

static inline __m256i wide(const uint8_t *grey)
{
    return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)grey));
}

static void laplace(const uint8_t *above, const uint8_t *row,
                    const uint8_t *below, int count, struct grey_sums *sums)
{
    const __m256i ones = _mm256_set1_epi16(1);
    int i = 0;

    while (i + STEP <= count) {
        __m256i sum = _mm256_setzero_si256(), squared = sum;

        for (int steps = 0; steps < STEPS_MAX && i + STEP <= count;
             steps++, i += STEP) {
            __m256i around = _mm256_add_epi16(
                _mm256_add_epi16(wide(above + i), wide(below + i)),
                _mm256_add_epi16(wide(row + i - 1), wide(row + i + 1)));
            __m256i value =
                _mm256_sub_epi16(around, _mm256_slli_epi16(wide(row + i), 2));

            sum = _mm256_add_epi32(sum, _mm256_madd_epi16(value, ones));
            squared =
                _mm256_add_epi32(squared, _mm256_madd_epi16(value, value));
        }
        sums->laplacian += fold_32(sum);
        sums->laplacian_squared += fold_32(squared);
    }
    grey_kernels_c.laplace(above + i, row + i, below + i, count - i, sums);
}

const struct grey_kernels grey_kernels_avx2 = {
    "avx2", is_usable, convert, count_levels, laplace,
};
