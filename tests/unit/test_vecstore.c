/* SPDX-License-Identifier: Apache-2.0 */
/* What the store refuses, and what opening does. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "vecs_fixture.h"

enum { DIM = 8 };

/* --- opening ---------------------------------------------------------- */

static void check_open(const char *where, enum vec_mode mode,
                       struct vec_options options, enum err_code code,
                       const char *part)
{
    struct vecstore *store = NULL;
    struct err err = {0};

    CHECK_ERR(vecstore_open(where, mode, &options, &store, &err), code);
    CHECK_HAS(err.text, part);
    CHECK(store == NULL);
}

TEST(vecstore_opens_what_it_made_and_refuses_another_shape)
{
    const char *path = vecs_file("x.olho");
    struct vecstore *store = vecs_open(path, VEC_WRITE, DIM, VECINDEX_COSINE);
    struct vec_info info = vecs_info(store);

    CHECK_TEXT(info.backend, "olho");
    CHECK_INT(info.dim, DIM);
    CHECK_INT(info.metric, VECINDEX_COSINE);
    CHECK_INT(info.storage, VEC_INT8);
    CHECK_INT(info.type, VECINDEX_FLAT);
    CHECK(info.is_auto && info.is_exact);
    CHECK_INT(info.count, 0);
    CHECK_TEXT(info.model, "model-1");
    vecs_add_each(store, DIM, 0, 3);
    vecstore_close(store);
    check_open(path, VEC_WRITE, (struct vec_options){.dim = 9}, ERR_CONFLICT,
               "vectors of 8 floats; not 9");
    check_open(path, VEC_READ,
               (struct vec_options){.dim = DIM, .metric = VECINDEX_L2},
               ERR_CONFLICT, "has metric cosine; not L2");
    check_open(path, VEC_READ,
               (struct vec_options){.dim = DIM, .model = "model-2"},
               ERR_CONFLICT, "model 'model-1'; not 'model-2'");
    store = vecs_open(path, VEC_READ, 0, VECINDEX_METRIC_ANY);
    CHECK_INT(vecs_info(store).dim, DIM);
    vecs_check(store, DIM, 3);
    vecstore_close(store);
}

TEST(vecstore_makes_nothing_without_a_dim_and_reads_nothing_that_is_absent)
{
    const char *path = vecs_file("x.olho");

    check_open(path, VEC_WRITE, (struct vec_options){0}, ERR_NOT_FOUND,
               "not there");
    check_open(path, VEC_READ, (struct vec_options){.dim = DIM}, ERR_NOT_FOUND,
               "not there");
    CHECK_INT(access(path, F_OK), -1);
    check_open("", VEC_READ, (struct vec_options){.dim = DIM}, ERR_INVALID,
               "a path or a URL");
}

TEST(vecstore_refuses_options_out_of_range_by_name)
{
    const char *path = vecs_file("x.olho");

    check_open(path, VEC_WRITE, (struct vec_options){.dim = -1}, ERR_INVALID,
               "dim is -1; it must be 0..65536");
    check_open(path, VEC_WRITE, (struct vec_options){.dim = 65537}, ERR_INVALID,
               "dim is 65537");
    check_open(path, VEC_WRITE, (struct vec_options){.dim = 8, .links = 513},
               ERR_INVALID, "links is 513; it must be 0..512");
    check_open(path, VEC_WRITE,
               (struct vec_options){.dim = 8, .ef_search = 10001}, ERR_INVALID,
               "ef_search is 10001");
    check_open(path, VEC_WRITE,
               (struct vec_options){.dim = 8, .thread_count = 257}, ERR_INVALID,
               "thread_count is 257");
    check_open(path, VEC_WRITE,
               (struct vec_options){.dim = 8, .timeout_s = NAN}, ERR_INVALID,
               "timeout_s is nan");
    CHECK_INT(access(path, F_OK), -1);
}

TEST(vecstore_lets_one_writer_in_and_any_number_of_readers)
{
    const char *path = vecs_file("x.olho");
    struct vecstore *writer = vecs_open(path, VEC_WRITE, DIM, VECINDEX_L2);
    struct vecstore *readers[3];
    struct err err = {0};
    int i;

    check_open(path, VEC_WRITE, (struct vec_options){.dim = DIM}, ERR_CONFLICT,
               "another process");
    for (i = 0; i < 3; i++)
        readers[i] = vecs_open(path, VEC_READ, DIM, VECINDEX_L2);
    vecs_add_each(writer, DIM, 0, 4);
    for (i = 0; i < 3; i++) {
        CHECK_INT(vecs_info(readers[i]).count, 0);
        CHECK_OK(vecstore_refresh(readers[i], &err), err);
        vecs_check(readers[i], DIM, 4);
        CHECK_ERR(vecs_try_add(readers[i], DIM, 9, 1, false, NULL, &err),
                  ERR_INVALID);
        CHECK_HAS(err.text, "for reading only");
        vecstore_close(readers[i]);
    }
    vecstore_close(writer);
    writer = vecs_open(path, VEC_WRITE, DIM, VECINDEX_L2);
    vecs_check(writer, DIM, 4);
    vecstore_close(writer);
}

TEST(vecstore_keeps_the_settings_that_it_was_made_with)
{
    const char *path = vecs_file("x.olho");
    const struct vec_options made = {.dim = DIM,
                                     .metric = VECINDEX_L2,
                                     .type = VECINDEX_HNSW,
                                     .storage = VEC_FLOAT16,
                                     .links = 24,
                                     .ef_search = 99,
                                     .nprobe = 7};
    const struct vec_options changed = {.ef_search = 55,
                                        .storage = VEC_FLOAT32};
    struct vecstore *store = NULL;
    struct vec_info info;
    struct err err = {0};

    CHECK_OK(vecstore_open(path, VEC_WRITE, &made, &store, &err), err);
    vecs_add(store, DIM, 0, 5);
    vecstore_close(store);
    store = vecs_open(path, VEC_READ, 0, VECINDEX_METRIC_ANY);
    info = vecs_info(store);
    CHECK_INT(info.storage, VEC_FLOAT16);
    CHECK_INT(info.links, 24);
    CHECK_INT(info.ef_search, 99);
    CHECK_INT(info.ef_construction, 200);
    CHECK_INT(info.nprobe, 7);
    CHECK(!info.is_auto);
    vecstore_close(store);
    store = NULL;
    CHECK_OK(vecstore_open(path, VEC_WRITE, &changed, &store, &err), err);
    vecs_check(store, DIM, 5);
    vecstore_close(store);
    store = vecs_open(path, VEC_READ, 0, VECINDEX_METRIC_ANY);
    info = vecs_info(store);
    CHECK_INT(info.storage, VEC_FLOAT32);
    CHECK_INT(info.ef_search, 55);
    CHECK_INT(info.links, 24);
    vecs_check(store, DIM, 5);
    vecstore_close(store);
}

TEST(vecstore_reads_and_goes_on_with_a_file_of_version_1)
{
    static uint8_t bytes[1 << 16];
    const char *path = vecs_file("old.olho");
    struct vecstore *store = NULL;
    struct vec_hit hit;
    struct err err = {0};
    float vector[DIM];
    int turn;

    vecs_write(
        path, bytes,
        vecs_read(test_data("vectors/version1.olho"), bytes, sizeof bytes));
    for (turn = 0; turn < 3; turn++) {
        store = vecs_open(path, turn == 1 ? VEC_WRITE : VEC_READ, 0,
                          VECINDEX_METRIC_ANY);
        CHECK_INT(vecs_info(store).count, turn == 2 ? 7 : 6);
        CHECK_INT(vecs_info(store).metric, VECINDEX_COSINE);
        CHECK_OK(vecstore_get(store, 1, vecs_arena(), &hit, vector, &err), err);
        CHECK_TEXT(hit.path, "photos/1.jpg");
        CHECK_HAS(hit.key, "00000000002");
        CHECK_INT(hit.tag_count, 1);
        CHECK_TEXT(hit.tags[0].name, "label");
        CHECK_TEXT(hit.tags[0].value, "odd");
        CHECK_OK(vecstore_get(store, 2, vecs_arena(), &hit, vector, &err), err);
        CHECK_TEXT(hit.path, "moved/2.jpg");
        CHECK_HAS(hit.key, "00000000003");
        CHECK_TEXT(hit.tags[0].value, "new");
        CHECK_NEAR(vector[1], (16 + 1) % 13 - 5, 0);
        CHECK_OK(vecstore_get(store, 4, vecs_arena(), &hit, NULL, &err), err);
        CHECK_TEXT(hit.key, "");
        CHECK_INT(hit.tag_count, 0);
        if (turn == 1)
            vecs_add(store, DIM, 6, 1);
        if (turn == 2)
            vecs_check_entry(store, DIM, 6, 6);
        vecstore_close(store);
    }
}

TEST(vecstore_drops_the_files_of_a_set_that_nobody_writes)
{
    char path[256];
    const struct vec_options options = {0};
    struct vecstore *store = NULL;
    struct err err = {0};

    snprintf(path, sizeof path, "%s", vecs_file("x.olho"));
    store = vecs_open(path, VEC_WRITE, DIM, VECINDEX_L2);
    vecs_add(store, DIM, 0, 10);
    CHECK_ERR(vecstore_drop(path, &options, &err), ERR_CONFLICT);
    CHECK_OK(vecstore_settle(store, NULL, NULL, &err), err);
    vecstore_close(store);
    vecs_write(vecs_file("x.olho.compact"), "left", 4);
    CHECK_OK(vecstore_drop(path, &options, &err), err);
    CHECK_INT(access(path, F_OK), -1);
    CHECK_INT(access(vecs_file("x.olho.compact"), F_OK), -1);
    CHECK_INT(access(vecs_file("x.olho.checkpoint"), F_OK), -1);
    CHECK_ERR(vecstore_drop(path, &options, &err), ERR_NOT_FOUND);
}

TEST(vecstore_names_storages_and_reads_their_names)
{
    enum vec_storage storage = VEC_STORAGE_ANY;
    struct err err = {0};

    CHECK_OK(vec_storage_parse("BFloat16", &storage, &err), err);
    CHECK_INT(storage, VEC_BFLOAT16);
    CHECK_TEXT(vec_storage_name(storage), "bfloat16");
    CHECK_ERR(vec_storage_parse("int4", &storage, &err), ERR_INVALID);
    CHECK_HAS(err.text, "'int4' is not known; it is float32, float16, ");
    CHECK_INT(storage, VEC_BFLOAT16);
}

/* --- entries ---------------------------------------------------------- */

static const float some[DIM] = {1, 2, 3};

static void check_add(struct vecstore *store, struct vec_entry entry,
                      enum err_code code, const char *part)
{
    struct vec_entry entries[2] = {{.id = VEC_ID_NEW, .vector = some}, entry};
    int64_t ids[2] = {77, 77};
    struct err err = {0};

    CHECK_ERR(vecstore_add(store, entries, 2, ids, &err), code);
    CHECK_HAS(err.text, part);
    CHECK_INT(ids[0], 77);
    err = (struct err){0};
    CHECK_ERR(vecstore_upsert(store, entries, 2, ids, &err), code);
    CHECK_INT(vecs_info(store).count, 0);
}

TEST(vecstore_refuses_vectors_that_have_no_place)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY, 4e18F};
    struct vecstore *store =
        vecs_open(vecs_file("x.olho"), VEC_WRITE, DIM, VECINDEX_COSINE);
    float vector[DIM] = {0};
    size_t i;

    check_add(store, (struct vec_entry){.id = VEC_ID_NEW, .vector = vector},
              ERR_INVALID, "entry 1: the vector has length 0, so no cosine");
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        vector[3] = bad[i];
        check_add(store, (struct vec_entry){.id = VEC_ID_NEW, .vector = vector},
                  ERR_INVALID, "entry 1: the vector has NaN, infinite or huge");
    }
    check_add(store, (struct vec_entry){.id = VEC_ID_NEW}, ERR_INVALID,
              "entry 1: there is no vector");
    vecstore_close(store);
    store = vecs_open(vecs_file("y.olho"), VEC_WRITE, DIM, VECINDEX_L2);
    memset(vector, 0, sizeof vector);
    CHECK_INT(
        vecstore_add(store,
                     &(struct vec_entry){.id = VEC_ID_NEW, .vector = vector}, 1,
                     NULL, &(struct err){0}),
        0);
    vecstore_close(store);
}

TEST(vecstore_refuses_texts_that_are_too_long_and_ids_below_0)
{
    static char text[5001];
    struct vecstore *store =
        vecs_open(vecs_file("x.olho"), VEC_WRITE, DIM, VECINDEX_L2);
    struct vec_tag tag = {"name", text}, named = {text, "value"};
    struct vec_entry entry = {.id = VEC_ID_NEW, .vector = some};

    memset(text, 'x', 5000);
    entry.key = text + 5000 - 256;
    check_add(store, entry, ERR_INVALID,
              "entry 1: the key has 256 bytes; it must have 0..255");
    entry.key = "";
    entry.path = text + 5000 - 4096;
    check_add(store, entry, ERR_INVALID, "the path has 4096 bytes");
    entry.path = NULL;
    entry.tags = &tag;
    entry.tag_count = 1;
    check_add(store, entry, ERR_INVALID, "the value of a tag has 5000 bytes");
    entry.tags = &named;
    check_add(store, entry, ERR_INVALID, "the name of a tag has 5000 bytes");
    named.name = "";
    check_add(store, entry, ERR_INVALID, "the name of a tag has 0 bytes");
    named = (struct vec_tag){"name", NULL};
    check_add(store, entry, ERR_INVALID, "tag 'name' has no value");
    entry.tag_count = 17;
    check_add(store, entry, ERR_INVALID, "there are 17 tags");
    entry.tag_count = 0;
    entry.id = -2;
    check_add(store, entry, ERR_INVALID, "the id is -2");
    entry.id = INT64_MAX;
    check_add(store, entry, ERR_INVALID, "the id is 9223372036854775807");
    vecstore_close(store);
}

TEST(vecstore_takes_texts_of_every_length_up_to_their_limits)
{
    static char key[256], path[4096], value[501], name[64];
    struct vecstore *store =
        vecs_open(vecs_file("x.olho"), VEC_WRITE, DIM, VECINDEX_L2);
    struct vec_tag tags[VEC_TAGS_MAX];
    struct vec_hit hit;
    struct err err = {0};
    int64_t id = -1;
    int i;

    memset(key, 'k', 255);
    memset(path, 'p', 4095);
    memset(value, 'v', 500);
    memset(name, 'n', 63);
    for (i = 0; i < VEC_TAGS_MAX; i++)
        tags[i] = (struct vec_tag){name, value + 500 - i};
    CHECK_OK(vecstore_add(store,
                          &(struct vec_entry){.id = VEC_ID_NEW,
                                              .vector = some,
                                              .key = key,
                                              .path = path,
                                              .tags = tags,
                                              .tag_count = VEC_TAGS_MAX},
                          1, &id, &err),
             err);
    vecstore_close(store);
    store = vecs_open(vecs_file("x.olho"), VEC_READ, DIM, VECINDEX_L2);
    CHECK_OK(vecstore_get(store, id, vecs_arena(), &hit, NULL, &err), err);
    CHECK_TEXT(hit.key, key);
    CHECK_TEXT(hit.path, path);
    CHECK_INT(hit.tag_count, VEC_TAGS_MAX);
    CHECK_TEXT(hit.tags[15].value, "vvvvvvvvvvvvvvv");
    CHECK_TEXT(hit.tags[0].value, "");
    vecstore_close(store);
}

TEST(vecstore_refuses_the_same_id_or_key_twice_in_a_batch)
{
    struct vecstore *store =
        vecs_open(vecs_file("x.olho"), VEC_WRITE, DIM, VECINDEX_L2);
    struct vec_entry entries[5];
    struct err err = {0};
    int i;

    for (i = 0; i < 5; i++)
        entries[i] = (struct vec_entry){.id = i, .vector = some};
    entries[4].id = 1;
    CHECK_ERR(vecstore_add(store, entries, 5, NULL, &err), ERR_INVALID);
    CHECK_HAS(err.text, "entry 4 has the id 1, as entry 1 has");
    entries[4].id = entries[3].id = VEC_ID_NEW;
    entries[0].key = entries[2].key = "same";
    CHECK_ERR(vecstore_upsert(store, entries, 5, NULL, &err), ERR_INVALID);
    CHECK_HAS(err.text, "entry 2 has the key 'same', as entry 0 has");
    CHECK_ERR(vecstore_add(store, entries, 0, NULL, &err), ERR_INVALID);
    CHECK_HAS(err.text, "the number of entries is 0; it must be 1..10000");
    CHECK_ERR(vecstore_add(store, entries, 10001, NULL, &err), ERR_INVALID);
    CHECK_INT(vecs_info(store).count, 0);
    vecstore_close(store);
}

/* --- queries ---------------------------------------------------------- */

static void check_search(struct vecstore *store, struct vec_query query,
                         const char *part)
{
    struct vec_hits hits = {.count = 77};
    struct err err = {0};

    CHECK_ERR(vecstore_search(store, &query, vecs_arena(), &hits, &err),
              ERR_INVALID);
    CHECK_HAS(err.text, part);
    CHECK_INT(hits.count, 77);
}

TEST(vecstore_refuses_queries_that_make_no_sense)
{
    const char *path = vecs_file("x.olho");
    struct vecstore *store = vecs_open(path, VEC_WRITE, DIM, VECINDEX_COSINE);
    float vector[DIM] = {0};
    struct vec_query query = {.vector = some, .dim = DIM, .k = 1};
    struct vec_term term = {.name = "", .value_count = 1};
    const char *values[] = {"a"};
    struct vec_filter filter = {&term, 1};
    struct err err = {0};

    vecs_add(store, DIM, 0, 3);
    query.dim = 7;
    check_search(store, query,
                 "the query has 7 floats; the index has vectors "
                 "of 8");
    query.dim = DIM;
    query.k = 0;
    check_search(store, query, "k is 0; it must be 1..10000");
    query.k = 10001;
    check_search(store, query, "k is 10001");
    query.k = 1;
    query.nprobe = -1;
    check_search(store, query, "nprobe is -1");
    query.nprobe = 0;
    query.ef_search = 10001;
    check_search(store, query, "ef_search is 10001");
    query.ef_search = 0;
    query.vector = vector;
    check_search(store, query, "query: the vector has length 0");
    vector[0] = NAN;
    check_search(store, query, "query: the vector has NaN");
    query.vector = some;
    query.has_radius = true;
    query.radius = NAN;
    check_search(store, query, "the radius is no finite number");
    query.has_radius = false;
    query.filter = &filter;
    term.values = values;
    check_search(store, query, "the name of a tag has 0 bytes");
    term.name = "kind";
    term.value_count = 0;
    check_search(store, query, "the number of values of a term is 0");
    filter.term_count = 17;
    check_search(store, query, "the filter has 17 terms; it must have 0..16");
    filter.term_count = 0;
    CHECK_ERR(vecstore_remove_matching(store, &filter, NULL, &err),
              ERR_INVALID);
    CHECK_HAS(err.text, "the filter has 0 terms; it must have 1..16");
    vecstore_close(store);
}

TEST(vecstore_finds_nothing_in_an_empty_store)
{
    struct vecstore *store =
        vecs_open(vecs_file("x.olho"), VEC_WRITE, DIM, VECINDEX_L2);
    struct vec_query query = {.vector = some, .dim = DIM, .k = 5};
    struct vec_hits hits = {.count = 77};
    struct vec_hit hit;
    struct err err = {0};
    int64_t removed = 77;

    CHECK_OK(vecstore_search(store, &query, vecs_arena(), &hits, &err), err);
    CHECK_INT(hits.count, 0);
    CHECK(hits.is_exact);
    CHECK_OK(vecstore_list(store, -1, 5, vecs_arena(), &hits, NULL, &err), err);
    CHECK_INT(hits.count, 0);
    CHECK_OK(vecstore_remove(store, (const int64_t[]){0, 5}, 2, &removed, &err),
             err);
    CHECK_INT(removed, 0);
    CHECK_ERR(vecstore_get(store, 0, vecs_arena(), &hit, NULL, &err),
              ERR_NOT_FOUND);
    CHECK_HAS(err.text, "no entry 0");
    CHECK_OK(vecstore_check(store, NULL, NULL, &err), err);
    vecstore_close(store);
}
