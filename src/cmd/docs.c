/* SPDX-License-Identifier: Apache-2.0 */
/* The reference pages under docs/, printed from the program's own tables so
 * that they cannot differ from it. */
#include <stdio.h>
#include <string.h>

#include "cmd/apis.h"
#include "cmd/command.h"
#include "obs/metrics.h"

enum { PAGE_LEN_MAX = 1 << 20 };

static void begin(struct buf *page, const char *title, const char *command)
{
    buf_printf(page,
               "# %s\n\nPrinted by `olho docs %s`; `make docs` writes it "
               "anew.\n\n",
               title, command);
}

/* A cell of a table: '|' would end it. */
static void add_cell(struct buf *page, const char *text)
{
    const char *p;

    for (p = text; *p != '\0'; p++)
        if (*p == '|')
            buf_add_text(page, "\\|");
        else
            buf_add_char(page, *p);
}

static void document_api(struct buf *page)
{
    int i, j;

    begin(page, "HTTP routes", "api");
    buf_add_text(page, "Requests and replies are described in "
                       "[collector-api.md](collector-api.md).\n");
    for (i = 0; i < api_count; i++) {
        buf_printf(page,
                   "\n## %s\n\n| method | path | scope | largest body | |\n"
                   "|---|---|---|---|---|\n",
                   apis[i]->name);
        for (j = 0; j < apis[i]->route_count; j++) {
            const struct http_route *route = &apis[i]->routes[j];

            buf_printf(page, "| %s | `%s` | %s | %s | %s |\n", route->method,
                       route->path, scope_name(route->scope),
                       body_name(route->body), route->help);
        }
    }
}

static void document_commands(struct buf *page)
{
    int i;

    begin(page, "Commands", "commands");
    for (i = 0; i < command_count; i++) {
        buf_printf(page, "## olho %s\n\n```\n", commands[i].name);
        command_help(&commands[i], page);
        buf_add_text(page, "```\n\n");
    }
}

static void add_option(struct buf *page, const struct option *row)
{
    buf_printf(page, "| `%s` | `--%s` | ", row->name, row->flag);
    if (row->preset[0] != '\0')
        buf_printf(page, "`%s`", row->preset);
    buf_add_text(page, " | ");
    if (row->type == OPTION_CHOICE)
        add_cell(page, row->choices);
    else if (row->type == OPTION_BOOL)
        add_cell(page, "true|false");
    else if (row->type != OPTION_TEXT)
        buf_printf(page, "%.10g..%.10g", row->min, row->max);
    buf_add_text(page, " | ");
    add_cell(page, row->help);
    buf_printf(page, "%s |\n", row->is_live ? " Read anew on SIGHUP." : "");
}

static void document_config(struct buf *page)
{
    size_t i;

    begin(page, "Settings", "config");
    buf_add_text(page, "Settings come from `.env` in the working folder, the "
                       "environment and flags; the later one wins.\n\n"
                       "| variable | flag | default | values | |\n"
                       "|---|---|---|---|---|\n");
    for (i = 0; i < config_option_count; i++)
        add_option(page, &config_options[i]);
}

static void document_errors(struct buf *page)
{
    int code;

    begin(page, "Errors", "errors");
    buf_add_text(page,
                 "The collector API answers an error as `{\"erro\": text, "
                 "\"error\": text, \"request_id\": id}`; both texts are the "
                 "same.\n\n| error | HTTP status |\n|---|---|\n");
    for (code = ERR_OK + 1; code < ERR_COUNT; code++)
        buf_printf(page, "| %s | %d |\n", err_name((enum err_code)code),
                   err_http((enum err_code)code));
}

static void document_metrics(struct buf *page)
{
    begin(page, "Metrics", "metrics");
    metrics_document(page);
}

static const struct {
    const char *name;
    void (*write)(struct buf *page);
} pages[] = {
    {"api", document_api},         {"commands", document_commands},
    {"config", document_config},   {"errors", document_errors},
    {"metrics", document_metrics},
};

int command_docs(struct arguments *arguments, struct err *err)
{
    struct buf page;
    size_t i;
    int rc = -1;

    buf_init(&page, PAGE_LEN_MAX);
    for (i = 0; i < sizeof pages / sizeof pages[0]; i++)
        if (strcmp(pages[i].name, arguments->words[0]) == 0) {
            pages[i].write(&page);
            rc = buf_check(&page, err);
        }
    if (rc == 0)
        fputs(page.data, stdout);
    else if (rc < 0)
        err_set(err, ERR_INVALID,
                "there is no page \"%.40s\"; api, commands, config, errors and "
                "metrics are there",
                arguments->words[0]);
    buf_release(&page);
    return rc ? EXIT_FAILED : EXIT_FINE;
}
