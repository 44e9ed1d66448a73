/* SPDX-License-Identifier: Apache-2.0 */
#include <locale.h>
#include <signal.h>
#include <stdio.h>

#include "base/log.h"
#include "base/mem.h"
#include "cmd/command.h"

static int print_help(const struct arguments *arguments)
{
    struct buf text;

    buf_init(&text, 1 << 20);
    if (arguments->group != NULL)
        command_help_group(arguments->group, &text);
    else if (arguments->command == NULL)
        command_help_all(&text);
    else
        command_help(arguments->command, &text);
    fputs(text.data != NULL ? text.data : "", stdout);
    buf_release(&text);
    return EXIT_FINE;
}

static int run(struct arguments *arguments, struct err *err)
{
    const struct config *config = &arguments->config;
    int rc;

    if (arguments->wants_help && (arguments->command == NULL ||
                                  arguments->command->run != command_config))
        return print_help(arguments);
    rc = log_open((enum log_level)config->log_level,
                  (enum log_format)config->log_format,
                  config->log_file[0] != '\0' ? config->log_file : NULL, err);
    return rc ? EXIT_FAILED : arguments->command->run(arguments, err);
}

int main(int argc, char **argv)
{
    struct arguments arguments;
    struct err err = {0};
    int code;

    setlocale(LC_CTYPE, "");
    signal(SIGPIPE, SIG_IGN);
    mem_stay_small();
    if (arguments_read(&arguments, argc - 1, (const char **)argv + 1, &err) !=
        0)
        code = EXIT_USAGE;
    else
        code = run(&arguments, &err);
    if (err.code != ERR_OK)
        fprintf(stderr, "olho: %s\n", err.text);
    if (err.code == ERR_INVALID && code == EXIT_FAILED)
        code = EXIT_USAGE;
    arguments_release(&arguments);
    if ((fflush(stdout) != 0 || ferror(stdout)) && code == EXIT_FINE)
        code = EXIT_FAILED;
    return code;
}
