/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "base/mem.h"
#include "image/crop.h"

static struct image *make_image(int width, int height)
{
    struct image *image = NULL;
    struct err err = {0};

    CHECK_OK(image_new(width, height, &image, &err), err);
    for (int i = 0; i < width * height * 3; i++)
        image->pixels[i] = (uint8_t)i;
    return image;
}

TEST(crop_takes_the_pixels_of_its_part)
{
    struct image *image = make_image(7, 5), *part = NULL;
    const struct crop crop = {2, 1, 6, 4};
    struct err err = {0};

    image->source_width_px = 70;
    image->format = IMAGE_PNG;
    CHECK_OK(crop_run(image, &crop, &part, &err), err);
    CHECK_INT(part->width_px, 4);
    CHECK_INT(part->height_px, 3);
    CHECK_INT(part->source_width_px, 70);
    CHECK_INT(part->format, IMAGE_PNG);
    CHECK_INT(part->pixels[0], (1 * 7 + 2) * 3);
    CHECK_INT(part->pixels[4 * 3 * 3 - 1], (3 * 7 + 5) * 3 + 2);
    image_free(part);
    image_free(image);
}

TEST(crop_centre_leaves_the_same_on_both_sides)
{
    static const struct {
        int width, height;
        struct crop want;
    } cases[] = {
        {100, 50, {10, 5, 90, 45}},
        {10, 11, {1, 1, 9, 10}},
        {1, 2, {0, 0, 1, 2}},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct image *image = make_image(cases[i].width, cases[i].height);
        struct crop crop = crop_centre(image, 0.8);

        CHECK_INT(crop.left, cases[i].want.left);
        CHECK_INT(crop.top, cases[i].want.top);
        CHECK_INT(crop.right, cases[i].want.right);
        CHECK_INT(crop.bottom, cases[i].want.bottom);
        image_free(image);
    }
}

TEST(crop_survives_torture)
{
    struct image *image = make_image(7, 5), *part = NULL;
    const struct crop crop = {0, 0, 7, 5};
    struct err err = {0};

    mem_fail_at(1);
    CHECK_ERR(crop_run(image, &crop, &part, &err), ERR_UNAVAILABLE);
    mem_fail_at(0);
    CHECK(part == NULL);
    image_free(image);
}
