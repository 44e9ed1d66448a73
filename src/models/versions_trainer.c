/* SPDX-License-Identifier: Apache-2.0 */
/* The files that a training leaves side by side, a time in each name. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "models/versions.h"

/* Digits of a time: year to second, to minute, to day; seconds and ms since
 * 1970. */
enum {
    STAMP_LEN = 14,
    MINUTE_LEN = 12,
    DAY_LEN = 8,
    EPOCH_LEN = 10,
    EPOCH_MS_LEN = 13
};

static const struct {
    const char *begin, *end;
} patterns[TRAINER_FILE_COUNT] = {
    [TRAINER_CLASSIFIER] = {"classifier_", ".keras"},
    [TRAINER_CLASSES] = {"class_indices_", ".json"},
    [TRAINER_INDEX] = {"index_original_", ".faiss"},
    [TRAINER_LABELS] = {"labels_original_", ".npy"},
};

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

/* The part between begin and end of a name; false when it has another form. */
static bool match(const char *name, int kind, const char **out, size_t *out_len)
{
    size_t len = strlen(name), begin = strlen(patterns[kind].begin);
    size_t end = strlen(patterns[kind].end);

    if (len <= begin + end || strncmp(name, patterns[kind].begin, begin) != 0 ||
        strcmp(name + len - end, patterns[kind].end) != 0)
        return false;
    *out = name + begin;
    *out_len = len - begin - end;
    return true;
}

/* Seconds since 1970 as 20251115103000 (UTC). */
static int64_t stamp_of_epoch(int64_t seconds)
{
    time_t at = (time_t)seconds;
    struct tm tm;

    if (gmtime_r(&at, &tm) == NULL)
        return 0;
    return ((((tm.tm_year + 1900) * 100LL + tm.tm_mon + 1) * 100 + tm.tm_mday) *
                100 +
            tm.tm_hour) *
               10000 +
           tm.tm_min * 100 + tm.tm_sec;
}

/* 20251115103000 of "20251115_103000", "2025-11-15T10:30", "20251115" or of
 * the seconds since 1970; 0 when the digits are no time. Further digits are
 * parts of a second. */
static int64_t find_stamp(const char *text, size_t len)
{
    char digits[STAMP_LEN + 1];
    size_t count = 0, i;
    int64_t value;

    for (i = 0; i < len && count < STAMP_LEN; i++)
        if (isdigit((unsigned char)text[i]))
            digits[count++] = text[i];
    digits[count] = '\0';
    value = strtoll(digits, NULL, 10);
    if (count == EPOCH_LEN)
        return stamp_of_epoch(value);
    if (count == EPOCH_MS_LEN)
        return stamp_of_epoch(value / 1000);
    if (count != STAMP_LEN && count != MINUTE_LEN && count != DAY_LEN)
        return 0;
    for (; count < STAMP_LEN; count++)
        value *= 10;
    return value;
}

/* Whether a file of that path and times is newer than the one kept. */
static bool is_newer(const struct trainer_files *files, int kind,
                     const char *path, int64_t stamp, int64_t modified_ms)
{
    if (files->of[kind].path[0] == '\0')
        return true;
    if (stamp != files->of[kind].stamp)
        return stamp > files->of[kind].stamp;
    if (modified_ms != files->of[kind].modified_ms)
        return modified_ms > files->of[kind].modified_ms;
    return strverscmp(path, files->of[kind].path) > 0;
}

bool trainer_files_offer(struct trainer_files *files, const char *path,
                         int64_t modified_ms)
{
    const char *part;
    size_t part_len;
    int64_t stamp;
    int kind = 0;

    while (kind < TRAINER_FILE_COUNT &&
           !match(name_of(path), kind, &part, &part_len))
        kind++;
    if (kind == TRAINER_FILE_COUNT || strlen(path) >= FILE_PATH_MAX)
        return false;
    stamp = find_stamp(part, part_len);
    if (!is_newer(files, kind, path, stamp, modified_ms))
        return true;
    snprintf(files->of[kind].path, FILE_PATH_MAX, "%s", path);
    files->of[kind].stamp = stamp;
    files->of[kind].modified_ms = modified_ms;
    return true;
}

bool trainer_files_belong(const struct trainer_files *files)
{
    int64_t stamp = files->of[TRAINER_CLASSIFIER].stamp;
    int i;

    for (i = 0; i < TRAINER_FILE_COUNT; i++)
        if (files->of[i].path[0] != '\0' && files->of[i].stamp != stamp)
            return false;
    return true;
}

static int offer_file(struct trainer_files *files, const char *dir,
                      const char *name, struct err *err)
{
    char path[FILE_PATH_MAX];
    struct stat about;
    int rc;

    rc = file_join(dir, name, path, err);
    if (rc)
        return rc;
    if (stat(path, &about) == 0 && S_ISREG(about.st_mode))
        (void)trainer_files_offer(files, path,
                                  (int64_t)about.st_mtim.tv_sec * 1000 +
                                      about.st_mtim.tv_nsec / 1000000);
    return 0;
}

int versions_find_trainer(const char *dir, struct trainer_files *out,
                          struct err *err)
{
    DIR *folder = opendir(dir);
    struct trainer_files files = {0};
    struct dirent *entry;
    int rc = 0;

    if (folder == NULL)
        return err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO,
                       "cannot read the folder %s", dir);
    while (rc == 0 && (entry = readdir(folder)) != NULL)
        rc = offer_file(&files, dir, entry->d_name, err);
    closedir(folder);
    if (rc == 0 && files.of[TRAINER_CLASSIFIER].path[0] == '\0')
        rc = err_set(err, ERR_NOT_FOUND, "there is no classifier_*.keras in %s",
                     dir);
    if (rc == 0)
        *out = files;
    return rc;
}
