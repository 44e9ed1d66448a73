/* SPDX-License-Identifier: Apache-2.0 */
/* Files of tests/data/decode (tools/make_decode_data.py) against the pixels
 * that Pillow reads from them. */
#include "image/decode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "test.h"

enum { FILE_LEN_MAX = 4 << 20 };

static const struct decode_options wide = {
    .limits = {.side_min_px = 1, .side_max_px = 16384, .pixels_max = 1 << 26},
};

struct sample {
    const char *name; /* in tests/data/decode */
    enum image_format format;
    int tolerance; /* of a channel, in levels */
};

static const struct sample samples[] = {
    {"baseline.jpg", IMAGE_JPEG, 0},
    {"sampling_444.jpg", IMAGE_JPEG, 0},
    {"sampling_422.jpg", IMAGE_JPEG, 0},
    {"progressive.jpg", IMAGE_JPEG, 0},
    {"grey.jpg", IMAGE_JPEG, 0},
    {"rgb.jpg", IMAGE_JPEG, 0},
    {"restarts.jpg", IMAGE_JPEG, 0},
    {"cmyk.jpg", IMAGE_JPEG, 1},
    {"ycck.jpg", IMAGE_JPEG, 1},
    {"large.jpg", IMAGE_JPEG, 0},
    {"no_end_marker.jpg", IMAGE_JPEG, 0},
    {"junk_between_segments.jpg", IMAGE_JPEG, 0},
    {"exif_cut.jpg", IMAGE_JPEG, 0},
    {"exif_far.jpg", IMAGE_JPEG, 0},
    {"exif_nine.jpg", IMAGE_JPEG, 0},
    {"turned_1.jpg", IMAGE_JPEG, 0},
    {"turned_2.jpg", IMAGE_JPEG, 0},
    {"turned_3.jpg", IMAGE_JPEG, 0},
    {"turned_4.jpg", IMAGE_JPEG, 0},
    {"turned_5.jpg", IMAGE_JPEG, 0},
    {"turned_6.jpg", IMAGE_JPEG, 0},
    {"turned_7.jpg", IMAGE_JPEG, 0},
    {"turned_8.jpg", IMAGE_JPEG, 0},
    {"rgb.png", IMAGE_PNG, 0},
    {"rgb_interlaced.png", IMAGE_PNG, 0},
    {"rgba.png", IMAGE_PNG, 1},
    {"rgba_interlaced.png", IMAGE_PNG, 1},
    {"grey.png", IMAGE_PNG, 0},
    {"grey_interlaced.png", IMAGE_PNG, 0},
    {"grey_alpha.png", IMAGE_PNG, 1},
    {"grey_alpha_interlaced.png", IMAGE_PNG, 1},
    {"grey_1.png", IMAGE_PNG, 0},
    {"grey_1_interlaced.png", IMAGE_PNG, 0},
    {"grey_2.png", IMAGE_PNG, 0},
    {"grey_2_interlaced.png", IMAGE_PNG, 0},
    {"grey_4.png", IMAGE_PNG, 0},
    {"grey_4_interlaced.png", IMAGE_PNG, 0},
    {"palette_4.png", IMAGE_PNG, 0},
    {"palette_4_interlaced.png", IMAGE_PNG, 0},
    {"palette_8.png", IMAGE_PNG, 0},
    {"palette_8_interlaced.png", IMAGE_PNG, 0},
    {"palette_alpha.png", IMAGE_PNG, 1},
    {"palette_alpha_interlaced.png", IMAGE_PNG, 1},
    {"rgb_key.png", IMAGE_PNG, 0},
    {"rgb_key_interlaced.png", IMAGE_PNG, 0},
    {"rgb_16.png", IMAGE_PNG, 0},
    {"rgb_16_interlaced.png", IMAGE_PNG, 0},
    {"rgba_16.png", IMAGE_PNG, 1},
    {"rgba_16_interlaced.png", IMAGE_PNG, 1},
    {"grey_16.png", IMAGE_PNG, 0},
    {"grey_16_interlaced.png", IMAGE_PNG, 0},
    {"turned_6.png", IMAGE_PNG, 0},
    {"profile.png", IMAGE_PNG, 0},
    {"one_pixel.png", IMAGE_PNG, 0},
    {"lossy.webp", IMAGE_WEBP, 0},
    {"lossless.webp", IMAGE_WEBP, 0},
    {"lossy_alpha.webp", IMAGE_WEBP, 1},
    {"lossless_alpha.webp", IMAGE_WEBP, 1},
    {"animation.webp", IMAGE_WEBP, 0},
    {"offset_opaque.webp", IMAGE_WEBP, 0},
    {"offset_translucent.webp", IMAGE_WEBP, 1},
    {"turned_6.webp", IMAGE_WEBP, 0},
    {"plain.gif", IMAGE_GIF, 0},
    {"interlaced.gif", IMAGE_GIF, 0},
    {"two_colours.gif", IMAGE_GIF, 0},
    {"transparent.gif", IMAGE_GIF, 0},
    {"animation.gif", IMAGE_GIF, 0},
    {"full_table.gif", IMAGE_GIF, 0},
    {"offset.gif", IMAGE_GIF, 0},
    {"grown.gif", IMAGE_GIF, 0},
    {"local_palette.gif", IMAGE_GIF, 0},
    {"1.bmp", IMAGE_BMP, 0},
    {"4.bmp", IMAGE_BMP, 0},
    {"8.bmp", IMAGE_BMP, 0},
    {"16.bmp", IMAGE_BMP, 0},
    {"24.bmp", IMAGE_BMP, 0},
    {"32.bmp", IMAGE_BMP, 0},
    {"32_alpha.bmp", IMAGE_BMP, 1},
    {"565.bmp", IMAGE_BMP, 0},
    {"ten_bits.bmp", IMAGE_BMP, 0},
    {"core.bmp", IMAGE_BMP, 0},
    {"top_down.bmp", IMAGE_BMP, 0},
    {"rle4.bmp", IMAGE_BMP, 0},
    {"rle8.bmp", IMAGE_BMP, 0},
    {"rle8_moves.bmp", IMAGE_BMP, 0},
    {"plain.heic", IMAGE_HEIF, 2},
    {"alpha.heic", IMAGE_HEIF, 2},
    {"turned.heic", IMAGE_HEIF, 2},
    {"plain.avif", IMAGE_AVIF, 2},
    {"alpha.avif", IMAGE_AVIF, 2},
    {"turned.avif", IMAGE_AVIF, 2},
};

enum { SAMPLE_COUNT = sizeof(samples) / sizeof(samples[0]) };

/* The bytes of a test file; ended with mem_free. */
static struct bytes load(const char *folder, const char *name,
                         const char *suffix)
{
    char path[256];
    uint8_t *data = mem_try(1, FILE_LEN_MAX);
    FILE *file;
    size_t len;

    snprintf(path, sizeof(path), "%s/%s%s", folder, name, suffix);
    file = fopen(test_data(path), "rb");
    if (file == NULL)
        test_fail(__FILE__, __LINE__, "%s is missing", path);
    CHECK(data != NULL);
    len = fread(data, 1, FILE_LEN_MAX, file);
    fclose(file);
    /* The bytes lie in a block of their own size, so that a sanitizer sees
     * any step beyond them. */
    data = mem_resize(data, len, 1);
    CHECK(data != NULL);
    return (struct bytes){data, len};
}

static void unload(struct bytes file)
{
    mem_free((void *)(uintptr_t)file.data);
}

static int decode_file(const char *name, const struct decode_options *options,
                       struct image **out, struct err *err)
{
    struct bytes file = load("decode", name, "");
    int rc = image_decode(file, options, out, err);

    unload(file);
    return rc;
}

/* Holds image against a P6 file. */
static void check_pixels(const char *name, const char *suffix,
                         const struct image *image, int tolerance)
{
    struct bytes want = load("decode", name, suffix);
    int width = 0, height = 0, start = 0, worst = 0;

    CHECK_INT(sscanf((const char *)want.data, "P6 %d %d 255%n", &width, &height,
                     &start),
              2);
    start++;
    CHECK_INT(image->width_px, width);
    CHECK_INT(image->height_px, height);
    CHECK_INT(want.len, start + width * height * 3);
    for (int i = 0; i < width * height * 3; i++) {
        int off = abs(image->pixels[i] - want.data[start + i]);

        worst = off > worst ? off : worst;
    }
    if (worst > tolerance)
        test_fail(__FILE__, __LINE__, "%s is off by %d levels, over %d", name,
                  worst, tolerance);
    unload(want);
}

static void check_sample(const struct sample *sample)
{
    struct image *image = NULL;
    struct err err = {0};
    int rc = decode_file(sample->name, &wide, &image, &err);

    if (rc)
        test_fail(__FILE__, __LINE__, "%s: %s", sample->name, err.text);
    CHECK_INT(image->format, sample->format);
    CHECK_INT(image->source_width_px, image->width_px);
    CHECK_INT(image->source_height_px, image->height_px);
    check_pixels(sample->name, ".ppm", image, sample->tolerance);
    image_free(image);
}

static void check_format(enum image_format format)
{
    int count = 0;

    for (int i = 0; i < SAMPLE_COUNT; i++)
        if (samples[i].format == format) {
            check_sample(&samples[i]);
            count++;
        }
    CHECK(count > 0);
}

/* Whether this build and machine can decode that file at all. */
static bool can_decode(const struct sample *sample)
{
    struct image *image = NULL;
    struct err err = {0};
    int rc = decode_file(sample->name, &wide, &image, &err);

    image_free(image);
    return rc != ERR_UNSUPPORTED;
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
    for (int i = 0; i < SAMPLE_COUNT; i++) {
        if (samples[i].format != format)
            continue;
        if (strstr(image_formats(), "HEIF") != NULL && !can_decode(&samples[i]))
            SKIP("libheif on this machine has no decoder for the format");
        if (can_decode(&samples[i]))
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
    int rc = decode_file("plain.heic", &wide, &image, &err);

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
    struct decode_options options = wide;
    struct image *image = NULL;
    struct err err = {0};

    options.target_width_px = width;
    options.target_height_px = height;
    CHECK_OK(decode_file(name, &options, &image, &err), err);
    return image;
}

static void check_scale(int width, int height, const char *suffix)
{
    struct image *image = decode_scaled("large.jpg", width, height);

    CHECK_INT(image->source_width_px, 161);
    CHECK_INT(image->source_height_px, 105);
    check_pixels("large.jpg", suffix, image, 0);
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

/* Decodes with limits; the failure must name the size and the limit, and
 * must leave the out pointer alone. */
static void check_refused(const char *name, struct image_limits limits,
                          enum err_code code, const char *part)
{
    struct decode_options options = {.limits = limits};
    struct image untouched, *image = &untouched;
    struct err err = {0};

    CHECK_ERR(decode_file(name, &options, &image, &err), code);
    CHECK_HAS(err.text, part);
    CHECK(image == &untouched);
}

TEST(decode_holds_every_format_against_the_limits)
{
    static const char *const names[] = {
        "baseline.jpg", "rgb.png", "lossy.webp", "animation.webp",
        "plain.gif",    "24.bmp",  "rle8.bmp"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        check_refused(names[i], (struct image_limits){27, 99, 9999},
                      ERR_UNPROCESSABLE,
                      "image is 40x26 px; sides must be 27..99 px");
        check_refused(names[i], (struct image_limits){1, 39, 9999},
                      ERR_UNPROCESSABLE,
                      "image is 40x26 px; sides must be 1..39 px");
        check_refused(names[i], (struct image_limits){1, 99, 1039},
                      ERR_UNPROCESSABLE, "at most 1039 are allowed");
    }
}

TEST(decode_holds_heif_against_the_limits)
{
    if (!can_decode(&samples[SAMPLE_COUNT - 6]))
        SKIP("this build or machine cannot decode HEIF");
    check_refused("plain.heic", (struct image_limits){49, 99, 9999},
                  ERR_UNPROCESSABLE, "image is 64x48 px");
    check_refused("plain.heic", (struct image_limits){1, 99, 3071},
                  ERR_UNPROCESSABLE, "at most 3071 are allowed");
}

TEST(decode_refuses_a_bomb_and_a_single_pixel)
{
    const struct image_limits limits = {16, 16384, 1 << 26};

    mem_fail_at(0);
    check_refused("bomb.png", limits, ERR_UNPROCESSABLE,
                  "image is 60000x60000 px; sides must be 16..16384 px");
    /* One for the file's bytes and one for their own size, none for it. */
    CHECK_INT(mem_tries(), 2);
    check_refused("one_pixel.png", limits, ERR_UNPROCESSABLE,
                  "image is 1x1 px; sides must be 16..16384 px");
}

TEST(decode_refuses_what_is_damaged)
{
    check_refused("scans.jpg", wide.limits, ERR_UNPROCESSABLE,
                  "JPEG is damaged: too many scans");
    check_refused("checksum.png", wide.limits, ERR_UNPROCESSABLE,
                  "PNG is damaged: a checksum is wrong");
    check_refused("outside.webp", wide.limits, ERR_UNPROCESSABLE,
                  "WebP is damaged: a frame does not fit its canvas");
}

static void check_bytes(const char *data, size_t len, enum err_code code,
                        const char *part)
{
    struct image untouched, *image = &untouched;
    struct err err = {0};
    struct bytes file = {(const uint8_t *)data, len};

    CHECK_ERR(image_decode(file, &wide, &image, &err), code);
    CHECK_HAS(err.text, part);
    CHECK(image == &untouched);
}

#define CHECK_BYTES(text, code, part) \
    check_bytes(text, sizeof(text) - 1, code, part)

TEST(decode_says_what_a_file_looks_like_that_is_no_image)
{
    check_bytes(NULL, 0, ERR_INVALID, "empty");
    CHECK_BYTES("hello, this is a list\nof things\n", ERR_MEDIA_TYPE,
                "this looks like text, not an image");
    CHECK_BYTES("BMW and other cars, a long text", ERR_MEDIA_TYPE,
                "this looks like text, not an image");
    CHECK_BYTES("PK\3\4junk\0\0junk", ERR_MEDIA_TYPE, "a zip archive");
    CHECK_BYTES("%PDF-1.7\n", ERR_MEDIA_TYPE, "a PDF file");
    CHECK_BYTES("  <svg xmlns=''/>", ERR_MEDIA_TYPE, "an SVG drawing");
    CHECK_BYTES("<!DOCTYPE html><p>", ERR_MEDIA_TYPE, "a web page");
    CHECK_BYTES("II*\0........", ERR_MEDIA_TYPE, "a TIFF image");
    CHECK_BYTES("\0\0\0\x20"
                "ftypisom\0\0\0\0isom",
                ERR_MEDIA_TYPE, "a video");
    CHECK_BYTES("\x9d\x01\x02\x03\xfe\xff", ERR_MEDIA_TYPE,
                "no image in a known format");
    CHECK_BYTES("\xff\xd8", ERR_MEDIA_TYPE, "no image in a known format");
}

TEST(decode_refuses_a_signature_with_nothing_behind_it)
{
    CHECK_BYTES("\xff\xd8\xff", ERR_UNPROCESSABLE, "premature end of data");
    CHECK_BYTES("\x89PNG\r\n\x1a\n", ERR_UNPROCESSABLE,
                "PNG is damaged: premature end of data");
    CHECK_BYTES("RIFF\x10\0\0\0WEBP", ERR_UNPROCESSABLE,
                "WebP is damaged: premature end of data");
    CHECK_BYTES("GIF89a", ERR_UNPROCESSABLE,
                "GIF is damaged: premature end of data");
    CHECK_BYTES("BM............\x28\0\0\0", ERR_UNPROCESSABLE,
                "BMP is damaged: premature end of data");
}

static bool is_same(const struct image *a, const struct image *b)
{
    return a->width_px == b->width_px && a->height_px == b->height_px &&
           memcmp(a->pixels, b->pixels,
                  (size_t)a->width_px * (size_t)a->height_px * 3) == 0;
}

/* Decodes the first len bytes in a block of their own. Whatever is taken for
 * whole must have the whole file's pixels. Returns whether it was refused. */
static bool check_cut(const struct sample *sample, struct bytes file,
                      size_t len, const struct image *whole)
{
    struct image *image = NULL;
    struct err err = {0};
    uint8_t *copy = mem_try(len, 1);
    int rc;

    CHECK(copy != NULL);
    memcpy(copy, file.data, len);
    rc = image_decode((struct bytes){copy, len}, &wide, &image, &err);
    mem_free(copy);
    if (rc == 0) {
        if (!is_same(image, whole))
            test_fail(__FILE__, __LINE__, "%s, cut to %zu of %zu bytes, %s",
                      sample->name, len, file.len, "gave other pixels");
        image_free(image);
        return false;
    }
    if (rc != ERR_UNPROCESSABLE && rc != ERR_MEDIA_TYPE &&
        rc != ERR_UNSUPPORTED)
        test_fail(__FILE__, __LINE__, "%s, cut to %zu bytes: %s", sample->name,
                  len, err.text);
    return true;
}

/* About 60 lengths, and the last 40 one by one. */
static void check_cuts(const struct sample *sample)
{
    struct bytes file = load("decode", sample->name, "");
    struct image *whole = NULL;
    struct err err = {0};
    size_t step = file.len / 60 + 1;
    int refused = 0, count = 0;

    CHECK_OK(image_decode(file, &wide, &whole, &err), err);
    for (size_t len = 1; len < file.len;) {
        refused += check_cut(sample, file, len, whole);
        count++;
        len += len + 40 < file.len ? step : 1;
    }
    if (refused < count / 4)
        test_fail(__FILE__, __LINE__, "%s: only %d of %d cuts were refused",
                  sample->name, refused, count);
    image_free(whole);
    unload(file);
}

TEST(decode_of_a_cut_file_is_an_error_or_the_whole_picture)
{
    for (int i = 0; i < SAMPLE_COUNT; i++)
        if (can_decode(&samples[i]))
            check_cuts(&samples[i]);
}

TEST(decode_of_a_half_file_says_that_its_data_end)
{
    static const char *const names[] = {
        "baseline.jpg",  "progressive.jpg", "cmyk.jpg",       "restarts.jpg",
        "rgb.png",       "rgba.png",        "rgb_16.png",     "lossy.webp",
        "lossless.webp", "plain.gif",       "interlaced.gif", "24.bmp",
        "rle8.bmp"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct bytes file = load("decode", names[i], "");

        check_bytes((const char *)file.data, file.len * 3 / 5,
                    ERR_UNPROCESSABLE, "premature end of data");
        unload(file);
    }
}

/* Turns bytes of the file one at a time; every answer must be an image within
 * the limits or one of the errors that damage may have. */
static void check_flips(const struct sample *sample)
{
    struct bytes file = load("decode", sample->name, "");
    uint8_t *bytes = (uint8_t *)(uintptr_t)file.data;
    size_t step = file.len / 150 + 1;

    for (size_t i = 0; i < file.len; i += i < 64 ? 1 : step) {
        struct decode_options options = wide;
        struct image *image = NULL;
        struct err err = {0};
        int rc;

        options.limits.pixels_max = 1 << 16;
        bytes[i] ^= (uint8_t)(1 << i % 8);
        rc = image_decode(file, &options, &image, &err);
        bytes[i] ^= (uint8_t)(1 << i % 8);
        if (rc != 0 && rc != ERR_UNPROCESSABLE && rc != ERR_MEDIA_TYPE &&
            rc != ERR_UNSUPPORTED)
            test_fail(__FILE__, __LINE__, "%s, byte %zu: %s", sample->name, i,
                      err.text);
        CHECK(rc != 0 || image->width_px * image->height_px <= 1 << 16);
        image_free(image);
    }
    unload(file);
}

TEST(decode_of_a_damaged_file_is_an_image_or_its_error)
{
    for (int i = 0; i < SAMPLE_COUNT; i++)
        check_flips(&samples[i]);
}

/* Fails allocation after allocation until a decode gets through. */
static void check_torture(struct bytes file, const char *name)
{
    int rc = ERR_UNAVAILABLE;

    for (long nth = 1; rc != 0; nth++) {
        struct image *image = NULL;
        struct err err = {0};

        mem_fail_at(nth);
        rc = image_decode(file, &wide, &image, &err);
        mem_fail_at(0);
        if (rc != 0 && rc != ERR_UNAVAILABLE)
            test_fail(__FILE__, __LINE__, "%s, allocation %ld: %s", name, nth,
                      err.text);
        CHECK((rc == 0) == (image != NULL));
        CHECK(rc == 0 || nth < 100);
        CHECK(rc != 0 || nth > 1);
        image_free(image);
    }
}

TEST(decode_torture_gives_no_image_without_memory)
{
    for (int i = 0; i < SAMPLE_COUNT; i++) {
        struct bytes file;

        if (!can_decode(&samples[i]))
            continue;
        file = load("decode", samples[i].name, "");
        check_torture(file, samples[i].name);
        unload(file);
    }
}

TEST(decode_reads_a_large_photograph_at_every_scale)
{
    struct bytes file = load("photos", "cat_1080p.jpg", "");
    static const int widths[] = {1920, 960, 480, 240};
    static const int targets[] = {0, 448, 224, 100};

    for (int i = 0; i < 4; i++) {
        struct decode_options options = wide;
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
    unload(file);
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
    for (int i = 0; i < SAMPLE_COUNT; i++) {
        struct bytes file = load("decode", samples[i].name, "");

        CHECK_INT(image_sniff(file), samples[i].format);
        unload(file);
    }
}
