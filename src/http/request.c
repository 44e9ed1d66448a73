/* SPDX-License-Identifier: Apache-2.0 */
#include "http/request.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/random.h"
#include "base/url.h"

static int no_memory(struct err *err)
{
    return err_set(err, ERR_UNAVAILABLE, "no memory for the request's header");
}

/* A token (RFC 9110, 5.6.2). A name that is none, such as "Content-Length ",
 * might be read otherwise by a proxy before us. */
static bool is_token(struct bytes text)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    size_t i;

    for (i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
            !(c >= '0' && c <= '9') && (c == '\0' || strchr(others, c) == NULL))
            return false;
    }
    return text.len > 0;
}

int request_add_header(struct request_fields *fields, struct arena *arena,
                       struct bytes name, struct bytes value, struct err *err)
{
    struct request_field field;

    if (fields->header_count == REQUEST_HEADERS_MAX)
        return err_set(err, ERR_HEADERS, "the request has more than %d headers",
                       REQUEST_HEADERS_MAX);
    if (!is_token(name))
        return err_set(err, ERR_INVALID, "the name of a header is no token");
    field.name = arena_text(arena, (const char *)name.data, name.len);
    field.value = arena_text(arena, (const char *)value.data, value.len);
    if (field.name == NULL || field.value == NULL)
        return no_memory(err);
    fields->headers[fields->header_count++] = field;
    return 0;
}

static int decode(struct arena *arena, struct bytes text, const char **out,
                  struct err *err)
{
    char *copy = arena_text(arena, (const char *)text.data, text.len);

    if (copy == NULL)
        return no_memory(err);
    if (!url_is_clean_text(copy, url_decode(copy, text.len, true)))
        return err_set(err, ERR_INVALID, "a query argument is not clean UTF-8");
    *out = copy;
    return 0;
}

int request_add_query(struct request_fields *fields, struct arena *arena,
                      struct bytes name, struct bytes value, struct err *err)
{
    struct request_field field;
    int rc;

    if (fields->query_count == REQUEST_QUERY_MAX)
        return err_set(err, ERR_INVALID,
                       "the request has more than %d query arguments",
                       REQUEST_QUERY_MAX);
    rc = decode(arena, name, &field.name, err);
    if (rc)
        return rc;
    rc = decode(arena, value, &field.value, err);
    if (rc)
        return rc;
    fields->query[fields->query_count++] = field;
    return 0;
}

static uint64_t random_seed(void)
{
    uint64_t seed;

    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed)
        seed = (uint64_t)clock_us() ^ ((uint64_t)clock_wall_ms() << 20);
    return seed | 1; /* 0 means: not yet drawn */
}

/* The next number of a counter with a random start, mixed (splitmix64) so
 * that ids of one process do not look alike. Relaxed order: ids need only
 * differ. */
static uint64_t next_random(void)
{
    static atomic_uint_fast64_t state;
    uint64_t none = 0;

    if (atomic_load_explicit(&state, memory_order_relaxed) == 0)
        atomic_compare_exchange_strong(&state, &none, random_seed());
    return random_mix(
        atomic_fetch_add_explicit(&state, RANDOM_STEP, memory_order_relaxed));
}

static bool is_clean_id(const char *text)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "abcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t len = strspn(text, allowed);

    return len >= 1 && len <= HTTP_ID_MAX && text[len] == '\0';
}

const char *request_id(const char *text, struct arena *arena)
{
    const char *id;

    if (text != NULL && is_clean_id(text))
        return text;
    id = arena_printf(arena, "%016" PRIx64, next_random());
    return id != NULL ? id : "none";
}

const char *http_header(const struct http_request *request, const char *name)
{
    const struct request_fields *fields = request->server;
    int i;

    for (i = 0; i < fields->header_count; i++)
        if (strcasecmp(fields->headers[i].name, name) == 0)
            return fields->headers[i].value;
    return NULL;
}

const char *http_query(const struct http_request *request, const char *name)
{
    const struct request_fields *fields = request->server;
    int i;

    for (i = 0; i < fields->query_count; i++)
        if (strcmp(fields->query[i].name, name) == 0)
            return fields->query[i].value;
    return NULL;
}

const char *http_param(const struct http_request *request, const char *name)
{
    const struct request_fields *fields = request->server;
    const struct router_match *match = &fields->match;
    int i;

    for (i = 0; i < match->param_count; i++)
        if (strlen(name) == match->params[i].name_len &&
            memcmp(name, match->params[i].name, strlen(name)) == 0)
            return match->params[i].value;
    return NULL;
}

const struct http_part *http_part(const struct http_request *request,
                                  const char *name)
{
    int i;

    for (i = 0; i < request->part_count; i++)
        if (strcmp(request->parts[i].name, name) == 0)
            return &request->parts[i];
    return NULL;
}

/* A field's text, cut at its limit. A NUL inside would end the text early and
 * hide the rest, so it becomes a '?' that no number and no flag has. */
static const char *field_text(const struct http_request *request,
                              struct bytes field)
{
    size_t len = field.len < REQUEST_ARGUMENT_LEN_MAX
                     ? field.len
                     : REQUEST_ARGUMENT_LEN_MAX;
    char *text = arena_text(request->arena, (const char *)field.data, len);
    char *nul;

    while (text != NULL && (nul = memchr(text, '\0', len)) != NULL)
        *nul = '?';
    return text;
}

const char *http_argument(const struct http_request *request, const char *name)
{
    const struct http_part *part = http_part(request, name);

    if (part != NULL && part->filename == NULL && name[0] != '\0')
        return field_text(request, part->data);
    return http_query(request, name);
}

/* The whole of text as a number: digits with an optional sign, no spaces. */
static bool read_integer(const char *text, int64_t *out)
{
    const char *digits = text + (text[0] == '-' || text[0] == '+');
    char *end;

    if (digits[0] < '0' || digits[0] > '9')
        return false;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return errno == 0 && *end == '\0';
}

int http_argument_integer(const struct http_request *request, const char *name,
                          int64_t min, int64_t max, int64_t preset,
                          int64_t *out, struct err *err)
{
    const char *text = http_argument(request, name);
    int64_t value;

    if (text == NULL) {
        *out = preset;
        return 0;
    }
    if (!read_integer(text, &value) || value < min || value > max)
        return err_set(err, ERR_INVALID,
                       "%s is '%.64s'; it must be a whole number from "
                       "%" PRId64 " to %" PRId64,
                       name, text, min, max);
    *out = value;
    return 0;
}
