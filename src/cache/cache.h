/* SPDX-License-Identifier: Apache-2.0 */
/* Answers by key, kept for a while: in this process or in Redis.
 *
 *     if (cache_get(cache, key, &reply->body))
 *         return 0;
 *     ... compute ...
 *     cache_put(cache, key, buf_bytes(&reply->body));
 *
 * A cache never fails: what goes wrong is a miss, counted and, for Redis being
 * away or back, logged. The caller builds the key: all that decides the answer
 * (model version, SHA-256 of the image, options), at most CACHE_KEY_MAX bytes.
 *
 * Backends: cache_memory.c, cache_redis.c. Thread-safe; opening and freeing
 * belong to one thread. The process ignores SIGPIPE. */
#ifndef OLHO_CACHE_CACHE_H
#define OLHO_CACHE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum { CACHE_KEY_MAX = 512, CACHE_TTL_MAX_S = 366 * 24 * 3600 };

/* Texts are copied. */
struct cache_options {
    size_t bytes_max;      /* in this process, all told; 0: keeps nothing */
    int ttl_s;             /* 1..CACHE_TTL_MAX_S */
    const char *redis_url; /* "redis://[[user]:password@]host[:port][/db]";
                              NULL or "": in this process */
    int timeout_ms;        /* to connect, and for one command; 0: 100 */
    int connection_max;    /* to Redis, 1..256; 0: 8 */
};

struct cache_stats {
    const char *backend; /* "memory" or "redis" */
    bool is_up;          /* false while Redis is away */
    uint64_t hits, misses;
    uint64_t errors;      /* commands that Redis failed */
    uint64_t evictions;   /* entries that made room for others (memory) */
    uint64_t entry_count; /* held now (memory) */
    uint64_t bytes;       /* held now (memory) */
};

struct cache;

/* ERR_INVALID for options that cannot be. A Redis that is away is no failure.
 * The caller owns *out. */
MUST_CHECK int cache_open(const struct cache_options *options,
                          struct cache **out, struct err *err);
void cache_free(struct cache *cache); /* NULL is allowed */

/* Appends the value to out and returns true, or false when there is none, it
 * has expired or it does not fit into out; out is then as it was. */
bool cache_get(struct cache *cache, const char *key, struct buf *out);

/* As cache_get, after that was a miss, for what others may have put since; a
 * second miss is not counted. */
bool cache_get_again(struct cache *cache, const char *key, struct buf *out);

/* Keeps a copy of value (at least one byte) in place of an older one. */
void cache_put(struct cache *cache, const char *key, struct bytes value);

struct cache_stats cache_stats(struct cache *cache);

#endif
