/* SPDX-License-Identifier: Apache-2.0 */
/* `olho index export`: a set of vectors into files of FAISS and numpy, or into
 * lines of JSON. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cmd/command.h"
#include "cmd/names.h"
#include "cmd/progress.h"
#include "cmd/target.h"
#include "cmd/terminal.h"
#include "cmd/vec_lines.h"

enum {
    PAGE = 1000,
    PAGE_LEN_MAX = 64 << 20,
    PAGE_MEMORY_MAX = 256 << 20,
    NAMES_MEMORY_MAX = 1 << 30,
};

/* Takes an entry of a page and its vector. */
typedef int entry_fn(void *user, const struct vec_hit *entry,
                     const float *vector, struct err *err);

/* Hands over every entry, in the order of their ids. */
static int scan(const struct target *target, entry_fn *fn, void *user,
                struct err *err)
{
    int dim = target->info.dim, i, rc = 0;
    int fitting = PAGE_LEN_MAX / (dim * (int)sizeof(float));
    int page_max = fitting > PAGE ? PAGE : fitting;
    struct progress progress = {"vectors", clock_us()};
    struct arena *arena = arena_new(PAGE_MEMORY_MAX);
    float *rows = mem_try((size_t)page_max, (size_t)dim * sizeof *rows);
    struct vec_hits page = {.count = page_max};
    int64_t after = -1, done = 0;

    if (rows == NULL)
        rc =
            err_set(err, ERR_UNAVAILABLE, "no memory for %d vectors", page_max);
    while (rc == 0 && page.count == page_max) {
        arena_reset(arena);
        rc = vecstore_list(target->store, after, page_max, arena, &page, rows,
                           err);
        for (i = 0; rc == 0 && i < page.count; i++) {
            after = page.list[i].id;
            rc = fn(user, &page.list[i], rows + (size_t)i * (size_t)dim, err);
        }
        done += page.count;
        (void)progress_show(&progress, done, target->info.count);
        if (rc == 0)
            rc = progress_go_on(err);
    }
    terminal_progress_end();
    mem_free(rows);
    arena_free(arena);
    return rc;
}

/* --- into matrices -------------------------------------------------------- */

/* All of a set in memory. */
struct copy {
    float *rows;        /* owned */
    const char **names; /* owned; texts in the arena */
    struct arena *arena;
    int64_t count, cap;
    int dim;
};

static void copy_release(struct copy *copy)
{
    mem_free(copy->rows);
    mem_free(copy->names);
    arena_free(copy->arena);
}

static int grow(struct copy *copy, struct err *err)
{
    int64_t cap = copy->cap == 0 ? 1024 : copy->cap + copy->cap / 2;
    size_t row_len = (size_t)copy->dim * sizeof *copy->rows;
    float *rows = mem_resize(copy->rows, (size_t)cap, row_len);
    const char **names;

    if (rows != NULL)
        copy->rows = rows;
    names = mem_resize(copy->names, (size_t)cap, sizeof *names);
    if (names != NULL)
        copy->names = names;
    if (rows == NULL || names == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for %lld vectors",
                       (long long)cap);
    copy->cap = cap;
    return 0;
}

static int copy_entry(void *user, const struct vec_hit *entry,
                      const float *vector, struct err *err)
{
    struct copy *copy = user;
    int rc = copy->count == copy->cap ? grow(copy, err) : 0;

    if (rc)
        return rc;
    memcpy(copy->rows + copy->count * copy->dim, vector,
           (size_t)copy->dim * sizeof *vector);
    copy->names[copy->count] =
        arena_text(copy->arena, entry->path, strlen(entry->path));
    if (copy->names[copy->count] == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for the names");
    copy->count++;
    return 0;
}

static int write_rows(const struct arguments *arguments,
                      const struct target *target, const struct copy *copy,
                      struct err *err)
{
    const char *type = arguments_flag(arguments, "type");
    const char *path = arguments->words[0];
    struct vecindex_options options = {
        .type = VECINDEX_FLAT, .metric = target->info.metric, .is_lean = true};
    struct vecindex *index = NULL;
    int rc = 0;

    if (path_ends_with(path, ".npy"))
        return npy_write_matrix(path, copy->rows, copy->count, copy->dim, err);
    if (type != NULL)
        rc = vecindex_type_parse(type, &options.type, err);
    if (rc == 0)
        rc = vecindex_build(copy->rows, NULL, copy->count, copy->dim, &options,
                            &index, err);
    if (rc == 0)
        rc = vecindex_save_faiss(index, path, err);
    vecindex_free(index);
    return rc;
}

static int export_rows(const struct arguments *arguments,
                       const struct target *target, int64_t *out_count,
                       struct err *err)
{
    const char *names = arguments_flag(arguments, "labels");
    struct copy copy = {.dim = target->info.dim,
                        .arena = arena_new(NAMES_MEMORY_MAX)};
    int rc = scan(target, copy_entry, &copy, err);

    if (rc == 0)
        rc = write_rows(arguments, target, &copy, err);
    if (rc == 0 && names != NULL)
        rc = names_write(names, copy.names, copy.count, err);
    *out_count = copy.count;
    copy_release(&copy);
    return rc;
}

/* --- into lines ----------------------------------------------------------- */

struct lines {
    FILE *file;
    const char *path; /* for errors */
    int dim;
    int64_t count;
    struct buf line;
};

static int write_failed(const struct lines *lines, struct err *err)
{
    return err_set(err, ERR_IO, "'%s' cannot be written: %s", lines->path,
                   strerror(errno));
}

static int write_entry(void *user, const struct vec_hit *entry,
                       const float *vector, struct err *err)
{
    struct lines *lines = user;
    int rc;

    buf_clear(&lines->line);
    vec_line_write(entry, vector, lines->dim, &lines->line);
    rc = buf_check(&lines->line, err);
    if (rc)
        return rc;
    lines->count++;
    return fwrite(lines->line.data, 1, lines->line.len, lines->file) ==
                   lines->line.len
               ? 0
               : write_failed(lines, err);
}

static int write_lines(const struct target *target, struct lines *lines,
                       struct err *err)
{
    int rc;

    buf_init(&lines->line, VEC_LINE_LEN_MAX);
    rc = scan(target, write_entry, lines, err);
    buf_release(&lines->line);
    if (rc == 0 && fflush(lines->file) != 0)
        rc = write_failed(lines, err);
    return rc;
}

/* Beside the file first, so that a failed export leaves an older one whole. */
static int write_file(const char *path, const struct target *target,
                      struct lines *lines, struct err *err)
{
    char part[FILE_PATH_MAX];
    int rc;

    if (snprintf(part, sizeof part, "%s.part", path) >= (int)sizeof part)
        return err_set(err, ERR_TOO_LARGE, "the path %.60s... is too long",
                       path);
    lines->file = fopen(part, "we");
    if (lines->file == NULL)
        return write_failed(lines, err);
    rc = write_lines(target, lines, err);
    if (rc == 0 && fsync(fileno(lines->file)) != 0)
        rc = write_failed(lines, err);
    if (fclose(lines->file) != 0 && rc == 0)
        rc = write_failed(lines, err);
    if (rc == 0 && rename(part, path) != 0)
        rc = write_failed(lines, err);
    if (rc)
        unlink(part);
    return rc;
}

static int export_lines(const char *path, const struct target *target,
                        int64_t *out_count, struct err *err)
{
    struct lines lines = {.path = path, .dim = target->info.dim};
    int rc;

    if (strcmp(path, "-") == 0) {
        lines.path = "standard output";
        lines.file = stdout;
        rc = write_lines(target, &lines, err);
    } else {
        rc = write_file(path, target, &lines, err);
    }
    *out_count = lines.count;
    return rc;
}

/* --- the command ---------------------------------------------------------- */

int command_index_export(struct arguments *arguments, struct err *err)
{
    const char *path = arguments->words[0];
    struct target target = {0};
    int64_t count = 0;
    int rc = target_find(arguments, false, &target, err);

    progress_catch();
    if (rc == 0)
        rc = target_open_store(&target, VEC_READ, NULL, 0, err);
    if (rc == 0)
        rc = path_is_lines(path) ? export_lines(path, &target, &count, err)
                                 : export_rows(arguments, &target, &count, err);
    if (rc == 0 && strcmp(path, "-") != 0)
        printf("%lld vectors of %d values in %s\n", (long long)count,
               target.info.dim, path);
    target_close(&target);
    return rc ? EXIT_FAILED : EXIT_FINE;
}
