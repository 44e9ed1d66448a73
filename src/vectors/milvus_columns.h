/* SPDX-License-Identifier: Apache-2.0 */
/* The columns of what Milvus answers, and entries made of their rows. Of the
 * backend's files alone; thread-safe. */
#ifndef OLHO_VECTORS_MILVUS_COLUMNS_H
#define OLHO_VECTORS_MILVUS_COLUMNS_H

#include "base/mem.h"
#include "vectors/milvus_shape.h"

struct Milvus__FieldData;
struct ProtobufCBinaryData;

/* Borrowed from an answer; columns that are not there are NULL. */
struct milvus_columns {
    size_t count; /* rows */
    const int64_t *ids;
    const float *vectors;
    char *const *key, *const *path;
    char *const *tags[MILVUS_TAG_COLUMNS_MAX];
    const struct ProtobufCBinaryData *json;
};

/* By their names: the server may send them in any order. False when one is not
 * columns->count long (a vector: dim times), or of another type. */
bool milvus_columns_take(struct Milvus__FieldData *const *fields,
                         size_t field_count, const struct milvus_shape *shape,
                         struct milvus_columns *columns);

/* A column of whole numbers; NULL and *out_is_wrong when it is none. */
const int64_t *milvus_longs_of(const struct Milvus__FieldData *field,
                               size_t count, bool *out_is_wrong);

/* Fills a zeroed hit from a row, texts in the arena; false without memory. */
bool milvus_columns_hit(const struct milvus_shape *shape,
                        const struct milvus_columns *columns, size_t row,
                        struct arena *arena, struct vec_hit *hit);

/* ERR_UNAVAILABLE: the answer has `what`. */
int milvus_damaged(const struct milvus_link *link, const char *what,
                   struct err *err);

#endif
