/* SPDX-License-Identifier: Apache-2.0 */
#include "image/exif.h"

#include <string.h>

#include "image/codec.h"
#include "image/orient.h"
#include "test.h"

static int read_text(const char *data, size_t len)
{
    return exif_read_tiff((struct bytes){(const uint8_t *)data, len});
}

#define READ(text) read_text(text, sizeof(text) - 1)
#define LITTLE "II*\0\x08\0\0\0"
#define BIG "MM\0*\0\0\0\x08"

TEST(exif_reads_an_orientation_in_either_byte_order)
{
    CHECK_INT(READ(LITTLE "\1\0\x12\1\3\0\1\0\0\0\6\0\0\0"), 6);
    CHECK_INT(READ(BIG "\0\1\1\x12\0\3\0\0\0\1\0\x08\0\0"), 8);
    CHECK_INT(READ(LITTLE "\1\0\x12\1\4\0\1\0\0\0\3\0\0\0"), 3);
    /* The second of two tags. */
    CHECK_INT(READ(LITTLE "\2\0\0\1\3\0\1\0\0\0\6\0\0\0"
                          "\x12\1\3\0\1\0\0\0\5\0\0\0"),
              5);
}

TEST(exif_takes_what_is_broken_for_upright)
{
    CHECK_INT(READ(""), 1);
    CHECK_INT(READ("II*\0"), 1);
    CHECK_INT(READ("IM*\0\x08\0\0\0\0\0"), 1);
    CHECK_INT(READ("II+\0\x08\0\0\0\0\0"), 1);
    CHECK_INT(READ("II*\0\xff\xff\xff\xff"), 1);
    CHECK_INT(READ("II*\0\7\0\0\0"), 1);
    CHECK_INT(READ(LITTLE "\xff\xff\x12\1\3\0\1\0\0\0\6\0\0"), 1);
    CHECK_INT(READ(LITTLE "\1\0\x12\1\3\0\1\0\0\0\0\0\0\0"), 1);
    CHECK_INT(READ(LITTLE "\1\0\x12\1\3\0\1\0\0\0\x09\0\0\0"), 1);
    CHECK_INT(READ(LITTLE "\1\0\x12\1\2\0\1\0\0\0\6\0\0\0"), 1);
}

static int of_file(const char *data, size_t len, enum image_format format)
{
    return exif_orientation((struct bytes){(const uint8_t *)data, len}, format);
}

#define OF(text, format) of_file(text, sizeof(text) - 1, format)
#define TIFF_6 LITTLE "\1\0\x12\1\3\0\1\0\0\0\6\0\0\0"
#define PNG_START "\x89PNG\r\n\x1a\n"

TEST(exif_finds_its_block_in_each_container)
{
    CHECK_INT(OF("\xff\xd8\xff\xe0\0\3x\xff\xff\xff\xe1\0\x1e"
                 "Exif\0\0" TIFF_6,
                 IMAGE_JPEG),
              6);
    CHECK_INT(OF(PNG_START "\0\0\0\1tEXtxCRC.\0\0\0\x16"
                           "eXIf" TIFF_6 "CRC.",
                 IMAGE_PNG),
              6);
    CHECK_INT(
        OF("RIFF....WEBPVP8X\1\0\0\0x\0EXIF\x16\0\0\0" TIFF_6, IMAGE_WEBP), 6);
    CHECK_INT(OF("RIFF....WEBPEXIF\x1c\0\0\0"
                 "Exif\0\0" TIFF_6,
                 IMAGE_WEBP),
              6);
    CHECK_INT(OF("GIF89a" TIFF_6, IMAGE_GIF), 1);
}

TEST(exif_stops_at_a_length_that_leaves_the_file)
{
    CHECK_INT(OF("\xff\xd8\xff\xe1\xff\xff"
                 "Exif\0\0" TIFF_6,
                 IMAGE_JPEG),
              1);
    CHECK_INT(OF("\xff\xd8\xff\xe0\0\1\xff\xe1\0\x1e"
                 "Exif\0\0" TIFF_6,
                 IMAGE_JPEG),
              1);
    /* After the scan begins there are no more segments. */
    CHECK_INT(OF("\xff\xd8\xff\xda\0\2\xff\xe1\0\x1e"
                 "Exif\0\0" TIFF_6,
                 IMAGE_JPEG),
              1);
    CHECK_INT(OF(PNG_START "\xff\xff\xff\xf0"
                           "eXIf" TIFF_6 "CRC.",
                 IMAGE_PNG),
              1);
    CHECK_INT(OF("RIFF....WEBPEXIF\x17\0\0\0" TIFF_6, IMAGE_WEBP), 1);
    CHECK_INT(OF("\xff\xd8\xff", IMAGE_JPEG), 1);
}

/* A picture of 70x37 whose pixels say where they are. */
static struct image *numbered(void)
{
    struct image *image = NULL;
    struct err err = {0};

    CHECK_OK(image_new(70, 37, &image, &err), err);
    for (int y = 0; y < 37; y++)
        for (int x = 0; x < 70; x++) {
            image->pixels[(y * 70 + x) * 3] = (uint8_t)x;
            image->pixels[(y * 70 + x) * 3 + 1] = (uint8_t)y;
            image->pixels[(y * 70 + x) * 3 + 2] = (uint8_t)(x ^ y);
        }
    return image;
}

/* Where the upright pixel (x, y) came from, by EXIF 2.32, 4.6.4: the side of
 * the file at which row 0 and column 0 of the upright picture lie. */
static void find_source(int orientation, int x, int y, int *from_x, int *from_y)
{
    static const char *const rules[] = {"",   "xy", "Xy", "XY", "xY",
                                        "yx", "yX", "YX", "Yx"};
    const char *rule = rules[orientation];
    int value[2];

    for (int i = 0; i < 2; i++) {
        int side = i == 0 ? 70 : 37;

        value[i] = rule[i] == 'x' || rule[i] == 'X' ? x : y;
        if (rule[i] == 'X' || rule[i] == 'Y')
            value[i] = side - 1 - value[i];
    }
    *from_x = value[0];
    *from_y = value[1];
}

TEST(orient_moves_every_pixel_where_exif_says)
{
    for (int orientation = 1; orientation <= 8; orientation++) {
        struct image *image = numbered();
        struct err err = {0};
        bool swaps = exif_swaps_sides(orientation);

        CHECK_OK(orient_run(image, orientation, &err), err);
        CHECK_INT(image->width_px, swaps ? 37 : 70);
        CHECK_INT(image->source_height_px, swaps ? 70 : 37);
        for (int i = 0; i < 70 * 37; i++) {
            int from_x, from_y;

            find_source(orientation, i % image->width_px, i / image->width_px,
                        &from_x, &from_y);
            CHECK_INT(image->pixels[3 * i], from_x);
            CHECK_INT(image->pixels[3 * i + 1], from_y);
            CHECK_INT(image->pixels[3 * i + 2], from_x ^ from_y);
        }
        image_free(image);
    }
}

TEST(codec_lays_alpha_over_white)
{
    static const uint8_t rgba[] = {10, 20, 30, 255, 10,  20,
                                   30, 0,  0,  99,  255, 128};
    uint8_t rgb[9];

    codec_over_white(rgba, rgb, 3);
    CHECK_INT(memcmp(rgb, "\x0a\x14\x1e\xff\xff\xff", 6), 0);
    CHECK_INT(rgb[6], 127);
    CHECK_NEAR(rgb[7], 99 * 128 / 255. + 127, .5);
    CHECK_INT(rgb[8], 255);
}
