/* SPDX-License-Identifier: Apache-2.0 */
/* The database: what was predicted, logged, compared and fed back, and the
 * items of the collection. The tables are those of the collector contract
 * (docs/design/store.md); a database that the former service made is adopted.
 *
 *     store_open("postgres://user:secret@host/olho", &options, &store, &err)
 *
 * Backends: store_sqlite.c (a file; the default), store_postgres.c,
 * store_mysql.c. Requests never call this on their way: rows go through
 * store/writer.h.
 *
 * Thread-safe: a bounded pool of connections, taken for one call at a time;
 * a broken one is replaced. */
#ifndef OLHO_STORE_STORE_H
#define OLHO_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum store_table {
    STORE_PREDICTIONS,
    STORE_LOGS,     /* inference_logs */
    STORE_AB,       /* ab_test_results */
    STORE_FEEDBACK, /* feedback */
    STORE_TABLE_COUNT,
};

/* One row to be written. Texts are borrowed; NULL is SQL NULL; a text longer
 * than its column is cut at a character, and bytes that are not UTF-8 become
 * '?'. A confidence is rounded to four decimals and kept within 0..1; NaN is
 * NULL. Times are Unix ms (UTC). */
struct store_prediction {
    const char *image_path; /* 255 */
    const char *class_name; /* 100, column classe */
    int class_id;           /* classe_numerica */
    double confidence;      /* 0..1, confianca */
    const float *embedding; /* little-endian float32 in the column; or NULL */
    int embedding_len;      /* values */
    int inference_ms;
    const char *model_version; /* 50 */
    int64_t item_id;           /* 0: NULL */
};

struct store_log {
    const char *request_id; /* 36 */
    const char *image_hash; /* 64 */
    const char *class_name; /* 100 */
    double confidence;
    const char *top_k_json;
    int inference_ms;
    const char *model_version;
    int64_t user_id;           /* 0: NULL */
    const char *status;        /* success, error or timeout */
    const char *error_message; /* 16000 */
};

struct store_ab {
    const char *request_id;
    const char *model_version;
    const char *prediction;
    double confidence;
    double latency_ms;
    const char *status; /* success, error or shadow */
};

struct store_feedback {
    const char *request_id;
    const char *class_name; /* what the image really shows */
};

struct store_row {
    enum store_table table;
    int64_t created_ms;
    union {
        struct store_prediction prediction;
        struct store_log log;
        struct store_ab ab;
        struct store_feedback feedback;
    } as;
};

struct store_options {
    int connection_max; /* of the pool, 1..64; SQLite has one writer */
    int timeout_ms;     /* 1..600000: connecting, and one statement */
    bool is_read_only;  /* makes and migrates nothing; no writing calls */
};

enum { STORE_ROWS_MAX = 65536, STORE_EMBEDDING_MAX = 65536 };

struct store;

/* URLs: sqlite:///path (or a plain path), postgres:// and postgresql://,
 * mysql:// and mariadb://, with user, password, host, port, database and
 * ?sslmode= or ?ssl= (store/store_url.h says more and builds them).
 * ERR_INVALID names what the URL lacks (never the password); ERR_UNAVAILABLE
 * when the server does not answer or refuses the user; ERR_NOT_FOUND when there
 * is no file to read; ERR_CORRUPT when the file is no database. Migrates
 * nothing; call store_migrate. The caller owns *out. */
MUST_CHECK int store_open(const char *url, const struct store_options *options,
                          struct store **out, struct err *err);
void store_close(struct store *store); /* NULL is allowed */

/* "postgres://user@host:5432/olho": the URL without its password. */
const char *store_name(const struct store *store);

/* Writes 1..STORE_ROWS_MAX rows of any tables, in order, in one transaction
 * with multi-row inserts: all of them or none. ERR_UNAVAILABLE: the database is
 * away, try again later. ERR_UNPROCESSABLE: the database refused the rows (a
 * constraint), which trying again does not mend. */
MUST_CHECK int store_write(struct store *store, const struct store_row *rows,
                           int count, struct err *err);

/* One SELECT 1. */
MUST_CHECK int store_ping(struct store *store, struct err *err);

/* --- migrations --- */

struct store_state {
    int version;        /* of the last migration that is applied; 0: none */
    int version_latest; /* that this program knows */
    bool is_adopted;    /* its tables were made by another program */
    int64_t rows[STORE_TABLE_COUNT];
    int64_t items;
    int64_t metrics;
};

/* Applies what is missing, under a lock that other processes respect, each
 * migration in a transaction where the database can. Tables that are there are
 * adopted: missing columns and indexes are added, rows are left alone.
 * ERR_UNSUPPORTED for a database that is newer than the program. *out_applied
 * (may be NULL) counts the migrations. */
MUST_CHECK int store_migrate(struct store *store, int *out_applied,
                             struct err *err);
MUST_CHECK int store_state(struct store *store, struct store_state *out,
                           struct err *err);

/* --- reading --- */

struct store_item {
    int64_t id;           /* of the row; predictions.item_id refers to it */
    int64_t item_id;      /* what clients see; id when the column is NULL */
    int64_t embedding_id; /* place in the index; -1: NULL */
    const char *name;     /* nome; "" for NULL */
    const char *category; /* categoria */
    const char *photo;    /* foto_path */
};

/* Calls fn for each item in the order of id until it fails. Texts are valid
 * during the call; fn must not call the store. */
typedef int store_item_fn(void *user, const struct store_item *item,
                          struct err *err);
MUST_CHECK int store_scan_items(struct store *store, store_item_fn *fn,
                                void *user, struct err *err);

/* Adds an item, or changes the one with that item_id. */
MUST_CHECK int store_put_item(struct store *store,
                              const struct store_item *item, struct err *err);

/* What was answered to a request: the row of inference_logs, or else of
 * ab_test_results. Texts are cut to their columns. */
struct store_answer {
    char class_name[101 * 4];
    char model_version[51 * 4];
    double confidence;
};

/* ERR_NOT_FOUND when there is no such request. */
MUST_CHECK int store_find_answer(struct store *store, const char *request_id,
                                 struct store_answer *out, struct err *err);

/* Figures of one version over its rows of ab_test_results since a time, and
 * over the feedback to these requests. */
struct store_ab_total {
    char model_version[51 * 4];
    int64_t request_count, error_count;
    double confidence_sum; /* of the successful ones */
    int64_t feedback_count, correct_count;
};
typedef int store_ab_fn(void *user, const struct store_ab_total *total,
                        struct err *err);
MUST_CHECK int store_scan_ab(struct store *store, int64_t since_ms,
                             store_ab_fn *fn, void *user, struct err *err);

/* A row of model_metrics; NaN is NULL. Writing replaces the version's row. */
struct store_metrics {
    char model_version[51 * 4];
    double accuracy, precision, recall, f1_score; /* 0..1 */
    int64_t class_count, training_sample_count, index_size;
    double inference_avg_ms;
    int64_t trained_ms, loaded_ms; /* 0: NULL */
};
MUST_CHECK int store_find_metrics(struct store *store, const char *version,
                                  struct store_metrics *out, struct err *err);
MUST_CHECK int store_put_metrics(struct store *store,
                                 const struct store_metrics *metrics,
                                 struct err *err);

/* --- whole tables, for export and import --- */

enum store_cell_type {
    STORE_CELL_INTEGER,
    STORE_CELL_NUMBER,
    STORE_CELL_TEXT,
    STORE_CELL_TIME, /* "2026-11-21 12:00:00.123", UTC */
    STORE_CELL_BYTES,
};

struct store_cell {
    const char *column;
    enum store_cell_type type;
    const char *data; /* as text, but for BYTES; NULL is SQL NULL */
    size_t len;
};

enum { STORE_CELLS_MAX = 16 };

struct store_record {
    const char *table;
    int cell_count; /* 1..STORE_CELLS_MAX */
    struct store_cell cells[STORE_CELLS_MAX];
};

/* The name of table i, those first that others refer to; NULL past the end. */
const char *store_table_name(int i);

/* The type of a column; false when the table has none of that name. */
bool store_find_column(const char *table, const char *column,
                       enum store_cell_type *out);

/* Calls fn for each row of a table in the order of id, with the columns that
 * olho knows, "id" first. Cells are valid during the call; fn must not call
 * the store. */
typedef int store_record_fn(void *user, const struct store_record *record,
                            struct err *err);
MUST_CHECK int store_scan_table(struct store *store, const char *table,
                                store_record_fn *fn, void *user,
                                struct err *err);

/* Adds records with their ids in one transaction; those whose id (or unique
 * key) is there already stay as they are. *out_added counts the new ones. */
MUST_CHECK int store_put_records(struct store *store,
                                 const struct store_record *records, int count,
                                 int *out_added, struct err *err);

#endif
