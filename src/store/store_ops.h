/* SPDX-License-Identifier: Apache-2.0 */
/* What a backend of store/store.h implements, and what the files of this room
 * share. A backend knows how to connect and how to run one statement; SQL,
 * tables, checks, transactions and the pool are the same for all.
 *
 * The shared SQL has '?' for each value and double quotes around names that a
 * dialect reserves; nothing but names and numbers of ours is ever pasted into
 * it. */
#ifndef OLHO_STORE_STORE_OPS_H
#define OLHO_STORE_STORE_OPS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/schema.h"
#include "store/store.h"
#include "store/store_url.h"

enum store_kind {
    VALUE_NULL,
    VALUE_INTEGER,
    VALUE_REAL,
    VALUE_TEXT,
    VALUE_BYTES
};

/* A value to be bound. Texts and bytes are borrowed. */
struct store_value {
    enum store_kind kind;
    int64_t integer;
    double real;
    const void *data; /* a text needs no NUL */
    size_t len;
};

/* A value of an answer: text with a NUL behind, or the bytes of a blob. */
struct store_field {
    const char *data; /* NULL: SQL NULL */
    size_t len;
};

typedef int store_fields_fn(void *user, const struct store_field *fields,
                            int count, struct err *err);

struct store_query {
    const char *sql;
    const struct store_value *values;
    int value_count;
    bool is_once;         /* not to be prepared and kept; has no values */
    store_fields_fn *fn;  /* called for each row; NULL: there are none */
    void *user;           /* of fn */
    int64_t *out_changed; /* rows that were changed; may be NULL */
};

/* One connection. It belongs to the pool while idle, to one thread while
 * taken. Embedded first in the backend's struct. */
struct store_link {
    struct store *store;     /* borrowed */
    struct store_link *next; /* the pool's */
    int64_t deadline_us;     /* of the call that has taken it */
    int timeout_ms;          /* of one statement, on the server's side */
    bool is_broken;          /* to be closed; set by the backend */
    bool is_writing;         /* holds the one writer's place */
};

struct store_ops {
    const char *name;
    enum store_dialect dialect;
    const char *begin;   /* starts a transaction that will write */
    const char *skip;    /* ends an INSERT that leaves rows that are there */
    bool has_one_writer; /* a second writer waits in the pool */

    /* Connects within store->options.timeout_ms; link->timeout_ms is then
     * enforced for each statement. The first connection may make what is
     * missing (a file), the others not. */
    int (*connect)(struct store *store, int timeout_ms, bool is_first,
                   struct store_link **out, struct err *err);
    void (*disconnect)(struct store_link *link);

    /* Whether an idle connection still is one, without asking the server. */
    bool (*is_alive)(struct store_link *link);
    int (*query)(struct store_link *link, const struct store_query *query,
                 struct err *err);

    /* Takes and gives the lock that other processes respect. */
    int (*lock)(struct store_link *link, struct err *err);
    int (*unlock)(struct store_link *link, bool is_done, struct err *err);
};

extern const struct store_ops store_sqlite, store_postgres, store_mysql;

/* --- the pool: store_pool.c --- */

struct store_pool {
    pthread_mutex_t mutex; /* guards what follows; never held across I/O */
    pthread_cond_t changed;
    struct store_link *idle;
    int open_count; /* idle, taken, and being opened */
    bool is_writing;
    bool was_connected;
    int64_t retry_us; /* no connection is tried before; 0: any time */
    int pause_ms;     /* from the last failure to retry_us */
    struct err failure;
};

struct store {
    const struct store_ops *ops;
    struct store_place place;
    struct store_options options;
    char *name;
    struct store_pool pool;
    atomic_bool is_settled; /* what follows is known */
    /* Characters that fit into a column, by its place in schema.h; an adopted
     * table may have less room than ours. 0: any number. Relaxed order: read
     * long after it was learnt, and harmless when old. */
    atomic_int column_chars[SCHEMA_COLUMN_COUNT_MAX];
};

void store_pool_init(struct store_pool *pool);
void store_pool_release(struct store *store); /* closes what is idle */

/* Waits for a connection until the deadline. After a failure to connect the
 * next tries fail at once with the same error for a pause that doubles from
 * 50 ms to 2 s. */
MUST_CHECK int store_take(struct store *store, bool is_writing,
                          int64_t deadline_us, struct store_link **out,
                          struct err *err);
void store_give(struct store_link *link);

/* --- failures: store.c --- */

/* clang-format off */
#define STORE_FAILURES(X)                                                \
    /* name       error          what the database does */              \
    X(AWAY,       UNAVAILABLE,   "does not answer")                      \
    X(FILE,       UNAVAILABLE,   "cannot be read or written")            \
    X(LOGIN,      UNAVAILABLE,   "refused the user or the password")     \
    X(TLS,        UNAVAILABLE,   "did not agree on TLS, or is not trusted") \
    X(DATABASE,   UNAVAILABLE,   "is not there")                         \
    X(SLOW,       UNAVAILABLE,   "did not finish in time")               \
    X(BUSY,       UNAVAILABLE,   "is locked or busy")                    \
    X(FULL,       UNAVAILABLE,   "has no space or memory left")          \
    X(ROWS,       UNPROCESSABLE, "refused the rows")                     \
    X(SCHEMA,     UNAVAILABLE,   "lacks a table, a column or a right")   \
    X(READ_ONLY,  UNAVAILABLE,   "takes no writes")                      \
    X(CORRUPT,    CORRUPT,       "is damaged or no database")            \
    X(OTHER,      UNAVAILABLE,   "failed")
/* clang-format on */

enum store_failure {
#define X(name, code, text) STORE_FAILURE_##name,
    STORE_FAILURES(X)
#undef X
};

/* Fills err with a sentence of ours and the backend's code for it. The
 * library's own words, which may show values, go to the log at debug. */
int store_fail(const struct store *store, enum store_failure failure,
               const char *code, const char *words, struct err *err);

/* ERR_UNAVAILABLE: memory was short. */
int store_fail_memory(const struct store *store, struct err *err);

/* --- calls: store.c --- */

typedef int store_work_fn(struct store_link *link, void *user, struct err *err);

/* Runs fn with a connection; with is_writing in a transaction, which ends with
 * COMMIT when fn answers 0. */
MUST_CHECK int store_call(struct store *store, bool is_writing,
                          store_work_fn *fn, void *user, struct err *err);

/* The same without learning first. */
MUST_CHECK int store_call_plain(struct store *store, bool is_writing,
                                store_work_fn *fn, void *user, struct err *err);

/* Runs a statement unless the call's deadline has passed. */
MUST_CHECK int store_query_run(struct store_link *link,
                               const struct store_query *query,
                               struct err *err);

/* Gives the call its whole time again, because it has come further. */
void store_extend(struct store_link *link);

/* Runs fn in a transaction that writes: COMMIT when it answers 0, else
 * ROLLBACK. */
MUST_CHECK int store_transact(struct store_link *link, store_work_fn *fn,
                              void *user, struct err *err);

/* A statement with values and rows. */
MUST_CHECK int store_run(struct store_link *link, const char *sql,
                         const struct store_value *values, int value_count,
                         store_fields_fn *fn, void *user, struct err *err);

/* A statement without values that runs once. */
MUST_CHECK int store_run_once(struct store_link *link, const char *sql,
                              store_fields_fn *fn, void *user, struct err *err);

/* "INSERT INTO ... VALUES (?, ...), ..." for row_count rows with all columns
 * of the table, without or with its id. */
void store_insert_sql(const char *table, bool has_id, int row_count,
                      struct buf *out);

/* A connection beside the pool whose statements may take long. The caller ends
 * it with ops->disconnect. */
MUST_CHECK int store_connect_long(struct store *store, struct store_link **out,
                                  struct err *err);

#endif
