/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels of each instruction set against plain C, bit by bit, and the
 * sizes at which vectors end badly. */
#include "test.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "image/kernels.h"
#include "image/transform.h"

enum { RANDOM_ROUNDS = 150, SIDE_LARGEST = 8192 };

static uint32_t random_state;

static int random_upto(int most)
{
    random_state = random_state * 1664525U + 1013904223U;
    return 1 + (int)((random_state >> 8) % (uint32_t)most);
}

static size_t sample_count(int width_px, int height_px)
{
    return (size_t)width_px * (size_t)height_px * 3;
}

static struct image image_of(int width_px, int height_px)
{
    struct image image = {.width_px = width_px, .height_px = height_px};
    size_t len = sample_count(width_px, height_px);

    image.pixels = mem_try(len, 1);
    CHECK(image.pixels != NULL);
    for (size_t i = 0; i < len; i++)
        image.pixels[i] = (uint8_t)(random_upto(256) - 1);
    return image;
}

static struct transform random_transform(int side_max)
{
    struct transform transform = {
        .width_px = random_upto(side_max),
        .height_px = random_upto(side_max),
        .filter = (enum filter)(random_upto(FILTER_COUNT) - 1),
        .fit = (enum fit)(random_upto(FIT_COUNT) - 1),
        .short_side_px = random_upto(side_max) - 1,
        .pad = (uint8_t)random_upto(255),
        .layout = (enum layout)(random_upto(2) - 1),
        .order = (enum channel_order)(random_upto(2) - 1),
    };

    for (int channel = 0; channel < 3; channel++) {
        transform.scale[channel] = (float)random_upto(1000) / 37000.0F;
        transform.bias[channel] = (float)random_upto(1000) / -300.0F;
    }
    return transform;
}

static void check_equal(const struct transform *transform,
                        const struct image *image, const char *want_of,
                        const char *got_of)
{
    size_t count = sample_count(transform->width_px, transform->height_px);
    float *want = mem_try(count, sizeof *want);
    float *got = mem_try(count, sizeof *got);
    uint8_t *pixels = mem_try(count, 1), *got_pixels = mem_try(count, 1);
    struct err err = {0};

    CHECK(want && got && pixels && got_pixels);
    CHECK(transform_use_kernels(want_of));
    CHECK_OK(transform_run(transform, image, want, &err), err);
    CHECK_OK(transform_pixels(transform, image, pixels, &err), err);
    CHECK(transform_use_kernels(got_of));
    CHECK_OK(transform_run(transform, image, got, &err), err);
    CHECK_OK(transform_pixels(transform, image, got_pixels, &err), err);
    for (size_t i = 0; i < count; i++)
        CHECK(isfinite(want[i]));
    if (memcmp(want, got, count * sizeof *want) != 0 ||
        memcmp(pixels, got_pixels, count) != 0)
        test_fail(__FILE__, __LINE__,
                  "%s differs from %s: %s %s %dx%d -> %dx%d", got_of, want_of,
                  filter_name(transform->filter), fit_name(transform->fit),
                  image->width_px, image->height_px, transform->width_px,
                  transform->height_px);
    mem_free(want);
    mem_free(got);
    mem_free(pixels);
    mem_free(got_pixels);
}

static void check_sets(const struct transform *transform,
                       const struct image *image)
{
    for (const struct kernels *const *set = kernels_usable(); *set; set++)
        check_equal(transform, image, "c", (*set)->name);
    CHECK(transform_use_kernels(NULL));
}

TEST(kernels_of_all_sets_give_the_same_bits)
{
    random_state = 1;
    for (int round = 0; round < RANDOM_ROUNDS; round++) {
        struct image image = image_of(random_upto(130), random_upto(130));
        struct transform transform = random_transform(90);

        check_sets(&transform, &image);
        mem_free(image.pixels);
    }
}

TEST(kernels_agree_at_every_width_around_a_vector)
{
    random_state = 2;
    for (int width = 1; width <= 70; width++) {
        struct image image = image_of(width, 1 + width % 19);
        struct transform transform = random_transform(9);

        transform.fit = FIT_STRETCH;
        transform.width_px = 71 - width;
        for (int filter = 0; filter < FILTER_COUNT; filter++) {
            transform.filter = (enum filter)filter;
            check_sets(&transform, &image);
        }
        mem_free(image.pixels);
    }
}

TEST(kernels_agree_at_extreme_ratios)
{
    static const int sides[][4] = {
        {9000, 1, 1, 1},         {1, 9000, 1, 1},  {1, 1, SIDE_LARGEST, 1},
        {1, 1, 1, SIDE_LARGEST}, {700, 2, 2, 700}, {2, 700, 700, 2},
        {5000, 3, 7, 2},         {3, 5000, 2, 7},  {8192, 2, SIDE_LARGEST, 1},
    };

    random_state = 3;
    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++) {
        struct image image = image_of(sides[i][0], sides[i][1]);
        struct transform transform = random_transform(1);

        transform.fit = FIT_STRETCH;
        transform.width_px = sides[i][2];
        transform.height_px = sides[i][3];
        for (int filter = 0; filter < FILTER_COUNT; filter++) {
            transform.filter = (enum filter)filter;
            check_sets(&transform, &image);
        }
        mem_free(image.pixels);
    }
}

/* Fits of an image of one row or column: the other side grows without bound
 * and only the crop of it is computed. */
TEST(kernels_agree_on_fits_of_a_line)
{
    random_state = 4;
    for (int fit = 0; fit < FIT_COUNT; fit++)
        for (int filter = 0; filter < FILTER_COUNT; filter++) {
            struct image line = image_of(3000, 1), column = image_of(1, 3000);
            struct transform transform = random_transform(40);

            transform.fit = (enum fit)fit;
            transform.filter = (enum filter)filter;
            check_sets(&transform, &line);
            check_sets(&transform, &column);
            mem_free(line.pixels);
            mem_free(column.pixels);
        }
}

/* Weights sum to one: an image of one colour stays it, to the last bit. */
TEST(kernels_keep_one_colour)
{
    static const uint8_t levels[] = {0, 1, 127, 254, 255};

    random_state = 5;
    for (int round = 0; round < 60; round++) {
        struct image image = image_of(random_upto(300), random_upto(40));
        struct transform transform = random_transform(60);
        uint8_t level = levels[round % 5];
        size_t count = sample_count(transform.width_px, transform.height_px);
        uint8_t *out = mem_try(count, 1);
        struct err err = {0};

        memset(image.pixels, level,
               sample_count(image.width_px, image.height_px));
        transform.fit = FIT_STRETCH;
        CHECK_OK(transform_pixels(&transform, &image, out, &err), err);
        for (size_t i = 0; i < count; i++)
            CHECK_INT(out[i], level);
        mem_free(out);
        mem_free(image.pixels);
    }
}

static void across_wrongly(const struct kernel_across *across,
                           const uint8_t *const *rows, uint8_t *const *out)
{
    kernels_c.across(across, rows, out);
    out[0][0] ^= 1;
}

TEST(kernels_that_are_one_level_off_are_found_out)
{
    struct kernels wrong = kernels_c;

    CHECK(kernels_are_right(&wrong));
    wrong.across = across_wrongly;
    CHECK(!kernels_are_right(&wrong));
}
