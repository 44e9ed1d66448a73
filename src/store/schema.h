/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of olho as one list of columns, and their SQL in each dialect.
 * Migrations, INSERTs, export and import are all made from the list.
 *
 * Constant, so thread-safe. */
#ifndef OLHO_STORE_SCHEMA_H
#define OLHO_STORE_SCHEMA_H

#include <stdbool.h>

#include "base/buf.h"
#include "store/store.h"

enum store_dialect {
    DIALECT_SQLITE,
    DIALECT_POSTGRES,
    DIALECT_MYSQL,
    DIALECT_COUNT,
};

enum column_type {
    COLUMN_ID, /* numbers itself */
    COLUMN_INTEGER,
    COLUMN_BIG,  /* 64 bits */
    COLUMN_TEXT, /* of `chars` characters at most */
    COLUMN_LONG, /* text of any length */
    COLUMN_JSON,
    COLUMN_BYTES,
    COLUMN_SHARE,  /* decimal(5,4) */
    COLUMN_MILLIS, /* decimal(6,2) */
    COLUMN_REAL,
    COLUMN_TIME,
    COLUMN_NOW, /* a time that is now unless given */
    COLUMN_TYPE_COUNT,
};

enum { COLUMN_IS_NEEDED = 1, COLUMN_IS_UNIQUE = 2 };

struct column {
    int version; /* of the migration that adds it */
    const char *table, *name;
    enum column_type type;
    int chars;             /* of COLUMN_TEXT and COLUMN_LONG */
    int flags;             /* where olho makes the table */
    const char *reference; /* table whose id it is, where olho makes both */
};

struct column_index {
    int version;
    const char *name, *table, *column;
};

enum { SCHEMA_COLUMN_COUNT_MAX = 80 };

extern const struct column schema_columns[];
extern const int schema_column_count;
extern const struct column_index schema_indexes[];
extern const int schema_index_count;

/* What a migration is called; NULL past the last. Versions count from 1. */
const char *schema_migration(int version);
int schema_version_latest(void);

/* The place of a table's first column (its id) in schema_columns, and how many
 * it has. The table must be one of ours. */
void schema_find(const char *table, int *out_first, int *out_count);

/* "CREATE TABLE ..." with the columns of `version`. Without references where
 * the table that is referred to is another program's (is_own false). */
void schema_create_table(const char *table, int version,
                         enum store_dialect dialect, bool is_own,
                         struct buf *out);

/* "ALTER TABLE ... ADD COLUMN ...", which may be NULL: rows may be there. */
void schema_add_column(const struct column *column, enum store_dialect dialect,
                       struct buf *out);

/* "CREATE INDEX ..."; is_long says that the column is a text without a limit,
 * of which MariaDB can index a beginning only. */
void schema_create_index(const struct column_index *index,
                         enum store_dialect dialect, bool is_long,
                         struct buf *out);

/* The columns of a table without or with its id, as "a","b". */
void schema_list_columns(const char *table, bool has_id, struct buf *out);

#endif
