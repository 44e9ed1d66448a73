/* SPDX-License-Identifier: Apache-2.0 */
/* What people see in a terminal: bars, colours and progress. Colours and
 * progress only where a person looks (isatty, and NO_COLOR is not set). One
 * thread at a time. */
#ifndef OLHO_CMD_TERMINAL_H
#define OLHO_CMD_TERMINAL_H

#include <stdbool.h>
#include <stdint.h>

/* A bar of `width` cells for share 0..1, written to stdout. */
void terminal_bar(double share, int width);

/* Text in bold or dim on stdout, plain where there are no colours. */
void terminal_bold(const char *text);
void terminal_dim(const char *text);

/* A line on stderr that says `done` of `total`, drawn anew at most ten times
 * a second, from one second after begin_us (clock_us) on; nothing when stderr
 * is no terminal. */
void terminal_progress(const char *what, int64_t done, int64_t total,
                       int64_t begin_us);

/* Wipes the progress line, before other output and at the end. */
void terminal_progress_end(void);

#endif
