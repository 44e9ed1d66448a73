/* SPDX-License-Identifier: Apache-2.0 */
/* `olho index remove`: by id, by key, by image or by tag. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "cmd/command.h"
#include "cmd/progress.h"
#include "cmd/tags.h"
#include "cmd/target.h"
#include "cmd/terminal.h"

enum {
    PAGE = 1000,
    PAGE_MEMORY_MAX = 256 << 20,
    ARENA_LEN_MAX = 256 << 20,
    NAMED_MAX = 1 << 22,
};

/* An entry goes when any of these takes it; with a filter, when that lets it
 * through besides. Without ids, keys and paths the filter alone decides. */
struct selection {
    struct arena *arena;
    int64_t *ids; /* ascending */
    int id_count;
    const char **keys; /* ascending; of --key and of the images */
    int key_count, key_cap;
    const char **paths; /* as they were given, and absolute ones */
    int path_count;
    struct vec_filter filter;
    int64_t unreadable_count;
};

static int no_memory(struct err *err)
{
    return err_set(err, ERR_UNAVAILABLE, "no memory for what is to go");
}

static int compare_ids(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* --- what is to go -------------------------------------------------------- */

static int add_key(struct selection *selection, const char *key,
                   struct err *err)
{
    if (selection->key_count == selection->key_cap) {
        int cap = selection->key_cap == 0 ? 256 : selection->key_cap * 2;
        const char **grown;

        if (cap > NAMED_MAX)
            return err_set(err, ERR_TOO_LARGE, "more than %d keys and files",
                           NAMED_MAX);
        grown = mem_resize(selection->keys, (size_t)cap, sizeof *grown);
        if (grown == NULL)
            return no_memory(err);
        selection->keys = grown;
        selection->key_cap = cap;
    }
    selection->keys[selection->key_count] =
        arena_text(selection->arena, key, strlen(key));
    return selection->keys[selection->key_count++] != NULL ? 0 : no_memory(err);
}

static int read_ids(const struct arguments *arguments,
                    struct selection *selection, struct err *err)
{
    const char *text;
    char *end;
    int at = 0;

    selection->ids =
        mem_try((size_t)arguments->given_count + 1, sizeof *selection->ids);
    if (selection->ids == NULL)
        return no_memory(err);
    while ((text = arguments_next(arguments, "id", &at)) != NULL) {
        errno = 0;
        selection->ids[selection->id_count] = strtoll(text, &end, 10);
        if (end == text || *end != '\0' || errno != 0 ||
            selection->ids[selection->id_count] < 0)
            return err_set(err, ERR_INVALID,
                           "--id is '%.40s'; it must be a whole number from 0 "
                           "on",
                           text);
        selection->id_count++;
    }
    qsort(selection->ids, (size_t)selection->id_count, sizeof *selection->ids,
          compare_ids);
    return 0;
}

static int hash_image(void *user, const char *path, struct err *err)
{
    struct selection *selection = user;
    char key[HASH_HEX_LEN + 1];
    struct err own = {0};
    int rc = progress_go_on(err);

    if (rc)
        return rc;
    if (hash_file(path, key, &own) != 0) {
        fprintf(stderr, "olho: %s\n", own.text);
        selection->unreadable_count++;
        return 0;
    }
    return add_key(selection, key, err);
}

/* As it was indexed, whether it is still there or not. */
static int absolute_path(const char *word, char out[FILE_PATH_MAX],
                         struct err *err)
{
    char here[FILE_PATH_MAX];

    if (realpath(word, out) != NULL)
        return 0;
    if (word[0] != '/' && getcwd(here, sizeof here) != NULL)
        return file_join(here, word, out, err);
    snprintf(out, FILE_PATH_MAX, "%s", word);
    return 0;
}

/* A file or folder that is there goes by what is in it; besides, what was
 * indexed under that path goes, so that one that is gone can be named too. */
static int add_word(struct selection *selection, const char *word,
                    struct err *err)
{
    char path[FILE_PATH_MAX];
    int rc;

    if (word[0] == '\0')
        return err_set(err, ERR_INVALID, "a name is empty");
    rc = absolute_path(word, path, err);
    if (rc)
        return rc;
    if (file_is_dir(word))
        rc = file_walk(word, hash_image, selection, err);
    else if (file_exists(word))
        rc = hash_image(selection, word, err);
    if (rc)
        return rc;
    selection->paths[selection->path_count++] = word;
    if (strcmp(path, word) == 0)
        return 0;
    selection->paths[selection->path_count] =
        arena_text(selection->arena, path, strlen(path));
    return selection->paths[selection->path_count++] != NULL ? 0
                                                             : no_memory(err);
}

static int read_selection(const struct arguments *arguments,
                          struct selection *selection, struct err *err)
{
    const char *key;
    int at = 0, i, rc;

    rc = read_ids(arguments, selection, err);
    if (rc == 0)
        rc = filter_read(arguments, selection->arena, &selection->filter, err);
    while (rc == 0 && (key = arguments_next(arguments, "key", &at)) != NULL)
        rc = add_key(selection, key, err);
    selection->paths = arena_try(
        selection->arena, 2 * (size_t)arguments->word_count + 1, sizeof key);
    if (rc == 0 && selection->paths == NULL)
        rc = no_memory(err);
    for (i = 0; rc == 0 && i < arguments->word_count; i++)
        rc = add_word(selection, arguments->words[i], err);
    if (rc)
        return rc;
    if (selection->key_count > 0)
        qsort(selection->keys, (size_t)selection->key_count,
              sizeof *selection->keys, compare_keys);
    if (selection->id_count + selection->key_count + selection->path_count +
            selection->filter.term_count ==
        0)
        return err_set(err, ERR_INVALID,
                       "nothing says what is to go: name images, --id, --key "
                       "or --where");
    return 0;
}

/* --- finding it ----------------------------------------------------------- */

/* "photos" takes "photos" and "photos/cat.jpg". */
static bool is_at_or_below(const char *path, const char *top)
{
    size_t len = strlen(top);

    while (len > 1 && top[len - 1] == '/')
        len--;
    return strncmp(path, top, len) == 0 &&
           (path[len] == '\0' || path[len] == '/');
}

static bool takes(const struct selection *selection,
                  const struct vec_hit *entry)
{
    int i;

    if (!filter_passes(&selection->filter, entry))
        return false;
    if (selection->id_count + selection->key_count + selection->path_count == 0)
        return true;
    if (bsearch(&entry->id, selection->ids, (size_t)selection->id_count,
                sizeof entry->id, compare_ids) != NULL)
        return true;
    if (selection->key_count > 0 && entry->key[0] != '\0' &&
        bsearch(&entry->key, selection->keys, (size_t)selection->key_count,
                sizeof entry->key, compare_keys) != NULL)
        return true;
    for (i = 0; i < selection->path_count; i++)
        if (is_at_or_below(entry->path, selection->paths[i]))
            return true;
    return false;
}

struct found {
    int64_t *ids; /* owned */
    int64_t count, cap;
};

static int note_id(struct found *found, int64_t id, struct err *err)
{
    if (found->count == found->cap) {
        int64_t cap = found->cap == 0 ? 1024 : found->cap * 2;
        int64_t *grown = mem_resize(found->ids, (size_t)cap, sizeof *grown);

        if (grown == NULL)
            return no_memory(err);
        found->ids = grown;
        found->cap = cap;
    }
    found->ids[found->count++] = id;
    return 0;
}

/* Every entry is looked at once. */
static int find_all(const struct target *target,
                    const struct selection *selection, struct found *found,
                    struct err *err)
{
    struct progress progress = {"entries", clock_us()};
    struct arena *arena = arena_new(PAGE_MEMORY_MAX);
    struct vec_hits page = {.count = PAGE};
    int64_t after = -1, seen = 0;
    int i, rc = 0;

    while (rc == 0 && page.count == PAGE) {
        arena_reset(arena);
        rc = vecstore_list(target->store, after, PAGE, arena, &page, NULL, err);
        for (i = 0; rc == 0 && i < page.count; i++) {
            after = page.list[i].id;
            if (takes(selection, &page.list[i]))
                rc = note_id(found, after, err);
        }
        seen += page.count;
        (void)progress_show(&progress, seen, target->info.count);
        if (rc == 0)
            rc = progress_go_on(err);
    }
    terminal_progress_end();
    arena_free(arena);
    return rc;
}

/* --- removing it ---------------------------------------------------------- */

static int remove_found(struct target *target, const struct found *found,
                        int64_t *out_count, struct err *err)
{
    int64_t i, count = 0;
    int rc = 0;

    *out_count = 0;
    for (i = 0; rc == 0 && i < found->count; i += VEC_BATCH_MAX) {
        int64_t left = found->count - i;
        int n = left > VEC_BATCH_MAX ? VEC_BATCH_MAX : (int)left;

        rc = progress_go_on(err);
        if (rc == 0)
            rc = vecstore_remove(target->store, found->ids + i, n, &count, err);
        if (rc == 0)
            *out_count += count;
    }
    return rc;
}

/* What only a filter says need not be looked for here. */
static int remove_selected(struct target *target,
                           const struct selection *selection, bool is_dry,
                           int64_t *out_count, struct err *err)
{
    struct found found = {0};
    int rc;

    if (!is_dry &&
        selection->id_count + selection->key_count + selection->path_count == 0)
        return vecstore_remove_matching(target->store, &selection->filter,
                                        out_count, err);
    rc = find_all(target, selection, &found, err);
    if (rc == 0 && is_dry)
        *out_count = found.count;
    else if (rc == 0)
        rc = remove_found(target, &found, out_count, err);
    mem_free(found.ids);
    return rc;
}

int command_index_remove(struct arguments *arguments, struct err *err)
{
    bool is_dry = arguments_flag(arguments, "dry-run") != NULL;
    struct selection selection = {.arena = arena_new(ARENA_LEN_MAX)};
    struct target target = {0};
    int64_t count = 0;
    int rc;

    progress_catch();
    rc = read_selection(arguments, &selection, err);
    if (rc == 0)
        rc = target_find(arguments, false, &target, err);
    if (rc == 0)
        rc = target_open_store(&target, VEC_READ, NULL, 0, err);
    if (rc == 0 && !is_dry) {
        vecstore_close(target.store);
        target.store = NULL;
        rc = target_open_store(&target, VEC_WRITE, NULL, 0, err);
    }
    if (rc == 0)
        rc = remove_selected(&target, &selection, is_dry, &count, err);
    if (rc == 0 && !is_dry && count > 0)
        rc = target_settle(&target, err);
    if (rc == 0)
        rc = vecstore_info(target.store, &target.info, err);
    if (rc == 0)
        printf("%lld %s; %lld in %s\n", (long long)count,
               is_dry ? "would go" : "removed", (long long)target.info.count,
               target.shown);
    rc = rc || selection.unreadable_count > 0 ? EXIT_FAILED : EXIT_FINE;
    target_close(&target);
    mem_free(selection.ids);
    mem_free(selection.keys);
    arena_free(selection.arena);
    return rc;
}
