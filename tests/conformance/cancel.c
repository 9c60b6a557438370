/* Cancelling: one operation, those of a descriptor, all of them. */
#include "support/gate.h"
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

static void a_pending_receive_is_cancelled_and_gives_its_buffer_back_once(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_stream_pair(AF_UNIX, fds);
    struct outcome cancelled = { 0 };
    struct outcome later = { 0 };
    kula_buf buffer = buffer_empty(ring, 16);
    kula_op op = kula_recv(ring, fds[0], &buffer, 16, 0, &cancelled);
    assert_pending(ring, &cancelled);
    assert_int_equal(kula_cancel(ring, op), 0);
    await(ring, &cancelled);
    assert_result(cancelled.result, -ECANCELED);
    assert_int_equal(cancelled.flags, 0);
    assert_int_equal(cancelled.buffers, 1);
    assert_int_equal(kula_capacity(cancelled.buffer), 16);
    outcome_release(&cancelled);

    /* What comes later stays in the socket for the next one. */
    put(fds[1], "not lost");
    assert_int_equal(pump(ring, 5 * KULA_MILLISECOND), 0);
    buffer = buffer_empty(ring, 16);
    kula_recv(ring, fds[0], &buffer, 16, 0, &later);
    await(ring, &later);
    assert_read_text(&later, "not lost");
    outcome_release(&later);
    retire(ring, fds, 2);
}

static void what_is_cancelled_before_the_flush_never_happens(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_pipe(fds);
    int fd = make_file("same");
    struct outcome done[4] = { { 0 } };
    kula_buf buffer = buffer_text(ring, "never");
    done[0].op = kula_write(ring, fds[1], &buffer, 5, KULA_CUR, &done[0]);
    buffer = buffer_text(ring, "never");
    done[1].op = kula_write(ring, fd, &buffer, 5, 0, &done[1]);
    done[2].op = kula_timer(ring, 0, &done[2]);
    done[3].op = kula_openat(ring, AT_FDCWD, "kula-never", O_CREAT | O_WRONLY, 0600, &done[3]);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(kula_cancel(ring, done[i].op), 0);
    }
    await_all(ring);
    for (int i = 0; i < 4; i++) {
        assert_result(done[i].result, -ECANCELED);
    }
    outcome_release(&done[0]);
    outcome_release(&done[1]);
    expect_no_bytes(fds[0]);
    expect_content(fd, "same");
    assert_int_equal(access("kula-never", F_OK), -1);
    retire(ring, fds, 2);
    retire(ring, &fd, 1);
}

/* A negative number stands for no descriptor, whatever else the library has negative numbers for. */
static void an_open_whose_directory_is_no_descriptor_can_be_cancelled(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    const int directories[] = { AT_FDCWD, -1, -2, -3, INT_MIN };
    for (size_t i = 0; i < sizeof directories / sizeof directories[0]; i++) {
        struct outcome done[2] = { { 0 } };
        kula_op op = kula_openat(ring, directories[i], "/dev/null", O_RDONLY, 0, &done[0]);
        assert_int_equal(kula_cancel(ring, op), 0);
        op = kula_statx(ring, directories[i], "/dev/null", 0, &done[1]);
        assert_int_equal(kula_cancel(ring, op), 0);
        await_all(ring);
        assert_result(done[0].result, -ECANCELED);
        assert_result(done[1].result, -ECANCELED);
    }
}

static void a_finished_operation_cannot_be_cancelled(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome done = { 0 };
    kula_op op = kula_nop(ring, &done);
    await(ring, &done);
    assert_result(kula_cancel(ring, op), -ENOENT);
    assert_result(kula_cancel(ring, op), -ENOENT);
}

static void nothing_and_what_belongs_elsewhere_cannot_be_cancelled(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct kula_ring *other = harness_open(0);
    struct outcome timer = { 0 };
    struct outcome read = { 0 };
    int fds[2];
    make_pipe(fds);
    kula_op foreign[2];
    foreign[0] = kula_timer(other, 3600 * KULA_SECOND, &timer);
    kula_buf buffer = buffer_empty(other, 8);
    foreign[1] = kula_read(other, fds[0], &buffer, 8, KULA_CUR, &read);
    assert_pending(other, &read);
    assert_result(kula_cancel(ring, 0), -ENOENT);
    assert_result(kula_cancel(ring, UINT64_MAX), -ENOENT);
    assert_result(kula_cancel(ring, 12345), -ENOENT);
    for (int i = 0; i < 2; i++) {
        assert_result(kula_cancel(ring, foreign[i]), -ENOENT);
        assert_result(kula_detach(ring, foreign[i]), -ENOENT);
        assert_result(kula_deadline(ring, foreign[i], 1), -ENOENT);
    }
    pump(ring, 0);
    assert_pending(other, &read);
    assert_int_equal(timer.events, 0);
    kula_cancel_all(other);
    await_all(other);
    outcome_release(&read);
    harness_close(&other);
    retire(ring, fds, 2);
}

static void asking_twice_is_told(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_pipe(fds);
    struct outcome done = { 0 };
    kula_buf buffer = buffer_empty(ring, 8);
    kula_op op = kula_read(ring, fds[0], &buffer, 8, KULA_CUR, &done);
    assert_pending(ring, &done);
    assert_int_equal(kula_cancel(ring, op), 0);
    assert_result(kula_cancel(ring, op), -EALREADY);
    await(ring, &done);
    assert_result(done.result, -ECANCELED);
    outcome_release(&done);
    retire(ring, fds, 2);
}

static void every_kind_of_waiting_can_be_cancelled(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct sockaddr_storage address;
    socklen_t length;
    int pipes[2];
    int sockets[2];
    int terminal[2];
    make_pipe(pipes);
    make_stream_pair(AF_UNIX, sockets);
    make_terminal(terminal);
    int full_pipe[2];
    make_pipe(full_pipe);
    fill(full_pipe[1]);
    fill(sockets[1]);
    int listener = make_listener(&address, &length, 1);
    struct outcome done[8] = { { 0 } };
    kula_buf buffer = buffer_empty(ring, 8);
    done[0].op = kula_read(ring, pipes[0], &buffer, 8, KULA_CUR, &done[0]);
    buffer = buffer_empty(ring, 8);
    done[1].op = kula_recv(ring, sockets[1], &buffer, 8, 0, &done[1]);
    buffer = buffer_empty(ring, 8);
    done[2].op = kula_read(ring, terminal[1], &buffer, 8, KULA_CUR, &done[2]);
    buffer = buffer_text(ring, "x");
    done[3].op = kula_write(ring, full_pipe[1], &buffer, 1, KULA_CUR, &done[3]);
    buffer = buffer_text(ring, "x");
    done[4].op = kula_send(ring, sockets[1], &buffer, 1, 0, &done[4]);
    done[5].op = kula_accept(ring, listener, &done[5]);
    done[6].op = kula_poll(ring, pipes[0], POLLIN, &done[6]);
    done[7].op = kula_timer(ring, 3600 * KULA_SECOND, &done[7]);
    assert_pending(ring, &done[0]);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(done[i].events, 0);
        assert_int_equal(kula_cancel(ring, done[i].op), 0);
    }
    await_all(ring);
    for (int i = 0; i < 8; i++) {
        assert_result(done[i].result, -ECANCELED);
        if (i < 5) {
            outcome_release(&done[i]);
        }
    }
    retire(ring, pipes, 2);
    retire(ring, sockets, 2);
    retire(ring, terminal, 2);
    retire(ring, full_pipe, 2);
    retire(ring, &listener, 1);
}

static void cancelling_a_descriptor_spares_the_others(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int first[2];
    int second[2];
    make_stream_pair(AF_UNIX, first);
    make_stream_pair(AF_UNIX, second);
    struct outcome done[4] = { { 0 } };
    struct outcome spared = { 0 };
    for (int i = 0; i < 3; i++) {
        kula_buf buffer = buffer_empty(ring, 8);
        kula_recv(ring, first[0], &buffer, 8, 0, &done[i]);
    }
    kula_poll(ring, first[0], POLLIN, &done[3]);
    kula_buf buffer = buffer_empty(ring, 8);
    kula_recv(ring, second[0], &buffer, 8, 0, &spared);
    assert_pending(ring, &spared);
    assert_int_equal(kula_cancel_fd(ring, first[0]), 4);
    await_count(ring, 4);
    for (int i = 0; i < 4; i++) {
        assert_result(done[i].result, -ECANCELED);
        if (i < 3) {
            outcome_release(&done[i]);
        }
    }
    assert_int_equal(spared.events, 0);
    assert_int_equal(kula_cancel_fd(ring, first[0]), 0);
    assert_result(kula_cancel_fd(ring, -1), -EBADF);
    put(second[1], "spared");
    await(ring, &spared);
    assert_read_text(&spared, "spared");
    outcome_release(&spared);
    retire(ring, first, 2);
    retire(ring, second, 2);
}

static void cancelling_everything_ends_everything_but_closes(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    int more[2];
    make_pipe(fds);
    make_pipe(more);
    struct outcome reads[10] = { { 0 } };
    struct outcome timer = { 0 };
    struct outcome closed = { 0 };
    for (int i = 0; i < 10; i++) {
        kula_buf buffer = buffer_empty(ring, 8);
        kula_read(ring, fds[0], &buffer, 8, KULA_CUR, &reads[i]);
    }
    kula_timer(ring, 3600 * KULA_SECOND, &timer);
    assert_pending(ring, &timer);
    kula_close_fd(ring, more[0], &closed);
    assert_int_equal(kula_cancel_all(ring), 11);
    await_all(ring);
    for (int i = 0; i < 10; i++) {
        assert_result(reads[i].result, -ECANCELED);
        outcome_release(&reads[i]);
    }
    assert_result(timer.result, -ECANCELED);
    assert_result(closed.result, 0);
    assert_int_equal(kula_cancel_all(ring), 0);
    retire(ring, fds, 2);
    retire(ring, &more[1], 1);
}

static void a_ring_works_on_after_everything_was_cancelled(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_pipe(fds);
    for (int round = 0; round < 50; round++) {
        struct outcome cancelled = { 0 };
        struct outcome read = { 0 };
        kula_buf buffer = buffer_empty(ring, 8);
        kula_read(ring, fds[0], &buffer, 8, KULA_CUR, &cancelled);
        pump(ring, 0);
        assert_int_equal(kula_cancel_all(ring), 1);
        buffer = buffer_empty(ring, 8);
        kula_read(ring, fds[0], &buffer, 8, KULA_CUR, &read);
        await(ring, &cancelled);
        assert_result(cancelled.result, -ECANCELED);
        put(fds[1], "on");
        await(ring, &read);
        assert_read_text(&read, "on");
        outcome_release(&cancelled);
        outcome_release(&read);
    }
    retire(ring, fds, 2);
}

/* A worker's call is never stopped by a signal: cancelling it says -EALREADY and waits. */
static void a_call_that_runs_on_a_worker_is_not_stopped(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    if (harness_backend_is("blocking")) {
        SKIP_BECAUSE("the blocking backend runs functions in place");
    }
    struct gate gate = GATE_CLOSED(77);
    struct outcome done = { 0 };
    kula_op op = kula_offload(ring, gate_pass, &gate, &done);
    assert_true(kula_submit(ring) >= 0);
    gate_await_entered(&gate, 1);
    assert_result(kula_cancel(ring, op), -EALREADY);
    assert_pending(ring, &done);
    gate_open(&gate);
    await(ring, &done);
    assert_result(done.result, 77);
}

/* Also those that are not counted in the descriptor's record. */
static void cancelling_a_file_ends_what_has_not_begun(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("content");
    struct outcome done[4] = { { 0 } };
    kula_buf buffer = buffer_empty(ring, 7);
    kula_read(ring, fd, &buffer, 7, 0, &done[0]);
    await(ring, &done[0]); /* now it is known as a file's */
    outcome_release(&done[0]);
    for (int i = 1; i < 4; i++) {
        buffer = buffer_empty(ring, 7);
        kula_read(ring, fd, &buffer, 7, 0, &done[i]);
    }
    assert_int_equal(kula_cancel_fd(ring, fd), 3);
    await_all(ring);
    for (int i = 1; i < 4; i++) {
        assert_result(done[i].result, -ECANCELED);
        outcome_release(&done[i]);
    }
    retire(ring, &fd, 1);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(a_pending_receive_is_cancelled_and_gives_its_buffer_back_once),
        PROVES(what_is_cancelled_before_the_flush_never_happens),
        PROVES(an_open_whose_directory_is_no_descriptor_can_be_cancelled),
        PROVES(a_finished_operation_cannot_be_cancelled),
        PROVES(nothing_and_what_belongs_elsewhere_cannot_be_cancelled),
        PROVES(asking_twice_is_told),
        PROVES(every_kind_of_waiting_can_be_cancelled),
        PROVES(cancelling_a_descriptor_spares_the_others),
        PROVES(cancelling_everything_ends_everything_but_closes),
        PROVES(a_ring_works_on_after_everything_was_cancelled),
        PROVES(a_call_that_runs_on_a_worker_is_not_stopped),
        PROVES(cancelling_a_file_ends_what_has_not_begun),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
