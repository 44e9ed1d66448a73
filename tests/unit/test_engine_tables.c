/* SPDX-License-Identifier: Apache-2.0 */
/* The tables from ids, keys and tags to slots. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "test.h"
#include "vectors/engine_ids.h"
#include "vectors/engine_tags.h"
#include "vectors/slots.h"

/* --- ids and keys ----------------------------------------------------- */

enum { COUNT = 5000 };

/* The id that each slot has; hashes are made to collide on purpose. */
static int64_t ids[COUNT];

static bool has_id(const void *user, int64_t slot)
{
    return ids[slot] == *(const int64_t *)user;
}

static uint64_t poor_hash(int64_t id)
{
    return (uint64_t)(id % 50);
}

static int64_t find(struct slot_table *table, int64_t id)
{
    return slot_table_find(table, poor_hash(id), has_id, &id);
}

TEST(slot_table_finds_every_id_among_hashes_that_collide)
{
    enum { SOME = 700 };
    struct slot_table table;
    struct err err = {0};
    int64_t slot;

    slot_table_init(&table);
    CHECK_INT(find(&table, 0), SLOT_NONE);
    for (slot = 0; slot < SOME; slot++) {
        ids[slot] = 3 * slot;
        CHECK_OK(slot_table_reserve(&table, 1, &err), err);
        slot_table_put(&table, poor_hash(ids[slot]), slot, has_id, &ids[slot]);
    }
    for (slot = 0; slot < SOME; slot++)
        CHECK_INT(find(&table, 3 * slot), slot);
    CHECK_INT(find(&table, 1), SLOT_NONE);
    CHECK_INT(table.count, SOME);
    /* Another slot for an id takes the place of the first. */
    ids[SOME] = 30;
    slot_table_put(&table, poor_hash(30), SOME, has_id, &ids[SOME]);
    CHECK_INT(find(&table, 30), SOME);
    CHECK_INT(table.count, SOME);
    slot_table_release(&table);
}

TEST(slot_table_is_taken_from_places_that_are_right_and_grows_on)
{
    static uint64_t places[8192];
    struct slot_table table, mapped;
    struct err err = {0};
    size_t place_count = 0, free_place;
    int64_t id;

    slot_table_init(&table);
    CHECK_OK(slot_table_reserve(&table, COUNT, &err), err);
    for (id = 0; id < COUNT; id++) {
        ids[id] = id;
        slot_table_put(&table, slot_hash_id(id), id, has_id, &id);
    }
    memcpy(places, slot_table_places(&table, &place_count), sizeof places);
    CHECK_INT(place_count, 8192);
    slot_table_init(&mapped);
    CHECK_ERR(slot_table_map(&mapped, places, 8191, COUNT, &err), ERR_CORRUPT);
    CHECK_ERR(slot_table_map(&mapped, places, 8192, COUNT - 1, &err),
              ERR_CORRUPT);
    free_place = 0;
    while (places[free_place] != 0)
        free_place++;
    places[free_place] = (uint64_t)1 << 32;
    CHECK_ERR(slot_table_map(&mapped, places, 8192, COUNT, &err), ERR_CORRUPT);
    places[free_place] = 0;
    CHECK_OK(slot_table_map(&mapped, places, 8192, COUNT, &err), err);
    CHECK_INT(slot_table_memory(&mapped), 0);
    CHECK_OK(slot_table_reserve(&mapped, COUNT, &err), err);
    CHECK(slot_table_memory(&mapped) > 0);
    for (id = 0; id < COUNT; id++)
        CHECK_INT(slot_table_find(&mapped, slot_hash_id(id), has_id, &id), id);
    slot_table_release(&mapped);
    slot_table_release(&table);
}

TEST(slot_hashes_tell_keys_apart_by_every_byte_and_length)
{
    char key[40] = "";
    uint64_t hashes[40];
    int i, j;

    for (i = 0; i < 39; i++) {
        hashes[i] = slot_hash_key(key);
        for (j = 0; j < i; j++)
            CHECK(hashes[i] != hashes[j]);
        key[i] = 'a';
    }
    for (i = 0; i < 39; i++) {
        uint64_t before = slot_hash_key(key);

        key[i] = 'b';
        CHECK(slot_hash_key(key) != before);
        key[i] = 'a';
    }
}

/* --- tags ------------------------------------------------------------- */

struct fixture {
    struct slot_tags *tags;
    struct blocks removed;
};

static const char *value_of(int64_t slot, char *out)
{
    snprintf(out, 32, "v%d", (int)(slot % 7));
    return out;
}

static void add(struct fixture *fixture, int64_t slot)
{
    struct err err = {0};
    char text[32];

    CHECK_OK(
        slot_tags_add(fixture->tags, "seven", value_of(slot, text), slot, &err),
        err);
    CHECK_OK(slot_tags_add(fixture->tags, "seven", text, slot, &err), err);
    snprintf(text, sizeof text, "%lld", (long long)slot);
    CHECK_OK(slot_tags_add(fixture->tags, "own", text, slot, &err), err);
    if (slot % 3 == 0)
        CHECK_OK(slot_tags_add(fixture->tags, "third", "yes", slot, &err), err);
}

static struct fixture filled(int64_t count)
{
    struct fixture fixture = {.tags = slot_tags_new()};
    struct err err = {0};
    int64_t slot;

    CHECK_OK(blocks_init(&fixture.removed, 1, &err), err);
    CHECK_OK(blocks_reserve(&fixture.removed, COUNT, &err), err);
    for (slot = 0; slot < count; slot++)
        add(&fixture, slot);
    return fixture;
}

static void fixture_end(struct fixture *fixture)
{
    slot_tags_free(fixture->tags);
    blocks_release(&fixture->removed);
}

/* Slots of v1 and v4, but no thirds. */
static void check_filter(struct fixture *fixture, int64_t count)
{
    const char *const some[] = {"v1", "v4", "v9"}, *const yes[] = {"yes"};
    const struct vec_term terms[] = {{"seven", some, 3, false},
                                     {"third", yes, 1, true}};
    const struct vec_filter filter = {terms, 2};
    uint64_t *wanted = NULL;
    int64_t wanted_count = -1, expected_count = 0, slot;
    struct err err = {0};

    CHECK_OK(slot_tags_filter(fixture->tags, &filter, count, &fixture->removed,
                              &wanted, &wanted_count, &err),
             err);
    for (slot = 0; slot < count; slot++) {
        bool is_expected = (slot % 7 == 1 || slot % 7 == 4) && slot % 3 != 0;

        CHECK_INT(wanted[slot / 64] >> (slot % 64) & 1, is_expected);
        expected_count +=
            is_expected && !slot_is_removed(&fixture->removed, slot);
    }
    CHECK_INT(wanted_count, expected_count);
    mem_free(wanted);
}

TEST(slot_tags_let_through_the_slots_of_a_filter_below_every_count)
{
    static const int64_t counts[] = {0, 1, 5, 63, 64, 65, 1000, 4999, COUNT};
    struct fixture fixture = filled(COUNT);
    size_t i;

    for (i = 0; i < sizeof counts / sizeof counts[0]; i++)
        check_filter(&fixture, counts[i]);
    for (i = 0; i < COUNT; i += 5)
        *(uint8_t *)blocks_at(&fixture.removed, (int64_t)i) = SLOT_GONE;
    check_filter(&fixture, COUNT);
    CHECK(slot_tags_memory(fixture.tags) < COUNT * 200);
    fixture_end(&fixture);
}

TEST(slot_tags_take_back_what_nobody_was_told_of)
{
    static const int64_t cuts[] = {4000, 3999, 1234, 64, 7, 2, 1, 0};
    struct fixture fixture = filled(COUNT);
    int64_t slot;
    size_t i;

    for (i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        slot_tags_cut(fixture.tags, cuts[i]);
        check_filter(&fixture, cuts[i]);
        for (slot = cuts[i]; slot < COUNT; slot++)
            add(&fixture, slot);
        check_filter(&fixture, COUNT);
        slot_tags_cut(fixture.tags, cuts[i]);
    }
    fixture_end(&fixture);
}

TEST(slot_tags_of_no_slot_let_nothing_through_and_not_of_them_everything)
{
    struct fixture fixture = filled(100);
    const char *const nobody[] = {"nobody"};
    struct vec_term term = {"seven", nobody, 1, false};
    const struct vec_filter filter = {&term, 1};
    uint64_t *wanted = NULL;
    int64_t count = -1;
    struct err err = {0};

    CHECK_OK(slot_tags_filter(fixture.tags, &filter, 100, &fixture.removed,
                              &wanted, &count, &err),
             err);
    CHECK_INT(count, 0);
    mem_free(wanted);
    term.is_not = true;
    CHECK_OK(slot_tags_filter(fixture.tags, &filter, 100, &fixture.removed,
                              &wanted, &count, &err),
             err);
    CHECK_INT(count, 100);
    mem_free(wanted);
    fixture_end(&fixture);
}
