/* SPDX-License-Identifier: Apache-2.0 */
/* The set of vectors that an index command works on: the one that --collection
 * names (a file, or milvus://...), or else the model's own. One thread. */
#ifndef OLHO_CMD_TARGET_H
#define OLHO_CMD_TARGET_H

#include "base/file.h"
#include "cmd/command.h"
#include "cmd/session.h"
#include "vectors/vecstore.h"

struct target {
    struct app app;                /* of the model; zeroed when none is open */
    struct model_version *version; /* held; NULL: no model is open */
    const char *where;             /* of --collection; NULL: the model's own */
    char shown[FILE_PATH_MAX];     /* where it is, without a password */
    bool is_foreign;               /* a file of FAISS, or .npy */
    struct vecstore *store;        /* NULL until target_open_store */
    struct vec_info info;          /* as of then */
};

/* Finds out where it is, and opens the model when there is no --collection or
 * when needs_model says so. Ended with target_close, also after a failure. */
MUST_CHECK int target_find(const struct arguments *arguments, bool needs_model,
                           struct target *out, struct err *err);

/* Opens the set itself; a file of FAISS is ERR_UNSUPPORTED. options are for
 * making it; NULL: as it is. dim: of the vectors that are to go in, which the
 * model's own set must have (else ERR_CONFLICT); 0: none are. */
MUST_CHECK int target_open_store(struct target *target, enum vec_mode mode,
                                 const struct vec_options *options, int dim,
                                 struct err *err);
void target_close(struct target *target); /* also of a zeroed one */

/* Reads the flags of how a set is made (MAKING_FLAGS of commands.c). */
MUST_CHECK int target_options(const struct arguments *arguments,
                              struct vec_options *out, struct err *err);

/* A flag's whole number 1..max; *out stays as it is when it was not given. */
MUST_CHECK int target_number(const struct arguments *arguments,
                             const char *name, int max, int *out,
                             struct err *err);

/* Puts everything into the index, with a bar; what a signal interrupts goes
 * on at the next writing. */
MUST_CHECK int target_settle(struct target *target, struct err *err);

#endif
