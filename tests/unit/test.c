/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <ftw.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct test *first_test;
static jmp_buf after_test;
static int passed_count, failed_count, skipped_count;
static const struct test *current;
static char dir_path[128], data_path[512];

void test_register(struct test *test)
{
    struct test **place = &first_test;

    while (*place != NULL && (strcmp((*place)->file, test->file) < 0 ||
                              (strcmp((*place)->file, test->file) == 0 &&
                               strcmp((*place)->name, test->name) < 0)))
        place = &(*place)->next;
    test->next = *place;
    *place = test;
}

void test_fail(const char *file, int line, const char *format, ...)
{
    va_list args;

    printf("FAIL %s\n  %s:%d: ", current->name, file, line);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
    failed_count++;
    longjmp(after_test, 1);
}

void test_skip(const char *why)
{
    const char *ci = getenv("CI");

    if (ci != NULL && strcmp(ci, "true") == 0)
        test_fail(current->file, 0, "must not be skipped under CI: %s", why);
    printf("skip %s: %s\n", current->name, why);
    skipped_count++;
    longjmp(after_test, 1);
}

const char *test_dir(void)
{
    if (dir_path[0] == '\0') {
        snprintf(dir_path, sizeof dir_path, "/tmp/olho-test-XXXXXX");
        if (mkdtemp(dir_path) == NULL)
            test_fail(__FILE__, __LINE__, "no folder %s", dir_path);
    }
    return dir_path;
}

const char *test_data(const char *name)
{
    const char *root = getenv("OLHO_TEST_DATA");

    snprintf(data_path, sizeof data_path, "%s/%s",
             root != NULL ? root : "tests/data", name);
    return data_path;
}

static int remove_one(const char *path, const struct stat *st, int flag,
                      struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

void test_check_int(const char *file, int line, const char *what, int64_t got,
                    int64_t want)
{
    if (got != want)
        test_fail(file, line, "%s is %lld, not %lld", what, (long long)got,
                  (long long)want);
}

void test_check_text(const char *file, int line, const char *what,
                     const char *got, const char *want)
{
    if (got == NULL || want == NULL ? got != want : strcmp(got, want) != 0)
        test_fail(file, line, "%s is \"%s\", not \"%s\"", what,
                  got != NULL ? got : "(null)", want != NULL ? want : "(null)");
}

void test_check_has(const char *file, int line, const char *what,
                    const char *got, const char *part)
{
    if (got == NULL || strstr(got, part) == NULL)
        test_fail(file, line, "%s is \"%s\", without \"%s\"", what,
                  got != NULL ? got : "(null)", part);
}

void test_check_near(const char *file, int line, const char *what, double got,
                     double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance))
        test_fail(file, line, "%s is %.9g, not %.9g within %g", what, got, want,
                  tolerance);
}

static void run_test(struct test *test)
{
    int failed_before = failed_count, skipped_before = skipped_count;

    current = test;
    fflush(stdout);
    if (setjmp(after_test) == 0)
        test->run();
    if (failed_count == failed_before && skipped_count == skipped_before)
        passed_count++;
    if (dir_path[0] != '\0') {
        nftw(dir_path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
        dir_path[0] = '\0';
    }
}

static bool has_part(const struct test *test, const char *part)
{
    return strstr(test->name, part) != NULL || strstr(test->file, part) != NULL;
}

static bool is_wanted(const struct test *test, char **parts)
{
    for (; *parts != NULL; parts++)
        if (**parts == '-' ? has_part(test, *parts + 1)
                           : !has_part(test, *parts))
            return false;
    return true;
}

int main(int argc, char **argv)
{
    struct test *test;

    for (test = first_test; test != NULL; test = test->next)
        if (is_wanted(test, argv + (argc > 0)))
            run_test(test);
    printf("unit: %d passed, %d failed, %d skipped\n", passed_count,
           failed_count, skipped_count);
    if (passed_count + failed_count + skipped_count == 0) {
        printf("no test has what was asked for in its name\n");
        return 2;
    }
    /* A leak that a sanitizer finds at exit ends the process unflushed. */
    fflush(stdout);
    return failed_count > 0;
}
