/* SPDX-License-Identifier: Apache-2.0 */
/* A network that says of itself what calibration needs to know. All of it comes
 * in one vector, since an engine gives few outputs. Only operators are used
 * that have the same form in every operator set from 13 on. */
#include <string.h>

#include "base/mem.h"
#include "models/onnx_edit.h"
#include "models/quantize_graph.h"

/* A node in a chain: reads *value and leaves the name of its output there. */
static struct onnx_node *extend(struct onnx_graph *graph, const char *op,
                                char value[ONNX_NAME_LEN], const char *second)
{
    char output[ONNX_NAME_LEN];
    struct onnx_node *node;

    onnx_fresh_name(graph, value, op, output);
    node = onnx_add(graph, op, output, value, second, NULL, NULL);
    memcpy(value, output, ONNX_NAME_LEN);
    return node;
}

static void reshape(struct onnx_graph *graph, char value[ONNX_NAME_LEN],
                    const int64_t *shape, int rank)
{
    char name[ONNX_NAME_LEN];

    onnx_fresh_name(graph, value, "_shape", name);
    onnx_add_tensor(graph, name, ONNX_INT64, (int64_t[]){rank}, 1, shape);
    extend(graph, "Reshape", value, name);
}

static void watch_bound(struct onnx_graph *graph, struct onnx_node *concat,
                        const char *place, const char *op)
{
    char value[ONNX_NAME_LEN] = "";
    struct onnx_node *node;

    strncat(value, place, ONNX_TEXT_MAX);
    node = extend(graph, op, value, NULL);
    onnx_set_int(graph, node, "keepdims", 0);
    reshape(graph, value, (int64_t[]){1}, 1);
    onnx_add_input(graph, concat, value);
}

/* The mean of each channel over all else: channels that come last are brought
 * to the second place, where GlobalAveragePool takes them. */
static void watch_channels(struct onnx_graph *graph, struct onnx_node *concat,
                           const struct quantize_place *place)
{
    char value[ONNX_NAME_LEN] = "";
    int64_t count = place->channel_count;
    struct onnx_node *node;

    strncat(value, place->name, ONNX_TEXT_MAX);
    if (!place->is_image) {
        reshape(graph, value, (int64_t[]){1, -1, count, 1}, 4);
        node = extend(graph, "Transpose", value, NULL);
        onnx_set_ints(graph, node, "perm", (int64_t[]){0, 2, 1, 3}, 4);
    }
    extend(graph, "GlobalAveragePool", value, NULL);
    reshape(graph, value, &count, 1);
    onnx_add_input(graph, concat, value);
}

static void drop_outputs(struct onnx_graph *graph)
{
    while (graph->output_count > 0) {
        struct onnx_value *output = graph->outputs[--graph->output_count];

        mem_free(output->name);
        mem_free(output);
    }
}

size_t quantize_watched_count(const struct quantize_plan *plan)
{
    size_t count = 2 * (size_t)plan->place_count;
    int i;

    for (i = 0; i < plan->place_count; i++)
        count += (size_t)plan->places[i].channel_count;
    return count;
}

void quantize_watch(struct onnx_graph *graph, const struct quantize_plan *plan)
{
    int64_t count = (int64_t)quantize_watched_count(plan);
    struct onnx_node *concat;
    int i;

    drop_outputs(graph);
    concat = onnx_add(graph, "Concat", QUANTIZE_RANGES, NULL, NULL, NULL, NULL);
    onnx_set_int(graph, concat, "axis", 0);
    for (i = 0; i < plan->place_count; i++) {
        watch_bound(graph, concat, plan->places[i].name, "ReduceMin");
        watch_bound(graph, concat, plan->places[i].name, "ReduceMax");
    }
    for (i = 0; i < plan->place_count; i++)
        if (plan->places[i].channel_count > 0)
            watch_channels(graph, concat, &plan->places[i]);
    onnx_add_graph_output(graph, QUANTIZE_RANGES, ONNX_FLOAT, &count, 1);
}
