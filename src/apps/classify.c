/* SPDX-License-Identifier: Apache-2.0 */
#include "apps/classify.h"

#include <assert.h>

#include "apps/answer_pack.h"
#include "apps/compute.h"
#include "base/clock.h"
#include "cache/cache.h"
#include "cache/flight.h"
#include "obs/metrics.h"
#include "obs/trace.h"

enum { PACK_LEN_MAX = 4 << 20 };

static int out_of_memory(struct err *err)
{
    return err_set(err, ERR_UNAVAILABLE, "no memory for an answer");
}

/* A broken index does not take the class away from the answer; the answer
 * says that nothing was searched. */
static int add_similar(const struct model_version *version, int k,
                       struct arena *arena, struct answer *answer,
                       struct err *err)
{
    int64_t begin_us = clock_us();
    struct err search_err = {0};
    struct neighbours found;
    int rc;

    if (k == 0 || answer->embedding == NULL)
        return 0;
    rc = collection_search(version->collection, answer->embedding,
                           version->bundle->embedding_len, k, arena, &found,
                           &search_err);
    answer->times.search_us = clock_us() - begin_us;
    trace_phase("search", begin_us, begin_us + answer->times.search_us);
    if (rc == 0) {
        answer->hits = found.list;
        answer->hit_count = found.count;
        return 0;
    }
    answer->index_error = arena_printf(arena, "%s", search_err.text);
    return answer->index_error != NULL ? 0 : out_of_memory(err);
}

static void judge(const struct config *config, struct answer *answer)
{
    float score = answer->top[0].score;

    answer->is_undefined =
        (config->undefined_below > 0 && score < config->undefined_below) ||
        (config->undefined_distance_above > 0 && answer->hit_count > 0 &&
         answer->hits[0].distance > config->undefined_distance_above);
    answer->is_accepted =
        !answer->is_undefined && score >= config->confidence_min;
    metrics_add(METRIC_PREDICTIONS, answer->bundle->metadata.version,
                answer->is_accepted ? "true" : "false", 1);
    metrics_observe(METRIC_CONFIDENCE, answer->bundle->metadata.version, NULL,
                    score);
}

/* Computes as the first of those who ask for this key, and tells the others.
 * Who led before may have ended between our look into the cache and now, so we
 * look again. What cannot be packed is answered all the same. */
static int lead(const struct app *app, struct bytes file, const char *key,
                const struct classify_options *options, struct arena *arena,
                struct answer *answer, struct err *err)
{
    const struct bundle *bundle = answer->bundle;
    struct err pack_err = {0};
    struct buf packed;
    struct bytes value;
    bool is_packed;
    int rc = 0;

    buf_init(&packed, PACK_LEN_MAX);
    answer->is_cached = cache_get_again(app->cache, key, &packed) &&
                        answer_unpack(buf_bytes(&packed), bundle,
                                      options->top_k, arena, answer);
    if (!answer->is_cached) {
        buf_clear(&packed);
        rc = compute_answer(app, bundle, file, options, arena, answer, err);
        if (rc == 0)
            answer_pack(answer, bundle->embedding_len, &packed);
    }
    is_packed = rc == 0 && buf_check(&packed, &pack_err) == 0;
    value = buf_bytes(&packed);
    if (is_packed && !answer->is_cached)
        cache_put(app->cache, key, value);
    flight_end(app->flight, key, is_packed ? &value : NULL);
    buf_release(&packed);
    return rc;
}

/* The cache, or who computes the same just now, or else the network. */
static int recall(const struct app *app, const struct model_version *version,
                  struct bytes file, const struct classify_options *options,
                  struct arena *arena, struct answer *answer, struct err *err)
{
    const struct bundle *bundle = version->bundle;
    char key[CACHE_KEY_MAX + 1];
    struct err flight_err = {0};
    bool is_leader = false;
    struct buf packed;
    int rc;

    answer_key(app->answer_stamp, version, answer->sha256, options->top_k, key,
               sizeof key);
    buf_init(&packed, PACK_LEN_MAX);
    answer->is_cached = cache_get(app->cache, key, &packed) &&
                        answer_unpack(buf_bytes(&packed), bundle,
                                      options->top_k, arena, answer);
    if (answer->is_cached)
        goto out;
    buf_clear(&packed);
    rc = flight_begin(app->flight, key, options->deadline_us, &is_leader,
                      &packed, &flight_err);
    if (is_leader) {
        buf_release(&packed);
        return lead(app, file, key, options, arena, answer, err);
    }
    if (rc == ERR_TIMEOUT) {
        *err = flight_err;
        buf_release(&packed);
        return rc;
    }
    answer->is_cached = rc == 0 && answer_unpack(buf_bytes(&packed), bundle,
                                                 options->top_k, arena, answer);
    if (!answer->is_cached) {
        buf_release(&packed);
        return compute_answer(app, bundle, file, options, arena, answer, err);
    }
out:
    buf_release(&packed);
    return 0;
}

static int classify(const struct app *app, const struct model_version *version,
                    struct bytes file, const struct classify_options *options,
                    struct arena *arena, struct answer *out, struct err *err)
{
    struct answer answer = {.bundle = version->bundle};
    int64_t begin_us = clock_us();
    int rc;

    if (app->cache != NULL || options->wants_sha256) {
        hash_sha256_hex(file, answer.sha256);
        trace_phase("hash", begin_us, clock_us());
    }
    if (app->cache != NULL)
        rc = recall(app, version, file, options, arena, &answer, err);
    else
        rc = compute_answer(app, version->bundle, file, options, arena, &answer,
                            err);
    if (rc == 0)
        rc = add_similar(version, options->similar_k, arena, &answer, err);
    if (rc)
        return rc;
    judge(app->config, &answer);
    *out = answer;
    return 0;
}

int classify_image(const struct app *app, const struct model_version *version,
                   struct bytes file, const struct classify_options *options,
                   struct arena *arena, struct answer *out, struct err *err)
{
    struct engine *engine = version->bundle->engine;
    int rc;

    assert(options->top_k >= 1 &&
           options->top_k <= version->bundle->class_count);
    engine_enter(engine);
    rc = classify(app, version, file, options, arena, out, err);
    engine_leave(engine);
    return rc;
}
