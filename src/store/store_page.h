/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of one answer, copied, so that what is done with them holds no
 * connection and may take its time. One thread. */
#ifndef OLHO_STORE_STORE_PAGE_H
#define OLHO_STORE_STORE_PAGE_H

#include "base/mem.h"
#include "store/store_ops.h"

/* One answer holds at most so many rows, and 64 MB. */
enum { STORE_PAGE_ROWS = 100 };

struct store_page {
    struct arena *arena; /* owned: the fields and their bytes */
    struct arena *keys;  /* owned: for the caller's values; never reset */
    struct store_field *rows[STORE_PAGE_ROWS];
    int row_count;
};

void store_page_init(struct store_page *page);
void store_page_release(struct store_page *page);

/* Replaces the page's rows. ERR_TOO_LARGE past STORE_PAGE_ROWS rows. */
MUST_CHECK int store_page_read(struct store *store, const char *sql,
                               const struct store_value *values,
                               int value_count, struct store_page *page,
                               struct err *err);

#endif
