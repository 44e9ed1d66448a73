/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/option.h"

struct settings {
    int64_t port;
    double ratio;
    bool is_exact;
    char *name;
    char *key;
    int64_t mode;
};

enum { PORT, RATIO, EXACT, NAME, KEY, MODE, COUNT };

#define FIELD(field) offsetof(struct settings, field)

/* clang-format off */
static const struct option table[COUNT] = {
    {"OLHO_TEST_PORT", "port", OPTION_INTEGER, FIELD(port), "80", 0, 65535, NULL, false, false, "A port."},
    {"OLHO_TEST_RATIO", "ratio", OPTION_REAL, FIELD(ratio), "0.5", 0, 1, NULL, false, false, "A ratio."},
    {"OLHO_TEST_EXACT", "exact", OPTION_BOOL, FIELD(is_exact), "no", 0, 0, NULL, false, false, "A bool."},
    {"OLHO_TEST_NAME", "name", OPTION_TEXT, FIELD(name), "eye", 0, 12, NULL, false, false, "A name."},
    {"OLHO_TEST_KEY", "key", OPTION_TEXT, FIELD(key), "", 0, 100, NULL, false, true, "A key."},
    {"OLHO_TEST_MODE", "mode", OPTION_CHOICE, FIELD(mode), "warn", 0, 0, "reject|warn|off", false, false, "A mode."},
};
/* clang-format on */

static struct settings settings;
static struct err err;

static void start(void)
{
    option_preset(table, COUNT, &settings);
    err = (struct err){0};
}

static void finish(void)
{
    option_release(table, COUNT, &settings);
}

TEST(option_presets_fill_every_field)
{
    start();
    start();
    CHECK_INT(settings.port, 80);
    CHECK_NEAR(settings.ratio, 0.5, 0);
    CHECK(!settings.is_exact);
    CHECK_TEXT(settings.name, "eye");
    CHECK_TEXT(settings.key, "");
    CHECK_INT(settings.mode, 1);
    finish();
    CHECK(settings.name == NULL);
    finish();
}

TEST(option_is_found_by_variable_or_flag)
{
    CHECK(option_find(table, COUNT, "OLHO_TEST_RATIO") == &table[RATIO]);
    CHECK(option_find(table, COUNT, "mode") == &table[MODE]);
    CHECK(option_find(table, COUNT, "Mode") == NULL);
    CHECK(option_find(table, COUNT, "") == NULL);
}

TEST(option_set_takes_values_at_their_bounds)
{
    start();
    CHECK_OK(option_set(&table[PORT], &settings, "65535", &err), err);
    CHECK_INT(settings.port, 65535);
    CHECK_OK(option_set(&table[PORT], &settings, "0", &err), err);
    CHECK_INT(settings.port, 0);
    CHECK_OK(option_set(&table[RATIO], &settings, "1", &err), err);
    CHECK_OK(option_set(&table[RATIO], &settings, "2.5e-1", &err), err);
    CHECK_NEAR(settings.ratio, 0.25, 0);
    CHECK_OK(option_set(&table[NAME], &settings, "twelve bytes", &err), err);
    CHECK_TEXT(settings.name, "twelve bytes");
    finish();
}

static void refuse(int row, const char *text, const char *sentence)
{
    err = (struct err){0};
    CHECK_ERR(option_set(&table[row], &settings, text, &err), ERR_INVALID);
    CHECK_TEXT(err.text, sentence);
}

TEST(option_set_names_option_text_and_bounds)
{
    start();
    refuse(PORT, "65536",
           "OLHO_TEST_PORT is '65536'; it must be a whole number from 0 to "
           "65535");
    refuse(RATIO, "1.01",
           "OLHO_TEST_RATIO is '1.01'; it must be a number from 0 to 1");
    refuse(EXACT, "maybe",
           "OLHO_TEST_EXACT is 'maybe'; it must be true or false");
    refuse(NAME, "thirteen byte",
           "OLHO_TEST_NAME is 'thirteen byte'; it must be a text of 0 to 12 "
           "bytes, and has 13");
    refuse(MODE, "war",
           "OLHO_TEST_MODE is 'war'; it must be one of reject|warn|off");
    CHECK_INT(settings.port, 80);
    CHECK_NEAR(settings.ratio, 0.5, 0);
    CHECK_TEXT(settings.name, "eye");
    CHECK_INT(settings.mode, 1);
    finish();
}

TEST(option_set_refuses_what_is_no_number)
{
    static const char *const texts[] = {
        "", " 1", "1 ", "0x10", "nan", "inf", "1e999", "1,5", "-", "--1", "+"};
    size_t i;

    start();
    for (i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        CHECK_ERR(option_set(&table[PORT], &settings, texts[i], &err),
                  ERR_INVALID);
        CHECK_ERR(option_set(&table[RATIO], &settings, texts[i], &err),
                  ERR_INVALID);
    }
    CHECK_ERR(option_set(&table[PORT], &settings, "1.5", &err), ERR_INVALID);
    CHECK_ERR(option_set(&table[PORT], &settings, "99999999999999999999", &err),
              ERR_INVALID);
    CHECK_ERR(option_set(&table[PORT], &settings, "-1", &err), ERR_INVALID);
    CHECK_INT(settings.port, 80);
    CHECK_NEAR(settings.ratio, 0.5, 0);
    finish();
}

TEST(option_bools_and_choices_ignore_case)
{
    static const char *const on[] = {"1", "true", "YES", "On"};
    static const char *const off[] = {"0", "False", "no", "OFF"};
    size_t i;

    start();
    for (i = 0; i < 4; i++) {
        CHECK_OK(option_set(&table[EXACT], &settings, on[i], &err), err);
        CHECK(settings.is_exact);
        CHECK_OK(option_set(&table[EXACT], &settings, off[i], &err), err);
        CHECK(!settings.is_exact);
    }
    CHECK_OK(option_set(&table[MODE], &settings, "OFF", &err), err);
    CHECK_INT(settings.mode, 2);
    CHECK_OK(option_set(&table[MODE], &settings, "reject", &err), err);
    CHECK_INT(settings.mode, 0);
    finish();
}

TEST(option_never_shows_a_secret)
{
    char text[150];
    struct buf out;

    start();
    buf_init(&out, 100);
    option_print(&table[KEY], &settings, &out);
    CHECK_INT(out.len, 0);
    CHECK_OK(option_set(&table[KEY], &settings, "hunter2", &err), err);
    option_print(&table[KEY], &settings, &out);
    CHECK_TEXT(out.data, "***");
    memset(text, 'k', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    refuse(KEY, text,
           "OLHO_TEST_KEY must be a text of 0 to 100 bytes, and has 149");
    buf_release(&out);
    finish();
}

TEST(option_prints_each_type_so_that_it_reads_back)
{
    static const char *const texts[COUNT] = {"443",  "0.125", "true",
                                             "olho", "",      "off"};
    struct buf out;
    size_t i;

    start();
    buf_init(&out, 100);
    for (i = 0; i < COUNT; i++) {
        CHECK_OK(option_set(&table[i], &settings, texts[i], &err), err);
        buf_clear(&out);
        option_print(&table[i], &settings, &out);
        CHECK_TEXT(out.len == 0 ? "" : out.data, texts[i]);
    }
    buf_release(&out);
    finish();
}

static int read_dotenv(const char *text, enum option_source *sources)
{
    err = (struct err){0};
    return option_read_dotenv(table, COUNT, &settings, bytes_of_text(text),
                              sources, &err);
}

TEST(option_dotenv_reads_the_usual_forms)
{
    enum option_source sources[COUNT] = {0};

    start();
    CHECK_OK(read_dotenv("\xef\xbb\xbf# settings\r\n"
                         "\r\n"
                         "export OLHO_TEST_PORT=8080   # the port\r\n"
                         "  OLHO_TEST_RATIO = 0.75\n"
                         "OLHO_TEST_NAME='a #b \\n'  # kept as it is\n"
                         "OLHO_TEST_KEY=\"two\\nlines \\\"q\\\" \\x\"\n"
                         "SOMETHING_ELSE=whatever\n"
                         "bare\n"
                         "OLHO_TEST_MODE=off",
                         sources),
             err);
    CHECK_INT(settings.port, 8080);
    CHECK_NEAR(settings.ratio, 0.75, 0);
    CHECK_TEXT(settings.name, "a #b \\n");
    CHECK_TEXT(settings.key, "two\nlines \"q\" \\x");
    CHECK_INT(settings.mode, 2);
    CHECK_INT(sources[PORT], OPTION_FROM_DOTENV);
    CHECK_INT(sources[EXACT], OPTION_FROM_PRESET);
    finish();
}

TEST(option_dotenv_keeps_a_hash_inside_a_word)
{
    start();
    CHECK_OK(read_dotenv("OLHO_TEST_NAME=a#b #c\n", NULL), err);
    CHECK_TEXT(settings.name, "a#b");
    CHECK_OK(read_dotenv("OLHO_TEST_NAME= # nothing\n", NULL), err);
    CHECK_TEXT(settings.name, "");
    CHECK_OK(read_dotenv("OLHO_TEST_NAME=  two words  \t\r\n", NULL), err);
    CHECK_TEXT(settings.name, "two words");
    CHECK_OK(read_dotenv("OLHO_TEST_NAME=a=b", NULL), err);
    CHECK_TEXT(settings.name, "a=b");
    finish();
}

TEST(option_dotenv_lets_the_last_line_win_and_quotes_span_lines)
{
    start();
    CHECK_OK(read_dotenv("OLHO_TEST_PORT=1\nOLHO_TEST_PORT=2\n"
                         "OLHO_TEST_KEY='a\nb'\nOLHO_TEST_RATIO=1\n",
                         NULL),
             err);
    CHECK_INT(settings.port, 2);
    CHECK_TEXT(settings.key, "a\nb");
    CHECK_NEAR(settings.ratio, 1, 0);
    finish();
}

TEST(option_dotenv_takes_an_empty_number_as_not_set)
{
    start();
    CHECK_OK(read_dotenv("OLHO_TEST_PORT=\nOLHO_TEST_NAME=\n"
                         "OLHO_TEST_EXACT=''\n",
                         NULL),
             err);
    CHECK_INT(settings.port, 80);
    CHECK_TEXT(settings.name, "");
    finish();
}

static void refuse_dotenv(const char *text, const char *part)
{
    CHECK_ERR(read_dotenv(text, NULL), ERR_INVALID);
    CHECK_HAS(err.text, part);
}

TEST(option_dotenv_says_which_line_is_wrong)
{
    start();
    refuse_dotenv("A=1\n\nOLHO_TEST_PORT=x\n", "line 3: OLHO_TEST_PORT is 'x'");
    refuse_dotenv("A='1\n2'\nOLHO_TEST_PORT 5\n",
                  "line 3: no '=' after OLHO_TEST_PORT");
    refuse_dotenv("A=1\nB=\"never closed\nC=2\n", "line 2: a quote");
    refuse_dotenv("A='x' y\n", "line 1: text after the closing quote");
    refuse_dotenv("=5\n", "line 1: not NAME=value");
    refuse_dotenv("\n9A=5\n", "line 2: not NAME=value");
    err = (struct err){0};
    CHECK_ERR(option_read_dotenv(table, COUNT, &settings,
                                 (struct bytes){(const uint8_t *)"A\0", 2},
                                 NULL, &err),
              ERR_INVALID);
    CHECK_INT(settings.port, 80);
    finish();
}

TEST(option_environment_overrides_and_notes_where_from)
{
    enum option_source sources[COUNT] = {0};

    start();
    setenv("OLHO_TEST_PORT", "99", 1);
    setenv("OLHO_TEST_RATIO", "", 1);
    setenv("OLHO_TEST_NAME", "", 1);
    CHECK_OK(option_read_environment(table, COUNT, &settings, sources, &err),
             err);
    CHECK_INT(settings.port, 99);
    CHECK_NEAR(settings.ratio, 0.5, 0);
    CHECK_TEXT(settings.name, "");
    CHECK_INT(sources[PORT], OPTION_FROM_ENVIRONMENT);
    CHECK_INT(sources[RATIO], OPTION_FROM_PRESET);
    setenv("OLHO_TEST_PORT", "many", 1);
    CHECK_ERR(option_read_environment(table, COUNT, &settings, NULL, &err),
              ERR_INVALID);
    CHECK_HAS(err.text, "OLHO_TEST_PORT is 'many'");
    CHECK_INT(settings.port, 99);
    unsetenv("OLHO_TEST_PORT");
    unsetenv("OLHO_TEST_RATIO");
    unsetenv("OLHO_TEST_NAME");
    finish();
}
