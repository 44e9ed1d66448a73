/* SPDX-License-Identifier: Apache-2.0 */
#include "store/row_queue.h"

#include <assert.h>

#include "base/mem.h"
#include "store/row.h"

static size_t node_len(const struct row_node *node)
{
    return sizeof *node + node->len;
}

struct row_node *row_node_of_len(size_t len)
{
    struct row_node *node = NULL;

    if (len <= ROW_LEN_MAX)
        node = mem_try(1, sizeof *node + len);
    if (node != NULL)
        node->len = len;
    return node;
}

struct row_node *row_node_new(const struct store_row *row)
{
    struct row_node *node = row_node_of_len(row_len(row));

    if (node != NULL)
        row_encode(row, node->bytes);
    return node;
}

bool row_queue_add(struct row_queue *queue, struct row_node *node)
{
    assert(queue->len <= queue->len_max);
    if (queue->count >= queue->count_max ||
        node_len(node) > queue->len_max - queue->len)
        return false;
    node->next = NULL;
    if (queue->last != NULL)
        queue->last->next = node;
    else
        queue->first = node;
    queue->last = node;
    queue->count++;
    queue->len += node_len(node);
    return true;
}

struct row_node *row_queue_take(struct row_queue *queue)
{
    struct row_node *node = queue->first;

    assert(node != NULL);
    queue->first = node->next;
    if (queue->first == NULL)
        queue->last = NULL;
    queue->count--;
    queue->len -= node_len(node);
    node->next = NULL;
    return node;
}

void row_queue_release(struct row_queue *queue)
{
    while (queue->first != NULL)
        mem_free(row_queue_take(queue));
}
