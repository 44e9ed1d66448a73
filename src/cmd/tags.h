/* SPDX-License-Identifier: Apache-2.0 */
/* Tags and filters on the command line: label=cat, label!=cat,dog. A backslash
 * before a comma makes it part of the value. One thread. */
#ifndef OLHO_CMD_TAGS_H
#define OLHO_CMD_TAGS_H

#include "base/err.h"
#include "base/mem.h"
#include "cmd/command.h"
#include "vectors/vecstore.h"

/* Reads every --tag name=value into the arena. */
MUST_CHECK int tags_read(const struct arguments *arguments, struct arena *arena,
                         const struct vec_tag **out, int *out_count,
                         struct err *err);

/* Reads every --where into the arena; an entry must fulfil all of them. */
MUST_CHECK int filter_read(const struct arguments *arguments,
                           struct arena *arena, struct vec_filter *out,
                           struct err *err);

/* Whether an entry gets through, as a search has it. */
bool filter_passes(const struct vec_filter *filter,
                   const struct vec_hit *entry);

#endif
