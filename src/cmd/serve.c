/* SPDX-License-Identifier: Apache-2.0 */
/* Signals: SIGTERM and SIGINT drain, a second one ends the wait; SIGHUP reads
 * LOG_LEVEL anew, opens the log file again and takes a changed model. They are
 * blocked in every thread and taken by the main thread alone. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "apps/update.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "cmd/apis.h"
#include "cmd/backends.h"
#include "cmd/command.h"
#include "cmd/session.h"
#include "http/server.h"
#include "obs/metrics.h"

enum { MB = 1 << 20, FORM_LEN_MAX = 64 << 10 };

static sigset_t handled_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    return set;
}

static int ms(double seconds)
{
    return (int)(seconds * 1000);
}

static struct http_options server_options(const struct config *config,
                                          int worker_count)
{
    size_t image_len = (size_t)(config->image_size_max_mb * MB);
    size_t batch_len = (size_t)(config->batch_size_max_mb * MB);

    return (struct http_options){
        .host = config->host,
        .port = (int)config->port,
        .worker_count = worker_count,
        .queue_max = (int)config->queue_max,
        .connections_max = (int)config->connections_max,
        .connections_per_client_max = (int)config->connections_per_client_max,
        .timeout_ms = ms(config->timeout_s),
        .idle_timeout_ms = ms(config->idle_timeout_s),
        .receive_timeout_ms = ms(config->receive_timeout_s),
        .header_len_max = (size_t)config->header_size_max_kb << 10,
        .body_len_max = {[BODY_NONE] = 0,
                         [BODY_SMALL] = MB,
                         [BODY_IMAGE] = image_len + FORM_LEN_MAX,
                         [BODY_BATCH] = batch_len},
        .part_len_max = image_len > batch_len ? image_len : batch_len,
        .upload_len_max = (size_t)config->upload_memory_max_mb * MB,
        .cors_origin = config->cors_origin,
        .gzip_len_min = (size_t)config->gzip_min_kb << 10,
        .keys = config->api_keys,
        .server_name = "olho/" OLHO_VERSION,
    };
}

/* What a person who has just started it wants to know. */
static void print_address(const struct app *app,
                          const struct model_version *version)
{
    const char *host = app->config->host;
    int port = http_server_port(app->server);
    char address[300];

    if (strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0)
        host = "127.0.0.1";
    snprintf(address, sizeof address,
             strchr(host, ':') != NULL ? "http://[%.255s]:%d"
                                       : "http://%.255s:%d",
             host, port);
    printf("olho %s serves %s on %s\n"
           "try: curl -F image=@photo.jpg %s/api/classify\n",
           OLHO_VERSION, version->bundle->metadata.name, address, address);
    fflush(stdout);
}

/* Settings that may change while it runs; the rest keep their values, and so
 * does what a flag says. */
static void reload(const struct arguments *arguments)
{
    const struct option *level =
        option_find(config_options, config_option_count, "LOG_LEVEL");
    struct config config = {0};
    struct err err = {0};

    log_reopen();
    if (config_load(&config, NULL, &err) != 0) {
        log_write(LOG_ERROR, "settings are not reloaded",
                  log_text("why", err.text));
    } else {
        if (arguments->sources[level - config_options] != OPTION_FROM_FLAG)
            log_set_level((enum log_level)config.log_level);
        log_write(LOG_INFO, "settings are reloaded");
    }
    config_release(&config);
}

/* Puts a model that has changed on disk, or another current version, in the
 * place of the one that serves. */
static void reload_model(struct app *app)
{
    struct update_result result;
    struct err err = {0};

    if (update_reload(app, &result, &err) == 0 && !result.is_changed)
        log_write(LOG_INFO, "the model is as it was",
                  log_text("version", result.now));
}

/* Waits for a signal that ends the server. */
static void wait_for_end(struct app *app, const struct arguments *arguments,
                         const sigset_t *signals)
{
    int number;

    for (;;) {
        if (sigwait(signals, &number) != 0)
            continue;
        if (number != SIGHUP)
            return;
        reload(arguments);
        reload_model(app);
    }
}

/* Goes on serving, not ready, until the delay is over or a second signal
 * comes. */
static void delay(const sigset_t *signals, double seconds)
{
    int64_t end_us = clock_us() + (int64_t)(seconds * 1e6);

    for (;;) {
        int64_t left_us = end_us - clock_us();
        struct timespec left = {left_us / 1000000, left_us % 1000000 * 1000};
        int number;

        if (left_us <= 0)
            return;
        number = sigtimedwait(signals, NULL, &left);
        if (number == SIGTERM || number == SIGINT ||
            (number < 0 && errno == EAGAIN))
            return;
    }
}

/* Without its server the index is away, not wrong: what needs none of it is
 * answered meanwhile. */
static int look_at_index(const struct model_version *version,
                         struct collection_info *out, struct err *err)
{
    int rc = collection_info(version->collection, out, err);

    if (rc != ERR_UNAVAILABLE && rc != ERR_TIMEOUT)
        return rc;
    log_write(LOG_WARN, "the index is away", log_text("why", err->text));
    *err = (struct err){0};
    return 0;
}

static int start(struct app *app, const struct model_version *version,
                 struct err *err)
{
    const struct config *config = app->config;
    struct http_options options = server_options(config, app->worker_count);
    struct collection_info info = {0};
    int rc;

    rc = look_at_index(version, &info, err);
    if (rc)
        return rc;
    rc = work_new("batch", app->worker_count,
                  app->worker_count * (int)config->batch_image_max,
                  &app->batch_pool, err);
    if (rc == 0)
        rc = http_server_start(&options, apis, api_count, app, &app->server,
                               err);
    if (rc)
        return rc;
    log_write(LOG_INFO, "serving", log_text("host", config->host),
              log_integer("port", http_server_port(app->server)),
              log_text("model", version->bundle->metadata.name),
              log_text("version", model_version_name(version)),
              log_text("index", info.is_open
                                    ? collection_path(version->collection)
                                    : ""));
    return 0;
}

static void stop(struct app *app, const sigset_t *signals)
{
    const struct config *config = app->config;
    int refused;

    log_write(LOG_INFO, "draining");
    http_server_drain(app->server);
    delay(signals, config->drain_delay_s);
    refused = http_server_stop(
        app->server, clock_us() + (int64_t)(config->drain_timeout_s * 1e6));
    app->server = NULL;
    log_write(LOG_INFO, "stopped", log_integer("refused", refused));
}

static int serve(struct app *app, const struct arguments *arguments,
                 const sigset_t *signals, struct err *err)
{
    struct model_version *version = registry_acquire(app->registry, 0);
    int rc;

    rc = start(app, version, err);
    if (rc == 0) {
        print_address(app, version);
        update_widen(app, version);
    }
    model_version_release(version);
    if (rc)
        return rc;
    wait_for_end(app, arguments, signals);
    stop(app, signals);
    return 0;
}

int command_serve(struct arguments *arguments, struct err *err)
{
    sigset_t signals = handled_signals();
    struct app app = {0};
    int rc;

    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    rc = session_open(&arguments->config, &app, err);
    if (rc == 0)
        rc = backends_open(&app, err);
    if (rc == 0)
        rc = serve(&app, arguments, &signals, err);
    work_free(app.batch_pool);
    backends_close(&app);
    session_close(&app);
    return rc ? EXIT_FAILED : EXIT_FINE;
}
