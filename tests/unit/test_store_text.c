/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_text.h"

#include <math.h>
#include <string.h>

#include "test.h"

static void check_text(const char *text, int chars, const char *want)
{
    struct arena *arena = arena_new(1 << 16);
    struct store_value value;
    struct err err = {0};

    CHECK_OK(store_text_value(text, chars, arena, &value, &err), err);
    CHECK_INT(value.kind, VALUE_TEXT);
    CHECK_INT(value.len, strlen(want));
    CHECK_INT(memcmp(value.data, want, value.len), 0);
    arena_free(arena);
}

TEST(store_text_is_cut_at_a_character)
{
    check_text("ação", 0, "ação");
    check_text("ação", 4, "ação");
    check_text("ação", 3, "açã");
    check_text("🐈🐈", 1, "🐈");
    check_text("", 5, "");
}

TEST(store_text_replaces_bytes_that_are_no_text)
{
    check_text("a\xff"
               "b",
               0, "a?b");
    check_text("\xc3", 0, "?");
    check_text("\xc0\x80", 0, "??");
    check_text("\xed\xa0\x80", 0, "???");
    check_text("\xf4\x90\x80\x80", 0, "????");
    check_text("\xf0\x9f\x90", 0, "???");
    check_text("\xff\xff\xff", 2, "??");
}

TEST(torture_store_text_says_that_memory_ran_out)
{
    struct arena *arena = arena_new(1 << 16);
    struct store_value value;
    struct err err = {0};

    mem_fail_at(1);
    CHECK_ERR(store_text_value("\xff", 0, arena, &value, &err),
              ERR_UNAVAILABLE);
    mem_fail_at(0);
    arena_free(arena);
}

static void check_time(int64_t unix_ms, const char *want)
{
    struct arena *arena = arena_new(1 << 16);
    struct store_value value;
    struct store_field field;
    struct err err = {0};

    CHECK_OK(store_time_value(unix_ms, arena, &value, &err), err);
    CHECK_TEXT(value.data, want);
    field = (struct store_field){value.data, value.len};
    CHECK_INT(store_field_time(&field), unix_ms);
    arena_free(arena);
}

TEST(store_times_are_utc_and_come_back)
{
    check_time(0, "1970-01-01 00:00:00.000");
    check_time(-1, "1969-12-31 23:59:59.999");
    check_time(-1000, "1969-12-31 23:59:59.000");
    check_time(1763726400123, "2025-11-21 12:00:00.123");
    check_time(1709164799999, "2024-02-28 23:59:59.999");
}

TEST(store_times_of_other_programs_are_understood)
{
    static const struct {
        const char *text;
        int64_t unix_ms;
    } times[] = {
        {"2025-11-21T12:00:00", 1763726400000},
        {"2025-11-21 12:00:00.123456+00", 1763726400123},
        {"2025-11-21", 1763683200000},
        {"ontem", 0},
        {"", 0},
    };
    size_t i;

    for (i = 0; i < sizeof times / sizeof times[0]; i++) {
        const struct store_field field = {times[i].text, strlen(times[i].text)};

        CHECK_INT(store_field_time(&field), times[i].unix_ms);
    }
}

TEST(store_times_out_of_bounds_are_refused)
{
    struct arena *arena = arena_new(1 << 16);
    struct store_value value;
    struct err err = {0};

    CHECK_ERR(store_time_value(INT64_MAX, arena, &value, &err), ERR_INVALID);
    CHECK_ERR(store_time_value(INT64_MIN, arena, &value, &err), ERR_INVALID);
    arena_free(arena);
}

TEST(store_decimals_are_rounded_and_kept_within_bounds)
{
    CHECK_NEAR(store_decimal_value(0.92345678, 4, 0, 1).real, 0.9235, 1e-12);
    CHECK_NEAR(store_decimal_value(1.7, 4, 0, 1).real, 1, 0);
    CHECK_NEAR(store_decimal_value(-INFINITY, 4, 0, 1).real, 0, 0);
    CHECK_INT(store_decimal_value(NAN, 4, 0, 1).kind, VALUE_NULL);
}

TEST(store_fields_that_are_no_numbers_are_left)
{
    const struct store_field text = {"12x", 3}, null = {0}, number = {"12", 2};

    CHECK_INT(store_field_integer(&text, 7), 7);
    CHECK_INT(store_field_integer(&null, 7), 7);
    CHECK_INT(store_field_integer(&number, 7), 12);
    CHECK_NEAR(store_field_number(&text, 7), 7, 0);
    CHECK_NEAR(store_field_number(&number, 7), 12, 0);
}

TEST(store_field_text_is_cut_at_a_character)
{
    const struct store_field field = {"açã", 5}, null = {0};
    char out[4];

    store_field_text(&field, out, sizeof out);
    CHECK_TEXT(out, "aç");
    store_field_text(&null, out, sizeof out);
    CHECK_TEXT(out, "");
}
