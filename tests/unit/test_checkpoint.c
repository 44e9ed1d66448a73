/* SPDX-License-Identifier: Apache-2.0 */
#include "vecs_fixture.h"

#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "vectors/checkpoint.h"
#include "vectors/checkpoint_format.h"

enum { FILE_MAX = 1 << 20 };

static uint8_t good[FILE_MAX], bad[FILE_MAX], pattern[FILE_MAX];

static const struct sample {
    const char *name;
    size_t len;
} samples[] = {
    {"NONE", 0},
    {"ONE_", 1},
    {"PAGE", CHECKPOINT_ALIGNMENT},
    {"MORE", CHECKPOINT_ALIGNMENT + 1},
    {"PIEC", CHECKPOINT_PIECE_LEN},
    {"LONG", 2 * CHECKPOINT_PIECE_LEN + 5000},
};

enum { SAMPLES = sizeof samples / sizeof *samples };

static void fill_pattern(uint8_t first)
{
    uint32_t state = 2463534242u + first;
    size_t i;

    for (i = 0; i < sizeof pattern; i++) {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        pattern[i] = (uint8_t)(state >> 8);
    }
}

/* Writes the samples `step` bytes at a time. */
static int write_samples(const char *path, size_t step, struct err *err)
{
    struct checkpoint_writer *writer = NULL;
    size_t i, at;
    int rc = checkpoint_begin(path, &writer, err);

    if (rc)
        return rc;
    for (i = 0; i < SAMPLES; i++) {
        checkpoint_start(writer, samples[i].name);
        for (at = 0; at < samples[i].len; at += step)
            checkpoint_put(writer, pattern + i + at,
                           samples[i].len - at < step ? samples[i].len - at
                                                      : step);
    }
    return checkpoint_commit(writer, err);
}

static const char *make_file(void)
{
    const char *path = vecs_file("c");
    struct err err = {0};

    fill_pattern(0);
    CHECK_OK(write_samples(path, 1000, &err), err);
    return path;
}

static void check_samples(const char *path)
{
    struct checkpoint *checkpoint = NULL;
    struct err err = {0};
    size_t i;

    CHECK_OK(checkpoint_open(path, &checkpoint, &err), err);
    for (i = 0; i < SAMPLES; i++) {
        void *bytes = NULL;
        int64_t len = -1;

        CHECK(checkpoint_has(checkpoint, samples[i].name));
        CHECK_OK(checkpoint_section(checkpoint, samples[i].name, 0, 0, &bytes,
                                    &len, &err),
                 err);
        CHECK_INT(len, samples[i].len);
        CHECK_INT((uintptr_t)bytes % CHECKPOINT_ALIGNMENT, 0);
        CHECK(memcmp(bytes, pattern + i, samples[i].len) == 0);
    }
    checkpoint_close(checkpoint);
}

static void check_refused(const char *path, enum err_code code,
                          const char *part)
{
    struct checkpoint *checkpoint = NULL;
    struct err err = {0};

    CHECK_ERR(checkpoint_open(path, &checkpoint, &err), code);
    CHECK_HAS(err.text, part);
    CHECK(checkpoint == NULL);
}

/* --- there and back -------------------------------------------------------
 */

TEST(checkpoint_gives_back_what_was_put_into_it)
{
    const size_t steps[] = {1, 7, 4096, 65536, 70000, 1 << 20};
    const char *path = vecs_file("c");
    struct err err = {0};
    size_t i;

    for (i = 0; i < sizeof steps / sizeof *steps; i++) {
        fill_pattern((uint8_t)i);
        CHECK_OK(write_samples(path, steps[i], &err), err);
        check_samples(path);
    }
}

TEST(checkpoint_without_sections_is_fine)
{
    const char *path = vecs_file("c");
    struct checkpoint_writer *writer = NULL;
    struct checkpoint *checkpoint = NULL;
    struct err err = {0};

    CHECK_OK(checkpoint_begin(path, &writer, &err), err);
    CHECK_OK(checkpoint_commit(writer, &err), err);
    CHECK_OK(checkpoint_open(path, &checkpoint, &err), err);
    CHECK(!checkpoint_has(checkpoint, "ROWS"));
    CHECK_INT(checkpoint_len(checkpoint),
              CHECKPOINT_HEADER_LEN + CHECKPOINT_FOOTER_LEN);
    checkpoint_close(checkpoint);
}

TEST(checkpoint_names_a_section_that_is_missing_or_of_another_length)
{
    struct checkpoint *checkpoint = NULL;
    struct err err = {0};
    void *bytes = NULL;
    int64_t len = -1;

    CHECK_OK(checkpoint_open(make_file(), &checkpoint, &err), err);
    CHECK_ERR(checkpoint_section(checkpoint, "ROWS", 0, 0, &bytes, &len, &err),
              ERR_CORRUPT);
    CHECK_HAS(err.text, "no section ROWS");
    CHECK_ERR(
        checkpoint_section(checkpoint, "PAGE", 1024, 5, &bytes, &len, &err),
        ERR_CORRUPT);
    CHECK_HAS(err.text, "section PAGE has 4096 bytes; not 1024 times 5");
    CHECK_ERR(checkpoint_section(checkpoint, "PAGE", INT64_MAX, 1024, &bytes,
                                 &len, &err),
              ERR_CORRUPT);
    CHECK_ERR(
        checkpoint_section(checkpoint, "PAGE", -1, 4096, &bytes, &len, &err),
        ERR_CORRUPT);
    CHECK(bytes == NULL && len == -1);
    CHECK_OK(
        checkpoint_section(checkpoint, "PAGE", 1024, 4, &bytes, NULL, &err),
        err);
    checkpoint_close(checkpoint);
}

TEST(checkpoint_keeps_what_is_written_into_a_section_to_itself)
{
    const char *path = make_file();
    struct checkpoint *checkpoint = NULL;
    struct err err = {0};
    void *bytes = NULL;

    CHECK_OK(checkpoint_open(path, &checkpoint, &err), err);
    CHECK_OK(checkpoint_section(checkpoint, "LONG", 0, 0, &bytes, NULL, &err),
             err);
    memset(bytes, 0, 5000);
    check_samples(path);
    checkpoint_close(checkpoint);
    check_samples(path);
}

TEST(checkpoint_stays_as_it_was_for_who_has_it_when_it_is_replaced)
{
    const char *path = make_file();
    struct checkpoint *checkpoint = NULL;
    struct err err = {0};
    void *bytes = NULL;
    static uint8_t before[5000];

    CHECK_OK(checkpoint_open(path, &checkpoint, &err), err);
    CHECK(checkpoint_is_at(checkpoint, path));
    CHECK_OK(checkpoint_section(checkpoint, "LONG", 0, 0, &bytes, NULL, &err),
             err);
    memcpy(before, pattern + SAMPLES - 1, sizeof before);
    fill_pattern(7);
    CHECK_OK(write_samples(path, 1 << 20, &err), err);
    CHECK(!checkpoint_is_at(checkpoint, path));
    CHECK(memcmp(bytes, before, sizeof before) == 0);
    checkpoint_close(checkpoint);
    check_samples(path);
}

/* --- damage ---------------------------------------------------------------
 */

/* Writes one byte of the file. */
static void poke(FILE *file, size_t at, int byte)
{
    CHECK_INT(fseek(file, (long)at, SEEK_SET), 0);
    CHECK_INT(fputc(byte, file), byte);
    CHECK_INT(fflush(file), 0);
}

TEST(checkpoint_refuses_a_flipped_bit_wherever_it_is)
{
    const char *path = make_file();
    size_t len = vecs_read(path, good, sizeof good), i;
    FILE *file = fopen(path, "r+b");

    CHECK(file != NULL);
    for (i = 0; i < len;
         i += i < CHECKPOINT_HEADER_LEN || i + 400 > len ? 1 : 97) {
        poke(file, i, good[i] ^ 1 << i % 8);
        check_refused(path, ERR_CORRUPT, "byte");
        poke(file, i, good[i]);
    }
    fclose(file);
    check_samples(path);
}

TEST(checkpoint_names_the_section_and_the_byte_of_damage)
{
    const char *path = make_file();
    size_t len = vecs_read(path, good, sizeof good);
    /* Behind the header lie ONE_, PAGE, MORE (2 pages), PIEC, LONG. */
    size_t at = CHECKPOINT_HEADER_LEN + (1 + 1 + 2 + 16) * 4096;

    memcpy(bad, good, len);
    bad[at + CHECKPOINT_PIECE_LEN + 17] ^= 4;
    vecs_write(path, bad, len);
    check_refused(path, ERR_CORRUPT, "section LONG");
    check_refused(path, ERR_CORRUPT, "between bytes 151552 and 217088");
}

TEST(checkpoint_refuses_a_file_cut_anywhere)
{
    const char *path = make_file();
    size_t len = vecs_read(path, good, sizeof good), cut;

    for (cut = 0; cut < len; cut += cut < 8192 ? 61 : 4099) {
        vecs_write(path, good, cut);
        check_refused(path, ERR_CORRUPT, "checkpoint");
    }
    vecs_write(path, good, len - 1);
    check_refused(path, ERR_CORRUPT, "cut");
    memcpy(bad, good, len);
    memset(bad + len, 0, 100);
    vecs_write(path, bad, len + 100);
    check_refused(path, ERR_CORRUPT, "byte");
}

TEST(checkpoint_refuses_pieces_that_changed_places)
{
    const char *path = make_file();
    size_t len = vecs_read(path, good, sizeof good);
    size_t one = CHECKPOINT_HEADER_LEN + 4 * 4096;
    size_t other = one + CHECKPOINT_PIECE_LEN;
    size_t crcs = len - CHECKPOINT_FOOTER_LEN - 7 * sizeof(uint32_t);

    memcpy(bad, good, len);
    memcpy(bad + one, good + other, CHECKPOINT_PIECE_LEN);
    memcpy(bad + other, good + one, CHECKPOINT_PIECE_LEN);
    vecs_write(path, bad, len);
    check_refused(path, ERR_CORRUPT, "section PIEC");
    /* Nor do their checksums help when they change places with them. */
    memcpy(bad + crcs + 3 * 4, good + crcs + 4 * 4, 4);
    memcpy(bad + crcs + 4 * 4, good + crcs + 3 * 4, 4);
    vecs_write(path, bad, len);
    check_refused(path, ERR_CORRUPT, "table");
}

TEST(checkpoint_refuses_a_newer_version_by_its_number)
{
    const char *path = make_file();
    size_t len = vecs_read(path, good, sizeof good);
    struct checkpoint_header header;

    memcpy(&header, good, sizeof header);
    header.version = 7;
    header.crc =
        hash_crc32c(0, &header, offsetof(struct checkpoint_header, crc));
    memcpy(good, &header, sizeof header);
    vecs_write(path, good, len);
    check_refused(path, ERR_UNSUPPORTED, "version 7");
}

TEST(checkpoint_refuses_what_is_not_there_or_no_file)
{
    check_refused(vecs_file("absent"), ERR_NOT_FOUND, "absent");
    check_refused(test_dir(), ERR_INVALID, "is not a file");
    vecs_write(vecs_file("text"), pattern, 100);
    check_refused(vecs_file("text"), ERR_CORRUPT, "100 bytes");
}

TEST(checkpoint_of_many_pieces_names_the_first_that_is_damaged)
{
    const char *path = vecs_file("c");
    struct checkpoint_writer *writer = NULL;
    struct err err = {0};
    size_t i, piece_count = (20 << 20) / CHECKPOINT_PIECE_LEN;
    FILE *file;

    fill_pattern(1);
    CHECK_OK(checkpoint_begin(path, &writer, &err), err);
    checkpoint_start(writer, "MANY");
    for (i = 0; i < piece_count; i++)
        checkpoint_put(writer, pattern + i, CHECKPOINT_PIECE_LEN);
    CHECK_OK(checkpoint_commit(writer, &err), err);
    file = fopen(path, "r+b");
    CHECK(file != NULL);
    for (i = piece_count; i-- > 200; i -= 13) {
        char part[64];
        size_t at = CHECKPOINT_HEADER_LEN + i * CHECKPOINT_PIECE_LEN;

        poke(file, at + 9, ~pattern[i + 9] & 255);
        snprintf(part, sizeof part, "between bytes %zu and", at);
        check_refused(path, ERR_CORRUPT, part);
    }
    fclose(file);
}

/* --- failures -------------------------------------------------------------
 */

static void limit_files(rlim_t len)
{
    struct rlimit limit;

    CHECK_INT(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = len;
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

TEST(checkpoint_leaves_the_old_one_when_the_disk_is_full)
{
    const char *path = make_file();
    const rlim_t rooms[] = {0, 4096, 5000, 20000, 150000, 225280, 225500};
    struct err err = {0};
    size_t i;

    signal(SIGXFSZ, SIG_IGN);
    for (i = 0; i < sizeof rooms / sizeof *rooms; i++) {
        int rc;

        limit_files(rooms[i]);
        rc = write_samples(path, 1000, &err);
        limit_files(RLIM_INFINITY);
        CHECK_ERR(rc, ERR_IO);
        CHECK_HAS(err.text, "cannot write checkpoint");
        check_samples(path);
        CHECK(!file_exists(vecs_file("c.new")));
        path = vecs_file("c");
    }
    signal(SIGXFSZ, SIG_DFL);
}

TEST(checkpoint_writes_over_what_a_killed_writer_left)
{
    struct checkpoint_writer *writer = NULL;
    struct err err = {0};

    fill_pattern(0);
    vecs_write(vecs_file("c.new"), pattern, sizeof pattern);
    CHECK_OK(write_samples(vecs_file("c"), 1000, &err), err);
    check_samples(vecs_file("c"));
    CHECK(!file_exists(vecs_file("c.new")));
    CHECK_OK(checkpoint_begin(vecs_file("c"), &writer, &err), err);
    checkpoint_start(writer, "HALF");
    checkpoint_put(writer, pattern, 100000);
    checkpoint_abandon(writer);
    check_samples(vecs_file("c"));
    CHECK(!file_exists(vecs_file("c.new")));
    checkpoint_abandon(NULL);
}

TEST(checkpoint_takes_no_more_sections_than_it_can_name)
{
    const char *path = vecs_file("c");
    struct checkpoint_writer *writer = NULL;
    struct err err = {0};
    char name[8];
    int i;

    CHECK_OK(checkpoint_begin(path, &writer, &err), err);
    for (i = 0; i <= CHECKPOINT_SECTIONS_MAX; i++) {
        CHECK(!checkpoint_failed(writer));
        snprintf(name, sizeof name, "S%03d", i);
        checkpoint_start(writer, name);
    }
    CHECK(checkpoint_failed(writer));
    CHECK_ERR(checkpoint_commit(writer, &err), ERR_UNAVAILABLE);
    CHECK(!file_exists(path));
}

TEST(checkpoint_torture_fails_cleanly_at_every_allocation)
{
    const char *path = make_file();
    struct err err = {0};
    long tries, nth;

    mem_fail_at(0);
    CHECK_OK(write_samples(path, 1000, &err), err);
    tries = mem_tries();
    CHECK(tries >= 2);
    for (nth = 1; nth <= tries; nth++) {
        int rc;

        mem_fail_at(nth);
        rc = write_samples(path, 1000, &err);
        mem_fail_at(0);
        CHECK_ERR(rc, ERR_UNAVAILABLE);
        check_samples(path);
    }
}
