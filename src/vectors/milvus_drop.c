/* SPDX-License-Identifier: Apache-2.0 */
#include <milvus.pb-c.h>

#include "vectors/milvus_link.h"
#include "vectors/vecstore_backend.h"

enum { TIMEOUT_MS = 10000 };

int vecstore_milvus_drop(const char *url, const struct vec_options *options,
                         struct err *err)
{
    Milvus__CollectionRequest request = MILVUS__COLLECTION_REQUEST__INIT;
    const struct milvus_call call = {.method = "DropCollection",
                                     .request = &request.base,
                                     .answer = &milvus__status__descriptor,
                                     .is_repeatable = true};
    struct milvus_link link = {0};
    struct milvus_reply reply = {0};
    struct milvus_url parsed;
    int rc = milvus_url_parse(url, &parsed, err);

    if (rc)
        return rc;
    rc = milvus_link_init(&link, &parsed,
                          options->timeout_s > 0
                              ? (int)(options->timeout_s * 1000) + 1
                              : TIMEOUT_MS,
                          err);
    if (rc)
        return rc;
    request.collection_name = link.url.collection;
    rc = milvus_run(&link, &call, &reply, err);
    milvus_reply_release(&reply);
    milvus_link_release(&link);
    return rc;
}
