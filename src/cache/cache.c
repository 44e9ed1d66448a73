/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/cache.h"

#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "cache/cache_ops.h"
#include "obs/metrics.h"

int cache_open(const struct cache_options *options, struct cache **out,
               struct err *err)
{
    bool is_redis = options->redis_url != NULL && options->redis_url[0] != '\0';

    if (options->ttl_s < 1 || options->ttl_s > CACHE_TTL_MAX_S)
        return err_set(err, ERR_INVALID,
                       "cached answers are to live %d s; it must be 1..%d",
                       options->ttl_s, CACHE_TTL_MAX_S);
    if (is_redis)
        return cache_redis_open(options, out, err);
    *out = cache_memory_open(options->bytes_max, options->ttl_s);
    return 0;
}

void cache_free(struct cache *cache)
{
    if (cache != NULL)
        cache->ops->close(cache);
}

static bool get(struct cache *cache, const char *key, struct buf *out)
{
    size_t start = out->len;
    bool is_hit = false;

    assert(key[0] != '\0');
    if (strlen(key) <= CACHE_KEY_MAX && out->len < out->len_max)
        is_hit = cache->ops->get(cache, key, clock_us(), out);
    assert(is_hit || out->len == start);
    return is_hit;
}

static void count(struct cache *cache, bool is_hit)
{
    atomic_fetch_add_explicit(is_hit ? &cache->hits : &cache->misses, 1,
                              memory_order_relaxed);
    metrics_add(METRIC_CACHE_REQUESTS, cache->ops->name,
                is_hit ? "hit" : "miss", 1);
}

bool cache_get(struct cache *cache, const char *key, struct buf *out)
{
    bool is_hit = get(cache, key, out);

    count(cache, is_hit);
    return is_hit;
}

bool cache_get_again(struct cache *cache, const char *key, struct buf *out)
{
    bool is_hit = get(cache, key, out);

    if (is_hit)
        count(cache, true);
    return is_hit;
}

void cache_put(struct cache *cache, const char *key, struct bytes value)
{
    assert(key[0] != '\0');
    assert(value.len > 0);
    if (strlen(key) <= CACHE_KEY_MAX)
        cache->ops->put(cache, key, clock_us(), value);
}

struct cache_stats cache_stats(struct cache *cache)
{
    struct cache_stats stats = {.backend = cache->ops->name, .is_up = true};

    stats.hits = atomic_load_explicit(&cache->hits, memory_order_relaxed);
    stats.misses = atomic_load_explicit(&cache->misses, memory_order_relaxed);
    cache->ops->stats(cache, &stats);
    return stats;
}
