/* SPDX-License-Identifier: Apache-2.0 */
/* The row of model_metrics that belongs to a version: written when it begins to
 * serve, and read for the accuracy that its metadata does not say. */
#ifndef OLHO_APPS_MODEL_ROW_H
#define OLHO_APPS_MODEL_ROW_H

#include "apps/app.h"

/* Queues both on app->background; nobody waits. */
void model_row_begin(const struct app *app, struct model_version *version);

/* From metadata.json, or else from the row; NaN: unknown. */
double model_row_accuracy(const struct model_version *version);

#endif
