/* SPDX-License-Identifier: Apache-2.0 */
/* A server of tests/services that a test may kill: started in a folder of the
 * test's, on a free port of 127.0.0.1, one at a time. For tests that the
 * environment gave the same kind of server to, so that it is installed. */
#ifndef OLHO_TEST_SERVED_H
#define OLHO_TEST_SERVED_H

/* Starts it, anew on the same port after served_kill, and waits until it
 * accepts connections. Returns the port. */
int served_start(const char *name);

void served_kill(void); /* as kill -9 does */
void served_stop(void); /* kills it, and forgets its port */

/* Some milliseconds for others, between two looks at them. */
void served_let_others(void);

#endif
