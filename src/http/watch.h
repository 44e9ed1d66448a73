/* SPDX-License-Identifier: Apache-2.0 */
/* What the HTTP library does not do for sockets: an upper limit for slow
 * clients that keep dripping bytes, an eye on clients that leave in the middle
 * of a request, and a clean end for clients that are still sending when they
 * are refused.
 *
 * The library learns of readable bytes by edges: when it reads some bytes and
 * the client's end stands right behind them, it is not told again and would
 * keep the connection until its idle timeout.
 *
 * Closing a socket with unread bytes makes the kernel reset the connection,
 * and the client may then lose the answer it was sent. So a duplicate of the
 * socket lingers here, is read and thrown away for a while, and is closed when
 * the client has closed its side. Thread-safe. */
#ifndef OLHO_HTTP_WATCH_H
#define OLHO_HTTP_WATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum {
    WATCH_LINGER_COUNT_MAX = 128,
    WATCH_LINGER_TIME_MAX_MS = 15000,
    WATCH_LINGER_LEN_MAX = 64 << 20,
};

/* One connection, in memory of its owner's. */
struct watch_entry {
    int fd; /* borrowed; open as long as the entry is in */
    /* Stored by the owner, read by the watch, in relaxed order, since they
     * guard nothing else. */
    atomic_int_least64_t deadline_us; /* monotonic; 0: none */
    atomic_bool is_reading;           /* the owner waits for bytes */
    int ended_count; /* the watch's: sweeps that found the client gone */
    struct watch_entry *next, *previous; /* the watch's */
};

struct watch;

/* Starts the thread. The caller owns *out. ERR_UNAVAILABLE. */
MUST_CHECK int watch_new(struct watch **out, struct err *err);

/* Closes what lingers and joins the thread. NULL is allowed; no entry may be
 * in it. */
void watch_free(struct watch *watch);

/* An entry whose deadline passes has its socket shut down both ways, within
 * about a second; whoever reads it then sees the end. So has one whose owner
 * waits for bytes after the client has closed its side and everything was
 * read, within about two. */
void watch_add(struct watch *watch, struct watch_entry *entry);
void watch_remove(struct watch *watch, struct watch_entry *entry);
void watch_allow(struct watch_entry *entry, bool is_reading,
                 int64_t deadline_us);

/* Reads and forgets what still comes in on a duplicate of fd. When too many
 * linger already, does nothing. */
void watch_linger(struct watch *watch, int fd);

#endif
