/* echo_event.c - an echo server on libevent: one persistent event a connection, and recv and send
 * in its callback. */
#include "harness.h"
#include "subject.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/util.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct server {
    struct event_base *base;
    unsigned open_count;
};

struct connection {
    struct server *server;
    struct event *event;
};

static struct event *watch(struct server *server, int fd, event_callback_fn callback, void *arg)
{
    struct event *event = event_new(server->base, fd, EV_READ | EV_PERSIST, callback, arg);
    if (!event || event_add(event, NULL) < 0) {
        bench_fail("event_add", -ENOMEM);
    }
    return event;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct connection *connection = arg;
    unsigned char buffer[BENCH_RECEIVE_BYTES];
    ssize_t received = recv(fd, buffer, sizeof(buffer), 0);
    if (received > 0) {
        if (send(fd, buffer, (size_t)received, MSG_NOSIGNAL) != received) {
            bench_fail("send", -EIO);
        }
        return;
    }
    event_free(connection->event);
    (void)close(fd);
    if (--connection->server->open_count == 0) {
        (void)event_base_loopbreak(connection->server->base);
    }
    free(connection);
}

static void on_connection(evutil_socket_t listen_fd, short what, void *arg)
{
    (void)what;
    struct connection *connection = bench_allocate_checked(1, sizeof(*connection));
    int flags = SOCK_NONBLOCK | SOCK_CLOEXEC;
    int fd = bench_checked(accept4(listen_fd, NULL, NULL, flags), "accept4");
    connection->server = arg;
    connection->event = watch(connection->server, fd, on_readable, connection);
}

static void serve(const char *backend, int listen_fd, unsigned connections)
{
    (void)backend;
    struct server server = { .base = event_base_new(), .open_count = connections };
    if (!server.base) {
        bench_fail("event_base_new", -ENOMEM);
    }
    struct event *listener = watch(&server, listen_fd, on_connection, &server);
    (void)event_base_dispatch(server.base);
    event_free(listener);
    event_base_free(server.base);
}

const struct bench_echo_subject bench_echo_event[] = {
    { "libevent", NULL, serve },
    { NULL, NULL, NULL },
};
