/* SPDX-License-Identifier: Apache-2.0 */
/* ONNX Runtime, through its C API.
 *
 * The library is opened with dlopen and never linked: every symbol of an
 * official build carries that build's own version, so that a program linked
 * with one refuses the next. One library and one OrtEnv serve the process;
 * they are made by the first engine and stay until exit, since ONNX Runtime
 * cannot be unloaded safely. */
#include "infer/engine.h"

#include <assert.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <onnxruntime_c_api.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "infer/engine_ops.h"

/* mutex guards what follows; once `api` is set, nothing of it changes. */
static struct {
    pthread_mutex_t mutex;
    const OrtApi *api;
    OrtEnv *env;
    OrtMemoryInfo *memory;
    char version[64];
} library = {.mutex = PTHREAD_MUTEX_INITIALIZER};

struct engine_ort {
    struct engine base;
    char *path; /* owned */
    bool has_8_bits;
    OrtSession *session;
    _Atomic(OrtSession *) lone; /* of runs that are alone; NULL: session */
    const char *input_names[ENGINE_TENSORS_MAX];
};

/* Turns a status into an error and frees it; 0 for success. The library's own
 * text goes to the log only. */
static int ort_check(OrtStatus *status, enum err_code code, const char *what,
                     struct err *err)
{
    if (status == NULL)
        return 0;
    log_write(LOG_DEBUG, "onnxruntime failed", log_text("doing", what),
              log_text("why", library.api->GetErrorMessage(status)));
    library.api->ReleaseStatus(status);
    return err_set(err, code,
                   "the inference engine failed to %s (LOG_LEVEL=debug says "
                   "why)",
                   what);
}

static void ORT_API_CALL take_log(void *param, OrtLoggingLevel severity,
                                  const char *category, const char *log_id,
                                  const char *location, const char *message)
{
    (void)param;
    (void)severity;
    (void)log_id;
    (void)location;
    log_write(LOG_DEBUG, "onnxruntime", log_text("category", category),
              log_text("text", message));
}

/* The folder of this program, without a slash at its end. */
static int find_program_dir(char *out, size_t len)
{
    ssize_t n = readlink("/proc/self/exe", out, len - 1);
    char *slash;

    if (n <= 0)
        return -1;
    out[n] = '\0';
    slash = strrchr(out, '/');
    if (slash == NULL)
        return -1;
    *slash = '\0';
    return 0;
}

static void *open_library(struct err *err)
{
    char dir[PATH_MAX], beside[PATH_MAX + 64] = "";
    const char *places[4];
    void *handle = NULL;
    size_t i;

    if (find_program_dir(dir, sizeof dir) == 0)
        snprintf(beside, sizeof beside, "%s/onnxruntime/libonnxruntime.so.1",
                 dir);
    places[0] = getenv("OLHO_ONNXRUNTIME");
    places[1] = beside;
    places[2] = OLHO_ORT_DIR "/libonnxruntime.so.1";
    places[3] = "libonnxruntime.so.1";
    for (i = 0; i < sizeof places / sizeof places[0] && handle == NULL; i++)
        if (places[i] != NULL && places[i][0] != '\0')
            handle = dlopen(places[i], RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL)
        err_set(err, ERR_UNAVAILABLE,
                "ONNX Runtime (libonnxruntime.so.1) was not found beside the "
                "program, in " OLHO_ORT_DIR " or in the system's folders; "
                "OLHO_ONNXRUNTIME may name the file");
    return handle;
}

static int open_api(void *handle, const OrtApi **out, struct err *err)
{
    const OrtApiBase *(*get_base)(void);
    const OrtApiBase *base;
    void *symbol = dlsym(handle, "OrtGetApiBase");
    int minor = 0;

    if (symbol == NULL)
        return err_set(err, ERR_UNAVAILABLE,
                       "libonnxruntime.so.1 has no OrtGetApiBase");
    memcpy(&get_base, &symbol, sizeof get_base);
    base = get_base();
    snprintf(library.version, sizeof library.version, "onnxruntime %s",
             base->GetVersionString());
    /* GetApi of an older library would print to stderr. */
    if (sscanf(base->GetVersionString(), "1.%d", &minor) != 1 ||
        minor < ORT_API_VERSION)
        return err_set(err, ERR_UNAVAILABLE,
                       "ONNX Runtime is %s; 1.%d or newer is needed",
                       base->GetVersionString(), ORT_API_VERSION);
    *out = base->GetApi(ORT_API_VERSION);
    if (*out == NULL)
        return err_set(err, ERR_UNAVAILABLE,
                       "ONNX Runtime %s does not offer API %d",
                       base->GetVersionString(), ORT_API_VERSION);
    return 0;
}

/* Some builds print hundreds of schema lines to stderr while they start;
 * nothing they say there is for a user. Answers the real stderr, or -1. */
static int silence_stderr(void)
{
    int saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

    if (saved >= 0 && null >= 0)
        dup2(null, STDERR_FILENO);
    if (null >= 0)
        close(null);
    return saved;
}

static void restore_stderr(int saved)
{
    if (saved < 0)
        return;
    dup2(saved, STDERR_FILENO);
    close(saved);
}

/* One arena for the memory of runs, shared by all sessions. */
static int share_arena(const OrtApi *api, struct err *err)
{
    OrtMemoryInfo *memory = NULL;
    OrtArenaCfg *arena = NULL;
    int rc;

    rc = ort_check(
        api->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory),
        ERR_UNAVAILABLE, "start", err);
    if (rc == 0)
        rc = ort_check(api->CreateArenaCfg(0, -1, -1, -1, &arena),
                       ERR_UNAVAILABLE, "start", err);
    if (rc == 0)
        rc = ort_check(
            api->CreateAndRegisterAllocator(library.env, memory, arena),
            ERR_UNAVAILABLE, "start", err);
    if (arena != NULL)
        api->ReleaseArenaCfg(arena);
    if (memory != NULL)
        api->ReleaseMemoryInfo(memory);
    return rc;
}

static int make_environment(const OrtApi *api, struct err *err)
{
    int rc;

    library.api = api;
    rc = ort_check(api->CreateEnvWithCustomLogger(take_log, NULL,
                                                  ORT_LOGGING_LEVEL_WARNING,
                                                  "olho", &library.env),
                   ERR_UNAVAILABLE, "start", err);
    if (rc == 0)
        rc = ort_check(api->CreateCpuMemoryInfo(OrtDeviceAllocator,
                                                OrtMemTypeDefault,
                                                &library.memory),
                       ERR_UNAVAILABLE, "start", err);
    if (rc == 0)
        rc = share_arena(api, err);
    if (rc)
        library.api = NULL;
    return rc;
}

/* Loads the library once for the process. */
static int load_library(struct err *err)
{
    const OrtApi *api = NULL;
    void *handle = NULL;
    int saved, rc = 0;

    pthread_mutex_lock(&library.mutex);
    if (library.api != NULL)
        goto out;
    /* Official builds from 1.29 on report usage unless told not to before
     * they load; nothing of a user's goes anywhere. */
    setenv("ORT_DISABLE_TELEMETRY", "1", 1);
    saved = silence_stderr();
    handle = open_library(err);
    rc = handle == NULL ? (int)err->code : open_api(handle, &api, err);
    if (api != NULL)
        rc = make_environment(api, err);
    restore_stderr(saved);
out:
    pthread_mutex_unlock(&library.mutex);
    return rc;
}

static enum tensor_type type_of(ONNXTensorElementDataType type)
{
    switch (type) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT:
        return TENSOR_FLOAT32;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8:
        return TENSOR_UINT8;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8:
        return TENSOR_INT8;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32:
        return TENSOR_INT32;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64:
        return TENSOR_INT64;
    default:
        return TENSOR_OTHER;
    }
}

static ONNXTensorElementDataType type_to_ort(enum tensor_type type)
{
    static const ONNXTensorElementDataType types[] = {
        [TENSOR_FLOAT32] = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
        [TENSOR_UINT8] = ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8,
        [TENSOR_INT8] = ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8,
        [TENSOR_INT32] = ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32,
        [TENSOR_INT64] = ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64,
        [TENSOR_OTHER] = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED,
    };

    return types[type];
}

/* Reads the type and shape of one input or output. */
static int read_spec(const OrtTypeInfo *info, struct tensor_spec *out,
                     struct err *err)
{
    const OrtApi *api = library.api;
    const OrtTensorTypeAndShapeInfo *shape = NULL;
    ONNXTensorElementDataType type;
    size_t rank = 0;
    int rc;

    rc = ort_check(api->CastTypeInfoToTensorInfo(info, &shape),
                   ERR_UNPROCESSABLE, "read a tensor's type", err);
    if (rc)
        return rc;
    if (shape == NULL)
        return err_set(err, ERR_UNPROCESSABLE, "'%s' is no tensor", out->name);
    rc = ort_check(api->GetTensorElementType(shape, &type), ERR_UNPROCESSABLE,
                   "read a tensor's type", err);
    if (rc == 0)
        rc = ort_check(api->GetDimensionsCount(shape, &rank), ERR_UNPROCESSABLE,
                       "read a tensor's shape", err);
    if (rc == 0 && rank > TENSOR_RANK_MAX)
        rc = err_set(err, ERR_UNPROCESSABLE,
                     "tensor '%s' has rank %zu; at most %d is read", out->name,
                     rank, TENSOR_RANK_MAX);
    if (rc == 0)
        rc = ort_check(api->GetDimensions(shape, out->dims, rank),
                       ERR_UNPROCESSABLE, "read a tensor's shape", err);
    if (rc)
        return rc;
    out->type = type_of(type);
    out->rank = (int)rank;
    return 0;
}

typedef OrtStatus *(ORT_API_CALL *name_fn)(const OrtSession *, size_t,
                                           OrtAllocator *, char **);
typedef OrtStatus *(ORT_API_CALL *type_fn)(const OrtSession *, size_t,
                                           OrtTypeInfo **);

static int read_tensor(struct engine_ort *engine, size_t i, name_fn get_name,
                       type_fn get_type, struct tensor_spec *out,
                       struct err *err)
{
    const OrtApi *api = library.api;
    OrtAllocator *allocator = NULL;
    OrtTypeInfo *info = NULL;
    char *name = NULL;
    int rc;

    rc = ort_check(api->GetAllocatorWithDefaultOptions(&allocator),
                   ERR_UNAVAILABLE, "take memory", err);
    if (rc)
        return rc;
    rc = ort_check(get_name(engine->session, i, allocator, &name),
                   ERR_UNPROCESSABLE, "read a tensor's name", err);
    if (rc)
        return rc;
    if (snprintf(out->name, sizeof out->name, "%s", name) >= TENSOR_NAME_MAX)
        rc = err_set(err, ERR_UNPROCESSABLE,
                     "a tensor's name has %zu bytes; at most %d are read",
                     strlen(name), TENSOR_NAME_MAX - 1);
    if (rc == 0)
        rc = ort_check(get_type(engine->session, i, &info), ERR_UNPROCESSABLE,
                       "read a tensor's type", err);
    if (rc == 0)
        rc = read_spec(info, out, err);
    if (info != NULL)
        api->ReleaseTypeInfo(info);
    ort_check(api->AllocatorFree(allocator, name), ERR_INTERNAL, "free",
              &(struct err){0});
    return rc;
}

static int read_tensors(struct engine_ort *engine, struct err *err)
{
    const OrtApi *api = library.api;
    size_t in = 0, out = 0, i;
    int rc;

    rc = ort_check(api->SessionGetInputCount(engine->session, &in),
                   ERR_UNPROCESSABLE, "count inputs", err);
    if (rc == 0)
        rc = ort_check(api->SessionGetOutputCount(engine->session, &out),
                       ERR_UNPROCESSABLE, "count outputs", err);
    if (rc)
        return rc;
    if (in < 1 || in > ENGINE_TENSORS_MAX || out < 1 ||
        out > ENGINE_TENSORS_MAX)
        return err_set(err, ERR_UNPROCESSABLE,
                       "the network has %zu inputs and %zu outputs; 1..%d of "
                       "each are read",
                       in, out, ENGINE_TENSORS_MAX);
    for (i = 0; rc == 0 && i < in; i++)
        rc = read_tensor(engine, i, api->SessionGetInputName,
                         api->SessionGetInputTypeInfo, &engine->base.inputs[i],
                         err);
    for (i = 0; rc == 0 && i < out; i++)
        rc = read_tensor(engine, i, api->SessionGetOutputName,
                         api->SessionGetOutputTypeInfo,
                         &engine->base.outputs[i], err);
    engine->base.input_count = (int)in;
    engine->base.output_count = (int)out;
    for (i = 0; i < in; i++)
        engine->input_names[i] = engine->base.inputs[i].name;
    return rc;
}

static int set_options(OrtSessionOptions *set,
                       const struct engine_options *options, struct err *err)
{
    /* Weights that are stored as int8 behind DequantizeLinear are unfolded to
     * float32 once at load, instead of at every run, unless the network
     * computes in 8 bits. Threads spin between the
     * parts of a run, since waking one up costs more than a part, and stop
     * when the run ends: the core belongs to the next request. Sessions share
     * one arena for what a run needs, and weights stay out of it: 10 MB
     * less. */
    const char *const entries[][2] = {
        {"session.disable_quant_qdq", options->has_8_bits ? "0" : "1"},
        {"session.force_spinning_stop", "1"},
        {"session.use_env_allocators", "1"},
        {"session.use_device_allocator_for_initializers", "1"},
    };
    const OrtApi *api = library.api;
    size_t i;
    int rc;

    rc = ort_check(api->SetIntraOpNumThreads(set, options->thread_count),
                   ERR_INTERNAL, "set its threads", err);
    if (rc == 0)
        rc = ort_check(api->SetInterOpNumThreads(set, 1), ERR_INTERNAL,
                       "set its threads", err);
    if (rc == 0)
        rc = ort_check(
            api->SetSessionGraphOptimizationLevel(set, ORT_ENABLE_ALL),
            ERR_INTERNAL, "set its optimisations", err);
    for (i = 0; rc == 0 && i < sizeof entries / sizeof entries[0]; i++)
        rc = ort_check(
            api->AddSessionConfigEntry(set, entries[i][0], entries[i][1]),
            ERR_INTERNAL, "set its options", err);
    return rc;
}

static void ort_close(struct engine *base)
{
    struct engine_ort *engine = (struct engine_ort *)base;

    if (engine->session != NULL)
        library.api->ReleaseSession(engine->session);
    if (engine->lone != NULL)
        library.api->ReleaseSession(engine->lone);
    mem_free(engine->path);
    mem_free(engine);
}

static int ort_run(struct engine *base, const struct tensor *inputs,
                   const struct tensor *outputs, bool is_alone, struct err *err)
{
    struct engine_ort *engine = (struct engine_ort *)base;
    OrtSession *lone =
        atomic_load_explicit(&engine->lone, memory_order_acquire);
    OrtSession *session = is_alone && lone != NULL ? lone : engine->session;
    const OrtApi *api = library.api;
    OrtValue *in[ENGINE_TENSORS_MAX] = {0}, *out[ENGINE_TENSORS_MAX] = {0};
    const char *out_names[ENGINE_TENSORS_MAX];
    int out_count = 0, i, rc = 0;

    for (i = 0; rc == 0 && i < base->input_count; i++)
        rc = ort_check(api->CreateTensorWithDataAsOrtValue(
                           library.memory, inputs[i].data, inputs[i].data_len,
                           inputs[i].dims, (size_t)inputs[i].rank,
                           type_to_ort(inputs[i].type), &in[i]),
                       ERR_INTERNAL, "take its input", err);
    for (i = 0; rc == 0 && i < base->output_count; i++) {
        if (outputs[i].data == NULL)
            continue;
        out_names[out_count] = base->outputs[i].name;
        rc = ort_check(api->CreateTensorWithDataAsOrtValue(
                           library.memory, outputs[i].data, outputs[i].data_len,
                           outputs[i].dims, (size_t)outputs[i].rank,
                           type_to_ort(outputs[i].type), &out[out_count]),
                       ERR_INTERNAL, "prepare its output", err);
        out_count++;
    }
    if (rc == 0)
        rc = ort_check(api->Run(session, NULL, engine->input_names,
                                (const OrtValue *const *)in,
                                (size_t)base->input_count, out_names,
                                (size_t)out_count, out),
                       ERR_INTERNAL, "run the network", err);
    for (i = 0; i < base->input_count; i++)
        if (in[i] != NULL)
            api->ReleaseValue(in[i]);
    for (i = 0; i < out_count; i++)
        if (out[i] != NULL)
            api->ReleaseValue(out[i]);
    return rc;
}

static int open_session(const char *path, const struct engine_options *options,
                        OrtSession **out, struct err *err)
{
    const OrtApi *api = library.api;
    OrtSessionOptions *set = NULL;
    int rc;

    rc = ort_check(api->CreateSessionOptions(&set), ERR_UNAVAILABLE,
                   "make its options", err);
    if (rc == 0)
        rc = set_options(set, options, err);
    if (rc == 0)
        rc = ort_check(api->CreateSession(library.env, path, set, out),
                       ERR_UNPROCESSABLE, "load the network", err);
    if (set != NULL)
        api->ReleaseSessionOptions(set);
    return rc;
}

/* Release order: whoever sees the session sees it complete. */
static int ort_widen(struct engine *base, int thread_count, struct err *err)
{
    struct engine_ort *engine = (struct engine_ort *)base;
    struct engine_options options = {thread_count, engine->has_8_bits};
    OrtSession *lone = NULL;
    int rc;

    assert(engine->lone == NULL);
    rc = open_session(engine->path, &options, &lone, err);
    if (rc == 0)
        atomic_store_explicit(&engine->lone, lone, memory_order_release);
    return rc;
}

int engine_ort_open(const char *path, const struct engine_options *options,
                    struct engine **out, struct err *err)
{
    static const struct engine_ops ops = {"onnxruntime", ort_run, ort_widen,
                                          ort_close};
    struct engine_ort *engine = NULL;
    int rc;

    rc = load_library(err);
    if (rc)
        return rc;
    engine = mem_new(sizeof *engine);
    engine->base.ops = &ops;
    engine->path = mem_text(path);
    engine->has_8_bits = options->has_8_bits;
    rc = open_session(path, options, &engine->session, err);
    if (rc == 0)
        rc = read_tensors(engine, err);
    if (rc) {
        ort_close(&engine->base);
        return rc;
    }
    *out = &engine->base;
    return 0;
}

const char *engine_ort_version(void)
{
    struct err err = {0};

    return load_library(&err) == 0 ? library.version
                                   : "onnxruntime (not found)";
}
