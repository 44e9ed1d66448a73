/* SPDX-License-Identifier: Apache-2.0 */
#include "served.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "test.h"

enum { PATIENCE_US = 600000000, PORT_MIN = 20000, PORT_MAX = 32000 };

extern char **environ;

static pid_t pid;
static int port;

static bool try_port(int number, bool binds)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)number),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), rc;

    CHECK(fd >= 0);
    rc = binds ? bind(fd, (struct sockaddr *)&address, sizeof address)
               : connect(fd, (struct sockaddr *)&address, sizeof address);
    close(fd);
    return rc == 0;
}

/* Below the ports that the kernel hands to outgoing connections, so that it
 * stays free while the server is down. */
static int free_port(void)
{
    int number = PORT_MIN + (int)(((uint64_t)clock_us() / 7 + getpid()) %
                                  (PORT_MAX - PORT_MIN));

    while (!try_port(number, true))
        number = number + 1 < PORT_MAX ? number + 1 : PORT_MIN;
    return number;
}

void served_let_others(void)
{
    poll(NULL, 0, 5);
}

static void spawn(const char *name)
{
    char script[FILE_PATH_MAX], folder[FILE_PATH_MAX], number[16];
    char *arguments[] = {script, folder, number, NULL};
    posix_spawn_file_actions_t quiet;
    int rc;

    snprintf(script, sizeof script, "tests/services/%s", name);
    snprintf(folder, sizeof folder, "%s/%s", test_dir(), name);
    snprintf(number, sizeof number, "%d", port);
    posix_spawn_file_actions_init(&quiet);
    posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&quiet, 2, "/dev/null", O_WRONLY, 0);
    rc = posix_spawn(&pid, script, &quiet, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&quiet);
    CHECK_INT(rc, 0);
}

int served_start(const char *name)
{
    int64_t until_us = clock_us() + PATIENCE_US;

    served_kill();
    if (port == 0)
        port = free_port();
    spawn(name);
    while (!try_port(port, false)) {
        CHECK(clock_us() < until_us);
        CHECK_INT(waitpid(pid, NULL, WNOHANG), 0);
        served_let_others();
    }
    return port;
}

void served_kill(void)
{
    if (pid == 0)
        return;
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    pid = 0;
}

void served_stop(void)
{
    served_kill();
    port = 0;
}
