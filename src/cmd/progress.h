/* SPDX-License-Identifier: Apache-2.0 */
/* Long work as a command shows it, and Ctrl-C, which ends it in order: what is
 * under way stops at its next step, so that files are closed and temporary
 * things removed. A second Ctrl-C ends the process at once. One thread. */
#ifndef OLHO_CMD_PROGRESS_H
#define OLHO_CMD_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* From now on SIGINT and SIGTERM are noted. */
void progress_catch(void);
bool progress_is_stopped(void);

/* 0, or ERR_UNAVAILABLE once a signal has come. */
MUST_CHECK int progress_go_on(struct err *err);

/* Draws `done` of `total`; the vec_progress_fn of a struct progress. Answers
 * not 0 once a signal has come. */
struct progress {
    const char *what; /* "entries" */
    int64_t begin_us; /* clock_us */
};
int progress_show(void *user, int64_t done, int64_t total);

#endif
