/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of current.json and of the folders. Each holds a lock on the root
 * folder from its first look to its last change (flock, which ends with the
 * process), so that two that promote at once do not lose one another's
 * history. Readers need no lock. */
#include "models/versions.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json_write.h"
#include "models/versions_file.h"

enum { FILE_LEN_MAX = 64 << 10, FILES_OPEN_MAX = 16 };

int versions_current(const char *root, char *out, struct err *err)
{
    struct version_choice choice;
    int rc;

    rc = version_choice_read(root, &choice, err);
    if (rc)
        return rc;
    if (choice.current[0] == '\0')
        return err_set(err, ERR_NOT_FOUND, "there is no version in %s", root);
    rc = versions_dir(root, choice.current, out, err);
    if (rc == ERR_NOT_FOUND && choice.is_written) {
        err->code = ERR_CORRUPT;
        rc = err_wrap(err, "current.json");
    }
    return rc;
}

static int lock(const char *root, int *out, struct err *err)
{
    int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO,
                       "cannot open the folder of versions %s", root);
    while (flock(fd, LOCK_EX) != 0)
        if (errno != EINTR) {
            close(fd);
            return err_set(err, ERR_IO, "cannot lock the folder %s", root);
        }
    *out = fd;
    return 0;
}

static int write_choice(const char *root, const struct version_choice *choice,
                        struct err *err)
{
    char path[FILE_PATH_MAX];
    struct json_writer json;
    struct buf text;
    int i, rc;

    buf_init(&text, FILE_LEN_MAX);
    json_writer_init(&json, &text);
    json_object_begin(&json);
    json_key(&json, "version");
    json_put_text(&json, choice->current);
    json_key(&json, "history");
    json_array_begin(&json);
    for (i = 0; i < choice->history_count; i++)
        json_put_text(&json, choice->history[i]);
    json_array_end(&json);
    json_object_end(&json);
    buf_add_char(&text, '\n');
    rc = buf_check(&text, err);
    if (rc == 0)
        rc = file_join(root, "current.json", path, err);
    if (rc == 0)
        rc = file_write(path, buf_bytes(&text), err);
    buf_release(&text);
    return rc;
}

/* Takes a name out of the history, wherever it stands. */
static void forget(struct version_choice *choice, const char *name)
{
    int i, kept = 0;

    for (i = 0; i < choice->history_count; i++)
        if (strcmp(choice->history[i], name) != 0)
            memmove(choice->history[kept++], choice->history[i],
                    VERSION_NAME_MAX);
    choice->history_count = kept;
}

/* Puts the current version on top of the history; the oldest makes room. */
static void push_current(struct version_choice *choice)
{
    forget(choice, choice->current);
    if (choice->history_count == VERSIONS_HISTORY_MAX)
        choice->history_count--;
    memmove(choice->history[1], choice->history[0],
            (size_t)choice->history_count * VERSION_NAME_MAX);
    memcpy(choice->history[0], choice->current, VERSION_NAME_MAX);
    choice->history_count++;
}

int versions_promote(const char *root, const char *name, struct err *err)
{
    struct version_choice choice;
    char dir[FILE_PATH_MAX];
    int fd = -1, rc;

    rc = lock(root, &fd, err);
    if (rc)
        return rc;
    rc = versions_dir(root, name, dir, err);
    if (rc == 0)
        rc = version_choice_read(root, &choice, err);
    if (rc == 0 && !(choice.is_written && strcmp(choice.current, name) == 0)) {
        forget(&choice, name);
        if (choice.current[0] != '\0' && strcmp(choice.current, name) != 0)
            push_current(&choice);
        snprintf(choice.current, sizeof choice.current, "%s", name);
        rc = write_choice(root, &choice, err);
    }
    close(fd);
    return rc;
}

static int go_back(const char *root, char *out, struct err *err)
{
    struct version_choice choice;
    char dir[FILE_PATH_MAX], name[VERSION_NAME_MAX];
    int rc;

    rc = version_choice_read(root, &choice, err);
    if (rc)
        return rc;
    if (choice.history_count == 0)
        return err_set(err, ERR_CONFLICT,
                       "no version was current before \"%s\" in %s",
                       choice.current, root);
    memcpy(name, choice.history[0], sizeof name);
    rc = versions_dir(root, name, dir, err);
    if (rc == ERR_NOT_FOUND)
        err->code = ERR_CONFLICT;
    if (rc)
        return err->code;
    forget(&choice, name);
    memcpy(choice.current, name, sizeof name);
    rc = write_choice(root, &choice, err);
    if (rc == 0)
        memcpy(out, name, sizeof name);
    return rc;
}

int versions_rollback(const char *root, char *out, struct err *err)
{
    int fd = -1, rc;

    rc = lock(root, &fd, err);
    if (rc)
        return rc;
    rc = go_back(root, out, err);
    close(fd);
    return rc;
}

/* --- deleting --- */

static int delete_one(const char *path, const struct stat *about, int kind,
                      struct FTW *place)
{
    (void)about;
    (void)kind;
    (void)place;
    return remove(path);
}

/* A folder with all that is in it; links are not followed. */
static int delete_all(const char *path, struct err *err)
{
    if (nftw(path, delete_one, FILES_OPEN_MAX, FTW_DEPTH | FTW_PHYS) != 0 &&
        errno != ENOENT)
        return err_set(err, ERR_IO, "cannot delete all of %s", path);
    return 0;
}

/* Renamed first: a version that is half deleted must not look like one. What a
 * crash leaves is deleted with the next version of that name. */
static int delete_version(const char *root, const char *name, const char *dir,
                          struct err *err)
{
    char hidden[VERSION_NAME_MAX + 16], doomed[FILE_PATH_MAX];
    int rc;

    snprintf(hidden, sizeof hidden, ".removed-%s", name);
    rc = file_join(root, hidden, doomed, err);
    if (rc == 0)
        rc = delete_all(doomed, err);
    if (rc)
        return rc;
    if (rename(dir, doomed) != 0)
        return err_set(err, ERR_IO, "cannot remove %s", dir);
    return delete_all(doomed, err);
}

static int remove_locked(const char *root, const char *name, struct err *err)
{
    struct version_choice choice;
    char dir[FILE_PATH_MAX];
    int rc;

    rc = versions_dir(root, name, dir, err);
    if (rc == 0)
        rc = version_choice_read(root, &choice, err);
    if (rc)
        return rc;
    if (strcmp(choice.current, name) == 0)
        return err_set(err, ERR_CONFLICT,
                       "version \"%s\" is the current one of %s; promote "
                       "another one first",
                       name, root);
    if (choice.is_written) {
        forget(&choice, name);
        rc = write_choice(root, &choice, err);
    }
    return rc ? rc : delete_version(root, name, dir, err);
}

int versions_remove(const char *root, const char *name, struct err *err)
{
    int fd = -1, rc;

    rc = lock(root, &fd, err);
    if (rc)
        return rc;
    rc = remove_locked(root, name, err);
    close(fd);
    return rc;
}
