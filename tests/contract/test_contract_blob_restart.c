/* SPDX-License-Identifier: Apache-2.0 */
/* An S3 server that is killed and comes back, between calls and under load. */
#include "test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blob/blob.h"
#include "served.h"

enum { THREADS = 3 };

static struct blob *begin(int retry_max)
{
    const char *given = getenv("OLHO_TEST_S3");
    struct blob_options options = {.url = "s3://olho",
                                   .access_key = "testkey",
                                   .secret_key = "testsecret",
                                   .timeout_ms = 20000,
                                   .retry_max = retry_max,
                                   .retry_pause_ms = 5};
    struct blob *blob = NULL;
    struct err err = {0};
    char endpoint[60];

    if (given == NULL || given[0] == '\0')
        SKIP("OLHO_TEST_S3 is not set");
    snprintf(endpoint, sizeof endpoint, "http://%s:%d", "127.0.0.1",
             served_start("s3"));
    options.endpoint = endpoint;
    CHECK_OK(blob_open(&options, &blob, &err), err);
    return blob;
}

static void put(struct blob *blob, const char *key, const char *text)
{
    struct err err = {0};

    CHECK_OK(blob_write(blob, key, bytes_of_text(text), NULL, &err), err);
}

TEST(blob_in_s3_outlives_a_restart_between_calls)
{
    struct blob *blob = begin(1);
    struct err err = {0};
    struct buf out;
    int i;

    put(blob, "a", "kept");
    for (i = 0; i < 2; i++) {
        served_kill();
        buf_init(&out, 100);
        err = (struct err){0};
        CHECK_ERR(blob_read(blob, "a", &out, &err), ERR_UNAVAILABLE);
        CHECK_HAS(err.text, "127.0.0.1");
        err = (struct err){0};
        CHECK_ERR(blob_write(blob, "a", bytes_of_text("x"), NULL, &err),
                  ERR_UNAVAILABLE);
        served_start("s3");
        err = (struct err){0};
        CHECK_OK(blob_read(blob, "a", &out, &err), err);
        CHECK_TEXT(out.data, "kept");
        buf_release(&out);
    }
    blob_close(blob);
    served_stop();
}

struct worker {
    pthread_t thread;
    struct blob *blob;
    int number, good, away, wrong;
};

static atomic_bool is_over;

/* What was answered well is there, whole; what was not is an error that says
 * that the server is away. */
static void *work(void *user)
{
    struct worker *worker = user;
    char key[32], text[2000];
    struct buf out;
    int i, rc;

    for (i = 0; !atomic_load(&is_over); i++) {
        struct err err = {0};

        snprintf(key, sizeof key, "load/%d/%d", worker->number, i % 10);
        memset(text, 'a' + i % 26, sizeof text);
        buf_init(&out, sizeof text);
        rc = blob_write(worker->blob, key,
                        (struct bytes){(uint8_t *)text, sizeof text}, NULL,
                        &err);
        if (rc == 0) {
            rc = blob_read(worker->blob, key, &out, &err);
            worker->wrong += rc == 0 && (out.len != sizeof text ||
                                         memcmp(out.data, text, out.len) != 0);
        }
        worker->good += rc == 0;
        worker->away += rc == ERR_UNAVAILABLE || rc == ERR_TIMEOUT;
        worker->wrong += rc != 0 && rc != ERR_UNAVAILABLE && rc != ERR_TIMEOUT;
        buf_release(&out);
    }
    return NULL;
}

TEST(blob_in_s3_fails_cleanly_while_its_server_is_killed_under_load)
{
    /* Outlives a check that fails while they run. */
    static struct worker workers[THREADS];
    struct blob *blob = begin(2);
    int i, good = 0;

    atomic_store(&is_over, false);
    for (i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.blob = blob, .number = i};
        CHECK_INT(pthread_create(&workers[i].thread, NULL, work, &workers[i]),
                  0);
    }
    for (i = 0; i < 4; i++) {
        put(blob, "meanwhile", "x");
        served_kill();
        served_let_others();
        served_start("s3");
    }
    put(blob, "meanwhile", "x");
    atomic_store(&is_over, true);
    for (i = 0; i < THREADS; i++)
        pthread_join(workers[i].thread, NULL);
    for (i = 0; i < THREADS; i++) {
        CHECK_INT(workers[i].wrong, 0);
        good += workers[i].good;
    }
    CHECK(good > 0);
    blob_close(blob);
    served_stop();
}
