/* SPDX-License-Identifier: Apache-2.0 */
/* `olho index add` and `olho index import`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/addition.h"
#include "cmd/vec_lines.h"
#include "cmd/progress.h"
#include "cmd/tags.h"
#include "cmd/terminal.h"
#include "models/shelf.h"

/* Of images few go together, so that what was said to be added comes soon. */
enum { IMAGES_MAX = 32, ARENA_LEN_MAX = 64 << 20 };

/* --- images --------------------------------------------------------------- */

static int add_image(struct addition *addition,
                     const struct image_result *result, struct err *err)
{
    char path[FILE_PATH_MAX], folder[VEC_TAG_VALUE_MAX + 1];
    const char *label = addition->label;
    struct vec_entry entry = {.id = VEC_ID_NEW,
                              .vector = result->answer.embedding,
                              .key = result->sha256,
                              .path = path};
    int rc;

    if (realpath(result->path, path) == NULL)
        snprintf(path, sizeof path, "%s", result->path);
    if (addition->is_label_from_folder) {
        addition_folder(path, folder);
        label = folder;
    }
    rc = addition_put(addition, &entry, label,
                      addition->target.version->bundle->embedding_len, 0, err);
    if (rc == 0 && intake_waiting(addition->intake) >= IMAGES_MAX)
        rc = intake_flush(addition->intake, err);
    return rc;
}

static int take_result(void *user, const struct image_result *result,
                       struct err *err)
{
    struct addition *addition = user;
    int rc = progress_go_on(err);

    if (rc)
        return rc;
    if (result->err.code == ERR_OK)
        return add_image(addition, result, err);
    if (result->is_walked && (result->err.code == ERR_MEDIA_TYPE ||
                              result->err.code == ERR_INVALID)) {
        addition->skipped_count++;
        return 0;
    }
    terminal_progress_end();
    fprintf(stderr, "olho: %s: %s\n", result->path, result->err.text);
    addition->unread_count++;
    return 0;
}

static int add_images(struct addition *addition, const char *const *words,
                      int count, struct err *err)
{
    const struct bundle *bundle = addition->target.version->bundle;
    struct classify_options options = {.top_k = 1};
    struct err flush_err = {0};
    int rc;

    if (bundle->embedding_len == 0)
        return err_set(err, ERR_UNPROCESSABLE,
                       "model \"%s\" gives no embedding, so that nothing can "
                       "be indexed",
                       bundle->metadata.name);
    rc = addition_begin(addition, bundle->embedding_len, err);
    if (rc)
        return rc;
    rc = images_run(&addition->target.app, words, count, &options, take_result,
                    addition, err);
    if (addition_end(addition, rc ? &flush_err : err) != 0 && rc == 0)
        rc = err->code;
    return rc;
}

/* --- the commands --------------------------------------------------------- */

enum kind { OF_IMAGES, OF_ROWS, OF_LINES };

static enum kind kind_of(const char *word)
{
    if (path_is_lines(word))
        return OF_LINES;
    return shelf_is_path(word) ? OF_ROWS : OF_IMAGES;
}

static int count_kind(const struct arguments *arguments, enum kind kind)
{
    int i, count = 0;

    for (i = 0; i < arguments->word_count; i++)
        count += kind_of(arguments->words[i]) == kind;
    return count;
}

/* Vectors in the order of the words, then the images all together. */
static int add_words(struct addition *addition, const char *names,
                     struct err *err)
{
    const struct arguments *arguments = addition->arguments;
    const char **images = arena_try(
        addition->arena, (size_t)arguments->word_count, sizeof *images);
    int i, image_count = 0, rc = 0;

    if (images == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for %d words",
                       arguments->word_count);
    for (i = 0; rc == 0 && i < arguments->word_count; i++) {
        const char *word = arguments->words[i];

        switch (kind_of(word)) {
        case OF_IMAGES:
            images[image_count++] = word;
            break;
        case OF_ROWS:
            rc = addition_rows(addition, word, names, err);
            break;
        case OF_LINES:
            rc = addition_lines(addition, word, err);
            break;
        }
    }
    if (rc == 0 && image_count > 0)
        rc = add_images(addition, images, image_count, err);
    return rc;
}

static void print_count(const char **comma, int64_t count, const char *what)
{
    if (count == 0)
        return;
    printf("%s%lld %s", *comma, (long long)count, what);
    *comma = ", ";
}

/* "4 added, 1 updated, 1 failed; 20 in index.olho". */
static void print_counts(const struct addition *addition)
{
    int64_t counts[INTAKE_OUTCOMES] = {0};
    const char *comma = "";
    int i;

    for (i = 0; addition->intake != NULL && i < INTAKE_OUTCOMES; i++)
        counts[i] = intake_count(addition->intake, (enum intake_outcome)i);
    counts[INTAKE_FAILED] += addition->unread_count;
    if (counts[INTAKE_WRITTEN] > 0)
        print_count(&comma, counts[INTAKE_WRITTEN], "written");
    else
        printf("%lld added", (long long)counts[INTAKE_ADDED]);
    comma = ", ";
    print_count(&comma, counts[INTAKE_REPLACED], "updated");
    print_count(&comma, counts[INTAKE_FAILED], "failed");
    print_count(&comma, addition->skipped_count, "skipped");
    if (addition->target.store != NULL)
        printf("; %lld in %s", (long long)addition->target.info.count,
               addition->target.shown);
    printf("\n");
}

static bool has_failed(const struct addition *addition)
{
    return addition->unread_count > 0 ||
           (addition->intake != NULL &&
            intake_count(addition->intake, INTAKE_FAILED) > 0);
}

/* Also after an error: what was written before it is told, and kept. */
static int finish(struct addition *addition, int rc, struct err *err)
{
    struct target *target = &addition->target;
    struct err own = {0};

    if (target->store == NULL) {
        if (rc == 0)
            print_counts(addition);
        return rc;
    }
    if (rc == 0)
        rc = target_settle(target, err);
    if (vecstore_info(target->store, &target->info, &own) == 0)
        print_counts(addition);
    else if (rc == 0) {
        *err = own;
        rc = own.code;
    }
    return rc;
}

static int read_flags(struct addition *addition, struct err *err)
{
    const struct arguments *arguments = addition->arguments;
    int rc;

    addition->label = arguments_flag(arguments, "label");
    addition->is_label_from_folder =
        arguments_flag(arguments, "label-from-folder") != NULL;
    if (addition->label != NULL && addition->is_label_from_folder)
        return err_set(err, ERR_INVALID,
                       "--label and --label-from-folder exclude each other");
    rc = tags_read(arguments, addition->arena, &addition->tags,
                   &addition->tag_count, err);
    return rc ? rc : target_options(arguments, &addition->options, err);
}

int command_index_add(struct arguments *arguments, struct err *err)
{
    const char *names = arguments_flag(arguments, "names");
    struct addition addition = {.arguments = arguments,
                                .arena = arena_new(ARENA_LEN_MAX)};
    bool is_failed;
    int rc = read_flags(&addition, err);

    if (rc == 0 && names != NULL && count_kind(arguments, OF_ROWS) != 1)
        rc = err_set(err, ERR_INVALID, "--names goes with one .npy file");
    progress_catch();
    if (rc == 0)
        rc = target_find(arguments, count_kind(arguments, OF_IMAGES) > 0,
                         &addition.target, err);
    if (rc == 0) {
        rc = add_words(&addition, names, err);
        rc = finish(&addition, rc, err);
    }
    is_failed = has_failed(&addition);
    intake_free(addition.intake);
    target_close(&addition.target);
    arena_free(addition.arena);
    return rc || is_failed ? EXIT_FAILED : EXIT_FINE;
}

int command_index_import(struct arguments *arguments, struct err *err)
{
    const char *path = arguments->words[0];
    struct addition addition = {.arguments = arguments};
    bool is_failed;
    int rc = target_options(arguments, &addition.options, err);

    progress_catch();
    if (rc == 0)
        rc = target_find(arguments, false, &addition.target, err);
    if (rc == 0) {
        rc = kind_of(path) == OF_LINES
                 ? addition_lines(&addition, path, err)
                 : addition_rows(&addition, path,
                                 arguments_flag(arguments, "labels"), err);
        rc = finish(&addition, rc, err);
    }
    is_failed = has_failed(&addition);
    intake_free(addition.intake);
    target_close(&addition.target);
    return rc || is_failed ? EXIT_FAILED : EXIT_FINE;
}
