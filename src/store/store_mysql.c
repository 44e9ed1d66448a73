/* SPDX-License-Identifier: Apache-2.0 */
/* MariaDB and MySQL through libmariadb. The session speaks the shared SQL:
 * double quotes are names, times are UTC, values that do not fit are errors.
 * The library waits in whole seconds, so that a server which falls silent can
 * hold a call up to a second longer than its deadline. */
#include <mysql.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/store_ops.h"
#include "store/store_text.h"

enum {
    STATEMENTS_MAX = 32,
    FIELD_LEN_MIN = 64,
    CLIENT_ERROR_MIN = 2000,
    CLIENT_ERROR_MAX = 2999
};

struct mysql_link {
    struct store_link link;
    MYSQL *connection;
    struct {
        char *sql;
        MYSQL_STMT *statement;
    } kept[STATEMENTS_MAX];
    int kept_count;
};

static pthread_once_t library_once = PTHREAD_ONCE_INIT;

/* The library sets itself up at its first call, which must not be two. */
static void start_library(void)
{
    mysql_server_init(0, NULL, NULL);
}

static const struct {
    unsigned number;
    enum store_failure failure;
} numbers[] = {
    {1021, STORE_FAILURE_FULL},      /* disk full */
    {1040, STORE_FAILURE_BUSY},      /* too many connections */
    {1041, STORE_FAILURE_FULL},      /* out of memory */
    {1044, STORE_FAILURE_LOGIN},     /* no right to the database */
    {1045, STORE_FAILURE_LOGIN},     /* wrong password */
    {1049, STORE_FAILURE_DATABASE},  /* unknown database */
    {1053, STORE_FAILURE_AWAY},      /* shutting down */
    {1054, STORE_FAILURE_SCHEMA},    /* no such column */
    {1114, STORE_FAILURE_FULL},      /* table full */
    {1142, STORE_FAILURE_SCHEMA},    /* no right to the table */
    {1146, STORE_FAILURE_SCHEMA},    /* no such table */
    {1153, STORE_FAILURE_ROWS},      /* over max_allowed_packet */
    {1203, STORE_FAILURE_BUSY},      /* connections of this user */
    {1205, STORE_FAILURE_BUSY},      /* lock wait */
    {1213, STORE_FAILURE_BUSY},      /* deadlock */
    {1265, STORE_FAILURE_ROWS},      /* value cut */
    {1290, STORE_FAILURE_READ_ONLY}, /* server is read only */
    {1317, STORE_FAILURE_SLOW},      /* interrupted */
    {1364, STORE_FAILURE_ROWS},      /* no default */
    {1366, STORE_FAILURE_ROWS},      /* wrong value */
    {1698, STORE_FAILURE_LOGIN},     /* no password needed, wrong user */
    {2026, STORE_FAILURE_TLS},
    {3159, STORE_FAILURE_TLS},       /* only over TLS */
    {1792, STORE_FAILURE_READ_ONLY}, /* session is read only */
    {1927, STORE_FAILURE_AWAY},      /* connection killed */
    {1969, STORE_FAILURE_SLOW},      /* max_statement_time */
    {3024, STORE_FAILURE_SLOW},      /* max_execution_time */
    {4025, STORE_FAILURE_ROWS},      /* check constraint */
};

static enum store_failure classify(unsigned number, const char *state)
{
    size_t i;

    for (i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (numbers[i].number == number)
            return numbers[i].failure;
    if (number >= CLIENT_ERROR_MIN && number <= CLIENT_ERROR_MAX)
        return STORE_FAILURE_AWAY;
    if (strncmp(state, "22", 2) == 0 || strncmp(state, "23", 2) == 0)
        return STORE_FAILURE_ROWS;
    if (strncmp(state, "08", 2) == 0)
        return STORE_FAILURE_AWAY;
    return STORE_FAILURE_OTHER;
}

static int fail(struct mysql_link *mysql, unsigned number, const char *state,
                const char *words, struct err *err)
{
    enum store_failure failure = classify(number, state);
    char code[32];

    snprintf(code, sizeof code, "error %u", number);
    if (failure == STORE_FAILURE_AWAY) {
        mysql->link.is_broken = true;
        if (clock_us() >= mysql->link.deadline_us)
            failure = STORE_FAILURE_SLOW;
    }
    return store_fail(mysql->link.store, failure, code, words, err);
}

static int fail_connection(struct mysql_link *mysql, struct err *err)
{
    return fail(mysql, mysql_errno(mysql->connection),
                mysql_sqlstate(mysql->connection),
                mysql_error(mysql->connection), err);
}

static int fail_statement(struct mysql_link *mysql, MYSQL_STMT *statement,
                          struct err *err)
{
    return fail(mysql, mysql_stmt_errno(statement),
                mysql_stmt_sqlstate(statement), mysql_stmt_error(statement),
                err);
}

static void disconnect(struct store_link *link)
{
    struct mysql_link *mysql = (struct mysql_link *)link;
    int i;

    for (i = 0; i < mysql->kept_count; i++) {
        mysql_stmt_close(mysql->kept[i].statement);
        mem_free(mysql->kept[i].sql);
    }
    if (mysql->connection != NULL)
        mysql_close(mysql->connection);
    mem_free(mysql);
}

static void set_options(struct mysql_link *mysql)
{
    const struct store *store = mysql->link.store;
    const struct store_place *place = &store->place;
    unsigned connect_s = (unsigned)(store->options.timeout_ms + 999) / 1000;
    unsigned statement_s = (unsigned)(mysql->link.timeout_ms + 999) / 1000;
    unsigned protocol =
        place->host[0] == '/' ? MYSQL_PROTOCOL_SOCKET : MYSQL_PROTOCOL_TCP;
    my_bool is_enforced = place->tls >= STORE_TLS_REQUIRE;
    my_bool is_verified = place->tls >= STORE_TLS_VERIFY_CA;

    /* Else "localhost" would be the socket of another server. */
    mysql_options(mysql->connection, MYSQL_OPT_PROTOCOL, &protocol);
    mysql_options(mysql->connection, MYSQL_OPT_CONNECT_TIMEOUT, &connect_s);
    mysql_options(mysql->connection, MYSQL_OPT_READ_TIMEOUT, &statement_s);
    mysql_options(mysql->connection, MYSQL_OPT_WRITE_TIMEOUT, &statement_s);
    mysql_options(mysql->connection, MYSQL_SET_CHARSET_NAME, "utf8mb4");
    /* Both are said: what they are otherwise depends on the version. */
    mysql_options(mysql->connection, MYSQL_OPT_SSL_ENFORCE, &is_enforced);
    mysql_options(mysql->connection, MYSQL_OPT_SSL_VERIFY_SERVER_CERT,
                  &is_verified);
    if (place->tls_roots[0] != '\0')
        mysql_options(mysql->connection, MYSQL_OPT_SSL_CA, place->tls_roots);
}

static int set_up(struct mysql_link *mysql, struct err *err)
{
    const struct store_link *link = &mysql->link;
    char sql[300];

    snprintf(sql, sizeof sql,
             "SET SESSION time_zone = '+00:00', sql_mode = "
             "'ANSI_QUOTES,STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', "
             "innodb_lock_wait_timeout = %d",
             (link->timeout_ms + 999) / 1000);
    if (mysql_query(mysql->connection, sql) != 0)
        return fail_connection(mysql, err);
    if (link->store->options.is_read_only &&
        mysql_query(mysql->connection, "SET SESSION TRANSACTION READ ONLY") !=
            0)
        return fail_connection(mysql, err);
    /* MariaDB limits each statement by the first, MySQL reads by the second;
     * each knows only its own. */
    snprintf(sql, sizeof sql, "SET SESSION max_statement_time = %.3f",
             link->timeout_ms / 1000.0);
    if (mysql_query(mysql->connection, sql) == 0)
        return 0;
    snprintf(sql, sizeof sql, "SET SESSION max_execution_time = %d",
             link->timeout_ms);
    return mysql_query(mysql->connection, sql) == 0
               ? 0
               : fail_connection(mysql, err);
}

/* The library asks for TLS, and goes on without where the server has none. */
static int check_tls(struct mysql_link *mysql, struct err *err)
{
    const struct store *store = mysql->link.store;

    if (store->place.tls >= STORE_TLS_REQUIRE &&
        mysql_get_ssl_cipher(mysql->connection) == NULL)
        return store_fail(store, STORE_FAILURE_TLS, "no TLS", "", err);
    return 0;
}

static int log_in(struct mysql_link *mysql, struct err *err)
{
    const struct store_place *place = &mysql->link.store->place;
    bool is_socket = place->host[0] == '/';

    mysql->connection = mysql_init(NULL);
    if (mysql->connection == NULL)
        return store_fail_memory(mysql->link.store, err);
    set_options(mysql);
    if (mysql_real_connect(mysql->connection, is_socket ? NULL : place->host,
                           place->user, place->password, place->database,
                           (unsigned)place->port,
                           is_socket ? place->host : NULL, 0) == NULL)
        return fail_connection(mysql, err);
    return check_tls(mysql, err);
}

static int connect_to(struct store *store, int timeout_ms, bool is_first,
                      struct store_link **out, struct err *err)
{
    struct mysql_link *mysql;
    int rc;

    (void)is_first;
    pthread_once(&library_once, start_library);
    mysql = mem_new(sizeof *mysql);
    mysql->link.store = store;
    mysql->link.timeout_ms = timeout_ms;
    mysql->link.deadline_us =
        clock_us() + (int64_t)store->options.timeout_ms * 1000;
    rc = log_in(mysql, err);
    if (rc == 0)
        rc = set_up(mysql, err);
    if (rc) {
        disconnect(&mysql->link);
        return rc;
    }
    *out = &mysql->link;
    return 0;
}

/* An idle connection has nothing to say, unless it says that it ends. */
static bool is_alive(struct store_link *link)
{
    struct mysql_link *mysql = (struct mysql_link *)link;
    struct pollfd fd = {.fd = (int)mysql_get_socket(mysql->connection),
                        .events = POLLIN};

    return poll(&fd, 1, 0) == 0;
}

static int prepare(struct mysql_link *mysql, const char *sql, MYSQL_STMT **out,
                   struct err *err)
{
    const my_bool yes = 1;
    MYSQL_STMT *statement;
    int i, rc;

    for (i = 0; i < mysql->kept_count; i++)
        if (strcmp(mysql->kept[i].sql, sql) == 0) {
            *out = mysql->kept[i].statement;
            return 0;
        }
    statement = mysql_stmt_init(mysql->connection);
    if (statement == NULL)
        return store_fail_memory(mysql->link.store, err);
    if (mysql_stmt_prepare(statement, sql, strlen(sql)) != 0) {
        rc = fail_statement(mysql, statement, err);
        mysql_stmt_close(statement);
        return rc;
    }
    mysql_stmt_attr_set(statement, STMT_ATTR_UPDATE_MAX_LENGTH, &yes);
    if (mysql->kept_count < STATEMENTS_MAX) {
        mysql->kept[mysql->kept_count].sql = mem_text(sql);
        mysql->kept[mysql->kept_count++].statement = statement;
    }
    *out = statement;
    return 0;
}

static void bind_value(const struct store_value *value, MYSQL_BIND *out)
{
    switch (value->kind) {
    case VALUE_NULL:
        out->buffer_type = MYSQL_TYPE_NULL;
        break;
    case VALUE_INTEGER:
        out->buffer_type = MYSQL_TYPE_LONGLONG;
        out->buffer = (void *)&value->integer;
        break;
    case VALUE_REAL:
        out->buffer_type = MYSQL_TYPE_DOUBLE;
        out->buffer = (void *)&value->real;
        break;
    case VALUE_TEXT:
    case VALUE_BYTES:
        out->buffer_type =
            value->kind == VALUE_TEXT ? MYSQL_TYPE_STRING : MYSQL_TYPE_BLOB;
        out->buffer = (void *)value->data;
        out->buffer_length = value->len;
        break;
    }
}

static int execute(struct mysql_link *mysql, MYSQL_STMT *statement,
                   const struct store_query *query, struct err *err)
{
    MYSQL_BIND *binds = mem_try((size_t)query->value_count + 1, sizeof *binds);
    int i, rc = 0;

    if (binds == NULL)
        return store_fail_memory(mysql->link.store, err);
    for (i = 0; i < query->value_count; i++)
        bind_value(&query->values[i], &binds[i]);
    if ((query->value_count > 0 &&
         mysql_stmt_bind_param(statement, binds) != 0) ||
        mysql_stmt_execute(statement) != 0)
        rc = fail_statement(mysql, statement, err);
    mem_free(binds);
    return rc;
}

/* Where the columns of an answer are read into: as text, as long as the
 * longest value. */
struct answer {
    MYSQL_BIND binds[STORE_CELLS_MAX];
    unsigned long lens[STORE_CELLS_MAX];
    my_bool nulls[STORE_CELLS_MAX];
    struct arena *arena;
    int count;
};

static int bind_answer(struct mysql_link *mysql, MYSQL_STMT *statement,
                       struct answer *answer, struct err *err)
{
    MYSQL_RES *metadata = mysql_stmt_result_metadata(statement);
    const MYSQL_FIELD *fields;
    int i, rc = 0;

    if (metadata == NULL)
        return fail_statement(mysql, statement, err);
    fields = mysql_fetch_fields(metadata);
    answer->count = (int)mysql_num_fields(metadata);
    for (i = 0; rc == 0 && i < answer->count && i < STORE_CELLS_MAX; i++) {
        size_t len = fields[i].max_length > FIELD_LEN_MIN ? fields[i].max_length
                                                          : FIELD_LEN_MIN;

        answer->binds[i] = (MYSQL_BIND){
            .buffer_type = MYSQL_TYPE_STRING,
            .buffer = arena_try(answer->arena, len + 1, 1),
            .buffer_length = len,
            .length = &answer->lens[i],
            .is_null = &answer->nulls[i],
        };
        if (answer->binds[i].buffer == NULL)
            rc = store_fail_memory(mysql->link.store, err);
    }
    mysql_free_result(metadata);
    if (rc == 0 && mysql_stmt_bind_result(statement, answer->binds) != 0)
        rc = fail_statement(mysql, statement, err);
    return rc;
}

static int fetch(struct mysql_link *mysql, MYSQL_STMT *statement,
                 struct answer *answer, const struct store_query *query,
                 struct err *err)
{
    struct store_field fields[STORE_CELLS_MAX];
    int i, rc;

    while ((rc = mysql_stmt_fetch(statement)) == 0) {
        for (i = 0; i < answer->count && i < STORE_CELLS_MAX; i++) {
            char *data = answer->binds[i].buffer;

            fields[i] = (struct store_field){0};
            if (answer->nulls[i])
                continue;
            data[answer->lens[i]] = '\0';
            fields[i].data = data;
            fields[i].len = answer->lens[i];
        }
        rc = query->fn(query->user, fields, answer->count, err);
        if (rc)
            return rc;
    }
    return rc == MYSQL_NO_DATA ? 0 : fail_statement(mysql, statement, err);
}

static int take_answer(struct mysql_link *mysql, MYSQL_STMT *statement,
                       const struct store_query *query, struct err *err)
{
    enum { ANSWER_LEN_MAX = 128 << 20 };
    struct answer answer = {0};
    int rc;

    if (mysql_stmt_field_count(statement) == 0)
        return 0;
    if (mysql_stmt_store_result(statement) != 0)
        return fail_statement(mysql, statement, err);
    if (query->fn == NULL)
        return 0;
    answer.arena = arena_new(ANSWER_LEN_MAX);
    rc = bind_answer(mysql, statement, &answer, err);
    if (rc == 0)
        rc = fetch(mysql, statement, &answer, query, err);
    arena_free(answer.arena);
    return rc;
}

static bool is_kept(const struct mysql_link *mysql, const MYSQL_STMT *statement)
{
    int i;

    for (i = 0; i < mysql->kept_count; i++)
        if (mysql->kept[i].statement == statement)
            return true;
    return false;
}

static int run_prepared(struct mysql_link *mysql,
                        const struct store_query *query, struct err *err)
{
    MYSQL_STMT *statement = NULL;
    int rc = prepare(mysql, query->sql, &statement, err);

    if (rc)
        return rc;
    rc = execute(mysql, statement, query, err);
    if (rc == 0 && query->out_changed != NULL)
        *query->out_changed = (int64_t)mysql_stmt_affected_rows(statement);
    if (rc == 0)
        rc = take_answer(mysql, statement, query, err);
    mysql_stmt_free_result(statement);
    if (!is_kept(mysql, statement))
        mysql_stmt_close(statement);
    return rc;
}

static int run_once(struct mysql_link *mysql, const struct store_query *query,
                    struct err *err)
{
    struct store_field fields[STORE_CELLS_MAX];
    MYSQL_RES *result;
    MYSQL_ROW row;
    unsigned count, i;
    int rc = 0;

    if (mysql_real_query(mysql->connection, query->sql, strlen(query->sql)) !=
        0)
        return fail_connection(mysql, err);
    result = mysql_store_result(mysql->connection);
    if (result == NULL)
        return mysql_errno(mysql->connection) != 0 ? fail_connection(mysql, err)
                                                   : 0;
    count = mysql_num_fields(result);
    while (rc == 0 && query->fn != NULL &&
           (row = mysql_fetch_row(result)) != NULL) {
        const unsigned long *lens = mysql_fetch_lengths(result);

        for (i = 0; i < count && i < STORE_CELLS_MAX; i++)
            fields[i] = (struct store_field){.data = row[i], .len = lens[i]};
        rc = query->fn(query->user, fields, (int)count, err);
    }
    mysql_free_result(result);
    return rc;
}

static int query_run(struct store_link *link, const struct store_query *query,
                     struct err *err)
{
    struct mysql_link *mysql = (struct mysql_link *)link;

    return query->is_once ? run_once(mysql, query, err)
                          : run_prepared(mysql, query, err);
}

static int note_lock(void *user, const struct store_field *fields, int count,
                     struct err *err)
{
    (void)count;
    (void)err;
    *(bool *)user = store_field_integer(&fields[0], 0) == 1;
    return 0;
}

/* Locks have names for the whole server, so the database's is in it. */
static int lock(struct store_link *link, struct err *err)
{
    bool is_locked = false;
    char sql[100];
    int rc;

    snprintf(sql, sizeof sql,
             "SELECT GET_LOCK(CONCAT('olho.', SHA1(DATABASE())), %d)",
             link->timeout_ms / 1000);
    rc = store_run_once(link, sql, note_lock, &is_locked, err);
    if (rc == 0 && !is_locked)
        rc = store_fail(link->store, STORE_FAILURE_BUSY, "GET_LOCK", "", err);
    return rc;
}

/* Tables that were made stay even when a later one failed. */
static int unlock(struct store_link *link, bool is_done, struct err *err)
{
    (void)is_done;
    return store_run_once(
        link, "SELECT RELEASE_LOCK(CONCAT('olho.', SHA1(DATABASE())))", NULL,
        NULL, err);
}

const struct store_ops store_mysql = {
    .name = "mysql",
    .dialect = DIALECT_MYSQL,
    .begin = "START TRANSACTION",
    .skip = " ON DUPLICATE KEY UPDATE id = id",
    .connect = connect_to,
    .disconnect = disconnect,
    .is_alive = is_alive,
    .query = query_run,
    .lock = lock,
    .unlock = unlock,
};
