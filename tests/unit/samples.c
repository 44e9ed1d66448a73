/* SPDX-License-Identifier: Apache-2.0 */
#include "samples.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "test.h"

enum { FILE_LEN_MAX = 4 << 20 };

const struct decode_options sample_options = {
    .limits = {.side_min_px = 1, .side_max_px = 16384, .pixels_max = 1 << 26},
};

const struct sample samples[] = {
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

const int sample_count = sizeof(samples) / sizeof(samples[0]);

struct bytes sample_load(const char *folder, const char *name,
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
    data = mem_resize(data, len, 1);
    CHECK(data != NULL);
    return (struct bytes){data, len};
}

void sample_unload(struct bytes file)
{
    mem_free((void *)(uintptr_t)file.data);
}

int sample_decode(const char *name, const struct decode_options *options,
                  struct image **out, struct err *err)
{
    struct bytes file = sample_load("decode", name, "");
    int rc = image_decode(file, options, out, err);

    sample_unload(file);
    return rc;
}

void sample_check_pixels(const char *name, const char *suffix,
                         const struct image *image, int tolerance)
{
    struct bytes want = sample_load("decode", name, suffix);
    int width = 0, height = 0, start = 0, worst = 0;
    char header[32];

    snprintf(header, sizeof(header), "%.*s", (int)sizeof(header) - 1,
             (const char *)want.data);
    CHECK_INT(sscanf(header, "P6 %d %d 255%n", &width, &height, &start), 2);
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
    sample_unload(want);
}

bool sample_is_readable(const struct sample *sample)
{
    struct image *image = NULL;
    struct err err = {0};
    int rc = sample_decode(sample->name, &sample_options, &image, &err);

    image_free(image);
    return rc != ERR_UNSUPPORTED;
}
