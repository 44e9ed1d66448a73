/* SPDX-License-Identifier: Apache-2.0 */
#include "quantize_fixture.h"

#include <string.h>

#include "base/file.h"
#include "test.h"

void tiny_fill(float *values, size_t count, unsigned seed)
{
    size_t i;

    for (i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        values[i] = (float)(seed >> 8) / (float)(1 << 23) - 1;
    }
}

void tiny_add_random(struct onnx_graph *graph, const char *name,
                     const int64_t *dims, int rank, unsigned seed)
{
    struct onnx_tensor *tensor =
        onnx_add_tensor(graph, name, ONNX_FLOAT, dims, rank, NULL);

    if (tensor != NULL)
        tiny_fill(tensor->data, tensor->data_len / sizeof(float), seed);
}

void tiny_add_conv(struct onnx_graph *graph, const char *output,
                   const char *input, const char *weights, const char *bias,
                   int group, int pad)
{
    struct onnx_node *node =
        onnx_add(graph, "Conv", output, input, weights, bias, NULL);

    onnx_set_int(graph, node, "group", group);
    onnx_set_ints(graph, node, "pads", (int64_t[]){pad, pad, pad, pad}, 4);
}

struct onnx_graph *tiny_network(void)
{
    static const float zero = 0, six = 6;
    struct onnx_graph *graph = onnx_new();
    struct onnx_node *node;

    onnx_add_graph_input(graph, "image", ONNX_FLOAT,
                         (int64_t[]){-1, 3, SIDE, SIDE}, 4);
    onnx_add_graph_output(graph, "scores", ONNX_FLOAT, (int64_t[]){-1, CLASSES},
                          2);
    onnx_add_graph_output(graph, "features", ONNX_FLOAT,
                          (int64_t[]){-1, FEATURES}, 2);
    tiny_add_random(graph, "w1", (int64_t[]){8, 3, 3, 3}, 4, 1);
    tiny_add_random(graph, "b1", (int64_t[]){8}, 1, 2);
    tiny_add_random(graph, "w2", (int64_t[]){8, 1, 3, 3}, 4, 3);
    tiny_add_random(graph, "w3", (int64_t[]){8, 8, 1, 1}, 4, 4);
    tiny_add_random(graph, "b3", (int64_t[]){8}, 1, 5);
    tiny_add_random(graph, "w4", (int64_t[]){CLASSES, FEATURES}, 2, 6);
    onnx_add_tensor(graph, "zero", ONNX_FLOAT, NULL, 0, &zero);
    onnx_add_tensor(graph, "six", ONNX_FLOAT, NULL, 0, &six);
    tiny_add_conv(graph, "c1", "image", "w1", "b1", 1, 1);
    onnx_add(graph, "Relu", "r1", "c1", NULL, NULL, NULL);
    tiny_add_conv(graph, "c2", "r1", "w2", NULL, 8, 1);
    onnx_add(graph, "Clip", "r2", "c2", "zero", "six", NULL);
    tiny_add_conv(graph, "c3", "r2", "w3", "b3", 1, 0);
    onnx_add(graph, "Add", "sum", "c3", "r1", NULL, NULL);
    onnx_add(graph, "GlobalAveragePool", "pool", "sum", NULL, NULL, NULL);
    onnx_add(graph, "Flatten", "features", "pool", NULL, NULL, NULL);
    node = onnx_add(graph, "Gemm", "logits", "features", "w4", NULL, NULL);
    onnx_set_int(graph, node, "transB", 1);
    onnx_add(graph, "Softmax", "scores", "logits", NULL, NULL, NULL);
    return graph;
}

void tiny_open(struct tiny_session *session, const struct onnx_graph *graph,
               bool has_8_bits)
{
    struct engine_options options = {1, has_8_bits};
    char path[FILE_PATH_MAX];
    struct err err = {0};

    CHECK_OK(file_join(test_dir(), "model.onnx", path, &err), err);
    CHECK_OK(onnx_write(graph, path, &err), err);
    CHECK_OK(engine_open(path, &options, &session->engine, &err), err);
}

void tiny_run(struct tiny_session *session, unsigned seed, float *out,
              const int64_t *dims, int rank)
{
    struct tensor in = {TENSOR_FLOAT32, 4, {1, 3, SIDE, SIDE}, NULL, 0};
    struct tensor outputs[ENGINE_TENSORS_MAX] = {
        {TENSOR_FLOAT32, rank, {0}, out, sizeof *out}};
    struct err err = {0};
    int i;

    tiny_fill(session->input, INPUT_COUNT, seed);
    in.data = session->input;
    in.data_len = sizeof session->input;
    for (i = 0; i < rank; i++) {
        outputs[0].dims[i] = dims[i];
        outputs[0].data_len *= (size_t)dims[i];
    }
    CHECK_OK(engine_run(session->engine, &in, outputs, &err), err);
}

void tiny_scores(const struct onnx_graph *graph, bool has_8_bits, unsigned seed,
                 float *scores)
{
    struct tiny_session session = {0};

    tiny_open(&session, graph, has_8_bits);
    tiny_run(&session, seed, scores, (int64_t[]){1, CLASSES}, 2);
    engine_close(session.engine);
}

struct onnx_graph *tiny_unfold(struct onnx_graph *graph)
{
    struct err err = {0};

    CHECK_OK(quantize_unfold(graph, &err), err);
    return graph;
}

struct quantize_plan *tiny_plan(const struct onnx_graph *graph)
{
    struct quantize_plan *plan = NULL;
    struct err err = {0};

    CHECK_OK(quantize_plan(graph, &plan, &err), err);
    return plan;
}

const struct quantize_place *tiny_place(const struct quantize_plan *plan,
                                        const char *name)
{
    int i;

    for (i = 0; i < plan->place_count; i++)
        if (strcmp(plan->places[i].name, name) == 0)
            return &plan->places[i];
    return NULL;
}

struct onnx_graph *tiny_tangled(void)
{
    static const float third = 1.0f / 3;
    struct onnx_graph *graph = onnx_new();
    struct onnx_tensor *variance;
    struct onnx_node *node;
    int i;

    onnx_add_graph_input(graph, "image", ONNX_FLOAT,
                         (int64_t[]){-1, 3, SIDE, SIDE}, 4);
    onnx_add_graph_output(graph, "scores", ONNX_FLOAT, (int64_t[]){-1, CLASSES},
                          2);
    tiny_add_random(graph, "w1", (int64_t[]){8, 3, 3, 3}, 4, 1);
    tiny_add_random(graph, "b1", (int64_t[]){8}, 1, 2);
    tiny_add_random(graph, "w2", (int64_t[]){8, 8, 1, 1}, 4, 3);
    tiny_add_random(graph, "w3", (int64_t[]){CLASSES, 8, 1, 1}, 4, 4);
    tiny_add_random(graph, "scale", (int64_t[]){8}, 1, 5);
    tiny_add_random(graph, "shift", (int64_t[]){8}, 1, 6);
    tiny_add_random(graph, "mean", (int64_t[]){8}, 1, 7);
    tiny_add_random(graph, "variance", (int64_t[]){8}, 1, 8);
    variance = onnx_find_tensor(graph, "variance");
    for (i = 0; variance != NULL && i < 8; i++)
        ((float *)variance->data)[i] += 1.5f;
    node = onnx_add(graph, "Constant", "third", NULL, NULL, NULL, NULL);
    onnx_set_tensor(graph, node, "value", ONNX_FLOAT, NULL, 0, &third);
    onnx_add(graph, "Mul", "scaled", "image", "third", NULL, NULL);
    tiny_add_conv(graph, "c1", "scaled", "w1", "b1", 1, 1);
    node = onnx_add(graph, "BatchNormalization", "n1", "c1", "scale", "shift",
                    "mean");
    onnx_add_input(graph, node, "variance");
    onnx_set_float(graph, node, "epsilon", 1e-3f);
    tiny_add_conv(graph, "c2", "n1", "w2", NULL, 1, 0);
    node = onnx_add(graph, "BatchNormalization", "n2", "c2", "scale", "shift",
                    "mean");
    onnx_add_input(graph, node, "variance");
    onnx_add(graph, "Dropout", "kept", "n2", NULL, NULL, NULL);
    onnx_add(graph, "GlobalAveragePool", "pool", "kept", NULL, NULL, NULL);
    onnx_add(graph, "Identity", "same", "pool", NULL, NULL, NULL);
    tiny_add_conv(graph, "c3", "same", "w3", NULL, 1, 0);
    onnx_add(graph, "Flatten", "scores", "c3", NULL, NULL, NULL);
    return graph;
}
