/* SPDX-License-Identifier: Apache-2.0 */
#include "http/body.h"

#include <assert.h>
#include <string.h>

#include "base/url.h"
#include "obs/metrics.h"

enum { FIRST_LEN = 16 << 10 };

static bool budget_take(struct budget *budget, size_t len)
{
    size_t used = atomic_load_explicit(&budget->used, memory_order_relaxed);

    do {
        if (len > budget->max || used > budget->max - len)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(
        &budget->used, &used, used + len, memory_order_relaxed,
        memory_order_relaxed));
    metrics_add(METRIC_UPLOAD_BYTES, NULL, NULL, (int64_t)len);
    return true;
}

static void budget_give(struct budget *budget, size_t len)
{
    atomic_fetch_sub_explicit(&budget->used, len, memory_order_relaxed);
    metrics_add(METRIC_UPLOAD_BYTES, NULL, NULL, -(int64_t)len);
}

static int too_large(const struct body *body, size_t len, struct err *err)
{
    const char *or_more = body->len_announced == len ? "" : " or more";

    if (body->len_max == 0)
        return err_set(err, ERR_TOO_LARGE,
                       "the body has %zu bytes; none is read here", len);
    return err_set(err, ERR_TOO_LARGE,
                   "the body has %zu bytes%s; the limit is %zu", len, or_more,
                   body->len_max);
}

static enum body_form form_of(const char *type)
{
    if (strcmp(type, "multipart/form-data") == 0)
        return BODY_FORM_MULTIPART;
    if (strcmp(type, "application/x-www-form-urlencoded") == 0)
        return BODY_FORM_URLENCODED;
    return BODY_FORM_RAW;
}

int body_init(struct body *body, struct budget *budget,
              const struct body_limits *limits, size_t len_announced,
              const char *type, const char *content_type, struct arena *arena,
              struct err *err)
{
    struct body fresh = {
        .budget = budget,
        .arena = arena,
        .type = type,
        .len_max = limits->len_max,
        .len_announced = len_announced,
        .form = form_of(type),
    };
    int rc;

    if (len_announced != BODY_LEN_UNKNOWN && len_announced > limits->len_max)
        return too_large(&fresh, len_announced, err);
    if (fresh.form == BODY_FORM_MULTIPART && len_announced > 0) {
        rc = multipart_init(&fresh.multipart, content_type,
                            limits->file_len_max, arena, err);
        if (rc)
            return rc;
    }
    /* An announced length bounds the buffer, but takes no memory by itself. */
    buf_init(&fresh.data,
             len_announced < limits->len_max ? len_announced : limits->len_max);
    *body = fresh;
    return 0;
}

/* Makes room for len more bytes: twice as much as before, never over the
 * limit, and paid for out of the budget first. */
static int grow(struct body *body, size_t len, struct err *err)
{
    struct buf *data = &body->data;
    size_t want = data->len + len + 1, cap = data->len_cap * 2;

    if (want <= data->len_cap)
        return 0;
    if (cap < FIRST_LEN)
        cap = FIRST_LEN;
    if (cap < want)
        cap = want;
    if (cap > data->len_max + 1)
        cap = data->len_max + 1;
    if (!budget_take(body->budget, cap - data->len_cap))
        return err_set(
            err, ERR_UNAVAILABLE,
            "the bodies of all requests hold %zu bytes, and the "
            "limit is %zu; try again",
            atomic_load_explicit(&body->budget->used, memory_order_relaxed),
            body->budget->max);
    body->taken += cap - data->len_cap;
    if (buf_reserve(data, cap - 1 - data->len) == NULL)
        return err_set(err, ERR_UNAVAILABLE,
                       "no memory for a body of %zu bytes", cap);
    assert(data->len_cap <= body->taken);
    return 0;
}

int body_add(struct body *body, struct bytes bytes, struct err *err)
{
    int rc;

    if (bytes.len > body->data.len_max - body->data.len)
        return too_large(body, body->data.len + bytes.len, err);
    rc = grow(body, bytes.len, err);
    if (rc)
        return rc;
    buf_add(&body->data, bytes.data, bytes.len);
    if (body->form != BODY_FORM_MULTIPART)
        return 0;
    return multipart_scan(&body->multipart, buf_bytes(&body->data), err);
}

/* Decodes "name=value" of len bytes, whose end may be overwritten. */
static int read_field(struct body *body, char *text, size_t len,
                      struct http_part *out, struct err *err)
{
    char *equals = memchr(text, '=', len), *name;
    size_t name_len = equals != NULL ? (size_t)(equals - text) : len;
    size_t value_len = 0;

    if (equals != NULL)
        value_len =
            url_decode(equals + 1, (size_t)(text + len - (equals + 1)), true);
    name_len = url_decode(text, name_len, true);
    if (!url_is_clean_text(text, name_len))
        return err_set(err, ERR_INVALID,
                       "the name of a form field is not clean UTF-8");
    name = arena_text(body->arena, text, name_len);
    if (name == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for a form field");
    *out = (struct http_part){
        .name = name,
        .content_type = "",
        .data = {(const uint8_t *)(equals != NULL ? equals + 1 : text),
                 value_len}};
    return 0;
}

static int split_fields(struct body *body, const struct http_part **out,
                        int *out_count, struct err *err)
{
    struct http_part *parts;
    char *at = body->data.data, *end = at + body->data.len;
    int count = 0, rc;

    parts = arena_try(body->arena, BODY_FIELDS_MAX, sizeof *parts);
    if (parts == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for a form");
    while (at < end) {
        char *stop = memchr(at, '&', (size_t)(end - at));
        size_t len = (size_t)((stop != NULL ? stop : end) - at);

        if (len > 0 && count == BODY_FIELDS_MAX)
            return err_set(err, ERR_TOO_LARGE,
                           "the form has more than %d fields", BODY_FIELDS_MAX);
        if (len > 0) {
            rc = read_field(body, at, len, &parts[count], err);
            if (rc)
                return rc;
            count++;
        }
        at += len + 1;
    }
    *out = parts;
    *out_count = count;
    return 0;
}

static int take_whole(struct body *body, const struct http_part **out,
                      int *out_count, struct err *err)
{
    struct http_part *part = arena_try(body->arena, 1, sizeof *part);

    if (part == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for the body");
    *part = (struct http_part){
        .name = "", .content_type = body->type, .data = buf_bytes(&body->data)};
    *out = part;
    *out_count = 1;
    return 0;
}

int body_finish(struct body *body, const struct http_part **out, int *out_count,
                struct err *err)
{
    if (body->data.len == 0 && body->form != BODY_FORM_MULTIPART)
        return 0;
    if (body->data.len == 0 && body->len_announced == 0)
        return 0;
    switch (body->form) {
    case BODY_FORM_MULTIPART:
        return multipart_finish(&body->multipart, buf_bytes(&body->data), out,
                                out_count, err);
    case BODY_FORM_URLENCODED:
        return split_fields(body, out, out_count, err);
    case BODY_FORM_RAW:
        break;
    }
    return take_whole(body, out, out_count, err);
}

void body_release(struct body *body)
{
    buf_release(&body->data);
    if (body->taken > 0)
        budget_give(body->budget, body->taken);
    body->taken = 0;
}
