/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "models/metadata.h"
#include "test.h"

static int read_text(const char *text, struct metadata *metadata,
                     struct err *err)
{
    struct json_value *document = NULL;
    int rc;

    *metadata = (struct metadata){0};
    rc = json_parse(bytes_of_text(text), &document, err);
    if (rc == 0)
        rc = metadata_read(document, metadata, err);
    json_free(document);
    return rc;
}

TEST(metadata_takes_everything_that_is_said)
{
    struct metadata metadata;
    struct err err = {0};

    CHECK_OK(
        read_text("{\"name\":\"coins\",\"version\":\"v2\",\"file\":\"m.onnx\","
                  "\"accuracy\":0.5,\"labels\":\"l.txt\",\"input\":{"
                  "\"name\":\"x\",\"width\":192,\"height\":224,"
                  "\"layout\":\"NHWC\",\"channels\":\"BGR\",\"mean\":0.5,"
                  "\"std\":[0.5,0.25,1],\"filter\":\"area\","
                  "\"fit\":\"letterbox\",\"pad\":114},\"output\":{"
                  "\"scores\":\"y\",\"activation\":\"softmax\","
                  "\"embedding\":\"e\"}}",
                  &metadata, &err),
        err);
    CHECK_TEXT(metadata.name, "coins");
    CHECK_TEXT(metadata.file, "m.onnx");
    CHECK_NEAR(metadata.accuracy, 0.5, 0);
    CHECK_INT(metadata.transform.width_px, 192);
    CHECK_INT(metadata.transform.height_px, 224);
    CHECK_INT(metadata.transform.layout, LAYOUT_NHWC);
    CHECK_INT(metadata.transform.order, ORDER_BGR);
    CHECK_INT(metadata.transform.filter, FILTER_AREA);
    CHECK_INT(metadata.transform.fit, FIT_LETTERBOX);
    CHECK_INT(metadata.transform.pad, 114);
    CHECK_INT(metadata.activation, ACTIVATION_SOFTMAX);
    CHECK_INT(metadata.known, KNOWN_SIZE | KNOWN_LAYOUT | KNOWN_NORMALISATION |
                                  KNOWN_RESIZE | KNOWN_SCORES |
                                  KNOWN_ACTIVATION | KNOWN_EMBEDDING);
    CHECK_NEAR(255 * metadata.transform.scale[0] + metadata.transform.bias[0],
               1, 1e-6);
    CHECK_NEAR(metadata.transform.bias[1], -2, 1e-6);
}

TEST(metadata_knows_nothing_of_what_is_absent)
{
    struct metadata metadata;
    struct err err = {0};

    CHECK_OK(read_text("{}", &metadata, &err), err);
    CHECK_INT(metadata.known, 0);
    CHECK(isnan(metadata.accuracy));
}

TEST(metadata_names_what_cannot_be)
{
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"[]", "no JSON object"},
        {"{\"accuracy\":2}", "accuracy"},
        {"{\"file\":\"../secret\"}", "../secret"},
        {"{\"labels\":\"/etc/passwd\"}", "/etc/passwd"},
        {"{\"input\":{\"width\":224}}", "height"},
        {"{\"input\":{\"width\":0,\"height\":1}}", "width"},
        {"{\"input\":{\"layout\":\"CHWN\"}}", "CHWN"},
        {"{\"input\":{\"filter\":\"lanczos\"}}", "lanczos"},
        {"{\"input\":{\"fit\":\"squeeze\"}}", "squeeze"},
        {"{\"input\":{\"std\":[1,0,1]}}", "std[1]"},
        {"{\"input\":{\"mean\":[1,2]}}", "mean"},
        {"{\"output\":{\"activation\":\"relu\"}}", "relu"},
        {"{\"name\":7}", "name"},
    };
    struct metadata metadata;
    size_t i;

    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err err = {0};

        CHECK_ERR(read_text(cases[i].text, &metadata, &err), ERR_UNPROCESSABLE);
        CHECK_HAS(err.text, cases[i].part);
    }
}

TEST(metadata_knows_which_networks_compute_in_8_bits)
{
    struct metadata metadata;
    struct err err = {0};

    CHECK_OK(read_text("{\"quantized\":\"int8-static\"}", &metadata, &err),
             err);
    CHECK(metadata.has_8_bits);
    CHECK_OK(read_text("{\"quantized\":\"int8-weights\"}", &metadata, &err),
             err);
    CHECK(!metadata.has_8_bits);
    CHECK_OK(read_text("{\"quantized\":\"none\"}", &metadata, &err), err);
    CHECK(!metadata.has_8_bits);
    CHECK_ERR(read_text("{\"quantized\":\"int4\"}", &metadata, &err),
              ERR_UNPROCESSABLE);
    CHECK_HAS(err.text, "\"int4\"");
}
