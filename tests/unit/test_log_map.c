/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vectors/log_map.h"

enum { MARK_COUNT = 9 };

/* Around the ends of parts: the first is 64 MB long. */
static const int64_t offsets[MARK_COUNT] = {
    0,           256,           (64 << 20) - 64, 64 << 20,          65 << 20,
    (129 << 20), (130LL << 20), (1000LL << 20),  (4LL << 30) + 128,
};

static int open_sparse(void)
{
    char path[256];
    int fd;

    snprintf(path, sizeof path, "%s/sparse", test_dir());
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    return fd;
}

static void mark(int fd, int i)
{
    char text[64] = "";

    snprintf(text, sizeof text, "mark %d", i);
    CHECK_INT(pwrite(fd, text, sizeof text, offsets[i]), sizeof text);
}

TEST(log_map_keeps_addresses_while_the_file_grows)
{
    struct log_map map = {.part_count = 0};
    const void *places[MARK_COUNT];
    struct err err = {0};
    char text[64];
    int fd = open_sparse();
    int i;

    for (i = 0; i < MARK_COUNT; i++) {
        CHECK_OK(log_map_get(&map, fd, offsets[i], 64, &places[i], &err), err);
        mark(fd, i);
    }
    CHECK(map.part_count >= 3 && map.part_count < 8);
    for (i = 0; i < MARK_COUNT; i++) {
        snprintf(text, sizeof text, "mark %d", i);
        CHECK_TEXT((const char *)places[i], text);
    }
    log_map_release(&map);
    log_map_release(&map);
    close(fd);
}

TEST(log_map_maps_a_record_over_the_end_of_a_part_whole)
{
    struct log_map map = {.part_count = 0};
    const void *first = NULL, *place = NULL;
    struct err err = {0};
    int fd = open_sparse();
    int64_t offset = (64 << 20) - 128;

    CHECK_OK(log_map_get(&map, fd, 256, 64, &first, &err), err);
    CHECK_OK(log_map_get(&map, fd, offset, 4096, &place, &err), err);
    CHECK_INT(map.part_count, 2);
    CHECK_INT(ftruncate(fd, offset + 4096), 0);
    CHECK_INT(pwrite(fd, "end", 4, offset + 4092), 4);
    CHECK_TEXT((const char *)place + 4092, "end");
    log_map_release(&map);
    close(fd);
}

TEST(log_map_says_when_there_is_nothing_to_map)
{
    struct log_map map = {.part_count = 0};
    const void *place = NULL;
    struct err err = {0};

    CHECK_ERR(log_map_get(&map, -1, 0, 64, &place, &err), ERR_UNAVAILABLE);
    CHECK_HAS(err.text, "cannot map");
    CHECK(place == NULL && map.part_count == 0);
}

TEST(log_map_finds_what_was_mapped_and_where_it_is)
{
    struct log_map map = {.part_count = 0};
    const void *place = NULL;
    struct err err = {0};
    int fd = open_sparse();
    int i;

    CHECK(log_map_find(&map, 0, 64) == NULL);
    for (i = 0; i < MARK_COUNT; i++)
        CHECK_OK(log_map_get(&map, fd, offsets[i], 64, &place, &err), err);
    /* What was cut off is mapped anew where it was. */
    CHECK_OK(log_map_get(&map, fd, offsets[2], 4096, &place, &err), err);
    for (i = 0; i < MARK_COUNT; i++) {
        mark(fd, i);
        place = log_map_find(&map, offsets[i], 64);
        CHECK(place != NULL);
        CHECK_INT(log_map_offset(&map, place), offsets[i]);
    }
    CHECK(log_map_find(&map, 1LL << 40, 64) == NULL);
    log_map_release(&map);
    close(fd);
}
