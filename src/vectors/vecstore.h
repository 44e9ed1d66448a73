/* SPDX-License-Identifier: Apache-2.0 */
/* A set of vectors that changes while it is searched: the interface, and what
 * goes with every backend. The built-in engine keeps it in files on this
 * machine (docs/design/engine.md); Milvus keeps it on others.
 *
 *     struct vec_options options = {.dim = 512, .metric = VECINDEX_COSINE};
 *     rc = vecstore_open("faces.olho", VEC_WRITE, &options, &store, err);
 *     rc = vecstore_add(store, entries, 100, err);
 *     rc = vecstore_search(store, &query, arena, &found, err);
 *
 * What vecstore_add, _upsert and _remove have acknowledged survives a kill -9
 * and a loss of power. One process writes at a time (any of its threads: their
 * writes share a sync), any number of processes read.
 * Thread-safe: searches run beside each other, beside writers and beside the
 * building of an index, and wait for none of them. */
#ifndef OLHO_VECTORS_VECSTORE_H
#define OLHO_VECTORS_VECSTORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "vectors/vecindex.h"

enum {
    VEC_DIM_MAX = 65536,
    VEC_K_MAX = 10000,
    VEC_BATCH_MAX = 10000, /* entries in one call */
    VEC_KEY_MAX = 255,     /* bytes of texts, without the NUL */
    VEC_PATH_MAX = 4095,
    VEC_TAG_NAME_MAX = 63,
    VEC_TAG_VALUE_MAX = 500,
    VEC_TAGS_MAX = 16,     /* of one entry */
    VEC_TERMS_MAX = 16,    /* of a filter */
    VEC_VALUES_MAX = 1000, /* of a term */
};

enum vec_mode { VEC_READ, VEC_WRITE };

/* How rows are kept in memory for searching. What is found is ranked by the
 * float32 rows, which stay in the mapped file, whatever is chosen here. */
enum vec_storage {
    VEC_STORAGE_ANY, /* open: as the file has it; else INT8 */
    VEC_FLOAT32,
    VEC_FLOAT16,
    VEC_BFLOAT16,
    VEC_INT8, /* with a scale for each row */
};

/* 0 in any number: the file's value, or else the default in brackets. */
struct vec_options {
    int dim; /* 0: as it is there; nothing is made */
    enum vecindex_metric metric;
    enum vecindex_type type; /* AUTO: Flat while that is faster, then HNSW */
    enum vec_storage storage;
    int links, ef_construction, ef_search; /* HNSW (16, 200, 64) */
    int nlist, nprobe;                     /* IVF (4 * square root, 10) */
    int thread_count;  /* that build, and that one exact search may use (1) */
    const char *model; /* that makes the vectors; NULL and "" go with any */
    double timeout_s;  /* of a call to another machine (10) */
};

struct vec_tag {
    const char *name;  /* "label" */
    const char *value; /* "cat" */
};

/* Ids that the store gives are the server's or, of the engine, count on from
 * the highest there ever was. So a caller may choose from the lower half of all
 * numbers only: there are always some left to be counted. */
enum { VEC_ID_NEW = -1 };
#define VEC_ID_MAX (INT64_MAX / 2)

struct vec_entry {
    int64_t id;          /* VEC_ID_NEW: the store gives one; of a new entry
                          * of the engine 0..VEC_ID_MAX */
    const float *vector; /* dim floats */
    const char *key;     /* what identifies the source, such as its SHA-256;
                          * unique. NULL and "": none */
    const char *path;    /* where the source is; NULL and "": unknown */
    const struct vec_tag *tags; /* a name may stand there several times */
    int tag_count;
};

/* Entries that have, for each term, a tag of that name with one of the
 * values (with is_not: none of them). No terms: all entries. */
struct vec_term {
    const char *name;
    const char *const *values;
    int value_count; /* 1..VEC_VALUES_MAX */
    bool is_not;
};

struct vec_filter {
    const struct vec_term *terms;
    int term_count;
};

struct vec_query {
    const float *vector; /* dim floats */
    int dim;
    int k;           /* 1..VEC_K_MAX */
    bool has_radius; /* only what is at least as near as `radius`: for L2
                      * the squared distance, else the similarity */
    float radius;
    const struct vec_filter *filter; /* NULL: all */
    const char *exclude_key;         /* NULL: none is left out */
    bool is_exact; /* the nearest for certain, whatever the type */
    int nprobe;    /* 0: the store's */
    int ef_search; /* 0: the store's */
};

struct vec_hit {
    int64_t id;
    float distance; /* L2: squared; inner product and cosine: the similarity */
    const char *key, *path; /* "" when there is none */
    const struct vec_tag *tags;
    int tag_count;
};

struct vec_hits {
    const struct vec_hit *list; /* nearest first, ties by id */
    int count;                  /* below k only when fewer entries match */
    bool is_exact;              /* they are the nearest for certain */
};

/* Calls on long work; done of total. Not 0 stops it: ERR_UNAVAILABLE. */
typedef int vec_progress_fn(void *user, int64_t done, int64_t total);

struct vec_info {
    const char *backend; /* "olho" or "milvus" */
    int dim;
    enum vecindex_metric metric;
    enum vecindex_type type; /* what searches use now: FLAT, IVFFLAT, HNSW */
    bool is_auto;            /* the type follows the size */
    enum vec_storage storage;
    bool is_exact;   /* every search finds the nearest for certain */
    int64_t count;   /* entries that can be found */
    int64_t removed; /* that compacting would take out of the file */
    int64_t pending; /* not yet in the graph or the lists: scanned */
    int links, ef_construction, ef_search, nlist, nprobe;
    int64_t file_len;   /* bytes, of all its files */
    int64_t memory_len; /* bytes taken, mapped ones left out */
    int64_t torn_len;   /* bytes of a write that never finished */
    char model[128];
    const char *kernels; /* "avx512", "avx2", "neon" or "c" */
    char version[64];    /* of the server; "" here */
};

struct vecstore;

const char *vec_storage_name(enum vec_storage storage); /* "int8" */
MUST_CHECK int vec_storage_parse(const char *text, enum vec_storage *out,
                                 struct err *err);

/* Opens the set that `where` names: the path of a file, or
 * milvus://[user:password@]host[:port]/collection[?database=NAME]. With
 * VEC_WRITE it is made when absent and options->dim is not 0; another process
 * that writes: ERR_CONFLICT. With VEC_READ an absent one is ERR_NOT_FOUND.
 * Another dim, metric or model than it has: ERR_CONFLICT naming both.
 * ERR_CORRUPT names the place of the damage, ERR_UNSUPPORTED the version of a
 * file that is newer than the program. The caller owns *out. */
MUST_CHECK int vecstore_open(const char *where, enum vec_mode mode,
                             const struct vec_options *options,
                             struct vecstore **out, struct err *err);

/* Removes a set that nobody has open, with all that is in it: its files and the
 * link that `where` may be, or the server's collection (of options only
 * timeout_s counts). ERR_NOT_FOUND; ERR_CONFLICT while another process writes
 * it. */
MUST_CHECK int vecstore_drop(const char *where,
                             const struct vec_options *options,
                             struct err *err);

/* Stops what it has under way; nothing acknowledged is lost. NULL is
 * allowed. */
void vecstore_close(struct vecstore *store);

/* Add: an id or key that is there is ERR_CONFLICT. Upsert: it replaces that
 * entry. All `count` (1..VEC_BATCH_MAX) entries or none, durable on return (of
 * a server that fails midway the error says what is stored); ids that the store
 * gave are in out_ids (count; NULL: not wanted). What is
 * wrong with an entry (dim, NaN, infinities, longer than 3e18, zero with
 * cosine, texts too long, the same id or key twice): ERR_INVALID naming its
 * number. ERR_IO when the disk is full: nothing is there, and the store works
 * on. */
MUST_CHECK int vecstore_add(struct vecstore *store,
                            const struct vec_entry *entries, int count,
                            int64_t *out_ids, struct err *err);
MUST_CHECK int vecstore_upsert(struct vecstore *store,
                               const struct vec_entry *entries, int count,
                               int64_t *out_ids, struct err *err);

/* Removes by id, by key, or all that the filter lets through (which must have
 * a term). Unknown ids and keys are passed over; *out_removed (NULL: not
 * wanted) counts the others. */
MUST_CHECK int vecstore_remove(struct vecstore *store, const int64_t *ids,
                               int count, int64_t *out_removed,
                               struct err *err);
MUST_CHECK int vecstore_remove_keys(struct vecstore *store,
                                    const char *const *keys, int count,
                                    int64_t *out_removed, struct err *err);
MUST_CHECK int vecstore_remove_matching(struct vecstore *store,
                                        const struct vec_filter *filter,
                                        int64_t *out_removed, struct err *err);

/* The k nearest; hits and their texts are in the arena. ERR_INVALID for
 * another dim (naming both), NaN and infinities, a zero query with cosine, k,
 * nprobe or ef_search out of range. An empty store: no hits. */
MUST_CHECK int vecstore_search(struct vecstore *store,
                               const struct vec_query *query,
                               struct arena *arena, struct vec_hits *out,
                               struct err *err);

/* The entry with that id (its distance is 0), texts in the arena, and its
 * vector as it was added in out_vector (dim floats; NULL: not wanted).
 * ERR_NOT_FOUND. */
MUST_CHECK int vecstore_get(struct vecstore *store, int64_t id,
                            struct arena *arena, struct vec_hit *out,
                            float *out_vector, struct err *err);

/* Entries after `after` (-1: from the first), by id, up to `max` of them in
 * the arena with their vectors (out_vectors: max * dim floats; NULL: not
 * wanted): to copy a set, page by page. */
MUST_CHECK int vecstore_list(struct vecstore *store, int64_t after, int max,
                             struct arena *arena, struct vec_hits *out,
                             float *out_vectors, struct err *err);

/* Takes in what other processes have changed; cheap when there is nothing, and
 * while another thread is at it: who comes then goes on with what is there.
 * ERR_CONFLICT when it is now a set of another shape or with other settings,
 * or a link to it leads elsewhere: to be opened anew, beside which searches go
 * on with what was there.
 * ERR_NOT_FOUND when such a set was written over it, of which nothing is left.
 */
MUST_CHECK int vecstore_refresh(struct vecstore *store, struct err *err);

/* Does now what is otherwise done little by little: puts every entry into the
 * index and, with the engine, writes the checkpoint; with Milvus flushes,
 * builds the index and loads. Searches and writes go on. */
MUST_CHECK int vecstore_settle(struct vecstore *store,
                               vec_progress_fn *progress, void *user,
                               struct err *err);

/* Rewrites the files without what was removed. Searches go on, writes wait. */
MUST_CHECK int vecstore_compact(struct vecstore *store,
                                vec_progress_fn *progress, void *user,
                                struct err *err);

/* Reads every byte and checks every checksum, link and order: ERR_CORRUPT
 * names the first damage. */
MUST_CHECK int vecstore_check(struct vecstore *store, vec_progress_fn *progress,
                              void *user, struct err *err);

MUST_CHECK int vecstore_info(struct vecstore *store, struct vec_info *out,
                             struct err *err);

#endif
