/* SPDX-License-Identifier: Apache-2.0 */
/* The start-up that commands share: model and index by the settings. One
 * thread. */
#ifndef OLHO_CMD_SESSION_H
#define OLHO_CMD_SESSION_H

#include "apps/app.h"

/* Fills *app: finds and loads the model, names the index. config is borrowed
 * until session_close. */
MUST_CHECK int session_open(const struct config *config, struct app *app,
                            struct err *err);
void session_close(struct app *app); /* also of a zeroed one */

/* WORKERS, or the number of processors this process may use. */
int session_worker_count(const struct config *config);

#endif
