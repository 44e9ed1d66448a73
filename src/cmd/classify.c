/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "apps/answer_json.h"
#include "cmd/command.h"
#include "cmd/images.h"
#include "cmd/session.h"
#include "cmd/terminal.h"

enum { BAR_WIDTH = 24, LINE_LEN_MAX = 64 << 20 };

struct report {
    const struct app *app;
    bool is_json;
    int done_count, failed_count, skipped_count;
};

static int print_json(const struct report *report,
                      const struct image_result *result, struct err *err)
{
    struct answer_style style = {
        .with_embedding = true,
        .similar_min = (float)report->app->config->similarity_min,
        .file = result->path,
    };
    struct json_writer json;
    struct buf line;
    int rc;

    buf_init(&line, LINE_LEN_MAX);
    json_writer_init(&json, &line);
    if (result->err.code == ERR_OK) {
        answer_write(&json, &result->answer, &style);
    } else {
        json_object_begin(&json);
        json_key(&json, "file");
        json_put_text(&json, result->path);
        json_key(&json, "erro");
        json_put_text(&json, result->err.text);
        json_key(&json, "error");
        json_put_text(&json, result->err.text);
        json_object_end(&json);
    }
    buf_add_char(&line, '\n');
    rc = buf_check(&line, err);
    if (rc == 0)
        fwrite(line.data, 1, line.len, stdout);
    buf_release(&line);
    return rc;
}

static void print_text(const struct image_result *result)
{
    const struct answer *answer = &result->answer;
    char size[64];
    int i;

    terminal_bold(result->path);
    snprintf(size, sizeof size, "  %d x %d px, %.1f ms\n", answer->width_px,
             answer->height_px,
             (double)(answer->times.decode_us + answer->times.preprocess_us +
                      answer->times.inference_us) /
                 1000);
    terminal_dim(size);
    for (i = 0; i < answer->top_count; i++) {
        const struct bundle_class *class = &answer->top[i];

        printf("  ");
        terminal_bar(class->score, BAR_WIDTH);
        printf(" %5.1f %%  %s\n", (double)class->score * 100,
               answer->bundle->labels.names[class->id]);
    }
}

/* A file in a walked folder that is no image at all was not meant. */
static bool is_beside_the_point(const struct image_result *result)
{
    return result->is_walked && (result->err.code == ERR_MEDIA_TYPE ||
                                 result->err.code == ERR_INVALID);
}

static int take_result(void *user, const struct image_result *result,
                       struct err *err)
{
    struct report *report = user;

    if (is_beside_the_point(result)) {
        report->skipped_count++;
        return 0;
    }
    terminal_progress_end();
    report->done_count++;
    if (result->err.code != ERR_OK) {
        report->failed_count++;
        fprintf(stderr, "olho: %s: %s\n", result->path, result->err.text);
    }
    if (report->is_json)
        return print_json(report, result, err);
    if (result->err.code == ERR_OK)
        print_text(result);
    return 0;
}

int command_classify(struct arguments *arguments, struct err *err)
{
    const struct config *config = &arguments->config;
    struct classify_options options = {0};
    struct app app = {0};
    struct report report = {
        .app = &app, .is_json = arguments_flag(arguments, "json") != NULL};
    struct model_version *version;
    int class_count, rc;

    rc = session_open(config, &app, err);
    if (rc)
        return EXIT_FAILED;
    version = registry_acquire(app.registry, 0);
    class_count = version->bundle->class_count;
    model_version_release(version);
    if (config->top_k > class_count &&
        arguments->sources[option_find(config_options, config_option_count,
                                       "TOP_K") -
                           config_options] == OPTION_FROM_FLAG) {
        rc = err_set(err, ERR_INVALID,
                     "--top-k is %lld; the model has %d classes",
                     (long long)config->top_k, class_count);
        goto out;
    }
    options.top_k =
        config->top_k < class_count ? (int)config->top_k : class_count;
    options.similar_k = report.is_json ? (int)config->similar_k : 0;
    rc = images_run(&app, arguments->words, arguments->word_count, &options,
                    take_result, &report, err);
    if (rc == 0 && report.skipped_count > 0)
        fprintf(stderr, "olho: %d files in folders are no images; skipped\n",
                report.skipped_count);
    if (rc == 0 && report.done_count == 0)
        rc = err_set(err, ERR_NOT_FOUND, "no image was found");
out:
    session_close(&app);
    return rc || report.failed_count > 0 ? EXIT_FAILED : EXIT_FINE;
}
