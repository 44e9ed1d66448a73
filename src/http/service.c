/* SPDX-License-Identifier: Apache-2.0 */
/* The part of exchange.h that all exchanges share. */
#include <assert.h>

#include "base/clock.h"
#include "http/exchange.h"

static int check_options(const struct http_options *options, struct err *err)
{
    if (options->worker_count < 1 || options->worker_count > 256)
        return err_set(err, ERR_INVALID, "workers are %d; they must be 1..256",
                       options->worker_count);
    if (options->queue_max < 1 || options->connections_max < 1)
        return err_set(err, ERR_INVALID,
                       "queue and connections are %d and %d; they must be "
                       "above 0",
                       options->queue_max, options->connections_max);
    if (options->timeout_ms < 1 || options->idle_timeout_ms < 1 ||
        options->receive_timeout_ms < 1)
        return err_set(err, ERR_INVALID,
                       "the time limits are %d, %d and %d ms; they must be "
                       "above 0",
                       options->timeout_ms, options->idle_timeout_ms,
                       options->receive_timeout_ms);
    if (options->header_len_max < 1024)
        return err_set(err, ERR_INVALID,
                       "the header limit is %zu bytes; it must be 1024 or more",
                       options->header_len_max);
    return 0;
}

static void copy_options(struct service *service,
                         const struct http_options *options)
{
    service->options = *options;
    service->options.host = mem_text(options->host);
    service->options.cors_origin = mem_text(options->cors_origin);
    service->options.server_name = mem_text(options->server_name);
    service->options.keys = NULL; /* they live in auth only */
    service->options.body_len_max[BODY_NONE] = 0;
    service->reply_options = (struct reply_options){
        .server_name = service->options.server_name,
        .cors_origin = service->options.cors_origin,
        .gzip_len_min = options->gzip_len_min,
    };
}

int service_init(struct service *service, const struct http_options *options,
                 const struct http_api *const *apis, int api_count,
                 struct app *app, struct err *err)
{
    struct router router = {apis, api_count};
    pthread_condattr_t monotonic;
    int rc = check_options(options, err);

    if (rc)
        return rc;
    rc = router_check(&router, err);
    if (rc)
        return rc;
    rc = auth_new(options->keys, &service->auth, err);
    if (rc)
        return rc;
    copy_options(service, options);
    service->router = router;
    service->app = app;
    service->budget.max = options->upload_len_max;
    pthread_mutex_init(&service->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&service->is_idle, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return 0;
}

void service_release(struct service *service)
{
    struct exchange *exchange;

    if (service->auth == NULL)
        return;
    assert(service->open_count == 0);
    while ((exchange = service->spare) != NULL) {
        service->spare = exchange->next;
        arena_free(exchange->arena);
        mem_free(exchange);
    }
    pthread_cond_destroy(&service->is_idle);
    pthread_mutex_destroy(&service->mutex);
    auth_free(service->auth);
    service->auth = NULL;
    mem_free((char *)service->options.host);
    mem_free((char *)service->options.cors_origin);
    mem_free((char *)service->options.server_name);
}

bool service_wait_idle(struct service *service, int64_t deadline_us)
{
    struct timespec until = clock_timespec(deadline_us);
    bool is_idle;

    pthread_mutex_lock(&service->mutex);
    while (service->open_count > 0 &&
           pthread_cond_timedwait(&service->is_idle, &service->mutex, &until) ==
               0)
        continue;
    is_idle = service->open_count == 0;
    pthread_mutex_unlock(&service->mutex);
    return is_idle;
}

int service_open_count(struct service *service)
{
    int count;

    pthread_mutex_lock(&service->mutex);
    count = service->open_count;
    pthread_mutex_unlock(&service->mutex);
    return count;
}
