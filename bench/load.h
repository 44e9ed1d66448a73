/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the load client: what is sent (load_message.c), the connections
 * (load_connection.c), the run and its figures (load.c).
 *
 * One thread. What cannot go on ends the program with exit code 2. */
#ifndef OLHO_BENCH_LOAD_H
#define OLHO_BENCH_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

enum {
    CONNECTIONS_MAX = 4096,
    MESSAGES_MAX = 4096,
    STATUSES_MAX = 6,
    FILE_LEN_MAX = 64 << 20,
    REPLY_LEN_MAX = 16 << 20,
    REQUESTS_MAX = 50000000,
    HEADER_LEN_MAX = 4096,
    READ_LEN = 32 << 10,
    PROBLEMS_SHOWN = 5,
    PROBLEMS_MAX = 10000, /* after so many the run ends */
    DRAIN_US = 30000000,
};

enum kind { KIND_GOOD, KIND_BAD, KIND_RESET };

struct message {
    enum kind kind;
    int statuses[STATUSES_MAX]; /* the answers that are right */
    int status_count;
    struct buf request;
    struct buf answer; /* how the answer must begin; may be empty */
};

struct connection {
    int fd;                        /* -1: not connected */
    const struct message *message; /* NULL: idle */
    int64_t due_us;                /* when the request should have begun */
    size_t sent_len;
    size_t reply_len; /* header and body; 0: header not whole yet */
    int status;
    bool closes; /* the server said that it will close */
    struct buf reply;
};

struct options {
    int port, connections, bad_percent, timeout_s, seed;
    double warmup_s, seconds, rate;
    long requests; /* 0: as many as fit into the seconds */
    const char *path, *field, *plan;
};

/* Everything belongs to the one thread. */
struct load {
    struct options options;
    struct message *messages;
    int message_count, good_count; /* the good ones come first */
    int next_good, next_bad;
    uint64_t random;
    struct connection *connections;
    int *idle; /* stack of the connections without a request */
    int idle_count;
    int epoll;
    int64_t begin_us, measure_us, end_us, last_us;
    int64_t due;     /* may start as soon as a connection is idle */
    int64_t started; /* of all time */
    int64_t missed;  /* due when no connection was idle (open loop) */
    /* From measure_us on: */
    int64_t requests, failures, wrong, resets, received_len;
    int64_t statuses[1000];
    uint32_t *latencies_us;
    size_t latency_count, latency_cap;
};

int64_t now_us(void); /* monotonic */
void die(const char *what, const char *name) __attribute__((noreturn));

/* --- load_message.c --- */

/* One POST of that file as the form's photo. */
void load_add_photo(struct load *load, const char *path);

/* The lines of load->options.plan, described in load.c. */
void load_add_plan(struct load *load);

/* The good messages in turn, with bad_percent of the others mixed in. */
const struct message *load_next_message(struct load *load);

/* --- load_connection.c --- */

/* Sends the next message on an idle connection; there must be one. due_us is
 * the instant from which its latency counts. */
void connection_start(struct load *load, int64_t due_us);

/* Goes on after epoll reported something. */
void connection_advance(struct load *load, struct connection *connection);

/* Ends a request that got no whole answer; `what` says why. */
void connection_fail(struct load *load, struct connection *connection,
                     const char *what);

void connection_close(struct connection *connection);

#endif
