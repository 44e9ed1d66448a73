/* SPDX-License-Identifier: Apache-2.0 */
/* Shards, each with a mutex, a hash table of fixed size and a list from the
 * entry used last to the one not used for the longest time. An entry is one
 * block: the struct, the key with its NUL, the value. What an entry costs is
 * that block and its place in the table, so that bytes_max bounds what is
 * really taken. A small cache has one shard, else a large value would find no
 * room in a sixteenth of it. */
#include <assert.h>
#include <pthread.h>
#include <string.h>

#include "base/mem.h"
#include "cache/cache_ops.h"
#include "obs/metrics.h"

enum {
    SHARDS_MAX = 16,
    SHARD_BYTES_MIN = 1 << 20,
    ENTRY_BYTES_USUAL = 4096, /* sizes the tables */
    BUCKETS_MIN = 64,
    BUCKETS_MAX = 1 << 16,
};

struct entry {
    struct entry *next;          /* in its bucket */
    struct entry *newer, *older; /* in the order of use */
    uint64_t hash;
    int64_t expires_us;
    size_t key_len, value_len;
    char text[]; /* key, NUL, value */
};

struct shard {
    pthread_mutex_t mutex; /* guards what follows */
    struct entry **buckets;
    size_t bucket_count; /* a power of two; 0: keeps nothing */
    struct entry *newest, *oldest;
    size_t bytes, entry_count;
    uint64_t evictions;
};

struct memory {
    struct cache cache;
    size_t shard_bytes_max;
    size_t shard_count;
    struct shard shards[SHARDS_MAX];
};

/* FNV-1a, 64 bits. Keys hold SHA-256 sums and are made by us. */
static uint64_t hash_key(const char *key, size_t len)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    size_t i;

    for (i = 0; i < len; i++)
        hash = (hash ^ (uint8_t)key[i]) * UINT64_C(1099511628211);
    return hash ^ hash >> 32;
}

static struct shard *shard_of(struct memory *memory, uint64_t hash)
{
    return &memory->shards[hash % memory->shard_count];
}

static struct entry **bucket_of(struct shard *shard, uint64_t hash)
{
    return &shard->buckets[hash / SHARDS_MAX & (shard->bucket_count - 1)];
}

static size_t entry_bytes(size_t key_len, size_t value_len)
{
    return sizeof(struct entry) + key_len + 1 + value_len;
}

/* --- one shard, its mutex held ------------------------------------------- */

/* Where the pointer to the entry is, or the NULL behind its bucket's last. */
static struct entry **find(struct shard *shard, uint64_t hash, const char *key,
                           size_t key_len)
{
    struct entry **at = bucket_of(shard, hash);

    for (; *at != NULL; at = &(*at)->next)
        if ((*at)->hash == hash && (*at)->key_len == key_len &&
            memcmp((*at)->text, key, key_len) == 0)
            break;
    return at;
}

static void unlink_use(struct shard *shard, struct entry *entry)
{
    if (entry->newer != NULL)
        entry->newer->older = entry->older;
    else
        shard->newest = entry->older;
    if (entry->older != NULL)
        entry->older->newer = entry->newer;
    else
        shard->oldest = entry->newer;
}

static void link_newest(struct shard *shard, struct entry *entry)
{
    entry->newer = NULL;
    entry->older = shard->newest;
    if (shard->newest != NULL)
        shard->newest->newer = entry;
    else
        shard->oldest = entry;
    shard->newest = entry;
}

static void remove_at(struct shard *shard, struct entry **at)
{
    struct entry *entry = *at;
    size_t bytes;

    assert(entry != NULL);
    bytes = entry_bytes(entry->key_len, entry->value_len);
    *at = entry->next;
    unlink_use(shard, entry);
    shard->bytes -= bytes;
    shard->entry_count--;
    metrics_add(METRIC_CACHE_BYTES, "memory", NULL, -(int64_t)bytes);
    mem_free(entry);
}

static void remove_oldest(struct shard *shard)
{
    struct entry *oldest = shard->oldest;

    remove_at(shard, find(shard, oldest->hash, oldest->text, oldest->key_len));
}

/* --- the backend --------------------------------------------------------- */

static bool memory_get(struct cache *cache, const char *key, int64_t now_us,
                       struct buf *out)
{
    struct memory *memory = (struct memory *)cache;
    size_t key_len = strlen(key), start = out->len;
    uint64_t hash = hash_key(key, key_len);
    struct shard *shard = shard_of(memory, hash);
    struct entry **at;
    bool is_hit = false;

    if (shard->bucket_count == 0)
        return false;
    pthread_mutex_lock(&shard->mutex);
    at = find(shard, hash, key, key_len);
    if (*at != NULL && (*at)->expires_us <= now_us)
        remove_at(shard, at);
    else if (*at != NULL && (*at)->value_len <= out->len_max - start) {
        buf_add(out, (*at)->text + key_len + 1, (*at)->value_len);
        is_hit = out->len - start == (*at)->value_len;
        unlink_use(shard, *at);
        link_newest(shard, *at);
    }
    pthread_mutex_unlock(&shard->mutex);
    return is_hit;
}

static struct entry *entry_new(const char *key, size_t key_len,
                               struct bytes value)
{
    struct entry *entry = mem_try(1, entry_bytes(key_len, value.len));

    if (entry == NULL)
        return NULL;
    entry->key_len = key_len;
    entry->value_len = value.len;
    memcpy(entry->text, key, key_len + 1);
    memcpy(entry->text + key_len + 1, value.data, value.len);
    return entry;
}

static void memory_put(struct cache *cache, const char *key, int64_t now_us,
                       struct bytes value)
{
    struct memory *memory = (struct memory *)cache;
    size_t key_len = strlen(key), bytes = entry_bytes(key_len, value.len);
    uint64_t hash = hash_key(key, key_len);
    struct shard *shard = shard_of(memory, hash);
    struct entry *entry, **at;

    if (shard->bucket_count == 0 || value.len > memory->shard_bytes_max ||
        bytes > memory->shard_bytes_max)
        return;
    entry = entry_new(key, key_len, value);
    if (entry == NULL)
        return;
    entry->hash = hash;
    entry->expires_us = now_us + cache->ttl_us;
    pthread_mutex_lock(&shard->mutex);
    at = find(shard, hash, key, key_len);
    if (*at != NULL)
        remove_at(shard, at);
    while (shard->bytes + bytes > memory->shard_bytes_max) {
        remove_oldest(shard);
        shard->evictions++;
    }
    at = bucket_of(shard, hash);
    entry->next = *at;
    *at = entry;
    link_newest(shard, entry);
    shard->bytes += bytes;
    shard->entry_count++;
    metrics_add(METRIC_CACHE_BYTES, "memory", NULL, (int64_t)bytes);
    pthread_mutex_unlock(&shard->mutex);
}

static void memory_stats(struct cache *cache, struct cache_stats *out)
{
    struct memory *memory = (struct memory *)cache;
    size_t i;

    for (i = 0; i < memory->shard_count; i++) {
        struct shard *shard = &memory->shards[i];

        pthread_mutex_lock(&shard->mutex);
        out->bytes += shard->bytes;
        out->entry_count += shard->entry_count;
        out->evictions += shard->evictions;
        pthread_mutex_unlock(&shard->mutex);
    }
}

static void memory_close(struct cache *cache)
{
    struct memory *memory = (struct memory *)cache;
    size_t i;

    for (i = 0; i < memory->shard_count; i++) {
        struct shard *shard = &memory->shards[i];

        while (shard->oldest != NULL)
            remove_oldest(shard);
        mem_free(shard->buckets);
        pthread_mutex_destroy(&shard->mutex);
    }
    mem_free(memory);
}

static const struct cache_ops memory_ops = {
    .name = "memory",
    .get = memory_get,
    .put = memory_put,
    .stats = memory_stats,
    .close = memory_close,
};

/* The table is part of the bytes; without memory for it the shard keeps
 * nothing, as a cache may. */
static void shard_init(struct shard *shard, size_t *bytes_max)
{
    size_t count = BUCKETS_MIN;

    while (count < BUCKETS_MAX && count < *bytes_max / ENTRY_BYTES_USUAL)
        count *= 2;
    pthread_mutex_init(&shard->mutex, NULL);
    if (*bytes_max <= count * sizeof *shard->buckets)
        return;
    shard->buckets = mem_try(count, sizeof *shard->buckets);
    if (shard->buckets == NULL)
        return;
    shard->bucket_count = count;
    *bytes_max -= count * sizeof *shard->buckets;
}

struct cache *cache_memory_open(size_t bytes_max, int ttl_s)
{
    struct memory *memory = mem_new(sizeof *memory);
    size_t count = bytes_max / SHARD_BYTES_MIN, i, left = 0;

    memory->cache.ops = &memory_ops;
    memory->cache.ttl_us = ttl_s * INT64_C(1000000);
    memory->shard_count = count < SHARDS_MAX ? 1 : SHARDS_MAX;
    for (i = 0; i < memory->shard_count; i++) {
        left = bytes_max / memory->shard_count;
        shard_init(&memory->shards[i], &left);
    }
    memory->shard_bytes_max = left;
    metrics_set(METRIC_CACHE_UP, "memory", NULL, 1);
    return &memory->cache;
}
