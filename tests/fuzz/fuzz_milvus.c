/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the message that Milvus answers with, whatever was asked; and
 * as a URL and as a value in an expression. */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "spoken.h"
#include "vectors/milvus_expr.h"
#include "vectors/milvus_find.h"
#include "vectors/milvus_state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { DIM = 4, K = 8, MESSAGE_MAX = 16000, FRAMES_MAX = MESSAGE_MAX + 200 };

/* --- frames of HTTP/2 around a message ------------------------------------ */

static size_t put_frame(uint8_t *out, int type, int flags, const void *data,
                        size_t len)
{
    const uint8_t head[] = {0,
                            (uint8_t)(len >> 8),
                            (uint8_t)len,
                            (uint8_t)type,
                            (uint8_t)flags,
                            0,
                            0,
                            0,
                            type != 4};

    memcpy(out, head, sizeof head);
    if (len > 0)
        memcpy(out + sizeof head, data, len);
    return sizeof head + len;
}

static struct bytes frames_of(struct bytes message)
{
    static const char head[] = "\x88\0\14content-type\20application/grpc";
    static const char trailers[] = "\0\13grpc-status\1"
                                   "0";
    static uint8_t frames[FRAMES_MAX], body[5 + MESSAGE_MAX];
    size_t len;

    body[3] = (uint8_t)(message.len >> 8);
    body[4] = (uint8_t)message.len;
    if (message.len > 0)
        memcpy(body + 5, message.data, message.len);
    len = put_frame(frames, 4, 0, NULL, 0);
    len += put_frame(frames + len, 1, 4, head, sizeof head - 1);
    len += put_frame(frames + len, 0, 0, body, 5 + message.len);
    len += put_frame(frames + len, 1, 5, trailers, sizeof trailers - 1);
    return (struct bytes){frames, len};
}

/* --- what is asked -------------------------------------------------------- */

static const struct milvus_shape shape = {
    .id = "id",
    .vector = "v",
    .dim = DIM,
    .key = {"k", 255},
    .path = {"p", 4095},
    .tags = {{"label", 500}},
    .tag_count = 1,
    .has_json = true,
    .has_index = true,
    .index_type = "HNSW",
    .type = VECINDEX_HNSW,
    .metric = VECINDEX_COSINE,
};

static void check_hits(const struct vec_hits *hits)
{
    size_t sum = 0;
    int i;

    assert(hits->count >= 0 && hits->count <= K);
    for (i = 0; i < hits->count; i++) {
        assert(isfinite(hits->list[i].distance));
        assert(hits->list[i].tag_count >= 0);
        sum += strlen(hits->list[i].key) + strlen(hits->list[i].path);
        if (hits->list[i].tag_count > 0)
            sum += strlen(hits->list[i].tags[0].value);
    }
    assert(sum <= 3 * MESSAGE_MAX);
}

static void ask(struct milvus_link *link)
{
    static const float vector[DIM] = {1};
    const struct vec_query query = {.vector = vector, .dim = DIM, .k = K};
    struct arena *arena = arena_new(1 << 20);
    struct vec_hits hits = {.count = 0};
    float vectors[K * DIM];
    struct milvus_shape read;
    struct err err = {0};
    char version[64];
    int64_t number;

    if (milvus_search(link, &shape, "", &query, 64, arena, &hits, &err) == 0)
        check_hits(&hits);
    err = (struct err){0};
    if (milvus_query_rows(link, &shape, "", K, arena, &hits, vectors, &err) ==
        0)
        check_hits(&hits);
    err = (struct err){0};
    if (milvus_count(link, "", &number, &err) != 0)
        err = (struct err){0};
    if (milvus_pending(link, &shape, &number, &err) == 0)
        assert(number >= 0);
    err = (struct err){0};
    if (milvus_version(link, version, &err) == 0)
        assert(strlen(version) < sizeof version);
    err = (struct err){0};
    if (milvus_shape_read(link, &read, &err) == 0)
        assert(read.dim >= 1 && read.dim <= VEC_DIM_MAX &&
               read.tag_count <= MILVUS_TAG_COLUMNS_MAX);
    arena_free(arena);
}

/* --- texts ---------------------------------------------------------------- */

/* No quote inside ends the value, and no end of a line, which may not be
 * there. */
static void quote(const char *text)
{
    struct buf out;
    size_t i;

    buf_init(&out, 1 << 20);
    milvus_expr_text(text, &out);
    assert(out.len >= 2 && out.data[0] == '"');
    for (i = 1; out.data[i] != '"'; i++) {
        assert(out.data[i] != '\n' && out.data[i] != '\r');
        if (out.data[i] == '\\')
            i++;
    }
    assert(i == out.len - 1);
    buf_release(&out);
}

static void parse(const char *text)
{
    struct milvus_url url;
    struct err err = {0};

    if (milvus_url_parse(text, &url, &err) == 0)
        assert(url.port >= 1 && url.port <= 65535 && url.host[0] != '\0' &&
               url.collection[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct milvus_url url = {.host = "127.0.0.1", .collection = "c"};
    struct milvus_link link;
    struct err err = {0};
    char *text;
    int rc;

    if (len > MESSAGE_MAX)
        return 0;
    text = mem_try(1, len + 1);
    assert(text != NULL);
    if (len > 0)
        memcpy(text, data, len);
    quote(text);
    parse(text);
    mem_free(text);
    url.port = spoken_port();
    spoken_set(frames_of((struct bytes){data, len}));
    rc = milvus_link_init(&link, &url, 60000, &err);
    assert(rc == 0);
    ask(&link);
    milvus_link_release(&link);
    spoken_set((struct bytes){NULL, 0});
    return 0;
}
