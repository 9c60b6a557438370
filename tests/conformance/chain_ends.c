/* How chains end, in kula_wait and in a foreign loop: everything ends once, its event is there when it is
 * due, and what has to wait is not started by a look for events. */
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#define HOUR (3600 * KULA_SECOND)

/* Sleeps in poll(2) as a foreign loop does, and says whether the ring's descriptor woke it. */
static bool poll_wakes(struct kula_ring *ring, int64_t limit_ns)
{
    struct pollfd entry = { .fd = kula_pollable(ring), .events = POLLIN };
    assert_true(kula_submit(ring) >= 0);
    return poll(&entry, 1, (int)(limit_ns / KULA_MILLISECOND)) == 1;
}

/* Runs the foreign loop until the outcome is there; without the descriptor it would hang. */
static void drive(struct kula_ring *ring, const struct outcome *done)
{
    int64_t limit = harness_now_ns() + PATIENCE_NS;
    while (done->events == 0) {
        assert_true(poll_wakes(ring, PATIENCE_NS));
        pump(ring, 0);
        assert_true(harness_now_ns() < limit);
    }
}

/* Wake-ups may be left over, but they come to an end. */
static void assert_quiet(struct kula_ring *ring)
{
    for (int left_over = 0; left_over < 200; left_over++) {
        if (!poll_wakes(ring, 5 * KULA_MILLISECOND)) {
            return;
        }
        assert_int_equal(pump(ring, 0), 0);
    }
    fail_msg("the descriptor is readable again and again, and there is nothing to be had");
}

static void let_pass(int64_t duration_ns)
{
    int64_t over = harness_now_ns() + duration_ns;
    while (harness_now_ns() <= over) {
        harness_sleep_ns(duration_ns);
    }
}

/* Records that came home twice would be given to two operations at a time. */
static void assert_ring_is_sound(struct kula_ring *ring)
{
    struct outcome done[8] = { { 0 } };
    assert_int_equal(kula_outstanding(ring), 0);
    for (int i = 0; i < 8; i++) {
        done[i].op = kula_nop(ring, &done[i]);
        for (int before = 0; before < i; before++) {
            assert_true(done[before].op != done[i].op);
        }
    }
    await_all(ring);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(done[i].events, 1);
        assert_result(done[i].result, 0);
    }
    assert_int_equal(pump(ring, 0), 0);
    assert_int_equal(kula_outstanding(ring), 0);
}

/* The first one's end refuses the second in the same round that finds the second's deadline passed. */
static void two_timers_in_a_chain_whose_deadlines_pass_together_end_once_each(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome first = { 0 };
    struct outcome second = { 0 };
    first.op = kula_timer(ring, HOUR, &first);
    second.op = kula_timer(ring, HOUR, &second);
    assert_int_equal(kula_after(ring, second.op, first.op), 0);
    assert_int_equal(kula_deadline(ring, first.op, KULA_MILLISECOND), 0);
    assert_int_equal(kula_deadline(ring, second.op, KULA_MILLISECOND + 1), 0);
    let_pass(2 * KULA_MILLISECOND);
    await(ring, &first);
    await(ring, &second);
    assert_result(first.result, -ETIME);
    assert_true(second.result == -ETIME || second.result == -ECANCELED);
    assert_ring_is_sound(ring);
}

static void a_timer_whose_predecessor_fails_when_its_deadline_has_passed_ends_once(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_stream_pair(AF_UNIX, fds);
    struct outcome received = { 0 };
    struct outcome timer = { 0 };
    kula_buf buffer = buffer_empty(ring, 16);
    received.op = kula_recv(ring, fds[0], &buffer, 16, 0, &received);
    timer.op = kula_timer(ring, HOUR, &timer);
    assert_int_equal(kula_after(ring, timer.op, received.op), 0);
    assert_int_equal(kula_deadline(ring, timer.op, 2 * KULA_MILLISECOND), 0);
    assert_true(kula_submit(ring) >= 0);
    put(fds[1], "short"); /* less than was asked for: not well */
    let_pass(4 * KULA_MILLISECOND);
    await(ring, &received);
    await(ring, &timer);
    assert_result(received.result, 5);
    assert_true(timer.result == -ETIME || timer.result == -ECANCELED);
    outcome_release(&received);
    assert_ring_is_sound(ring);
    retire(ring, fds, 2);
}

/* Later than the timer's own time, the deadline was not in the heap, and kula_after did not find it. */
static void the_deadline_of_a_timer_counts_whether_it_comes_before_or_after_kula_after(
    void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_pipe(fds);
    struct outcome read = { 0 };
    kula_buf buffer = buffer_empty(ring, 4);
    read.op = kula_read(ring, fds[0], &buffer, 4, KULA_CUR, &read);
    for (int deadline_first = 0; deadline_first < 2; deadline_first++) {
        struct outcome timer = { 0 };
        struct outcome later = { 0 };
        timer.op = kula_timer(ring, KULA_MILLISECOND, &timer);
        if (deadline_first) {
            assert_int_equal(kula_deadline(ring, timer.op, 5 * KULA_MILLISECOND), 0);
        }
        assert_int_equal(kula_after(ring, timer.op, read.op), 0);
        if (!deadline_first) {
            assert_int_equal(kula_deadline(ring, timer.op, 5 * KULA_MILLISECOND), 0);
        }
        kula_timer(ring, 10 * KULA_MILLISECOND, &later); /* whatever the clock does: later */
        await(ring, &later);
        pump(ring, 0);
        assert_int_equal(timer.events, 1);
        assert_result(timer.result, -ETIME);
        assert_int_equal(read.events, 0);
    }
    assert_int_equal(kula_cancel(ring, read.op), 0);
    await(ring, &read);
    outcome_release(&read);
    assert_ring_is_sound(ring);
    retire(ring, fds, 2);
}

/* A chain of `length` detached operations, the first of which fails, and one at its end. */
static void make_failing_chain(struct kula_ring *ring, int length, struct outcome *last)
{
    kula_buf buffer = buffer_empty(ring, 16);
    kula_op before = kula_read(ring, -1, &buffer, 16, 0, NULL);
    for (int i = 1; i < length; i++) {
        kula_op op = kula_nop(ring, NULL);
        assert_int_equal(kula_after(ring, op, before), 0);
        assert_int_equal(kula_detach(ring, before), 0);
        before = op;
    }
    last->op = kula_nop(ring, last);
    assert_int_equal(kula_after(ring, last->op, before), 0);
    assert_int_equal(kula_detach(ring, before), 0);
}

/* A detached one has no event that would have kept the ring awake for the one that it refused. A wait
 * that sleeps brings the alarm's event. */
static void a_wait_does_not_sleep_over_what_a_detached_failure_has_cancelled(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome alarm = { 0 };
    alarm.op = kula_timer(ring, PATIENCE_NS / 2, &alarm);
    for (int length = 1; length < 30; length += 7) {
        struct outcome last = { 0 };
        make_failing_chain(ring, length, &last);
        assert_true(kula_wait(ring, PATIENCE_NS) > 0);
        pump(ring, 0);
        assert_int_equal(alarm.events, 0);
        assert_int_equal(last.events, 1);
        assert_result(last.result, -ECANCELED);
    }
    assert_int_equal(kula_cancel(ring, alarm.op), 0);
    await(ring, &alarm);
    assert_ring_is_sound(ring);
}

static void a_foreign_loop_does_not_sleep_over_what_a_detached_failure_has_cancelled(
    void **state)
{
    struct kula_ring *ring = harness_ring(state);
    assert_true(kula_pollable(ring) >= 0);
    for (int length = 1; length < 30; length += 7) {
        struct outcome last = { 0 };
        make_failing_chain(ring, length, &last);
        drive(ring, &last);
        assert_result(last.result, -ECANCELED);
    }
    assert_quiet(ring);
    assert_ring_is_sound(ring);
}

/* kula_next, when it finds nothing, prepares the ring for the foreign loop's sleep. */
static void a_look_for_events_in_a_foreign_loop_starts_nothing_that_has_to_wait(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int head[2];
    int tail[2];
    make_stream_pair(AF_UNIX, head);
    make_stream_pair(AF_UNIX, tail);
    assert_true(kula_pollable(ring) >= 0);
    struct outcome received = { 0 };
    struct outcome sent = { 0 };
    kula_buf buffer = buffer_empty(ring, 1);
    received.op = kula_recv(ring, head[0], &buffer, 1, 0, &received);
    buffer = buffer_text(ring, "after");
    sent.op = kula_send(ring, tail[0], &buffer, 5, 0, &sent);
    assert_int_equal(kula_after(ring, sent.op, received.op), 0);
    assert_null(kula_next(ring));
    expect_no_bytes(tail[1]);
    assert_true(kula_submit(ring) >= 0);
    assert_null(kula_next(ring));
    expect_no_bytes(tail[1]);
    put(head[1], "x");
    drive(ring, &sent);
    assert_read_text(&received, "x");
    assert_result(sent.result, 5);
    expect_bytes(tail[1], "after");
    expect_no_bytes(tail[1]); /* nor did it start twice */
    outcome_release(&received);
    outcome_release(&sent);
    retire(ring, head, 2);
    retire(ring, tail, 2);
}

/* The second start would go on after the first one's event, in a buffer that is the program's. */
static void what_waits_in_a_chain_is_started_once(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int head[2];
    int tail[2];
    make_stream_pair(AF_UNIX, head);
    make_stream_pair(AF_UNIX, tail);
    assert_true(kula_pollable(ring) >= 0);
    struct outcome done[2] = { { 0 } };
    kula_buf buffer = buffer_empty(ring, 16);
    done[0].op = kula_recv(ring, head[0], &buffer, 16, 0, &done[0]);
    buffer = buffer_empty(ring, 16);
    done[1].op = kula_recv(ring, tail[0], &buffer, 16, 0, &done[1]);
    assert_int_equal(kula_after(ring, done[1].op, done[0].op), 0);
    assert_int_equal(kula_option(ring, done[1].op, KULA_REGARDLESS), 0);
    assert_null(kula_next(ring));
    put(head[1], "first");
    drive(ring, &done[0]);
    pump(ring, 0);
    assert_int_equal(done[1].events, 0);
    put(tail[1], "second");
    drive(ring, &done[1]);
    assert_read_text(&done[0], "first");
    assert_read_text(&done[1], "second");
    put(tail[1], "later");
    for (int i = 0; i < 5; i++) {
        struct outcome nothing = { 0 };
        kula_nop(ring, &nothing);
        drive(ring, &nothing);
    }
    assert_true(is_readable(tail[0]));
    expect_bytes(tail[0], "later");
    assert_read_text(&done[1], "second");
    outcome_release(&done[0]);
    outcome_release(&done[1]);
    retire(ring, head, 2);
    retire(ring, tail, 2);
}

static void a_cancel_before_the_flush_outlives_a_look_for_events(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_stream_pair(AF_UNIX, fds);
    assert_true(kula_pollable(ring) >= 0);
    struct outcome received = { 0 };
    kula_buf buffer = buffer_empty(ring, 16);
    received.op = kula_recv(ring, fds[0], &buffer, 16, 0, &received);
    assert_int_equal(kula_cancel(ring, received.op), 0);
    assert_null(kula_next(ring));
    drive(ring, &received);
    assert_result(received.result, -ECANCELED);
    outcome_release(&received);
    put(fds[1], "kept");
    assert_quiet(ring);
    expect_bytes(fds[0], "kept");
    retire(ring, fds, 2);
}

/* Deadlines need a timer in the kernel; making room for it in a short queue brings completions. */
static void what_completes_while_a_foreign_loop_goes_to_sleep_wakes_it(void **state)
{
    (void)state;
    for (uint32_t entries = 1; entries <= 8; entries *= 2) {
        for (int count = 1; count <= 9; count++) {
            struct kula_ring *ring = harness_open(entries);
            struct outcome done[9] = { { 0 } };
            int fds[9][2];
            assert_true(kula_pollable(ring) >= 0);
            for (int i = 0; i < count; i++) {
                make_stream_pair(AF_UNIX, fds[i]);
                put(fds[i][1], "here");
                kula_buf buffer = buffer_empty(ring, 4);
                done[i].op = kula_recv(ring, fds[i][0], &buffer, 4, 0, &done[i]);
                assert_int_equal(kula_deadline(ring, done[i].op, HOUR), 0);
            }
            for (int i = 0; i < count; i++) {
                drive(ring, &done[i]);
                assert_read_text(&done[i], "here");
                outcome_release(&done[i]);
                retire(ring, fds[i], 2);
            }
            harness_close(&ring);
        }
    }
}

/* For want of room the descriptor stayed readable, and the foreign loop never slept. */
static void a_foreign_loop_sleeps_while_a_timer_runs_however_short_the_queue_is(void **state)
{
    (void)state;
    for (uint32_t entries = 1; entries <= 4; entries *= 2) {
        struct kula_ring *ring = harness_open(entries);
        struct outcome far = { 0 };
        struct outcome farther = { 0 };
        struct outcome near = { 0 };
        assert_true(kula_pollable(ring) >= 0);
        farther.op = kula_timer(ring, 2 * HOUR, &farther);
        assert_quiet(ring);
        far.op = kula_timer(ring, HOUR, &far); /* takes the other one's place */
        assert_quiet(ring);
        kula_timer(ring, 3 * KULA_MILLISECOND, &near);
        drive(ring, &near);
        assert_result(near.result, 0);
        assert_quiet(ring);
        assert_int_equal(far.events + farther.events, 0);
        assert_int_equal(kula_cancel(ring, far.op), 0);
        assert_int_equal(kula_cancel(ring, farther.op), 0);
        drive(ring, &far);
        drive(ring, &farther);
        assert_quiet(ring);
        harness_close(&ring);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(two_timers_in_a_chain_whose_deadlines_pass_together_end_once_each),
        PROVES(a_timer_whose_predecessor_fails_when_its_deadline_has_passed_ends_once),
        PROVES(the_deadline_of_a_timer_counts_whether_it_comes_before_or_after_kula_after),
        PROVES(a_wait_does_not_sleep_over_what_a_detached_failure_has_cancelled),
        PROVES(a_foreign_loop_does_not_sleep_over_what_a_detached_failure_has_cancelled),
        PROVES(a_look_for_events_in_a_foreign_loop_starts_nothing_that_has_to_wait),
        PROVES(what_waits_in_a_chain_is_started_once),
        PROVES(a_cancel_before_the_flush_outlives_a_look_for_events),
        PROVES(what_completes_while_a_foreign_loop_goes_to_sleep_wakes_it),
        PROVES(a_foreign_loop_sleeps_while_a_timer_runs_however_short_the_queue_is),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
