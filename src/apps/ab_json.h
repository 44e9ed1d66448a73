/* SPDX-License-Identifier: Apache-2.0 */
/* The comparison of versions as JSON, as GET /api/ab answers it and `olho ab`
 * reads it. */
#ifndef OLHO_APPS_AB_JSON_H
#define OLHO_APPS_AB_JSON_H

#include "base/json_write.h"
#include "models/rollout.h"

/* One object: the settings, "arms", and the recommendation of the whole.
 * Rates that are unknown are null. */
void ab_write_report(struct json_writer *json,
                     const struct rollout_report *report);

#endif
