/* Making sockets, connecting, sending, receiving, shutting down. */
#include "support/outcome.h"
#include "support/places.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

static int run(struct kula_ring *ring, struct outcome *done)
{
    await(ring, done);
    int result = done->result;
    memset(done, 0, sizeof *done);
    return result;
}

static void a_server_is_made_of_operations_alone(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome done = { 0 };
    struct outcome accepted = { 0 };
    struct sockaddr_in address = { .sin_family = AF_INET };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    kula_socket(ring, AF_INET, SOCK_STREAM, 0, &done);
    int listener = run(ring, &done);
    assert_true(listener >= 0);
    kula_bind(ring, listener, (struct sockaddr *)&address, sizeof address, &done);
    assert_result(run(ring, &done), 0);
    kula_listen(ring, listener, 8, &done);
    assert_result(run(ring, &done), 0);
    socklen_t length = sizeof address;
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    assert_true(address.sin_port != 0);

    kula_accept(ring, listener, &accepted);
    kula_socket(ring, AF_INET, SOCK_STREAM, 0, &done);
    int client = run(ring, &done);
    assert_true(client >= 0);
    kula_connect(ring, client, (struct sockaddr *)&address, length, &done);
    assert_result(run(ring, &done), 0);
    await(ring, &accepted);
    int server = accepted.result;
    assert_true(server >= 0);

    struct sockaddr_in own;
    length = sizeof own;
    assert_int_equal(getsockname(client, (struct sockaddr *)&own, &length), 0);
    assert_int_equal(accepted.address_length, sizeof own);
    assert_memory_equal(&accepted.address, &own, sizeof own);

    struct outcome sent = { 0 };
    struct outcome received = { 0 };
    kula_buf buffer = buffer_text(ring, "over the wire");
    kula_send(ring, client, &buffer, 13, 0, &sent);
    buffer = buffer_empty(ring, 64);
    kula_recv(ring, server, &buffer, 64, 0, &received);
    await_all(ring);
    assert_result(sent.result, 13);
    assert_read_text(&received, "over the wire");
    outcome_release(&sent);
    outcome_release(&received);
    kula_close_fd(ring, listener, NULL);
    kula_close_fd(ring, client, NULL);
    kula_close_fd(ring, server, NULL);
    await_all(ring);
}

static void a_unix_socket_with_a_name_works_alike(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    char directory[64];
    make_directory(directory, sizeof directory);
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", directory);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct outcome done[4] = { { 0 } };
    const struct sockaddr *name = (const struct sockaddr *)&address;
    kula_connect(ring, client, name, sizeof address, &done[0]);
    await(ring, &done[0]);
    assert_result(done[0].result, -ENOENT);
    kula_bind(ring, listener, name, sizeof address, &done[1]);
    await(ring, &done[1]);
    assert_result(done[1].result, 0);
    assert_int_equal(listen(listener, 4), 0);
    kula_accept(ring, listener, &done[2]);
    kula_connect(ring, client, name, sizeof address, &done[3]);
    await_all(ring);
    assert_result(done[3].result, 0);
    assert_true(done[2].result >= 0);
    assert_int_equal(done[2].address.ss_family, AF_UNIX);
    retire(ring, (int[]){ listener, client, done[2].result }, 3);
    remove_directory(directory);
}

/* Linux answers EAGAIN to a connect(2) that finds the backlog of an AF_UNIX socket full; that is
 * waiting, and waiting is not an error. */
static void a_full_backlog_of_a_unix_socket_makes_connect_wait(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    char directory[64];
    make_directory(directory, sizeof directory);
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", directory);
    const struct sockaddr *name = (const struct sockaddr *)&address;
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, name, sizeof address), 0);
    assert_int_equal(listen(listener, 0), 0);
    enum {
        COUNT = 4
    };
    int clients[COUNT];
    struct outcome connected[COUNT] = { { 0 } };
    for (int i = 0; i < COUNT; i++) {
        clients[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        kula_connect(ring, clients[i], name, sizeof address, &connected[i]);
    }
    pump(ring, 5 * KULA_MILLISECOND);
    assert_int_equal(connected[COUNT - 1].events, 0);
    int servers[COUNT];
    for (int i = 0; i < COUNT; i++) {
        struct outcome accepted = { 0 };
        kula_accept(ring, listener, &accepted);
        await(ring, &accepted);
        servers[i] = accepted.result;
        assert_true(servers[i] >= 0);
    }
    await_all(ring);
    for (int i = 0; i < COUNT; i++) {
        assert_result(connected[i].result, 0);
    }
    retire(ring, clients, COUNT);
    retire(ring, servers, COUNT);
    retire(ring, &listener, 1);
    remove_directory(directory);
}

static void a_refused_connection_says_so(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct sockaddr_storage address;
    socklen_t length;
    int listener = make_listener(&address, &length, 1);
    retire(ring, &listener, 1);
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct outcome done = { 0 };
    kula_connect(ring, client, (struct sockaddr *)&address, length, &done);
    await(ring, &done);
    assert_result(done.result, -ECONNREFUSED);
    retire(ring, &client, 1);
}

static void connecting_twice_says_so(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct sockaddr_storage address;
    socklen_t length;
    int listener = make_listener(&address, &length, 4);
    int client = make_connection(&address, length);
    struct outcome done = { 0 };
    kula_connect(ring, client, (struct sockaddr *)&address, length, &done);
    await(ring, &done);
    assert_result(done.result, -EISCONN);
    retire(ring, (int[]){ listener, client }, 2);
}

/* A backlog that is full makes the kernel drop the handshake, so that this connect really waits. */
static void a_connect_that_waits_can_be_cancelled(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct sockaddr_storage address;
    socklen_t length;
    enum {
        COUNT = 8
    };
    int listener = make_listener(&address, &length, 0);
    int clients[COUNT];
    struct outcome done[COUNT] = { { 0 } };
    for (int i = 0; i < COUNT; i++) {
        clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        done[i].op =
            kula_connect(ring, clients[i], (struct sockaddr *)&address, length, &done[i]);
    }
    pump(ring, 20 * KULA_MILLISECOND);
    pump(ring, 20 * KULA_MILLISECOND);
    int waiting = 0;
    for (int i = 0; i < COUNT; i++) {
        if (done[i].events == 0) {
            assert_int_equal(kula_cancel(ring, done[i].op), 0);
            waiting++;
        }
    }
    await_all(ring);
    for (int i = 0; i < COUNT; i++) {
        assert_true(done[i].result == 0 || done[i].result == -ECANCELED);
        assert_int_equal(fcntl(clients[i], F_GETFL), O_RDWR);
    }
    assert_true(waiting > 0);
    retire(ring, clients, COUNT);
    retire(ring, &listener, 1);
}

static void shutting_down_ends_a_receive_with_0(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    const int domains[] = { AF_UNIX, AF_INET };
    for (size_t i = 0; i < 2; i++) {
        int fds[2];
        make_stream_pair(domains[i], fds);
        struct outcome received = { 0 };
        struct outcome shut = { 0 };
        kula_buf buffer = buffer_empty(ring, 8);
        kula_recv(ring, fds[0], &buffer, 8, 0, &received);
        assert_pending(ring, &received);
        kula_shutdown(ring, fds[0], SHUT_RD, &shut);
        await_all(ring);
        assert_result(shut.result, 0);
        assert_result(received.result, 0);
        outcome_release(&received);
        retire(ring, fds, 2);
    }
}

static void the_peer_sees_a_shut_down_as_the_end(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_stream_pair(AF_INET, fds);
    struct outcome received = { 0 };
    struct outcome sent = { 0 };
    kula_buf buffer = buffer_empty(ring, 8);
    kula_recv(ring, fds[0], &buffer, 8, 0, &received);
    kula_shutdown(ring, fds[1], SHUT_WR, NULL);
    await(ring, &received);
    assert_result(received.result, 0);
    buffer = buffer_text(ring, "too late");
    kula_send(ring, fds[1], &buffer, 8, 0, &sent);
    await(ring, &sent);
    assert_result(sent.result, -EPIPE);
    outcome_release(&received);
    outcome_release(&sent);
    retire(ring, fds, 2);
}

static void shut_down_answers_as_shutdown_2_does(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome done[3] = { { 0 } };
    int fds[2];
    make_stream_pair(AF_UNIX, fds);
    int alone = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int file = make_file("");
    kula_shutdown(ring, alone, SHUT_RDWR, &done[0]);
    kula_shutdown(ring, file, SHUT_RDWR, &done[1]);
    kula_shutdown(ring, fds[0], 17, &done[2]);
    await_all(ring);
    assert_result(done[0].result, -ENOTCONN);
    assert_result(done[1].result, -ENOTSOCK);
    assert_result(done[2].result, -EINVAL);
    retire(ring, (int[]){ alone, file, fds[0], fds[1] }, 4);
}

static void a_reset_connection_says_so(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_stream_pair(AF_INET, fds);
    struct outcome done = { 0 };
    kula_buf buffer = buffer_empty(ring, 8);
    kula_recv(ring, fds[0], &buffer, 8, 0, &done);
    assert_pending(ring, &done);
    struct linger hard = { 1, 0 };
    assert_int_equal(setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
    retire(ring, &fds[1], 1);
    await(ring, &done);
    assert_result(done.result, -ECONNRESET);
    outcome_release(&done);
    retire(ring, &fds[0], 1);
}

static void datagrams_keep_their_edges(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_datagram_pair(fds);
    struct outcome sent[3] = { { 0 } };
    struct outcome received[3] = { { 0 } };
    for (int i = 0; i < 3; i++) {
        kula_buf buffer = buffer_empty(ring, 16);
        kula_recv(ring, fds[0], &buffer, 16, 0, &received[i]);
    }
    kula_buf buffer = buffer_text(ring, "one");
    kula_send(ring, fds[1], &buffer, 3, 0, &sent[0]);
    buffer = buffer_text(ring, "-");
    kula_send(ring, fds[1], &buffer, 0, 0, &sent[1]); /* an empty datagram is a datagram */
    buffer = buffer_text(ring, "three");
    kula_send(ring, fds[1], &buffer, 5, 0, &sent[2]);
    await_all(ring);
    assert_read_text(&received[0], "one");
    assert_read_text(&received[1], "");
    assert_read_text(&received[2], "three");
    for (int i = 0; i < 3; i++) {
        outcome_release(&sent[i]);
        outcome_release(&received[i]);
    }
    retire(ring, fds, 2);
}

static void an_empty_receive_takes_a_datagram(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_datagram_pair(fds);
    struct outcome empty = { 0 };
    struct outcome next = { 0 };
    kula_buf buffer = buffer_empty(ring, 16);
    kula_recv(ring, fds[0], &buffer, 0, 0, &empty);
    assert_pending(ring, &empty);
    put(fds[1], "lost");
    await(ring, &empty);
    assert_result(empty.result, 0);
    put(fds[1], "kept");
    buffer = buffer_empty(ring, 16);
    kula_recv(ring, fds[0], &buffer, 16, 0, &next);
    await(ring, &next);
    assert_read_text(&next, "kept");
    outcome_release(&empty);
    outcome_release(&next);
    retire(ring, fds, 2);
}

static void peeking_leaves_the_bytes(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int pairs[2][2];
    make_stream_pair(AF_INET, pairs[0]);
    make_datagram_pair(pairs[1]);
    for (int i = 0; i < 2; i++) {
        struct outcome done[2] = { { 0 } };
        kula_buf buffer = buffer_empty(ring, 4);
        kula_recv(ring, pairs[i][0], &buffer, 4, MSG_PEEK, &done[0]);
        buffer = buffer_empty(ring, 16);
        kula_recv(ring, pairs[i][0], &buffer, 16, 0, &done[1]);
        pump(ring, 0);
        put(pairs[i][1], "peekaboo");
        await_all(ring);
        assert_read_text(&done[0], "peek");
        assert_read_text(&done[1], "peekaboo");
        outcome_release(&done[0]);
        outcome_release(&done[1]);
    }
    retire(ring, pairs[0], 2);
    retire(ring, pairs[1], 2);
}

static void a_cut_datagram_tells_its_length_when_asked(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_datagram_pair(fds);
    struct outcome done = { 0 };
    kula_buf buffer = buffer_empty(ring, 4);
    kula_recv(ring, fds[0], &buffer, 4, MSG_TRUNC, &done);
    put(fds[1], "0123456789");
    await(ring, &done);
    assert_result(done.result, 10);
    assert_memory_equal(kula_bytes(done.buffer), "0123", 4);
    outcome_release(&done);
    retire(ring, fds, 2);
}

static void waiting_for_all_waits_for_all(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_stream_pair(AF_INET, fds);
    struct outcome done = { 0 };
    kula_buf buffer = buffer_empty(ring, 6);
    kula_recv(ring, fds[0], &buffer, 6, MSG_WAITALL, &done);
    put(fds[1], "abc");
    assert_pending(ring, &done);
    put(fds[1], "def");
    await(ring, &done);
    assert_read_text(&done, "abcdef");
    outcome_release(&done);
    retire(ring, fds, 2);
}

static void impossible_sockets_are_refused(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome done[4] = { { 0 } };
    struct sockaddr_storage address = { .ss_family = AF_INET };
    kula_socket(ring, 250, SOCK_STREAM, 0, &done[0]);
    kula_bind(ring, -1, (struct sockaddr *)&address, sizeof(struct sockaddr_in), &done[1]);
    kula_listen(ring, -1, 1, &done[2]);
    kula_bind(ring, 0, (struct sockaddr *)&address, 129, &done[3]);
    await_all(ring);
    assert_result(done[0].result, -EAFNOSUPPORT);
    assert_result(done[1].result, -EBADF);
    assert_result(done[2].result, -EBADF);
    assert_result(done[3].result, -EINVAL);
}

/* However much was asked for: a datagram is a whole. */
static void a_full_receive_of_a_datagram_ends_with_it(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_datagram_pair(fds);
    struct outcome done = { 0 };
    kula_buf buffer = buffer_empty(ring, 100);
    kula_op op = kula_recv(ring, fds[0], &buffer, 100, 0, &done);
    assert_int_equal(kula_option(ring, op, KULA_FULL), 0);
    put(fds[1], "short");
    await(ring, &done);
    assert_read_text(&done, "short");
    outcome_release(&done);
    retire(ring, fds, 2);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(a_server_is_made_of_operations_alone),
        PROVES(a_unix_socket_with_a_name_works_alike),
        PROVES(a_full_backlog_of_a_unix_socket_makes_connect_wait),
        PROVES(a_refused_connection_says_so),
        PROVES(connecting_twice_says_so),
        PROVES(a_connect_that_waits_can_be_cancelled),
        PROVES(shutting_down_ends_a_receive_with_0),
        PROVES(the_peer_sees_a_shut_down_as_the_end),
        PROVES(shut_down_answers_as_shutdown_2_does),
        PROVES(a_reset_connection_says_so),
        PROVES(datagrams_keep_their_edges),
        PROVES(an_empty_receive_takes_a_datagram),
        PROVES(peeking_leaves_the_bytes),
        PROVES(a_cut_datagram_tells_its_length_when_asked),
        PROVES(waiting_for_all_waits_for_all),
        PROVES(impossible_sockets_are_refused),
        PROVES(a_full_receive_of_a_datagram_ends_with_it),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
