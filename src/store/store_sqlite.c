/* SPDX-License-Identifier: Apache-2.0 */
/* SQLite: one file with a write-ahead log, so that readers and the one writer
 * do not wait for each other. Other processes are waited for by the busy
 * timeout; synchronous=NORMAL keeps every commit over a crash of the program,
 * and the database whole over a crash of the machine. */
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "store/store_ops.h"

enum { STATEMENTS_MAX = 32, STEPS_BETWEEN_CHECKS = 10000, WAL_RETRY_MS = 5 };

struct sqlite_link {
    struct store_link link;
    sqlite3 *db;
    dev_t device; /* of the file that is open */
    ino_t inode;
    struct {
        char *sql;
        sqlite3_stmt *statement;
    } kept[STATEMENTS_MAX];
    int kept_count;
};

static enum store_failure classify(int code)
{
    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return STORE_FAILURE_BUSY;
    case SQLITE_INTERRUPT:
        return STORE_FAILURE_SLOW;
    case SQLITE_FULL:
    case SQLITE_NOMEM:
        return STORE_FAILURE_FULL;
    case SQLITE_CONSTRAINT:
    case SQLITE_TOOBIG:
    case SQLITE_MISMATCH:
    case SQLITE_RANGE:
        return STORE_FAILURE_ROWS;
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return STORE_FAILURE_READ_ONLY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return STORE_FAILURE_CORRUPT;
    case SQLITE_CANTOPEN:
    case SQLITE_IOERR:
    case SQLITE_PROTOCOL:
        return STORE_FAILURE_FILE;
    case SQLITE_ERROR:
    case SQLITE_SCHEMA:
        return STORE_FAILURE_SCHEMA;
    default:
        return STORE_FAILURE_OTHER;
    }
}

static int fail(struct sqlite_link *sqlite, int code, struct err *err)
{
    enum store_failure failure = classify(code);
    char text[64];

    snprintf(text, sizeof text, "SQLite %d, %s", code, sqlite3_errstr(code));
    if (failure == STORE_FAILURE_FILE || failure == STORE_FAILURE_CORRUPT)
        sqlite->link.is_broken = true;
    return store_fail(sqlite->link.store, failure, text,
                      sqlite->db != NULL ? sqlite3_errmsg(sqlite->db) : "",
                      err);
}

static void disconnect(struct store_link *link)
{
    struct sqlite_link *sqlite = (struct sqlite_link *)link;
    int i;

    for (i = 0; i < sqlite->kept_count; i++) {
        sqlite3_finalize(sqlite->kept[i].statement);
        mem_free(sqlite->kept[i].sql);
    }
    sqlite3_close(sqlite->db);
    mem_free(sqlite);
}

/* Called by SQLite now and then while a statement runs: other than 0 ends
 * it. */
static int is_late(void *user)
{
    const struct store_link *link = user;

    return clock_us() >= link->deadline_us;
}

static int make_folder(const char *path, struct err *err)
{
    char folder[FILE_PATH_MAX];
    const char *slash = strrchr(path, '/');

    if (slash == NULL || slash == path)
        return 0;
    snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
    return file_make_dir(folder, err);
}

static int open_file(struct sqlite_link *sqlite, bool is_first, struct err *err)
{
    struct store *store = sqlite->link.store;
    const char *path = store->place.path;
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    struct stat st;
    int rc;

    if (store->options.is_read_only && !file_exists(path))
        return err_set(err, ERR_NOT_FOUND, "there is no database %s", path);
    if (store->options.is_read_only)
        flags |= SQLITE_OPEN_READONLY;
    else
        flags |= SQLITE_OPEN_READWRITE | (is_first ? SQLITE_OPEN_CREATE : 0);
    if (is_first && !store->options.is_read_only) {
        rc = make_folder(path, err);
        if (rc)
            return rc;
    }
    rc = sqlite3_open_v2(path, &sqlite->db, flags, NULL);
    if (rc != SQLITE_OK)
        return fail(sqlite, rc, err);
    if (stat(path, &st) == 0) {
        sqlite->device = st.st_dev;
        sqlite->inode = st.st_ino;
    }
    return 0;
}

/* Of several that do this to a new file at once each may wait for the others,
 * so that SQLite turns one away without waiting for the busy timeout; a little
 * later it finds it done. */
static int use_wal(struct sqlite_link *sqlite, struct err *err)
{
    for (;;) {
        int rc = store_run_once(&sqlite->link, "PRAGMA journal_mode = WAL",
                                NULL, NULL, err);

        if (rc == 0 || (sqlite3_errcode(sqlite->db) & 0xff) != SQLITE_BUSY ||
            clock_us() >= sqlite->link.deadline_us)
            return rc;
        *err = (struct err){0};
        sqlite3_sleep(WAL_RETRY_MS);
    }
}

static int set_up(struct sqlite_link *sqlite, struct err *err)
{
    struct store_link *link = &sqlite->link;
    bool is_read_only = link->store->options.is_read_only;
    int rc;

    sqlite3_busy_timeout(sqlite->db, link->timeout_ms);
    sqlite3_progress_handler(sqlite->db, STEPS_BETWEEN_CHECKS, is_late, link);
    rc = store_run_once(link, "PRAGMA foreign_keys = ON", NULL, NULL, err);
    if (rc == 0 && !is_read_only)
        rc = use_wal(sqlite, err);
    if (rc == 0 && !is_read_only)
        rc = store_run_once(link, "PRAGMA synchronous = NORMAL", NULL, NULL,
                            err);
    if (rc == 0)
        rc = store_run_once(link, "SELECT COUNT(*) FROM sqlite_master", NULL,
                            NULL, err);
    return rc;
}

static int connect_to(struct store *store, int timeout_ms, bool is_first,
                      struct store_link **out, struct err *err)
{
    struct sqlite_link *sqlite = mem_new(sizeof *sqlite);
    int rc;

    sqlite->link.store = store;
    sqlite->link.timeout_ms = timeout_ms;
    sqlite->link.deadline_us = clock_us() + (int64_t)timeout_ms * 1000;
    rc = open_file(sqlite, is_first, err);
    if (rc == 0)
        rc = set_up(sqlite, err);
    if (rc) {
        disconnect(&sqlite->link);
        return rc;
    }
    *out = &sqlite->link;
    return 0;
}

/* A file that was removed or replaced is no longer the one that is open;
 * writing on would fill a file that nobody can see. */
static bool is_alive(struct store_link *link)
{
    const struct sqlite_link *sqlite = (const struct sqlite_link *)link;
    struct stat st;

    return stat(link->store->place.path, &st) == 0 &&
           st.st_dev == sqlite->device && st.st_ino == sqlite->inode;
}

static int prepare(struct sqlite_link *sqlite, const char *sql, bool is_once,
                   sqlite3_stmt **out, struct err *err)
{
    int i, rc;

    for (i = 0; !is_once && i < sqlite->kept_count; i++)
        if (strcmp(sqlite->kept[i].sql, sql) == 0) {
            *out = sqlite->kept[i].statement;
            return 0;
        }
    rc = sqlite3_prepare_v3(sqlite->db, sql, -1,
                            is_once ? 0 : SQLITE_PREPARE_PERSISTENT, out, NULL);
    if (rc != SQLITE_OK)
        return fail(sqlite, rc, err);
    if (!is_once && sqlite->kept_count < STATEMENTS_MAX) {
        sqlite->kept[sqlite->kept_count].sql = mem_text(sql);
        sqlite->kept[sqlite->kept_count++].statement = *out;
    }
    return 0;
}

/* The values outlive the statement's run, so SQLite need not copy them. */
static int bind(struct sqlite_link *sqlite, sqlite3_stmt *statement,
                const struct store_query *query, struct err *err)
{
    int i, rc = SQLITE_OK;

    for (i = 0; rc == SQLITE_OK && i < query->value_count; i++) {
        const struct store_value *value = &query->values[i];

        switch (value->kind) {
        case VALUE_NULL:
            rc = sqlite3_bind_null(statement, i + 1);
            break;
        case VALUE_INTEGER:
            rc = sqlite3_bind_int64(statement, i + 1, value->integer);
            break;
        case VALUE_REAL:
            rc = sqlite3_bind_double(statement, i + 1, value->real);
            break;
        case VALUE_TEXT:
            rc = sqlite3_bind_text64(statement, i + 1, value->data, value->len,
                                     SQLITE_STATIC, SQLITE_UTF8);
            break;
        case VALUE_BYTES:
            rc = sqlite3_bind_blob64(statement, i + 1, value->data, value->len,
                                     SQLITE_STATIC);
            break;
        }
    }
    return rc == SQLITE_OK ? 0 : fail(sqlite, rc, err);
}

static struct store_field field_of(sqlite3_stmt *statement, int i)
{
    struct store_field field = {0};

    switch (sqlite3_column_type(statement, i)) {
    case SQLITE_NULL:
        break;
    case SQLITE_BLOB:
        field.data = sqlite3_column_blob(statement, i);
        if (field.data == NULL)
            field.data = "";
        break;
    default:
        field.data = (const char *)sqlite3_column_text(statement, i);
    }
    if (field.data != NULL)
        field.len = (size_t)sqlite3_column_bytes(statement, i);
    return field;
}

static int take_rows(struct sqlite_link *sqlite, sqlite3_stmt *statement,
                     const struct store_query *query, struct err *err)
{
    struct store_field fields[STORE_CELLS_MAX];
    int count = sqlite3_column_count(statement), i, rc;

    while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
        if (query->fn == NULL)
            continue;
        for (i = 0; i < count && i < STORE_CELLS_MAX; i++)
            fields[i] = field_of(statement, i);
        rc = query->fn(query->user, fields, count, err);
        if (rc)
            return rc;
    }
    return rc == SQLITE_DONE ? 0 : fail(sqlite, rc, err);
}

static bool is_kept(const struct sqlite_link *sqlite,
                    const sqlite3_stmt *statement)
{
    int i;

    for (i = 0; i < sqlite->kept_count; i++)
        if (sqlite->kept[i].statement == statement)
            return true;
    return false;
}

static int query_run(struct store_link *link, const struct store_query *query,
                     struct err *err)
{
    struct sqlite_link *sqlite = (struct sqlite_link *)link;
    sqlite3_stmt *statement = NULL;
    int rc = prepare(sqlite, query->sql, query->is_once, &statement, err);

    if (rc)
        return rc;
    rc = bind(sqlite, statement, query, err);
    if (rc == 0)
        rc = take_rows(sqlite, statement, query, err);
    if (rc == 0 && query->out_changed != NULL)
        *query->out_changed = sqlite3_changes(sqlite->db);
    if (is_kept(sqlite, statement)) {
        sqlite3_reset(statement);
        sqlite3_clear_bindings(statement);
    } else {
        sqlite3_finalize(statement);
    }
    return rc;
}

static int lock(struct store_link *link, struct err *err)
{
    return store_run_once(link, "BEGIN IMMEDIATE", NULL, NULL, err);
}

static int unlock(struct store_link *link, bool is_done, struct err *err)
{
    return store_run_once(link, is_done ? "COMMIT" : "ROLLBACK", NULL, NULL,
                          err);
}

const struct store_ops store_sqlite = {
    .name = "sqlite",
    .dialect = DIALECT_SQLITE,
    .begin = "BEGIN IMMEDIATE",
    .skip = " ON CONFLICT DO NOTHING",
    .has_one_writer = true,
    .connect = connect_to,
    .disconnect = disconnect,
    .is_alive = is_alive,
    .query = query_run,
    .lock = lock,
    .unlock = unlock,
};
