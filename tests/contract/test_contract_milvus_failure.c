/* SPDX-License-Identifier: Apache-2.0 */
/* A Milvus that is slow, cut off or killed. */
#include "test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "milvus_room.h"
#include "served.h"
#include "store_proxy.h"

/* Only a failure takes so long. */
enum { PATIENCE_US = 600000000 };

static struct store_proxy *proxy_new(void)
{
    const char *address = milvus_server(), *colon = strchr(address, ':');

    CHECK(colon != NULL);
    return store_proxy_new("127.0.0.1", milvus_number(colon + 1));
}

TEST(milvus_that_is_slow_is_given_up_at_the_deadline_and_used_again_later)
{
    struct store_proxy *proxy = proxy_new();
    const struct vec_options patient = {.dim = MILVUS_DIM, .timeout_s = 60};
    const struct vec_options hasty = {.timeout_s = 2};
    float vector[MILVUS_DIM] = {1};
    struct vec_entry entry = {.id = VEC_ID_NEW, .vector = vector, .key = "k"};
    struct milvus_room room, slow;
    struct vec_hit hit;
    struct err err;
    int64_t id, began_us;

    room_init_at(&room, store_proxy_port(proxy));
    CHECK_OK(room_try_open(&room, VEC_WRITE, &patient, &err), err);
    room_put(&room, &entry, 1, false, &id);
    slow = room;
    store_proxy_set(proxy, STORE_PROXY_STALL);
    began_us = clock_us();
    CHECK_ERR(room_try_open(&slow, VEC_READ, &hasty, &err), ERR_TIMEOUT);
    CHECK(clock_us() - began_us >= 2000000);
    CHECK_HAS(err.text, "127.0.0.1:");
    CHECK_HAS(err.text, "did not answer within 2001 ms");
    store_proxy_set(proxy, STORE_PROXY_PASS);
    CHECK_OK(vecstore_milvus.get(room.store, id, room.arena, &hit, NULL, &err),
             err);
    CHECK_TEXT(hit.key, "k");
    room_end(&room);
    store_proxy_free(proxy);
}

TEST(milvus_that_stalls_in_a_write_leaves_what_is_known_in_the_error)
{
    struct store_proxy *proxy = proxy_new();
    const struct vec_options patient = {.dim = MILVUS_DIM, .timeout_s = 60};
    const struct vec_options hasty = {.timeout_s = 5};
    float vector[MILVUS_DIM] = {1};
    struct vec_entry entry = {.id = VEC_ID_NEW, .vector = vector};
    struct milvus_room room;
    struct err err;

    room_init_at(&room, store_proxy_port(proxy));
    CHECK_OK(room_try_open(&room, VEC_WRITE, &patient, &err), err);
    vecstore_milvus.close(room.store);
    CHECK_OK(room_try_open(&room, VEC_WRITE, &hasty, &err), err);
    store_proxy_set(proxy, STORE_PROXY_STALL);
    CHECK_ERR(vecstore_milvus.write(room.store, &entry, 1, false, NULL, &err),
              ERR_TIMEOUT);
    CHECK_HAS(err.text, "of 1 entries 0 are stored and 1 perhaps");
    store_proxy_set(proxy, STORE_PROXY_PASS);
    room_end(&room);
    store_proxy_free(proxy);
}

TEST(milvus_that_was_cut_off_is_called_anew)
{
    struct store_proxy *proxy = proxy_new();
    struct milvus_many *many = milvus_many_new();
    struct milvus_room room;
    struct err err = {0};
    int rc;

    room_init_at(&room, store_proxy_port(proxy));
    room_open(&room, MILVUS_DIM);
    room_put(&room, many->entries, 10, false, many->ids);
    store_proxy_set(proxy, STORE_PROXY_CUT);
    CHECK_ERR(vecstore_milvus.refresh(room.store, &err), ERR_UNAVAILABLE);
    CHECK_HAS(err.text, "127.0.0.1:");
    err = (struct err){0};
    store_proxy_set(proxy, STORE_PROXY_PASS);
    CHECK_OK(vecstore_milvus.refresh(room.store, &err), err);

    /* The questions take 75 KB, a part 59 KB. In the second part of a batch the
     * first is stored, and nothing can be
     * taken back while the way is cut. */
    store_proxy_cut_after(proxy, 160000);
    rc = vecstore_milvus.write(room.store, many->entries + 10, MILVUS_MANY - 10,
                               false, many->ids + 10, &err);
    CHECK_ERR(rc, ERR_UNAVAILABLE);
    CHECK_HAS(err.text, "of 2490 entries 1000 are stored");
    store_proxy_set(proxy, STORE_PROXY_PASS);
    err = (struct err){0};
    CHECK_OK(vecstore_milvus.refresh(room.store, &err), err);
    CHECK_INT(room_count(&room), 1010);

    /* Sent once more, the same keys are the same rows. */
    room_put(&room, many->entries, MILVUS_MANY, true, many->ids);
    room_read_all(&room, many, MILVUS_MANY);
    CHECK_INT(room_count(&room), MILVUS_MANY);
    mem_free(many);
    room_end(&room);
    store_proxy_free(proxy);
}

/* Kills the server as soon as a batch is acknowledged: during the next. */
static atomic_int acknowledged;

static void *kill_after_one(void *user)
{
    (void)user;
    while (atomic_load(&acknowledged) < 2)
        served_let_others();
    served_kill();
    return NULL;
}

/* Writes until a batch fails; gives back how many did not. */
static int write_until_failure(struct milvus_room *room,
                               struct milvus_many *many, struct err *err)
{
    int64_t until_us = clock_us() + PATIENCE_US;
    int rc = 0, i;

    for (i = 0; i < MILVUS_MANY; i++)
        many->entries[i].key = NULL;
    while (rc == 0) {
        CHECK(clock_us() < until_us);
        rc = vecstore_milvus.write(room->store, many->entries, MILVUS_MANY,
                                   false, many->ids, err);
        if (rc == 0)
            atomic_fetch_add(&acknowledged, 1);
    }
    CHECK_ERR(rc, ERR_UNAVAILABLE);
    return atomic_load(&acknowledged);
}

/* A server that was just started accepts connections before it answers. */
static void open_when_ready(struct milvus_room *room, int dim)
{
    const struct vec_options options = {.dim = dim, .timeout_s = 60};
    int64_t until_us = clock_us() + PATIENCE_US;
    struct err err;

    while (room_try_open(room, VEC_WRITE, &options, &err) != 0) {
        CHECK(clock_us() < until_us);
        served_let_others();
    }
}

TEST(milvus_that_is_killed_during_a_batch_fails_clearly_and_is_found_again)
{
    struct milvus_many *many = milvus_many_new();
    struct milvus_room room;
    struct err err = {0};
    char place[32];
    pthread_t killer;
    int port, rc;

    (void)milvus_server();
    port = served_start("milvus");
    room_init_at(&room, port);
    open_when_ready(&room, MILVUS_DIM);
    CHECK_INT(pthread_create(&killer, NULL, kill_after_one, NULL), 0);
    CHECK(write_until_failure(&room, many, &err) >= 2);
    pthread_join(killer, NULL);
    snprintf(place, sizeof place, "'127.0.0.1:%d'", port);
    CHECK_HAS(err.text, place);
    err = (struct err){0};
    CHECK_ERR(vecstore_milvus.refresh(room.store, &err), ERR_UNAVAILABLE);
    CHECK_HAS(err.text, "nobody answers");

    /* The new server has lost everything, and says so itself. */
    CHECK_INT(served_start("milvus"), port);
    do {
        served_let_others();
        err = (struct err){0};
        rc = vecstore_milvus.refresh(room.store, &err);
    } while (rc == ERR_UNAVAILABLE || rc == ERR_TIMEOUT);
    CHECK_ERR(rc, ERR_NOT_FOUND);
    CHECK_HAS(err.text, "has no collection");
    room_close(&room);
    served_stop();
    mem_free(many);
}
