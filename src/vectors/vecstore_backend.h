/* SPDX-License-Identifier: Apache-2.0 */
/* What a backend of vecstore.h does: of vecstore.c and the backends alone.
 * Arguments that do not depend on the backend (ranges, NaN, lengths of texts)
 * were checked before these are called; see vecstore.h for each. */
#ifndef OLHO_VECTORS_VECSTORE_BACKEND_H
#define OLHO_VECTORS_VECSTORE_BACKEND_H

#include "vectors/vecstore.h"

struct vec_backend {
    const char *name;
    void (*close)(void *self);
    int (*write)(void *self, const struct vec_entry *entries, int count,
                 bool is_upsert, int64_t *out_ids, struct err *err);
    int (*remove)(void *self, const int64_t *ids, const char *const *keys,
                  int count, int64_t *out_removed, struct err *err);
    int (*remove_matching)(void *self, const struct vec_filter *filter,
                           int64_t *out_removed, struct err *err);
    int (*search)(void *self, const struct vec_query *query,
                  struct arena *arena, struct vec_hits *out, struct err *err);
    int (*get)(void *self, int64_t id, struct arena *arena, struct vec_hit *out,
               float *out_vector, struct err *err);
    int (*list)(void *self, int64_t after, int max, struct arena *arena,
                struct vec_hits *out, float *out_vectors, struct err *err);
    int (*refresh)(void *self, struct err *err);
    int (*settle)(void *self, vec_progress_fn *progress, void *user,
                  struct err *err);
    int (*compact)(void *self, vec_progress_fn *progress, void *user,
                   struct err *err);
    int (*check)(void *self, vec_progress_fn *progress, void *user,
                 struct err *err);
    int (*info)(void *self, struct vec_info *out, struct err *err);
};

/* Each opens its kind of `where`; *out_self belongs to the caller, who ends it
 * with backend->close. The shape that it has is in *out_dim and *out_metric
 * (the metric never ANY). */
int vecstore_engine_open(const char *path, enum vec_mode mode,
                         const struct vec_options *options, void **out_self,
                         int *out_dim, enum vecindex_metric *out_metric,
                         struct err *err);
extern const struct vec_backend vecstore_engine;
int vecstore_engine_drop(const char *path, const struct vec_options *options,
                         struct err *err);

int vecstore_milvus_open(const char *url, enum vec_mode mode,
                         const struct vec_options *options, void **out_self,
                         int *out_dim, enum vecindex_metric *out_metric,
                         struct err *err);
extern const struct vec_backend vecstore_milvus;
int vecstore_milvus_drop(const char *url, const struct vec_options *options,
                         struct err *err);

#endif
