/* SPDX-License-Identifier: Apache-2.0 */
/* One list of tests, each run on every kind of database:
 *
 *     EVERY_STORE(rows_are_kept)
 *     {
 *         struct store *store = store_fixture_open(fixture);
 *         ...
 *         store_close(store);
 *     }
 *
 * SQLite lives in the test's folder. PostgreSQL and MariaDB are named by
 * OLHO_TEST_POSTGRES and OLHO_TEST_MARIADB, URLs of a user who may make
 * databases; each test makes its own and drops it. */
#ifndef OLHO_TEST_STORE_FIXTURE_H
#define OLHO_TEST_STORE_FIXTURE_H

#include "store/store_ops.h"
#include "test.h"

struct store_fixture {
    const char *scheme;      /* "sqlite" */
    const char *variable;    /* of the environment; NULL: SQLite */
    char url[STORE_URL_MAX]; /* of this test's database */
    char admin[STORE_URL_MAX];
    char database[64];
};

typedef void store_fixture_fn(struct store_fixture *fixture);
void store_fixture_run(const char *scheme, const char *variable,
                       store_fixture_fn *fn);

#define EVERY_SERVER(what)                                         \
    static void what(struct store_fixture *fixture);               \
    TEST(store_postgres_##what)                                    \
    {                                                              \
        store_fixture_run("postgres", "OLHO_TEST_POSTGRES", what); \
    }                                                              \
    TEST(store_mariadb_##what)                                     \
    {                                                              \
        store_fixture_run("mysql", "OLHO_TEST_MARIADB", what);     \
    }                                                              \
    static void what(struct store_fixture *fixture)

#define EVERY_STORE(what)                                          \
    static void what(struct store_fixture *fixture);               \
    TEST(store_sqlite_##what)                                      \
    {                                                              \
        store_fixture_run("sqlite", NULL, what);                   \
    }                                                              \
    TEST(store_postgres_##what)                                    \
    {                                                              \
        store_fixture_run("postgres", "OLHO_TEST_POSTGRES", what); \
    }                                                              \
    TEST(store_mariadb_##what)                                     \
    {                                                              \
        store_fixture_run("mysql", "OLHO_TEST_MARIADB", what);     \
    }                                                              \
    static void what(struct store_fixture *fixture)

/* Options that tests use: two connections, 5 s. */
struct store_options store_fixture_options(void);

/* Opens the test's database; store_fixture_migrated also migrates it. */
struct store *store_fixture_open(const struct store_fixture *fixture);
struct store *store_fixture_migrated(const struct store_fixture *fixture);

/* Rows to write, of 21 November 2025, 12:00:00.123 UTC. */
#define STORE_FIXTURE_NOON_MS INT64_C(1763726400123)
extern const struct store_row store_fixture_prediction, store_fixture_log;
struct store_row store_fixture_ab(const char *request, const char *version,
                                  const char *class_name, double confidence,
                                  const char *status);
struct store_row store_fixture_feedback(const char *request,
                                        const char *class_name);
void store_fixture_write(struct store *store, const struct store_row *row);

/* Runs statements past the checks, as another program would. Double quotes
 * are names in every dialect. */
void store_fixture_sql(struct store *store, const char *sql);

/* The first column of the first row; "" for NULL or no row. Bytes come as
 * they are, with their number in *out_len (may be NULL). Valid until the next
 * call. */
const char *store_fixture_value(struct store *store, const char *sql,
                                size_t *out_len);
int64_t store_fixture_number(struct store *store, const char *sql);

#endif
