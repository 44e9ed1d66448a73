/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of a store whose log was cut or damaged: an answer is right or
 * an error. */
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/mem.h"
#include "vecs_fixture.h"
#include "vectors/log_record.h"

enum { DIM = 19, ENTRY_COUNT = 6, FILE_MAX = 1 << 16 };

static uint8_t good[FILE_MAX], bad[FILE_MAX];

/* Where record `number` of good[] begins. */
static size_t record_at(int number)
{
    size_t offset = LOG_HEADER_LEN;
    struct log_head head;

    while (number-- > 0) {
        memcpy(&head, good + offset, sizeof head);
        offset += head.len;
    }
    return offset;
}

/* A file of `count` entries, each added alone, also in good[]; its length
 * without the note that closing adds. */
static size_t make_file(const char *path, int count)
{
    struct vecstore *store = vecs_open(path, VEC_WRITE, DIM, VECINDEX_L2);

    vecs_add_each(store, DIM, 0, count);
    vecstore_close(store);
    vecs_read(path, good, sizeof good);
    vecs_write(path, good, record_at(count));
    return record_at(count);
}

static void check_open_fails(const char *path, enum vec_mode mode,
                             enum err_code code, const char *part)
{
    const struct vec_options options = {.dim = DIM};
    struct vecstore *store = NULL;
    struct err err = {0};

    CHECK_ERR(vecstore_open(path, mode, &options, &store, &err), code);
    CHECK_HAS(err.text, part);
    CHECK(store == NULL);
}

static struct vecstore *open_l2(const char *path, enum vec_mode mode)
{
    return vecs_open(path, mode, DIM, VECINDEX_L2);
}

/* --- torn tails ------------------------------------------------------- */

static void check_torn(const char *path, size_t start, size_t len)
{
    struct vecstore *store = NULL;
    int64_t torn = (int64_t)(len - start);

    vecs_write(path, good, len);
    store = open_l2(path, VEC_READ);
    CHECK_INT(vecs_info(store).torn_len, torn);
    CHECK_INT(vecs_info(store).count, ENTRY_COUNT - 1);
    vecs_check(store, DIM, ENTRY_COUNT - 1);
    vecstore_close(store);
    CHECK_INT(vecs_read(path, bad, sizeof bad), len);
    store = open_l2(path, VEC_WRITE);
    CHECK_INT(vecs_info(store).torn_len, torn);
    CHECK_INT(vecs_read(path, bad, sizeof bad), start);
    vecs_add(store, DIM, ENTRY_COUNT - 1, 1);
    vecstore_close(store);
    store = open_l2(path, VEC_READ);
    CHECK_INT(vecs_info(store).torn_len, 0);
    vecs_check(store, DIM, ENTRY_COUNT);
    vecstore_close(store);
}

TEST(log_cuts_a_tail_that_is_torn_at_any_byte_of_the_last_record)
{
    const char *path = vecs_file("x");
    size_t len = make_file(path, ENTRY_COUNT);
    size_t start = record_at(ENTRY_COUNT - 1);
    size_t cut;

    for (cut = start; cut < len; cut += 3)
        check_torn(path, start, cut);
}

TEST(log_cuts_a_tail_whose_pages_never_reached_the_disk)
{
    const char *path = vecs_file("x");
    size_t len = make_file(path, ENTRY_COUNT);
    size_t start = record_at(ENTRY_COUNT - 1);
    size_t hole;

    for (hole = start; hole < len; hole += 64) {
        struct vecstore *store = NULL;

        memcpy(bad, good, len);
        memset(bad + hole, 0, len - hole);
        if (memcmp(bad, good, len) == 0)
            continue;
        vecs_write(path, bad, len);
        store = open_l2(path, VEC_WRITE);
        CHECK_INT(vecs_info(store).torn_len, len - start);
        vecs_check(store, DIM, ENTRY_COUNT - 1);
        vecstore_close(store);
    }
}

/* Two entries alone, then a batch of four of which one is replaced, without
 * the note behind it. */
static size_t make_batch(const char *path)
{
    struct vecstore *store = open_l2(path, VEC_WRITE);
    struct err err = {0};

    vecs_add_each(store, DIM, 0, 2);
    CHECK_OK(vecs_try_add(store, DIM, 1, 4, true, NULL, &err), err);
    vecstore_close(store);
    vecs_read(path, good, sizeof good);
    return record_at(6);
}

TEST(log_gives_nothing_of_a_batch_that_was_cut_anywhere)
{
    const char *path = vecs_file("x");
    size_t len = make_batch(path), cut;

    for (cut = record_at(2); cut < len; cut += 31) {
        struct vecstore *store = NULL;

        vecs_write(path, good, cut);
        store = open_l2(path, cut % 2 ? VEC_READ : VEC_WRITE);
        CHECK_INT(vecs_info(store).count, 2);
        CHECK_INT(vecs_info(store).torn_len, cut - record_at(2));
        vecs_check(store, DIM, 2);
        vecstore_close(store);
    }
    vecs_write(path, good, len);
    struct vecstore *store = open_l2(path, VEC_WRITE);

    CHECK_INT(vecs_info(store).count, 5);
    vecs_check(store, DIM, 5);
    vecstore_close(store);
}

TEST(log_gives_nothing_of_a_batch_of_which_any_page_was_lost)
{
    const char *path = vecs_file("x");
    size_t len = make_batch(path), hole;

    for (hole = record_at(2); hole < len; hole += 64) {
        struct vecstore *store = NULL;

        memcpy(bad, good, len);
        memset(bad + hole, 0, 64);
        if (memcmp(bad, good, len) == 0)
            continue;
        vecs_write(path, bad, len);
        store = open_l2(path, VEC_WRITE);
        CHECK_INT(vecs_info(store).count, 2);
        vecs_check(store, DIM, 2);
        vecs_add(store, DIM, 2, 1);
        vecs_check(store, DIM, 3);
        vecstore_close(store);
    }
}

TEST(log_takes_damage_in_an_acknowledged_batch_for_damage)
{
    const char *path = vecs_file("x");
    size_t len;
    char part[64];
    int i;

    make_batch(path);
    len = vecs_read(path, good, sizeof good);
    for (i = 0; i < 6; i++) {
        memcpy(bad, good, len);
        bad[record_at(i) + 70] ^= 1;
        vecs_write(path, bad, len);
        snprintf(part, sizeof part, "byte %zu", record_at(i));
        check_open_fails(path, VEC_WRITE, ERR_CORRUPT, part);
        check_open_fails(path, VEC_READ, ERR_CORRUPT, part);
        CHECK_INT(vecs_read(path, bad, sizeof bad), len);
    }
}

TEST(log_reader_leaves_the_tail_of_a_writer_at_work_alone)
{
    const char *path = vecs_file("x");
    size_t len = make_batch(path), cut;
    struct vecstore *reader = NULL;
    struct err err = {0};

    vecs_write(path, good, record_at(2));
    reader = open_l2(path, VEC_READ);
    for (cut = record_at(2); cut < len; cut += 13) {
        int fd = open(path, O_WRONLY | O_CLOEXEC);

        CHECK(fd >= 0);
        CHECK_INT(pwrite(fd, good, cut, 0), cut);
        close(fd);
        CHECK_OK(vecstore_refresh(reader, &err), err);
        CHECK_INT(vecs_info(reader).torn_len, cut - record_at(2));
        CHECK_INT(vecs_info(reader).count, 2);
    }
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    CHECK_INT(pwrite(fd, good, len, 0), len);
    close(fd);
    CHECK_OK(vecstore_refresh(reader, &err), err);
    CHECK_INT(vecs_info(reader).torn_len, 0);
    vecs_check(reader, DIM, 5);
    vecstore_close(reader);
}

TEST(log_makes_a_header_that_was_never_finished_anew)
{
    const char *path = vecs_file("x");
    struct vecstore *store = NULL;
    size_t cut;

    make_file(path, 0);
    for (cut = 0; cut < LOG_HEADER_LEN; cut += 5) {
        vecs_write(path, good, cut);
        check_open_fails(path, VEC_READ, ERR_NOT_FOUND, "not there yet");
        store = open_l2(path, VEC_WRITE);
        vecs_add(store, DIM, 0, 1);
        vecstore_close(store);
        store = open_l2(path, VEC_READ);
        vecs_check(store, DIM, 1);
        vecstore_close(store);
    }
}

/* --- damage ----------------------------------------------------------- */

TEST(log_names_the_first_damaged_byte_range_of_a_middle_record)
{
    const char *path = vecs_file("x");
    size_t len = make_file(path, ENTRY_COUNT);
    char part[64];
    int i;

    for (i = 0; i < ENTRY_COUNT - 1; i++) {
        memcpy(bad, good, len);
        memset(bad + record_at(i), 0xff, record_at(i + 1) - record_at(i));
        vecs_write(path, bad, len);
        snprintf(part, sizeof part, "damaged at byte %zu", record_at(i));
        check_open_fails(path, VEC_READ, ERR_CORRUPT, part);
        check_open_fails(path, VEC_WRITE, ERR_CORRUPT, part);
    }
}

TEST(log_takes_no_record_from_another_place_or_file)
{
    const char *path = vecs_file("x");
    size_t len = make_file(path, 2), other_len;
    struct vecstore *store = NULL;
    struct log_head head;

    memcpy(&head, good + record_at(1), sizeof head);
    memcpy(bad, good, len);
    memcpy(bad + len, good + record_at(1), head.len);
    vecs_write(path, bad, len + head.len);
    store = open_l2(path, VEC_READ);
    CHECK_INT(vecs_info(store).count, 2);
    CHECK_INT(vecs_info(store).torn_len, head.len);
    vecstore_close(store);
    memcpy(bad, good, len);
    unlink(path);
    other_len = make_file(path, 3);
    memcpy(good + record_at(1), bad + record_at(1), head.len);
    vecs_write(path, good, other_len);
    check_open_fails(path, VEC_WRITE, ERR_CORRUPT, "byte");
}

/* --- lies under right checksums --------------------------------------- */

/* Puts right checksums on the record at offset, of which `len` bytes count. */
static void sign(size_t offset, struct log_head *head, size_t len)
{
    struct log_header header;
    uint64_t place = offset;
    uint32_t seed;

    memcpy(&header, bad, sizeof header);
    seed = hash_crc32c(header.seed, &place, sizeof place);
    head->body_crc =
        hash_crc32c(seed, bad + offset + LOG_HEAD_LEN, len - LOG_HEAD_LEN);
    head->head_crc =
        hash_crc32c(seed, head, offsetof(struct log_head, head_crc));
    memcpy(bad + offset, head, sizeof *head);
}

static void check_lie(const char *path, struct log_head *head, size_t offset,
                      size_t len, size_t file_len)
{
    sign(offset, head, len);
    vecs_write(path, bad, file_len);
    check_open_fails(path, VEC_WRITE, ERR_CORRUPT, "byte");
    check_open_fails(path, VEC_READ, ERR_CORRUPT, "byte");
}

TEST(log_refuses_records_that_lie_under_right_checksums)
{
    static const uint32_t lies[] = {0,      4,          63,         64,
                                    128,    4096,       0x7fffffff, 0x80000000,
                                    100000, 0xffffffc0, 0xffffffff};
    static const size_t fields[] = {
        offsetof(struct log_head, kind),
        offsetof(struct log_head, len),
        offsetof(struct log_head, path_len),
        offsetof(struct log_head, tags_len),
        offsetof(struct log_head, key_len),
        offsetof(struct log_head, count),
        offsetof(struct log_head, zero),
        offsetof(struct log_head, flags),
        offsetof(struct log_head, durable_len) + 4,
    };
    const char *path = vecs_file("x");
    size_t len = make_file(path, ENTRY_COUNT), i, j;
    int number;

    for (number = 0; number < ENTRY_COUNT; number++) {
        for (i = 0; i < sizeof fields / sizeof fields[0]; i++) {
            for (j = 0; j < sizeof lies / sizeof lies[0]; j++) {
                size_t offset = record_at(number), record_len;
                struct log_head head;
                uint32_t now;

                memcpy(&head, good + offset, sizeof head);
                memcpy(&now, good + offset + fields[i], sizeof now);
                if (lies[j] == now)
                    continue;
                record_len = head.len;
                memcpy((uint8_t *)&head + fields[i], &lies[j], sizeof now);
                memcpy(bad, good, len);
                check_lie(path, &head, offset, record_len, len);
            }
        }
    }
}

TEST(log_refuses_values_and_texts_that_lie_under_right_checksums)
{
    static const float values[] = {1e30F, 3.4e38F};
    const char *path = vecs_file("x");
    size_t len = make_file(path, 4), offset = record_at(3);
    size_t texts = offset + LOG_HEAD_LEN + 4 * DIM;
    struct log_head head;
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
    /* A key and a path that end early or do not end, and so with tags. */
    for (i = 0; i < (size_t)head.key_len + head.path_len + head.tags_len + 2;
         i++) {
        memcpy(bad, good, len);
        bad[texts + i] = bad[texts + i] == '\0' ? 'x' : '\0';
        check_lie(path, &head, offset, head.len, len);
    }
}

/* Makes the last record of `count` one that is whole but cannot be. */
static void check_impossible(int count, uint32_t kind, int64_t id,
                             uint32_t flags, const char *part)
{
    const char *path = vecs_file("x");
    size_t len, offset;
    struct log_head head;

    unlink(path);
    len = make_file(path, count);
    offset = record_at(count - 1);
    memcpy(&head, good + offset, sizeof head);
    memcpy(bad, good, len);
    head.id = id;
    head.flags = flags;
    if (kind == LOG_GONE) {
        head = (struct log_head){.kind = kind, .len = 128, .count = 1};
        memset(bad + offset + LOG_HEAD_LEN, 0, 64);
        memcpy(bad + offset + LOG_HEAD_LEN, &id, sizeof id);
        len = offset + 128;
    } else if (kind == LOG_OLD_ENTRY) {
        head = (struct log_head){.kind = kind, .len = 192, .id = id};
        memset(bad + offset + LOG_HEAD_LEN + 4 * DIM, 0, 128 - 4 * DIM);
        len = offset + 192;
    }
    sign(offset, &head, head.len);
    vecs_write(path, bad, len);
    check_open_fails(path, VEC_READ, ERR_CORRUPT, part);
}

TEST(log_refuses_what_no_writer_has_written)
{
    check_impossible(3, LOG_ITEM, 1, 0, "entry 1 is there twice");
    check_impossible(3, LOG_GONE, 7, 0, "a removal of no entry: 7");
    check_impossible(3, LOG_GONE, -1, 0, "damaged at byte");
    check_impossible(3, LOG_ITEM, -5, 0, "damaged at byte");
    check_impossible(3, LOG_ITEM, 2, 8, "damaged at byte");
    check_impossible(3, LOG_ITEM, INT64_MAX, 0, "damaged at byte");
    check_impossible(3, LOG_OLD_ENTRY, 1, 0, "entry 1 is there twice");
    check_impossible(3, LOG_OLD_ENTRY, INT64_MAX, 0, "damaged at byte");
}

/* --- headers ---------------------------------------------------------- */

static void check_header(size_t field, uint32_t value, bool is_signed,
                         enum err_code code, const char *part)
{
    const char *path = vecs_file("x");
    struct log_header header;

    memcpy(&header, good, sizeof header);
    memcpy((uint8_t *)&header + field, &value, sizeof value);
    if (is_signed)
        header.crc = hash_crc32c(0, &header, offsetof(struct log_header, crc));
    vecs_write(path, &header, sizeof header);
    check_open_fails(path, VEC_READ, code, part);
    check_open_fails(path, VEC_WRITE, code, part);
}

TEST(log_refuses_headers_that_it_cannot_read)
{
    make_file(vecs_file("x"), 0);
    check_header(offsetof(struct log_header, version), 3, true, ERR_UNSUPPORTED,
                 "version 3; this program reads up to 2");
    check_header(offsetof(struct log_header, version), 0xffffffff, true,
                 ERR_UNSUPPORTED, "version 4294967295");
    check_header(offsetof(struct log_header, version), 3, false, ERR_CORRUPT,
                 "byte 0");
    check_header(offsetof(struct log_header, version), 0, true, ERR_CORRUPT,
                 "version 0");
    check_header(offsetof(struct log_header, dim), 0, true, ERR_CORRUPT,
                 "dim 0");
    check_header(offsetof(struct log_header, dim), 65537, true, ERR_CORRUPT,
                 "dim 65537");
    check_header(offsetof(struct log_header, metric), 3, true, ERR_CORRUPT,
                 "metric 3");
    check_header(offsetof(struct log_header, header_len), 512, true,
                 ERR_CORRUPT, "byte 0");
    check_header(offsetof(struct log_header, magic), 0, true, ERR_CORRUPT,
                 "not an index");
}

TEST(log_refuses_files_that_are_none_of_ours)
{
    static const char *const texts[] = {"x", "hello\n", "OLHOFLAx", "\0\0\0"};
    const char *path = vecs_file("x");
    size_t i;

    for (i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        vecs_write(path, texts[i], strlen(texts[i]) + 1);
        check_open_fails(path, VEC_WRITE, ERR_CORRUPT, "no index");
        CHECK_INT(vecs_read(path, bad, sizeof bad), strlen(texts[i]) + 1);
        CHECK(memcmp(bad, texts[i], strlen(texts[i]) + 1) == 0);
    }
    memset(bad, 'x', 1000);
    vecs_write(path, bad, 1000);
    check_open_fails(path, VEC_WRITE, ERR_CORRUPT, "not an index");
    unlink(path);
    CHECK_INT(mkfifo(path, 0600), 0);
    check_open_fails(path, VEC_READ, ERR_INVALID, "not a file");
}

TEST(log_says_so_when_its_file_shrank_underneath)
{
    const char *path = vecs_file("x");
    struct vecstore *reader = NULL;
    float vector[DIM];
    struct vec_query query = {.vector = vector, .dim = DIM, .k = 1};
    struct vec_hits hits = {.count = 7};
    struct vec_hit hit;
    struct err err = {0};

    make_file(path, 3);
    reader = open_l2(path, VEC_READ);
    CHECK_INT(truncate(path, 300), 0);
    vecs_vector(1, DIM, vector);
    CHECK_ERR(vecstore_search(reader, &query, vecs_arena(), &hits, &err),
              ERR_CORRUPT);
    CHECK_HAS(err.text, "shrank");
    CHECK_ERR(vecstore_get(reader, 1, vecs_arena(), &hit, NULL, &err),
              ERR_CORRUPT);
    CHECK_ERR(vecstore_list(reader, -1, 3, vecs_arena(), &hits, NULL, &err),
              ERR_CORRUPT);
    CHECK_ERR(vecstore_refresh(reader, &err), ERR_CORRUPT);
    CHECK_INT(hits.count, 7);
    vecstore_close(reader);
}

/* Of another length each: what a reader has mapped means nothing any more. */
static void check_overwritten(int count)
{
    struct vecstore *store = open_l2(vecs_file("x"), VEC_WRITE);
    struct vecstore *reader = NULL;
    struct err err = {0};

    vecs_add_each(store, DIM, 0, ENTRY_COUNT);
    vecstore_close(store);
    reader = open_l2(vecs_file("x"), VEC_READ);
    store = open_l2(vecs_file("y"), VEC_WRITE);
    vecs_add(store, DIM, 0, count);
    vecstore_close(store);
    vecs_write(vecs_file("x"), bad, vecs_read(vecs_file("y"), bad, sizeof bad));
    CHECK_OK(vecstore_refresh(reader, &err), err);
    vecs_check(reader, DIM, count);
    vecstore_close(reader);
    unlink(vecs_file("x"));
    unlink(vecs_file("y"));
}

TEST(vecstore_reader_follows_a_file_that_was_written_over)
{
    check_overwritten(ENTRY_COUNT / 2);
    check_overwritten(ENTRY_COUNT);
    check_overwritten(4 * ENTRY_COUNT);
}
