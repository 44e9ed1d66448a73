/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/tags.h"

#include <string.h>

static int no_memory(struct err *err)
{
    return err_set(err, ERR_UNAVAILABLE, "no memory for the tags");
}

int tags_read(const struct arguments *arguments, struct arena *arena,
              const struct vec_tag **out, int *out_count, struct err *err)
{
    struct vec_tag *tags = arena_try(arena, VEC_TAGS_MAX, sizeof *tags);
    const char *text, *equals;
    int at = 0, count = 0;

    if (tags == NULL)
        return no_memory(err);
    while ((text = arguments_next(arguments, "tag", &at)) != NULL) {
        equals = strchr(text, '=');
        if (equals == NULL || equals == text)
            return err_set(err, ERR_INVALID,
                           "--tag is '%.60s'; it must be name=value", text);
        if (count == VEC_TAGS_MAX)
            return err_set(err, ERR_INVALID, "there are more than %d --tag",
                           VEC_TAGS_MAX);
        tags[count] = (struct vec_tag){
            arena_text(arena, text, (size_t)(equals - text)), equals + 1};
        if (tags[count++].name == NULL)
            return no_memory(err);
    }
    *out = tags;
    *out_count = count;
    return 0;
}

/* Takes the values apart at their commas, in place. */
static int split(char *text, const char **values, int *out_count,
                 struct err *err)
{
    char *from = text, *to = text, *begin = text;
    int count = 0;
    bool is_last = false;

    while (!is_last) {
        is_last = *from == '\0';
        if (!is_last && *from != ',') {
            if (from[0] == '\\' && from[1] != '\0')
                from++;
            *to++ = *from++;
            continue;
        }
        if (count == VEC_VALUES_MAX)
            return err_set(err, ERR_INVALID, "--where has more than %d values",
                           VEC_VALUES_MAX);
        from++;
        *to++ = '\0';
        values[count++] = begin;
        begin = to;
    }
    *out_count = count;
    return 0;
}

static int read_term(const char *text, struct arena *arena,
                     struct vec_term *out, struct err *err)
{
    const char *equals = strchr(text, '=');
    bool is_not = equals != NULL && equals > text && equals[-1] == '!';
    const char **values;
    size_t name_len;
    char *rest;

    if (equals == NULL || equals - is_not == text)
        return err_set(err, ERR_INVALID,
                       "--where is '%.60s'; it must be name=value[,value...] "
                       "or name!=value[,value...]",
                       text);
    name_len = (size_t)(equals - text) - is_not;
    values = arena_try(arena, VEC_VALUES_MAX, sizeof *values);
    rest = arena_text(arena, equals + 1, strlen(equals + 1));
    *out = (struct vec_term){.name = arena_text(arena, text, name_len),
                             .values = values,
                             .is_not = is_not};
    if (values == NULL || rest == NULL || out->name == NULL)
        return no_memory(err);
    return split(rest, values, &out->value_count, err);
}

int filter_read(const struct arguments *arguments, struct arena *arena,
                struct vec_filter *out, struct err *err)
{
    struct vec_term *terms = arena_try(arena, VEC_TERMS_MAX, sizeof *terms);
    const char *text;
    int at = 0, count = 0, rc;

    if (terms == NULL)
        return no_memory(err);
    while ((text = arguments_next(arguments, "where", &at)) != NULL) {
        if (count == VEC_TERMS_MAX)
            return err_set(err, ERR_INVALID, "there are more than %d --where",
                           VEC_TERMS_MAX);
        rc = read_term(text, arena, &terms[count++], err);
        if (rc)
            return rc;
    }
    *out = (struct vec_filter){terms, count};
    return 0;
}

static bool term_has(const struct vec_term *term, const struct vec_tag *tag)
{
    int i;

    if (strcmp(term->name, tag->name) != 0)
        return false;
    for (i = 0; i < term->value_count; i++)
        if (strcmp(term->values[i], tag->value) == 0)
            return true;
    return false;
}

bool filter_passes(const struct vec_filter *filter, const struct vec_hit *entry)
{
    int i, j;

    for (i = 0; i < filter->term_count; i++) {
        bool is_found = false;

        for (j = 0; j < entry->tag_count && !is_found; j++)
            is_found = term_has(&filter->terms[i], &entry->tags[j]);
        if (is_found == filter->terms[i].is_not)
            return false;
    }
    return true;
}
