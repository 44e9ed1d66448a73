/* SPDX-License-Identifier: Apache-2.0 */
/* Rows become multi-row INSERTs: those of one table together, in their order,
 * in statements of a few fixed sizes, so that each connection prepares only a
 * few. */
#include <assert.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "store/store_ops.h"
#include "store/store_text.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
              "embeddings are stored as they lie in memory");

/* A statement stays below CHUNK_LEN_MAX, which is well below MariaDB's usual
 * 16 MB for a packet. */
enum {
    CHUNK_ROWS_MAX = 128,
    CHUNK_LEN_MAX = 4 << 20,
    SQL_LEN_MAX = 1 << 16,
    VALUES_MAX = CHUNK_ROWS_MAX * STORE_CELLS_MAX,
    ARENA_LEN_MAX = 64 << 20,
};
static const int chunk_sizes[] = {CHUNK_ROWS_MAX, 32, 8, 1};

static const char *const table_names[STORE_TABLE_COUNT] = {
    [STORE_PREDICTIONS] = "predictions",
    [STORE_LOGS] = "inference_logs",
    [STORE_AB] = "ab_test_results",
    [STORE_FEEDBACK] = "feedback",
};

/* The values of one row, filled column by column in the order of the schema. */
struct cursor {
    const struct store *store;
    struct arena *arena;
    struct store_value *next;
    int column; /* of *next, in schema_columns */
    int rc;     /* the first failure */
    struct err *err;
};

static void put(struct cursor *cursor, struct store_value value)
{
    *cursor->next++ = value;
    cursor->column++;
}

static int fit_text(const struct store *store, int column, const char *text,
                    struct arena *arena, struct store_value *out,
                    struct err *err)
{
    int chars = schema_columns[column].chars;
    int room = atomic_load_explicit(&store->column_chars[column],
                                    memory_order_relaxed);

    if (room > 0 && (chars == 0 || room < chars))
        chars = room;
    return store_text_value(text, chars, arena, out, err);
}

int store_column_text(const struct store *store, const char *table,
                      const char *column, const char *text, struct arena *arena,
                      struct store_value *out, struct err *err)
{
    int first, count, i;

    schema_find(table, &first, &count);
    for (i = first; i < first + count; i++)
        if (strcmp(schema_columns[i].name, column) == 0)
            break;
    assert(i < first + count);
    return fit_text(store, i, text, arena, out, err);
}

static void put_text(struct cursor *cursor, const char *text)
{
    struct store_value value = store_null_value();

    if (cursor->rc == 0)
        cursor->rc = fit_text(cursor->store, cursor->column, text,
                              cursor->arena, &value, cursor->err);
    put(cursor, value);
}

static void put_share(struct cursor *cursor, double value)
{
    put(cursor, store_decimal_value(value, 4, 0, 1));
}

static void put_integer(struct cursor *cursor, int64_t value)
{
    put(cursor, store_integer_value(value));
}

/* An id, of which 0 is none. */
static void put_id(struct cursor *cursor, int64_t id)
{
    put(cursor, id != 0 ? store_integer_value(id) : store_null_value());
}

static void put_time(struct cursor *cursor, int64_t unix_ms)
{
    struct store_value value = store_null_value();

    if (cursor->rc == 0)
        cursor->rc =
            store_time_value(unix_ms, cursor->arena, &value, cursor->err);
    put(cursor, value);
}

static void put_prediction(struct cursor *cursor,
                           const struct store_prediction *row)
{
    put_text(cursor, row->image_path);
    put_text(cursor, row->class_name);
    put_integer(cursor, row->class_id);
    put_share(cursor, row->confidence);
    if (row->embedding != NULL)
        put(cursor, (struct store_value){.kind = VALUE_BYTES,
                                         .data = row->embedding,
                                         .len = (size_t)row->embedding_len *
                                                sizeof *row->embedding});
    else
        put(cursor, store_null_value());
    put_integer(cursor, row->inference_ms);
    put_text(cursor, row->model_version);
    put_id(cursor, row->item_id);
}

static void put_log(struct cursor *cursor, const struct store_log *row)
{
    put_text(cursor, row->request_id);
    put_text(cursor, row->image_hash);
    put_text(cursor, row->class_name);
    put_share(cursor, row->confidence);
    put_text(cursor, row->top_k_json);
    put_integer(cursor, row->inference_ms);
    put_text(cursor, row->model_version);
    /* The column holds 32 bits. */
    put_id(cursor, row->user_id <= INT32_MAX && row->user_id >= INT32_MIN
                       ? row->user_id
                       : 0);
    put_text(cursor, row->status);
    put_text(cursor, row->error_message);
}

static void put_ab(struct cursor *cursor, const struct store_ab *row)
{
    put_text(cursor, row->request_id);
    put_text(cursor, row->model_version);
    put_text(cursor, row->prediction);
    put_share(cursor, row->confidence);
    put(cursor, store_decimal_value(row->latency_ms, 3, 0, 1e12));
    put_text(cursor, row->status);
}

static void put_feedback(struct cursor *cursor,
                         const struct store_feedback *row)
{
    put_text(cursor, row->request_id);
    put_text(cursor, row->class_name);
}

static void put_row(struct cursor *cursor, const struct store_row *row)
{
    switch (row->table) {
    case STORE_PREDICTIONS:
        put_prediction(cursor, &row->as.prediction);
        break;
    case STORE_LOGS:
        put_log(cursor, &row->as.log);
        break;
    case STORE_AB:
        put_ab(cursor, &row->as.ab);
        break;
    case STORE_FEEDBACK:
        put_feedback(cursor, &row->as.feedback);
        break;
    case STORE_TABLE_COUNT:
        assert(row->table < STORE_TABLE_COUNT);
    }
    put_time(cursor, row->created_ms);
}

/* The contract does not say of what kind ab_test_results.latency_ms is. Where
 * another program made it whole, PostgreSQL refuses a text with a fraction, but
 * rounds a decimal. */
static const char *place_of(int column)
{
    return schema_columns[column].type == COLUMN_REAL
               ? "CAST(? AS decimal(20,6))"
               : "?";
}

void store_insert_sql(const char *table, bool has_id, int row_count,
                      struct buf *out)
{
    int first, count, i, row;

    schema_find(table, &first, &count);
    buf_printf(out, "INSERT INTO \"%s\" (", table);
    schema_list_columns(table, has_id, out);
    buf_add_text(out, ") VALUES ");
    for (row = 0; row < row_count; row++) {
        buf_add_text(out, row > 0 ? ", (" : "(");
        for (i = !has_id; i < count; i++)
            buf_printf(out, "%s%s", i > !has_id ? ", " : "",
                       place_of(first + i));
        buf_add_char(out, ')');
    }
}

/* What one call of store_write works with. */
struct writing {
    const struct store_row *const *rows; /* grouped by table */
    int count;
    struct store_value *values; /* room for VALUES_MAX */
    struct arena *arena;        /* of one statement */
    struct buf sql;
};

static size_t row_len(const struct store_row *row)
{
    enum { TEXTS_LEN = 2048 };

    if (row->table == STORE_PREDICTIONS && row->as.prediction.embedding != NULL)
        return TEXTS_LEN + (size_t)row->as.prediction.embedding_len *
                               sizeof *row->as.prediction.embedding;
    if (row->table == STORE_LOGS)
        return TEXTS_LEN +
               (row->as.log.top_k_json ? strlen(row->as.log.top_k_json) : 0) +
               (row->as.log.error_message ? strlen(row->as.log.error_message)
                                          : 0);
    return TEXTS_LEN;
}

/* How many of the rows from `begin` on go into one statement. */
static int chunk_size(const struct writing *writing, int begin)
{
    int fitting = 0, i;
    size_t len = 0;

    while (begin + fitting < writing->count && fitting < CHUNK_ROWS_MAX &&
           writing->rows[begin + fitting]->table ==
               writing->rows[begin]->table) {
        len += row_len(writing->rows[begin + fitting]);
        if (len > CHUNK_LEN_MAX && fitting > 0)
            break;
        fitting++;
    }
    for (i = 0; chunk_sizes[i] > fitting; i++)
        continue;
    return chunk_sizes[i];
}

static int write_chunk(struct store_link *link, struct writing *writing,
                       int begin, int size, struct err *err)
{
    const char *table = table_names[writing->rows[begin]->table];
    struct cursor cursor = {
        .store = link->store,
        .arena = writing->arena,
        .next = writing->values,
        .err = err,
    };
    int first, count, i, rc;

    schema_find(table, &first, &count);
    assert(count <= STORE_CELLS_MAX);
    for (i = begin; i < begin + size; i++) {
        cursor.column = first + 1;
        put_row(&cursor, writing->rows[i]);
        assert(cursor.column == first + count);
    }
    if (cursor.rc)
        return cursor.rc;
    buf_clear(&writing->sql);
    store_insert_sql(table, false, size, &writing->sql);
    rc = buf_check(&writing->sql, err);
    if (rc == 0)
        rc = store_run(link, writing->sql.data, writing->values,
                       (int)(cursor.next - writing->values), NULL, NULL, err);
    arena_reset(writing->arena);
    return rc;
}

/* A database that goes on taking statements gets its whole time for each, or a
 * large call would fail however often it is tried. */
static int write_all(struct store_link *link, void *user, struct err *err)
{
    struct writing *writing = user;
    int begin, size, rc = 0;

    for (begin = 0; rc == 0 && begin < writing->count; begin += size) {
        size = chunk_size(writing, begin);
        rc = write_chunk(link, writing, begin, size, err);
        store_extend(link);
    }
    return rc;
}

static int check_rows(const struct store_row *rows, int count, struct err *err)
{
    int i, len;

    if (count < 1 || count > STORE_ROWS_MAX)
        return err_set(err, ERR_INVALID,
                       "%d rows were given to be written at once; it must be "
                       "1..%d",
                       count, STORE_ROWS_MAX);
    for (i = 0; i < count; i++) {
        assert(rows[i].table < STORE_TABLE_COUNT);
        len = rows[i].as.prediction.embedding_len;
        if (rows[i].table == STORE_PREDICTIONS &&
            rows[i].as.prediction.embedding != NULL &&
            (len < 0 || len > STORE_EMBEDDING_MAX))
            return err_set(err, ERR_INVALID,
                           "an embedding to be stored has %d values; it must "
                           "be 0..%d",
                           len, STORE_EMBEDDING_MAX);
    }
    return 0;
}

static void group(const struct store_row *rows, int count,
                  const struct store_row **out)
{
    int table, i;

    for (table = 0; table < STORE_TABLE_COUNT; table++)
        for (i = 0; i < count; i++)
            if ((int)rows[i].table == table)
                *out++ = &rows[i];
}

int store_write(struct store *store, const struct store_row *rows, int count,
                struct err *err)
{
    const struct store_row **grouped;
    struct writing writing = {.count = count};
    int rc = check_rows(rows, count, err);

    if (rc)
        return rc;
    grouped = mem_try((size_t)count, sizeof *grouped);
    writing.values = mem_try(VALUES_MAX, sizeof *writing.values);
    writing.arena = arena_new(ARENA_LEN_MAX);
    buf_init(&writing.sql, SQL_LEN_MAX);
    if (grouped == NULL || writing.values == NULL) {
        rc = store_fail_memory(store, err);
        goto out;
    }
    group(rows, count, grouped);
    writing.rows = grouped;
    rc = store_call(store, true, write_all, &writing, err);
out:
    buf_release(&writing.sql);
    arena_free(writing.arena);
    mem_free(writing.values);
    mem_free(grouped);
    return rc;
}
