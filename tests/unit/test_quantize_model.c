/* SPDX-License-Identifier: Apache-2.0 */
/* A whole model folder, and what is left when something fails. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "models/bundle.h"
#include "models/quantize.h"
#include "quantize_fixture.h"
#include "test.h"

enum { PIXELS = 16, IMAGE_COUNT = 24, BMP_HEADER_LEN = 54 };

static const char *place(const char *name, char out[FILE_PATH_MAX])
{
    struct err err = {0};

    CHECK_OK(file_join(test_dir(), name, out, &err), err);
    return out;
}

/* A BMP of 24 bits a pixel with values of their own for each seed. */
static void write_image(const char *path, unsigned seed)
{
    uint8_t file[BMP_HEADER_LEN + PIXELS * PIXELS * 3] = {
        'B',       'M',           [10] = BMP_HEADER_LEN,
        [14] = 40, [18] = PIXELS, [22] = PIXELS,
        [26] = 1,  [28] = 24};
    struct err err = {0};
    size_t i;

    for (i = BMP_HEADER_LEN; i < sizeof file; i++) {
        seed = seed * 1664525u + 1013904223u;
        file[i] = (uint8_t)(seed >> 24);
    }
    CHECK_OK(file_write(path, (struct bytes){file, sizeof file}, &err), err);
}

/* The folders "float" with the network and "images" with count images. */
static void lay_out(int count)
{
    struct onnx_graph *graph = tiny_network();
    char path[FILE_PATH_MAX], name[64];
    struct err err = {0};
    int i;

    CHECK_OK(file_make_dir(place("float", path), &err), err);
    CHECK_OK(onnx_write(graph, place("float/model.onnx", path), &err), err);
    CHECK_OK(file_write(place("float/labels.txt", path),
                        bytes_of_text("a\nb\nc\nd\n"), &err),
             err);
    CHECK_OK(
        file_write(place("float/LICENCE", path), bytes_of_text("mine"), &err),
        err);
    CHECK_OK(file_write(place("float/embeddings.faiss", path),
                        bytes_of_text("of float32"), &err),
             err);
    CHECK_OK(file_make_dir(place("images", path), &err), err);
    for (i = 0; i < count; i++) {
        snprintf(name, sizeof name, "images/%02d.bmp", i);
        write_image(place(name, path), (unsigned)i + 1);
    }
    onnx_free(graph);
}

static int quantise(const struct config *config, enum quantize_mode mode,
                    double agreement_min, struct quantize_report *report,
                    struct err *err)
{
    char dir[FILE_PATH_MAX], out[FILE_PATH_MAX], images[FILE_PATH_MAX];
    struct quantize_options options = {
        .mode = mode,
        .images_dir = place("images", images),
        .agreement_min = agreement_min,
    };

    return quantize_model(place("float", dir), place("int8", out), config,
                          &options, report, err);
}

static int count_file(void *user, const char *path, struct err *err)
{
    (void)path;
    (void)err;
    ++*(int *)user;
    return 0;
}

static int count_files(void)
{
    struct err err = {0};
    int count = 0;

    CHECK_OK(file_walk(test_dir(), count_file, &count, &err), err);
    return count;
}

TEST(quantize_model_makes_a_folder_that_loads)
{
    struct config config = {0};
    struct quantize_report report;
    struct bundle *bundle = NULL;
    char path[FILE_PATH_MAX];
    struct err err = {0};

    option_preset(config_options, config_option_count, &config);
    lay_out(IMAGE_COUNT);
    CHECK_OK(quantise(&config, QUANTIZE_STATIC, 0, &report, &err), err);
    CHECK_INT(report.calibrated_count, IMAGE_COUNT / 2);
    CHECK_INT(report.compared_count, IMAGE_COUNT / 2);
    CHECK_INT(report.skipped_count, 0);
    CHECK(report.agreed_count >= IMAGE_COUNT / 2 - 2);
    CHECK(report.similarity > 0.98);
    CHECK(report.int8_len > 0 && report.float_len > 0);
    CHECK(file_exists(place("int8/LICENCE", path)));
    CHECK(!file_exists(place("int8/embeddings.faiss", path)));
    CHECK_OK(bundle_open(place("int8", path), &config, &bundle, &err), err);
    CHECK(bundle->metadata.has_8_bits);
    CHECK_TEXT(bundle->labels.names[3], "d");
    CHECK_INT(bundle->note_count, 0);
    bundle_close(bundle);
    config_release(&config);
}

TEST(quantize_model_stores_weights_only_when_asked)
{
    struct config config = {0};
    struct quantize_report report;
    struct bundle *bundle = NULL;
    char path[FILE_PATH_MAX];
    struct err err = {0};

    option_preset(config_options, config_option_count, &config);
    lay_out(IMAGE_COUNT);
    CHECK_OK(quantise(&config, QUANTIZE_WEIGHTS, 0, &report, &err), err);
    CHECK_INT(report.calibrated_count, 0);
    CHECK_INT(report.compared_count, IMAGE_COUNT / 2);
    CHECK(report.similarity > 0.999);
    CHECK_OK(bundle_open(place("int8", path), &config, &bundle, &err), err);
    CHECK(!bundle->metadata.has_8_bits);
    bundle_close(bundle);
    config_release(&config);
}

TEST(quantize_model_leaves_nothing_behind_when_it_refuses)
{
    struct config config = {0};
    struct quantize_report report;
    struct err err = {0};
    char path[FILE_PATH_MAX];
    int count;

    option_preset(config_options, config_option_count, &config);
    lay_out(IMAGE_COUNT);
    count = count_files();
    CHECK_ERR(quantise(&config, QUANTIZE_STATIC, 2, &report, &err),
              ERR_UNPROCESSABLE);
    CHECK_HAS(err.text, "nothing was written");
    CHECK_INT(report.compared_count, IMAGE_COUNT / 2);
    CHECK_INT(count_files(), count);
    CHECK(!file_is_dir(place("int8", path)));
    CHECK_OK(file_make_dir(path, &err), err);
    err = (struct err){0};
    CHECK_ERR(quantise(&config, QUANTIZE_STATIC, 0, &report, &err),
              ERR_INVALID);
    CHECK_HAS(err.text, "is there already");
    config_release(&config);
}

TEST(quantize_model_refuses_too_few_images)
{
    struct config config = {0};
    struct quantize_report report;
    struct err err = {0};

    option_preset(config_options, config_option_count, &config);
    lay_out(QUANTIZE_IMAGES_MIN - 1);
    CHECK_ERR(quantise(&config, QUANTIZE_STATIC, 0, &report, &err),
              ERR_INVALID);
    CHECK_HAS(err.text, "19 files; at least 20");
    config_release(&config);
}

TEST(quantize_model_never_compares_on_images_that_calibrated)
{
    struct config config = {0};
    struct quantize_report report;
    char path[FILE_PATH_MAX], name[64];
    struct err err = {0};
    int i;

    option_preset(config_options, config_option_count, &config);
    lay_out(IMAGE_COUNT);
    for (i = 1; i < IMAGE_COUNT; i += 2) {
        snprintf(name, sizeof name, "images/%02d.bmp", i);
        CHECK_OK(file_write(place(name, path), bytes_of_text("no image"), &err),
                 err);
    }
    CHECK_ERR(quantise(&config, QUANTIZE_STATIC, 0, &report, &err),
              ERR_INVALID);
    CHECK_HAS(err.text, "only 0 of the images that are held out");
    CHECK_INT(report.calibrated_count, IMAGE_COUNT / 2);
    CHECK_INT(report.skipped_count, IMAGE_COUNT / 2);
    config_release(&config);
}

static void clear(void)
{
    static const char *const names[] = {"model.onnx", "labels.txt", "LICENCE",
                                        "metadata.json", ""};
    char path[FILE_PATH_MAX], name[64];
    size_t i;

    for (i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(name, sizeof name, "int8/%s", names[i]);
        remove(place(name, path));
    }
}

TEST(quantize_model_survives_torture)
{
    struct config config = {0};
    char path[FILE_PATH_MAX];
    bool is_finished = false;
    int count;
    long nth;

    option_preset(config_options, config_option_count, &config);
    lay_out(QUANTIZE_IMAGES_MIN);
    count = count_files();
    for (nth = 1; nth < 100000 && !is_finished; nth += nth < 40 ? 1 : 53) {
        struct quantize_report report;
        struct err err = {0};
        int rc;

        mem_fail_at(nth);
        rc = quantise(&config, QUANTIZE_STATIC, 0, &report, &err);
        is_finished = rc == 0 && mem_tries() < nth;
        mem_fail_at(0);
        CHECK((rc == 0) == file_is_dir(place("int8", path)));
        CHECK(rc == 0 || err.text[0] != '\0');
        clear();
        CHECK_INT(count_files(), count);
    }
    CHECK(is_finished);
    config_release(&config);
}
