/* SPDX-License-Identifier: Apache-2.0 */
#include <milvus.pb-c.h>

#include "vectors/milvus_shape.h"
#include "vectors/vecstore_backend.h"

enum { TIMEOUT_MS = 10000 };

static int find_collection(struct milvus_link *link, struct err *err)
{
    bool is_there = false;
    int rc = milvus_shape_find(link, &is_there, err);

    if (rc == 0 && !is_there)
        return err_set(err, ERR_NOT_FOUND,
                       "Milvus at '%s' has no collection '%s'", link->authority,
                       link->url.collection);
    return rc;
}

/* Milvus drops what is not there without a word. */
static int drop(struct milvus_link *link, struct err *err)
{
    Milvus__CollectionRequest request = MILVUS__COLLECTION_REQUEST__INIT;
    const struct milvus_call call = {.method = "DropCollection",
                                     .request = &request.base,
                                     .answer = &milvus__status__descriptor,
                                     .is_repeatable = true};
    struct milvus_reply reply;
    int rc;

    request.collection_name = link->url.collection;
    rc = milvus_run(link, &call, &reply, err);
    milvus_reply_release(&reply);
    return rc;
}

int vecstore_milvus_drop(const char *url, const struct vec_options *options,
                         struct err *err)
{
    struct milvus_link link = {.grpc = NULL};
    struct milvus_url parsed;
    int rc = milvus_url_parse(url, &parsed, err);

    if (rc)
        return rc;
    rc = milvus_link_init(&link, &parsed,
                          options->timeout_s > 0
                              ? (int)(options->timeout_s * 1000) + 1
                              : TIMEOUT_MS,
                          err);
    if (rc == 0)
        rc = find_collection(&link, err);
    if (rc == 0)
        rc = drop(&link, err);
    milvus_link_release(&link);
    return rc;
}
