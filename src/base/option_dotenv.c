/* SPDX-License-Identifier: Apache-2.0 */
/* `.env` files as the usual readers of them take them:
 *
 *     # a comment
 *     export NAME=value          # a comment needs a space before it
 *     NAME = "two words\n"       in double quotes \n \r \t \" \\ \$ count
 *     NAME='as $it stands \n'    in single quotes nothing does
 *
 * Quoted values may go over several lines. A bare NAME without '=' says
 * nothing and is passed over. ${NAME} is not replaced. */
#include "base/option.h"

#include <string.h>

enum { NAME_LEN_MAX = 128, VALUE_LEN_MAX = 64 << 10 };

struct reader {
    const char *at, *end;
    int line; /* from 1 */
};

static char peek(const struct reader *reader)
{
    return reader->at < reader->end ? *reader->at : '\n';
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static void skip_blanks(struct reader *reader)
{
    while (is_blank(peek(reader)) && reader->at < reader->end)
        reader->at++;
}

static void skip_line(struct reader *reader)
{
    while (peek(reader) != '\n')
        reader->at++;
    if (reader->at < reader->end)
        reader->at++;
    reader->line++;
}

static bool is_name_char(char c, bool is_first)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' ||
           (!is_first && ((c >= '0' && c <= '9') || c == '.' || c == '-'));
}

static int read_name(struct reader *reader, char *out, struct err *err)
{
    size_t len = 0;

    while (is_name_char(peek(reader), len == 0)) {
        if (len == NAME_LEN_MAX - 1)
            return err_set(err, ERR_INVALID,
                           "line %d: a name is longer than %d bytes",
                           reader->line, NAME_LEN_MAX - 1);
        out[len++] = *reader->at++;
    }
    out[len] = '\0';
    if (len == 0)
        return err_set(err, ERR_INVALID, "line %d: not NAME=value",
                       reader->line);
    return 0;
}

/* Takes a backslash and what follows it in double quotes. */
static void read_escape(struct reader *reader, struct buf *out)
{
    static const char names[] = "nrt\"\\$", bytes[] = "\n\r\t\"\\$";
    const char *found;

    reader->at++;
    found = reader->at < reader->end ? strchr(names, *reader->at) : NULL;
    if (found == NULL) {
        buf_add_char(out, '\\');
        return;
    }
    buf_add_char(out, bytes[found - names]);
    reader->at++;
}

static int read_quoted(struct reader *reader, struct buf *out, struct err *err)
{
    char quote = *reader->at++;
    int first_line = reader->line;

    while (reader->at < reader->end && *reader->at != quote) {
        if (*reader->at == '\\' && quote == '"') {
            read_escape(reader, out);
            continue;
        }
        reader->line += *reader->at == '\n';
        buf_add_char(out, *reader->at++);
    }
    if (reader->at == reader->end)
        return err_set(err, ERR_INVALID, "line %d: a quote is not closed",
                       first_line);
    reader->at++;
    skip_blanks(reader);
    if (peek(reader) != '\n' && peek(reader) != '#')
        return err_set(err, ERR_INVALID,
                       "line %d: text after the closing quote", reader->line);
    return 0;
}

/* Up to the end of the line or a '#' after a blank. */
static void read_plain(struct reader *reader, struct buf *out)
{
    const char *start = reader->at, *end;
    char before = ' ';

    while (peek(reader) != '\n' && !(*reader->at == '#' && is_blank(before)))
        before = *reader->at++;
    end = reader->at;
    while (end > start && is_blank(end[-1]))
        end--;
    buf_add(out, start, (size_t)(end - start));
}

/* Leaves name empty when the line says nothing. */
static int read_line(struct reader *reader, char *name, struct buf *value,
                     struct err *err)
{
    int rc;

    name[0] = '\0';
    buf_clear(value);
    skip_blanks(reader);
    if (peek(reader) == '\n' || peek(reader) == '#')
        return 0;
    rc = read_name(reader, name, err);
    if (rc)
        return rc;
    if (strcmp(name, "export") == 0 && is_blank(peek(reader))) {
        skip_blanks(reader);
        rc = read_name(reader, name, err);
        if (rc)
            return rc;
    }
    skip_blanks(reader);
    if (peek(reader) == '\n') {
        name[0] = '\0';
        return 0;
    }
    if (*reader->at != '=')
        return err_set(err, ERR_INVALID, "line %d: no '=' after %s",
                       reader->line, name);
    reader->at++;
    skip_blanks(reader);
    if (peek(reader) == '"' || peek(reader) == '\'')
        return read_quoted(reader, value, err);
    read_plain(reader, value);
    return 0;
}

static int apply(const struct option *table, size_t count, void *settings,
                 const char *name, const struct buf *value,
                 enum option_source *sources, struct err *err)
{
    size_t i;
    int rc;

    for (i = 0; i < count; i++)
        if (strcmp(table[i].name, name) == 0)
            break;
    if (i == count)
        return 0;
    rc = buf_check(value, err);
    if (rc)
        return rc;
    if (value->len == 0 && table[i].type != OPTION_TEXT)
        return 0;
    rc = option_set(&table[i], settings, value->len == 0 ? "" : value->data,
                    err);
    if (rc == 0 && sources != NULL)
        sources[i] = OPTION_FROM_DOTENV;
    return rc;
}

int option_read_dotenv(const struct option *table, size_t count, void *settings,
                       struct bytes text, enum option_source *sources,
                       struct err *err)
{
    struct reader reader = {.line = 1};
    char name[NAME_LEN_MAX];
    struct buf value;
    int rc = 0, line;

    if (text.len == 0)
        return 0;
    if (memchr(text.data, '\0', text.len) != NULL)
        return err_set(err, ERR_INVALID, "there is a NUL byte in it");
    reader.at = (const char *)text.data;
    reader.end = reader.at + text.len;
    if (text.len >= 3 && memcmp(text.data, "\xef\xbb\xbf", 3) == 0)
        reader.at += 3;
    buf_init(&value, VALUE_LEN_MAX);
    while (rc == 0 && reader.at < reader.end) {
        line = reader.line;
        rc = read_line(&reader, name, &value, err);
        if (rc)
            break;
        rc = apply(table, count, settings, name, &value, sources, err);
        if (rc)
            err_wrap(err, "line %d", line);
        else
            skip_line(&reader);
    }
    buf_release(&value);
    return rc;
}
