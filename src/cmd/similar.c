/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "apps/answer_json.h"
#include "cmd/command.h"
#include "cmd/images.h"
#include "cmd/session.h"
#include "cmd/terminal.h"

enum { BAR_WIDTH = 24, LINE_LEN_MAX = 64 << 20 };

struct report {
    bool is_json;
    int failed_count;
};

static int print_json(const struct image_result *result, struct err *err)
{
    struct json_writer json;
    struct buf line;
    int rc;

    buf_init(&line, LINE_LEN_MAX);
    json_writer_init(&json, &line);
    json_object_begin(&json);
    json_key(&json, "file");
    json_put_text(&json, result->path);
    json_key(&json, "semelhantes");
    json_array_begin(&json);
    for (int i = 0; i < result->answer.hit_count; i++) {
        const struct neighbour *hit = &result->answer.hits[i];

        json_object_begin(&json);
        json_key(&json, "item");
        json_put_text(&json, hit->path);
        json_key(&json, "nome");
        json_put_text(&json, hit->label);
        json_key(&json, "distancia");
        json_put_float(&json, hit->distance);
        json_object_end(&json);
    }
    json_array_end(&json);
    json_object_end(&json);
    buf_add_char(&line, '\n');
    rc = buf_check(&line, err);
    if (rc == 0)
        fwrite(line.data, 1, line.len, stdout);
    buf_release(&line);
    return rc;
}

/* Embeddings are L2-normalised, so that the squared distance of two is
 * 2 - 2 cos. */
static double cosine_of(const struct neighbour *hit)
{
    return 1 - (double)hit->distance / 2;
}

static void print_text(const struct image_result *result)
{
    int i;

    terminal_bold(result->path);
    printf("\n");
    for (i = 0; i < result->answer.hit_count; i++) {
        const struct neighbour *hit = &result->answer.hits[i];

        printf("  ");
        terminal_bar(cosine_of(hit), BAR_WIDTH);
        printf(" %.3f  %s", cosine_of(hit), hit->path);
        if (hit->label[0] != '\0')
            printf("  [%s]", hit->label);
        printf("\n");
    }
}

static int take_result(void *user, const struct image_result *result,
                       struct err *err)
{
    struct report *report = user;

    if (result->err.code == ERR_OK && result->answer.index_error != NULL)
        return err_set(err, ERR_UNPROCESSABLE, "%s",
                       result->answer.index_error);
    terminal_progress_end();
    if (result->err.code != ERR_OK) {
        report->failed_count++;
        fprintf(stderr, "olho: %s: %s\n", result->path, result->err.text);
        return 0;
    }
    if (report->is_json)
        return print_json(result, err);
    print_text(result);
    return 0;
}

static int read_k(const struct arguments *arguments, int *out, struct err *err)
{
    const char *text = arguments_flag(arguments, "k");
    char *end;
    long k;

    *out = (int)arguments->config.similar_k;
    if (text == NULL)
        return 0;
    k = strtol(text, &end, 10);
    if (end == text || *end != '\0' || k < 1 || k > COLLECTION_K_MAX)
        return err_set(err, ERR_INVALID,
                       "--k is \"%.40s\"; it must be a number from 1 to %d",
                       text, COLLECTION_K_MAX);
    *out = (int)k;
    return 0;
}

/* There must be something to compare with. */
static int check_index(const struct app *app, struct err *err)
{
    struct model_version *version = registry_acquire(app->registry, 0);
    struct collection_info info;
    int rc;

    rc = collection_info(version->collection, &info, err);
    if (rc == 0 && !info.is_open)
        rc = err_set(err, ERR_NOT_FOUND,
                     "there is no index %s; `olho index add DIR` makes it",
                     collection_path(version->collection));
    model_version_release(version);
    return rc;
}

int command_similar(struct arguments *arguments, struct err *err)
{
    struct report report = {arguments_flag(arguments, "json") != NULL, 0};
    struct classify_options options = {.top_k = 1};
    struct app app = {0};
    int rc;

    rc = read_k(arguments, &options.similar_k, err);
    if (rc == 0)
        rc = session_open(&arguments->config, &app, err);
    if (rc)
        return EXIT_FAILED;
    rc = check_index(&app, err);
    if (rc == 0)
        rc = images_run(&app, arguments->words, arguments->word_count, &options,
                        take_result, &report, err);
    session_close(&app);
    return rc || report.failed_count > 0 ? EXIT_FAILED : EXIT_FINE;
}
