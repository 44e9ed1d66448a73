/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/progress.h"

#include <signal.h>

#include "cmd/terminal.h"

static volatile sig_atomic_t is_stopped;

static void note(int number)
{
    (void)number;
    is_stopped = 1;
}

void progress_catch(void)
{
    struct sigaction action = {.sa_handler = note,
                               .sa_flags = (int)SA_RESETHAND | SA_RESTART};

    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool progress_is_stopped(void)
{
    return is_stopped != 0;
}

int progress_go_on(struct err *err)
{
    return is_stopped ? err_set(err, ERR_UNAVAILABLE, "stopped by a signal")
                      : 0;
}

int progress_show(void *user, int64_t done, int64_t total)
{
    const struct progress *progress = user;

    terminal_progress(progress->what, done, total, progress->begin_us);
    return is_stopped;
}
