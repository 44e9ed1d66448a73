/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "infer/engine.h"
#include "models/onnx_edit.h"
#include "models/quantize_graph.h"
#include "test.h"

enum { SIDE = 8, INPUT_COUNT = 3 * SIDE * SIDE, CLASSES = 4, FEATURES = 8 };

/* Values in -1..1 that are the same on every run. */
static void fill(float *values, size_t count, unsigned seed)
{
    size_t i;

    for (i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        values[i] = (float)(seed >> 8) / (float)(1 << 23) - 1;
    }
}

static void add_random(struct onnx_graph *graph, const char *name,
                       const int64_t *dims, int rank, unsigned seed)
{
    struct onnx_tensor *tensor =
        onnx_add_tensor(graph, name, ONNX_FLOAT, dims, rank, NULL);

    if (tensor != NULL)
        fill(tensor->data, tensor->data_len / sizeof(float), seed);
}

static void add_conv(struct onnx_graph *graph, const char *output,
                     const char *input, const char *weights, const char *bias,
                     int group, int pad)
{
    struct onnx_node *node =
        onnx_add(graph, "Conv", output, input, weights, bias, NULL);

    onnx_set_int(graph, node, "group", group);
    onnx_set_ints(graph, node, "pads", (int64_t[]){pad, pad, pad, pad}, 4);
}

/* A small network of the kinds of nodes that classifiers have: a residual block
 * around a depthwise convolution, an embedding and scores. */
static struct onnx_graph *make_network(void)
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
    add_random(graph, "w1", (int64_t[]){8, 3, 3, 3}, 4, 1);
    add_random(graph, "b1", (int64_t[]){8}, 1, 2);
    add_random(graph, "w2", (int64_t[]){8, 1, 3, 3}, 4, 3);
    add_random(graph, "w3", (int64_t[]){8, 8, 1, 1}, 4, 4);
    add_random(graph, "b3", (int64_t[]){8}, 1, 5);
    add_random(graph, "w4", (int64_t[]){CLASSES, FEATURES}, 2, 6);
    onnx_add_tensor(graph, "zero", ONNX_FLOAT, NULL, 0, &zero);
    onnx_add_tensor(graph, "six", ONNX_FLOAT, NULL, 0, &six);
    add_conv(graph, "c1", "image", "w1", "b1", 1, 1);
    onnx_add(graph, "Relu", "r1", "c1", NULL, NULL, NULL);
    add_conv(graph, "c2", "r1", "w2", NULL, 8, 1);
    onnx_add(graph, "Clip", "r2", "c2", "zero", "six", NULL);
    add_conv(graph, "c3", "r2", "w3", "b3", 1, 0);
    onnx_add(graph, "Add", "sum", "c3", "r1", NULL, NULL);
    onnx_add(graph, "GlobalAveragePool", "pool", "sum", NULL, NULL, NULL);
    onnx_add(graph, "Flatten", "features", "pool", NULL, NULL, NULL);
    node = onnx_add(graph, "Gemm", "logits", "features", "w4", NULL, NULL);
    onnx_set_int(graph, node, "transB", 1);
    onnx_add(graph, "Softmax", "scores", "logits", NULL, NULL, NULL);
    return graph;
}

struct session {
    struct engine *engine;
    float input[INPUT_COUNT];
    float *output;
    size_t output_count;
};

/* Opens a graph for runs on [1, 3, SIDE, SIDE]; its first output counts. */
static void open_session(struct session *session,
                         const struct onnx_graph *graph, bool has_8_bits)
{
    struct engine_options options = {1, has_8_bits};
    char path[FILE_PATH_MAX];
    struct err err = {0};

    CHECK_OK(file_join(test_dir(), "model.onnx", path, &err), err);
    CHECK_OK(onnx_write(graph, path, &err), err);
    CHECK_OK(engine_open(path, &options, &session->engine, &err), err);
}

static void run_session(struct session *session, unsigned seed, float *out,
                        int64_t *dims, int rank)
{
    struct tensor in = {TENSOR_FLOAT32, 4, {1, 3, SIDE, SIDE}, NULL, 0};
    struct tensor outputs[ENGINE_TENSORS_MAX] = {
        {TENSOR_FLOAT32, rank, {0}, out, sizeof *out}};
    struct err err = {0};
    int i;

    fill(session->input, INPUT_COUNT, seed);
    in.data = session->input;
    in.data_len = sizeof session->input;
    for (i = 0; i < rank; i++) {
        outputs[0].dims[i] = dims[i];
        outputs[0].data_len *= (size_t)dims[i];
    }
    CHECK_OK(engine_run(session->engine, &in, outputs, &err), err);
}

static void run_scores(const struct onnx_graph *graph, bool has_8_bits,
                       unsigned seed, float *scores)
{
    struct session session = {0};

    open_session(&session, graph, has_8_bits);
    run_session(&session, seed, scores, (int64_t[]){1, CLASSES}, 2);
    engine_close(session.engine);
}

static struct onnx_graph *make_plain(struct onnx_graph *graph)
{
    struct err err = {0};

    CHECK_OK(quantize_unfold(graph, &err), err);
    return graph;
}

static struct quantize_plan *make_plan(const struct onnx_graph *graph)
{
    struct quantize_plan *plan = NULL;
    struct err err = {0};

    CHECK_OK(quantize_plan(graph, &plan, &err), err);
    return plan;
}

static const struct quantize_place *find_place(const struct quantize_plan *plan,
                                               const char *name)
{
    int i;

    for (i = 0; i < plan->place_count; i++)
        if (strcmp(plan->places[i].name, name) == 0)
            return &plan->places[i];
    return NULL;
}

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

    fill(weights->data, CHANNELS * INS, 7);
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

    fill(weights->data, 15, 9);
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
    struct onnx_graph *graph = make_network();
    float before[CLASSES], after[CLASSES];
    struct err err = {0};
    int i, count = 0;

    run_scores(graph, false, 1, before);
    CHECK_OK(quantize_weights(graph, &count, &err), err);
    CHECK_INT(count, 4);
    CHECK(onnx_find_tensor(graph, "w1") == NULL);
    CHECK_INT(onnx_find_tensor(graph, "w1_stored")->type, ONNX_INT8);
    run_scores(graph, false, 1, after);
    for (i = 0; i < CLASSES; i++)
        CHECK_NEAR(after[i], before[i], 0.02);
    CHECK_OK(quantize_weights(graph, &count, &err), err);
    CHECK_INT(count, 0);
    onnx_free(graph);
}

/* --- back to float32 ------------------------------------------------------ */

TEST(quantize_unfold_restores_stored_weights)
{
    struct onnx_graph *graph = make_network();
    float before[CLASSES], after[CLASSES];
    struct err err = {0};
    int i, count = 0;

    CHECK_OK(quantize_weights(graph, &count, &err), err);
    run_scores(graph, false, 1, before);
    CHECK_OK(quantize_unfold(graph, &err), err);
    for (i = 0; i < graph->node_count; i++)
        CHECK(strcmp(graph->nodes[i]->op, "DequantizeLinear") != 0);
    run_scores(graph, false, 1, after);
    for (i = 0; i < CLASSES; i++)
        CHECK_NEAR(after[i], before[i], 1e-6);
    onnx_free(graph);
}

/* Batch norm behind a Conv with and one without a bias, a Constant, Dropout and
 * a classifier that is a Conv. */
static struct onnx_graph *make_tangled(void)
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
    add_random(graph, "w1", (int64_t[]){8, 3, 3, 3}, 4, 1);
    add_random(graph, "b1", (int64_t[]){8}, 1, 2);
    add_random(graph, "w2", (int64_t[]){8, 8, 1, 1}, 4, 3);
    add_random(graph, "w3", (int64_t[]){CLASSES, 8, 1, 1}, 4, 4);
    add_random(graph, "scale", (int64_t[]){8}, 1, 5);
    add_random(graph, "shift", (int64_t[]){8}, 1, 6);
    add_random(graph, "mean", (int64_t[]){8}, 1, 7);
    add_random(graph, "variance", (int64_t[]){8}, 1, 8);
    variance = onnx_find_tensor(graph, "variance");
    for (i = 0; variance != NULL && i < 8; i++)
        ((float *)variance->data)[i] += 1.5f;
    node = onnx_add(graph, "Constant", "third", NULL, NULL, NULL, NULL);
    onnx_set_tensor(graph, node, "value", ONNX_FLOAT, NULL, 0, &third);
    onnx_add(graph, "Mul", "scaled", "image", "third", NULL, NULL);
    add_conv(graph, "c1", "scaled", "w1", "b1", 1, 1);
    node = onnx_add(graph, "BatchNormalization", "n1", "c1", "scale", "shift",
                    "mean");
    onnx_add_input(graph, node, "variance");
    onnx_set_float(graph, node, "epsilon", 1e-3f);
    add_conv(graph, "c2", "n1", "w2", NULL, 1, 0);
    node = onnx_add(graph, "BatchNormalization", "n2", "c2", "scale", "shift",
                    "mean");
    onnx_add_input(graph, node, "variance");
    onnx_add(graph, "Dropout", "kept", "n2", NULL, NULL, NULL);
    onnx_add(graph, "GlobalAveragePool", "pool", "kept", NULL, NULL, NULL);
    onnx_add(graph, "Identity", "same", "pool", NULL, NULL, NULL);
    add_conv(graph, "c3", "same", "w3", NULL, 1, 0);
    onnx_add(graph, "Flatten", "scores", "c3", NULL, NULL, NULL);
    return graph;
}

TEST(quantize_unfold_simplifies_and_changes_no_score)
{
    static const char *const gone[] = {"BatchNormalization", "Constant",
                                       "Dropout", "Identity"};
    struct onnx_graph *graph = make_tangled();
    float before[CLASSES], after[CLASSES];
    struct err err = {0};
    int i;
    size_t k;

    run_scores(graph, false, 1, before);
    CHECK_OK(quantize_unfold(graph, &err), err);
    for (i = 0; i < graph->node_count; i++)
        for (k = 0; k < sizeof gone / sizeof gone[0]; k++)
            CHECK(strcmp(graph->nodes[i]->op, gone[k]) != 0);
    CHECK_TEXT(onnx_producer(graph, "scores")->op, "Gemm");
    run_scores(graph, false, 1, after);
    for (i = 0; i < CLASSES; i++)
        CHECK_NEAR(after[i], before[i], 1e-4 * (1 + fabsf(before[i])));
    onnx_free(graph);
}

TEST(quantize_refuses_old_and_8_bit_networks)
{
    struct onnx_graph *graph = make_network();
    struct err err = {0};

    graph->opset = 12;
    CHECK_ERR(quantize_unfold(graph, &err), ERR_UNPROCESSABLE);
    CHECK_HAS(err.text, "operator set 12");
    graph->opset = 13;
    onnx_add(graph, "QuantizeLinear", "q", "image", "zero", NULL, NULL);
    CHECK_ERR(quantize_unfold(graph, &err), ERR_UNPROCESSABLE);
    CHECK_HAS(err.text, "8 bits already: node 'q'");
    onnx_free(graph);
    graph = make_network();
    onnx_add(graph, "DequantizeLinear", "d", "image", "six", NULL, NULL);
    CHECK_ERR(quantize_unfold(graph, &err), ERR_UNPROCESSABLE);
    CHECK_HAS(err.text, "something else than weights");
    onnx_free(graph);
}

/* --- the plan ------------------------------------------------------------- */

TEST(quantize_plan_stores_what_8_bit_nodes_read_and_nothing_else)
{
    struct onnx_graph *graph = make_plain(make_network());
    struct quantize_plan *plan = make_plan(graph);

    CHECK(find_place(plan, "image") != NULL);
    CHECK(find_place(plan, "c1") == NULL);
    CHECK(find_place(plan, "r1") != NULL);
    CHECK(find_place(plan, "c2") == NULL);
    CHECK(find_place(plan, "r2") != NULL);
    CHECK(find_place(plan, "c3") != NULL);
    CHECK(find_place(plan, "sum") != NULL);
    CHECK(find_place(plan, "pool") == NULL);
    CHECK(find_place(plan, "features") != NULL);
    CHECK(find_place(plan, "logits") == NULL);
    CHECK_INT(plan->place_count, 6);
    CHECK_INT(find_place(plan, "image")->channel_count, 3);
    CHECK_INT(find_place(plan, "features")->channel_count, FEATURES);
    CHECK(!find_place(plan, "features")->is_image);
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
    add_random(graph, "w", (int64_t[]){3, 3, 1, 1}, 4, 1);
    add_conv(graph, "a", "image", "w", NULL, 1, 0);
    node = onnx_add(graph, "MaxPool", "b", "a", NULL, NULL, NULL);
    onnx_set_ints(graph, node, "kernel_shape", (int64_t[]){2, 2}, 2);
    onnx_add(graph, "Concat", "c", "b", "b", NULL, NULL);
    onnx_add(graph, "Transpose", "d", "a", NULL, NULL, NULL);
    add_conv(graph, "e", "b", "w", NULL, 1, 0);
    add_conv(graph, "y", "e", "w", NULL, 1, 0);
    plan = make_plan(graph);
    CHECK_INT(find_place(plan, "a")->group, find_place(plan, "b")->group);
    CHECK(find_place(plan, "e")->group != find_place(plan, "a")->group);
    CHECK(find_place(plan, "c") == NULL);
    CHECK(find_place(plan, "d") == NULL);
    CHECK(find_place(plan, "y") == NULL);
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
    add_random(graph, "w", (int64_t[]){3, 3, 1, 1}, 4, 1);
    onnx_add(graph, "Tanh", "begin", "image", NULL, NULL, NULL);
    add_conv(graph, "a", "begin", "w", NULL, 1, 0);
    onnx_add(graph, "HardSwish", "b", "a", NULL, NULL, NULL);
    add_conv(graph, "c", "b", "w", NULL, 1, 0);
    onnx_add(graph, "Tanh", "y", "c", NULL, NULL, NULL);
    plan = make_plan(graph);
    CHECK_INT(plan->roles[0], QUANTIZE_NOT);
    CHECK_INT(plan->roles[1], QUANTIZE_HEAVY);
    CHECK_INT(plan->roles[2], QUANTIZE_END);
    CHECK_INT(plan->roles[3], QUANTIZE_END);
    CHECK_INT(plan->roles[4], QUANTIZE_NOT);
    CHECK(find_place(plan, "begin") != NULL);
    CHECK(find_place(plan, "a") != NULL);
    CHECK(find_place(plan, "b") != NULL);
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

/* --- 8 bits --------------------------------------------------------------- */

/* Ranges and means as the watched network tells them, over `count` images. */
static void calibrate(struct onnx_graph *watched, struct quantize_plan *plan,
                      int count)
{
    int64_t values_count = (int64_t)quantize_watched_count(plan);
    float *values = mem_new((size_t)values_count * sizeof *values);
    struct session session = {0};
    int i, k, c;

    quantize_watch(watched, plan);
    open_session(&session, watched, false);
    for (i = 0; i < count; i++) {
        const float *means = values + 2 * plan->place_count;

        run_session(&session, 100u + (unsigned)i, values, &values_count, 1);
        for (k = 0; k < plan->place_count; k++) {
            struct quantize_place *place = &plan->places[k];

            place->min =
                i == 0 ? values[2 * k] : fminf(place->min, values[2 * k]);
            place->max = i == 0 ? values[2 * k + 1]
                                : fmaxf(place->max, values[2 * k + 1]);
            for (c = 0; c < place->channel_count; c++)
                place->means[c] += *means++ / (float)count;
        }
    }
    engine_close(session.engine);
    mem_free(values);
}

static struct onnx_graph *make_static(struct onnx_graph *(*make)(void))
{
    struct onnx_graph *graph = make_plain(make());
    struct onnx_graph *watched = make_plain(make());
    struct quantize_plan *plan = make_plan(graph);
    struct err err = {0};

    calibrate(watched, plan, 16);
    CHECK_OK(quantize_apply(graph, plan, &err), err);
    quantize_plan_free(plan);
    onnx_free(watched);
    return graph;
}

static int count_op(const struct onnx_graph *graph, const char *op)
{
    int i, count = 0;

    for (i = 0; i < graph->node_count; i++)
        count += strcmp(graph->nodes[i]->op, op) == 0;
    return count;
}

TEST(quantize_watch_tells_ranges_and_means)
{
    struct onnx_graph *watched = make_plain(make_network());
    struct quantize_plan *plan = make_plan(watched);
    const struct quantize_place *image, *clipped;
    double sum = 0;
    float first[INPUT_COUNT];
    int i;

    calibrate(watched, plan, 1);
    image = find_place(plan, "image");
    clipped = find_place(plan, "r2");
    fill(first, INPUT_COUNT, 100);
    for (i = 0; i < SIDE * SIDE; i++)
        sum += first[SIDE * SIDE + i];
    CHECK_NEAR(image->means[1], sum / (SIDE * SIDE), 1e-5);
    CHECK(image->min >= -1 && image->min < -0.9f);
    CHECK(image->max <= 1 && image->max > 0.9f);
    CHECK(clipped->min >= 0 && clipped->max <= 6);
    quantize_plan_free(plan);
    onnx_free(watched);
}

TEST(quantize_static_network_scores_alike)
{
    struct onnx_graph *graph = make_network(), *small;
    float before[CLASSES], after[CLASSES];
    unsigned seed;
    int i;

    small = make_static(make_network);
    CHECK_INT(count_op(small, "Relu"), 0);
    CHECK_INT(count_op(small, "Clip"), 0);
    CHECK_INT(count_op(small, "QuantizeLinear"), 6);
    CHECK(onnx_is_graph_output(small, "features"));
    for (seed = 1; seed <= 4; seed++) {
        run_scores(graph, false, seed, before);
        run_scores(small, true, seed, after);
        for (i = 0; i < CLASSES; i++)
            CHECK_NEAR(after[i], before[i], 0.05);
        run_scores(small, false, seed, before);
        for (i = 0; i < CLASSES; i++)
            CHECK_NEAR(after[i], before[i], 0.03);
    }
    onnx_free(small);
    onnx_free(graph);
}

TEST(quantize_static_network_of_every_known_operator_runs)
{
    struct onnx_graph *small = make_static(make_tangled);
    float before[CLASSES], after[CLASSES];
    struct onnx_graph *graph = make_tangled();
    int i;

    run_scores(graph, false, 3, before);
    run_scores(small, true, 3, after);
    for (i = 0; i < CLASSES; i++)
        CHECK_NEAR(after[i], before[i], 0.05 * (1 + fabsf(before[i])));
    onnx_free(small);
    onnx_free(graph);
}

TEST(quantize_apply_refuses_ranges_that_are_not_finite)
{
    struct onnx_graph *graph = make_plain(make_network());
    struct quantize_plan *plan = make_plan(graph);
    struct err err = {0};

    plan->places[1].max = INFINITY;
    CHECK_ERR(quantize_apply(graph, plan, &err), ERR_UNPROCESSABLE);
    CHECK_HAS(err.text, plan->places[1].name);
    quantize_plan_free(plan);
    onnx_free(graph);
}

static int quantise_once(struct err *err)
{
    struct onnx_graph *graph = make_network(), *tangled = make_tangled();
    struct quantize_plan *plan = NULL;
    int count, rc;

    rc = onnx_check(graph, err);
    if (rc == 0)
        rc = onnx_check(tangled, err);
    if (rc == 0)
        rc = quantize_unfold(tangled, err);
    if (rc == 0)
        rc = quantize_weights(tangled, &count, err);
    if (rc == 0)
        rc = quantize_unfold(graph, err);
    if (rc == 0)
        rc = quantize_plan(graph, &plan, err);
    if (rc == 0)
        rc = quantize_apply(graph, plan, err);
    quantize_plan_free(plan);
    onnx_free(graph);
    onnx_free(tangled);
    return rc;
}

TEST(quantize_survives_torture)
{
    long nth;

    for (nth = 1; nth < 10000; nth++) {
        struct err err = {0};
        int rc;

        mem_fail_at(nth);
        rc = quantise_once(&err);
        if (rc == 0 && mem_tries() < nth)
            break;
        CHECK_ERR(rc, ERR_UNAVAILABLE);
    }
    mem_fail_at(0);
    CHECK(nth > 300 && nth < 10000);
}
