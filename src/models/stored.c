/* SPDX-License-Identifier: Apache-2.0 */
#include "models/stored.h"

#include <stdio.h>
#include <string.h>

enum { ADDRESS_LEN_MAX = 8192 };

static void find_endpoint(const struct config *config, char *out)
{
    const char *host = config->minio_host;

    if (config->blob_endpoint[0] != '\0' || host[0] == '\0')
        snprintf(out, ADDRESS_LEN_MAX, "%s", config->blob_endpoint);
    else
        snprintf(out, ADDRESS_LEN_MAX, "%s://%s:%lld",
                 config->is_minio_secure ? "https" : "http", host,
                 (long long)config->minio_port);
}

int stored_open(const struct config *config, const char *url, struct blob **out,
                struct err *err)
{
    char endpoint[ADDRESS_LEN_MAX], bucket_url[ADDRESS_LEN_MAX];
    struct blob_options options = {
        .url = url != NULL ? url : config->blob_url,
        .bucket = config->minio_bucket,
        .endpoint = endpoint,
        .public_endpoint = config->blob_public_endpoint,
        .access_key = config->minio_access_key,
        .secret_key = config->minio_secret_key,
        .region = config->s3_region,
        .is_virtual_host = config->is_s3_virtual_host,
        .ca_file = config->s3_ca_file,
        .timeout_ms = (int)(config->blob_timeout_s * 1000),
        .retry_max = 3,
        .retry_pause_ms = 100,
    };

    *out = NULL;
    find_endpoint(config, endpoint);
    if (options.url[0] == '\0') {
        if (config->minio_host[0] == '\0' && config->blob_endpoint[0] == '\0')
            return 0;
        if (config->minio_bucket[0] == '\0')
            return err_set(err, ERR_INVALID,
                           "MINIO_HOST is \"%.100s\", but neither "
                           "MINIO_BUCKET_ORIGINAL nor BLOB_URL names a bucket",
                           config->minio_host);
        snprintf(bucket_url, sizeof bucket_url, "s3://%s",
                 config->minio_bucket);
        options.url = bucket_url;
    }
    return blob_open(&options, out, err);
}
