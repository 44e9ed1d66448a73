/* SPDX-License-Identifier: Apache-2.0 */
/* The settings of olho: plain values, read once at start from `.env`, the
 * environment and flags (base/option.h) by the one table in config.c.
 *
 * A struct config is read by many threads and written by none after start,
 * but for the rows that SIGHUP may change; those are copied out on reload. */
#ifndef OLHO_BASE_CONFIG_H
#define OLHO_BASE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/option.h"

struct config {
    /* server */
    char *host;
    int64_t port;
    int64_t worker_count;
    int64_t queue_max;
    int64_t connections_max;
    int64_t connections_per_client_max;
    double timeout_s;
    double idle_timeout_s;
    double receive_timeout_s;
    double drain_timeout_s;
    double drain_delay_s;
    int64_t header_size_max_kb;
    int64_t upload_memory_max_mb;
    int64_t gzip_min_kb;
    char *cors_origin;
    char *api_keys;

    /* images */
    double image_size_max_mb;
    double batch_size_max_mb;
    int64_t batch_image_max;
    int64_t image_side_min_px;
    int64_t image_side_max_px;
    double image_megapixels_max;
    bool is_decode_exact;

    /* model and answers */
    char *model_path;
    char *model_version;
    int64_t input_size_px;
    int64_t thread_count;
    int64_t top_k;
    double confidence_min;
    double undefined_below;
    double undefined_distance_above;

    /* checks */
    int64_t quality_mode; /* enum quality_mode */
    double blur_min;
    int64_t size_min_px;
    double dark_share_max;
    double bright_share_max;
    int64_t duplicate_distance;
    int64_t duplicate_recent_max;
    bool is_crop_central;
    char *detector_path;
    double detector_score_min;
    double detector_margin;
    bool is_adversarial_on;
    double adversarial_max;

    /* versions */
    char *model_root;
    char *ab_versions;
    int64_t ab_sample_min;
    bool is_ab_auto_rollback;

    /* index */
    char *embeddings_path;
    char *vectors_url;
    double vectors_timeout_s;
    int64_t index_type; /* enum index_type */
    int64_t index_metric;
    int64_t nprobe;
    int64_t ef_search;
    bool is_index_mapped;
    int64_t similar_k;
    double similarity_min;

    /* database */
    char *store_url;
    char *db_host;
    int64_t db_port;
    char *db_name;
    char *db_user;
    char *db_password;
    int64_t store_connection_max;
    double store_timeout_s;
    int64_t store_queue_max;
    int64_t store_batch_max;
    double store_flush_s;
    int64_t store_spill_max_mb;
    int64_t store_embeddings; /* enum store_embeddings */
    double items_refresh_s;

    /* stored images */
    char *blob_url;
    char *blob_endpoint;
    char *blob_public_endpoint;
    char *minio_host;
    int64_t minio_port;
    char *minio_access_key;
    char *minio_secret_key;
    char *minio_bucket;
    bool is_minio_secure;
    char *s3_region;
    bool is_s3_virtual_host;
    char *s3_ca_file;
    double blob_timeout_s;
    double photo_url_expires_s;

    /* cache */
    int64_t cache_size_mb;
    double cache_ttl_s;
    char *redis_url;
    double redis_timeout_s;

    /* the rest */
    char *home;
    int64_t log_level;
    int64_t log_format;
    char *log_file;
    char *trace_endpoint;
    char *trace_service;
    double trace_ratio;
};

/* What becomes of an image that fails a check; the choices of QUALITY_MODE. */
enum quality_mode { QUALITY_WARN, QUALITY_REJECT, QUALITY_OFF };

/* The table, in the order of `olho config`. */
extern const struct option config_options[];
extern const size_t config_option_count;

/* Where each value of a struct config came from, row by row. */
/* The choices of FAISS_INDEX_TYPE and FAISS_METRIC. */
enum index_type { INDEX_AS_FILE, INDEX_FLAT, INDEX_IVFFLAT, INDEX_HNSW };
enum index_metric { INDEX_METRIC_AS_FILE, INDEX_METRIC_L2, INDEX_METRIC_IP };

/* The choices of STORE_EMBEDDINGS. */
enum store_embeddings { EMBEDDINGS_AUTO, EMBEDDINGS_ON, EMBEDDINGS_OFF };

enum { CONFIG_OPTIONS_MAX = 160 };

/* Sets the presets and reads `.env` in the working folder (absent is fine)
 * and then the environment. *config is zeroed or loaded before; sources (may
 * be NULL) has room for CONFIG_OPTIONS_MAX. */
MUST_CHECK int config_load(struct config *config, enum option_source *sources,
                           struct err *err);

/* Takes the bounds that one row cannot check, after the flags are read. */
MUST_CHECK int config_check(const struct config *config, struct err *err);
void config_release(struct config *config);

/* The data folder: OLHO_HOME, or the XDG data folder's `olho`. Writes
 * FILE_PATH_MAX bytes. */
MUST_CHECK int config_home(const struct config *config, char *out,
                           struct err *err);

#endif
