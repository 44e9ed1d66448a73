/* SPDX-License-Identifier: Apache-2.0 */
/* Calls to one Milvus server about one collection: messages are packed, sent
 * by base/grpc.h, and what comes back is unpacked within a bound and asked
 * whether it is a success. Of the files of the backend alone. Thread-safe. */
#ifndef OLHO_VECTORS_MILVUS_LINK_H
#define OLHO_VECTORS_MILVUS_LINK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/grpc.h"
#include "vectors/milvus_url.h"

struct ProtobufCMessage;
struct ProtobufCMessageDescriptor;

/* Codes of the server that are acted upon. Those of versions that did not have
 * them yet are brought to these, but for what had no code of its own: before
 * 2.3.3 that a collection is not loaded is UNEXPECTED. */
enum {
    MILVUS_COLLECTION_NOT_FOUND = 100,
    MILVUS_COLLECTION_NOT_LOADED = 101,
    MILVUS_COLLECTION_NOT_WHOLLY_LOADED = 103,
    MILVUS_INDEX_NOT_FOUND = 700,
    MILVUS_UNEXPECTED = 65535,
};

struct milvus_link {
    struct grpc *grpc; /* owned */
    struct milvus_url url;
    char authority[MILVUS_NAME_MAX + 16]; /* "host:port" */
    int timeout_ms;                       /* of a call */
    /* What this process has changed or was told of: reads wait for the server
     * to have come so far. */
    _Atomic uint64_t seen_time;
    _Atomic bool is_timeless; /* it tells no times, as milvus-lite: reads ask
                               * for the level that sees everything */
};

struct milvus_call {
    const char *method; /* "Insert" */
    const struct ProtobufCMessage *request;
    const struct ProtobufCMessageDescriptor *answer;
    bool is_repeatable; /* see grpc_call */
};

struct milvus_reply {
    void *message;        /* of the kind asked for; NULL on failure. Owned */
    int code;             /* the server's, 0 for success */
    bool is_unknown_call; /* the server has none of that name */
    enum grpc_fate fate;
    size_t memory_left; /* that unpacking may still take */
};

/* Connects to nobody yet. */
MUST_CHECK int milvus_link_init(struct milvus_link *link,
                                const struct milvus_url *url, int timeout_ms,
                                struct err *err);
void milvus_link_release(struct milvus_link *link); /* also of a zeroed one */

/* Fills *out on failure too, without a message. Errors are those of grpc_run,
 * (but that of a wrong password is _UNAVAILABLE), and what the server's code
 * says: ERR_NOT_FOUND, _UNAVAILABLE, _BUSY, _UNPROCESSABLE. */
MUST_CHECK int milvus_run(struct milvus_link *link,
                          const struct milvus_call *call,
                          struct milvus_reply *out, struct err *err);
void milvus_reply_release(struct milvus_reply *reply); /* also a zeroed one */

/* Reads from now on see what was written before the time. */
void milvus_link_saw(struct milvus_link *link, uint64_t time);

/* Reads from now on see what anybody has written before the call. */
MUST_CHECK int milvus_link_sync(struct milvus_link *link, struct err *err);

/* The consistency level of reads. */
int milvus_link_level(const struct milvus_link *link);

#endif
