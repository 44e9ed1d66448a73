/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an ONNX file. What is taken must be written so that it is taken
 * again, and the quantiser must refuse or finish. */
#include <assert.h>
#include <string.h>

#include "models/onnx_edit.h"
#include "models/quantize_graph.h"

enum { LEN_MAX = 1 << 16, WRITTEN_LEN_MAX = 64 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct onnx_graph *read_again(const struct onnx_graph *graph)
{
    struct onnx_graph *again = NULL;
    struct err err = {0};
    struct buf file;
    int rc;

    buf_init(&file, WRITTEN_LEN_MAX);
    rc = onnx_write_bytes(graph, &file, &err);
    assert(rc == 0);
    rc = onnx_read_bytes(buf_bytes(&file), &again, &err);
    assert(rc == 0 && again != NULL);
    buf_release(&file);
    return again;
}

static void quantise(struct onnx_graph *graph, struct onnx_graph *second)
{
    struct quantize_plan *plan = NULL;
    struct err err = {0};
    int i, rc;

    if (quantize_unfold(graph, &err) != 0 ||
        quantize_plan(graph, &plan, &err) != 0) {
        assert(err.text[0] != '\0');
        return;
    }
    rc = quantize_unfold(second, &err);
    assert(rc == 0);
    quantize_watch(second, plan);
    for (i = 0; i < plan->place_count; i++) {
        plan->places[i].min = -1;
        plan->places[i].max = (float)i;
    }
    if (quantize_apply(graph, plan, &err) == 0)
        onnx_free(read_again(graph));
    else
        assert(err.text[0] != '\0');
    quantize_plan_free(plan);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct onnx_graph *graph = NULL, *second, *third;
    struct err err = {0};
    int count;

    if (len > LEN_MAX)
        return 0;
    if (onnx_read_bytes((struct bytes){data, len}, &graph, &err) != 0) {
        assert(graph == NULL && err.text[0] != '\0');
        return 0;
    }
    second = read_again(graph);
    third = read_again(graph);
    assert(second->node_count == graph->node_count);
    assert(second->tensor_count == graph->tensor_count);
    assert(second->input_count == graph->input_count);
    quantise(graph, second);
    if (quantize_weights(third, &count, &err) == 0)
        onnx_free(read_again(third));
    onnx_free(graph);
    onnx_free(second);
    onnx_free(third);
    return 0;
}
