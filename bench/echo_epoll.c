/* echo_epoll.c - an echo server as one writes it on epoll by hand: level-triggered, one recv and
 * one send for each readiness. */
#include "harness.h"
#include "subject.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_MAX 512

static void watch(int epoll, int fd)
{
    struct epoll_event interest = { .events = EPOLLIN, .data.fd = fd };
    (void)bench_checked(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &interest), "epoll_ctl");
}

/* Returns false when the connection is over. */
static int echo(int fd)
{
    unsigned char buffer[BENCH_RECEIVE_BYTES];
    ssize_t received = recv(fd, buffer, sizeof(buffer), 0);
    if (received <= 0) {
        return 0;
    }
    if (send(fd, buffer, (size_t)received, MSG_NOSIGNAL) != received) {
        bench_fail("send", -EIO);
    }
    return 1;
}

static void serve(const char *backend, int listen_fd, unsigned connections)
{
    (void)backend;
    int epoll = bench_checked(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    watch(epoll, listen_fd);
    for (unsigned closed = 0; closed < connections;) {
        struct epoll_event events[EVENTS_MAX];
        int count = bench_checked(epoll_wait(epoll, events, EVENTS_MAX, -1), "epoll_wait");
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listen_fd) {
                int flags = SOCK_NONBLOCK | SOCK_CLOEXEC;
                watch(epoll, bench_checked(accept4(fd, NULL, NULL, flags), "accept4"));
            } else if (!echo(fd)) {
                (void)close(fd);
                closed++;
            }
        }
    }
    (void)close(epoll);
}

const struct bench_echo_subject bench_echo_epoll[] = {
    { "raw-epoll", NULL, serve },
    { NULL, NULL, NULL },
};
