/* SPDX-License-Identifier: Apache-2.0 */
/* What `olho index add` and `olho index import` bring into a set of vectors:
 * rows of matrices and indexes, lines of JSON, and (index_add.c) images.
 * One thread. */
#ifndef OLHO_CMD_ADDITION_H
#define OLHO_CMD_ADDITION_H

#include "base/mem.h"
#include "cmd/images.h"
#include "cmd/intake.h"
#include "cmd/target.h"

struct addition {
    const struct arguments *arguments;
    struct vec_options options;
    struct target target;
    struct intake *intake; /* NULL until the first vector is there */
    struct arena *arena;   /* of the flags */
    const char *label;     /* NULL: none */
    bool is_label_from_folder;
    const struct vec_tag *tags; /* of --tag */
    int tag_count;
    const char *file;      /* that is read; NULL: images */
    const char *unit;      /* what it is made of: "line" or "row" */
    int64_t unread_count;  /* lines and images that are none */
    int64_t skipped_count; /* other files in folders of images */
};

/* Opens the set when it is not open yet; makes it of vectors of `dim` values
 * when it is not there. */
MUST_CHECK int addition_begin(struct addition *addition, int dim,
                              struct err *err);

/* Takes an entry, with the tags of the flags besides its own, and a label
 * unless that is NULL or empty. */
MUST_CHECK int addition_put(struct addition *addition,
                            const struct vec_entry *entry, const char *label,
                            int dim, int64_t number, struct err *err);

/* Writes what waits. */
MUST_CHECK int addition_end(struct addition *addition, struct err *err);

/* The name of the folder that a file lies in, as where the trainer put it:
 * "coins/50c/img1.jpg" is of "50c". "" without one, and when it is too long
 * for a label. */
void addition_folder(const char *path, char out[VEC_TAG_VALUE_MAX + 1]);

/* Adds the vectors of a .npy or FAISS file; names: a file of theirs, or
 * NULL. */
MUST_CHECK int addition_rows(struct addition *addition, const char *path,
                             const char *names, struct err *err);

/* Adds lines of JSON (vec_lines.h) of a file, or with "-" of standard
 * input. */
MUST_CHECK int addition_lines(struct addition *addition, const char *path,
                              struct err *err);

#endif
