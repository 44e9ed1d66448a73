/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors/milvus_write.h"

#include <string.h>

#include <milvus.pb-c.h>

#include "base/json_write.h"
#include "base/mem.h"
#include "vectors/milvus_expr.h"

enum {
    TYPE_INT64 = 5,
    TYPE_VARCHAR = 21,
    TYPE_JSON = 23,
    TYPE_FLOAT_VECTOR = 101,
    PART_ROWS_MAX = 1000,
    PART_LEN = 8 << 20,      /* bytes of vectors in one call, or one row */
    DELETE_MAX = 1000,       /* ids in one call */
    JSON_LEN_MAX = 56 << 20, /* of the tags of a part */
    COLUMNS_MAX = MILVUS_TAG_COLUMNS_MAX + 5,
};

/* --- what fits ------------------------------------------------------------ */

/* UTF-8 as protobuf wants it; control characters are allowed. */
static bool is_utf8(const char *text)
{
    const unsigned char *p = (const unsigned char *)text;

    while (*p != '\0') {
        int more = *p < 0x80                 ? 0
                   : *p >= 0xc2 && *p < 0xe0 ? 1
                   : *p >= 0xe0 && *p < 0xf0 ? 2
                   : *p >= 0xf0 && *p < 0xf5 ? 3
                                             : -1;
        unsigned low = *p == 0xe0 ? 0xa0 : *p == 0xf0 ? 0x90 : 0x80;
        unsigned high = *p == 0xed ? 0x9f : *p == 0xf4 ? 0x8f : 0xbf;

        if (more < 0)
            return false;
        for (p++; more > 0; more--, p++) {
            if (*p < low || *p > high)
                return false;
            low = 0x80;
            high = 0xbf;
        }
    }
    return true;
}

static int check_text(const struct milvus_column *column, const char *what,
                      const char *text, int number, struct err *err)
{
    if (text == NULL || text[0] == '\0')
        return 0;
    if (column == NULL || column->name[0] == '\0')
        return err_set(err, ERR_UNSUPPORTED,
                       "entry %d has a %s, and the collection has no varchar "
                       "column for it",
                       number, what);
    if (strlen(text) > (size_t)column->len_max)
        return err_set(err, ERR_INVALID,
                       "entry %d: %s has %zu bytes; column '%s' takes %d",
                       number, what, strlen(text), column->name,
                       column->len_max);
    if (!is_utf8(text))
        return err_set(err, ERR_INVALID, "entry %d: %s is not UTF-8", number,
                       what);
    return 0;
}

static int check_tag(const struct milvus_shape *shape,
                     const struct vec_entry *entry, int i, int number,
                     struct err *err)
{
    const struct vec_tag *tag = &entry->tags[i];
    const struct milvus_column *column = milvus_shape_tag(shape, tag->name);
    int j;

    if (shape->has_json && strchr(tag->name, '=') != NULL)
        return err_set(err, ERR_UNSUPPORTED,
                       "entry %d has a tag '%s'; names in Milvus have no '='",
                       number, tag->name);
    if (shape->has_json && !is_utf8(tag->value))
        return err_set(err, ERR_INVALID, "entry %d: %s is not UTF-8", number,
                       tag->name);
    if (shape->has_json)
        return 0;
    if (column == NULL)
        return err_set(err, ERR_UNSUPPORTED,
                       "entry %d has a tag '%s', and the collection has no "
                       "varchar column of that name",
                       number, tag->name);
    for (j = 0; j < i; j++)
        if (strcmp(entry->tags[j].name, tag->name) == 0)
            return err_set(err, ERR_UNSUPPORTED,
                           "entry %d has the tag '%s' twice; a column of "
                           "Milvus holds one",
                           number, tag->name);
    return check_text(column, tag->name, tag->value, number, err);
}

int milvus_check_entry(const struct milvus_shape *shape,
                       const struct vec_entry *entry, int number,
                       struct err *err)
{
    int i, rc;

    if (shape->unfilled[0] != '\0')
        return err_set(err, ERR_UNSUPPORTED,
                       "the collection has a column '%s', which entries have "
                       "nothing for",
                       shape->unfilled);
    rc = check_text(&shape->key, "key", entry->key, number, err);
    if (rc == 0)
        rc = check_text(&shape->path, "path", entry->path, number, err);
    for (i = 0; rc == 0 && i < entry->tag_count; i++)
        rc = check_tag(shape, entry, i, number, err);
    return rc;
}

int milvus_part_max(const struct milvus_shape *shape)
{
    size_t count = PART_LEN / ((size_t)shape->dim * sizeof(float));

    if (count > PART_ROWS_MAX)
        return PART_ROWS_MAX;
    return count > 0 ? (int)count : 1;
}

/* --- columns -------------------------------------------------------------- */

/* The columns of one call. Texts are borrowed from the entries; what is
 * allocated is one block each for the floats and the pointers. */
struct columns {
    Milvus__FieldData fields[COLUMNS_MAX], *list[COLUMNS_MAX];
    Milvus__ScalarField scalars[COLUMNS_MAX];
    Milvus__StringArray texts[COLUMNS_MAX];
    Milvus__LongArray longs;
    Milvus__VectorField vector;
    Milvus__FloatArray floats;
    Milvus__BytesArray json;
    ProtobufCBinaryData *tags; /* owned; of each row, in json_text */
    struct buf json_text;
    int count;
    float *vectors;  /* owned */
    char **pointers; /* owned; COLUMNS_MAX * count */
};

static Milvus__FieldData *add_column(struct columns *columns, const char *name,
                                     int type)
{
    Milvus__FieldData *field = &columns->fields[columns->count];

    milvus__field_data__init(field);
    field->type = type;
    field->field_name = (char *)(uintptr_t)name;
    columns->list[columns->count++] = field;
    return field;
}

static void add_ids(struct columns *columns, const char *name, int64_t *ids,
                    size_t count)
{
    Milvus__ScalarField *scalar = &columns->scalars[columns->count];
    Milvus__FieldData *field = add_column(columns, name, TYPE_INT64);

    milvus__scalar_field__init(scalar);
    milvus__long_array__init(&columns->longs);
    columns->longs.data = ids;
    columns->longs.n_data = count;
    scalar->data_case = MILVUS__SCALAR_FIELD__DATA_LONGS;
    scalar->longs = &columns->longs;
    field->field_case = MILVUS__FIELD_DATA__FIELD_SCALARS;
    field->scalars = scalar;
}

static char **add_texts(struct columns *columns, const char *name, size_t count)
{
    Milvus__ScalarField *scalar = &columns->scalars[columns->count];
    Milvus__StringArray *texts = &columns->texts[columns->count];
    char **values = columns->pointers + (size_t)columns->count * count;
    Milvus__FieldData *field = add_column(columns, name, TYPE_VARCHAR);

    milvus__scalar_field__init(scalar);
    milvus__string_array__init(texts);
    texts->data = values;
    texts->n_data = count;
    scalar->data_case = MILVUS__SCALAR_FIELD__DATA_TEXTS;
    scalar->texts = texts;
    field->field_case = MILVUS__FIELD_DATA__FIELD_SCALARS;
    field->scalars = scalar;
    return values;
}

/* The tags of each row as JSON, one behind the other in json_text. */
static void write_tags(struct columns *columns, const struct vec_entry *entries,
                       size_t count)
{
    struct buf *text = &columns->json_text;
    struct json_writer json;
    struct buf tag;
    size_t i, from = 0;
    int j;

    buf_init(&tag, VEC_TAG_NAME_MAX + VEC_TAG_VALUE_MAX + 1);
    for (i = 0; i < count; i++) {
        json_writer_init(&json, text);
        json_object_begin(&json);
        json_key(&json, MILVUS_TAGS_MEMBER);
        json_array_begin(&json);
        for (j = 0; j < entries[i].tag_count; j++) {
            buf_clear(&tag);
            buf_printf(&tag, "%s=%s", entries[i].tags[j].name,
                       entries[i].tags[j].value);
            if (tag.is_full || tag.is_broken)
                text->is_broken = true;
            else
                json_put_text(&json, tag.data);
        }
        json_array_end(&json);
        json_object_end(&json);
        columns->tags[i].len = text->len - from;
        from = text->len;
    }
    buf_release(&tag);
}

static void add_json(struct columns *columns, size_t count)
{
    Milvus__ScalarField *scalar = &columns->scalars[columns->count];
    Milvus__FieldData *field =
        add_column(columns, MILVUS_TAGS_COLUMN, TYPE_JSON);
    uint8_t *at = (uint8_t *)columns->json_text.data;
    size_t i;

    for (i = 0; i < count; at += columns->tags[i++].len)
        columns->tags[i].data = at;
    milvus__scalar_field__init(scalar);
    milvus__bytes_array__init(&columns->json);
    columns->json.data = columns->tags;
    columns->json.n_data = count;
    scalar->data_case = MILVUS__SCALAR_FIELD__DATA_JSON;
    scalar->json = &columns->json;
    field->field_case = MILVUS__FIELD_DATA__FIELD_SCALARS;
    field->scalars = scalar;
}

static void add_vectors(struct columns *columns,
                        const struct milvus_shape *shape, size_t count)
{
    Milvus__FieldData *field =
        add_column(columns, shape->vector, TYPE_FLOAT_VECTOR);

    milvus__vector_field__init(&columns->vector);
    milvus__float_array__init(&columns->floats);
    columns->floats.data = columns->vectors;
    columns->floats.n_data = count * (size_t)shape->dim;
    columns->vector.dim = shape->dim;
    columns->vector.data_case = MILVUS__VECTOR_FIELD__DATA_FLOATS;
    columns->vector.floats = &columns->floats;
    field->field_case = MILVUS__FIELD_DATA__FIELD_VECTORS;
    field->vectors = &columns->vector;
}

static char *text_of(const char *text)
{
    return (char *)(uintptr_t)(text != NULL ? text : "");
}

/* The first that fits. */
static const char *tag_of(const struct vec_entry *entry,
                          const struct milvus_column *column)
{
    int i;

    for (i = 0; i < entry->tag_count; i++)
        if (strcmp(entry->tags[i].name, column->name) == 0 &&
            strlen(entry->tags[i].value) <= (size_t)column->len_max)
            return entry->tags[i].value;
    return NULL;
}

static void fill(struct columns *columns, const struct milvus_shape *shape,
                 const struct vec_entry *entries, size_t count)
{
    size_t dim = (size_t)shape->dim, i;
    char **texts;
    int j;

    if (shape->key.name[0] != '\0') {
        texts = add_texts(columns, shape->key.name, count);
        for (i = 0; i < count; i++)
            texts[i] = text_of(entries[i].key);
    }
    if (shape->path.name[0] != '\0') {
        texts = add_texts(columns, shape->path.name, count);
        for (i = 0; i < count; i++)
            texts[i] = text_of(entries[i].path);
    }
    for (j = 0; j < shape->tag_count; j++) {
        texts = add_texts(columns, shape->tags[j].name, count);
        for (i = 0; i < count; i++)
            texts[i] = text_of(tag_of(&entries[i], &shape->tags[j]));
    }
    if (shape->has_json)
        add_json(columns, count);
    for (i = 0; i < count; i++)
        memcpy(columns->vectors + i * dim, entries[i].vector,
               dim * sizeof(float));
    add_vectors(columns, shape, count);
}

/* --- writing -------------------------------------------------------------- */

static int take_result(struct milvus_link *link,
                       const struct milvus_shape *shape,
                       const Milvus__MutationResult *answer, int count,
                       int64_t *ids, struct err *err)
{
    if (shape->has_auto_id) {
        if (answer->ids == NULL ||
            answer->ids->ids_case != MILVUS__IDS__IDS_LONGS ||
            answer->ids->longs->n_data != (size_t)count)
            return err_set(err, ERR_UNAVAILABLE,
                           "the answer of Milvus at '%s' has not the ids of "
                           "%d rows, which it has stored",
                           link->authority, count);
        memcpy(ids, answer->ids->longs->data, (size_t)count * sizeof *ids);
    }
    if (answer->timestamp == 0)
        return milvus_link_sync(link, err);
    milvus_link_saw(link, answer->timestamp);
    return 0;
}

/* Codes of calls that were refused at the door. With any other the rows may
 * have been taken, wholly or partly, before it failed: so a call whose time
 * runs out at the server is answered, while it goes on there. */
static bool is_refusal(int code)
{
    static const int refusals[] = {
        3,    4,
        7,    8,
        9,          /* no room, or too many calls */
        1100,       /* a wrong parameter */
        1400, 1401, /* no privilege */
        800,  MILVUS_COLLECTION_NOT_FOUND,
    };
    size_t i;

    for (i = 0; i < sizeof refusals / sizeof refusals[0]; i++)
        if (refusals[i] == code)
            return true;
    return false;
}

static int send_columns(struct milvus_link *link,
                        const struct milvus_shape *shape,
                        struct columns *columns, int count, bool is_upsert,
                        int64_t *ids, enum grpc_fate *out_fate, struct err *err)
{
    Milvus__WriteRequest request = MILVUS__WRITE_REQUEST__INIT;
    const struct milvus_call call = {.method = is_upsert ? "Upsert" : "Insert",
                                     .request = &request.base,
                                     .answer =
                                         &milvus__mutation_result__descriptor,
                                     .is_repeatable = is_upsert};
    struct milvus_reply reply;
    int rc;

    request.collection_name = link->url.collection;
    request.fields_data = columns->list;
    request.n_fields_data = (size_t)columns->count;
    request.num_rows = (uint32_t)count;
    rc = milvus_run(link, &call, &reply, err);
    *out_fate = reply.fate;
    if (rc && reply.fate == GRPC_ANSWERED && !reply.is_unknown_call &&
        !is_refusal(reply.code))
        *out_fate = GRPC_PERHAPS;
    if (rc == 0) {
        rc = take_result(link, shape, reply.message, count, ids, err);
        if (rc)
            *out_fate = GRPC_PERHAPS;
    }
    milvus_reply_release(&reply);
    return rc;
}

int milvus_write(struct milvus_link *link, const struct milvus_shape *shape,
                 const struct vec_entry *entries, int count, bool is_upsert,
                 int64_t *ids, enum grpc_fate *out_fate, struct err *err)
{
    struct columns *columns = mem_new(sizeof *columns);
    int rc;

    *out_fate = GRPC_NOT_DONE;
    columns->vectors =
        mem_try((size_t)count * (size_t)shape->dim, sizeof(float));
    columns->pointers =
        mem_try((size_t)count * COLUMNS_MAX, sizeof *columns->pointers);
    columns->tags = mem_try((size_t)count, sizeof *columns->tags);
    buf_init(&columns->json_text, JSON_LEN_MAX);
    if (shape->has_json && columns->tags != NULL)
        write_tags(columns, entries, (size_t)count);
    if (columns->vectors == NULL || columns->pointers == NULL ||
        columns->tags == NULL || columns->json_text.is_broken ||
        columns->json_text.is_full) {
        rc = err_set(err, ERR_UNAVAILABLE, "no memory for %d rows", count);
    } else {
        if (!shape->has_auto_id)
            add_ids(columns, shape->id, ids, (size_t)count);
        fill(columns, shape, entries, (size_t)count);
        rc = send_columns(link, shape, columns, count, is_upsert, ids, out_fate,
                          err);
    }
    mem_free(columns->vectors);
    mem_free(columns->pointers);
    mem_free(columns->tags);
    buf_release(&columns->json_text);
    mem_free(columns);
    return rc;
}

/* --- removing ------------------------------------------------------------- */

static int delete_part(struct milvus_link *link, const char *expr,
                       struct err *err)
{
    Milvus__DeleteRequest request = MILVUS__DELETE_REQUEST__INIT;
    const struct milvus_call call = {.method = "Delete",
                                     .request = &request.base,
                                     .answer =
                                         &milvus__mutation_result__descriptor,
                                     .is_repeatable = true};
    struct milvus_reply reply;
    int rc;

    request.collection_name = link->url.collection;
    request.expr = (char *)(uintptr_t)expr;
    rc = milvus_run(link, &call, &reply, err);
    milvus_reply_release(&reply);
    return rc;
}

int milvus_delete(struct milvus_link *link, const struct milvus_shape *shape,
                  const int64_t *ids, int count, struct err *err)
{
    struct buf expr;
    int i, part, rc = 0;

    buf_init(&expr, MILVUS_EXPR_MAX);
    for (i = 0; rc == 0 && i < count; i += part) {
        part = count - i < DELETE_MAX ? count - i : DELETE_MAX;
        milvus_expr_ids(shape, ids + i, part, &expr);
        rc = buf_check(&expr, err);
        if (rc == 0)
            rc = delete_part(link, expr.data, err);
    }
    buf_release(&expr);
    /* A Delete does not say when it was; what comes now is after it. */
    return rc ? rc : milvus_link_sync(link, err);
}
