/* SPDX-License-Identifier: Apache-2.0 */
/* The time is an argument here, so nothing waits. */
#include "test.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cache/cache_ops.h"
#include "obs/metrics.h"

enum { SECOND = 1000000, TTL_S = 10, SMALL = 8192 };

static void put(struct cache *cache, const char *key, int64_t now_us,
                const char *value)
{
    cache->ops->put(cache, key, now_us, bytes_of_text(value));
}

/* The value, or "(none)"; valid until the next call. */
static const char *got(struct cache *cache, const char *key, int64_t now_us)
{
    static char text[SMALL];
    struct buf out;

    buf_init(&out, sizeof text - 1);
    if (cache->ops->get(cache, key, now_us, &out))
        snprintf(text, sizeof text, "%s", out.data);
    else
        snprintf(text, sizeof text, "(none)");
    buf_release(&out);
    return text;
}

static struct cache_stats stats_of(struct cache *cache)
{
    struct cache_stats stats = {0};

    cache->ops->stats(cache, &stats);
    return stats;
}

TEST(cache_memory_gives_back_what_was_put_last)
{
    struct cache *cache = cache_memory_open(SMALL, TTL_S);

    CHECK_TEXT(got(cache, "a", 0), "(none)");
    put(cache, "a", 0, "one");
    put(cache, "b", 0, "two");
    CHECK_TEXT(got(cache, "a", 0), "one");
    CHECK_TEXT(got(cache, "b", 0), "two");
    put(cache, "a", 0, "three");
    CHECK_TEXT(got(cache, "a", 0), "three");
    CHECK_INT(stats_of(cache).entry_count, 2);
    cache_free(cache);
}

TEST(cache_memory_forgets_at_the_end_of_its_time)
{
    struct cache *cache = cache_memory_open(SMALL, TTL_S);

    put(cache, "a", 5 * SECOND, "one");
    CHECK_TEXT(got(cache, "a", (5 + TTL_S) * (int64_t)SECOND - 1), "one");
    CHECK_TEXT(got(cache, "a", (5 + TTL_S) * (int64_t)SECOND), "(none)");
    CHECK_INT(stats_of(cache).entry_count, 0);
    CHECK_INT(stats_of(cache).bytes, 0);
    put(cache, "a", 20 * SECOND, "two");
    put(cache, "a", 25 * SECOND, "three");
    CHECK_TEXT(got(cache, "a", 34 * SECOND), "three");
    cache_free(cache);
}

TEST(cache_memory_makes_room_by_what_was_not_used_for_longest)
{
    struct cache *cache = cache_memory_open(SMALL, TTL_S);
    char value[1001], key[16];
    int i;

    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    for (i = 0; i < 5; i++) {
        snprintf(key, sizeof key, "k%d", i);
        put(cache, key, 0, value);
    }
    CHECK_INT(stats_of(cache).evictions, 0);
    CHECK_TEXT(got(cache, "k0", 0), value);
    put(cache, "k5", 0, value);
    put(cache, "k6", 0, value);
    put(cache, "k7", 0, value);
    CHECK_TEXT(got(cache, "k0", 0), value);
    CHECK_TEXT(got(cache, "k1", 0), "(none)");
    CHECK_TEXT(got(cache, "k7", 0), value);
    CHECK(stats_of(cache).evictions > 0);
    CHECK(stats_of(cache).bytes <= SMALL);
    cache_free(cache);
}

TEST(cache_memory_never_holds_more_bytes_than_it_may)
{
    struct cache *cache = cache_memory_open(SMALL, TTL_S);
    char value[SMALL], key[16];
    uint32_t random = 1;
    int i;

    for (i = 0; i < 5000; i++) {
        random = random * 1664525u + 1013904223u;
        memset(value, 'v', sizeof value);
        value[1 + (random >> 8) % (SMALL - 1)] = '\0';
        snprintf(key, sizeof key, "%u", random >> 24);
        put(cache, key, i, value);
        CHECK(stats_of(cache).bytes <= SMALL);
        CHECK_INT(metrics_get(METRIC_CACHE_BYTES, "memory", NULL),
                  stats_of(cache).bytes);
    }
    cache_free(cache);
    CHECK_INT(metrics_get(METRIC_CACHE_BYTES, "memory", NULL), 0);
}

TEST(cache_memory_leaves_out_what_can_never_fit)
{
    struct cache *cache = cache_memory_open(SMALL, TTL_S);
    static char value[2 * SMALL];

    memset(value, 'x', sizeof value - 1);
    put(cache, "a", 0, "one");
    put(cache, "large", 0, value);
    CHECK_TEXT(got(cache, "large", 0), "(none)");
    CHECK_TEXT(got(cache, "a", 0), "one");
    cache_free(cache);
}

TEST(cache_memory_of_no_bytes_keeps_nothing)
{
    struct cache *cache = cache_memory_open(0, TTL_S);

    put(cache, "a", 0, "one");
    CHECK_TEXT(got(cache, "a", 0), "(none)");
    cache_free(cache);
}

TEST(cache_memory_gives_nothing_that_does_not_fit_the_buffer)
{
    struct cache *cache = cache_memory_open(SMALL, TTL_S);
    struct buf out;

    put(cache, "a", 0, "123456");
    buf_init(&out, 8);
    buf_add_text(&out, "abc");
    CHECK(!cache->ops->get(cache, "a", 0, &out));
    CHECK_TEXT(out.data, "abc");
    CHECK(!out.is_full);
    buf_release(&out);
    buf_init(&out, 9);
    buf_add_text(&out, "abc");
    CHECK(cache->ops->get(cache, "a", 0, &out));
    CHECK_TEXT(out.data, "abc123456");
    buf_release(&out);
    cache_free(cache);
}

TEST(cache_memory_tells_many_keys_apart)
{
    struct cache *cache = cache_memory_open(64 << 20, TTL_S);
    char key[100], value[100];
    int i;

    for (i = 0; i < 20000; i++) {
        snprintf(key, sizeof key, "v1:%064d:k=%d", i, i % 7);
        snprintf(value, sizeof value, "answer %d", i);
        put(cache, key, 0, value);
    }
    CHECK_INT(stats_of(cache).entry_count, 20000);
    for (i = 0; i < 20000; i++) {
        snprintf(key, sizeof key, "v1:%064d:k=%d", i, i % 7);
        snprintf(value, sizeof value, "answer %d", i);
        CHECK_TEXT(got(cache, key, 0), value);
    }
    cache_free(cache);
}

TEST(torture_cache_memory_misses_without_memory)
{
    struct cache *cache;
    long nth;

    for (nth = 1; nth <= 4; nth++) {
        mem_fail_at(nth);
        cache = cache_memory_open(SMALL, TTL_S);
        put(cache, "a", 0, "one");
        put(cache, "b", 0, "two");
        mem_fail_at(0);
        CHECK(stats_of(cache).bytes <= SMALL);
        got(cache, "a", 0);
        cache_free(cache);
    }
}

/* --- several threads ----------------------------------------------------- */

enum { THREADS = 4, ROUNDS = 3000, KEYS = 50 };

static struct cache *shared;

/* Every value names its key, so that a mixed up one shows. */
static void *hammer(void *user)
{
    uint32_t random = *(uint32_t *)user;
    char key[32], value[200];
    long wrong = 0;
    int i;

    for (i = 0; i < ROUNDS; i++) {
        struct buf out;

        random = random * 1664525u + 1013904223u;
        snprintf(key, sizeof key, "key %u", (random >> 16) % KEYS);
        snprintf(value, sizeof value, "%s=%0*d", key,
                 (int)((random >> 8) % 100) + 1, 0);
        buf_init(&out, sizeof value);
        if (random & 1)
            shared->ops->put(shared, key, i, bytes_of_text(value));
        else if (shared->ops->get(shared, key, i, &out))
            wrong += strncmp(out.data, key, strlen(key)) != 0 ||
                     out.data[strlen(key)] != '=';
        buf_release(&out);
    }
    return (void *)wrong;
}

TEST(cache_memory_serves_threads_at_once)
{
    pthread_t threads[THREADS];
    uint32_t seeds[THREADS];
    bool has_mixed = false;
    void *wrong;
    int i;

    shared = cache_memory_open(SMALL, TTL_S);
    for (i = 0; i < THREADS; i++) {
        seeds[i] = (uint32_t)i + 1;
        CHECK_INT(pthread_create(&threads[i], NULL, hammer, &seeds[i]), 0);
    }
    for (i = 0; i < THREADS; i++) {
        pthread_join(threads[i], &wrong);
        has_mixed = has_mixed || wrong != NULL;
    }
    CHECK(!has_mixed);
    CHECK(stats_of(shared).bytes <= SMALL);
    cache_free(shared);
}
