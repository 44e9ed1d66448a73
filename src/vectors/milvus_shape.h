/* SPDX-License-Identifier: Apache-2.0 */
/* What a collection looks like: its columns, what each is for, and its index.
 * Of the backend's files alone; one thread at a time. */
#ifndef OLHO_VECTORS_MILVUS_SHAPE_H
#define OLHO_VECTORS_MILVUS_SHAPE_H

#include <stdbool.h>
#include <stdint.h>

#include "vectors/milvus_link.h"
#include "vectors/vecstore.h"

/* Columns of the collections that olho makes. Of those that are there, a
 * varchar column named as the key or the path is that; the others hold tags of
 * their name. */
#define MILVUS_KEY_COLUMN "olho_key"
#define MILVUS_PATH_COLUMN "image_path"
#define MILVUS_TAGS_COLUMN "olho_tags"
#define MILVUS_TAGS_MEMBER "tags"

enum { MILVUS_TAG_COLUMNS_MAX = VEC_TAGS_MAX };

struct milvus_column {
    char name[MILVUS_NAME_MAX]; /* "": there is none */
    int len_max;                /* bytes of a value */
};

struct milvus_shape {
    char id[MILVUS_NAME_MAX]; /* the primary key, an int64 */
    bool has_auto_id;         /* that the server gives */
    char vector[MILVUS_NAME_MAX];
    int dim;
    struct milvus_column key, path;
    struct milvus_column tags[MILVUS_TAG_COLUMNS_MAX];
    int tag_count;
    /* All tags as {"tags":["name=value"]} in olho_tags; those of the columns
     * above are there too, for other programs. */
    bool has_json;
    char unfilled[MILVUS_NAME_MAX]; /* a column that rows must have and that we
                                     * have nothing for; "": none */
    int64_t collection_id;
    char model[128];

    bool has_index;
    char index_type[32]; /* "HNSW"; "" without one */
    enum vecindex_type type;
    enum vecindex_metric metric; /* ANY without an index */
    int links, ef_construction, nlist;
};

/* Whether the server has the collection. */
MUST_CHECK int milvus_shape_find(struct milvus_link *link, bool *out_is_there,
                                 struct err *err);

/* Asks the server. ERR_NOT_FOUND for no such collection; ERR_UNSUPPORTED for
 * one without a single float vector and an int64 primary key. */
MUST_CHECK int milvus_shape_read(struct milvus_link *link,
                                 struct milvus_shape *out, struct err *err);

/* Makes the collection: id (int64, ours), olho_key, label, person_id and
 * image_path (varchar), olho_tags (JSON), embedding (options->dim floats). */
MUST_CHECK int milvus_shape_create(struct milvus_link *link,
                                   const struct vec_options *options,
                                   struct err *err);

/* Asks for the index; the server builds it in its own time. HNSW with M 16 and
 * efConstruction 256 and the metric COSINE unless the options say otherwise.
 * One that is there already is a success. */
MUST_CHECK int milvus_index_create(struct milvus_link *link,
                                   const struct milvus_shape *shape,
                                   const struct vec_options *options,
                                   struct err *err);

/* The column for tags of that name; NULL: none. */
const struct milvus_column *milvus_shape_tag(const struct milvus_shape *shape,
                                             const char *name);

#endif
