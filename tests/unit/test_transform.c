/* SPDX-License-Identifier: Apache-2.0 */
/* What transform answers: the stored answers of Pillow, OpenCV and TensorFlow,
 * the fits, the layouts and the refusals, for every set of kernels that this
 * machine can run. */
#include "test.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "image/kernels.h"
#include "image/transform.h"

enum { SOURCE_MAX = 16, CASES_MIN = 150, NAME_MAX_LEN = 32 };

struct source {
    char name[NAME_MAX_LEN];
    int width_px, height_px;
    long offset;
};

struct golden {
    char source[NAME_MAX_LEN], filter[NAME_MAX_LEN], fit[NAME_MAX_LEN];
    char library[NAME_MAX_LEN], kind[NAME_MAX_LEN];
    int width_px, height_px, short_side_px, pad;
    double tolerance;
    long offset;
};

static const struct transform plain = {
    .filter = FILTER_BILINEAR_AA,
    .layout = LAYOUT_NHWC,
    .scale = {1.0F, 1.0F, 1.0F},
};

static struct transform target_of(int width_px, int height_px,
                                  enum filter filter)
{
    struct transform transform = plain;

    transform.width_px = width_px;
    transform.height_px = height_px;
    transform.filter = filter;
    return transform;
}

static size_t sample_count(int width_px, int height_px)
{
    return (size_t)width_px * (size_t)height_px * 3;
}

/* Noise that is the same everywhere; ended with mem_free(image.pixels). */
static struct image image_of(int width_px, int height_px, uint32_t seed)
{
    struct image image = {.width_px = width_px, .height_px = height_px};
    size_t len = sample_count(width_px, height_px);

    image.pixels = mem_try(len, 1);
    CHECK(image.pixels != NULL);
    for (size_t i = 0; i < len; i++) {
        seed = seed * 1664525U + 1013904223U;
        image.pixels[i] = (uint8_t)(seed >> 24);
    }
    return image;
}

static uint8_t *pixels_of(const struct transform *transform,
                          const struct image *image)
{
    struct err err = {0};
    uint8_t *out =
        mem_try(sample_count(transform->width_px, transform->height_px), 1);

    CHECK(out != NULL);
    CHECK_OK(transform_pixels(transform, image, out, &err), err);
    return out;
}

/* Begins with NaN everywhere, so that a value nobody wrote is seen. */
static float *floats_of(const struct transform *transform,
                        const struct image *image)
{
    struct err err = {0};
    size_t count = sample_count(transform->width_px, transform->height_px);
    float *out = mem_try(count, sizeof *out);

    CHECK(out != NULL);
    for (size_t i = 0; i < count; i++)
        out[i] = NAN;
    CHECK_OK(transform_run(transform, image, out, &err), err);
    return out;
}

static uint8_t *read_all(const char *name, size_t *out_len)
{
    FILE *file = fopen(test_data(name), "rb");
    uint8_t *bytes;
    long len;

    CHECK(file != NULL);
    CHECK(fseek(file, 0, SEEK_END) == 0);
    len = ftell(file);
    CHECK(len > 0);
    CHECK(fseek(file, 0, SEEK_SET) == 0);
    bytes = mem_try((size_t)len + 1, 1);
    CHECK(bytes != NULL);
    CHECK(fread(bytes, 1, (size_t)len, file) == (size_t)len);
    fclose(file);
    *out_len = (size_t)len;
    return bytes;
}

static double golden_difference(const struct golden *golden,
                                const struct transform *transform,
                                const struct image *image,
                                const uint8_t *stored)
{
    size_t count = sample_count(transform->width_px, transform->height_px);
    bool is_float = strcmp(golden->kind, "u16") == 0;
    float *floats = is_float ? floats_of(transform, image) : NULL;
    uint8_t *pixels = is_float ? NULL : pixels_of(transform, image);
    double worst = 0;

    for (size_t i = 0; i < count; i++) {
        double got = is_float ? (double)floats[i] : (double)pixels[i];
        double want = stored[i];

        if (is_float)
            want = (stored[2 * i] + 256 * stored[2 * i + 1]) / 256.0;
        CHECK(isfinite(got));
        worst = fmax(worst, fabs(got - want));
    }
    mem_free(floats);
    mem_free(pixels);
    return worst;
}

static void check_golden(const struct golden *golden,
                         const struct source *sources, const uint8_t *bytes,
                         size_t len)
{
    struct transform transform = plain;
    struct image image = {0};
    int at = 0;
    double worst;

    while (strcmp(sources[at].name, golden->source) != 0)
        CHECK(++at < SOURCE_MAX);
    image.width_px = sources[at].width_px;
    image.height_px = sources[at].height_px;
    /* A copy of its own, so that a sanitizer sees a read beside it. */
    image.pixels = mem_try(sample_count(image.width_px, image.height_px), 1);
    memcpy(image.pixels, bytes + sources[at].offset,
           sample_count(image.width_px, image.height_px));
    transform.filter = filter_find(golden->filter);
    transform.fit = fit_find(golden->fit);
    CHECK(transform.filter < FILTER_COUNT);
    CHECK(transform.fit < FIT_COUNT);
    transform.width_px = golden->width_px;
    transform.height_px = golden->height_px;
    transform.short_side_px = golden->short_side_px;
    transform.pad = (uint8_t)golden->pad;
    CHECK((size_t)golden->offset +
              sample_count(golden->width_px, golden->height_px) <=
          len);
    worst =
        golden_difference(golden, &transform, &image, bytes + golden->offset);
    if (worst > golden->tolerance)
        test_fail(__FILE__, __LINE__,
                  "%s: %s of %s to %dx%d (%s) is off by %g, not %g (%s)",
                  transform_kernels(), golden->filter, golden->source,
                  golden->width_px, golden->height_px, golden->fit, worst,
                  golden->tolerance, golden->library);
    mem_free(image.pixels);
}

static bool read_golden(const char *line, struct golden *golden)
{
    return sscanf(line, "case %31s %31s %31s %d %d %d %d %31s %lf %31s %ld",
                  golden->source, golden->filter, golden->fit,
                  &golden->width_px, &golden->height_px, &golden->short_side_px,
                  &golden->pad, golden->library, &golden->tolerance,
                  golden->kind, &golden->offset) == 11;
}

static bool read_source(const char *line, struct source *source)
{
    return sscanf(line, "source %31s %d %d %ld", source->name,
                  &source->width_px, &source->height_px, &source->offset) == 4;
}

/* Every case of the stored table with the kernels in use. */
static void check_all_golden(void)
{
    struct source sources[SOURCE_MAX] = {0};
    int source_count = 0, case_count = 0;
    size_t len, text_len;
    uint8_t *bytes = read_all("transform/pixels.bin", &len);
    uint8_t *text = read_all("transform/cases.txt", &text_len);

    for (char *line = (char *)text, *end; *line != '\0'; line = end + 1) {
        struct golden golden;

        end = strchr(line, '\n');
        CHECK(end != NULL);
        *end = '\0';
        if (read_golden(line, &golden)) {
            check_golden(&golden, sources, bytes, len);
            case_count++;
        } else if (source_count < SOURCE_MAX) {
            source_count += read_source(line, &sources[source_count]);
        }
    }
    CHECK(case_count >= CASES_MIN);
    mem_free(bytes);
    mem_free(text);
}

/* Calls `check` with each set of kernels in turn. */
static void with_every_set(void (*check)(void))
{
    for (const struct kernels *const *set = kernels_usable(); *set; set++) {
        CHECK(transform_use_kernels((*set)->name));
        CHECK_TEXT(transform_kernels(), (*set)->name);
        check();
    }
    CHECK(transform_use_kernels(NULL));
}

TEST(transform_answers_as_pillow_opencv_and_tensorflow_do)
{
    with_every_set(check_all_golden);
}

/* A crop is the middle of the whole resized image, whatever was skipped. */
static void check_crop(enum filter filter, int width, int height)
{
    enum { SHORT = 40, ACROSS = 25, DOWN = 31 };
    struct image image = image_of(width, height, 7);
    bool is_tall = width <= height;
    int whole_width = is_tall ? SHORT : SHORT * width / height;
    int whole_height = is_tall ? SHORT * height / width : SHORT;
    struct transform all = target_of(whole_width, whole_height, filter);
    struct transform cut = target_of(ACROSS, DOWN, filter);
    int left = (int)rint((whole_width - ACROSS) / 2.0);
    int top = (int)rint((whole_height - DOWN) / 2.0);
    uint8_t *whole, *part;

    cut.fit = FIT_CROP;
    cut.short_side_px = SHORT;
    whole = pixels_of(&all, &image);
    part = pixels_of(&cut, &image);
    for (int y = 0; y < DOWN; y++)
        CHECK(memcmp(part + y * ACROSS * 3,
                     whole + ((y + top) * whole_width + left) * 3,
                     ACROSS * 3) == 0);
    mem_free(whole);
    mem_free(part);
    mem_free(image.pixels);
}

static void check_crops(void)
{
    for (int filter = 0; filter < FILTER_COUNT; filter++) {
        check_crop((enum filter)filter, 97, 61);
        check_crop((enum filter)filter, 61, 97);
        check_crop((enum filter)filter, 50, 50);
        check_crop((enum filter)filter, 20, 31);
    }
}

TEST(transform_crops_the_middle_of_what_it_would_resize)
{
    with_every_set(check_crops);
}

TEST(transform_takes_the_targets_shorter_side_for_a_crop)
{
    struct image image = image_of(90, 60, 3);
    struct transform named = target_of(30, 20, FILTER_BILINEAR_AA);
    struct transform unnamed;
    uint8_t *a, *b;

    named.fit = FIT_CROP;
    named.short_side_px = 20;
    unnamed = named;
    unnamed.short_side_px = 0;
    a = pixels_of(&named, &image);
    b = pixels_of(&unnamed, &image);
    CHECK(memcmp(a, b, sample_count(30, 20)) == 0);
    mem_free(a);
    mem_free(b);
    mem_free(image.pixels);
}

/* A white image of 40x20 in 32x33: 16 rows of white, 8 above it and 9 below;
 * the half goes after, as Ultralytics rounds it. */
TEST(transform_letterboxes_with_the_pad_around)
{
    struct image image = image_of(40, 20, 1);
    struct transform transform = target_of(32, 33, FILTER_BILINEAR);
    float *out;

    memset(image.pixels, 255, sample_count(40, 20));
    transform.fit = FIT_LETTERBOX;
    transform.pad = 114;
    out = floats_of(&transform, &image);
    for (int y = 0; y < 33; y++)
        for (int x = 0; x < 32 * 3; x++)
            CHECK_NEAR(out[y * 32 * 3 + x], y >= 8 && y < 24 ? 255 : 114, 1e-3);
    mem_free(out);
    mem_free(image.pixels);
}

TEST(transform_pads_with_black_what_a_crop_does_not_reach)
{
    struct image image = image_of(10, 40, 1);
    struct transform transform = target_of(15, 8, FILTER_BOX);
    uint8_t *out;

    memset(image.pixels, 200, sample_count(10, 40));
    transform.fit = FIT_CROP;
    transform.short_side_px = 10;
    transform.pad = 114;
    out = pixels_of(&transform, &image);
    for (int y = 0; y < 8; y++)
        for (int x = 0; x < 15; x++)
            CHECK_INT(out[(y * 15 + x) * 3], x >= 2 && x < 12 ? 200 : 0);
    mem_free(out);
    mem_free(image.pixels);
}

/* Each layout and order against the plain one, with a scale and bias of its
 * own for each channel as laid out. */
static void check_layout(enum filter filter, enum layout layout,
                         enum channel_order order)
{
    enum { WIDTH = 27, HEIGHT = 11, AREA = WIDTH * HEIGHT };
    struct image image = image_of(41, 30, 5);
    struct transform transform = target_of(WIDTH, HEIGHT, filter);
    float *base = floats_of(&transform, &image), *out;

    transform.layout = layout;
    transform.order = order;
    for (int channel = 0; channel < 3; channel++) {
        transform.scale[channel] = 0.25F * (float)(channel + 1);
        transform.bias[channel] = (float)channel - 2.0F;
    }
    out = floats_of(&transform, &image);
    for (int i = 0; i < AREA; i++)
        for (int channel = 0; channel < 3; channel++) {
            int colour = order == ORDER_BGR ? 2 - channel : channel;
            int at =
                layout == LAYOUT_NCHW ? channel * AREA + i : i * 3 + channel;
            float want = base[i * 3 + colour] * transform.scale[channel] +
                         transform.bias[channel];

            CHECK_NEAR(out[at], want, 1e-4);
        }
    mem_free(base);
    mem_free(out);
    mem_free(image.pixels);
}

static void check_layouts(void)
{
    for (int filter = 0; filter < FILTER_COUNT; filter++) {
        check_layout((enum filter)filter, LAYOUT_NCHW, ORDER_RGB);
        check_layout((enum filter)filter, LAYOUT_NCHW, ORDER_BGR);
        check_layout((enum filter)filter, LAYOUT_NHWC, ORDER_RGB);
        check_layout((enum filter)filter, LAYOUT_NHWC, ORDER_BGR);
    }
}

TEST(transform_lays_out_and_normalises_by_channel_as_laid_out)
{
    with_every_set(check_layouts);
}

/* transform_pixels is transform_run rounded. */
static void check_pixels_against_floats(void)
{
    struct image image = image_of(61, 45, 9);

    for (int filter = 0; filter < FILTER_COUNT; filter++) {
        struct transform transform = target_of(33, 50, (enum filter)filter);
        uint8_t *pixels = pixels_of(&transform, &image);
        float *floats = floats_of(&transform, &image);

        for (size_t i = 0; i < sample_count(33, 50); i++)
            CHECK_NEAR(pixels[i], floats[i], 0.5001);
        mem_free(pixels);
        mem_free(floats);
    }
    mem_free(image.pixels);
}

TEST(transform_rounds_the_same_values_to_pixels)
{
    with_every_set(check_pixels_against_floats);
}

TEST(transform_refuses_sides_out_of_bounds_and_leaves_the_result)
{
    static const int bad[][3] = {{0, 8, 0},    {8, 0, 0},     {-1, 8, 0},
                                 {8193, 8, 0}, {8, 8193, 0},  {8, 8, -1},
                                 {8, 8, 8193}, {8, -8193, 0}, {0, 0, 0}};
    struct image image = image_of(3, 3, 1);

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct transform transform =
            target_of(bad[i][0], bad[i][1], FILTER_BOX);
        struct err err = {0};
        float value = 42.0F;
        uint8_t byte = 42;

        transform.short_side_px = bad[i][2];
        CHECK_ERR(transform_run(&transform, &image, &value, &err), ERR_INVALID);
        CHECK_HAS(err.text, "8192");
        err = (struct err){0};
        CHECK_ERR(transform_pixels(&transform, &image, &byte, &err),
                  ERR_INVALID);
        CHECK_NEAR(value, 42.0, 0);
        CHECK_INT(byte, 42);
    }
    mem_free(image.pixels);
}

TEST(transform_without_memory_says_so_and_leaves_the_result)
{
    struct image image = image_of(30, 20, 1);

    for (int filter = 0; filter < FILTER_COUNT; filter++) {
        struct transform transform = target_of(1, 1, (enum filter)filter);
        float values[3] = {42.0F, 42.0F, 42.0F};
        struct err err = {0};
        long tries;

        CHECK(transform_kernels() != NULL); /* they are tried with memory */
        mem_fail_at(0);
        CHECK_OK(transform_run(&transform, &image, values, &err), err);
        tries = mem_tries();
        CHECK(tries >= 1);
        values[0] = 42.0F;
        for (long nth = 1; nth <= tries; nth++) {
            mem_fail_at(nth);
            CHECK_ERR(transform_run(&transform, &image, values, &err),
                      ERR_UNAVAILABLE);
            CHECK_NEAR(values[0], 42.0, 0);
            err = (struct err){0};
        }
        mem_fail_at(0);
    }
    mem_free(image.pixels);
}

TEST(transform_knows_its_filters_and_fits_by_name)
{
    for (int filter = 0; filter < FILTER_COUNT; filter++)
        CHECK_INT(filter_find(filter_name((enum filter)filter)), filter);
    for (int fit = 0; fit < FIT_COUNT; fit++)
        CHECK_INT(fit_find(fit_name((enum fit)fit)), fit);
    CHECK_INT(filter_find("lanczos"), FILTER_COUNT);
    CHECK_INT(filter_find(""), FILTER_COUNT);
    CHECK_INT(fit_find("Crop"), FIT_COUNT);
}

TEST(transform_keeps_its_kernels_when_asked_for_unknown_ones)
{
    CHECK(transform_use_kernels("c"));
    CHECK(!transform_use_kernels("altivec"));
    CHECK_TEXT(transform_kernels(), "c");
    CHECK(transform_use_kernels(NULL));
    CHECK_TEXT(transform_kernels(), kernels_usable()[0]->name);
}
