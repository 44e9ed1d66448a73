/* SPDX-License-Identifier: Apache-2.0 */
/* Weights, the way back to float32, and the plan. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "models/onnx_edit.h"
#include "quantize_fixture.h"
#include "test.h"

/* --- weights -------------------------------------------------------------- */

TEST(quantize_keeps_pairs_of_weights_within_16_bits)
{
    enum { CHANNELS = 16, INS = 37 };
    struct onnx_graph *graph = onnx_new();
    struct quantize_weight_options options = {.axis = 0, .is_paired = true};
    struct onnx_tensor *weights = onnx_add_tensor(
        graph, "w", ONNX_FLOAT, (int64_t[]){CHANNELS, INS, 1, 1}, 4, NULL);
    int8_t values[CHANNELS * INS];
    float scales[CHANNELS];
    struct err err = {0};
    int c, i, busy = 0;

    tiny_fill(weights->data, CHANNELS * INS, 7);
    CHECK_OK(quantize_channels(weights, &options, values, scales, &err), err);
    for (c = 0; c < CHANNELS; c++)
        for (i = 0; i + 1 < INS; i += 2) {
            const int8_t *pair = &values[c * INS + i];

            CHECK(abs(pair[0] + pair[1]) <= 128);
            busy += abs(pair[0] + pair[1]) > 120;
        }
    CHECK(busy > 0);
    onnx_free(graph);
}

TEST(quantize_restores_weights_within_half_a_step)
{
    static const int axes[] = {0, 1};
    struct onnx_graph *graph = onnx_new();
    struct onnx_tensor *weights =
        onnx_add_tensor(graph, "w", ONNX_FLOAT, (int64_t[]){5, 3}, 2, NULL);
    size_t a, i;

    tiny_fill(weights->data, 15, 9);
    for (a = 0; a < 2; a++) {
        struct quantize_weight_options options = {.axis = axes[a]};
        struct err err = {0};
        int8_t values[15];
        float scales[5];

        CHECK_OK(quantize_channels(weights, &options, values, scales, &err),
                 err);
        for (i = 0; i < 15; i++) {
            float scale = scales[a == 0 ? i / 3 : i % 3];

            CHECK_NEAR(values[i] * scale, ((float *)weights->data)[i],
                       scale * 0.5001f);
        }
    }
    onnx_free(graph);
}

TEST(quantize_orders_weights_by_input_channel_then_window)
{
    const struct onnx_tensor conv = {.rank = 4, .dims = {2, 3, 1, 2}};
    const struct onnx_tensor matrix = {.rank = 2, .dims = {3, 2}};

    CHECK_INT(quantize_weight_place(&conv, 0, 0, 0), 0);
    CHECK_INT(quantize_weight_place(&conv, 0, 0, 1), 2);
    CHECK_INT(quantize_weight_place(&conv, 0, 0, 3), 1);
    CHECK_INT(quantize_weight_place(&conv, 0, 1, 0), 6);
    CHECK_INT(quantize_weight_place(&matrix, 1, 1, 2), 5);
    CHECK_INT(quantize_weight_place(&matrix, 0, 1, 1), 3);
}

TEST(quantize_takes_channels_of_zeros_and_refuses_what_is_not_finite)
{
    struct onnx_graph *graph = onnx_new();
    struct quantize_weight_options options = {.axis = 0, .is_paired = true};
    struct onnx_tensor *weights =
        onnx_add_tensor(graph, "w", ONNX_FLOAT, (int64_t[]){2, 2}, 2, NULL);
    int8_t values[4] = {1, 1, 1, 1};
    float scales[2];
    struct err err = {0};

    CHECK_OK(quantize_channels(weights, &options, values, scales, &err), err);
    CHECK_INT(values[0], 0);
    CHECK(scales[0] > 0);
    ((float *)weights->data)[3] = NAN;
    CHECK_ERR(quantize_channels(weights, &options, values, scales, &err),
              ERR_UNPROCESSABLE);
    CHECK_HAS(err.text, "value 3 of weight 'w'");
    onnx_free(graph);
}

TEST(quantize_weights_makes_a_network_that_scores_alike)
{
    struct onnx_graph *graph = tiny_network();
    float before[CLASSES], after[CLASSES];
    struct err err = {0};
    int i, count = 0;

    tiny_scores(graph, false, 1, before);
    CHECK_OK(quantize_weights(graph, &count, &err), err);
    CHECK_INT(count, 4);
    CHECK(onnx_find_tensor(graph, "w1") == NULL);
    CHECK_INT(onnx_find_tensor(graph, "w1_stored")->type, ONNX_INT8);
    tiny_scores(graph, false, 1, after);
    for (i = 0; i < CLASSES; i++)
        CHECK_NEAR(after[i], before[i], 0.02);
    CHECK_OK(quantize_weights(graph, &count, &err), err);
    CHECK_INT(count, 0);
    onnx_free(graph);
}

/* --- back to float32 ------------------------------------------------------ */

TEST(quantize_unfold_restores_stored_weights)
{
    struct onnx_graph *graph = tiny_network();
    float before[CLASSES], after[CLASSES];
    struct err err = {0};
    int i, count = 0;

    CHECK_OK(quantize_weights(graph, &count, &err), err);
    tiny_scores(graph, false, 1, before);
    CHECK_OK(quantize_unfold(graph, &err), err);
    for (i = 0; i < graph->node_count; i++)
        CHECK(strcmp(graph->nodes[i]->op, "DequantizeLinear") != 0);
    tiny_scores(graph, false, 1, after);
    for (i = 0; i < CLASSES; i++)
        CHECK_NEAR(after[i], before[i], 1e-6);
    onnx_free(graph);
}

TEST(quantize_unfold_simplifies_and_changes_no_score)
{
    static const char *const gone[] = {"BatchNormalization", "Constant",
                                       "Dropout", "Identity"};
    struct onnx_graph *graph = tiny_tangled();
    float before[CLASSES], after[CLASSES];
    struct err err = {0};
    int i;
    size_t k;

    tiny_scores(graph, false, 1, before);
    CHECK_OK(quantize_unfold(graph, &err), err);
    for (i = 0; i < graph->node_count; i++)
        for (k = 0; k < sizeof gone / sizeof gone[0]; k++)
            CHECK(strcmp(graph->nodes[i]->op, gone[k]) != 0);
    CHECK_TEXT(onnx_producer(graph, "scores")->op, "Gemm");
    tiny_scores(graph, false, 1, after);
    for (i = 0; i < CLASSES; i++)
        CHECK_NEAR(after[i], before[i], 1e-4 * (1 + fabsf(before[i])));
    onnx_free(graph);
}

/* Reshape, MatMul, Add, Relu, MatMul, Add. */
static struct onnx_graph *make_dense(int64_t bias_count)
{
    static const int64_t shape[2] = {-1, INPUT_COUNT};
    struct onnx_graph *graph = onnx_new();

    onnx_add_graph_input(graph, "image", ONNX_FLOAT,
                         (int64_t[]){-1, 3, SIDE, SIDE}, 4);
    onnx_add_graph_output(graph, "scores", ONNX_FLOAT, (int64_t[]){-1, CLASSES},
                          2);
    onnx_add_tensor(graph, "shape", ONNX_INT64, (int64_t[]){2}, 1, shape);
    tiny_add_random(graph, "w1", (int64_t[]){INPUT_COUNT, 5}, 2, 1);
    tiny_add_random(graph, "b1", (int64_t[]){5}, 1, 2);
    tiny_add_random(graph, "w2", (int64_t[]){5, CLASSES}, 2, 3);
    tiny_add_random(graph, "b2", &bias_count, 1, 4);
    onnx_add(graph, "Reshape", "flat", "image", "shape", NULL, NULL);
    onnx_add(graph, "MatMul", "m1", "flat", "w1", NULL, NULL);
    onnx_add(graph, "Add", "a1", "b1", "m1", NULL, NULL);
    onnx_add(graph, "Relu", "r1", "a1", NULL, NULL, NULL);
    onnx_add(graph, "MatMul", "m2", "r1", "w2", NULL, NULL);
    onnx_add(graph, "Add", "scores", "m2", "b2", NULL, NULL);
    return graph;
}

TEST(quantize_unfold_finds_the_gemms_in_matmul_and_add)
{
    struct onnx_graph *graph = make_dense(CLASSES);
    float before[CLASSES], after[CLASSES];
    struct err err = {0};
    int i;

    tiny_scores(graph, false, 1, before);
    CHECK_OK(quantize_unfold(graph, &err), err);
    CHECK_TEXT(onnx_producer(graph, "a1")->op, "Gemm");
    CHECK_TEXT(onnx_producer(graph, "scores")->op, "Gemm");
    CHECK_INT(graph->node_count, 4);
    tiny_scores(graph, false, 1, after);
    for (i = 0; i < CLASSES; i++)
        CHECK_NEAR(after[i], before[i], 1e-4);
    onnx_free(graph);
    graph = make_dense(1);
    CHECK_OK(quantize_unfold(graph, &err), err);
    CHECK_TEXT(onnx_producer(graph, "scores")->op, "Add");
    onnx_free(graph);
}

TEST(quantize_refuses_old_and_8_bit_networks)
{
    struct onnx_graph *graph = tiny_network();
    struct err err = {0};

    graph->opset = 12;
    CHECK_ERR(quantize_unfold(graph, &err), ERR_UNPROCESSABLE);
    CHECK_HAS(err.text, "operator set 12");
    graph->opset = 13;
    onnx_add(graph, "QuantizeLinear", "q", "image", "zero", NULL, NULL);
    CHECK_ERR(quantize_unfold(graph, &err), ERR_UNPROCESSABLE);
    CHECK_HAS(err.text, "8 bits already: node 'q'");
    onnx_free(graph);
    graph = tiny_network();
    onnx_add(graph, "DequantizeLinear", "d", "image", "six", NULL, NULL);
    CHECK_ERR(quantize_unfold(graph, &err), ERR_UNPROCESSABLE);
    CHECK_HAS(err.text, "something else than weights");
    onnx_free(graph);
}

/* --- the plan ------------------------------------------------------------- */

TEST(quantize_plan_stores_what_8_bit_nodes_read_and_nothing_else)
{
    struct onnx_graph *graph = tiny_unfold(tiny_network());
    struct quantize_plan *plan = tiny_plan(graph);

    CHECK(tiny_place(plan, "image") != NULL);
    CHECK(tiny_place(plan, "c1") == NULL);
    CHECK(tiny_place(plan, "r1") != NULL);
    CHECK(tiny_place(plan, "c2") == NULL);
    CHECK(tiny_place(plan, "r2") != NULL);
    CHECK(tiny_place(plan, "c3") != NULL);
    CHECK(tiny_place(plan, "sum") != NULL);
    CHECK(tiny_place(plan, "pool") == NULL);
    CHECK(tiny_place(plan, "features") != NULL);
    CHECK(tiny_place(plan, "logits") == NULL);
    CHECK_INT(plan->place_count, 6);
    CHECK_INT(tiny_place(plan, "image")->channel_count, 3);
    CHECK_INT(tiny_place(plan, "features")->channel_count, FEATURES);
    CHECK(!tiny_place(plan, "features")->is_image);
    quantize_plan_free(plan);
    onnx_free(graph);
}

TEST(quantize_plan_gives_one_scale_to_what_is_only_moved)
{
    struct onnx_graph *graph = onnx_new();
    struct quantize_plan *plan;
    struct onnx_node *node;

    onnx_add_graph_input(graph, "image", ONNX_FLOAT,
                         (int64_t[]){1, 3, SIDE, SIDE}, 4);
    onnx_add_graph_output(graph, "y", ONNX_FLOAT, NULL, -1);
    tiny_add_random(graph, "w", (int64_t[]){3, 3, 1, 1}, 4, 1);
    tiny_add_conv(graph, "a", "image", "w", NULL, 1, 0);
    node = onnx_add(graph, "MaxPool", "b", "a", NULL, NULL, NULL);
    onnx_set_ints(graph, node, "kernel_shape", (int64_t[]){2, 2}, 2);
    onnx_add(graph, "Concat", "c", "b", "b", NULL, NULL);
    onnx_add(graph, "Transpose", "d", "a", NULL, NULL, NULL);
    tiny_add_conv(graph, "e", "b", "w", NULL, 1, 0);
    tiny_add_conv(graph, "y", "e", "w", NULL, 1, 0);
    plan = tiny_plan(graph);
    CHECK_INT(tiny_place(plan, "a")->group, tiny_place(plan, "b")->group);
    CHECK(tiny_place(plan, "e")->group != tiny_place(plan, "a")->group);
    CHECK(tiny_place(plan, "c") == NULL);
    CHECK(tiny_place(plan, "d") == NULL);
    CHECK(tiny_place(plan, "y") == NULL);
    CHECK_INT(plan->roles[5], QUANTIZE_END);
    quantize_plan_free(plan);
    onnx_free(graph);
}

/* What has no integer form reads and gives 8 bits between two that have. */
TEST(quantize_plan_lets_a_float_node_stand_between_8_bit_ones)
{
    struct onnx_graph *graph = onnx_new();
    struct quantize_plan *plan;

    onnx_add_graph_input(graph, "image", ONNX_FLOAT,
                         (int64_t[]){1, 3, SIDE, SIDE}, 4);
    onnx_add_graph_output(graph, "y", ONNX_FLOAT, NULL, -1);
    tiny_add_random(graph, "w", (int64_t[]){3, 3, 1, 1}, 4, 1);
    onnx_add(graph, "Tanh", "begin", "image", NULL, NULL, NULL);
    tiny_add_conv(graph, "a", "begin", "w", NULL, 1, 0);
    onnx_add(graph, "HardSwish", "b", "a", NULL, NULL, NULL);
    tiny_add_conv(graph, "c", "b", "w", NULL, 1, 0);
    onnx_add(graph, "Tanh", "y", "c", NULL, NULL, NULL);
    plan = tiny_plan(graph);
    CHECK_INT(plan->roles[0], QUANTIZE_NOT);
    CHECK_INT(plan->roles[1], QUANTIZE_HEAVY);
    CHECK_INT(plan->roles[2], QUANTIZE_END);
    CHECK_INT(plan->roles[3], QUANTIZE_END);
    CHECK_INT(plan->roles[4], QUANTIZE_NOT);
    CHECK(tiny_place(plan, "begin") != NULL);
    CHECK(tiny_place(plan, "a") != NULL);
    CHECK(tiny_place(plan, "b") != NULL);
    CHECK_INT(plan->place_count, 3);
    quantize_plan_free(plan);
    onnx_free(graph);
}

TEST(quantize_plan_refuses_a_network_without_weights)
{
    struct onnx_graph *graph = onnx_new();
    struct quantize_plan *plan = NULL;
    struct err err = {0};

    onnx_add(graph, "Relu", "y", "x", NULL, NULL, NULL);
    CHECK_ERR(quantize_plan(graph, &plan, &err), ERR_UNPROCESSABLE);
    CHECK_HAS(err.text, "none of its 1 nodes");
    CHECK(plan == NULL);
    onnx_free(graph);
}
