/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever a `.env` file holds, each setting stays within its bounds, and
 * what option_print says can be set again. */
#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "base/option.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct settings {
    int64_t port;
    double ratio;
    bool is_exact;
    char *name;
    int64_t mode;
};

enum { COUNT = 5, LEN_MAX = 1 << 16, NAME_LEN_MAX = 20 };

#define FIELD(field) offsetof(struct settings, field)

/* clang-format off */
static const struct option table[COUNT] = {
    {"PORT", "port", OPTION_INTEGER, FIELD(port), "80", 0, 65535, NULL, false, false, "A port."},
    {"RATIO", "ratio", OPTION_REAL, FIELD(ratio), "0.5", -1, 1, NULL, false, false, "A ratio."},
    {"EXACT", "exact", OPTION_BOOL, FIELD(is_exact), "no", 0, 0, NULL, false, false, "A bool."},
    {"NAME", "name", OPTION_TEXT, FIELD(name), "eye", 0, NAME_LEN_MAX, NULL, false, false, "A name."},
    {"MODE", "mode", OPTION_CHOICE, FIELD(mode), "warn", 0, 0, "reject|warn|off", false, false, "A mode."},
};
/* clang-format on */

static void check(const struct settings *settings)
{
    assert(settings->port >= 0 && settings->port <= 65535);
    assert(settings->ratio >= -1 && settings->ratio <= 1);
    assert(settings->name != NULL);
    assert(strlen(settings->name) <= NAME_LEN_MAX);
    assert(settings->mode >= 0 && settings->mode < 3);
}

static void set_again(struct settings *settings)
{
    struct err err = {0};
    struct buf text;
    size_t i;
    int rc;

    for (i = 0; i < COUNT; i++) {
        buf_init(&text, 100);
        option_print(&table[i], settings, &text);
        rc = option_set(&table[i], settings, text.len == 0 ? "" : text.data,
                        &err);
        assert(rc == 0);
        buf_release(&text);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    enum option_source sources[COUNT] = {0};
    struct settings settings = {0};
    struct err err = {0};

    if (len > LEN_MAX)
        return 0;
    option_preset(table, COUNT, &settings);
    if (option_read_dotenv(table, COUNT, &settings, (struct bytes){data, len},
                           sources, &err) != 0)
        assert(err.text[0] != '\0');
    check(&settings);
    set_again(&settings);
    check(&settings);
    option_release(table, COUNT, &settings);
    return 0;
}
