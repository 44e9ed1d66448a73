/* SPDX-License-Identifier: Apache-2.0 */
/* What a backend of infer/engine.h implements. Only engine.c and the backends
 * include this; engine.c checks arguments before it calls. */
#ifndef OLHO_INFER_ENGINE_OPS_H
#define OLHO_INFER_ENGINE_OPS_H

#include <stdatomic.h>
#include <stdbool.h>

#include "infer/engine.h"

struct engine_ops {
    const char *name;
    int (*run)(struct engine *engine, const struct tensor *inputs,
               const struct tensor *outputs, bool is_alone, struct err *err);
    int (*widen)(struct engine *engine, int thread_count, struct err *err);
    void (*close)(struct engine *engine);
};

/* Embedded first in the backend's struct; filled by its open function. */
struct engine {
    const struct engine_ops *ops;
    atomic_int under_way; /* requests that will run it; any thread */
    int input_count, output_count;
    struct tensor_spec inputs[ENGINE_TENSORS_MAX];
    struct tensor_spec outputs[ENGINE_TENSORS_MAX];
};

MUST_CHECK int engine_ort_open(const char *path,
                               const struct engine_options *options,
                               struct engine **out, struct err *err);
const char *engine_ort_version(void);

#endif
