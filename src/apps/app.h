/* SPDX-License-Identifier: Apache-2.0 */
/* What the handlers and commands of olho share. cmd/serve.c builds one and
 * passes it down; nothing in it changes while requests run, but what its parts
 * guard themselves. */
#ifndef OLHO_APPS_APP_H
#define OLHO_APPS_APP_H

#include <stdint.h>

#include "base/config.h"
#include "base/work.h"
#include "models/registry.h"

struct blob;
struct http_server;
struct rollout;
struct store;
struct writer;

struct app {
    const struct config *config;
    struct registry *registry;    /* the versions that serve; arm 0 is full */
    struct rollout *rollout;      /* between arms; NULL: arm 0 answers all */
    struct store *store;          /* the database; NULL: none */
    struct writer *writer;        /* of its rows; NULL: none */
    struct blob *blob;            /* stored images; NULL: none */
    struct work_pool *batch_pool; /* images of batches; NULL in commands */
    struct http_server *server;   /* NULL until it listens, and in commands */
    int worker_count;
    int64_t started_ms; /* wall clock */
};

#endif
