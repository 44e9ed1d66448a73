/* SPDX-License-Identifier: Apache-2.0 */
/* Versions of a model on disk: a root with one folder per version, and which
 * of them is current.
 *
 *     models/v1/  models/v2/  models/v10/
 *     models/current.json     {"version": "v10", "history": ["v2", "v1"]}
 *
 * current.json is replaced as a whole, so a reader sees the old or the new
 * choice. Writers hold a lock on the root, other processes included.
 * Thread-safe: no state but the files. */
#ifndef OLHO_MODELS_VERSIONS_H
#define OLHO_MODELS_VERSIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/file.h"

enum {
    VERSIONS_MAX = 1000,       /* folders in a root */
    VERSIONS_HISTORY_MAX = 32, /* promotions remembered */
    VERSION_NAME_MAX = 128,    /* of a version's folder, with the NUL */
};

/* Whether this folder holds versions rather than being a model itself:
 * current.json, or a model in a folder below and none here. */
bool versions_is_root(const char *path);

/* The folder of the current version into out (FILE_PATH_MAX bytes): the one
 * that current.json names; without that file the highest one ("v10" is above
 * "v9"). ERR_NOT_FOUND: none there; ERR_CORRUPT: current.json cannot be read
 * or names what is no folder. */
MUST_CHECK int versions_current(const char *root, char *out, struct err *err);

/* The folder of a version by its name. ERR_INVALID for what is no plain folder
 * name, ERR_NOT_FOUND. */
MUST_CHECK int versions_dir(const char *root, const char *name, char *out,
                            struct err *err);

enum version_sums {
    VERSION_SUMS_NONE,  /* metadata.json has no checksums */
    VERSION_SUMS_OK,    /* every file is as its checksum says */
    VERSION_SUMS_WRONG, /* one is not, or is absent */
    VERSION_SUMS_UNREAD /* not asked for */
};

struct version {
    char name[VERSION_NAME_MAX]; /* of the folder */
    char dir[FILE_PATH_MAX];
    bool is_current, is_previous;   /* what rollback would go to */
    char said[VERSION_NAME_MAX];    /* metadata.json's version, or "" */
    char created[VERSION_NAME_MAX]; /* metadata.json's, or the folder's day */
    int64_t class_count;            /* of its labels; 0: unknown */
    double accuracy;                /* NaN: unknown */
    int64_t len;                    /* bytes of all its files */
    enum version_sums sums;
    char problem[ERR_TEXT_MAX]; /* what is wrong with it; "": nothing seen */
};

/* Calls fn for each version, lowest first, until it fails; a version that is
 * damaged is shown with its problem. with_sums reads every file. */
typedef int version_fn(void *user, const struct version *version,
                       struct err *err);
MUST_CHECK int versions_scan(const char *root, bool with_sums, version_fn *fn,
                             void *user, struct err *err);

/* Makes a version current; the one before goes to the history. The caller has
 * checked that it works. Promoting the current one changes nothing. */
MUST_CHECK int versions_promote(const char *root, const char *name,
                                struct err *err);

/* Makes the one before current again, whose name goes to out
 * (VERSION_NAME_MAX bytes). ERR_CONFLICT when there is none, or when it is not
 * there any more. */
MUST_CHECK int versions_rollback(const char *root, char *out, struct err *err);

/* Deletes a version and takes it out of the history. ERR_CONFLICT for the
 * current one. A link is deleted, never what it leads to. */
MUST_CHECK int versions_remove(const char *root, const char *name,
                               struct err *err);

/* --- the layout of the trainer --- */

/* The newest of classifier_*.keras, class_indices_*.json,
 * index_original_*.faiss and labels_original_*.npy. */
enum trainer_file {
    TRAINER_CLASSIFIER,
    TRAINER_CLASSES,
    TRAINER_INDEX,
    TRAINER_LABELS,
    TRAINER_FILE_COUNT,
};

struct trainer_files {
    struct {
        char path[FILE_PATH_MAX]; /* as offered; "": none */
        int64_t stamp;            /* 20251115103000; 0: none in the name */
        int64_t modified_ms;
    } of[TRAINER_FILE_COUNT];
};

/* Takes a file when its name is of the layout and newer than the one before:
 * by the time in the name, then by its modification, then by name. For listings
 * of buckets; files is zeroed before the first. False: not of the layout. */
bool trainer_files_offer(struct trainer_files *files, const char *path,
                         int64_t modified_ms);

/* Whether all that are there carry the same time in their names; vectors of
 * another training do not fit a classifier. */
bool trainer_files_belong(const struct trainer_files *files);

/* Offers all files of a folder (not those below). ERR_NOT_FOUND: it has no
 * classifier. */
MUST_CHECK int versions_find_trainer(const char *dir, struct trainer_files *out,
                                     struct err *err);

#endif
