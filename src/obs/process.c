/* SPDX-License-Identifier: Apache-2.0 */
#include "obs/process.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { TEXT_LEN = 4096 };

/* Reads the start of a file of /proc; false when there is none. */
static bool read_text(const char *path, char *out)
{
    FILE *file = fopen(path, "re");
    size_t len;

    if (file == NULL)
        return false;
    len = fread(out, 1, TEXT_LEN - 1, file);
    fclose(file);
    out[len] = '\0';
    return len > 0;
}

/* Field number n of /proc/self/stat, counted from 1 as in proc(5). The second
 * one, the program's name, may hold anything, so counting starts behind its
 * last parenthesis. */
static bool stat_field(int n, double *out)
{
    char text[TEXT_LEN];
    char *field;
    int i;

    if (!read_text("/proc/self/stat", text))
        return false;
    field = strrchr(text, ')');
    for (i = 2; field != NULL && i < n; i++) {
        field = strchr(field, ' ');
        if (field != NULL)
            field++;
    }
    if (field == NULL)
        return false;
    *out = strtod(field, NULL);
    return true;
}

static bool cpu_seconds(double *out)
{
    struct timespec time;

    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time) != 0)
        return false;
    *out = (double)time.tv_sec + (double)time.tv_nsec / 1e9;
    return true;
}

static bool resident_bytes(double *out)
{
    char text[TEXT_LEN];
    char *second;

    if (!read_text("/proc/self/statm", text))
        return false;
    second = strchr(text, ' ');
    if (second == NULL)
        return false;
    *out = strtod(second, NULL) * (double)sysconf(_SC_PAGESIZE);
    return true;
}

static bool virtual_bytes(double *out)
{
    return stat_field(23, out);
}

static bool open_files(double *out)
{
    DIR *folder = opendir("/proc/self/fd");
    const struct dirent *entry;
    int count = -1; /* the folder itself is open while we count */

    if (folder == NULL)
        return false;
    while ((entry = readdir(folder)) != NULL)
        count += entry->d_name[0] != '.';
    closedir(folder);
    *out = count;
    return true;
}

static bool files_max(double *out)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return false;
    *out = (double)limit.rlim_cur;
    return true;
}

static bool thread_count(double *out)
{
    return stat_field(20, out);
}

/* The kernel counts a start from its own boot. */
static bool start_seconds(double *out)
{
    struct timespec wall, boot;
    double ticks;

    if (!stat_field(22, &ticks) || clock_gettime(CLOCK_REALTIME, &wall) != 0 ||
        clock_gettime(CLOCK_BOOTTIME, &boot) != 0)
        return false;
    *out = (double)(wall.tv_sec - boot.tv_sec) +
           (double)(wall.tv_nsec - boot.tv_nsec) / 1e9 +
           ticks / (double)sysconf(_SC_CLK_TCK);
    return true;
}

static const struct {
    const char *name, *kind, *help;
    bool (*read)(double *out);
} figures[] = {
    {"process_cpu_seconds_total", "counter",
     "Processor seconds used, user and system.", cpu_seconds},
    {"process_resident_memory_bytes", "gauge", "Memory resident now.",
     resident_bytes},
    {"process_virtual_memory_bytes", "gauge", "Address space taken now.",
     virtual_bytes},
    {"process_open_fds", "gauge", "File descriptors open now.", open_files},
    {"process_max_fds", "gauge", "File descriptors that may be open.",
     files_max},
    {"process_threads", "gauge", "Threads now.", thread_count},
    {"process_start_time_seconds", "gauge",
     "When the process started, in seconds since 1970.", start_seconds},
};

enum { FIGURE_COUNT = sizeof figures / sizeof figures[0] };

void process_print(struct buf *out)
{
    double value;
    size_t i;

    for (i = 0; i < FIGURE_COUNT; i++) {
        if (!figures[i].read(&value))
            continue;
        buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %.15g\n",
                   figures[i].name, figures[i].help, figures[i].name,
                   figures[i].kind, figures[i].name, value);
    }
}

void process_document(struct buf *out)
{
    size_t i;

    for (i = 0; i < FIGURE_COUNT; i++)
        buf_printf(out, "| `%s` | %s | | %s |\n", figures[i].name,
                   figures[i].kind, figures[i].help);
}
