/* SPDX-License-Identifier: Apache-2.0 */
/* What servers of different versions answer, spoken by a server that has the
 * answers of a test in a row and keeps what was asked. */
#include "test.h"

#include <string.h>

#include <milvus.pb-c.h>

#include "fake.h"
#include "h2.h"
#include "vectors/milvus_batch.h"
#include "vectors/milvus_find.h"
#include "vectors/milvus_state.h"

enum { ASKED_MAX = 8, REQUEST_MAX = 4000, UNIMPLEMENTED = 12 };

/* One answer: a message, or the status of gRPC. */
struct saying {
    const ProtobufCMessage *message;
    int grpc_status;
};

static const struct saying *sayings;
static int saying_count, asked_count;
static struct {
    uint8_t data[REQUEST_MAX];
    size_t len;
} asked[ASKED_MAX];

static void say(int fd, uint32_t stream, const struct saying *saying)
{
    uint8_t frames[H2_ANSWER_MAX], body[300];
    size_t len, body_len;

    if (saying->grpc_status != 0) {
        CHECK_INT(saying->grpc_status, UNIMPLEMENTED);
        h2_answer_trailers_only(fd, stream, "12", NULL);
        return;
    }
    body_len = protobuf_c_message_get_packed_size(saying->message);
    CHECK(body_len < 250);
    memcpy(body, (const uint8_t[]){0, 0, 0, 0, (uint8_t)body_len}, 5);
    protobuf_c_message_pack(saying->message, body + 5);
    len = h2_put_head(frames, stream);
    len += h2_put_frame(frames + len, H2_DATA, 0, stream, body, 5 + body_len);
    len += h2_put_trailers(frames + len, stream, "0");
    fake_send_bytes(fd, frames, len);
}

static void serve(int fd, int nth)
{
    uint32_t stream = h2_await_first(fd);

    (void)nth;
    for (; stream != 0; stream = h2_await_request(fd)) {
        CHECK(asked_count < saying_count && h2_body_len <= REQUEST_MAX);
        memcpy(asked[asked_count].data, h2_body, h2_body_len);
        asked[asked_count].len = h2_body_len;
        say(fd, stream, &sayings[asked_count++]);
    }
}

static struct milvus_link begin(const struct saying *list, int count)
{
    struct milvus_url url = {.host = "127.0.0.1", .collection = "c"};
    struct milvus_link link;
    struct err err = {0};

    CHECK(count <= ASKED_MAX);
    sayings = list;
    saying_count = count;
    asked_count = 0;
    url.port = fake_start(serve);
    CHECK_OK(milvus_link_init(&link, &url, 30000, &err), err);
    return link;
}

/* All that was to be asked was asked. */
static void end(struct milvus_link *link)
{
    milvus_link_release(link);
    fake_stop();
    CHECK_INT(asked_count, saying_count);
}

static void *asked_as(int number, const ProtobufCMessageDescriptor *kind)
{
    void *message = protobuf_c_message_unpack(kind, NULL, asked[number].len - 5,
                                              asked[number].data + 5);

    CHECK(message != NULL);
    return message;
}

/* --- messages ------------------------------------------------------------- */

static const struct milvus_shape shape = {.id = "id",
                                          .vector = "v",
                                          .dim = 2,
                                          .key = {"olho_key", 255},
                                          .has_index = true,
                                          .index_type = "HNSW",
                                          .type = VECINDEX_HNSW,
                                          .metric = VECINDEX_COSINE};

static Milvus__Status status_of(int code, int old_code)
{
    Milvus__Status status = MILVUS__STATUS__INIT;

    status.code = code;
    status.error_code = old_code;
    return status;
}

/* The answer to a Query for count(*). */
static const ProtobufCMessage *count_of(int64_t value)
{
    static Milvus__QueryResults results = MILVUS__QUERY_RESULTS__INIT;
    static Milvus__FieldData field = MILVUS__FIELD_DATA__INIT;
    static Milvus__FieldData *fields[] = {&field};
    static Milvus__ScalarField scalars = MILVUS__SCALAR_FIELD__INIT;
    static Milvus__LongArray longs = MILVUS__LONG_ARRAY__INIT;
    static int64_t number;

    number = value;
    longs.data = &number;
    longs.n_data = 1;
    scalars.data_case = MILVUS__SCALAR_FIELD__DATA_LONGS;
    scalars.longs = &longs;
    field.field_case = MILVUS__FIELD_DATA__FIELD_SCALARS;
    field.scalars = &scalars;
    results.fields_data = fields;
    results.n_fields_data = 1;
    return &results.base;
}

/* --- calls that a server does not have ------------------------------------ */

TEST(milvus_reads_see_everything_at_a_server_that_tells_no_times)
{
    const struct saying list[] = {{NULL, UNIMPLEMENTED}, {count_of(7), 0}};
    struct milvus_link link = begin(list, 2);
    Milvus__QueryRequest *request;
    struct err err = {0};
    int64_t count = 0;

    CHECK_OK(milvus_link_sync(&link, &err), err);
    CHECK_OK(milvus_link_sync(&link, &err), err);
    CHECK_OK(milvus_count(&link, "", &count, &err), err);
    CHECK_INT(count, 7);
    end(&link);
    request = asked_as(1, &milvus__query_request__descriptor);
    CHECK_INT(request->consistency_level, 0);
    protobuf_c_message_free_unpacked(&request->base, NULL);
}

TEST(milvus_reads_wait_for_the_time_that_a_server_tells)
{
    Milvus__AllocTimestampResponse time =
        MILVUS__ALLOC_TIMESTAMP_RESPONSE__INIT;
    const struct saying list[] = {{&time.base, 0}, {count_of(7), 0}};
    struct milvus_link link = begin(list, 2);
    Milvus__QueryRequest *request;
    struct err err = {0};
    int64_t count = 0;

    time.timestamp = 12345;
    CHECK_OK(milvus_link_sync(&link, &err), err);
    CHECK_OK(milvus_count(&link, "", &count, &err), err);
    end(&link);
    request = asked_as(1, &milvus__query_request__descriptor);
    CHECK_INT(request->consistency_level, 1);
    CHECK_INT(request->guarantee_timestamp, 12345);
    protobuf_c_message_free_unpacked(&request->base, NULL);
}

TEST(milvus_that_tells_neither_version_nor_health_is_taken_as_it_is)
{
    const struct saying list[] = {{NULL, UNIMPLEMENTED}, {NULL, UNIMPLEMENTED}};
    struct milvus_link link = begin(list, 2);
    char version[64] = "?";
    struct err err = {0};

    CHECK_OK(milvus_version(&link, version, &err), err);
    CHECK_TEXT(version, "unknown");
    CHECK_OK(milvus_is_healthy(&link, &err), err);
    end(&link);
}

TEST(milvus_that_has_no_call_for_what_was_asked_is_said_to_have_none)
{
    const struct saying list[] = {{NULL, UNIMPLEMENTED}};
    struct milvus_link link = begin(list, 1);
    struct err err = {0};

    CHECK_ERR(milvus_compact(&link, 5, NULL, &err), ERR_UNSUPPORTED);
    CHECK_HAS(err.text, "has no call ManualCompaction");
    end(&link);
}

/* --- codes of older servers ----------------------------------------------- */

TEST(milvus_before_2_3_2_says_that_there_is_no_index_by_its_old_code)
{
    Milvus__Status none = status_of(0, 25);
    Milvus__DescribeIndexResponse answer =
        MILVUS__DESCRIBE_INDEX_RESPONSE__INIT;
    const struct saying list[] = {{&answer.base, 0}};
    struct milvus_link link = begin(list, 1);
    struct err err = {0};
    int64_t pending;

    answer.status = &none;
    CHECK_ERR(milvus_pending(&link, &shape, &pending, &err), ERR_NOT_FOUND);
    CHECK_HAS(err.text, "code 25");
    end(&link);
}

/* Before 2.3.3 there is no code for it. */
TEST(milvus_is_told_to_load_what_it_refuses_to_read_for_no_known_reason)
{
    Milvus__Status unexpected = status_of(0, 1), done = MILVUS__STATUS__INIT;
    Milvus__QueryResults refused = MILVUS__QUERY_RESULTS__INIT;
    Milvus__GetLoadStateResponse loaded = MILVUS__GET_LOAD_STATE_RESPONSE__INIT;
    const struct saying list[] = {{&refused.base, 0},
                                  {&done.base, 0},
                                  {&loaded.base, 0},
                                  {count_of(7), 0}};
    struct milvus_link link = begin(list, 4);
    struct err err = {0};
    int64_t count = 0;

    refused.status = &unexpected;
    loaded.state = 3;
    CHECK_OK(milvus_count(&link, "", &count, &err), err);
    CHECK_INT(count, 7);
    end(&link);
}

static void describe(bool is_there, enum err_code code)
{
    Milvus__Status unexpected = status_of(65535, 1);
    Milvus__DescribeCollectionResponse refused =
        MILVUS__DESCRIBE_COLLECTION_RESPONSE__INIT;
    Milvus__BoolResponse found = MILVUS__BOOL_RESPONSE__INIT;
    const struct saying list[] = {{&refused.base, 0}, {&found.base, 0}};
    struct milvus_link link = begin(list, 2);
    struct milvus_shape read;
    struct err err = {0};

    refused.status = &unexpected;
    found.value = is_there;
    CHECK_ERR(milvus_shape_read(&link, &read, &err), code);
    CHECK_HAS(err.text, code == ERR_NOT_FOUND ? "has no collection 'c'"
                                              : "refused DescribeCollection");
    end(&link);
}

TEST(milvus_2_3_0_is_asked_whether_there_is_what_it_does_not_describe)
{
    describe(false, ERR_NOT_FOUND);
    describe(true, ERR_UNPROCESSABLE);
}

/* --- writes that the server answers with an error ------------------------- */

/* Adds one entry, which is answered so; then a Delete, if there is one. */
static struct err add_refused(const char *key, int code, bool has_delete,
                              int *out_asked)
{
    static const float vector[2] = {1, 0};
    const struct vec_entry entry = {
        .id = VEC_ID_NEW, .vector = vector, .key = key};
    Milvus__Status why = status_of(code, 1);
    Milvus__QueryResults nobody = MILVUS__QUERY_RESULTS__INIT;
    Milvus__MutationResult refused = MILVUS__MUTATION_RESULT__INIT,
                           deleted = MILVUS__MUTATION_RESULT__INIT;
    const struct saying with_key[] = {{&nobody.base, 0}, {&refused.base, 0}};
    const struct saying without[] = {
        {&refused.base, 0}, {&deleted.base, 0}, {NULL, UNIMPLEMENTED}};
    struct milvus_link link =
        begin(key != NULL ? with_key : without, key != NULL  ? 2
                                                : has_delete ? 3
                                                             : 1);
    struct milvus_batch batch;
    struct err err = {0};

    refused.status = &why;
    CHECK_OK(milvus_batch_init(&batch, &link, &shape, &entry, 1, false, &err),
             err);
    CHECK(milvus_batch_run(&batch, &err) != 0);
    milvus_batch_release(&batch);
    end(&link);
    *out_asked = asked_count;
    return err;
}

TEST(milvus_removes_nothing_that_may_be_somebody_elses_after_a_failure)
{
    struct err err;
    int count;

    err = add_refused("k", MILVUS_UNEXPECTED, false, &count);
    CHECK_INT(count, 2);
    CHECK_HAS(err.text, "of 1 entries 0 are stored and 1 perhaps");
}

TEST(milvus_takes_back_what_is_its_own_and_says_what_may_come_yet)
{
    Milvus__DeleteRequest *request;
    struct err err;
    int count;

    err = add_refused(NULL, MILVUS_UNEXPECTED, true, &count);
    CHECK_HAS(err.text, "of 1 entries 0 are stored and 1 perhaps");
    request = asked_as(1, &milvus__delete_request__descriptor);
    CHECK_HAS(request->expr, "id in [");
    protobuf_c_message_free_unpacked(&request->base, NULL);
}

TEST(milvus_that_refuses_a_write_at_the_door_has_stored_nothing)
{
    struct err err;
    int count;

    err = add_refused(NULL, 8, false, &count);
    CHECK_INT(err.code, ERR_BUSY);
    CHECK(strstr(err.text, "perhaps") == NULL);
}
