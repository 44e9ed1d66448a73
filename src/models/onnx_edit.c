/* SPDX-License-Identifier: Apache-2.0 */
#include "models/onnx_edit.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

static bool is_taken(const struct onnx_graph *graph, const char *name)
{
    int i;

    for (i = 0; i < graph->input_count; i++)
        if (strcmp(graph->inputs[i]->name, name) == 0)
            return true;
    return onnx_find_tensor(graph, name) != NULL ||
           onnx_producer(graph, name) != NULL;
}

void onnx_fresh_name(const struct onnx_graph *graph, const char *base,
                     const char *suffix, char out[ONNX_NAME_LEN])
{
    unsigned i = 0;

    snprintf(out, ONNX_NAME_LEN, "%.*s%s", ONNX_TEXT_MAX, base, suffix);
    while (is_taken(graph, out))
        snprintf(out, ONNX_NAME_LEN, "%.*s%s_%u", ONNX_TEXT_MAX, base, suffix,
                 ++i);
}

static void set_text(struct onnx_graph *graph, char **text, const char *value)
{
    size_t len = strlen(value) + 1;
    char *own = graph->is_broken ? NULL : mem_try(len, 1);

    if (own == NULL) {
        graph->is_broken = true;
        return;
    }
    memcpy(own, value, len);
    mem_free(*text);
    *text = own;
}

void onnx_set_input(struct onnx_graph *graph, struct onnx_node *node, int i,
                    const char *name)
{
    if (graph->is_broken) /* then an input may not have been added */
        return;
    assert(i >= 0 && i < node->input_count);
    set_text(graph, &node->inputs[i], name);
}

void onnx_set_output(struct onnx_graph *graph, struct onnx_node *node,
                     const char *name)
{
    assert(node->output_count > 0);
    set_text(graph, &node->outputs[0], name);
}

void onnx_replace_uses(struct onnx_graph *graph, const char *from,
                       const char *to)
{
    int i, j;

    for (i = 0; i < graph->node_count; i++)
        for (j = 0; j < graph->nodes[i]->input_count; j++)
            if (strcmp(graph->nodes[i]->inputs[j], from) == 0)
                onnx_set_input(graph, graph->nodes[i], j, to);
}

bool onnx_is_graph_output(const struct onnx_graph *graph, const char *name)
{
    int i;

    for (i = 0; i < graph->output_count; i++)
        if (strcmp(graph->outputs[i]->name, name) == 0)
            return true;
    return false;
}

static bool is_used(const struct onnx_graph *graph,
                    const struct onnx_node *node)
{
    int i;

    for (i = 0; i < node->output_count; i++)
        if (node->outputs[i][0] != '\0' &&
            onnx_use_count(graph, node->outputs[i]) > 0)
            return true;
    return false;
}

/* Later nodes read from earlier ones, so going backwards mostly takes one
 * pass. */
static void remove_unused(struct onnx_graph *graph)
{
    bool has_changed;
    int i;

    do {
        has_changed = false;
        for (i = graph->node_count - 1; i >= 0; i--) {
            struct onnx_node *node = graph->nodes[i];

            if (node->is_removed || is_used(graph, node))
                continue;
            node->is_removed = true;
            has_changed = true;
        }
    } while (has_changed);
}

/* Whether no node that waits makes what this one reads. */
static bool is_ready(const struct onnx_graph *graph,
                     const struct onnx_node *node)
{
    int i;

    for (i = 0; i < node->input_count; i++)
        if (onnx_producer(graph, node->inputs[i]) != NULL)
            return false;
    return true;
}

/* Nodes that wait are taken out of the graph and put back as soon as nothing
 * that waits makes what they read: `is_removed` says who waits no more. */
static int order(struct onnx_graph *graph, struct onnx_node **sorted,
                 struct err *err)
{
    int count = 0, left = graph->node_count, before = -1, i;

    while (count != before && count < left) {
        before = count;
        for (i = 0; i < graph->node_count; i++) {
            struct onnx_node *node = graph->nodes[i];

            if (node->is_removed || !is_ready(graph, node))
                continue;
            node->is_removed = true;
            sorted[count++] = node;
        }
    }
    if (count < left)
        return err_set(err, ERR_UNPROCESSABLE,
                       "%d of its %d nodes read from one another in a circle",
                       left - count, left);
    return 0;
}

static void drop_removed(struct onnx_graph *graph)
{
    int i, count = 0;

    while (graph->value_count > 0) {
        mem_free(graph->values[--graph->value_count]->name);
        mem_free(graph->values[graph->value_count]);
    }
    for (i = 0; i < graph->node_count; i++) {
        if (!graph->nodes[i]->is_removed)
            graph->nodes[count++] = graph->nodes[i];
        else
            onnx_free_node(graph->nodes[i]);
    }
    graph->node_count = count;
    count = 0;
    for (i = 0; i < graph->tensor_count; i++) {
        if (onnx_use_count(graph, graph->tensors[i]->name) > 0)
            graph->tensors[count++] = graph->tensors[i];
        else
            onnx_free_tensor(graph->tensors[i]);
    }
    graph->tensor_count = count;
}

int onnx_tidy(struct onnx_graph *graph, struct err *err)
{
    struct onnx_node **sorted;
    int i, rc;

    if (graph->is_broken)
        return onnx_check(graph, err);
    remove_unused(graph);
    drop_removed(graph);
    sorted = mem_try((size_t)graph->node_count, sizeof *sorted);
    if (sorted == NULL) {
        graph->is_broken = true;
        return onnx_check(graph, err);
    }
    rc = order(graph, sorted, err);
    for (i = 0; i < graph->node_count; i++)
        graph->nodes[i]->is_removed = false;
    if (rc == 0 && graph->node_count > 0)
        memcpy(graph->nodes, sorted,
               (size_t)graph->node_count * sizeof(struct onnx_node *));
    mem_free(sorted);
    return rc;
}
