/* echo_kula.c - an echo server on kula. Two buffers a connection: while the bytes of one are sent
 * back, the other one already waits for more. */
#include "kula_ring.h"
#include "subject.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

struct connection {
    int fd;
    bool receiving;
    bool ended;
    kula_buf spare;
};

struct server {
    struct kula_ring *ring;
    int listen_fd;
    unsigned to_accept;
    unsigned open_count;
};

/* An event's `user` is its connection; the two lowest bits say which operation it was. */
enum operation {
    RECEIVED = 0,
    SENT = 1,
    CLOSED = 2,
    OPERATION_MASK = 3,
};

static void *tag(struct connection *connection, enum operation operation)
{
    return (char *)connection + operation;
}

static void receive(struct server *server, struct connection *connection, kula_buf *buffer)
{
    connection->receiving = true;
    (void)kula_recv(server->ring, connection->fd, buffer, BENCH_RECEIVE_BYTES, 0,
                    tag(connection, RECEIVED));
}

static kula_buf buffer_new(struct server *server)
{
    kula_buf buffer = kula_alloc(server->ring, BENCH_RECEIVE_BYTES);
    if (!buffer) {
        bench_fail("kula_alloc", -ENOMEM);
    }
    return buffer;
}

static void on_accepted(struct server *server, const struct kula_event *event)
{
    if (event->result < 0) {
        bench_fail("kula_accept", event->result);
    }
    struct connection *connection = bench_allocate_checked(1, sizeof(*connection));
    connection->fd = event->result;
    connection->spare = buffer_new(server);
    kula_buf first = buffer_new(server);
    receive(server, connection, &first);
    server->to_accept--;
    if (server->to_accept > 0) {
        (void)kula_accept(server->ring, server->listen_fd, NULL);
    }
}

static void on_received(struct server *server,
                        struct connection *connection,
                        struct kula_event *event)
{
    kula_buf buffer = kula_take(event);
    connection->receiving = false;
    if (event->result <= 0) {
        connection->ended = true;
        kula_free(&buffer);
        kula_free(&connection->spare);
        (void)kula_close_fd(server->ring, connection->fd, tag(connection, CLOSED));
        return;
    }
    (void)kula_send(server->ring, connection->fd, &buffer, (size_t)event->result, 0,
                    tag(connection, SENT));
    if (connection->spare) {
        receive(server, connection, &connection->spare);
    }
}

static void on_sent(struct server *server,
                    struct connection *connection,
                    struct kula_event *event)
{
    kula_buf buffer = kula_take(event);
    if (connection->ended) {
        kula_free(&buffer);
        return;
    }
    if (event->result != BENCH_MESSAGE_BYTES) {
        bench_fail("kula_send", event->result < 0 ? event->result : -EIO);
    }
    if (connection->receiving) {
        connection->spare = buffer;
    } else {
        receive(server, connection, &buffer);
    }
}

static void on_event(struct server *server, struct kula_event *event)
{
    if (!event->user) {
        on_accepted(server, event);
        return;
    }
    uintptr_t operation = (uintptr_t)event->user & OPERATION_MASK;
    struct connection *connection = (void *)((char *)event->user - operation);
    switch (operation) {
    case RECEIVED:
        on_received(server, connection, event);
        break;
    case SENT:
        on_sent(server, connection, event);
        break;
    default:
        free(connection);
        server->open_count--;
        break;
    }
}

static void serve(const char *backend, int listen_fd, unsigned connections)
{
    struct server server = {
        .ring = bench_kula_open(backend),
        .listen_fd = listen_fd,
        .to_accept = connections,
        .open_count = connections,
    };
    (void)kula_accept(server.ring, listen_fd, NULL);
    while (server.open_count > 0) {
        bench_kula_wait(server.ring);
        for (struct kula_event *event; (event = kula_next(server.ring));) {
            on_event(&server, event);
        }
    }
    bench_kula_close(server.ring);
}

const struct bench_echo_subject bench_echo_kula[] = {
    { "kula-uring", "uring", serve },
    { "kula-epoll", "epoll", serve },
    { "kula-blocking", "blocking", serve },
    { NULL, NULL, NULL },
};
