/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors/flat_record.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/hash.h"

int flat_header_write(const struct flat_shape *shape, struct flat_header *out,
                      struct err *err)
{
    assert(shape->dim >= 1 && shape->dim <= FLAT_DIM_MAX);
    memset(out, 0, sizeof *out);
    memcpy(out->magic, FLAT_MAGIC, sizeof out->magic);
    out->version = FLAT_VERSION;
    out->header_len = FLAT_HEADER_LEN;
    out->dim = (uint32_t)shape->dim;
    out->metric = (uint32_t)shape->metric;
    memcpy(out->model, shape->model, strlen(shape->model));
    if (getrandom(out->file_key, sizeof out->file_key, 0) !=
        (ssize_t)sizeof out->file_key)
        return err_set(err, ERR_IO, "no random bytes: %s", strerror(errno));
    out->crc = hash_crc32c(0, out, offsetof(struct flat_header, crc));
    return 0;
}

int flat_header_read(const struct flat_header *header, struct flat_shape *out,
                     struct err *err)
{
    if (memcmp(header->magic, FLAT_MAGIC, sizeof header->magic) != 0)
        return err_set(err, ERR_CORRUPT,
                       "not an index of olho: byte 0 does not begin \"%s\"",
                       FLAT_MAGIC);
    if (header->crc !=
        hash_crc32c(0, header, offsetof(struct flat_header, crc)))
        return err_set(err, ERR_CORRUPT,
                       "damaged at byte 0: the header's checksum is wrong");
    if (header->version > FLAT_VERSION)
        return err_set(err, ERR_UNSUPPORTED,
                       "the file has version %u; this program reads up to %d",
                       header->version, FLAT_VERSION);
    if (header->version == 0 || header->header_len != FLAT_HEADER_LEN ||
        header->dim < 1 || header->dim > FLAT_DIM_MAX ||
        header->metric > FLAT_COSINE ||
        memchr(header->model, '\0', sizeof header->model) == NULL)
        return err_set(err, ERR_CORRUPT,
                       "damaged at byte 0: the header makes no sense "
                       "(version %u, dim %u, metric %u)",
                       header->version, header->dim, header->metric);
    out->dim = (int)header->dim;
    out->metric = (enum flat_metric)header->metric;
    memcpy(out->model, header->model, sizeof out->model);
    return 0;
}

static size_t vector_len(uint32_t kind, int dim)
{
    return kind == FLAT_ENTRY ? (size_t)dim * sizeof(float) : 0;
}

/* The three lengths are bounded by the caller. */
static size_t whole_len(uint32_t kind, int dim, size_t path_len,
                        size_t label_len, size_t sha256_len)
{
    size_t len = FLAT_HEAD_LEN;

    if (kind != FLAT_DONE)
        len += vector_len(kind, dim) + path_len + label_len + sha256_len + 3;
    return (len + FLAT_ALIGNMENT - 1) / FLAT_ALIGNMENT * FLAT_ALIGNMENT;
}

size_t flat_record_len(const struct flat_record *record, int dim)
{
    if (record->kind == FLAT_DONE)
        return FLAT_HEAD_LEN;
    return whole_len(record->kind, dim, strlen(record->path),
                     strlen(record->label), strlen(record->sha256));
}

size_t flat_record_len_max(int dim)
{
    return whole_len(FLAT_ENTRY, dim, FLAT_PATH_MAX, FLAT_LABEL_MAX,
                     HASH_HEX_LEN);
}

static uint32_t crc_from(uint32_t file_crc, uint64_t offset, const void *data,
                         size_t len)
{
    return hash_crc32c(hash_crc32c(file_crc, &offset, sizeof offset), data,
                       len);
}

/* Copies text with its NUL; returns the place after it. */
static uint8_t *put_text(uint8_t *place, const char *text, uint32_t len)
{
    memcpy(place, text, len);
    place[len] = '\0';
    return place + len + 1;
}

void flat_record_write(const struct flat_record *record, int dim,
                       uint32_t file_crc, uint64_t offset, uint64_t durable_len,
                       uint8_t *out)
{
    struct flat_head head = {.kind = record->kind, .durable_len = durable_len};
    size_t len = flat_record_len(record, dim);
    uint8_t *place = out + FLAT_HEAD_LEN;

    assert(len <= flat_record_len_max(dim));
    memset(out, 0, FLAT_HEAD_LEN);
    head.len = (uint32_t)len;
    if (record->kind != FLAT_DONE) {
        head.id = (uint64_t)record->id;
        head.path_len = (uint32_t)strlen(record->path);
        head.label_len = (uint32_t)strlen(record->label);
        head.sha256_len = (uint32_t)strlen(record->sha256);
        if (record->kind == FLAT_ENTRY)
            memcpy(place, record->vector, vector_len(head.kind, dim));
        place += vector_len(head.kind, dim);
        place = put_text(place, record->path, head.path_len);
        place = put_text(place, record->label, head.label_len);
        place = put_text(place, record->sha256, head.sha256_len);
    }
    memset(place, 0, (size_t)(out + len - place));
    head.body_crc =
        crc_from(file_crc, offset, out + FLAT_HEAD_LEN, len - FLAT_HEAD_LEN);
    head.head_crc =
        crc_from(file_crc, offset, &head, offsetof(struct flat_head, head_crc));
    memcpy(out, &head, sizeof head);
}

bool flat_head_is_whole(const struct flat_head *head, uint32_t file_crc,
                        uint64_t offset)
{
    return head->head_crc == crc_from(file_crc, offset, head,
                                      offsetof(struct flat_head, head_crc));
}

static bool is_sensible(const struct flat_head *head, int dim, uint64_t offset)
{
    switch (head->kind) {
    case FLAT_ENTRY:
        if (head->sha256_len != 0 && head->sha256_len != HASH_HEX_LEN)
            return false;
        break;
    case FLAT_UPDATE:
        if (head->sha256_len != 0)
            return false;
        break;
    case FLAT_DONE:
        break;
    default:
        return false;
    }
    return head->path_len <= FLAT_PATH_MAX &&
           head->label_len <= FLAT_LABEL_MAX && head->durable_len <= offset &&
           head->len == whole_len(head->kind, dim, head->path_len,
                                  head->label_len, head->sha256_len);
}

enum flat_state flat_head_check(const struct flat_head *head, int dim,
                                uint32_t file_crc, uint64_t offset,
                                uint64_t left)
{
    if (!flat_head_is_whole(head, file_crc, offset))
        return FLAT_TORN;
    if (!is_sensible(head, dim, offset))
        return FLAT_LYING;
    return head->len <= left ? FLAT_WHOLE : FLAT_TORN;
}

void flat_record_parts(const struct flat_head *head, int dim,
                       struct flat_record *out)
{
    const uint8_t *body = (const uint8_t *)head + FLAT_HEAD_LEN;

    memset(out, 0, sizeof *out);
    out->kind = (enum flat_kind)head->kind;
    out->path = out->label = out->sha256 = "";
    if (head->kind == FLAT_DONE)
        return;
    out->id = (int64_t)head->id;
    if (head->kind == FLAT_ENTRY)
        out->vector = (const float *)(const void *)body;
    out->path = (const char *)body + vector_len(head->kind, dim);
    out->label = out->path + head->path_len + 1;
    out->sha256 = out->label + head->label_len + 1;
}

/* Whether the NUL after text is where the head says. */
static bool ends_at(const char *text, uint32_t len)
{
    return memchr(text, '\0', (size_t)len + 1) == text + len;
}

enum flat_state flat_record_read(const struct flat_head *head, int dim,
                                 uint32_t file_crc, uint64_t offset,
                                 struct flat_record *out)
{
    const uint8_t *body = (const uint8_t *)head + FLAT_HEAD_LEN;

    if (head->body_crc !=
        crc_from(file_crc, offset, body, head->len - FLAT_HEAD_LEN))
        return FLAT_TORN;
    flat_record_parts(head, dim, out);
    if (head->kind == FLAT_DONE)
        return FLAT_WHOLE;
    if (!ends_at(out->path, head->path_len) ||
        !ends_at(out->label, head->label_len) ||
        !ends_at(out->sha256, head->sha256_len))
        return FLAT_LYING;
    return FLAT_WHOLE;
}
