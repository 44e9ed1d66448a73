/* SPDX-License-Identifier: Apache-2.0 */
/* What versions.c and versions_scan.c share: current.json, and which folders
 * count. */
#ifndef OLHO_MODELS_VERSIONS_FILE_H
#define OLHO_MODELS_VERSIONS_FILE_H

#include "models/versions.h"

struct version_choice {
    char current[VERSION_NAME_MAX]; /* "": there is no version at all */
    char history[VERSIONS_HISTORY_MAX][VERSION_NAME_MAX]; /* latest first */
    int history_count;
    bool is_written; /* in current.json; else current is the highest */
};

/* Reads current.json, or finds the highest version. */
MUST_CHECK int version_choice_read(const char *root, struct version_choice *out,
                                   struct err *err);

/* The folders of a root that hold a model, lowest first. */
struct version_names {
    int count;
    char names[VERSIONS_MAX][VERSION_NAME_MAX];
};
MUST_CHECK int version_names_read(const char *root, struct version_names *out,
                                  struct err *err);

/* Whether a folder holds a model, or says that it does. */
bool version_is_model(const char *dir);

#endif
