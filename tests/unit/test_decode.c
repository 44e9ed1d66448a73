/* SPDX-License-Identifier: Apache-2.0 */
/* Every sample against the pixels that Pillow reads from it. */
#include "image/decode.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "samples.h"
#include "test.h"

static void check_sample(const struct sample *sample)
{
    struct image *image = NULL;
    struct err err = {0};
    int rc = sample_decode(sample->name, &sample_options, &image, &err);

    if (rc)
        test_fail(__FILE__, __LINE__, "%s: %s", sample->name, err.text);
    CHECK_INT(image->format, sample->format);
    CHECK_INT(image->source_width_px, image->width_px);
    CHECK_INT(image->source_height_px, image->height_px);
    sample_check_pixels(sample->name, ".ppm", image, sample->tolerance);
    image_free(image);
}

static void check_format(enum image_format format)
{
    int count = 0;

    for (int i = 0; i < sample_count; i++)
        if (samples[i].format == format) {
            check_sample(&samples[i]);
            count++;
        }
    CHECK(count > 0);
}

TEST(decode_reads_every_jpeg_as_pillow_does)
{
    check_format(IMAGE_JPEG);
}

TEST(decode_reads_every_png_as_pillow_does)
{
    check_format(IMAGE_PNG);
}

TEST(decode_reads_every_webp_as_pillow_does)
{
    check_format(IMAGE_WEBP);
}

TEST(decode_reads_every_gif_as_pillow_does)
{
    check_format(IMAGE_GIF);
}

TEST(decode_reads_every_bmp_as_pillow_does)
{
    check_format(IMAGE_BMP);
}

/* A format that depends on an optional library, or on its plugins. */
static void check_optional(enum image_format format)
{
    for (int i = 0; i < sample_count; i++) {
        if (samples[i].format != format)
            continue;
        if (strstr(image_formats(), "HEIF") != NULL &&
            !sample_is_readable(&samples[i]))
            SKIP("libheif on this machine has no decoder for the format");
        if (sample_is_readable(&samples[i]))
            check_sample(&samples[i]);
    }
}

TEST(decode_reads_every_heif_as_pillow_does)
{
    check_optional(IMAGE_HEIF);
}

TEST(decode_reads_every_avif_as_pillow_does)
{
    check_optional(IMAGE_AVIF);
}

TEST(decode_without_libheif_names_it)
{
    struct image *image = NULL;
    struct err err = {0};
    int rc = sample_decode("plain.heic", &sample_options, &image, &err);

    if (strstr(image_formats(), "HEIF") == NULL) {
        CHECK_ERR(rc, ERR_UNSUPPORTED);
        CHECK_HAS(err.text, "libheif");
        return;
    }
    CHECK(rc == 0 || strstr(err.text, "libheif") != NULL);
    image_free(image);
}

static struct image *decode_scaled(const char *name, int width, int height)
{
    struct decode_options options = sample_options;
    struct image *image = NULL;
    struct err err = {0};

    options.target_width_px = width;
    options.target_height_px = height;
    CHECK_OK(sample_decode(name, &options, &image, &err), err);
    return image;
}

static void check_scale(int width, int height, const char *suffix)
{
    struct image *image = decode_scaled("large.jpg", width, height);

    CHECK_INT(image->source_width_px, 161);
    CHECK_INT(image->source_height_px, 105);
    sample_check_pixels("large.jpg", suffix, image, 0);
    image_free(image);
}

TEST(decode_takes_the_smallest_jpeg_scale_of_twice_the_target)
{
    /* 161x105 is 81x53, 41x27 and 21x14 at 1/2, 1/4 and 1/8. */
    check_scale(10, 7, ".8.ppm");
    check_scale(11, 7, ".4.ppm");
    check_scale(10, 8, ".4.ppm");
    check_scale(20, 13, ".4.ppm");
    check_scale(20, 14, ".2.ppm");
    check_scale(40, 26, ".2.ppm");
    check_scale(41, 26, ".ppm");
    check_scale(500, 500, ".ppm");
}

TEST(decode_without_a_whole_target_does_not_scale)
{
    check_scale(0, 0, ".ppm");
    check_scale(8, 0, ".ppm");
    check_scale(0, 8, ".ppm");
}

TEST(decode_turns_the_target_with_the_picture)
{
    /* 40x26 in the file, 26x40 upright: half of it is 13x20. */
    struct image *image = decode_scaled("turned_6.jpg", 6, 10);

    CHECK_INT(image->width_px, 13);
    CHECK_INT(image->height_px, 20);
    CHECK_INT(image->source_width_px, 26);
    CHECK_INT(image->source_height_px, 40);
    image_free(image);
    image = decode_scaled("turned_6.jpg", 10, 6);
    CHECK_INT(image->width_px, 26);
    CHECK_INT(image->height_px, 40);
    image_free(image);
}

TEST(decode_reads_a_large_photograph_at_every_scale)
{
    struct bytes file = sample_load("photos", "cat_1080p.jpg", "");
    static const int widths[] = {1920, 960, 480, 240};
    static const int targets[] = {0, 448, 224, 100};

    for (int i = 0; i < 4; i++) {
        struct decode_options options = sample_options;
        struct image *image = NULL;
        struct err err = {0};

        options.target_width_px = targets[i];
        options.target_height_px = targets[i] / 2;
        CHECK_OK(image_decode(file, &options, &image, &err), err);
        CHECK_INT(image->width_px, widths[i]);
        CHECK_INT(image->height_px, widths[i] * 9 / 16);
        CHECK_INT(image->source_width_px, 1920);
        image_free(image);
    }
    sample_unload(file);
}

TEST(image_new_is_black_and_within_its_bounds)
{
    struct image *image = NULL;
    struct err err = {0};

    CHECK_OK(image_new(3, 2, &image, &err), err);
    CHECK_INT(image->width_px, 3);
    CHECK_INT(image->source_height_px, 2);
    for (int i = 0; i < 18; i++)
        CHECK_INT(image->pixels[i], 0);
    image_free(image);
    image = NULL;
    CHECK_ERR(image_new(0, 2, &image, &err), ERR_INVALID);
    CHECK_ERR(image_new(2, 65536, &image, &err), ERR_INVALID);
    mem_fail_at(1);
    CHECK_ERR(image_new(2, 2, &image, &err), ERR_UNAVAILABLE);
    mem_fail_at(0);
    CHECK(image == NULL);
    image_free(NULL);
}

TEST(image_formats_lists_names_of_the_table)
{
    char names[128] = "";
    int count = strstr(image_formats(), "HEIF") != NULL ? IMAGE_FORMAT_COUNT
                                                        : IMAGE_HEIF;

    for (int i = 0; i < count; i++) {
        size_t len = strlen(names);

        snprintf(names + len, sizeof(names) - len, "%s%s", i ? " " : "",
                 image_format_name((enum image_format)i));
    }
    CHECK_TEXT(image_formats(), names);
    CHECK_TEXT(image_format_mime(IMAGE_WEBP), "image/webp");
    CHECK_TEXT(image_format_name(IMAGE_FORMAT_COUNT), "unknown");
    CHECK_TEXT(image_format_mime(IMAGE_FORMAT_COUNT),
               "application/octet-stream");
}

TEST(image_sniff_goes_by_content)
{
    for (int i = 0; i < sample_count; i++) {
        struct bytes file = sample_load("decode", samples[i].name, "");

        CHECK_INT(image_sniff(file), samples[i].format);
        sample_unload(file);
    }
}
