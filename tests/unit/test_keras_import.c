/* SPDX-License-Identifier: Apache-2.0 */
/* The files of tests/data/keras (tools/make_keras_data.py). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/config.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "infer/engine.h"
#include "models/bundle.h"
#include "models/keras_convert.h"
#include "models/onnx_graph.h"
#include "test.h"

enum { SIDE = 8, VALUES = SIDE * SIDE * 3, CLASSES = 3, EMBEDDING = 5 };

static const char *const names[] = {"tiny_2.h5", "tiny_2.keras", "tiny_3.h5",
                                    "tiny_3.keras", "tiny_old.keras"};
enum { NAME_COUNT = sizeof names / sizeof names[0] };

static const char *source(const char *name)
{
    char path[256];

    snprintf(path, sizeof path, "keras/%s", name);
    return test_data(path);
}

static const char *in_dir(const char *name)
{
    static char path[FILE_PATH_MAX];
    struct err err = {0};

    CHECK_OK(file_join(test_dir(), name, path, &err), err);
    return path;
}

static int import(const char *path, struct keras_report *report,
                  struct err *err)
{
    static const struct keras_options options;

    return keras_import(path, &options, test_dir(), report, err);
}

/* The numbers that Keras gave. */
static void stored(const char *key, float *out, size_t count)
{
    const struct json_value *list;
    struct json_value *document = NULL;
    struct err err = {0};
    struct buf text;
    double number;
    size_t i;

    buf_init(&text, 1 << 16);
    CHECK_OK(file_read(source("tiny.json"), &text, &err), err);
    CHECK_OK(json_parse(buf_bytes(&text), &document, &err), err);
    list = json_find(document, key);
    CHECK_INT(json_count(list), count);
    for (i = 0; i < count; i++) {
        CHECK(json_number(json_at(list, i), &number));
        out[i] = (float)number;
    }
    json_free(document);
    buf_release(&text);
}

static void run(float *scores, float *embedding)
{
    struct engine_options options = {1};
    struct engine *engine = NULL;
    struct err err = {0};
    float image[VALUES];
    struct tensor input = {
        TENSOR_FLOAT32, 4, {1, SIDE, SIDE, 3}, image, sizeof image};
    struct tensor outputs[] = {
        {TENSOR_FLOAT32, 2, {1, CLASSES}, scores, CLASSES * sizeof *scores},
        {TENSOR_FLOAT32,
         2,
         {1, EMBEDDING},
         embedding,
         EMBEDDING * sizeof *embedding}};
    int i;

    for (i = 0; i < VALUES; i++)
        image[i] = (float)(i * 37 % 101) / 101;
    CHECK_OK(engine_open(in_dir("model.onnx"), &options, &engine, &err), err);
    CHECK_INT(engine_output_count(engine), 2);
    CHECK_TEXT(engine_output(engine, 0)->name, "scores");
    CHECK_TEXT(engine_output(engine, 1)->name, "embedding");
    CHECK_OK(engine_run(engine, &input, outputs, &err), err);
    engine_close(engine);
}

TEST(keras_files_of_both_kinds_and_versions_answer_as_keras_did)
{
    float want_scores[CLASSES], want_embedding[EMBEDDING];
    int i, j;

    stored("scores", want_scores, CLASSES);
    stored("embedding", want_embedding, EMBEDDING);
    for (i = 0; i < NAME_COUNT; i++) {
        float scores[CLASSES], embedding[EMBEDDING];
        struct keras_report report;
        struct err err = {0};

        CHECK_OK(import(source(names[i]), &report, &err), err);
        run(scores, embedding);
        for (j = 0; j < CLASSES; j++)
            CHECK_NEAR(scores[j], want_scores[j], 1e-5);
        for (j = 0; j < EMBEDDING; j++)
            CHECK_NEAR(embedding[j], want_embedding[j], 1e-5);
    }
}

TEST(keras_import_reports_what_it_understood)
{
    struct keras_report report;
    struct err err = {0};

    CHECK_OK(import(source("tiny_3.keras"), &report, &err), err);
    CHECK_TEXT(report.class_name, "Functional");
    CHECK_HAS(report.keras_version, "3.");
    CHECK_TEXT(report.input, "image");
    CHECK_INT(report.width_px, SIDE);
    CHECK_INT(report.height_px, SIDE);
    CHECK(!report.has_own_scaling);
    CHECK_INT(report.class_count, CLASSES);
    CHECK_TEXT(report.activation, "softmax");
    CHECK_INT(report.embedding_len, EMBEDDING);
    CHECK_INT(report.layer_count, 14);
    CHECK_INT(report.folded_count, 2);
    /* conv 108, two norms of 16, depthwise 40, two dense 25 and 18 */
    CHECK_INT(report.weight_count, 108 + 2 * 16 + 40 + 25 + 18);
    /* Transpose, Conv, Clip, Conv, Add, pool, Flatten, Gemm, Relu, Gemm,
     * Softmax and two names: no padding and no batch norm. */
    CHECK_INT(report.node_count, 13);
}

/* In this process, where a sanitizer sees it. */
TEST(a_keras_file_is_converted_without_a_child)
{
    static const struct keras_options options;
    char onnx[FILE_PATH_MAX], scratch[FILE_PATH_MAX];
    int i;

    snprintf(onnx, sizeof onnx, "%s", in_dir("here.onnx"));
    snprintf(scratch, sizeof scratch, "%s", in_dir("scratch"));
    for (i = 0; i < NAME_COUNT; i++) {
        struct onnx_graph *graph = NULL;
        struct keras_report report;
        struct err err = {0};

        CHECK_OK(keras_convert(source(names[i]), &options, scratch, onnx,
                               &report, &err),
                 err);
        CHECK_OK(onnx_read(onnx, &graph, &err), err);
        CHECK_INT(graph->node_count, report.node_count);
        onnx_free(graph);
        CHECK(!file_exists(scratch));
    }
}

TEST(a_layer_named_for_the_embedding_must_be_there)
{
    struct keras_options options = {.embedding = "pool"};
    struct keras_report report;
    struct err err = {0};

    CHECK_OK(
        keras_import(source("tiny_2.h5"), &options, test_dir(), &report, &err),
        err);
    CHECK_TEXT(report.embedding, "pool");
    CHECK_INT(report.embedding_len, 4);
    options.embedding = "sum";
    CHECK_ERR(
        keras_import(source("tiny_2.h5"), &options, test_dir(), &report, &err),
        ERR_UNPROCESSABLE);
    CHECK_HAS(err.text, "one row");
    err = (struct err){0};
    options.embedding = "absent";
    CHECK_ERR(
        keras_import(source("tiny_2.h5"), &options, test_dir(), &report, &err),
        ERR_UNPROCESSABLE);
    CHECK_HAS(err.text, "absent");
}

TEST(a_kept_batch_norm_stays_a_node)
{
    struct keras_options options = {.keeps_batch_norms = true};
    struct keras_report report;
    struct err err = {0};

    CHECK_OK(
        keras_import(source("tiny_2.h5"), &options, test_dir(), &report, &err),
        err);
    CHECK_INT(report.folded_count, 0);
}

TEST(an_imported_folder_opens_as_a_model)
{
    struct keras_report report;
    struct bundle *bundle = NULL;
    struct config config = {0};
    struct err err = {0};
    enum option_source sources[CONFIG_OPTIONS_MAX];

    CHECK_OK(import(source("tiny_2.keras"), &report, &err), err);
    CHECK_OK(config_load(&config, sources, &err), err);
    CHECK_OK(bundle_open(test_dir(), &config, &bundle, &err), err);
    CHECK_INT(bundle->class_count, CLASSES);
    CHECK_INT(bundle->embedding_len, EMBEDDING);
    CHECK_INT(bundle->metadata.activation, ACTIVATION_NONE);
    CHECK_NEAR(bundle->metadata.transform.scale[0], 1 / 255.0, 1e-9);
    bundle_close(bundle);
    config_release(&config);
}

struct seen {
    int count;
    int64_t last;
};

static void see(void *user, int64_t done, int64_t total)
{
    struct seen *seen = user;

    CHECK(done >= seen->last && total > 0);
    seen->last = done;
    seen->count++;
}

TEST(an_import_tells_how_far_it_is)
{
    struct seen seen = {0, 0};
    struct keras_options options = {.progress = see, .user = &seen};
    struct keras_report report;
    struct err err = {0};

    CHECK_OK(
        keras_import(source("tiny_3.h5"), &options, test_dir(), &report, &err),
        err);
    CHECK(seen.count > 5);
    CHECK_INT(seen.last, report.weight_count * 4);
}

TEST(what_is_no_keras_file_is_refused_and_leaves_nothing)
{
    struct keras_report report = {.class_count = 77};
    struct err err = {0};

    CHECK_ERR(import(in_dir("absent.keras"), &report, &err), ERR_NOT_FOUND);
    err = (struct err){0};
    CHECK_ERR(import(source("tiny.json"), &report, &err), ERR_UNPROCESSABLE);
    CHECK_HAS(err.text, "neither as HDF5");
    err = (struct err){0};
    CHECK_ERR(import(test_dir(), &report, &err), ERR_UNPROCESSABLE);
    CHECK_HAS(err.text, "SavedModel");
    CHECK_INT(report.class_count, 77);
    CHECK(!file_exists(in_dir("model.onnx")));
    CHECK(!file_exists(in_dir("metadata.json")));
    CHECK(!file_exists(in_dir(".weights.h5")));
}

TEST(a_keras_path_is_told_by_its_ending)
{
    CHECK(keras_is_path("models/v1/model.keras"));
    CHECK(keras_is_path("MODEL.H5"));
    CHECK(keras_is_path("a.hdf5"));
    CHECK(!keras_is_path("model.onnx"));
    CHECK(!keras_is_path(".h5"));
    CHECK(!keras_is_path("keras"));
}

/* --- damage --------------------------------------------------------------*/

static void read_whole(const char *path, struct buf *out)
{
    struct err err = {0};

    buf_init(out, 1 << 20);
    CHECK_OK(file_read(path, out, &err), err);
}

static bool is_same_file(const char *path, const struct buf *want)
{
    struct buf got;
    bool is_same;

    read_whole(path, &got);
    is_same =
        got.len == want->len && memcmp(got.data, want->data, got.len) == 0;
    buf_release(&got);
    return is_same;
}

/* Imports the bytes: an error with a sentence, or a network that can be read.
 * An archive has checksums, so there it must be the very same network. */
static void try_damaged(const char *data, size_t len, bool is_archive,
                        const struct buf *want)
{
    struct onnx_graph *graph = NULL;
    struct keras_report report;
    struct err err = {0};
    char path[FILE_PATH_MAX];

    snprintf(path, sizeof path, "%s", in_dir("damaged.keras"));
    CHECK_OK(file_write(path, (struct bytes){(const uint8_t *)data, len}, &err),
             err);
    if (import(path, &report, &err) != 0) {
        CHECK(err.text[0] != '\0');
        CHECK(!file_exists(in_dir("model.onnx")));
    } else if (is_archive) {
        CHECK(is_same_file(in_dir("model.onnx"), want));
    } else {
        CHECK_OK(onnx_read(in_dir("model.onnx"), &graph, &err), err);
        onnx_free(graph);
    }
    CHECK(!file_exists(in_dir(".weights.h5")));
    (void)unlink(in_dir("model.onnx"));
}

static void damage(const char *name, int cut_count, int flip_count)
{
    bool is_archive = strstr(name, ".keras") != NULL;
    struct keras_report report;
    struct buf file, want;
    struct err err = {0};
    size_t at;
    int i;

    CHECK_OK(import(source(name), &report, &err), err);
    read_whole(in_dir("model.onnx"), &want);
    read_whole(source(name), &file);
    for (i = 0; i < cut_count; i++)
        try_damaged(file.data, file.len * (size_t)i / (size_t)cut_count,
                    is_archive, &want);
    for (i = 0; i < flip_count; i++) {
        /* Half of them in the first kB of each eighth, where headers are. */
        at = i % 2 == 0
                 ? file.len * (size_t)i / (size_t)flip_count
                 : (file.len / 8 * (size_t)(i % 8) + (size_t)(i * 97 % 1024)) %
                       file.len;
        file.data[at] ^= (char)(1 << i % 8);
        try_damaged(file.data, file.len, is_archive, &want);
        file.data[at] ^= (char)(1 << i % 8);
    }
    buf_release(&file);
    buf_release(&want);
}

TEST(a_damaged_h5_of_keras_2_is_an_error_or_a_network)
{
    damage("tiny_2.h5", 24, 96);
}

TEST(a_damaged_h5_of_keras_3_is_an_error_or_a_network)
{
    damage("tiny_3.h5", 24, 96);
}

TEST(a_damaged_archive_is_an_error_or_the_same_network)
{
    damage("tiny_3.keras", 24, 96);
}
