/* SPDX-License-Identifier: Apache-2.0 */
/* A reader of what other processes change, rewrite and make anew: who takes it
 * in keeps nobody waiting. */
#include "set_fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "vectors/engine_parts.h"

enum {
    DIM = 8,
    COUNT = 300,
    THREADS = 3,
    FILE_MAX = 1 << 20,
    PATIENCE_S = 120
};

static const struct vec_options flat = {
    .dim = DIM, .metric = VECINDEX_L2, .type = VECINDEX_FLAT};
static const struct vec_options any = {.dim = DIM};

static void add(struct vecstore *store, int first, int end)
{
    struct err err = {0};
    int i, count;

    for (i = first; i < end; i += count) {
        count = end - i < SET_BATCH_MAX ? end - i : SET_BATCH_MAX;
        CHECK_OK(set_put(store, i, count, 1, DIM, true, &err), err);
    }
}

static void make(const char *name, const struct vec_options *options, int count)
{
    struct vecstore *store = set_open(set_file(name), VEC_WRITE, options);

    add(store, 0, count);
    vecstore_close(store);
}

/* As an operator does it: removed, and made anew. */
static void make_anew(const char *name, const struct vec_options *options,
                      int count)
{
    struct err err = {0};

    CHECK_OK(vecstore_drop(set_file(name), &any, &err), err);
    make(name, options, count);
}

/* As cp does it. */
static void write_over(const char *from, const char *to)
{
    char *data = mem_new(FILE_MAX);
    FILE *file = fopen(set_file(from), "rb");
    size_t len;

    CHECK(file != NULL);
    len = fread(data, 1, FILE_MAX, file);
    CHECK(len > 0 && len < FILE_MAX);
    fclose(file);
    file = fopen(set_file(to), "wb");
    CHECK(file != NULL);
    CHECK_INT(fwrite(data, 1, len, file), len);
    CHECK_INT(fclose(file), 0);
    mem_free(data);
}

static void *open_reader(void)
{
    enum vecindex_metric metric;
    struct err err = {0};
    void *self = NULL;
    int dim = 0;

    CHECK_OK(vecstore_engine_open(set_file("x"), VEC_READ, &any, &self, &dim,
                                  &metric, &err),
             err);
    return self;
}

static int64_t count_of(void *self)
{
    struct vec_info info = {0};
    struct err err = {0};

    CHECK_OK(vecstore_engine.info(self, &info, &err), err);
    return info.count;
}

static void refresh(void *self)
{
    struct err err = {0};

    CHECK_OK(vecstore_engine.refresh(self, &err), err);
}

TEST(engine_reader_goes_on_while_another_thread_takes_in_what_is_new)
{
    struct vecstore *store = set_open(set_file("x"), VEC_WRITE, &flat);
    void *self = NULL;
    struct err err = {0};

    add(store, 0, COUNT);
    self = open_reader();
    add(store, COUNT, COUNT + 7);
    /* What another thread has for as long as it reads; a wait for it would have
     * no end. */
    alarm(PATIENCE_S);
    vecengine_keep(self);
    vecengine_lead(self);
    refresh(self);
    CHECK_INT(count_of(self), COUNT);
    CHECK_OK(vecstore_compact(store, NULL, NULL, &err), err);
    refresh(self);
    CHECK_INT(count_of(self), COUNT);
    vecengine_unlead(self);
    vecengine_unkeep(self);
    refresh(self);
    CHECK_INT(count_of(self), COUNT + 7);
    vecstore_engine.close(self);
    vecstore_close(store);
}

struct crowd {
    struct vecstore *store;
    _Atomic bool is_over;
    _Atomic int failed;
};

/* As the requests of a service. */
static void *follow_on(void *argument)
{
    struct crowd *crowd = argument;
    struct err err = {0};
    int64_t id = 0;

    while (!crowd->is_over && crowd->failed == 0) {
        if ((vecstore_refresh(crowd->store, &err) != 0 ||
             set_look(crowd->store, id, 1, DIM, &err) != 0) &&
            atomic_fetch_add(&crowd->failed, 1) == 0)
            fprintf(stderr, "%s\n", err.text);
        id = (id + 7) % COUNT;
    }
    return NULL;
}

TEST(engine_readers_of_one_process_follow_a_set_that_is_compacted_together)
{
    struct vecstore *store = set_open(set_file("x"), VEC_WRITE, &flat);
    struct crowd crowd = {0};
    pthread_t threads[THREADS];
    struct err err = {0};
    int i, rounds = set_rounds(20);

    add(store, 0, COUNT);
    crowd.store = set_open(set_file("x"), VEC_READ, &any);
    for (i = 0; i < THREADS; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, follow_on, &crowd), 0);
    for (i = 0; i < rounds; i++) {
        CHECK_OK(set_put(store, COUNT, 50, i + 1, DIM, false, &err), err);
        CHECK_OK(vecstore_compact(store, NULL, NULL, &err), err);
    }
    crowd.is_over = true;
    for (i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(crowd.failed, 0);
    CHECK_OK(vecstore_refresh(crowd.store, &err), err);
    CHECK_OK(set_look(crowd.store, COUNT + 49, rounds, DIM, &err), err);
    vecstore_close(crowd.store);
    vecstore_close(store);
}

/* --- another set under the name -------------------------------------------
 */

TEST(engine_reader_says_that_a_set_was_made_anew_and_keeps_the_old_one)
{
    static const struct vec_options others[] = {
        {.dim = DIM, .metric = VECINDEX_IP, .type = VECINDEX_FLAT},
        {.dim = DIM + 1, .metric = VECINDEX_L2, .type = VECINDEX_FLAT},
        {.dim = DIM, .metric = VECINDEX_L2, .type = VECINDEX_HNSW},
        {.dim = DIM, .metric = VECINDEX_L2, .storage = VEC_FLOAT16},
        {.dim = DIM,
         .metric = VECINDEX_L2,
         .type = VECINDEX_FLAT,
         .model = "other"},
    };
    struct vecstore *reader = NULL;
    struct err err = {0};
    size_t i;

    make("x", &flat, COUNT);
    for (i = 0; i < sizeof others / sizeof others[0]; i++) {
        make_anew("x", &flat, COUNT);
        reader = set_open(set_file("x"), VEC_READ, &any);
        make_anew("x", &others[i], 0);
        CHECK_ERR(vecstore_refresh(reader, &err), ERR_CONFLICT);
        err = (struct err){0};
        CHECK_OK(set_look(reader, COUNT - 1, 1, DIM, &err), err);
        make_anew("x", &flat, COUNT + 1);
        CHECK_OK(vecstore_refresh(reader, &err), err);
        CHECK_INT(set_info(reader).count, COUNT + 1);
        vecstore_close(reader);
    }
}

TEST(engine_reader_of_a_graph_that_is_built_with_other_links_opens_it_anew)
{
    struct vec_options hnsw = {
        .dim = DIM, .metric = VECINDEX_L2, .type = VECINDEX_HNSW, .links = 8};
    struct vecstore *store = set_open(set_file("x"), VEC_WRITE, &hnsw);
    struct vecstore *reader = NULL;
    struct err err = {0};

    add(store, 0, COUNT);
    CHECK_OK(vecstore_settle(store, NULL, NULL, &err), err);
    vecstore_close(store);
    reader = set_open(set_file("x"), VEC_READ, &any);
    hnsw.links = 5;
    store = set_open(set_file("x"), VEC_WRITE, &hnsw);
    CHECK_ERR(vecstore_refresh(reader, &err), ERR_CONFLICT);
    CHECK_HAS(err.text, "has other settings");
    vecstore_close(reader);
    err = (struct err){0};
    reader = set_open(set_file("x"), VEC_READ, &any);
    CHECK_OK(vecstore_settle(store, NULL, NULL, &err), err);
    CHECK_OK(vecstore_refresh(reader, &err), err);
    CHECK_INT(set_info(reader).links, 5);
    CHECK_INT(set_info(reader).type, VECINDEX_HNSW);
    CHECK_INT(set_info(reader).pending, 0);
    vecstore_close(reader);
    vecstore_close(store);
}

TEST(engine_reader_keeps_a_set_whose_successor_has_no_header_yet)
{
    struct vecstore *reader = NULL;
    struct err err = {0};
    FILE *file = NULL;

    make("x", &flat, COUNT);
    reader = set_open(set_file("x"), VEC_READ, &any);
    CHECK_OK(vecstore_drop(set_file("x"), &any, &err), err);
    file = fopen(set_file("x"), "wb");
    CHECK(file != NULL);
    CHECK_INT(fwrite("OLHO", 1, 4, file), 4);
    CHECK_INT(fclose(file), 0);
    CHECK_OK(vecstore_refresh(reader, &err), err);
    CHECK_OK(set_look(reader, COUNT - 1, 1, DIM, &err), err);
    vecstore_close(reader);
}

TEST(engine_reader_says_that_nothing_is_left_of_a_set_that_was_written_over)
{
    static const struct vec_options other = {.dim = DIM, .metric = VECINDEX_IP};
    struct vecstore *reader = NULL;
    struct err err = {0};

    make("x", &flat, COUNT);
    make("y", &other, COUNT);
    reader = set_open(set_file("x"), VEC_READ, &any);
    write_over("y", "x");
    CHECK_ERR(vecstore_refresh(reader, &err), ERR_NOT_FOUND);
    CHECK_HAS(err.text, "metric IP; not L2");
    vecstore_close(reader);
}
