/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "infer/engine.h"
#include "test.h"

enum { INPUT_COUNT = 3 * 224 * 224, CLASS_COUNT = 1001 };

static const char network[] = "models/mobilenet_v2/model.onnx";
static float input[INPUT_COUNT], scores[CLASS_COUNT];

static struct engine *open_network(void)
{
    struct engine_options options = {1};
    struct engine *engine = NULL;
    struct err err = {0};

    CHECK_OK(engine_open(network, &options, &engine, &err), err);
    return engine;
}

/* Runs the network on `input`; the embedding is not asked for. */
static int run(struct engine *engine, struct err *err)
{
    struct tensor in = {
        TENSOR_FLOAT32, 4, {1, 3, 224, 224}, input, sizeof input};
    struct tensor out[2] = {
        {TENSOR_FLOAT32, 2, {1, CLASS_COUNT}, scores, sizeof scores}};

    return engine_run(engine, &in, out, err);
}

static void fill_input(void)
{
    int i;

    for (i = 0; i < INPUT_COUNT; i++)
        input[i] = (float)(i % 255) / 127.5f - 1;
}

TEST(engine_says_what_a_network_takes_and_gives)
{
    struct engine *engine = open_network();

    CHECK_INT(engine_input_count(engine), 1);
    CHECK_TEXT(engine_input(engine, 0)->name, "image");
    CHECK_INT(engine_input(engine, 0)->rank, 4);
    CHECK_INT(engine_input(engine, 0)->dims[0], -1);
    CHECK_INT(engine_input(engine, 0)->dims[1], 3);
    CHECK_INT(engine_output_count(engine), 2);
    CHECK_TEXT(engine_output(engine, 0)->name, "probabilities");
    CHECK_INT(engine_output(engine, 1)->dims[1], 1280);
    CHECK_HAS(engine_version(), "onnxruntime 1.");
    engine_close(engine);
}

TEST(engine_gives_the_same_answer_alone_and_beside_others)
{
    struct engine *engine = open_network();
    float before[CLASS_COUNT];
    struct err err = {0};
    int i;

    fill_input();
    CHECK_OK(run(engine, &err), err);
    memcpy(before, scores, sizeof before);
    CHECK_OK(engine_widen(engine, 2, &err), err);
    CHECK_OK(run(engine, &err), err);
    for (i = 0; i < CLASS_COUNT; i++)
        CHECK_NEAR(scores[i], before[i], 1e-5);
    engine_enter(engine);
    engine_enter(engine);
    CHECK_OK(run(engine, &err), err);
    engine_leave(engine);
    engine_leave(engine);
    for (i = 0; i < CLASS_COUNT; i++)
        CHECK_NEAR(scores[i], before[i], 0);
    engine_close(engine);
}

TEST(engine_refuses_tensors_that_do_not_fit)
{
    struct engine *engine = open_network();
    struct tensor good = {
        TENSOR_FLOAT32, 4, {1, 3, 224, 224}, input, sizeof input};
    struct tensor out[2] = {
        {TENSOR_FLOAT32, 2, {1, CLASS_COUNT}, scores, sizeof scores}};
    struct tensor bad[4] = {good, good, good, good};
    int i;

    bad[0].rank = 3;
    bad[1].dims[1] = 4;
    bad[2].data_len = 8;
    bad[3].type = TENSOR_UINT8;
    for (i = 0; i < 4; i++) {
        struct err err = {0};

        CHECK_ERR(engine_run(engine, &bad[i], out, &err), ERR_INVALID);
        CHECK_HAS(err.text, "image");
    }
    engine_close(engine);
}

TEST(engine_refuses_what_is_no_network)
{
    struct engine_options options = {1}, none = {0};
    struct engine *engine = NULL;
    struct err err = {0};

    CHECK_ERR(
        engine_open("models/mobilenet_v2/labels.txt", &options, &engine, &err),
        ERR_UNPROCESSABLE);
    CHECK(engine == NULL);
    CHECK_ERR(engine_open(network, &none, &engine, &(struct err){0}),
              ERR_INVALID);
}
