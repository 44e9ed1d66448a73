/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/dial.h"
#include "fake.h"

enum { PATIENCE_US = 120000000 };

static int option_of(int fd, int level, int name)
{
    socklen_t len = sizeof(int);
    int value = 0;

    CHECK_INT(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

static void check_dialled(const char *host)
{
    int port = fake_start_silent(), fd = -1;
    struct err err = {0};

    CHECK_OK(dial_open(host, port, clock_us() + PATIENCE_US, &fd, &err), err);
    CHECK((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    CHECK(option_of(fd, IPPROTO_TCP, TCP_NODELAY) != 0);
    CHECK(dial_wait(fd, POLLOUT, clock_us() + PATIENCE_US) == POLLOUT);
    CHECK_INT(dial_wait(fd, POLLIN, clock_us() + 1000), 0);
    CHECK_INT(dial_wait(fd, POLLOUT, clock_us()), 0);
    close(fd);
    fake_stop();
}

TEST(dial_connects_to_an_address)
{
    check_dialled("127.0.0.1");
}

TEST(dial_connects_to_a_name)
{
    check_dialled("localhost");
}

TEST(dial_says_that_nobody_answers)
{
    int port = fake_start_closed(), fd = -7;
    struct err err = {0};

    CHECK_ERR(dial_open("127.0.0.1", port, clock_us() + PATIENCE_US, &fd, &err),
              ERR_UNAVAILABLE);
    CHECK_HAS(err.text, "nobody answers at '127.0.0.1:");
    CHECK_INT(fd, -7);
    fake_stop();
}

TEST(dial_gives_up_at_the_deadline)
{
    int fd = -7;
    struct err err = {0};

    CHECK_ERR(dial_open("localhost", 1, clock_us() - 1, &fd, &err),
              ERR_TIMEOUT);
    CHECK_INT(fd, -7);
}

TEST(dial_refuses_names_that_cannot_be)
{
    char host[DIAL_HOST_MAX + 1];
    int fd = -7;
    struct err err = {0};

    memset(host, 'a', sizeof host);
    host[DIAL_HOST_MAX] = '\0';
    CHECK_ERR(dial_open(host, 1, clock_us() + PATIENCE_US, &fd, &err),
              ERR_INVALID);
    err = (struct err){0};
    CHECK_ERR(dial_open("no such.host", 1, clock_us() + PATIENCE_US, &fd, &err),
              ERR_UNAVAILABLE);
    CHECK_HAS(err.text, "no address is known");
}
