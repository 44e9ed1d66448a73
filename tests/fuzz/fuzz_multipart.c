/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a form: one byte that says how the body is cut, a line that is
 * the Content-Type, the body. Cut or whole, the parts must be the same. */
#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "http/multipart.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { FILE_LEN_MAX = 64, TYPE_LEN_MAX = 256, ARENA_LEN_MAX = 4 << 20 };

struct form {
    struct arena *arena;
    uint8_t *body; /* in memory of exactly its length */
    const struct http_part *parts;
    int count, rc;
};

/* Scans body in pieces of step bytes, each time in fresh memory. */
static struct form scan(const char *type, struct bytes body, size_t step)
{
    struct form form = {.arena = arena_new(ARENA_LEN_MAX)};
    struct multipart multipart;
    struct err err = {0};
    size_t len = 0;

    form.rc = multipart_init(&multipart, type, FILE_LEN_MAX, form.arena, &err);
    while (form.rc == 0 && len < body.len) {
        len = body.len - len > step ? len + step : body.len;
        mem_free(form.body);
        form.body = mem_try(len, 1);
        assert(form.body != NULL);
        memcpy(form.body, body.data, len);
        form.rc =
            multipart_scan(&multipart, (struct bytes){form.body, len}, &err);
    }
    if (form.rc == 0)
        form.rc = multipart_finish(&multipart, (struct bytes){form.body, len},
                                   &form.parts, &form.count, &err);
    assert((form.rc == 0) == (err.text[0] == '\0'));
    return form;
}

static bool is_same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static void compare(const struct form *a, const struct form *b)
{
    int i;

    assert(a->rc == b->rc);
    assert(a->count == b->count);
    for (i = 0; i < a->count; i++) {
        const struct http_part *x = &a->parts[i], *y = &b->parts[i];

        assert(x->name != NULL && is_same_text(x->name, y->name));
        assert(is_same_text(x->filename, y->filename));
        assert(is_same_text(x->content_type, y->content_type));
        assert(x->data.len == y->data.len);
        assert(x->data.len == 0 ||
               memcmp(x->data.data, y->data.data, x->data.len) == 0);
        assert(x->filename == NULL || x->data.len <= FILE_LEN_MAX);
    }
}

static void form_free(struct form *form)
{
    arena_free(form->arena);
    mem_free(form->body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char type[TYPE_LEN_MAX + 1] = "";
    const uint8_t *line;
    struct form whole, cut;
    struct bytes body;

    if (len < 2)
        return 0;
    line = memchr(data + 1, '\n', len - 1);
    if (line == NULL || line - (data + 1) > TYPE_LEN_MAX)
        return 0;
    memcpy(type, data + 1, (size_t)(line - (data + 1)));
    body = (struct bytes){line + 1, len - (size_t)(line + 1 - data)};
    whole = scan(type, body, SIZE_MAX);
    cut = scan(type, body, (size_t)data[0] % 32 + 1);
    compare(&whole, &cut);
    form_free(&whole);
    form_free(&cut);
    return 0;
}
