/* SPDX-License-Identifier: Apache-2.0 */
/* Files that faiss-cpu wrote (tools/make_vector_samples.py), read, written
 * back and damaged. */
#include "vectors/faiss_file.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "vector_samples.h"

static const char *const readable[] = {
    "flat_l2", "flat_ip", "flat_plain", "idmap",         "idmap2",
    "ivf_l2",  "ivf_ip",  "ivf_sparse", "ivf_over_hnsw", "idmap_ivf",
    "hnsw_l2", "hnsw_ip", "hnsw_empty", "idmap_hnsw",    "empty",
};
enum { READABLE_COUNT = sizeof readable / sizeof readable[0] };

static const char *path_of(const char *name)
{
    char file[64];

    snprintf(file, sizeof file, "%s.faiss", name);
    return sample_path(file);
}

static void check_rows(const float *rows, const int64_t *numbers, int64_t count)
{
    float wanted[SAMPLE_DIM], got[SAMPLE_DIM];
    int64_t i;
    int j;

    for (i = 0; i < count; i++) {
        sample_row(numbers == NULL ? i : numbers[i], wanted);
        /* Mapped rows need not be aligned. */
        memcpy(got, (const char *)rows + (size_t)i * sizeof got, sizeof got);
        for (j = 0; j < SAMPLE_DIM; j++)
            CHECK_NEAR(got[j], wanted[j], 0);
    }
}

static void read_sample(const char *name, bool is_mapped,
                        struct faiss_index *out)
{
    struct err err = {0};

    CHECK_OK(faiss_file_read(path_of(name), is_mapped, out, &err), err);
    CHECK_INT(out->dim, SAMPLE_DIM);
    CHECK(is_mapped ? out->row_block == NULL : out->map.len == 0);
}

static void check_flat(const char *name, enum faiss_metric metric, bool has_ids)
{
    struct faiss_index index;
    int64_t i;
    int pass;

    for (pass = 0; pass < 2; pass++) {
        read_sample(name, pass == 1, &index);
        CHECK_INT(index.kind, FAISS_FLAT);
        CHECK_INT(index.metric, metric);
        CHECK_INT(index.count, SAMPLE_COUNT);
        check_rows(index.rows, NULL, SAMPLE_COUNT);
        CHECK((index.ids != NULL) == has_ids);
        for (i = 0; has_ids && i < index.count; i++)
            CHECK_INT(index.ids[i], SAMPLE_ID_FIRST + i * SAMPLE_ID_STEP);
        faiss_index_release(&index);
    }
}

TEST(faiss_file_reads_flat_indexes)
{
    check_flat("flat_l2", FAISS_L2, false);
    check_flat("flat_ip", FAISS_INNER, false);
    check_flat("flat_plain", FAISS_L2, false);
    check_flat("idmap", FAISS_L2, true);
    check_flat("idmap2", FAISS_L2, true);
}

static void check_lists(const char *name, int64_t list_count, int64_t count)
{
    struct faiss_index index;
    bool is_seen[SAMPLE_COUNT] = {false};
    int64_t i, j, seen = 0;
    int pass;

    for (pass = 0; pass < 2; pass++, seen = 0) {
        memset(is_seen, 0, sizeof is_seen);
        read_sample(name, pass == 1, &index);
        CHECK_INT(index.kind, FAISS_IVF_FLAT);
        CHECK_INT(index.ivf.list_count, list_count);
        CHECK_INT(index.count, count);
        for (i = 0; i < list_count; i++) {
            const struct faiss_list *list = &index.ivf.lists[i];
            int64_t numbers[SAMPLE_COUNT];

            CHECK(list->count <= SAMPLE_COUNT);
            for (j = 0; j < list->count; j++, seen++) {
                numbers[j] =
                    list->ids[j] < SAMPLE_ID_FIRST
                        ? list->ids[j]
                        : (list->ids[j] - SAMPLE_ID_FIRST) / SAMPLE_ID_STEP;
                CHECK(numbers[j] >= 0 && numbers[j] < SAMPLE_COUNT &&
                      !is_seen[numbers[j]]);
                is_seen[numbers[j]] = true;
            }
            check_rows(list->rows, numbers, list->count);
        }
        CHECK_INT(seen, count);
        faiss_index_release(&index);
    }
}

TEST(faiss_file_reads_lists_full_and_sparse)
{
    check_lists("ivf_l2", 4, SAMPLE_COUNT);
    check_lists("ivf_ip", 4, SAMPLE_COUNT);
    check_lists("ivf_sparse", 16, 3);
    check_lists("ivf_over_hnsw", 4, SAMPLE_COUNT);
    check_lists("idmap_ivf", 4, SAMPLE_COUNT);
}

TEST(faiss_file_reads_the_number_of_lists_to_probe)
{
    struct faiss_index index;

    read_sample("ivf_l2", false, &index);
    CHECK_INT(index.ivf.nprobe, 2);
    CHECK_INT(index.ivf.metric, FAISS_L2);
    faiss_index_release(&index);
}

TEST(faiss_file_reads_graphs)
{
    struct faiss_index index;
    int64_t i;

    read_sample("hnsw_l2", false, &index);
    CHECK_INT(index.kind, FAISS_HNSW_FLAT);
    CHECK_INT(index.graph.starts[1], 8);
    CHECK_INT(index.graph.starts[2], 12);
    CHECK(index.graph.entry >= 0 && index.graph.entry < SAMPLE_COUNT);
    check_rows(index.rows, NULL, SAMPLE_COUNT);
    /* Whoever is in the graph leads somewhere. */
    for (i = 0; i < index.count; i++)
        CHECK(index.graph.neighbours[index.graph.offsets[i]] >= 0);
    faiss_index_release(&index);
    read_sample("hnsw_empty", false, &index);
    CHECK_INT(index.count, 0);
    CHECK_INT(index.graph.entry, -1);
    faiss_index_release(&index);
}

/* --- written back --------------------------------------------------------- */

static bool is_same(const char *a, const char *b)
{
    uint8_t *x = NULL, *y = NULL;
    size_t x_len = sample_read(a, &x), y_len = sample_read(b, &y);
    bool is = x_len == y_len && memcmp(x, y, x_len) == 0;

    mem_free(x);
    mem_free(y);
    return is;
}

TEST(faiss_file_writes_flat_and_lists_byte_for_byte)
{
    static const char *const same[] = {"flat_l2", "flat_ip", "idmap", "idmap2",
                                       "ivf_l2",  "ivf_ip",  "empty"};
    struct faiss_index index;
    size_t i;

    for (i = 0; i < sizeof same / sizeof same[0]; i++) {
        struct err err = {0};

        read_sample(same[i], i % 2 == 1, &index);
        CHECK_OK(faiss_file_write(sample_file("back.faiss"), &index, &err),
                 err);
        CHECK(is_same(path_of(same[i]), sample_file("back.faiss")));
        faiss_index_release(&index);
    }
}

/* Two files in the test's folder. */
static void check_same(const char *a, const char *b)
{
    char first[512];

    snprintf(first, sizeof first, "%s", sample_file(a));
    CHECK(is_same(first, sample_file(b)));
}

/* What FAISS does not look at may differ; what was written reads as the
 * same. */
TEST(faiss_file_reads_what_it_wrote)
{
    struct faiss_index index, back;
    int i;

    for (i = 0; i < READABLE_COUNT; i++) {
        struct err err = {0};

        read_sample(readable[i], false, &index);
        CHECK_OK(faiss_file_write(sample_file("one.faiss"), &index, &err), err);
        CHECK_OK(faiss_file_read(sample_file("one.faiss"), false, &back, &err),
                 err);
        CHECK_INT(back.kind, index.kind);
        CHECK_INT(back.count, index.count);
        CHECK_INT(back.graph.entry, index.graph.entry);
        CHECK_OK(faiss_file_write(sample_file("two.faiss"), &back, &err), err);
        faiss_index_release(&index);
        faiss_index_release(&back);
        check_same("one.faiss", "two.faiss");
    }
}

/* --- refused -------------------------------------------------------------- */

static void check_fails(const char *path, enum err_code code, const char *part)
{
    struct faiss_index index = {0};
    struct err err = {0};
    int pass;

    for (pass = 0; pass < 2; pass++) {
        err = (struct err){0};
        CHECK_ERR(faiss_file_read(path, pass == 1, &index, &err), code);
        CHECK_HAS(err.text, part);
        CHECK(index.map.len == 0 && index.row_block == NULL);
    }
}

TEST(faiss_file_refuses_other_indexes_by_name)
{
    check_fails(path_of("refused_pca"), ERR_UNSUPPORTED, "IndexPreTransform");
    check_fails(path_of("refused_sq8"), ERR_UNSUPPORTED,
                "IndexScalarQuantizer");
    check_fails(path_of("refused_ivfsq8"), ERR_UNSUPPORTED,
                "IndexIVFScalarQuantizer");
    check_fails(path_of("refused_l1"), ERR_UNSUPPORTED, "metric 2");
    check_fails(path_of("refused_untrained"), ERR_UNSUPPORTED,
                "was not trained");
    check_fails(sample_path("f4.npy"), ERR_UNSUPPORTED, "not known");
    check_fails(sample_file("absent"), ERR_NOT_FOUND, "absent");
    check_fails(test_dir(), ERR_INVALID, "no regular file");
    sample_write(sample_file("short"), "IxF2", 4);
    check_fails(sample_file("short"), ERR_CORRUPT, "cut");
}

/* Writes the sample with one value changed; `at` is its offset. */
static const char *with_value(const char *name, size_t at, const void *value,
                              size_t value_len)
{
    uint8_t *file = NULL;
    size_t len = sample_read(path_of(name), &file);

    CHECK(at + value_len <= len);
    memcpy(file + at, value, value_len);
    sample_write(sample_file("changed.faiss"), file, len);
    mem_free(file);
    return sample_file("changed.faiss");
}

TEST(faiss_file_refuses_counts_that_the_file_cannot_hold)
{
    static const uint64_t huge = UINT64_MAX / 4, more = SAMPLE_COUNT + 1;
    static const uint32_t wide = 100000, none = 0;
    static const float nan = NAN;

    check_fails(with_value("flat_l2", 8, &huge, 8), ERR_CORRUPT,
                "more than the file has");
    check_fails(with_value("flat_l2", 8, &more, 8), ERR_CORRUPT,
                "there must be 205");
    check_fails(with_value("flat_l2", 37, &huge, 8), ERR_CORRUPT,
                "more than the file has");
    check_fails(with_value("flat_l2", 4, &wide, 4), ERR_CORRUPT,
                "100000 dimensions");
    check_fails(with_value("flat_l2", 4, &none, 4), ERR_CORRUPT,
                "0 dimensions");
    check_fails(with_value("flat_l2", 45 + 17 * 4, &nan, 4), ERR_CORRUPT,
                "NaN or infinity");
    check_fails(with_value("ivf_l2", 37, &huge, 8), ERR_CORRUPT,
                "wrong number of lists");
    check_fails(with_value("hnsw_l2", 37, &huge, 8), ERR_CORRUPT,
                "probabilities");
}

TEST(faiss_file_refuses_bytes_after_the_end)
{
    uint8_t *file = NULL;
    size_t len = sample_read(path_of("flat_l2"), &file);

    sample_write(sample_file("longer.faiss"), file, len + 1);
    check_fails(sample_file("longer.faiss"), ERR_CORRUPT, "ends at byte");
    mem_free(file);
}

/* --- damage --------------------------------------------------------------- */

/* Whatever is read can be searched. */
static void use(const char *path, bool is_mapped)
{
    const struct vecindex_options options = {.is_mapped = is_mapped};
    struct vecindex_query query = {.dim = SAMPLE_DIM, .k = 3};
    float vector[SAMPLE_DIM] = {1, -1, 2, 0, 0.5F};
    struct vecindex_hit hits[3];
    struct vecindex *index = NULL;
    struct err err = {0};
    bool is_exact;
    int i, count = 0;

    if (vecindex_open(path, &options, &index, &err) != 0) {
        CHECK(err.text[0] != '\0' && index == NULL);
        return;
    }
    query.vector = vector;
    if (vecindex_search(index, &query, hits, &count, &is_exact, &err) == 0)
        for (i = 0; i < count; i++)
            CHECK(isfinite(hits[i].distance));
    vecindex_free(index);
}

TEST(faiss_file_survives_a_thousand_flipped_bits)
{
    uint64_t state = 20261121;
    int i, j;

    for (i = 0; i < READABLE_COUNT; i++) {
        uint8_t *file = NULL;
        size_t len = sample_read(path_of(readable[i]), &file);

        for (j = 0; j < 1000 / READABLE_COUNT + 1; j++) {
            size_t at;

            state = state * 6364136223846793005U + 1442695040888963407U;
            at = (size_t)(state >> 20) % len;
            file[at] ^= (uint8_t)(1 << (state >> 60 & 7));
            sample_write(sample_file("flipped.faiss"), file, len);
            use(sample_file("flipped.faiss"), j % 2 == 1);
            file[at] ^= (uint8_t)(1 << (state >> 60 & 7));
        }
        mem_free(file);
    }
}

TEST(faiss_file_refuses_every_cut)
{
    static const char *const some[] = {"idmap2", "ivf_sparse", "hnsw_l2"};
    size_t i, cut;

    for (i = 0; i < sizeof some / sizeof some[0]; i++) {
        uint8_t *file = NULL;
        size_t len = sample_read(path_of(some[i]), &file);

        for (cut = 0; cut < len; cut += cut < 200 ? 1 : 13) {
            struct faiss_index index = {0};
            struct err err = {0};

            sample_write(sample_file("cut.faiss"), file, cut);
            CHECK(faiss_file_read(sample_file("cut.faiss"), false, &index,
                                  &err) != 0);
            CHECK(err.text[0] != '\0');
        }
        mem_free(file);
    }
}

TEST(faiss_file_torture_reads_nothing_without_memory)
{
    int i;

    for (i = 0; i < READABLE_COUNT; i++) {
        struct faiss_index index = {0};
        long nth;

        for (nth = 1; nth < 100; nth++) {
            struct err err = {0};
            int rc;

            mem_fail_at(nth);
            rc = faiss_file_read(path_of(readable[i]), false, &index, &err);
            if (mem_tries() < nth) {
                mem_fail_at(0);
                CHECK_OK(rc, err);
                break;
            }
            mem_fail_at(0);
            CHECK_ERR(rc, ERR_UNAVAILABLE);
        }
        CHECK(nth > 1 && nth < 100);
        faiss_index_release(&index);
    }
}
