/* SPDX-License-Identifier: Apache-2.0 */
/* GIF (87a and 89a), read here: the first frame, on a white canvas.
 *
 * The canvas is the logical screen, grown where the first frame leaves it, as
 * browsers do. Everything is read through a cursor that never passes the end;
 * a frame whose data end before its last pixel is refused. */
#include "image/codec.h"

#include <string.h>

enum {
    SCREEN_LEN = 13,
    FRAME_LEN = 9,
    CODE_BITS_MAX = 12,
    CODE_COUNT = 1 << CODE_BITS_MAX,
    NONE = -1,
};

struct palette {
    uint8_t rgb[256][3]; /* black beyond what the file gives */
    bool is_given;
};

struct frame {
    int x, y, width, height; /* px */
    bool is_interlaced;
    int transparent; /* index, or NONE */
    struct palette palette;
};

struct reader {
    const uint8_t *at, *end;
    const uint8_t *block_end; /* of the data block being read */
    uint32_t bits;
    int bit_count;
    bool is_over; /* the blocks have ended */
};

static int cut(const struct image *image, struct err *err)
{
    return codec_damaged(image, "premature end of data", err);
}

static int read_u16(const uint8_t *at)
{
    return at[0] | at[1] << 8;
}

static const uint8_t *take(struct reader *reader, size_t len)
{
    const uint8_t *at = reader->at;

    if ((size_t)(reader->end - at) < len)
        return NULL;
    reader->at += len;
    return at;
}

static bool read_palette(struct reader *reader, uint8_t flags,
                         struct palette *palette)
{
    size_t len = 3 * ((size_t)2 << (flags & 7));
    const uint8_t *at;

    if ((flags & 0x80) == 0)
        return true;
    at = take(reader, len);
    if (at == NULL)
        return false;
    memset(palette, 0, sizeof(*palette));
    memcpy(palette->rgb, at, len);
    palette->is_given = true;
    return true;
}

/* Skips an extension's blocks, and learns the transparent index from a
 * graphic control. */
static bool read_extension(struct reader *reader, struct frame *frame)
{
    enum { GRAPHIC_CONTROL = 0xf9 };
    const uint8_t *label = take(reader, 1);
    bool is_first = true;

    if (label == NULL)
        return false;
    for (;;) {
        const uint8_t *len = take(reader, 1);
        const uint8_t *body = len != NULL ? take(reader, *len) : NULL;

        if (body == NULL)
            return false;
        if (*len == 0)
            return true;
        if (is_first && *label == GRAPHIC_CONTROL && *len >= 4)
            frame->transparent = body[0] & 1 ? body[3] : NONE;
        is_first = false;
    }
}

/* Reads up to the first frame's pixel data. */
static int find_frame(struct reader *reader, struct frame *frame,
                      const struct image *image, struct err *err)
{
    enum { EXTENSION = 0x21, FRAME = 0x2c, TRAILER = 0x3b };
    const uint8_t *at;

    for (;;) {
        at = take(reader, 1);
        if (at == NULL)
            return cut(image, err);
        if (*at == FRAME)
            break;
        if (*at == TRAILER)
            return codec_damaged(image, "it has no frame", err);
        if (*at == EXTENSION && !read_extension(reader, frame))
            return cut(image, err);
        if (*at != EXTENSION && *at != 0)
            return codec_damaged(image, "its structure is wrong", err);
    }
    at = take(reader, FRAME_LEN);
    if (at == NULL || !read_palette(reader, at[8], &frame->palette))
        return cut(image, err);
    if (!frame->palette.is_given)
        return codec_damaged(image, "it has no palette", err);
    frame->x = read_u16(at);
    frame->y = read_u16(at + 2);
    frame->width = read_u16(at + 4);
    frame->height = read_u16(at + 6);
    frame->is_interlaced = (at[8] & 0x40) != 0;
    return 0;
}

/* The next byte of the data blocks; 0 and is_over after the last. */
static unsigned next_byte(struct reader *reader)
{
    if (reader->at == reader->block_end) {
        const uint8_t *len = take(reader, 1);

        if (len == NULL || *len == 0 ||
            (size_t)(reader->end - reader->at) < *len) {
            reader->is_over = true;
            return 0;
        }
        reader->block_end = reader->at + *len;
    }
    return *reader->at++;
}

static int next_code(struct reader *reader, int width)
{
    int code;

    while (reader->bit_count < width) {
        reader->bits |= (uint32_t)next_byte(reader) << reader->bit_count;
        reader->bit_count += 8;
        if (reader->is_over)
            return NONE;
    }
    code = (int)(reader->bits & ((1u << width) - 1));
    reader->bits >>= width;
    reader->bit_count -= width;
    return code;
}

/* Puts indices one after another onto the canvas. */
struct pen {
    const struct frame *frame;
    struct image *image;
    int x, y, pass; /* in the frame */
    bool is_done;
};

static void next_row(struct pen *pen)
{
    static const int starts[] = {0, 4, 2, 1};
    static const int steps[] = {8, 8, 4, 2};

    pen->x = 0;
    if (!pen->frame->is_interlaced) {
        pen->y++;
        pen->is_done = pen->y == pen->frame->height;
        return;
    }
    pen->y += steps[pen->pass];
    while (pen->y >= pen->frame->height) {
        if (++pen->pass == 4) {
            pen->is_done = true;
            return;
        }
        pen->y = starts[pen->pass];
    }
}

static void put(struct pen *pen, uint8_t index)
{
    const struct frame *frame = pen->frame;
    size_t x = (size_t)(frame->x + pen->x);
    size_t y = (size_t)(frame->y + pen->y);

    if (pen->is_done)
        return;
    if (index != frame->transparent)
        memcpy(pen->image->pixels + 3 * (y * (size_t)pen->image->width_px + x),
               frame->palette.rgb[index], 3);
    if (++pen->x == frame->width)
        next_row(pen);
}

/* A code at or over 2 + clear stands for the string of code prefix[code] and
 * one byte more; a prefix is always an older, smaller code. */
struct table {
    uint16_t prefix[CODE_COUNT];
    uint8_t last[CODE_COUNT];
    uint8_t string[CODE_COUNT]; /* the one being put, backwards */
    int clear;                  /* the code that empties the table */
    int count, width;           /* codes known; bits of the next one */
    int previous;               /* code, or NONE after a clear */
};

static void clear_table(struct table *table, int bits)
{
    table->count = table->clear + 2;
    table->width = bits + 1;
    table->previous = NONE;
}

static void add_code(struct table *table, uint8_t last)
{
    if (table->previous == NONE || table->count == CODE_COUNT)
        return;
    table->prefix[table->count] = (uint16_t)table->previous;
    table->last[table->count] = last;
    table->count++;
    if (table->count == 1 << table->width && table->width < CODE_BITS_MAX)
        table->width++;
}

/* Puts a code's string; false for a code that cannot stand here. */
static bool put_code(struct table *table, int code, struct pen *pen)
{
    bool is_new = code == table->count && table->previous != NONE;
    int at = is_new ? table->previous : code;
    int len = 0;

    if (code > table->count || (code == table->count && !is_new) ||
        code == table->clear + 1)
        return false;
    while (at > table->clear) {
        table->string[len++] = table->last[at];
        at = table->prefix[at];
    }
    add_code(table, (uint8_t)at);
    put(pen, (uint8_t)at);
    while (len > 0)
        put(pen, table->string[--len]);
    if (is_new)
        put(pen, (uint8_t)at);
    table->previous = code;
    return true;
}

/* LZW of variable width (GIF89a, appendix F). Codes after the last pixel are
 * not read; an end code before it is a premature end. */
static int draw(struct reader *reader, struct pen *pen, struct err *err)
{
    const uint8_t *bits = take(reader, 1);
    struct table table;

    if (bits == NULL)
        return cut(pen->image, err);
    if (*bits < 1 || *bits > 8)
        return codec_damaged(pen->image, "its code size is wrong", err);
    table.clear = 1 << *bits;
    clear_table(&table, *bits);
    reader->block_end = reader->at;
    while (!pen->is_done) {
        int code = next_code(reader, table.width);

        if (code == NONE || code == table.clear + 1)
            return cut(pen->image, err);
        if (code == table.clear)
            clear_table(&table, *bits);
        else if (!put_code(&table, code, pen))
            return codec_damaged(pen->image, "its pixel data are wrong", err);
    }
    return 0;
}

static int larger(int a, int b)
{
    return a > b ? a : b;
}

static int decode(struct bytes file, const struct decode_options *options,
                  struct image *image, struct err *err)
{
    struct reader reader = {.at = file.data, .end = file.data + file.len};
    struct frame frame = {.transparent = NONE};
    struct pen pen = {.frame = &frame, .image = image};
    const uint8_t *screen = take(&reader, SCREEN_LEN);
    int rc;

    if (screen == NULL || !read_palette(&reader, screen[10], &frame.palette))
        return cut(image, err);
    rc = find_frame(&reader, &frame, image, err);
    if (!rc && (frame.width < 1 || frame.height < 1))
        rc = codec_damaged(image, "its frame is empty", err);
    if (!rc)
        rc = codec_begin(image,
                         larger(read_u16(screen + 6), frame.x + frame.width),
                         larger(read_u16(screen + 8), frame.y + frame.height),
                         &options->limits, err);
    if (rc)
        return rc;
    memset(image->pixels, 255,
           (size_t)image->width_px * (size_t)image->height_px * 3);
    return draw(&reader, &pen, err);
}

const struct codec codec_gif = {"GIF", "image/gif", true, decode};
