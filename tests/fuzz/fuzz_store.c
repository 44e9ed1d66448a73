/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever a database's URL is, it is refused or says the same when it is put
 * together again; whatever a text or a time is, it fits its column. The first
 * byte says which of them the rest is. */
#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "base/base64.h"
#include "store/store_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { LEN_MAX = 1 << 14, CHARS = 10, CHARACTER_LEN_MAX = 4 };

static void check_url(const char *text)
{
    struct store_place place, again;
    char url[STORE_URL_MAX];
    struct err err = {0};
    int rc;

    if (store_place_of_server(text, &place, &err) != 0) {
        assert(err.text[0] != '\0');
        store_place_release(&place);
        return;
    }
    const struct store_settings settings = {
        .url = "",
        .host = place.host,
        .database = place.database,
        .user = place.user,
        .password = place.user[0] != '\0' ? place.password : "",
        .port = place.port != 0 ? place.port : 5432,
        .home = "",
    };
    rc = store_url_of(&settings, url, sizeof url, &err);
    if (rc == 0) {
        rc = store_place_of_server(strstr(url, "://") + 3, &again, &err);
        assert(rc == 0);
        assert(strcmp(again.host, place.host) == 0);
        assert(strcmp(again.user, place.user) == 0);
        assert(strcmp(again.password, settings.password) == 0);
        assert(strcmp(again.database, place.database) == 0);
        assert(again.port == settings.port);
        store_place_release(&again);
    }
    store_place_release(&place);
}

static void check_file(const char *text)
{
    struct store_place place;
    struct err err = {0};

    if (store_place_of_file(text, true, &place, &err) == 0)
        assert(place.path[0] != '\0');
    store_place_release(&place);
}

/* What was made to fit fits, and is left as it is the second time. */
static void check_text(const char *text, size_t len)
{
    const struct store_field field = {text, len};
    struct arena *arena = arena_new(1 << 20);
    struct store_value value, again;
    struct err err = {0};
    char *copy, cut[CHARS];
    int rc = store_text_value(text, CHARS, arena, &value, &err);

    assert(rc == 0 && value.len <= CHARS * CHARACTER_LEN_MAX);
    copy = arena_text(arena, value.data, value.len);
    rc = store_text_value(copy, CHARS, arena, &again, &err);
    assert(rc == 0 && again.data == copy && again.len == value.len);
    store_field_text(&field, cut, sizeof cut);
    assert(strlen(cut) < sizeof cut);
    (void)store_field_time(&field);
    (void)store_field_number(&field, 0);
    arena_free(arena);
}

static void check_base64(char *text, size_t len)
{
    struct err err = {0};
    struct buf encoded;
    size_t out_len;
    int rc;

    buf_init(&encoded, 2 * LEN_MAX);
    base64_encode((struct bytes){(const uint8_t *)text, len}, &encoded);
    if (len > 0) {
        rc = base64_decode(encoded.data, encoded.len, &out_len, &err);
        assert(rc == 0 && out_len == len);
        assert(memcmp(encoded.data, text, len) == 0);
    }
    if (base64_decode(text, len, &out_len, &err) == 0)
        assert(out_len <= len / 4 * 3);
    buf_release(&encoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char *text;

    if (len < 1 || len > LEN_MAX)
        return 0;
    text = mem_new(len);
    memcpy(text, data + 1, len - 1);
    switch (data[0] % 4) {
    case 0:
        check_url(text);
        break;
    case 1:
        check_file(text);
        break;
    case 2:
        check_text(text, strlen(text));
        break;
    default:
        check_base64(text, len - 1);
    }
    mem_free(text);
    return 0;
}
