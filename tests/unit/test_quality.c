/* SPDX-License-Identifier: Apache-2.0 */
/* Blur, exposure and perceptual hash against what OpenCV, numpy and imagehash
 * say (tools/make_quality_reference.py). */
#include "test.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "image/jpeg.h"
#include "image/phash.h"
#include "image/quality.h"
#include "samples.h"

enum { NAME_LEN = 256, PHOTOS_MIN = 58, SOURCES_MIN = 12 };

/* Their filters make the images small in different ways. */
enum { IMAGEHASH_DISTANCE_MAX = 6 };

struct reference {
    char kind[16], name[NAME_LEN], their_hash[32];
    int width_px, height_px;
    long offset;
    struct quality quality;
    uint64_t hash;
};

static bool read_line(const char *line, struct reference *out)
{
    int at = 0;

    memset(out, 0, sizeof *out);
    if (sscanf(line, "photo %255s%n", out->name, &at) == 1)
        snprintf(out->kind, sizeof out->kind, "photo");
    else if (sscanf(line, "source %255s %d %d %ld%n", out->name, &out->width_px,
                    &out->height_px, &out->offset, &at) == 4)
        snprintf(out->kind, sizeof out->kind, "source");
    else
        return false;
    CHECK_INT(sscanf(line + at, " %lf %lf %lf %lf %" SCNx64 " %31s",
                     &out->quality.blur, &out->quality.mean,
                     &out->quality.dark_share, &out->quality.bright_share,
                     &out->hash, out->their_hash),
              6);
    return true;
}

static struct image *load(const struct reference *reference)
{
    struct image *image = NULL;
    struct err err = {0};
    FILE *file;

    if (strcmp(reference->kind, "photo") == 0) {
        struct bytes bytes = sample_load(".", reference->name, "");

        CHECK_OK(image_decode(bytes, &sample_options, &image, &err), err);
        sample_unload(bytes);
        return image;
    }
    CHECK_OK(image_new(reference->width_px, reference->height_px, &image, &err),
             err);
    file = fopen(test_data("transform/pixels.bin"), "rb");
    CHECK(file != NULL);
    CHECK_INT(fseek(file, reference->offset, SEEK_SET), 0);
    CHECK_INT(fread(image->pixels, (size_t)reference->width_px * 3,
                    (size_t)reference->height_px, file),
              reference->height_px);
    fclose(file);
    return image;
}

static void compare_quality(const struct reference *reference,
                            const struct image *image)
{
    const struct quality *want = &reference->quality;
    struct quality got = {0};
    struct err err = {0};

    CHECK_OK(quality_measure(image, &got, &err), err);
    CHECK_NEAR(got.blur, want->blur, 1e-9 * (want->blur + 1));
    CHECK_NEAR(got.mean, want->mean, 1e-9);
    CHECK_NEAR(got.dark_share, want->dark_share, 1e-11);
    CHECK_NEAR(got.bright_share, want->bright_share, 1e-11);
}

static void compare_hash(const struct reference *reference,
                         const struct image *image)
{
    struct err err = {0};
    uint64_t got = 0, theirs = 0;

    CHECK_OK(phash_compute(image, &got, &err), err);
    CHECK_INT(phash_distance(got, reference->hash), 0);
    if (sscanf(reference->their_hash, "%" SCNx64, &theirs) == 1 &&
        phash_distance(got, theirs) > IMAGEHASH_DISTANCE_MAX)
        test_fail(__FILE__, __LINE__, "%s is %d bits away from imagehash",
                  reference->name, phash_distance(got, theirs));
}

typedef void compare_fn(const struct reference *reference,
                        const struct image *image);

static void compare_all(compare_fn *compare)
{
    FILE *file = fopen(test_data("quality/reference.txt"), "r");
    int photos = 0, sources = 0;
    struct reference reference;
    char line[1024];

    CHECK(file != NULL);
    while (fgets(line, sizeof line, file) != NULL) {
        struct image *image;

        if (!read_line(line, &reference))
            continue;
        image = load(&reference);
        compare(&reference, image);
        image_free(image);
        photos += strcmp(reference.kind, "photo") == 0;
        sources += strcmp(reference.kind, "source") == 0;
    }
    fclose(file);
    CHECK(photos >= PHOTOS_MIN);
    CHECK(sources >= SOURCES_MIN);
}

TEST(quality_gives_the_numbers_of_opencv)
{
    compare_all(compare_quality);
}

/* The scan of a whole file gives the number, one that may end early a bound. */
static void compare_scan(const struct reference *reference,
                         const struct image *image)
{
    double want = reference->quality.blur, got = 0;
    struct err err = {0};
    struct bytes file;

    (void)image;
    if (strcmp(reference->kind, "photo") != 0)
        return;
    file = sample_load(".", reference->name, "");
    if (jpeg_is_quick_to_scan(file)) {
        CHECK_OK(quality_scan_blur(file, want * 1.001, &got, &err), err);
        CHECK_NEAR(got, want, 1e-9 * want);
        CHECK_OK(quality_scan_blur(file, want * 0.1, &got, &err), err);
        CHECK(got >= want * 0.1);
        CHECK(got <= want);
    }
    sample_unload(file);
}

TEST(quality_of_rows_that_go_by_is_that_of_the_image)
{
    compare_all(compare_scan);
}

TEST(quality_scan_fails_as_decoding_does)
{
    struct bytes whole = sample_load("photos", "cat_720p.jpg", "");
    struct bytes half = {whole.data, whole.len / 2};
    double blur = -1;
    struct err err = {0};

    CHECK_ERR(quality_scan_blur(half, 1e9, &blur, &err), ERR_UNPROCESSABLE);
    CHECK_HAS(err.text, "premature end");
    CHECK(blur == -1);
    /* What is wanted is in the first half. */
    err = (struct err){0};
    CHECK_OK(quality_scan_blur(half, 1, &blur, &err), err);
    CHECK(blur >= 1);
    CHECK(!jpeg_is_quick_to_scan((struct bytes){whole.data, 20}));
    CHECK(!jpeg_is_quick_to_scan((struct bytes){NULL, 0}));
    sample_unload(whole);
}

TEST(quality_scan_refuses_inks_and_takes_files_that_are_slow_to_scan)
{
    static const char *const inks[] = {"cmyk.jpg", "ycck.jpg"};
    struct bytes file;
    struct err err = {0};
    double blur = -1;

    for (int i = 0; i < 2; i++) {
        err = (struct err){0};
        file = sample_load("decode", inks[i], "");
        CHECK(!jpeg_is_quick_to_scan(file));
        CHECK_ERR(quality_scan_blur(file, 1e9, &blur, &err), ERR_UNSUPPORTED);
        CHECK(blur == -1);
        sample_unload(file);
    }
    err = (struct err){0};
    file = sample_load("decode", "progressive.jpg", "");
    CHECK(!jpeg_is_quick_to_scan(file));
    CHECK_OK(quality_scan_blur(file, 1e9, &blur, &err), err);
    CHECK(blur >= 0);
    sample_unload(file);
}

TEST(phash_gives_the_bits_of_numpy_and_nearly_those_of_imagehash)
{
    compare_all(compare_hash);
}

/* Columns of black and white give the largest Laplacians there are. */
TEST(quality_does_not_overflow_on_the_widest_and_harshest_image)
{
    enum { WIDE = 65535, HIGH = 4 };
    struct image *image = NULL;
    struct quality quality;
    struct err err = {0};

    CHECK_OK(image_new(WIDE, HIGH, &image, &err), err);
    for (int y = 0; y < HIGH; y++)
        for (int x = 0; x < WIDE; x++)
            memset(image->pixels + ((size_t)y * WIDE + (size_t)x) * 3,
                   (x + y) % 2 == 0 ? 255 : 0, 3);
    CHECK_OK(quality_measure(image, &quality, &err), err);
    /* Every pixel is 4 * 255 away from its neighbours, mirrored ones too. */
    CHECK_NEAR(quality.blur, 1020.0 * 1020.0, 0.01);
    CHECK_NEAR(quality.dark_share, 0.5, 1e-4);
    CHECK_NEAR(quality.bright_share, 0.5, 1e-4);
    image_free(image);
}

TEST(quality_of_one_colour_is_no_detail_at_all)
{
    struct image *image = NULL;
    struct quality quality;
    struct err err = {0};

    CHECK_OK(image_new(37, 5, &image, &err), err);
    memset(image->pixels, 77, 37 * 5 * 3);
    CHECK_OK(quality_measure(image, &quality, &err), err);
    CHECK(quality.blur == 0);
    CHECK(quality.mean == 77);
    CHECK(quality.dark_share == 0);
    CHECK(quality.bright_share == 0);
    image_free(image);
}

TEST(quality_and_phash_survive_torture)
{
    struct quality quality = {.blur = -1};
    struct image *image = NULL;
    uint64_t hash = 7;
    struct err err = {0};

    CHECK_OK(image_new(64, 48, &image, &err), err);
    mem_fail_at(1);
    CHECK_ERR(quality_measure(image, &quality, &err), ERR_UNAVAILABLE);
    CHECK(quality.blur == -1);
    err = (struct err){0};
    mem_fail_at(1);
    CHECK_ERR(phash_compute(image, &hash, &err), ERR_UNAVAILABLE);
    CHECK_INT(hash, 7);
    mem_fail_at(0);
    image_free(image);
}

TEST(phash_of_a_smaller_copy_is_near_and_of_another_photo_far)
{
    const struct decode_options scaled = {.limits = sample_options.limits,
                                          .target_width_px = 224,
                                          .target_height_px = 224};
    static const char *const names[] = {"cat_1080p.jpg", "cat_1080p.jpg",
                                        "cat_720p.jpg", "owl.jpg"};
    const struct decode_options *options[] = {&sample_options, &scaled,
                                              &sample_options, &sample_options};
    uint64_t hashes[4];

    for (int i = 0; i < 4; i++) {
        struct bytes file = sample_load("photos", names[i], "");
        struct image *image = NULL;
        struct err err = {0};

        CHECK_OK(image_decode(file, options[i], &image, &err), err);
        CHECK_OK(phash_compute(image, &hashes[i], &err), err);
        image_free(image);
        sample_unload(file);
    }
    CHECK(phash_distance(hashes[0], hashes[1]) <= 2);
    CHECK(phash_distance(hashes[0], hashes[2]) <= 4);
    CHECK(phash_distance(hashes[0], hashes[3]) >= 16);
}
