/* Timers: order, edges, many at once. */
#include "support/outcome.h"

#include <errno.h>
#include <string.h>

static void a_timer_is_never_early(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    const int64_t times[] = { 0, 1, KULA_MICROSECOND, KULA_MILLISECOND, 30 * KULA_MILLISECOND };
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        struct outcome done = { 0 };
        int64_t start = harness_now_ns();
        kula_timer(ring, times[i], &done);
        await(ring, &done);
        assert_true(harness_now_ns() - start >= times[i]);
        assert_result(done.result, 0);
        assert_int_equal(done.buffers, 0);
    }
}

static void timers_come_in_the_order_of_their_times(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome done[5] = { { 0 } };
    const int order[] = { 3, 1, 4, 0, 2 };
    for (int i = 0; i < 5; i++) {
        kula_timer(ring, (5 + 10 * order[i]) * KULA_MILLISECOND, &done[order[i]]);
    }
    await_all(ring);
    for (int i = 1; i < 5; i++) {
        assert_true(done[i - 1].place < done[i].place);
    }
}

static void timers_of_one_length_come_in_the_order_they_were_made(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    enum {
        COUNT = 100
    };
    struct outcome done[COUNT] = { { 0 } };
    for (int i = 0; i < COUNT; i++) {
        kula_timer(ring, 5 * KULA_MILLISECOND, &done[i]);
        for (int64_t now = harness_now_ns(); harness_now_ns() == now;) {
        } /* the next one counts from a later now */
    }
    harness_sleep_ns(10 * KULA_MILLISECOND);
    await_all(ring);
    for (int i = 1; i < COUNT; i++) {
        assert_true(done[i - 1].place < done[i].place);
    }
}

static void a_timer_of_nothing_is_there_at_the_next_wait(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome done = { 0 };
    kula_timer(ring, 0, &done);
    assert_null(kula_next(ring));
    assert_int_equal(pump(ring, 0), 1);
    assert_result(done.result, 0);
}

static void a_negative_time_is_refused_by_the_event(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    const int64_t times[] = { -1, -KULA_SECOND, INT64_MIN };
    for (size_t i = 0; i < 3; i++) {
        struct outcome done = { 0 };
        assert_true(kula_timer(ring, times[i], &done) != 0);
        await(ring, &done);
        assert_result(done.result, -EINVAL);
    }
}

static void a_time_beyond_all_clocks_waits(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome far[2] = { { 0 } };
    struct outcome near = { 0 };
    kula_op ops[2];
    ops[0] = kula_timer(ring, INT64_MAX, &far[0]);
    ops[1] = kula_timer(ring, INT64_MAX - 1, &far[1]);
    kula_timer(ring, KULA_MILLISECOND, &near);
    await(ring, &near);
    assert_pending(ring, &far[0]);
    assert_int_equal(far[1].events, 0);
    assert_int_equal(kula_cancel(ring, ops[0]), 0);
    assert_int_equal(kula_cancel(ring, ops[1]), 0);
    await_all(ring);
    assert_result(far[0].result, -ECANCELED);
    assert_result(far[1].result, -ECANCELED);
}

static void a_cancelled_timer_does_not_go_off(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome cancelled = { 0 };
    struct outcome after = { 0 };
    kula_op op = kula_timer(ring, 10 * KULA_MILLISECOND, &cancelled);
    kula_timer(ring, 20 * KULA_MILLISECOND, &after);
    pump(ring, 0);
    assert_int_equal(kula_cancel(ring, op), 0);
    await(ring, &cancelled);
    assert_result(cancelled.result, -ECANCELED);
    await(ring, &after);
    assert_result(after.result, 0);
    assert_true(cancelled.place < after.place);
}

static void a_thousand_timers_go_off_once_each_and_in_order(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    enum {
        COUNT = 1000
    };
    static struct outcome done[COUNT];
    static int64_t due[COUNT][2];
    memset(done, 0, sizeof done);
    unsigned random = 7;
    for (int i = 0; i < COUNT; i++) {
        random = random * 1103515245u + 12345u;
        int64_t time = random % 50000000;
        due[i][0] = harness_now_ns() + time;
        assert_true(kula_timer(ring, time, &done[i]) != 0);
        due[i][1] = harness_now_ns() + time;
    }
    await_all(ring);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(done[i].events, 1);
        assert_result(done[i].result, 0);
        for (int k = 0; k < COUNT; k++) {
            if (due[i][1] < due[k][0]) {
                assert_true(done[i].place < done[k].place);
            }
        }
    }
}

static void timers_make_nobody_else_wait(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome far = { 0 };
    struct outcome near = { 0 };
    kula_op op = kula_timer(ring, 3600 * KULA_SECOND, &far);
    kula_nop(ring, &near);
    await(ring, &near);
    assert_int_equal(far.events, 0);
    assert_int_equal(kula_outstanding(ring), 1);
    kula_cancel(ring, op);
    await_all(ring);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(a_timer_is_never_early),
        PROVES(timers_come_in_the_order_of_their_times),
        PROVES(timers_of_one_length_come_in_the_order_they_were_made),
        PROVES(a_timer_of_nothing_is_there_at_the_next_wait),
        PROVES(a_negative_time_is_refused_by_the_event),
        PROVES(a_time_beyond_all_clocks_waits),
        PROVES(a_cancelled_timer_does_not_go_off),
        PROVES(a_thousand_timers_go_off_once_each_and_in_order),
        PROVES(timers_make_nobody_else_wait),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
