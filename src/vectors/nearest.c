/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors/nearest.h"

#include <stdbool.h>

static bool is_farther(const struct near *a, const struct near *b)
{
    return a->distance > b->distance ||
           (a->distance == b->distance && a->id > b->id);
}

static void sink(struct near *hits, int count, int i)
{
    struct near moved = hits[i];
    int child;

    while ((child = 2 * i + 1) < count) {
        if (child + 1 < count && is_farther(&hits[child + 1], &hits[child]))
            child++;
        if (!is_farther(&hits[child], &moved))
            break;
        hits[i] = hits[child];
        i = child;
    }
    hits[i] = moved;
}

static void rise(struct near *hits, int i)
{
    struct near moved = hits[i];

    while (i > 0 && is_farther(&moved, &hits[(i - 1) / 2])) {
        hits[i] = hits[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    hits[i] = moved;
}

void nearest_offer(struct nearest *nearest, const struct near *hit)
{
    if (nearest->count < nearest->k) {
        nearest->hits[nearest->count] = *hit;
        rise(nearest->hits, nearest->count++);
    } else if (is_farther(&nearest->hits[0], hit)) {
        nearest->hits[0] = *hit;
        sink(nearest->hits, nearest->count, 0);
    }
}

void nearest_sort(struct nearest *nearest)
{
    int i;

    for (i = nearest->count - 1; i > 0; i--) {
        struct near top = nearest->hits[0];

        nearest->hits[0] = nearest->hits[i];
        nearest->hits[i] = top;
        sink(nearest->hits, i, 0);
    }
}
