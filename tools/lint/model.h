/* SPDX-License-Identifier: Apache-2.0 */
/* What clang-tidy is told of the two functions that make errors: they never
 * answer 0. It looks at one file at a time and would otherwise follow paths
 * on which a failure passes for success. Included before each file that it
 * reads, and by nothing else. */
#ifndef OLHO_LINT_MODEL_H
#define OLHO_LINT_MODEL_H

#include "base/err.h"

#define err_set(err, code, ...) \
    ((void)err_set((err), (code), __VA_ARGS__), (int)(code))
#define err_wrap(err, ...) \
    ((void)err_wrap((err), __VA_ARGS__), (int)ERR_INTERNAL)

#endif
