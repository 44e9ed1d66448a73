/* SPDX-License-Identifier: Apache-2.0 */
/* The built-in engine: opening, closing, what readers take and who has which
 * part. engine_parts.h has the plan. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "vectors/engine_parts.h"
#include "vectors/engine_saved.h"

enum {
    LINKS = 16,
    EF_CONSTRUCTION = 200,
    EF_SEARCH = 64,
    NPROBE = 10,
};

/* --- taking and giving ------------------------------------------------ */

struct engine_index *engine_index_new(struct graph *graph, struct lists *lists)
{
    struct engine_index *index = mem_new(sizeof *index);

    index->ref_count = 1;
    index->graph = graph;
    index->lists = lists;
    return index;
}

void engine_index_free(struct engine_index *index)
{
    int i;

    if (index == NULL)
        return;
    for (i = 0; i < index->walk_count; i++)
        graph_walk_free(index->walks[i]);
    graph_free(index->graph);
    lists_free(index->lists);
    checkpoint_close(index->checkpoint);
    mem_free(index);
}

void vecengine_take(struct vecengine *engine, struct engine_view *out)
{
    pthread_mutex_lock(&engine->taking);
    out->generation = engine->current;
    out->generation->ref_count++;
    out->index = out->generation->index;
    out->index->ref_count++;
    pthread_mutex_unlock(&engine->taking);
    out->count =
        atomic_load_explicit(&out->generation->count, memory_order_acquire);
}

/* Takes one reference back; NULL when others are left. An index is mapped from
 * its generation's file, so it ends first. */
static struct engine_index *drop_index(struct engine_index *index)
{
    return --index->ref_count == 0 ? index : NULL;
}

static struct generation *drop_generation(struct generation *generation)
{
    return --generation->ref_count == 0 ? generation : NULL;
}

void vecengine_give(struct vecengine *engine, struct engine_view *view)
{
    struct engine_index *index = NULL;
    struct generation *generation = NULL;

    pthread_mutex_lock(&engine->taking);
    index = drop_index(view->index);
    generation = drop_generation(view->generation);
    pthread_mutex_unlock(&engine->taking);
    engine_index_free(index);
    generation_free(generation);
    *view = (struct engine_view){0};
}

void vecengine_set_generation(struct vecengine *engine,
                              struct generation *generation)
{
    struct generation *old = NULL;

    generation_see_order(generation);
    pthread_mutex_lock(&engine->taking);
    old = drop_generation(engine->current);
    engine->current = generation;
    pthread_mutex_unlock(&engine->taking);
    generation_free(old);
}

void vecengine_set_index(struct vecengine *engine, struct engine_index *index)
{
    struct engine_index *old = NULL;

    pthread_mutex_lock(&engine->taking);
    old = drop_index(engine->current->index);
    engine->current->index = index;
    pthread_mutex_unlock(&engine->taking);
    engine_index_free(old);
}

void vecengine_lead(struct vecengine *engine)
{
    pthread_mutex_lock(&engine->queueing);
    while (engine->is_led)
        pthread_cond_wait(&engine->queue_moved, &engine->queueing);
    engine->is_led = true;
    pthread_mutex_unlock(&engine->queueing);
}

void vecengine_unlead(struct vecengine *engine)
{
    pthread_mutex_lock(&engine->queueing);
    engine->is_led = false;
    pthread_cond_broadcast(&engine->queue_moved);
    pthread_mutex_unlock(&engine->queueing);
}

void vecengine_keep(struct vecengine *engine)
{
    pthread_mutex_lock(&engine->keeping);
    while (engine->is_kept)
        pthread_cond_wait(&engine->keep_moved, &engine->keeping);
    engine->is_kept = true;
    pthread_mutex_unlock(&engine->keeping);
}

bool vecengine_try_keep(struct vecengine *engine)
{
    bool is_free;

    pthread_mutex_lock(&engine->keeping);
    is_free = !engine->is_kept;
    engine->is_kept = true;
    pthread_mutex_unlock(&engine->keeping);
    return is_free;
}

void vecengine_unkeep(struct vecengine *engine)
{
    pthread_mutex_lock(&engine->keeping);
    engine->is_kept = false;
    pthread_cond_broadcast(&engine->keep_moved);
    pthread_mutex_unlock(&engine->keeping);
}

/* --- settings --------------------------------------------------------- */

static int pick(int wanted, uint32_t has, int preset)
{
    if (wanted != 0)
        return wanted;
    return has != 0 ? (int)has : preset;
}

/* What the options say, else the file, else the presets. */
static struct engine_settings settle_on(const struct vec_options *options,
                                        const struct log_settings *has)
{
    return (struct engine_settings){
        .type = (enum vecindex_type)pick((int)options->type, has->type,
                                         VECINDEX_AUTO),
        .storage = (enum vec_storage)pick((int)options->storage, has->storage,
                                          VEC_INT8),
        .links = pick(options->links, has->links, LINKS),
        .ef_construction = pick(options->ef_construction, has->ef_construction,
                                EF_CONSTRUCTION),
        .ef_search = pick(options->ef_search, has->ef_search, EF_SEARCH),
        .nlist = pick(options->nlist, has->nlist, 0),
        .nprobe = pick(options->nprobe, has->nprobe, NPROBE),
    };
}

/* What the file is to keep: what it has, and what the options say anew. */
static struct log_settings settings_to_keep(const struct vec_options *options,
                                            const struct log_settings *has)
{
    struct log_settings kept = *has;

    kept.type = (uint32_t)pick((int)options->type, has->type, 0);
    kept.storage = (uint32_t)pick((int)options->storage, has->storage, 0);
    kept.links = (uint32_t)pick(options->links, has->links, 0);
    kept.ef_construction =
        (uint32_t)pick(options->ef_construction, has->ef_construction, 0);
    kept.ef_search = (uint32_t)pick(options->ef_search, has->ef_search, 0);
    kept.nlist = (uint32_t)pick(options->nlist, has->nlist, 0);
    kept.nprobe = (uint32_t)pick(options->nprobe, has->nprobe, 0);
    return kept;
}

static bool are_settings_sensible(const struct log_settings *settings)
{
    return settings->type <= VECINDEX_HNSW && settings->storage <= VEC_INT8 &&
           settings->links <= VECINDEX_LINKS_MAX &&
           settings->ef_construction <= VECINDEX_EF_MAX &&
           settings->ef_search <= VECINDEX_EF_MAX &&
           settings->nlist <= VECINDEX_NLIST_MAX &&
           settings->nprobe <= VECINDEX_NPROBE_MAX && settings->next_id >= 0;
}

static int write_settings(struct generation *generation,
                          const struct vec_options *options, struct err *err)
{
    struct log_record record = {.kind = LOG_SETTINGS};
    int rc;

    record.settings = settings_to_keep(options, &generation->settings);
    record.settings.next_id = generation->next_id;
    rc = log_file_put(generation->log, &record, NULL, err);
    if (rc == 0)
        rc = log_file_commit(generation->log, err);
    if (rc == 0)
        generation->settings = record.settings;
    return rc;
}

static bool are_new_settings(const struct vec_options *options,
                             const struct log_settings *has)
{
    struct log_settings kept = settings_to_keep(options, has);

    return memcmp(&kept, has, sizeof kept) != 0;
}

/* --- opening ---------------------------------------------------------- */

/* Fills an empty generation from the checkpoint and the log behind it. */
static int fill(struct vecengine *engine, struct generation *generation,
                struct err *err)
{
    struct generation_reader *reader = NULL;
    int64_t offset = LOG_HEADER_LEN;
    int rc = vecengine_load(engine, generation, &offset, err);

    generation_see_order(generation);
    if (rc == 0)
        rc = generation_read_new(generation, false, &reader, err);
    if (rc == 0)
        rc = log_file_load(generation->log, offset, generation_visit, reader,
                           err);
    if (rc == 0)
        rc = generation_read_end(reader, err);
    if (rc == 0 && !are_settings_sensible(&generation->settings))
        rc = err_set(err, ERR_CORRUPT,
                     "index %s has settings that make no sense", engine->path);
    generation_read_free(reader);
    return rc;
}

/* The settings are in the log, and the codes that are made while it is read
 * depend on them: when they turn out to be others than was thought, it is read
 * once more. */
int generation_open(struct vecengine *engine, struct log_file *log,
                    const struct vec_options *options, struct generation **out,
                    struct err *err)
{
    struct generation *generation = NULL;
    struct log_settings first = {0};
    bool may_turn = options != NULL;
    int rc;

    log_file_first_settings(log, &first);
    if (options != NULL && are_settings_sensible(&first))
        engine->settings = settle_on(options, &first);
    for (;;) {
        rc = generation_new(engine, log, &generation, err);
        if (rc)
            return rc;
        rc = fill(engine, generation, err);
        if (rc) {
            generation_free(generation);
            return rc;
        }
        if (!may_turn)
            break;
        engine->settings = settle_on(options, &generation->settings);
        if (codes_storage(generation->codes) == engine->settings.storage)
            break;
        may_turn = false;
        generation->log = NULL;
        generation_free(generation);
    }
    *out = generation;
    return 0;
}

static void make_shape(const struct vec_options *options, struct log_shape *out)
{
    const char *model = options->model == NULL ? "" : options->model;

    *out = (struct log_shape){.dim = options->dim, .metric = options->metric};
    memcpy(out->model, model, strnlen(model, sizeof out->model - 1));
}

static void set_paths(struct vecengine *engine, const char *path)
{
    static const char suffix[] = ".checkpoint";
    size_t len = strlen(path);

    mem_free(engine->path);
    mem_free(engine->checkpoint_path);
    engine->path = mem_text(path);
    engine->checkpoint_path = mem_new(len + sizeof suffix);
    memcpy(engine->checkpoint_path, path, len);
    memcpy(engine->checkpoint_path + len, suffix, sizeof suffix);
}

/* The checkpoint is beside what a link leads to, not beside the link. A writer
 * also gives the names of its files to new ones, which must not take the place
 * of the link: who opens the file by its own name would go on with the old one.
 */
static int follow_link(struct vecengine *engine, struct err *err)
{
    char path[FILE_PATH_MAX];
    struct stat about;

    if (lstat(engine->where, &about) != 0 || !S_ISLNK(about.st_mode))
        return 0;
    if (realpath(engine->where, path) == NULL)
        return err_set(err, ERR_IO, "index %s: follow the link: %s",
                       engine->where, strerror(errno));
    set_paths(engine, path);
    return 0;
}

static struct vecengine *engine_new(const char *path, enum vec_mode mode,
                                    const struct vec_options *options)
{
    struct vecengine *engine = mem_new(sizeof *engine);
    pthread_condattr_t attributes;

    engine->where = mem_text(path);
    set_paths(engine, path);
    engine->mode = mode;
    engine->thread_count =
        options->thread_count > 0 ? options->thread_count : 1;
    engine->settings = settle_on(options, &(struct log_settings){0});
    pthread_mutex_init(&engine->taking, NULL);
    pthread_mutex_init(&engine->queueing, NULL);
    pthread_mutex_init(&engine->keeping, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&engine->queue_moved, &attributes);
    pthread_cond_init(&engine->keep_moved, &attributes);
    pthread_condattr_destroy(&attributes);
    return engine;
}

static void engine_close(void *self)
{
    struct vecengine *engine = self;

    keeper_stop(engine);
    if (engine->current != NULL) {
        if (engine->mode == VEC_WRITE)
            log_file_note_durable(engine->current->log);
        generation_free(engine->current);
    }
    pthread_cond_destroy(&engine->queue_moved);
    pthread_cond_destroy(&engine->keep_moved);
    pthread_mutex_destroy(&engine->taking);
    pthread_mutex_destroy(&engine->queueing);
    pthread_mutex_destroy(&engine->keeping);
    mem_free(engine->checkpoint_path);
    mem_free(engine->path);
    mem_free(engine->where);
    mem_free(engine);
}

int vecstore_engine_open(const char *path, enum vec_mode mode,
                         const struct vec_options *options, void **out_self,
                         int *out_dim, enum vecindex_metric *out_metric,
                         struct err *err)
{
    struct vecengine *engine = engine_new(path, mode, options);
    struct log_file *log = NULL;
    struct log_shape shape;
    int rc;

    make_shape(options, &shape);
    rc = log_file_open(path, mode, &shape, &log, err);
    if (rc == 0)
        rc = follow_link(engine, err);
    if (rc) {
        log_file_close(log);
    } else {
        engine->shape = *log_file_shape(log);
        rc = generation_open(engine, log, options, &engine->current, err);
    }
    if (rc == 0)
        engine->opened = engine->current->settings;
    if (rc == 0 && mode == VEC_WRITE &&
        are_new_settings(options, &engine->current->settings))
        rc = write_settings(engine->current, options, err);
    if (rc == 0 && mode == VEC_WRITE)
        rc = keeper_start(engine, err);
    if (rc) {
        engine_close(engine);
        return rc;
    }
    *out_self = engine;
    *out_dim = engine->shape.dim;
    *out_metric = engine->shape.metric;
    return 0;
}

/* ERR_IO when a file is there and cannot be removed. */
static int remove_file(const char *path, struct err *err)
{
    if (unlink(path) == 0 || errno == ENOENT)
        return 0;
    return err_set(err, ERR_IO, "index %s: remove: %s", path, strerror(errno));
}

/* The log after what belongs to it, and the link that led to it last. */
static int remove_files(const struct vecengine *engine, struct err *err)
{
    int rc;

    keeper_sweep(engine);
    rc = remove_file(engine->checkpoint_path, err);
    if (rc == 0)
        rc = remove_file(engine->path, err);
    if (rc == 0 && strcmp(engine->where, engine->path) != 0)
        rc = remove_file(engine->where, err);
    return rc;
}

int vecstore_engine_drop(const char *path, const struct vec_options *options,
                         struct err *err)
{
    const struct log_shape any = {0};
    struct vecengine *engine = engine_new(path, VEC_WRITE, options);
    struct log_file *log = NULL;
    /* With the lock: nobody writes it, nor is about to. */
    int rc = log_file_open(path, VEC_WRITE, &any, &log, err);

    if (rc == 0)
        rc = follow_link(engine, err);
    if (rc == 0)
        rc = remove_files(engine, err);
    log_file_close(log);
    engine_close(engine);
    return rc;
}

/* --- info ------------------------------------------------------------- */

static int64_t memory_len(const struct engine_view *view)
{
    struct generation *generation = view->generation;
    int64_t len = codes_memory(generation->codes) +
                  blocks_memory(&generation->slots) +
                  blocks_memory(&generation->removed) +
                  blocks_memory(&generation->checked) +
                  slot_table_memory(&generation->ids) +
                  slot_table_memory(&generation->keys) +
                  slot_tags_memory(generation->tags);

    if (view->index->graph != NULL)
        len += graph_memory(view->index->graph);
    if (view->index->lists != NULL)
        len += lists_memory(view->index->lists);
    return len;
}

static void tell_index(const struct vecengine *engine,
                       const struct engine_view *view, struct vec_info *out)
{
    enum vecindex_type wanted = engine->settings.type;
    int64_t covered = view->count;

    out->is_auto = wanted == VECINDEX_AUTO;
    out->type = VECINDEX_FLAT;
    if (view->index->graph != NULL) {
        out->type = VECINDEX_HNSW;
        covered = graph_count(view->index->graph);
    } else if (view->index->lists != NULL) {
        out->type = VECINDEX_IVFFLAT;
        covered = lists_count(view->index->lists);
        out->nlist = lists_nlist(view->index->lists);
    } else if (wanted == VECINDEX_HNSW || wanted == VECINDEX_IVFFLAT) {
        covered = 0;
    }
    out->is_exact = out->type == VECINDEX_FLAT;
    out->pending = covered < view->count ? view->count - covered : 0;
}

static int engine_info(void *self, struct vec_info *out, struct err *err)
{
    struct vecengine *engine = self;
    const struct engine_settings *settings = &engine->settings;
    struct engine_view view;
    struct stat about;

    (void)err;
    vecengine_take(engine, &view);
    *out = (struct vec_info){.backend = "olho",
                             .dim = engine->shape.dim,
                             .metric = engine->shape.metric,
                             .storage = settings->storage,
                             .links = settings->links,
                             .ef_construction = settings->ef_construction,
                             .ef_search = settings->ef_search,
                             .nlist = settings->nlist,
                             .nprobe = settings->nprobe};
    tell_index(engine, &view, out);
    out->removed = view.generation->removed_count;
    out->count = view.count - out->removed;
    out->file_len = log_file_len(view.generation->log);
    if (stat(engine->checkpoint_path, &about) == 0)
        out->file_len += about.st_size;
    out->memory_len = memory_len(&view);
    out->torn_len = log_file_torn_len(view.generation->log);
    out->kernels = codes_kernels(view.generation->codes);
    memcpy(out->model, engine->shape.model, sizeof out->model);
    vecengine_give(engine, &view);
    return 0;
}

const struct vec_backend vecstore_engine = {
    .name = "olho",
    .close = engine_close,
    .write = vecengine_write,
    .remove = vecengine_remove,
    .remove_matching = vecengine_remove_matching,
    .search = vecengine_search,
    .get = vecengine_get,
    .list = vecengine_list,
    .refresh = vecengine_refresh,
    .settle = vecengine_settle,
    .compact = vecengine_compact,
    .check = vecengine_check,
    .info = engine_info,
};
