/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of searches over a graph, kept for the next. Thread-safe. */
#ifndef OLHO_VECTORS_HNSW_H
#define OLHO_VECTORS_HNSW_H

struct hnsw_pool;

struct hnsw_pool *hnsw_pool_new(void) __attribute__((returns_nonnull));
void hnsw_pool_free(struct hnsw_pool *pool); /* NULL is allowed */

#endif
