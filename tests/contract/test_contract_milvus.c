/* SPDX-License-Identifier: Apache-2.0 */
/* What is said to Milvus and to no other backend: collections that other
 * programs made, and what its columns cannot hold. */
#include "test.h"

#include <stdio.h>
#include <string.h>

#include <milvus.pb-c.h>

#include "milvus_room.h"

enum { TYPE_INT64 = 5, TYPE_VARCHAR = 21, TYPE_FLOAT_VECTOR = 101 };

TEST(milvus_gives_back_what_was_added)
{
    const struct vec_tag tags[] = {{"label", "cat"}, {"person_id", "p1"}};
    float vectors[3][MILVUS_DIM], got[MILVUS_DIM];
    struct vec_entry entries[3];
    struct vec_query query = {.dim = MILVUS_DIM, .k = 2};
    struct vec_hits hits;
    struct vec_hit hit;
    struct milvus_room room;
    struct err err = {0};
    int64_t ids[3];
    int i;

    room_init(&room, milvus_server());
    room_open(&room, MILVUS_DIM);
    CHECK_INT(room.dim, MILVUS_DIM);
    CHECK_INT(room.metric, VECINDEX_COSINE);
    for (i = 0; i < 3; i++) {
        milvus_direction(i, MILVUS_DIM, vectors[i]);
        entries[i] = (struct vec_entry){.id = VEC_ID_NEW, .vector = vectors[i]};
    }
    entries[1].key = "key of one";
    entries[1].path = "a/b.jpg";
    entries[1].tags = tags;
    entries[1].tag_count = 2;
    room_put(&room, entries, 3, false, ids);
    query.vector = vectors[1];
    room_find(&room, &query, &hits);
    CHECK_INT(hits.count, 2);
    CHECK_INT(hits.list[0].id, ids[1]);
    CHECK_NEAR(hits.list[0].distance, 1, 1e-5);
    CHECK_TEXT(hits.list[0].key, "key of one");
    CHECK_TEXT(hits.list[0].path, "a/b.jpg");
    CHECK_INT(hits.list[0].tag_count, 2);
    CHECK_TEXT(hits.list[0].tags[0].name, "label");
    CHECK_TEXT(hits.list[0].tags[0].value, "cat");
    CHECK_TEXT(hits.list[0].tags[1].value, "p1");
    CHECK_INT(hits.list[1].tag_count, 0);
    CHECK_OK(
        vecstore_milvus.get(room.store, ids[2], room.arena, &hit, got, &err),
        err);
    CHECK_INT(memcmp(got, vectors[2], sizeof got), 0);
    CHECK_INT(room_count(&room), 3);
    room_end(&room);
}

/* --- collections of others ------------------------------------------------ */

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

/* As face recognition in Python makes it: id is given by the server; label;
 * embedding; and in the newer schema person_id and image_path. */
static void make_as_others(struct milvus_room *room, bool is_newer)
{
    Milvus__Pair dim = MILVUS__PAIR__INIT, len = MILVUS__PAIR__INIT;
    Milvus__Pair *of_dim = &dim, *of_len = &len;
    Milvus__FieldSchema fields[] = {
        field_of("id", TYPE_INT64, NULL),
        field_of("label", TYPE_VARCHAR, &of_len),
        field_of("embedding", TYPE_FLOAT_VECTOR, &of_dim),
        field_of("person_id", TYPE_VARCHAR, &of_len),
        field_of("image_path", TYPE_VARCHAR, &of_len)};
    Milvus__FieldSchema *list[] = {&fields[0], &fields[1], &fields[2],
                                   &fields[3], &fields[4]};
    Milvus__CollectionSchema schema = MILVUS__COLLECTION_SCHEMA__INIT;
    Milvus__CreateCollectionRequest request =
        MILVUS__CREATE_COLLECTION_REQUEST__INIT;
    const struct milvus_call call = {.method = "CreateCollection",
                                     .request = &request.base,
                                     .answer = &milvus__status__descriptor};
    uint8_t packed[2000];
    struct milvus_reply reply;
    struct err err = {0};

    dim.key = (char *)(uintptr_t) "dim";
    dim.value = (char *)(uintptr_t) "8";
    len.key = (char *)(uintptr_t) "max_length";
    len.value = (char *)(uintptr_t) "500";
    fields[0].is_primary_key = true;
    fields[0].auto_id = true;
    schema.name = room->link.url.collection;
    schema.fields = list;
    schema.n_fields = is_newer ? 5 : 3;
    request.collection_name = room->link.url.collection;
    request.schema.len = protobuf_c_message_pack(&schema.base, packed);
    request.schema.data = packed;
    CHECK(request.schema.len <= sizeof packed);
    CHECK_OK(milvus_run(&room->link, &call, &reply, &err), err);
    milvus_reply_release(&reply);
}

static void check_unknown_tag(struct milvus_room *room, struct vec_query *query)
{
    const char *const red = "red";
    const struct vec_term term = {"colour", &red, 1, false};
    const struct vec_filter filter = {&term, 1};
    struct vec_hits hits;
    struct err err = {0};

    query->filter = &filter;
    CHECK_ERR(
        vecstore_milvus.search(room->store, query, room->arena, &hits, &err),
        ERR_UNSUPPORTED);
    CHECK_HAS(err.text, "'colour'");
    query->filter = NULL;
}

TEST(milvus_takes_a_collection_of_the_older_schema_as_it_is)
{
    const struct vec_tag label = {"label", "cat"}, person = {"person_id", "p"};
    const struct vec_options readers = {.timeout_s = 60};
    struct vec_query query = {.dim = MILVUS_DIM, .k = 3};
    struct vec_entry entry = {.id = VEC_ID_NEW, .tags = &label, .tag_count = 1};
    float vector[MILVUS_DIM];
    struct milvus_room room;
    struct vec_hits hits;
    struct err err;
    int64_t id = 0;

    room_init(&room, milvus_server());
    make_as_others(&room, false);
    CHECK_OK(room_try_open(&room, VEC_READ, &readers, &err), err);
    CHECK_INT(room.dim, MILVUS_DIM);
    milvus_direction(7, MILVUS_DIM, vector);
    entry.vector = query.vector = vector;
    CHECK_ERR(
        vecstore_milvus.search(room.store, &query, room.arena, &hits, &err),
        ERR_UNSUPPORTED);
    CHECK_HAS(err.text, "has no index");
    room_put(&room, &entry, 1, false, &id);
    CHECK(id > 0);
    CHECK_OK(vecstore_milvus.settle(room.store, NULL, NULL, &err), err);
    room_find(&room, &query, &hits);
    CHECK_INT(hits.count, 1);
    CHECK_INT(hits.list[0].id, id);
    CHECK_TEXT(hits.list[0].tags[0].value, "cat");
    check_unknown_tag(&room, &query);

    err = (struct err){0};
    entry.tags = &person;
    CHECK_ERR(vecstore_milvus.write(room.store, &entry, 1, false, NULL, &err),
              ERR_UNSUPPORTED);
    CHECK_HAS(err.text, "'person_id'");
    err = (struct err){0};
    entry.tag_count = 0;
    entry.path = "a.jpg";
    CHECK_ERR(vecstore_milvus.write(room.store, &entry, 1, false, NULL, &err),
              ERR_UNSUPPORTED);
    CHECK_HAS(err.text, "path");
    err = (struct err){0};
    entry.path = NULL;
    entry.key = "k";
    CHECK_ERR(vecstore_milvus.write(room.store, &entry, 1, false, NULL, &err),
              ERR_UNSUPPORTED);
    CHECK_HAS(err.text, "key");
    err = (struct err){0};
    entry.key = NULL;
    entry.id = 5;
    CHECK_ERR(vecstore_milvus.write(room.store, &entry, 1, false, NULL, &err),
              ERR_UNSUPPORTED);
    CHECK_HAS(err.text, "autoID");
    room_end(&room);
}

TEST(milvus_fills_the_columns_of_the_newer_schema)
{
    const struct vec_tag tags[] = {{"person_id", "p"}, {"label", "cat"}};
    const struct vec_options options = {.metric = VECINDEX_IP, .timeout_s = 60};
    struct vec_entry entry = {
        .id = VEC_ID_NEW, .tags = tags, .tag_count = 2, .path = "a.jpg"};
    float vector[MILVUS_DIM];
    struct milvus_room room;
    struct vec_hit hit;
    struct vec_info info;
    struct err err;
    int64_t ids[2], removed = 0;

    room_init(&room, milvus_server());
    make_as_others(&room, true);
    CHECK_OK(room_try_open(&room, VEC_WRITE, &options, &err), err);
    milvus_direction(7, MILVUS_DIM, vector);
    entry.vector = vector;
    room_put(&room, &entry, 1, false, &ids[0]);
    room_put(&room, &entry, 1, true, &ids[1]);
    CHECK(ids[0] != ids[1]);
    CHECK_OK(vecstore_milvus.settle(room.store, NULL, NULL, &err), err);
    CHECK_OK(vecstore_milvus.info(room.store, &info, &err), err);
    CHECK_INT(info.metric, VECINDEX_IP);
    CHECK_INT(info.type, VECINDEX_HNSW);
    CHECK_INT(info.links, 16);
    CHECK_INT(info.ef_construction, 256);
    CHECK_INT(info.count, 2);
    CHECK_TEXT(info.backend, "milvus");
    CHECK_HAS(info.version, "2.");
    CHECK_OK(
        vecstore_milvus.get(room.store, ids[1], room.arena, &hit, NULL, &err),
        err);
    CHECK_TEXT(hit.path, "a.jpg");
    CHECK_INT(hit.tag_count, 2);
    CHECK_TEXT(hit.tags[0].name, "label");
    CHECK_TEXT(hit.tags[1].value, "p");
    CHECK_OK(vecstore_milvus.remove(room.store, ids, NULL, 1, &removed, &err),
             err);
    CHECK_INT(removed, 1);
    CHECK_INT(room_count(&room), 1);
    CHECK_OK(vecstore_milvus.check(room.store, NULL, NULL, &err), err);
    room_end(&room);
}

TEST(milvus_refuses_to_open_what_is_not_as_asked_for)
{
    struct vec_options options = {
        .dim = MILVUS_DIM, .timeout_s = 60, .model = "one"};
    struct milvus_room room;
    struct err err;

    room_init(&room, milvus_server());
    CHECK_ERR(room_try_open(&room, VEC_READ, &options, &err), ERR_NOT_FOUND);
    CHECK_HAS(err.text, room.link.url.collection);
    options.dim = 0;
    CHECK_ERR(room_try_open(&room, VEC_WRITE, &options, &err), ERR_NOT_FOUND);
    options.dim = MILVUS_DIM;
    options.metric = VECINDEX_L2;
    CHECK_OK(room_try_open(&room, VEC_WRITE, &options, &err), err);
    vecstore_milvus.close(room.store);
    options.dim = 16;
    CHECK_ERR(room_try_open(&room, VEC_WRITE, &options, &err), ERR_CONFLICT);
    CHECK_HAS(err.text, "of 8 values; 16");
    options.dim = 0;
    options.metric = VECINDEX_COSINE;
    CHECK_ERR(room_try_open(&room, VEC_READ, &options, &err), ERR_CONFLICT);
    CHECK_HAS(err.text, "L2; cosine");
    options.metric = VECINDEX_METRIC_ANY;
    options.model = "two";
    CHECK_ERR(room_try_open(&room, VEC_READ, &options, &err), ERR_CONFLICT);
    CHECK_HAS(err.text, "'one'");
    options.model = NULL;
    CHECK_OK(room_try_open(&room, VEC_READ, &options, &err), err);
    CHECK_INT(room.metric, VECINDEX_L2);
    room_end(&room);
}

/* Other programs may give any id. */
TEST(milvus_lists_no_collection_of_which_it_would_leave_something_out)
{
    float vector[MILVUS_DIM] = {1};
    struct vec_entry entries[2] = {{.id = 5, .vector = vector},
                                   {.id = -5, .vector = vector}};
    struct milvus_room room;
    struct vec_hits hits;
    struct vec_hit hit;
    struct err err = {0};

    room_init(&room, milvus_server());
    room_open(&room, MILVUS_DIM);
    room_put(&room, entries, 1, false, NULL);
    CHECK_OK(
        vecstore_milvus.list(room.store, -1, 10, room.arena, &hits, NULL, &err),
        err);
    CHECK_INT(hits.count, 1);
    room_put(&room, entries + 1, 1, false, NULL);
    CHECK_ERR(
        vecstore_milvus.list(room.store, -1, 10, room.arena, &hits, NULL, &err),
        ERR_UNSUPPORTED);
    CHECK_HAS(err.text, "1 entries with ids below 0");
    err = (struct err){0};
    CHECK_OK(vecstore_milvus.get(room.store, -5, room.arena, &hit, NULL, &err),
             err);
    room_end(&room);
}

/* --- texts ---------------------------------------------------------------- */

static const char *const hostile[] = {
    "\" or id > 0 or label == \"",
    "\\",
    "\\\"",
    "a\\\" or 1 == 1 or \"",
    "line\nbreak\r\ttab",
    "\x01\x1f\x7f",
    "{label}",
    "%_*",
    "'",
    "''",
    "\xc3\xa9\xf0\x9f\x91\x81",
    "\\u0022",
    "]) or (label not in [\"\"",
    "\\x22 or 1==1",
    "&& true",
    "plain",
};
enum { HOSTILE = sizeof hostile / sizeof hostile[0] };

/* Each is the key and the label of one entry. */
static void put_hostile(struct milvus_room *room)
{
    float vectors[HOSTILE][MILVUS_DIM];
    struct vec_entry entries[HOSTILE];
    struct vec_tag tags[HOSTILE];
    int i;

    for (i = 0; i < HOSTILE; i++) {
        milvus_direction(i, MILVUS_DIM, vectors[i]);
        tags[i] = (struct vec_tag){"label", hostile[i]};
        entries[i] = (struct vec_entry){.id = VEC_ID_NEW,
                                        .vector = vectors[i],
                                        .key = hostile[i],
                                        .tags = &tags[i],
                                        .tag_count = 1};
    }
    room_put(room, entries, HOSTILE, false, NULL);
}

TEST(milvus_takes_any_text_for_a_value_and_none_for_an_expression)
{
    struct vec_term term = {.name = "label", .value_count = 1};
    const struct vec_filter filter = {&term, 1};
    float vector[MILVUS_DIM] = {1};
    struct vec_query query = {
        .vector = vector, .dim = MILVUS_DIM, .k = 50, .filter = &filter};
    struct vec_hits hits;
    struct milvus_room room;
    int i;

    room_init(&room, milvus_server());
    room_open(&room, MILVUS_DIM);
    put_hostile(&room);
    for (i = 0; i < HOSTILE; i++) {
        term.values = &hostile[i];
        term.is_not = false;
        room_find(&room, &query, &hits);
        CHECK_INT(hits.count, 1);
        CHECK_TEXT(hits.list[0].tags[0].value, hostile[i]);
        CHECK_TEXT(hits.list[0].key, hostile[i]);
        term.is_not = true;
        room_find(&room, &query, &hits);
        CHECK_INT(hits.count, HOSTILE - 1);
    }
    query.filter = NULL;
    query.exclude_key = hostile[3];
    room_find(&room, &query, &hits);
    CHECK_INT(hits.count, HOSTILE - 1);
    room_end(&room);
}

TEST(milvus_removes_by_any_text)
{
    const struct vec_term term = {"label", hostile + 4, 2, true};
    const struct vec_filter filter = {&term, 1};
    struct milvus_room room;
    struct err err = {0};
    int64_t removed = 0;

    room_init(&room, milvus_server());
    room_open(&room, MILVUS_DIM);
    put_hostile(&room);
    CHECK_OK(
        vecstore_milvus.remove(room.store, NULL, hostile, 4, &removed, &err),
        err);
    CHECK_INT(removed, 4);
    CHECK_OK(
        vecstore_milvus.remove_matching(room.store, &filter, &removed, &err),
        err);
    CHECK_INT(removed, HOSTILE - 6);
    CHECK_INT(room_count(&room), 2);
    room_end(&room);
}

TEST(milvus_refuses_texts_that_its_columns_do_not_hold)
{
    static char label[502];
    struct vec_tag tags[] = {{"label", label}, {"label", "b"}};
    float vector[MILVUS_DIM] = {1};
    struct vec_entry entry = {
        .id = VEC_ID_NEW, .vector = vector, .tags = tags, .tag_count = 1};
    struct milvus_room room;
    struct vec_hit hit;
    struct err err = {0};
    int64_t id;

    room_init(&room, milvus_server());
    make_as_others(&room, true);
    room_open(&room, MILVUS_DIM);
    CHECK_OK(vecstore_milvus.settle(room.store, NULL, NULL, &err), err);
    memset(label, 'a', 500);
    label[498] = '\xc3';
    label[499] = '\xa9';
    room_put(&room, &entry, 1, false, &id);
    CHECK_OK(vecstore_milvus.get(room.store, id, room.arena, &hit, NULL, &err),
             err);
    CHECK_TEXT(hit.tags[0].value, label);
    label[500] = 'a';
    CHECK_ERR(vecstore_milvus.write(room.store, &entry, 1, false, NULL, &err),
              ERR_INVALID);
    CHECK_HAS(err.text, "501 bytes; column 'label' takes 500");
    err = (struct err){0};
    label[499] = '\0';
    CHECK_ERR(vecstore_milvus.write(room.store, &entry, 1, false, NULL, &err),
              ERR_INVALID);
    CHECK_HAS(err.text, "not UTF-8");
    err = (struct err){0};
    label[1] = '\0';
    entry.tag_count = 2;
    CHECK_ERR(vecstore_milvus.write(room.store, &entry, 1, false, NULL, &err),
              ERR_UNSUPPORTED);
    CHECK_HAS(err.text, "'label' twice");
    CHECK_INT(room_count(&room), 1);
    room_end(&room);
}
