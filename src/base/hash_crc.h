/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-32C by an instruction of the processor: of hash.c and its tests alone.
 * Thread-safe: no state. */
#ifndef OLHO_BASE_HASH_CRC_H
#define OLHO_BASE_HASH_CRC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As hash_crc32c. */
typedef uint32_t hash_crc_fn(uint32_t crc, const void *data, size_t len);

struct hash_crc {
    bool (*is_usable)(void); /* whether this processor has the instruction */
    hash_crc_fn *run;
};

/* The one that runs on every processor. */
uint32_t hash_crc_plain(uint32_t crc, const void *data, size_t len);

/* One definition per file; the Makefile leaves out the files that are for
 * another architecture, and a weak name that nobody defines is NULL. */
extern const struct hash_crc hash_crc_x86 __attribute__((weak));
extern const struct hash_crc hash_crc_arm __attribute__((weak));

#endif
