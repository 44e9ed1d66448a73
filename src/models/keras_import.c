/* SPDX-License-Identifier: Apache-2.0 */
/* The parent's side of an import: a child reads the file and writes the
 * network, tells over a pipe how far it is and how it ended, and cannot harm
 * us by crashing, by running in circles or by taking all memory. What the
 * child does must not need a lock that another thread of ours may have held
 * when it was made: it does not log, hash or start threads. */
#include "models/keras_import.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json_write.h"
#include "models/keras_convert.h"

enum {
    SILENCE_MAX_MS = 120 * 1000, /* a child that says nothing is ended */
    CPU_MAX_S = 1800,
    TEXT_LEN_MAX = 1 << 16,
    PIPE_FD = 3,   /* of the child, which keeps no other */
    FD_ASIDE = 10, /* above those that are given new meanings */
};

/* Memory that a child may take beside what it has: the weights as read, as
 * kept and as written, and the library's own. */
#define MEMORY_BASE 1000000000ull
#define MEMORY_PER_BYTE 4

/* The files of an import. */
struct places {
    char onnx[FILE_PATH_MAX], json[FILE_PATH_MAX], scratch[FILE_PATH_MAX];
};

/* What a child says; short enough for one write to be whole. */
struct message {
    bool is_last;
    int64_t done, total; /* before the last one */
    struct keras_report report;
    struct err err;
};

_Static_assert(sizeof(struct message) < 4096, "a message fits into a pipe");

/* --- the child -----------------------------------------------------------*/

struct telling {
    int fd;
};

static void tell(int fd, const struct message *message)
{
    ssize_t n;

    do
        n = write(fd, message, sizeof *message);
    while (n < 0 && errno == EINTR);
}

static void tell_progress(void *user, int64_t done, int64_t total)
{
    const struct telling *telling = user;
    struct message message;

    memset(&message, 0, sizeof message);
    message.done = done;
    message.total = total;
    tell(telling->fd, &message);
}

/* The address space in use, from /proc/self/statm; 0 when it cannot be told. */
static uint64_t address_space(void)
{
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    if (file == NULL)
        return 0;
    if (fscanf(file, "%llu", &pages) != 1)
        pages = 0;
    fclose(file);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void limit(int what, uint64_t value)
{
    struct rlimit old, new = {value, value};

    if (getrlimit((__rlimit_resource_t)what, &old) != 0)
        return;
    if (old.rlim_max != RLIM_INFINITY && old.rlim_max < value)
        new.rlim_cur = new.rlim_max = old.rlim_max;
    (void)setrlimit((__rlimit_resource_t)what, &new);
}

/* Leaves behind what belongs to the parent: its sockets, its files, its ways
 * of taking signals, and its stderr, on which a library that aborts would
 * print. */
static void become_child(int pipe_fd, uint64_t file_len)
{
    static const int signals[] = {SIGTERM, SIGINT,  SIGHUP,
                                  SIGPIPE, SIGUSR1, SIGUSR2};
    uint64_t used = address_space();
    sigset_t none;
    int telling = fcntl(pipe_fd, F_DUPFD, FD_ASIDE);
    int nowhere = fcntl(open("/dev/null", O_RDWR), F_DUPFD, FD_ASIDE);
    size_t i;

    for (i = 0; i < sizeof signals / sizeof signals[0]; i++)
        (void)signal(signals[i], SIG_DFL);
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)dup2(telling, PIPE_FD);
    for (i = 0; i < PIPE_FD; i++)
        (void)dup2(nowhere, (int)i);
    (void)close_range(PIPE_FD + 1, ~0U, 0);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_CPU, CPU_MAX_S);
    if (used > 0)
        limit(RLIMIT_AS, used + MEMORY_BASE + MEMORY_PER_BYTE * file_len);
}

static _Noreturn void be_child(const char *path,
                               const struct keras_options *options,
                               const struct places *places)
{
    struct telling telling = {PIPE_FD};
    struct keras_options own = *options;
    struct message message;

    memset(&message, 0, sizeof message);
    own.progress = tell_progress;
    own.user = &telling;
    message.is_last = true;
    if (keras_convert(path, &own, places->scratch, places->onnx,
                      &message.report, &message.err) == 0)
        message.err.code = ERR_OK;
    tell(PIPE_FD, &message);
    _exit(0);
}

/* --- the parent ----------------------------------------------------------*/

static int wait_readable(int fd)
{
    struct pollfd wanted = {.fd = fd, .events = POLLIN};
    int n;

    do
        n = poll(&wanted, 1, SILENCE_MAX_MS);
    while (n < 0 && errno == EINTR);
    return n;
}

/* Listens until the last message, the end of the pipe or silence. */
static void listen_to(int fd, const struct keras_options *options,
                      struct message *last, bool *is_silent)
{
    struct message message;
    ssize_t n;

    for (;;) {
        *is_silent = wait_readable(fd) <= 0;
        if (*is_silent)
            return;
        n = read(fd, &message, sizeof message);
        if (n < 0 && errno == EINTR)
            continue;
        if (n != (ssize_t)sizeof message)
            return;
        if (message.is_last) {
            *last = message;
            return;
        }
        if (options->progress != NULL)
            options->progress(options->user, message.done, message.total);
    }
}

static int end_child(pid_t child, const struct message *last, bool is_silent,
                     struct err *err)
{
    int status = 0;

    if (!last->is_last)
        (void)kill(child, SIGKILL);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (is_silent)
        return err_set(err, ERR_UNPROCESSABLE,
                       "reading it stopped for %d s and was ended; the file is "
                       "damaged or the disk is stuck",
                       SILENCE_MAX_MS / 1000);
    if (!last->is_last)
        return err_set(err, ERR_UNPROCESSABLE,
                       "reading it crashed (signal %d); the file is damaged or "
                       "asks for too much memory",
                       WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    *err = last->err;
    return (int)err->code;
}

static int run_child(const char *path, const struct keras_options *options,
                     const struct places *places, struct keras_report *report,
                     struct err *err)
{
    struct message last = {.is_last = false};
    struct stat st = {0};
    bool is_silent = false;
    int fds[2], rc;
    pid_t child;

    (void)stat(path, &st);
    if (pipe2(fds, O_CLOEXEC) != 0)
        return err_set(err, ERR_UNAVAILABLE, "no pipe: %s", strerror(errno));
    child = fork();
    if (child < 0) {
        close(fds[0]);
        close(fds[1]);
        return err_set(err, ERR_UNAVAILABLE, "no process to read it: %s",
                       strerror(errno));
    }
    if (child == 0) {
        become_child(fds[1], (uint64_t)st.st_size);
        be_child(path, options, places);
    }
    close(fds[1]);
    listen_to(fds[0], options, &last, &is_silent);
    close(fds[0]);
    *report = last.report;
    rc = end_child(child, &last, is_silent, err);
    (void)unlink(places->scratch); /* of a child that crashed */
    return rc;
}

/* --- metadata.json -------------------------------------------------------*/

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

static void put(struct json_writer *json, const char *key, const char *value)
{
    json_key(json, key);
    json_put_text(json, value);
}

static void put_integer(struct json_writer *json, const char *key,
                        int64_t value)
{
    json_key(json, key);
    json_put_integer(json, value);
}

/* The reference model takes value / 255; one that scales by itself takes
 * values from 0 to 255. */
static void write_input(struct json_writer *json,
                        const struct keras_report *report)
{
    json_key(json, "input");
    json_object_begin(json);
    put(json, "name", report->input);
    put_integer(json, "width", report->width_px);
    put_integer(json, "height", report->height_px);
    put(json, "layout", report->is_channels_first ? "NCHW" : "NHWC");
    put(json, "channels", "RGB");
    json_key(json, "mean");
    json_put_integer(json, 0);
    json_key(json, "std");
    json_put_double(json, report->has_own_scaling ? 1.0 / 255 : 1);
    put(json, "filter", "bilinear-aa");
    put(json, "fit", "stretch");
    json_object_end(json);
}

/* What is left to be done to the scores. */
static const char *activation_left(const struct keras_report *report)
{
    if (strcmp(report->activation, "softmax") == 0 ||
        strcmp(report->activation, "sigmoid") == 0)
        return "none";
    return report->class_count == 1 ? "sigmoid" : "softmax";
}

static void write_source(struct json_writer *json, const char *path,
                         const struct keras_report *report, const char *sum)
{
    json_key(json, "source");
    json_object_begin(json);
    put(json, "file", name_of(path));
    put(json, "sha256", sum);
    put(json, "keras_version", report->keras_version);
    put_integer(json, "layers", report->layer_count);
    put_integer(json, "weights", report->weight_count);
    json_object_end(json);
}

static void write_metadata(struct json_writer *json, const char *path,
                           const struct keras_report *report,
                           const char *keras_sum, const char *onnx_sum)
{
    struct stat st;
    char created[CLOCK_TEXT_LEN];

    json_object_begin(json);
    put(json, "file", "model.onnx");
    if (stat(path, &st) == 0) {
        clock_format((int64_t)st.st_mtim.tv_sec * 1000, created);
        put(json, "created", created);
    }
    write_input(json, report);
    json_key(json, "output");
    json_object_begin(json);
    put(json, "scores", report->scores);
    put(json, "activation", activation_left(report));
    if (report->embedding[0] != '\0') {
        put(json, "embedding", report->embedding);
        put_integer(json, "embedding_len", report->embedding_len);
    }
    json_object_end(json);
    write_source(json, path, report, keras_sum);
    json_key(json, "sha256");
    json_object_begin(json);
    put(json, "model.onnx", onnx_sum);
    json_object_end(json);
    json_object_end(json);
}

static int save_metadata(const char *path, const struct places *places,
                         const struct keras_report *report, struct err *err)
{
    char keras_sum[HASH_HEX_LEN + 1], onnx_sum[HASH_HEX_LEN + 1];
    struct json_writer json;
    struct buf text;
    int rc;

    rc = hash_file(path, keras_sum, err);
    if (rc == 0)
        rc = hash_file(places->onnx, onnx_sum, err);
    if (rc)
        return rc;
    buf_init(&text, TEXT_LEN_MAX);
    json_writer_init(&json, &text);
    write_metadata(&json, path, report, keras_sum, onnx_sum);
    buf_add_char(&text, '\n');
    rc = buf_check(&text, err);
    if (rc == 0)
        rc = file_write(places->json, buf_bytes(&text), err);
    buf_release(&text);
    return rc;
}

bool keras_is_path(const char *path)
{
    static const char *const ends[] = {".keras", ".h5", ".hdf5"};
    size_t i, len = strlen(path), end_len;

    for (i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        end_len = strlen(ends[i]);
        if (len > end_len && strcasecmp(path + len - end_len, ends[i]) == 0)
            return true;
    }
    return false;
}

int keras_import(const char *path, const struct keras_options *options,
                 const char *out_dir, struct keras_report *out, struct err *err)
{
    struct keras_report report;
    struct places places;
    int rc;

    rc = file_join(out_dir, "model.onnx", places.onnx, err);
    if (rc == 0)
        rc = file_join(out_dir, "metadata.json", places.json, err);
    if (rc == 0)
        rc = file_join(out_dir, ".weights.h5", places.scratch, err);
    if (rc)
        return rc;
    rc = run_child(path, options, &places, &report, err);
    if (rc == 0)
        rc = save_metadata(path, &places, &report, err);
    if (rc) {
        (void)unlink(places.onnx);
        return err_wrap(err, "%s", name_of(path));
    }
    *out = report;
    return 0;
}
