/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors/npy.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "vector_samples.h"

static const char *const names[] = {"maçã.jpg", "", "日本語/写真.png", "a b c",
                                    "𝔘𝔫𝔦"};

/* --- matrices ------------------------------------------------------------- */

static void check_matrix(const char *name, int64_t row_count)
{
    struct npy_matrix matrix = {0};
    float row[SAMPLE_DIM];
    struct err err = {0};
    int64_t i;
    int j;

    CHECK_OK(npy_read_matrix(sample_path(name), &matrix, &err), err);
    CHECK_INT(matrix.row_count, row_count);
    CHECK_INT(matrix.dim, SAMPLE_DIM);
    for (i = 0; i < row_count; i++) {
        sample_row(i, row);
        for (j = 0; j < SAMPLE_DIM; j++)
            CHECK_NEAR(matrix.rows[i * SAMPLE_DIM + j], row[j], 0);
    }
    npy_matrix_release(&matrix);
}

TEST(npy_reads_matrices_of_every_width_and_order)
{
    check_matrix("f2.npy", 7);
    check_matrix("f4.npy", 7);
    check_matrix("f8.npy", 7);
    check_matrix("f4_big.npy", 7);
    check_matrix("f4_fortran.npy", 7);
    check_matrix("f8_fortran.npy", 7);
}

TEST(npy_reads_all_versions_one_row_and_none)
{
    check_matrix("f4_v2.npy", 7);
    check_matrix("f4_v3.npy", 7);
    check_matrix("f4_row.npy", 1);
    check_matrix("f4_none.npy", 0);
}

TEST(npy_reads_half_floats_with_their_extremes)
{
    static const uint16_t bits[] = {0x0001, 0x83ff, 0x7bff, 0x7c00,
                                    0xfc00, 0x7e00, 0x3c00, 0x8000};
    uint8_t file[256] = {0};
    struct npy_matrix matrix = {0};
    struct err err = {0};
    int len;

    memcpy(file, "\x93NUMPY\x01\x00\x76\x00", 10);
    len = snprintf((char *)file + 10, 119, "%-117s\n",
                   "{'descr': '<f2', 'fortran_order': False, "
                   "'shape': (1, 8), }");
    CHECK_INT(len, 118);
    memcpy(file + 128, bits, sizeof bits);
    sample_write(sample_file("half.npy"), file, 128 + sizeof bits);
    CHECK_OK(npy_read_matrix(sample_file("half.npy"), &matrix, &err), err);
    CHECK_NEAR(matrix.rows[0], 5.9604645e-08, 1e-14);
    CHECK_NEAR(matrix.rows[1], -6.0975552e-05, 1e-11);
    CHECK_NEAR(matrix.rows[2], 65504, 0);
    CHECK(isinf(matrix.rows[3]) && matrix.rows[3] > 0);
    CHECK(isinf(matrix.rows[4]) && matrix.rows[4] < 0);
    CHECK(isnan(matrix.rows[5]));
    CHECK_NEAR(matrix.rows[6], 1, 0);
    CHECK(matrix.rows[7] == 0 && signbit(matrix.rows[7]));
    npy_matrix_release(&matrix);
}

static void check_matrix_fails(const char *path, enum err_code code,
                               const char *part)
{
    struct npy_matrix matrix = {0};
    struct err err = {0};

    CHECK_ERR(npy_read_matrix(path, &matrix, &err), code);
    CHECK_HAS(err.text, part);
    CHECK(matrix.rows == NULL);
}

TEST(npy_refuses_matrices_of_other_things)
{
    check_matrix_fails(sample_path("i8.npy"), ERR_UNSUPPORTED, "'i8'");
    check_matrix_fails(sample_path("texts_u.npy"), ERR_UNSUPPORTED, "'U10'");
    check_matrix_fails(sample_path("texts_o4.npy"), ERR_UNSUPPORTED, "'O'");
    check_matrix_fails(sample_path("refused_complex.npy"), ERR_UNSUPPORTED,
                       "'c16'");
    check_matrix_fails(sample_path("refused_record.npy"), ERR_UNSUPPORTED,
                       "fields");
    check_matrix_fails(sample_path("flat_l2.faiss"), ERR_CORRUPT, "no .npy");
    check_matrix_fails(sample_file("absent"), ERR_NOT_FOUND, "absent");
    check_matrix_fails(test_dir(), ERR_INVALID, "no regular file");
}

static void check_header(const char *header, enum err_code code,
                         const char *part)
{
    uint8_t file[512] = {0};
    size_t len = strlen(header);

    memcpy(file, "\x93NUMPY\x01\x00", 8);
    file[8] = (uint8_t)len;
    file[9] = (uint8_t)(len >> 8);
    memcpy(file + 10, header, len);
    sample_write(sample_file("header.npy"), file, 10 + len + 8);
    check_matrix_fails(sample_file("header.npy"), code, part);
}

TEST(npy_refuses_headers_that_lie)
{
    check_header("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3), }",
                 ERR_CORRUPT, "3 values of 4 bytes");
    check_header("{'descr': '<f4', 'fortran_order': False, 'shape': "
                 "(4294967296, 4294967296), }",
                 ERR_CORRUPT, "too large");
    check_header("{'descr': '<f4', 'fortran_order': False, 'shape': "
                 "(4611686018427387904, 4), }",
                 ERR_CORRUPT, "too large");
    check_header("{'descr': '<f4', 'fortran_order': False, 'shape': "
                 "(99999999999999999999,), }",
                 ERR_CORRUPT, "shape is damaged");
    check_header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 2), }",
                 ERR_CORRUPT, "shape is damaged");
    check_header("{'descr': '<f4', 'fortran_order': 0, 'shape': (1, 2), }",
                 ERR_CORRUPT, "order is damaged");
    check_header("{'descr': '<f4', 'shape': (1, 2), }", ERR_CORRUPT, "lacks");
    check_header("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), "
                 "'shape': (1, 2)}",
                 ERR_CORRUPT, "twice");
    check_header("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), "
                 "'more': 1}",
                 ERR_CORRUPT, "'more'");
    check_header("{'descr': '<f4', 'fortran_order': False, 'shape': (2), } x",
                 ERR_CORRUPT, "has more");
    check_header("['descr']", ERR_CORRUPT, "no dictionary");
    check_header("{'descr': '<f3', 'fortran_order': False, 'shape': (8,), }",
                 ERR_CORRUPT, "8 values of 3 bytes");
    check_header("{'descr': '<f8', 'fortran_order': False, 'shape': (1,1,1), }",
                 ERR_INVALID, "3 dimensions");
    check_header("{'descr': '<f4', 'fortran_order': False, 'shape': (), }",
                 ERR_CORRUPT, "1 values");
}

TEST(npy_refuses_a_header_that_is_longer_than_the_file)
{
    uint8_t *file = NULL;
    size_t len = sample_read(sample_path("f4.npy"), &file);

    file[8] = file[9] = 0xff;
    sample_write(sample_file("long.npy"), file, len);
    check_matrix_fails(sample_file("long.npy"), ERR_CORRUPT, "65535 bytes");
    file[6] = 4;
    sample_write(sample_file("newer.npy"), file, len);
    check_matrix_fails(sample_file("newer.npy"), ERR_UNSUPPORTED,
                       "version 4.0");
    mem_free(file);
}

TEST(npy_writes_matrices_as_numpy_does)
{
    uint8_t *ours = NULL, *theirs = NULL;
    struct npy_matrix matrix = {0};
    struct err err = {0};
    size_t len;

    CHECK_OK(npy_read_matrix(sample_path("f4.npy"), &matrix, &err), err);
    CHECK_OK(npy_write_matrix(sample_file("ours.npy"), matrix.rows, 7,
                              SAMPLE_DIM, &err),
             err);
    len = sample_read(sample_path("f4.npy"), &theirs);
    CHECK_INT(sample_read(sample_file("ours.npy"), &ours), len);
    CHECK(memcmp(ours, theirs, len) == 0);
    mem_free(ours);
    mem_free(theirs);
    npy_matrix_release(&matrix);
}

TEST(npy_leaves_the_old_file_when_writing_fails)
{
    char path[600];
    struct err err = {0};
    float one = 1;

    snprintf(path, sizeof path, "%s/no/such/folder.npy", test_dir());
    CHECK_ERR(npy_write_matrix(path, &one, 1, 1, &err), ERR_NOT_FOUND);
    err = (struct err){0};
    CHECK_ERR(npy_write_matrix("/dev/full/x", &one, 1, 1, &err), ERR_NOT_FOUND);
}

/* --- whole numbers -------------------------------------------------------- */

static void check_integers(const char *name, const int64_t *wanted,
                           int64_t wanted_count)
{
    int64_t *values = NULL, count = 0, i;
    struct err err = {0};

    CHECK_OK(npy_read_integers(sample_path(name), &values, &count, &err), err);
    CHECK_INT(count, wanted_count);
    for (i = 0; i < count; i++)
        CHECK_INT(values[i], wanted[i]);
    mem_free(values);
}

TEST(npy_reads_and_writes_whole_numbers)
{
    static const int64_t wide[] = {5, -7, 4611686018427387904, -1};
    static const int64_t bytes[] = {0, 255};
    int64_t *values = NULL, count = 0;
    struct err err = {0};

    check_integers("i8.npy", wide, 4);
    check_integers("i2_big.npy", wide, 2);
    check_integers("u1.npy", bytes, 2);
    CHECK_OK(npy_write_integers(sample_file("out.npy"), wide, 4, &err), err);
    CHECK_OK(npy_read_integers(sample_file("out.npy"), &values, &count, &err),
             err);
    CHECK_INT(count, 4);
    CHECK_INT(values[2], wide[2]);
    mem_free(values);
    CHECK_ERR(npy_read_integers(sample_path("f4.npy"), &values, &count, &err),
              ERR_UNSUPPORTED);
}

/* --- texts ---------------------------------------------------------------- */

static void check_texts(const char *name, const char *const *wanted,
                        int64_t count)
{
    struct npy_texts texts = {0};
    struct err err = {0};
    int64_t i;

    CHECK_OK(npy_read_texts(sample_path(name), &texts, &err), err);
    CHECK_INT(texts.count, count);
    for (i = 0; i < count; i++)
        CHECK_TEXT(texts.texts[i], wanted[i]);
    npy_texts_release(&texts);
}

TEST(npy_reads_texts_of_fixed_width)
{
    static const char *const letters[] = {"a", "b", "c", "d", "e", "f"};

    check_texts("texts_u.npy", names, 5);
    check_texts("texts_u_big.npy", names, 5);
    check_texts("texts_s.npy", names, 5);
    check_texts("texts_u_fortran.npy", letters, 6);
}

TEST(npy_reads_texts_that_are_objects_by_every_protocol)
{
    static const char *const letters[] = {"a", "b", "c", "d", "e", "f"};
    static const char *const same[] = {"twice", "twice", "once"};
    static const char *const scalars[] = {"maçã", "x"};

    check_texts("texts_o2.npy", names, 5);
    check_texts("texts_o3.npy", names, 5);
    check_texts("texts_o4.npy", names, 5);
    check_texts("texts_o5.npy", names, 5);
    check_texts("texts_o_numpy1.npy", names, 5);
    check_texts("texts_o4_numpy1.npy", names, 5);
    check_texts("texts_o_fortran.npy", letters, 6);
    check_texts("texts_o_same.npy", same, 3);
    check_texts("texts_o_scalars.npy", scalars, 2);
    check_texts("texts_o_none.npy", NULL, 0);
}

TEST(npy_reads_many_and_long_objects)
{
    struct npy_texts texts = {0};
    struct err err = {0};

    CHECK_OK(npy_read_texts(sample_path("texts_o_many.npy"), &texts, &err),
             err);
    CHECK_INT(texts.count, 1200);
    CHECK_TEXT(texts.texts[1199], "item 1199");
    npy_texts_release(&texts);
    CHECK_OK(npy_read_texts(sample_path("texts_o_long.npy"), &texts, &err),
             err);
    CHECK_INT(strlen(texts.texts[0]), 300);
    npy_texts_release(&texts);
}

static void check_texts_fail(const char *name, enum err_code code,
                             const char *part)
{
    struct npy_texts texts = {0};
    struct err err = {0};

    CHECK_ERR(npy_read_texts(sample_path(name), &texts, &err), code);
    CHECK_HAS(err.text, part);
    CHECK(texts.texts == NULL && texts.pool == NULL);
}

TEST(npy_executes_nothing_and_names_what_it_was_asked_to)
{
    check_texts_fail("refused_evil.npy", ERR_INVALID, "posix.system");
    check_texts_fail("refused_evil2.npy", ERR_INVALID, "posix.system");
    CHECK(access("executed", F_OK) != 0);
}

TEST(npy_refuses_objects_that_are_no_texts)
{
    check_texts_fail("refused_int.npy", ERR_INVALID, "value 1 is of type int");
    check_texts_fail("refused_float.npy", ERR_INVALID, "BINFLOAT");
    check_texts_fail("refused_list.npy", ERR_INVALID, "list");
    check_texts_fail("refused_dict.npy", ERR_INVALID, "EMPTY_DICT");
    check_texts_fail("refused_bytes.npy", ERR_INVALID, "of type bytes");
    check_texts_fail("f4.npy", ERR_UNSUPPORTED, "'f4'");
}

/* An array that is given an empty tuple before there was any other. */
TEST(npy_refuses_a_state_of_nothing)
{
    static const char pickle[] = "\x80\x04"
                                 "cnumpy\ndtype\n)R.";
    uint8_t file[256] = {0};
    struct npy_texts texts = {0};
    struct err err = {0};

    memcpy(file, "\x93NUMPY\x01\x00\x76\x00", 10);
    snprintf((char *)file + 10, 119, "%-117s\n",
             "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }");
    memcpy(file + 128, pickle, sizeof pickle - 1);
    CHECK_ERR(npy_parse_texts((struct bytes){file, 128 + sizeof pickle - 1},
                              &texts, &err),
              ERR_CORRUPT);
    CHECK_HAS(err.text, "damaged at byte");
}

TEST(npy_writes_texts_as_numpy_does)
{
    uint8_t *ours = NULL, *theirs = NULL;
    struct err err = {0};
    size_t len;

    CHECK_OK(npy_write_texts(sample_file("ours.npy"), names, 5, &err), err);
    len = sample_read(sample_path("texts_u.npy"), &theirs);
    CHECK_INT(sample_read(sample_file("ours.npy"), &ours), len);
    CHECK(memcmp(ours, theirs, len) == 0);
    mem_free(ours);
    mem_free(theirs);
}

TEST(npy_refuses_to_write_what_is_not_utf8)
{
    static const char *const bad[] = {"fine", "\xc3"};
    struct err err = {0};

    CHECK_ERR(npy_write_texts(sample_file("bad.npy"), bad, 2, &err),
              ERR_INVALID);
    CHECK_HAS(err.text, "text 1");
    CHECK(access(sample_file("bad.npy"), F_OK) != 0);
}

/* --- damage --------------------------------------------------------------- */

/* Each byte in turn gets each of a few values, and the file is cut at each
 * place: it is refused, or read within its own bounds. */
static void damage(const char *name)
{
    static const uint8_t flips[] = {0x01, 0x80, 0xff};
    uint8_t *file = NULL, *copy;
    size_t len = sample_read(sample_path(name), &file), i, j;

    for (i = 0; i < len; i++) {
        for (j = 0; j <= sizeof flips; j++) {
            size_t left = j == sizeof flips ? i : len;
            struct npy_texts texts = {0};
            struct err err = {0};

            /* A copy of just that length: reading beyond it is caught by the
             * sanitizer. */
            copy = mem_new(left + 1);
            memcpy(copy, file, left);
            if (j < sizeof flips)
                copy[i] ^= flips[j];
            copy = mem_resize(copy, left > 0 ? left : 1, 1);
            CHECK(copy != NULL);
            if (npy_parse_texts((struct bytes){copy, left}, &texts, &err))
                CHECK(err.text[0] != '\0' && texts.texts == NULL);
            else
                CHECK(j < sizeof flips);
            npy_texts_release(&texts);
            mem_free(copy);
        }
    }
    mem_free(file);
}

TEST(npy_refuses_or_reads_damaged_texts)
{
    damage("texts_u.npy");
    damage("texts_s.npy");
    damage("texts_o2.npy");
    damage("texts_o4.npy");
    damage("texts_o_same.npy");
    damage("texts_o_scalars.npy");
}

static void torture(const char *name)
{
    struct npy_texts texts = {0};
    struct npy_matrix matrix = {0};
    long nth;

    for (nth = 1; nth < 200; nth++) {
        struct err err = {0};
        int rc;

        mem_fail_at(nth);
        rc = name[0] == 't' ? npy_read_texts(sample_path(name), &texts, &err)
                            : npy_read_matrix(sample_path(name), &matrix, &err);
        if (mem_tries() < nth) {
            mem_fail_at(0);
            CHECK_OK(rc, err);
            break;
        }
        mem_fail_at(0);
        CHECK_ERR(rc, ERR_UNAVAILABLE);
    }
    CHECK(nth > 1 && nth < 200);
    npy_texts_release(&texts);
    npy_matrix_release(&matrix);
}

TEST(npy_torture_reads_nothing_without_memory)
{
    torture("texts_u.npy");
    torture("texts_o_scalars.npy");
    torture("texts_o_many.npy");
    torture("f4.npy");
}
