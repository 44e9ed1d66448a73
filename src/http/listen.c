/* SPDX-License-Identifier: Apache-2.0 */
#include "http/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* Files besides connections: models, logs, index, threads' event sockets. */
enum { OTHER_FILES = 512 };

static int listen_fail(const char *host, int port, int code, struct err *err)
{
    if (code == EADDRINUSE)
        return err_set(err, ERR_CONFLICT, "port %d on %s is taken", port, host);
    if (code == EACCES)
        return err_set(err, ERR_FORBIDDEN,
                       "port %d on %s needs rights that we lack", port, host);
    return err_set(err, ERR_INVALID, "cannot listen on %s port %d: %s", host,
                   port, strerrordesc_np(code));
}

static int open_address(const struct addrinfo *address, int *out_fd)
{
    int one = 1, zero = 0, code;
    int fd = socket(address->ai_family,
                    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (address->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
    if (bind(fd, address->ai_addr, address->ai_addrlen) != 0 ||
        listen(fd, SOMAXCONN) != 0) {
        code = errno;
        close(fd);
        return code;
    }
    *out_fd = fd;
    return 0;
}

static int port_of(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof address;

    if (getsockname(fd, (struct sockaddr *)&address, &len) != 0)
        return 0;
    if (address.ss_family == AF_INET6)
        return ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
    return ntohs(((struct sockaddr_in *)&address)->sin_port);
}

int listen_open(const char *host, int port, int *out_fd, int *out_port,
                struct err *err)
{
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
                             .ai_socktype = SOCK_STREAM};
    struct addrinfo *addresses = NULL;
    char service[16];
    int code;

    snprintf(service, sizeof service, "%d", port);
    code = getaddrinfo(host, service, &hints, &addresses);
    if (code != 0)
        return err_set(err, ERR_INVALID,
                       "'%.100s' is no address to listen on: %s", host,
                       gai_strerror(code));
    code = open_address(addresses, out_fd);
    freeaddrinfo(addresses);
    if (code != 0)
        return listen_fail(host, port, code, err);
    *out_port = port_of(*out_fd);
    return 0;
}

void listen_reserve_files(int count)
{
    struct rlimit limit;
    rlim_t want = (rlim_t)count + OTHER_FILES;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= want)
        return;
    limit.rlim_cur = want < limit.rlim_max ? want : limit.rlim_max;
    /* Without it the server accepts fewer connections, and says so itself. */
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
}
