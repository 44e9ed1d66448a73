/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <string.h>

#include "http/router.h"

static int answer(struct app *app, struct http_request *request,
                  struct http_reply *reply, struct err *err)
{
    (void)app;
    (void)request;
    (void)reply;
    (void)err;
    return 0;
}

static void other_form(const struct http_request *request,
                       const struct err *err, struct http_reply *reply)
{
    (void)request;
    (void)err;
    (void)reply;
}

static const struct http_route first_routes[] = {
    {"GET", "/", SCOPE_OPEN, BODY_NONE, answer, "root", false},
    {"GET", "/health", SCOPE_OPEN, BODY_NONE, answer, "health", true},
    {"POST", "/api/classify", SCOPE_READ, BODY_IMAGE, answer, "one", false},
    {"POST", "/api/classify/batch", SCOPE_READ, BODY_BATCH, answer, "many",
     false},
};
static const struct http_route second_routes[] = {
    {"GET", "/v1/faces/:collection", SCOPE_READ, BODY_NONE, answer, "list",
     false},
    {"DELETE", "/v1/faces/:collection", SCOPE_WRITE, BODY_NONE, answer, "drop",
     false},
    {"GET", "/v1/faces/all", SCOPE_READ, BODY_NONE, answer, "all", false},
    {"POST", "/v1/faces/:collection/:id/search", SCOPE_READ, BODY_IMAGE, answer,
     "search", false},
    {"POST", "/v1/:kind/all/:id/search", SCOPE_READ, BODY_IMAGE, answer,
     "kinds", false},
};
static const struct http_api first = {"first", first_routes, 4, NULL};
static const struct http_api second = {"second", second_routes, 5, other_form};
static const struct http_api *const apis[] = {&first, &second};
static const struct router router = {apis, 2};

static struct arena *arena;
static struct router_match match;
static struct err err;

static int find(const char *method, const char *path)
{
    arena_free(arena);
    arena = arena_new(1 << 16);
    err = (struct err){0};
    return router_find(&router, method, path, arena, &match, &err);
}

static void end(void)
{
    arena_free(arena);
    arena = NULL;
}

TEST(router_finds_the_row_of_method_and_path)
{
    CHECK_OK(find("GET", "/health"), err);
    CHECK_TEXT(match.route->help, "health");
    CHECK_TEXT(match.path, "/health");
    CHECK_OK(find("POST", "/api/classify/batch"), err);
    CHECK_TEXT(match.route->help, "many");
    CHECK_OK(find("GET", "/"), err);
    CHECK_TEXT(match.route->help, "root");
    CHECK_OK(find("HEAD", "/health"), err);
    CHECK_TEXT(match.route->help, "health");
    end();
}

TEST(router_lends_out_the_parameters_decoded)
{
    CHECK_OK(find("POST", "/v1/faces/m%C3%A3e/a%2Fb%20c/search"), err);
    CHECK_INT(match.param_count, 2);
    CHECK_INT(match.params[0].name_len, strlen("collection"));
    CHECK(memcmp(match.params[0].name, "collection", 10) == 0);
    CHECK_TEXT(match.params[0].value, "m\xc3\xa3"
                                      "e");
    CHECK_TEXT(match.params[1].value, "a/b c");
    CHECK_TEXT(match.path, "/v1/faces/m\xc3\xa3"
                           "e/a/b c/search");
    end();
}

TEST(router_prefers_text_to_a_parameter_at_the_first_difference)
{
    CHECK_OK(find("GET", "/v1/faces/all"), err);
    CHECK_TEXT(match.route->help, "all");
    CHECK_OK(find("GET", "/v1/faces/al"), err);
    CHECK_TEXT(match.route->help, "list");
    CHECK_OK(find("POST", "/v1/faces/all/7/search"), err);
    CHECK_TEXT(match.route->help, "search");
    CHECK_OK(find("POST", "/v1/birds/all/7/search"), err);
    CHECK_TEXT(match.route->help, "kinds");
    end();
}

TEST(router_names_the_methods_a_path_takes)
{
    CHECK_ERR(find("PUT", "/v1/faces/some"), ERR_METHOD);
    CHECK_TEXT(match.allow, "GET, DELETE, HEAD, OPTIONS");
    CHECK(match.route == NULL);
    CHECK_ERR(find("GET", "/api/classify"), ERR_METHOD);
    CHECK_TEXT(match.allow, "POST, OPTIONS");
    CHECK_ERR(find("HEAD", "/api/classify"), ERR_METHOD);
    CHECK_ERR(find("get", "/health"), ERR_METHOD);
    CHECK_HAS(err.text, "get is not for /health; it takes GET, HEAD, OPTIONS");
    end();
}

TEST(router_gives_unknown_paths_to_the_nearest_api)
{
    CHECK_ERR(find("GET", "/v1/faces"), ERR_NOT_FOUND);
    CHECK_TEXT(match.api->name, "second");
    CHECK_ERR(find("GET", "/v1/faces/a/b/c/d"), ERR_NOT_FOUND);
    CHECK_TEXT(match.api->name, "second");
    CHECK_ERR(find("PUT", "/v1/faces/a"), ERR_METHOD);
    CHECK_TEXT(match.api->name, "second");
    CHECK_ERR(find("GET", "/api/nothing"), ERR_NOT_FOUND);
    CHECK_TEXT(match.api->name, "first");
    CHECK_ERR(find("GET", "/nothing"), ERR_NOT_FOUND);
    CHECK_TEXT(match.api->name, "first");
    end();
}

TEST(router_knows_no_path_that_only_looks_like_one)
{
    static const char *const paths[] = {
        "",
        "*",
        "health",
        "//health",
        "/health/",
        "/Health",
        "/health%00",
        "/health%2F",
        "/v1/faces/",
        "/v1/faces//1/search",
        "/%68ealth/x",
        "/../health",
        "/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a",
    };
    size_t i;

    for (i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        CHECK(find("GET", paths[i]) != 0);
        CHECK(match.route == NULL);
        CHECK(match.api != NULL);
    }
    CHECK_OK(find("GET", "/%68ealth"), err);
    end();
}

TEST(router_refuses_paths_that_are_not_text)
{
    CHECK_ERR(find("GET", "/v1/faces/%FF"), ERR_INVALID);
    CHECK_ERR(find("GET", "/v1/faces/a%00b"), ERR_INVALID);
    CHECK_ERR(find("GET", "/v1/faces/a%0Ab"), ERR_INVALID);
    CHECK_OK(find("GET", "/v1/faces/100%"), err);
    CHECK_TEXT(match.params[0].value, "100%");
    end();
}

static int check_row(struct http_route route)
{
    const struct http_api api = {"bad", &route, 1, NULL};
    const struct http_api *const bad_apis[] = {&api};
    const struct router bad = {bad_apis, 1};

    err = (struct err){0};
    return router_check(&bad, &err);
}

TEST(router_refuses_rows_that_cannot_be_served)
{
    struct http_route good = first_routes[1], bad;

    CHECK_OK(check_row(good), err);
    bad = good;
    bad.path = "health";
    CHECK_ERR(check_row(bad), ERR_INVALID);
    bad.path = "/a/:";
    CHECK_ERR(check_row(bad), ERR_INVALID);
    bad.path = "/:a/:b/:c/:d/:e/:f/:g/:h/:i";
    CHECK_ERR(check_row(bad), ERR_INVALID);
    CHECK_TEXT(err.text, "row 0 of API 'bad' has too many parameters");
    bad = good;
    bad.handler = NULL;
    CHECK_ERR(check_row(bad), ERR_INVALID);
    bad = good;
    bad.body = BODY_COUNT;
    CHECK_ERR(check_row(bad), ERR_INVALID);
    CHECK_OK(router_check(&router, &err), err);
}

TEST(router_survives_an_arena_that_is_full)
{
    struct arena *small = arena_new(8);

    err = (struct err){0};
    CHECK_ERR(
        router_find(&router, "GET", "/health/a/long/path", small, &match, &err),
        ERR_UNAVAILABLE);
    CHECK_TEXT(match.api->name, "first");
    CHECK_TEXT(match.path, "");
    arena_free(small);
}
