/* SPDX-License-Identifier: Apache-2.0 */
#include "store_proxy.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "test.h"

enum {
    PAIRS_MAX = 16,
    PIECE_LEN = 65536,
    COMMAND_END = 100,
    PORT_MIN = 20000,
    PORT_MAX = 32000
};

/* The thread owns everything but the ends of the two pipes that its user
 * holds; a command goes in by one and comes back by the other when done. */
struct store_proxy {
    pthread_t thread;
    int command[2], answer[2];
    int port;
    char host[64];
    int target_port;
    int listener;
    enum store_proxy_mode mode;
    int64_t left; /* bytes to the server before it cuts; -1: any number */
    struct {
        int client, server;
    } pairs[PAIRS_MAX];
    int pair_count;
};

struct command {
    int mode;
    int64_t left;
};

static int listen_on(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(fd, PAIRS_MAX) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* On a port below those that the kernel hands to outgoing connections: while
 * the listener is closed none of them takes it, and none meets itself there. */
static int listen_low(int *out_port)
{
    int number = PORT_MIN + getpid() % (PORT_MAX - PORT_MIN), i, fd = -1;

    for (i = PORT_MIN; i < PORT_MAX && fd < 0; i++) {
        number = number + 1 < PORT_MAX ? number + 1 : PORT_MIN;
        fd = listen_on(number);
    }
    *out_port = number;
    return fd;
}

static int connect_to(const char *host, int port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    char service[16];
    int fd = -1;

    snprintf(service, sizeof service, "%d", port);
    if (getaddrinfo(host, service, &hints, &found) != 0)
        return -1;
    fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, found->ai_addr, found->ai_addrlen) != 0) {
        close(fd);
        fd = -1;
    }
    freeaddrinfo(found);
    return fd;
}

static void close_pair(struct store_proxy *proxy, int i)
{
    close(proxy->pairs[i].client);
    close(proxy->pairs[i].server);
    proxy->pairs[i] = proxy->pairs[--proxy->pair_count];
}

static void cut(struct store_proxy *proxy)
{
    while (proxy->pair_count > 0)
        close_pair(proxy, 0);
    if (proxy->listener >= 0)
        close(proxy->listener);
    proxy->listener = -1;
    proxy->mode = STORE_PROXY_CUT;
}

static void accept_one(struct store_proxy *proxy)
{
    int client = accept4(proxy->listener, NULL, NULL, SOCK_CLOEXEC);
    int server = client >= 0 ? connect_to(proxy->host, proxy->target_port) : -1;

    if (server < 0 || proxy->pair_count == PAIRS_MAX) {
        if (client >= 0)
            close(client);
        if (server >= 0)
            close(server);
        return;
    }
    proxy->pairs[proxy->pair_count].client = client;
    proxy->pairs[proxy->pair_count++].server = server;
}

static bool send_all(int fd, const char *data, ssize_t len)
{
    ssize_t sent;

    while (len > 0) {
        sent = send(fd, data, (size_t)len, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        data += sent;
        len -= sent;
    }
    return true;
}

/* False when the pair is at its end. */
static bool pass(struct store_proxy *proxy, int from, int to, bool is_upward)
{
    static char piece[PIECE_LEN];
    ssize_t len = recv(from, piece, sizeof piece, 0);

    if (len <= 0)
        return false;
    if (is_upward && proxy->left >= 0) {
        if (len >= proxy->left) {
            (void)send_all(to, piece, (ssize_t)proxy->left);
            cut(proxy);
            return true;
        }
        proxy->left -= len;
    }
    return send_all(to, piece, len);
}

static bool obey(struct store_proxy *proxy)
{
    struct command command;

    if (read(proxy->command[0], &command, sizeof command) != sizeof command)
        return false;
    if (command.mode == COMMAND_END)
        return false;
    proxy->left = command.left;
    if (command.mode == STORE_PROXY_CUT)
        cut(proxy);
    else if (proxy->listener < 0)
        proxy->listener = listen_on(proxy->port);
    proxy->mode = (enum store_proxy_mode)command.mode;
    return write(proxy->answer[1], "", 1) == 1;
}

static void pass_all(struct store_proxy *proxy, const struct pollfd *fds)
{
    int i;

    for (i = proxy->pair_count - 1; i >= 0 && i < proxy->pair_count; i--) {
        int client = proxy->pairs[i].client, server = proxy->pairs[i].server;

        if (fds[2 * i].revents != 0 && !pass(proxy, client, server, true))
            close_pair(proxy, i);
        else if (fds[2 * i + 1].revents != 0 && proxy->pair_count > i &&
                 !pass(proxy, server, client, false))
            close_pair(proxy, i);
    }
}

static void *run(void *user)
{
    struct store_proxy *proxy = user;
    struct pollfd fds[2 + 2 * PAIRS_MAX];
    bool is_passing;
    int i, count;

    for (;;) {
        is_passing = proxy->mode == STORE_PROXY_PASS;
        count = is_passing ? proxy->pair_count : 0;
        fds[0] = (struct pollfd){.fd = proxy->command[0], .events = POLLIN};
        fds[1] = (struct pollfd){.fd = is_passing ? proxy->listener : -1,
                                 .events = POLLIN};
        for (i = 0; i < count; i++) {
            fds[2 + 2 * i] =
                (struct pollfd){.fd = proxy->pairs[i].client, .events = POLLIN};
            fds[3 + 2 * i] =
                (struct pollfd){.fd = proxy->pairs[i].server, .events = POLLIN};
        }
        poll(fds, (nfds_t)(2 + 2 * count), -1);
        if (fds[0].revents != 0) {
            if (!obey(proxy))
                break;
            continue;
        }
        pass_all(proxy, fds + 2);
        if (fds[1].revents != 0 && proxy->mode == STORE_PROXY_PASS)
            accept_one(proxy);
    }
    cut(proxy);
    return NULL;
}

struct store_proxy *store_proxy_new(const char *host, int port)
{
    struct store_proxy *proxy = mem_new(sizeof *proxy);

    snprintf(proxy->host, sizeof proxy->host, "%s", host);
    proxy->target_port = port;
    proxy->left = -1;
    proxy->listener = listen_low(&proxy->port);
    CHECK(proxy->listener >= 0);
    CHECK_INT(pipe(proxy->command), 0);
    CHECK_INT(pipe(proxy->answer), 0);
    CHECK_INT(pthread_create(&proxy->thread, NULL, run, proxy), 0);
    return proxy;
}

static void send_command(struct store_proxy *proxy, int mode, int64_t left)
{
    const struct command command = {.mode = mode, .left = left};
    char done;

    CHECK_INT(write(proxy->command[1], &command, sizeof command),
              sizeof command);
    if (mode != COMMAND_END)
        CHECK_INT(read(proxy->answer[0], &done, 1), 1);
}

void store_proxy_free(struct store_proxy *proxy)
{
    int i;

    send_command(proxy, COMMAND_END, -1);
    pthread_join(proxy->thread, NULL);
    for (i = 0; i < 2; i++) {
        close(proxy->command[i]);
        close(proxy->answer[i]);
    }
    mem_free(proxy);
}

int store_proxy_port(const struct store_proxy *proxy)
{
    return proxy->port;
}

void store_proxy_set(struct store_proxy *proxy, enum store_proxy_mode mode)
{
    send_command(proxy, mode, -1);
}

void store_proxy_cut_after(struct store_proxy *proxy, int64_t byte_count)
{
    send_command(proxy, STORE_PROXY_PASS, byte_count);
}
