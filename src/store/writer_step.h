/* SPDX-License-Identifier: Apache-2.0 */
/* Private to the writer: its state, and what its thread does between two waits.
 * writer.c has the queue, the waiting and the calls of others; writer_step.c
 * has the file, the database and the log. */
#ifndef OLHO_STORE_WRITER_STEP_H
#define OLHO_STORE_WRITER_STEP_H

#include <pthread.h>

#include "base/buf.h"
#include "store/row_queue.h"
#include "store/spill.h"
#include "store/writer.h"

enum { WRITER_BATCH_LEN_MAX = 4 << 20 /* bytes of rows in one transaction */ };

/* A kind of line that is logged once a minute at most. */
struct writer_notice {
    int64_t next_us;
    int64_t count; /* of what happened since the last line */
};

struct writer {
    /* Set before the thread starts. */
    struct writer_options options; /* spill_path is not used; see below */
    struct store *store;           /* borrowed */
    char *rejects_path;            /* owned; NULL: refused rows are not kept */
    pthread_t thread;

    /* The thread's own. */
    struct spill *spill; /* NULL: nothing is kept on disk */
    bool is_spill_full;  /* it refused a row since the last attempt to write */
    int64_t retry_us;    /* nothing is written before */
    int failure_count;   /* attempts in a row that failed */
    int batch_max;       /* rows to try at once; 1 after a failure */
    uint64_t random;
    bool said_away;           /* the log has to be told when it is back */
    int64_t undecoded;        /* whole records of the file that were no rows */
    struct row_node **loaded; /* options.batch_max rows read from the file */
    struct store_row *rows;   /* options.batch_max, of the batch */
    int64_t *offsets;         /* where each of them ends in the file */
    struct buf record;
    struct writer_notice away, refused, lost, unkept;
    int64_t dropped_logged;

    pthread_mutex_t mutex;  /* guards what follows; never held across I/O */
    pthread_cond_t filled;  /* the thread has a reason to look */
    pthread_cond_t settled; /* rows were written, refused or given up */
    struct row_queue queue;
    int64_t accepted; /* rows ever added, and those found in the file */
    int flush_count;  /* callers in writer_flush */
    bool is_stopping; /* no row is taken any more */
    int64_t stop_us;  /* then: when to stop writing */
    struct writer_stats stats; /* waiting and waiting_len are the queue's */
};

/* Says what the file had when it was opened. */
void writer_greet(struct writer *writer);

/* Moves rows from the queue to the file, or from either to the database. */
void writer_step(struct writer *writer);

/* Puts what is left into the file and drops the rest. */
void writer_finish(struct writer *writer);

#endif
