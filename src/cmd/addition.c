/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/addition.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cmd/names.h"
#include "cmd/progress.h"
#include "cmd/terminal.h"
#include "cmd/vec_lines.h"

enum { GROUP_MAX = 1000, LINE_MEMORY_MAX = 64 << 20 };

/* --- what became of them -------------------------------------------------- */

static void tell_image(const struct vec_entry *entry,
                       enum intake_outcome outcome, const struct err *why)
{
    static const char *const words[] = {[INTAKE_ADDED] = "added",
                                        [INTAKE_REPLACED] = "updated",
                                        [INTAKE_WRITTEN] = "written"};

    terminal_progress_end();
    if (outcome == INTAKE_FAILED)
        fprintf(stderr, "olho: %s: %s\n", entry->path, why->text);
    else
        printf("%s %s\n", words[outcome], entry->path);
    fflush(stdout);
}

static void tell_unread(struct addition *addition, int64_t number,
                        const struct err *why)
{
    terminal_progress_end();
    fprintf(stderr, "olho: %s, %s %lld: %s\n", addition->file, addition->unit,
            (long long)number, why->text);
}

static void tell(void *user, const struct vec_entry *entry, int64_t number,
                 enum intake_outcome outcome, const struct err *why)
{
    struct addition *addition = user;

    if (addition->file == NULL)
        tell_image(entry, outcome, why);
    else if (outcome == INTAKE_FAILED)
        tell_unread(addition, number, why);
}

/* --- into the set --------------------------------------------------------- */

/* Opens what is there; makes it of vectors of `dim` values when it is not. */
static int open_store(struct addition *addition, int dim, struct err *err)
{
    struct target *target = &addition->target;
    struct err absent = {0};
    int rc =
        target_open_store(target, VEC_WRITE, &addition->options, 0, &absent);

    if (rc == ERR_NOT_FOUND)
        rc = target_open_store(target, VEC_WRITE, &addition->options, dim, err);
    else if (rc)
        *err = absent;
    if (rc == 0 && target->info.torn_len > 0)
        fprintf(stderr,
                "olho: %lld bytes of an addition that never finished were cut "
                "off %s\n",
                (long long)target->info.torn_len, target->shown);
    return rc;
}

int addition_begin(struct addition *addition, int dim, struct err *err)
{
    int rc = 0;

    if (addition->intake != NULL)
        return 0;
    if (addition->target.store == NULL)
        rc = open_store(addition, dim, err);
    return rc ? rc
              : intake_new(addition->target.store, GROUP_MAX, tell, addition,
                           &addition->intake, err);
}

int addition_end(struct addition *addition, struct err *err)
{
    int rc = addition->intake != NULL ? intake_flush(addition->intake, err) : 0;

    addition->file = NULL;
    return rc;
}

int addition_put(struct addition *addition, const struct vec_entry *entry,
                 const char *label, int dim, int64_t number, struct err *err)
{
    struct vec_tag tags[2 * VEC_TAGS_MAX + 1];
    struct vec_entry tagged = *entry;
    int i, count = 0;

    if (label != NULL && label[0] != '\0')
        tags[count++] = (struct vec_tag){"label", label};
    for (i = 0; i < addition->tag_count; i++)
        tags[count++] = addition->tags[i];
    for (i = 0; i < entry->tag_count; i++)
        tags[count++] = entry->tags[i];
    tagged.tags = tags;
    tagged.tag_count = count;
    return intake_add(addition->intake, &tagged, dim, number, err);
}

void addition_folder(const char *path, char out[VEC_TAG_VALUE_MAX + 1])
{
    const char *end = strrchr(path, '/'), *begin = end;

    out[0] = '\0';
    if (end == NULL)
        return;
    while (begin > path && begin[-1] != '/')
        begin--;
    if (end - begin <= VEC_TAG_VALUE_MAX)
        snprintf(out, VEC_TAG_VALUE_MAX + 1, "%.*s", (int)(end - begin), begin);
}

/* --- vectors -------------------------------------------------------------- */

/* Rows of a matrix or of an index, and what they are called. */
struct rows {
    struct npy_matrix matrix;
    struct vecindex *index; /* owned; NULL: the matrix */
    float *row;             /* owned; of the index */
    int64_t count;
    int dim;
    struct names names;
};

static void rows_release(struct rows *rows)
{
    npy_matrix_release(&rows->matrix);
    vecindex_free(rows->index);
    mem_free(rows->row);
    names_release(&rows->names);
}

/* Rows of an index in the order of their ids, which names are told by; so
 * lists are taken apart first. */
static int rows_open_index(const char *path, struct rows *rows, struct err *err)
{
    const struct vecindex_options options = {.type = VECINDEX_FLAT,
                                             .is_lean = true};
    struct vecindex_info info;
    int rc = vecindex_open(path, &options, &rows->index, err);

    if (rc)
        return rc;
    vecindex_info(rows->index, &info);
    rows->count = info.count;
    rows->dim = info.dim;
    rows->row = mem_try((size_t)info.dim, sizeof *rows->row);
    return rows->row != NULL
               ? 0
               : err_set(err, ERR_UNAVAILABLE, "no memory for a row");
}

static int rows_open(const char *path, const char *names, struct rows *rows,
                     struct err *err)
{
    int rc;

    if (path_ends_with(path, ".npy")) {
        rc = npy_read_matrix(path, &rows->matrix, err);
        rows->count = rows->matrix.row_count;
        rows->dim = rows->matrix.dim;
    } else {
        rc = rows_open_index(path, rows, err);
    }
    if (rc == 0 && names != NULL)
        rc = names_read(names, rows->count, &rows->names, err);
    return rc;
}

static int add_row(struct addition *addition, struct rows *rows, int64_t place,
                   struct err *err)
{
    int64_t id = rows->index != NULL ? vecindex_id(rows->index, place) : place;
    char folder[VEC_TAG_VALUE_MAX + 1], number[32];
    struct vec_entry entry = {.id = VEC_ID_NEW, .path = number};
    int rc = 0;

    snprintf(number, sizeof number, "%lld", (long long)id);
    if (names_count(&rows->names) > 0 &&
        names_get(&rows->names, place)[0] != '\0')
        entry.path = names_get(&rows->names, place);
    if (rows->index != NULL)
        rc = vecindex_row(rows->index, id, rows->row, err);
    if (rc)
        return rc;
    entry.vector =
        rows->index != NULL ? rows->row : rows->matrix.rows + place * rows->dim;
    addition_folder(entry.path, folder);
    return addition_put(addition, &entry,
                        addition->label != NULL ? addition->label : folder,
                        rows->dim, place, err);
}

int addition_rows(struct addition *addition, const char *path,
                  const char *names, struct err *err)
{
    int64_t begin_us = clock_us(), i;
    struct rows rows = {0};
    int rc = rows_open(path, names, &rows, err);

    if (rc == 0)
        rc = addition_begin(addition, rows.dim, err);
    if (rc == 0 && addition->target.info.dim != rows.dim)
        rc = err_set(err, ERR_CONFLICT,
                     "'%s' has vectors of %d values; %s has vectors of %d",
                     path, rows.dim, addition->target.shown,
                     addition->target.info.dim);
    addition->file = path;
    addition->unit = "row";
    for (i = 0; rc == 0 && i < rows.count; i++) {
        terminal_progress("vectors", i, rows.count, begin_us);
        rc = progress_go_on(err);
        if (rc == 0)
            rc = add_row(addition, &rows, i, err);
    }
    if (rc == 0)
        rc = addition_end(addition, err);
    terminal_progress_end();
    rows_release(&rows);
    return rc;
}

static int add_line(struct addition *addition, struct bytes text,
                    int64_t number, struct arena *arena, struct err *err)
{
    struct err own = {0};
    struct vec_line line;
    int rc;

    arena_reset(arena);
    rc = vec_line_parse(text, arena, &line, &own);
    if (rc == ERR_INVALID) {
        tell_unread(addition, number, &own);
        addition->unread_count++;
        return 0;
    }
    if (rc) {
        *err = own;
        return rc;
    }
    rc = addition_begin(addition, line.dim, err);
    return rc ? rc
              : addition_put(addition, &line.entry, addition->label, line.dim,
                             number, err);
}

static int add_next_line(struct addition *addition, struct line_reader *reader,
                         struct arena *arena, bool *out_done, struct err *err)
{
    struct err own = {0};
    struct bytes text;
    int64_t number;
    int rc = line_reader_next(reader, &text, &number, &own);

    *out_done = number == 0;
    if (rc == ERR_TOO_LARGE) {
        tell_unread(addition, number, &own);
        addition->unread_count++;
        return 0;
    }
    if (rc) {
        *err = own;
        return rc;
    }
    return number == 0 ? 0 : add_line(addition, text, number, arena, err);
}

int addition_lines(struct addition *addition, const char *path, struct err *err)
{
    struct arena *arena = arena_new(LINE_MEMORY_MAX);
    struct line_reader *reader = NULL;
    int64_t begin_us = clock_us(), done, total;
    bool is_done = false;
    int rc = line_reader_open(path, &reader, err);

    addition->file = strcmp(path, "-") == 0 ? "standard input" : path;
    addition->unit = "line";
    while (rc == 0 && !is_done) {
        line_reader_place(reader, &done, &total);
        terminal_progress("bytes", done, total, begin_us);
        rc = progress_go_on(err);
        if (rc == 0)
            rc = add_next_line(addition, reader, arena, &is_done, err);
    }
    if (rc == 0)
        rc = addition_end(addition, err);
    terminal_progress_end();
    line_reader_close(reader);
    arena_free(arena);
    return rc;
}
