/* SPDX-License-Identifier: Apache-2.0 */
/* The header is the text of a Python dictionary. What numpy writes is read:
 * three keys in any order, of a text, a truth and a tuple of whole numbers. */
#include "vectors/npy_header.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { MAGIC_LEN = 8, ALIGNMENT = 64, WORD_MAX = 32, ITEM_LEN_MAX = 1 << 28 };

enum { HAS_DESCR = 1, HAS_ORDER = 2, HAS_SHAPE = 4, HAS_ALL = 7 };

struct cursor {
    const char *at, *end;
};

static void skip_space(struct cursor *cursor)
{
    while (cursor->at < cursor->end && strchr(" \t\n\r", *cursor->at) != NULL &&
           *cursor->at != '\0')
        cursor->at++;
}

static bool take(struct cursor *cursor, char wanted)
{
    skip_space(cursor);
    if (cursor->at == cursor->end || *cursor->at != wanted)
        return false;
    cursor->at++;
    return true;
}

static bool take_word(struct cursor *cursor, const char *wanted)
{
    size_t len = strlen(wanted);

    skip_space(cursor);
    if ((size_t)(cursor->end - cursor->at) < len ||
        memcmp(cursor->at, wanted, len) != 0)
        return false;
    cursor->at += len;
    return true;
}

/* A text in either quotes, without escapes. */
static bool take_text(struct cursor *cursor, char out[WORD_MAX])
{
    const char *close;
    char quote;

    skip_space(cursor);
    if (cursor->at == cursor->end || strchr("'\"", *cursor->at) == NULL ||
        *cursor->at == '\0')
        return false;
    quote = *cursor->at++;
    close = memchr(cursor->at, quote, (size_t)(cursor->end - cursor->at));
    if (close == NULL || close - cursor->at >= WORD_MAX)
        return false;
    memcpy(out, cursor->at, (size_t)(close - cursor->at));
    out[close - cursor->at] = '\0';
    cursor->at = close + 1;
    return out[0] != '\0';
}

static bool take_count(struct cursor *cursor, int64_t *out)
{
    int64_t value = 0;
    const char *begin;

    skip_space(cursor);
    begin = cursor->at;
    while (cursor->at < cursor->end && *cursor->at >= '0' &&
           *cursor->at <= '9') {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, *cursor->at - '0', &value))
            return false;
        cursor->at++;
    }
    if (cursor->at == begin)
        return false;
    /* numpy under Python 2 wrote long integers. */
    if (cursor->at < cursor->end && *cursor->at == 'L')
        cursor->at++;
    *out = value;
    return true;
}

static bool take_shape(struct cursor *cursor, struct npy_header *out)
{
    if (!take(cursor, '('))
        return false;
    out->shape_count = 0;
    while (!take(cursor, ')')) {
        if (out->shape_count == NPY_SHAPE_MAX ||
            !take_count(cursor, &out->shape[out->shape_count]))
            return false;
        out->shape_count++;
        if (!take(cursor, ',')) {
            skip_space(cursor);
            if (cursor->at == cursor->end || *cursor->at != ')')
                return false;
        }
    }
    return true;
}

/* "<f4": order, kind and the length of a value ("U": in characters). */
static bool read_descr(const char *text, struct npy_header *out)
{
    struct cursor digits = {.end = text + strlen(text)};
    int64_t len = 0;

    out->is_big_endian = text[0] == '>';
    if (text[0] != '\0' && strchr("<>|=", text[0]) != NULL)
        text++;
    if (text[0] == '\0')
        return false;
    out->kind = *text++;
    digits.at = text;
    if (*text != '\0' &&
        (!take_count(&digits, &len) || digits.at != digits.end))
        return false;
    if (out->kind == 'O')
        len = 0;
    else if (*text == '\0')
        return false;
    if (out->kind == 'U')
        len *= 4;
    if (len < 0 || len > ITEM_LEN_MAX)
        return false;
    out->item_len = (int)len;
    return true;
}

static int take_value(struct cursor *cursor, const char *key, int *seen,
                      struct npy_header *out, struct err *err)
{
    char text[WORD_MAX];
    int bit;

    if (strcmp(key, "descr") == 0) {
        bit = HAS_DESCR;
        if (take(cursor, '['))
            return err_set(err, ERR_UNSUPPORTED,
                           "an array of records (a type with fields) is not "
                           "read, only of numbers or texts");
        if (!take_text(cursor, text) || !read_descr(text, out))
            return err_set(err, ERR_CORRUPT, "the header's type is damaged");
    } else if (strcmp(key, "fortran_order") == 0) {
        bit = HAS_ORDER;
        out->is_fortran = take_word(cursor, "True");
        if (!out->is_fortran && !take_word(cursor, "False"))
            return err_set(err, ERR_CORRUPT, "the header's order is damaged");
    } else if (strcmp(key, "shape") == 0) {
        bit = HAS_SHAPE;
        if (!take_shape(cursor, out))
            return err_set(err, ERR_CORRUPT, "the header's shape is damaged");
    } else {
        return err_set(err, ERR_CORRUPT, "the header has a key '%.31s'", key);
    }
    if (*seen & bit)
        return err_set(err, ERR_CORRUPT, "the header has '%s' twice", key);
    *seen |= bit;
    return 0;
}

static int parse_dictionary(struct cursor cursor, struct npy_header *out,
                            struct err *err)
{
    char key[WORD_MAX];
    int seen = 0, rc;

    if (!take(&cursor, '{'))
        return err_set(err, ERR_CORRUPT, "the header is no dictionary");
    while (!take(&cursor, '}')) {
        if (!take_text(&cursor, key) || !take(&cursor, ':'))
            return err_set(err, ERR_CORRUPT, "the header is damaged");
        rc = take_value(&cursor, key, &seen, out, err);
        if (rc)
            return rc;
        if (!take(&cursor, ',')) {
            skip_space(&cursor);
            if (cursor.at == cursor.end || *cursor.at != '}')
                return err_set(err, ERR_CORRUPT, "the header is damaged");
        }
    }
    skip_space(&cursor);
    if (cursor.at != cursor.end || seen != HAS_ALL)
        return err_set(err, ERR_CORRUPT,
                       "the header lacks type, order or shape, or has more");
    return 0;
}

/* Against the file's length, so that whoever takes memory can trust it. */
static int check_len(struct npy_header *header, uint64_t file_len,
                     struct err *err)
{
    uint64_t len = 0;
    int64_t count = 1;
    bool is_empty = false;
    int i;

    for (i = 0; i < header->shape_count; i++)
        is_empty = is_empty || header->shape[i] == 0;
    for (i = 0; !is_empty && i < header->shape_count; i++)
        if (__builtin_mul_overflow(count, header->shape[i], &count))
            return err_set(err, ERR_CORRUPT, "the header's shape is too large");
    header->count = is_empty ? 0 : count;
    header->data_len = file_len - header->data_at;
    if (header->kind == 'O')
        return 0;
    if (__builtin_mul_overflow((uint64_t)header->count,
                               (uint64_t)header->item_len, &len) ||
        len != header->data_len)
        return err_set(err, ERR_CORRUPT,
                       "the header tells of %" PRId64 " values of %d bytes; "
                       "the file has %" PRIu64 " bytes of them",
                       header->count, header->item_len, header->data_len);
    return 0;
}

/* The length of the header behind magic and version; the offset in *at. */
static int read_len(struct bytes start, uint64_t *at, uint64_t *len,
                    struct err *err)
{
    static const uint8_t magic[] = {0x93, 'N', 'U', 'M', 'P', 'Y'};
    const uint8_t *data = start.data;

    if (start.len < MAGIC_LEN + 4 || memcmp(data, magic, sizeof magic) != 0)
        return err_set(err, ERR_CORRUPT, "this is no .npy file");
    if (data[6] < 1 || data[6] > 3 || data[7] != 0)
        return err_set(err, ERR_UNSUPPORTED,
                       "version %d.%d of .npy is not read; 1.0 to 3.0 are",
                       data[6], data[7]);
    *at = MAGIC_LEN + (data[6] == 1 ? 2 : 4);
    *len = data[8] | (uint64_t)data[9] << 8;
    if (data[6] > 1)
        *len |= (uint64_t)data[10] << 16 | (uint64_t)data[11] << 24;
    return 0;
}

int npy_header_parse(struct bytes start, uint64_t file_len,
                     struct npy_header *out, struct err *err)
{
    struct npy_header header = {0};
    uint64_t at = 0, len = 0;
    struct cursor cursor;
    int rc;

    rc = read_len(start, &at, &len, err);
    if (rc)
        return rc;
    if (len > start.len - at || len > file_len - at)
        return err_set(err, ERR_CORRUPT,
                       "the header is said to have %" PRIu64 " bytes; %zu are "
                       "there or allowed",
                       len, start.len - (size_t)at);
    header.data_at = at + len;
    cursor.at = (const char *)start.data + at;
    cursor.end = cursor.at + len;
    rc = parse_dictionary(cursor, &header, err);
    if (rc == 0)
        rc = check_len(&header, file_len, err);
    if (rc == 0)
        *out = header;
    return rc;
}

void npy_header_write(struct buf *out, const char *descr, int64_t row_count,
                      int64_t column_count)
{
    char text[192];
    size_t len, padding;
    uint16_t total;

    if (column_count < 0)
        snprintf(text, sizeof text,
                 "{'descr': '%s', 'fortran_order': False, "
                 "'shape': (%" PRId64 ",), }",
                 descr, row_count);
    else
        snprintf(text, sizeof text,
                 "{'descr': '%s', 'fortran_order': False, "
                 "'shape': (%" PRId64 ", %" PRId64 "), }",
                 descr, row_count, column_count);
    len = MAGIC_LEN + 2 + strlen(text) + 1;
    padding = (ALIGNMENT - len % ALIGNMENT) % ALIGNMENT;
    total = (uint16_t)(strlen(text) + padding + 1);
    buf_add(out, "\x93NUMPY\x01\x00", MAGIC_LEN);
    buf_add_char(out, (char)(total & 0xff));
    buf_add_char(out, (char)(total >> 8));
    buf_printf(out, "%s%*s\n", text, (int)padding, "");
}

const char *npy_header_type(const struct npy_header *header, char *text)
{
    char kind =
        (char)(header->kind > ' ' && header->kind <= '~' ? header->kind : '?');

    if (kind == 'O')
        snprintf(text, 32, "'O'");
    else
        snprintf(text, 32, "'%c%d'", kind,
                 kind == 'U' ? header->item_len / 4 : header->item_len);
    return text;
}
