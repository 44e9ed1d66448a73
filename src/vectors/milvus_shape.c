/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors/milvus_shape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <milvus.pb-c.h>

#include "base/json.h"
#include "base/mem.h"

#define MODEL_NOTE "olho; model="

/* Milvus's DataType. */
enum {
    TYPE_INT64 = 5,
    TYPE_VARCHAR = 21,
    TYPE_JSON = 23,
    TYPE_FLOAT_VECTOR = 101,
};

enum {
    LABEL_LEN_MAX = 500, /* of label and person_id, as existing users have it */
    LINKS = 16,
    EF_CONSTRUCTION = 256,
    SCHEMA_LEN_MAX = 4096,
    SESSION = 1,
    NUMBER_MAX = 1 << 30,
};

/* --- reading -------------------------------------------------------------- */

static const char *pair_value(Milvus__Pair *const *pairs, size_t count,
                              const char *key)
{
    size_t i;

    for (i = 0; i < count; i++)
        if (strcmp(pairs[i]->key, key) == 0)
            return pairs[i]->value;
    return NULL;
}

/* A number that is written as text or as a number; 0 when it is neither. */
static int number_of(const char *text)
{
    long number = text != NULL ? strtol(text, NULL, 10) : 0;

    return number > 0 && number <= NUMBER_MAX ? (int)number : 0;
}

static int member_of(const struct json_value *object, const char *key)
{
    const struct json_value *member = json_find(object, key);
    int64_t number = 0;

    if (member == NULL)
        return 0;
    if (json_type(member) == JSON_IS_TEXT)
        return number_of(json_text(member));
    return json_whole(member, &number) && number > 0 && number <= NUMBER_MAX
               ? (int)number
               : 0;
}

static bool copy_name(const char *name, char out[MILVUS_NAME_MAX])
{
    size_t len = strlen(name);

    if (len == 0 || len >= MILVUS_NAME_MAX)
        return false;
    memcpy(out, name, len + 1);
    return true;
}

static int read_varchar(const Milvus__FieldSchema *field,
                        struct milvus_shape *shape, struct err *err)
{
    struct milvus_column column = {
        .len_max = number_of(pair_value(field->type_params,
                                        field->n_type_params, "max_length"))};

    if (!copy_name(field->name, column.name))
        return err_set(err, ERR_UNSUPPORTED, "a column's name is too long");
    if (strcmp(column.name, MILVUS_KEY_COLUMN) == 0) {
        shape->key = column;
    } else if (strcmp(column.name, MILVUS_PATH_COLUMN) == 0) {
        shape->path = column;
    } else if (shape->tag_count < MILVUS_TAG_COLUMNS_MAX) {
        shape->tags[shape->tag_count++] = column;
    } else {
        return err_set(err, ERR_UNSUPPORTED,
                       "it has more than %d varchar columns for tags",
                       MILVUS_TAG_COLUMNS_MAX);
    }
    return 0;
}

static int read_field(const Milvus__FieldSchema *field,
                      struct milvus_shape *shape, struct err *err)
{
    if (field->is_primary_key) {
        if (field->data_type != TYPE_INT64 ||
            !copy_name(field->name, shape->id))
            return err_set(err, ERR_UNSUPPORTED,
                           "its primary key '%s' is no int64, which ids of "
                           "entries are",
                           field->name);
        shape->has_auto_id = shape->has_auto_id || field->auto_id;
    } else if (field->data_type == TYPE_FLOAT_VECTOR) {
        if (shape->dim != 0 || !copy_name(field->name, shape->vector))
            return err_set(err, ERR_UNSUPPORTED,
                           "it has two vectors, '%s' and '%s'; entries have "
                           "one",
                           shape->vector, field->name);
        shape->dim = number_of(
            pair_value(field->type_params, field->n_type_params, "dim"));
    } else if (field->data_type == TYPE_VARCHAR) {
        return read_varchar(field, shape, err);
    } else if (field->data_type == TYPE_JSON && !field->is_dynamic &&
               strcmp(field->name, MILVUS_TAGS_COLUMN) == 0) {
        shape->has_json = true;
    } else if (!field->is_dynamic && !field->nullable &&
               field->default_value.len == 0) {
        (void)copy_name(field->name, shape->unfilled);
    }
    return 0;
}

static int read_schema(const Milvus__CollectionSchema *schema,
                       struct milvus_shape *shape, struct err *err)
{
    size_t i;
    int rc = 0;

    shape->has_auto_id = schema->auto_id;
    for (i = 0; rc == 0 && i < schema->n_fields; i++)
        rc = read_field(schema->fields[i], shape, err);
    if (rc)
        return rc;
    if (strncmp(schema->description, MODEL_NOTE, sizeof MODEL_NOTE - 1) == 0)
        snprintf(shape->model, sizeof shape->model, "%s",
                 schema->description + sizeof MODEL_NOTE - 1);
    if (shape->id[0] == '\0')
        return err_set(err, ERR_UNSUPPORTED, "it has no primary key");
    if (shape->dim < 1 || shape->dim > VEC_DIM_MAX)
        return err_set(err, ERR_UNSUPPORTED,
                       "it has no float vector of 1..%d values", VEC_DIM_MAX);
    return 0;
}

static enum vecindex_type type_of(const char *name)
{
    if (strcasecmp(name, "FLAT") == 0)
        return VECINDEX_FLAT;
    if (strncasecmp(name, "IVF", 3) == 0 || strcasecmp(name, "SCANN") == 0)
        return VECINDEX_IVFFLAT;
    return VECINDEX_HNSW;
}

static enum vecindex_metric metric_of(const char *name)
{
    if (strcasecmp(name, "L2") == 0)
        return VECINDEX_L2;
    if (strcasecmp(name, "IP") == 0)
        return VECINDEX_IP;
    return strcasecmp(name, "COSINE") == 0 ? VECINDEX_COSINE
                                           : VECINDEX_METRIC_ANY;
}

/* Servers say the numbers of an index as pairs of their own, as members of
 * the JSON object in the pair `params`, or both. */
static int read_index(const Milvus__IndexDescription *index,
                      struct milvus_shape *shape, struct err *err)
{
    static const char *const names[] = {"M", "efConstruction", "nlist"};
    int *const numbers[] = {&shape->links, &shape->ef_construction,
                            &shape->nlist};
    const char *type = pair_value(index->params, index->n_params, "index_type");
    const char *metric =
        pair_value(index->params, index->n_params, "metric_type");
    const char *params = pair_value(index->params, index->n_params, "params");
    struct json_value *object = NULL;
    struct err ignored = {0};
    size_t i;

    shape->has_index = true;
    shape->metric = metric_of(metric != NULL ? metric : "");
    if (shape->metric == VECINDEX_METRIC_ANY)
        return err_set(err, ERR_UNSUPPORTED,
                       "its index has the metric '%.20s'; L2, IP and COSINE "
                       "can be searched",
                       metric != NULL ? metric : "");
    snprintf(shape->index_type, sizeof shape->index_type, "%s",
             type != NULL ? type : "");
    shape->type = type_of(shape->index_type);
    if (params != NULL &&
        json_parse(bytes_of_text(params), &object, &ignored) != 0)
        object = NULL;
    for (i = 0; i < sizeof names / sizeof names[0]; i++) {
        *numbers[i] =
            number_of(pair_value(index->params, index->n_params, names[i]));
        if (*numbers[i] == 0 && object != NULL)
            *numbers[i] = member_of(object, names[i]);
    }
    json_free(object);
    return 0;
}

static int read_indexes(struct milvus_link *link, struct milvus_shape *shape,
                        struct err *err)
{
    Milvus__DescribeIndexRequest request = MILVUS__DESCRIBE_INDEX_REQUEST__INIT;
    const struct milvus_call call = {
        .method = "DescribeIndex",
        .request = &request.base,
        .answer = &milvus__describe_index_response__descriptor,
        .is_repeatable = true};
    const Milvus__DescribeIndexResponse *answer;
    struct milvus_reply reply;
    size_t i;
    int rc;

    request.collection_name = link->url.collection;
    rc = milvus_run(link, &call, &reply, err);
    if (rc && reply.code == MILVUS_INDEX_NOT_FOUND) {
        *err = (struct err){.code = ERR_OK};
        return 0;
    }
    if (rc)
        return rc;
    answer = reply.message;
    for (i = 0; rc == 0 && i < answer->n_indexes; i++)
        if (strcmp(answer->indexes[i]->field_name, shape->vector) == 0)
            rc = read_index(answer->indexes[i], shape, err);
    milvus_reply_release(&reply);
    return rc;
}

int milvus_shape_find(struct milvus_link *link, bool *out_is_there,
                      struct err *err)
{
    Milvus__CollectionRequest request = MILVUS__COLLECTION_REQUEST__INIT;
    const struct milvus_call call = {.method = "HasCollection",
                                     .request = &request.base,
                                     .answer =
                                         &milvus__bool_response__descriptor,
                                     .is_repeatable = true};
    const Milvus__BoolResponse *answer;
    struct milvus_reply reply;
    int rc;

    request.collection_name = link->url.collection;
    rc = milvus_run(link, &call, &reply, err);
    if (rc)
        return rc;
    answer = reply.message;
    *out_is_there = answer->value;
    milvus_reply_release(&reply);
    return 0;
}

/* 2.3.0 refuses to describe what is not there without a code for that. */
static bool is_absent(struct milvus_link *link)
{
    struct err ignored = {0};
    bool is_there = true;

    return milvus_shape_find(link, &is_there, &ignored) == 0 && !is_there;
}

int milvus_shape_read(struct milvus_link *link, struct milvus_shape *out,
                      struct err *err)
{
    Milvus__CollectionRequest request = MILVUS__COLLECTION_REQUEST__INIT;
    const struct milvus_call call = {
        .method = "DescribeCollection",
        .request = &request.base,
        .answer = &milvus__describe_collection_response__descriptor,
        .is_repeatable = true};
    struct milvus_shape shape = {.dim = 0};
    const Milvus__DescribeCollectionResponse *answer;
    struct milvus_reply reply;
    int rc;

    request.collection_name = link->url.collection;
    rc = milvus_run(link, &call, &reply, err);
    if (rc == ERR_NOT_FOUND ||
        (reply.code == MILVUS_UNEXPECTED && is_absent(link))) {
        *err = (struct err){.code = ERR_OK};
        return err_set(err, ERR_NOT_FOUND,
                       "Milvus at '%s' has no collection '%s'", link->authority,
                       link->url.collection);
    }
    if (rc)
        return rc;
    answer = reply.message;
    shape.collection_id = answer->collection_id;
    if (answer->schema == NULL)
        rc = err_set(err, ERR_UNAVAILABLE, "it has no schema");
    else
        rc = read_schema(answer->schema, &shape, err);
    milvus_reply_release(&reply);
    if (rc == 0)
        rc = read_indexes(link, &shape, err);
    if (rc)
        return err_wrap(err, "collection '%s'", link->url.collection);
    *out = shape;
    return 0;
}

/* --- making --------------------------------------------------------------- */

static Milvus__Pair pair_of(const char *key, const char *value)
{
    Milvus__Pair pair = MILVUS__PAIR__INIT;

    pair.key = (char *)(uintptr_t)key;
    pair.value = (char *)(uintptr_t)value;
    return pair;
}

static Milvus__FieldSchema field_of(const char *name, int type,
                                    Milvus__Pair **param)
{
    Milvus__FieldSchema field = MILVUS__FIELD_SCHEMA__INIT;

    field.name = (char *)(uintptr_t)name;
    field.data_type = type;
    field.type_params = param;
    field.n_type_params = param != NULL;
    return field;
}

static int send_schema(struct milvus_link *link,
                       const Milvus__CollectionSchema *schema, struct err *err)
{
    Milvus__CreateCollectionRequest request =
        MILVUS__CREATE_COLLECTION_REQUEST__INIT;
    const struct milvus_call call = {.method = "CreateCollection",
                                     .request = &request.base,
                                     .answer = &milvus__status__descriptor,
                                     .is_repeatable = true};
    size_t len = protobuf_c_message_get_packed_size(&schema->base);
    struct milvus_reply reply;
    uint8_t packed[SCHEMA_LEN_MAX];
    int rc;

    if (len > sizeof packed)
        return err_set(err, ERR_TOO_LARGE,
                       "the schema of '%s' has %zu bytes; at most %zu can be",
                       link->url.collection, len, sizeof packed);
    protobuf_c_message_pack(&schema->base, packed);
    request.collection_name = link->url.collection;
    request.schema = (ProtobufCBinaryData){len, packed};
    request.shards_num = 1;
    request.consistency_level = SESSION;
    rc = milvus_run(link, &call, &reply, err);
    milvus_reply_release(&reply);
    return rc;
}

int milvus_shape_create(struct milvus_link *link,
                        const struct vec_options *options, struct err *err)
{
    enum { FIELDS = 7 };
    char dim[16], key_len[16], label_len[16], path_len[16], note[256];
    Milvus__Pair dim_pair = pair_of("dim", dim),
                 key_pair = pair_of("max_length", key_len),
                 label_pair = pair_of("max_length", label_len),
                 path_pair = pair_of("max_length", path_len);
    Milvus__Pair *of_dim = &dim_pair, *of_key = &key_pair,
                 *of_label = &label_pair, *of_path = &path_pair;
    Milvus__FieldSchema fields[FIELDS] = {
        field_of("id", TYPE_INT64, NULL),
        field_of(MILVUS_KEY_COLUMN, TYPE_VARCHAR, &of_key),
        field_of("label", TYPE_VARCHAR, &of_label),
        field_of("person_id", TYPE_VARCHAR, &of_label),
        field_of(MILVUS_PATH_COLUMN, TYPE_VARCHAR, &of_path),
        field_of(MILVUS_TAGS_COLUMN, TYPE_JSON, NULL),
        field_of("embedding", TYPE_FLOAT_VECTOR, &of_dim)};
    Milvus__CollectionSchema schema = MILVUS__COLLECTION_SCHEMA__INIT;
    Milvus__FieldSchema *list[FIELDS];
    int i;

    snprintf(dim, sizeof dim, "%d", options->dim);
    snprintf(key_len, sizeof key_len, "%d", VEC_KEY_MAX);
    snprintf(label_len, sizeof label_len, "%d", LABEL_LEN_MAX);
    snprintf(path_len, sizeof path_len, "%d", VEC_PATH_MAX);
    snprintf(note, sizeof note, MODEL_NOTE "%s",
             options->model != NULL ? options->model : "");
    fields[0].is_primary_key = true;
    for (i = 0; i < FIELDS; i++)
        list[i] = &fields[i];
    schema.name = link->url.collection;
    schema.description = note;
    schema.fields = list;
    schema.n_fields = FIELDS;
    return send_schema(link, &schema, err);
}

static const char *metric_name(enum vecindex_metric metric)
{
    switch (metric) {
    case VECINDEX_L2:
        return "L2";
    case VECINDEX_IP:
        return "IP";
    default:
        return "COSINE";
    }
}

static const char *write_params(const struct vec_options *options, char out[96])
{
    int links = options->links > 0 ? options->links : LINKS;
    int breadth = options->ef_construction > 0 ? options->ef_construction
                                               : EF_CONSTRUCTION;

    switch (options->type) {
    case VECINDEX_FLAT:
        snprintf(out, 96, "{}");
        return "FLAT";
    case VECINDEX_IVFFLAT:
        snprintf(out, 96, "{\"nlist\":%d}",
                 options->nlist > 0 ? options->nlist : 128);
        return "IVF_FLAT";
    default:
        snprintf(out, 96, "{\"M\":%d,\"efConstruction\":%d}", links, breadth);
        return "HNSW";
    }
}

int milvus_index_create(struct milvus_link *link,
                        const struct milvus_shape *shape,
                        const struct vec_options *options, struct err *err)
{
    Milvus__CreateIndexRequest request = MILVUS__CREATE_INDEX_REQUEST__INIT;
    const struct milvus_call call = {.method = "CreateIndex",
                                     .request = &request.base,
                                     .answer = &milvus__status__descriptor,
                                     .is_repeatable = true};
    char params[96];
    Milvus__Pair pairs[] = {
        pair_of("index_type", write_params(options, params)),
        pair_of("metric_type", metric_name(options->metric)),
        pair_of("params", params)};
    Milvus__Pair *list[] = {&pairs[0], &pairs[1], &pairs[2]};
    struct milvus_reply reply;
    int rc;

    request.collection_name = link->url.collection;
    request.field_name = (char *)(uintptr_t)shape->vector;
    request.extra_params = list;
    request.n_extra_params = 3;
    rc = milvus_run(link, &call, &reply, err);
    milvus_reply_release(&reply);
    return rc;
}

const struct milvus_column *milvus_shape_tag(const struct milvus_shape *shape,
                                             const char *name)
{
    int i;

    for (i = 0; i < shape->tag_count; i++)
        if (strcmp(shape->tags[i].name, name) == 0)
            return &shape->tags[i];
    return NULL;
}
