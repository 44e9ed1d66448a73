/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "vectors/milvus_expr.h"

static const struct milvus_shape shape = {
    .id = "id",
    .vector = "embedding",
    .dim = 4,
    .key = {"olho_key", 255},
    .tags = {{"label", 500}, {"person_id", 500}},
    .tag_count = 2,
};

static struct buf out;

static const char *quoted(const char *value)
{
    buf_release(&out);
    buf_init(&out, 1000);
    milvus_expr_text(value, &out);
    return out.data;
}

TEST(milvus_expr_quotes_what_would_end_a_text)
{
    CHECK_TEXT(quoted(""), "\"\"");
    CHECK_TEXT(quoted("cat"), "\"cat\"");
    CHECK_TEXT(quoted("a\"b"), "\"a\\\"b\"");
    CHECK_TEXT(quoted("a\\"), "\"a\\\\\"");
    CHECK_TEXT(quoted("\\\""), "\"\\\\\\\"\"");
    CHECK_TEXT(quoted("a\nb\r\x01\x7f"), "\"a\\nb\\r\x01\x7f\"");
    CHECK_TEXT(quoted("\xc3\xa9'"), "\"\xc3\xa9'\"");
    buf_release(&out);
}

TEST(milvus_expr_joins_the_terms_of_a_filter)
{
    const char *const cats[] = {"cat", "c\"at"}, *const person[] = {"p"};
    const struct vec_term terms[] = {{"label", cats, 2, false},
                                     {"person_id", person, 1, true}};
    const struct vec_filter filter = {terms, 2}, none = {NULL, 0};
    struct err err = {0};

    buf_init(&out, 1000);
    CHECK_OK(milvus_expr_filter(&shape, &none, &out, &err), err);
    CHECK_OK(milvus_expr_filter(&shape, NULL, &out, &err), err);
    CHECK_INT(out.len, 0);
    CHECK_OK(milvus_expr_filter(&shape, &filter, &out, &err), err);
    CHECK_TEXT(out.data, "label in [\"cat\",\"c\\\"at\"] and "
                         "person_id not in [\"p\"]");
    buf_release(&out);
}

TEST(milvus_expr_has_names_of_columns_only)
{
    static const char *const names[] = {"colour",   "label or 1 == 1", "id",
                                        "olho_key", "embedding",       ""};
    const char *const values[] = {"x"};
    struct vec_term term = {NULL, values, 1, false};
    const struct vec_filter filter = {&term, 1};
    size_t i;

    for (i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct err err = {0};

        term.name = names[i];
        buf_init(&out, 1000);
        CHECK_ERR(milvus_expr_filter(&shape, &filter, &out, &err),
                  ERR_UNSUPPORTED);
        CHECK_INT(out.len, 0);
    }
}

TEST(milvus_expr_lists_ids_and_keys)
{
    const int64_t ids[] = {0, -5, INT64_MAX};
    const char *const keys[] = {"a", "\""};

    buf_init(&out, 1000);
    milvus_expr_ids(&shape, ids, 3, &out);
    CHECK_TEXT(out.data, "id in [0,-5,9223372036854775807]");
    milvus_expr_keys(&shape, keys, 2, &out);
    CHECK_TEXT(out.data, "olho_key in [\"a\",\"\\\"\"]");
    buf_release(&out);
}

TEST(milvus_expr_says_that_it_is_too_long)
{
    const char *const values[] = {"0123456789"};
    const struct vec_term term = {"label", values, 1, false};
    const struct vec_filter filter = {&term, 1};
    struct err err = {0};

    buf_init(&out, 15);
    CHECK_ERR(milvus_expr_filter(&shape, &filter, &out, &err), ERR_TOO_LARGE);
    buf_release(&out);
}

TEST(milvus_expr_looks_for_tags_where_all_are)
{
    const char *const values[] = {"a", "b\"c"};
    const struct vec_term terms[] = {{"kind", values, 2, false},
                                     {"any name]", values, 1, true}};
    const struct vec_filter filter = {terms, 2};
    struct milvus_shape ours = shape;
    struct err err = {0};

    ours.has_json = true;
    buf_init(&out, 1000);
    CHECK_OK(milvus_expr_filter(&ours, &filter, &out, &err), err);
    CHECK_TEXT(out.data, "json_contains_any(olho_tags[\"tags\"], "
                         "[\"kind=a\",\"kind=b\\\"c\"]) and "
                         "not json_contains_any(olho_tags[\"tags\"], "
                         "[\"any name]=a\"])");
    buf_release(&out);
}
