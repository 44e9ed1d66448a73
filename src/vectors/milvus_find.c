/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors/milvus_find.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <milvus.pb-c.h>

#include "vectors/milvus_columns.h"
#include "vectors/milvus_expr.h"
#include "vectors/milvus_state.h"

enum {
    DSL_IS_EXPR = 1,
    FLOAT_VECTORS = 101, /* the type of a placeholder */
    ROW_TEXT_LEN = 1024, /* bytes of a row's texts, about */
    ANSWER_LEN = 16 << 20,
    OUTPUT_MAX = MILVUS_TAG_COLUMNS_MAX + 5,
};

/* --- sending -------------------------------------------------------------- */

/* A server that was started anew has its collections on disk only, and one
 * before 2.3.3 has no code to say so. */
static int run_loaded(struct milvus_link *link, const struct milvus_call *call,
                      struct milvus_reply *out, struct err *err)
{
    int rc = milvus_run(link, call, out, err);

    if (out->code != MILVUS_COLLECTION_NOT_LOADED &&
        out->code != MILVUS_COLLECTION_NOT_WHOLLY_LOADED &&
        out->code != MILVUS_UNEXPECTED)
        return rc;
    *err = (struct err){.code = ERR_OK};
    rc = milvus_load(link, err);
    return rc ? rc : milvus_run(link, call, out, err);
}

static size_t list_texts(const struct milvus_shape *shape,
                         char *out[OUTPUT_MAX])
{
    size_t count = 0;
    int i;

    if (shape->key.name[0] != '\0')
        out[count++] = (char *)(uintptr_t)shape->key.name;
    if (shape->path.name[0] != '\0')
        out[count++] = (char *)(uintptr_t)shape->path.name;
    if (shape->has_json)
        out[count++] = (char *)(uintptr_t)MILVUS_TAGS_COLUMN;
    for (i = 0; i < shape->tag_count && !shape->has_json; i++)
        out[count++] = (char *)(uintptr_t)shape->tags[i].name;
    return count;
}

static int fill_hits(const struct milvus_shape *shape,
                     const struct milvus_columns *columns, const float *scores,
                     struct arena *arena, struct vec_hits *out, struct err *err)
{
    struct vec_hit *hits;
    size_t i;

    hits = arena_try(arena, columns->count + 1, sizeof *hits);
    for (i = 0; hits != NULL && i < columns->count; i++) {
        hits[i].distance = scores != NULL ? scores[i] : 0;
        if (!milvus_columns_hit(shape, columns, i, arena, &hits[i]))
            hits = NULL;
    }
    if (hits == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for %zu entries",
                       columns->count);
    *out = (struct vec_hits){.list = hits, .count = (int)columns->count};
    return 0;
}

/* --- search --------------------------------------------------------------- */

static int nearest_first(const void *a, const void *b)
{
    const struct vec_hit *left = a, *right = b;

    if (left->distance != right->distance)
        return left->distance < right->distance ? -1 : 1;
    return (left->id > right->id) - (left->id < right->id);
}

static int highest_first(const void *a, const void *b)
{
    const struct vec_hit *left = a, *right = b;

    if (left->distance != right->distance)
        return left->distance > right->distance ? -1 : 1;
    return (left->id > right->id) - (left->id < right->id);
}

static int read_hits(const struct milvus_link *link,
                     const struct milvus_shape *shape,
                     const Milvus__SearchResults *answer, int k,
                     struct arena *arena, struct vec_hits *out, struct err *err)
{
    const Milvus__SearchResultData *data = answer->results;
    struct milvus_columns columns = {.count = 0};
    size_t i;
    int rc;

    if (data == NULL || data->n_scores == 0) {
        *out = (struct vec_hits){.count = 0};
        return 0;
    }
    columns.count = data->n_scores;
    if (columns.count > (size_t)k || data->ids == NULL ||
        data->ids->ids_case != MILVUS__IDS__IDS_LONGS ||
        data->ids->longs->n_data != columns.count)
        return milvus_damaged(link, "not one id for each score", err);
    for (i = 0; i < columns.count; i++)
        if (!isfinite(data->scores[i]))
            return milvus_damaged(link, "a score that is no number", err);
    if (!milvus_columns_take(data->fields_data, data->n_fields_data, shape,
                             &columns))
        return milvus_damaged(link, "columns of another length than its hits",
                              err);
    columns.ids = data->ids->longs->data;
    rc = fill_hits(shape, &columns, data->scores, arena, out, err);
    if (rc == 0)
        qsort((void *)(uintptr_t)out->list, columns.count, sizeof *out->list,
              shape->metric == VECINDEX_L2 ? nearest_first : highest_first);
    return rc;
}

static Milvus__Pair pair_of(const char *key, const char *value)
{
    Milvus__Pair pair = MILVUS__PAIR__INIT;

    pair.key = (char *)(uintptr_t)key;
    pair.value = (char *)(uintptr_t)value;
    return pair;
}

static void write_params(const struct milvus_shape *shape, int breadth, int k,
                         char out[64])
{
    const char *type = shape->index_type;

    if (strcasecmp(type, "HNSW") == 0)
        snprintf(out, 64, "{\"ef\":%d}", breadth > k ? breadth : k);
    else if (strcasecmp(type, "DISKANN") == 0)
        snprintf(out, 64, "{\"search_list\":%d}", breadth > k ? breadth : k);
    else if (shape->type == VECINDEX_IVFFLAT)
        snprintf(out, 64, "{\"nprobe\":%d}", breadth);
    else
        snprintf(out, 64, "{}");
}

/* A group of one placeholder for one vector. The message has a small head and
 * the vector's bytes, so it is packed on the heap. */
static int pack_vector(const struct vec_query *query, uint8_t **out,
                       size_t *out_len, struct err *err)
{
    Milvus__PlaceholderGroup group = MILVUS__PLACEHOLDER_GROUP__INIT;
    Milvus__Placeholder placeholder = MILVUS__PLACEHOLDER__INIT;
    Milvus__Placeholder *list = &placeholder;
    ProtobufCBinaryData value = {(size_t)query->dim * sizeof *query->vector,
                                 (uint8_t *)(uintptr_t)query->vector};
    uint8_t *packed;

    placeholder.tag = (char *)(uintptr_t) "$0";
    placeholder.type = FLOAT_VECTORS;
    placeholder.values = &value;
    placeholder.n_values = 1;
    group.placeholders = &list;
    group.n_placeholders = 1;
    *out_len = protobuf_c_message_get_packed_size(&group.base);
    packed = mem_try(*out_len, 1);
    if (packed == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for a query");
    protobuf_c_message_pack(&group.base, packed);
    *out = packed;
    return 0;
}

int milvus_search(struct milvus_link *link, const struct milvus_shape *shape,
                  const char *expr, const struct vec_query *query, int breadth,
                  struct arena *arena, struct vec_hits *out, struct err *err)
{
    Milvus__SearchRequest request = MILVUS__SEARCH_REQUEST__INIT;
    const struct milvus_call call = {.method = "Search",
                                     .request = &request.base,
                                     .answer =
                                         &milvus__search_results__descriptor,
                                     .is_repeatable = true};
    char *names[OUTPUT_MAX], topk[16], params[64];
    Milvus__Pair pairs[] = {pair_of("anns_field", shape->vector),
                            pair_of("topk", topk), pair_of("params", params),
                            pair_of("round_decimal", "-1")};
    Milvus__Pair *list[] = {&pairs[0], &pairs[1], &pairs[2], &pairs[3]};
    struct milvus_reply reply = {.message = NULL};
    uint8_t *packed = NULL;
    size_t packed_len = 0;
    int rc;

    rc = pack_vector(query, &packed, &packed_len, err);
    if (rc)
        return rc;
    snprintf(topk, sizeof topk, "%d", query->k);
    write_params(shape, breadth, query->k, params);
    request.collection_name = link->url.collection;
    request.dsl = (char *)(uintptr_t)expr;
    request.dsl_type = DSL_IS_EXPR;
    request.placeholder_group = (ProtobufCBinaryData){packed_len, packed};
    request.output_fields = names;
    request.n_output_fields = list_texts(shape, names);
    request.search_params = list;
    request.n_search_params = sizeof list / sizeof list[0];
    request.guarantee_timestamp = link->seen_time;
    request.nq = 1;
    request.consistency_level = milvus_link_level(link);
    rc = run_loaded(link, &call, &reply, err);
    mem_free(packed);
    if (rc == 0)
        rc = read_hits(link, shape, reply.message, query->k, arena, out, err);
    milvus_reply_release(&reply);
    return rc;
}

/* --- query ---------------------------------------------------------------- */

static int query(struct milvus_link *link, const char *expr, int limit,
                 char **names, size_t name_count, struct milvus_reply *out,
                 struct err *err)
{
    Milvus__QueryRequest request = MILVUS__QUERY_REQUEST__INIT;
    const struct milvus_call call = {.method = "Query",
                                     .request = &request.base,
                                     .answer =
                                         &milvus__query_results__descriptor,
                                     .is_repeatable = true};
    char text[16];
    /* From 2.4 on rows come in the order of their ids only to who reads them
     * page by page; 2.3 does not know the word and always does so. */
    Milvus__Pair pairs[] = {pair_of("limit", text),
                            pair_of("iterator", "True")};
    Milvus__Pair *list[] = {&pairs[0], &pairs[1]};

    snprintf(text, sizeof text, "%d", limit);
    request.collection_name = link->url.collection;
    request.expr = (char *)(uintptr_t)expr;
    request.output_fields = names;
    request.n_output_fields = name_count;
    request.guarantee_timestamp = link->seen_time;
    request.consistency_level = milvus_link_level(link);
    if (limit > 0) {
        request.query_params = list;
        request.n_query_params = sizeof list / sizeof list[0];
    }
    return run_loaded(link, &call, out, err);
}

/* The rows of an answer are as many as its column of ids is long. */
static int take_rows(const struct milvus_link *link,
                     const struct milvus_shape *shape,
                     const Milvus__QueryResults *answer,
                     struct milvus_columns *out, struct err *err)
{
    size_t i;

    for (i = 0; i < answer->n_fields_data; i++) {
        const Milvus__FieldData *field = answer->fields_data[i];

        if (strcmp(field->field_name, shape->id) == 0 &&
            field->field_case == MILVUS__FIELD_DATA__FIELD_SCALARS &&
            field->scalars->data_case == MILVUS__SCALAR_FIELD__DATA_LONGS)
            out->count = field->scalars->longs->n_data;
    }
    if (out->count > 0 &&
        (!milvus_columns_take(answer->fields_data, answer->n_fields_data, shape,
                              out) ||
         out->ids == NULL))
        return milvus_damaged(link, "columns of different lengths", err);
    return 0;
}

struct place {
    int64_t id;
    size_t row;
};

static int by_id(const void *a, const void *b)
{
    const struct place *left = a, *right = b;

    return (left->id > right->id) - (left->id < right->id);
}

/* The order of rows by id, of which the first `max` are kept; NULL without
 * memory. */
static struct place *sort_rows(struct milvus_columns *columns, int max)
{
    struct place *places = mem_try(columns->count + 1, sizeof *places);
    size_t i;

    if (places == NULL)
        return NULL;
    for (i = 0; i < columns->count; i++)
        places[i] = (struct place){columns->ids[i], i};
    qsort(places, columns->count, sizeof *places, by_id);
    if (columns->count > (size_t)max)
        columns->count = (size_t)max;
    return places;
}

static int read_rows(const struct milvus_shape *shape,
                     struct milvus_columns *columns, int max,
                     struct arena *arena, struct vec_hit *hits,
                     float *out_vectors, struct err *err)
{
    size_t dim = (size_t)shape->dim, i;
    struct place *places = sort_rows(columns, max);
    bool is_whole = places != NULL;

    for (i = 0; is_whole && i < columns->count; i++) {
        is_whole =
            milvus_columns_hit(shape, columns, places[i].row, arena, &hits[i]);
        if (out_vectors != NULL)
            memcpy(out_vectors + i * dim,
                   columns->vectors + places[i].row * dim,
                   dim * sizeof *out_vectors);
    }
    mem_free(places);
    if (!is_whole)
        return err_set(err, ERR_UNAVAILABLE, "no memory for %zu entries",
                       columns->count);
    return 0;
}

/* One query of a page, so large that the answer stays within ANSWER_LEN. */
static int query_part(struct milvus_link *link,
                      const struct milvus_shape *shape, const char *expr,
                      int max, struct arena *arena, struct vec_hit *hits,
                      float *out_vectors, int *out_count, struct err *err)
{
    struct milvus_columns columns = {.count = 0};
    struct milvus_reply reply = {.message = NULL};
    char *names[OUTPUT_MAX];
    size_t name_count = list_texts(shape, names);
    int rc;

    names[name_count++] = (char *)(uintptr_t)shape->id;
    if (out_vectors != NULL)
        names[name_count++] = (char *)(uintptr_t)shape->vector;
    rc = query(link, expr, max, names, name_count, &reply, err);
    if (rc == 0)
        rc = take_rows(link, shape, reply.message, &columns, err);
    if (rc == 0 && columns.count > 0 && out_vectors != NULL &&
        columns.vectors == NULL)
        rc = milvus_damaged(link, "no vectors", err);
    if (rc == 0)
        rc = read_rows(shape, &columns, max, arena, hits, out_vectors, err);
    milvus_reply_release(&reply);
    if (rc == 0)
        *out_count = (int)columns.count;
    return rc;
}

static int part_max(const struct milvus_shape *shape, bool has_vectors)
{
    size_t len =
        ROW_TEXT_LEN + (has_vectors ? (size_t)shape->dim * sizeof(float) : 0);
    size_t count = ANSWER_LEN / len;

    if (count > MILVUS_QUERY_MAX)
        return MILVUS_QUERY_MAX;
    return count > 0 ? (int)count : 1;
}

int milvus_query_rows(struct milvus_link *link,
                      const struct milvus_shape *shape, const char *expr,
                      int max, struct arena *arena, struct vec_hits *out,
                      float *out_vectors, struct err *err)
{
    int step = part_max(shape, out_vectors != NULL), part, got = 0, count = 0;
    struct vec_hit *hits = arena_try(arena, (size_t)max + 1, sizeof *hits);
    struct buf after;
    int rc = 0;

    if (hits == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for %d entries", max);
    buf_init(&after, MILVUS_EXPR_MAX);
    buf_add_text(&after, expr);
    do {
        part = max - count < step ? max - count : step;
        rc = buf_check(&after, err);
        if (rc == 0)
            rc = query_part(link, shape, after.len > 0 ? after.data : "", part,
                            arena, hits + count,
                            out_vectors != NULL
                                ? out_vectors +
                                      (size_t)count * (size_t)shape->dim
                                : NULL,
                            &got, err);
        if (rc)
            break;
        count += got;
        buf_clear(&after);
        if (expr[0] != '\0')
            buf_printf(&after, "(%s) and ", expr);
        if (count > 0)
            buf_printf(&after, "%s > %lld", shape->id,
                       (long long)hits[count - 1].id);
    } while (got == part && count < max);
    buf_release(&after);
    if (rc == 0)
        *out = (struct vec_hits){.list = hits, .count = count};
    return rc;
}

int milvus_query_ids(struct milvus_link *link, const struct milvus_shape *shape,
                     const char *expr, int max, int64_t *out_ids,
                     int *out_count, struct err *err)
{
    struct milvus_columns columns = {.count = 0};
    struct milvus_reply reply = {.message = NULL};
    char *names[] = {(char *)(uintptr_t)shape->id};
    struct place *places;
    size_t i;
    int rc;

    rc = query(link, expr, max, names, 1, &reply, err);
    if (rc == 0)
        rc = take_rows(link, shape, reply.message, &columns, err);
    if (rc == 0) {
        places = sort_rows(&columns, max);
        for (i = 0; places != NULL && i < columns.count; i++)
            out_ids[i] = places[i].id;
        *out_count = (int)columns.count;
        if (places == NULL)
            rc = err_set(err, ERR_UNAVAILABLE, "no memory for %zu ids",
                         columns.count);
        mem_free(places);
    }
    milvus_reply_release(&reply);
    return rc;
}

int milvus_count(struct milvus_link *link, const char *expr, int64_t *out,
                 struct err *err)
{
    struct milvus_reply reply = {.message = NULL};
    const Milvus__QueryResults *answer;
    char *names[] = {(char *)(uintptr_t) "count(*)"};
    bool is_wrong = false;
    const int64_t *count = NULL;
    int rc;

    rc = query(link, expr, 0, names, 1, &reply, err);
    if (rc)
        return rc;
    answer = reply.message;
    if (answer->n_fields_data == 1)
        count = milvus_longs_of(answer->fields_data[0], 1, &is_wrong);
    if (count == NULL)
        rc = milvus_damaged(link, "no count", err);
    else
        *out = *count;
    milvus_reply_release(&reply);
    return rc;
}
