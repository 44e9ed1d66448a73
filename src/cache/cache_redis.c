/* SPDX-License-Identifier: Apache-2.0 */
/* Redis by hiredis, of which 0.14 and 1.2 are used alike. A connection belongs
 * to one command at a time; after any failure of the exchange it is closed,
 * because a late answer would be taken for that of the next command. The mutex
 * is never held while Redis is talked to.
 *
 * A connection that was idle may have died with a restart of Redis, so its
 * command is sent once more on a new one; what fails there is a failure, and a
 * few of them open the breaker. While that is open a lookup costs one mutex. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <hiredis.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "cache/breaker.h"
#include "cache/cache_ops.h"
#include "cache/redis_url.h"
#include "obs/metrics.h"

#define KEY_PREFIX "olho:"

enum {
    CONNECTIONS = 8,
    CONNECTIONS_MAX = 256,
    TIMEOUT_MS = 100,
    TIMEOUT_MAX_MS = 60000,
    WORDS_MAX = 5,
    WHY_MAX = 128,
};

struct redis {
    struct cache cache;
    struct redis_url url;
    int timeout_ms, connection_max;
    atomic_ullong errors; /* relaxed: an independent counter */

    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t changed;
    redisContext *idle[CONNECTIONS_MAX];
    int idle_count, open_count;
    struct breaker breaker;
    bool is_up;
};

/* One command: its words, and what came of it. */
struct exchange {
    const char *words[WORDS_MAX];
    size_t lens[WORDS_MAX];
    int word_count;
    redisReply *reply; /* NULL: none; never an error */
    char why[WHY_MAX]; /* of a failure; no secret is in it */
};

static void add_word(struct exchange *exchange, const void *word, size_t len)
{
    exchange->words[exchange->word_count] = word;
    exchange->lens[exchange->word_count++] = len;
}

static void add_text(struct exchange *exchange, const char *text)
{
    add_word(exchange, text, strlen(text));
}

static struct timeval timeval_of(int ms)
{
    return (struct timeval){ms / 1000, ms % 1000 * 1000L};
}

/* --- one connection ------------------------------------------------------ */

/* True when Redis answered, also with an error, after which the connection is
 * good for the next command. */
static bool send_words(redisContext *connection, struct exchange *exchange)
{
    redisReply *reply = redisCommandArgv(connection, exchange->word_count,
                                         exchange->words, exchange->lens);

    if (reply == NULL) {
        snprintf(exchange->why, sizeof exchange->why, "%s", connection->errstr);
        return false;
    }
    if (reply->type == REDIS_REPLY_ERROR) {
        snprintf(exchange->why, sizeof exchange->why, "%s", reply->str);
        freeReplyObject(reply);
        reply = NULL;
    }
    exchange->reply = reply;
    return true;
}

/* A command whose answer is only good or not. */
static bool send_setting(redisContext *connection, struct exchange *setting,
                         char why[WHY_MAX])
{
    if (send_words(connection, setting) && setting->reply != NULL) {
        freeReplyObject(setting->reply);
        return true;
    }
    memcpy(why, setting->why, WHY_MAX);
    return false;
}

static bool log_in(const struct redis *redis, redisContext *connection,
                   char why[WHY_MAX])
{
    struct exchange auth = {.word_count = 0}, select = {.word_count = 0};
    char db[16];

    if (redis->url.password[0] != '\0') {
        add_text(&auth, "AUTH");
        if (redis->url.user[0] != '\0')
            add_text(&auth, redis->url.user);
        add_text(&auth, redis->url.password);
        if (!send_setting(connection, &auth, why))
            return false;
    }
    if (redis->url.db == 0)
        return true;
    snprintf(db, sizeof db, "%d", redis->url.db);
    add_text(&select, "SELECT");
    add_text(&select, db);
    return send_setting(connection, &select, why);
}

static redisContext *connect_new(const struct redis *redis, char why[WHY_MAX])
{
    struct timeval timeout = timeval_of(redis->timeout_ms);
    redisContext *connection =
        redisConnectWithTimeout(redis->url.host, redis->url.port, timeout);

    if (connection == NULL) {
        snprintf(why, WHY_MAX, "no memory for a connection");
        return NULL;
    }
    if (connection->err != 0) {
        snprintf(why, WHY_MAX, "%s", connection->errstr);
    } else if (redisSetTimeout(connection, timeout) != REDIS_OK) {
        snprintf(why, WHY_MAX, "the timeout cannot be set");
    } else if (log_in(redis, connection, why)) {
        return connection;
    }
    redisFree(connection);
    return NULL;
}

/* --- the pool ------------------------------------------------------------ */

/* Takes a place, with an idle connection or with none (*out NULL: to be made).
 * False while the breaker is open, or when none came free in time. */
static bool enter(struct redis *redis, int64_t now_us, redisContext **out)
{
    struct timespec until =
        clock_timespec(now_us + redis->timeout_ms * INT64_C(1000));
    bool is_in = true;

    *out = NULL;
    pthread_mutex_lock(&redis->mutex);
    while (is_in && redis->open_count == redis->connection_max &&
           redis->idle_count == 0)
        is_in =
            !redis->breaker.is_open &&
            pthread_cond_timedwait(&redis->changed, &redis->mutex, &until) == 0;
    if (is_in)
        is_in = breaker_allows(&redis->breaker, now_us);
    if (is_in && redis->idle_count > 0)
        *out = redis->idle[--redis->idle_count];
    else if (is_in)
        redis->open_count++;
    pthread_mutex_unlock(&redis->mutex);
    return is_in;
}

/* Notes how it went; true when that is news, to be logged. Mutex held. */
static bool note(struct redis *redis, bool is_ok, bool is_first)
{
    bool was_up = redis->is_up;

    breaker_report(&redis->breaker, is_ok, clock_us());
    if (is_ok)
        redis->is_up = true;
    else if (redis->breaker.is_open || is_first)
        redis->is_up = false;
    return redis->is_up != was_up;
}

static void tell(const struct redis *redis, bool is_up, const char *why)
{
    metrics_set(METRIC_CACHE_UP, "redis", NULL, is_up ? 1 : 0);
    if (is_up)
        log_write(LOG_INFO, "the cache is back",
                  log_text("host", redis->url.host),
                  log_integer("port", redis->url.port));
    else
        log_write(LOG_WARN, "the cache is away; answers are computed",
                  log_text("host", redis->url.host),
                  log_integer("port", redis->url.port), log_text("why", why));
}

/* Gives the place back, with the connection or (NULL) without. */
static void leave(struct redis *redis, redisContext *connection,
                  const struct exchange *exchange, bool is_first)
{
    bool is_ok = exchange->reply != NULL, is_news, is_up;

    pthread_mutex_lock(&redis->mutex);
    if (connection != NULL)
        redis->idle[redis->idle_count++] = connection;
    else
        redis->open_count--;
    is_news = note(redis, is_ok, is_first);
    is_up = redis->is_up;
    pthread_cond_signal(&redis->changed);
    pthread_mutex_unlock(&redis->mutex);
    if (!is_ok) {
        atomic_fetch_add_explicit(&redis->errors, 1, memory_order_relaxed);
        metrics_add(METRIC_CACHE_ERRORS, "redis", NULL, 1);
    }
    if (is_news)
        tell(redis, is_up, exchange->why);
}

/* What was idle beside a dead connection is as dead. */
static void drop_idle(struct redis *redis)
{
    redisContext *dropped[CONNECTIONS_MAX];
    int count, i;

    pthread_mutex_lock(&redis->mutex);
    count = redis->idle_count;
    for (i = 0; i < count; i++)
        dropped[i] = redis->idle[i];
    redis->idle_count = 0;
    redis->open_count -= count;
    pthread_cond_broadcast(&redis->changed);
    pthread_mutex_unlock(&redis->mutex);
    for (i = 0; i < count; i++)
        redisFree(dropped[i]);
}

/* Runs a command; exchange->reply is NULL when there is no good answer. */
static void run(struct redis *redis, int64_t now_us, bool is_first,
                struct exchange *exchange)
{
    redisContext *connection;

    if (!enter(redis, now_us, &connection))
        return;
    if (connection != NULL && !send_words(connection, exchange)) {
        redisFree(connection);
        connection = NULL;
        drop_idle(redis);
    }
    if (connection == NULL) {
        connection = connect_new(redis, exchange->why);
        if (connection != NULL && !send_words(connection, exchange)) {
            redisFree(connection);
            connection = NULL;
        }
    }
    leave(redis, connection, exchange, is_first);
}

/* --- the backend --------------------------------------------------------- */

enum { FULL_KEY_MAX = sizeof KEY_PREFIX + CACHE_KEY_MAX };

/* GETRANGE, so that Redis never sends more than one byte over what fits; it
 * gives nothing, which we never store, for a key that is absent. */
static bool redis_get(struct cache *cache, const char *key, int64_t now_us,
                      struct buf *out)
{
    struct exchange exchange = {.word_count = 0};
    size_t room = out->len_max - out->len, start = out->len;
    char full_key[FULL_KEY_MAX], last[24];
    bool is_hit = false;

    snprintf(full_key, sizeof full_key, KEY_PREFIX "%s", key);
    snprintf(last, sizeof last, "%zu", room);
    add_text(&exchange, "GETRANGE");
    add_text(&exchange, full_key);
    add_text(&exchange, "0");
    add_text(&exchange, last);
    run((struct redis *)cache, now_us, false, &exchange);
    if (exchange.reply == NULL)
        return false;
    if (exchange.reply->type == REDIS_REPLY_STRING && exchange.reply->len > 0 &&
        exchange.reply->len <= room) {
        buf_add(out, exchange.reply->str, exchange.reply->len);
        is_hit = out->len - start == exchange.reply->len;
    }
    freeReplyObject(exchange.reply);
    return is_hit;
}

static void redis_put(struct cache *cache, const char *key, int64_t now_us,
                      struct bytes value)
{
    struct exchange exchange = {.word_count = 0};
    char full_key[FULL_KEY_MAX], seconds[16];

    snprintf(full_key, sizeof full_key, KEY_PREFIX "%s", key);
    snprintf(seconds, sizeof seconds, "%d", (int)(cache->ttl_us / 1000000));
    add_text(&exchange, "SET");
    add_text(&exchange, full_key);
    add_word(&exchange, value.data, value.len);
    add_text(&exchange, "EX");
    add_text(&exchange, seconds);
    run((struct redis *)cache, now_us, false, &exchange);
    if (exchange.reply != NULL)
        freeReplyObject(exchange.reply);
}

static void redis_stats(struct cache *cache, struct cache_stats *out)
{
    struct redis *redis = (struct redis *)cache;

    pthread_mutex_lock(&redis->mutex);
    out->is_up = redis->is_up;
    pthread_mutex_unlock(&redis->mutex);
    out->errors = atomic_load_explicit(&redis->errors, memory_order_relaxed);
}

static void redis_close(struct cache *cache)
{
    struct redis *redis = (struct redis *)cache;

    while (redis->idle_count > 0)
        redisFree(redis->idle[--redis->idle_count]);
    pthread_cond_destroy(&redis->changed);
    pthread_mutex_destroy(&redis->mutex);
    explicit_bzero(&redis->url, sizeof redis->url);
    mem_free(redis);
}

static const struct cache_ops redis_ops = {
    .name = "redis",
    .get = redis_get,
    .put = redis_put,
    .stats = redis_stats,
    .close = redis_close,
};

static int check_limits(const struct redis *redis, struct err *err)
{
    if (redis->connection_max < 1 || redis->connection_max > CONNECTIONS_MAX)
        return err_set(err, ERR_INVALID,
                       "%d connections to Redis were asked for; 1..%d can be",
                       redis->connection_max, CONNECTIONS_MAX);
    if (redis->timeout_ms < 1 || redis->timeout_ms > TIMEOUT_MAX_MS)
        return err_set(err, ERR_INVALID,
                       "a timeout of %d ms was asked for; 1..%d can be",
                       redis->timeout_ms, TIMEOUT_MAX_MS);
    return 0;
}

/* Asks Redis once, so that its absence is known, and told, from the start. */
static void greet(struct redis *redis)
{
    struct exchange ping = {.word_count = 0};

    add_text(&ping, "PING");
    metrics_set(METRIC_CACHE_UP, "redis", NULL, 1);
    run(redis, clock_us(), true, &ping);
    if (ping.reply != NULL)
        freeReplyObject(ping.reply);
}

int cache_redis_open(const struct cache_options *options, struct cache **out,
                     struct err *err)
{
    struct redis *redis = mem_new(sizeof *redis);
    pthread_condattr_t monotonic;
    int rc = redis_url_parse(options->redis_url, &redis->url, err);

    redis->cache.ops = &redis_ops;
    redis->cache.ttl_us = options->ttl_s * INT64_C(1000000);
    redis->timeout_ms =
        options->timeout_ms != 0 ? options->timeout_ms : TIMEOUT_MS;
    redis->connection_max =
        options->connection_max != 0 ? options->connection_max : CONNECTIONS;
    redis->is_up = true;
    pthread_mutex_init(&redis->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&redis->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (rc == 0)
        rc = check_limits(redis, err);
    if (rc) {
        redis_close(&redis->cache);
        return rc;
    }
    greet(redis);
    *out = &redis->cache;
    return 0;
}
