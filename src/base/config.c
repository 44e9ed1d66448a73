/* SPDX-License-Identifier: Apache-2.0 */
#include "base/config.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"

enum { DOTENV_LEN_MAX = 1 << 20, TEXT_MAX = FILE_PATH_MAX - 256 };

#define FIELD(name) offsetof(struct config, name)
#define INTEGER(name, flag, field, preset, min, max, help)                \
    {                                                                     \
        name, flag, OPTION_INTEGER, FIELD(field), preset, min, max, NULL, \
            false, false, help                                            \
    }
#define REAL(name, flag, field, preset, min, max, help)                       \
    {                                                                         \
        name, flag, OPTION_REAL, FIELD(field), preset, min, max, NULL, false, \
            false, help                                                       \
    }
#define TEXT(name, flag, field, preset, help)                             \
    {                                                                     \
        name, flag, OPTION_TEXT, FIELD(field), preset, 0, TEXT_MAX, NULL, \
            false, false, help                                            \
    }

/* clang-format off */
const struct option config_options[] = {
    TEXT("HOST", "host", host, "127.0.0.1",
         "Address to listen on; 0.0.0.0 or :: for every interface."),
    INTEGER("FLASK_PORT", "port", port, "5001", 0, 65535,
            "TCP port to listen on; 0 takes any free one."),
    INTEGER("WORKERS", "workers", worker_count, "0", 0, 256,
            "Requests computed at once; 0: one for each processor core."),
    INTEGER("QUEUE_MAX", "queue-max", queue_max, "64", 1, 65536,
            "Requests that may wait for a worker; more are answered 429."),
    INTEGER("CONNECTIONS_MAX", "connections-max", connections_max, "1024", 1, 65536,
            "Connections open at once."),
    INTEGER("CONNECTIONS_PER_CLIENT_MAX", "connections-per-client-max", connections_per_client_max, "0", 0, 65536,
            "Connections open at once from one address; 0: no limit of its own."),
    REAL("TIMEOUT", "timeout", timeout_s, "30", 0.1, 3600,
         "Seconds from the last byte of a request to its answer; then 504."),
    REAL("IDLE_TIMEOUT", "idle-timeout", idle_timeout_s, "60", 0.1, 3600,
         "Seconds that a connection may be silent before it is closed."),
    REAL("RECEIVE_TIMEOUT", "receive-timeout", receive_timeout_s, "60", 0.1, 3600,
         "Seconds that a request may take to arrive."),
    REAL("DRAIN_TIMEOUT", "drain-timeout", drain_timeout_s, "30", 0, 3600,
         "Seconds that requests under way have to finish after SIGTERM."),
    REAL("DRAIN_DELAY", "drain-delay", drain_delay_s, "0", 0, 600,
         "Seconds to go on serving, already not ready, after SIGTERM, so that balancers notice."),
    INTEGER("HEADER_SIZE_KB", "header-size-kb", header_size_max_kb, "16", 2, 1024,
            "Size of a request's header in kB; larger ones are answered 431."),
    INTEGER("UPLOAD_MEMORY_MB", "upload-memory-mb", upload_memory_max_mb, "512", 1, 1048576,
            "Memory in MB that all request bodies together may hold; more are answered 503."),
    INTEGER("GZIP_MIN_KB", "gzip-min-kb", gzip_min_kb, "4", 0, 65536,
            "Replies from this size in kB on are compressed when the client asks."),
    TEXT("CORS_ORIGIN", "cors-origin", cors_origin, "",
         "Origin that browsers may call from, or *; empty: no CORS headers."),
    {"API_KEYS", "api-keys", OPTION_TEXT, FIELD(api_keys), "", 0, TEXT_MAX, NULL, false, true,
     "Keys as scope:key,scope:key with scopes read, write, admin; empty: no key is needed."},

    REAL("MAX_IMAGE_SIZE_MB", "max-image-size-mb", image_size_max_mb, "10", 0.001, 1024,
         "Size of one image file in MB (1048576 bytes)."),
    REAL("MAX_BATCH_SIZE_MB", "max-batch-size-mb", batch_size_max_mb, "100", 0.001, 4096,
         "Size of the body of a batch in MB (1048576 bytes)."),
    INTEGER("BATCH_SIZE", "batch-size", batch_image_max, "32", 1, 250,
            "Images in one batch."),
    INTEGER("IMAGE_SIDE_MIN", "image-side-min", image_side_min_px, "16", 1, 16384,
            "Shortest side of an image in px."),
    INTEGER("IMAGE_SIDE_MAX", "image-side-max", image_side_max_px, "16384", 16, 65500,
            "Longest side of an image in px."),
    REAL("IMAGE_MEGAPIXELS_MAX", "image-megapixels-max", image_megapixels_max, "64", 0.001, 1000,
         "Width times height of an image in millions of px."),
    {"DECODE_EXACT", "decode-exact", OPTION_BOOL, FIELD(is_decode_exact), "false", 0, 0, NULL, false, false,
     "Decode JPEG at full size always, instead of at the smallest scale that keeps twice the network's input."},

    TEXT("MODEL_PATH", "model", model_path, "mobilenet_v2",
         "Model folder, a file in it, or the name of a bundled model."),
    TEXT("MODEL_VERSION", "model-version", model_version, "",
         "Version to report instead of the one in the model's metadata."),
    INTEGER("INPUT_SIZE", "input-size", input_size_px, "224", 8, 8192,
            "Side of the network's input in px where neither metadata nor graph says it."),
    INTEGER("INFERENCE_THREADS", "inference-threads", thread_count, "0", 0, 64,
            "Threads inside one run of the network; 0: one, and every core for a request that is alone."),
    INTEGER("TOP_K", "top-k", top_k, "3", 1, 1048576,
            "Classes in an answer when the request does not say."),
    REAL("CONFIDENCE_THRESHOLD", "confidence-threshold", confidence_min, "0.5", 0, 1,
         "Confidence from which an answer counts as accepted (aceito)."),
    REAL("UNDEFINED_BELOW", "undefined-below", undefined_below, "0", 0, 1,
         "Answer \"Indefinido\" below this confidence; 0: never."),
    REAL("UNDEFINED_DISTANCE_ABOVE", "undefined-distance-above", undefined_distance_above, "0", 0, 1e6,
         "Answer \"Indefinido\" when the nearest indexed image is farther than this; 0: never."),

    {"QUALITY_MODE", "quality-mode", OPTION_CHOICE, FIELD(quality_mode), "warn", 0, 0,
     "warn|reject|off", false, false,
     "An image that fails a check is answered with a warning (warn) or 422 (reject); off: no check is made."},
    REAL("BLUR_MIN", "blur-min", blur_min, "100", 0, 1e6,
         "Variance of the Laplacian below which an image counts as blurred; 0: not measured."),
    INTEGER("SIZE_MIN", "size-min", size_min_px, "0", 0, 16384,
            "Shorter side in px below which an image counts as small; 0: not checked."),
    REAL("DARK_MAX", "dark-max", dark_share_max, "0.95", 0, 1,
         "Share of nearly black pixels above which an image counts as dark; 1: not measured."),
    REAL("BRIGHT_MAX", "bright-max", bright_share_max, "0.95", 0, 1,
         "Share of nearly white pixels above which an image counts as overexposed; 1: not measured."),
    INTEGER("DUPLICATE_DISTANCE", "duplicate-distance", duplicate_distance, "-1", -1, 32,
            "Bits of 64 by which the perceptual hash of a near-duplicate may differ; -1: not compared."),
    INTEGER("DUPLICATE_RECENT", "duplicate-recent", duplicate_recent_max, "1024", 1, 65536,
            "Recent images that a new one is compared with."),
    {"CENTRAL_CROP", "central-crop", OPTION_BOOL, FIELD(is_crop_central), "false", 0, 0, NULL, false, false,
     "Classify the central 80 % of each side where no detector finds an object."},
    TEXT("DETECTOR_MODEL", "detector", detector_path, "",
         "ONNX file of a YOLOv8-style detector; the box of its best object is classified. Empty: none."),
    REAL("DETECTOR_SCORE", "detector-score", detector_score_min, "0.25", 0.001, 1,
         "Score from which a box counts as an object."),
    REAL("DETECTOR_MARGIN", "detector-margin", detector_margin, "0.1", 0, 1,
         "Margin around the box, as a share of its sides."),
    {"ADVERSARIAL", "adversarial", OPTION_BOOL, FIELD(is_adversarial_on), "false", 0, 0, NULL, false, false,
     "Check whether an image was made to deceive the network; costs further runs of it."},
    REAL("ADVERSARIAL_LIMIT", "adversarial-limit", adversarial_max, "0.043", 0, 2,
         "Distance of the scores before and after squeezing above which an image counts as adversarial."),

    TEXT("MODEL_ROOT", "model-root", model_root, ".",
         "Folder that the paths of POST /api/model/update are relative to, and must lie in."),
    TEXT("AB_VERSIONS", "ab", ab_versions, "",
         "Other versions that answer too, as PATH=WEIGHT,PATH=WEIGHT or PATH=shadow; MODEL_PATH has weight 1. Empty: none."),
    INTEGER("AB_SAMPLE_MIN", "ab-sample-min", ab_sample_min, "100", 1, 1000000000,
            "Requests of each version before a comparison says anything."),
    {"AB_AUTO_ROLLBACK", "ab-auto-rollback", OPTION_BOOL, FIELD(is_ab_auto_rollback), "false", 0, 0, NULL, false, false,
     "Take a version out when it makes significantly more errors, or is significantly less accurate."},

    TEXT("EMBEDDINGS_PATH", "index", embeddings_path, "",
         "Index file; empty: embeddings.faiss or index.olho beside the model, or else index.olho in the data folder."),
    {"VECTORS_URL", "vectors", OPTION_TEXT, FIELD(vectors_url), "", 0, TEXT_MAX, NULL, false, true,
     "Milvus collection that holds the index when EMBEDDINGS_PATH is empty, as milvus://[USER:PASSWORD@]HOST[:PORT]/COLLECTION[?database=NAME]; empty: a file does."},
    REAL("VECTORS_TIMEOUT", "vectors-timeout", vectors_timeout_s, "5", 0.01, 600,
         "Seconds to wait for the server of VECTORS_URL, connecting or in one call."),
    {"FAISS_INDEX_TYPE", "index-type", OPTION_CHOICE, FIELD(index_type), "file", 0, 0,
     "file|Flat|IVFFlat|HNSW", false, false,
     "How a FAISS file is searched, and what an index of ours becomes when it is added to; file: as it was made."},
    {"FAISS_METRIC", "index-metric", OPTION_CHOICE, FIELD(index_metric), "file", 0, 0,
     "file|L2|IP", false, false,
     "Distance of a FAISS file: squared Euclidean (L2) or inner product (IP); file: as it was made."},
    INTEGER("FAISS_NPROBE", "nprobe", nprobe, "10", 1, 1048576,
            "Lists that a search of an IVFFlat index looks at."),
    INTEGER("HNSW_EF_SEARCH", "ef-search", ef_search, "64", 1, 100000,
            "Breadth of a search of an HNSW index."),
    {"INDEX_MAPPED", "index-mapped", OPTION_BOOL, FIELD(is_index_mapped), "false", 0, 0, NULL, false, false,
     "Leave the vectors of a FAISS file in the file, which instances on one host then share; it must never be written in place, only replaced."},
    INTEGER("SIMILAR_K", "similar-k", similar_k, "3", 1, 1000,
            "Similar images in an answer to /api/classify."),
    REAL("SIMILARITY_THRESHOLD", "similarity-threshold", similarity_min, "0.7", 0, 1,
         "Similarity, 1 / (1 + distance), from which an image counts as similar."),

    {"STORE_URL", "store", OPTION_TEXT, FIELD(store_url), "", 0, TEXT_MAX, NULL, false, true,
     "Database as sqlite:///FILE, postgres://USER:PASSWORD@HOST/NAME or mysql://...; none: nothing is kept; empty: DB_HOST, or else olho.db in the data folder."},
    TEXT("DB_HOST", "db-host", db_host, "",
         "Host of the database when STORE_URL is empty."),
    INTEGER("DB_PORT", "db-port", db_port, "5432", 1, 65535,
            "Port of the database; 3306 means MariaDB or MySQL, any other PostgreSQL."),
    TEXT("DB_NAME", "db-name", db_name, "olho", "Name of the database."),
    TEXT("DB_USER", "db-user", db_user, "", "User of the database."),
    {"DB_PASSWORD", "db-password", OPTION_TEXT, FIELD(db_password), "", 0, TEXT_MAX, NULL, false, true,
     "Password of the database's user."},
    INTEGER("STORE_CONNECTIONS", "store-connections", store_connection_max, "4", 1, 64,
            "Connections to the database open at once."),
    REAL("STORE_TIMEOUT", "store-timeout", store_timeout_s, "5", 0.1, 600,
         "Seconds to wait for the database, connecting or in one call."),
    INTEGER("STORE_QUEUE_MAX", "store-queue-max", store_queue_max, "10000", 1, 10000000,
            "Rows that wait in memory for the database; further ones go to a file."),
    INTEGER("STORE_BATCH_MAX", "store-batch-max", store_batch_max, "200", 1, 10000,
            "Rows written in one transaction."),
    REAL("STORE_FLUSH", "store-flush", store_flush_s, "0.2", 0.001, 60,
         "Seconds after which rows are written, even few."),
    INTEGER("STORE_SPILL_MB", "store-spill-mb", store_spill_max_mb, "256", 0, 1048576,
            "Size in MB of the file that keeps rows while the database is away; 0: none is kept."),
    {"STORE_EMBEDDINGS", "store-embeddings", OPTION_CHOICE, FIELD(store_embeddings), "auto", 0, 0,
     "auto|on|off", false, false,
     "Keep each image's embedding in the predictions table; auto: with a database server, not in the SQLite file."},
    REAL("ITEMS_REFRESH", "items-refresh", items_refresh_s, "60", 1, 86400,
         "Seconds between two readings of the items table."),

    TEXT("BLOB_URL", "blob", blob_url, "",
         "Stored images as s3://BUCKET[/PREFIX] or a folder; empty: the bucket of MINIO_HOST, or none."),
    TEXT("S3_ENDPOINT", "s3-endpoint", blob_endpoint, "",
         "Address of the S3 server as http(s)://HOST:PORT; empty: that of MINIO_HOST, or else Amazon's."),
    TEXT("S3_PUBLIC_ENDPOINT", "s3-public-endpoint", blob_public_endpoint, "",
         "Address of the S3 server in foto_url; empty: S3_ENDPOINT."),
    TEXT("MINIO_HOST", "minio-host", minio_host, "", "Host of the S3 server."),
    INTEGER("MINIO_PORT", "minio-port", minio_port, "9000", 1, 65535, "Port of the S3 server."),
    TEXT("MINIO_ACCESS_KEY", "s3-access-key", minio_access_key, "", "Access key of the S3 server."),
    {"MINIO_SECRET_KEY", "s3-secret-key", OPTION_TEXT, FIELD(minio_secret_key), "", 0, TEXT_MAX, NULL, false, true,
     "Secret key of the S3 server."},
    TEXT("MINIO_BUCKET_ORIGINAL", "s3-bucket", minio_bucket, "",
         "Bucket of the images when BLOB_URL is empty; for a folder, the name that paths may begin with."),
    {"MINIO_SECURE", "s3-secure", OPTION_BOOL, FIELD(is_minio_secure), "false", 0, 0, NULL, false, false,
     "Talk TLS with MINIO_HOST."},
    TEXT("S3_REGION", "s3-region", s3_region, "us-east-1", "Region that requests are signed for."),
    {"S3_VIRTUAL_HOST", "s3-virtual-host", OPTION_BOOL, FIELD(is_s3_virtual_host), "false", 0, 0, NULL, false, false,
     "Address buckets as BUCKET.HOST instead of HOST/BUCKET."},
    TEXT("S3_CA_FILE", "s3-ca-file", s3_ca_file, "",
         "PEM file of the authorities that the S3 server's certificate may come from; empty: the system's."),
    REAL("BLOB_TIMEOUT", "blob-timeout", blob_timeout_s, "10", 0.1, 600,
         "Seconds that reading a stored image may take, with its retries."),
    REAL("PHOTO_URL_EXPIRES", "photo-url-expires", photo_url_expires_s, "3600", 1, 604800,
         "Seconds that a foto_url is valid."),

    INTEGER("CACHE_SIZE_MB", "cache-size-mb", cache_size_mb, "16", 0, 65536,
            "Answers kept in this process, in MB; 0: none (REDIS_URL empty) are kept."),
    REAL("CACHE_TTL", "cache-ttl", cache_ttl_s, "86400", 1, 31622400,
         "Seconds that an answer is kept."),
    {"REDIS_URL", "redis", OPTION_TEXT, FIELD(redis_url), "", 0, TEXT_MAX, NULL, false, true,
     "Redis that keeps the answers instead, as redis://[USER:PASSWORD@]HOST[:PORT][/DB]."},
    REAL("REDIS_TIMEOUT", "redis-timeout", redis_timeout_s, "0.1", 0.001, 10,
         "Seconds to wait for Redis, connecting or in one command."),

    TEXT("OLHO_HOME", "home", home, "",
         "Data folder; empty: olho in the XDG data folder."),
    {"LOG_LEVEL", "log-level", OPTION_CHOICE, FIELD(log_level), "info", 0, 0,
     "debug|info|warn|error|off", true, false, "Least level that is logged."},
    {"LOG_FORMAT", "log-format", OPTION_CHOICE, FIELD(log_format), "text", 0, 0,
     "text|json", false, false, "Form of a line: key=value text or a JSON object."},
    {"LOG_FILE", "log-file", OPTION_TEXT, FIELD(log_file), "", 0, TEXT_MAX, NULL, true, false,
     "File to append the log to, opened anew on SIGHUP; empty: standard error."},
    TEXT("OTEL_EXPORTER_OTLP_ENDPOINT", "otlp-endpoint", trace_endpoint, "",
         "Address of an OpenTelemetry collector for traces, as http://HOST:4318; empty: none are made."),
    TEXT("OTEL_SERVICE_NAME", "otel-service-name", trace_service, "olho",
         "Name of this service in traces."),
    REAL("OTEL_TRACES_SAMPLER_ARG", "trace-ratio", trace_ratio, "1", 0, 1,
         "Share of the requests that are traced, of those whose caller does not say."),
};
/* clang-format on */

const size_t config_option_count =
    sizeof config_options / sizeof config_options[0];

static_assert(sizeof config_options / sizeof config_options[0] <=
                  CONFIG_OPTIONS_MAX,
              "CONFIG_OPTIONS_MAX is too small");

static int load_dotenv(struct config *config, enum option_source *sources,
                       struct err *err)
{
    struct buf text;
    int rc;

    if (!file_exists(".env"))
        return 0;
    buf_init(&text, DOTENV_LEN_MAX);
    rc = file_read(".env", &text, err);
    if (rc)
        goto out;
    rc = option_read_dotenv(config_options, config_option_count, config,
                            buf_bytes(&text), sources, err);
    if (rc)
        err_wrap(err, ".env");
out:
    buf_release(&text);
    return rc;
}

int config_load(struct config *config, enum option_source *sources,
                struct err *err)
{
    size_t i;
    int rc;

    option_preset(config_options, config_option_count, config);
    for (i = 0; sources != NULL && i < config_option_count; i++)
        sources[i] = OPTION_FROM_PRESET;
    rc = load_dotenv(config, sources, err);
    if (rc)
        return rc;
    return option_read_environment(config_options, config_option_count, config,
                                   sources, err);
}

int config_check(const struct config *config, struct err *err)
{
    double body_mb = config->batch_size_max_mb > config->image_size_max_mb
                         ? config->batch_size_max_mb
                         : config->image_size_max_mb;

    if (config->image_side_min_px > config->image_side_max_px)
        return err_set(err, ERR_INVALID,
                       "IMAGE_SIDE_MIN is %lld; it must not be above "
                       "IMAGE_SIDE_MAX, which is %lld",
                       (long long)config->image_side_min_px,
                       (long long)config->image_side_max_px);
    if (body_mb + 1 > (double)config->upload_memory_max_mb)
        return err_set(err, ERR_INVALID,
                       "UPLOAD_MEMORY_MB is %lld; it must hold the largest "
                       "body, which is %g MB, and 1 MB more",
                       (long long)config->upload_memory_max_mb, body_mb);
    return 0;
}

void config_release(struct config *config)
{
    option_release(config_options, config_option_count, config);
}

int config_home(const struct config *config, char *out, struct err *err)
{
    const char *base;

    if (config->home[0] != '\0') {
        snprintf(out, FILE_PATH_MAX, "%s", config->home);
        return 0;
    }
    base = getenv("XDG_DATA_HOME");
    if (base != NULL && base[0] == '/')
        return file_join(base, "olho", out, err);
    base = getenv("HOME");
    if (base == NULL || base[0] != '/')
        return err_set(err, ERR_INVALID,
                       "neither OLHO_HOME nor HOME is set, so there is no data "
                       "folder");
    return file_join(base, ".local/share/olho", out, err);
}
