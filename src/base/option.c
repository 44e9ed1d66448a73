/* SPDX-License-Identifier: Apache-2.0 */
#include "base/option.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

enum { SHOWN_LEN = 80 }; /* of a text in an error */

static void *field_of(const struct option *row, void *settings)
{
    return (char *)settings + row->offset;
}

static const void *value_of(const struct option *row, const void *settings)
{
    return (const char *)settings + row->offset;
}

/* "NAME is 'text'; it must be ...", without the text when it is a secret. */
static int refuse(const struct option *row, const char *text, struct err *err,
                  const char *format, ...) PRINTF_LIKE(4, 5);
static int refuse(const struct option *row, const char *text, struct err *err,
                  const char *format, ...)
{
    char must[ERR_TEXT_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(must, sizeof must, format, args);
    va_end(args);
    if (row->is_secret)
        return err_set(err, ERR_INVALID, "%s must be %s", row->name, must);
    return err_set(err, ERR_INVALID, "%s is '%.*s'; it must be %s", row->name,
                   SHOWN_LEN, text, must);
}

static int set_integer(const struct option *row, int64_t *field,
                       const char *text, struct err *err)
{
    const char *digits = text[0] == '-' || text[0] == '+' ? text + 1 : text;
    char *end = NULL;
    long long value;

    errno = 0;
    value = strtoll(text, &end, 10);
    if (digits[0] < '0' || digits[0] > '9' || *end != '\0' || errno != 0 ||
        (double)value < row->min || (double)value > row->max)
        return refuse(row, text, err, "a whole number from %.0f to %.0f",
                      row->min, row->max);
    *field = value;
    return 0;
}

static int set_real(const struct option *row, double *field, const char *text,
                    struct err *err)
{
    char *end = NULL;
    double value = strtod(text, &end);

    /* strtod also reads "inf", "nan", "0x1p3" and leading spaces. */
    if (text[0] == '\0' || strspn(text, "0123456789+-.eE") != strlen(text) ||
        *end != '\0' || !isfinite(value) || value < row->min ||
        value > row->max)
        return refuse(row, text, err, "a number from %g to %g", row->min,
                      row->max);
    *field = value;
    return 0;
}

static int set_bool(const struct option *row, bool *field, const char *text,
                    struct err *err)
{
    static const struct {
        const char *text;
        bool value;
    } words[] = {
        {"1", true},   {"0", false},  {"true", true}, {"false", false},
        {"yes", true}, {"no", false}, {"on", true},   {"off", false},
    };
    size_t i;

    for (i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcasecmp(words[i].text, text) == 0) {
            *field = words[i].value;
            return 0;
        }
    }
    return refuse(row, text, err, "true or false");
}

static int set_text(const struct option *row, char **field, const char *text,
                    struct err *err)
{
    size_t len = strlen(text);

    if ((double)len < row->min || (double)len > row->max)
        return refuse(row, text, err,
                      "a text of %.0f to %.0f bytes, and has %zu", row->min,
                      row->max, len);
    mem_free(*field);
    *field = mem_text(text);
    return 0;
}

/* The length of the choice at p, which ends at '|' or NUL. */
static size_t choice_len(const char *p)
{
    return strcspn(p, "|");
}

static int set_choice(const struct option *row, int64_t *field,
                      const char *text, struct err *err)
{
    const char *p = row->choices;
    int64_t place = 0;

    for (;;) {
        size_t len = choice_len(p);

        if (strlen(text) == len && strncasecmp(p, text, len) == 0) {
            *field = place;
            return 0;
        }
        if (p[len] == '\0')
            return refuse(row, text, err, "one of %s", row->choices);
        p += len + 1;
        place++;
    }
}

int option_set(const struct option *row, void *settings, const char *text,
               struct err *err)
{
    void *field = field_of(row, settings);

    switch (row->type) {
    case OPTION_INTEGER:
        return set_integer(row, field, text, err);
    case OPTION_REAL:
        return set_real(row, field, text, err);
    case OPTION_BOOL:
        return set_bool(row, field, text, err);
    case OPTION_TEXT:
        return set_text(row, field, text, err);
    case OPTION_CHOICE:
        return set_choice(row, field, text, err);
    }
    assert(!"an option of unknown type");
    return ERR_INTERNAL;
}

void option_preset(const struct option *table, size_t count, void *settings)
{
    struct err err = {0};
    size_t i;

    for (i = 0; i < count; i++) {
        int rc = option_set(&table[i], settings, table[i].preset, &err);

        assert(rc == 0);
        (void)rc;
    }
}

void option_release(const struct option *table, size_t count, void *settings)
{
    size_t i;

    for (i = 0; i < count; i++) {
        char **field;

        if (table[i].type != OPTION_TEXT)
            continue;
        field = field_of(&table[i], settings);
        mem_free(*field);
        *field = NULL;
    }
}

const struct option *option_find(const struct option *table, size_t count,
                                 const char *name)
{
    size_t i;

    for (i = 0; i < count; i++)
        if (strcmp(table[i].name, name) == 0 ||
            (table[i].flag != NULL && strcmp(table[i].flag, name) == 0))
            return &table[i];
    return NULL;
}

int option_read_environment(const struct option *table, size_t count,
                            void *settings, enum option_source *sources,
                            struct err *err)
{
    size_t i;
    int rc;

    for (i = 0; i < count; i++) {
        const char *text = getenv(table[i].name);

        if (text == NULL || (text[0] == '\0' && table[i].type != OPTION_TEXT))
            continue;
        rc = option_set(&table[i], settings, text, err);
        if (rc)
            return rc;
        if (sources != NULL)
            sources[i] = OPTION_FROM_ENVIRONMENT;
    }
    return 0;
}

void option_print(const struct option *row, const void *settings,
                  struct buf *out)
{
    const void *value = value_of(row, settings);
    const char *text = row->type == OPTION_TEXT ? *(char *const *)value : "";
    const char *p = row->choices;
    int64_t i;

    if (row->is_secret &&
        (row->type != OPTION_TEXT || (text != NULL && text[0] != '\0'))) {
        buf_add_text(out, "***");
        return;
    }
    switch (row->type) {
    case OPTION_INTEGER:
        buf_printf(out, "%lld", (long long)*(const int64_t *)value);
        break;
    case OPTION_REAL:
        buf_printf(out, "%.15g", *(const double *)value);
        break;
    case OPTION_BOOL:
        buf_add_text(out, *(const bool *)value ? "true" : "false");
        break;
    case OPTION_TEXT:
        buf_add_text(out, text == NULL ? "" : text);
        break;
    case OPTION_CHOICE:
        for (i = 0; i < *(const int64_t *)value; i++)
            p += choice_len(p) + 1;
        buf_add(out, p, choice_len(p));
        break;
    }
}
