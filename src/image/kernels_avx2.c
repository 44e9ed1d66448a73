/* SPDX-License-Identifier: Apache-2.0 */
/* The horizontal pass turns 16 rows on their side: a column is the same byte of
 * 16 rows as 32-bit numbers, in two vectors, so that every tap is the same two
 * multiplications whatever the ratio, and no lane is ever idle. */
#include "image/kernels_avx2.h"

#include <immintrin.h>
#include <string.h>

#include "image/tile.h"

enum {
    ROWS = 16,
    TILE_PX = 64, /* 15 KB of turned columns: half of the first cache */
};

static size_t columns_len(int tile_px)
{
    return (size_t)tile_px * 3 * ROWS * sizeof(int32_t);
}

static size_t across_room(int tile_px, int target_px)
{
    return columns_len(tile_px) + ((size_t)target_px * 3 + 8) * ROWS;
}

static inline __m128i load16(const uint8_t *bytes)
{
    return _mm_loadu_si128((const void *)bytes);
}

/* Rows n and n + 4 in the halves of one vector. */
static inline __m256i load_two(const uint8_t *const *rows, size_t at)
{
    return _mm256_inserti128_si256(_mm256_castsi128_si256(load16(rows[0] + at)),
                                   load16(rows[4] + at), 1);
}

/* Four neighbouring bytes of 8 rows to half of four columns. */
static inline void store_four(__m256i bytes, int32_t *out)
{
    const __m256i lowest = _mm256_set1_epi32(0xff);
    __m256i *place = (void *)out;

    _mm256_store_si256(place, _mm256_and_si256(bytes, lowest));
    _mm256_store_si256(place + 2,
                       _mm256_and_si256(_mm256_srli_epi32(bytes, 8), lowest));
    _mm256_store_si256(place + 4,
                       _mm256_and_si256(_mm256_srli_epi32(bytes, 16), lowest));
    _mm256_store_si256(place + 6, _mm256_srli_epi32(bytes, 24));
}

/* Bytes at..at+15 of 8 rows to half of 16 columns. */
static inline void turn16(const uint8_t *const *rows, size_t at, int32_t *out)
{
    __m256i a = load_two(rows, at), b = load_two(rows + 1, at);
    __m256i c = load_two(rows + 2, at), d = load_two(rows + 3, at);
    __m256i ab = _mm256_unpacklo_epi32(a, b), cd = _mm256_unpacklo_epi32(c, d);

    store_four(_mm256_unpacklo_epi64(ab, cd), out);
    store_four(_mm256_unpackhi_epi64(ab, cd), out + 4 * ROWS);
    ab = _mm256_unpackhi_epi32(a, b);
    cd = _mm256_unpackhi_epi32(c, d);
    store_four(_mm256_unpacklo_epi64(ab, cd), out + 8 * ROWS);
    store_four(_mm256_unpackhi_epi64(ab, cd), out + 12 * ROWS);
}

/* Bytes at..at+len-1 of 8 rows to half of len columns. The last 16 are done
 * again rather than reading past the end. */
static void turn(const uint8_t *const *all, size_t at, size_t len, int32_t *out)
{
    const uint8_t *const rows[8] = {all[0], all[1], all[2], all[3],
                                    all[4], all[5], all[6], all[7]};
    size_t i = 0;

    for (; i + 16 <= len; i += 16)
        turn16(rows, at + i, out + i * ROWS);
    if (i < len && len >= 16) {
        turn16(rows, at + len - 16, out + (len - 16) * ROWS);
        return;
    }
    for (; i < len; i++)
        for (int row = 0; row < 8; row++)
            out[i * ROWS + (size_t)row] = rows[row][at + i];
}

struct sums {
    __m256i red[2], green[2], blue[2]; /* of rows 0..7 and 8..15 */
};

static inline __m256i weigh(__m256i sum, __m256i weight, const int32_t *column)
{
    __m256i value = _mm256_load_si256((const void *)column);

    return _mm256_add_epi32(sum, _mm256_mullo_epi32(weight, value));
}

static inline void add_tap(struct sums *sums, int32_t fixed,
                           const int32_t *column)
{
    const __m256i weight = _mm256_set1_epi32(fixed);

    sums->red[0] = weigh(sums->red[0], weight, column);
    sums->red[1] = weigh(sums->red[1], weight, column + 8);
    sums->green[0] = weigh(sums->green[0], weight, column + ROWS);
    sums->green[1] = weigh(sums->green[1], weight, column + ROWS + 8);
    sums->blue[0] = weigh(sums->blue[0], weight, column + 2 * ROWS);
    sums->blue[1] = weigh(sums->blue[1], weight, column + 2 * ROWS + 8);
}

/* Both halves of a column as numbers of 16 bits, in the order 0-3 8-11 4-7
 * 12-15. */
static inline __m256i narrow(const __m256i *sum)
{
    return _mm256_packs_epi32(_mm256_srai_epi32(sum[0], AXIS_FIXED_BITS),
                              _mm256_srai_epi32(sum[1], AXIS_FIXED_BITS));
}

/* A pixel of 16 rows to 48 bytes: red of all rows, green, blue. */
static inline void pack(const struct sums *sums, uint8_t *out)
{
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    __m256i blue = narrow(sums->blue);
    __m256i pair = _mm256_packus_epi16(narrow(sums->red), narrow(sums->green));

    pair = _mm256_permutevar8x32_epi32(pair, order);
    blue = _mm256_packus_epi16(blue, blue);
    blue = _mm256_permutevar8x32_epi32(blue, order);
    _mm256_storeu_si256((void *)out, pair);
    _mm_storeu_si128((void *)(out + 32), _mm256_castsi256_si128(blue));
}

static inline void sum_pixel(const int32_t *fixed, int taps,
                             const int32_t *column, uint8_t *out)
{
    const __m256i half = _mm256_set1_epi32(1 << (AXIS_FIXED_BITS - 1));
    struct sums sums = {{half, half}, {half, half}, {half, half}};
    int tap = 0;

    for (; tap + 2 <= taps; tap += 2, column += 6 * ROWS) {
        add_tap(&sums, fixed[tap], column);
        add_tap(&sums, fixed[tap + 1], column + 3 * ROWS);
    }
    if (tap < taps)
        add_tap(&sums, fixed[tap], column);
    pack(&sums, out);
}

static inline void store_rows(__m128i two, uint8_t *const *out, int at)
{
    _mm_storel_epi64((void *)(out[0] + at), two);
    _mm_storeh_pd((void *)(out[1] + at), _mm_castsi128_pd(two));
}

/* Rows n..n+7 of 8 columns, given as columns 0 and 4, 1 and 5, 2 and 6, 3 and
 * 7 with their bytes alternating. */
static inline void store_eight(__m128i ae, __m128i bf, __m128i cg, __m128i dh,
                               uint8_t *const *out, int at)
{
    __m128i low = _mm_unpacklo_epi8(ae, cg), high = _mm_unpackhi_epi8(ae, cg);
    __m128i low2 = _mm_unpacklo_epi8(bf, dh), high2 = _mm_unpackhi_epi8(bf, dh);

    store_rows(_mm_unpacklo_epi8(low, low2), out, at);
    store_rows(_mm_unpackhi_epi8(low, low2), out + 2, at);
    store_rows(_mm_unpacklo_epi8(high, high2), out + 4, at);
    store_rows(_mm_unpackhi_epi8(high, high2), out + 6, at);
}

/* The columns of `packed`, 16 bytes each, back to 16 rows; up to 7 bytes after
 * each row are written. */
void avx2_turn_back(const uint8_t *packed, int len, uint8_t *const *all)
{
    uint8_t *out[ROWS];

    memcpy(out, all, sizeof out);
    for (int i = 0; i < len; i += 8, packed += 8 * ROWS) {
        __m128i a = load16(packed), b = load16(packed + 16);
        __m128i c = load16(packed + 32), d = load16(packed + 48);
        __m128i e = load16(packed + 64), f = load16(packed + 80);
        __m128i g = load16(packed + 96), h = load16(packed + 112);

        store_eight(_mm_unpacklo_epi8(a, e), _mm_unpacklo_epi8(b, f),
                    _mm_unpacklo_epi8(c, g), _mm_unpacklo_epi8(d, h), out, i);
        store_eight(_mm_unpackhi_epi8(a, e), _mm_unpackhi_epi8(b, f),
                    _mm_unpackhi_epi8(c, g), _mm_unpackhi_epi8(d, h), out + 8,
                    i);
    }
}

static void across(const struct kernel_across *pass, const uint8_t *const *rows,
                   uint8_t *const *out)
{
    const struct axis *axis = pass->axis;
    int32_t *columns = pass->room;
    uint8_t *packed = (uint8_t *)pass->room + columns_len(pass->tile_px);

    for (int n = 0; n < pass->tile_count; n++) {
        const struct tile tile = pass->tiles[n];
        const size_t at = (size_t)tile.source * 3;
        const size_t len = (size_t)(tile.source_end - tile.source) * 3;

        turn(rows, at, len, columns);
        turn(rows + 8, at, len, columns + 8);
        tile_prefetch(pass, n, rows, ROWS);
        for (int i = tile.target; i < tile.target_end; i++) {
            size_t column = (size_t)(axis->first[i] - tile.source) * 3;

            sum_pixel(axis->fixed + (size_t)i * (size_t)axis->taps_max,
                      axis->count[i], columns + column * ROWS,
                      packed + (size_t)i * 3 * ROWS);
        }
    }
    avx2_turn_back(packed, axis->len * 3, out);
}

static inline __m256i weigh_bytes(__m256i sum, __m256i weight,
                                  const uint8_t *bytes)
{
    __m256i value = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)bytes));

    return _mm256_add_epi32(sum, _mm256_mullo_epi32(weight, value));
}

/* Four sums of 8 to 32 bytes. */
static inline void store_bytes(const __m256i *sums, uint8_t *out)
{
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    __m256i bytes = _mm256_packus_epi16(narrow(sums), narrow(sums + 2));

    _mm256_storeu_si256((void *)out, _mm256_permutevar8x32_epi32(bytes, order));
}

/* 64 bytes at `at` of each row to 64 bytes. */
static inline void down64(const int32_t *fixed, int taps,
                          const uint8_t *const *rows, size_t at, uint8_t *out)
{
    const __m256i half = _mm256_set1_epi32(1 << (AXIS_FIXED_BITS - 1));
    __m256i sums[8] = {half, half, half, half, half, half, half, half};

    for (int tap = 0; tap < taps; tap++) {
        const __m256i weight = _mm256_set1_epi32(fixed[tap]);
        const uint8_t *bytes = rows[tap] + at;

        sums[0] = weigh_bytes(sums[0], weight, bytes);
        sums[1] = weigh_bytes(sums[1], weight, bytes + 8);
        sums[2] = weigh_bytes(sums[2], weight, bytes + 16);
        sums[3] = weigh_bytes(sums[3], weight, bytes + 24);
        sums[4] = weigh_bytes(sums[4], weight, bytes + 32);
        sums[5] = weigh_bytes(sums[5], weight, bytes + 40);
        sums[6] = weigh_bytes(sums[6], weight, bytes + 48);
        sums[7] = weigh_bytes(sums[7], weight, bytes + 56);
    }
    store_bytes(sums, out);
    store_bytes(sums + 4, out + 32);
}

/* The rows of the ring have slack after them, so the last block may read more
 * than it keeps. */
static void down(const int32_t *fixed, int taps, const uint8_t *const *rows,
                 int len, uint8_t *out)
{
    const size_t all = (size_t)len;
    uint8_t rest[64];
    size_t i = 0;

    for (; i + 64 <= all; i += 64)
        down64(fixed, taps, rows, i, out + i);
    if (i == all)
        return;
    down64(fixed, taps, rows, i, rest);
    memcpy(out + i, rest, all - i);
}

const struct kernels kernels_avx2 = {
    .name = "avx2",
    .rows = ROWS,
    .tile_px = TILE_PX,
    .across_room = across_room,
    .across = across,
    .down = down,
    .across_float = avx2_across_float,
    .down_float = avx2_down_float,
    .planes = avx2_planes,
    .pixels = avx2_pixels,
    .planes_float = avx2_planes_float,
    .pixels_float = avx2_pixels_float,
};
