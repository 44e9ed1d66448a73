/* SPDX-License-Identifier: Apache-2.0 */
/* ARMv8 has the polynomial of CRC-32C built in, where the kernel says so (from
 * ARMv8.1 on always). */
#include "base/hash_crc.h"

#include <string.h>
#include <sys/auxv.h>

/* HWCAP_CRC32 of the kernel's interface for aarch64. */
enum { HAS_CRC32 = 1 << 7 };

static bool is_usable(void)
{
    return (getauxval(AT_HWCAP) & HAS_CRC32) != 0;
}

static uint32_t run(uint32_t crc, const void *data, size_t len)
{
    const uint8_t *p = data;
    uint32_t sum = ~crc;
    uint64_t word;

    for (; len >= sizeof word; len -= sizeof word, p += sizeof word) {
        memcpy(&word, p, sizeof word);
        __asm__(".arch_extension crc\n\tcrc32cx %w0, %w0, %x1"
                : "+r"(sum)
                : "r"(word));
    }
    for (; len > 0; len--, p++)
        __asm__(".arch_extension crc\n\tcrc32cb %w0, %w0, %w1"
                : "+r"(sum)
                : "r"((uint32_t)*p));
    return ~sum;
}

const struct hash_crc hash_crc_arm = {is_usable, run};
