/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/hash_crc.h"
#include "base/mem.h"

/* The examples of FIPS 180-4. */
TEST(hash_sha256_gives_the_published_sums)
{
    char hex[HASH_HEX_LEN + 1];

    hash_sha256_hex((struct bytes){NULL, 0}, hex);
    CHECK_TEXT(hex, "e3b0c44298fc1c149afbf4c8996fb924"
                    "27ae41e4649b934ca495991b7852b855");
    hash_sha256_hex(bytes_of_text("abc"), hex);
    CHECK_TEXT(hex, "ba7816bf8f01cfea414140de5dae2223"
                    "b00361a396177a9cb410ff61f20015ad");
    hash_sha256_hex(bytes_of_text("abcdbcdecdefdefgefghfghighijhijkijkljklm"
                                  "klmnlmnomnopnopq"),
                    hex);
    CHECK_TEXT(hex, "248d6a61d20638b8e5c026930c3e6039"
                    "a33ce45964ff2167f6ecedd419db06c1");
}

TEST(hash_of_a_file_is_that_of_its_bytes)
{
    enum { LEN = 200001 };
    uint8_t *data = mem_try(LEN, 1);
    char path[FILE_PATH_MAX], whole[HASH_HEX_LEN + 1], read[HASH_HEX_LEN + 1];
    struct err err = {0};
    size_t i;

    CHECK(data != NULL);
    for (i = 0; i < LEN; i++)
        data[i] = (uint8_t)(i * 7 + i / 251);
    CHECK_OK(file_join(test_dir(), "data", path, &err), err);
    CHECK_OK(file_write(path, (struct bytes){data, LEN}, &err), err);
    CHECK_OK(hash_file(path, read, &err), err);
    hash_sha256_hex((struct bytes){data, LEN}, whole);
    CHECK_TEXT(read, whole);
    mem_free(data);
}

static const char *hmac_hex(struct bytes key, struct bytes data)
{
    static char hex[HASH_HEX_LEN + 1];
    uint8_t sum[HASH_SHA256_LEN];

    hash_hmac_sha256(key, data, sum);
    hash_to_hex(sum, sizeof sum, hex);
    return hex;
}

/* Test cases 1 to 4, 6 and 7 of RFC 4231; 5 is a cut sum. */
TEST(hash_hmac_sha256_gives_the_published_sums)
{
    uint8_t same[131], data[50], counted[25];
    size_t i;

    memset(same, 0x0b, sizeof same);
    CHECK_TEXT(
        hmac_hex((struct bytes){same, 20}, bytes_of_text("Hi There")),
        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    CHECK_TEXT(
        hmac_hex(bytes_of_text("Jefe"),
                 bytes_of_text("what do ya want for nothing?")),
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(same, 0xaa, sizeof same);
    memset(data, 0xdd, sizeof data);
    CHECK_TEXT(
        hmac_hex((struct bytes){same, 20}, (struct bytes){data, 50}),
        "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
    for (i = 0; i < sizeof counted; i++)
        counted[i] = (uint8_t)(i + 1);
    memset(data, 0xcd, sizeof data);
    CHECK_TEXT(
        hmac_hex((struct bytes){counted, 25}, (struct bytes){data, 50}),
        "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b");
    CHECK_TEXT(
        hmac_hex((struct bytes){same, 131},
                 bytes_of_text("Test Using Larger Than Block-Size Key - "
                               "Hash Key First")),
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    CHECK_TEXT(
        hmac_hex((struct bytes){same, 131},
                 bytes_of_text("This is a test using a larger than block-size "
                               "key and a larger than block-size data. The key "
                               "needs to be hashed before being used by the "
                               "HMAC algorithm.")),
        "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2");
}

TEST(hash_hmac_sha256_takes_an_empty_key_and_nothing)
{
    CHECK_TEXT(
        hmac_hex((struct bytes){0}, (struct bytes){0}),
        "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

TEST(hash_of_a_missing_file_leaves_the_sum_alone)
{
    char hex[HASH_HEX_LEN + 1] = "untouched";
    struct err err = {0};

    CHECK_ERR(hash_file("no/such/file", hex, &err), ERR_IO);
    CHECK_HAS(err.text, "no/such/file");
    CHECK_TEXT(hex, "untouched");
    CHECK_ERR(hash_file(test_dir(), hex, &err), ERR_IO);
}

/* The examples of RFC 3720, B.4, and of the catalogue of CRCs. */
TEST(hash_crc32c_gives_the_published_sums)
{
    uint8_t bytes[32] = {0};
    int i;

    CHECK_INT(hash_crc32c(0, "123456789", 9), 0xe3069283);
    CHECK_INT(hash_crc32c(0, bytes, 32), 0x8a9136aa);
    memset(bytes, 0xff, 32);
    CHECK_INT(hash_crc32c(0, bytes, 32), 0x62a8ab43);
    for (i = 0; i < 32; i++)
        bytes[i] = (uint8_t)i;
    CHECK_INT(hash_crc32c(0, bytes, 32), 0x46dd794e);
    CHECK_INT(hash_crc32c(0, NULL, 0), 0);
}

TEST(hash_crc32c_goes_on_from_any_place_and_alignment)
{
    const char *text = "the quick brown fox jumps over the lazy dog";
    size_t len = strlen(text), i;
    uint32_t whole = hash_crc32c(0, text, len);

    for (i = 0; i <= len; i++)
        CHECK_INT(hash_crc32c(hash_crc32c(0, text, i), text + i, len - i),
                  whole);
}

/* --- CRC-32C of the processor --------------------------------------------- */

static void check_same(const struct hash_crc *crc)
{
    static uint8_t bytes[300];
    size_t i, len;

    if (crc == NULL || !crc->is_usable())
        SKIP("this processor has no instruction for CRC-32C");
    for (i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * i * 7 + i / 3);
    for (i = 0; i < 17; i++)
        for (len = 0; len < sizeof bytes - i; len++)
            CHECK_INT(
                crc->run((uint32_t)len * 0x9e3779b9u, bytes + i, len),
                hash_crc_plain((uint32_t)len * 0x9e3779b9u, bytes + i, len));
}

TEST(hash_crc32c_of_the_processor_is_the_plain_one)
{
    check_same(&hash_crc_x86 != NULL ? &hash_crc_x86 : &hash_crc_arm);
}
