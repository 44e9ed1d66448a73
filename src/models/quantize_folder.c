/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "models/metadata_file.h"
#include "models/quantize_run.h"

enum { BESIDE_LEN_MAX = 64 << 20, MEMBER_LEN_MAX = 64 << 10 };

static bool begins_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* Labels and what must go with a copy. Indexes hold vectors of the other
 * network and stay. */
static bool belongs(const struct bundle *bundle, const char *name)
{
    return strcmp(name, bundle->metadata.labels) == 0 ||
           begins_with(name, "labels.") ||
           begins_with(name, "class_indices.") || begins_with(name, "LICEN") ||
           begins_with(name, "NOTICE");
}

static int copy_file(const char *from_dir, const char *to_dir, const char *name,
                     struct err *err)
{
    char from[FILE_PATH_MAX], to[FILE_PATH_MAX];
    struct buf data;
    int rc;

    buf_init(&data, BESIDE_LEN_MAX);
    rc = file_join(from_dir, name, from, err);
    if (rc == 0)
        rc = file_join(to_dir, name, to, err);
    if (rc == 0)
        rc = file_read(from, &data, err);
    if (rc == 0)
        rc = file_write(to, buf_bytes(&data), err);
    buf_release(&data);
    return rc;
}

static int copy_beside(const struct bundle *bundle, const char *dir,
                       struct err *err)
{
    DIR *folder = opendir(bundle->dir);
    struct dirent *entry;
    int rc = 0;

    if (folder == NULL)
        return err_set(err, ERR_IO, "cannot open folder '%s': %s", bundle->dir,
                       strerror(errno));
    while (rc == 0 && (entry = readdir(folder)) != NULL)
        if (belongs(bundle, entry->d_name))
            rc = copy_file(bundle->dir, dir, entry->d_name, err);
    closedir(folder);
    return rc;
}

/* The metadata that is there, so that members which we do not know go along. */
static int copy_metadata(const struct bundle *bundle, const char *dir,
                         struct err *err)
{
    char path[FILE_PATH_MAX];
    int rc = file_join(bundle->dir, "metadata.json", path, err);

    if (rc || !file_exists(path))
        return rc;
    return copy_file(bundle->dir, dir, "metadata.json", err);
}

int quantize_folder_begin(const struct bundle *bundle, const char *out_dir,
                          char *dir, struct err *err)
{
    size_t len = strlen(out_dir);
    int n, rc;

    while (len > 1 && out_dir[len - 1] == '/')
        len--;
    n = snprintf(dir, FILE_PATH_MAX, "%.*s.new-%ld", (int)len, out_dir,
                 (long)getpid());
    if (len >= FILE_PATH_MAX || n >= FILE_PATH_MAX)
        return err_set(err, ERR_INVALID, "--out has %zu bytes; at most %d", len,
                       FILE_PATH_MAX - 32);
    rc = file_make_dir(dir, err);
    if (rc == 0)
        rc = copy_metadata(bundle, dir, err);
    if (rc == 0)
        rc = copy_beside(bundle, dir, err);
    if (rc)
        quantize_folder_drop(dir);
    return rc;
}

/* --- metadata.json -------------------------------------------------------- */

static void put_text(struct json_writer *json, const char *key,
                     const char *value)
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

static void write_text(struct json_writer *json, const void *from)
{
    json_put_text(json, from);
}

static void write_input(struct json_writer *json, const void *from)
{
    const struct metadata *metadata = from;
    const struct transform *transform = &metadata->transform;
    int i;

    json_object_begin(json);
    put_text(json, "name", metadata->input);
    put_integer(json, "width", transform->width_px);
    put_integer(json, "height", transform->height_px);
    put_text(json, "layout",
             transform->layout == LAYOUT_NCHW ? "NCHW" : "NHWC");
    put_text(json, "channels", transform->order == ORDER_RGB ? "RGB" : "BGR");
    json_key(json, "mean");
    json_array_begin(json);
    for (i = 0; i < 3; i++)
        json_put_double(json, -(double)transform->bias[i] /
                                  (255 * (double)transform->scale[i]));
    json_array_end(json);
    json_key(json, "std");
    json_array_begin(json);
    for (i = 0; i < 3; i++)
        json_put_double(json, 1 / (255 * (double)transform->scale[i]));
    json_array_end(json);
    put_text(json, "filter", filter_name(transform->filter));
    put_text(json, "fit", fit_name(transform->fit));
    if (transform->short_side_px > 0)
        put_integer(json, "short_side", transform->short_side_px);
    put_integer(json, "pad", transform->pad);
    json_object_end(json);
}

static void write_output(struct json_writer *json, const void *from)
{
    const struct bundle *bundle = from;

    json_object_begin(json);
    put_text(json, "scores", bundle->metadata.scores);
    put_text(json, "activation", activation_name(bundle->metadata.activation));
    if (bundle->embedding_len > 0)
        put_text(json, "embedding", bundle->metadata.embedding);
    json_object_end(json);
}

static double share(size_t part, size_t whole)
{
    return whole > 0 ? (double)part / (double)whole : NAN;
}

static void write_report(struct json_writer *json, const void *from)
{
    const struct quantize_report *report = from;

    json_object_begin(json);
    put_integer(json, "calibrated", (int64_t)report->calibrated_count);
    put_integer(json, "compared", (int64_t)report->compared_count);
    put_integer(json, "sure", (int64_t)report->sure_count);
    json_key(json, "agreement");
    json_put_double(json, share(report->agreed_count, report->compared_count));
    json_key(json, "agreement_sure");
    json_put_double(json, share(report->sure_agreed_count, report->sure_count));
    json_object_end(json);
}

typedef void write_fn(struct json_writer *json, const void *from);

static int set(const char *dir, const char *key, write_fn *write,
               const void *from, struct err *err)
{
    struct json_writer json;
    struct buf text;
    int rc;

    buf_init(&text, MEMBER_LEN_MAX);
    json_writer_init(&json, &text);
    write(&json, from);
    rc = buf_check(&text, err);
    if (rc == 0)
        rc = metadata_file_set(dir, key, buf_bytes(&text), err);
    buf_release(&text);
    return rc;
}

static int add_sum(void *user, const char *path, struct err *err)
{
    const char *name = strrchr(path, '/') + 1;
    char sum[HASH_HEX_LEN + 1];
    int rc;

    if (strcmp(name, "metadata.json") == 0)
        return 0;
    rc = hash_file(path, sum, err);
    if (rc == 0)
        put_text(user, name, sum);
    return rc;
}

static int set_sums(const char *dir, struct err *err)
{
    struct json_writer json;
    struct buf text;
    int rc;

    buf_init(&text, MEMBER_LEN_MAX);
    json_writer_init(&json, &text);
    json_object_begin(&json);
    rc = file_walk(dir, add_sum, &json, err);
    json_object_end(&json);
    if (rc == 0)
        rc = buf_check(&text, err);
    if (rc == 0)
        rc = metadata_file_set(dir, "sha256", buf_bytes(&text), err);
    buf_release(&text);
    return rc;
}

static void write_null(struct json_writer *json, const void *from)
{
    (void)from;
    json_put_null(json);
}

/* Whether metadata.json has all of these parts, so that its own text stays. */
static bool knows(const struct metadata *metadata, unsigned parts)
{
    return (metadata->known & parts) == parts;
}

/* Nobody measured the accuracy of the new network, so it has none. */
int quantize_folder_describe(const struct bundle *bundle, const char *dir,
                             enum quantize_mode mode,
                             const struct quantize_report *report,
                             struct err *err)
{
    const struct metadata *metadata = &bundle->metadata;
    char version[METADATA_NAME_MAX], created[CLOCK_TEXT_LEN];
    const struct {
        const char *key;
        write_fn *write;
        const void *from;
    } members[] = {
        {"name", write_text, metadata->name},
        {"version", write_text, version},
        {"created", write_text, created},
        {"accuracy", write_null, NULL},
        {"file", write_text, "model.onnx"},
        {"quantized", write_text,
         mode == QUANTIZE_STATIC ? "int8-static" : "int8-weights"},
        {"quantization", write_report, report},
    };
    size_t i;
    int rc = 0;

    snprintf(version, sizeof version, "%.120s-int8", metadata->version);
    clock_format(clock_wall_ms(), created);
    created[10] = '\0';
    for (i = 0; rc == 0 && i < sizeof members / sizeof members[0]; i++)
        rc = set(dir, members[i].key, members[i].write, members[i].from, err);
    if (rc == 0 && !knows(metadata, KNOWN_SIZE | KNOWN_LAYOUT |
                                        KNOWN_NORMALISATION | KNOWN_RESIZE))
        rc = set(dir, "input", write_input, metadata, err);
    if (rc == 0 && !knows(metadata, KNOWN_SCORES | KNOWN_ACTIVATION))
        rc = set(dir, "output", write_output, bundle, err);
    return rc ? rc : set_sums(dir, err);
}

int quantize_folder_keep(const char *dir, const char *out_dir, struct err *err)
{
    if (rename(dir, out_dir) != 0)
        return err_set(err, ERR_IO, "cannot name folder '%s': %s", out_dir,
                       strerror(errno));
    return 0;
}

static int remove_file(void *user, const char *path, struct err *err)
{
    (void)user;
    (void)err;
    unlink(path);
    return 0;
}

void quantize_folder_drop(const char *dir)
{
    struct err ignored = {0};

    if (file_walk(dir, remove_file, NULL, &ignored) == 0)
        rmdir(dir);
}
