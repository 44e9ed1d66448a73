/* SPDX-License-Identifier: Apache-2.0 */
/* The machine that reads a pickle of texts: its values, and what it does in
 * the place of numpy's globals. Of npy_pickle.c and npy_rebuild.c alone.
 * One thread at a time. */
#ifndef OLHO_VECTORS_NPY_MACHINE_H
#define OLHO_VECTORS_NPY_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "vectors/npy_pool.h"

enum kind {
    A_MARK,
    A_NONE,
    A_TRUTH,
    A_NUMBER,
    A_TEXT,
    A_BLOCK, /* bytes */
    A_TUPLE,
    A_LIST,
    A_GLOBAL,
    A_TYPE, /* numpy.dtype */
    AN_ARRAY,
};

enum global { RECONSTRUCT, NDARRAY, DTYPE, SCALAR, ENCODE };

struct value {
    enum kind kind;
    int64_t number; /* of numbers, truths, globals; the place of a text; the
                     * number of a type */
    size_t begin;   /* bytes: in the file; tuples: in items */
    size_t count;   /* bytes or values */
};

struct values {
    struct value *values; /* owned */
    size_t count, cap;
};

/* Types are told apart by number, because BUILD changes one that the memo
 * holds already. */
struct type {
    char kind; /* 'O' or 'U' */
    int64_t char_count;
    bool is_big_endian;
};

struct machine {
    struct bytes file;
    size_t at, begin; /* the next byte; of this instruction */
    struct values stack, memo, items;
    struct type *types; /* owned */
    size_t type_count, type_cap;
    struct npy_pool *pool;
    bool has_list, has_array, is_built, is_done;
};

/* ERR_CORRUPT, naming the place of this instruction. */
int npy_broken(const struct machine *machine, struct err *err);

/* ERR_UNAVAILABLE without memory. */
MUST_CHECK int npy_push(struct values *to, const struct value *value,
                        struct err *err);

/* A text; borrowed until the next text is read. */
const char *npy_text_of(const struct machine *machine,
                        const struct value *value);

/* Calls a global with a tuple: pushes what would come of it. */
MUST_CHECK int npy_call(struct machine *machine, enum global global,
                        const struct value *tuple, struct err *err);

/* Gives the array or type on top of the stack its state. */
MUST_CHECK int npy_set_state(struct machine *machine, const struct value *tuple,
                             struct err *err);

#endif
