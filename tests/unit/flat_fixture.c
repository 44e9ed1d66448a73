/* SPDX-License-Identifier: Apache-2.0 */
#include "flat_fixture.h"

#include <stdio.h>
#include <string.h>

static uint64_t mix(uint64_t x)
{
    /* splitmix64. */
    x += 0x9e3779b97f4a7c15U;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
    return x ^ (x >> 31);
}

void fixture_vector(uint64_t number, int dim, float *out)
{
    int i;

    for (i = 0; i < dim; i++) {
        uint64_t bits = mix(number * 65536 + (uint64_t)i);

        out[i] = (float)((double)(bits >> 11) / 4503599627370496.0 - 1);
    }
}

const char *fixture_path(uint64_t number)
{
    static _Thread_local char path[64];

    /* Names of unlike lengths make records of unlike lengths. */
    snprintf(path, sizeof path, "photos/%.*s%llu.jpg", (int)(number % 20),
             "aaaaaaaaaaaaaaaaaaaa", (unsigned long long)number);
    return path;
}

const char *fixture_sha256(uint64_t number)
{
    static _Thread_local char digits[65];

    snprintf(digits, sizeof digits, "%016llx%016llx%016llx%016llx",
             (unsigned long long)mix(number),
             (unsigned long long)mix(number + 1),
             (unsigned long long)mix(number + 2), (unsigned long long)number);
    return digits;
}

const char *fixture_file(const char *name)
{
    static char path[256];

    snprintf(path, sizeof path, "%s/%s", test_dir(), name);
    return path;
}

struct flat *fixture_open(const char *path, enum flat_mode mode, int dim,
                          enum flat_metric metric)
{
    struct flat *index = NULL;
    struct err err = {0};

    CHECK_OK(flat_open(path, mode, dim, metric, "model-1", &index, &err), err);
    return index;
}

void fixture_add(struct flat *index, int dim, uint64_t number)
{
    float vector[FIXTURE_DIM_MAX];
    struct err err = {0};
    bool is_new = false;

    fixture_vector(number, dim, vector);
    CHECK_OK(flat_add(index, vector, fixture_path(number),
                      fixture_sha256(number), "label", &is_new, &err),
             err);
    CHECK(is_new);
}

int64_t fixture_count(struct flat *index)
{
    struct flat_info info;

    flat_info(index, &info);
    return info.count;
}

void fixture_check(struct flat *index, int dim, int64_t count)
{
    float query[FIXTURE_DIM_MAX];
    struct flat_hit hit;
    struct err err = {0};
    int hit_count = 0;
    int64_t id;

    CHECK(fixture_count(index) >= count);
    for (id = 0; id < count; id++) {
        fixture_vector((uint64_t)id, dim, query);
        CHECK_OK(
            flat_search(index, query, dim, 1, NULL, &hit, &hit_count, &err),
            err);
        CHECK_INT(hit_count, 1);
        CHECK_INT(hit.entry.id, id);
        CHECK_NEAR(hit.distance, 0, 1e-6);
        CHECK_TEXT(hit.entry.path, fixture_path((uint64_t)id));
        CHECK_TEXT(hit.entry.label, "label");
        CHECK_TEXT(hit.entry.sha256, fixture_sha256((uint64_t)id));
    }
}

size_t fixture_read(const char *path, void *out, size_t len_max)
{
    FILE *file = fopen(path, "rb");
    size_t len;

    CHECK(file != NULL);
    len = fread(out, 1, len_max, file);
    fclose(file);
    CHECK(len < len_max);
    return len;
}

void fixture_write(const char *path, const void *data, size_t len)
{
    FILE *file = fopen(path, "wb");

    CHECK(file != NULL);
    CHECK_INT(fwrite(data, 1, len, file), len);
    CHECK_INT(fclose(file), 0);
}
