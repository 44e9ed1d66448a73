/* SPDX-License-Identifier: Apache-2.0 */
/* What the HTTP library does not do for sockets: an upper limit for slow
 * clients that keep dripping bytes, and a clean end for clients that are still
 * sending when they are refused.
 *
 * Closing a socket with unread bytes makes the kernel reset the connection,
 * and the client may then lose the answer it was sent. So a duplicate of the
 * socket lingers here, is read and thrown away for a while, and is closed when
 * the client has closed its side. Thread-safe. */
#ifndef OLHO_HTTP_WATCH_H
#define OLHO_HTTP_WATCH_H

#include <stdatomic.h>
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
    /* Monotonic; 0: none. Stored by the owner, read by the watch: relaxed
     * order, since it guards nothing else. */
    atomic_int_least64_t deadline_us;
    struct watch_entry *next, *previous; /* the watch's */
};

struct watch;

/* Starts the thread. The caller owns *out. ERR_UNAVAILABLE. */
MUST_CHECK int watch_new(struct watch **out, struct err *err);

/* Closes what lingers and joins the thread. NULL is allowed; no entry may be
 * in it. */
void watch_free(struct watch *watch);

/* An entry whose deadline passes has its socket shut down both ways, within
 * about a second; whoever reads it then sees the end. */
void watch_add(struct watch *watch, struct watch_entry *entry);
void watch_remove(struct watch *watch, struct watch_entry *entry);
void watch_set_deadline(struct watch_entry *entry, int64_t deadline_us);

/* Reads and forgets what still comes in on a duplicate of fd. When too many
 * linger already, does nothing. */
void watch_linger(struct watch *watch, int fd);

#endif
