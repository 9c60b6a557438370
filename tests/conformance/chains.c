/* kula_after, kula_option and what they refuse. */
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static void a_chain_runs_in_order(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    enum {
        COUNT = 50
    };
    int fd = make_file("");
    struct outcome done[COUNT] = { { 0 } };
    for (int i = 0; i < COUNT; i++) {
        kula_buf buffer = buffer_empty(ring, 1);
        kula_bytes(buffer)[0] = (unsigned char)('0' + i % 10);
        /* each one overwrites the first byte, and the file grows by one: order shows in both */
        done[i].op = kula_write(ring, fd, &buffer, 1, i % 2 ? 0 : i, &done[i]);
        if (i > 0) {
            assert_int_equal(kula_after(ring, done[i].op, done[i - 1].op), 0);
        }
    }
    await_all(ring);
    for (int i = 0; i < COUNT; i++) {
        assert_result(done[i].result, 1);
        assert_true(i == 0 || done[i - 1].place < done[i].place);
        outcome_release(&done[i]);
    }
    char first;
    assert_int_equal(pread(fd, &first, 1, 0), 1);
    assert_int_equal(first, '0' + (COUNT - 1) % 10);
    retire(ring, &fd, 1);
}

static void a_failure_cancels_everything_that_follows(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome done[6] = { { 0 } };
    kula_buf buffer = buffer_empty(ring, 1);
    done[0].op = kula_read(ring, -1, &buffer, 1, 0, &done[0]);
    buffer = buffer_text(ring, "x");
    done[1].op = kula_write(ring, 1, &buffer, 1, KULA_CUR, &done[1]);
    done[2].op = kula_nop(ring, &done[2]);
    done[3].op = kula_timer(ring, 0, &done[3]);
    done[4].op = kula_openat(ring, AT_FDCWD, ".", O_RDONLY, 0, &done[4]);
    done[5].op = kula_nop(ring, &done[5]);
    assert_int_equal(kula_after(ring, done[1].op, done[0].op), 0);
    assert_int_equal(kula_after(ring, done[2].op, done[1].op), 0);
    assert_int_equal(kula_after(ring, done[3].op, done[0].op), 0);
    assert_int_equal(kula_after(ring, done[4].op, done[3].op), 0);
    await_all(ring);
    assert_result(done[0].result, -EBADF);
    for (int i = 1; i < 5; i++) {
        assert_result(done[i].result, -ECANCELED);
    }
    assert_result(done[5].result, 0);
    outcome_release(&done[0]);
    outcome_release(&done[1]);
}

static void regardless_runs_after_a_failure_and_the_rest_goes_on_from_there(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome done[3] = { { 0 } };
    kula_buf buffer = buffer_empty(ring, 1);
    done[0].op = kula_read(ring, -1, &buffer, 1, 0, &done[0]);
    done[1].op = kula_nop(ring, &done[1]);
    done[2].op = kula_nop(ring, &done[2]);
    assert_int_equal(kula_after(ring, done[1].op, done[0].op), 0);
    assert_int_equal(kula_option(ring, done[1].op, KULA_REGARDLESS), 0);
    assert_int_equal(kula_after(ring, done[2].op, done[1].op), 0);
    await_all(ring);
    assert_result(done[0].result, -EBADF);
    assert_result(done[1].result, 0);
    assert_result(done[2].result, 0);
    assert_true(done[0].place < done[1].place && done[1].place < done[2].place);
    outcome_release(&done[0]);
}

static void a_short_transfer_breaks_the_chain(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("tiny");
    struct outcome done[3] = { { 0 } };
    kula_buf buffer = buffer_empty(ring, 8);
    kula_op first = kula_read(ring, fd, &buffer, 8, 0, &done[0]);
    kula_op second = kula_nop(ring, &done[1]);
    assert_int_equal(kula_after(ring, second, first), 0);
    buffer = buffer_empty(ring, 8);
    kula_op exact = kula_read(ring, fd, &buffer, 4, 0, &done[2]);
    struct outcome after_exact = { 0 };
    kula_op third = kula_nop(ring, &after_exact);
    assert_int_equal(kula_after(ring, third, exact), 0);
    await_all(ring);
    assert_read_text(&done[0], "tiny");
    assert_result(done[1].result, -ECANCELED);
    assert_read_text(&done[2], "tiny");
    assert_result(after_exact.result, 0);
    outcome_release(&done[0]);
    outcome_release(&done[2]);
    retire(ring, &fd, 1);
}

static void one_operation_may_have_many_successors(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    enum {
        COUNT = 200
    };
    struct outcome head = { 0 };
    static struct outcome done[COUNT];
    memset(done, 0, sizeof done);
    int fds[2];
    make_pipe(fds);
    kula_buf buffer = buffer_empty(ring, 1);
    kula_op first = kula_read(ring, fds[0], &buffer, 1, KULA_CUR, &head);
    for (int i = 0; i < COUNT; i++) {
        kula_op op = kula_nop(ring, &done[i]);
        assert_int_equal(kula_after(ring, op, first), 0);
    }
    assert_pending(ring, &head);
    put(fds[1], "x");
    await_all(ring);
    outcome_release(&head);
    for (int i = 0; i < COUNT; i++) {
        assert_result(done[i].result, 0);
        assert_true(head.place < done[i].place);
    }
    retire(ring, fds, 2);
}

static void a_chain_may_hang_on_an_operation_that_runs_already(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_pipe(fds);
    struct outcome head = { 0 };
    struct outcome tail = { 0 };
    kula_buf buffer = buffer_empty(ring, 4);
    kula_op first = kula_read(ring, fds[0], &buffer, 4, KULA_CUR, &head);
    assert_pending(ring, &head);
    kula_op second = kula_nop(ring, &tail);
    assert_int_equal(kula_after(ring, second, first), 0);
    assert_pending(ring, &tail);
    put(fds[1], "data");
    await_all(ring);
    assert_result(head.result, 4);
    assert_result(tail.result, 0);
    assert_true(head.place < tail.place);
    outcome_release(&head);
    retire(ring, fds, 2);
}

static void a_cancelled_predecessor_cancels_its_successor(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome head = { 0 };
    struct outcome middle = { 0 };
    struct outcome tail = { 0 };
    kula_op first = kula_timer(ring, 3600 * KULA_SECOND, &head);
    kula_op second = kula_nop(ring, &middle);
    kula_op third = kula_nop(ring, &tail);
    assert_int_equal(kula_after(ring, second, first), 0);
    assert_int_equal(kula_after(ring, third, second), 0);
    pump(ring, 0);
    assert_int_equal(kula_cancel(ring, second), 0); /* one that has not started */
    await(ring, &tail);
    assert_result(middle.result, -ECANCELED);
    assert_result(tail.result, -ECANCELED);
    assert_int_equal(head.events, 0);
    assert_int_equal(kula_cancel(ring, first), 0);
    await_all(ring);
    assert_result(head.result, -ECANCELED);
}

static void a_detached_predecessor_still_starts_its_successor(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome tail = { 0 };
    kula_op first = kula_timer(ring, 5 * KULA_MILLISECOND, NULL);
    kula_op second = kula_nop(ring, &tail);
    assert_int_equal(kula_after(ring, second, first), 0);
    assert_int_equal(kula_detach(ring, first), 0);
    await(ring, &tail);
    assert_result(tail.result, 0);
}

static void circles_are_refused(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome done[3] = { { 0 } };
    for (int i = 0; i < 3; i++) {
        done[i].op = kula_nop(ring, &done[i]);
    }
    assert_result(kula_after(ring, done[0].op, done[0].op), -ELOOP);
    assert_int_equal(kula_after(ring, done[1].op, done[0].op), 0);
    assert_int_equal(kula_after(ring, done[2].op, done[1].op), 0);
    assert_result(kula_after(ring, done[0].op, done[2].op), -ELOOP);
    assert_result(kula_after(ring, done[0].op, done[1].op), -ELOOP);
    await_all(ring);
    for (int i = 0; i < 3; i++) {
        assert_result(done[i].result, 0);
        assert_true(i == 0 || done[i - 1].place < done[i].place);
    }
}

static void what_has_started_takes_no_modifiers(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_pipe(fds);
    struct outcome read = { 0 };
    struct outcome timer = { 0 };
    kula_buf buffer = buffer_empty(ring, 4);
    kula_op op = kula_read(ring, fds[0], &buffer, 4, KULA_CUR, &read);
    kula_op other = kula_timer(ring, 3600 * KULA_SECOND, &timer);
    assert_true(kula_submit(ring) >= 0);
    assert_result(kula_option(ring, op, KULA_FULL), -EALREADY);
    assert_result(kula_after(ring, op, other), -EALREADY);
    kula_cancel_all(ring);
    await_all(ring);
    outcome_release(&read);
    assert_result(kula_option(ring, op, KULA_FULL), -ENOENT);
    assert_result(kula_after(ring, op, other), -ENOENT);
    retire(ring, fds, 2);
}

static void what_is_over_takes_no_successors(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome over = { 0 };
    struct outcome next = { 0 };
    kula_op first = kula_nop(ring, &over);
    await(ring, &over);
    kula_op second = kula_nop(ring, &next);
    assert_result(kula_after(ring, second, first), -ENOENT);
    assert_result(kula_after(ring, second, 0), -ENOENT);
    assert_result(kula_after(ring, 0, second), -ENOENT);
    assert_result(kula_after(ring, second, UINT64_MAX), -ENOENT);
    await(ring, &next);
    assert_result(next.result, 0);
}

static void impossible_options_are_refused(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome done[2] = { { 0 } };
    int fd = make_file("content");
    kula_op op = kula_nop(ring, &done[0]);
    assert_result(kula_option(ring, op, 1u << 31), -EINVAL);
    assert_result(kula_option(ring, op, KULA_FULL), -EINVAL);
    assert_result(kula_option(ring, op, KULA_UNORDERED), -EINVAL);
    assert_result(kula_option(ring, 0, KULA_FULL), -ENOENT);
    kula_buf buffer = buffer_empty(ring, 64);
    op = kula_read(ring, fd, &buffer, 64, 0, &done[1]);
    assert_result(kula_option(ring, op, KULA_FULL | 1u << 31), -EINVAL);
    assert_int_equal(kula_option(ring, op, KULA_FULL), 0);
    assert_int_equal(kula_option(ring, op, KULA_UNORDERED), 0); /* added to the other one */
    await_all(ring);
    assert_result(done[0].result, 0);
    assert_read_text(&done[1], "content");
    outcome_release(&done[1]);
    retire(ring, &fd, 1);
}

static void not_waiting_says_eagain(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct sockaddr_storage address;
    socklen_t length;
    int pipes[2];
    int sockets[2];
    make_pipe(pipes);
    make_stream_pair(AF_UNIX, sockets);
    int listener = make_listener(&address, &length, 1);
    fill(sockets[1]);
    fill(pipes[1]);
    int empty[2];
    make_pipe(empty);
    struct outcome done[5] = { { 0 } };
    kula_op ops[5];
    kula_buf buffer = buffer_empty(ring, 4);
    ops[0] = kula_read(ring, empty[0], &buffer, 4, KULA_CUR, &done[0]);
    buffer = buffer_empty(ring, 4);
    ops[1] = kula_recv(ring, sockets[1], &buffer, 4, 0, &done[1]);
    buffer = buffer_text(ring, "full");
    ops[2] = kula_send(ring, sockets[1], &buffer, 4, 0, &done[2]);
    buffer = buffer_text(ring, "full");
    ops[3] = kula_write(ring, pipes[1], &buffer, 4, KULA_CUR, &done[3]);
    ops[4] = kula_accept(ring, listener, &done[4]);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(kula_option(ring, ops[i], KULA_NOWAIT), 0);
    }
    await_all(ring);
    for (int i = 0; i < 5; i++) {
        assert_result(done[i].result, -EAGAIN);
        if (i < 4) {
            outcome_release(&done[i]);
        }
    }
    /* and what is there is taken */
    struct outcome taken = { 0 };
    put(empty[1], "here");
    buffer = buffer_empty(ring, 4);
    kula_op op = kula_read(ring, empty[0], &buffer, 4, KULA_CUR, &taken);
    assert_int_equal(kula_option(ring, op, KULA_NOWAIT), 0);
    await(ring, &taken);
    assert_read_text(&taken, "here");
    outcome_release(&taken);
    retire(ring, pipes, 2);
    retire(ring, empty, 2);
    retire(ring, sockets, 2);
    retire(ring, &listener, 1);
}

static void an_operation_has_one_predecessor(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome done[3] = { { 0 } };
    kula_op first = kula_nop(ring, &done[0]);
    kula_op second = kula_nop(ring, &done[1]);
    kula_op third = kula_nop(ring, &done[2]);
    assert_int_equal(kula_after(ring, third, first), 0);
    assert_result(kula_after(ring, third, second), -EALREADY);
    await_all(ring);
    for (int i = 0; i < 3; i++) {
        assert_result(done[i].result, 0);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(a_chain_runs_in_order),
        PROVES(a_failure_cancels_everything_that_follows),
        PROVES(regardless_runs_after_a_failure_and_the_rest_goes_on_from_there),
        PROVES(a_short_transfer_breaks_the_chain),
        PROVES(one_operation_may_have_many_successors),
        PROVES(a_chain_may_hang_on_an_operation_that_runs_already),
        PROVES(a_cancelled_predecessor_cancels_its_successor),
        PROVES(a_detached_predecessor_still_starts_its_successor),
        PROVES(circles_are_refused),
        PROVES(what_has_started_takes_no_modifiers),
        PROVES(what_is_over_takes_no_successors),
        PROVES(impossible_options_are_refused),
        PROVES(not_waiting_says_eagain),
        PROVES(an_operation_has_one_predecessor),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
