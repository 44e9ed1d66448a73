/* SPDX-License-Identifier: Apache-2.0 */
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "models/model_sample.h"
#include "test.h"

/* The bundled model; its sample is in a folder of the test. */
struct fixture {
    struct config config;
    struct bundle *bundle;
};

static void open_fixture(struct fixture *fixture)
{
    struct err err = {0};

    *fixture = (struct fixture){0};
    option_preset(config_options, config_option_count, &fixture->config);
    CHECK_OK(bundle_open("models/mobilenet_v2", &fixture->config,
                         &fixture->bundle, &err),
             err);
}

static void close_fixture(struct fixture *fixture)
{
    bundle_close(fixture->bundle);
    config_release(&fixture->config);
}

static void put(const char *text)
{
    char path[FILE_PATH_MAX];
    struct err err = {0};

    CHECK_OK(file_join(test_dir(), "metadata.json", path, &err), err);
    CHECK_OK(file_write(path, bytes_of_text(text), &err), err);
}

TEST(model_sample_of_noise_is_found_again)
{
    struct fixture fixture;
    struct model_sample_result result;
    struct model_sample sample;
    struct err err = {0};

    open_fixture(&fixture);
    CHECK_ERR(model_sample_check(fixture.bundle, test_dir(), &result, &err),
              ERR_NOT_FOUND);
    CHECK_HAS(err.text, "has no sample");
    err = (struct err){0};
    CHECK_OK(
        model_sample_write(fixture.bundle, test_dir(), NULL, &sample, &err),
        err);
    CHECK_INT(sample.projection_count, MODEL_SAMPLE_PROJECTIONS);
    CHECK_OK(model_sample_check(fixture.bundle, test_dir(), &result, &err),
             err);
    CHECK_TEXT(result.said.class_name, sample.class_name);
    CHECK(result.score_difference <= 1e-6);
    CHECK(result.embedding_difference <= 1e-6);
    close_fixture(&fixture);
}

TEST(model_sample_of_the_bundled_model_is_answered_as_it_was)
{
    struct config config = {0};
    struct bundle *bundle = NULL;
    struct model_sample_result result;
    struct err err = {0};

    option_preset(config_options, config_option_count, &config);
    CHECK_OK(bundle_open("models/mobilenet_v2", &config, &bundle, &err), err);
    CHECK_OK(model_sample_check(bundle, bundle->dir, &result, &err), err);
    CHECK_TEXT(result.got.class_name, "velvet");
    bundle_close(bundle);
    config_release(&config);
}

TEST(model_sample_image_is_copied_and_found_again)
{
    char path[FILE_PATH_MAX];
    struct fixture fixture;
    struct model_sample_result result;
    struct model_sample sample;
    struct err err = {0};

    open_fixture(&fixture);
    CHECK_OK(model_sample_write(fixture.bundle, test_dir(),
                                test_data("photos/cat_720p.jpg"), &sample,
                                &err),
             err);
    CHECK_TEXT(sample.image, "sample.jpeg");
    CHECK_OK(file_join(test_dir(), sample.image, path, &err), err);
    CHECK(file_exists(path));
    CHECK_OK(model_sample_check(fixture.bundle, test_dir(), &result, &err),
             err);
    CHECK_HAS(result.said.class_name, "cat");
    CHECK_INT(unlink(path), 0);
    CHECK(model_sample_check(fixture.bundle, test_dir(), &result, &err) != 0);
    close_fixture(&fixture);
}

TEST(model_sample_that_is_answered_otherwise_is_refused)
{
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"{\"sample\":{\"class\":\"Egyptian cat\",\"score\":0.9}}",
         "may differ by 0.001"},
        {"{\"sample\":{\"class\":\"no such\",\"score\":0.9}}", "\"no such\""},
        {"{\"sample\":{\"class\":\"Egyptian cat\"}}", "no score"},
        {"{\"sample\":{\"class\":\"Egyptian cat\",\"score\":2}}", "score"},
        {"{\"sample\":{\"class\":\"Egyptian cat\",\"score\":0.5,\"width\":0}}",
         "width"},
        {"{\"sample\":{\"class\":\"Egyptian cat\",\"score\":0.5,"
         "\"image\":\"../cat.jpg\"}}",
         "another folder"},
        {"{\"sample\":{\"class\":\"Egyptian cat\",\"score\":0.5,"
         "\"embedding\":[1]}}",
         "16 numbers"},
        {"{\"sample\":{\"class\":\"Egyptian cat\",\"score\":0,\"tolerance\":1,"
         "\"embedding\":[9,9,9,9,9,9,9,9,9,9,9,9,9,9,9,9]}}",
         "embedding differs"},
    };
    struct fixture fixture;
    struct model_sample_result result;
    size_t i;

    open_fixture(&fixture);
    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err err = {0};

        put(cases[i].text);
        CHECK_ERR(model_sample_check(fixture.bundle, test_dir(), &result, &err),
                  ERR_UNPROCESSABLE);
        CHECK_HAS(err.text, cases[i].part);
    }
    close_fixture(&fixture);
}

TEST(model_sample_image_that_cannot_be_read_changes_nothing)
{
    char path[FILE_PATH_MAX];
    struct fixture fixture;
    struct model_sample sample = {.score = 5};
    struct err err = {0};

    open_fixture(&fixture);
    CHECK(model_sample_write(fixture.bundle, test_dir(), test_data("README.md"),
                             &sample, &err) != 0);
    CHECK_NEAR(sample.score, 5, 0);
    CHECK_OK(file_join(test_dir(), "metadata.json", path, &err), err);
    CHECK(!file_exists(path));
    close_fixture(&fixture);
}

TEST(model_sample_survives_torture)
{
    struct fixture fixture;
    struct model_sample_result result;
    struct model_sample sample;
    long nth, tries;

    open_fixture(&fixture);
    for (nth = 1; nth < 200; nth++) {
        struct err err = {0};
        int rc;

        mem_fail_at(nth);
        rc =
            model_sample_write(fixture.bundle, test_dir(), NULL, &sample, &err);
        if (rc == 0)
            rc = model_sample_check(fixture.bundle, test_dir(), &result, &err);
        tries = mem_tries();
        mem_fail_at(0);
        CHECK(rc == 0 || err.text[0] != '\0');
        if (rc == 0 && tries < nth)
            break;
    }
    CHECK(nth > 3 && nth < 200);
    close_fixture(&fixture);
}
