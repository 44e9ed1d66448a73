/* SPDX-License-Identifier: Apache-2.0 */
/* Values on their way into a column and back: texts that fit, numbers that
 * fit, times. Thread-safe. */
#ifndef OLHO_STORE_STORE_TEXT_H
#define OLHO_STORE_STORE_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "store/store_ops.h"

/* text as a value of at most chars characters (0: any number), borrowed where
 * it is UTF-8 and else copied into the arena with '?' for each byte that is
 * not. NULL is NULL. ERR_UNAVAILABLE when memory is short. */
MUST_CHECK int store_text_value(const char *text, int chars,
                                struct arena *arena, struct store_value *out,
                                struct err *err);

/* The same with the room that the column has in this database. */
MUST_CHECK int store_column_text(const struct store *store, const char *table,
                                 const char *column, const char *text,
                                 struct arena *arena, struct store_value *out,
                                 struct err *err);

/* "2026-11-21 12:00:00.123" in UTC, which all dialects take and which sorts as
 * text. */
MUST_CHECK int store_time_value(int64_t unix_ms, struct arena *arena,
                                struct store_value *out, struct err *err);

struct store_value store_null_value(void);
struct store_value store_integer_value(int64_t value);

/* Rounded to so many decimals and kept within min..max; NaN is NULL. */
struct store_value store_decimal_value(double value, int decimals, double min,
                                       double max);

/* A field as a number; NULL and what is no number give `otherwise`. */
double store_field_number(const struct store_field *field, double otherwise);
int64_t store_field_integer(const struct store_field *field, int64_t otherwise);

/* A field into out, cut at a character; "" for NULL. */
void store_field_text(const struct store_field *field, char *out, size_t size);

/* A time as the databases write it ("2026-11-21 12:00:00.123", 'T' in the
 * middle, fewer or more decimals, "+00" behind) in Unix ms; 0 when it is none
 * or NULL. */
int64_t store_field_time(const struct store_field *field);

#endif
