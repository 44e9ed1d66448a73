/* SPDX-License-Identifier: Apache-2.0 */
/* What the handlers and commands of olho share. cmd/serve.c builds one and
 * passes it down; nothing in it changes while requests run, but what its parts
 * guard themselves. */
#ifndef OLHO_APPS_APP_H
#define OLHO_APPS_APP_H

#include <stdint.h>

#include "base/config.h"
#include "base/hash.h"
#include "base/work.h"
#include "models/registry.h"

struct blob;
struct cache;
struct checks;
struct database;
struct flight;
struct items;
struct http_server;
struct rollout;
struct writer;

struct app {
    const struct config *config;
    struct registry *registry; /* the versions that serve; arm 0 is full */
    struct rollout *rollout;   /* between arms; NULL: arm 0 answers all */
    struct blob *blob;         /* stored images; NULL: none */
    struct checks *checks;     /* of the images; NULL: none are made */
    struct database *database; /* NULL: none */
    struct writer *writer;     /* rows for it; NULL: none are kept */
    struct items *items;       /* of the collection; goes with the store */
    bool stores_embeddings;    /* in the predictions table */
    struct cache *cache;       /* of answers; NULL: none is kept */
    struct flight *flight;     /* goes with the cache */
    char answer_stamp[HASH_HEX_LEN + 1]; /* of the settings */
    struct work_pool *batch_pool;  /* images of batches; NULL in commands */
    struct work_pool *background;  /* what nobody waits for */
    struct work_pool *shadow_pool; /* the version that watches; or NULL */
    struct http_server *server;    /* NULL until it listens, and in commands */
    char model_mark[HASH_HEX_LEN + 1]; /* update_mark of what MODEL_PATH named;
                                        * the main thread's */
    int worker_count;
    int64_t started_ms; /* wall clock */
};

#endif
