/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of an index whose file was cut or damaged: an answer is right or
 * an error. */
#include "flat_fixture.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "vectors/flat_record.h"

enum { DIM = 19, ENTRY_COUNT = 6, FILE_MAX = 1 << 16 };

static uint8_t good[FILE_MAX], bad[FILE_MAX];

/* A file of `count` entries, also in good[]; its length. */
static size_t make_file(const char *path, int count)
{
    struct flat *index = fixture_open(path, FLAT_WRITE, DIM, FLAT_L2);
    int i;

    for (i = 0; i < count; i++)
        fixture_add(index, DIM, (uint64_t)i);
    flat_close(index);
    return fixture_read(path, good, sizeof good);
}

/* Where record `number` of good[] begins. */
static size_t record_at(int number)
{
    size_t offset = FLAT_HEADER_LEN;
    struct flat_head head;

    while (number-- > 0) {
        memcpy(&head, good + offset, sizeof head);
        offset += head.len;
    }
    return offset;
}

static int64_t torn_len(struct flat *index)
{
    struct flat_info info;

    flat_info(index, &info);
    return info.torn_len;
}

static void check_open_fails(const char *path, enum flat_mode mode,
                             enum err_code code, const char *part)
{
    struct flat *index = NULL;
    struct err err = {0};

    CHECK_ERR(flat_open(path, mode, DIM, FLAT_L2, NULL, &index, &err), code);
    CHECK_HAS(err.text, part);
    CHECK(index == NULL);
}

/* --- torn tails ------------------------------------------------------- */

static void check_torn(const char *path, size_t start, size_t len)
{
    struct flat *index = NULL;
    int64_t torn = (int64_t)(len - start);

    fixture_write(path, good, len);
    index = fixture_open(path, FLAT_READ, DIM, FLAT_L2);
    CHECK_INT(torn_len(index), torn);
    fixture_check(index, DIM, ENTRY_COUNT - 1);
    CHECK_INT(fixture_count(index), ENTRY_COUNT - 1);
    flat_close(index);
    CHECK_INT(fixture_read(path, bad, sizeof bad), len);
    index = fixture_open(path, FLAT_WRITE, DIM, FLAT_L2);
    CHECK_INT(torn_len(index), torn);
    CHECK_INT(fixture_read(path, bad, sizeof bad), start);
    fixture_add(index, DIM, ENTRY_COUNT - 1);
    flat_close(index);
    index = fixture_open(path, FLAT_READ, DIM, FLAT_L2);
    CHECK_INT(torn_len(index), 0);
    CHECK_INT(fixture_count(index), ENTRY_COUNT);
    flat_close(index);
}

TEST(flat_cuts_a_tail_that_is_torn_at_any_byte_of_the_last_record)
{
    const char *path = fixture_file("x");
    size_t len = make_file(path, ENTRY_COUNT);
    size_t start = record_at(ENTRY_COUNT - 1);
    size_t cut;

    for (cut = start; cut < len; cut++)
        check_torn(path, start, cut);
}

TEST(flat_cuts_a_tail_whose_pages_never_reached_the_disk)
{
    const char *path = fixture_file("x");
    size_t len = make_file(path, ENTRY_COUNT);
    size_t start = record_at(ENTRY_COUNT - 1);
    size_t hole;

    for (hole = start; hole < len; hole += 64) {
        struct flat *index = NULL;

        memcpy(bad, good, len);
        memset(bad + hole, 0, len - hole);
        if (memcmp(bad, good, len) == 0)
            continue;
        fixture_write(path, bad, len);
        index = fixture_open(path, FLAT_WRITE, DIM, FLAT_L2);
        CHECK_INT(torn_len(index), len - start);
        fixture_check(index, DIM, ENTRY_COUNT - 1);
        flat_close(index);
    }
}

TEST(flat_loses_only_unacknowledged_records_of_a_torn_batch)
{
    const char *path = fixture_file("x");
    struct flat *index = NULL;
    struct err err = {0};
    size_t len;
    int i;

    make_file(path, 3);
    index = fixture_open(path, FLAT_WRITE, DIM, FLAT_L2);
    CHECK_OK(flat_begin(index, &err), err);
    for (i = 3; i < 9; i++)
        fixture_add(index, DIM, (uint64_t)i);
    flat_close(index);
    len = fixture_read(path, good, sizeof good);
    /* Of the batch, a page in the middle was lost, what follows was not. */
    memset(good + record_at(5), 0, 64);
    fixture_write(path, good, len);
    index = fixture_open(path, FLAT_WRITE, DIM, FLAT_L2);
    CHECK_INT(fixture_count(index), 5);
    CHECK_INT(torn_len(index), len - record_at(5));
    fixture_check(index, DIM, 5);
    flat_close(index);
}

TEST(flat_takes_damage_in_a_committed_batch_for_damage)
{
    const char *path = fixture_file("x");
    struct flat *index = fixture_open(path, FLAT_WRITE, DIM, FLAT_L2);
    struct err err = {0};
    char part[64];
    size_t len;
    int i;

    CHECK_OK(flat_begin(index, &err), err);
    for (i = 0; i < 6; i++)
        fixture_add(index, DIM, (uint64_t)i);
    CHECK_OK(flat_commit(index, &err), err);
    flat_close(index);
    len = fixture_read(path, good, sizeof good);
    for (i = 0; i < 6; i++) {
        memcpy(bad, good, len);
        bad[record_at(i) + 70] ^= 1;
        fixture_write(path, bad, len);
        snprintf(part, sizeof part, "byte %zu", record_at(i));
        check_open_fails(path, FLAT_WRITE, ERR_CORRUPT, part);
        check_open_fails(path, FLAT_READ, ERR_CORRUPT, part);
        CHECK_INT(fixture_read(path, bad, sizeof bad), len);
    }
}

TEST(flat_reader_leaves_the_tail_of_a_writer_at_work_alone)
{
    const char *path = fixture_file("x");
    size_t len = make_file(path, 3);
    struct flat *reader = NULL;
    struct err err = {0};
    size_t cut;

    fixture_write(path, good, record_at(2));
    reader = fixture_open(path, FLAT_READ, DIM, FLAT_L2);
    for (cut = record_at(2); cut < len; cut += 13) {
        int fd = open(path, O_WRONLY | O_CLOEXEC);

        CHECK(fd >= 0);
        CHECK_INT(pwrite(fd, good, cut, 0), cut);
        close(fd);
        CHECK_OK(flat_refresh(reader, &err), err);
        CHECK_INT(torn_len(reader), cut - record_at(2));
        CHECK_INT(fixture_count(reader), 2);
    }
    fixture_write(path, good, len);
    CHECK_OK(flat_refresh(reader, &err), err);
    CHECK_INT(torn_len(reader), 0);
    fixture_check(reader, DIM, 3);
    flat_close(reader);
}

TEST(flat_makes_a_header_that_was_never_finished_anew)
{
    const char *path = fixture_file("x");
    struct flat *index = NULL;
    size_t cut;

    make_file(path, 0);
    for (cut = 0; cut < FLAT_HEADER_LEN; cut++) {
        fixture_write(path, good, cut);
        check_open_fails(path, FLAT_READ, ERR_NOT_FOUND, "not there yet");
        index = fixture_open(path, FLAT_WRITE, DIM, FLAT_L2);
        fixture_add(index, DIM, 0);
        flat_close(index);
        index = fixture_open(path, FLAT_READ, DIM, FLAT_L2);
        fixture_check(index, DIM, 1);
        flat_close(index);
    }
}

/* --- damage ----------------------------------------------------------- */

/* Whether what opened is right: entries as they were made, up to a cut. */
static void check_whatever_is_open(struct flat *index, int64_t size)
{
    int64_t count = fixture_count(index);
    struct flat_info info;

    flat_info(index, &info);
    CHECK(count <= ENTRY_COUNT);
    CHECK(count == ENTRY_COUNT || info.torn_len > 0);
    CHECK_INT(info.file_len + info.torn_len, size);
    if (count > 0)
        fixture_check(index, DIM, count);
}

TEST(flat_answers_right_or_refuses_after_any_single_bit_flip)
{
    const char *path = fixture_file("x");
    size_t len = make_file(path, ENTRY_COUNT);
    int refused_count = 0, cut_count = 0;
    uint64_t state = 88172645463325252U;
    int i;

    for (i = 0; i < 1000; i++) {
        struct flat *index = NULL;
        struct err err = {0};
        size_t bit;
        int rc;

        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bit = state % (8 * len);
        memcpy(bad, good, len);
        bad[bit / 8] ^= (uint8_t)(1U << bit % 8);
        fixture_write(path, bad, len);
        rc = flat_open(path, i % 2 ? FLAT_READ : FLAT_WRITE, DIM, FLAT_L2,
                       "model-1", &index, &err);
        if (rc == 0) {
            check_whatever_is_open(index, (int64_t)len);
            flat_close(index);
            cut_count++;
            continue;
        }
        CHECK_ERR(rc, ERR_CORRUPT);
        CHECK_HAS(err.text, "byte ");
        refused_count++;
    }
    CHECK(refused_count > 500 && cut_count > 50);
}

TEST(flat_names_the_first_damaged_byte_range_of_a_middle_record)
{
    const char *path = fixture_file("x");
    size_t len = make_file(path, ENTRY_COUNT);
    char part[64];
    int i;

    for (i = 0; i < ENTRY_COUNT - 1; i++) {
        memcpy(bad, good, len);
        memset(bad + record_at(i), 0xff, record_at(i + 1) - record_at(i));
        fixture_write(path, bad, len);
        snprintf(part, sizeof part, "damaged at byte %zu", record_at(i));
        check_open_fails(path, FLAT_READ, ERR_CORRUPT, part);
        check_open_fails(path, FLAT_WRITE, ERR_CORRUPT, part);
    }
}

TEST(flat_takes_no_record_from_another_place_or_file)
{
    const char *path = fixture_file("x");
    size_t len = make_file(path, 2), other_len;
    struct flat *index = NULL;
    struct flat_head head;

    memcpy(&head, good + record_at(1), sizeof head);
    memcpy(bad, good, len);
    memcpy(bad + len, good + record_at(1), head.len);
    fixture_write(path, bad, len + head.len);
    index = fixture_open(path, FLAT_READ, DIM, FLAT_L2);
    CHECK_INT(fixture_count(index), 2);
    CHECK_INT(torn_len(index), head.len);
    flat_close(index);
    memcpy(bad, good, len);
    unlink(path);
    other_len = make_file(path, 3);
    memcpy(good + record_at(1), bad + record_at(1), head.len);
    fixture_write(path, good, other_len);
    check_open_fails(path, FLAT_WRITE, ERR_CORRUPT, "byte");
}

/* Puts right checksums on the record at offset, of which `len` bytes count,
 * and opens the file. */
static void check_lie(const char *path, struct flat_head *head, size_t offset,
                      size_t len, size_t file_len)
{
    struct flat_header header;
    uint64_t place = offset;
    uint32_t seed;
    char part[64];

    memcpy(&header, bad, sizeof header);
    seed = hash_crc32c(header.crc, &place, sizeof place);
    head->body_crc =
        hash_crc32c(seed, bad + offset + FLAT_HEAD_LEN, len - FLAT_HEAD_LEN);
    head->head_crc =
        hash_crc32c(seed, head, offsetof(struct flat_head, head_crc));
    memcpy(bad + offset, head, sizeof *head);
    fixture_write(path, bad, file_len);
    snprintf(part, sizeof part, "byte %zu", offset);
    check_open_fails(path, FLAT_WRITE, ERR_CORRUPT, part);
    check_open_fails(path, FLAT_READ, ERR_CORRUPT, part);
}

/* A record of the file with some fields replaced. */
static void check_lying_fields(int number, size_t field, uint32_t value)
{
    const char *path = fixture_file("x");
    size_t len = fixture_read(path, bad, sizeof bad);
    size_t offset = record_at(number);
    struct flat_head head;
    size_t record_len;

    memcpy(&head, good + offset, sizeof head);
    record_len = head.len;
    memcpy((uint8_t *)&head + field, &value, sizeof value);
    memcpy(bad, good, len);
    check_lie(path, &head, offset, record_len, len);
}

TEST(flat_refuses_records_that_lie_under_right_checksums)
{
    static const uint32_t lies[] = {0,      1,          63,         64,
                                    128,    4096,       0x7fffffff, 0x80000000,
                                    100000, 0xffffffc0, 0xffffffff};
    static const size_t fields[] = {
        offsetof(struct flat_head, kind),
        offsetof(struct flat_head, len),
        offsetof(struct flat_head, path_len),
        offsetof(struct flat_head, label_len),
        offsetof(struct flat_head, sha256_len),
        offsetof(struct flat_head, durable_len) + 4,
        offsetof(struct flat_head, id),
        offsetof(struct flat_head, id) + 4,
    };
    size_t i, j;
    int number;

    make_file(fixture_file("x"), ENTRY_COUNT);
    for (number = 0; number < ENTRY_COUNT; number++) {
        for (i = 0; i < sizeof fields / sizeof fields[0]; i++) {
            for (j = 0; j < sizeof lies / sizeof lies[0]; j++) {
                uint32_t now;

                memcpy(&now, good + record_at(number) + fields[i], sizeof now);
                if (lies[j] != now)
                    check_lying_fields(number, fields[i], lies[j]);
            }
        }
    }
}

TEST(flat_refuses_values_that_lie_under_right_checksums)
{
    static const float values[] = {1e30F, 3.4e38F};
    const char *path = fixture_file("x");
    size_t len = make_file(path, 2);
    size_t offset = record_at(1);
    struct flat_head head;
    uint32_t nan_bits = 0x7fc00000;
    size_t i;

    memcpy(&head, good + offset, sizeof head);
    memcpy(bad, good, len);
    memcpy(bad + offset + 64, &nan_bits, sizeof nan_bits);
    check_lie(path, &head, offset, head.len, len);
    for (i = 0; i < 2; i++) {
        memcpy(bad, good, len);
        memcpy(bad + offset + 64 + 4 * i, &values[i], sizeof values[i]);
        check_lie(path, &head, offset, head.len, len);
    }
    /* A path that ends early, one that does not end, and other digits. */
    memcpy(bad, good, len);
    bad[offset + 64 + 4 * DIM + 2] = '\0';
    check_lie(path, &head, offset, head.len, len);
    memcpy(bad, good, len);
    bad[offset + 64 + 4 * DIM + head.path_len] = 'x';
    check_lie(path, &head, offset, head.len, len);
    memcpy(bad, good, len);
    bad[offset + 64 + 4 * DIM + head.path_len + 1 + head.label_len + 1] = 'Z';
    check_lie(path, &head, offset, head.len, len);
}

static void check_header(size_t field, uint32_t value, bool is_signed,
                         enum err_code code, const char *part)
{
    const char *path = fixture_file("x");
    struct flat_header header;

    memcpy(&header, good, sizeof header);
    memcpy((uint8_t *)&header + field, &value, sizeof value);
    if (is_signed)
        header.crc = hash_crc32c(0, &header, offsetof(struct flat_header, crc));
    fixture_write(path, &header, sizeof header);
    check_open_fails(path, FLAT_READ, code, part);
    check_open_fails(path, FLAT_WRITE, code, part);
}

TEST(flat_refuses_headers_that_it_cannot_read)
{
    make_file(fixture_file("x"), 0);
    check_header(offsetof(struct flat_header, version), 2, true,
                 ERR_UNSUPPORTED, "version 2; this program reads up to 1");
    check_header(offsetof(struct flat_header, version), 0xffffffff, true,
                 ERR_UNSUPPORTED, "version 4294967295");
    check_header(offsetof(struct flat_header, version), 2, false, ERR_CORRUPT,
                 "byte 0");
    check_header(offsetof(struct flat_header, version), 0, true, ERR_CORRUPT,
                 "version 0");
    check_header(offsetof(struct flat_header, dim), 0, true, ERR_CORRUPT,
                 "dim 0");
    check_header(offsetof(struct flat_header, dim), 65537, true, ERR_CORRUPT,
                 "dim 65537");
    check_header(offsetof(struct flat_header, metric), 3, true, ERR_CORRUPT,
                 "metric 3");
    check_header(offsetof(struct flat_header, header_len), 512, true,
                 ERR_CORRUPT, "byte 0");
    check_header(offsetof(struct flat_header, magic), 0, true, ERR_CORRUPT,
                 "not an index");
}

TEST(flat_refuses_files_that_are_none_of_ours)
{
    static const char *const texts[] = {"x", "hello\n", "OLHOFLAx", "\0\0\0"};
    const char *path = fixture_file("x");
    size_t i;

    for (i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        fixture_write(path, texts[i], strlen(texts[i]) + 1);
        check_open_fails(path, FLAT_WRITE, ERR_CORRUPT, "no index");
        CHECK_INT(fixture_read(path, bad, sizeof bad), strlen(texts[i]) + 1);
        CHECK(memcmp(bad, texts[i], strlen(texts[i]) + 1) == 0);
    }
    memset(bad, 'x', 1000);
    fixture_write(path, bad, 1000);
    check_open_fails(path, FLAT_WRITE, ERR_CORRUPT, "not an index");
    unlink(path);
    CHECK_INT(mkfifo(path, 0600), 0);
    check_open_fails(path, FLAT_READ, ERR_INVALID, "not a file");
}

TEST(flat_says_so_when_its_file_shrank_underneath)
{
    const char *path = fixture_file("x");
    struct flat *reader = NULL;
    struct flat_hit hit;
    float query[DIM];
    struct err err = {0};
    int count = 7;

    make_file(path, 3);
    reader = fixture_open(path, FLAT_READ, DIM, FLAT_L2);
    CHECK_INT(truncate(path, 300), 0);
    fixture_vector(1, DIM, query);
    CHECK_ERR(flat_search(reader, query, DIM, 1, NULL, &hit, &count, &err),
              ERR_CORRUPT);
    CHECK_HAS(err.text, "shrank");
    CHECK_ERR(flat_refresh(reader, &err), ERR_CORRUPT);
    CHECK_INT(count, 7);
    flat_close(reader);
}
