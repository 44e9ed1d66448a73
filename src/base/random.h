/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers that look random and follow from a seed: SplitMix64 (Steele, Lea and
 * Flood 2014). For drawing and for hashing, not for secrets.
 * Thread-safe: no state but the caller's. */
#ifndef OLHO_BASE_RANDOM_H
#define OLHO_BASE_RANDOM_H

#include <stdint.h>

/* What the state goes on by. */
#define RANDOM_STEP UINT64_C(0x9e3779b97f4a7c15)

/* A state's number; different for every state. */
static inline uint64_t random_mix(uint64_t state)
{
    state = (state ^ state >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    state = (state ^ state >> 27) * UINT64_C(0x94d049bb133111eb);
    return state ^ state >> 31;
}

/* The next number of a sequence; the state may begin as anything. */
static inline uint64_t random_next(uint64_t *state)
{
    return random_mix(*state += RANDOM_STEP);
}

#endif
