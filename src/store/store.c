/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/migrations.h"
#include "store/store_ops.h"

enum { CONNECTIONS_MAX = 64, TIMEOUT_MIN_MS = 1, TIMEOUT_MAX_MS = 600000 };
/* An index over an adopted table with many rows takes its time. */
enum { LONG_TIMEOUT_MS = 600000 };

static const struct scheme {
    const char *name;
    const struct store_ops *ops;
    int port; /* 0: a file */
} schemes[] = {
    {"sqlite", &store_sqlite, 0},          {"postgres", &store_postgres, 5432},
    {"postgresql", &store_postgres, 5432}, {"mysql", &store_mysql, 3306},
    {"mariadb", &store_mysql, 3306},
};

static const struct scheme *find_scheme(const char *url, size_t len)
{
    size_t i;

    if (len == 0)
        return &schemes[0];
    for (i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
        if (strlen(schemes[i].name) == len &&
            strncmp(schemes[i].name, url, len) == 0)
            return &schemes[i];
    return NULL;
}

static int read_url(struct store *store, const char *url, struct err *err)
{
    size_t len = store_url_scheme_len(url);
    const struct scheme *scheme = find_scheme(url, len);
    const char *rest = len > 0 ? url + len + strlen("://") : url;
    int rc;

    if (scheme == NULL)
        return err_set(err, ERR_INVALID,
                       "the database's URL begins with \"%.*s\"; known are "
                       "sqlite, postgres, postgresql, mysql and mariadb",
                       len < 40 ? (int)len : 40, url);
    store->ops = scheme->ops;
    if (scheme->port == 0)
        rc = store_place_of_file(rest, len > 0, &store->place, err);
    else
        rc = store_place_of_server(rest, &store->place, err);
    if (rc == 0 && store->place.port == 0)
        store->place.port = scheme->port;
    store->place.scheme = scheme->name;
    return rc;
}

/* The URL for people: whom and where, without the password. */
static char *name_of(const struct store_place *place)
{
    struct buf name;

    if (place->path[0] != '\0')
        return mem_text(place->path);
    buf_init(&name, STORE_URL_MAX);
    buf_printf(&name, "%s://%s%s", place->scheme, place->user,
               place->user[0] != '\0' ? "@" : "");
    buf_printf(&name,
               strchr(place->host, ':') != NULL ? "[%s]:%d/%s" : "%s:%d/%s",
               place->host, place->port, place->database);
    return name.data != NULL ? buf_detach(&name) : mem_text(place->scheme);
}

static int check_options(const struct store_options *options, struct err *err)
{
    if (options->connection_max < 1 ||
        options->connection_max > CONNECTIONS_MAX)
        return err_set(err, ERR_INVALID,
                       "the database was asked for %d connections; it takes "
                       "1..%d",
                       options->connection_max, CONNECTIONS_MAX);
    if (options->timeout_ms < TIMEOUT_MIN_MS ||
        options->timeout_ms > TIMEOUT_MAX_MS)
        return err_set(err, ERR_INVALID,
                       "the database's timeout is %d ms; it must be %d..%d",
                       options->timeout_ms, TIMEOUT_MIN_MS, TIMEOUT_MAX_MS);
    return 0;
}

int store_open(const char *url, const struct store_options *options,
               struct store **out, struct err *err)
{
    struct store *store;
    struct store_link *link;
    int rc = check_options(options, err);

    if (rc)
        return rc;
    store = mem_new(sizeof *store);
    store->options = *options;
    store_pool_init(&store->pool);
    rc = read_url(store, url, err);
    if (rc)
        goto fail;
    store->name = name_of(&store->place);
    rc = store_take(store, false,
                    clock_us() + (int64_t)options->timeout_ms * 1000, &link,
                    err);
    if (rc)
        goto fail;
    store_give(link);
    *out = store;
    return 0;
fail:
    store_close(store);
    return rc;
}

void store_close(struct store *store)
{
    if (store == NULL)
        return;
    store_pool_release(store);
    store_place_release(&store->place);
    mem_free(store->name);
    mem_free(store);
}

const char *store_name(const struct store *store)
{
    return store->name;
}

static const struct {
    enum err_code code;
    const char *text;
} failures[] = {
#define X(name, code, text) {ERR_##code, text},
    STORE_FAILURES(X)
#undef X
};

int store_fail(const struct store *store, enum store_failure failure,
               const char *code, const char *words, struct err *err)
{
    log_write(LOG_DEBUG, "the database failed", log_text("store", store->name),
              log_text("code", code), log_text("said", words));
    return err_set(err, failures[failure].code, "the database %s %s (%s)",
                   store->name, failures[failure].text, code);
}

int store_fail_memory(const struct store *store, struct err *err)
{
    return err_set(err, ERR_UNAVAILABLE,
                   "memory is short for what is read from or written to the "
                   "database %s",
                   store->name);
}

int store_run(struct store_link *link, const char *sql,
              const struct store_value *values, int value_count,
              store_fields_fn *fn, void *user, struct err *err)
{
    const struct store_query query = {
        .sql = sql,
        .values = values,
        .value_count = value_count,
        .fn = fn,
        .user = user,
    };

    return store_query_run(link, &query, err);
}

int store_run_once(struct store_link *link, const char *sql,
                   store_fields_fn *fn, void *user, struct err *err)
{
    const struct store_query query = {
        .sql = sql, .is_once = true, .fn = fn, .user = user};

    return store_query_run(link, &query, err);
}

int store_query_run(struct store_link *link, const struct store_query *query,
                    struct err *err)
{
    if (clock_us() >= link->deadline_us)
        return store_fail(link->store, STORE_FAILURE_SLOW, "deadline", "", err);
    return link->store->ops->query(link, query, err);
}

int store_transact(struct store_link *link, store_work_fn *fn, void *user,
                   struct err *err)
{
    struct err ignored = {0};
    int rc = store_run_once(link, link->store->ops->begin, NULL, NULL, err);

    if (rc)
        return rc;
    rc = fn(link, user, err);
    if (rc == 0)
        rc = store_run_once(link, "COMMIT", NULL, NULL, err);
    /* A connection on which ROLLBACK fails is closed, which rolls back. */
    if (rc != 0 && !link->is_broken &&
        store_run_once(link, "ROLLBACK", NULL, NULL, &ignored) != 0)
        link->is_broken = true;
    return rc;
}

/* The first call learns how wide the columns are. Two threads may both do it;
 * they learn the same. */
static int settle(struct store *store, struct err *err)
{
    int rc;

    if (store->options.is_read_only || atomic_load(&store->is_settled))
        return 0;
    rc = migrations_learn(store, err);
    if (rc == 0)
        atomic_store(&store->is_settled, true);
    return rc;
}

void store_extend(struct store_link *link)
{
    link->deadline_us =
        clock_us() + (int64_t)link->store->options.timeout_ms * 1000;
}

int store_call_plain(struct store *store, bool is_writing, store_work_fn *fn,
                     void *user, struct err *err)
{
    int64_t deadline_us =
        clock_us() + (int64_t)store->options.timeout_ms * 1000;
    struct store_link *link = NULL;
    int rc;

    if (is_writing && store->options.is_read_only)
        return err_set(err, ERR_INVALID,
                       "the database %s was opened for reading only",
                       store->name);
    rc = store_take(store, is_writing, deadline_us, &link, err);
    if (rc)
        return rc;
    rc = is_writing ? store_transact(link, fn, user, err) : fn(link, user, err);
    store_give(link);
    return rc;
}

int store_call(struct store *store, bool is_writing, store_work_fn *fn,
               void *user, struct err *err)
{
    int rc = settle(store, err);

    return rc ? rc : store_call_plain(store, is_writing, fn, user, err);
}

int store_connect_long(struct store *store, struct store_link **out,
                       struct err *err)
{
    int rc = store->ops->connect(store, LONG_TIMEOUT_MS, true, out, err);

    if (rc == 0)
        (*out)->deadline_us = clock_us() + (int64_t)LONG_TIMEOUT_MS * 1000;
    return rc;
}

static int ping(struct store_link *link, void *user, struct err *err)
{
    (void)user;
    return store_run(link, "SELECT 1", NULL, 0, NULL, NULL, err);
}

int store_ping(struct store *store, struct err *err)
{
    return store_call(store, false, ping, NULL, err);
}
