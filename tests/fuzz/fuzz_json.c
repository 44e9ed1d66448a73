/* SPDX-License-Identifier: Apache-2.0 */
/* What the parser takes must be written so that it is taken again, and be
 * written the same way then. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/json_write.h"

enum { LEN_MAX = 1 << 16, WRITTEN_LEN_MAX = 8 * LEN_MAX };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void put(struct json_writer *json, const struct json_value *value);

static int put_member(void *user, const char *key,
                      const struct json_value *value, struct err *err)
{
    (void)err;
    json_key(user, key);
    put(user, value);
    return 0;
}

static void put_number(struct json_writer *json, const struct json_value *value)
{
    int64_t whole = 0;
    double real = 0;
    bool is_number = json_number(value, &real);

    assert(is_number);
    if (json_whole(value, &whole))
        json_put_integer(json, whole);
    else
        json_put_double(json, real);
}

static void put(struct json_writer *json, const struct json_value *value)
{
    struct err err = {0};
    bool yes = false;
    size_t i;
    int rc;

    /* The parser takes deeper texts than the writer makes. */
    if (json->depth == JSON_WRITE_DEPTH_MAX) {
        json_put_null(json);
        return;
    }
    switch (json_type(value)) {
    case JSON_IS_OBJECT:
        json_object_begin(json);
        rc = json_members(value, put_member, json, &err);
        assert(rc == 0);
        json_object_end(json);
        break;
    case JSON_IS_ARRAY:
        json_array_begin(json);
        for (i = 0; i < json_count(value); i++)
            put(json, json_at(value, i));
        json_array_end(json);
        break;
    case JSON_IS_TEXT:
        json_put_text(json, json_text(value));
        break;
    case JSON_IS_NUMBER:
        put_number(json, value);
        break;
    case JSON_IS_BOOL:
        rc = json_bool(value, &yes);
        assert(rc == 1);
        json_put_bool(json, yes);
        break;
    case JSON_IS_NULL:
        json_put_null(json);
    }
}

static void write_whole(const struct json_value *document, struct buf *out)
{
    struct json_writer json;
    struct err err = {0};
    int rc;

    buf_init(out, WRITTEN_LEN_MAX);
    json_writer_init(&json, out);
    put(&json, document);
    rc = buf_check(out, &err);
    assert(rc == 0);
}

/* Any four bytes are a float; its text must read back. */
static void check_floats(const uint8_t *data, size_t len)
{
    char text[JSON_FLOAT_LEN_MAX + 1];
    float value, read;
    uint32_t bits;
    size_t i;

    for (i = 0; i + 4 <= len && i < 256; i += 4) {
        memcpy(&bits, data + i, 4);
        if ((bits >> 23 & 0xff) == 0xff)
            continue;
        memcpy(&value, &bits, 4);
        text[json_format_float(value, text)] = '\0';
        read = strtof(text, NULL);
        assert(memcmp(&read, &value, 4) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct json_value *document = NULL, *again = NULL;
    struct buf first, second;
    struct err err = {0};
    int rc;

    if (len > LEN_MAX)
        return 0;
    check_floats(data, len);
    if (json_parse((struct bytes){data, len}, &document, &err) != 0) {
        assert(err.code == ERR_INVALID && err.text[0] != '\0');
        return 0;
    }
    write_whole(document, &first);
    rc = json_parse(buf_bytes(&first), &again, &err);
    assert(rc == 0);
    write_whole(again, &second);
    assert(first.len == second.len);
    assert(memcmp(first.data, second.data, first.len) == 0);
    buf_release(&first);
    buf_release(&second);
    json_free(document);
    json_free(again);
    return 0;
}
