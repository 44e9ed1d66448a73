/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers are those of this machine: every supported one is little-endian.
 *
 *     head | top_count x {id, score} | embedding | warning x {head, message}
 */
#include "apps/answer_pack.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { PACK_VERSION = 1, MESSAGE_LEN_MAX = 512 };

struct pack_head {
    uint32_t version;
    uint32_t top_count, embedding_len, warning_count;
    int32_t width_px, height_px;
};

struct pack_warning {
    uint32_t check; /* enum check */
    uint32_t message_len;
    double score, limit;
};

#define X(name, text) text,
static const char *const check_names[] = {CHECKS(X)};
#undef X

/* The settings that change what is computed. */
static const char *const stamped[] = {
    "DECODE_EXACT",    "QUALITY_MODE",   "BLUR_MIN",
    "SIZE_MIN",        "DARK_MAX",       "BRIGHT_MAX",
    "CENTRAL_CROP",    "DETECTOR_MODEL", "DETECTOR_SCORE",
    "DETECTOR_MARGIN", "ADVERSARIAL",    "ADVERSARIAL_LIMIT",
    "IMAGE_SIDE_MIN",  "IMAGE_SIDE_MAX", "IMAGE_MEGAPIXELS_MAX",
    "INPUT_SIZE",
};

void answer_stamp(const struct config *config, char out[HASH_HEX_LEN + 1])
{
    struct stat st = {0};
    struct buf text;
    size_t i;

    buf_init(&text, 1 << 20);
    /* Another detector of the same name crops otherwise. */
    if (config->detector_path[0] != '\0' &&
        stat(config->detector_path, &st) == 0)
        buf_printf(&text, "%lld %lld.%09ld\n", (long long)st.st_size,
                   (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    for (i = 0; i < sizeof stamped / sizeof stamped[0]; i++) {
        option_print(
            option_find(config_options, config_option_count, stamped[i]),
            config, &text);
        buf_add_char(&text, '\n');
    }
    hash_sha256_hex(buf_bytes(&text), out);
    buf_release(&text);
}

void answer_key(const char *stamp, const struct model_version *version,
                const char *sha256, int top_k, char *out, size_t size)
{
    const struct bundle *bundle = version->bundle;

    snprintf(out, size, "olho:1:%.16s:%.100s:%.100s:%llx:%s:%d", stamp,
             bundle->metadata.name, bundle->metadata.version,
             (unsigned long long)bundle->file_stamp, sha256, top_k);
}

void answer_pack(const struct answer *answer, int embedding_len,
                 struct buf *out)
{
    struct pack_head head = {
        .version = PACK_VERSION,
        .top_count = (uint32_t)answer->top_count,
        .embedding_len =
            answer->embedding != NULL ? (uint32_t)embedding_len : 0,
        .warning_count = (uint32_t)answer->checks.count,
        .width_px = answer->width_px,
        .height_px = answer->height_px,
    };
    int i, k;

    buf_add(out, &head, sizeof head);
    buf_add(out, answer->top, (size_t)answer->top_count * sizeof *answer->top);
    if (answer->embedding != NULL)
        buf_add(out, answer->embedding,
                (size_t)embedding_len * sizeof *answer->embedding);
    for (i = 0; i < answer->checks.count; i++) {
        const struct check_warning *warning = &answer->checks.warnings[i];
        struct pack_warning entry = {
            .message_len = (uint32_t)strnlen(warning->message, MESSAGE_LEN_MAX),
            .score = warning->score,
            .limit = warning->limit,
        };

        for (k = 0; k < CHECK_COUNT; k++)
            if (strcmp(warning->check, check_names[k]) == 0)
                entry.check = (uint32_t)k;
        buf_add(out, &entry, sizeof entry);
        buf_add(out, warning->message, entry.message_len);
    }
}

/* Takes the next len bytes; false when there are fewer. */
static bool take(struct bytes *packed, void *out, size_t len)
{
    if (packed->len < len)
        return false;
    memcpy(out, packed->data, len);
    packed->data += len;
    packed->len -= len;
    return true;
}

static bool take_top(struct bytes *packed, const struct bundle *bundle,
                     uint32_t count, struct arena *arena, struct answer *answer)
{
    struct bundle_class *top = arena_try(arena, count, sizeof *top);
    uint32_t i;

    if (top == NULL || !take(packed, top, count * sizeof *top))
        return false;
    for (i = 0; i < count; i++)
        if (top[i].id < 0 || top[i].id >= bundle->class_count ||
            !(top[i].score >= 0 && top[i].score <= 1.001f))
            return false;
    answer->top = top;
    answer->top_count = (int)count;
    return true;
}

static bool take_embedding(struct bytes *packed, uint32_t len,
                           struct arena *arena, struct answer *answer)
{
    float *values;
    uint32_t i;

    if (len == 0)
        return true;
    values = arena_try(arena, len, sizeof *values);
    if (values == NULL || !take(packed, values, len * sizeof *values))
        return false;
    for (i = 0; i < len; i++)
        if (!isfinite(values[i]))
            return false;
    answer->embedding = values;
    return true;
}

static bool take_warning(struct bytes *packed, struct arena *arena,
                         struct check_warning *out)
{
    struct pack_warning entry;
    char message[MESSAGE_LEN_MAX];

    if (!take(packed, &entry, sizeof entry) || entry.check >= CHECK_COUNT ||
        entry.message_len > MESSAGE_LEN_MAX || !isfinite(entry.score) ||
        !isfinite(entry.limit) || !take(packed, message, entry.message_len))
        return false;
    *out = (struct check_warning){
        .check = check_names[entry.check],
        .score = entry.score,
        .limit = entry.limit,
        .message = arena_text(arena, message, entry.message_len),
    };
    return out->message != NULL;
}

bool answer_unpack(struct bytes packed, const struct bundle *bundle, int top_k,
                   struct arena *arena, struct answer *answer)
{
    struct answer result = *answer;
    struct pack_head head;
    uint32_t i;

    if (!take(&packed, &head, sizeof head) || head.version != PACK_VERSION ||
        head.top_count != (uint32_t)top_k ||
        head.embedding_len != (uint32_t)bundle->embedding_len ||
        head.warning_count > CHECK_COUNT || head.width_px < 1 ||
        head.height_px < 1)
        return false;
    if (!take_top(&packed, bundle, head.top_count, arena, &result) ||
        !take_embedding(&packed, head.embedding_len, arena, &result))
        return false;
    for (i = 0; i < head.warning_count; i++)
        if (!take_warning(&packed, arena, &result.checks.warnings[i]))
            return false;
    if (packed.len != 0)
        return false;
    result.checks.count = (int)head.warning_count;
    result.width_px = head.width_px;
    result.height_px = head.height_px;
    *answer = result;
    return true;
}
