/* SPDX-License-Identifier: Apache-2.0 */
/* The k nearest of many: a bounded heap with the farthest on top, so that a
 * hit that is not among them costs one comparison. Ties go to the lower id.
 * One thread at a time. */
#ifndef OLHO_VECTORS_NEAREST_H
#define OLHO_VECTORS_NEAREST_H

#include <stdint.h>

struct near {
    float distance; /* never NaN */
    int64_t id;
};

struct nearest {
    struct near *hits; /* borrowed: room for k */
    int count;
    int k; /* at least 1 */
};

void nearest_offer(struct nearest *nearest, const struct near *hit);

/* Turns the heap into a list, nearest first; then nothing more is offered. */
void nearest_sort(struct nearest *nearest);

#endif
