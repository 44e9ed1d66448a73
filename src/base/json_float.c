/* SPDX-License-Identifier: Apache-2.0 */
/* The shortest decimal text of a float32 that reads back to it, and of those
 * the nearest: R. Giulietti, "The Schubfach way to render doubles" (2020), with
 * the constants for 32 bits. A float is c * 2^q. Every decimal strictly
 * between its two neighbours' midpoints reads back to it (the midpoints too
 * when c is even), so the method looks at the multiples of 10^k and 10^(k+1)
 * around it, where 10^k is the largest power of ten not above the width of
 * that interval. All values are scaled by 4 and by 10^-k and kept as integers
 * whose last bit says "and a bit more", which is enough to compare them. */
#include "base/json_write.h"

#include <assert.h>
#include <string.h>

enum { POWER_MIN = -31, POWER_MAX = 45, DIGITS_MAX = 9 };

/* ceil(10^n * 2^(63 - floor(log2(10^n)))) for n of POWER_MIN..POWER_MAX. */
static const uint64_t powers[] = {
    0x81ceb32c4b43fcf5u, 0xa2425ff75e14fc32u, 0xcad2f7f5359a3b3fu,
    0xfd87b5f28300ca0eu, 0x9e74d1b791e07e49u, 0xc612062576589ddbu,
    0xf79687aed3eec552u, 0x9abe14cd44753b53u, 0xc16d9a0095928a28u,
    0xf1c90080baf72cb2u, 0x971da05074da7befu, 0xbce5086492111aebu,
    0xec1e4a7db69561a6u, 0x9392ee8e921d5d08u, 0xb877aa3236a4b44au,
    0xe69594bec44de15cu, 0x901d7cf73ab0acdau, 0xb424dc35095cd810u,
    0xe12e13424bb40e14u, 0x8cbccc096f5088ccu, 0xafebff0bcb24aaffu,
    0xdbe6fecebdedd5bfu, 0x89705f4136b4a598u, 0xabcc77118461cefdu,
    0xd6bf94d5e57a42bdu, 0x8637bd05af6c69b6u, 0xa7c5ac471b478424u,
    0xd1b71758e219652cu, 0x83126e978d4fdf3cu, 0xa3d70a3d70a3d70bu,
    0xcccccccccccccccdu, 0x8000000000000000u, 0xa000000000000000u,
    0xc800000000000000u, 0xfa00000000000000u, 0x9c40000000000000u,
    0xc350000000000000u, 0xf424000000000000u, 0x9896800000000000u,
    0xbebc200000000000u, 0xee6b280000000000u, 0x9502f90000000000u,
    0xba43b74000000000u, 0xe8d4a51000000000u, 0x9184e72a00000000u,
    0xb5e620f480000000u, 0xe35fa931a0000000u, 0x8e1bc9bf04000000u,
    0xb1a2bc2ec5000000u, 0xde0b6b3a76400000u, 0x8ac7230489e80000u,
    0xad78ebc5ac620000u, 0xd8d726b7177a8000u, 0x878678326eac9000u,
    0xa968163f0a57b400u, 0xd3c21bcecceda100u, 0x84595161401484a0u,
    0xa56fa5b99019a5c8u, 0xcecb8f27f4200f3au, 0x813f3978f8940985u,
    0xa18f07d736b90be6u, 0xc9f2c9cd04674edfu, 0xfc6f7c4045812297u,
    0x9dc5ada82b70b59eu, 0xc5371912364ce306u, 0xf684df56c3e01bc7u,
    0x9a130b963a6c115du, 0xc097ce7bc90715b4u, 0xf0bdc21abb48db21u,
    0x96769950b50d88f5u, 0xbc143fa4e250eb32u, 0xeb194f8e1ae525feu,
    0x92efd1b8d0cf37bfu, 0xb7abc627050305aeu, 0xe596b7b0c643c71au,
    0x8f7e32ce7bea5c70u, 0xb35dbf821ae4f38cu,
};

static_assert(sizeof powers / sizeof powers[0] == POWER_MAX - POWER_MIN + 1,
              "a power of ten is missing");

/* floor(log10(2^q)), floor(log10(3/4 * 2^q)) and floor(log2(10^n)) by fixed
 * point; right for all exponents of a float32. */
static int log10_of_power2(int q)
{
    return (q * 1262611) >> 22;
}

static int log10_of_three_quarters(int q)
{
    return (q * 1262611 - 524031) >> 22;
}

static int log2_of_power10(int n)
{
    return (n * 1741647) >> 19;
}

/* The upper part of g * c, its last bit set when something was cut off. */
static uint32_t multiply_to_odd(uint64_t g, uint32_t c)
{
    uint64_t low = (g & 0xffffffffu) * c;
    uint64_t high = (g >> 32) * c + (low >> 32);

    return (uint32_t)(high >> 32) | ((uint32_t)high > 1);
}

/* digits * 10^exponent */
struct decimal {
    uint32_t digits;
    int exponent;
};

/* The shortest and nearest decimal of c * 2^q; is_uneven says that the
 * neighbour below is half as far away as the one above. */
static struct decimal shortest(uint32_t c, int q, bool is_uneven)
{
    uint32_t odd = c & 1;
    int k = is_uneven ? log10_of_three_quarters(q) : log10_of_power2(q);
    int shift = q + log2_of_power10(-k) + 1;
    uint64_t g = powers[-k - POWER_MIN];
    uint32_t value = multiply_to_odd(g, 4 * c << shift);
    uint32_t low = multiply_to_odd(g, (4 * c - 2 + is_uneven) << shift) + odd;
    uint32_t high = multiply_to_odd(g, (4 * c + 2) << shift) - odd;
    uint32_t floor = value / 4, tenth, middle;
    bool is_low_in, is_high_in;

    if (floor >= 10) {
        tenth = floor / 10;
        is_low_in = low <= 40 * tenth;
        is_high_in = 40 * tenth + 40 <= high;
        if (is_low_in != is_high_in)
            return (struct decimal){tenth + is_high_in, k + 1};
    }
    is_low_in = low <= 4 * floor;
    is_high_in = 4 * floor + 4 <= high;
    if (is_low_in != is_high_in)
        return (struct decimal){floor + is_high_in, k};
    middle = 4 * floor + 2;
    if (value > middle || (value == middle && (floor & 1)))
        floor++;
    return (struct decimal){floor, k};
}

static struct decimal decimal_of(uint32_t bits)
{
    uint32_t fraction = bits & 0x7fffff;
    int biased = (int)(bits >> 23 & 0xff);
    struct decimal decimal;
    uint32_t c = fraction | 0x800000;

    if (biased == 0)
        decimal = shortest(fraction, -149, false);
    else if (biased >= 127 && biased < 127 + 24 &&
             (c & ((1u << (150 - biased)) - 1)) == 0)
        decimal = (struct decimal){c >> (150 - biased), 0};
    else
        decimal = shortest(c, biased - 150, fraction == 0 && biased > 1);
    while (decimal.digits % 10 == 0) {
        decimal.digits /= 10;
        decimal.exponent++;
    }
    return decimal;
}

static const char pairs[] =
    "00010203040506070809101112131415161718192021222324"
    "25262728293031323334353637383940414243444546474849"
    "50515253545556575859606162636465666768697071727374"
    "75767778798081828384858687888990919293949596979899";

static int digit_count(uint32_t digits)
{
    static const uint32_t limits[] = {9,     99,     999,     9999,
                                      99999, 999999, 9999999, 99999999};
    int count = 1;

    while (count < DIGITS_MAX && digits > limits[count - 1])
        count++;
    return count;
}

static void put_digits(char *out, uint32_t digits, int count)
{
    for (; count >= 2; count -= 2, digits /= 100)
        memcpy(out + count - 2, pairs + digits % 100 * 2, 2);
    if (count == 1)
        out[0] = (char)('0' + digits);
}

/* "1.2345e-38" */
static char *put_scientific(char *out, uint32_t digits, int count, int exponent)
{
    if (count == 1) {
        *out++ = (char)('0' + digits);
    } else {
        put_digits(out + 1, digits, count);
        out[0] = out[1];
        out[1] = '.';
        out += count + 1;
    }
    *out++ = 'e';
    if (exponent < 0) {
        *out++ = '-';
        exponent = -exponent;
    }
    if (exponent >= 10)
        *out++ = (char)('0' + exponent / 10);
    *out++ = (char)('0' + exponent % 10);
    return out;
}

/* point: where the decimal point stands among the digits, from their left. */
static char *put_plain(char *out, uint32_t digits, int count, int point)
{
    if (point <= 0) {
        memcpy(out, "0.00000", 8);
        put_digits(out + 2 - point, digits, count);
        return out + 2 - point + count;
    }
    if (point >= count) {
        put_digits(out, digits, count);
        memset(out + count, '0', (size_t)(point - count));
        memcpy(out + point, ".0", 2);
        return out + point + 2;
    }
    put_digits(out + 1, digits, count);
    memmove(out, out + 1, (size_t)point);
    out[point] = '.';
    return out + count + 1;
}

size_t json_format_float(float value, char *out)
{
    char *p = out;
    struct decimal decimal;
    uint32_t bits;
    int count, point;

    memcpy(&bits, &value, sizeof bits);
    assert((bits >> 23 & 0xff) != 0xff);
    if (bits >> 31)
        *p++ = '-';
    if ((bits & 0x7fffffff) == 0) {
        memcpy(p, "0.0", 3);
        return (size_t)(p - out) + 3;
    }
    decimal = decimal_of(bits);
    count = digit_count(decimal.digits);
    point = count + decimal.exponent;
    if (point > -5 && point <= 9)
        p = put_plain(p, decimal.digits, count, point);
    else
        p = put_scientific(p, decimal.digits, count, point - 1);
    return (size_t)(p - out);
}
