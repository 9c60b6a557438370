/* Deadlines on every kind of operation. */
#include "support/gate.h"
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

static void a_receive_whose_time_is_up_ends_in_etime_with_its_buffer(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_stream_pair(AF_UNIX, fds);
    struct outcome done = { 0 };
    int64_t start = harness_now_ns();
    kula_buf buffer = buffer_empty(ring, 8);
    kula_op op = kula_recv(ring, fds[0], &buffer, 8, 0, &done);
    assert_int_equal(kula_deadline(ring, op, 30 * KULA_MILLISECOND), 0);
    await(ring, &done);
    assert_true(harness_now_ns() - start >= 30 * KULA_MILLISECOND);
    assert_result(done.result, -ETIME);
    assert_int_equal(done.flags, 0);
    outcome_release(&done);
    put(fds[1], "kept");
    expect_bytes(fds[0], "kept");
    retire(ring, fds, 2);
}

static void every_kind_of_waiting_can_run_out_of_time(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct sockaddr_storage address;
    socklen_t length;
    int pipes[2];
    int full[2];
    make_pipe(pipes);
    make_pipe(full);
    fill(full[1]);
    int listener = make_listener(&address, &length, 1);
    struct outcome done[6] = { { 0 } };
    kula_buf buffer = buffer_empty(ring, 8);
    done[0].op = kula_read(ring, pipes[0], &buffer, 8, KULA_CUR, &done[0]);
    buffer = buffer_empty(ring, 8);
    done[1].op =
        kula_read(ring, pipes[0], &buffer, 8, KULA_CUR, &done[1]); /* queued behind it */
    buffer = buffer_text(ring, "x");
    done[2].op = kula_write(ring, full[1], &buffer, 1, KULA_CUR, &done[2]);
    done[3].op = kula_accept(ring, listener, &done[3]);
    done[4].op = kula_poll(ring, pipes[0], POLLIN, &done[4]);
    done[5].op = kula_timer(ring, 3600 * KULA_SECOND, &done[5]);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(kula_deadline(ring, done[i].op, (10 + i) * KULA_MILLISECOND), 0);
    }
    await_all(ring);
    for (int i = 0; i < 6; i++) {
        assert_result(done[i].result, -ETIME);
        if (i < 3) {
            outcome_release(&done[i]);
        }
    }
    retire(ring, pipes, 2);
    retire(ring, full, 2);
    retire(ring, &listener, 1);
}

static void a_queued_operation_runs_out_of_time_before_the_one_in_front(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_pipe(fds);
    struct outcome first = { 0 };
    struct outcome queued = { 0 };
    kula_buf buffer = buffer_empty(ring, 8);
    kula_read(ring, fds[0], &buffer, 8, KULA_CUR, &first);
    buffer = buffer_empty(ring, 8);
    kula_op op = kula_read(ring, fds[0], &buffer, 8, KULA_CUR, &queued);
    assert_int_equal(kula_deadline(ring, op, 10 * KULA_MILLISECOND), 0);
    await(ring, &queued);
    assert_result(queued.result, -ETIME);
    assert_pending(ring, &first);
    put(fds[1], "first");
    await(ring, &first);
    assert_read_text(&first, "first");
    outcome_release(&first);
    outcome_release(&queued);
    retire(ring, fds, 2);
}

static void a_deadline_that_loses_the_race_changes_nothing(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_pipe(fds);
    for (int round = 0; round < 200; round++) {
        struct outcome done = { 0 };
        kula_buf buffer = buffer_empty(ring, 8);
        kula_op op = kula_read(ring, fds[0], &buffer, 8, KULA_CUR, &done);
        assert_int_equal(kula_deadline(ring, op, 3600 * KULA_SECOND), 0);
        put(fds[1], "in time");
        await(ring, &done);
        assert_read_text(&done, "in time");
        assert_int_equal(done.flags, 0);
        outcome_release(&done);
    }
    assert_int_equal(pump(ring, 2 * KULA_MILLISECOND), 0);
    retire(ring, fds, 2);
}

static void deadlines_and_data_race_to_one_end(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_pipe(fds);
    unsigned received = 0;
    unsigned sent = 0;
    for (unsigned round = 0; round < 500; round++) {
        struct outcome done = { 0 };
        kula_buf buffer = buffer_empty(ring, 1);
        kula_op op = kula_read(ring, fds[0], &buffer, 1, KULA_CUR, &done);
        assert_int_equal(kula_deadline(ring, op, (round % 50) * 4 * KULA_MICROSECOND), 0);
        pump(ring, 0);
        if (sent == received) {
            unsigned char byte = (unsigned char)sent++;
            assert_int_equal(write(fds[1], &byte, 1), 1);
        }
        await(ring, &done);
        if (done.result == 1) {
            assert_int_equal(kula_bytes(done.buffer)[0], received++ & 0xff);
        } else {
            assert_result(done.result, -ETIME);
        }
        outcome_release(&done);
    }
    retire(ring, fds, 2);
}

static void a_second_deadline_replaces_the_first(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_pipe(fds);
    struct outcome longer = { 0 };
    struct outcome shorter = { 0 };
    kula_buf buffer = buffer_empty(ring, 8);
    kula_op op = kula_read(ring, fds[0], &buffer, 8, KULA_CUR, &longer);
    assert_int_equal(kula_deadline(ring, op, 5 * KULA_MILLISECOND), 0);
    assert_int_equal(kula_deadline(ring, op, 3600 * KULA_SECOND), 0);
    pump(ring, 10 * KULA_MILLISECOND);
    pump(ring, 10 * KULA_MILLISECOND);
    assert_int_equal(longer.events, 0);
    assert_int_equal(kula_deadline(ring, op, 5 * KULA_MILLISECOND), 0); /* while it runs */
    await(ring, &longer);
    assert_result(longer.result, -ETIME);
    op = kula_timer(ring, 3600 * KULA_SECOND, &shorter);
    assert_int_equal(kula_deadline(ring, op, 1800 * KULA_SECOND), 0);
    assert_int_equal(kula_deadline(ring, op, 0), 0);
    await(ring, &shorter);
    assert_result(shorter.result, -ETIME);
    outcome_release(&longer);
    retire(ring, fds, 2);
}

static void a_deadline_of_nothing_stops_what_would_wait(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_pipe(fds);
    struct outcome done = { 0 };
    kula_buf buffer = buffer_empty(ring, 8);
    kula_op op = kula_read(ring, fds[0], &buffer, 8, KULA_CUR, &done);
    assert_int_equal(kula_deadline(ring, op, 0), 0);
    await(ring, &done);
    assert_result(done.result, -ETIME);
    outcome_release(&done);
    retire(ring, fds, 2);
}

static void impossible_deadlines_are_refused(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome done = { 0 };
    kula_op op = kula_timer(ring, 3600 * KULA_SECOND, &done);
    assert_result(kula_deadline(ring, op, -1), -EINVAL);
    assert_result(kula_deadline(ring, op, INT64_MIN), -EINVAL);
    assert_result(kula_deadline(ring, 0, 1), -ENOENT);
    assert_int_equal(kula_deadline(ring, op, INT64_MAX), 0);
    assert_pending(ring, &done);
    assert_int_equal(kula_cancel(ring, op), 0);
    await(ring, &done);
    assert_result(done.result, -ECANCELED);
    assert_result(kula_deadline(ring, op, 1), -ENOENT);
}

static void a_cancelled_operation_is_not_one_whose_time_was_up(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_pipe(fds);
    struct outcome done = { 0 };
    kula_buf buffer = buffer_empty(ring, 8);
    kula_op op = kula_read(ring, fds[0], &buffer, 8, KULA_CUR, &done);
    assert_int_equal(kula_deadline(ring, op, 3600 * KULA_SECOND), 0);
    assert_pending(ring, &done);
    assert_int_equal(kula_cancel(ring, op), 0);
    await(ring, &done);
    assert_result(done.result, -ECANCELED);
    outcome_release(&done);
    retire(ring, fds, 2);
}

static void a_chain_is_cancelled_when_its_head_runs_out_of_time(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_pipe(fds);
    struct outcome head = { 0 };
    struct outcome tail = { 0 };
    kula_buf buffer = buffer_empty(ring, 8);
    kula_op first = kula_read(ring, fds[0], &buffer, 8, KULA_CUR, &head);
    kula_op second = kula_nop(ring, &tail);
    assert_int_equal(kula_after(ring, second, first), 0);
    assert_int_equal(kula_deadline(ring, first, 5 * KULA_MILLISECOND), 0);
    await_all(ring);
    assert_result(head.result, -ETIME);
    assert_result(tail.result, -ECANCELED);
    outcome_release(&head);
    retire(ring, fds, 2);
}

static void a_waiting_link_runs_out_of_time_by_itself(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome head = { 0 };
    struct outcome tail = { 0 };
    kula_op first = kula_timer(ring, 3600 * KULA_SECOND, &head);
    kula_op second = kula_nop(ring, &tail);
    assert_int_equal(kula_after(ring, second, first), 0);
    assert_int_equal(kula_deadline(ring, second, 5 * KULA_MILLISECOND), 0);
    await(ring, &tail);
    assert_result(tail.result, -ETIME);
    assert_int_equal(head.events, 0);
    kula_cancel(ring, first);
    await_all(ring);
}

static void a_call_that_cannot_be_stopped_is_marked_late(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    if (harness_backend_is("blocking")) {
        SKIP_BECAUSE("the blocking backend runs functions in place, at the flush");
    }
    struct gate gate = GATE_CLOSED(5);
    struct outcome done = { 0 };
    kula_op op = kula_offload(ring, gate_pass, &gate, &done);
    assert_true(kula_submit(ring) >= 0);
    gate_await_entered(&gate, 1);
    assert_int_equal(kula_deadline(ring, op, KULA_MILLISECOND), 0);
    assert_pending(ring, &done);
    gate_open(&gate);
    await(ring, &done);
    assert_result(done.result, 5);
    assert_int_equal(done.flags, KULA_EVENT_LATE);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(a_receive_whose_time_is_up_ends_in_etime_with_its_buffer),
        PROVES(every_kind_of_waiting_can_run_out_of_time),
        PROVES(a_queued_operation_runs_out_of_time_before_the_one_in_front),
        PROVES(a_deadline_that_loses_the_race_changes_nothing),
        PROVES(deadlines_and_data_race_to_one_end),
        PROVES(a_second_deadline_replaces_the_first),
        PROVES(a_deadline_of_nothing_stops_what_would_wait),
        PROVES(impossible_deadlines_are_refused),
        PROVES(a_cancelled_operation_is_not_one_whose_time_was_up),
        PROVES(a_chain_is_cancelled_when_its_head_runs_out_of_time),
        PROVES(a_waiting_link_runs_out_of_time_by_itself),
        PROVES(a_call_that_cannot_be_stopped_is_marked_late),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
