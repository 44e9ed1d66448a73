/* SPDX-License-Identifier: Apache-2.0 */
/* BMP, read here: OS/2 and Windows headers up to version 5; 1, 4, 8, 16, 24
 * and 32 bits; plain, RLE4, RLE8 and bit fields; either row order.
 *
 * Plain pixels must all be in the file before memory is taken for them. */
#include "image/codec.h"

#include <string.h>

enum {
    FILE_HEADER_LEN = 14,
    CORE_LEN = 12,     /* the OS/2 header, with 16-bit sides */
    INFO_LEN = 40,     /* BITMAPINFOHEADER */
    INFO_OS2_LEN = 64, /* shares its first 40 bytes */
    HEADER_LEN_MAX = 124,
    PLAIN = 0,
    RLE8 = 1,
    RLE4 = 2,
    BIT_FIELDS = 3,
    ALPHA_BIT_FIELDS = 6,
};

enum { RED, GREEN, BLUE, ALPHA, CHANNEL_COUNT };

/* One channel of a 16- or 32-bit pixel; max is 0 when it is absent. */
struct channel {
    int shift;
    uint32_t max;
};

struct bitmap {
    struct bytes file;
    size_t header_len; /* of the second header */
    int64_t width, height;
    bool is_top_down;
    int depth; /* bits a pixel */
    uint32_t compression;
    struct channel channels[CHANNEL_COUNT];
    uint8_t palette[256][3]; /* RGB; black beyond what the file gives */
    struct bytes pixels;     /* borrowed from the file */
};

static uint32_t read_u16(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8;
}

static uint32_t read_u32(const uint8_t *at)
{
    return read_u16(at) | read_u16(at + 2) << 16;
}

static int cut(const struct image *image, struct err *err)
{
    return codec_damaged(image, "premature end of data", err);
}

static void read_sides(struct bitmap *bitmap, const uint8_t *header)
{
    if (bitmap->header_len == CORE_LEN) {
        bitmap->width = read_u16(header + 4);
        bitmap->height = read_u16(header + 6);
        bitmap->depth = (int)read_u16(header + 10);
        return;
    }
    bitmap->width = (int32_t)read_u32(header + 4);
    bitmap->height = (int32_t)read_u32(header + 8);
    bitmap->depth = (int)read_u16(header + 14);
    bitmap->compression = read_u32(header + 16);
    if (bitmap->height < 0) {
        bitmap->is_top_down = true;
        bitmap->height = -bitmap->height;
    }
}

/* Which compressions go with which depths. */
static bool is_known_kind(const struct bitmap *bitmap)
{
    switch (bitmap->compression) {
    case PLAIN:
        return bitmap->depth == 1 || bitmap->depth == 4 || bitmap->depth == 8 ||
               bitmap->depth == 16 || bitmap->depth == 24 ||
               bitmap->depth == 32;
    case RLE8:
        return bitmap->depth == 8 && !bitmap->is_top_down;
    case RLE4:
        return bitmap->depth == 4 && !bitmap->is_top_down;
    case BIT_FIELDS:
    case ALPHA_BIT_FIELDS:
        return (bitmap->depth == 16 || bitmap->depth == 32) &&
               bitmap->header_len != INFO_OS2_LEN;
    default:
        return false;
    }
}

/* A mask must be one run of ones. */
static bool set_channel(struct channel *channel, uint32_t mask)
{
    *channel = (struct channel){0, 0};
    if (mask == 0)
        return true;
    channel->shift = __builtin_ctz(mask);
    channel->max = mask >> channel->shift;
    return (channel->max & (channel->max + 1)) == 0;
}

static bool set_channels(struct bitmap *bitmap, const uint32_t *masks)
{
    for (int i = 0; i < CHANNEL_COUNT; i++)
        if (!set_channel(&bitmap->channels[i], masks[i]))
            return false;
    return true;
}

/* Masks stand inside the headers of version 2 and later, and right after the
 * one of version 1; alpha's is there from version 3 on. */
static int read_masks(struct bitmap *bitmap, size_t *header_end,
                      const struct image *image, struct err *err)
{
    static const uint32_t masks_16[] = {0x7c00, 0x3e0, 0x1f, 0};
    static const uint32_t masks_32[] = {0xff0000, 0xff00, 0xff, 0};
    uint32_t masks[CHANNEL_COUNT] = {0};
    const uint8_t *at = bitmap->file.data + FILE_HEADER_LEN + INFO_LEN;
    size_t count =
        bitmap->header_len > 52 || bitmap->compression == ALPHA_BIT_FIELDS ? 4
                                                                           : 3;

    if (bitmap->compression != BIT_FIELDS &&
        bitmap->compression != ALPHA_BIT_FIELDS) {
        (void)set_channels(bitmap, bitmap->depth == 16 ? masks_16 : masks_32);
        return 0;
    }
    if (bitmap->header_len == INFO_LEN)
        *header_end += count * 4;
    if (bitmap->file.len < FILE_HEADER_LEN + INFO_LEN + count * 4)
        return cut(image, err);
    for (size_t i = 0; i < count; i++)
        masks[i] = read_u32(at + 4 * i);
    if (!set_channels(bitmap, masks))
        return codec_damaged(image, "its bit fields are wrong", err);
    return 0;
}

/* Entries are blue, green, red and, but in the OS/2 header, a spare byte. */
static void read_palette(struct bitmap *bitmap, size_t at, size_t end)
{
    size_t entry_len = bitmap->header_len == CORE_LEN ? 3 : 4;
    size_t count = (size_t)1 << bitmap->depth;

    if (end > bitmap->file.len)
        end = bitmap->file.len;
    for (size_t i = 0; i < count && at + entry_len <= end; i++) {
        const uint8_t *entry = bitmap->file.data + at;

        bitmap->palette[i][0] = entry[2];
        bitmap->palette[i][1] = entry[1];
        bitmap->palette[i][2] = entry[0];
        at += entry_len;
    }
}

static size_t row_len(const struct bitmap *bitmap)
{
    return ((size_t)bitmap->width * (size_t)bitmap->depth + 31) / 32 * 4;
}

/* The last row may lack its padding. */
static bool has_all_pixels(const struct bitmap *bitmap)
{
    size_t last_len = ((size_t)bitmap->width * (size_t)bitmap->depth + 7) / 8;

    return bitmap->pixels.len >=
           row_len(bitmap) * (size_t)(bitmap->height - 1) + last_len;
}

static int read_headers(struct bitmap *bitmap, const struct image *image,
                        const struct image_limits *limits, struct err *err)
{
    const uint8_t *header = bitmap->file.data + FILE_HEADER_LEN;
    size_t header_end, start;
    int rc;

    if (bitmap->file.len < FILE_HEADER_LEN + CORE_LEN)
        return cut(image, err);
    bitmap->header_len = read_u32(header);
    header_end = FILE_HEADER_LEN + bitmap->header_len;
    if (bitmap->header_len > HEADER_LEN_MAX || bitmap->file.len < header_end)
        return cut(image, err);
    read_sides(bitmap, header);
    rc = codec_check(bitmap->width, bitmap->height, limits, err);
    if (rc)
        return rc;
    if (!is_known_kind(bitmap))
        return err_set(err, ERR_UNPROCESSABLE,
                       "BMP with %d bits a pixel and compression %u is not "
                       "supported",
                       bitmap->depth, (unsigned)bitmap->compression);
    rc = read_masks(bitmap, &header_end, image, err);
    if (rc)
        return rc;
    start = read_u32(bitmap->file.data + 10);
    if (start < header_end || start > bitmap->file.len)
        return codec_damaged(image, "its pixels are not where it says", err);
    if (bitmap->depth <= 8)
        read_palette(bitmap, header_end, start);
    bitmap->pixels =
        (struct bytes){bitmap->file.data + start, bitmap->file.len - start};
    return 0;
}

static uint32_t spread(struct channel channel, uint32_t pixel)
{
    uint64_t value = pixel >> channel.shift & channel.max;

    return channel.max == 0 ? 0 : (uint32_t)(value * 255 / channel.max);
}

static void convert_fields(const struct bitmap *bitmap, const uint8_t *row,
                           uint8_t *rgb)
{
    const struct channel *channels = bitmap->channels;
    bool is_wide = bitmap->depth == 32;

    for (int64_t x = 0; x < bitmap->width; x++, rgb += 3) {
        uint32_t pixel =
            is_wide ? read_u32(row + 4 * x) : read_u16(row + 2 * x);
        uint8_t rgba[CHANNEL_COUNT];

        for (int i = 0; i < CHANNEL_COUNT; i++)
            rgba[i] = (uint8_t)spread(channels[i], pixel);
        if (channels[ALPHA].max == 0)
            rgba[ALPHA] = 255;
        codec_over_white(rgba, rgb, 1);
    }
}

static void convert_bgr(const struct bitmap *bitmap, const uint8_t *row,
                        uint8_t *rgb)
{
    for (int64_t x = 0; x < bitmap->width; x++, row += 3, rgb += 3) {
        rgb[0] = row[2];
        rgb[1] = row[1];
        rgb[2] = row[0];
    }
}

static void convert_indices(const struct bitmap *bitmap, const uint8_t *row,
                            uint8_t *rgb)
{
    int depth = bitmap->depth;
    unsigned mask = (1u << depth) - 1;

    for (int64_t x = 0; x < bitmap->width; x++, rgb += 3) {
        int64_t bit = x * depth;
        unsigned index = row[bit / 8] >> (8 - depth - bit % 8) & mask;

        memcpy(rgb, bitmap->palette[index], 3);
    }
}

static uint8_t *row_of(const struct bitmap *bitmap, struct image *image,
                       int64_t y)
{
    if (!bitmap->is_top_down)
        y = bitmap->height - 1 - y;
    return image->pixels + (size_t)y * (size_t)bitmap->width * 3;
}

static void draw_plain(const struct bitmap *bitmap, struct image *image)
{
    const uint8_t *row = bitmap->pixels.data;
    size_t step = row_len(bitmap);

    for (int64_t y = 0; y < bitmap->height; y++, row += step) {
        uint8_t *rgb = row_of(bitmap, image, y);

        if (bitmap->depth == 24)
            convert_bgr(bitmap, row, rgb);
        else if (bitmap->depth > 8)
            convert_fields(bitmap, row, rgb);
        else
            convert_indices(bitmap, row, rgb);
    }
}

/* Where run-length decoding stands. */
struct pen {
    const struct bitmap *bitmap;
    struct image *image;
    int64_t x, y;
};

/* Pixels beyond a row's end are dropped. */
static void put(struct pen *pen, unsigned index)
{
    if (pen->x < pen->bitmap->width && pen->y < pen->bitmap->height)
        memcpy(row_of(pen->bitmap, pen->image, pen->y) + 3 * pen->x,
               pen->bitmap->palette[index], 3);
    pen->x++;
}

/* `count` pixels whose indices are packed at `at`, or repeat its first byte. */
static void put_all(struct pen *pen, const uint8_t *at, int count, bool repeats)
{
    bool is_rle4 = pen->bitmap->compression == RLE4;

    for (int i = 0; i < count; i++) {
        if (!is_rle4)
            put(pen, at[repeats ? 0 : i]);
        else
            put(pen, at[repeats ? 0 : i / 2] >> (i % 2 ? 0 : 4) & 15);
    }
}

/* One escape after a zero count. Returns the bytes used beyond it, or -1 when
 * the data end first; sets *done at the end of the bitmap. */
static ptrdiff_t escape(struct pen *pen, const uint8_t *at, size_t len,
                        unsigned code, bool *done)
{
    enum { END_OF_ROW, END_OF_BITMAP, MOVE };
    size_t used = pen->bitmap->compression == RLE4 ? (code + 1) / 2 : code;

    switch (code) {
    case END_OF_ROW:
        pen->x = 0;
        pen->y++;
        return 0;
    case END_OF_BITMAP:
        *done = true;
        return 0;
    case MOVE:
        if (len < 2)
            return -1;
        pen->x += at[0];
        pen->y += at[1];
        return 2;
    default:
        used += used & 1;
        if (len < used)
            return -1;
        put_all(pen, at, (int)code, false);
        return (ptrdiff_t)used;
    }
}

/* Pixels that the data skip have colour 0. */
static int draw_runs(const struct bitmap *bitmap, struct image *image,
                     struct err *err)
{
    struct pen pen = {bitmap, image, 0, 0};
    const uint8_t *at = bitmap->pixels.data;
    size_t len = bitmap->pixels.len;
    int64_t pixel_count = bitmap->width * bitmap->height;
    bool done = false;

    for (int64_t i = 0; i < pixel_count; i++)
        memcpy(image->pixels + 3 * i, bitmap->palette[0], 3);
    while (!done && pen.y < bitmap->height) {
        ptrdiff_t used = 0;

        if (len < 2)
            return cut(image, err);
        if (at[0] != 0)
            put_all(&pen, at + 1, at[0], true);
        else
            used = escape(&pen, at + 2, len - 2, at[1], &done);
        if (used < 0)
            return cut(image, err);
        at += used + 2;
        len -= (size_t)used + 2;
    }
    return 0;
}

static int draw(const struct bitmap *bitmap, struct image *image,
                const struct image_limits *limits, struct err *err)
{
    bool is_packed = bitmap->compression == RLE4 || bitmap->compression == RLE8;
    int rc;

    if (!is_packed && !has_all_pixels(bitmap))
        return cut(image, err);
    rc = codec_begin(image, bitmap->width, bitmap->height, limits, err);
    if (rc)
        return rc;
    if (is_packed)
        return draw_runs(bitmap, image, err);
    draw_plain(bitmap, image);
    return 0;
}

static int decode(struct bytes file, const struct decode_options *options,
                  struct image *image, struct err *err)
{
    struct bitmap bitmap = {.file = file};
    int rc = read_headers(&bitmap, image, &options->limits, err);

    return rc ? rc : draw(&bitmap, image, &options->limits, err);
}

const struct codec codec_bmp = {"BMP", "image/bmp", true, decode};
