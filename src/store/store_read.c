/* SPDX-License-Identifier: Apache-2.0 */
/* Items, answers, comparisons and figures: the rows that olho itself asks
 * for. */
#include <assert.h>
#include <math.h>

#include "store/store_ops.h"
#include "store/store_page.h"
#include "store/store_text.h"

/* LIMIT 100 in the statements below is a page's STORE_PAGE_ROWS. */
enum { SMALL_ARENA_LEN = 1 << 20 };
static_assert(STORE_PAGE_ROWS == 100, "the statements say LIMIT 100");

static const char items_first[] =
    "SELECT id, item_id, embedding_id, nome, categoria, foto_path "
    "FROM items ORDER BY id LIMIT 100";
static const char items_next[] =
    "SELECT id, item_id, embedding_id, nome, categoria, foto_path "
    "FROM items WHERE id > ? ORDER BY id LIMIT 100";

static const char *text_of(const struct store_field *field)
{
    return field->data != NULL ? field->data : "";
}

static int give_item(const struct store_field *row, store_item_fn *fn,
                     void *user, struct err *err)
{
    const int64_t id = store_field_integer(&row[0], 0);
    const struct store_item item = {
        .id = id,
        .item_id = store_field_integer(&row[1], id),
        .embedding_id = store_field_integer(&row[2], -1),
        .name = text_of(&row[3]),
        .category = text_of(&row[4]),
        .photo = text_of(&row[5]),
    };

    return fn(user, &item, err);
}

int store_scan_items(struct store *store, store_item_fn *fn, void *user,
                     struct err *err)
{
    struct store_value last = store_null_value();
    struct store_page page;
    int rc, i;

    store_page_init(&page);
    rc = store_page_read(store, items_first, NULL, 0, &page, err);
    while (rc == 0 && page.row_count > 0) {
        for (i = 0; rc == 0 && i < page.row_count; i++)
            rc = give_item(page.rows[i], fn, user, err);
        if (rc || page.row_count < STORE_PAGE_ROWS)
            break;
        last = store_integer_value(
            store_field_integer(&page.rows[page.row_count - 1][0], 0));
        rc = store_page_read(store, items_next, &last, 1, &page, err);
    }
    store_page_release(&page);
    return rc;
}

/* A row to be changed or else added. Both statements take the same values in
 * the same order; the last of them is the key. */
struct putting {
    const char *select, *update, *insert;
    const struct store_value *values;
    int value_count;
};

static int note_row(void *user, const struct store_field *fields, int count,
                    struct err *err)
{
    (void)fields;
    (void)count;
    (void)err;
    *(bool *)user = true;
    return 0;
}

static int put_row(struct store_link *link, void *user, struct err *err)
{
    const struct putting *putting = user;
    bool is_there = false;
    int rc = store_run(link, putting->select,
                       &putting->values[putting->value_count - 1], 1, note_row,
                       &is_there, err);

    if (rc)
        return rc;
    return store_run(link, is_there ? putting->update : putting->insert,
                     putting->values, putting->value_count, NULL, NULL, err);
}

/* Somebody else may add the row between our look and our INSERT, which the
 * unique key then refuses: the second time it is found. */
static int put_or_change(struct store *store, struct putting *putting,
                         struct err *err)
{
    struct err first = {0};
    int rc = store_call(store, true, put_row, putting, &first);

    if (rc == 0)
        return 0;
    if (rc == ERR_UNPROCESSABLE)
        return store_call(store, true, put_row, putting, err);
    *err = first;
    return rc;
}

int store_put_item(struct store *store, const struct store_item *item,
                   struct err *err)
{
    struct store_value values[5];
    struct putting putting = {
        .select = "SELECT id FROM items WHERE item_id = ?",
        .update = "UPDATE items SET nome = ?, categoria = ?, embedding_id = ?, "
                  "foto_path = ? WHERE item_id = ?",
        .insert = "INSERT INTO items (nome, categoria, embedding_id, "
                  "foto_path, item_id) VALUES (?, ?, ?, ?, ?)",
        .values = values,
        .value_count = 5,
    };
    struct arena *arena = arena_new(SMALL_ARENA_LEN);
    int rc;

    rc = store_column_text(store, "items", "nome", item->name, arena,
                           &values[0], err);
    if (rc == 0)
        rc = store_column_text(store, "items", "categoria", item->category,
                               arena, &values[1], err);
    if (rc == 0)
        rc = store_column_text(store, "items", "foto_path", item->photo, arena,
                               &values[3], err);
    values[2] = item->embedding_id >= 0
                    ? store_integer_value(item->embedding_id)
                    : store_null_value();
    values[4] = store_integer_value(item->item_id);
    if (rc == 0)
        rc = put_or_change(store, &putting, err);
    arena_free(arena);
    return rc;
}

int store_find_answer(struct store *store, const char *request_id,
                      struct store_answer *out, struct err *err)
{
    static const char *const queries[] = {
        "SELECT predicted_class, model_version, confidence FROM "
        "inference_logs WHERE request_id = ? AND predicted_class IS NOT NULL "
        "ORDER BY id DESC LIMIT 1",
        "SELECT prediction, model_version, confidence FROM ab_test_results "
        "WHERE request_id = ? AND prediction IS NOT NULL AND status <> "
        "'shadow' ORDER BY id DESC LIMIT 1",
    };
    struct store_value key;
    struct store_page page;
    const struct store_field *row;
    size_t i;
    int rc;

    store_page_init(&page);
    rc = store_column_text(store, "inference_logs", "request_id", request_id,
                           page.keys, &key, err);
    for (i = 0; rc == 0 && page.row_count == 0 && i < 2; i++)
        rc = store_page_read(store, queries[i], &key, 1, &page, err);
    if (rc == 0 && page.row_count == 0)
        rc =
            err_set(err, ERR_NOT_FOUND,
                    "no answer to the request \"%.40s\" is stored", request_id);
    if (rc == 0) {
        row = page.rows[0];
        store_field_text(&row[0], out->class_name, sizeof out->class_name);
        store_field_text(&row[1], out->model_version,
                         sizeof out->model_version);
        out->confidence = store_field_number(&row[2], NAN);
    }
    store_page_release(&page);
    return rc;
}

/* Of several opinions on one request the last one counts. There are far fewer
 * of them than answers, so they are joined from their side. */
static const char ab_totals[] =
    "SELECT t.model_version, t.requests, t.errors, t.confidences, j.opinions, "
    "j.correct FROM "
    "(SELECT model_version, COUNT(*) AS requests, "
    "SUM(CASE WHEN status = 'error' THEN 1 ELSE 0 END) AS errors, "
    "SUM(CASE WHEN status = 'error' THEN 0 ELSE confidence END) AS confidences "
    "FROM ab_test_results WHERE created_at >= ? AND model_version IS NOT NULL "
    "GROUP BY model_version) t LEFT JOIN "
    "(SELECT a.model_version, COUNT(*) AS opinions, "
    "SUM(CASE WHEN f.classe = a.prediction THEN 1 ELSE 0 END) AS correct "
    "FROM (SELECT MAX(id) AS id FROM feedback GROUP BY request_id) l "
    "JOIN feedback f ON f.id = l.id "
    "JOIN ab_test_results a ON a.request_id = f.request_id "
    "WHERE a.created_at >= ? AND COALESCE(a.status, '') <> 'error' "
    "GROUP BY a.model_version) j ON j.model_version = t.model_version "
    "ORDER BY t.model_version LIMIT 100";

int store_scan_ab(struct store *store, int64_t since_ms, store_ab_fn *fn,
                  void *user, struct err *err)
{
    struct store_ab_total total;
    struct store_value since[2];
    struct store_page page;
    int rc, i;

    store_page_init(&page);
    rc = store_time_value(since_ms, page.keys, &since[0], err);
    since[1] = since[0];
    if (rc == 0)
        rc = store_page_read(store, ab_totals, since, 2, &page, err);
    for (i = 0; rc == 0 && i < page.row_count; i++) {
        const struct store_field *row = page.rows[i];

        total = (struct store_ab_total){
            .request_count = store_field_integer(&row[1], 0),
            .error_count = store_field_integer(&row[2], 0),
            .confidence_sum = store_field_number(&row[3], 0),
            .feedback_count = store_field_integer(&row[4], 0),
            .correct_count = store_field_integer(&row[5], 0),
        };
        store_field_text(&row[0], total.model_version,
                         sizeof total.model_version);
        rc = fn(user, &total, err);
    }
    store_page_release(&page);
    return rc;
}

int store_find_metrics(struct store *store, const char *version,
                       struct store_metrics *out, struct err *err)
{
    static const char sql[] =
        "SELECT model_version, accuracy, \"precision\", recall, f1_score, "
        "total_classes, total_training_samples, inference_time_avg_ms, "
        "faiss_index_size, trained_at, loaded_at FROM model_metrics "
        "WHERE model_version = ? ORDER BY id DESC LIMIT 1";
    struct store_value key;
    struct store_page page;
    int rc;

    store_page_init(&page);
    rc = store_column_text(store, "model_metrics", "model_version", version,
                           page.keys, &key, err);
    if (rc == 0)
        rc = store_page_read(store, sql, &key, 1, &page, err);
    if (rc == 0 && page.row_count == 0)
        rc = err_set(err, ERR_NOT_FOUND,
                     "no metrics of the model version \"%.60s\" are stored",
                     version);
    if (rc == 0) {
        const struct store_field *row = page.rows[0];

        *out = (struct store_metrics){
            .accuracy = store_field_number(&row[1], NAN),
            .precision = store_field_number(&row[2], NAN),
            .recall = store_field_number(&row[3], NAN),
            .f1_score = store_field_number(&row[4], NAN),
            .class_count = store_field_integer(&row[5], 0),
            .training_sample_count = store_field_integer(&row[6], 0),
            .inference_avg_ms = store_field_number(&row[7], NAN),
            .index_size = store_field_integer(&row[8], 0),
            .trained_ms = store_field_time(&row[9]),
            .loaded_ms = store_field_time(&row[10]),
        };
        store_field_text(&row[0], out->model_version,
                         sizeof out->model_version);
    }
    store_page_release(&page);
    return rc;
}

static int time_or_null(int64_t unix_ms, struct arena *arena,
                        struct store_value *out, struct err *err)
{
    *out = store_null_value();
    return unix_ms != 0 ? store_time_value(unix_ms, arena, out, err) : 0;
}

int store_put_metrics(struct store *store, const struct store_metrics *metrics,
                      struct err *err)
{
    const double ms_max = 9999.99;
    struct store_value values[11] = {
        store_decimal_value(metrics->accuracy, 4, 0, 1),
        store_decimal_value(metrics->precision, 4, 0, 1),
        store_decimal_value(metrics->recall, 4, 0, 1),
        store_decimal_value(metrics->f1_score, 4, 0, 1),
        store_integer_value(metrics->class_count),
        store_integer_value(metrics->training_sample_count),
        store_decimal_value(metrics->inference_avg_ms, 2, 0, ms_max),
        store_integer_value(metrics->index_size),
    };
    struct putting putting = {
        .select = "SELECT id FROM model_metrics WHERE model_version = ?",
        .update = "UPDATE model_metrics SET accuracy = ?, \"precision\" = ?, "
                  "recall = ?, f1_score = ?, total_classes = ?, "
                  "total_training_samples = ?, inference_time_avg_ms = ?, "
                  "faiss_index_size = ?, trained_at = ?, loaded_at = ? "
                  "WHERE model_version = ?",
        .insert = "INSERT INTO model_metrics (accuracy, \"precision\", "
                  "recall, f1_score, total_classes, total_training_samples, "
                  "inference_time_avg_ms, faiss_index_size, trained_at, "
                  "loaded_at, model_version) "
                  "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        .values = values,
        .value_count = 11,
    };
    struct arena *arena = arena_new(SMALL_ARENA_LEN);
    int rc = time_or_null(metrics->trained_ms, arena, &values[8], err);

    if (rc == 0)
        rc = time_or_null(metrics->loaded_ms, arena, &values[9], err);
    if (rc == 0)
        rc = store_column_text(store, "model_metrics", "model_version",
                               metrics->model_version, arena, &values[10], err);
    if (rc == 0)
        rc = put_or_change(store, &putting, err);
    arena_free(arena);
    return rc;
}
