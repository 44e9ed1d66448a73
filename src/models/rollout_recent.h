/* SPDX-License-Identifier: Apache-2.0 */
/* The answers of the last requests, so that feedback finds what was answered
 * and by whom. A ring of a fixed number of entries, found by a hash of the
 * request id; the oldest makes room.
 *
 * One thread at a time; rollout.c guards it. */
#ifndef OLHO_MODELS_ROLLOUT_RECENT_H
#define OLHO_MODELS_ROLLOUT_RECENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "models/rollout.h"

/* What one arm answered. */
struct rollout_recent_answer {
    int arm;    /* -1: none */
    int judged; /* what feedback said: 1 correct, 0 not, -1 none yet */
    char class_name[ROLLOUT_CLASS_MAX];
};

struct rollout_recent_entry {
    char request_id[ROLLOUT_REQUEST_MAX];
    struct rollout_recent_answer serving, shadow;
    int next; /* of the same chain; -1: the last */
};

struct rollout_recent;

/* count_max answers, 0..ROLLOUT_RECENT_MAX; 0 remembers nothing.
 * ERR_UNAVAILABLE without memory. */
MUST_CHECK int rollout_recent_new(int count_max, struct rollout_recent **out,
                                  struct err *err);
void rollout_recent_free(struct rollout_recent *recent); /* NULL is allowed */

/* Ids that do not fit are left out: nobody can name them. A second serving
 * answer to an id takes the place of the first, with all that belongs to it. */
void rollout_recent_add(struct rollout_recent *recent, const char *request_id,
                        int arm, bool is_shadow, const char *class_name);

/* The entry, valid until the next rollout_recent_add; NULL when there is none.
 */
struct rollout_recent_entry *rollout_recent_find(struct rollout_recent *recent,
                                                 const char *request_id);

/* Forgets all that an arm answered. */
void rollout_recent_forget(struct rollout_recent *recent, int arm);

#endif
