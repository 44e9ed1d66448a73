/* SPDX-License-Identifier: Apache-2.0 */
/* A load client for HTTP/1.1 on 127.0.0.1 that costs next to nothing itself:
 * one thread, one epoll, requests made beforehand, whole replies read.
 *
 *     bench-load --port 5001 --connections 8 --seconds 5 photo.jpg...
 *     bench-load --port 5001 --rate 1500 --connections 512 photo.jpg...
 *     bench-load --port 5001 --plan plan.tsv --requests 10000 --bad 5 --seed 2
 *
 * Without --rate each connection sends its next request when it has its
 * answer (closed loop). With --rate requests are due at fixed instants on any
 * idle connection (open loop), and latency counts from the instant a request
 * was due, so that a slow server cannot slow its own measurement down.
 *
 * A plan is a text file of lines of four fields with tabs between them:
 *     good|bad|reset   status[,status...]   request file   answer file or -
 * A request file holds a whole request, header and body; the answer must begin
 * with the bytes of the answer file; status 0 allows a connection that ends
 * without an answer; "reset" sends half and resets the connection.
 *
 * One JSON object on standard output; the first problems on standard error;
 * exit code 1 when any request failed or any answer was wrong. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "load.h"

int64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void die(const char *what, const char *name)
{
    fprintf(stderr, "bench-load: %s: %s\n", what, name);
    exit(2);
}

static int open_timer(const struct load *load)
{
    int64_t ns = (int64_t)(1e9 / load->options.rate);
    struct itimerspec every = {
        .it_interval = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000},
        .it_value = {.tv_nsec = 1},
    };
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);

    if (timer < 0 || timerfd_settime(timer, 0, &every, NULL) < 0 ||
        epoll_ctl(load->epoll, EPOLL_CTL_ADD, timer, &event) < 0)
        die(strerror(errno), "timer");
    return timer;
}

static bool has_failed(const struct load *load)
{
    return load->failures + load->wrong >= PROBLEMS_MAX;
}

/* The instant at which the next request of an open loop is due. */
static int64_t next_due_us(const struct load *load)
{
    double every_us = 1e6 / load->options.rate;

    return load->begin_us +
           (int64_t)((double)(load->started + load->missed) * every_us);
}

/* Starts what is due on idle connections. In an open loop a request that
 * finds none is missed: the client is the bottleneck then, and says so. */
static void start_due(struct load *load)
{
    bool is_open = load->options.rate > 0;

    while (load->due > 0 && load->idle_count > 0 && !has_failed(load)) {
        load->due--;
        connection_start(load, is_open ? next_due_us(load) : now_us());
    }
    if (is_open) {
        load->missed += load->due;
        load->due = 0;
    }
}

static void fail_late(struct load *load, int64_t now)
{
    int64_t limit_us = (int64_t)load->options.timeout_s * 1000000;

    for (int i = 0; i < load->options.connections; i++) {
        struct connection *connection = &load->connections[i];

        if (connection->message && now - connection->due_us > limit_us)
            connection_fail(load, connection, "no answer in time");
    }
}

static bool is_over(struct load *load, int64_t now)
{
    bool is_counted = load->options.requests > 0;

    if (now >= load->end_us || has_failed(load))
        load->due = 0;
    else if (!is_counted || load->due > 0)
        return false;
    return load->idle_count == load->options.connections ||
           (now >= load->end_us && now - load->end_us > DRAIN_US);
}

static void run(struct load *load)
{
    struct epoll_event events[256];
    int timer = load->options.rate > 0 ? open_timer(load) : -1;
    int64_t now = load->begin_us, swept_us = now;

    while (!is_over(load, now)) {
        int count = epoll_wait(load->epoll, events, 256, 100);

        now = now_us();
        for (int i = 0; i < count; i++) {
            struct connection *connection = events[i].data.ptr;
            uint64_t ticks;

            if (connection && connection->fd >= 0)
                connection_advance(load, connection);
            else if (!connection &&
                     read(timer, &ticks, sizeof(ticks)) == sizeof(ticks) &&
                     now < load->end_us)
                load->due += (int64_t)ticks;
        }
        if (now < load->end_us)
            start_due(load);
        if (now - swept_us > 1000000) {
            fail_late(load, now);
            swept_us = now;
        }
    }
    fail_late(load, INT64_MAX / 2);
    if (timer >= 0)
        close(timer);
}

static void load_open(struct load *load)
{
    const struct options *options = &load->options;

    load->connections =
        mem_try((size_t)options->connections, sizeof(*load->connections));
    load->idle = mem_try((size_t)options->connections, sizeof(*load->idle));
    load->epoll = epoll_create1(0);
    if (!load->connections || !load->idle || load->epoll < 0)
        die("no memory", "connections");
    for (int i = options->connections - 1; i >= 0; i--) {
        load->connections[i].fd = -1;
        buf_init(&load->connections[i].reply, REPLY_LEN_MAX + READ_LEN);
        load->idle[load->idle_count++] = i;
    }
    load->random = 88172645463325252u * (uint64_t)options->seed;
    load->next_bad = options->seed;
    load->begin_us = now_us();
    load->measure_us = load->begin_us + (int64_t)(options->warmup_s * 1000000);
    load->end_us = load->measure_us + (int64_t)(options->seconds * 1000000);
    load->last_us = load->measure_us;
    load->due = options->rate > 0       ? 0
                : options->requests > 0 ? options->requests
                                        : INT64_MAX;
}

static void load_close(struct load *load)
{
    for (int i = 0; i < load->options.connections; i++) {
        connection_close(&load->connections[i]);
        buf_release(&load->connections[i].reply);
    }
    for (int i = 0; i < load->message_count; i++) {
        buf_release(&load->messages[i].request);
        buf_release(&load->messages[i].answer);
    }
    close(load->epoll);
    mem_free(load->connections);
    mem_free(load->idle);
    mem_free(load->messages);
    mem_free(load->latencies_us);
}

/* --- figures ------------------------------------------------------------- */

static int compare_us(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* Nearest rank. */
static double percentile_ms(const struct load *load, double percent)
{
    size_t rank;

    if (load->latency_count == 0)
        return 0;
    rank = (size_t)(percent / 100 * (double)load->latency_count + 0.999999);
    return load->latencies_us[rank > 0 ? rank - 1 : 0] / 1000.0;
}

static void print_figures(struct load *load)
{
    double seconds = (double)(load->last_us - load->measure_us) / 1e6;
    const char *comma = "";

    if (load->latency_count > 0)
        qsort(load->latencies_us, load->latency_count, sizeof(uint32_t),
              compare_us);
    printf("{\"seconds\":%.3f,\"requests\":%lld,\"good\":%zu,"
           "\"failures\":%lld,\"wrong\":%lld,\"resets\":%lld,"
           "\"missed\":%lld,\"rate\":%.2f,",
           seconds, (long long)load->requests, load->latency_count,
           (long long)load->failures, (long long)load->wrong,
           (long long)load->resets, (long long)load->missed,
           seconds > 0 ? (double)load->latency_count / seconds : 0.0);
    printf("\"p50_ms\":%.3f,\"p95_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f,"
           "\"received_bytes\":%lld,\"statuses\":{",
           percentile_ms(load, 50), percentile_ms(load, 95),
           percentile_ms(load, 99), percentile_ms(load, 100),
           (long long)load->received_len);
    for (int i = 0; i < 1000; i++)
        if (load->statuses[i]) {
            printf("%s\"%d\":%lld", comma, i, (long long)load->statuses[i]);
            comma = ",";
        }
    printf("}}\n");
}

/* --- the command line ---------------------------------------------------- */

static double number(const char *name, const char *text, double min, double max)
{
    char *end;
    double value = strtod(text, &end);

    if (end == text || *end || !(value >= min && value <= max)) {
        fprintf(stderr, "bench-load: --%s is %s; it must be %g..%g\n", name,
                text, min, max);
        exit(2);
    }
    return value;
}

static void read_options(int argc, char **argv, struct options *options)
{
    static const struct option known[] = {
        {"port", 1, NULL, 'p'},
        {"path", 1, NULL, 'u'},
        {"field", 1, NULL, 'f'},
        {"connections", 1, NULL, 'c'},
        {"warmup", 1, NULL, 'w'},
        {"seconds", 1, NULL, 's'},
        {"rate", 1, NULL, 'r'},
        {"requests", 1, NULL, 'n'},
        {"plan", 1, NULL, 'l'},
        {"bad", 1, NULL, 'b'},
        {"timeout", 1, NULL, 't'},
        {"seed", 1, NULL, 'd'},
        {0},
    };
    int option, at = 0;

    while ((option = getopt_long(argc, argv, "", known, &at)) != -1) {
        const char *name = known[at].name;

        if (option == 'p')
            options->port = (int)number(name, optarg, 1, 65535);
        else if (option == 'u')
            options->path = optarg;
        else if (option == 'f')
            options->field = optarg;
        else if (option == 'c')
            options->connections =
                (int)number(name, optarg, 1, CONNECTIONS_MAX);
        else if (option == 'w')
            options->warmup_s = number(name, optarg, 0, 600);
        else if (option == 's')
            options->seconds = number(name, optarg, 0.1, 3600);
        else if (option == 'r')
            options->rate = number(name, optarg, 0.1, 100000);
        else if (option == 'n')
            options->requests = (long)number(name, optarg, 1, REQUESTS_MAX);
        else if (option == 'l')
            options->plan = optarg;
        else if (option == 'b')
            options->bad_percent = (int)number(name, optarg, 0, 100);
        else if (option == 't')
            options->timeout_s = (int)number(name, optarg, 1, 3600);
        else if (option == 'd')
            options->seed = (int)number(name, optarg, 1, 1000000);
        else
            exit(2);
    }
}

int main(int argc, char **argv)
{
    struct load load = {.options = {.connections = 1,
                                    .seconds = 5,
                                    .seed = 1,
                                    .timeout_s = 60,
                                    .path = "/api/classify",
                                    .field = "image"}};
    bool is_right;

    read_options(argc, argv, &load.options);
    load.messages = mem_try(MESSAGES_MAX, sizeof(*load.messages));
    if (!load.messages)
        die("no memory", "messages");
    if (load.options.plan)
        load_add_plan(&load);
    for (int i = optind; i < argc; i++)
        load_add_photo(&load, argv[i]);
    if (!load.options.port || load.good_count == 0)
        die("give --port and at least one photo or a --plan with a good line",
            "nothing to send");
    load_open(&load);
    run(&load);
    print_figures(&load);
    is_right = load.failures == 0 && load.wrong == 0;
    load_close(&load);
    return is_right ? 0 : 1;
}
