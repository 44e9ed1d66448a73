/* SPDX-License-Identifier: Apache-2.0 */
/* Networks that compute in 8 bits, beside those they were made of. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "models/onnx_edit.h"
#include "quantize_fixture.h"
#include "test.h"

/* Ranges and means as the watched network tells them, over `count` images. */
static void calibrate(struct onnx_graph *watched, struct quantize_plan *plan,
                      int count)
{
    int64_t values_count = (int64_t)quantize_watched_count(plan);
    float *values = mem_new((size_t)values_count * sizeof *values);
    struct tiny_session session = {0};
    int i, k, c;

    quantize_watch(watched, plan);
    tiny_open(&session, watched, false);
    for (i = 0; i < count; i++) {
        const float *means = values + 2 * plan->place_count;

        tiny_run(&session, 100u + (unsigned)i, values, &values_count, 1);
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
    struct onnx_graph *graph = tiny_unfold(make());
    struct onnx_graph *watched = tiny_unfold(make());
    struct quantize_plan *plan = tiny_plan(graph);
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
    struct onnx_graph *watched = tiny_unfold(tiny_network());
    struct quantize_plan *plan = tiny_plan(watched);
    const struct quantize_place *image, *clipped;
    double sum = 0;
    float first[INPUT_COUNT];
    int i;

    calibrate(watched, plan, 1);
    image = tiny_place(plan, "image");
    clipped = tiny_place(plan, "r2");
    tiny_fill(first, INPUT_COUNT, 100);
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
    struct onnx_graph *graph = tiny_network(), *small;
    float before[CLASSES], after[CLASSES];
    unsigned seed;
    int i;

    small = make_static(tiny_network);
    CHECK_INT(count_op(small, "Relu"), 0);
    CHECK_INT(count_op(small, "Clip"), 0);
    CHECK_INT(count_op(small, "QuantizeLinear"), 6);
    CHECK(onnx_is_graph_output(small, "features"));
    for (seed = 1; seed <= 4; seed++) {
        tiny_scores(graph, false, seed, before);
        tiny_scores(small, true, seed, after);
        for (i = 0; i < CLASSES; i++)
            CHECK_NEAR(after[i], before[i], 0.05);
        tiny_scores(small, false, seed, before);
        for (i = 0; i < CLASSES; i++)
            CHECK_NEAR(after[i], before[i], 0.03);
    }
    onnx_free(small);
    onnx_free(graph);
}

/* Integers add up to the same in any order, float32 would not. */
TEST(quantize_static_network_keeps_its_bits_when_the_engine_widens)
{
    struct onnx_graph *small = make_static(tiny_network);
    float before[CLASSES], after[CLASSES];
    struct tiny_session session = {0};
    struct err err = {0};

    tiny_open(&session, small, true);
    tiny_run(&session, 1, before, (int64_t[]){1, CLASSES}, 2);
    CHECK_OK(engine_widen(session.engine, 2, &err), err);
    tiny_run(&session, 1, after, (int64_t[]){1, CLASSES}, 2);
    CHECK(memcmp(before, after, sizeof before) == 0);
    engine_close(session.engine);
    onnx_free(small);
}

TEST(quantize_static_network_of_every_known_operator_runs)
{
    struct onnx_graph *small = make_static(tiny_tangled);
    float before[CLASSES], after[CLASSES];
    struct onnx_graph *graph = tiny_tangled();
    int i;

    tiny_scores(graph, false, 3, before);
    tiny_scores(small, true, 3, after);
    for (i = 0; i < CLASSES; i++)
        CHECK_NEAR(after[i], before[i], 0.05 * (1 + fabsf(before[i])));
    onnx_free(small);
    onnx_free(graph);
}

/* Two large weights make a step in which thirty small ones vanish; with inputs
 * of 1 they would have added 30 * 0.006. */
TEST(quantize_apply_puts_what_rounding_loses_into_the_bias)
{
    enum { INS = 32 };
    struct onnx_graph *graph = onnx_new();
    float weights[INS] = {1, 1}, scale;
    struct quantize_plan *plan;
    struct onnx_node *node;
    struct err err = {0};
    int i;

    for (i = 2; i < INS; i++)
        weights[i] = 0.006f;
    onnx_add_graph_input(graph, "x", ONNX_FLOAT, (int64_t[]){-1, INS}, 2);
    onnx_add_graph_output(graph, "y", ONNX_FLOAT, (int64_t[]){-1, 1}, 2);
    onnx_add_tensor(graph, "w", ONNX_FLOAT, (int64_t[]){1, INS}, 2, weights);
    node = onnx_add(graph, "Gemm", "y", "x", "w", NULL, NULL);
    onnx_set_int(graph, node, "transB", 1);
    plan = tiny_plan(graph);
    CHECK_INT(plan->places[0].channel_count, INS);
    plan->places[0].max = 2;
    for (i = 0; i < INS; i++)
        plan->places[0].means[i] = 1;
    CHECK_OK(quantize_apply(graph, plan, &err), err);
    scale = *(float *)onnx_find_tensor(graph, "w_bias_scale")->data;
    CHECK_NEAR(*(int32_t *)onnx_find_tensor(graph, "w_bias_stored")->data *
                   scale,
               30 * 0.006, 0.02);
    quantize_plan_free(plan);
    onnx_free(graph);
}

TEST(quantize_apply_refuses_ranges_that_are_not_finite)
{
    struct onnx_graph *graph = tiny_unfold(tiny_network());
    struct quantize_plan *plan = tiny_plan(graph);
    struct err err = {0};

    plan->places[1].max = INFINITY;
    CHECK_ERR(quantize_apply(graph, plan, &err), ERR_UNPROCESSABLE);
    CHECK_HAS(err.text, plan->places[1].name);
    quantize_plan_free(plan);
    onnx_free(graph);
}

static int quantise_once(struct err *err)
{
    struct onnx_graph *graph = tiny_network(), *tangled = tiny_tangled();
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
