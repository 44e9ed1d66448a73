/* SPDX-License-Identifier: Apache-2.0 */
/* A row for the database as bytes, as it waits in memory and in the spill
 * file: a head, the embedding, then the fields of its table in a fixed order,
 * each text with a NUL behind it. Numbers are in this machine's byte order:
 * neither place is read by another machine.
 *
 * Thread-safe. */
#ifndef OLHO_STORE_ROW_H
#define OLHO_STORE_ROW_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json_write.h"
#include "store/store.h"

enum {
    ROW_LEN_MAX = 1 << 20, /* bytes; a larger row is not taken */
    ROW_EMBEDDING_MAX = 1 << 16,
};

/* Bytes that row_encode will write; more than ROW_LEN_MAX for a row that must
 * not be encoded. */
size_t row_len(const struct store_row *row);

/* Writes row_len bytes to out. */
void row_encode(const struct store_row *row, uint8_t *out);

/* Reads what row_encode wrote, or anything else: ERR_CORRUPT then. The texts
 * and the embedding are borrowed from bytes, which are aligned as a float. */
MUST_CHECK int row_decode(struct bytes bytes, struct store_row *out,
                          struct err *err);

/* "predictions", the table's name in the database. */
const char *row_table(enum store_table table);

/* The row as members of the JSON object that is open: table, created_ms, then
 * the fields by the names of their columns. */
void row_print(const struct store_row *row, struct json_writer *json);

#endif
