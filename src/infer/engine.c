/* SPDX-License-Identifier: Apache-2.0 */
#include "infer/engine.h"

#include <assert.h>

#include "infer/engine_ops.h"

static int check_threads(int thread_count, struct err *err)
{
    if (thread_count < 1 || thread_count > ENGINE_THREADS_MAX)
        return err_set(err, ERR_INVALID,
                       "the engine was asked for %d threads; it takes 1..%d",
                       thread_count, ENGINE_THREADS_MAX);
    return 0;
}

int engine_open(const char *path, const struct engine_options *options,
                struct engine **out, struct err *err)
{
    int rc = check_threads(options->thread_count, err);

    if (rc)
        return rc;
    return engine_ort_open(path, options, out, err);
}

void engine_close(struct engine *engine)
{
    if (engine != NULL)
        engine->ops->close(engine);
}

int engine_widen(struct engine *engine, int thread_count, struct err *err)
{
    int rc = check_threads(thread_count, err);

    return rc ? rc : engine->ops->widen(engine, thread_count, err);
}

/* Relaxed order: a count that is a moment old costs a run its best speed, and
 * nothing else. */
void engine_enter(struct engine *engine)
{
    atomic_fetch_add_explicit(&engine->under_way, 1, memory_order_relaxed);
}

void engine_leave(struct engine *engine)
{
    atomic_fetch_sub_explicit(&engine->under_way, 1, memory_order_relaxed);
}

int engine_input_count(const struct engine *engine)
{
    return engine->input_count;
}

int engine_output_count(const struct engine *engine)
{
    return engine->output_count;
}

const struct tensor_spec *engine_input(const struct engine *engine, int i)
{
    assert(i >= 0 && i < engine->input_count);
    return &engine->inputs[i];
}

const struct tensor_spec *engine_output(const struct engine *engine, int i)
{
    assert(i >= 0 && i < engine->output_count);
    return &engine->outputs[i];
}

static size_t element_len(enum tensor_type type)
{
    static const size_t lens[] = {
        [TENSOR_FLOAT32] = 4, [TENSOR_UINT8] = 1, [TENSOR_INT8] = 1,
        [TENSOR_INT32] = 4,   [TENSOR_INT64] = 8, [TENSOR_OTHER] = 0,
    };

    return lens[type];
}

static int check_tensor(const struct tensor_spec *spec,
                        const struct tensor *tensor, struct err *err)
{
    size_t len = element_len(tensor->type);
    int i;

    if (tensor->type != spec->type || tensor->rank != spec->rank)
        return err_set(err, ERR_INVALID,
                       "tensor '%s' has rank %d; the network wants rank %d",
                       spec->name, tensor->rank, spec->rank);
    for (i = 0; i < spec->rank; i++) {
        if (tensor->dims[i] < 1 ||
            (spec->dims[i] > 0 && tensor->dims[i] != spec->dims[i]))
            return err_set(err, ERR_INVALID,
                           "dimension %d of tensor '%s' is %lld; the network "
                           "wants %lld",
                           i, spec->name, (long long)tensor->dims[i],
                           (long long)spec->dims[i]);
        if (__builtin_mul_overflow(len, (size_t)tensor->dims[i], &len))
            return err_set(err, ERR_INVALID, "tensor '%s' is too large",
                           spec->name);
    }
    if (len != tensor->data_len)
        return err_set(err, ERR_INVALID,
                       "tensor '%s' has %zu bytes; its shape needs %zu",
                       spec->name, tensor->data_len, len);
    return 0;
}

int engine_run(struct engine *engine, const struct tensor *inputs,
               const struct tensor *outputs, struct err *err)
{
    int i, rc;

    for (i = 0; i < engine->input_count; i++) {
        rc = check_tensor(&engine->inputs[i], &inputs[i], err);
        if (rc)
            return rc;
    }
    for (i = 0; i < engine->output_count; i++) {
        if (outputs[i].data == NULL)
            continue;
        rc = check_tensor(&engine->outputs[i], &outputs[i], err);
        if (rc)
            return rc;
    }
    return engine->ops->run(
        engine, inputs, outputs,
        atomic_load_explicit(&engine->under_way, memory_order_relaxed) <= 1,
        err);
}

const char *engine_version(void)
{
    return engine_ort_version();
}
