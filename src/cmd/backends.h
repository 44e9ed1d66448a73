/* SPDX-License-Identifier: Apache-2.0 */
/* What a server has beside its model: database, stored images, cache, checks,
 * versions to compare. One thread. */
#ifndef OLHO_CMD_BACKENDS_H
#define OLHO_CMD_BACKENDS_H

#include "apps/app.h"

/* Opens them by the settings into *app, which session_open has filled. What is
 * away is no failure; a setting that cannot be is. Ended with backends_close,
 * also after a failure. */
MUST_CHECK int backends_open(struct app *app, struct err *err);

/* Writes the rows that wait and ends everything. The server has stopped. */
void backends_close(struct app *app);

#endif
