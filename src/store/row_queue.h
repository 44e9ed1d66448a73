/* SPDX-License-Identifier: Apache-2.0 */
/* Rows that wait in memory, in order, bounded by their number and their bytes.
 * Not thread-safe: the owner's mutex guards a queue; a node that is taken from
 * it, or not yet on it, belongs to one thread. */
#ifndef OLHO_STORE_ROW_QUEUE_H
#define OLHO_STORE_ROW_QUEUE_H

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/store.h"

struct row_node {
    struct row_node *next;
    int64_t added_us;
    size_t len;
    alignas(16) uint8_t bytes[]; /* as row_encode writes them */
};

struct row_queue {
    struct row_node *first, *last;
    int count, count_max;
    size_t len, len_max; /* bytes, with those of the nodes themselves */
};

/* A node with a copy of the row, or with room for len bytes. NULL for a row
 * over ROW_LEN_MAX or without memory. The caller owns it (mem_free). */
struct row_node *row_node_new(const struct store_row *row) MUST_CHECK;
struct row_node *row_node_of_len(size_t len) MUST_CHECK;

/* Takes the node, or answers false when there is no room for it. */
bool row_queue_add(struct row_queue *queue, struct row_node *node) MUST_CHECK;

/* The first node, handed over to the caller; the queue must have one. */
struct row_node *row_queue_take(struct row_queue *queue) MUST_CHECK;

void row_queue_release(struct row_queue *queue); /* frees what waits */

#endif
