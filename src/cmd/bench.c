/* SPDX-License-Identifier: Apache-2.0 */
/* `olho bench vectors`: the same vectors into one store after the other, and
 * the same searches in each. What it made it removes again. */
#include "cmd/bench.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/url.h"
#include "cmd/command.h"
#include "cmd/progress.h"
#include "cmd/target.h"
#include "cmd/terminal.h"

enum {
    ROWS = 20000,
    ROWS_MAX = 100000000,
    DIM = 1024,
    QUERIES = 100,
    QUERIES_MAX = 100000,
    K = 5,
    SEED_MAX = 1000000000,
    PID_MAX = 1 << 30,
    PICTURE_LEN_MAX = 16 << 20,
};

/* A store to be measured. */
struct place {
    char where[FILE_PATH_MAX];
    char shown[FILE_PATH_MAX];
    char folder[FILE_PATH_MAX]; /* made for it; "": none */
    bool was_there;             /* before; what was added goes, not the store */
};

struct bench {
    const struct arguments *arguments;
    struct bench_wish wish;
    struct vec_options options;
    struct bench_data data;
    struct place places[BENCH_STORES_MAX];
    struct bench_figures figures[BENCH_STORES_MAX];
    int place_count;
    int pid; /* of a server on this machine; 0: none is known */
    bool is_forced, is_kept;
};

/* --- what is asked for ---------------------------------------------------- */

static int read_places(struct bench *bench, struct err *err)
{
    const char *where;
    int at = 0;

    while ((where = arguments_next(bench->arguments, "store", &at)) != NULL) {
        struct place *place = &bench->places[bench->place_count];

        if (bench->place_count == BENCH_STORES_MAX)
            return err_set(err, ERR_INVALID, "there are more than %d --store",
                           BENCH_STORES_MAX);
        if (where[0] == '\0' || strlen(where) >= sizeof place->where)
            return err_set(err, ERR_INVALID,
                           "--store must name a file or a URL of at most %d "
                           "bytes",
                           FILE_PATH_MAX - 1);
        snprintf(place->where, sizeof place->where, "%s", where);
        url_show(where, place->shown, sizeof place->shown);
        bench->place_count++;
    }
    if (bench->place_count == 0)
        bench->place_count = 1; /* a new one, made when its turn comes */
    return 0;
}

static int read_flags(struct bench *bench, struct err *err)
{
    const struct arguments *arguments = bench->arguments;
    struct bench_wish *wish = &bench->wish;
    const struct {
        const char *flag;
        int max;
        int *value;
    } numbers[] = {
        {"rows", ROWS_MAX, &wish->row_count},
        {"dim", VEC_DIM_MAX, &wish->dim},
        {"seed", SEED_MAX, &wish->seed},
        {"queries", QUERIES_MAX, &wish->query_count},
        {"k", VEC_K_MAX, &wish->k},
        {"server-pid", PID_MAX, &bench->pid},
    };
    size_t i;
    int rc;

    *wish = (struct bench_wish){
        .embeddings = arguments_flag(arguments, "embeddings"),
        .names = arguments_flag(arguments, "names"),
        .row_count = ROWS,
        .dim = DIM,
        .seed = 1,
        .query_count = QUERIES,
        .k = K,
    };
    bench->is_forced = arguments_flag(arguments, "force") != NULL;
    bench->is_kept = arguments_flag(arguments, "keep") != NULL;
    rc = target_options(arguments, &bench->options, err);
    for (i = 0; rc == 0 && i < sizeof numbers / sizeof numbers[0]; i++)
        rc = target_number(arguments, numbers[i].flag, numbers[i].max,
                           numbers[i].value, err);
    if (rc == 0 && wish->names != NULL && wish->embeddings == NULL)
        rc = err_set(err, ERR_INVALID, "--names goes with --embeddings");
    if (rc == 0 && bench->pid > 0 && kill(bench->pid, 0) != 0 && errno == ESRCH)
        rc = err_set(err, ERR_INVALID,
                     "--server-pid is %d; there is no such process here",
                     bench->pid);
    if (bench->options.metric == VECINDEX_METRIC_ANY)
        bench->options.metric = VECINDEX_COSINE;
    wish->metric = bench->options.metric;
    return rc ? rc : read_places(bench, err);
}

/* --- one store ------------------------------------------------------------ */

/* A folder on a disk rather than in memory, where it costs nothing to sync. */
static int make_folder(struct place *place, struct err *err)
{
    const char *top = getenv("TMPDIR");

    snprintf(place->folder, sizeof place->folder, "%s/olho-bench-XXXXXX",
             top != NULL && top[0] == '/' ? top : "/var/tmp");
    if (mkdtemp(place->folder) == NULL) {
        place->folder[0] = '\0';
        return err_set(err, ERR_IO, "no folder can be made in %s: %s",
                       top != NULL && top[0] == '/' ? top : "/var/tmp",
                       strerror(errno));
    }
    snprintf(place->shown, sizeof place->shown, "built-in");
    return file_join(place->folder, "vectors.olho", place->where, err);
}

/* Flags that a file keeps for good. */
static bool has_making_flags(const struct vec_options *options)
{
    return options->type != VECINDEX_ANY ||
           options->storage != VEC_STORAGE_ANY || options->links > 0 ||
           options->ef_construction > 0 || options->ef_search > 0 ||
           options->nlist > 0 || options->nprobe > 0;
}

/* A store with something in it may be somebody's. */
static int look(struct bench *bench, struct place *place, struct err *err)
{
    const struct vec_options as_it_is = {0};
    struct vecstore *store = NULL;
    struct err own = {0};
    struct vec_info info = {0};
    int rc = vecstore_open(place->where, VEC_READ, &as_it_is, &store, &own);

    if (rc == ERR_NOT_FOUND)
        return 0;
    if (rc == 0)
        rc = vecstore_info(store, &info, &own);
    vecstore_close(store);
    if (rc) {
        *err = own;
        return rc;
    }
    place->was_there = true;
    if (info.count > 0 && !bench->is_forced)
        return err_set(err, ERR_CONFLICT,
                       "%s holds %lld entries; --force measures in it all the "
                       "same, and takes out again what it added",
                       place->shown, (long long)info.count);
    if (info.count > 0 && has_making_flags(&bench->options))
        return err_set(err, ERR_CONFLICT,
                       "%s holds %lld entries; --type, --storage and the "
                       "others of how an index is made would change it for "
                       "good",
                       place->shown, (long long)info.count);
    return 0;
}

static int take_out(struct vecstore *store, const int64_t *ids, int64_t count,
                    struct err *err)
{
    int64_t i;
    int rc = 0;

    for (i = 0; rc == 0 && i < count; i += VEC_BATCH_MAX) {
        int64_t left = count - i;
        int n = left > VEC_BATCH_MAX ? VEC_BATCH_MAX : (int)left;

        rc = vecstore_remove(store, ids + i, n, NULL, err);
    }
    return rc;
}

/* Leaves behind what was there before. */
static int clear(const struct bench *bench, struct place *place,
                 struct vecstore *store, const int64_t *ids, int64_t count,
                 struct err *err)
{
    int rc = 0;

    if (!bench->is_kept && place->was_there && store != NULL)
        rc = take_out(store, ids, count, err);
    vecstore_close(store);
    if (bench->is_kept)
        return rc;
    if (!place->was_there && store != NULL)
        rc = vecstore_drop(place->where, &bench->options, err);
    if (place->folder[0] != '\0' && rmdir(place->folder) != 0 && rc == 0)
        rc = err_set(err, ERR_IO, "%s cannot be removed: %s", place->folder,
                     strerror(errno));
    return rc;
}

static int measure(struct bench *bench, int number, struct err *err)
{
    struct place *place = &bench->places[number];
    struct bench_figures *figures = &bench->figures[number];
    bool is_remote = strstr(place->where, "://") != NULL; /* a new one: no */
    int64_t *ids = mem_try((size_t)bench->data.count, sizeof *ids);
    struct vecstore *store = NULL;
    struct err clear_err = {0};
    int64_t added = 0;
    int rc;

    if (ids == NULL)
        return err_set(err, ERR_UNAVAILABLE, "no memory for %lld ids",
                       (long long)bench->data.count);
    rc = place->where[0] == '\0' ? make_folder(place, err)
                                 : look(bench, place, err);
    static_assert(sizeof figures->store == sizeof place->shown, "both paths");
    memcpy(figures->store, place->shown, sizeof figures->store);
    if (rc == 0) {
        bench->options.dim = bench->data.dim;
        rc = vecstore_open(place->where, VEC_WRITE, &bench->options, &store,
                           err);
    }
    if (rc == 0)
        rc = bench_run(store, &bench->data, is_remote ? bench->pid : -1, ids,
                       &added, figures, err);
    if (clear(bench, place, store, ids, added, &clear_err) != 0 && rc == 0) {
        *err = clear_err;
        rc = err->code;
    }
    mem_free(ids);
    return rc;
}

/* --- all of them ---------------------------------------------------------- */

static int show(const struct bench *bench, struct err *err)
{
    const char *svg = arguments_flag(bench->arguments, "svg");
    struct buf text;
    int rc = 0;

    buf_init(&text, PICTURE_LEN_MAX);
    if (arguments_flag(bench->arguments, "json") != NULL) {
        bench_print_json(&bench->data, bench->figures, bench->place_count,
                         &text);
        rc = buf_check(&text, err);
        if (rc == 0)
            fwrite(text.data, 1, text.len, stdout);
    } else {
        bench_print_table(&bench->data, bench->figures, bench->place_count);
    }
    if (rc == 0 && svg != NULL) {
        buf_clear(&text);
        bench_draw(&bench->data, bench->figures, bench->place_count, &text);
        rc = buf_check(&text, err);
        if (rc == 0)
            rc = file_write(svg, buf_bytes(&text), err);
    }
    buf_release(&text);
    return rc;
}

int command_bench_vectors(struct arguments *arguments, struct err *err)
{
    struct bench *bench = mem_new(sizeof *bench);
    int i, rc;

    bench->arguments = arguments;
    progress_catch();
    rc = read_flags(bench, err);
    if (rc == 0)
        rc = bench_data_load(&bench->wish, &bench->data, err);
    for (i = 0; rc == 0 && i < bench->place_count; i++)
        rc = measure(bench, i, err);
    if (rc == 0)
        rc = show(bench, err);
    bench_data_release(&bench->data);
    mem_free(bench);
    return rc ? EXIT_FAILED : EXIT_FINE;
}
