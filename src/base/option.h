/* SPDX-License-Identifier: Apache-2.0 */
/* Settings as one table: each row says name, flag, type, where the value goes,
 * default, bounds and help. The same rows read `.env`, the environment and
 * flags (in that order, the later one wins), print `olho config` and its
 * help, and check every value.
 *
 * Not thread-safe: settings are read before threads start; SIGHUP reads them
 * into a fresh struct. */
#ifndef OLHO_BASE_OPTION_H
#define OLHO_BASE_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum option_type {
    OPTION_INTEGER, /* int64_t */
    OPTION_REAL,    /* double */
    OPTION_BOOL,    /* bool: 1 0 true false yes no on off */
    OPTION_TEXT,    /* char *, owned by the settings struct */
    OPTION_CHOICE,  /* int64_t: the place in `choices` */
};

struct option {
    const char *name; /* of the variable, "MAX_IMAGE_SIZE_MB" */
    const char *flag; /* "max-image-size-mb", used as --flag=value */
    enum option_type type;
    size_t offset;       /* of the field in the settings struct */
    const char *preset;  /* the default, as text */
    double min, max;     /* of a number; of a text: length in bytes */
    const char *choices; /* "warn|reject|off" for OPTION_CHOICE */
    bool is_live;        /* SIGHUP may change it */
    bool is_secret;      /* never printed */
    const char *help;    /* one sentence with the unit */
};

enum option_source {
    OPTION_FROM_PRESET,
    OPTION_FROM_DOTENV,
    OPTION_FROM_ENVIRONMENT,
    OPTION_FROM_FLAG,
};

/* Sets every field to its default. settings is zeroed or was set before. */
void option_preset(const struct option *table, size_t count, void *settings);

/* Frees the texts. */
void option_release(const struct option *table, size_t count, void *settings);

/* The row with that variable name or flag, or NULL. */
const struct option *option_find(const struct option *table, size_t count,
                                 const char *name);

/* Checks text and stores it. ERR_INVALID names the option, the text and the
 * bounds; the field then keeps its value. */
MUST_CHECK int option_set(const struct option *row, void *settings,
                          const char *text, struct err *err);

/* Reads a `.env` file: NAME=value lines, `export `, #-comments, single and
 * double quotes (option_dotenv.c has the rules). Names that are not in the
 * table are ignored. sources (count entries, may be NULL) takes where each
 * value came from. Here and in the environment an empty value sets a text
 * only: compose files pass one where a variable is not set. */
MUST_CHECK int option_read_dotenv(const struct option *table, size_t count,
                                  void *settings, struct bytes text,
                                  enum option_source *sources, struct err *err);
MUST_CHECK int option_read_environment(const struct option *table, size_t count,
                                       void *settings,
                                       enum option_source *sources,
                                       struct err *err);

/* The value as text into out. Secrets print as "***" unless empty. */
void option_print(const struct option *row, const void *settings,
                  struct buf *out);

#endif
