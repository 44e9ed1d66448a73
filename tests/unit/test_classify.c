/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "apps/answer_pack.h"
#include "apps/classify.h"
#include "base/clock.h"
#include "base/file.h"
#include "cache/cache.h"
#include "cache/flight.h"
#include "test.h"

enum { ARENA_LEN_MAX = 64 << 20 };

/* What a test classifies with. */
struct bench {
    struct config config;
    struct app app;
    struct model_version *version;
    struct arena *arena;
    struct buf photo;
};

static void bench_open(struct bench *bench)
{
    char index[FILE_PATH_MAX];
    struct err err = {0};

    *bench = (struct bench){.arena = arena_new(ARENA_LEN_MAX)};
    option_preset(config_options, config_option_count, &bench->config);
    CHECK_OK(file_join(test_dir(), "index.olho", index, &err), err);
    CHECK_OK(option_set(option_find(config_options, config_option_count,
                                    "EMBEDDINGS_PATH"),
                        &bench->config, index, &err),
             err);
    bench->app.config = &bench->config;
    CHECK_OK(model_version_open(&bench->config, "models/mobilenet_v2", index,
                                &bench->version, &err),
             err);
    buf_init(&bench->photo, 16 << 20);
    CHECK_OK(file_read(test_data("photos/cat_720p.jpg"), &bench->photo, &err),
             err);
}

static void bench_close(struct bench *bench)
{
    model_version_release(bench->version);
    buf_release(&bench->photo);
    arena_free(bench->arena);
    config_release(&bench->config);
}

static int classify(struct bench *bench, int similar_k, struct answer *out,
                    struct err *err)
{
    struct classify_options options = {.top_k = 5, .similar_k = similar_k};

    return classify_image(&bench->app, bench->version, buf_bytes(&bench->photo),
                          &options, bench->arena, out, err);
}

/* Adds an entry as `olho index add` would. */
static void add_entry(struct bench *bench, const float *embedding,
                      const char *path)
{
    const struct vec_options options = {0};
    const struct vec_tag label = {"label", "cat"};
    const struct vec_entry entry = {.id = VEC_ID_NEW,
                                    .vector = embedding,
                                    .path = path,
                                    .tags = &label,
                                    .tag_count = 1};
    struct vecstore *store = NULL;
    struct err err = {0};

    CHECK_OK(collection_open_store(bench->version->collection, VEC_WRITE,
                                   &options, &store, &err),
             err);
    CHECK_OK(vecstore_add(store, &entry, 1, NULL, &err), err);
    vecstore_close(store);
}

TEST(classify_knows_a_cat)
{
    struct bench bench;
    struct answer answer;
    struct err err = {0};

    bench_open(&bench);
    CHECK_OK(classify(&bench, 3, &answer, &err), err);
    CHECK_TEXT(bench.version->bundle->labels.names[answer.top[0].id],
               "Egyptian cat");
    CHECK(answer.top[0].score > 0.5f);
    CHECK(answer.is_accepted);
    CHECK_INT(answer.width_px, 1280);
    CHECK_INT(answer.height_px, 720);
    CHECK_INT(answer.hit_count, 0);
    bench_close(&bench);
}

TEST(classify_sees_what_is_added_while_it_serves)
{
    struct bench bench;
    struct answer answer, again;
    struct err err = {0};

    bench_open(&bench);
    CHECK_OK(classify(&bench, 3, &answer, &err), err);
    add_entry(&bench, answer.embedding, "cat.jpg");
    CHECK_OK(classify(&bench, 3, &again, &err), err);
    CHECK_INT(again.hit_count, 1);
    CHECK_TEXT(again.hits[0].path, "cat.jpg");
    CHECK_TEXT(again.hits[0].label, "cat");
    CHECK_NEAR(again.hits[0].distance, 0, 1e-5);
    add_entry(&bench, answer.embedding, "twin.jpg");
    CHECK_OK(classify(&bench, 3, &again, &err), err);
    CHECK_INT(again.hit_count, 2);
    bench_close(&bench);
}

TEST(classify_answers_without_a_search_when_the_index_is_of_another_model)
{
    struct bench bench;
    struct answer answer;
    struct vec_options options = {.model = "other 1"};
    struct vecstore *store = NULL;
    struct err err = {0};

    bench_open(&bench);
    options.dim = bench.version->bundle->embedding_len;
    CHECK_OK(vecstore_open(collection_path(bench.version->collection),
                           VEC_WRITE, &options, &store, &err),
             err);
    vecstore_close(store);
    CHECK_OK(classify(&bench, 3, &answer, &err), err);
    CHECK_INT(answer.hit_count, 0);
    CHECK_HAS(answer.index_error, "other 1");
    bench_close(&bench);
}

TEST(classify_calls_what_is_unsure_undefined_when_asked)
{
    struct bench bench;
    struct answer answer;
    struct err err = {0};

    bench_open(&bench);
    bench.config.undefined_below = 0.999;
    CHECK_OK(classify(&bench, 3, &answer, &err), err);
    CHECK(answer.is_undefined && !answer.is_accepted);
    bench.config.undefined_below = 0.5;
    CHECK_OK(classify(&bench, 3, &answer, &err), err);
    CHECK(!answer.is_undefined);
    bench.config.undefined_distance_above = 0.1;
    CHECK_OK(classify(&bench, 3, &answer, &err), err);
    CHECK(!answer.is_undefined);
    bench_close(&bench);
}

TEST(classify_stops_before_the_network_when_the_deadline_has_passed)
{
    struct bench bench;
    struct classify_options options = {.top_k = 1,
                                       .deadline_us = clock_us() - 1};
    struct answer answer = {.top_count = 77};
    struct err err = {0};

    bench_open(&bench);
    CHECK_ERR(classify_image(&bench.app, bench.version, buf_bytes(&bench.photo),
                             &options, bench.arena, &answer, &err),
              ERR_TIMEOUT);
    CHECK_INT(answer.top_count, 77);
    bench_close(&bench);
}

static void open_cache(struct bench *bench)
{
    struct cache_options options = {.bytes_max = 1 << 20, .ttl_s = 1000};
    struct err err = {0};

    CHECK_OK(cache_open(&options, &bench->app.cache, &err), err);
    bench->app.flight = flight_new();
}

static void close_cache(struct bench *bench)
{
    cache_free(bench->app.cache);
    flight_free(bench->app.flight);
}

/* One that asks on a thread of its own. */
struct asking {
    pthread_t thread;
    struct bench *bench;
    struct answer answer;
    struct err err;
    int rc;
};

static void *ask(void *user)
{
    struct asking *asking = user;

    asking->rc = classify(asking->bench, 0, &asking->answer, &asking->err);
    return NULL;
}

/* Asks while another leads, which ends, its answer in the cache, at any moment
 * after the one who asks has found nothing there. */
static void ask_late(struct asking *asking, const char *key, struct bytes value)
{
    struct app *app = &asking->bench->app;
    struct err err = {0};
    bool is_leader = false;
    struct buf none;

    buf_init(&none, 10);
    CHECK_OK(flight_begin(app->flight, key, 0, &is_leader, &none, &err), err);
    CHECK(is_leader);
    CHECK_INT(pthread_create(&asking->thread, NULL, ask, asking), 0);
    while (cache_stats(app->cache).misses == 0)
        sched_yield();
    cache_put(app->cache, key, value);
    flight_end(app->flight, key, NULL);
    pthread_join(asking->thread, NULL);
    buf_release(&none);
}

TEST(classify_computes_nothing_that_was_put_since_it_looked)
{
    struct bench bench;
    struct asking asking = {.bench = &bench};
    char sha256[HASH_HEX_LEN + 1], key[CACHE_KEY_MAX + 1];
    struct answer first;
    struct buf packed;
    struct err err = {0};

    bench_open(&bench);
    open_cache(&bench);
    CHECK_OK(classify(&bench, 0, &first, &err), err);
    CHECK(!first.is_cached);
    hash_sha256_hex(buf_bytes(&bench.photo), sha256);
    answer_key(bench.app.answer_stamp, bench.version, sha256, 5, key,
               sizeof key);
    buf_init(&packed, 1 << 20);
    CHECK(cache_get(bench.app.cache, key, &packed));
    close_cache(&bench);
    open_cache(&bench);
    ask_late(&asking, key, buf_bytes(&packed));
    CHECK_OK(asking.rc, asking.err);
    CHECK(asking.answer.is_cached);
    CHECK_INT(asking.answer.top[0].id, first.top[0].id);
    buf_release(&packed);
    close_cache(&bench);
    bench_close(&bench);
}

TEST(classify_refuses_a_file_over_the_limit_and_names_it)
{
    struct bench bench;
    struct answer answer;
    struct err err = {0};

    bench_open(&bench);
    bench.config.image_size_max_mb = 0.01;
    CHECK_ERR(classify(&bench, 0, &answer, &err), ERR_TOO_LARGE);
    CHECK_HAS(err.text, "104837 bytes");
    CHECK_HAS(err.text, "MAX_IMAGE_SIZE_MB 0.01");
    bench_close(&bench);
}

TEST(classify_survives_torture)
{
    struct bench bench;
    struct answer answer;
    long nth;
    int rc = -1;

    bench_open(&bench);
    for (nth = 1; nth < 500; nth++) {
        struct err err = {0};

        arena_reset(bench.arena);
        mem_fail_at(nth);
        rc = classify(&bench, 3, &answer, &err);
        if (rc == 0 && mem_tries() < nth)
            break;
        mem_fail_at(0);
        CHECK(rc == 0 || rc == ERR_UNAVAILABLE);
    }
    mem_fail_at(0);
    CHECK(rc == 0 && nth > 3 && nth < 500);
    bench_close(&bench);
}
