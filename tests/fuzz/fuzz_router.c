/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a method and a path, and as the values that headers have: a
 * line each, method first. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/url.h"
#include "http/auth.h"
#include "http/header.h"
#include "http/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { LINE_COUNT = 3, ARENA_LEN_MAX = 1 << 20 };

static int answer(struct app *app, struct http_request *request,
                  struct http_reply *reply, struct err *err)
{
    (void)app;
    (void)request;
    (void)reply;
    (void)err;
    return 0;
}

#define ROW(method, path)                                            \
    {                                                                \
        method, path, SCOPE_OPEN, BODY_NONE, answer, "a row.", false \
    }

static const struct http_route routes[] = {
    ROW("GET", "/"),
    ROW("GET", "/health"),
    ROW("POST", "/v1/faces/:collection"),
    ROW("GET", "/v1/faces/all"),
    ROW("DELETE", "/v1/faces/:collection/:id"),
    ROW("POST", "/v1/:kind/all/:id/search"),
};
static const struct http_api api = {"fuzz", routes,
                                    sizeof routes / sizeof routes[0], NULL};
static const struct http_api *const apis[] = {&api};
static const struct router router = {apis, 1};

static void find(const char *method, const char *path, struct arena *arena)
{
    struct router_match match;
    struct err err = {0};
    int rc = router_find(&router, method, path, arena, &match, &err), i;

    assert((rc == 0) == (match.route != NULL));
    assert(match.api == &api && match.path != NULL);
    assert(rc != ERR_METHOD || match.allow[0] != '\0');
    assert(url_is_clean_text(match.path, strlen(match.path)));
    for (i = 0; i < match.param_count; i++)
        assert(match.params[i].value[0] != '\0');
}

static void read_values(const char *text, struct arena *arena)
{
    struct request_fields fields = {.header_count = 0};
    struct err err = {0};
    const char *id = request_id(text, arena);
    char *value;

    assert(strlen(id) >= 1 && strlen(id) <= HTTP_ID_MAX);
    if (header_param(text, "name", arena, &value, &err) == 0 && value != NULL)
        assert(strlen(value) <= strlen(text));
    assert(header_main(text, arena) != NULL);
    header_accepts_gzip(text);
    header_has_word(text, "close");
    if (request_add_query(&fields, arena, bytes_of_text(text),
                          bytes_of_text(text), &err) == 0)
        assert(url_is_clean_text(fields.query[0].value,
                                 strlen(fields.query[0].value)));
}

static void read_keys(const char *keys, const char *sent)
{
    struct auth *auth = NULL;
    struct err err = {0};

    if (auth_new(keys, &auth, &err) == 0 &&
        auth_check(auth, SCOPE_ADMIN, sent, NULL, &err) != 0)
        assert(err.code == ERR_UNAUTHORIZED || err.code == ERR_FORBIDDEN);
    auth_free(auth);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct arena *arena = arena_new(ARENA_LEN_MAX);
    char *lines[LINE_COUNT], *at = arena_text(arena, (const char *)data, len);
    int i;

    assert(at != NULL || len >= ARENA_LEN_MAX / 2);
    for (i = 0; at != NULL && i < LINE_COUNT; i++) {
        lines[i] = at;
        at += strcspn(at, "\n");
        if (*at == '\n')
            *at++ = '\0';
    }
    if (at != NULL) {
        find(lines[0], lines[1], arena);
        read_values(lines[2], arena);
        read_keys(lines[1], lines[2]);
    }
    arena_free(arena);
    return 0;
}
