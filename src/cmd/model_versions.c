/* SPDX-License-Identifier: Apache-2.0 */
/* `olho model list|check|promote|rollback|remove`: the versions of a model
 * root. */
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json_write.h"
#include "cmd/command.h"
#include "cmd/terminal.h"
#include "models/metadata_file.h"
#include "models/model_sample.h"
#include "models/source.h"
#include "models/versions.h"

enum { LINE_LEN_MAX = 64 << 10, ANSWER_MAX = 64 };

/* --- where --- */

static bool is_root_given(const struct arguments *arguments)
{
    size_t i;

    for (i = 0; i < config_option_count; i++)
        if (strcmp(config_options[i].name, "MODEL_ROOT") == 0)
            return arguments->sources[i] != OPTION_FROM_PRESET;
    return false;
}

/* MODEL_ROOT when it is given, MODEL_PATH when it holds versions, else the
 * folder in which the model lies. */
static int find_root(const struct arguments *arguments, char *out,
                     struct err *err)
{
    const struct config *config = &arguments->config;
    char dir[FILE_PATH_MAX], real[FILE_PATH_MAX];
    char *slash;
    int rc;

    if (is_root_given(arguments) || versions_is_root(config->model_path)) {
        snprintf(out, FILE_PATH_MAX, "%s",
                 is_root_given(arguments) ? config->model_root
                                          : config->model_path);
        return 0;
    }
    rc = bundle_find(config->model_path, dir, err);
    if (rc)
        return rc;
    if (realpath(dir, real) == NULL)
        return err_set(err, ERR_IO, "cannot follow %s: %s", dir,
                       strerror(errno));
    slash = strrchr(real, '/');
    slash[slash == real ? 1 : 0] = '\0';
    memcpy(out, real, strlen(real) + 1);
    return 0;
}

/* --- list --- */

static const char *sums_name(enum version_sums sums)
{
    static const char *const names[] = {
        [VERSION_SUMS_NONE] = "none",
        [VERSION_SUMS_OK] = "ok",
        [VERSION_SUMS_WRONG] = "wrong",
        [VERSION_SUMS_UNREAD] = "not read",
    };

    return names[sums];
}

static const char *state_name(const struct version *version)
{
    return version->is_current    ? "current"
           : version->is_previous ? "previous"
                                  : "";
}

static int print_version(void *user, const struct version *version,
                         struct err *err)
{
    char classes[24] = "-", accuracy[24] = "-";

    (void)err;
    ++*(int *)user;
    if (version->class_count > 0)
        snprintf(classes, sizeof classes, "%lld",
                 (long long)version->class_count);
    if (isfinite(version->accuracy))
        snprintf(accuracy, sizeof accuracy, "%.2f %%", 100 * version->accuracy);
    printf("%-24s %-9s %-20s %8s %9s %9.1f MB  %s\n", version->name,
           state_name(version), version->created, classes, accuracy,
           (double)version->len / 1e6, sums_name(version->sums));
    if (version->problem[0] != '\0')
        printf("  %s\n", version->problem);
    return 0;
}

static void put_text(struct json_writer *json, const char *key,
                     const char *value)
{
    json_key(json, key);
    json_put_text(json, value[0] != '\0' ? value : NULL);
}

static int print_version_json(void *user, const struct version *version,
                              struct err *err)
{
    struct json_writer json;
    struct buf line;
    int rc;

    ++*(int *)user;
    buf_init(&line, LINE_LEN_MAX);
    json_writer_init(&json, &line);
    json_object_begin(&json);
    put_text(&json, "version", version->name);
    put_text(&json, "state", state_name(version));
    put_text(&json, "dir", version->dir);
    put_text(&json, "metadata_version", version->said);
    put_text(&json, "created", version->created);
    json_key(&json, "classes");
    if (version->class_count > 0)
        json_put_integer(&json, version->class_count);
    else
        json_put_null(&json);
    json_key(&json, "accuracy");
    json_put_double(&json, version->accuracy);
    json_key(&json, "bytes");
    json_put_integer(&json, version->len);
    put_text(&json, "checksums", sums_name(version->sums));
    put_text(&json, "problem", version->problem);
    json_object_end(&json);
    rc = buf_check(&line, err);
    if (rc == 0)
        printf("%s\n", line.data);
    buf_release(&line);
    return rc;
}

int command_model_list(struct arguments *arguments, struct err *err)
{
    bool is_json = arguments_flag(arguments, "json") != NULL;
    bool with_sums = arguments_flag(arguments, "quick") == NULL;
    char root[FILE_PATH_MAX], head[160];
    int count = 0, rc;

    rc = find_root(arguments, root, err);
    if (rc)
        return EXIT_FAILED;
    if (!is_json) {
        snprintf(head, sizeof head, "%-24s %-9s %-20s %8s %9s %12s  %s",
                 "version", "state", "created", "classes", "accuracy", "size",
                 "checksums");
        terminal_bold(head);
        printf("\n");
    }
    rc = versions_scan(root, with_sums,
                       is_json ? print_version_json : print_version, &count,
                       err);
    if (rc == 0 && !is_json)
        printf("%d version%s in %s\n", count, count == 1 ? "" : "s", root);
    return rc ? EXIT_FAILED : EXIT_FINE;
}

/* --- check --- */

/* A folder, a bundled model, or the name of a version; NULL: the current
 * version. */
static int find_dir(const struct arguments *arguments, const char *word,
                    char *out, struct err *err)
{
    char root[FILE_PATH_MAX];
    struct err ignored = {0};
    int rc;

    if (word != NULL && bundle_find(word, out, &ignored) == 0 &&
        !versions_is_root(out))
        return 0;
    rc = find_root(arguments, root, err);
    if (rc)
        return rc;
    return word != NULL ? versions_dir(root, word, out, err)
                        : versions_current(root, out, err);
}

static void print_result(const struct model_sample_result *result)
{
    const struct model_sample *said = &result->said;

    printf("sample     %s\n", said->image[0] != '\0' ? said->image : "noise");
    printf("score      \"%s\" %.6f, was %.6f, may differ by %g\n",
           said->class_name, result->got.score, said->score, said->tolerance);
    if (said->projection_count > 0)
        printf("embedding  differs by %.6f\n", result->embedding_difference);
}

/* Opens a model as serving it would, Keras files too. Checksums and a run on
 * grey are part of it. */
static int open_model(const struct config *config, const char *dir,
                      struct bundle **out, struct err *err)
{
    struct json_value *document = NULL;
    struct source source;
    int rc;

    rc = source_prepare(config, dir, "", &source, err);
    /* An import leaves the other files of the folder unread. */
    if (rc == 0 && strcmp(source.dir, dir) != 0)
        rc = metadata_file_read(dir, &document, err);
    if (rc == 0)
        rc = metadata_file_check_sums(dir, document, err);
    if (rc == 0)
        rc = bundle_open(source.dir, config, out, err);
    json_free(document);
    return rc;
}

static int check_sample(const struct bundle *bundle, const char *dir,
                        struct err *err)
{
    struct model_sample_result result;
    int rc = model_sample_check(bundle, dir, &result, err);

    if (rc == ERR_NOT_FOUND) {
        *err = (struct err){0};
        printf("sample     none; --write stores one\n");
        return 0;
    }
    if (rc)
        return err_wrap(err, "%s", dir);
    print_result(&result);
    return 0;
}

static int check_dir(const struct config *config, const char *dir,
                     struct err *err)
{
    struct bundle *bundle = NULL;
    int rc;

    rc = open_model(config, dir, &bundle, err);
    if (rc)
        return rc;
    printf("model      %s %s in %s: loads and runs\n", bundle->metadata.name,
           bundle->metadata.version, dir);
    rc = check_sample(bundle, dir, err);
    bundle_close(bundle);
    return rc;
}

static int write_sample(const struct config *config, const char *dir,
                        const char *image, struct err *err)
{
    struct bundle *bundle = NULL;
    struct model_sample sample;
    int rc;

    rc = open_model(config, dir, &bundle, err);
    if (rc == 0)
        rc = model_sample_write(bundle, dir, image, &sample, err);
    if (rc == 0)
        printf("sample     stored in %s: %s is \"%s\" with %.6f\n", dir,
               sample.image[0] != '\0' ? sample.image : "noise",
               sample.class_name, sample.score);
    bundle_close(bundle);
    return rc;
}

int command_model_check(struct arguments *arguments, struct err *err)
{
    const char *image = arguments_flag(arguments, "image");
    bool is_write = arguments_flag(arguments, "write") != NULL;
    char dir[FILE_PATH_MAX];
    int rc;

    if (image != NULL && !is_write) {
        err_set(err, ERR_INVALID, "--image is the sample that --write stores");
        return EXIT_USAGE;
    }
    rc = find_dir(arguments,
                  arguments->word_count > 0 ? arguments->words[0] : NULL, dir,
                  err);
    if (rc == 0 && is_write)
        rc = write_sample(&arguments->config, dir, image, err);
    if (rc == 0)
        rc = check_dir(&arguments->config, dir, err);
    return rc ? EXIT_FAILED : EXIT_FINE;
}

/* --- promote, rollback --- */

/* The process that --pid names; 0 when it is not given. */
static int read_pid(const struct arguments *arguments, pid_t *out,
                    struct err *err)
{
    const char *text = arguments_flag(arguments, "pid");
    char *end;
    long value;

    *out = 0;
    if (text == NULL)
        return 0;
    errno = 0;
    value = strtol(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || value < 2 ||
        value > 1 << 30)
        return err_set(err, ERR_INVALID,
                       "--pid is \"%.20s\"; it must be the number of a process",
                       text);
    if (kill((pid_t)value, 0) != 0)
        return err_set(err, ERR_NOT_FOUND,
                       "there is no process %ld that we "
                       "may signal",
                       value);
    *out = (pid_t)value;
    return 0;
}

/* Tells a running server to look at current.json again. */
static int tell(pid_t pid, struct err *err)
{
    if (pid == 0)
        return 0;
    if (kill(pid, SIGHUP) != 0)
        return err_set(err, ERR_IO, "cannot signal process %d: %s", (int)pid,
                       strerror(errno));
    printf("told process %d\n", (int)pid);
    return 0;
}

int command_model_promote(struct arguments *arguments, struct err *err)
{
    const char *name = arguments->words[0];
    char root[FILE_PATH_MAX], dir[FILE_PATH_MAX];
    pid_t pid;
    int rc;

    rc = read_pid(arguments, &pid, err);
    if (rc == 0)
        rc = find_root(arguments, root, err);
    if (rc == 0)
        rc = versions_dir(root, name, dir, err);
    if (rc == 0)
        rc = check_dir(&arguments->config, dir, err);
    if (rc == 0)
        rc = versions_promote(root, name, err);
    if (rc == 0)
        printf("%s is the current version of %s\n", name, root);
    if (rc == 0)
        rc = tell(pid, err);
    return rc ? EXIT_FAILED : EXIT_FINE;
}

int command_model_rollback(struct arguments *arguments, struct err *err)
{
    char root[FILE_PATH_MAX], name[VERSION_NAME_MAX];
    pid_t pid;
    int rc;

    rc = read_pid(arguments, &pid, err);
    if (rc == 0)
        rc = find_root(arguments, root, err);
    if (rc == 0)
        rc = versions_rollback(root, name, err);
    if (rc == 0)
        printf("%s is the current version of %s again\n", name, root);
    if (rc == 0)
        rc = tell(pid, err);
    return rc ? EXIT_FAILED : EXIT_FINE;
}

/* --- remove --- */

/* Whether a person at the terminal agrees. */
static bool is_agreed(const char *dir)
{
    char answer[ANSWER_MAX];

    printf("Remove %s and all that is in it? [y/N] ", dir);
    fflush(stdout);
    return fgets(answer, sizeof answer, stdin) != NULL &&
           (answer[0] == 'y' || answer[0] == 'Y' || answer[0] == 's' ||
            answer[0] == 'S');
}

int command_model_remove(struct arguments *arguments, struct err *err)
{
    const char *name = arguments->words[0];
    char root[FILE_PATH_MAX], dir[FILE_PATH_MAX];
    int rc;

    rc = find_root(arguments, root, err);
    if (rc == 0)
        rc = versions_dir(root, name, dir, err);
    if (rc)
        return EXIT_FAILED;
    if (arguments_flag(arguments, "yes") == NULL) {
        if (!isatty(STDIN_FILENO)) {
            err_set(err, ERR_INVALID,
                    "%s is removed only with --yes where nobody can be asked",
                    dir);
            return EXIT_USAGE;
        }
        if (!is_agreed(dir)) {
            printf("nothing was removed\n");
            return EXIT_FAILED;
        }
    }
    rc = versions_remove(root, name, err);
    if (rc == 0)
        printf("removed %s\n", dir);
    return rc ? EXIT_FAILED : EXIT_FINE;
}
