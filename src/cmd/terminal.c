/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/terminal.h"

#include <langinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

enum { PROGRESS_WIDTH = 30, PROGRESS_EVERY_US = 100000, PATIENCE_US = 1000000 };

static int64_t drawn_us; /* when the progress line was drawn; 0: it is not */

static bool has_colours(void)
{
    const char *no_color = getenv("NO_COLOR");

    return isatty(STDOUT_FILENO) && (no_color == NULL || no_color[0] == '\0');
}

static bool has_blocks(void)
{
    return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

static void put_bar(FILE *file, double share, int width, const char *colour)
{
    static const char *const eighths[] = {"",  "▏", "▎", "▍",
                                          "▌", "▋", "▊", "▉"};
    int cells, i, rest;

    share = share < 0 ? 0 : share > 1 ? 1 : share;
    cells = (int)(share * width * 8 + 0.5);
    rest = cells % 8;
    cells /= 8;
    fputs(colour, file);
    for (i = 0; i < cells; i++)
        fputs(has_blocks() ? "█" : "#", file);
    if (has_blocks() && rest > 0)
        fputs(eighths[rest], file);
    if (colour[0] != '\0')
        fputs("\033[0m", file);
    for (i = cells + (has_blocks() && rest > 0); i < width; i++)
        fputc(' ', file);
}

void terminal_bar(double share, int width)
{
    put_bar(stdout, share, width, has_colours() ? "\033[36m" : "");
}

static void put_styled(const char *text, const char *style)
{
    if (has_colours())
        printf("%s%s\033[0m", style, text);
    else
        fputs(text, stdout);
}

void terminal_bold(const char *text)
{
    put_styled(text, "\033[1m");
}

void terminal_dim(const char *text)
{
    put_styled(text, "\033[2m");
}

void terminal_progress(const char *what, int64_t done, int64_t total,
                       int64_t begin_us)
{
    int64_t now_us = clock_us();

    if (!isatty(STDERR_FILENO) || total < 1 ||
        now_us - begin_us < PATIENCE_US ||
        (drawn_us != 0 && now_us - drawn_us < PROGRESS_EVERY_US))
        return;
    fputs("\r\033[K", stderr);
    put_bar(stderr, (double)done / (double)total, PROGRESS_WIDTH, "\033[36m");
    fprintf(stderr, " %lld of %lld %s, %.0f a second", (long long)done,
            (long long)total, what,
            (double)done * 1e6 / (double)(now_us - begin_us));
    fflush(stderr);
    drawn_us = now_us;
}

void terminal_progress_end(void)
{
    if (drawn_us == 0)
        return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
    drawn_us = 0;
}
