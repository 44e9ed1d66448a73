/* SPDX-License-Identifier: Apache-2.0 */
#include "milvus_room.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "test.h"

const char *milvus_server(void)
{
    const char *address = getenv("OLHO_TEST_MILVUS");

    if (address == NULL || address[0] == '\0')
        SKIP("OLHO_TEST_MILVUS is not set");
    return address;
}

void room_init(struct milvus_room *room, const char *address)
{
    struct milvus_url url;
    struct err err = {0};

    *room = (struct milvus_room){.arena = arena_new(64 << 20)};
    snprintf(room->url, sizeof room->url, "milvus://%s/t_%d_%" PRId64, address,
             (int)getpid(), clock_us());
    CHECK_OK(milvus_url_parse(room->url, &url, &err), err);
    CHECK_OK(milvus_link_init(&room->link, &url, 30000, &err), err);
}

int room_try_open(struct milvus_room *room, enum vec_mode mode,
                  const struct vec_options *options, struct err *err)
{
    *err = (struct err){.code = ERR_OK};
    return vecstore_milvus_open(room->url, mode, options, &room->store,
                                &room->dim, &room->metric, err);
}

void room_open(struct milvus_room *room, int dim)
{
    const struct vec_options options = {.dim = dim, .timeout_s = 60};
    struct err err;

    CHECK_OK(room_try_open(room, VEC_WRITE, &options, &err), err);
}

void room_close(struct milvus_room *room)
{
    vecstore_milvus.close(room->store);
    milvus_link_release(&room->link);
    arena_free(room->arena);
}

void room_end(struct milvus_room *room)
{
    const struct vec_options options = {.timeout_s = 60};
    struct err err = {0};

    CHECK_OK(vecstore_milvus_drop(room->url, &options, &err), err);
    room_close(room);
}

/* --- entries -------------------------------------------------------------- */

/* Directions that differ from each other: near `number`'s are few. */
void milvus_direction(int number, int dim, float *out)
{
    uint64_t state = (uint64_t)number * 0x9e3779b97f4a7c15u + 1;
    int i;

    for (i = 0; i < dim; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out[i] = (float)(int32_t)(state >> 32) / 2147483648.0f;
    }
}

void room_put(struct milvus_room *room, const struct vec_entry *entries,
              int count, bool is_upsert, int64_t *ids)
{
    struct err err = {0};

    CHECK_OK(vecstore_milvus.write(room->store, entries, count, is_upsert, ids,
                                   &err),
             err);
}

void room_find(struct milvus_room *room, const struct vec_query *query,
               struct vec_hits *out)
{
    struct err err = {0};

    CHECK_OK(vecstore_milvus.search(room->store, query, room->arena, out, &err),
             err);
}

int64_t room_count(struct milvus_room *room)
{
    struct vec_info info;
    struct err err = {0};

    CHECK_OK(vecstore_milvus.info(room->store, &info, &err), err);
    return info.count;
}

struct milvus_many *milvus_many_new(void)
{
    static const char *const labels[] = {"l0", "l1", "l2", "l3", "l4"};
    struct milvus_many *many = mem_new(sizeof *many);
    int i;

    for (i = 0; i < MILVUS_MANY; i++) {
        milvus_direction(i, MILVUS_DIM, many->vectors[i]);
        snprintf(many->keys[i], sizeof many->keys[i], "key%d", i);
        many->tags[i] = (struct vec_tag){"label", labels[i % 5]};
        many->entries[i] = (struct vec_entry){.id = VEC_ID_NEW,
                                              .vector = many->vectors[i],
                                              .key = many->keys[i],
                                              .tags = &many->tags[i],
                                              .tag_count = 1};
    }
    return many;
}

/* Reads all pages and holds them against the entries. */
void room_read_all(struct milvus_room *room, const struct milvus_many *many,
                   int want)
{
    enum { PAGE = 700 };
    float *vectors = mem_new(sizeof(float) * PAGE * MILVUS_DIM);
    struct arena *arena = arena_new(16 << 20);
    struct vec_hits hits;
    struct err err = {0};
    int64_t after = -1;
    int i, number, count = 0;

    do {
        arena_reset(arena);
        CHECK_OK(vecstore_milvus.list(room->store, after, PAGE, arena, &hits,
                                      vectors, &err),
                 err);
        for (i = 0; i < hits.count; i++) {
            CHECK(hits.list[i].id > after);
            after = hits.list[i].id;
            number = milvus_number(hits.list[i].key + 3);
            CHECK_INT(many->ids[number], after);
            CHECK_INT(memcmp(vectors + (size_t)i * MILVUS_DIM,
                             many->vectors[number],
                             sizeof many->vectors[number]),
                      0);
        }
        count += hits.count;
    } while (hits.count == PAGE);
    CHECK_INT(count, want);
    arena_free(arena);
    mem_free(vectors);
}

void room_init_at(struct milvus_room *room, int port)
{
    char address[64];

    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    room_init(room, address);
}

int milvus_number(const char *digits)
{
    return (int)strtol(digits, NULL, 10);
}
