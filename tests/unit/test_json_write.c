/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <fenv.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/json_write.h"
#include "base/mem.h"

static struct buf out;
static struct json_writer json;

static void start(void)
{
    buf_release(&out);
    buf_init(&out, 1 << 20);
    json_writer_init(&json, &out);
}

TEST(json_write_puts_commas_and_colons)
{
    start();
    json_object_begin(&json);
    json_key(&json, "a");
    json_array_begin(&json);
    json_put_integer(&json, -1);
    json_put_bool(&json, true);
    json_put_null(&json);
    json_object_begin(&json);
    json_object_end(&json);
    json_array_begin(&json);
    json_array_end(&json);
    json_array_end(&json);
    json_key(&json, "b");
    json_put_text(&json, "x");
    json_key(&json, "c");
    json_put_raw(&json, "[0]", 3);
    json_object_end(&json);
    CHECK_TEXT(out.data, "{\"a\":[-1,true,null,{},[]],\"b\":\"x\",\"c\":[0]}");
    buf_release(&out);
}

TEST(json_write_escapes_texts)
{
    start();
    json_put_text(&json, "\"\\/\b\f\n\r\t\x01\x1f\x7f caf\xc3\xa9 \xf0\x9f\x99"
                         "\x82");
    CHECK_TEXT(out.data, "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f "
                         "caf\xc3\xa9 \xf0\x9f\x99\x82\"");
    start();
    json_put_text(&json, NULL);
    json_put_text(&json, "");
    CHECK_TEXT(out.data, "null,\"\"");
    buf_release(&out);
}

TEST(json_write_replaces_bytes_that_are_not_utf8)
{
    start();
    json_put_text(&json, "a\xff"
                         "b\xc3");
    CHECK_TEXT(out.data, "\"a\xef\xbf\xbd"
                         "b\xef\xbf\xbd\"");
    start();
    json_put_text(&json, "\xed\xa0\x80");
    CHECK_TEXT(out.data, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
    buf_release(&out);
}

TEST(json_write_puts_any_text_so_that_the_parser_takes_it)
{
    struct json_value *document = NULL;
    struct err err = {0};
    char text[3] = {0};
    int i;

    start();
    json_array_begin(&json);
    for (i = 1; i < 65536; i++) {
        text[0] = (char)(i & 255);
        text[1] = (char)(i >> 8);
        json_put_text(&json, text);
    }
    json_array_end(&json);
    CHECK_OK(buf_check(&out, &err), err);
    CHECK_OK(json_parse(buf_bytes(&out), &document, &err), err);
    CHECK_INT(json_count(document), 65535);
    CHECK_TEXT(json_text(json_at(document, ('a' | '\n' << 8) - 1)), "a\n");
    json_free(document);
    buf_release(&out);
}

static const char *float_text(float value)
{
    static char text[JSON_FLOAT_LEN_MAX + 1];
    size_t len = json_format_float(value, text);

    CHECK(len <= JSON_FLOAT_LEN_MAX);
    text[len] = '\0';
    return text;
}

TEST(json_float_prints_as_people_write_it)
{
    CHECK_TEXT(float_text(0.0f), "0.0");
    CHECK_TEXT(float_text(-0.0f), "-0.0");
    CHECK_TEXT(float_text(1.0f), "1.0");
    CHECK_TEXT(float_text(-1.5f), "-1.5");
    CHECK_TEXT(float_text(0.1f), "0.1");
    CHECK_TEXT(float_text(0.3f), "0.3");
    CHECK_TEXT(float_text(1.0f / 3), "0.33333334");
    CHECK_TEXT(float_text(100.0f), "100.0");
    CHECK_TEXT(float_text(16777216.0f), "16777216.0");
    CHECK_TEXT(float_text(123456790.0f), "123456790.0");
    CHECK_TEXT(float_text(1e9f), "1e9");
    CHECK_TEXT(float_text(1e-5f), "0.00001");
    CHECK_TEXT(float_text(-1.2345679e-5f), "-0.000012345679");
    CHECK_TEXT(float_text(9.9e-6f), "9.9e-6");
    CHECK_TEXT(float_text(FLT_MAX), "3.4028235e38");
    CHECK_TEXT(float_text(FLT_MIN), "1.1754944e-38");
    CHECK_TEXT(float_text(-1.2345679e-38f), "-1.2345679e-38");
    CHECK_TEXT(float_text(1e-45f), "1e-45");
    CHECK_TEXT(float_text(9.5367431640625e-7f), "9.536743e-7");
}

static float float_of(uint32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

static bool reads_back(const char *text, float value)
{
    float read = strtof(text, NULL);

    return memcmp(&read, &value, sizeof read) == 0;
}

/* The shortest of the texts that printf gives and that read back. Just above a
 * power of two a text of the same length that is not the nearest may do. */
static int fewest_digits(float value)
{
    char text[40];
    int digits;

    for (digits = 1; digits < 9; digits++) {
        snprintf(text, sizeof text, "%.*e", digits - 1, (double)value);
        if (reads_back(text, value))
            break;
    }
    return digits;
}

static int digits_in(const char *text)
{
    char digits[JSON_FLOAT_LEN_MAX + 1];
    int len = 0, first = 0;

    for (; *text != '\0' && *text != 'e'; text++)
        if (*text >= '0' && *text <= '9')
            digits[len++] = *text;
    while (first < len && digits[first] == '0')
        first++;
    while (len > first && digits[len - 1] == '0')
        len--;
    return len - first;
}

/* A stride that is prime meets every exponent with ever other fractions. */
TEST(json_float_reads_back_to_the_same_bits)
{
    uint64_t bits;

    for (bits = 0; bits < (uint64_t)1 << 32; bits += 3989) {
        float value = float_of((uint32_t)bits);

        if (!isfinite(value))
            continue;
        if (!reads_back(float_text(value), value))
            test_fail(__FILE__, __LINE__, "%08x prints as %s", (unsigned)bits,
                      float_text(value));
    }
}

TEST(json_float_has_no_digit_too_many)
{
    uint64_t bits;
    uint32_t exponent, near;

    /* The network's library leaves its thread taking denormal floats as 0. */
    fesetenv(FE_DFL_ENV);
    for (bits = 1; bits < (uint64_t)255 << 23; bits += 99991)
        CHECK_INT(digits_in(float_text(float_of((uint32_t)bits))),
                  fewest_digits(float_of((uint32_t)bits)));
    for (exponent = 1; exponent < 255; exponent++) {
        for (near = 0; near < 3; near++) {
            float value = float_of((exponent << 23) + near - 1);

            CHECK(reads_back(float_text(value), value));
            CHECK(digits_in(float_text(value)) <= fewest_digits(value));
        }
    }
}

TEST(json_put_floats_writes_a_list_and_null_for_what_json_lacks)
{
    const float values[] = {1.5f, -0.25f, NAN, INFINITY, 3e-20f};

    start();
    json_object_begin(&json);
    json_key(&json, "v");
    json_put_floats(&json, values, 5);
    json_key(&json, "none");
    json_put_floats(&json, values, 0);
    json_object_end(&json);
    CHECK_TEXT(out.data, "{\"v\":[1.5,-0.25,null,null,3e-20],\"none\":[]}");
    start();
    json_put_float(&json, NAN);
    json_put_float(&json, 2.5f);
    CHECK_TEXT(out.data, "null,2.5");
    buf_release(&out);
}

TEST(json_put_floats_fills_a_buffer_to_its_last_byte)
{
    const float values[] = {1, 2, 3};
    struct err err = {0};

    start();
    out.len_max = 13;
    json_put_floats(&json, values, 3);
    CHECK_OK(buf_check(&out, &err), err);
    CHECK_TEXT(out.data, "[1.0,2.0,3.0]");
    start();
    out.len_max = 12;
    json_put_floats(&json, values, 3);
    CHECK_ERR(buf_check(&out, &err), ERR_TOO_LARGE);
    buf_release(&out);
}

TEST(json_put_floats_ends_its_text_with_nul)
{
    float values[100];
    size_t i;

    for (i = 0; i < 100; i++)
        values[i] = 1.0f / (float)(i + 3);
    start();
    json_put_floats(&json, values, 100);
    CHECK_INT(strlen(out.data), out.len);
    buf_release(&out);
}

TEST(json_double_reads_back_and_is_no_longer_than_needed)
{
    const double values[] = {0,     -0.0,      0.1,         1.0 / 3,
                             1e300, 5e-324,    DBL_MAX,     123456789.125,
                             1e15,  0.1 + 0.2, 2.0 / 3e-10, -1e-7};
    size_t i;

    for (i = 0; i < sizeof values / sizeof values[0]; i++) {
        start();
        json_put_double(&json, values[i]);
        CHECK(strtod(out.data, NULL) == values[i]);
    }
    start();
    json_put_double(&json, 0.1);
    json_put_double(&json, 3);
    json_put_double(&json, 0.1 + 0.2);
    json_put_double(&json, NAN);
    json_put_double(&json, -INFINITY);
    CHECK_TEXT(out.data, "0.1,3.0,0.30000000000000004,null,null");
    buf_release(&out);
}

TEST(json_fixed_rounds_to_its_decimals)
{
    start();
    json_put_fixed(&json, 1.23456, 2);
    json_put_fixed(&json, -0.5, 0);
    json_put_fixed(&json, 2, 3);
    json_put_fixed(&json, NAN, 3);
    CHECK_TEXT(out.data, "1.23,-0,2.000,null");
    buf_release(&out);
}

TEST(json_integer_prints_the_extremes)
{
    start();
    json_put_integer(&json, INT64_MIN);
    json_put_integer(&json, INT64_MAX);
    CHECK_TEXT(out.data, "-9223372036854775808,9223372036854775807");
    buf_release(&out);
}

TEST(torture_json_write_survives_that_memory_ran_out)
{
    const float values[] = {1, 2};
    struct err err = {0};
    long nth;

    for (nth = 1; nth < 4; nth++) {
        start();
        mem_fail_at(nth);
        json_object_begin(&json);
        json_key(&json, "long enough that the buffer has to grow");
        while (out.len < 600 && !out.is_broken)
            json_put_floats(&json, values, 2);
        json_put_text(&json, "more");
        json_object_end(&json);
        mem_fail_at(0);
        CHECK_ERR(buf_check(&out, &err), ERR_UNAVAILABLE);
    }
    buf_release(&out);
}
