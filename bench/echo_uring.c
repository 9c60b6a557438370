/* echo_uring.c - echo servers on raw liburing, in two forms.
 *
 * raw-uring has the shape of the kula server: one receive at a time with two buffers a connection.
 * raw-multishot has one receive a connection that goes on for ever and takes its buffers from a
 * ring of provided ones. */
#include "raw_ring.h"
#include "subject.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_GROUP 1
#define BUFFER_COUNT 1024 /* a power of two; more than connections, so that it never runs dry */

struct connection {
    int fd;
    bool receiving;
    unsigned which; /* of the two buffers: the one to receive into next */
    unsigned char buffers[2][BENCH_RECEIVE_BYTES];
};

struct server {
    struct io_uring ring;
    struct io_uring_buf_ring *group; /* raw-multishot; else NULL */
    unsigned char *group_memory;
    int listen_fd;
    unsigned to_accept;
    unsigned open_count;
};

/* In user_data: the lowest two bits; above them a connection's address. A multishot send carries
 * its buffer's number in the 16 highest bits, which an address in user space leaves free. */
enum operation {
    ACCEPTED = 0,
    RECEIVED = 1,
    SENT = 2,
    OPERATION_MASK = 3,
};
#define BUFFER_SHIFT 48

static void start_accept(struct server *server)
{
    struct io_uring_sqe *sqe = bench_ring_sqe(&server->ring);
    io_uring_prep_accept(sqe, server->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    io_uring_sqe_set_data64(sqe, ACCEPTED);
}

/* Nothing can be there yet: the peer's next message follows our answer. So the kernel need not try
 * before it waits. */
static void start_receive(struct server *server, struct connection *connection)
{
    struct io_uring_sqe *sqe = bench_ring_sqe(&server->ring);
    if (server->group) {
        io_uring_prep_recv_multishot(sqe, connection->fd, NULL, 0, 0);
        sqe->flags |= IOSQE_BUFFER_SELECT;
        sqe->buf_group = BUFFER_GROUP;
    } else {
        unsigned char *buffer = connection->buffers[connection->which];
        io_uring_prep_recv(sqe, connection->fd, buffer, BENCH_RECEIVE_BYTES, 0);
        sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
    }
    io_uring_sqe_set_data64(sqe, (uintptr_t)connection | RECEIVED);
    connection->receiving = true;
}

static void start_send(struct server *server,
                       struct connection *connection,
                       const struct io_uring_cqe *received)
{
    struct io_uring_sqe *sqe = bench_ring_sqe(&server->ring);
    uint64_t data = (uintptr_t)connection | SENT;
    const unsigned char *bytes = connection->buffers[connection->which];
    if (server->group) {
        uint64_t buffer = received->flags >> IORING_CQE_BUFFER_SHIFT;
        bytes = server->group_memory + buffer * BENCH_RECEIVE_BYTES;
        data |= buffer << BUFFER_SHIFT;
    }
    io_uring_prep_send(sqe, connection->fd, bytes, (size_t)received->res, MSG_NOSIGNAL);
    io_uring_sqe_set_data64(sqe, data);
}

static void give_buffer(struct server *server, unsigned short buffer, int place)
{
    io_uring_buf_ring_add(
        server->group, server->group_memory + (size_t)buffer * BENCH_RECEIVE_BYTES,
        BENCH_RECEIVE_BYTES, buffer, io_uring_buf_ring_mask(BUFFER_COUNT), place);
}

static void on_accepted(struct server *server, const struct io_uring_cqe *cqe)
{
    if (cqe->res < 0) {
        bench_fail("accept", cqe->res);
    }
    struct connection *connection = bench_allocate_checked(1, sizeof(*connection));
    connection->fd = cqe->res;
    start_receive(server, connection);
    server->to_accept--;
    if (server->to_accept > 0) {
        start_accept(server);
    }
}

static void on_received(struct server *server,
                        struct connection *connection,
                        const struct io_uring_cqe *cqe)
{
    connection->receiving = (cqe->flags & IORING_CQE_F_MORE) != 0;
    if (cqe->res <= 0) {
        (void)close(connection->fd);
        free(connection);
        server->open_count--;
        return;
    }
    start_send(server, connection, cqe);
    connection->which ^= 1;
    if (!connection->receiving) {
        start_receive(server, connection);
    }
}

static void on_sent(struct server *server, const struct io_uring_cqe *cqe)
{
    if (cqe->res != BENCH_MESSAGE_BYTES) {
        bench_fail("send", cqe->res < 0 ? cqe->res : -EIO);
    }
    if (server->group) {
        give_buffer(server, (unsigned short)(cqe->user_data >> BUFFER_SHIFT), 0);
        io_uring_buf_ring_advance(server->group, 1);
    }
}

static void on_completion(struct server *server, const struct io_uring_cqe *cqe)
{
    uint64_t address = cqe->user_data & ((UINT64_C(1) << BUFFER_SHIFT) - 1);
    struct connection *connection = (void *)(uintptr_t)(address & ~(uint64_t)OPERATION_MASK);
    switch (cqe->user_data & OPERATION_MASK) {
    case ACCEPTED:
        on_accepted(server, cqe);
        break;
    case RECEIVED:
        on_received(server, connection, cqe);
        break;
    default:
        on_sent(server, cqe);
        break;
    }
}

static void open_group(struct server *server)
{
    server->group = bench_allocate_pages_checked(BUFFER_COUNT * sizeof(struct io_uring_buf));
    server->group_memory =
        bench_allocate_pages_checked((size_t)BUFFER_COUNT * BENCH_RECEIVE_BYTES);
    struct io_uring_buf_reg registration = {
        .ring_addr = (uintptr_t)server->group,
        .ring_entries = BUFFER_COUNT,
        .bgid = BUFFER_GROUP,
    };
    int error = io_uring_register_buf_ring(&server->ring, &registration, 0);
    if (error < 0) {
        bench_skip("io_uring_register_buf_ring", error);
    }
    for (unsigned short i = 0; i < BUFFER_COUNT; i++) {
        give_buffer(server, i, i);
    }
    io_uring_buf_ring_advance(server->group, BUFFER_COUNT);
}

static void serve(struct server *server, int listen_fd, unsigned connections)
{
    server->listen_fd = listen_fd;
    server->to_accept = connections;
    server->open_count = connections;
    start_accept(server);
    while (server->open_count > 0) {
        bench_ring_submit_and_wait(&server->ring);
        struct io_uring_cqe *cqe;
        unsigned head;
        unsigned count = 0;
        io_uring_for_each_cqe(&server->ring, head, cqe)
        {
            on_completion(server, cqe);
            count++;
        }
        io_uring_cq_advance(&server->ring, count);
    }
    io_uring_queue_exit(&server->ring);
}

static void serve_single_shot(const char *backend, int listen_fd, unsigned connections)
{
    (void)backend;
    struct server server = { .group = NULL };
    bench_ring_open(&server.ring);
    serve(&server, listen_fd, connections);
}

static void serve_multishot(const char *backend, int listen_fd, unsigned connections)
{
    (void)backend;
    struct server server = { .group = NULL };
    bench_ring_open(&server.ring);
    open_group(&server);
    serve(&server, listen_fd, connections);
    free(server.group);
    free(server.group_memory);
}

const struct bench_echo_subject bench_echo_uring[] = {
    { "raw-uring", NULL, serve_single_shot },
    { "raw-multishot", NULL, serve_multishot },
    { NULL, NULL, NULL },
};
