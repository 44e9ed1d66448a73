/* SPDX-License-Identifier: Apache-2.0 */
/* Lists in a checkpoint and back, and checkpoints that lie. */
#include "vectors/lists.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "lists_fixture.h"
#include "vector_samples.h"

static struct checkpoint *reopen(void)
{
    struct checkpoint *checkpoint = NULL;
    struct err err = {0};

    CHECK_OK(checkpoint_open(sample_file("lists"), &checkpoint, &err), err);
    return checkpoint;
}

static struct checkpoint *save(struct lists *lists)
{
    struct checkpoint_writer *writer = NULL;
    struct err err = {0};

    CHECK_OK(checkpoint_begin(sample_file("lists"), &writer, &err), err);
    lists_save(lists, writer);
    CHECK_OK(checkpoint_commit(writer, &err), err);
    return reopen();
}

TEST(lists_are_the_same_after_saving_and_loading)
{
    const enum vec_storage storages[] = {VEC_FLOAT32, VEC_INT8};
    size_t s;
    int i;

    for (s = 0; s < sizeof storages / sizeof storages[0]; s++) {
        struct lists_set set;
        struct lists *lists, *back = NULL;
        struct checkpoint *checkpoint;
        struct lists_ask *ask;
        struct near before[LISTS_K];
        struct err err = {0};

        lists_set_make(&set, VECINDEX_COSINE, storages[s]);
        lists = lists_set_train(&set);
        lists_set_insert(lists, &set, 700);
        lists_set_insert(lists, &set, 2000);
        ask = lists_ask_new(&set, 3);
        ask->end = 2000;
        lists_ask_search(lists, &set, set.rows + LISTS_DIM, ask);
        memcpy(before, ask->hits, sizeof before);
        checkpoint = save(lists);
        CHECK_OK(lists_load(set.codes, checkpoint, &back, &err), err);
        CHECK_INT(lists_count(back), 2000);
        CHECK_INT(lists_nlist(back), LISTS_NLIST);
        CHECK_INT(lists_trained_on(back), LISTS_COUNT);
        CHECK(lists_memory(back) < lists_memory(lists));
        lists_free(lists);
        lists_ask_search(back, &set, set.rows + LISTS_DIM, ask);
        CHECK_INT(ask->count, LISTS_K);
        for (i = 0; i < LISTS_K; i++) {
            CHECK_INT(ask->hits[i].id, before[i].id);
            CHECK_NEAR(ask->hits[i].distance, before[i].distance, 0);
        }
        /* They grow on, behind what is mapped. */
        lists_set_insert(back, &set, LISTS_COUNT);
        CHECK_OK(lists_check(back, &err), err);
        ask->end = LISTS_COUNT;
        ask->nprobe = LISTS_NLIST;
        CHECK_NEAR(lists_ask_recall(back, &set, ask), 1, 0);
        mem_free(ask);
        lists_free(back);
        checkpoint_close(checkpoint);
        lists_set_release(&set);
    }
}

TEST(lists_without_rows_are_saved_and_loaded)
{
    struct lists_set set;
    struct lists *lists, *back = NULL;
    struct checkpoint *checkpoint;
    struct err err = {0};

    lists_set_make(&set, VECINDEX_L2, VEC_INT8);
    lists = lists_set_train(&set);
    checkpoint = save(lists);
    CHECK_OK(lists_load(set.codes, checkpoint, &back, &err), err);
    CHECK_INT(lists_count(back), 0);
    lists_set_insert(back, &set, LISTS_COUNT);
    CHECK_OK(lists_check(back, &err), err);
    lists_free(lists);
    lists_free(back);
    checkpoint_close(checkpoint);
    lists_set_release(&set);
}

/* --- lies ----------------------------------------------------------------- */

static const char *const names[] = {"ivfh", "ivfc", "ivfn",
                                    "ivfs", "ivfk", "ivfa"};
enum { NAMES = sizeof names / sizeof names[0] };

/* The bytes of each section, to be changed and written again. */
struct sections {
    uint8_t *bytes[NAMES];
    int64_t lens[NAMES];
};

static void sections_read(struct lists *lists, struct sections *out)
{
    struct checkpoint *checkpoint = save(lists);
    struct err err = {0};
    int i;

    for (i = 0; i < NAMES; i++) {
        void *section = NULL;

        CHECK_OK(checkpoint_section(checkpoint, names[i], 0, 0, &section,
                                    &out->lens[i], &err),
                 err);
        out->bytes[i] = mem_new((size_t)out->lens[i] + 1);
        memcpy(out->bytes[i], section, (size_t)out->lens[i]);
    }
    checkpoint_close(checkpoint);
}

/* Writes them with good checksums and loads them; on success checks them. */
static int load_changed(const struct sections *sections, int left_out,
                        const struct lists_set *set, struct err *err)
{
    struct checkpoint_writer *writer = NULL;
    struct checkpoint *checkpoint;
    struct lists *lists = NULL;
    int i, rc;

    *err = (struct err){0};
    CHECK_OK(checkpoint_begin(sample_file("lists"), &writer, err), *err);
    for (i = 0; i < NAMES; i++) {
        if (i == left_out)
            continue;
        checkpoint_start(writer, names[i]);
        checkpoint_put(writer, sections->bytes[i], (size_t)sections->lens[i]);
    }
    CHECK_OK(checkpoint_commit(writer, err), *err);
    checkpoint = reopen();
    rc = lists_load(set->codes, checkpoint, &lists, err);
    CHECK((rc == 0) == (lists != NULL));
    if (rc == 0)
        rc = lists_check(lists, err);
    lists_free(lists);
    checkpoint_close(checkpoint);
    return rc;
}

static void check_lie(const struct sections *sections,
                      const struct lists_set *set, const char *part)
{
    struct err err;

    CHECK_ERR(load_changed(sections, -1, set, &err), ERR_CORRUPT);
    CHECK_HAS(err.text, part);
}

/* Changes number `at` of a section of int64 or int32, tries it, and puts it
 * back. */
static void lie_64(struct sections *sections, int section, int at,
                   int64_t value, const struct lists_set *set, const char *part)
{
    int64_t *values = (void *)sections->bytes[section], old = values[at];

    values[at] = value;
    check_lie(sections, set, part);
    values[at] = old;
}

static void lie_32(struct sections *sections, int section, int at,
                   int32_t value, const struct lists_set *set, const char *part)
{
    int32_t *values = (void *)sections->bytes[section], old = values[at];

    values[at] = value;
    check_lie(sections, set, part);
    values[at] = old;
}

static void lie_in_head(struct sections *sections, const struct lists_set *set)
{
    const int64_t bad[] = {-1, 0, INT64_MIN, INT64_MAX, 1 << 30};
    struct err err;
    size_t i;
    int64_t *head = (void *)sections->bytes[0];

    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        lie_64(sections, 0, 1, bad[i], set, "lists");
        lie_64(sections, 0, 2, bad[i], set, "other rows");
        lie_64(sections, 0, 5, bad[i], set, "other rows");
        lie_64(sections, 0, 7, bad[i], set, "slots");
        lie_64(sections, 0, 9, bad[i], set, "");
    }
    lie_64(sections, 0, 1, LISTS_NLIST + 1, set, "");
    lie_64(sections, 0, 3, VECINDEX_IP, set, "other rows");
    lie_64(sections, 0, 4, VEC_FLOAT16, set, "other rows");
    lie_64(sections, 0, 6, 4, set, "other rows");
    lie_64(sections, 0, 9, LISTS_COUNT - 1, set, "");
    head[0] = 2;
    CHECK_ERR(load_changed(sections, -1, set, &err), ERR_UNSUPPORTED);
    CHECK_HAS(err.text, "format 2");
    head[0] = 1;
}

TEST(lists_that_lie_are_refused)
{
    struct lists_set set;
    struct lists *lists;
    struct sections sections = {{NULL}, {0}};
    struct err err;
    int32_t *slots;
    int i, first;

    lists_set_make(&set, VECINDEX_L2, VEC_INT8);
    lists = lists_set_make_lists(&set);
    sections_read(lists, &sections);
    CHECK_OK(load_changed(&sections, -1, &set, &err), err);
    lie_in_head(&sections, &set);
    for (i = 0; i < NAMES; i++) {
        CHECK_ERR(load_changed(&sections, i, &set, &err), ERR_CORRUPT);
        sections.lens[i]--;
        CHECK_ERR(load_changed(&sections, -1, &set, &err), ERR_CORRUPT);
        sections.lens[i]++;
    }
    lie_32(&sections, 1, 5, 0x7f800000, &set, "centroid 0");  /* infinity */
    lie_32(&sections, 1, 70, 0x7fc00000, &set, "centroid 1"); /* NaN */
    lie_64(&sections, 2, 3, -1, &set, "list 3");
    lie_64(&sections, 2, 3, INT64_MAX, &set, "list 3");
    lie_64(&sections, 2, LISTS_NLIST - 1, 0, &set, "rows, not");
    lie_32(&sections, 3, 0, -1, &set, "list 0");
    lie_32(&sections, 3, 0, LISTS_COUNT, &set, "list 0");
    slots = (void *)sections.bytes[3];
    lie_32(&sections, 3, 1, slots[0], &set, "list 0");
    /* What only lists_check can see: a slot of one list in another, codes of
     * another row. */
    first = (int)((int64_t *)(void *)sections.bytes[2])[0];
    lie_32(&sections, 3, first, slots[0] == 0 ? 1 : 0, &set, "slot");
    sections.bytes[4][9] ^= 1;
    check_lie(&sections, &set, "other codes in list 0");
    sections.bytes[4][9] ^= 1;
    sections.bytes[5][2] ^= 1;
    check_lie(&sections, &set, "other codes in list 0");
    sections.bytes[5][2] ^= 1;
    CHECK_OK(load_changed(&sections, -1, &set, &err), err);
    for (i = 0; i < NAMES; i++)
        mem_free(sections.bytes[i]);
    lists_free(lists);
    lists_set_release(&set);
}

TEST(lists_are_not_loaded_for_other_rows)
{
    struct lists_set set, other;
    struct lists *lists, *back = NULL;
    struct checkpoint *checkpoint;
    struct err err = {0};

    lists_set_make(&set, VECINDEX_L2, VEC_INT8);
    lists_set_make(&other, VECINDEX_L2, VEC_FLOAT16);
    lists = lists_set_make_lists(&set);
    checkpoint = save(lists);
    CHECK_ERR(lists_load(other.codes, checkpoint, &back, &err), ERR_CORRUPT);
    CHECK_HAS(err.text, "other rows");
    CHECK(back == NULL);
    checkpoint_close(checkpoint);
    lists_free(lists);
    lists_set_release(&set);
    lists_set_release(&other);
}

TEST(lists_loading_survives_torture)
{
    struct lists_set set;
    struct lists *lists, *back = NULL;
    struct checkpoint *checkpoint;
    long nth;

    lists_set_make(&set, VECINDEX_COSINE, VEC_INT8);
    lists = lists_set_make_lists(&set);
    checkpoint = save(lists);
    for (nth = 1; nth < 500; nth++) {
        struct err err = {0};
        int rc;

        mem_fail_at(nth);
        rc = lists_load(set.codes, checkpoint, &back, &err);
        if (rc == 0)
            break;
        CHECK_ERR(rc, ERR_UNAVAILABLE);
        CHECK(back == NULL);
    }
    mem_fail_at(0);
    CHECK(nth > 40 && nth < 500);
    CHECK_INT(lists_count(back), LISTS_COUNT);
    lists_free(back);
    lists_free(lists);
    checkpoint_close(checkpoint);
    lists_set_release(&set);
}

/* --- damaged rows --------------------------------------------------------- */

static int refuse(void *user, int64_t slot, struct err *err)
{
    const int64_t *bad = user;

    return slot == *bad
               ? err_set(err, ERR_CORRUPT, "slot %d is damaged", (int)slot)
               : 0;
}

/* Codes whose float32 rows were not looked at yet. */
static struct codes *load_codes(struct lists_set *set, int64_t *bad,
                                struct checkpoint *checkpoint)
{
    const struct codes_options options = {.dim = LISTS_DIM,
                                          .metric = VECINDEX_L2,
                                          .storage = VEC_INT8,
                                          .check = refuse,
                                          .user = bad};
    struct codes *codes = NULL;
    struct err err = {0};

    CHECK_OK(codes_load(&options, checkpoint, set->places, LISTS_COUNT, &codes,
                        &err),
             err);
    return codes;
}

TEST(lists_tell_of_damaged_rows)
{
    struct checkpoint_writer *writer = NULL;
    struct checkpoint *checkpoint = NULL;
    struct codes *whole;
    struct lists_set set;
    struct lists *lists;
    struct lists_ask *ask;
    struct err err = {0};
    int64_t bad = -1;

    lists_set_make(&set, VECINDEX_L2, VEC_INT8);
    lists = lists_set_train(&set);
    CHECK_OK(checkpoint_begin(sample_file("codes"), &writer, &err), err);
    codes_save(set.codes, LISTS_COUNT, writer);
    lists_save(lists, writer);
    CHECK_OK(checkpoint_commit(writer, &err), err);
    lists_free(lists);
    CHECK_OK(checkpoint_open(sample_file("codes"), &checkpoint, &err), err);
    whole = set.codes;
    set.codes = load_codes(&set, &bad, checkpoint);
    CHECK_OK(lists_load(set.codes, checkpoint, &lists, &err), err);
    lists_set_insert(lists, &set, 1000);
    bad = 1500;
    CHECK_ERR(
        lists_insert(lists, LISTS_COUNT, &set.removed, 1, NULL, NULL, &err),
        ERR_CORRUPT);
    CHECK_HAS(err.text, "slot 1500");
    CHECK_INT(lists_count(lists), 1000);
    lists_free(lists);
    codes_free(set.codes);

    /* Damage that shows after the row went in. */
    bad = 77;
    set.codes = whole;
    lists = lists_set_make_lists(&set);
    CHECK_OK(checkpoint_begin(sample_file("lists"), &writer, &err), err);
    codes_save(set.codes, LISTS_COUNT, writer);
    lists_save(lists, writer);
    CHECK_OK(checkpoint_commit(writer, &err), err);
    lists_free(lists);
    checkpoint_close(checkpoint);
    CHECK_OK(checkpoint_open(sample_file("lists"), &checkpoint, &err), err);
    set.codes = load_codes(&set, &bad, checkpoint);
    CHECK_OK(lists_load(set.codes, checkpoint, &lists, &err), err);
    ask = lists_ask_new(&set, LISTS_NLIST);
    err = (struct err){0};
    CHECK_ERR(lists_ask_try(lists, &set, set.rows + 77 * LISTS_DIM, ask, &err),
              ERR_CORRUPT);
    err = (struct err){0};
    CHECK_ERR(lists_check(lists, &err), ERR_CORRUPT);
    CHECK_HAS(err.text, "slot 77");
    mem_free(ask);
    lists_free(lists);
    codes_free(set.codes);
    checkpoint_close(checkpoint);
    set.codes = whole;
    lists_set_release(&set);
}
