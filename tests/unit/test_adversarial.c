/* SPDX-License-Identifier: Apache-2.0 */
/* Photographs and what an attack made of them, against the bundled model
 * (tools/adversarial_report.py). */
#include "test.h"

#include <stdio.h>
#include <string.h>

#include "apps/checks.h"
#include "base/mem.h"
#include "models/adversarial.h"
#include "samples.h"

enum { EXAMPLES_MIN = 12, NAME_LEN = 64, CLASSES = 1001 };

static void open_model(struct config *config, struct bundle **out)
{
    struct err err = {0};

    option_preset(config_options, config_option_count, config);
    config->is_adversarial_on = true;
    CHECK_OK(bundle_open("models/mobilenet_v2", config, out, &err), err);
}

static void classify(const struct bundle *bundle, const char *name,
                     struct image **out, float *scores)
{
    struct bytes file = sample_load("adversarial", name, "");
    struct bundle_times times;
    struct err err = {0};

    CHECK_OK(image_decode(file, &sample_options, out, &err), err);
    CHECK_OK(bundle_run(bundle, *out, scores, NULL, &times, &err), err);
    sample_unload(file);
}

/* Warned of exactly when it is no "_0" file, which is the photograph. */
static void check_example(struct checks *checks, const struct bundle *bundle,
                          const char *name, double want)
{
    struct arena *arena = arena_new(1 << 16);
    struct check_list list = {0};
    struct image *image = NULL;
    float scores[CLASSES];
    struct err err = {0};
    double score = 0;

    classify(bundle, name, &image, scores);
    CHECK_OK(adversarial_score(bundle, image, scores, &score, &err), err);
    CHECK_NEAR(score, want, 2e-4);
    CHECK_OK(checks_doubt(checks, bundle, image, scores, arena, &list, &err),
             err);
    CHECK_INT(list.count, strstr(name, "_0.png") == NULL);
    if (list.count > 0) {
        CHECK_TEXT(list.warnings[0].check, "adversarial");
        CHECK_NEAR(list.warnings[0].score, score, 1e-12);
    }
    image_free(image);
    arena_free(arena);
}

TEST(adversarial_tells_attacked_photos_from_real_ones_at_the_preset_limit)
{
    FILE *file = fopen(test_data("adversarial/scores.txt"), "r");
    struct checks *checks = NULL;
    struct bundle *bundle = NULL;
    struct config config = {0};
    char line[128], name[NAME_LEN];
    struct err err = {0};
    int count = 0;
    double want;

    CHECK(file != NULL);
    open_model(&config, &bundle);
    CHECK_OK(checks_open(&config, &checks, &err), err);
    while (fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "%63s %lf", name, &want) == 2 && name[0] != '#') {
            check_example(checks, bundle, name, want);
            count++;
        }
    fclose(file);
    CHECK(count >= EXAMPLES_MIN);
    checks_close(checks);
    bundle_close(bundle);
    config_release(&config);
}

TEST(adversarial_score_survives_torture)
{
    struct bundle *bundle = NULL;
    struct config config = {0};
    struct image *image = NULL;
    float scores[CLASSES];
    double score = -1;
    long nth;

    open_model(&config, &bundle);
    classify(bundle, "parrot_0.png", &image, scores);
    for (nth = 1; nth < 100; nth++) {
        struct err err = {0};
        int rc;

        mem_fail_at(nth);
        rc = adversarial_score(bundle, image, scores, &score, &err);
        if (rc == 0)
            break;
        CHECK_ERR(rc, ERR_UNAVAILABLE);
        CHECK(score == -1);
    }
    mem_fail_at(0);
    CHECK(nth > 8 && nth < 100);
    image_free(image);
    bundle_close(bundle);
    config_release(&config);
}
