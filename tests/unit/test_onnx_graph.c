/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "infer/engine.h"
#include "models/onnx_graph.h"
#include "test.h"

static const char bundled[] = "models/mobilenet_v2/model.onnx";

/* y = relu(x * w + b), with x of [N, 2] and y of [N, 3]. */
static struct onnx_graph *make_dense(void)
{
    static const float weights[6] = {1, 2, 3, 4, 5, 6}, bias[3] = {0, -20, 1};
    struct onnx_graph *graph = onnx_new();
    struct onnx_node *node;

    onnx_add_graph_input(graph, "x", ONNX_FLOAT, (int64_t[]){-1, 2}, 2);
    onnx_add_graph_output(graph, "y", ONNX_FLOAT, (int64_t[]){-1, 3}, 2);
    onnx_add_tensor(graph, "w", ONNX_FLOAT, (int64_t[]){2, 3}, 2, weights);
    onnx_add_tensor(graph, "b", ONNX_FLOAT, (int64_t[]){3}, 1, bias);
    node = onnx_add(graph, "Gemm", "z", "x", "w", "b", NULL);
    onnx_set_float(graph, node, "alpha", 0.5f);
    onnx_set_float(graph, node, "alpha", 1);
    onnx_set_int(graph, node, "transB", 0);
    onnx_add(graph, "Relu", "y", "z", NULL, NULL, NULL);
    return graph;
}

static void run_floats(const char *path, const float *in, int64_t in_count,
                       float *out, int64_t out_count)
{
    struct engine_options options = {.thread_count = 1};
    struct tensor input = {TENSOR_FLOAT32, 2, {1, in_count}, NULL, 0};
    struct tensor output = {TENSOR_FLOAT32, 2, {1, out_count}, out, 0};
    struct engine *engine = NULL;
    struct err err = {0};
    float copy[8];

    memcpy(copy, in, (size_t)in_count * sizeof *in);
    input.data = copy;
    input.data_len = (size_t)in_count * sizeof *in;
    output.data_len = (size_t)out_count * sizeof *out;
    CHECK_OK(engine_open(path, &options, &engine, &err), err);
    CHECK_OK(engine_run(engine, &input, &output, &err), err);
    engine_close(engine);
}

static const char *place(const char *name)
{
    static char path[FILE_PATH_MAX];
    struct err err = {0};

    CHECK_OK(file_join(test_dir(), name, path, &err), err);
    return path;
}

TEST(onnx_graph_that_was_built_runs)
{
    struct onnx_graph *graph = make_dense();
    float y[3] = {0};
    struct err err = {0};

    CHECK_OK(onnx_check(graph, &err), err);
    CHECK_OK(onnx_write(graph, place("model.onnx"), &err), err);
    run_floats(place("model.onnx"), (const float[]){1, 2}, 2, y, 3);
    CHECK_NEAR(y[0], 9, 0);
    CHECK_NEAR(y[1], 0, 0);
    CHECK_NEAR(y[2], 16, 0);
    onnx_free(graph);
}

TEST(onnx_graph_is_searched_by_name)
{
    struct onnx_graph *graph = make_dense();
    const struct onnx_node *gemm = onnx_producer(graph, "z");

    CHECK_TEXT(gemm->op, "Gemm");
    CHECK_INT(gemm->attribute_count, 2);
    CHECK_NEAR(onnx_find_attribute(gemm, "alpha")->real, 1, 0);
    CHECK(onnx_find_attribute(gemm, "beta") == NULL);
    CHECK(onnx_producer(graph, "x") == NULL);
    CHECK(onnx_producer(graph, "") == NULL);
    CHECK_INT(onnx_find_tensor(graph, "w")->data_len, 24);
    CHECK(onnx_find_tensor(graph, "z") == NULL);
    CHECK_INT(onnx_use_count(graph, "z"), 1);
    CHECK_INT(onnx_use_count(graph, "y"), 1);
    CHECK_INT(onnx_use_count(graph, "nothing"), 0);
    graph->nodes[1]->is_removed = true;
    CHECK(onnx_producer(graph, "y") == NULL);
    CHECK_INT(onnx_use_count(graph, "z"), 0);
    onnx_free(graph);
}

/* Writes it and reads it again. */
static struct onnx_graph *pass_through(const struct onnx_graph *graph)
{
    struct onnx_graph *again = NULL;
    struct err err = {0};
    struct buf file;

    buf_init(&file, 1 << 20);
    CHECK_OK(onnx_write_bytes(graph, &file, &err), err);
    CHECK_OK(onnx_read_bytes(buf_bytes(&file), &again, &err), err);
    buf_release(&file);
    return again;
}

TEST(onnx_file_keeps_every_kind_of_attribute)
{
    struct onnx_graph *graph = onnx_new(), *again;
    struct onnx_node *node =
        onnx_add(graph, "Constant", "c", NULL, NULL, NULL, NULL);
    const struct onnx_tensor *tensor;

    onnx_set_int(graph, node, "i", -5);
    onnx_set_float(graph, node, "f", 0.1f);
    onnx_set_text(graph, node, "s", "SAME_UPPER");
    onnx_set_ints(graph, node, "is", (int64_t[]){1, INT64_MIN, 3}, 3);
    onnx_set_ints(graph, node, "none", NULL, 0);
    onnx_set_floats(graph, node, "fs", (float[]){1, -2}, 2);
    onnx_set_tensor(graph, node, "t", ONNX_INT64, (int64_t[]){2}, 1,
                    (int64_t[]){7, -7});
    onnx_set_names(graph, node, "a name", "com.microsoft");
    onnx_add_input(graph, node, "");
    onnx_add_input(graph, node, "in");
    onnx_add_output(graph, node, "d");
    again = pass_through(graph);
    node = again->nodes[0];
    CHECK_TEXT(node->name, "a name");
    CHECK_TEXT(node->domain, "com.microsoft");
    CHECK_INT(node->input_count, 2);
    CHECK_TEXT(node->inputs[0], "");
    CHECK_TEXT(node->inputs[1], "in");
    CHECK_TEXT(node->outputs[1], "d");
    CHECK_INT(onnx_find_attribute(node, "i")->whole, -5);
    CHECK(onnx_find_attribute(node, "f")->real == 0.1f);
    CHECK_TEXT(onnx_find_attribute(node, "s")->text, "SAME_UPPER");
    CHECK_INT(onnx_find_attribute(node, "is")->count, 3);
    CHECK(onnx_find_attribute(node, "is")->wholes[1] == INT64_MIN);
    CHECK_INT(onnx_find_attribute(node, "none")->count, 0);
    CHECK(onnx_find_attribute(node, "fs")->reals[1] == -2);
    tensor = onnx_find_attribute(node, "t")->tensor;
    CHECK_INT(tensor->type, ONNX_INT64);
    CHECK_INT(((const int64_t *)tensor->data)[1], -7);
    onnx_free(again);
    onnx_free(graph);
}

TEST(onnx_file_keeps_shapes_types_and_weights)
{
    static const enum onnx_type types[] = {ONNX_FLOAT,   ONNX_UINT8, ONNX_INT8,
                                           ONNX_INT32,   ONNX_INT64, ONNX_BOOL,
                                           ONNX_FLOAT16, ONNX_DOUBLE};
    static const char bytes[48] =
        "any forty-eight bytes are six values of each";
    struct onnx_graph *graph = onnx_new(), *again;
    size_t i;

    graph->opset = 21;
    graph->ir_version = 10;
    for (i = 0; i < sizeof types / sizeof types[0]; i++)
        onnx_add_tensor(graph, "w", types[i], (int64_t[]){2, 1, 3}, 3, bytes);
    onnx_add_tensor(graph, "one", ONNX_FLOAT, NULL, 0, bytes);
    onnx_add_tensor(graph, "empty", ONNX_FLOAT, (int64_t[]){0, 4}, 2, NULL);
    onnx_add_value(graph, "between", ONNX_FLOAT, (int64_t[]){-1, 4}, 2);
    onnx_add_value(graph, "unknown", ONNX_FLOAT, NULL, -1);
    onnx_add_value(graph, "scalar", ONNX_INT8, NULL, 0);
    again = pass_through(graph);
    CHECK_INT(again->opset, 21);
    CHECK_INT(again->ir_version, 10);
    for (i = 0; i < sizeof types / sizeof types[0]; i++) {
        const struct onnx_tensor *tensor = again->tensors[i];

        CHECK_INT(tensor->type, types[i]);
        CHECK_INT(tensor->rank, 3);
        CHECK_INT(tensor->dims[2], 3);
        CHECK_INT(tensor->data_len, 6 * onnx_element_len(types[i]));
        CHECK(memcmp(tensor->data, bytes, tensor->data_len) == 0);
    }
    CHECK_INT(onnx_find_tensor(again, "one")->data_len, 4);
    CHECK_INT(onnx_find_tensor(again, "empty")->data_len, 0);
    CHECK_INT(again->values[0]->dims[0], -1);
    CHECK_INT(again->values[0]->dims[1], 4);
    CHECK_INT(again->values[1]->rank, -1);
    CHECK_INT(again->values[2]->rank, 0);
    CHECK_INT(again->values[2]->type, ONNX_INT8);
    onnx_free(again);
    onnx_free(graph);
}

TEST(onnx_file_leaves_removed_nodes_out)
{
    struct onnx_graph *graph = make_dense(), *again;

    graph->nodes[0]->is_removed = true;
    again = pass_through(graph);
    CHECK_INT(again->node_count, 1);
    CHECK_TEXT(again->nodes[0]->op, "Relu");
    onnx_free(again);
    onnx_free(graph);
}

static void run_bundled(const char *path, float *scores)
{
    static float image[3 * 224 * 224];
    struct engine_options options = {.thread_count = 1};
    struct tensor in = {
        TENSOR_FLOAT32, 4, {1, 3, 224, 224}, image, sizeof image};
    struct tensor out[2] = {
        {TENSOR_FLOAT32, 2, {1, 1001}, scores, 1001 * sizeof *scores}};
    struct engine *engine = NULL;
    struct err err = {0};
    int i;

    for (i = 0; i < 3 * 224 * 224; i++)
        image[i] = sinf((float)i * 0.01f);
    CHECK_OK(engine_open(path, &options, &engine, &err), err);
    CHECK_TEXT(engine_output(engine, 0)->name, "probabilities");
    CHECK_OK(engine_run(engine, &in, out, &err), err);
    engine_close(engine);
}

TEST(onnx_file_of_the_bundled_model_runs_the_same_after_a_round_trip)
{
    static float before[1001], after[1001];
    struct onnx_graph *graph = NULL;
    struct err err = {0};

    CHECK_OK(onnx_read(bundled, &graph, &err), err);
    CHECK(graph->node_count > 100);
    CHECK_OK(onnx_write(graph, place("model.onnx"), &err), err);
    run_bundled(bundled, before);
    run_bundled(place("model.onnx"), after);
    CHECK(memcmp(before, after, sizeof before) == 0);
    CHECK(before[0] >= 0 && before[0] <= 1);
    onnx_free(graph);
}

static int build_write_and_read(struct err *err)
{
    struct onnx_graph *graph = make_dense(), *again = NULL;
    struct onnx_node *node =
        onnx_add(graph, "Constant", "c", NULL, NULL, NULL, NULL);
    struct buf file;
    int rc;

    onnx_set_tensor(graph, node, "value", ONNX_FLOAT, NULL, 0, (float[]){1});
    onnx_set_text(graph, node, "s", "text");
    onnx_set_floats(graph, node, "fs", (float[]){1}, 1);
    onnx_set_names(graph, node, "n", "");
    buf_init(&file, 1 << 20);
    rc = onnx_write_bytes(graph, &file, err);
    if (rc == 0)
        rc = onnx_read_bytes(buf_bytes(&file), &again, err);
    CHECK((again != NULL) == (rc == 0));
    buf_release(&file);
    onnx_free(graph);
    onnx_free(again);
    return rc;
}

TEST(onnx_graph_survives_torture)
{
    long nth;

    for (nth = 1; nth < 10000; nth++) {
        struct err err = {0};
        int rc;

        mem_fail_at(nth);
        rc = build_write_and_read(&err);
        if (rc == 0 && mem_tries() < nth)
            break;
        CHECK_ERR(rc, ERR_UNAVAILABLE);
    }
    mem_fail_at(0);
    CHECK(nth > 100 && nth < 10000);
}
