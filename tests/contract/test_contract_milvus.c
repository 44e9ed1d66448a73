/* SPDX-License-Identifier: Apache-2.0 */
/* What is said to Milvus and to no other backend: collections that other
 * programs made, what its columns cannot hold, servers that die or are slow.
 * OLHO_TEST_MILVUS is its host:port. */
#include "test.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <milvus.pb-c.h>

#include "base/clock.h"
#include "base/mem.h"
#include "served.h"
#include "store_proxy.h"
#include "vectors/milvus_link.h"
#include "vectors/vecstore_backend.h"

enum { DIM = 8, TYPE_INT64 = 5, TYPE_VARCHAR = 21, TYPE_FLOAT_VECTOR = 101 };

/* One collection that is this test's own, dropped at its end. */
struct room {
    char url[400];
    struct milvus_link link; /* for what the backend has no call for */
    void *store;
    int dim;
    enum vecindex_metric metric;
    struct arena *arena;
};

static const char *server(void)
{
    const char *address = getenv("OLHO_TEST_MILVUS");

    if (address == NULL || address[0] == '\0')
        SKIP("OLHO_TEST_MILVUS is not set");
    return address;
}

static void room_init(struct room *room, const char *address)
{
    struct milvus_url url;
    struct err err = {0};

    *room = (struct room){.arena = arena_new(64 << 20)};
    snprintf(room->url, sizeof room->url, "milvus://%s/t_%d_%" PRId64, address,
             (int)getpid(), clock_us());
    CHECK_OK(milvus_url_parse(room->url, &url, &err), err);
    CHECK_OK(milvus_link_init(&room->link, &url, 30000, &err), err);
}

static int try_open(struct room *room, enum vec_mode mode,
                    const struct vec_options *options, struct err *err)
{
    *err = (struct err){.code = ERR_OK};
    return vecstore_milvus_open(room->url, mode, options, &room->store,
                                &room->dim, &room->metric, err);
}

static void room_open(struct room *room, int dim)
{
    const struct vec_options options = {.dim = dim, .timeout_s = 60};
    struct err err;

    CHECK_OK(try_open(room, VEC_WRITE, &options, &err), err);
}

static void room_close(struct room *room)
{
    vecstore_milvus.close(room->store);
    milvus_link_release(&room->link);
    arena_free(room->arena);
}

static void room_end(struct room *room)
{
    const struct vec_options options = {.timeout_s = 60};
    struct err err = {0};

    CHECK_OK(vecstore_milvus_drop(room->url, &options, &err), err);
    room_close(room);
}

/* --- entries -------------------------------------------------------------- */

/* Directions that differ from each other: near `number`'s are few. */
static void direction(int number, int dim, float *out)
{
    uint64_t state = (uint64_t)number * 0x9e3779b97f4a7c15u + 1;
    int i;

    for (i = 0; i < dim; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out[i] = (float)(int32_t)(state >> 32) / 2147483648.0f;
    }
}

static void put(struct room *room, const struct vec_entry *entries, int count,
                bool is_upsert, int64_t *ids)
{
    struct err err = {0};

    CHECK_OK(vecstore_milvus.write(room->store, entries, count, is_upsert, ids,
                                   &err),
             err);
}

static void find(struct room *room, const struct vec_query *query,
                 struct vec_hits *out)
{
    struct err err = {0};

    CHECK_OK(vecstore_milvus.search(room->store, query, room->arena, out, &err),
             err);
}

static int64_t count_of(struct room *room)
{
    struct vec_info info;
    struct err err = {0};

    CHECK_OK(vecstore_milvus.info(room->store, &info, &err), err);
    return info.count;
}

TEST(milvus_gives_back_what_was_added)
{
    const struct vec_tag tags[] = {{"label", "cat"}, {"person_id", "p1"}};
    float vectors[3][DIM], got[DIM];
    struct vec_entry entries[3];
    struct vec_query query = {.dim = DIM, .k = 2};
    struct vec_hits hits;
    struct vec_hit hit;
    struct room room;
    struct err err = {0};
    int64_t ids[3];
    int i;

    room_init(&room, server());
    room_open(&room, DIM);
    CHECK_INT(room.dim, DIM);
    CHECK_INT(room.metric, VECINDEX_COSINE);
    for (i = 0; i < 3; i++) {
        direction(i, DIM, vectors[i]);
        entries[i] = (struct vec_entry){.id = VEC_ID_NEW, .vector = vectors[i]};
    }
    entries[1].key = "key of one";
    entries[1].path = "a/b.jpg";
    entries[1].tags = tags;
    entries[1].tag_count = 2;
    put(&room, entries, 3, false, ids);
    query.vector = vectors[1];
    find(&room, &query, &hits);
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
    CHECK_INT(count_of(&room), 3);
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
static void make_as_others(struct room *room, bool is_newer)
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

TEST(milvus_takes_a_collection_of_the_older_schema_as_it_is)
{
    const struct vec_tag label = {"label", "cat"}, person = {"person_id", "p"};
    const struct vec_options readers = {.timeout_s = 60};
    struct vec_query query = {.dim = DIM, .k = 3};
    struct vec_entry entry = {.id = VEC_ID_NEW, .tags = &label, .tag_count = 1};
    float vector[DIM];
    struct room room;
    struct vec_hits hits;
    struct err err;
    int64_t id = 0;

    room_init(&room, server());
    make_as_others(&room, false);
    CHECK_OK(try_open(&room, VEC_READ, &readers, &err), err);
    CHECK_INT(room.dim, DIM);
    direction(7, DIM, vector);
    entry.vector = query.vector = vector;
    CHECK_ERR(
        vecstore_milvus.search(room.store, &query, room.arena, &hits, &err),
        ERR_UNSUPPORTED);
    CHECK_HAS(err.text, "has no index");
    put(&room, &entry, 1, false, &id);
    CHECK(id > 0);
    CHECK_OK(vecstore_milvus.settle(room.store, NULL, NULL, &err), err);
    find(&room, &query, &hits);
    CHECK_INT(hits.count, 1);
    CHECK_INT(hits.list[0].id, id);
    CHECK_TEXT(hits.list[0].tags[0].value, "cat");

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
    float vector[DIM];
    struct room room;
    struct vec_hit hit;
    struct vec_info info;
    struct err err;
    int64_t ids[2], removed = 0;

    room_init(&room, server());
    make_as_others(&room, true);
    CHECK_OK(try_open(&room, VEC_WRITE, &options, &err), err);
    direction(7, DIM, vector);
    entry.vector = vector;
    put(&room, &entry, 1, false, &ids[0]);
    put(&room, &entry, 1, true, &ids[1]);
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
    CHECK_INT(count_of(&room), 1);
    CHECK_OK(vecstore_milvus.check(room.store, NULL, NULL, &err), err);
    room_end(&room);
}

TEST(milvus_refuses_to_open_what_is_not_as_asked_for)
{
    struct vec_options options = {.dim = DIM, .timeout_s = 60, .model = "one"};
    struct room room;
    struct err err;

    room_init(&room, server());
    CHECK_ERR(try_open(&room, VEC_READ, &options, &err), ERR_NOT_FOUND);
    CHECK_HAS(err.text, room.link.url.collection);
    options.dim = 0;
    CHECK_ERR(try_open(&room, VEC_WRITE, &options, &err), ERR_NOT_FOUND);
    options.dim = DIM;
    options.metric = VECINDEX_L2;
    CHECK_OK(try_open(&room, VEC_WRITE, &options, &err), err);
    vecstore_milvus.close(room.store);
    options.dim = 16;
    CHECK_ERR(try_open(&room, VEC_WRITE, &options, &err), ERR_CONFLICT);
    CHECK_HAS(err.text, "of 8 values; 16");
    options.dim = 0;
    options.metric = VECINDEX_COSINE;
    CHECK_ERR(try_open(&room, VEC_READ, &options, &err), ERR_CONFLICT);
    CHECK_HAS(err.text, "L2; cosine");
    options.metric = VECINDEX_METRIC_ANY;
    options.model = "two";
    CHECK_ERR(try_open(&room, VEC_READ, &options, &err), ERR_CONFLICT);
    CHECK_HAS(err.text, "'one'");
    options.model = NULL;
    CHECK_OK(try_open(&room, VEC_READ, &options, &err), err);
    CHECK_INT(room.metric, VECINDEX_L2);
    room_end(&room);
}

/* --- texts ---------------------------------------------------------------- */

TEST(milvus_takes_any_text_for_a_value_and_none_for_an_expression)
{
    static const char *const texts[] = {"\" or id > 0 or label == \"",
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
                                        "plain"};
    enum { COUNT = sizeof texts / sizeof texts[0] };
    float vectors[COUNT][DIM];
    struct vec_entry entries[COUNT];
    struct vec_tag tags[COUNT];
    struct vec_term term = {.name = "label", .value_count = 1};
    const struct vec_filter filter = {&term, 1};
    struct vec_query query = {.dim = DIM, .k = 50, .filter = &filter};
    struct vec_hits hits;
    struct room room;
    struct err err = {0};
    int64_t removed = 0;
    int i;

    room_init(&room, server());
    room_open(&room, DIM);
    for (i = 0; i < COUNT; i++) {
        direction(i, DIM, vectors[i]);
        tags[i] = (struct vec_tag){"label", texts[i]};
        entries[i] = (struct vec_entry){.id = VEC_ID_NEW,
                                        .vector = vectors[i],
                                        .key = texts[i],
                                        .tags = &tags[i],
                                        .tag_count = 1};
    }
    put(&room, entries, COUNT, false, NULL);
    query.vector = vectors[0];
    for (i = 0; i < COUNT; i++) {
        term.values = &texts[i];
        term.is_not = false;
        find(&room, &query, &hits);
        CHECK_INT(hits.count, 1);
        CHECK_TEXT(hits.list[0].tags[0].value, texts[i]);
        CHECK_TEXT(hits.list[0].key, texts[i]);
        term.is_not = true;
        find(&room, &query, &hits);
        CHECK_INT(hits.count, COUNT - 1);
    }
    query.filter = NULL;
    query.exclude_key = texts[3];
    find(&room, &query, &hits);
    CHECK_INT(hits.count, COUNT - 1);
    CHECK_OK(vecstore_milvus.remove(room.store, NULL, texts, 4, &removed, &err),
             err);
    CHECK_INT(removed, 4);
    term = (struct vec_term){"label", texts + 4, 2, true};
    CHECK_OK(
        vecstore_milvus.remove_matching(room.store, &filter, &removed, &err),
        err);
    CHECK_INT(removed, COUNT - 6);
    CHECK_INT(count_of(&room), 2);
    term.name = "colour";
    query.filter = &filter;
    CHECK_ERR(
        vecstore_milvus.search(room.store, &query, room.arena, &hits, &err),
        ERR_UNSUPPORTED);
    CHECK_HAS(err.text, "'colour'");
    room_end(&room);
}

TEST(milvus_refuses_texts_that_its_columns_do_not_hold)
{
    static char label[502];
    struct vec_tag tags[] = {{"label", label}, {"label", "b"}};
    float vector[DIM] = {1};
    struct vec_entry entry = {
        .id = VEC_ID_NEW, .vector = vector, .tags = tags, .tag_count = 1};
    struct room room;
    struct vec_hit hit;
    struct err err = {0};
    int64_t id;

    room_init(&room, server());
    room_open(&room, DIM);
    memset(label, 'a', 500);
    label[498] = '\xc3';
    label[499] = '\xa9';
    put(&room, &entry, 1, false, &id);
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
    CHECK_INT(count_of(&room), 1);
    room_end(&room);
}

/* --- many ----------------------------------------------------------------- */

enum { MANY = 2500 };

struct many {
    float vectors[MANY][DIM];
    char keys[MANY][16];
    struct vec_tag tags[MANY];
    struct vec_entry entries[MANY];
    int64_t ids[MANY];
};

static struct many *many_new(void)
{
    static const char *const labels[] = {"l0", "l1", "l2", "l3", "l4"};
    struct many *many = mem_new(sizeof *many);
    int i;

    for (i = 0; i < MANY; i++) {
        direction(i, DIM, many->vectors[i]);
        snprintf(many->keys[i], sizeof many->keys[i], "key%d", i);
        many->tags[i] = (struct vec_tag){"label", labels[i % 5]};
        many->entries[i] = (struct vec_entry){.id = VEC_ID_NEW,
                                              .vector = many->vectors[i],
                                              .key = many->keys[i],
                                              .tags = &many->tags[i],
                                              .tag_count = 1};
    }
    return many;
}

/* Reads all pages and holds them against the entries. */
static void read_all(struct room *room, const struct many *many, int want)
{
    enum { PAGE = 700 };
    float *vectors = mem_new(sizeof(float) * PAGE * DIM);
    struct arena *arena = arena_new(16 << 20);
    struct vec_hits hits;
    struct err err = {0};
    int64_t after = -1;
    int i, number, count = 0;

    do {
        arena_reset(arena);
        CHECK_OK(vecstore_milvus.list(room->store, after, PAGE, arena, &hits,
                                      vectors, &err),
                 err);
        for (i = 0; i < hits.count; i++) {
            CHECK(hits.list[i].id > after);
            after = hits.list[i].id;
            number = atoi(hits.list[i].key + 3);
            CHECK_INT(many->ids[number], after);
            CHECK_INT(memcmp(vectors + (size_t)i * DIM, many->vectors[number],
                             sizeof many->vectors[number]),
                      0);
        }
        count += hits.count;
    } while (hits.count == PAGE);
    CHECK_INT(count, want);
    arena_free(arena);
    mem_free(vectors);
}

static int note_progress(void *user, int64_t done, int64_t total)
{
    (void)done, (void)total;
    ++*(int *)user;
    return 0;
}

TEST(milvus_keeps_many_through_settling_replacing_and_removing)
{
    struct many *many = many_new();
    struct vec_term term = {.name = "label", .value_count = 1};
    const struct vec_filter filter = {&term, 1};
    const char *l1 = "l1";
    struct vec_query query = {.dim = DIM, .k = 10, .filter = &filter};
    struct vec_hits hits;
    struct vec_info info;
    struct room room;
    struct err err = {0};
    int64_t removed = 0, id;
    int i, looks = 0;

    room_init(&room, server());
    room_open(&room, DIM);
    put(&room, many->entries, MANY - 500, false, many->ids);
    CHECK_OK(vecstore_milvus.settle(room.store, note_progress, &looks, &err),
             err);
    CHECK(looks > 0);
    put(&room, many->entries + MANY - 500, 500, false, many->ids + MANY - 500);
    read_all(&room, many, MANY);
    CHECK_OK(vecstore_milvus.info(room.store, &info, &err), err);
    CHECK_INT(info.count, MANY);

    CHECK_ERR(vecstore_milvus.write(room.store, many->entries + 5, 1, false,
                                    NULL, &err),
              ERR_CONFLICT);
    CHECK_HAS(err.text, "'key5'");
    err = (struct err){0};
    term.values = &l1;
    for (i = 1; i < 100; i += 10) {
        query.vector = many->vectors[i];
        find(&room, &query, &hits);
        CHECK_INT(hits.count, 10);
        CHECK_INT(hits.list[0].id, i % 5 == 1 ? many->ids[i] : hits.list[0].id);
        CHECK_TEXT(hits.list[9].tags[0].value, "l1");
    }
    many->entries[6].vector = many->vectors[7];
    put(&room, many->entries + 6, 1, true, &id);
    CHECK_INT(id, many->ids[6]);
    memcpy(many->vectors[6], many->vectors[7], sizeof many->vectors[6]);
    read_all(&room, many, MANY);
    CHECK_OK(
        vecstore_milvus.remove(room.store, many->ids, NULL, 3, &removed, &err),
        err);
    CHECK_INT(removed, 3);
    CHECK_OK(
        vecstore_milvus.remove(room.store, many->ids, NULL, 4, &removed, &err),
        err);
    CHECK_INT(removed, 1);
    CHECK_OK(
        vecstore_milvus.remove_matching(room.store, &filter, &removed, &err),
        err);
    CHECK_INT(removed, MANY / 5 - 1);
    read_all(&room, many, MANY - 4 - (MANY / 5 - 1));
    CHECK_OK(vecstore_milvus.compact(room.store, NULL, NULL, &err), err);
    read_all(&room, many, MANY - 4 - (MANY / 5 - 1));
    mem_free(many);
    room_end(&room);
}

static double distance_of(const float *a, const float *b)
{
    double sum = 0, d;
    int i;

    for (i = 0; i < DIM; i++) {
        d = (double)a[i] - (double)b[i];
        sum += d * d;
    }
    return sum;
}

static int smaller_first(const void *a, const void *b)
{
    const double *left = a, *right = b;

    return (*left > *right) - (*left < *right);
}

/* Squared distances are those of looking at every row. */
static void check_nearest(const struct many *many,
                          const struct vec_query *query,
                          const struct vec_hits *hits)
{
    static double all[MANY];
    int i;

    CHECK_INT(hits->count, query->k);
    CHECK(hits->is_exact);
    for (i = 0; i < MANY; i++)
        all[i] = distance_of(many->vectors[i], query->vector);
    qsort(all, MANY, sizeof *all, smaller_first);
    for (i = 0; i < hits->count; i++)
        CHECK_NEAR(hits->list[i].distance, all[i], 1e-4);
}

TEST(milvus_finds_by_radius_and_for_certain_without_a_graph)
{
    const struct vec_options options = {.dim = DIM,
                                        .metric = VECINDEX_L2,
                                        .type = VECINDEX_FLAT,
                                        .timeout_s = 60};
    struct many *many = many_new();
    struct vec_query query = {.dim = DIM, .k = MANY, .is_exact = true};
    struct vec_hits all, near;
    struct room room;
    struct err err;
    int i;

    room_init(&room, server());
    CHECK_OK(try_open(&room, VEC_WRITE, &options, &err), err);
    put(&room, many->entries, MANY, false, many->ids);
    query.vector = many->vectors[17];
    find(&room, &query, &all);
    CHECK_INT(all.list[0].id, many->ids[17]);
    check_nearest(many, &query, &all);
    query.is_exact = false;
    query.k = 10;
    for (i = 0; i < MANY; i += 250) {
        query.vector = many->vectors[i];
        find(&room, &query, &near);
        check_nearest(many, &query, &near);
    }
    query.vector = many->vectors[17];
    query.k = MANY;
    query.has_radius = true;
    query.radius = all.list[20].distance;
    find(&room, &query, &near);
    CHECK_INT(near.count, 21);
    query.k = 5;
    find(&room, &query, &near);
    CHECK_INT(near.count, 5);
    CHECK_INT(near.list[4].id, all.list[4].id);
    mem_free(many);
    room_end(&room);
}

/* --- many at once ----------------------------------------------------------
 */

enum { THREADS = 4, ROUNDS = 5 };

static atomic_int next_thread;

/* Each writes entries of its own, one of them under a key that all share, and
 * finds them at once. */
static void *write_and_find(void *user)
{
    struct room *room = user;
    int thread = atomic_fetch_add(&next_thread, 1), i;
    struct arena *arena = arena_new(1 << 20);
    float vectors[2][DIM];
    struct vec_entry entries[2];
    struct vec_query query = {.dim = DIM, .k = 1, .vector = vectors[0]};
    struct vec_hits hits;
    struct err err = {0};
    int64_t ids[2];

    for (i = 0; i < ROUNDS; i++) {
        direction(1000 + thread * ROUNDS + i, DIM, vectors[0]);
        direction(1, DIM, vectors[1]);
        entries[0] = (struct vec_entry){.id = VEC_ID_NEW, .vector = vectors[0]};
        entries[1] = (struct vec_entry){
            .id = VEC_ID_NEW, .vector = vectors[1], .key = "shared"};
        CHECK_OK(
            vecstore_milvus.write(room->store, entries, 2, true, ids, &err),
            err);
        CHECK_OK(
            vecstore_milvus.search(room->store, &query, arena, &hits, &err),
            err);
        CHECK_INT(hits.count, 1);
        CHECK_INT(hits.list[0].id, ids[0]);
    }
    arena_free(arena);
    return NULL;
}

TEST(milvus_serves_threads_that_read_their_own_writes)
{
    pthread_t threads[THREADS];
    struct room room;
    int i;

    room_init(&room, server());
    room_open(&room, DIM);
    for (i = 0; i < THREADS; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, write_and_find, &room), 0);
    for (i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(count_of(&room), THREADS * ROUNDS + 1);
    room_end(&room);
}

typedef int step_fn(struct room *room, struct vec_entry *entry,
                    struct err *err);

static int write_once(struct room *room, struct vec_entry *entry,
                      struct err *err)
{
    return vecstore_milvus.write(room->store, entry, 1, false, NULL, err);
}

static int read_once(struct room *room, struct vec_entry *entry,
                     struct err *err)
{
    struct vec_query query = {.dim = DIM, .k = 1, .vector = entry->vector};
    struct arena *arena = arena_new(1 << 20);
    float vector[DIM];
    struct vec_hits hits;
    struct vec_hit hit;
    int rc;

    rc = vecstore_milvus.search(room->store, &query, arena, &hits, err);
    if (rc == 0)
        rc = vecstore_milvus.get(room->store, hits.list[0].id, arena, &hit,
                                 vector, err);
    if (rc == 0)
        CHECK_TEXT(hit.path, entry->path);
    arena_free(arena);
    return rc;
}

/* Fails each allocation of a step in turn. A write whose answer found no
 * memory is repeated, and succeeds. */
static void torture(struct room *room, struct vec_entry *entry, step_fn *step)
{
    struct err err = {0};
    long nth;
    int rc;

    CHECK_OK(step(room, entry, &err), err);
    for (nth = 1; nth < 1000; nth++) {
        err = (struct err){0};
        mem_fail_at(nth);
        rc = step(room, entry, &err);
        if (mem_tries() < nth)
            break;
        CHECK(rc == ERR_UNAVAILABLE || (rc == 0 && step == write_once));
    }
    mem_fail_at(0);
    CHECK_OK(rc, err);
    CHECK(nth > 5 && nth < 1000);
}

TEST(milvus_torture_fails_cleanly_without_memory)
{
    float vector[DIM] = {1};
    struct vec_entry entry = {
        .id = VEC_ID_NEW, .vector = vector, .path = "a.jpg"};
    struct room room;

    room_init(&room, server());
    room_open(&room, DIM);
    torture(&room, &entry, write_once);
    torture(&room, &entry, read_once);
    room_end(&room);
}

/* --- servers that fail ---------------------------------------------------- */

static void room_init_at(struct room *room, int port)
{
    char address[64];

    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    room_init(room, address);
}

static struct store_proxy *proxy_new(void)
{
    const char *address = server(), *colon = strchr(address, ':');

    CHECK(colon != NULL);
    return store_proxy_new("127.0.0.1", atoi(colon + 1));
}

TEST(milvus_that_is_slow_is_given_up_at_the_deadline_and_used_again_later)
{
    struct store_proxy *proxy = proxy_new();
    const struct vec_options patient = {.dim = DIM, .timeout_s = 60};
    const struct vec_options hasty = {.timeout_s = 0.3};
    float vector[DIM] = {1};
    struct vec_entry entry = {.id = VEC_ID_NEW, .vector = vector, .key = "k"};
    struct room room, slow;
    struct vec_hit hit;
    struct err err;
    int64_t id, began_us;

    room_init_at(&room, store_proxy_port(proxy));
    CHECK_OK(try_open(&room, VEC_WRITE, &patient, &err), err);
    put(&room, &entry, 1, false, &id);
    slow = room;
    store_proxy_set(proxy, STORE_PROXY_STALL);
    began_us = clock_us();
    CHECK_ERR(try_open(&slow, VEC_READ, &hasty, &err), ERR_TIMEOUT);
    CHECK(clock_us() - began_us >= 300000);
    CHECK_HAS(err.text, "127.0.0.1:");
    CHECK_HAS(err.text, "did not answer within 301 ms");
    store_proxy_set(proxy, STORE_PROXY_PASS);
    CHECK_OK(vecstore_milvus.get(room.store, id, room.arena, &hit, NULL, &err),
             err);
    CHECK_TEXT(hit.key, "k");
    room_end(&room);
    store_proxy_free(proxy);
}

TEST(milvus_that_stalls_in_a_write_leaves_what_is_known_in_the_error)
{
    struct store_proxy *proxy = proxy_new();
    const struct vec_options options = {.dim = DIM, .timeout_s = 3};
    float vector[DIM] = {1};
    struct vec_entry entry = {.id = VEC_ID_NEW, .vector = vector};
    struct room room;
    struct err err;

    room_init_at(&room, store_proxy_port(proxy));
    CHECK_OK(try_open(&room, VEC_WRITE, &options, &err), err);
    store_proxy_set(proxy, STORE_PROXY_STALL);
    CHECK_ERR(vecstore_milvus.write(room.store, &entry, 1, false, NULL, &err),
              ERR_TIMEOUT);
    CHECK_HAS(err.text, "of 1 entries 0 are stored and 1 perhaps");
    store_proxy_set(proxy, STORE_PROXY_PASS);
    room_end(&room);
    store_proxy_free(proxy);
}

TEST(milvus_that_was_cut_off_is_called_anew)
{
    struct store_proxy *proxy = proxy_new();
    struct many *many = many_new();
    struct room room;
    struct err err = {0};
    int rc;

    room_init_at(&room, store_proxy_port(proxy));
    room_open(&room, DIM);
    put(&room, many->entries, 10, false, many->ids);
    store_proxy_set(proxy, STORE_PROXY_CUT);
    CHECK_ERR(vecstore_milvus.refresh(room.store, &err), ERR_UNAVAILABLE);
    CHECK_HAS(err.text, "127.0.0.1:");
    err = (struct err){0};
    store_proxy_set(proxy, STORE_PROXY_PASS);
    CHECK_OK(vecstore_milvus.refresh(room.store, &err), err);

    /* In the second part of a batch: the first is stored, and nothing can be
     * taken back while the way is cut. */
    store_proxy_cut_after(proxy, 100000);
    rc = vecstore_milvus.write(room.store, many->entries + 10, MANY - 10, false,
                               many->ids + 10, &err);
    CHECK_ERR(rc, ERR_UNAVAILABLE);
    CHECK_HAS(err.text, "of 2490 entries 1000 are stored");
    store_proxy_set(proxy, STORE_PROXY_PASS);
    err = (struct err){0};
    CHECK_OK(vecstore_milvus.refresh(room.store, &err), err);
    CHECK_INT(count_of(&room), 1010);

    /* Sent once more, the same keys are the same rows. */
    put(&room, many->entries, MANY, true, many->ids);
    read_all(&room, many, MANY);
    CHECK_INT(count_of(&room), MANY);
    mem_free(many);
    room_end(&room);
    store_proxy_free(proxy);
}

/* Kills the server as soon as a batch is acknowledged: during the next. */
static atomic_int acknowledged;

static void *kill_after_one(void *user)
{
    (void)user;
    while (atomic_load(&acknowledged) < 2)
        served_let_others();
    served_kill();
    return NULL;
}

/* Writes until a batch fails; gives back how many did not. */
static int write_until_failure(struct room *room, struct many *many,
                               struct err *err)
{
    int64_t until_us = clock_us() + INT64_C(120000000);
    int rc = 0, i;

    for (i = 0; i < MANY; i++)
        many->entries[i].key = NULL;
    while (rc == 0) {
        CHECK(clock_us() < until_us);
        rc = vecstore_milvus.write(room->store, many->entries, MANY, false,
                                   many->ids, err);
        if (rc == 0)
            atomic_fetch_add(&acknowledged, 1);
    }
    CHECK_ERR(rc, ERR_UNAVAILABLE);
    return atomic_load(&acknowledged);
}

/* A server that was just started accepts connections before it answers. */
static void open_when_ready(struct room *room, int dim)
{
    const struct vec_options options = {.dim = dim, .timeout_s = 5};
    int64_t until_us = clock_us() + INT64_C(120000000);
    struct err err;

    while (try_open(room, VEC_WRITE, &options, &err) != 0) {
        CHECK(clock_us() < until_us);
        served_let_others();
    }
}

TEST(milvus_that_is_killed_during_a_batch_fails_clearly_and_is_found_again)
{
    struct many *many = many_new();
    struct room room;
    struct err err = {0};
    char place[32];
    pthread_t killer;
    int port, rc;

    (void)server();
    port = served_start("milvus");
    room_init_at(&room, port);
    open_when_ready(&room, DIM);
    CHECK_INT(pthread_create(&killer, NULL, kill_after_one, NULL), 0);
    CHECK(write_until_failure(&room, many, &err) >= 2);
    pthread_join(killer, NULL);
    snprintf(place, sizeof place, "'127.0.0.1:%d'", port);
    CHECK_HAS(err.text, place);
    err = (struct err){0};
    CHECK_ERR(vecstore_milvus.refresh(room.store, &err), ERR_UNAVAILABLE);
    CHECK_HAS(err.text, "nobody answers");

    /* The new server has lost everything, and says so itself. */
    CHECK_INT(served_start("milvus"), port);
    do {
        served_let_others();
        err = (struct err){0};
        rc = vecstore_milvus.refresh(room.store, &err);
    } while (rc == ERR_UNAVAILABLE || rc == ERR_TIMEOUT);
    CHECK_ERR(rc, ERR_NOT_FOUND);
    CHECK_HAS(err.text, "has no collection");
    room_close(&room);
    served_stop();
    mem_free(many);
}
