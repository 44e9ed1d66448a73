/* SPDX-License-Identifier: Apache-2.0 */
/* A flat exact index of embeddings, in one append-only file.
 *
 * An entry is a vector with a path, a SHA-256 and an optional label. What
 * flat_add has acknowledged survives a kill -9 and a loss of power; a record
 * cut in its middle is found by its checksum, cut off at open and reported.
 * One process writes at a time (a lock on the file); any number read, and see
 * what was added by calling flat_refresh.
 *
 * Thread-safe: searches run beside each other and beside one writer. */
#ifndef OLHO_VECTORS_FLAT_H
#define OLHO_VECTORS_FLAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/hash.h"

enum {
    FLAT_DIM_MAX = 65536,
    FLAT_K_MAX = 1000,
    FLAT_PATH_MAX = 4095, /* bytes of a path, without the NUL */
    FLAT_LABEL_MAX = 255, /* bytes of a label, without the NUL */
};

enum flat_metric { FLAT_L2, FLAT_IP, FLAT_COSINE };
enum flat_mode { FLAT_READ, FLAT_WRITE };

const char *flat_metric_name(enum flat_metric metric); /* "L2" */

struct flat;

struct flat_entry {
    int64_t id;         /* counts from 0 in the order added */
    const char *path;   /* borrowed from the index until flat_close */
    const char *label;  /* "" when there is none */
    const char *sha256; /* 64 hexadecimal digits, or "" */
};

struct flat_hit {
    struct flat_entry entry;
    float distance; /* L2: the Euclidean distance; IP: 1 - inner product;
                     * cosine: 1 - cosine. Smaller is nearer. */
};

struct flat_info {
    int dim;
    enum flat_metric metric;
    int64_t count;       /* entries that can be found */
    int64_t file_len;    /* bytes */
    int64_t torn_len;    /* bytes of a torn tail: cut off at open with
                          * FLAT_WRITE, left alone with FLAT_READ, since a
                          * writer may be at work on them */
    char model[128];     /* the model that made the vectors */
    const char *kernels; /* "avx512", "avx2", "neon" or "c" */
};

/* Opens path; with FLAT_WRITE makes it when absent (dim, metric and model are
 * written into it) and takes the lock (ERR_CONFLICT when another process has
 * it). With FLAT_READ an absent file is ERR_NOT_FOUND. dim 0 takes dim, metric
 * and model as the file has them, and never makes a file. Another dim or
 * metric than the file's, or another model (its first 127 bytes count; NULL
 * and "" go with any): ERR_CONFLICT naming both. ERR_CORRUPT names the place of
 * the damage; ERR_UNSUPPORTED names the version of a file that is newer than
 * the program. The caller owns *out. */
MUST_CHECK int flat_open(const char *path, enum flat_mode mode, int dim,
                         enum flat_metric metric, const char *model,
                         struct flat **out, struct err *err);
void flat_close(struct flat *index); /* NULL is allowed */

/* Adds one entry and returns when it is on disk, or, between flat_begin and
 * flat_commit, when flat_commit returns. NaN, infinities, vectors longer than
 * 3e18, and a zero vector with FLAT_COSINE: ERR_INVALID. An entry with the
 * same SHA-256 (not "" or NULL) as one that is there replaces that one's path
 * and label and is not doubled; *is_new (may be NULL) says which. ERR_IO when
 * the disk is full: the entry is not there, and the index works on. */
MUST_CHECK int flat_add(struct flat *index, const float *vector,
                        const char *path, const char *sha256, const char *label,
                        bool *is_new, struct err *err);
MUST_CHECK int flat_begin(struct flat *index, struct err *err);
MUST_CHECK int flat_commit(struct flat *index, struct err *err);

/* Takes in what another process has added since; one fstat when there is
 * nothing. Searches go on meanwhile. */
MUST_CHECK int flat_refresh(struct flat *index, struct err *err);

/* The k nearest, nearest first, ties by id; *out_count is below k only when
 * the index has fewer. query has `dim` floats (checked: ERR_INVALID names both
 * lengths); NaN and infinities: ERR_INVALID; k 1..FLAT_K_MAX. exclude_sha256
 * (NULL: none) leaves that image out. */
MUST_CHECK int flat_search(struct flat *index, const float *query, int dim,
                           int k, const char *exclude_sha256,
                           struct flat_hit *out, int *out_count,
                           struct err *err);

/* The entry with that id, and its vector as it was added (dim floats, mapped,
 * borrowed until flat_close). ERR_NOT_FOUND. */
MUST_CHECK int flat_get(struct flat *index, int64_t id,
                        const float **out_vector, struct flat_entry *out,
                        struct err *err);

/* Whether an entry with that SHA-256 is there. */
bool flat_has(struct flat *index, const char *sha256);

void flat_info(struct flat *index, struct flat_info *out);

#endif
