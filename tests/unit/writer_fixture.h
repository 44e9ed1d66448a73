/* SPDX-License-Identifier: Apache-2.0 */
/* A writer, numbered rows for it, and a database that can be away, slow and
 * particular. A row is number N by its request id "rN"; one whose id is "bad"
 * is refused. */
#ifndef OLHO_WRITER_FIXTURE_H
#define OLHO_WRITER_FIXTURE_H

#include <pthread.h>
#include <stdbool.h>

#include "store/writer.h"
#include "test.h"

enum { ROWS_MAX = 20000, SPILL_MAX = 1 << 24 };

struct store_fake {
    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t changed;
    bool is_away, is_held;
    int away_percent; /* of the calls that find it away nevertheless */
    int room;         /* rows that a call may have; 0: any number */
    int call_count;
    int count_max;      /* rows of the largest batch */
    int count;          /* of the rows that it was given, */
    int rows[ROWS_MAX]; /* which are kept by their numbers */
};
extern struct store_fake store_fake;

/* Away fails each call; held makes calls wait until it is not. */
void store_fake_set(bool is_away, bool is_held);
void store_fake_fail_at_times(int percent);

/* Wait until there were `wanted` calls in all, or `more` further ones. */
void store_fake_await_call(int wanted);
void store_fake_await_calls(int more);

/* The test's own file, and options that it may change. */
extern char rows_path[256];
struct writer_options rows_options(void);
struct writer *rows_start(const struct writer_options *options);

/* Adds the rows from..to - 1; answers how many were taken. */
int rows_add(struct writer *writer, int from, int to);
bool rows_add_one(struct writer *writer, const char *id);
struct writer_stats rows_stats(struct writer *writer);

/* Waits until so many rows are in the file; the database must be away. */
void rows_await_spilled(struct writer *writer, int64_t count);
void rows_flush(struct writer *writer);

/* The database has the rows 0..count - 1, in order. */
void rows_check(int count);

#endif
