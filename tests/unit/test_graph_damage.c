/* SPDX-License-Identifier: Apache-2.0 */
/* Graphs in checkpoints whose checksums are right and whose numbers lie, and
 * memory that runs out. */
#include <string.h>

#include "base/mem.h"
#include "graph_fixture.h"
#include "vector_samples.h"

enum { DIM = 16, COUNT = 400, SECTIONS = 4, ROUNDS = 400 };

static const char *const names[SECTIONS] = {"GHED", "GNOD", "GLNK", "GUPP"};

struct parts {
    uint8_t *bytes[SECTIONS]; /* owned */
    int64_t lens[SECTIONS];
};

static void begin(struct graph_sample *sample, struct parts *parts)
{
    struct checkpoint *checkpoint = NULL;
    struct err err = {0};
    int i;

    graph_sample_init(sample, sample_clusters(COUNT, DIM, 10, 1), COUNT, DIM,
                      VECINDEX_L2);
    graph_sample_insert(sample, COUNT - 50, 1);
    graph_sample_save(sample, sample_file("right"));
    CHECK_OK(checkpoint_open(sample_file("right"), &checkpoint, &err), err);
    for (i = 0; i < SECTIONS; i++) {
        void *section = NULL;

        CHECK_OK(checkpoint_section(checkpoint, names[i], 0, 0, &section,
                                    &parts->lens[i], &err),
                 err);
        parts->bytes[i] = mem_new((size_t)parts->lens[i]);
        memcpy(parts->bytes[i], section, (size_t)parts->lens[i]);
    }
    checkpoint_close(checkpoint);
}

static void end(struct graph_sample *sample, struct parts *parts)
{
    int i;

    for (i = 0; i < SECTIONS; i++)
        mem_free(parts->bytes[i]);
    graph_sample_release(sample);
}

/* Writes the parts and opens them again. */
static struct checkpoint *write_parts(const struct parts *parts)
{
    struct checkpoint_writer *writer = NULL;
    struct checkpoint *checkpoint = NULL;
    struct err err = {0};
    int i;

    CHECK_OK(checkpoint_begin(sample_file("lying"), &writer, &err), err);
    for (i = 0; i < SECTIONS; i++) {
        checkpoint_start(writer, names[i]);
        checkpoint_put(writer, parts->bytes[i], (size_t)parts->lens[i]);
    }
    CHECK_OK(checkpoint_commit(writer, &err), err);
    CHECK_OK(checkpoint_open(sample_file("lying"), &checkpoint, &err), err);
    return checkpoint;
}

/* Whatever was loaded is searched, changed and checked; only what it finds may
 * be wrong. */
static void use(struct graph_sample *sample, struct graph *graph)
{
    struct graph *whole = sample->graph;
    struct graph_walk *walk = NULL;
    int64_t found[10];
    int32_t slot = 7;
    struct err err = {0};
    int i, rc;

    sample->graph = graph;
    CHECK_OK(graph_walk_new(graph, &walk, &err), err);
    for (i = 0; i < 5; i++)
        graph_sample_search(sample, walk, sample->rows + i * 70 * DIM, 64, NULL,
                            10, found);
    graph_walk_free(walk);
    CHECK_OK(graph_insert(graph, COUNT, NULL, 1, NULL, NULL, &err), err);
    *(uint8_t *)blocks_at(&sample->removed, slot) = 1;
    CHECK_OK(graph_remove(graph, &slot, 1, &sample->removed, &err), err);
    *(uint8_t *)blocks_at(&sample->removed, slot) = 0;
    rc = graph_check(graph, &err);
    CHECK(rc == 0 || rc == ERR_CORRUPT);
    sample->graph = whole;
}

/* Answers whether it was loaded. */
static bool load_and_use(struct graph_sample *sample, const struct parts *parts)
{
    struct checkpoint *checkpoint = write_parts(parts);
    struct graph *graph = NULL;
    struct err err = {0};
    int rc = graph_load(sample->codes, checkpoint, &graph, &err);

    if (rc == 0) {
        use(sample, graph);
        graph_free(graph);
    } else {
        CHECK(rc == ERR_CORRUPT || rc == ERR_UNSUPPORTED);
        CHECK(err.text[0] != '\0');
        CHECK(graph == NULL);
    }
    checkpoint_close(checkpoint);
    return rc == 0;
}

TEST(graph_with_flipped_bits_is_refused_or_harmless)
{
    struct graph_sample sample;
    struct parts parts;
    uint64_t state = 1;
    int refused = 0, i;

    begin(&sample, &parts);
    CHECK(load_and_use(&sample, &parts));
    for (i = 0; i < ROUNDS; i++) {
        int section = i % SECTIONS;
        uint8_t *at;
        int bit;

        state = state * 6364136223846793005U + 1442695040888963407U;
        at = parts.bytes[section] +
             (state >> 20) % (uint64_t)parts.lens[section];
        bit = (int)(state >> 60) % 8;
        *at ^= (uint8_t)(1 << bit);
        refused += !load_and_use(&sample, &parts);
        *at ^= (uint8_t)(1 << bit);
    }
    CHECK(refused > ROUNDS / 4);
    end(&sample, &parts);
}

static void check_lie(int section, int64_t at, int32_t value, const char *text)
{
    struct checkpoint *checkpoint;
    struct graph *graph = NULL;
    struct graph_sample sample;
    struct parts parts;
    struct err err = {0};

    begin(&sample, &parts);
    memcpy(parts.bytes[section] + at, &value, sizeof value);
    checkpoint = write_parts(&parts);
    CHECK_ERR(graph_load(sample.codes, checkpoint, &graph, &err),
              section == 0 && at == 0 ? ERR_UNSUPPORTED : ERR_CORRUPT);
    CHECK_HAS(err.text, text);
    checkpoint_close(checkpoint);
    end(&sample, &parts);
}

TEST(graph_of_a_newer_version_is_refused)
{
    check_lie(0, 0, 2, "version 2");
}

TEST(graph_with_wrong_options_is_refused)
{
    check_lie(0, 4, 0, "wrong options");
    check_lie(0, 4, 5000, "wrong options");
    check_lie(0, 8, -1, "wrong options");
    check_lie(0, 12, 31, "wrong width");
    check_lie(0, 16, 0, "wrong width");
}

TEST(graph_with_an_entry_outside_is_refused)
{
    check_lie(0, 20, COUNT, "entry that is not there");
    check_lie(0, 20, -2, "entry that is not there");
    check_lie(0, 20, -1, "no entry");
}

TEST(graph_of_more_slots_than_there_are_codes_is_refused)
{
    check_lie(0, 32, COUNT + 1, "wrong count");
    check_lie(0, 36, -1, "wrong count");
    check_lie(0, 44, -1, "wrong count");
}

TEST(graph_with_wrong_levels_or_links_is_refused)
{
    check_lie(1, 0, -1, "wrong levels");
    check_lie(1, 0, 65, "wrong levels");
    check_lie(1, 4, -1, "wrong levels");
    check_lie(2, 0, COUNT, "leads nowhere");
    check_lie(2, 0, -2, "leads nowhere");
    check_lie(3, 0, COUNT, "without its level");
}

TEST(graph_check_finds_links_that_lie)
{
    struct checkpoint *checkpoint;
    struct graph *graph = NULL;
    struct graph_sample sample;
    struct parts parts;
    struct err err = {0};
    int32_t second;

    begin(&sample, &parts);
    memcpy(&second, parts.bytes[2] + 4, sizeof second);
    memcpy(parts.bytes[2], &second, sizeof second);
    checkpoint = write_parts(&parts);
    CHECK_OK(graph_load(sample.codes, checkpoint, &graph, &err), err);
    CHECK_ERR(graph_check(graph, &err), ERR_CORRUPT);
    CHECK_HAS(err.text, "twice");
    graph_free(graph);
    checkpoint_close(checkpoint);
    end(&sample, &parts);
}

/* --- without memory ------------------------------------------------------- */

struct torture {
    struct graph_sample sample;
    struct checkpoint *checkpoint;
    int32_t to[COUNT];
};

/* Everything that takes memory, once. */
static int run_all(struct torture *torture, struct err *err)
{
    const struct graph_options presets = {16, 200, 1};
    struct graph_sample *sample = &torture->sample;
    struct graph *made = NULL, *loaded = NULL, *left = NULL;
    struct graph_walk *walk = NULL;
    struct codes_query *query = NULL;
    const int32_t *slots;
    const float *distances;
    int32_t slot = 3;
    int count, rc;

    rc = graph_new(sample->codes, &presets, &made, err);
    if (rc == 0)
        rc = graph_insert(made, 60, &sample->removed, 1, NULL, NULL, err);
    if (rc == 0)
        rc = graph_remove(made, &slot, 1, &sample->removed, err);
    if (rc == 0)
        rc = graph_renumber(made, sample->codes, torture->to, 60, &left, err);
    if (rc == 0)
        rc = graph_load(sample->codes, torture->checkpoint, &loaded, err);
    if (rc == 0)
        rc = graph_walk_new(loaded, &walk, err);
    if (rc == 0)
        rc = codes_query_new(sample->codes, sample->rows, &query, err);
    if (rc == 0)
        rc = graph_search(loaded, walk, query, 64, NULL, &slots, &distances,
                          &count, err);
    graph_walk_free(walk);
    codes_query_free(query);
    graph_free(made);
    graph_free(loaded);
    graph_free(left);
    return rc;
}

TEST(graph_torture_fails_cleanly_at_every_allocation)
{
    struct torture *torture = mem_new(sizeof *torture);
    struct parts parts;
    struct err err = {0};
    long nth;
    int i, rc = 1;

    begin(&torture->sample, &parts);
    torture->checkpoint = write_parts(&parts);
    for (i = 0; i < COUNT; i++)
        torture->to[i] = i < 30 ? SLOT_NONE : i - 30;
    for (nth = 1; rc != 0; nth++) {
        CHECK(nth < 200);
        err = (struct err){0};
        mem_fail_at(nth);
        rc = run_all(torture, &err);
        mem_fail_at(0);
        CHECK(rc == 0 || rc == ERR_UNAVAILABLE);
    }
    CHECK(nth > 30);
    checkpoint_close(torture->checkpoint);
    end(&torture->sample, &parts);
    mem_free(torture);
}

/* A failed insertion leaves what was in as it was, and can be tried again. */
TEST(graph_goes_on_after_an_insertion_that_failed_for_want_of_memory)
{
    struct graph_sample sample;
    struct err err = {0};
    int64_t count;
    long nth;
    int rc = 1;

    graph_sample_init(&sample, sample_clusters(COUNT, DIM, 10, 1), COUNT, DIM,
                      VECINDEX_L2);
    graph_sample_insert(&sample, 100, 1);
    for (nth = 1; rc != 0; nth++) {
        err = (struct err){0};
        mem_fail_at(nth);
        rc = graph_insert(sample.graph, COUNT, NULL, 2, NULL, NULL, &err);
        mem_fail_at(0);
        CHECK(rc == 0 || rc == ERR_UNAVAILABLE);
        CHECK_OK(graph_check(sample.graph, &err), err);
        count = graph_count(sample.graph);
        CHECK(count >= 100 && count <= COUNT);
    }
    graph_sample_insert(&sample, COUNT, 1);
    CHECK(graph_sample_lost(&sample) <= COUNT / 50);
    graph_sample_release(&sample);
}
