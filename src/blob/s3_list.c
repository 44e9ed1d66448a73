/* SPDX-License-Identifier: Apache-2.0 */
#include "blob/s3_list.h"

#include <stdlib.h>
#include <string.h>

#include "base/url.h"
#include "blob/s3_reply.h"

struct page {
    const char *bucket, *prefix;
    bool is_encoded; /* keys are percent-encoded */
    blob_list_fn *fn;
    void *user;
};

/* One <Contents>; its key is given without the prefix. */
static int list_object(const struct page *page, struct bytes object,
                       struct err *err)
{
    struct blob_item item = {0};
    struct bytes raw;
    struct buf key;
    size_t prefix_len = strlen(page->prefix);
    char digits[32];
    int rc = 0;

    if (!s3_xml_find(object, "Key", &raw))
        return 0;
    buf_init(&key, 3 * BLOB_KEY_MAX);
    s3_xml_text(raw, &key);
    if (key.is_full || key.len == 0)
        goto out;
    rc = buf_check(&key, err);
    if (rc)
        goto out;
    if (page->is_encoded)
        key.len = url_decode(key.data, key.len, true);
    /* No key has a NUL, and none is outside of what was asked for. */
    if (strlen(key.data) != key.len ||
        strncmp(key.data, page->prefix, prefix_len) != 0)
        goto out;
    item.key = key.data + prefix_len;
    if (s3_xml_find(object, "Size", &raw)) {
        if (raw.len >= sizeof digits)
            raw.len = sizeof digits - 1;
        memcpy(digits, raw.data, raw.len);
        digits[raw.len] = '\0';
        item.len = strtoull(digits, NULL, 10);
    }
    if (s3_xml_find(object, "LastModified", &raw))
        item.modified_ms = s3_time_iso(raw);
    rc = page->fn(page->user, &item, err);
out:
    buf_release(&key);
    return rc;
}

/* One that does not go on would list without end. */
static int next_token(const struct page *page, struct bytes xml,
                      struct buf *token, struct err *err)
{
    struct bytes raw;
    struct buf next;
    int rc;

    buf_init(&next, S3_TOKEN_MAX);
    if (s3_xml_find(xml, "NextContinuationToken", &raw))
        s3_xml_text(raw, &next);
    if (next.len == 0 || next.is_full || strlen(next.data) != next.len ||
        (token->len == next.len &&
         memcmp(token->data, next.data, next.len) == 0))
        rc = err_set(err, ERR_UNPROCESSABLE,
                     "bucket '%s': the object store's list goes on without a "
                     "new token of 1..%d bytes",
                     page->bucket, S3_TOKEN_MAX);
    else
        rc = buf_check(&next, err);
    buf_release(token);
    *token = next;
    return rc;
}

int s3_list_page(const char *bucket, const char *prefix, struct bytes xml,
                 blob_list_fn *fn, void *user, struct buf *token,
                 struct err *err)
{
    struct page page = {bucket, prefix, s3_xml_is(xml, "EncodingType", "url"),
                        fn, user};
    struct bytes rest = xml, object, raw;
    int rc;

    if (!s3_xml_find(xml, "IsTruncated", &raw))
        return err_set(err, ERR_UNPROCESSABLE,
                       "bucket '%s': the object store's list is not one",
                       bucket);
    while (s3_xml_next(&rest, "Contents", &object)) {
        rc = list_object(&page, object, err);
        if (rc)
            return rc;
    }
    if (!s3_xml_is(xml, "IsTruncated", "true")) {
        buf_clear(token);
        return 0;
    }
    return next_token(&page, xml, token, err);
}
