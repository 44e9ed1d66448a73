/* SPDX-License-Identifier: Apache-2.0 */
/* The test runner: TEST registers a test, CHECK_* print both sides.
 *
 *     TEST(buf_refuses_what_is_over_its_maximum)
 *     {
 *         CHECK_INT(buf.len, 4);
 *     }
 *
 * A failed check ends its test. `olho-test [PART...]` runs those whose name or
 * file has every PART, and none that has what follows the dash of a -PART. */
#ifndef OLHO_TEST_H
#define OLHO_TEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct test {
    const char *name, *file;
    void (*run)(void);
    struct test *next;
};

void test_register(struct test *test);
_Noreturn void test_fail(const char *file, int line, const char *format, ...)
    PRINTF_LIKE(3, 4);
_Noreturn void test_skip(const char *why);

/* A folder of this test's own, removed at its end; the path of a file under
 * tests/data. Both valid until the test ends. */
const char *test_dir(void);
const char *test_data(const char *name);

void test_check_int(const char *file, int line, const char *what, int64_t got,
                    int64_t want);
void test_check_text(const char *file, int line, const char *what,
                     const char *got, const char *want);
void test_check_has(const char *file, int line, const char *what,
                    const char *got, const char *part);
void test_check_near(const char *file, int line, const char *what, double got,
                     double want, double tolerance);

#define TEST(what)                                                   \
    static void test_##what(void);                                   \
    __attribute__((constructor)) static void register_##what(void)   \
    {                                                                \
        static struct test test = {#what, __FILE__, test_##what, 0}; \
        test_register(&test);                                        \
    }                                                                \
    static void test_##what(void)

#define CHECK(claim)                                     \
    do {                                                 \
        if (!(claim))                                    \
            test_fail(__FILE__, __LINE__, "%s", #claim); \
    } while (0)
#define CHECK_INT(got, want) \
    test_check_int(__FILE__, __LINE__, #got, (int64_t)(got), (int64_t)(want))
#define CHECK_TEXT(got, want) \
    test_check_text(__FILE__, __LINE__, #got, got, want)
#define CHECK_HAS(got, part) test_check_has(__FILE__, __LINE__, #got, got, part)
#define CHECK_NEAR(got, want, tolerance) \
    test_check_near(__FILE__, __LINE__, #got, got, want, tolerance)

/* rc must be 0 (else err's text is shown), or must be that error code. */
#define CHECK_OK(rc, err)                                             \
    do {                                                              \
        if ((rc) != 0)                                                \
            test_fail(__FILE__, __LINE__, "%s: %s", #rc, (err).text); \
    } while (0)
#define CHECK_ERR(rc, want)                                                 \
    test_check_text(__FILE__, __LINE__, #rc, err_name((enum err_code)(rc)), \
                    err_name(want))
#define SKIP(why) test_skip(why)

#endif
