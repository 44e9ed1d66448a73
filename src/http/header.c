/* SPDX-License-Identifier: Apache-2.0 */
#include "http/header.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char space[] = " \t";

static int unterminated(struct err *err)
{
    return err_set(err, ERR_INVALID,
                   "a header has a quoted text without its closing quote");
}

/* The end of the value at text: behind the closing quote, or at the next
 * semicolon or space. NULL when a quote is not closed. */
static const char *value_end(const char *text)
{
    if (*text != '"')
        return text + strcspn(text, "; \t");
    for (text++; *text != '"'; text++) {
        if (*text == '\\' && (text[1] == '"' || text[1] == '\\'))
            text++;
        if (*text == '\0')
            return NULL;
    }
    return text + 1;
}

/* Removes the quotes. Only \" and \\ are escapes: old browsers send the
 * backslashes of a Windows path as they are. */
static char *unquote(const char *text, size_t len, struct arena *arena)
{
    char *copy = arena_text(arena, text, len);
    size_t i, out = 0;

    if (copy == NULL || len < 2 || copy[0] != '"')
        return copy;
    for (i = 1; i + 1 < len; i++) {
        if (copy[i] == '\\' && i + 2 < len &&
            (copy[i + 1] == '"' || copy[i + 1] == '\\'))
            i++;
        copy[out++] = copy[i];
    }
    copy[out] = '\0';
    return copy;
}

int header_param(const char *value, const char *name, struct arena *arena,
                 char **out, struct err *err)
{
    const char *at = value + strcspn(value, ";");
    char *text;

    while (*at == ';') {
        const char *key, *end;
        size_t key_len;

        key = at + 1 + strspn(at + 1, space);
        key_len = strcspn(key, "=; \t");
        at = key + key_len;
        at += strspn(at, space);
        if (*at != '=')
            continue;
        at += 1 + strspn(at + 1, space);
        end = value_end(at);
        if (end == NULL)
            return unterminated(err);
        if (strlen(name) == key_len && strncasecmp(key, name, key_len) == 0) {
            text = unquote(at, (size_t)(end - at), arena);
            if (text == NULL)
                return err_set(err, ERR_UNAVAILABLE, "no memory for a header");
            *out = text;
            return 0;
        }
        at = end + strspn(end, space);
    }
    if (*at != '\0')
        return err_set(err, ERR_INVALID,
                       "a header's parameters are not well formed");
    *out = NULL;
    return 0;
}

const char *header_main(const char *value, struct arena *arena)
{
    size_t len, i;
    char *text;

    value += strspn(value, space);
    len = strcspn(value, "; \t");
    text = arena_text(arena, value, len);
    for (i = 0; text != NULL && i < len; i++)
        text[i] = (char)tolower((unsigned char)text[i]);
    return text;
}

/* Whether the q of `;q=0.5` is above 0; without one it is 1. */
static bool is_wanted(const char *params, size_t len)
{
    const char *end = params + len;

    while (params < end &&
           (*params == ';' || *params == ' ' || *params == '\t'))
        params++;
    if (end - params < 3 || (params[0] != 'q' && params[0] != 'Q') ||
        params[1] != '=')
        return true;
    for (params += 2; params < end; params++)
        if (*params >= '1' && *params <= '9')
            return true;
    return false;
}

bool header_accepts_gzip(const char *accept_encoding)
{
    bool is_any_wanted = false;
    const char *at = accept_encoding;

    while (at != NULL && *at != '\0') {
        size_t item_len, name_len;

        at += strspn(at, ", \t");
        item_len = strcspn(at, ",");
        name_len = strcspn(at, ",; \t");
        if (name_len == 4 && strncasecmp(at, "gzip", 4) == 0)
            return is_wanted(at + name_len, item_len - name_len);
        if (name_len == 1 && at[0] == '*')
            is_any_wanted = is_wanted(at + 1, item_len - 1);
        at += item_len;
    }
    return is_any_wanted;
}

bool header_has_word(const char *list, const char *word)
{
    size_t len = strlen(word);
    const char *at = list;

    while (at != NULL && *at != '\0') {
        size_t item_len;

        at += strspn(at, ", \t");
        item_len = strcspn(at, ", \t");
        if (item_len == len && strncasecmp(at, word, len) == 0)
            return true;
        at += item_len;
    }
    return false;
}
