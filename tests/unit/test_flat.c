/* SPDX-License-Identifier: Apache-2.0 */
#include "flat_fixture.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vectors/dot.h"

/* --- against brute force in double ------------------------------------ */

static double true_distance(const float *a, const float *b, int dim,
                            enum flat_metric metric)
{
    double inner = 0, square = 0, a2 = 0, b2 = 0;
    int i;

    for (i = 0; i < dim; i++) {
        double x = (double)a[i], y = (double)b[i];

        inner += x * y;
        square += (x - y) * (x - y);
        a2 += x * x;
        b2 += y * y;
    }
    if (metric == FLAT_L2)
        return sqrt(square);
    return 1 - (metric == FLAT_IP ? inner : inner / sqrt(a2 * b2));
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Every hit has its true distance, and the hit of rank i is as near as the
 * true one of rank i: so the right ones, up to ties within the rounding. */
static void check_search(struct flat *index, int dim, enum flat_metric metric,
                         int count, int k)
{
    static double sorted[4096];
    float query[FIXTURE_DIM_MAX], row[FIXTURE_DIM_MAX];
    struct flat_hit hits[FLAT_K_MAX];
    struct err err = {0};
    int hit_count = 0;
    int i;

    fixture_vector(1000000 + (uint64_t)dim, dim, query);
    for (i = 0; i < count; i++) {
        fixture_vector((uint64_t)i, dim, row);
        sorted[i] = true_distance(query, row, dim, metric);
    }
    qsort(sorted, (size_t)count, sizeof sorted[0], by_size);
    CHECK_OK(flat_search(index, query, dim, k, NULL, hits, &hit_count, &err),
             err);
    CHECK_INT(hit_count, k < count ? k : count);
    for (i = 0; i < hit_count; i++) {
        double slack = 1e-5 * (metric == FLAT_IP ? dim : 1 + sorted[i]);

        fixture_vector((uint64_t)hits[i].entry.id, dim, row);
        CHECK_NEAR(hits[i].distance, true_distance(query, row, dim, metric),
                   slack);
        CHECK_NEAR(hits[i].distance, sorted[i], slack);
        CHECK(i == 0 || hits[i - 1].distance <= hits[i].distance);
        CHECK_TEXT(hits[i].entry.path,
                   fixture_path((uint64_t)hits[i].entry.id));
    }
}

static void check_metric(enum flat_metric metric)
{
    static const int dims[] = {1, 2, 3, 16, 17, 100, 512, 1280};
    size_t i;
    int j;

    for (i = 0; i < sizeof dims / sizeof dims[0]; i++) {
        struct flat *index = NULL;
        struct err err = {0};
        char name[32];

        snprintf(name, sizeof name, "m%d-%d", (int)metric, dims[i]);
        index = fixture_open(fixture_file(name), FLAT_WRITE, dims[i], metric);
        CHECK_OK(flat_begin(index, &err), err);
        for (j = 0; j < 300; j++)
            fixture_add(index, dims[i], (uint64_t)j);
        CHECK_OK(flat_commit(index, &err), err);
        check_search(index, dims[i], metric, 300, 10);
        check_search(index, dims[i], metric, 300, 300);
        check_search(index, dims[i], metric, 300, FLAT_K_MAX);
        flat_close(index);
        index = fixture_open(fixture_file(name), FLAT_READ, dims[i], metric);
        check_search(index, dims[i], metric, 300, 10);
        flat_close(index);
    }
}

TEST(flat_finds_by_euclidean_distance_what_brute_force_finds)
{
    check_metric(FLAT_L2);
}

TEST(flat_finds_by_inner_product_what_brute_force_finds)
{
    check_metric(FLAT_IP);
}

TEST(flat_finds_by_cosine_what_brute_force_finds)
{
    check_metric(FLAT_COSINE);
}

TEST(flat_finds_among_rows_of_several_blocks)
{
    struct flat *index =
        fixture_open(fixture_file("blocks"), FLAT_WRITE, 8, FLAT_L2);
    struct err err = {0};
    int i;

    CHECK_OK(flat_begin(index, &err), err);
    for (i = 0; i < 4096; i++)
        fixture_add(index, 8, (uint64_t)i);
    CHECK_OK(flat_commit(index, &err), err);
    check_search(index, 8, FLAT_L2, 4096, 50);
    fixture_check(index, 8, 4096);
    flat_close(index);
}

TEST(flat_breaks_ties_by_id)
{
    struct flat *index =
        fixture_open(fixture_file("ties"), FLAT_WRITE, 3, FLAT_L2);
    const float far[] = {9, 9, 9}, same[] = {1, 2, 3};
    struct flat_hit hits[FLAT_K_MAX];
    struct err err = {0};
    int i, count = 0;

    CHECK_OK(flat_add(index, far, "far", "", "", NULL, &err), err);
    for (i = 0; i < 40; i++)
        CHECK_OK(flat_add(index, same, "same", "", "", NULL, &err), err);
    CHECK_OK(flat_search(index, same, 3, 7, NULL, hits, &count, &err), err);
    CHECK_INT(count, 7);
    for (i = 0; i < count; i++)
        CHECK_INT(hits[i].entry.id, i + 1);
    CHECK_OK(flat_search(index, same, 3, 1000, NULL, hits, &count, &err), err);
    CHECK_INT(count, 41);
    for (i = 0; i < 40; i++)
        CHECK_INT(hits[i].entry.id, i + 1);
    CHECK_INT(hits[40].entry.id, 0);
    flat_close(index);
}

/* The file has, little-endian: "FLATREF1", int32 n, d, queries, k, then n x d
 * and queries x d numbers as int8 (to be divided by 64), then for L2 and for
 * IP queries x k ids as int32 and distances as float32. */
struct reference {
    char magic[8];
    int32_t n, d, query_count, k;
    int8_t numbers[];
};

static void check_reference(const struct reference *reference,
                            enum flat_metric metric, const int32_t *ids,
                            const float *distances)
{
    struct flat *index =
        fixture_open(fixture_file(metric == FLAT_L2 ? "l2" : "ip"), FLAT_WRITE,
                     reference->d, metric);
    struct flat_hit hits[FLAT_K_MAX];
    float vector[FIXTURE_DIM_MAX];
    struct err err = {0};
    int i, j, count = 0;

    CHECK_OK(flat_begin(index, &err), err);
    for (i = 0; i < reference->n + reference->query_count; i++) {
        for (j = 0; j < reference->d; j++)
            vector[j] = (float)reference->numbers[i * reference->d + j] / 64.0F;
        if (i < reference->n) {
            CHECK_OK(flat_add(index, vector, "x", "", "", NULL, &err), err);
            continue;
        }
        CHECK_OK(flat_search(index, vector, reference->d, reference->k, NULL,
                             hits, &count, &err),
                 err);
        CHECK_INT(count, reference->k);
        for (j = 0; j < count; j++) {
            CHECK_INT(hits[j].entry.id, *ids++);
            CHECK_NEAR(hits[j].distance, *distances,
                       1e-5 * (1 + fabs((double)*distances)));
            distances++;
        }
    }
    CHECK_OK(flat_commit(index, &err), err);
    flat_close(index);
}

TEST(flat_answers_as_faiss_does)
{
    static _Alignas(8) uint8_t bytes[1 << 17];
    const struct reference *reference = (const void *)bytes;
    size_t len =
        fixture_read(test_data("flat_reference.bin"), bytes, sizeof bytes);
    size_t number_count, hit_count;
    const uint8_t *place = (const uint8_t *)reference->numbers;

    CHECK(len > sizeof *reference);
    CHECK(memcmp(reference->magic, "FLATREF1", 8) == 0);
    CHECK(reference->d <= FIXTURE_DIM_MAX);
    number_count =
        (size_t)(reference->n + reference->query_count) * (size_t)reference->d;
    hit_count = (size_t)(reference->query_count * reference->k);
    CHECK_INT(len, sizeof *reference + number_count + 16 * hit_count);
    CHECK_INT(number_count % 4, 0);
    place += number_count;
    check_reference(reference, FLAT_L2, (const int32_t *)(const void *)place,
                    (const float *)(const void *)(place + 4 * hit_count));
    place += 8 * hit_count;
    check_reference(reference, FLAT_IP, (const int32_t *)(const void *)place,
                    (const float *)(const void *)(place + 4 * hit_count));
}

/* --- what is refused -------------------------------------------------- */

TEST(flat_empty_index_gives_nothing)
{
    struct flat *index =
        fixture_open(fixture_file("empty"), FLAT_WRITE, 4, FLAT_COSINE);
    const float query[] = {1, 2, 3, 4};
    struct flat_info info;
    struct flat_hit hit;
    struct err err = {0};
    int count = 7;

    CHECK_OK(flat_search(index, query, 4, 1, NULL, &hit, &count, &err), err);
    CHECK_INT(count, 0);
    CHECK(!flat_has(index, fixture_sha256(1)));
    flat_info(index, &info);
    CHECK_INT(info.count, 0);
    CHECK_INT(info.dim, 4);
    CHECK_INT(info.metric, FLAT_COSINE);
    CHECK_INT(info.file_len, 256);
    CHECK_INT(info.torn_len, 0);
    CHECK_TEXT(info.model, "model-1");
    CHECK_TEXT(info.kernels, dot_best()->name);
    flat_close(index);
    index = fixture_open(fixture_file("empty"), FLAT_READ, 0, FLAT_L2);
    CHECK_INT(fixture_count(index), 0);
    CHECK_OK(flat_search(index, query, 4, 1, NULL, &hit, &count, &err), err);
    CHECK_INT(count, 0);
    flat_close(index);
}

static void check_refused(struct flat *index, const float *vector,
                          const char *part)
{
    struct flat_hit hit = {.distance = 42};
    struct err err = {0};
    bool is_new = true;
    int count = 7;

    CHECK_ERR(flat_add(index, vector, "x", "", "", &is_new, &err), ERR_INVALID);
    CHECK_HAS(err.text, part);
    CHECK_ERR(flat_search(index, vector, 5, 1, NULL, &hit, &count, &err),
              ERR_INVALID);
    CHECK_HAS(err.text, part);
    CHECK(count == 7 && hit.distance == 42 && is_new);
}

TEST(flat_refuses_vectors_that_have_no_distance)
{
    struct flat *l2 = fixture_open(fixture_file("l2"), FLAT_WRITE, 5, FLAT_L2);
    struct flat *cosine =
        fixture_open(fixture_file("cos"), FLAT_WRITE, 5, FLAT_COSINE);
    const float zero[5] = {0};
    struct flat_hit hit;
    struct err err = {0};
    int i, count = 0;

    fixture_add(l2, 5, 1);
    fixture_add(cosine, 5, 1);
    for (i = 0; i < 5; i++) {
        float vector[5] = {1, 1, 1, 1, 1};

        vector[i] = (float)NAN;
        check_refused(l2, vector, "NaN");
        vector[i] = (float)INFINITY;
        check_refused(l2, vector, "infinite");
        vector[i] = (float)-INFINITY;
        check_refused(cosine, vector, "infinite");
        vector[i] = 1e19F;
        check_refused(l2, vector, "huge");
    }
    check_refused(cosine, zero, "length 0");
    CHECK_OK(flat_search(l2, zero, 5, 1, NULL, &hit, &count, &err), err);
    CHECK_INT(count, 1);
    CHECK_OK(flat_add(l2, zero, "zero", "", "", NULL, &err), err);
    CHECK_INT(fixture_count(l2), 2);
    CHECK_INT(fixture_count(cosine), 1);
    flat_close(l2);
    flat_close(cosine);
}

TEST(flat_keeps_huge_vectors_apart_without_overflow)
{
    struct flat *index =
        fixture_open(fixture_file("huge"), FLAT_WRITE, 2, FLAT_L2);
    const float up[] = {2e18F, 2e18F}, down[] = {-2e18F, -2e18F};
    struct flat_hit hits[2];
    struct err err = {0};
    int count = 0;

    CHECK_OK(flat_add(index, down, "down", "", "", NULL, &err), err);
    CHECK_OK(flat_add(index, up, "up", "", "", NULL, &err), err);
    CHECK_OK(flat_search(index, up, 2, 2, NULL, hits, &count, &err), err);
    CHECK_INT(count, 2);
    CHECK_TEXT(hits[0].entry.path, "up");
    CHECK_NEAR(hits[1].distance, 4e18 * sqrt(2), 1e13);
    flat_close(index);
}

TEST(flat_refuses_a_wrong_length_a_wrong_k_and_long_names)
{
    static char long_text[FLAT_PATH_MAX + 2];
    struct flat *index =
        fixture_open(fixture_file("x"), FLAT_WRITE, 3, FLAT_L2);
    const float query[3] = {1, 2, 3};
    struct flat_hit hit;
    struct err err = {0};
    int count = 7;

    memset(long_text, 'x', sizeof long_text - 1);
    CHECK_ERR(flat_search(index, query, 2, 1, NULL, &hit, &count, &err),
              ERR_INVALID);
    CHECK_TEXT(err.text, "the vector has 2 floats; the index has 3");
    CHECK_ERR(flat_search(index, query, 3, 0, NULL, &hit, &count, &err),
              ERR_INVALID);
    CHECK_ERR(flat_search(index, query, 3, 1001, NULL, &hit, &count, &err),
              ERR_INVALID);
    CHECK_TEXT(err.text, "k is 1001; it must be 1..1000");
    CHECK_ERR(flat_search(index, query, 3, 1, "xyz", &hit, &count, &err),
              ERR_INVALID);
    CHECK_INT(count, 7);
    CHECK_ERR(flat_add(index, query, long_text, "", "", NULL, &err),
              ERR_INVALID);
    CHECK_HAS(err.text, "4096");
    CHECK_ERR(flat_add(index, query, "", "", "", NULL, &err), ERR_INVALID);
    long_text[FLAT_LABEL_MAX + 1] = '\0';
    CHECK_ERR(flat_add(index, query, "x", "", long_text, NULL, &err),
              ERR_INVALID);
    CHECK_HAS(err.text, "256");
    CHECK_ERR(flat_add(index, query, "x", "12", "", NULL, &err), ERR_INVALID);
    long_text[HASH_HEX_LEN] = '\0';
    CHECK_ERR(flat_add(index, query, "x", long_text, "", NULL, &err),
              ERR_INVALID);
    CHECK_INT(fixture_count(index), 0);
    flat_close(index);
}

TEST(flat_keeps_names_of_the_greatest_length)
{
    static char path[FLAT_PATH_MAX + 1], label[FLAT_LABEL_MAX + 1];
    struct flat *index =
        fixture_open(fixture_file("x"), FLAT_WRITE, 3, FLAT_L2);
    const float query[3] = {1, 2, 3};
    struct flat_hit hit;
    struct err err = {0};
    int count = 0;

    memset(path, 'p', FLAT_PATH_MAX);
    memset(label, 'l', FLAT_LABEL_MAX);
    CHECK_OK(flat_add(index, query, path, fixture_sha256(1), label, NULL, &err),
             err);
    flat_close(index);
    index = fixture_open(fixture_file("x"), FLAT_WRITE, 3, FLAT_L2);
    CHECK_OK(flat_search(index, query, 3, 1, NULL, &hit, &count, &err), err);
    CHECK_TEXT(hit.entry.path, path);
    CHECK_TEXT(hit.entry.label, label);
    CHECK_TEXT(hit.entry.sha256, fixture_sha256(1));
    flat_close(index);
}

static void check_open_fails(const char *path, enum flat_mode mode, int dim,
                             enum flat_metric metric, const char *model,
                             enum err_code code, const char *part)
{
    struct flat *index = NULL;
    struct err err = {0};

    CHECK_ERR(flat_open(path, mode, dim, metric, model, &index, &err), code);
    CHECK_HAS(err.text, part);
    CHECK(index == NULL);
}

TEST(flat_open_names_both_when_dim_metric_or_model_differ)
{
    const char *path = fixture_file("x");
    struct flat *index = fixture_open(path, FLAT_WRITE, 12, FLAT_L2);
    struct err err = {0};

    flat_close(index);
    check_open_fails(path, FLAT_READ, 13, FLAT_L2, NULL, ERR_CONFLICT,
                     "vectors of 12 floats; not 13");
    check_open_fails(path, FLAT_WRITE, 12, FLAT_IP, NULL, ERR_CONFLICT,
                     "metric L2; not IP");
    check_open_fails(path, FLAT_READ, 12, FLAT_L2, "model-2", ERR_CONFLICT,
                     "model 'model-1'; not 'model-2'");
    check_open_fails(path, FLAT_READ, -1, FLAT_L2, NULL, ERR_INVALID, "-1");
    check_open_fails(path, FLAT_READ, 65537, FLAT_L2, NULL, ERR_INVALID,
                     "1..65536");
    CHECK_OK(flat_open(path, FLAT_WRITE, 12, FLAT_L2, NULL, &index, &err), err);
    flat_close(index);
    CHECK_OK(flat_open(path, FLAT_READ, 0, FLAT_IP, "other", &index, &err),
             err);
    flat_close(index);
}

TEST(flat_open_tells_what_is_absent_from_what_is_no_file)
{
    check_open_fails(fixture_file("none"), FLAT_READ, 3, FLAT_L2, NULL,
                     ERR_NOT_FOUND, "not there");
    check_open_fails(fixture_file("none"), FLAT_WRITE, 0, FLAT_L2, NULL,
                     ERR_NOT_FOUND, "not there");
    CHECK(access(fixture_file("none"), F_OK) != 0);
    check_open_fails(fixture_file("none/x"), FLAT_WRITE, 3, FLAT_L2, NULL,
                     ERR_NOT_FOUND, "not there");
    check_open_fails(test_dir(), FLAT_READ, 3, FLAT_L2, NULL, ERR_INVALID,
                     "not a file");
}

TEST(flat_open_for_reading_refuses_to_add)
{
    const char *path = fixture_file("x");
    struct flat *index = fixture_open(path, FLAT_WRITE, 2, FLAT_L2);
    const float vector[] = {1, 2};
    struct err err = {0};

    flat_close(index);
    index = fixture_open(path, FLAT_READ, 2, FLAT_L2);
    CHECK_ERR(flat_add(index, vector, "x", "", "", NULL, &err), ERR_INVALID);
    CHECK_ERR(flat_begin(index, &err), ERR_INVALID);
    CHECK_ERR(flat_commit(index, &err), ERR_INVALID);
    flat_close(index);
}

/* --- entries ---------------------------------------------------------- */

TEST(flat_keeps_a_duplicate_once_with_its_last_path_and_label)
{
    const char *path = fixture_file("x");
    struct flat *index = fixture_open(path, FLAT_WRITE, 4, FLAT_L2);
    struct flat *reader = fixture_open(path, FLAT_READ, 4, FLAT_L2);
    float vector[4];
    char capitals[HASH_HEX_LEN + 1];
    struct flat_hit hit;
    struct err err = {0};
    bool is_new = true;
    int i, count = 0;

    for (i = 0; i < 5; i++)
        fixture_add(index, 4, (uint64_t)i);
    CHECK_OK(flat_refresh(reader, &err), err);
    for (i = 0; i <= HASH_HEX_LEN; i++) {
        char c = fixture_sha256(3)[i];

        capitals[i] = (char)(c >= 'a' ? c - 'a' + 'A' : c);
    }
    fixture_vector(3, 4, vector);
    CHECK_OK(
        flat_add(index, vector, "moved.jpg", capitals, "hat", &is_new, &err),
        err);
    CHECK(!is_new);
    CHECK_INT(fixture_count(index), 5);
    CHECK_OK(flat_refresh(reader, &err), err);
    CHECK_OK(flat_search(reader, vector, 4, 1, NULL, &hit, &count, &err), err);
    CHECK_TEXT(hit.entry.path, "moved.jpg");
    flat_close(reader);
    flat_close(index);
    index = fixture_open(path, FLAT_WRITE, 4, FLAT_L2);
    CHECK_INT(fixture_count(index), 5);
    CHECK_OK(flat_search(index, vector, 4, 1, NULL, &hit, &count, &err), err);
    CHECK_INT(hit.entry.id, 3);
    CHECK_TEXT(hit.entry.path, "moved.jpg");
    CHECK_TEXT(hit.entry.label, "hat");
    CHECK_TEXT(hit.entry.sha256, fixture_sha256(3));
    CHECK(flat_has(index, fixture_sha256(3)) && flat_has(index, capitals));
    CHECK(!flat_has(index, fixture_sha256(9)) && !flat_has(index, ""));
    flat_close(index);
}

TEST(flat_writes_nothing_for_a_duplicate_that_is_the_same)
{
    struct flat *index =
        fixture_open(fixture_file("x"), FLAT_WRITE, 4, FLAT_L2);
    struct flat_info before, after;
    float vector[4];
    struct err err = {0};
    bool is_new = true;

    fixture_add(index, 4, 1);
    flat_info(index, &before);
    fixture_vector(1, 4, vector);
    CHECK_OK(flat_add(index, vector, fixture_path(1), fixture_sha256(1),
                      "label", &is_new, &err),
             err);
    flat_info(index, &after);
    CHECK(!is_new);
    CHECK_INT(after.file_len, before.file_len);
    flat_close(index);
}

TEST(flat_entries_without_sha256_are_never_duplicates)
{
    struct flat *index =
        fixture_open(fixture_file("x"), FLAT_WRITE, 2, FLAT_L2);
    const float vector[] = {1, 2};
    struct err err = {0};
    bool is_new = false;

    CHECK_OK(flat_add(index, vector, "x", "", "", NULL, &err), err);
    CHECK_OK(flat_add(index, vector, "x", NULL, NULL, &is_new, &err), err);
    CHECK(is_new);
    CHECK_INT(fixture_count(index), 2);
    flat_close(index);
}

TEST(flat_search_leaves_the_excluded_image_out)
{
    struct flat *index =
        fixture_open(fixture_file("x"), FLAT_WRITE, 4, FLAT_COSINE);
    struct flat_hit hits[10];
    float query[4];
    struct err err = {0};
    int i, count = 0;

    for (i = 0; i < 10; i++)
        fixture_add(index, 4, (uint64_t)i);
    fixture_vector(6, 4, query);
    CHECK_OK(flat_search(index, query, 4, 10, NULL, hits, &count, &err), err);
    CHECK_INT(count, 10);
    CHECK_INT(hits[0].entry.id, 6);
    CHECK_OK(
        flat_search(index, query, 4, 10, fixture_sha256(6), hits, &count, &err),
        err);
    CHECK_INT(count, 9);
    for (i = 0; i < count; i++)
        CHECK(hits[i].entry.id != 6);
    CHECK_OK(flat_search(index, query, 4, 10, fixture_sha256(77), hits, &count,
                         &err),
             err);
    CHECK_INT(count, 10);
    flat_close(index);
}

/* --- files and processes ---------------------------------------------- */

TEST(flat_keeps_its_entries_over_a_restart)
{
    const char *path = fixture_file("x");
    int64_t round, i;

    for (round = 0; round < 4; round++) {
        struct flat *index = fixture_open(path, FLAT_WRITE, 33, FLAT_L2);

        fixture_check(index, 33, 7 * round);
        for (i = 0; i < 7; i++)
            fixture_add(index, 33, (uint64_t)(7 * round + i));
        fixture_check(index, 33, 7 * (round + 1));
        flat_close(index);
    }
}

TEST(flat_refresh_shows_what_another_handle_added)
{
    const char *path = fixture_file("x");
    struct flat *writer = fixture_open(path, FLAT_WRITE, 20, FLAT_L2);
    struct flat *reader = fixture_open(path, FLAT_READ, 20, FLAT_L2);
    struct err err = {0};
    int64_t i;

    for (i = 0; i < 30; i++) {
        CHECK_INT(fixture_count(reader), i);
        fixture_add(writer, 20, (uint64_t)i);
        CHECK_INT(fixture_count(reader), i);
        CHECK_OK(flat_refresh(reader, &err), err);
        CHECK_OK(flat_refresh(reader, &err), err);
        CHECK_OK(flat_refresh(writer, &err), err);
    }
    CHECK_OK(flat_begin(writer, &err), err);
    for (; i < 1500; i++)
        fixture_add(writer, 20, (uint64_t)i);
    CHECK_OK(flat_commit(writer, &err), err);
    CHECK_OK(flat_refresh(reader, &err), err);
    fixture_check(reader, 20, 1500);
    CHECK(flat_has(reader, fixture_sha256(1499)));
    flat_close(writer);
    CHECK_OK(flat_refresh(reader, &err), err);
    CHECK_INT(fixture_count(reader), 1500);
    flat_close(reader);
}

TEST(flat_batches_are_begun_once_and_committed_once)
{
    struct flat *index =
        fixture_open(fixture_file("x"), FLAT_WRITE, 4, FLAT_L2);
    struct err err = {0};

    CHECK_ERR(flat_commit(index, &err), ERR_INVALID);
    CHECK_OK(flat_begin(index, &err), err);
    CHECK_ERR(flat_begin(index, &err), ERR_CONFLICT);
    CHECK_OK(flat_commit(index, &err), err);
    CHECK_ERR(flat_commit(index, &err), ERR_INVALID);
    CHECK_OK(flat_begin(index, &err), err);
    fixture_add(index, 4, 0);
    fixture_add(index, 4, 1);
    CHECK_OK(flat_commit(index, &err), err);
    fixture_add(index, 4, 2);
    flat_close(index);
    index = fixture_open(fixture_file("x"), FLAT_WRITE, 4, FLAT_L2);
    fixture_check(index, 4, 3);
    flat_close(index);
}

TEST(flat_refuses_a_second_writer_until_the_first_is_gone)
{
    const char *path = fixture_file("x");
    int ready[2];
    char byte;
    pid_t child;
    int status;

    CHECK_INT(pipe(ready), 0);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        struct flat *index = NULL;
        struct err err;
        int rc = flat_open(path, FLAT_WRITE, 4, FLAT_L2, NULL, &index, &err);

        if (rc != 0 || write(ready[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(ready[1]);
    CHECK_INT(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    check_open_fails(path, FLAT_WRITE, 4, FLAT_L2, NULL, ERR_CONFLICT,
                     "another process");
    flat_close(fixture_open(path, FLAT_READ, 4, FLAT_L2));
    kill(child, SIGKILL);
    CHECK_INT(waitpid(child, &status, 0), child);
    flat_close(fixture_open(path, FLAT_WRITE, 4, FLAT_L2));
}

/* --- threads ---------------------------------------------------------- */

enum { THREAD_DIM = 24, THREAD_ROWS = 2500, SEARCHER_COUNT = 3 };

struct shared {
    struct flat *index, *reader;
    atomic_bool is_done;
    atomic_int wrong_count;
};

/* What was seen once stays, and is right. */
static void *search_on(void *user)
{
    struct shared *shared = user;
    float query[THREAD_DIM];
    struct flat_hit hits[3];
    uint64_t round = 0;
    struct err err = {0};

    while (!atomic_load(&shared->is_done)) {
        struct flat *index = round % 2 ? shared->index : shared->reader;
        int64_t count = fixture_count(index);
        int64_t wanted = count - 1 - (int64_t)(round % 7);
        int hit_count = 0;

        round++;
        if (wanted < 0)
            continue;
        fixture_vector((uint64_t)wanted, THREAD_DIM, query);
        if (flat_search(index, query, THREAD_DIM, 3, NULL, hits, &hit_count,
                        &err) != 0 ||
            hit_count < 1 || hits[0].entry.id != wanted ||
            hits[0].distance > 1e-5F ||
            strncmp(hits[0].entry.path, "photos/", 7) != 0)
            atomic_fetch_add(&shared->wrong_count, 1);
    }
    return NULL;
}

static void *refresh_on(void *user)
{
    struct shared *shared = user;
    struct err err = {0};

    while (!atomic_load(&shared->is_done)) {
        if (flat_refresh(shared->reader, &err) != 0)
            atomic_fetch_add(&shared->wrong_count, 1);
    }
    return NULL;
}

static void add_on(struct flat *index)
{
    float vector[THREAD_DIM];
    struct err err = {0};
    uint64_t i;

    CHECK_OK(flat_begin(index, &err), err);
    for (i = 0; i < THREAD_ROWS; i++) {
        fixture_add(index, THREAD_DIM, i);
        if (i % 5 == 0) {
            fixture_vector(i, THREAD_DIM, vector);
            CHECK_OK(flat_add(index, vector, "photos/moved", fixture_sha256(i),
                              "moved", NULL, &err),
                     err);
        }
    }
    CHECK_OK(flat_commit(index, &err), err);
}

TEST(flat_searches_are_right_beside_a_writer_and_refreshes)
{
    struct shared shared = {0};
    pthread_t threads[SEARCHER_COUNT + 2];
    int i;

    shared.index =
        fixture_open(fixture_file("x"), FLAT_WRITE, THREAD_DIM, FLAT_L2);
    shared.reader =
        fixture_open(fixture_file("x"), FLAT_READ, THREAD_DIM, FLAT_L2);
    for (i = 0; i < SEARCHER_COUNT + 2; i++)
        CHECK_INT(pthread_create(&threads[i], NULL,
                                 i < SEARCHER_COUNT ? search_on : refresh_on,
                                 &shared),
                  0);
    add_on(shared.index);
    atomic_store(&shared.is_done, true);
    for (i = 0; i < SEARCHER_COUNT + 2; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(atomic_load(&shared.wrong_count), 0);
    CHECK_INT(fixture_count(shared.index), THREAD_ROWS);
    flat_close(shared.reader);
    flat_close(shared.index);
}
