/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "apps/answer_pack.h"
#include "test.h"

enum { DIM = 3, ARENA_LEN_MAX = 1 << 20 };

static char one[] = "one", two[] = "two";
static char *names[] = {one, two};
static struct bundle bundle = {
    .labels = {2, names},
    .class_count = 2,
    .embedding_len = DIM,
    .metadata = {.name = "coins", .version = "v2"},
};
static const float embedding[DIM] = {0.6f, 0.0f, 0.8f};
static const struct bundle_class top[] = {{1, 0.75f}, {0, 0.25f}};

static struct answer make_answer(void)
{
    return (struct answer){
        .bundle = &bundle,
        .top = top,
        .top_count = 2,
        .embedding = embedding,
        .width_px = 640,
        .height_px = 480,
        .checks = {.warnings = {{"blur", 42.1, 100, "the image is blurred"}},
                   .count = 1},
    };
}

static void pack(struct buf *out)
{
    struct answer answer = make_answer();
    struct err err = {0};

    buf_init(out, 1 << 16);
    answer_pack(&answer, DIM, out);
    CHECK_OK(buf_check(out, &err), err);
}

TEST(answer_pack_comes_back_as_it_went)
{
    struct arena *arena = arena_new(ARENA_LEN_MAX);
    struct answer back = {.bundle = &bundle};
    struct buf packed;

    pack(&packed);
    CHECK(answer_unpack(buf_bytes(&packed), &bundle, 2, arena, &back));
    CHECK_INT(back.top_count, 2);
    CHECK_INT(back.top[0].id, 1);
    CHECK_NEAR(back.top[0].score, 0.75, 0);
    CHECK_NEAR(back.embedding[2], 0.8f, 0);
    CHECK_INT(back.width_px, 640);
    CHECK_INT(back.checks.count, 1);
    CHECK_TEXT(back.checks.warnings[0].check, "blur");
    CHECK_NEAR(back.checks.warnings[0].score, 42.1, 0);
    CHECK_TEXT(back.checks.warnings[0].message, "the image is blurred");
    buf_release(&packed);
    arena_free(arena);
}

TEST(answer_pack_that_is_cut_or_longer_is_refused)
{
    struct arena *arena = arena_new(ARENA_LEN_MAX);
    struct answer back = {.width_px = 7};
    struct buf packed;
    size_t len;

    pack(&packed);
    for (len = 0; len < packed.len; len++)
        CHECK(!answer_unpack((struct bytes){(const uint8_t *)packed.data, len},
                             &bundle, 2, arena, &back));
    buf_add_char(&packed, 'x');
    CHECK(!answer_unpack(buf_bytes(&packed), &bundle, 2, arena, &back));
    CHECK_INT(back.width_px, 7);
    buf_release(&packed);
    arena_free(arena);
}

TEST(answer_pack_with_any_bit_flipped_is_refused_or_harmless)
{
    struct arena *arena = arena_new(ARENA_LEN_MAX);
    struct buf packed;
    size_t i;
    int k;

    pack(&packed);
    for (i = 0; i < packed.len * 8; i++) {
        struct answer back = {.bundle = &bundle};

        packed.data[i / 8] ^= (char)(1 << i % 8);
        if (answer_unpack(buf_bytes(&packed), &bundle, 2, arena, &back)) {
            CHECK_INT(back.top_count, 2);
            for (k = 0; k < 2; k++)
                CHECK(back.top[k].id >= 0 && back.top[k].id < 2);
            CHECK(back.checks.count <= CHECK_COUNT);
        }
        packed.data[i / 8] ^= (char)(1 << i % 8);
        arena_reset(arena);
    }
    buf_release(&packed);
    arena_free(arena);
}

TEST(answer_pack_of_another_model_or_top_k_is_refused)
{
    struct arena *arena = arena_new(ARENA_LEN_MAX);
    struct bundle other = bundle;
    struct answer back = {.bundle = &bundle};
    struct buf packed;

    pack(&packed);
    CHECK(!answer_unpack(buf_bytes(&packed), &bundle, 1, arena, &back));
    other.embedding_len = DIM + 1;
    CHECK(!answer_unpack(buf_bytes(&packed), &other, 2, arena, &back));
    other = bundle;
    other.class_count = 1;
    CHECK(!answer_unpack(buf_bytes(&packed), &other, 2, arena, &back));
    buf_release(&packed);
    arena_free(arena);
}

TEST(answer_key_changes_with_file_version_image_and_settings)
{
    struct model_version version = {.bundle = &bundle};
    struct bundle other = bundle;
    struct model_version newer = {.bundle = &other};
    char key[300], again[300];

    answer_key("stamp", &version, "aa", 3, key, sizeof key);
    answer_key("stamp", &version, "aa", 3, again, sizeof again);
    CHECK_TEXT(key, again);
    answer_key("stamp", &version, "ab", 3, again, sizeof again);
    CHECK(strcmp(key, again) != 0);
    answer_key("stamp", &version, "aa", 4, again, sizeof again);
    CHECK(strcmp(key, again) != 0);
    answer_key("other", &version, "aa", 3, again, sizeof again);
    CHECK(strcmp(key, again) != 0);
    other.file_stamp = 1;
    answer_key("stamp", &newer, "aa", 3, again, sizeof again);
    CHECK(strcmp(key, again) != 0);
}

TEST(answer_stamp_follows_the_settings_that_change_answers)
{
    struct config config = {0};
    char before[HASH_HEX_LEN + 1], after[HASH_HEX_LEN + 1];

    option_preset(config_options, config_option_count, &config);
    answer_stamp(&config, before);
    config.port = 1;
    answer_stamp(&config, after);
    CHECK_TEXT(before, after);
    config.blur_min = 7;
    answer_stamp(&config, after);
    CHECK(strcmp(before, after) != 0);
    config_release(&config);
}
