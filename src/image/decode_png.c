/* SPDX-License-Identifier: Apache-2.0 */
/* PNG by libpng: every colour type and depth, interlaced or not.
 *
 * Samples of 16 bits lose their low byte, as they do in Pillow and OpenCV;
 * gamma and colour profiles are left aside, as there. All chunks but the
 * pixels, the palette and its transparency are skipped unread.
 *
 * The library reports a failure by calling fail(), which jumps back to
 * run_guarded(); what must be freed lives in struct reader. */
#include "image/codec.h"

#include <setjmp.h>
#include <string.h>

#include <png.h>

#include "base/mem.h"

enum {
    SIGNATURE_LEN = 8,
    HEADER_LEN = 33,          /* signature and IHDR */
    CHUNK_LEN_MAX = 16 << 20, /* of chunks other than pixels */
};

struct reader {
    struct bytes rest; /* not yet read */
    png_structp png;
    png_infop info;
    jmp_buf escape;
    uint8_t *rgba; /* owned: one row, or all of an interlaced image */
    const char *failure;
    bool is_without_memory;
};

static PNG_NORETURN void fail(png_structp png, const char *what)
{
    struct reader *reader = png_get_error_ptr(png);

    if (reader->failure != NULL)
        longjmp(reader->escape, 1);
    reader->failure = "its structure is wrong";
    if (strstr(what, "CRC") != NULL)
        reader->failure = "a checksum is wrong";
    else if (strstr(what, "Not enough") != NULL)
        reader->failure = "premature end of data";
    else if (strncmp(what, "IDAT", 4) == 0)
        reader->failure = "its pixel data are wrong";
    longjmp(reader->escape, 1);
}

static void stay_silent(png_structp png, const char *what)
{
    (void)png;
    (void)what;
}

static png_voidp take(png_structp png, png_alloc_size_t len)
{
    struct reader *reader = png_get_mem_ptr(png);
    void *block = mem_try(1, len);

    if (block == NULL)
        reader->is_without_memory = true;
    return block;
}

static void give_back(png_structp png, png_voidp block)
{
    (void)png;
    mem_free(block);
}

static void read_some(png_structp png, png_bytep out, size_t len)
{
    struct reader *reader = png_get_io_ptr(png);

    if (len > reader->rest.len) {
        reader->failure = "premature end of data";
        png_error(png, "end");
    }
    memcpy(out, reader->rest.data, len);
    reader->rest.data += len;
    reader->rest.len -= len;
}

/* The sizes stand at a fixed place, so a bomb is refused before the library
 * sees it. */
static int check_header(struct bytes file, const struct image_limits *limits,
                        struct image *image, struct err *err)
{
    const uint8_t *at = file.data + SIGNATURE_LEN;
    uint32_t sides[2];

    if (file.len < HEADER_LEN)
        return codec_damaged(image, "premature end of data", err);
    if (memcmp(at, "\0\0\0\rIHDR", 8) != 0)
        return codec_damaged(image, "it does not begin with its header", err);
    for (int i = 0; i < 2; i++) {
        const uint8_t *side = at + 8 + 4 * i;

        sides[i] = (uint32_t)side[0] << 24 | (uint32_t)side[1] << 16 |
                   (uint32_t)side[2] << 8 | side[3];
    }
    return codec_check(sides[0], sides[1], limits, err);
}

static void open_reader(struct reader *reader)
{
    reader->png =
        png_create_read_struct_2(PNG_LIBPNG_VER_STRING, reader, fail,
                                 stay_silent, reader, take, give_back);
    if (reader->png == NULL)
        return;
    reader->info = png_create_info_struct(reader->png);
    png_set_read_fn(reader->png, reader, read_some);
    png_set_user_limits(reader->png, CODEC_SIDE_MAX, CODEC_SIDE_MAX);
    png_set_chunk_malloc_max(reader->png, CHUNK_LEN_MAX);
    png_set_keep_unknown_chunks(reader->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
}

/* Asks for 8-bit RGB, or RGBA where anything may be transparent. */
static bool ask_for_pixels(struct reader *reader)
{
    png_structp png = reader->png;
    bool has_alpha;

    has_alpha =
        (png_get_color_type(png, reader->info) & PNG_COLOR_MASK_ALPHA) != 0 ||
        png_get_valid(png, reader->info, PNG_INFO_tRNS) != 0;
    png_set_expand(png);
    png_set_strip_16(png);
    png_set_gray_to_rgb(png);
    return has_alpha;
}

static void read_rgb(struct reader *reader, struct image *image, int passes)
{
    size_t row_len = (size_t)image->width_px * 3;

    for (int pass = 0; pass < passes; pass++)
        for (int y = 0; y < image->height_px; y++)
            png_read_row(reader->png, image->pixels + row_len * (size_t)y,
                         NULL);
}

/* Passes of an interlaced image add to what is there, so all of it is kept
 * with its alpha until the last one is read. */
static int read_rgba(struct reader *reader, struct image *image, int passes,
                     struct err *err)
{
    size_t width = (size_t)image->width_px;
    size_t kept = passes > 1 ? (size_t)image->height_px : 1;

    reader->rgba = mem_try(width * kept, 4);
    if (reader->rgba == NULL)
        return codec_no_memory(image, err);
    for (int pass = 0; pass < passes; pass++)
        for (size_t y = 0; y < (size_t)image->height_px; y++) {
            uint8_t *row = reader->rgba + y % kept * width * 4;

            png_read_row(reader->png, row, NULL);
            if (pass == passes - 1)
                codec_over_white(row, image->pixels + y * width * 3, width);
        }
    return 0;
}

static int run(struct reader *reader, const struct image_limits *limits,
               struct image *image, struct err *err)
{
    bool has_alpha;
    int passes, rc;

    open_reader(reader);
    if (reader->png == NULL || reader->info == NULL)
        return codec_no_memory(image, err);
    png_read_info(reader->png, reader->info);
    rc = codec_begin(image, png_get_image_width(reader->png, reader->info),
                     png_get_image_height(reader->png, reader->info), limits,
                     err);
    if (rc)
        return rc;
    has_alpha = ask_for_pixels(reader);
    passes = png_set_interlace_handling(reader->png);
    png_read_update_info(reader->png, reader->info);
    if (png_get_rowbytes(reader->png, reader->info) !=
        (size_t)image->width_px * (has_alpha ? 4 : 3))
        return codec_damaged(image, "its structure is wrong", err);
    if (has_alpha)
        return read_rgba(reader, image, passes, err);
    read_rgb(reader, image, passes);
    return 0;
}

/* Apart from decode(), so that no local of the function with the setjmp
 * changes between it and the jump. */
static int run_guarded(struct reader *reader, const struct image_limits *limits,
                       struct image *image, struct err *err)
{
    if (setjmp(reader->escape) == 0)
        return run(reader, limits, image, err);
    if (reader->is_without_memory)
        return codec_no_memory(image, err);
    return codec_damaged(image, reader->failure, err);
}

static int decode(struct bytes file, const struct decode_options *options,
                  struct image *image, struct err *err)
{
    struct reader reader;
    int rc = check_header(file, &options->limits, image, err);

    if (rc)
        return rc;
    memset(&reader, 0, sizeof(reader));
    reader.rest = file;
    rc = run_guarded(&reader, &options->limits, image, err);
    png_destroy_read_struct(&reader.png, &reader.info, NULL);
    mem_free(reader.rgba);
    return rc;
}

const struct codec codec_png = {"PNG", "image/png", true, decode};
