/* SPDX-License-Identifier: Apache-2.0 */
/* A network that runs: named tensors in, named tensors out.
 *
 * Backends: engine_ort.c (ONNX Runtime). An engine may be run by several
 * threads at once; opening and closing belong to one thread. */
#ifndef OLHO_INFER_ENGINE_H
#define OLHO_INFER_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
    TENSOR_RANK_MAX = 8,
    TENSOR_NAME_MAX = 128,
    ENGINE_TENSORS_MAX = 16,
};

enum tensor_type {
    TENSOR_FLOAT32,
    TENSOR_UINT8,
    TENSOR_INT8,
    TENSOR_INT32,
    TENSOR_INT64,
    TENSOR_OTHER,
};

/* What an engine takes or gives. A dimension of -1 is free. */
struct tensor_spec {
    char name[TENSOR_NAME_MAX];
    enum tensor_type type;
    int rank;
    int64_t dims[TENSOR_RANK_MAX];
};

/* Values in row-major order; all dimensions fixed. */
struct tensor {
    enum tensor_type type;
    int rank;
    int64_t dims[TENSOR_RANK_MAX];
    void *data;      /* borrowed from the caller */
    size_t data_len; /* bytes behind data */
};

enum { ENGINE_THREADS_MAX = 64 };

struct engine_options {
    int thread_count; /* threads inside one run, 1..ENGINE_THREADS_MAX */
    bool has_8_bits;  /* compute in 8 bits where the network says so; else what
                       * is stored as int8 is unfolded to float32 at load */
};

struct engine;

/* Opens an ONNX file. ERR_UNPROCESSABLE when it is no network we can run,
 * ERR_UNAVAILABLE when the engine's library cannot be loaded. The caller owns
 * *out. */
MUST_CHECK int engine_open(const char *path,
                           const struct engine_options *options,
                           struct engine **out, struct err *err);
void engine_close(struct engine *engine); /* NULL is allowed */

/* Makes runs that are alone use thread_count threads; the others keep to their
 * own. Takes the memory of the network once more. Called at most once, at any
 * time, also while other threads run the engine. */
MUST_CHECK int engine_widen(struct engine *engine, int thread_count,
                            struct err *err);

/* Say that a request is under way which will run the engine, so that the engine
 * knows whether a run is alone. */
void engine_enter(struct engine *engine);
void engine_leave(struct engine *engine);

int engine_input_count(const struct engine *engine);
int engine_output_count(const struct engine *engine);
const struct tensor_spec *engine_input(const struct engine *engine, int i);
const struct tensor_spec *engine_output(const struct engine *engine, int i);

/* Runs once: reads inputs[i] for each input i, writes the outputs whose
 * outputs[j].data is not NULL straight into the caller's memory. Shapes must
 * fit the specs. Blocks. */
MUST_CHECK int engine_run(struct engine *engine, const struct tensor *inputs,
                          const struct tensor *outputs, struct err *err);

/* "onnxruntime 1.28.0", or "onnxruntime (not found)"; loads the library. */
const char *engine_version(void);

#endif
