/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors/npy_pool.h"

#include <string.h>

#include "base/mem.h"

/* A character of UCS-4 takes no more bytes in UTF-8 than it had, and a NUL
 * follows each text. */
enum { POOL_LEN_MAX = 2 * (size_t)NPY_TEXTS_LEN_MAX, CHAR_MAX_LEN = 4 };

void npy_pool_init(struct npy_pool *pool)
{
    *pool = (struct npy_pool){0};
    buf_init(&pool->bytes, POOL_LEN_MAX);
}

void npy_pool_release(struct npy_pool *pool)
{
    buf_release(&pool->bytes);
    mem_free(pool->places);
    *pool = (struct npy_pool){0};
}

int32_t npy_utf8_char(const uint8_t *text, size_t left, int *len)
{
    static const int32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    int32_t value;
    int i;

    *len = text[0] < 0x80   ? 1
           : text[0] < 0xc2 ? 0
           : text[0] < 0xe0 ? 2
           : text[0] < 0xf0 ? 3
           : text[0] < 0xf5 ? 4
                            : 0;
    if (*len == 0 || (size_t)*len > left)
        return -1;
    if (*len == 1)
        return text[0];
    value = text[0] & (0x7f >> *len);
    for (i = 1; i < *len; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return -1;
        value = value << 6 | (text[i] & 0x3f);
    }
    if (value < least[*len] || value > 0x10ffff ||
        (value >= 0xd800 && value < 0xe000))
        return -1;
    return value;
}

static int refuse(struct err *err)
{
    return err_set(err, ERR_INVALID,
                   "a text is not valid Unicode or has a NUL inside");
}

/* Ends the text that began at `place`. */
static int end_text(struct npy_pool *pool, int64_t place, int64_t *out_place,
                    struct err *err)
{
    int rc;

    if (!pool->bytes.is_broken && pool->bytes.len == (size_t)place) {
        *out_place = NPY_POOL_EMPTY;
        return 0;
    }
    buf_add_char(&pool->bytes, '\0');
    rc = buf_check(&pool->bytes, err);
    if (rc == 0)
        *out_place = place;
    return rc;
}

int npy_pool_utf8(struct npy_pool *pool, struct bytes text, int64_t *out_place,
                  struct err *err)
{
    int64_t place = (int64_t)pool->bytes.len;
    size_t i;
    int len;

    for (i = 0; i < text.len; i += (size_t)len)
        if (npy_utf8_char(text.data + i, text.len - i, &len) <= 0)
            return refuse(err);
    buf_add(&pool->bytes, text.data, text.len);
    return end_text(pool, place, out_place, err);
}

static uint32_t ucs4(const uint8_t *bytes, bool is_big_endian)
{
    if (is_big_endian)
        return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 |
               (uint32_t)bytes[2] << 8 | bytes[3];
    return (uint32_t)bytes[3] << 24 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[1] << 8 | bytes[0];
}

static void put_char(struct buf *out, uint32_t value)
{
    char bytes[CHAR_MAX_LEN];
    int len = value < 0x80 ? 1 : value < 0x800 ? 2 : value < 0x10000 ? 3 : 4;
    int i;

    for (i = len - 1; i > 0; i--, value >>= 6)
        bytes[i] = (char)(0x80 | (value & 0x3f));
    bytes[0] = (char)(len == 1 ? value : (0xf00U >> len & 0xff) | value);
    buf_add(out, bytes, (size_t)len);
}

int npy_pool_ucs4(struct npy_pool *pool, struct bytes text, bool is_big_endian,
                  int64_t *out_place, struct err *err)
{
    int64_t place = (int64_t)pool->bytes.len;
    size_t count = text.len / 4, i;

    while (count > 0 && ucs4(text.data + 4 * (count - 1), is_big_endian) == 0)
        count--;
    for (i = 0; i < count; i++) {
        uint32_t value = ucs4(text.data + 4 * i, is_big_endian);

        if (value == 0 || value > 0x10ffff ||
            (value >= 0xd800 && value < 0xe000))
            return refuse(err);
        put_char(&pool->bytes, value);
    }
    return end_text(pool, place, out_place, err);
}

int npy_pool_add(struct npy_pool *pool, int64_t place, struct err *err)
{
    if (pool->count == pool->cap) {
        int64_t cap = pool->cap == 0 ? 256 : 2 * pool->cap;
        int64_t *places = mem_resize(pool->places, (size_t)cap, sizeof *places);

        if (places == NULL)
            return err_set(err, ERR_UNAVAILABLE, "no memory for %lld texts",
                           (long long)cap);
        pool->places = places;
        pool->cap = cap;
    }
    pool->places[pool->count++] = place;
    return 0;
}

int npy_pool_finish(struct npy_pool *pool, struct npy_texts *out,
                    struct err *err)
{
    const char **texts = mem_try((size_t)pool->count, sizeof *texts);
    int64_t i;

    if (texts == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for %lld texts",
                       (long long)pool->count);
    *out = (struct npy_texts){texts, pool->count, buf_detach(&pool->bytes)};
    for (i = 0; i < pool->count; i++)
        texts[i] = pool->places[i] == NPY_POOL_EMPTY
                       ? ""
                       : out->pool + pool->places[i];
    return 0;
}
