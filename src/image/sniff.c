/* SPDX-License-Identifier: Apache-2.0 */
#include "image/sniff.h"

#include <stddef.h>
#include <string.h>

/* `mark` stands at `offset`; `also`, when there is one, at `also_offset`. */
struct signature {
    size_t offset;
    const char *mark;
    size_t len;
    size_t also_offset;
    const char *also;
    size_t also_len;
};

#define MARK(offset, text) offset, text, sizeof(text) - 1
#define ALONE 0, NULL, 0

static const struct {
    struct signature signature;
    enum image_format format;
} images[] = {
    {{MARK(0, "\xff\xd8\xff"), ALONE}, IMAGE_JPEG},
    {{MARK(0, "\x89PNG\r\n\x1a\n"), ALONE}, IMAGE_PNG},
    {{MARK(0, "RIFF"), MARK(8, "WEBP")}, IMAGE_WEBP},
    {{MARK(0, "GIF87a"), ALONE}, IMAGE_GIF},
    {{MARK(0, "GIF89a"), ALONE}, IMAGE_GIF},
};

static const struct {
    struct signature signature;
    const char *name;
} others[] = {
    {{MARK(0, "%PDF"), ALONE}, "a PDF file, not an image"},
    {{MARK(0, "PK\3\4"), ALONE}, "a zip archive, not an image"},
    {{MARK(0, "PK\5\6"), ALONE}, "a zip archive, not an image"},
    {{MARK(0, "\x1f\x8b"), ALONE}, "a gzip archive, not an image"},
    {{MARK(0, "7z\xbc\xaf\x27\x1c"), ALONE}, "a 7z archive, not an image"},
    {{MARK(0, "Rar!\x1a\7"), ALONE}, "a RAR archive, not an image"},
    {{MARK(0, "\x7f"
              "ELF"),
      ALONE},
     "a program, not an image"},
    {{MARK(0, "MZ"), ALONE}, "a program, not an image"},
    {{MARK(0, "II*\0"), ALONE}, "a TIFF image"},
    {{MARK(0, "MM\0*"), ALONE}, "a TIFF image"},
    {{MARK(0, "8BPS"), ALONE}, "a Photoshop file"},
    {{MARK(0, "\0\0\1\0"), ALONE}, "a Windows icon"},
    {{MARK(0, "\0\0\0\x0cJXL \r\n\x87\n"), ALONE}, "a JPEG XL image"},
    {{MARK(0, "\xff\x0a"), ALONE}, "a JPEG XL image"},
    {{MARK(0, "\0\0\0\x0cjP  \r\n\x87\n"), ALONE}, "a JPEG 2000 image"},
    {{MARK(4, "ftyp"), ALONE}, "a video, not an image"},
    {{MARK(0, "\x1a\x45\xdf\xa3"), ALONE}, "a video, not an image"},
    {{MARK(0, "RIFF"), MARK(8, "AVI ")}, "a video, not an image"},
    {{MARK(0, "RIFF"), MARK(8, "WAVE")}, "a sound, not an image"},
};

static bool has(struct bytes file, size_t offset, const char *mark, size_t len)
{
    return file.len >= offset && file.len - offset >= len &&
           memcmp(file.data + offset, mark, len) == 0;
}

static bool matches(struct bytes file, const struct signature *signature)
{
    return has(file, signature->offset, signature->mark, signature->len) &&
           (signature->also == NULL ||
            has(file, signature->also_offset, signature->also,
                signature->also_len));
}

/* "BM" alone is also how a text may begin: the length of the header that
 * follows must be one that exists. */
static bool is_bmp(struct bytes file)
{
    static const uint8_t header_lens[] = {12, 40, 52, 56, 64, 108, 124};

    if (file.len < 18 || memcmp(file.data, "BM", 2) != 0 ||
        file.data[15] != 0 || file.data[16] != 0 || file.data[17] != 0)
        return false;
    return memchr(header_lens, file.data[14], sizeof(header_lens)) != NULL;
}

/* The brands of an ISO base media file: a main one and those it is compatible
 * with, four bytes each (ISO 14496-12, 4.3). */
static enum image_format find_brand(struct bytes file)
{
    static const char heif[] = "heic heix heim heis hevc hevx mif1 msf1";
    char brand[5] = "";
    enum image_format format = IMAGE_FORMAT_COUNT;
    size_t len;

    if (!has(file, 4, "ftyp", 4) || file.len < 16)
        return IMAGE_FORMAT_COUNT;
    len = (size_t)file.data[2] << 8 | file.data[3];
    if (file.data[0] != 0 || file.data[1] != 0 || len > file.len)
        len = file.len;
    for (size_t at = 8; at + 4 <= len; at += 4) {
        if (at == 12)
            continue; /* the minor version */
        memcpy(brand, file.data + at, 4);
        if (strcmp(brand, "avif") == 0 || strcmp(brand, "avis") == 0)
            return IMAGE_AVIF;
        if (strlen(brand) == 4 && strstr(heif, brand) != NULL)
            format = IMAGE_HEIF;
    }
    return format;
}

enum image_format sniff_image(struct bytes file)
{
    for (size_t i = 0; i < sizeof(images) / sizeof(images[0]); i++)
        if (matches(file, &images[i].signature))
            return images[i].format;
    if (is_bmp(file))
        return IMAGE_BMP;
    return find_brand(file);
}

/* The first bytes after blanks, in either case. */
static bool begins(struct bytes file, const char *word)
{
    size_t at = 0;

    while (at < file.len && strchr(" \t\r\n", file.data[at]) != NULL &&
           file.data[at] != 0)
        at++;
    return file.len - at >= strlen(word) &&
           strncasecmp((const char *)file.data + at, word, strlen(word)) == 0;
}

/* No control bytes but blanks among the first ones, and no more bytes over
 * 127 than UTF-8 or Latin-1 text has. */
static bool is_text(struct bytes file)
{
    size_t len = file.len < 512 ? file.len : 512;
    size_t high_count = 0;

    for (size_t i = 0; i < len; i++) {
        uint8_t c = file.data[i];

        if (c == 127 || (c < 32 && (c < '\t' || c > '\r')))
            return false;
        high_count += c > 127;
    }
    return high_count * 2 <= len;
}

const char *sniff_other(struct bytes file)
{
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (matches(file, &others[i].signature))
            return others[i].name;
    if (begins(file, "<svg"))
        return "an SVG drawing";
    if (begins(file, "<!doctype html") || begins(file, "<html"))
        return "a web page, not an image";
    if (is_text(file))
        return "text, not an image";
    return NULL;
}
