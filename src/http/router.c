/* SPDX-License-Identifier: Apache-2.0 */
#include "http/router.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/url.h"

static_assert(ROUTER_SEGMENTS_MAX <= 32, "one bit of rank for each segment");

struct segments {
    int count;
    char *text[ROUTER_SEGMENTS_MAX]; /* decoded, each with its NUL */
};

/* The segment that *row stands before ("/name/..."), which *row then is
 * behind; false at the end. */
static bool next_segment(const char **row, const char **name, size_t *len)
{
    if (**row != '/')
        return false;
    *name = *row + 1;
    *len = strcspn(*name, "/");
    *row = *name + *len;
    return true;
}

/* How many segments of path agree with row from the start on. *rank has one
 * bit for each that is written out, the first one highest; *row_count is the
 * number of the row's own. */
static int agreement(const char *row, const struct segments *path,
                     uint32_t *rank, int *row_count)
{
    const char *name;
    size_t len;
    int agreed = 0;

    *rank = 0;
    *row_count = 0;
    while (next_segment(&row, &name, &len)) {
        const char *text;

        if (agreed == *row_count && agreed < path->count) {
            text = path->text[agreed];
            if (name[0] == ':'
                    ? text[0] != '\0'
                    : strlen(text) == len && memcmp(text, name, len) == 0) {
                if (name[0] != ':')
                    *rank |= UINT32_C(1) << (31 - agreed);
                agreed++;
            }
        }
        (*row_count)++;
    }
    return agreed;
}

static bool is_method(const struct http_route *route, const char *method)
{
    return strcmp(route->method, method) == 0 ||
           (strcmp(method, "HEAD") == 0 && strcmp(route->method, "GET") == 0);
}

/* Methods are whole words of the list: "PUT" is not in "INPUT". */
static bool allow_has(const char *allow, const char *method)
{
    size_t len = strlen(method);
    const char *at = allow;

    while ((at = strstr(at, method)) != NULL) {
        if ((at == allow || at[-1] == ' ') &&
            (at[len] == '\0' || at[len] == ','))
            return true;
        at += len;
    }
    return false;
}

static void allow_add(char *allow, const char *method)
{
    size_t used = strlen(allow), len = strlen(method);

    if (allow_has(allow, method) || used + len + 3 > ROUTER_ALLOW_LEN)
        return;
    if (used > 0) {
        memcpy(allow + used, ", ", 2);
        used += 2;
    }
    memcpy(allow + used, method, len + 1);
}

static void take_params(struct router_match *out, const struct segments *path)
{
    const char *row = out->route->path, *name;
    size_t len;
    int i;

    for (i = 0; next_segment(&row, &name, &len); i++) {
        if (name[0] != ':')
            continue;
        assert(out->param_count < HTTP_PARAMS_MAX);
        out->params[out->param_count++] =
            (struct router_param){name + 1, len - 1, path->text[i]};
    }
}

/* Copies the path and cuts it at its slashes, each piece decoded. */
static int split(const char *path, struct arena *arena, struct segments *out,
                 struct err *err)
{
    char *copy, *piece;
    size_t len, decoded_len;

    if (path[0] != '/')
        return err_set(err, ERR_NOT_FOUND, "no such path");
    copy = arena_text(arena, path, strlen(path));
    if (copy == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for the path");
    for (piece = copy + 1;; piece += len + 1) {
        bool is_last;

        len = strcspn(piece, "/");
        is_last = piece[len] == '\0';
        if (out->count == ROUTER_SEGMENTS_MAX)
            return err_set(err, ERR_NOT_FOUND,
                           "no such path: it has more than %d segments",
                           ROUTER_SEGMENTS_MAX);
        decoded_len = url_decode(piece, len, false);
        if (!url_is_clean_text(piece, decoded_len))
            return err_set(err, ERR_INVALID, "the path is not clean UTF-8");
        out->text[out->count++] = piece;
        if (is_last)
            break;
    }
    return 0;
}

static const char *join(const struct segments *path, struct arena *arena)
{
    size_t len = 0;
    char *text, *at;
    int i;

    for (i = 0; i < path->count; i++)
        len += 1 + strlen(path->text[i]);
    text = arena_try(arena, len + 1, 1);
    if (text == NULL)
        return NULL;
    at = text;
    for (i = 0; i < path->count; i++) {
        size_t piece_len = strlen(path->text[i]);

        *at++ = '/';
        memcpy(at, path->text[i], piece_len);
        at += piece_len;
    }
    return text;
}

/* Looks at every row: the best one for the method goes to out->route, the
 * methods of the path to out->allow, the nearest API to out->api. */
static void search(const struct router *router, const char *method,
                   const struct segments *path, struct router_match *out)
{
    uint32_t best_rank = 0, rank;
    int nearest = 0, row_count, agreed, i, k;

    for (i = 0; i < router->api_count; i++) {
        const struct http_api *api = router->apis[i];

        for (k = 0; k < api->route_count; k++) {
            const struct http_route *route = &api->routes[k];

            agreed = agreement(route->path, path, &rank, &row_count);
            if (agreed > nearest && out->route == NULL) {
                nearest = agreed;
                out->api = api;
            }
            if (agreed != row_count || agreed != path->count)
                continue;
            allow_add(out->allow, route->method);
            if (is_method(route, method) &&
                (out->route == NULL || rank > best_rank)) {
                out->route = route;
                out->api = api;
                best_rank = rank;
            }
        }
    }
}

int router_find(const struct router *router, const char *method,
                const char *path, struct arena *arena, struct router_match *out,
                struct err *err)
{
    struct segments segments = {.count = 0};
    int rc;

    assert(router->api_count > 0);
    *out = (struct router_match){.api = router->apis[0], .path = ""};
    rc = split(path, arena, &segments, err);
    if (rc)
        return rc;
    out->path = join(&segments, arena);
    if (out->path == NULL) {
        out->path = "";
        return err_set(err, ERR_UNAVAILABLE, "no memory for the path");
    }
    search(router, method, &segments, out);
    if (out->allow[0] == '\0')
        return err_set(err, ERR_NOT_FOUND, "no such path: %.200s", out->path);
    if (allow_has(out->allow, "GET"))
        allow_add(out->allow, "HEAD");
    allow_add(out->allow, "OPTIONS");
    if (out->route == NULL)
        return err_set(err, ERR_METHOD, "%.32s is not for %.200s; it takes %s",
                       method, out->path, out->allow);
    take_params(out, &segments);
    return 0;
}

static const char *route_fault(const struct http_route *route)
{
    const char *row = route->path, *name;
    size_t len;
    int params = 0, count = 0;

    if (route->method == NULL || route->handler == NULL || row == NULL)
        return "has no method, path or handler";
    if (row[0] != '/')
        return "does not begin with a slash";
    while (next_segment(&row, &name, &len)) {
        count++;
        params += name[0] == ':';
        if (name[0] == ':' && len == 1)
            return "has a parameter without a name";
    }
    if (count > ROUTER_SEGMENTS_MAX)
        return "has too many segments";
    if (params > HTTP_PARAMS_MAX)
        return "has too many parameters";
    if ((int)route->body < 0 || route->body >= BODY_COUNT)
        return "has an unknown body limit";
    return NULL;
}

int router_check(const struct router *router, struct err *err)
{
    int i, k;

    if (router->api_count < 1)
        return err_set(err, ERR_INVALID, "there is no API to serve");
    for (i = 0; i < router->api_count; i++) {
        const struct http_api *api = router->apis[i];

        for (k = 0; k < api->route_count; k++) {
            const char *fault = route_fault(&api->routes[k]);

            if (fault != NULL)
                return err_set(err, ERR_INVALID, "row %d of API '%s' %s", k,
                               api->name, fault);
        }
    }
    return 0;
}
