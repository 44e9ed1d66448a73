/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cmd/command.h"

enum { NEAR_LEN_MAX = 40, NEAR_MAX = 3 };

static int min_of(int a, int b)
{
    return a < b ? a : b;
}

/* The edit distance of two short texts (Levenshtein 1966), by rows. */
static int distance(const char *a, const char *b)
{
    int row[NEAR_LEN_MAX + 1], i, j, diagonal, above;
    int a_len = (int)strlen(a), b_len = (int)strlen(b);

    if (a_len > NEAR_LEN_MAX || b_len > NEAR_LEN_MAX)
        return NEAR_LEN_MAX;
    for (j = 0; j <= b_len; j++)
        row[j] = j;
    for (i = 1; i <= a_len; i++) {
        diagonal = row[0];
        row[0] = i;
        for (j = 1; j <= b_len; j++) {
            above = row[j];
            row[j] = min_of(min_of(above, row[j - 1]) + 1,
                            diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[b_len];
}

/* Keeps the candidate that is nearest to text so far. */
static void consider(const char *text, const char *candidate, const char **best,
                     int *best_distance)
{
    int d = distance(text, candidate);

    if (d < *best_distance) {
        *best_distance = d;
        *best = candidate;
    }
}

static int unknown_command(const char *word, struct err *err)
{
    const char *best = NULL;
    int i, best_distance = NEAR_MAX + 1;

    for (i = 0; i < command_count; i++)
        consider(word, commands[i].name, &best, &best_distance);
    if (best != NULL)
        return err_set(err, ERR_INVALID,
                       "there is no command \"%.60s\"; did you mean \"%s\"?",
                       word, best);
    return err_set(err, ERR_INVALID,
                   "there is no command \"%.60s\"; `olho help` lists them",
                   word);
}

static int unknown_flag(const struct command *command, const char *name,
                        struct err *err)
{
    const char *best = NULL;
    int i, best_distance = NEAR_MAX + 1;
    size_t j;

    for (i = 0; i < COMMAND_FLAGS_MAX && command->flags[i].name != NULL; i++)
        consider(name, command->flags[i].name, &best, &best_distance);
    for (j = 0; j < config_option_count; j++)
        consider(name, config_options[j].flag, &best, &best_distance);
    if (best != NULL)
        return err_set(err, ERR_INVALID,
                       "there is no flag --%.60s; did you mean --%s?", name,
                       best);
    return err_set(err, ERR_INVALID,
                   "there is no flag --%.60s; `olho %s --help` lists them",
                   name, command->name);
}

/* The command whose one or two words argv begins with, and how many words
 * they are; NULL when there is none. */
static const struct command *find_command(int argc, const char **argv,
                                          int *word_count)
{
    char two[128] = "";
    int i, pass;

    if (argc > 1)
        snprintf(two, sizeof two, "%.60s %.60s", argv[0], argv[1]);
    for (pass = 2; pass >= 1; pass--)
        for (i = 0; i < command_count; i++)
            if (strcmp(commands[i].name, pass == 2 ? two : argv[0]) == 0) {
                *word_count = pass;
                return &commands[i];
            }
    return NULL;
}

static int flag_place(const struct command *command, const char *name)
{
    int i;

    for (i = 0; i < COMMAND_FLAGS_MAX && command->flags[i].name != NULL; i++)
        if (strcmp(command->flags[i].name, name) == 0)
            return i;
    return -1;
}

/* Takes "--name", "--name=value" or "--name value"; *used says how many of
 * argv it was. */
static int read_flag(struct arguments *arguments, int argc, const char **argv,
                     int *used, struct err *err)
{
    char name[128];
    const char *equals = strchr(argv[0], '='), *value = NULL;
    const struct option *row;
    bool needs_value;
    int place;

    snprintf(name, sizeof name, "%.*s",
             equals != NULL ? (int)(equals - argv[0] - 2) : 120, argv[0] + 2);
    *used = 1;
    if (strcmp(name, "help") == 0) {
        arguments->wants_help = true;
        return 0;
    }
    place = flag_place(arguments->command, name);
    row = option_find(config_options, config_option_count, name);
    if (place < 0 && row == NULL)
        return unknown_flag(arguments->command, name, err);
    needs_value = place >= 0 ? arguments->command->flags[place].value != NULL
                             : row->type != OPTION_BOOL;
    if (equals != NULL) {
        value = equals + 1;
    } else if (!needs_value) {
        value = place >= 0 ? "" : "true";
    } else if (argc > 1) {
        value = argv[1];
        *used = 2;
    } else {
        return err_set(err, ERR_INVALID, "--%s needs a value", name);
    }
    if (place >= 0) {
        arguments->given[arguments->given_count++] =
            (struct given_flag){place, value};
        return 0;
    }
    arguments->sources[row - config_options] = OPTION_FROM_FLAG;
    return option_set(row, &arguments->config, value, err);
}

static int read_words(struct arguments *arguments, int argc, const char **argv,
                      struct err *err)
{
    bool is_flags_done = false;
    int i, used, rc;

    for (i = 0; i < argc; i += used) {
        used = 1;
        if (!is_flags_done && strcmp(argv[i], "--") == 0) {
            is_flags_done = true;
        } else if (!is_flags_done && strcmp(argv[i], "-h") == 0) {
            arguments->wants_help = true;
        } else if (!is_flags_done && strncmp(argv[i], "--", 2) == 0) {
            rc = read_flag(arguments, argc - i, argv + i, &used, err);
            if (rc)
                return rc;
        } else if (!is_flags_done && argv[i][0] == '-' && argv[i][1] != '\0') {
            return err_set(err, ERR_INVALID,
                           "there is no flag %.60s; flags begin with --",
                           argv[i]);
        } else {
            arguments->words[arguments->word_count++] = argv[i];
        }
    }
    return 0;
}

static int check_words(const struct arguments *arguments, struct err *err)
{
    const struct command *command = arguments->command;

    if (arguments->word_count < command->word_min ||
        (command->word_max >= 0 && arguments->word_count > command->word_max))
        return err_set(err, ERR_INVALID,
                       "%d words after the command; usage: olho %s %s",
                       arguments->word_count, command->name, command->usage);
    return 0;
}

/* "index" alone, or with --help, is a question; "index x" is a mistake. */
static int read_group(struct arguments *arguments, int argc, const char **argv,
                      struct err *err)
{
    if (!command_is_group(argv[0]))
        return unknown_command(argv[0], err);
    if (argc > 1 && strcmp(argv[1], "--help") != 0 &&
        strcmp(argv[1], "-h") != 0)
        return err_set(err, ERR_INVALID,
                       "there is no command \"%.60s %.60s\"; `olho %.60s "
                       "--help` lists those that there are",
                       argv[0], argv[1], argv[0]);
    arguments->wants_help = true;
    arguments->group = argv[0];
    return 0;
}

int arguments_read(struct arguments *arguments, int argc, const char **argv,
                   struct err *err)
{
    int word_count = 0, rc;

    *arguments = (struct arguments){0};
    arguments->words = mem_new((size_t)(argc + 1) * sizeof *argv);
    arguments->given = mem_new((size_t)(argc + 1) * sizeof *arguments->given);
    rc = config_load(&arguments->config, arguments->sources, err);
    if (rc)
        return rc;
    if (argc == 0 || strcmp(argv[0], "--help") == 0 ||
        strcmp(argv[0], "-h") == 0) {
        arguments->wants_help = true;
        return 0;
    }
    if (strcmp(argv[0], "--version") == 0)
        argv[0] = "version";
    arguments->command = find_command(argc, argv, &word_count);
    if (arguments->command == NULL)
        return read_group(arguments, argc, argv, err);
    rc = read_words(arguments, argc - word_count, argv + word_count, err);
    if (rc || arguments->wants_help)
        return rc;
    rc = check_words(arguments, err);
    return rc ? rc : config_check(&arguments->config, err);
}

void arguments_release(struct arguments *arguments)
{
    config_release(&arguments->config);
    mem_free(arguments->words);
    mem_free(arguments->given);
    *arguments = (struct arguments){0};
}

const char *arguments_next(const struct arguments *arguments, const char *name,
                           int *at)
{
    int place = flag_place(arguments->command, name);

    assert(place >= 0);
    while (*at < arguments->given_count) {
        const struct given_flag *given = &arguments->given[(*at)++];

        if (given->place == place)
            return given->value;
    }
    return NULL;
}

const char *arguments_flag(const struct arguments *arguments, const char *name)
{
    const char *last = NULL, *value;
    int at = 0;

    while ((value = arguments_next(arguments, name, &at)) != NULL)
        last = value;
    return last;
}
