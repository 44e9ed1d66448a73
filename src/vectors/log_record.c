/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors/log_record.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/hash.h"

enum {
    OLD_LABEL_MAX = 255, /* of version 1 */
    TAG_LEN_MAX = VEC_TAG_NAME_MAX + VEC_TAG_VALUE_MAX + 2,
    TAGS_LEN_MAX = VEC_TAGS_MAX * TAG_LEN_MAX,
};

/* --- the header ------------------------------------------------------- */

static uint32_t header_crc(const struct log_header *header)
{
    return hash_crc32c(0, header, offsetof(struct log_header, crc));
}

int log_header_write(const struct log_shape *shape, struct log_header *out,
                     struct err *err)
{
    assert(shape->dim >= 1 && shape->dim <= VEC_DIM_MAX);
    assert(shape->metric != VECINDEX_METRIC_ANY);
    memset(out, 0, sizeof *out);
    memcpy(out->magic, LOG_MAGIC, sizeof out->magic);
    out->version = LOG_VERSION;
    out->header_len = LOG_HEADER_LEN;
    out->dim = (uint32_t)shape->dim;
    out->metric = (uint32_t)shape->metric - VECINDEX_L2;
    memcpy(out->model, shape->model, strlen(shape->model));
    if (getrandom(out->file_key, sizeof out->file_key, 0) !=
        (ssize_t)sizeof out->file_key)
        return err_set(err, ERR_IO, "no random bytes: %s", strerror(errno));
    out->seed = header_crc(out);
    out->crc = header_crc(out);
    return 0;
}

void log_header_upgrade(struct log_header *header)
{
    assert(header->version == 1);
    header->version = LOG_VERSION;
    header->seed = header->crc;
    header->crc = header_crc(header);
}

int log_header_read(const struct log_header *header, struct log_shape *out,
                    uint32_t *out_seed, struct err *err)
{
    if (memcmp(header->magic, LOG_MAGIC, sizeof header->magic) != 0)
        return err_set(err, ERR_CORRUPT,
                       "not an index of olho: byte 0 does not begin \"%s\"",
                       LOG_MAGIC);
    if (header->crc != header_crc(header))
        return err_set(err, ERR_CORRUPT,
                       "damaged at byte 0: the header's checksum is wrong");
    if (header->version > LOG_VERSION)
        return err_set(err, ERR_UNSUPPORTED,
                       "the file has version %u; this program reads up to %d",
                       header->version, LOG_VERSION);
    if (header->version == 0 || header->header_len != LOG_HEADER_LEN ||
        header->dim < 1 || header->dim > VEC_DIM_MAX ||
        header->metric > VECINDEX_COSINE - VECINDEX_L2 ||
        memchr(header->model, '\0', sizeof header->model) == NULL)
        return err_set(err, ERR_CORRUPT,
                       "damaged at byte 0: the header makes no sense "
                       "(version %u, dim %u, metric %u)",
                       header->version, header->dim, header->metric);
    out->dim = (int)header->dim;
    out->metric = (enum vecindex_metric)(header->metric + VECINDEX_L2);
    memcpy(out->model, header->model, sizeof out->model);
    *out_seed = header->version == 1 ? header->crc : header->seed;
    return 0;
}

/* --- lengths ---------------------------------------------------------- */

static bool has_vector(uint32_t kind)
{
    return kind == LOG_ITEM || kind == LOG_OLD_ENTRY;
}

static size_t vector_len(uint32_t kind, int dim)
{
    return has_vector(kind) ? (size_t)dim * sizeof(float) : 0;
}

/* Of a head whose lengths and count are within their bounds. */
static size_t whole_len(const struct log_head *head, int dim)
{
    size_t len = LOG_HEAD_LEN + vector_len(head->kind, dim);

    switch (head->kind) {
    case LOG_ITEM:
        len += (size_t)head->key_len + head->path_len + 2 + head->tags_len;
        break;
    case LOG_OLD_ENTRY:
    case LOG_OLD_UPDATE:
        len += (size_t)head->path_len + head->tags_len + head->key_len + 3;
        break;
    case LOG_GONE:
        len += head->count * sizeof(int64_t);
        break;
    case LOG_SETTINGS:
        len += sizeof(struct log_settings);
        break;
    default:
        break;
    }
    return (len + LOG_ALIGNMENT - 1) / LOG_ALIGNMENT * LOG_ALIGNMENT;
}

static void make_head(const struct log_record *record, int dim,
                      struct log_head *out)
{
    int i;

    memset(out, 0, sizeof *out);
    out->kind = record->kind;
    out->flags = record->flags;
    if (record->kind == LOG_ITEM) {
        out->id = record->id;
        out->key_len = (uint32_t)strlen(record->key);
        out->path_len = (uint32_t)strlen(record->path);
        for (i = 0; i < record->count; i++)
            out->tags_len += (uint32_t)(strlen(record->tags[i].name) +
                                        strlen(record->tags[i].value) + 2);
    }
    if (record->kind == LOG_ITEM || record->kind == LOG_GONE)
        out->count = (uint32_t)record->count;
    out->len = (uint32_t)whole_len(out, dim);
}

size_t log_record_len(const struct log_record *record, int dim)
{
    struct log_head head;

    make_head(record, dim, &head);
    return head.len;
}

size_t log_record_len_max(int dim)
{
    const struct log_head item = {.kind = LOG_ITEM,
                                  .key_len = VEC_KEY_MAX,
                                  .path_len = VEC_PATH_MAX,
                                  .tags_len = TAGS_LEN_MAX};
    const struct log_head gone = {.kind = LOG_GONE, .count = LOG_IDS_MAX};
    size_t item_len = whole_len(&item, dim), gone_len = whole_len(&gone, dim);

    return item_len > gone_len ? item_len : gone_len;
}

/* --- writing ---------------------------------------------------------- */

static uint32_t crc_from(uint32_t seed, uint64_t offset, const void *data,
                         size_t len)
{
    return hash_crc32c(hash_crc32c(seed, &offset, sizeof offset), data, len);
}

/* Copies text with its NUL; returns the place after it. */
static uint8_t *put_text(uint8_t *place, const char *text)
{
    size_t len = strlen(text) + 1;

    memcpy(place, text, len);
    return place + len;
}

static uint8_t *put_item(uint8_t *place, const struct log_record *record,
                         int dim)
{
    size_t len = vector_len(LOG_ITEM, dim);
    int i;

    memcpy(place, record->vector, len);
    place = put_text(place + len, record->key);
    place = put_text(place, record->path);
    for (i = 0; i < record->count; i++) {
        place = put_text(place, record->tags[i].name);
        place = put_text(place, record->tags[i].value);
    }
    return place;
}

void log_record_write(const struct log_record *record, int dim, uint32_t seed,
                      uint64_t offset, uint64_t durable_len, uint8_t *out)
{
    uint8_t *place = out + LOG_HEAD_LEN;
    struct log_head head;

    make_head(record, dim, &head);
    assert(head.len <= log_record_len_max(dim));
    head.durable_len = durable_len;
    if (record->kind == LOG_ITEM) {
        place = put_item(place, record, dim);
    } else if (record->kind == LOG_GONE) {
        memcpy(place, record->ids, head.count * sizeof *record->ids);
        place += head.count * sizeof *record->ids;
    } else if (record->kind == LOG_SETTINGS) {
        memcpy(place, &record->settings, sizeof record->settings);
        place += sizeof record->settings;
    } else {
        assert(record->kind == LOG_DONE);
    }
    memset(place, 0, (size_t)(out + head.len - place));
    head.body_crc =
        crc_from(seed, offset, out + LOG_HEAD_LEN, head.len - LOG_HEAD_LEN);
    head.head_crc =
        crc_from(seed, offset, &head, offsetof(struct log_head, head_crc));
    memcpy(out, &head, sizeof head);
}

/* --- reading ---------------------------------------------------------- */

bool log_head_is_whole(const struct log_head *head, uint32_t seed,
                       uint64_t offset)
{
    return head->head_crc ==
           crc_from(seed, offset, head, offsetof(struct log_head, head_crc));
}

bool log_body_is_whole(const struct log_head *head, uint32_t seed,
                       uint64_t offset)
{
    return head->body_crc ==
           crc_from(seed, offset, head + 1, head->len - LOG_HEAD_LEN);
}

static bool is_old_sensible(const struct log_head *head)
{
    bool may_have_key = head->kind == LOG_OLD_ENTRY;

    return (head->key_len == 0 ||
            (may_have_key && head->key_len == HASH_HEX_LEN)) &&
           head->tags_len <= OLD_LABEL_MAX && head->count == 0 &&
           head->flags == 0 && head->id >= 0 && head->id < INT64_MAX;
}

static bool is_item_sensible(const struct log_head *head)
{
    return head->key_len <= VEC_KEY_MAX && head->tags_len <= TAGS_LEN_MAX &&
           head->count <= VEC_TAGS_MAX &&
           (head->flags & ~(uint32_t)(LOG_HAS_MORE | LOG_REPLACES)) == 0 &&
           head->id >= 0 && head->id < INT64_MAX;
}

/* The lengths are what their kind allows. */
static bool is_kind_sensible(const struct log_head *head)
{
    switch (head->kind) {
    case LOG_ITEM:
        return is_item_sensible(head);
    case LOG_OLD_ENTRY:
    case LOG_OLD_UPDATE:
        return is_old_sensible(head);
    case LOG_GONE:
        return head->count >= 1 && head->count <= LOG_IDS_MAX &&
               (head->flags & ~(uint32_t)LOG_HAS_MORE) == 0 && head->id == 0;
    case LOG_SETTINGS:
    case LOG_DONE:
        return head->count == 0 && head->flags == 0 && head->id == 0;
    default:
        return false;
    }
}

static bool is_sensible(const struct log_head *head, int dim, uint64_t offset)
{
    return is_kind_sensible(head) && head->path_len <= VEC_PATH_MAX &&
           head->durable_len <= offset &&
           (head->zero[0] | head->zero[1] | head->zero[2]) == 0 &&
           head->len == whole_len(head, dim);
}

enum log_state log_head_check(const struct log_head *head, int dim,
                              uint32_t seed, uint64_t offset, uint64_t left)
{
    if (!log_head_is_whole(head, seed, offset))
        return LOG_TORN;
    if (!is_sensible(head, dim, offset))
        return LOG_LYING;
    return head->len <= left ? LOG_WHOLE : LOG_TORN;
}

static void old_parts(const struct log_head *head, const char *texts,
                      struct log_record *out)
{
    out->id = head->id;
    out->path = texts;
    out->tags_text = out->path + head->path_len + 1;
    out->key = out->tags_text + head->tags_len + 1;
}

void log_record_parts(const struct log_head *head, int dim,
                      struct log_record *out)
{
    const uint8_t *body = (const uint8_t *)(head + 1);
    const char *texts = (const char *)body + vector_len(head->kind, dim);

    memset(out, 0, sizeof *out);
    out->kind = (enum log_record_kind)head->kind;
    out->flags = head->flags;
    out->count = (int)head->count;
    out->tags_len = head->tags_len;
    out->key = out->path = out->tags_text = "";
    if (has_vector(head->kind))
        out->vector = (const float *)(const void *)body;
    if (head->kind == LOG_ITEM) {
        out->id = head->id;
        out->key = texts;
        out->path = out->key + head->key_len + 1;
        out->tags_text = out->path + head->path_len + 1;
    } else if (head->kind == LOG_OLD_ENTRY || head->kind == LOG_OLD_UPDATE) {
        old_parts(head, texts, out);
    } else if (head->kind == LOG_GONE) {
        out->ids = (const int64_t *)(const void *)body;
    } else if (head->kind == LOG_SETTINGS) {
        memcpy(&out->settings, body, sizeof out->settings);
    }
}

bool log_record_tag(const struct log_record *record, const char **at,
                    struct vec_tag *out)
{
    if (record->kind != LOG_ITEM) {
        if (*at != NULL || record->tags_text[0] == '\0')
            return false;
        out->name = "label";
        out->value = *at = record->tags_text;
        return true;
    }
    out->name = *at == NULL ? record->tags_text : *at;
    if (record->count == 0 || out->name == record->tags_text + record->tags_len)
        return false;
    out->value = out->name + strlen(out->name) + 1;
    *at = out->value + strlen(out->value) + 1;
    return true;
}

/* Whether the NUL after text is where the head says. */
static bool ends_at(const char *text, uint32_t len)
{
    return memchr(text, '\0', (size_t)len + 1) == text + len;
}

/* Whether so many names and values, none over its length, fill tags_len. */
static bool are_tags_right(const struct log_head *head, const char *texts)
{
    size_t left = head->tags_len;
    uint32_t i;

    for (i = 0; i < 2 * head->count; i++) {
        size_t len = strnlen(texts, left);

        if (len == left || (i % 2 == 0 && (len == 0 || len > VEC_TAG_NAME_MAX)))
            return false;
        if (i % 2 == 1 && len > VEC_TAG_VALUE_MAX)
            return false;
        texts += len + 1;
        left -= len + 1;
    }
    return left == 0;
}

static bool are_ids_right(const struct log_record *record)
{
    int i;

    for (i = 0; i < record->count; i++) {
        if (record->ids[i] < 0)
            return false;
    }
    return true;
}

static bool are_parts_right(const struct log_head *head,
                            const struct log_record *record)
{
    switch (head->kind) {
    case LOG_ITEM:
        return ends_at(record->path, head->path_len) &&
               ends_at(record->key, head->key_len) &&
               are_tags_right(head, record->tags_text);
    case LOG_OLD_ENTRY:
    case LOG_OLD_UPDATE:
        return ends_at(record->path, head->path_len) &&
               ends_at(record->tags_text, head->tags_len) &&
               ends_at(record->key, head->key_len);
    case LOG_GONE:
        return are_ids_right(record);
    default:
        return true;
    }
}

enum log_state log_record_read(const struct log_head *head, int dim,
                               uint32_t seed, uint64_t offset,
                               struct log_record *out)
{
    if (!log_body_is_whole(head, seed, offset))
        return LOG_TORN;
    log_record_parts(head, dim, out);
    return are_parts_right(head, out) ? LOG_WHOLE : LOG_LYING;
}
