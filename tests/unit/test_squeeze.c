/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "image/encode.h"
#include "image/squeeze.h"
#include "samples.h"

static struct image *load(const char *folder, const char *name)
{
    struct bytes file = sample_load(folder, name, "");
    struct image *image = NULL;
    struct err err = {0};

    CHECK_OK(image_decode(file, &sample_options, &image, &err), err);
    sample_unload(file);
    return image;
}

/* The largest difference of a channel. */
static int difference(const struct image *a, const struct image *b)
{
    int largest = 0;

    CHECK_INT(a->width_px, b->width_px);
    CHECK_INT(a->height_px, b->height_px);
    for (int i = 0; i < a->width_px * a->height_px * 3; i++)
        if (abs(a->pixels[i] - b->pixels[i]) > largest)
            largest = abs(a->pixels[i] - b->pixels[i]);
    return largest;
}

typedef int squeeze_fn(const struct image *image, struct image **out,
                       struct err *err);

static int to_jpeg(const struct image *image, struct image **out,
                   struct err *err)
{
    return squeeze_jpeg(image, 75, out, err);
}

static int take_median(const struct image *image, struct image **out,
                       struct err *err)
{
    return squeeze_median(image, out, err);
}

static int turn(const struct image *image, struct image **out, struct err *err)
{
    return squeeze_rotate(image, 2, out, err);
}

static void compare(const char *name, squeeze_fn *squeeze, int tolerance)
{
    struct image *image = load("adversarial", "source.png");
    struct image *want = load("adversarial", name), *got = NULL;
    struct err err = {0};

    CHECK_OK(squeeze(image, &got, &err), err);
    CHECK(difference(got, want) <= tolerance);
    CHECK(difference(got, image) > 8);
    image_free(got);
    image_free(want);
    image_free(image);
}

TEST(squeeze_jpeg_gives_the_pixels_of_pillow)
{
    compare("jpeg.png", to_jpeg, 0);
}

TEST(squeeze_median_gives_the_pixels_of_numpy)
{
    compare("median.png", take_median, 0);
}

TEST(squeeze_rotate_gives_the_pixels_of_numpy)
{
    compare("turned.png", turn, 1);
}

TEST(squeeze_rotate_by_nothing_changes_nothing_and_by_a_half_turn_all)
{
    struct image *image = load("adversarial", "source.png");
    struct image *same = NULL, *half = NULL;
    struct err err = {0};
    int last;

    CHECK_OK(squeeze_rotate(image, 0, &same, &err), err);
    CHECK_INT(difference(image, same), 0);
    CHECK_OK(squeeze_rotate(image, 180, &half, &err), err);
    last = (image->width_px * image->height_px - 1) * 3;
    CHECK(abs(half->pixels[0] - image->pixels[last]) <= 1);
    CHECK(abs(half->pixels[last + 2] - image->pixels[2]) <= 1);
    image_free(half);
    image_free(same);
    image_free(image);
}

TEST(squeeze_works_on_a_single_pixel_and_on_thin_images)
{
    static const int sides[][2] = {{1, 1}, {1, 300}, {300, 1}, {2, 2}};

    for (size_t i = 0; i < sizeof sides / sizeof sides[0]; i++) {
        struct image *image = NULL, *jpeg = NULL, *turned = NULL,
                     *median = NULL;
        struct err err = {0};

        CHECK_OK(image_new(sides[i][0], sides[i][1], &image, &err), err);
        memset(image->pixels, 200, (size_t)sides[i][0] * sides[i][1] * 3);
        CHECK_OK(squeeze_jpeg(image, 75, &jpeg, &err), err);
        CHECK_OK(squeeze_rotate(image, 2, &turned, &err), err);
        CHECK_OK(squeeze_median(image, &median, &err), err);
        CHECK(difference(image, jpeg) <= 1);
        CHECK_INT(difference(image, median), 0);
        image_free(median);
        CHECK_INT(difference(image, turned), 0);
        image_free(turned);
        image_free(jpeg);
        image_free(image);
    }
}

TEST(encode_jpeg_stops_where_the_buffer_is_full)
{
    struct image *image = load("adversarial", "source.png");
    struct err err = {0};
    struct buf out;

    buf_init(&out, 1000);
    CHECK_ERR(image_encode_jpeg(image, 90, &out, &err), ERR_TOO_LARGE);
    buf_release(&out);
    image_free(image);
}

TEST(squeeze_survives_torture)
{
    static squeeze_fn *const all[] = {to_jpeg, take_median, turn};
    struct image *image = load("adversarial", "source.png");

    for (int i = 0; i < 3; i++) {
        struct image *out = NULL;
        long nth;

        for (nth = 1; nth < 100; nth++) {
            struct err err = {0};
            int rc;

            mem_fail_at(nth);
            rc = all[i](image, &out, &err);
            if (rc == 0)
                break;
            CHECK_ERR(rc, ERR_UNAVAILABLE);
            CHECK(out == NULL);
        }
        mem_fail_at(0);
        CHECK(nth > 1 && nth < 100);
        image_free(out);
    }
    image_free(image);
}
