/* SPDX-License-Identifier: Apache-2.0 */
/* Files over the limits, damaged, cut, and decoded without memory. */
#include "image/decode.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "samples.h"
#include "test.h"

/* Decodes with limits; the failure must name the size and the limit, and
 * must leave the out pointer alone. */
static void check_refused(const char *name, struct image_limits limits,
                          enum err_code code, const char *part)
{
    struct decode_options options = {.limits = limits};
    struct image untouched, *image = &untouched;
    struct err err = {0};

    CHECK_ERR(sample_decode(name, &options, &image, &err), code);
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
    if (!sample_is_readable(&(struct sample){.name = "plain.heic"}))
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
    check_refused("scans.jpg", sample_options.limits, ERR_UNPROCESSABLE,
                  "JPEG is damaged: too many scans");
    check_refused("checksum.png", sample_options.limits, ERR_UNPROCESSABLE,
                  "PNG is damaged: a checksum is wrong");
    check_refused("outside.webp", sample_options.limits, ERR_UNPROCESSABLE,
                  "WebP is damaged: a frame does not fit its canvas");
}

static void check_bytes(const char *data, size_t len, enum err_code code,
                        const char *part)
{
    struct image untouched, *image = &untouched;
    struct err err = {0};
    struct bytes file = {(const uint8_t *)data, len};

    CHECK_ERR(image_decode(file, &sample_options, &image, &err), code);
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
    rc = image_decode((struct bytes){copy, len}, &sample_options, &image, &err);
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
    struct bytes file = sample_load("decode", sample->name, "");
    struct image *whole = NULL;
    struct err err = {0};
    size_t step = file.len / 60 + 1;
    int refused = 0, count = 0;

    CHECK_OK(image_decode(file, &sample_options, &whole, &err), err);
    for (size_t len = 1; len < file.len;) {
        refused += check_cut(sample, file, len, whole);
        count++;
        len += len + 40 < file.len ? step : 1;
    }
    if (refused < count / 4)
        test_fail(__FILE__, __LINE__, "%s: only %d of %d cuts were refused",
                  sample->name, refused, count);
    image_free(whole);
    sample_unload(file);
}

TEST(decode_of_a_cut_file_is_an_error_or_the_whole_picture)
{
    for (int i = 0; i < sample_count; i++)
        if (sample_is_readable(&samples[i]))
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
        struct bytes file = sample_load("decode", names[i], "");

        check_bytes((const char *)file.data, file.len * 3 / 5,
                    ERR_UNPROCESSABLE, "premature end of data");
        sample_unload(file);
    }
}

/* Turns bytes of the file one at a time; every answer must be an image within
 * the limits or one of the errors that damage may have. */
static void check_flips(const struct sample *sample)
{
    struct bytes file = sample_load("decode", sample->name, "");
    uint8_t *bytes = (uint8_t *)(uintptr_t)file.data;
    size_t step = file.len / 150 + 1;

    for (size_t i = 0; i < file.len; i += i < 64 ? 1 : step) {
        struct decode_options options = sample_options;
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
    sample_unload(file);
}

TEST(decode_of_a_damaged_file_is_an_image_or_its_error)
{
    for (int i = 0; i < sample_count; i++)
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
        rc = image_decode(file, &sample_options, &image, &err);
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
    for (int i = 0; i < sample_count; i++) {
        struct bytes file;

        if (!sample_is_readable(&samples[i]))
            continue;
        file = sample_load("decode", samples[i].name, "");
        check_torture(file, samples[i].name);
        sample_unload(file);
    }
}
