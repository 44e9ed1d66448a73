/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <errno.h>
#include <ftw.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Tests run in a child, one after another. After a test that failed, which may
 * have left threads and files behind, or one that ended the child, another
 * child goes on with the next: one broken test costs no other its result. */
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

/* How a test ended, from child to parent. */
enum result { PASSED, FAILED, SKIPPED };

static enum result run_test(struct test *test)
{
    int failed_before = failed_count, skipped_before = skipped_count;

    current = test;
    fflush(stdout);
    if (setjmp(after_test) == 0)
        test->run();
    alarm(0); /* what the test set would end another one */
    if (dir_path[0] != '\0') {
        nftw(dir_path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
        dir_path[0] = '\0';
    }
    if (failed_count > failed_before)
        return FAILED;
    return skipped_count > skipped_before ? SKIPPED : PASSED;
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

static struct test *next_wanted(struct test *test, char **parts)
{
    while (test != NULL && !is_wanted(test, parts))
        test = test->next;
    return test;
}

/* Runs tests until one fails, telling how each ended. Comes back only when all
 * have run, so that a leak is found at exit. */
static void run_until_failure(struct test *test, char **parts, int fd)
{
    unsigned char result;

    for (; test != NULL; test = next_wanted(test->next, parts)) {
        result = run_test(test);
        fflush(stdout);
        if (write(fd, &result, 1) != 1 || result == FAILED)
            _exit(1);
    }
}

/* Counts what the child tells. Gives the test after the last that ended, and
 * whether that one failed. */
static struct test *follow(struct test *test, char **parts, int fd,
                           bool *out_failed)
{
    unsigned char result;
    ssize_t n;

    *out_failed = false;
    while (test != NULL) {
        do
            n = read(fd, &result, 1);
        while (n < 0 && errno == EINTR);
        if (n != 1)
            break;
        passed_count += result == PASSED;
        failed_count += result == FAILED;
        skipped_count += result == SKIPPED;
        *out_failed = result == FAILED;
        test = next_wanted(test->next, parts);
    }
    return test;
}

/* A child that ended without saying why: in the middle of `test`, or, when all
 * had run (NULL), at its exit, where sanitizers report leaks. */
static void blame(const struct test *test, int status)
{
    failed_count++;
    if (WIFSIGNALED(status))
        printf("FAIL %s\n  it was ended by signal %d (%s)\n",
               test != NULL ? test->name : "exit", WTERMSIG(status),
               strsignal(WTERMSIG(status)));
    else
        printf("FAIL %s\n  it ended the process with status %d\n",
               test != NULL ? test->name : "exit", WEXITSTATUS(status));
}

/* Runs tests in a child from `test` on; gives the one to go on with. */
static struct test *run_child(struct test *test, char **parts)
{
    int status, ends[2];
    bool has_failed;
    pid_t child;

    fflush(stdout);
    if (pipe(ends) != 0 || (child = fork()) < 0) {
        perror("olho-test");
        exit(2);
    }
    if (child == 0) {
        close(ends[0]);
        run_until_failure(test, parts, ends[1]);
        exit(0);
    }
    close(ends[1]);
    test = follow(test, parts, ends[0], &has_failed);
    close(ends[0]);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    if (has_failed || (test == NULL && status == 0))
        return test;
    blame(test, status);
    return test != NULL ? next_wanted(test->next, parts) : NULL;
}

int main(int argc, char **argv)
{
    char **parts = argv + (argc > 0);
    struct test *test = next_wanted(first_test, parts);

    while (test != NULL)
        test = run_child(test, parts);
    printf("unit: %d passed, %d failed, %d skipped\n", passed_count,
           failed_count, skipped_count);
    if (passed_count + failed_count + skipped_count == 0) {
        printf("no test has what was asked for in its name\n");
        return 2;
    }
    return failed_count > 0;
}
