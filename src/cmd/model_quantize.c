/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json_write.h"
#include "cmd/command.h"
#include "cmd/terminal.h"
#include "models/bundle.h"
#include "models/quantize.h"

enum { LINE_LEN_MAX = 64 << 10 };

static const double agreement_min_preset = 0.99;

/* user: when the part of the work began that is shown; 0 between parts. */
static void show_progress(void *user, size_t done, size_t total)
{
    int64_t *begin_us = user;

    if (total == 0) {
        terminal_progress_end();
        *begin_us = 0;
        return;
    }
    if (*begin_us == 0)
        *begin_us = clock_us();
    terminal_progress("images", (int64_t)done, (int64_t)total, *begin_us);
}

static double percent(size_t part, size_t whole)
{
    return whole > 0 ? 100 * (double)part / (double)whole : NAN;
}

static void print_comparison(const struct quantize_report *report)
{
    printf("images     %zu calibrated, %zu held out, %zu skipped\n",
           report->calibrated_count, report->compared_count,
           report->skipped_count);
    printf("agreement  %6.2f %% of %zu images\n",
           percent(report->agreed_count, report->compared_count),
           report->compared_count);
    if (report->sure_count > 0)
        printf("           %6.2f %% of the %zu that the model is sure of\n",
               percent(report->sure_agreed_count, report->sure_count),
               report->sure_count);
    else
        printf("           the model is sure of none of them\n");
    if (isfinite(report->similarity))
        printf("embedding  %.4f mean cosine\n", report->similarity);
    printf("time       %.2f ms float32, %.2f ms int8: %.2fx\n",
           report->float_ms, report->int8_ms,
           report->float_ms / report->int8_ms);
}

static void print_text(const struct quantize_report *report,
                       const char *out_dir, bool is_kept)
{
    if (report->compared_count > 0)
        print_comparison(report);
    else if (is_kept)
        printf("agreement  not compared: no --images were given\n");
    if (report->int8_len > 0)
        printf("size       %.2f MB before, %.2f MB now: %.2fx\n",
               (double)report->float_len / (1 << 20),
               (double)report->int8_len / (1 << 20),
               (double)report->float_len / (double)report->int8_len);
    if (is_kept)
        printf("written    %s\n", out_dir);
}

static void put_integer(struct json_writer *json, const char *key,
                        int64_t value)
{
    json_key(json, key);
    json_put_integer(json, value);
}

static void put_number(struct json_writer *json, const char *key, double value)
{
    json_key(json, key);
    json_put_double(json, value);
}

static int print_json(const struct quantize_report *report, const char *out_dir,
                      bool is_kept, struct err *err)
{
    bool is_compared = report->compared_count > 0;
    struct json_writer json;
    struct buf line;
    int rc;

    buf_init(&line, LINE_LEN_MAX);
    json_writer_init(&json, &line);
    json_object_begin(&json);
    json_key(&json, "out");
    json_put_text(&json, is_kept ? out_dir : NULL);
    put_integer(&json, "calibrated", (int64_t)report->calibrated_count);
    put_integer(&json, "compared", (int64_t)report->compared_count);
    put_integer(&json, "skipped", (int64_t)report->skipped_count);
    put_integer(&json, "sure", (int64_t)report->sure_count);
    put_number(&json, "agreement",
               percent(report->agreed_count, report->compared_count) / 100);
    put_number(&json, "agreement_sure",
               percent(report->sure_agreed_count, report->sure_count) / 100);
    put_number(&json, "embedding_cosine", report->similarity);
    put_integer(&json, "float_bytes", report->float_len);
    put_integer(&json, "int8_bytes", report->int8_len);
    put_number(&json, "float_ms", is_compared ? report->float_ms : NAN);
    put_number(&json, "int8_ms", is_compared ? report->int8_ms : NAN);
    json_object_end(&json);
    rc = buf_check(&line, err);
    if (rc == 0)
        printf("%s\n", line.data);
    buf_release(&line);
    return rc;
}

static int read_options(const struct arguments *arguments,
                        struct quantize_options *out, struct err *err)
{
    const char *mode = arguments_flag(arguments, "mode");
    const char *least = arguments_flag(arguments, "min-agreement");
    char *end = NULL;

    out->images_dir = arguments_flag(arguments, "images");
    out->mode = QUANTIZE_STATIC;
    if (mode != NULL && strcmp(mode, "weights") == 0)
        out->mode = QUANTIZE_WEIGHTS;
    else if (mode != NULL && strcmp(mode, "static") != 0)
        return err_set(err, ERR_INVALID,
                       "--mode is \"%s\"; it must be weights or static", mode);
    out->agreement_min = agreement_min_preset;
    if (least != NULL)
        out->agreement_min = strtod(least, &end);
    if (least != NULL &&
        (end == least || *end != '\0' || !(out->agreement_min >= 0) ||
         !(out->agreement_min <= 1)))
        return err_set(err, ERR_INVALID,
                       "--min-agreement is \"%s\"; it must be 0..1", least);
    if (arguments_flag(arguments, "out") == NULL)
        return err_set(err, ERR_INVALID, "--out must name the new folder");
    return 0;
}

int command_model_quantize(struct arguments *arguments, struct err *err)
{
    const char *out_dir = arguments_flag(arguments, "out");
    bool is_json = arguments_flag(arguments, "json") != NULL;
    int64_t begin_us = 0;
    struct quantize_options options = {.progress = show_progress,
                                       .user = &begin_us};
    struct quantize_report report;
    struct err ignored = {0};
    char dir[FILE_PATH_MAX];
    int rc;

    if (read_options(arguments, &options, err) != 0)
        return EXIT_USAGE;
    rc = bundle_find(arguments->words[0], dir, err);
    if (rc)
        return EXIT_FAILED;
    rc = quantize_model(dir, out_dir, &arguments->config, &options, &report,
                        err);
    terminal_progress_end();
    /* A comparison is also the reason of a refusal. */
    if (rc != 0 && report.compared_count == 0)
        return EXIT_FAILED;
    if (!is_json)
        print_text(&report, out_dir, rc == 0);
    else if (print_json(&report, out_dir, rc == 0, &ignored) != 0)
        fprintf(stderr, "olho: %s\n", ignored.text);
    return rc ? EXIT_FAILED : EXIT_FINE;
}
