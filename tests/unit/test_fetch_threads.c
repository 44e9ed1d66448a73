/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/fetch.h"
#include "fake.h"

enum { BODY_MAX = 1000 };

static struct fetch *fetch;
static char url[200];

static void begin(fake_fn *serve, int connection_max)
{
    struct fetch_options options = {.connection_max = connection_max};
    struct err err = {0};

    snprintf(url, sizeof url, "http://%s:%d/", "127.0.0.1", fake_start(serve));
    CHECK_OK(fetch_new(&options, &fetch, &err), err);
}

static void end(void)
{
    fetch_free(fetch);
    fetch = NULL;
    fake_stop();
}

static void answer_hello(int fd, int nth)
{
    (void)nth;
    fake_read(fd);
    fake_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
}

static void *get_many(void *user)
{
    struct fetch_request request = {.url = url, .body_len_max = BODY_MAX};
    int i;

    for (i = 0; i < 20; i++) {
        struct fetch_reply mine = {0};
        struct err why = {0};

        if (fetch_run(fetch, &request, &mine, &why) != 0 ||
            strcmp(mine.body.data, "hello") != 0)
            *(bool *)user = true;
        fetch_reply_release(&mine);
    }
    return NULL;
}

TEST(fetch_shares_few_connections_among_threads)
{
    pthread_t threads[4];
    bool has_failed[4] = {false};
    int i;

    begin(answer_hello, 2);
    for (i = 0; i < 4; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, get_many, &has_failed[i]),
                  0);
    for (i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (i = 0; i < 4; i++)
        CHECK(!has_failed[i]);
    end();
}

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER; /* guards these */
static pthread_cond_t gate_changed = PTHREAD_COND_INITIALIZER;
static bool is_asked, is_let_go;

static void hold(int fd, int nth)
{
    (void)nth;
    fake_read(fd);
    pthread_mutex_lock(&gate);
    is_asked = true;
    pthread_cond_broadcast(&gate_changed);
    while (!is_let_go)
        pthread_cond_wait(&gate_changed, &gate);
    pthread_mutex_unlock(&gate);
    fake_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
}

static void *get_one(void *user)
{
    struct fetch_request request = {.url = url, .body_len_max = BODY_MAX};
    struct fetch_reply mine = {0};
    struct err why = {0};

    *(int *)user = fetch_run(fetch, &request, &mine, &why);
    fetch_reply_release(&mine);
    return NULL;
}

TEST(fetch_waits_for_a_connection_until_its_deadline)
{
    struct fetch_request request = {
        .url = url, .timeout_ms = 20, .body_len_max = BODY_MAX};
    struct fetch_reply reply = {0};
    struct err err = {0};
    pthread_t thread;
    int rc = 1, rc_late;

    is_asked = is_let_go = false;
    begin(hold, 1);
    CHECK_INT(pthread_create(&thread, NULL, get_one, &rc), 0);
    pthread_mutex_lock(&gate);
    while (!is_asked)
        pthread_cond_wait(&gate_changed, &gate);
    pthread_mutex_unlock(&gate);
    rc_late = fetch_run(fetch, &request, &reply, &err);
    pthread_mutex_lock(&gate);
    is_let_go = true;
    pthread_cond_broadcast(&gate_changed);
    pthread_mutex_unlock(&gate);
    pthread_join(thread, NULL);
    CHECK_INT(rc, 0);
    CHECK_ERR(rc_late, ERR_TIMEOUT);
    CHECK_HAS(err.text, "all 1 connections were busy for 20 ms");
    CHECK_INT(fake_count(), 1);
    end();
}
