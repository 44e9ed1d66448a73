/* SPDX-License-Identifier: Apache-2.0 */
/* PostgreSQL through libpq, without blocking: every step waits with poll until
 * the call's deadline, so that a server that falls silent costs no more than
 * that. A connection that did not finish in time is closed. */
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/store_ops.h"

enum {
    STATEMENTS_MAX = 32,
    SQL_LEN_MAX = 1 << 17,
    NUMBER_LEN = 32,
    BYTEA_OID = 17,
    MIGRATION_LOCK = 0x6f6c686f, /* "olho" */
};

struct postgres_link {
    struct store_link link;
    PGconn *connection;
    char *kept[STATEMENTS_MAX]; /* SQL of the statements s0, s1... */
    int kept_count;
};

static const struct {
    const char *prefix; /* of an SQLSTATE */
    enum store_failure failure;
} states[] = {
    {"08", STORE_FAILURE_AWAY},    {"22", STORE_FAILURE_ROWS},
    {"23", STORE_FAILURE_ROWS},    {"25006", STORE_FAILURE_READ_ONLY},
    {"28", STORE_FAILURE_LOGIN},   {"3D000", STORE_FAILURE_DATABASE},
    {"40", STORE_FAILURE_BUSY},    {"42", STORE_FAILURE_SCHEMA},
    {"53100", STORE_FAILURE_FULL}, {"53200", STORE_FAILURE_FULL},
    {"53", STORE_FAILURE_BUSY},    {"54", STORE_FAILURE_ROWS},
    {"55P03", STORE_FAILURE_BUSY}, {"57014", STORE_FAILURE_SLOW},
    {"57P", STORE_FAILURE_AWAY},
};

static enum store_failure classify(const char *state)
{
    size_t i;

    for (i = 0; i < sizeof states / sizeof states[0]; i++)
        if (strncmp(states[i].prefix, state, strlen(states[i].prefix)) == 0)
            return states[i].failure;
    return STORE_FAILURE_OTHER;
}

/* The connection itself failed: lost, refused, or silent. */
static int fail_connection(struct postgres_link *postgres, const char *code,
                           struct err *err)
{
    enum store_failure failure = STORE_FAILURE_AWAY;

    postgres->link.is_broken = true;
    if (clock_us() >= postgres->link.deadline_us)
        failure = STORE_FAILURE_SLOW;
    return store_fail(postgres->link.store, failure, code,
                      PQerrorMessage(postgres->connection), err);
}

static int fail_result(struct postgres_link *postgres, const PGresult *result,
                       struct err *err)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    char code[32];

    if (PQstatus(postgres->connection) == CONNECTION_BAD)
        postgres->link.is_broken = true;
    if (state == NULL)
        return fail_connection(postgres, "no answer", err);
    snprintf(code, sizeof code, "SQLSTATE %s", state);
    if (classify(state) == STORE_FAILURE_AWAY)
        postgres->link.is_broken = true;
    return store_fail(postgres->link.store, classify(state), code,
                      PQresultErrorMessage(result), err);
}

static void disconnect(struct store_link *link)
{
    struct postgres_link *postgres = (struct postgres_link *)link;
    int i;

    for (i = 0; i < postgres->kept_count; i++)
        mem_free(postgres->kept[i]);
    PQfinish(postgres->connection);
    mem_free(postgres);
}

/* Waits until the socket can be read or written; false at the deadline. */
static bool wait_for(const struct postgres_link *postgres, short events)
{
    struct pollfd fd = {.fd = PQsocket(postgres->connection), .events = events};
    int64_t left_us = postgres->link.deadline_us - clock_us();

    if (fd.fd < 0 || left_us <= 0)
        return false;
    return poll(&fd, 1, (int)(left_us / 1000) + 1) != 0 &&
           clock_us() < postgres->link.deadline_us;
}

static bool flush(const struct postgres_link *postgres)
{
    int left;

    while ((left = PQflush(postgres->connection)) == 1) {
        if (!wait_for(postgres, POLLIN | POLLOUT) ||
            PQconsumeInput(postgres->connection) == 0)
            return false;
    }
    return left == 0;
}

/* The last result of what was sent; NULL when the connection failed. */
static PGresult *receive(const struct postgres_link *postgres)
{
    PGresult *last = NULL, *result;

    for (;;) {
        while (PQisBusy(postgres->connection))
            if (!wait_for(postgres, POLLIN) ||
                PQconsumeInput(postgres->connection) == 0) {
                PQclear(last);
                return NULL;
            }
        result = PQgetResult(postgres->connection);
        if (result == NULL)
            return last;
        PQclear(last);
        last = result;
    }
}

/* Sends what `is_sent` says was queued and takes the answer. */
static int answer(struct postgres_link *postgres, int is_sent, PGresult **out,
                  struct err *err)
{
    PGresult *result = NULL;
    ExecStatusType status;
    int rc;

    if (!is_sent || !flush(postgres))
        return fail_connection(postgres, "cannot send", err);
    result = receive(postgres);
    if (result == NULL)
        return fail_connection(postgres, "no answer", err);
    status = PQresultStatus(result);
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) {
        *out = result;
        return 0;
    }
    rc = fail_result(postgres, result, err);
    PQclear(result);
    return rc;
}

static const char *tls_mode(enum store_tls tls)
{
    static const char *const modes[] = {
        [STORE_TLS_DISABLE] = "disable",
        [STORE_TLS_PREFER] = "prefer",
        [STORE_TLS_REQUIRE] = "require",
        [STORE_TLS_VERIFY_CA] = "verify-ca",
        [STORE_TLS_VERIFY_FULL] = "verify-full",
    };

    return modes[tls];
}

static PGconn *start(const struct store_place *place)
{
    char port[16];
    const char *const keys[] = {"host",
                                "port",
                                "dbname",
                                "user",
                                "password",
                                "sslmode",
                                "application_name",
                                "client_encoding",
                                place->tls_roots[0] != '\0' ? "sslrootcert"
                                                            : NULL,
                                NULL};
    const char *values[] = {place->host,
                            port,
                            place->database,
                            place->user[0] != '\0' ? place->user : NULL,
                            place->password[0] != '\0' ? place->password : NULL,
                            tls_mode(place->tls),
                            "olho",
                            "UTF8",
                            place->tls_roots,
                            NULL};

    snprintf(port, sizeof port, "%d", place->port);
    return PQconnectStartParams(keys, values, 0);
}

/* libpq keeps the SQLSTATE of a refused connection to itself, so what it
 * wrote is searched for the words of an English server. */
static const struct {
    const char *words;
    enum store_failure failure;
} refusals[] = {
    {"password authentication failed", STORE_FAILURE_LOGIN},
    {"no password supplied", STORE_FAILURE_LOGIN},
    {"pg_hba.conf", STORE_FAILURE_LOGIN},
    {"role \"", STORE_FAILURE_LOGIN},
    {"does not support SSL", STORE_FAILURE_TLS},
    {"SSL error", STORE_FAILURE_TLS},
    {"certificate", STORE_FAILURE_TLS},
    {"database \"", STORE_FAILURE_DATABASE},
    {"too many", STORE_FAILURE_BUSY},
};

static int fail_login(struct postgres_link *postgres, struct err *err)
{
    const char *words = PQerrorMessage(postgres->connection);
    enum store_failure failure = STORE_FAILURE_AWAY;
    size_t i;

    for (i = 0; i < sizeof refusals / sizeof refusals[0]; i++)
        if (strstr(words, refusals[i].words) != NULL) {
            failure = refusals[i].failure;
            break;
        }
    return store_fail(postgres->link.store, failure, "connecting", words, err);
}

static int finish_connecting(struct postgres_link *postgres, struct err *err)
{
    PostgresPollingStatusType next = PGRES_POLLING_WRITING;

    while (PQstatus(postgres->connection) != CONNECTION_BAD &&
           next != PGRES_POLLING_OK && next != PGRES_POLLING_FAILED) {
        if (!wait_for(postgres,
                      next == PGRES_POLLING_READING ? POLLIN : POLLOUT))
            return fail_connection(postgres, "connecting", err);
        next = PQconnectPoll(postgres->connection);
    }
    return next == PGRES_POLLING_OK ? 0 : fail_login(postgres, err);
}

static int set_up(struct postgres_link *postgres, struct err *err)
{
    char sql[300];

    snprintf(sql, sizeof sql,
             "SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; "
             "SET bytea_output = 'hex'; SET extra_float_digits = 1; "
             "SET statement_timeout = %d; SET lock_timeout = %d; "
             "SET default_transaction_read_only = %s",
             postgres->link.timeout_ms, postgres->link.timeout_ms,
             postgres->link.store->options.is_read_only ? "on" : "off");
    return store_run_once(&postgres->link, sql, NULL, NULL, err);
}

/* Without this, libpq writes what a server remarks to stderr. */
static void log_notice(void *user, const char *words)
{
    (void)user;
    log_write(LOG_DEBUG, "the database remarks", log_text("said", words));
}

static int connect_to(struct store *store, int timeout_ms, bool is_first,
                      struct store_link **out, struct err *err)
{
    struct postgres_link *postgres = mem_new(sizeof *postgres);
    int rc;

    (void)is_first;
    postgres->link.store = store;
    postgres->link.timeout_ms = timeout_ms;
    postgres->link.deadline_us =
        clock_us() + (int64_t)store->options.timeout_ms * 1000;
    postgres->connection = start(&store->place);
    if (postgres->connection == NULL)
        rc = store_fail_memory(store, err);
    else
        rc = finish_connecting(postgres, err);
    if (rc == 0) {
        PQsetNoticeProcessor(postgres->connection, log_notice, NULL);
        PQsetnonblocking(postgres->connection, 1);
        rc = set_up(postgres, err);
    }
    if (rc) {
        disconnect(&postgres->link);
        return rc;
    }
    *out = &postgres->link;
    return 0;
}

/* An idle connection has nothing to say, unless it says that it ends. */
static bool is_alive(struct store_link *link)
{
    struct postgres_link *postgres = (struct postgres_link *)link;
    struct pollfd fd = {.fd = PQsocket(postgres->connection), .events = POLLIN};

    return PQstatus(postgres->connection) == CONNECTION_OK &&
           poll(&fd, 1, 0) == 0;
}

/* The shared SQL with $1, $2... for its question marks. */
static int number_values(const struct store_query *query, struct buf *out,
                         struct err *err)
{
    const char *p;
    int count = 0;

    for (p = query->sql; *p != '\0'; p++)
        if (*p == '?' && !query->is_once)
            buf_printf(out, "$%d", ++count);
        else
            buf_add_char(out, *p);
    return buf_check(out, err);
}

/* The name of the prepared statement into out (NUMBER_LEN bytes); "" when
 * there are as many as we keep, for the statement without a name. */
static int prepare(struct postgres_link *postgres,
                   const struct store_query *query, char *out, struct err *err)
{
    PGresult *result = NULL;
    struct buf sql;
    int i, rc;

    out[0] = '\0';
    for (i = 0; i < postgres->kept_count; i++)
        if (strcmp(postgres->kept[i], query->sql) == 0) {
            snprintf(out, NUMBER_LEN, "s%d", i);
            return 0;
        }
    if (postgres->kept_count < STATEMENTS_MAX)
        snprintf(out, NUMBER_LEN, "s%d", postgres->kept_count);
    buf_init(&sql, SQL_LEN_MAX);
    rc = number_values(query, &sql, err);
    if (rc == 0)
        rc = answer(postgres,
                    PQsendPrepare(postgres->connection, out, sql.data, 0, NULL),
                    &result, err);
    if (rc == 0 && out[0] != '\0')
        postgres->kept[postgres->kept_count++] = mem_text(query->sql);
    PQclear(result);
    buf_release(&sql);
    return rc;
}

/* The values as libpq wants them: texts with a NUL behind, bytes as they
 * are. */
struct bound {
    const char **values;
    int *lens, *formats;
    struct arena *arena;
};

static const char *as_text(const struct store_value *value, struct arena *arena)
{
    switch (value->kind) {
    case VALUE_INTEGER:
        return arena_printf(arena, "%lld", (long long)value->integer);
    case VALUE_REAL:
        return arena_printf(arena, "%.17g", value->real);
    case VALUE_TEXT:
        return arena_text(arena, value->data, value->len);
    case VALUE_BYTES:
        return value->len > 0 ? value->data : "";
    case VALUE_NULL:
        break;
    }
    return NULL;
}

static int bind(const struct store *store, const struct store_query *query,
                struct bound *bound, struct err *err)
{
    size_t count = (size_t)query->value_count;
    size_t i;

    bound->values = arena_try(bound->arena, count + 1, sizeof *bound->values);
    bound->lens = arena_try(bound->arena, count + 1, sizeof *bound->lens);
    bound->formats = arena_try(bound->arena, count + 1, sizeof *bound->formats);
    if (bound->values == NULL || bound->lens == NULL || bound->formats == NULL)
        return store_fail_memory(store, err);
    for (i = 0; i < count; i++) {
        bound->values[i] = as_text(&query->values[i], bound->arena);
        bound->lens[i] = (int)query->values[i].len;
        bound->formats[i] = query->values[i].kind == VALUE_BYTES;
        if (bound->values[i] == NULL && query->values[i].kind != VALUE_NULL)
            return store_fail_memory(store, err);
    }
    return 0;
}

static int execute(struct postgres_link *postgres,
                   const struct store_query *query, PGresult **out,
                   struct err *err)
{
    enum { ARENA_LEN_MAX = 256 << 20 };
    char name[NUMBER_LEN];
    struct bound bound = {.arena = arena_new(ARENA_LEN_MAX)};
    int rc = prepare(postgres, query, name, err);

    if (rc == 0)
        rc = bind(postgres->link.store, query, &bound, err);
    if (rc == 0)
        rc = answer(postgres,
                    PQsendQueryPrepared(postgres->connection, name,
                                        query->value_count, bound.values,
                                        bound.lens, bound.formats, 0),
                    out, err);
    arena_free(bound.arena);
    return rc;
}

static char hex_value(char c)
{
    return (char)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
}

/* "\x0aff" in place, as bytes. */
static size_t decode_hex(char *text, size_t len)
{
    size_t i;

    if (len < 2 || text[0] != '\\' || text[1] != 'x')
        return len;
    for (i = 0; 2 * i + 3 < len; i++)
        text[i] = (char)(hex_value(text[2 * i + 2]) << 4 |
                         hex_value(text[2 * i + 3]));
    text[i] = '\0';
    return i;
}

static int take_rows(const PGresult *result, const struct store_query *query,
                     struct err *err)
{
    struct store_field fields[STORE_CELLS_MAX];
    int count = PQnfields(result), row, i, rc = 0;

    for (row = 0; rc == 0 && row < PQntuples(result); row++) {
        for (i = 0; i < count && i < STORE_CELLS_MAX; i++) {
            char *text = PQgetvalue(result, row, i);

            fields[i] = (struct store_field){0};
            if (PQgetisnull(result, row, i))
                continue;
            fields[i].data = text;
            fields[i].len = (size_t)PQgetlength(result, row, i);
            if (PQftype(result, i) == BYTEA_OID)
                fields[i].len = decode_hex(text, fields[i].len);
        }
        rc = query->fn(query->user, fields, count, err);
    }
    return rc;
}

static int query_run(struct store_link *link, const struct store_query *query,
                     struct err *err)
{
    struct postgres_link *postgres = (struct postgres_link *)link;
    PGresult *result = NULL;
    int rc;

    if (query->is_once)
        rc = answer(postgres, PQsendQuery(postgres->connection, query->sql),
                    &result, err);
    else
        rc = execute(postgres, query, &result, err);
    if (rc == 0 && query->out_changed != NULL)
        *query->out_changed = strtoll(PQcmdTuples(result), NULL, 10);
    if (rc == 0 && query->fn != NULL)
        rc = take_rows(result, query, err);
    PQclear(result);
    return rc;
}

/* The lock ends with the transaction. */
static int lock(struct store_link *link, struct err *err)
{
    char sql[64];
    int rc = store_run_once(link, "BEGIN", NULL, NULL, err);

    snprintf(sql, sizeof sql, "SELECT pg_advisory_xact_lock(%d)",
             MIGRATION_LOCK);
    return rc ? rc : store_run_once(link, sql, NULL, NULL, err);
}

static int unlock(struct store_link *link, bool is_done, struct err *err)
{
    return store_run_once(link, is_done ? "COMMIT" : "ROLLBACK", NULL, NULL,
                          err);
}

const struct store_ops store_postgres = {
    .name = "postgres",
    .dialect = DIALECT_POSTGRES,
    .begin = "BEGIN",
    .skip = " ON CONFLICT DO NOTHING",
    .connect = connect_to,
    .disconnect = disconnect,
    .is_alive = is_alive,
    .query = query_run,
    .lock = lock,
    .unlock = unlock,
};
