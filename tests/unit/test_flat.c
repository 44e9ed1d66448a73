/* SPDX-License-Identifier: Apache-2.0 */
#include "flat_fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

TEST(flat_takes_the_longest_vectors_there_may_be)
{
    static float vector[FLAT_DIM_MAX];
    struct flat *index =
        fixture_open(fixture_file("x"), FLAT_WRITE, FLAT_DIM_MAX, FLAT_COSINE);
    struct flat_hit hits[2];
    struct err err = {0};
    int count = 0;

    fixture_vector(1, FLAT_DIM_MAX, vector);
    CHECK_OK(flat_add(index, vector, "one", "", "", NULL, &err), err);
    fixture_vector(2, FLAT_DIM_MAX, vector);
    CHECK_OK(flat_add(index, vector, "two", "", "", NULL, &err), err);
    flat_close(index);
    index = fixture_open(fixture_file("x"), FLAT_READ, 0, FLAT_L2);
    CHECK_OK(
        flat_search(index, vector, FLAT_DIM_MAX, 2, NULL, hits, &count, &err),
        err);
    CHECK_INT(count, 2);
    CHECK_TEXT(hits[0].entry.path, "two");
    CHECK_NEAR(hits[0].distance, 0, 1e-5);
    CHECK_NEAR(hits[1].distance, 1, 0.05);
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
