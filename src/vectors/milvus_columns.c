/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors/milvus_columns.h"

#include <string.h>

#include <milvus.pb-c.h>

#include "base/json.h"

int milvus_damaged(const struct milvus_link *link, const char *what,
                   struct err *err)
{
    return err_set(err, ERR_UNAVAILABLE, "the answer of Milvus at '%s' has %s",
                   link->authority, what);
}

static char *const *texts_of(const Milvus__FieldData *field, size_t count,
                             bool *out_is_wrong)
{
    if (field->field_case != MILVUS__FIELD_DATA__FIELD_SCALARS ||
        field->scalars->data_case != MILVUS__SCALAR_FIELD__DATA_TEXTS ||
        field->scalars->texts->n_data != count) {
        *out_is_wrong = true;
        return NULL;
    }
    return field->scalars->texts->data;
}

static const ProtobufCBinaryData *json_of(const Milvus__FieldData *field,
                                          size_t count, bool *out_is_wrong)
{
    if (field->field_case != MILVUS__FIELD_DATA__FIELD_SCALARS ||
        field->scalars->data_case != MILVUS__SCALAR_FIELD__DATA_JSON ||
        field->scalars->json->n_data != count) {
        *out_is_wrong = true;
        return NULL;
    }
    return field->scalars->json->data;
}

const int64_t *milvus_longs_of(const Milvus__FieldData *field, size_t count,
                               bool *out_is_wrong)
{
    if (field->field_case != MILVUS__FIELD_DATA__FIELD_SCALARS ||
        field->scalars->data_case != MILVUS__SCALAR_FIELD__DATA_LONGS ||
        field->scalars->longs->n_data != count) {
        *out_is_wrong = true;
        return NULL;
    }
    return field->scalars->longs->data;
}

static const float *floats_of(const Milvus__FieldData *field, size_t count,
                              bool *out_is_wrong)
{
    if (field->field_case != MILVUS__FIELD_DATA__FIELD_VECTORS ||
        field->vectors->data_case != MILVUS__VECTOR_FIELD__DATA_FLOATS ||
        field->vectors->floats->n_data != count) {
        *out_is_wrong = true;
        return NULL;
    }
    return field->vectors->floats->data;
}

/* By their names: the server may send them in any order. */
bool milvus_columns_take(Milvus__FieldData *const *fields, size_t field_count,
                         const struct milvus_shape *shape,
                         struct milvus_columns *columns)
{
    bool is_wrong = false;
    size_t i;
    int j;

    for (i = 0; i < field_count; i++) {
        const Milvus__FieldData *field = fields[i];
        const char *name = field->field_name;

        if (strcmp(name, shape->id) == 0)
            columns->ids = milvus_longs_of(field, columns->count, &is_wrong);
        else if (strcmp(name, shape->vector) == 0)
            columns->vectors = floats_of(
                field, columns->count * (size_t)shape->dim, &is_wrong);
        else if (strcmp(name, shape->key.name) == 0)
            columns->key = texts_of(field, columns->count, &is_wrong);
        else if (strcmp(name, shape->path.name) == 0)
            columns->path = texts_of(field, columns->count, &is_wrong);
        else if (shape->has_json && strcmp(name, MILVUS_TAGS_COLUMN) == 0)
            columns->json = json_of(field, columns->count, &is_wrong);
        for (j = 0; j < shape->tag_count; j++)
            if (strcmp(name, shape->tags[j].name) == 0)
                columns->tags[j] = texts_of(field, columns->count, &is_wrong);
    }
    return !is_wrong;
}

static const char *keep_text(struct arena *arena, const char *text,
                             bool *out_is_full)
{
    const char *kept;

    if (text[0] == '\0')
        return "";
    kept = arena_text(arena, text, strlen(text));
    if (kept == NULL)
        *out_is_full = true;
    return kept;
}

/* What others wrote there, and is no "name=value", is no tag. */
static bool fill_json(const ProtobufCBinaryData *text, struct arena *arena,
                      struct vec_hit *hit)
{
    struct json_value *object = NULL;
    const struct json_value *array;
    struct err ignored = {0};
    bool is_full = false;
    struct vec_tag *tags;
    size_t i, count = 0;

    if (json_parse((struct bytes){text->data, text->len}, &object, &ignored) !=
        0)
        object = NULL;
    array = object != NULL ? json_find(object, MILVUS_TAGS_MEMBER) : NULL;
    if (array != NULL && json_type(array) == JSON_IS_ARRAY)
        count = json_count(array);
    tags = arena_try(arena, count + 1, sizeof *tags);
    for (i = 0; tags != NULL && i < count; i++) {
        const char *tag = json_text(json_at(array, i));
        const char *sign = tag != NULL ? strchr(tag, '=') : NULL;

        if (sign == NULL)
            continue;
        tags[hit->tag_count].name =
            arena_text(arena, tag, (size_t)(sign - tag));
        is_full = is_full || tags[hit->tag_count].name == NULL;
        tags[hit->tag_count++].value = keep_text(arena, sign + 1, &is_full);
    }
    json_free(object);
    hit->tags = tags;
    return tags != NULL && !is_full && ignored.code != ERR_UNAVAILABLE;
}

bool milvus_columns_hit(const struct milvus_shape *shape,
                        const struct milvus_columns *columns, size_t row,
                        struct arena *arena, struct vec_hit *hit)
{
    bool is_full = false;
    struct vec_tag *tags;
    int i;

    hit->id = columns->ids[row];
    hit->key = keep_text(arena, columns->key != NULL ? columns->key[row] : "",
                         &is_full);
    hit->path = keep_text(
        arena, columns->path != NULL ? columns->path[row] : "", &is_full);
    if (columns->json != NULL)
        return !is_full && fill_json(&columns->json[row], arena, hit);
    tags = arena_try(arena, (size_t)shape->tag_count + 1, sizeof *tags);
    if (tags == NULL)
        return false;
    for (i = 0; i < shape->tag_count; i++) {
        if (columns->tags[i] == NULL || columns->tags[i][row][0] == '\0')
            continue;
        tags[hit->tag_count].name =
            keep_text(arena, shape->tags[i].name, &is_full);
        tags[hit->tag_count++].value =
            keep_text(arena, columns->tags[i][row], &is_full);
    }
    hit->tags = tags;
    return !is_full;
}
