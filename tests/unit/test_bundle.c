/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/config.h"
#include "base/file.h"
#include "base/mem.h"
#include "models/bundle.h"
#include "test.h"

static const char model_dir[] = "models/mobilenet_v2";

static void open_bundled(struct config *config, struct bundle **out)
{
    struct err err = {0};

    option_preset(config_options, config_option_count, config);
    CHECK_OK(bundle_open(model_dir, config, out, &err), err);
}

/* A file of the bundled model, linked or copied into the test's folder. */
static void bring(const char *name)
{
    char from[FILE_PATH_MAX], to[FILE_PATH_MAX];
    struct err err = {0};
    struct buf data;

    CHECK_OK(file_join(model_dir, name, from, &err), err);
    CHECK_OK(file_join(test_dir(), name, to, &err), err);
    buf_init(&data, 16 << 20);
    CHECK_OK(file_read(from, &data, &err), err);
    CHECK_OK(file_write(to, buf_bytes(&data), &err), err);
    buf_release(&data);
}

static void put(const char *name, const char *text)
{
    char path[FILE_PATH_MAX];
    struct err err = {0};

    CHECK_OK(file_join(test_dir(), name, path, &err), err);
    CHECK_OK(file_write(path, bytes_of_text(text), &err), err);
}

TEST(bundle_understands_the_bundled_model)
{
    struct config config = {0};
    struct bundle *bundle = NULL;

    open_bundled(&config, &bundle);
    CHECK_TEXT(bundle->metadata.name, "mobilenet_v2");
    CHECK_INT(bundle->class_count, 1001);
    CHECK_INT(bundle->embedding_len, 1280);
    CHECK_INT(bundle->note_count, 0);
    CHECK_TEXT(bundle->labels.names[286], "Egyptian cat");
    bundle_close(bundle);
    config_release(&config);
}

TEST(bundle_gives_probabilities_and_a_unit_embedding)
{
    struct config config = {0};
    struct bundle *bundle = NULL;
    struct bundle_times times = {0};
    struct image *image = NULL;
    struct err err = {0};
    float scores[1001], embedding[1280];
    double sum = 0, square = 0;
    int i;

    open_bundled(&config, &bundle);
    CHECK_OK(image_new(300, 200, &image, &err), err);
    for (i = 0; i < 300 * 200 * 3; i++)
        image->pixels[i] = (uint8_t)(i * 7);
    CHECK_OK(bundle_run(bundle, image, scores, embedding, &times, &err), err);
    for (i = 0; i < 1001; i++)
        sum += scores[i];
    for (i = 0; i < 1280; i++)
        square += (double)embedding[i] * embedding[i];
    CHECK_NEAR(sum, 1, 1e-4);
    CHECK_NEAR(square, 1, 1e-5);
    CHECK(times.inference_us > 0);
    image_free(image);
    bundle_close(bundle);
    config_release(&config);
}

TEST(bundle_guesses_what_metadata_leaves_out_and_says_so)
{
    struct config config = {0};
    struct bundle *bundle = NULL;
    struct err err = {0};

    bring("model.onnx");
    bring("labels.txt");
    option_preset(config_options, config_option_count, &config);
    CHECK_OK(bundle_open(test_dir(), &config, &bundle, &err), err);
    CHECK_INT(bundle->metadata.transform.layout, LAYOUT_NCHW);
    CHECK_INT(bundle->metadata.transform.width_px, 224);
    CHECK_INT(bundle->metadata.activation, ACTIVATION_NONE);
    CHECK_TEXT(bundle->metadata.embedding, "features");
    CHECK(bundle->note_count >= 5);
    CHECK(isnan(bundle->metadata.accuracy));
    bundle_close(bundle);
    config_release(&config);
}

TEST(bundle_refuses_a_folder_that_does_not_fit_together)
{
    static const struct {
        const char *metadata, *part;
    } cases[] = {
        {"{\"sha256\":{\"model.onnx\":\"00000000000000000000000000000000000000"
         "00000000000000000000000000\"}}",
         "000000000000"},
        {"{\"sha256\":{\"model.onnx\":\"short\"}}", "model.onnx"},
        {"{\"output\":{\"scores\":\"nothing\"}}", "\"nothing\""},
        {"{\"output\":{\"embedding\":\"nothing\"}}", "\"nothing\""},
        {"{\"input\":{\"name\":\"nothing\"}}", "\"nothing\""},
        {"{\"input\":{\"layout\":\"NHWC\"}}", "NHWC"},
        {"{\"input\":{\"width\":225,\"height\":224}}", "225"},
        {"{\"file\":\"absent.onnx\"}", "absent.onnx"},
        {"{\"labels\":\"absent.txt\"}", "absent.txt"},
        {"{,}", "metadata.json"},
    };
    struct config config = {0};
    struct bundle *bundle = NULL;
    size_t i;

    option_preset(config_options, config_option_count, &config);
    bring("model.onnx");
    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err err = {0};

        put("metadata.json", cases[i].metadata);
        CHECK(bundle_open(test_dir(), &config, &bundle, &err) != 0);
        CHECK_HAS(err.text, cases[i].part);
        CHECK(bundle == NULL);
    }
    config_release(&config);
}

TEST(bundle_refuses_a_file_that_is_no_network)
{
    struct config config = {0};
    struct bundle *bundle = NULL;
    struct err err = {0};

    option_preset(config_options, config_option_count, &config);
    put("model.onnx", "this is no network");
    CHECK_ERR(bundle_open(test_dir(), &config, &bundle, &err),
              ERR_UNPROCESSABLE);
    config_release(&config);
}

TEST(bundle_is_found_by_folder_file_and_name)
{
    char dir[FILE_PATH_MAX];
    struct err err = {0};

    CHECK_OK(bundle_find(model_dir, dir, &err), err);
    CHECK_TEXT(dir, model_dir);
    CHECK_OK(bundle_find("models/mobilenet_v2/model.onnx", dir, &err), err);
    CHECK_TEXT(dir, model_dir);
    CHECK_ERR(bundle_find("no_such_model", dir, &err), ERR_NOT_FOUND);
    CHECK_HAS(err.text, "no_such_model");
    CHECK_ERR(bundle_find("", dir, &err), ERR_INVALID);
}

TEST(bundle_ranks_best_first_and_ties_by_number)
{
    static const float scores[6] = {0.1f, 0.3f, 0.05f, 0.3f, 0.2f, 0.05f};
    struct bundle bundle = {.class_count = 6};
    struct bundle_class top[6];

    bundle_rank(&bundle, scores, 6, top);
    CHECK_INT(top[0].id, 1);
    CHECK_INT(top[1].id, 3);
    CHECK_INT(top[2].id, 4);
    CHECK_INT(top[3].id, 0);
    CHECK_INT(top[4].id, 2);
    CHECK_INT(top[5].id, 5);
    bundle_rank(&bundle, scores, 2, top);
    CHECK_INT(top[1].id, 3);
}

TEST(bundle_survives_torture)
{
    struct config config = {0};
    struct bundle *bundle = NULL;
    long nth;

    option_preset(config_options, config_option_count, &config);
    for (nth = 1; nth < 10000; nth += nth < 40 ? 1 : 97) {
        struct err err = {0};
        int rc;

        mem_fail_at(nth);
        rc = bundle_open(model_dir, &config, &bundle, &err);
        if (rc == 0 && mem_tries() < nth) {
            mem_fail_at(0);
            break;
        }
        mem_fail_at(0);
        if (rc == 0) {
            bundle_close(bundle);
            bundle = NULL;
        }
        CHECK(rc == 0 || err.text[0] != '\0');
    }
    CHECK(bundle != NULL);
    bundle_close(bundle);
    config_release(&config);
}
