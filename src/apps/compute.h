/* SPDX-License-Identifier: Apache-2.0 */
/* The part of an answer that depends on the image and the model alone, and
 * that a cache may keep: decoding, checks, the network. Thread-safe. */
#ifndef OLHO_APPS_COMPUTE_H
#define OLHO_APPS_COMPUTE_H

#include "apps/classify.h"

/* Fills top, embedding, checks, sides and times of *answer; the rest stays as
 * it is. Fails as classify_image does. */
MUST_CHECK int compute_answer(const struct app *app,
                              const struct bundle *bundle, struct bytes file,
                              const struct classify_options *options,
                              struct arena *arena, struct answer *answer,
                              struct err *err);

#endif
