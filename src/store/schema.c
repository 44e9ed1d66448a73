/* SPDX-License-Identifier: Apache-2.0 */
#include "store/schema.h"

#include <assert.h>
#include <string.h>

/* Rows of one table stand together, its id first; a table stands behind those
 * that it refers to. Names and sizes are those of the collector's contract. */
/* clang-format off */
const struct column schema_columns[] = {
    {1, "items", "id", COLUMN_ID},
    {1, "items", "item_id", COLUMN_BIG, 0, COLUMN_IS_UNIQUE},
    {1, "items", "nome", COLUMN_TEXT, 255},
    {1, "items", "categoria", COLUMN_TEXT, 100},
    {1, "items", "embedding_id", COLUMN_BIG},
    {1, "items", "foto_path", COLUMN_TEXT, 500},
    {1, "items", "created_at", COLUMN_NOW},

    {1, "predictions", "id", COLUMN_ID},
    {1, "predictions", "image_path", COLUMN_TEXT, 255, COLUMN_IS_NEEDED},
    {1, "predictions", "classe", COLUMN_TEXT, 100, COLUMN_IS_NEEDED},
    {1, "predictions", "classe_numerica", COLUMN_INTEGER},
    {1, "predictions", "confianca", COLUMN_SHARE},
    {1, "predictions", "embedding", COLUMN_BYTES},
    {1, "predictions", "inference_time_ms", COLUMN_INTEGER},
    {1, "predictions", "model_version", COLUMN_TEXT, 50},
    {1, "predictions", "item_id", COLUMN_INTEGER, 0, 0, "items"},
    {1, "predictions", "created_at", COLUMN_NOW},

    {1, "model_metrics", "id", COLUMN_ID},
    {1, "model_metrics", "model_version", COLUMN_TEXT, 50, COLUMN_IS_UNIQUE},
    {1, "model_metrics", "accuracy", COLUMN_SHARE},
    {1, "model_metrics", "precision", COLUMN_SHARE},
    {1, "model_metrics", "recall", COLUMN_SHARE},
    {1, "model_metrics", "f1_score", COLUMN_SHARE},
    {1, "model_metrics", "total_classes", COLUMN_INTEGER},
    {1, "model_metrics", "total_training_samples", COLUMN_INTEGER},
    {1, "model_metrics", "inference_time_avg_ms", COLUMN_MILLIS},
    {1, "model_metrics", "faiss_index_size", COLUMN_INTEGER},
    {1, "model_metrics", "trained_at", COLUMN_TIME},
    {1, "model_metrics", "loaded_at", COLUMN_TIME},
    {1, "model_metrics", "created_at", COLUMN_NOW},

    {1, "inference_logs", "id", COLUMN_ID},
    {1, "inference_logs", "request_id", COLUMN_TEXT, 36},
    {1, "inference_logs", "image_hash", COLUMN_TEXT, 64},
    {1, "inference_logs", "predicted_class", COLUMN_TEXT, 100},
    {1, "inference_logs", "confidence", COLUMN_SHARE},
    {1, "inference_logs", "top_k_predictions", COLUMN_JSON},
    {1, "inference_logs", "inference_time_ms", COLUMN_INTEGER},
    {1, "inference_logs", "model_version", COLUMN_TEXT, 50},
    {1, "inference_logs", "user_id", COLUMN_INTEGER},
    {1, "inference_logs", "status", COLUMN_TEXT, 20},
    {1, "inference_logs", "error_message", COLUMN_LONG, 16000},
    {1, "inference_logs", "created_at", COLUMN_NOW},

    {1, "ab_test_results", "id", COLUMN_ID},
    {1, "ab_test_results", "request_id", COLUMN_TEXT, 36},
    {1, "ab_test_results", "model_version", COLUMN_TEXT, 50},
    {1, "ab_test_results", "prediction", COLUMN_TEXT, 100},
    {1, "ab_test_results", "confidence", COLUMN_SHARE},
    {1, "ab_test_results", "latency_ms", COLUMN_REAL},
    {1, "ab_test_results", "status", COLUMN_TEXT, 20},
    {1, "ab_test_results", "created_at", COLUMN_NOW},

    {2, "feedback", "id", COLUMN_ID},
    {2, "feedback", "request_id", COLUMN_TEXT, 36, COLUMN_IS_NEEDED},
    {2, "feedback", "classe", COLUMN_TEXT, 100, COLUMN_IS_NEEDED},
    {2, "feedback", "created_at", COLUMN_NOW},
};

const struct column_index schema_indexes[] = {
    {2, "olho_predictions_time", "predictions", "created_at"},
    {2, "olho_logs_request", "inference_logs", "request_id"},
    {2, "olho_logs_time", "inference_logs", "created_at"},
    {2, "olho_ab_request", "ab_test_results", "request_id"},
    {2, "olho_ab_time", "ab_test_results", "created_at"},
    {2, "olho_feedback_request", "feedback", "request_id"},
};

static const char *const migrations[] = {
    "the tables of the collector",
    "feedback, and indexes by request and time",
};

static const char *const type_names[COLUMN_TYPE_COUNT][DIALECT_COUNT] = {
    [COLUMN_ID] = {"INTEGER PRIMARY KEY", "serial PRIMARY KEY", "int NOT NULL AUTO_INCREMENT PRIMARY KEY"},
    [COLUMN_INTEGER] = {"int", "int", "int"},
    [COLUMN_BIG] = {"bigint", "bigint", "bigint"},
    [COLUMN_TEXT] = {"varchar", "varchar", "varchar"},
    [COLUMN_LONG] = {"text", "text", "text"},
    [COLUMN_JSON] = {"json", "json", "json"},
    [COLUMN_BYTES] = {"blob", "bytea", "mediumblob"},
    [COLUMN_SHARE] = {"decimal(5,4)", "decimal(5,4)", "decimal(5,4)"},
    [COLUMN_MILLIS] = {"decimal(6,2)", "decimal(6,2)", "decimal(6,2)"},
    [COLUMN_REAL] = {"double precision", "double precision", "double"},
    [COLUMN_TIME] = {"timestamp", "timestamp", "datetime(3)"},
    [COLUMN_NOW] = {"timestamp DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now'))",
                    "timestamp DEFAULT (now() AT TIME ZONE 'utc')",
                    "datetime(3) DEFAULT (utc_timestamp(3))"},
};
/* clang-format on */

const int schema_column_count =
    sizeof schema_columns / sizeof schema_columns[0];
const int schema_index_count = sizeof schema_indexes / sizeof schema_indexes[0];

static_assert(sizeof schema_columns / sizeof schema_columns[0] <=
                  SCHEMA_COLUMN_COUNT_MAX,
              "SCHEMA_COLUMN_COUNT_MAX is too small");

int schema_version_latest(void)
{
    return sizeof migrations / sizeof migrations[0];
}

const char *schema_migration(int version)
{
    return version >= 1 && version <= schema_version_latest()
               ? migrations[version - 1]
               : NULL;
}

void schema_find(const char *table, int *out_first, int *out_count)
{
    int first = 0, end;

    while (first < schema_column_count &&
           strcmp(schema_columns[first].table, table) != 0)
        first++;
    assert(first < schema_column_count);
    end = first;
    while (end < schema_column_count &&
           strcmp(schema_columns[end].table, table) == 0)
        end++;
    *out_first = first;
    *out_count = end - first;
}

static void add_type(const struct column *column, enum store_dialect dialect,
                     struct buf *out)
{
    buf_printf(out, "\"%s\" %s", column->name,
               type_names[column->type][dialect]);
    if (column->type == COLUMN_TEXT)
        buf_printf(out, "(%d)", column->chars);
}

/* Texts are compared byte by byte, as SQLite and PostgreSQL do: "Acao" and
 * "ação" are two classes. */
static void end_table(enum store_dialect dialect, struct buf *out)
{
    buf_add_text(out, dialect == DIALECT_MYSQL
                          ? ") ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 "
                            "COLLATE=utf8mb4_bin"
                          : ")");
}

void schema_create_table(const char *table, int version,
                         enum store_dialect dialect, bool is_own,
                         struct buf *out)
{
    int first, count, i;

    schema_find(table, &first, &count);
    buf_printf(out, "CREATE TABLE \"%s\" (", table);
    for (i = first; i < first + count; i++) {
        const struct column *column = &schema_columns[i];

        if (column->version > version)
            continue;
        if (i > first)
            buf_add_text(out, ", ");
        add_type(column, dialect, out);
        if (column->flags & COLUMN_IS_NEEDED)
            buf_add_text(out, " NOT NULL");
        if (column->flags & COLUMN_IS_UNIQUE)
            buf_add_text(out, " UNIQUE");
    }
    for (i = first; i < first + count; i++)
        if (is_own && schema_columns[i].reference != NULL)
            buf_printf(out, ", FOREIGN KEY (\"%s\") REFERENCES \"%s\" (id)",
                       schema_columns[i].name, schema_columns[i].reference);
    end_table(dialect, out);
}

/* SQLite adds no column whose default is an expression; rows that were there
 * before have no time that anyone knows. */
void schema_add_column(const struct column *column, enum store_dialect dialect,
                       struct buf *out)
{
    struct column plain = *column;

    if (plain.type == COLUMN_NOW)
        plain.type = COLUMN_TIME;
    buf_printf(out, "ALTER TABLE \"%s\" ADD COLUMN ", plain.table);
    add_type(&plain, dialect, out);
}

void schema_create_index(const struct column_index *index,
                         enum store_dialect dialect, bool is_long,
                         struct buf *out)
{
    enum { PREFIX_CHARS = 36 };

    buf_printf(out, "CREATE INDEX \"%s\" ON \"%s\" (\"%s\"", index->name,
               index->table, index->column);
    if (is_long && dialect == DIALECT_MYSQL)
        buf_printf(out, "(%d)", PREFIX_CHARS);
    buf_add_text(out, ")");
}

void schema_list_columns(const char *table, bool has_id, struct buf *out)
{
    int first, count, i;

    schema_find(table, &first, &count);
    for (i = first + !has_id; i < first + count; i++)
        buf_printf(out, "%s\"%s\"", i > first + !has_id ? ", " : "",
                   schema_columns[i].name);
}

const char *store_table_name(int i)
{
    int place;

    for (place = 0; place < schema_column_count; place++)
        if ((place == 0 || strcmp(schema_columns[place].table,
                                  schema_columns[place - 1].table) != 0) &&
            i-- == 0)
            return schema_columns[place].table;
    return NULL;
}

static enum store_cell_type cell_type(enum column_type type)
{
    static const enum store_cell_type types[COLUMN_TYPE_COUNT] = {
        [COLUMN_ID] = STORE_CELL_INTEGER,
        [COLUMN_INTEGER] = STORE_CELL_INTEGER,
        [COLUMN_BIG] = STORE_CELL_INTEGER,
        [COLUMN_TEXT] = STORE_CELL_TEXT,
        [COLUMN_LONG] = STORE_CELL_TEXT,
        [COLUMN_JSON] = STORE_CELL_TEXT,
        [COLUMN_BYTES] = STORE_CELL_BYTES,
        [COLUMN_SHARE] = STORE_CELL_NUMBER,
        [COLUMN_MILLIS] = STORE_CELL_NUMBER,
        [COLUMN_REAL] = STORE_CELL_NUMBER,
        [COLUMN_TIME] = STORE_CELL_TIME,
        [COLUMN_NOW] = STORE_CELL_TIME,
    };

    return types[type];
}

bool store_find_column(const char *table, const char *column,
                       enum store_cell_type *out)
{
    int i;

    for (i = 0; i < schema_column_count; i++)
        if (strcmp(schema_columns[i].table, table) == 0 &&
            strcmp(schema_columns[i].name, column) == 0) {
            *out = cell_type(schema_columns[i].type);
            return true;
        }
    return false;
}
