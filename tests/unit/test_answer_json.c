/* SPDX-License-Identifier: Apache-2.0 */
#include "apps/answer_json.h"
#include "base/json.h"
#include "test.h"

static char carro[] = "carro", moeda[] = "moeda", selo[] = "selo";
static char *names[] = {carro, moeda, selo};
static const struct bundle_class top[] = {{1, 0.75f}, {0, 0.2f}};
static const float embedding[] = {0.6f, 0.8f};
static const struct neighbour hits[] = {
    {0, "fotos/a.jpg", "Ferrari 250", "", 0.25f},
    {1, "fotos/b.jpg", "", "", 1.0f},
};

static const struct bundle bundle = {
    .labels = {3, names},
    .class_count = 3,
    .embedding_len = 2,
    .metadata = {.version = "v2"},
};

static struct answer make_answer(void)
{
    return (struct answer){
        .bundle = &bundle,
        .top = top,
        .top_count = 2,
        .embedding = embedding,
        .hits = hits,
        .hit_count = 2,
        .is_accepted = true,
        .times = {.inference_us = 4200},
    };
}

/* The answer as JSON, without a line's end. */
static void write_answer(const struct answer *answer,
                         const struct answer_style *style, struct buf *out)
{
    struct json_writer json;
    struct err err = {0};

    buf_init(out, 1 << 16);
    json_writer_init(&json, out);
    answer_write(&json, answer, style);
    CHECK_OK(buf_check(out, &err), err);
}

TEST(answer_has_every_field_of_the_contract)
{
    struct answer_style style = {.with_embedding = true,
                                 .similar_min = 0.7f,
                                 .request_id = "r1",
                                 .file = "a.jpg"};
    struct answer answer = make_answer();
    struct buf text;

    write_answer(&answer, &style, &text);
    CHECK_TEXT(
        text.data,
        "{\"file\":\"a.jpg\",\"classe\":\"moeda\",\"confianca\":0.75,"
        "\"classe_numerica\":1,\"top_k_predictions\":[{\"classe\":\"moeda\","
        "\"confianca\":0.75},{\"classe\":\"carro\",\"confianca\":0.2}],"
        "\"embedding\":[0.6,0.8],\"semelhantes\":[{\"item\":\"fotos/a.jpg\","
        "\"distancia\":0.25},{\"item\":\"fotos/b.jpg\",\"distancia\":1.0}],"
        "\"similar_items\":[{\"item_id\":0,\"nome\":\"Ferrari 250\","
        "\"distancia\":0.25,\"confianca_similaridade\":0.8,"
        "\"foto_url\":null}],\"inference_time_ms\":4.200,"
        "\"model_version\":\"v2\",\"aceito\":true,\"avisos\":[],"
        "\"cache\":\"miss\",\"request_id\":\"r1\"}");
    buf_release(&text);
}

TEST(answer_that_is_undefined_names_no_class_and_no_neighbour)
{
    struct answer_style style = {.with_embedding = false,
                                 .similar_min = 0,
                                 .request_id = NULL,
                                 .file = NULL};
    struct answer answer = make_answer();
    struct buf text;

    answer.is_undefined = true;
    answer.is_accepted = false;
    write_answer(&answer, &style, &text);
    CHECK_HAS(text.data, "{\"classe\":\"Indefinido\",\"confianca\":0.0,"
                         "\"classe_numerica\":-1,");
    CHECK_HAS(text.data, "\"semelhantes\":[],\"similar_items\":[]");
    CHECK_HAS(text.data, "\"aceito\":false");
    buf_release(&text);
}

TEST(answer_warns_when_the_index_could_not_be_searched)
{
    struct answer_style style = {.with_embedding = false,
                                 .similar_min = 0,
                                 .request_id = NULL,
                                 .file = NULL};
    struct answer answer = make_answer();
    struct buf text;

    answer.hit_count = 0;
    answer.index_error = "the index is damaged";
    write_answer(&answer, &style, &text);
    CHECK_HAS(text.data, "\"avisos\":[{\"check\":\"index\",\"message\":\"the "
                         "index is damaged\"}]");
    buf_release(&text);
}

TEST(answer_without_an_embedding_says_null)
{
    struct answer_style style = {.with_embedding = true,
                                 .similar_min = 0,
                                 .request_id = NULL,
                                 .file = NULL};
    struct answer answer = make_answer();
    struct buf text;

    answer.embedding = NULL;
    write_answer(&answer, &style, &text);
    CHECK_HAS(text.data, "\"embedding\":null");
    buf_release(&text);
}

TEST(answer_counts_a_distance_below_zero_as_equal)
{
    static const struct neighbour near[] = {{0, "a.jpg", "", "", -1.0f},
                                            {1, "b.jpg", "", "", -3.5f}};
    struct answer_items items = {.view = NULL};
    struct json_writer json;
    struct buf text;

    buf_init(&text, 1 << 16);
    json_writer_init(&json, &text);
    json_object_begin(&json);
    CHECK_INT(answer_write_similar(&json, near, 2, 0.7, &items), 2);
    json_object_end(&json);
    CHECK_HAS(text.data, "\"distancia\":-1.0,\"confianca_similaridade\":1.0,");
    CHECK_HAS(text.data, "\"distancia\":-3.5,\"confianca_similaridade\":1.0,");
    buf_release(&text);
}
