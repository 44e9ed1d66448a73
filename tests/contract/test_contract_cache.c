/* SPDX-License-Identifier: Apache-2.0 */
/* One list of tests, each run on every backend of the cache. Redis is named by
 * OLHO_TEST_REDIS. */
#include "test.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "cache/breaker.h"
#include "cache/cache.h"
#include "cache/redis_url.h"
#include "fake.h"
#include "obs/metrics.h"
#include "served.h"

enum { TTL_S = 1000, BYTES_MAX = 4 << 20, PATIENCE_US = 120000000 };

static const char *redis_url(void)
{
    const char *url = getenv("OLHO_TEST_REDIS");

    if (url == NULL || url[0] == '\0')
        SKIP("OLHO_TEST_REDIS is not set");
    return url;
}

static struct cache *cache_at(const char *url)
{
    struct cache_options options = {.bytes_max = BYTES_MAX,
                                    .ttl_s = TTL_S,
                                    .redis_url = url,
                                    .timeout_ms = 20000,
                                    .connection_max = 4};
    struct cache *cache = NULL;
    struct err err = {0};

    signal(SIGPIPE, SIG_IGN);
    CHECK_OK(cache_open(&options, &cache, &err), err);
    return cache;
}

#define EVERY_CACHE(what)                            \
    static void what(struct cache *cache);           \
    TEST(cache_in_memory_##what)                     \
    {                                                \
        struct cache *cache = cache_at(NULL);        \
        what(cache);                                 \
        cache_free(cache);                           \
    }                                                \
    TEST(cache_in_redis_##what)                      \
    {                                                \
        struct cache *cache = cache_at(redis_url()); \
        what(cache);                                 \
        cache_free(cache);                           \
    }                                                \
    static void what(struct cache *cache)

/* No other test, nor an earlier run, has the same. Valid until the next of the
 * same name. */
static const char *key_of(const char *name)
{
    static char keys[4][200];
    static int next;
    char *key = keys[next++ % 4];

    snprintf(key, sizeof keys[0], "test:%d:%lld:%s", (int)getpid(),
             (long long)clock_us(), name);
    return key;
}

static const char *got(struct cache *cache, const char *key)
{
    static char text[1000];
    struct buf out;

    buf_init(&out, sizeof text - 1);
    if (cache_get(cache, key, &out))
        snprintf(text, sizeof text, "%s", out.data);
    else
        snprintf(text, sizeof text, "(none)");
    buf_release(&out);
    return text;
}

/* --- every backend ------------------------------------------------------- */

EVERY_CACHE(gives_back_what_was_put_last)
{
    const char *a = key_of("a"), *b = key_of("b");

    CHECK_TEXT(got(cache, a), "(none)");
    cache_put(cache, a, bytes_of_text("one"));
    CHECK_TEXT(got(cache, a), "one");
    CHECK_TEXT(got(cache, b), "(none)");
    cache_put(cache, a, bytes_of_text("two"));
    CHECK_TEXT(got(cache, a), "two");
}

EVERY_CACHE(keeps_any_bytes_and_any_key)
{
    static const char *const names[] = {"with space", "with\ttab \"and\" %s %b",
                                        "\xc3\xa9\xf0\x9f\x91\x81", "*",
                                        "new\nline\r\nSET x y"};
    static uint8_t bytes[100000];
    struct buf out;
    size_t i;

    for (i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 256);
    for (i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *key = key_of(names[i]);
        struct bytes value = {bytes, i == 0 ? 1 : sizeof bytes - i};

        cache_put(cache, key, value);
        buf_init(&out, sizeof bytes);
        CHECK(cache_get(cache, key, &out));
        CHECK_INT(out.len, value.len);
        CHECK(memcmp(out.data, bytes, value.len) == 0);
        buf_release(&out);
    }
}

EVERY_CACHE(adds_to_what_is_in_the_buffer_or_leaves_it)
{
    const char *key = key_of("a");
    struct buf out;

    cache_put(cache, key, bytes_of_text("123456"));
    buf_init(&out, 9);
    buf_add_text(&out, "abc");
    CHECK(cache_get(cache, key, &out));
    CHECK_TEXT(out.data, "abc123456");
    CHECK(!cache_get(cache, key, &out));
    CHECK_TEXT(out.data, "abc123456");
    buf_release(&out);
    buf_init(&out, 8);
    buf_add_text(&out, "abc");
    CHECK(!cache_get(cache, key, &out));
    CHECK_TEXT(out.data, "abc");
    CHECK(!out.is_full);
    buf_release(&out);
}

EVERY_CACHE(misses_for_keys_that_are_too_long)
{
    char key[CACHE_KEY_MAX + 2];

    snprintf(key, sizeof key, "%s", key_of(""));
    memset(key + strlen(key), 'k', sizeof key - 1 - strlen(key));
    key[CACHE_KEY_MAX + 1] = '\0';
    cache_put(cache, key, bytes_of_text("too long"));
    CHECK_TEXT(got(cache, key), "(none)");
    key[CACHE_KEY_MAX] = '\0';
    cache_put(cache, key, bytes_of_text("as long as can be"));
    CHECK_TEXT(got(cache, key), "as long as can be");
}

EVERY_CACHE(counts_hits_and_misses)
{
    const char *key = key_of("a"), *backend = cache_stats(cache).backend;
    double hits = metrics_get(METRIC_CACHE_REQUESTS, backend, "hit");
    double misses = metrics_get(METRIC_CACHE_REQUESTS, backend, "miss");

    got(cache, key);
    cache_put(cache, key, bytes_of_text("one"));
    got(cache, key);
    got(cache, key);
    CHECK_INT(cache_stats(cache).hits, 2);
    CHECK_INT(cache_stats(cache).misses, 1);
    CHECK_INT(cache_stats(cache).errors, 0);
    CHECK(cache_stats(cache).is_up);
    CHECK_INT(metrics_get(METRIC_CACHE_REQUESTS, backend, "hit"), hits + 2);
    CHECK_INT(metrics_get(METRIC_CACHE_REQUESTS, backend, "miss"), misses + 1);
    CHECK_INT(metrics_get(METRIC_CACHE_UP, backend, NULL), 1);
}

EVERY_CACHE(counts_no_second_miss_of_one_who_looks_again)
{
    const char *key = key_of("a");
    struct buf out;

    buf_init(&out, 100);
    CHECK(!cache_get(cache, key, &out));
    CHECK(!cache_get_again(cache, key, &out));
    CHECK_INT(cache_stats(cache).misses, 1);
    CHECK_INT(cache_stats(cache).hits, 0);
    cache_put(cache, key, bytes_of_text("one"));
    CHECK(cache_get_again(cache, key, &out));
    CHECK_TEXT(out.data, "one");
    CHECK_INT(cache_stats(cache).misses, 1);
    CHECK_INT(cache_stats(cache).hits, 1);
    buf_release(&out);
}

enum { THREADS = 6, ROUNDS = 300, KEYS = 20 };

struct worker {
    pthread_t thread;
    struct cache *cache;
    const char *prefix;
    uint32_t random;
    long hits, wrong;
};

/* Each value names its key, so that an answer of another command shows. */
static void *work(void *user)
{
    struct worker *worker = user;
    char key[256], value[300];
    struct buf out;
    int i;

    for (i = 0; i < ROUNDS; i++) {
        worker->random = worker->random * 1664525u + 1013904223u;
        snprintf(key, sizeof key, "%s %u", worker->prefix,
                 (worker->random >> 16) % KEYS);
        snprintf(value, sizeof value, "%s=", key);
        buf_init(&out, 1000);
        if (worker->random >> 31) {
            cache_put(worker->cache, key, bytes_of_text(value));
        } else if (cache_get(worker->cache, key, &out)) {
            worker->hits++;
            worker->wrong += strcmp(out.data, value) != 0;
        }
        buf_release(&out);
    }
    return NULL;
}

static void start_workers(struct worker *workers, struct cache *cache)
{
    static char prefix[200];
    int i;

    snprintf(prefix, sizeof prefix, "%s", key_of("shared"));
    for (i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){
            .cache = cache, .prefix = prefix, .random = (uint32_t)i + 1};
        CHECK_INT(pthread_create(&workers[i].thread, NULL, work, &workers[i]),
                  0);
    }
}

static long join_workers(struct worker *workers)
{
    long hits = 0, wrong = 0;
    int i;

    for (i = 0; i < THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        hits += workers[i].hits;
        wrong += workers[i].wrong;
    }
    CHECK_INT(wrong, 0);
    return hits;
}

EVERY_CACHE(serves_more_threads_than_it_has_connections)
{
    struct worker workers[THREADS];

    start_workers(workers, cache);
    CHECK(join_workers(workers) > 0);
    CHECK_INT(cache_stats(cache).errors, 0);
}

/* --- what options are refused -------------------------------------------- */

TEST(cache_of_impossible_options_is_refused)
{
    static const struct cache_options wrong[] = {
        {.ttl_s = 0},
        {.ttl_s = CACHE_TTL_MAX_S + 1},
        {.ttl_s = 1, .redis_url = "http://h"},
        {.ttl_s = 1, .redis_url = "redis://x", .connection_max = 257},
        {.ttl_s = 1, .redis_url = "redis://x", .connection_max = -1},
        {.ttl_s = 1, .redis_url = "redis://x", .timeout_ms = -1},
        {.ttl_s = 1, .redis_url = "redis://x", .timeout_ms = 60001},
    };
    struct cache *cache = NULL;
    size_t i;

    for (i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct err err = {0};

        CHECK_ERR(cache_open(&wrong[i], &cache, &err), ERR_INVALID);
        CHECK(cache == NULL);
    }
    cache_free(NULL);
}

/* --- a Redis that misbehaves --------------------------------------------- */

static struct cache *cache_of_port(int port, int timeout_ms)
{
    struct cache_options options = {
        .ttl_s = TTL_S, .timeout_ms = timeout_ms, .connection_max = 2};
    struct cache *cache = NULL;
    struct err err = {0};
    char url[100];

    signal(SIGPIPE, SIG_IGN);
    snprintf(url, sizeof url, "redis://127.0.0.1:%d", port);
    options.redis_url = url;
    log_set_level(LOG_OFF);
    CHECK_OK(cache_open(&options, &cache, &err), err);
    return cache;
}

static void expect_misses(struct cache *cache)
{
    uint64_t misses = cache_stats(cache).misses;
    struct cache_stats stats;
    int i;

    for (i = 0; i < 200; i++) {
        CHECK_TEXT(got(cache, "a"), "(none)");
        cache_put(cache, "a", bytes_of_text("one"));
    }
    stats = cache_stats(cache);
    CHECK(!stats.is_up);
    CHECK_INT(stats.misses, misses + 200);
    CHECK(stats.errors >= BREAKER_FAILURES);
    CHECK_INT(metrics_get(METRIC_CACHE_UP, "redis", NULL), 0);
    cache_free(cache);
    log_set_level(LOG_INFO);
}

TEST(cache_without_its_redis_misses)
{
    expect_misses(cache_of_port(fake_start_closed(), 1000));
    fake_stop();
}

/* 400 lookups of 20 ms each would be seconds; the breaker makes it a few, of
 * which the test counts the failures. */
TEST(cache_whose_redis_is_silent_asks_it_seldom)
{
    struct cache *cache = cache_of_port(fake_start_silent(), 20);
    int i;

    for (i = 0; i < 100; i++)
        CHECK_TEXT(got(cache, "a"), "(none)");
    CHECK(cache_stats(cache).errors < 100);
    expect_misses(cache);
    fake_stop();
}

static void answer_garbage(int fd, int nth)
{
    static const char *const answers[] = {"HTTP/1.1 400 Bad Request\r\n\r\n",
                                          "$-7\r\n",
                                          "*99999999999\r\n",
                                          "$5\r\nab",
                                          "",
                                          "-ERR not today\r\n",
                                          "\r\n"};

    fake_send(fd, "%s", answers[nth % 7]);
}

TEST(cache_misses_when_something_else_answers)
{
    expect_misses(cache_of_port(fake_start(answer_garbage), 200));
    fake_stop();
}

/* Good words of the wrong kind. */
static void answer_numbers(int fd, int nth)
{
    int i;

    (void)nth;
    for (i = 0; i < 1000 && !fake_is_gone(fd); i++)
        fake_send(fd, ":1\r\n");
}

TEST(cache_misses_when_redis_answers_another_kind)
{
    struct cache *cache = cache_of_port(fake_start(answer_numbers), 1000);

    CHECK_TEXT(got(cache, "a"), "(none)");
    CHECK_TEXT(got(cache, "a"), "(none)");
    cache_free(cache);
    fake_stop();
    log_set_level(LOG_INFO);
}

TEST(cache_with_the_wrong_password_misses)
{
    struct redis_url url;
    struct err err = {0};
    struct cache_options options = {.ttl_s = TTL_S, .timeout_ms = 20000};
    struct cache *cache = NULL;
    char text[400];

    CHECK_OK(redis_url_parse(redis_url(), &url, &err), err);
    if (url.password[0] == '\0')
        SKIP("the Redis of OLHO_TEST_REDIS wants no password");
    snprintf(text, sizeof text, "redis://:wrong@%s:%d", url.host, url.port);
    options.redis_url = text;
    log_set_level(LOG_OFF);
    CHECK_OK(cache_open(&options, &cache, &err), err);
    expect_misses(cache);
}

/* --- Redis itself -------------------------------------------------------- */

/* What Redis says to a line. */
static void ask_redis(const char *line, char *out, size_t size)
{
    struct redis_url url;
    struct err err = {0};
    struct sockaddr_in address = {.sin_family = AF_INET};
    char text[600];
    size_t len = 0;
    ssize_t got_len;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK_OK(redis_url_parse(redis_url(), &url, &err), err);
    address.sin_port = htons((uint16_t)url.port);
    if (inet_pton(AF_INET, url.host, &address.sin_addr) != 1)
        SKIP("OLHO_TEST_REDIS names its host");
    CHECK_INT(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    if (url.password[0] != '\0')
        fake_send(fd, "AUTH %s\r\n", url.password);
    fake_send(fd, "SELECT %d\r\n%s\r\nQUIT\r\n", url.db, line);
    while (len < sizeof text - 1 &&
           (got_len = recv(fd, text + len, sizeof text - 1 - len, 0)) > 0)
        len += (size_t)got_len;
    text[len] = '\0';
    close(fd);
    snprintf(out, size, "%s", text);
}

TEST(cache_in_redis_ends_with_its_time)
{
    struct cache *cache = cache_at(redis_url());
    char name[] = "ttl", line[300], answer[600];
    const char *key = key_of(name);
    int seconds = 0;

    cache_put(cache, key, bytes_of_text("one"));
    snprintf(line, sizeof line, "TTL olho:%s", key);
    ask_redis(line, answer, sizeof answer);
    CHECK(strrchr(answer, ':') != NULL);
    seconds = (int)strtol(strrchr(answer, ':') + 1, NULL, 10);
    CHECK(seconds > TTL_S / 2);
    CHECK(seconds <= TTL_S);
    cache_free(cache);
}

TEST(cache_in_redis_misses_what_another_program_made_of_its_key)
{
    struct cache *cache = cache_at(redis_url());
    const char *key = key_of("list");
    char line[300], answer[600];

    snprintf(line, sizeof line, "LPUSH olho:%s x", key);
    ask_redis(line, answer, sizeof answer);
    CHECK_TEXT(got(cache, key), "(none)");
    CHECK_INT(cache_stats(cache).errors, 1);
    cache_put(cache, key, bytes_of_text("one"));
    CHECK_TEXT(got(cache, key), "one");
    CHECK(cache_stats(cache).is_up);
    cache_free(cache);
}

TEST(cache_in_redis_logs_in_as_a_user)
{
    struct redis_url url;
    struct err err = {0};
    struct cache *cache;
    char text[400], answer[600];

    CHECK_OK(redis_url_parse(redis_url(), &url, &err), err);
    ask_redis("ACL SETUSER olho-test on >pa:s%s ~olho:* +@all", answer,
              sizeof answer);
    snprintf(text, sizeof text, "redis://olho-test:pa%%3as%%25s@%s:%d/%d",
             url.host, url.port, url.db);
    cache = cache_at(text);
    cache_put(cache, "by a user", bytes_of_text("one"));
    CHECK_TEXT(got(cache, "by a user"), "one");
    CHECK_INT(cache_stats(cache).errors, 0);
    cache_free(cache);
    ask_redis("ACL DELUSER olho-test", answer, sizeof answer);
}

static void await_hit(struct cache *cache, const char *key)
{
    int64_t until_us = clock_us() + PATIENCE_US;

    for (;;) {
        cache_put(cache, key, bytes_of_text("again"));
        if (strcmp(got(cache, key), "again") == 0)
            return;
        CHECK(clock_us() < until_us);
        served_let_others();
    }
}

TEST(cache_in_redis_outlives_a_restart_without_a_miss_more)
{
    struct worker workers[THREADS];
    struct cache *cache;
    char url[100];

    redis_url();
    snprintf(url, sizeof url, "redis://:secret@127.0.0.1:%d/1",
             served_start("redis"));
    cache = cache_at(url);
    start_workers(workers, cache);
    join_workers(workers);
    await_hit(cache, "a");
    served_start("redis");
    cache_put(cache, "a", bytes_of_text("two"));
    CHECK_TEXT(got(cache, "a"), "two");
    CHECK_INT(cache_stats(cache).errors, 0);
    cache_free(cache);
    served_stop();
}

TEST(cache_in_redis_degrades_and_heals_under_load)
{
    struct worker workers[THREADS];
    struct cache *cache;
    char url[100];
    int i;

    redis_url();
    snprintf(url, sizeof url, "redis://:secret@127.0.0.1:%d",
             served_start("redis"));
    cache = cache_at(url);
    log_set_level(LOG_OFF);
    for (i = 0; i < 3; i++) {
        start_workers(workers, cache);
        served_kill();
        join_workers(workers);
        got(cache, "a");
        start_workers(workers, cache);
        join_workers(workers);
        CHECK(!cache_stats(cache).is_up);
        start_workers(workers, cache);
        served_start("redis");
        join_workers(workers);
        await_hit(cache, "a");
        CHECK(cache_stats(cache).is_up);
        CHECK_INT(metrics_get(METRIC_CACHE_UP, "redis", NULL), 1);
    }
    cache_free(cache);
    served_stop();
    log_set_level(LOG_INFO);
}
