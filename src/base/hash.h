/* SPDX-License-Identifier: Apache-2.0 */
/* Checksums. Thread-safe. */
#ifndef OLHO_BASE_HASH_H
#define OLHO_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum { HASH_SHA256_LEN = 32, HASH_HEX_LEN = 64 };

/* SHA-256 (FIPS 180-4) of data, as 32 bytes. */
void hash_sha256(struct bytes data, uint8_t out[HASH_SHA256_LEN]);

/* The same as 64 lower-case hexadecimal digits and a NUL. */
void hash_sha256_hex(struct bytes data, char out[HASH_HEX_LEN + 1]);
void hash_to_hex(const uint8_t *bytes, size_t len, char *out);

/* HMAC-SHA-256 (RFC 2104) of data under key, which may have any length. */
void hash_hmac_sha256(struct bytes key, struct bytes data,
                      uint8_t out[HASH_SHA256_LEN]);

/* SHA-256 of a whole file, read in pieces. Fails with ERR_IO. */
MUST_CHECK int hash_file(const char *path, char out[HASH_HEX_LEN + 1],
                         struct err *err);

/* CRC-32C (Castagnoli, RFC 3720) of data, continuing from `crc` (0 to
 * start). */
uint32_t hash_crc32c(uint32_t crc, const void *data, size_t len);

#endif
