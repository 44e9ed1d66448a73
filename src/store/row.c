/* SPDX-License-Identifier: Apache-2.0 */
#include "store/row.h"

#include <assert.h>
#include <stdalign.h>
#include <string.h>

enum { FORMAT = 1, FIELDS_MAX = 10 };

static const uint32_t TEXT_NULL = UINT32_MAX;

struct row_head {
    uint8_t format, table;
    uint16_t spare;         /* 0 */
    uint32_t embedding_len; /* values, which follow at once */
    int64_t created_ms;
};
static_assert(sizeof(struct row_head) == 16, "no padding is written");

enum field_kind { FIELD_END, FIELD_TEXT, FIELD_INT, FIELD_BIG, FIELD_REAL };

struct row_field {
    const char *name; /* of the column */
    enum field_kind kind;
    size_t offset; /* in struct store_row */
};

#define AT(member) offsetof(struct store_row, as.member)

static const struct {
    const char *name;
    struct row_field fields[FIELDS_MAX + 1];
} tables[STORE_TABLE_COUNT] = {
    [STORE_PREDICTIONS] =
        {"predictions",
         {{"image_path", FIELD_TEXT, AT(prediction.image_path)},
          {"classe", FIELD_TEXT, AT(prediction.class_name)},
          {"classe_numerica", FIELD_INT, AT(prediction.class_id)},
          {"confianca", FIELD_REAL, AT(prediction.confidence)},
          {"inference_time_ms", FIELD_INT, AT(prediction.inference_ms)},
          {"model_version", FIELD_TEXT, AT(prediction.model_version)},
          {"item_id", FIELD_BIG, AT(prediction.item_id)}}},
    [STORE_LOGS] = {"inference_logs",
                    {{"request_id", FIELD_TEXT, AT(log.request_id)},
                     {"image_hash", FIELD_TEXT, AT(log.image_hash)},
                     {"predicted_class", FIELD_TEXT, AT(log.class_name)},
                     {"confidence", FIELD_REAL, AT(log.confidence)},
                     {"top_k_predictions", FIELD_TEXT, AT(log.top_k_json)},
                     {"inference_time_ms", FIELD_INT, AT(log.inference_ms)},
                     {"model_version", FIELD_TEXT, AT(log.model_version)},
                     {"user_id", FIELD_BIG, AT(log.user_id)},
                     {"status", FIELD_TEXT, AT(log.status)},
                     {"error_message", FIELD_TEXT, AT(log.error_message)}}},
    [STORE_AB] = {"ab_test_results",
                  {{"request_id", FIELD_TEXT, AT(ab.request_id)},
                   {"model_version", FIELD_TEXT, AT(ab.model_version)},
                   {"prediction", FIELD_TEXT, AT(ab.prediction)},
                   {"confidence", FIELD_REAL, AT(ab.confidence)},
                   {"latency_ms", FIELD_REAL, AT(ab.latency_ms)},
                   {"status", FIELD_TEXT, AT(ab.status)}}},
    [STORE_FEEDBACK] = {"feedback",
                        {{"request_id", FIELD_TEXT, AT(feedback.request_id)},
                         {"classe", FIELD_TEXT, AT(feedback.class_name)}}},
};

static const size_t kind_lens[] = {
    [FIELD_TEXT] = sizeof(uint32_t),
    [FIELD_INT] = sizeof(int),
    [FIELD_BIG] = sizeof(int64_t),
    [FIELD_REAL] = sizeof(double),
};

static const void *value_of(const struct store_row *row,
                            const struct row_field *field)
{
    return (const uint8_t *)row + field->offset;
}

static const char *text_of(const struct store_row *row,
                           const struct row_field *field)
{
    const char *text;

    memcpy(&text, value_of(row, field), sizeof text);
    return text;
}

static int embedding_len_of(const struct store_row *row)
{
    if (row->table != STORE_PREDICTIONS || row->as.prediction.embedding == NULL)
        return 0;
    return row->as.prediction.embedding_len;
}

size_t row_len(const struct store_row *row)
{
    const struct row_field *field;
    size_t len = sizeof(struct row_head);
    int values = embedding_len_of(row);

    assert(row->table < STORE_TABLE_COUNT);
    assert(values >= 0);
    if (values > ROW_EMBEDDING_MAX)
        return (size_t)ROW_LEN_MAX + 1;
    len += (size_t)values * sizeof(float);
    for (field = tables[row->table].fields; field->kind; field++) {
        len += kind_lens[field->kind];
        if (field->kind == FIELD_TEXT && text_of(row, field) != NULL)
            len += strlen(text_of(row, field)) + 1;
    }
    return len;
}

static uint8_t *put(uint8_t *out, const void *data, size_t len)
{
    memcpy(out, data, len);
    return out + len;
}

static uint8_t *put_text(uint8_t *out, const char *text)
{
    uint32_t len = TEXT_NULL;

    if (text == NULL)
        return put(out, &len, sizeof len);
    len = (uint32_t)strlen(text);
    out = put(out, &len, sizeof len);
    return put(out, text, (size_t)len + 1);
}

void row_encode(const struct store_row *row, uint8_t *out)
{
    struct row_head head = {
        .format = FORMAT,
        .table = (uint8_t)row->table,
        .embedding_len = (uint32_t)embedding_len_of(row),
        .created_ms = row->created_ms,
    };
    const struct row_field *field;

    out = put(out, &head, sizeof head);
    if (head.embedding_len > 0)
        out = put(out, row->as.prediction.embedding,
                  head.embedding_len * sizeof(float));
    for (field = tables[row->table].fields; field->kind; field++)
        if (field->kind == FIELD_TEXT)
            out = put_text(out, text_of(row, field));
        else
            out = put(out, value_of(row, field), kind_lens[field->kind]);
}

/* --- back ----------------------------------------------------------------- */

static int fail(const char *what, size_t len, struct err *err)
{
    return err_set(err, ERR_CORRUPT, "%s in a stored row of %zu bytes", what,
                   len);
}

/* Takes len bytes off the front; NULL when there are not so many. */
static const uint8_t *take(struct bytes *from, size_t len)
{
    const uint8_t *at = from->data;

    if (from->len < len)
        return NULL;
    from->data += len;
    from->len -= len;
    return at;
}

/* False when what is there is no text. */
static bool take_text(struct bytes *from, const char **out)
{
    const uint8_t *at = take(from, sizeof(uint32_t));
    uint32_t len;

    *out = NULL;
    if (at == NULL)
        return false;
    memcpy(&len, at, sizeof len);
    if (len == TEXT_NULL)
        return true;
    at = take(from, (size_t)len + 1);
    if (at == NULL || memchr(at, '\0', (size_t)len + 1) != at + len)
        return false;
    *out = (const char *)at;
    return true;
}

static bool take_field(struct bytes *from, const struct row_field *field,
                       struct store_row *row)
{
    uint8_t *place = (uint8_t *)row + field->offset;
    const uint8_t *at;
    const char *text;

    if (field->kind == FIELD_TEXT) {
        if (!take_text(from, &text))
            return false;
        memcpy(place, &text, sizeof text);
        return true;
    }
    at = take(from, kind_lens[field->kind]);
    if (at != NULL)
        memcpy(place, at, kind_lens[field->kind]);
    return at != NULL;
}

static int take_head(struct bytes *from, struct store_row *row, struct err *err)
{
    const uint8_t *at = take(from, sizeof(struct row_head));
    size_t len = from->len;
    struct row_head head;

    if (at == NULL)
        return fail("no head", len, err);
    memcpy(&head, at, sizeof head);
    if (head.format != FORMAT || head.table >= STORE_TABLE_COUNT)
        return fail("an unknown format or table", len, err);
    if (head.embedding_len > ROW_EMBEDDING_MAX ||
        (head.embedding_len > 0 && head.table != STORE_PREDICTIONS))
        return fail("an embedding out of bounds", len, err);
    row->table = head.table;
    row->created_ms = head.created_ms;
    if (head.embedding_len == 0)
        return 0;
    at = take(from, head.embedding_len * sizeof(float));
    if (at == NULL)
        return fail("half an embedding", len, err);
    /* The head has 16 bytes, so that values stay aligned as the row is. */
    row->as.prediction.embedding = (const float *)(const void *)at;
    row->as.prediction.embedding_len = (int)head.embedding_len;
    return 0;
}

int row_decode(struct bytes bytes, struct store_row *out, struct err *err)
{
    struct store_row row = {0};
    const struct row_field *field;
    struct bytes left = bytes;
    int rc;

    assert((uintptr_t)bytes.data % alignof(float) == 0);
    rc = take_head(&left, &row, err);
    if (rc)
        return rc;
    for (field = tables[row.table].fields; field->kind; field++)
        if (!take_field(&left, field, &row))
            return fail(field->name, bytes.len, err);
    if (left.len > 0)
        return fail("bytes too many", bytes.len, err);
    *out = row;
    return 0;
}

/* --- for people ----------------------------------------------------------- */

const char *row_table(enum store_table table)
{
    assert(table < STORE_TABLE_COUNT);
    return tables[table].name;
}

static void print_number(const struct store_row *row,
                         const struct row_field *field,
                         struct json_writer *json)
{
    int64_t big;
    double real;
    int small;

    switch (field->kind) {
    case FIELD_INT:
        memcpy(&small, value_of(row, field), sizeof small);
        json_put_integer(json, small);
        break;
    case FIELD_BIG:
        memcpy(&big, value_of(row, field), sizeof big);
        json_put_integer(json, big);
        break;
    default:
        memcpy(&real, value_of(row, field), sizeof real);
        json_put_double(json, real);
    }
}

void row_print(const struct store_row *row, struct json_writer *json)
{
    const struct row_field *field;
    int values = embedding_len_of(row);

    json_key(json, "table");
    json_put_text(json, row_table(row->table));
    json_key(json, "created_ms");
    json_put_integer(json, row->created_ms);
    for (field = tables[row->table].fields; field->kind; field++) {
        json_key(json, field->name);
        if (field->kind == FIELD_TEXT)
            json_put_text(json, text_of(row, field));
        else
            print_number(row, field, json);
    }
    if (values > 0) {
        json_key(json, "embedding");
        json_put_floats(json, row->as.prediction.embedding, (size_t)values);
    }
}
