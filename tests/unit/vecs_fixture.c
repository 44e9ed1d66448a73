/* SPDX-License-Identifier: Apache-2.0 */
#include "vecs_fixture.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

const char *const vecs_kinds[5] = {"cat", "dog", "bird", "fish", ""};

static uint64_t mix(uint64_t x)
{
    /* splitmix64. */
    x += 0x9e3779b97f4a7c15U;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
    return x ^ (x >> 31);
}

void vecs_vector(uint64_t number, int dim, float *out)
{
    int i;

    CHECK(dim <= VECS_DIM_MAX);
    for (i = 0; i < dim; i++) {
        uint64_t bits = mix(number * 65536 + (uint64_t)i);

        out[i] = (float)((double)(bits >> 11) / 4503599627370496.0 - 1);
    }
}

const char *vecs_key(uint64_t number)
{
    static _Thread_local char key[64];

    snprintf(key, sizeof key, "%.*s-%llu", (int)(number % 30),
             "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkk", (unsigned long long)number);
    return key;
}

const char *vecs_path(uint64_t number)
{
    static _Thread_local char path[64];

    snprintf(path, sizeof path, "photos/%.*s%llu.jpg", (int)(number % 20),
             "aaaaaaaaaaaaaaaaaaaa", (unsigned long long)number);
    return path;
}

const char *vecs_kind(uint64_t number)
{
    return vecs_kinds[number % 5];
}

const char *vecs_file(const char *name)
{
    static char path[256];

    snprintf(path, sizeof path, "%s/%s", test_dir(), name);
    return path;
}

struct vecstore *vecs_open(const char *path, enum vec_mode mode, int dim,
                           enum vecindex_metric metric)
{
    const struct vec_options options = {
        .dim = dim, .metric = metric, .model = "model-1"};
    struct vecstore *store = NULL;
    struct err err = {0};

    CHECK_OK(vecstore_open(path, mode, &options, &store, &err), err);
    return store;
}

/* --- adding ----------------------------------------------------------- */

struct made {
    char key[64], path[64];
    struct vec_tag tags[3];
};

static void make(uint64_t number, int dim, float *vector, struct made *made,
                 struct vec_entry *out)
{
    vecs_vector(number, dim, vector);
    snprintf(made->key, sizeof made->key, "%s", vecs_key(number));
    snprintf(made->path, sizeof made->path, "%s", vecs_path(number));
    made->tags[0] = (struct vec_tag){"kind", vecs_kind(number)};
    made->tags[1] = (struct vec_tag){"third", "yes"};
    made->tags[2] = (struct vec_tag){"third", "no doubt"};
    *out = (struct vec_entry){.id = VEC_ID_NEW,
                              .vector = vector,
                              .key = made->key,
                              .path = made->path,
                              .tags = made->tags,
                              .tag_count = number % 3 == 0 ? 3 : 1};
}

int vecs_try_add(struct vecstore *store, int dim, uint64_t first, int count,
                 bool is_upsert, int64_t *out_ids, struct err *err)
{
    struct vec_entry *entries = mem_new((size_t)count * sizeof *entries);
    struct made *made = mem_new((size_t)count * sizeof *made);
    float *vectors = mem_new((size_t)count * (size_t)dim * sizeof *vectors);
    int i, rc;

    for (i = 0; i < count; i++)
        make(first + (uint64_t)i, dim, vectors + (size_t)i * (size_t)dim,
             &made[i], &entries[i]);
    rc = is_upsert ? vecstore_upsert(store, entries, count, out_ids, err)
                   : vecstore_add(store, entries, count, out_ids, err);
    mem_free(vectors);
    mem_free(made);
    mem_free(entries);
    return rc;
}

void vecs_add(struct vecstore *store, int dim, uint64_t first, int count)
{
    struct err err = {0};

    CHECK_OK(vecs_try_add(store, dim, first, count, false, NULL, &err), err);
}

void vecs_add_each(struct vecstore *store, int dim, uint64_t first, int count)
{
    int i;

    for (i = 0; i < count; i++)
        vecs_add(store, dim, first + (uint64_t)i, 1);
}

/* --- looking ---------------------------------------------------------- */

struct vec_info vecs_info(struct vecstore *store)
{
    struct vec_info info;
    struct err err = {0};

    CHECK_OK(vecstore_info(store, &info, &err), err);
    return info;
}

struct arena *vecs_arena(void)
{
    static _Thread_local struct arena *arena;

    if (arena == NULL)
        arena = arena_new(64 << 20);
    arena_reset(arena);
    return arena;
}

static void check_hit(const struct vec_hit *hit, uint64_t number)
{
    CHECK_TEXT(hit->key, vecs_key(number));
    CHECK_TEXT(hit->path, vecs_path(number));
    CHECK_INT(hit->tag_count, number % 3 == 0 ? 3 : 1);
    CHECK_TEXT(hit->tags[0].name, "kind");
    CHECK_TEXT(hit->tags[0].value, vecs_kind(number));
    if (hit->tag_count == 3)
        CHECK_TEXT(hit->tags[2].value, "no doubt");
}

void vecs_check_entry(struct vecstore *store, int dim, int64_t id,
                      uint64_t number)
{
    float vector[VECS_DIM_MAX], wanted[VECS_DIM_MAX];
    struct vec_hit hit;
    struct err err = {0};

    CHECK_OK(vecstore_get(store, id, vecs_arena(), &hit, vector, &err), err);
    CHECK_INT(hit.id, id);
    check_hit(&hit, number);
    vecs_vector(number, dim, wanted);
    CHECK(memcmp(vector, wanted, (size_t)dim * sizeof *wanted) == 0);
}

void vecs_check(struct vecstore *store, int dim, int64_t count)
{
    float vector[VECS_DIM_MAX];
    struct vec_query query = {.vector = vector, .dim = dim, .k = 1};
    struct vec_hits hits;
    struct err err = {0};
    int64_t id;

    CHECK(vecs_info(store).count >= count);
    for (id = 0; id < count; id++) {
        vecs_vector((uint64_t)id, dim, vector);
        CHECK_OK(vecstore_search(store, &query, vecs_arena(), &hits, &err),
                 err);
        CHECK_INT(hits.count, 1);
        CHECK_INT(hits.list[0].id, id);
        check_hit(&hits.list[0], (uint64_t)id);
        vecs_check_entry(store, dim, id, (uint64_t)id);
    }
}

/* --- files ------------------------------------------------------------ */

size_t vecs_read(const char *path, void *out, size_t len_max)
{
    FILE *file = fopen(path, "rb");
    size_t len;

    CHECK(file != NULL);
    len = fread(out, 1, len_max, file);
    fclose(file);
    CHECK(len < len_max);
    return len;
}

void vecs_write(const char *path, const void *data, size_t len)
{
    FILE *file = fopen(path, "wb");

    CHECK(file != NULL);
    CHECK_INT(fwrite(data, 1, len, file), len);
    CHECK_INT(fclose(file), 0);
}
