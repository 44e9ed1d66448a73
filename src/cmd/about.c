/* SPDX-License-Identifier: Apache-2.0 */
/* Commands that print the program's own tables: help, version, routes,
 * config. */
#include <stdio.h>
#include <string.h>

#include "base/json_write.h"
#include "cmd/apis.h"
#include "cmd/command.h"
#include "image/decode.h"
#include "image/transform.h"
#include "infer/engine.h"

enum { TEXT_LEN_MAX = 1 << 20 };

static int print(struct buf *text, struct err *err)
{
    int rc = buf_check(text, err);

    if (rc == 0 && text->data != NULL)
        fputs(text->data, stdout);
    buf_release(text);
    return rc ? EXIT_FAILED : EXIT_FINE;
}

int command_help_run(struct arguments *arguments, struct err *err)
{
    char name[128] = "";
    struct buf text;
    int i;

    buf_init(&text, TEXT_LEN_MAX);
    for (i = 0; i < arguments->word_count; i++)
        snprintf(name + strlen(name), sizeof name - strlen(name), "%s%.50s",
                 i > 0 ? " " : "", arguments->words[i]);
    if (name[0] == '\0')
        command_help_all(&text);
    if (command_is_group(name))
        command_help_group(name, &text);
    for (i = 0; i < command_count; i++)
        if (name[0] != '\0' && strcmp(commands[i].name, name) == 0)
            command_help(&commands[i], &text);
    if (text.len == 0) {
        err_set(err, ERR_INVALID, "there is no command \"%s\"", name);
        buf_release(&text);
        return EXIT_USAGE;
    }
    return print(&text, err);
}

int command_version(struct arguments *arguments, struct err *err)
{
    struct json_writer json;
    struct buf text;

    buf_init(&text, TEXT_LEN_MAX);
    if (arguments_flag(arguments, "json") == NULL) {
        buf_printf(&text,
                   "olho %s\nengine   %s\nimages   %s\nkernels  %s\n"
                   "built in %s\n",
                   OLHO_VERSION, engine_version(), image_formats(),
                   transform_kernels(),
                   OLHO_FEATURES[0] != '\0' ? OLHO_FEATURES : "core only");
        return print(&text, err);
    }
    json_writer_init(&json, &text);
    json_object_begin(&json);
    json_key(&json, "version");
    json_put_text(&json, OLHO_VERSION);
    json_key(&json, "engine");
    json_put_text(&json, engine_version());
    json_key(&json, "images");
    json_put_text(&json, image_formats());
    json_key(&json, "kernels");
    json_put_text(&json, transform_kernels());
    json_key(&json, "features");
    json_put_text(&json, OLHO_FEATURES);
    json_object_end(&json);
    buf_add_char(&text, '\n');
    return print(&text, err);
}

int command_routes(struct arguments *arguments, struct err *err)
{
    struct buf text;
    int i, j;

    (void)arguments;
    buf_init(&text, TEXT_LEN_MAX);
    for (i = 0; i < api_count; i++)
        for (j = 0; j < apis[i]->route_count; j++) {
            const struct http_route *route = &apis[i]->routes[j];

            buf_printf(&text, "%-5s %-28s %-6s %-18s %s\n", route->method,
                       route->path, scope_name(route->scope),
                       body_name(route->body), route->help);
        }
    return print(&text, err);
}

static const char *source_name(enum option_source source)
{
    static const char *const names[] = {
        [OPTION_FROM_PRESET] = "default",
        [OPTION_FROM_DOTENV] = ".env",
        [OPTION_FROM_ENVIRONMENT] = "environment",
        [OPTION_FROM_FLAG] = "flag",
    };

    return names[source];
}

/* "1..65535", "0.1..3600", "warn|reject|off", "yes or no", or "". */
static void describe_bounds(const struct option *row, char *out, size_t len)
{
    if (row->type == OPTION_CHOICE)
        snprintf(out, len, "%s", row->choices);
    else if (row->type == OPTION_BOOL)
        snprintf(out, len, "true|false");
    else if (row->type == OPTION_TEXT)
        out[0] = '\0';
    else
        snprintf(out, len, "%.10g..%.10g", row->min, row->max);
}

static void add_config_help(struct buf *text)
{
    char flag[64], bounds[80];
    size_t i;

    buf_add_text(text, "usage: olho config [--flag...]\n\n"
                       "Settings come from .env in the working folder, the "
                       "environment and flags;\nthe later one wins.\n\n");
    for (i = 0; i < config_option_count; i++) {
        const struct option *row = &config_options[i];

        snprintf(flag, sizeof flag, "--%s", row->flag);
        describe_bounds(row, bounds, sizeof bounds);
        buf_printf(text, "%-26s %-30s %s%s%s\n    %s%s\n", row->name, flag,
                   row->preset[0] != '\0' ? row->preset : "\"\"",
                   bounds[0] != '\0' ? "  of " : "", bounds, row->help,
                   row->is_live ? " Read anew on SIGHUP." : "");
    }
}

static void add_config_json(const struct arguments *arguments, struct buf *text)
{
    struct json_writer json;
    struct buf value;
    size_t i;

    buf_init(&value, TEXT_LEN_MAX);
    json_writer_init(&json, text);
    json_object_begin(&json);
    for (i = 0; i < config_option_count; i++) {
        buf_clear(&value);
        option_print(&config_options[i], &arguments->config, &value);
        json_key(&json, config_options[i].name);
        json_put_text(&json, value.data != NULL ? value.data : "");
    }
    json_object_end(&json);
    buf_add_char(text, '\n');
    buf_release(&value);
}

int command_config(struct arguments *arguments, struct err *err)
{
    struct buf text;
    size_t i;

    buf_init(&text, TEXT_LEN_MAX);
    if (arguments->wants_help) {
        add_config_help(&text);
        return print(&text, err);
    }
    if (arguments_flag(arguments, "json") != NULL) {
        add_config_json(arguments, &text);
        return print(&text, err);
    }
    for (i = 0; i < config_option_count; i++) {
        buf_printf(&text, "%s=", config_options[i].name);
        option_print(&config_options[i], &arguments->config, &text);
        buf_printf(&text, "  # %s\n", source_name(arguments->sources[i]));
    }
    return print(&text, err);
}
