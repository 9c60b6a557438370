/* Waiting until a descriptor is ready. */
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

static int32_t poll_now(struct kula_ring *ring, int fd, uint32_t events)
{
    struct outcome done = { 0 };
    kula_poll(ring, fd, events, &done);
    await(ring, &done);
    return done.result;
}

static void a_regular_file_is_ready_at_once(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("");
    assert_result(poll_now(ring, fd, POLLIN), POLLIN);
    assert_result(poll_now(ring, fd, POLLOUT), POLLOUT);
    assert_result(poll_now(ring, fd, POLLIN | POLLOUT), POLLIN | POLLOUT);
    retire(ring, &fd, 1);
}

static void a_pipe_is_ready_when_there_is_something(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_pipe(fds);
    struct outcome done = { 0 };
    assert_result(poll_now(ring, fds[1], POLLOUT), POLLOUT);
    kula_poll(ring, fds[0], POLLIN, &done);
    assert_pending(ring, &done);
    put(fds[1], "x");
    await(ring, &done);
    assert_result(done.result, POLLIN);
    expect_bytes(fds[0], "x"); /* polling takes nothing */
    retire(ring, fds, 2);
}

static void what_is_ready_already_is_ready_again(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_stream_pair(AF_UNIX, fds);
    put(fds[1], "x");
    for (int i = 0; i < 20; i++) {
        assert_result(poll_now(ring, fds[0], POLLIN), POLLIN);
        assert_result(poll_now(ring, fds[0], POLLIN | POLLOUT), POLLIN | POLLOUT);
    }
    retire(ring, fds, 2);
}

static void many_polls_on_one_descriptor_all_end(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    enum {
        COUNT = 20
    };
    int fds[2];
    make_stream_pair(AF_UNIX, fds);
    struct outcome done[COUNT] = { { 0 } };
    for (int i = 0; i < COUNT; i++) {
        kula_poll(ring, fds[0], POLLIN, &done[i]);
    }
    assert_pending(ring, &done[0]);
    put(fds[1], "x");
    await_all(ring);
    for (int i = 0; i < COUNT; i++) {
        assert_result(done[i].result, POLLIN);
    }
    retire(ring, fds, 2);
}

static void a_hang_up_is_told_unasked(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_pipe(fds);
    struct outcome done = { 0 };
    kula_poll(ring, fds[0], POLLIN, &done);
    assert_pending(ring, &done);
    retire(ring, &fds[1], 1);
    await(ring, &done);
    assert_true(done.result > 0 && (done.result & POLLHUP));
    retire(ring, &fds[0], 1);

    make_pipe(fds);
    retire(ring, &fds[0], 1);
    int32_t ready = poll_now(ring, fds[1], POLLOUT);
    assert_true(ready > 0 && (ready & POLLERR));
    retire(ring, &fds[1], 1);
}

static void half_of_a_hang_up_is_told_when_asked(void **state)
{
#ifdef KULA_NO_LINUX
    SKIP_BECAUSE("POLLRDHUP is Linux's");
#endif
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_stream_pair(AF_INET, fds);
    struct outcome done = { 0 };
    kula_poll(ring, fds[0], POLLRDHUP, &done);
    assert_pending(ring, &done);
    assert_int_equal(shutdown(fds[1], SHUT_WR), 0);
    await(ring, &done);
    assert_true(done.result > 0 && (done.result & POLLRDHUP));
    retire(ring, fds, 2);
}

/* A ring's POLL_ADD for POLLPRI alone does not see urgent data that comes later (Linux 6.18, raw
 * io_uring too, with every setup flag). */
static void urgent_data_is_told_when_asked(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_stream_pair(AF_INET, fds);
    struct outcome waiting = { 0 };
    struct outcome there = { 0 };
    kula_poll(ring, fds[0], POLLPRI, &waiting);
    assert_pending(ring, &waiting);
    put(fds[1], "not urgent");
    assert_pending(ring, &waiting);
    assert_int_equal(send(fds[1], "!", 1, MSG_OOB), 1);
    await(ring, &waiting);
    assert_true(waiting.result > 0 && (waiting.result & POLLPRI));
    kula_poll(ring, fds[0], POLLPRI, &there);
    await(ring, &there);
    assert_true(there.result > 0 && (there.result & POLLPRI));
    retire(ring, fds, 2);
}

static void impossible_polls_are_refused(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_pipe(fds);
    assert_result(poll_now(ring, fds[0], 0), -EINVAL);
    assert_result(poll_now(ring, fds[0], POLLIN | 1u << 30), -EINVAL);
    assert_result(poll_now(ring, -1, POLLIN), -EBADF);
    assert_result(poll_now(ring, 4000, POLLIN), -EBADF);
    retire(ring, fds, 2);
}

static void a_poll_does_not_hold_up_a_read_and_both_see_the_bytes(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_stream_pair(AF_UNIX, fds);
    for (int round = 0; round < 50; round++) {
        struct outcome polled = { 0 };
        struct outcome read = { 0 };
        kula_op op = kula_poll(ring, fds[0], POLLIN, &polled);
        kula_buf buffer = buffer_empty(ring, 4);
        kula_recv(ring, fds[0], &buffer, 4, 0, &read);
        pump(ring, 0);
        put(fds[1], "both");
        await(ring, &read);
        assert_read_text(&read, "both");
        outcome_release(&read);
        /* the read may have been first, and then the poll still waits */
        kula_cancel(ring, op);
        await(ring, &polled);
        assert_true(polled.result == POLLIN || polled.result == -ECANCELED);
    }
    retire(ring, fds, 2);
}

/* It is ready to be read and written, at once, and is nothing else, ever: nobody waits for that. */
static void a_file_is_never_urgent(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2] = { make_file("file"), open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
    for (int i = 0; i < 2; i++) {
        struct outcome done[2] = { { 0 } };
        kula_poll(ring, fds[i], POLLPRI, &done[0]);
        kula_poll(ring, fds[i], POLLIN | POLLPRI, &done[1]);
        await_all(ring);
        assert_result(done[0].result, -EINVAL);
        assert_result(done[1].result, POLLIN);
    }
    retire(ring, fds, 2);
}

static void a_full_socket_is_writable_when_there_is_room_again(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_stream_pair(AF_UNIX, fds);
    size_t inside = fill(fds[0]);
    struct outcome done = { 0 };
    kula_poll(ring, fds[0], POLLOUT, &done);
    assert_pending(ring, &done);
    char drain[4096];
    while (inside > 0) {
        ssize_t count = read(fds[1], drain, sizeof drain);
        assert_true(count > 0);
        inside -= (size_t)count;
    }
    await(ring, &done);
    assert_result(done.result, POLLOUT);
    retire(ring, fds, 2);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(a_regular_file_is_ready_at_once),
        PROVES(a_pipe_is_ready_when_there_is_something),
        PROVES(what_is_ready_already_is_ready_again),
        PROVES(many_polls_on_one_descriptor_all_end),
        PROVES(a_hang_up_is_told_unasked),
        PROVES(half_of_a_hang_up_is_told_when_asked),
        PROVES(urgent_data_is_told_when_asked),
        PROVES(impossible_polls_are_refused),
        PROVES(a_poll_does_not_hold_up_a_read_and_both_see_the_bytes),
        PROVES(a_file_is_never_urgent),
        PROVES(a_full_socket_is_writable_when_there_is_room_again),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
