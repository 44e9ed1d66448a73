/* SPDX-License-Identifier: Apache-2.0 */
/* What a backend of cache/cache.h implements. Only cache.c, the backends and
 * their tests include this; cache.c checks keys and values before it calls, and
 * counts hits and misses. Time enters as an argument (clock_us). */
#ifndef OLHO_CACHE_CACHE_OPS_H
#define OLHO_CACHE_CACHE_OPS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache/cache.h"

struct cache_ops {
    const char *name;
    bool (*get)(struct cache *cache, const char *key, int64_t now_us,
                struct buf *out);
    void (*put)(struct cache *cache, const char *key, int64_t now_us,
                struct bytes value);
    /* Adds what the backend alone knows. */
    void (*stats)(struct cache *cache, struct cache_stats *out);
    void (*close)(struct cache *cache);
};

/* Embedded first in the backend's struct; ops and ttl_us are set by its open
 * function. */
struct cache {
    const struct cache_ops *ops;
    int64_t ttl_us;
    atomic_ullong hits, misses; /* relaxed: independent counters */
};

struct cache *cache_memory_open(size_t bytes_max, int ttl_s)
    __attribute__((returns_nonnull));
MUST_CHECK int cache_redis_open(const struct cache_options *options,
                                struct cache **out, struct err *err);

#endif
