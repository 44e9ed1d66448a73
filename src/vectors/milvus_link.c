/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors/milvus_link.h"

#include <assert.h>
#include <stdalign.h>
#include <stdio.h>
#include <string.h>

#include <milvus.pb-c.h>

#include "base/base64.h"
#include "base/mem.h"
#include "base/url.h"

#define SERVICE "/milvus.proto.milvus.MilvusService/"

enum {
    CONNECT_TIMEOUT_MS = 2000,
    CONNECTIONS = 16,
    REQUEST_LEN_MAX = 64 << 20, /* that a server takes, as it is set up */
    ANSWER_LEN_MAX = 128 << 20,
    SPARE = 1 << 20, /* bytes for the messages of a small answer */
    GROWTH = 8,      /* and for each byte of a larger one */
    WORDS_MAX = 200,
    OLD_CODES = 1000000, /* added to codes of the enumeration of 2.2 */
    GRPC_UNIMPLEMENTED = 12,
    STRONG = 0,  /* consistency levels: all that was written, */
    SESSION = 1, /* and what was until a time */
};

/* --- opening -------------------------------------------------------------- */

/* "name: value" lines of what is said with each call. */
static int write_login(const struct milvus_url *url, struct buf *out,
                       struct err *err)
{
    char login[2 * MILVUS_NAME_MAX];
    int len = snprintf(login, sizeof login, "%s:%s", url->user, url->password);

    buf_add_text(out, "authorization: ");
    base64_encode((struct bytes){(const uint8_t *)login, (size_t)len}, out);
    return buf_check(out, err);
}

int milvus_link_init(struct milvus_link *link, const struct milvus_url *url,
                     int timeout_ms, struct err *err)
{
    const char *headers[2];
    struct grpc_options options = {
        .host = url->host,
        .port = url->port,
        .connection_max = CONNECTIONS,
        .connect_timeout_ms =
            timeout_ms < CONNECT_TIMEOUT_MS ? timeout_ms : CONNECT_TIMEOUT_MS,
        .headers = headers};
    char database[MILVUS_NAME_MAX + 16];
    struct buf login;
    int rc = 0;

    buf_init(&login, 4096);
    *link = (struct milvus_link){.url = *url, .timeout_ms = timeout_ms};
    snprintf(link->authority, sizeof link->authority, "%s:%d", url->host,
             url->port);
    if (url->user[0] != '\0') {
        rc = write_login(url, &login, err);
        headers[options.header_count++] = login.data;
    }
    if (url->database[0] != '\0') {
        snprintf(database, sizeof database, "dbname: %s", url->database);
        headers[options.header_count++] = database;
    }
    if (rc == 0)
        rc = grpc_new(&options, &link->grpc, err);
    buf_release(&login);
    return rc;
}

void milvus_link_release(struct milvus_link *link)
{
    grpc_free(link->grpc);
    *link = (struct milvus_link){.grpc = NULL};
}

/* --- memory of protobuf-c ------------------------------------------------- */

/* A few bytes of an answer can ask for much more: what it may take in all is
 * bounded. */
struct block {
    size_t len;
    alignas(max_align_t) char data[];
};

static void *take(void *user, size_t len)
{
    size_t *left = user;
    struct block *block;

    if (len > *left || *left - len < sizeof *block)
        return NULL;
    block = mem_try(1, sizeof *block + len);
    if (block == NULL)
        return NULL;
    block->len = sizeof *block + len;
    *left -= block->len;
    return block->data;
}

static void give_back(void *user, void *data)
{
    size_t *left = user;
    struct block *block;

    if (data == NULL)
        return;
    block = (struct block *)((char *)data - offsetof(struct block, data));
    *left += block->len;
    mem_free(block);
}

static ProtobufCAllocator allocator_of(struct milvus_reply *reply)
{
    return (ProtobufCAllocator){take, give_back, &reply->memory_left};
}

void milvus_reply_release(struct milvus_reply *reply)
{
    ProtobufCAllocator allocator = allocator_of(reply);

    if (reply->message != NULL)
        protobuf_c_message_free_unpacked(reply->message, &allocator);
    reply->message = NULL;
}

/* --- what an answer says -------------------------------------------------- */

/* Every answer is a Status or has one as its first field; none is success. */
static const Milvus__Status *status_of(const struct milvus_call *call,
                                       const void *message)
{
    const ProtobufCFieldDescriptor *field;

    if (call->answer == &milvus__status__descriptor)
        return message;
    field = protobuf_c_message_descriptor_get_field(call->answer, 1);
    return *(Milvus__Status *const *)((const char *)message + field->offset);
}

/* 2.3.0 has, and 2.3.1 partly, only the enumeration of 2.2. */
static int code_of(const Milvus__Status *status)
{
    if (status->code != 0)
        return status->code;
    switch (status->error_code) {
    case 1:
        return MILVUS_UNEXPECTED;
    case 4:
        return MILVUS_COLLECTION_NOT_FOUND;
    case 25:
        return MILVUS_INDEX_NOT_FOUND;
    default:
        return OLD_CODES + status->error_code;
    }
}

static enum err_code meaning_of(int code, bool is_retriable)
{
    switch (code) {
    case MILVUS_COLLECTION_NOT_FOUND:
    case MILVUS_INDEX_NOT_FOUND:
    case 800: /* no such database */
        return ERR_NOT_FOUND;
    case 4: /* too many requests */
    case 8: /* above the rate */
        return ERR_BUSY;
    case 1: /* not ready, or starting */
    case 2:
    case 3: /* above its memory, */
    case 7: /* its disk, */
    case 9: /* or closed to writes */
    case MILVUS_COLLECTION_NOT_LOADED:
    case MILVUS_COLLECTION_NOT_WHOLLY_LOADED:
        return ERR_UNAVAILABLE;
    case 1400:
    case 1401: /* no privilege */
        return ERR_UNAVAILABLE;
    default:
        return is_retriable ? ERR_UNAVAILABLE : ERR_UNPROCESSABLE;
    }
}

static int status_fail(const struct milvus_link *link,
                       const struct milvus_call *call,
                       const Milvus__Status *status, struct err *err)
{
    int said = status->code != 0 ? status->code : status->error_code;
    char words[WORDS_MAX];
    size_t i;

    snprintf(words, sizeof words, "%s", status->reason);
    for (i = 0; words[i] != '\0'; i++)
        if ((unsigned char)words[i] < 0x20 || words[i] == 0x7f)
            words[i] = ' ';
    return err_set(err, meaning_of(code_of(status), status->retriable),
                   "Milvus at '%s' refused %s with code %d: %s",
                   link->authority, call->method, said, words);
}

static int unpack(const struct milvus_link *link,
                  const struct milvus_call *call, struct bytes packed,
                  struct milvus_reply *out, struct err *err)
{
    ProtobufCAllocator allocator = allocator_of(out);

    out->memory_left = SPARE + GROWTH * packed.len;
    out->message = protobuf_c_message_unpack(
        call->answer, &allocator, packed.len,
        packed.len > 0 ? packed.data : (const uint8_t *)"");
    if (out->message == NULL)
        return err_set(err, ERR_UNAVAILABLE,
                       "what Milvus at '%s' answers to %s cannot be read",
                       link->authority, call->method);
    return 0;
}

/* --- calling -------------------------------------------------------------- */

static int pack(const struct milvus_link *link, const struct milvus_call *call,
                struct bytes *out, struct err *err)
{
    size_t len = protobuf_c_message_get_packed_size(call->request);
    uint8_t *packed;

    if (len > REQUEST_LEN_MAX)
        return err_set(err, ERR_TOO_LARGE,
                       "%s for '%s' has %zu bytes; at most %d can be sent",
                       call->method, link->authority, len, REQUEST_LEN_MAX);
    packed = mem_try_aligned(len + 1, 1);
    if (packed == NULL)
        return err_set(err, ERR_UNAVAILABLE,
                       "no memory for %zu bytes of a "
                       "call",
                       len);
    protobuf_c_message_pack(call->request, packed);
    *out = (struct bytes){packed, len};
    return 0;
}

/* Whom the server does not let in is olho, not who asked olho. */
static int call_fail(const struct milvus_link *link,
                     const struct milvus_call *call, bool is_unknown,
                     struct err *err)
{
    if (is_unknown) {
        *err = (struct err){.code = ERR_OK};
        return err_set(err, ERR_UNSUPPORTED, "Milvus at '%s' has no call %s",
                       link->authority, call->method);
    }
    if (err->code == ERR_UNAUTHORIZED || err->code == ERR_FORBIDDEN)
        err->code = ERR_UNAVAILABLE;
    return err_wrap(err, "%s at Milvus", call->method);
}

int milvus_run(struct milvus_link *link, const struct milvus_call *call,
               struct milvus_reply *out, struct err *err)
{
    struct grpc_answer answer = {.status = -1};
    const Milvus__Status *status;
    struct bytes packed = {0};
    char path[128];
    int rc;

    *out = (struct milvus_reply){.fate = GRPC_NOT_DONE};
    rc = pack(link, call, &packed, err);
    if (rc == 0) {
        struct grpc_call grpc_call = {.path = path,
                                      .message = packed,
                                      .timeout_ms = link->timeout_ms,
                                      .answer_len_max = ANSWER_LEN_MAX,
                                      .is_repeatable = call->is_repeatable};

        snprintf(path, sizeof path, SERVICE "%s", call->method);
        rc = grpc_run(link->grpc, &grpc_call, &answer, err);
        out->fate = answer.fate;
        out->is_unknown_call = answer.status == GRPC_UNIMPLEMENTED;
        if (rc)
            rc = call_fail(link, call, out->is_unknown_call, err);
    }
    mem_free((void *)(uintptr_t)packed.data);
    if (rc == 0) {
        rc = unpack(link, call, buf_bytes(&answer.message), out, err);
        if (rc)
            out->fate = GRPC_PERHAPS;
    }
    grpc_answer_release(&answer);
    if (rc)
        return rc;
    status = status_of(call, out->message);
    if (status == NULL || (status->code == 0 && status->error_code == 0))
        return 0;
    rc = status_fail(link, call, status, err);
    assert(rc != 0);
    out->code = code_of(status);
    milvus_reply_release(out);
    return rc;
}

/* --- time ----------------------------------------------------------------- */

void milvus_link_saw(struct milvus_link *link, uint64_t time)
{
    uint64_t seen = atomic_load(&link->seen_time);

    while (seen < time &&
           !atomic_compare_exchange_weak(&link->seen_time, &seen, time)) {
    }
}

int milvus_link_sync(struct milvus_link *link, struct err *err)
{
    Milvus__Empty request = MILVUS__EMPTY__INIT;
    const struct milvus_call call = {
        .method = "AllocTimestamp",
        .request = &request.base,
        .answer = &milvus__alloc_timestamp_response__descriptor,
        .is_repeatable = true};
    struct milvus_reply reply;
    const Milvus__AllocTimestampResponse *answer;
    int rc;

    if (link->is_timeless)
        return 0;
    rc = milvus_run(link, &call, &reply, err);
    if (reply.is_unknown_call) {
        *err = (struct err){.code = ERR_OK};
        link->is_timeless = true;
        return 0;
    }
    if (rc)
        return rc;
    answer = reply.message;
    milvus_link_saw(link, answer->timestamp);
    milvus_reply_release(&reply);
    return 0;
}

int milvus_link_level(const struct milvus_link *link)
{
    return link->is_timeless ? STRONG : SESSION;
}
