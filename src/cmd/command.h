/* SPDX-License-Identifier: Apache-2.0 */
/* Commands as one table: name, usage, help, flags, function. `olho help` and
 * docs/commands.md are printed from it.
 *
 * Commands run on the main thread. */
#ifndef OLHO_CMD_COMMAND_H
#define OLHO_CMD_COMMAND_H

#include "base/buf.h"
#include "base/config.h"
#include "base/err.h"

enum { COMMAND_FLAGS_MAX = 24 };

enum exit_code { EXIT_FINE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct flag {
    const char *name;  /* "json", used as --json */
    const char *value; /* what follows, "DIR"; NULL: nothing */
    const char *help;  /* one sentence */
};

struct arguments;
typedef int command_fn(struct arguments *arguments, struct err *err);

struct command {
    const char *name;       /* "index add" */
    const char *usage;      /* what follows the name: "FILE|DIR..." */
    const char *help;       /* one sentence */
    command_fn *run;        /* answers an exit code; an error in err ends the
                             * program with EXIT_FAILED (ERR_INVALID: EXIT_USAGE) */
    int word_min, word_max; /* of the words that follow; -1: any number */
    struct flag flags[COMMAND_FLAGS_MAX];
};

extern const struct command commands[];
extern const int command_count;

/* One of a command's own flags, as it was given. */
struct given_flag {
    int place;         /* in the command's table */
    const char *value; /* "" without one; borrowed from argv */
};

/* What the command line said. */
struct arguments {
    const struct command *command;
    struct config config;
    enum option_source sources[CONFIG_OPTIONS_MAX];
    const char **words; /* what is no flag; borrowed from argv */
    int word_count;
    struct given_flag *given; /* owned; in their order */
    int given_count;
    bool wants_help;
    const char *group; /* help of "index ..." is wanted; NULL: no group */
};

/* Reads `.env`, the environment and argv (after the program's name).
 * ERR_INVALID names what is unknown and what is near to it. Ended with
 * arguments_release, also after a failure. */
MUST_CHECK int arguments_read(struct arguments *arguments, int argc,
                              const char **argv, struct err *err);
void arguments_release(struct arguments *arguments);

/* The value of a command's own flag, "" when it has none, NULL when it was
 * not given; the last one of several. name must be in the command's table. */
const char *arguments_flag(const struct arguments *arguments, const char *name);

/* The values of a flag that may be given several times, one for each call, in
 * their order; NULL after the last. *at begins with 0. */
const char *arguments_next(const struct arguments *arguments, const char *name,
                           int *at);

/* Whether a word begins commands of two words, as "index" does. */
bool command_is_group(const char *word);

/* Help as text: all commands, those of a group, or one. */
void command_help_all(struct buf *out);
void command_help_group(const char *group, struct buf *out);
void command_help(const struct command *command, struct buf *out);

command_fn command_ab, command_bench_vectors, command_classify, command_config,
    command_docs, command_help_run, command_index_add, command_index_build,
    command_index_check, command_index_compact, command_index_export,
    command_index_import, command_index_info, command_index_remove,
    command_index_search, command_model_check, command_model_import,
    command_model_list, command_model_promote, command_model_quantize,
    command_model_remove, command_model_rollback, command_model_show,
    command_routes, command_serve, command_similar, command_store_export,
    command_store_import, command_store_migrate, command_store_status,
    command_version;

#endif
