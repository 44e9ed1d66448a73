/* SPDX-License-Identifier: Apache-2.0 */
#include "apps/collector_input.h"

#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/clock.h"
#include "blob/blob.h"
#include "obs/trace.h"

bool collector_is_image(const struct http_part *part)
{
    static const char *const names[] = {"image", "file", "images", "images[]"};
    size_t i;

    for (i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(part->name, names[i]) == 0)
            return true;
    return false;
}

int collector_flag(const struct http_request *request, const char *name,
                   bool preset, bool *out, struct err *err)
{
    const char *text = http_argument(request, name);

    if (text == NULL)
        *out = preset;
    else if (strcmp(text, "1") == 0 || strcasecmp(text, "true") == 0)
        *out = true;
    else if (strcmp(text, "0") == 0 || strcasecmp(text, "false") == 0)
        *out = false;
    else
        return err_set(err, ERR_INVALID,
                       "%s is \"%.40s\"; it must be 1, 0, true or false", name,
                       text);
    return 0;
}

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

static int read_stored(const struct app *app, const char *path,
                       struct collector_image *out, struct err *err)
{
    size_t len_max = (size_t)(app->config->image_size_max_mb * (1 << 20));
    const char *key;
    int64_t begin_us;
    int rc;

    if (app->blob == NULL)
        return err_set(err, ERR_UNSUPPORTED,
                       "image_path is \"%.100s\", but no blob store is "
                       "configured (BLOB_URL or MINIO_HOST); send the image "
                       "itself",
                       path);
    begin_us = clock_us();
    buf_init(&out->stored, len_max);
    rc = blob_split(app->blob, path, &key, err);
    if (rc == 0)
        rc = blob_read(app->blob, key, &out->stored, err);
    trace_phase("fetch", begin_us, clock_us());
    if (rc)
        return rc;
    out->file = buf_bytes(&out->stored);
    return 0;
}

/* A JSON body names an image in the blob store. */
static int find_stored(const struct app *app,
                       const struct http_request *request,
                       struct collector_image *out, struct err *err)
{
    struct json_value *document = NULL;
    const char *path = NULL;
    int rc;

    rc = json_parse(request->body, &document, err);
    if (rc)
        return rc;
    rc = json_take_text(document, "image_path", &path, err);
    if (rc == 0 && path == NULL)
        rc = json_take_text(document, "imagen_path", &path, err);
    if (rc == 0 && path == NULL)
        rc = err_set(err, ERR_INVALID,
                     "the JSON body has no \"image_path\"; an image may also "
                     "be sent as multipart/form-data or as the body itself");
    if (rc == 0) {
        out->path = arena_text(request->arena, path, strlen(path));
        rc = out->path != NULL
                 ? read_stored(app, out->path, out, err)
                 : err_set(err, ERR_UNAVAILABLE, "no memory for a path");
    }
    json_free(document);
    return rc;
}

static int find_part(const struct http_request *request,
                     struct collector_image *out, struct err *err)
{
    int i;

    for (i = 0; i < request->part_count; i++)
        if (collector_is_image(&request->parts[i])) {
            out->file = request->parts[i].data;
            if (request->parts[i].filename != NULL)
                out->path = request->parts[i].filename;
            return 0;
        }
    if (request->part_count == 0)
        return err_set(err, ERR_INVALID,
                       "the form has no field; \"image\" or \"file\" must hold "
                       "an image");
    return err_set(err, ERR_INVALID,
                   "the form has no field \"image\" or \"file\"; its first of "
                   "%d is \"%.60s\"",
                   request->part_count, request->parts[0].name);
}

int collector_find_image(const struct app *app,
                         const struct http_request *request,
                         struct collector_image *out, struct err *err)
{
    const char *type = request->content_type;

    *out = (struct collector_image){.path = ""};
    if (request->body.len == 0)
        return err_set(err, ERR_INVALID,
                       "the body has 0 bytes; send an image as "
                       "multipart/form-data field \"image\" or \"file\"");
    if (strcmp(type, "application/json") == 0)
        return find_stored(app, request, out, err);
    if (starts_with(type, "image/") || type[0] == '\0' ||
        strcmp(type, "application/octet-stream") == 0) {
        out->file = request->body;
        return 0;
    }
    if (strcmp(type, "multipart/form-data") != 0 &&
        strcmp(type, "application/x-www-form-urlencoded") != 0)
        return err_set(err, ERR_MEDIA_TYPE,
                       "Content-Type is \"%.60s\"; it must be "
                       "multipart/form-data, image/* or application/json",
                       type);
    return find_part(request, out, err);
}

void collector_image_release(struct collector_image *image)
{
    buf_release(&image->stored);
}
