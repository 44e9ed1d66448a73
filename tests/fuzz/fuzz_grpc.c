/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as all that a gRPC server sends, from its first frame on: whatever
 * they are, the call ends, and only a whole message is an answer. */
#include <assert.h>
#include <string.h>

#include "base/grpc.h"
#include "spoken.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { ANSWER_MAX = 1000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const struct grpc_call call = {.path = "/a.B/C",
                                   .message = {(const uint8_t *)"ask", 3},
                                   .timeout_ms = 60000,
                                   .answer_len_max = ANSWER_MAX};
    const struct grpc_options options = {.host = "127.0.0.1",
                                         .port = spoken_port()};
    struct grpc_answer answer;
    struct grpc *grpc = NULL;
    struct err err = {0};
    int rc;

    spoken_set((struct bytes){data, len});
    rc = grpc_new(&options, &grpc, &err);
    assert(rc == 0);
    rc = grpc_run(grpc, &call, &answer, &err);
    assert((rc == 0) == (err.code == ERR_OK));
    assert(rc != 0 || (answer.status == 0 && answer.fate == GRPC_ANSWERED));
    assert(rc == 0 || answer.message.data == NULL);
    assert(answer.message.len <= ANSWER_MAX);
    assert(strlen(answer.text) < sizeof answer.text);
    grpc_answer_release(&answer);
    grpc_free(grpc);
    spoken_set((struct bytes){NULL, 0});
    return 0;
}
