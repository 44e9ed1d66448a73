/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as what an S3 server answers: an error, a list, times; and as a
 * key that is signed. The first byte says where the list's prefix ends. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "blob/s3_list.h"
#include "blob/s3_reply.h"
#include "blob/sigv4.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { ERROR_MAX = 100 };

static int note(void *user, const struct blob_item *item, struct err *err)
{
    (void)err;
    assert(item->modified_ms >= 0);
    *(size_t *)user += strlen(item->key);
    return 0;
}

static void list(struct bytes xml, const char *prefix)
{
    struct err err = {0};
    struct buf token;
    size_t key_bytes = 0;
    int rc;

    buf_init(&token, S3_TOKEN_MAX);
    buf_add_text(&token, "last");
    rc = s3_list_page("bucket", prefix, xml, note, &key_bytes, &token, &err);
    assert(rc == 0 || rc == ERR_UNPROCESSABLE);
    assert(key_bytes <= xml.len);
    assert(rc != 0 || token.len == 0 || strcmp(token.data, "last") != 0);
    buf_release(&token);
}

static void read_error(struct bytes xml)
{
    char said[ERROR_MAX];
    size_t i;

    s3_error_text(xml, said, sizeof said);
    assert(strlen(said) < sizeof said);
    for (i = 0; said[i] != '\0'; i++)
        assert(said[i] >= ' ' && said[i] <= '~');
    assert(s3_time_iso(xml) >= 0 && s3_time_http(xml) >= 0);
}

/* What is encoded has none of the bytes that mean something in a request. */
static void sign(const char *key)
{
    const struct sigv4_keys keys = {"a", "b", "r"};
    const struct sigv4_pair query[] = {{"prefix", key}, {key, ""}};
    struct sigv4_request request = {
        .method = "GET",
        .host = "h",
        .path = key,
        .query = query,
        .query_count = 2,
        .payload_hash = SIGV4_UNSIGNED,
    };
    struct err err = {0};
    struct buf out;
    int rc;

    buf_init(&out, SIGV4_TEXT_MAX);
    rc = sigv4_target(&request, &out, &err);
    assert(rc == 0 || rc == ERR_TOO_LARGE);
    if (rc == 0) {
        assert(strspn(out.data, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrst"
                                "uvwxyz0123456789-._~/%?&=") == out.len);
        buf_clear(&out);
        rc = sigv4_authorize(&keys, &request, &out, &err);
        assert(rc == 0 || rc == ERR_TOO_LARGE);
    }
    buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    size_t prefix_len;
    char *text;

    if (len == 0)
        return 0;
    text = mem_try(1, len + 1);
    assert(text != NULL);
    memcpy(text, data + 1, len - 1);
    prefix_len = data[0] < len ? data[0] : 0;
    read_error((struct bytes){data + 1, len - 1});
    sign(text);
    text[prefix_len] = '\0';
    list((struct bytes){data + 1, len - 1}, text);
    mem_free(text);
    return 0;
}
