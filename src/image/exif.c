/* SPDX-License-Identifier: Apache-2.0 */
#include "image/exif.h"

#include <string.h>

enum {
    UPRIGHT = 1,
    TAG_ORIENTATION = 0x0112,
    TYPE_SHORT = 3,
    TYPE_LONG = 4,
    TIFF_HEADER_LEN = 8,
    TIFF_ENTRY_LEN = 12,
};

static const char exif_mark[] = "Exif\0"; /* and the literal's own NUL */
enum { EXIF_MARK_LEN = sizeof(exif_mark) };

static unsigned read_u16(const uint8_t *at, bool is_little)
{
    return is_little ? (unsigned)(at[1] << 8 | at[0])
                     : (unsigned)(at[0] << 8 | at[1]);
}

static uint32_t read_u32(const uint8_t *at, bool is_little)
{
    return is_little
               ? (uint32_t)read_u16(at + 2, true) << 16 | read_u16(at, true)
               : (uint32_t)read_u16(at, false) << 16 | read_u16(at + 2, false);
}

static struct bytes skip(struct bytes bytes, size_t len)
{
    return (struct bytes){bytes.data + len, bytes.len - len};
}

static bool starts_with(struct bytes bytes, const char *mark, size_t len)
{
    return bytes.len >= len && memcmp(bytes.data, mark, len) == 0;
}

bool exif_swaps_sides(int orientation)
{
    return orientation >= 5;
}

static int read_entry(const uint8_t *entry, bool is_little)
{
    unsigned type = read_u16(entry + 2, is_little);
    uint32_t value = 0;

    if (type == TYPE_SHORT)
        value = read_u16(entry + 8, is_little);
    else if (type == TYPE_LONG)
        value = read_u32(entry + 8, is_little);
    return value >= 1 && value <= 8 ? (int)value : UPRIGHT;
}

int exif_read_tiff(struct bytes tiff)
{
    bool is_little;
    uint32_t at;
    size_t count;

    if (tiff.len < TIFF_HEADER_LEN)
        return UPRIGHT;
    is_little = tiff.data[0] == 'I';
    if (memcmp(tiff.data, is_little ? "II" : "MM", 2) != 0 ||
        read_u16(tiff.data + 2, is_little) != 42)
        return UPRIGHT;
    at = read_u32(tiff.data + 4, is_little);
    if (at > tiff.len - 2)
        return UPRIGHT;
    count = read_u16(tiff.data + at, is_little);
    tiff = skip(tiff, (size_t)at + 2);
    for (size_t i = 0; i < count && tiff.len >= TIFF_ENTRY_LEN; i++) {
        if (read_u16(tiff.data, is_little) == TAG_ORIENTATION)
            return read_entry(tiff.data, is_little);
        tiff = skip(tiff, TIFF_ENTRY_LEN);
    }
    return UPRIGHT;
}

static int read_block(struct bytes block)
{
    if (starts_with(block, exif_mark, EXIF_MARK_LEN))
        block = skip(block, EXIF_MARK_LEN);
    return exif_read_tiff(block);
}

/* Walks the segments up to the first scan. */
static int read_jpeg(struct bytes file)
{
    enum { APP1 = 0xe1, SOS = 0xda, EOI = 0xd9, FILL = 0xff };

    file = skip(file, 2);
    while (file.len >= 4 && file.data[0] == 0xff) {
        uint8_t marker = file.data[1];
        size_t len = read_u16(file.data + 2, false);
        struct bytes body = skip(file, 4);

        if (marker == FILL) {
            file = skip(file, 1);
            continue;
        }
        if (marker == SOS || marker == EOI || len < 2 || len - 2 > body.len)
            break;
        body.len = len - 2;
        if (marker == APP1 && starts_with(body, exif_mark, EXIF_MARK_LEN))
            return read_block(body);
        file = skip(file, len + 2);
    }
    return UPRIGHT;
}

/* Chunks of PNG: length, name, body, checksum. */
static int read_png(struct bytes file)
{
    file = skip(file, 8);
    while (file.len >= 12) {
        uint32_t len = read_u32(file.data, false);

        if (len > file.len - 12)
            break;
        if (memcmp(file.data + 4, "eXIf", 4) == 0)
            return read_block((struct bytes){file.data + 8, len});
        file = skip(file, (size_t)len + 12);
    }
    return UPRIGHT;
}

/* Chunks of RIFF: name, length, body, a byte of padding after an odd one. */
static int read_webp(struct bytes file)
{
    file = skip(file, 12);
    while (file.len >= 8) {
        uint32_t len = read_u32(file.data + 4, true);
        struct bytes body = skip(file, 8);

        if (len > body.len)
            break;
        if (memcmp(file.data, "EXIF", 4) == 0)
            return read_block((struct bytes){body.data, len});
        if (len == body.len)
            break;
        file = skip(body, (size_t)len + (len & 1));
    }
    return UPRIGHT;
}

int exif_orientation(struct bytes file, enum image_format format)
{
    if (file.len < 12)
        return UPRIGHT;
    switch (format) {
    case IMAGE_JPEG:
        return read_jpeg(file);
    case IMAGE_PNG:
        return read_png(file);
    case IMAGE_WEBP:
        return read_webp(file);
    default:
        return UPRIGHT;
    }
}
