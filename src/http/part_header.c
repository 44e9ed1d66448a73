/* SPDX-License-Identifier: Apache-2.0 */
#include "http/part_header.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

#include "base/url.h"
#include "http/header.h"

struct reader {
    struct arena *arena;
    int number; /* of the part, from 1 */
};

static int no_memory(struct err *err)
{
    return err_set(err, ERR_UNAVAILABLE, "no memory for the header of a part");
}

/* The filename of RFC 5987 (filename*=UTF-8''na%C3%AFve.jpg): RFC 7578 forbids
 * it, yet older clients send it instead of the plain one. In another charset
 * the name is left out, and the part still counts as a file. */
static int read_filename_star(struct reader *reader, const char *value,
                              struct multipart_part *part, struct err *err)
{
    char *text, *name;
    int rc = header_param(value, "filename*", reader->arena, &text, err);

    if (rc || text == NULL)
        return rc;
    part->filename = "";
    if (strncasecmp(text, "utf-8'", 6) != 0)
        return 0;
    name = strchr(text + 6, '\'');
    if (name == NULL)
        return 0;
    name++;
    if (url_is_clean_text(name, url_decode(name, strlen(name), false)))
        part->filename = name;
    return 0;
}

static int read_disposition(struct reader *reader, const char *value,
                            struct multipart_part *part, struct err *err)
{
    const char *kind = header_main(value, reader->arena);
    char *name, *filename;
    int rc;

    if (kind == NULL)
        return no_memory(err);
    if (strcmp(kind, "form-data") != 0)
        return err_set(err, ERR_INVALID,
                       "part %d is '%.40s'; only form-data is read",
                       reader->number, kind);
    rc = header_param(value, "name", reader->arena, &name, err);
    if (rc)
        return rc;
    rc = header_param(value, "filename", reader->arena, &filename, err);
    if (rc)
        return rc;
    part->name = name;
    part->filename = filename;
    if (filename == NULL)
        rc = read_filename_star(reader, value, part, err);
    part->is_file = part->filename != NULL;
    return rc;
}

static int read_encoding(const struct reader *reader, const char *value,
                         struct err *err)
{
    if (strcasecmp(value, "binary") == 0 || strcasecmp(value, "8bit") == 0 ||
        strcasecmp(value, "7bit") == 0)
        return 0;
    return err_set(err, ERR_INVALID,
                   "part %d has Content-Transfer-Encoding '%.40s'; send the "
                   "bytes as they are",
                   reader->number, value);
}

static int read_type(const struct reader *reader, const char *value,
                     struct multipart_part *part, struct err *err)
{
    if (strncasecmp(value, "multipart/", 10) == 0)
        return err_set(err, ERR_INVALID,
                       "part %d is itself multipart, which is not read",
                       reader->number);
    part->content_type = value;
    return 0;
}

/* One "name: value" line, NUL-terminated. */
static int read_line(struct reader *reader, char *line,
                     struct multipart_part *part, struct err *err)
{
    char *colon = strchr(line, ':'), *value;
    size_t len;

    if (colon == NULL || colon == line)
        return err_set(err, ERR_INVALID,
                       "part %d has a header line without a colon",
                       reader->number);
    *colon = '\0';
    value = colon + 1 + strspn(colon + 1, " \t");
    len = strlen(value);
    while (len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t'))
        value[--len] = '\0';
    if (strcasecmp(line, "Content-Disposition") == 0)
        return read_disposition(reader, value, part, err);
    if (strcasecmp(line, "Content-Type") == 0)
        return read_type(reader, value, part, err);
    if (strcasecmp(line, "Content-Transfer-Encoding") == 0)
        return read_encoding(reader, value, err);
    return 0;
}

static int check_names(const struct reader *reader,
                       const struct multipart_part *part, struct err *err)
{
    if (part->name == NULL)
        return err_set(err, ERR_INVALID, "part %d of the form has no name",
                       reader->number);
    if (!url_is_clean_text(part->name, strlen(part->name)))
        return err_set(err, ERR_INVALID,
                       "the name of part %d is not clean UTF-8",
                       reader->number);
    if (part->filename != NULL &&
        !url_is_clean_text(part->filename, strlen(part->filename)))
        return err_set(err, ERR_INVALID,
                       "the filename of part %d is not clean UTF-8",
                       reader->number);
    return 0;
}

/* A line that begins with a space goes on with the one before (RFC 822). */
static void unfold(char *text)
{
    while ((text = strstr(text, "\r\n")) != NULL) {
        if (text[2] == ' ' || text[2] == '\t')
            memcpy(text, "  ", 2);
        text += 2;
    }
}

int part_header_read(struct bytes text, int number, struct arena *arena,
                     struct multipart_part *out, struct err *err)
{
    struct multipart_part part = {.content_type = ""};
    struct reader reader = {arena, number};
    char *copy, *line, *end;
    int rc = 0;

    if (text.len > 0 && memchr(text.data, '\0', text.len) != NULL)
        return err_set(err, ERR_INVALID, "part %d has a NUL in its header",
                       number);
    copy = arena_text(arena, (const char *)text.data, text.len);
    if (copy == NULL)
        return no_memory(err);
    unfold(copy);
    for (line = copy; rc == 0 && *line != '\0'; line = end + 2) {
        end = strstr(line, "\r\n");
        assert(end != NULL);
        *end = '\0';
        rc = read_line(&reader, line, &part, err);
    }
    if (rc == 0)
        rc = check_names(&reader, &part, err);
    if (rc == 0)
        *out = part;
    return rc;
}
