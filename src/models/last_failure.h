/* SPDX-License-Identifier: Apache-2.0 */
/* Why a file could not be opened, so that not everybody who comes reads it, a
 * gigabyte perhaps, to learn the same again. Not thread-safe: under the mutex
 * of who has it. */
#ifndef OLHO_MODELS_LAST_FAILURE_H
#define OLHO_MODELS_LAST_FAILURE_H

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/* Which file has a name, and in what state; zeros: none. */
struct file_state {
    dev_t device;
    ino_t inode;
    int64_t len;                   /* bytes */
    int64_t changed_s, changed_ns; /* of what is in it */
};

struct file_state file_state_get(const char *path);

/* Zeros: nothing failed. */
struct last_failure {
    struct err err;
    int64_t failed_us; /* when; 0: nothing failed */
    struct file_state state;
};

/* Fails as the last try did, for a second in which the file did not change.
 * Else 0, and the caller is to try; when that is because the second is over,
 * the others are told the same for another one. */
MUST_CHECK int last_failure_tell(struct last_failure *failure,
                                 const struct file_state *state,
                                 struct err *err);
void last_failure_set(struct last_failure *failure,
                      const struct file_state *state, const struct err *err);

#endif
