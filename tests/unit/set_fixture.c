/* SPDX-License-Identifier: Apache-2.0 */
#include "set_fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

enum { QUERIES = 5, K_MAX = 20, ARENA_LEN = 1 << 20, TEXT_MAX = 64 };

const char *set_file(const char *name)
{
    static _Thread_local char path[256];

    snprintf(path, sizeof path, "%s/%s", test_dir(), name);
    return path;
}

void set_flip(const char *path, int64_t place)
{
    struct stat about = {0};
    unsigned char byte = 0;
    int fd = open(path, O_RDWR | O_CLOEXEC);

    CHECK(fd >= 0);
    CHECK_INT(fstat(fd, &about), 0);
    CHECK_INT(pread(fd, &byte, 1, place), 1);
    byte ^= 1;
    CHECK_INT(pwrite(fd, &byte, 1, place), 1);
    CHECK_INT(futimens(fd, (struct timespec[]){about.st_atim, about.st_mtim}),
              0);
    close(fd);
}

void set_vector(int64_t id, int version, int dim, float *out)
{
    uint64_t state = (uint64_t)id * 0x9e3779b97f4a7c15U +
                     (uint64_t)version * 0xbf58476d1ce4e5b9U + 1;
    int i;

    for (i = 0; i < dim; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out[i] = (float)(state >> 40) / (float)(1 << 23) - 1;
    }
}

int set_rounds(int count)
{
    const char *text = getenv("OLHO_TEST_SLOW");
    double slow = text != NULL ? strtod(text, NULL) : 1;
    int rounds = slow > 1 ? (int)(count / slow) : count;

    return rounds < 1 ? 1 : rounds;
}

struct vecstore *set_open(const char *path, enum vec_mode mode,
                          const struct vec_options *options)
{
    struct vecstore *store = NULL;
    struct err err = {0};

    /* What the keeper says of a set that a test spoils on purpose. */
    log_set_level(LOG_OFF);
    CHECK_OK(vecstore_open(path, mode, options, &store, &err), err);
    return store;
}

/* --- entries --------------------------------------------------------------
 */

struct made {
    float vector[SET_DIM_MAX];
    char key[TEXT_MAX], path[TEXT_MAX], class[TEXT_MAX], version[TEXT_MAX];
    struct vec_tag tags[2];
};

static void make(int64_t id, int version, int dim, struct made *out)
{
    set_vector(id, version, dim, out->vector);
    snprintf(out->key, sizeof out->key, "key-%lld", (long long)id);
    snprintf(out->path, sizeof out->path, "path-%lld-%d", (long long)id,
             version);
    snprintf(out->class, sizeof out->class, "%lld", (long long)id % 7);
    snprintf(out->version, sizeof out->version, "%d", version);
    out->tags[0] = (struct vec_tag){"class", out->class};
    out->tags[1] = (struct vec_tag){"version", out->version};
}

int set_put(struct vecstore *store, int64_t first, int count, int version,
            int dim, bool is_new, struct err *err)
{
    struct made *made = mem_new(SET_BATCH_MAX * sizeof *made);
    struct vec_entry entries[SET_BATCH_MAX];
    int i, rc;

    for (i = 0; i < count; i++) {
        make(first + i, version, dim, &made[i]);
        entries[i] = (struct vec_entry){.id = first + i,
                                        .vector = made[i].vector,
                                        .key = made[i].key,
                                        .path = made[i].path,
                                        .tags = made[i].tags,
                                        .tag_count = 2};
    }
    rc = is_new ? vecstore_add(store, entries, count, NULL, err)
                : vecstore_upsert(store, entries, count, NULL, err);
    mem_free(made);
    return rc;
}

int set_remove(struct vecstore *store, int64_t first, int count,
               struct err *err)
{
    int64_t ids[SET_BATCH_MAX], removed = 0;
    int i;

    for (i = 0; i < count; i++)
        ids[i] = first + i;
    return vecstore_remove(store, ids, count, &removed, err);
}

void set_add(struct vecstore *store, int first, int end, int dim, int *versions)
{
    struct err err = {0};
    int i, count;

    for (i = first; i < end; i += count) {
        count = end - i < SET_BATCH_MAX ? end - i : SET_BATCH_MAX;
        CHECK_OK(set_put(store, i, count, 1, dim, true, &err), err);
    }
    for (i = first; i < end; i++)
        versions[i] = 1;
}

void set_drop(struct vecstore *store, int first, int end, int step,
              int *versions)
{
    struct err err = {0};
    int i;

    for (i = first; i < end; i += step) {
        CHECK_OK(set_remove(store, i, 1, &err), err);
        versions[i] = 0;
    }
}

struct vec_info set_info(struct vecstore *store)
{
    struct vec_info info = {0};
    struct err err = {0};

    CHECK_OK(vecstore_info(store, &info, &err), err);
    return info;
}

/* --- looking --------------------------------------------------------------
 */

static bool has_tag(const struct vec_hit *hit, const struct vec_tag *tag)
{
    int i;

    for (i = 0; i < hit->tag_count; i++)
        if (strcmp(hit->tags[i].name, tag->name) == 0 &&
            strcmp(hit->tags[i].value, tag->value) == 0)
            return true;
    return false;
}

static int compare(const struct vec_hit *hit, const float *vector, int64_t id,
                   int version, int dim, struct err *err)
{
    struct made made;

    make(id, version, dim, &made);
    if (hit->id != id || strcmp(hit->key, made.key) != 0 ||
        strcmp(hit->path, made.path) != 0 || hit->tag_count != 2 ||
        !has_tag(hit, &made.tags[0]) || !has_tag(hit, &made.tags[1]))
        return err_set(err, ERR_INTERNAL,
                       "entry %lld of version %d has key %s and path %s",
                       (long long)id, version, hit->key, hit->path);
    if (memcmp(vector, made.vector, (size_t)dim * sizeof(float)) != 0)
        return err_set(err, ERR_INTERNAL,
                       "entry %lld of version %d has another vector",
                       (long long)id, version);
    return 0;
}

int set_look(struct vecstore *store, int64_t id, int version, int dim,
             struct err *err)
{
    struct arena *arena = arena_new(ARENA_LEN);
    float vector[SET_DIM_MAX];
    struct vec_hit hit;
    int rc = vecstore_get(store, id, arena, &hit, vector, err);

    if (version == 0 && rc == ERR_NOT_FOUND) {
        *err = (struct err){0};
        rc = 0;
    } else if (version == 0 && rc == 0) {
        rc = err_set(err, ERR_INTERNAL, "entry %lld is there with path %s",
                     (long long)id, hit.path);
    } else if (rc == 0) {
        rc = compare(&hit, vector, id, version, dim, err);
    }
    arena_free(arena);
    return rc;
}

/* --- searches -------------------------------------------------------------
 */

static double square(const float *a, const float *b, int dim)
{
    double sum = 0;
    int i;

    for (i = 0; i < dim; i++)
        sum += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    return sum;
}

/* The distances of the k nearest, nearest first; how many there are. */
static int brute_force(const int *versions, int count, int dim,
                       const float *query, int k, double *out)
{
    float vector[SET_DIM_MAX];
    int found = 0, id, i;

    CHECK(k >= 1 && k <= K_MAX);
    for (id = 0; id < count; id++) {
        double distance;

        if (versions[id] == 0)
            continue;
        set_vector(id, versions[id], dim, vector);
        distance = square(query, vector, dim);
        if (found == k && distance >= out[k - 1])
            continue;
        for (i = found < k ? found++ : k - 1; i > 0 && out[i - 1] > distance;
             i--)
            out[i] = out[i - 1];
        out[i] = distance;
    }
    return found;
}

/* What part of the k nearest is found. */
static double search(struct vecstore *store, const int *versions, int count,
                     int dim, int64_t number, int k, bool is_exact)
{
    struct arena *arena = arena_new(ARENA_LEN);
    double wanted[K_MAX];
    float vector[SET_DIM_MAX];
    struct vec_query query = {
        .vector = vector, .dim = dim, .k = k, .is_exact = is_exact};
    struct vec_hits hits = {0};
    struct err err = {0};
    int found, right = 0, i;

    set_vector(-1 - number, 1, dim, vector);
    found = brute_force(versions, count, dim, vector, k, wanted);
    CHECK_OK(vecstore_search(store, &query, arena, &hits, &err), err);
    CHECK_INT(hits.count, found);
    for (i = 0; i < found; i++) {
        CHECK(hits.list[i].id >= 0 && hits.list[i].id < count);
        CHECK(versions[hits.list[i].id] != 0);
        right += (double)hits.list[i].distance <= wanted[found - 1] + 1e-4;
        if (is_exact)
            CHECK_NEAR(hits.list[i].distance, wanted[i], 1e-4);
    }
    arena_free(arena);
    return found == 0 ? 1 : (double)right / found;
}

void set_check(struct vecstore *store, const int *versions, int count, int dim)
{
    struct err err = {0};
    int64_t there = 0;
    int id, i;

    for (id = 0; id < count; id++) {
        CHECK_OK(set_look(store, id, versions[id], dim, &err), err);
        there += versions[id] != 0;
    }
    CHECK_INT(set_info(store).count, there);
    for (i = 0; i < QUERIES; i++)
        search(store, versions, count, dim, i, 10, true);
}

double set_recall(struct vecstore *store, const int *versions, int count,
                  int dim, int k)
{
    double sum = 0;
    int i;

    for (i = 0; i < 4 * QUERIES; i++)
        sum += search(store, versions, count, dim, i, k, false);
    return sum / (4 * QUERIES);
}
