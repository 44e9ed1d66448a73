/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 is OpenSSL's. CRC-32C is the processor's where it has an instruction
 * for it; else it takes eight bytes a step from eight tables ("slicing by 8",
 * Kounavis and Berry, 2005), which runs on every processor; the tables are made
 * on first use. */
#include "base/hash.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/hash_crc.h"
#include "base/mem.h"

enum { PIECE_LEN = 64 << 10 };

/* Reflected form of the Castagnoli polynomial 0x1edc6f41. */
#define CRC32C_POLYNOMIAL 0x82f63b78u

/* Looked up once: OpenSSL 3 takes longer to find SHA-256 by its name than to
 * hash a short text with it, and its own HMAC four times as long as two
 * sums. */
static EVP_MD *sha256;
static pthread_once_t sha256_once = PTHREAD_ONCE_INIT;

static void find_sha256(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    /* Only a broken installation of OpenSSL has none. */
    assert(sha256 != NULL);
}

void hash_sha256(struct bytes data, uint8_t out[HASH_SHA256_LEN])
{
    static const uint8_t nothing;
    unsigned int len = 0;
    int ok;

    pthread_once(&sha256_once, find_sha256);
    ok = EVP_Digest(data.len == 0 ? &nothing : data.data, data.len, out, &len,
                    sha256, NULL);
    assert(ok == 1 && len == HASH_SHA256_LEN);
    (void)ok;
}

/* The sum of two texts, one behind the other. */
static void sum_two(EVP_MD_CTX *digest, struct bytes first, struct bytes second,
                    uint8_t out[HASH_SHA256_LEN])
{
    bool is_ok = EVP_DigestInit_ex(digest, sha256, NULL) == 1 &&
                 EVP_DigestUpdate(digest, first.data, first.len) == 1 &&
                 EVP_DigestUpdate(digest, second.data, second.len) == 1 &&
                 EVP_DigestFinal_ex(digest, out, NULL) == 1;

    assert(is_ok);
    (void)is_ok;
}

/* RFC 2104: H(K xor opad, H(K xor ipad, data)), where a key longer than a block
 * is its own sum. */
void hash_hmac_sha256(struct bytes key, struct bytes data,
                      uint8_t out[HASH_SHA256_LEN])
{
    enum { BLOCK_LEN = 64, IPAD = 0x36, OPAD = 0x5c };
    uint8_t block[BLOCK_LEN] = {0}, inner[HASH_SHA256_LEN];
    EVP_MD_CTX *digest;
    int i;

    pthread_once(&sha256_once, find_sha256);
    digest = EVP_MD_CTX_new();
    assert(digest != NULL);
    if (key.len > BLOCK_LEN)
        hash_sha256(key, block);
    else if (key.len > 0)
        memcpy(block, key.data, key.len);
    for (i = 0; i < BLOCK_LEN; i++)
        block[i] ^= IPAD;
    sum_two(digest, (struct bytes){block, BLOCK_LEN}, data, inner);
    for (i = 0; i < BLOCK_LEN; i++)
        block[i] ^= IPAD ^ OPAD;
    sum_two(digest, (struct bytes){block, BLOCK_LEN},
            (struct bytes){inner, HASH_SHA256_LEN}, out);
    explicit_bzero(block, sizeof block);
    EVP_MD_CTX_free(digest);
}

void hash_to_hex(const uint8_t *bytes, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    size_t i;

    for (i = 0; i < len; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * len] = '\0';
}

void hash_sha256_hex(struct bytes data, char out[HASH_HEX_LEN + 1])
{
    uint8_t sum[HASH_SHA256_LEN];

    hash_sha256(data, sum);
    hash_to_hex(sum, sizeof sum, out);
}

/* Feeds the file to the digest piece by piece. */
static int feed(int file, const char *path, EVP_MD_CTX *digest, void *piece,
                struct err *err)
{
    ssize_t got;

    for (;;) {
        got = read(file, piece, PIECE_LEN);
        if (got == 0)
            return 0;
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_set(err, ERR_IO, "cannot read '%s': %s", path,
                           strerror(errno));
        if (EVP_DigestUpdate(digest, piece, (size_t)got) != 1)
            return err_set(err, ERR_INTERNAL, "SHA-256 failed");
    }
}

int hash_file(const char *path, char out[HASH_HEX_LEN + 1], struct err *err)
{
    uint8_t sum[HASH_SHA256_LEN];
    EVP_MD_CTX *digest = NULL;
    void *piece = NULL;
    int file, rc;

    file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return err_set(err, ERR_IO, "cannot read '%s': %s", path,
                       strerror(errno));
    piece = mem_try(1, PIECE_LEN);
    digest = EVP_MD_CTX_new();
    if (piece == NULL || digest == NULL ||
        EVP_DigestInit_ex(digest, EVP_sha256(), NULL) != 1) {
        rc = err_set(err, ERR_UNAVAILABLE, "no memory to hash '%s'", path);
        goto out;
    }
    rc = feed(file, path, digest, piece, err);
    if (rc)
        goto out;
    if (EVP_DigestFinal_ex(digest, sum, NULL) != 1) {
        rc = err_set(err, ERR_INTERNAL, "SHA-256 failed");
        goto out;
    }
    hash_to_hex(sum, sizeof sum, out);
out:
    EVP_MD_CTX_free(digest);
    mem_free(piece);
    close(file);
    return rc;
}

/* table[k][b]: the remainder of byte b followed by k zero bytes. */
static uint32_t table[8][256];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void fill_table(void)
{
    uint32_t crc;
    int k, b, bit;

    for (b = 0; b < 256; b++) {
        crc = (uint32_t)b;
        for (bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ CRC32C_POLYNOMIAL : crc >> 1;
        table[0][b] = crc;
    }
    for (k = 1; k < 8; k++)
        for (b = 0; b < 256; b++)
            table[k][b] =
                table[k - 1][b] >> 8 ^ table[0][table[k - 1][b] & 255];
}

uint32_t hash_crc_plain(uint32_t crc, const void *data, size_t len)
{
    const uint8_t *p = data;

    pthread_once(&table_once, fill_table);
    crc = ~crc;
    for (; len >= 8; len -= 8, p += 8) {
        uint32_t low = crc ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 |
                              (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);

        crc = table[7][low & 255] ^ table[6][low >> 8 & 255] ^
              table[5][low >> 16 & 255] ^ table[4][low >> 24] ^ table[3][p[4]] ^
              table[2][p[5]] ^ table[1][p[6]] ^ table[0][p[7]];
    }
    for (; len > 0; len--, p++)
        crc = crc >> 8 ^ table[0][(crc ^ *p) & 255];
    return ~crc;
}

static hash_crc_fn *crc_run;
static pthread_once_t crc_once = PTHREAD_ONCE_INIT;

static void find_crc(void)
{
    crc_run = hash_crc_plain;
    if (&hash_crc_x86 != NULL && hash_crc_x86.is_usable())
        crc_run = hash_crc_x86.run;
    if (&hash_crc_arm != NULL && hash_crc_arm.is_usable())
        crc_run = hash_crc_arm.run;
}

uint32_t hash_crc32c(uint32_t crc, const void *data, size_t len)
{
    pthread_once(&crc_once, find_crc);
    return crc_run(crc, data, len);
}
