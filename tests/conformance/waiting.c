/* kula_wait: its times, what ends it, and waking it. */
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>
#include <unistd.h>

static void looking_does_not_wait(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_pipe(fds);
    struct outcome done = { 0 };
    assert_int_equal(kula_wait(ring, 0), 0);
    kula_buf buffer = buffer_empty(ring, 4);
    kula_read(ring, fds[0], &buffer, 4, KULA_CUR, &done);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(kula_wait(ring, 0), 0);
    }
    kula_cancel_all(ring);
    await_all(ring);
    outcome_release(&done);
    retire(ring, fds, 2);
}

static void a_wait_that_finds_nothing_is_not_early(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    const int64_t times[] = { 1, 100 * KULA_MICROSECOND, 50 * KULA_MILLISECOND };
    struct outcome done = { 0 };
    for (int busy = 0; busy < 2; busy++) {
        if (busy) {
            kula_timer(ring, 3600 * KULA_SECOND, &done);
        }
        for (size_t i = 0; i < 3; i++) {
            int64_t start = harness_now_ns();
            assert_int_equal(kula_wait(ring, times[i]), 0);
            assert_true(harness_now_ns() - start >= times[i]);
        }
    }
    kula_cancel_all(ring);
    await_all(ring);
}

static void a_wait_ends_with_the_first_event(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome near = { 0 };
    struct outcome far = { 0 };
    kula_timer(ring, 3600 * KULA_SECOND, &far);
    kula_timer(ring, 5 * KULA_MILLISECOND, &near);
    assert_int_equal(kula_wait(ring, KULA_FOREVER), 1);
    struct kula_event *event = kula_next(ring);
    assert_non_null(event);
    assert_ptr_equal(event->user, &near);
    assert_null(kula_next(ring));
    kula_cancel_all(ring);
    await_all(ring);
}

static void a_wait_with_events_ready_does_not_sleep(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    kula_nop(ring, NULL);
    kula_nop(ring, NULL);
    assert_true(kula_wait(ring, KULA_FOREVER) > 0);
    assert_true(kula_wait(ring, KULA_FOREVER) > 0); /* nothing was pulled yet */
    await_all(ring);
    assert_int_equal(kula_wait(ring, 0), 0);
}

static void what_wait_promises_can_be_pulled(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    unsigned pulled = 0;
    for (int i = 0; i < 500; i++) {
        kula_nop(ring, NULL);
    }
    while (pulled < 500) {
        int ready = kula_wait(ring, PATIENCE_NS);
        assert_true(ready > 0);
        for (int i = 0; i < ready; i++) {
            assert_non_null(kula_next(ring));
            pulled++;
        }
        while (kula_next(ring)) {
            pulled++;
        }
    }
    assert_int_equal(pulled, 500);
}

struct waker {
    pthread_t thread;
    struct kula_ring *ring;
    int64_t delay_ns;
};

static void *wake_later(void *arg)
{
    struct waker *waker = arg;
    harness_sleep_ns(waker->delay_ns);
    kula_wake(waker->ring);
    return NULL;
}

static void a_wait_for_ever_ends_when_another_thread_wakes_it(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    for (int round = 0; round < 30; round++) {
        struct waker waker = { .ring = ring, .delay_ns = (round % 6) * 500 * KULA_MICROSECOND };
        struct outcome timer = { 0 };
        kula_op op = 0;
        if (round % 2) {
            op = kula_timer(ring, 3600 * KULA_SECOND, &timer);
        }
        assert_int_equal(pthread_create(&waker.thread, NULL, wake_later, &waker), 0);
        assert_int_equal(kula_wait(ring, KULA_FOREVER), 0);
        assert_null(kula_next(ring));
        pthread_join(waker.thread, NULL);
        if (op != 0) {
            kula_cancel(ring, op);
            await_all(ring);
        }
    }
}

static void a_wake_before_the_wait_is_not_lost(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    for (int round = 0; round < 100; round++) {
        assert_int_equal(kula_wake(ring), 0);
        assert_int_equal(kula_wait(ring, KULA_FOREVER), 0);
    }
    /* several may be seen as one, but not as none, and they do not pile up */
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(kula_wake(ring), 0);
    }
    assert_int_equal(kula_wait(ring, KULA_FOREVER), 0);
    int64_t start = harness_now_ns();
    assert_int_equal(kula_wait(ring, 5 * KULA_MILLISECOND), 0);
    assert_true(harness_now_ns() - start >= 5 * KULA_MILLISECOND);
}

static void a_wake_waits_for_a_wait_that_finds_no_event(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    kula_nop(ring, NULL);
    assert_int_equal(kula_wake(ring), 0);
    int ready = kula_wait(ring, KULA_FOREVER);
    if (ready == 0) {
        /* The wake-up was seen first; then it is used up and the event is still to come. */
        assert_true(kula_wait(ring, KULA_FOREVER) > 0);
        assert_non_null(kula_next(ring));
        assert_null(kula_next(ring));
    } else {
        assert_non_null(kula_next(ring));
        assert_null(kula_next(ring));
        assert_int_equal(kula_wait(ring, KULA_FOREVER), 0);
    }
}

static void waking_nothing_is_refused(void **state)
{
    (void)state;
    assert_result(kula_wake(NULL), -EINVAL);
}

static struct kula_ring *volatile ring_to_wake;
static atomic_uint handled;

static void wake_from_handler(int number)
{
    (void)number;
    int saved = errno;
    kula_wake(ring_to_wake);
    atomic_fetch_add(&handled, 1);
    errno = saved;
}

static void a_signal_handler_may_wake(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    if (harness_delays_signals() && harness_backend_is("uring")) {
        SKIP_BECAUSE("the sanitizer does not know io_uring_enter and runs no handler in it");
    }
    struct sigaction action = { .sa_handler = wake_from_handler };
    struct sigaction old;
    ring_to_wake = ring;
    atomic_store(&handled, 0);
    assert_int_equal(sigaction(SIGALRM, &action, &old), 0);
    for (int round = 0; round < 20; round++) {
        struct itimerval soon = { { 0, 0 }, { 0, 1000 + 100 * (round % 7) } };
        assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
        assert_int_equal(kula_wait(ring, KULA_FOREVER), 0);
    }
    assert_int_equal(sigaction(SIGALRM, &old, NULL), 0);
    assert_int_equal(atomic_load(&handled), 20);
}

struct hammer {
    pthread_t thread;
    struct kula_ring *ring;
    atomic_bool stop;
};

static void *hammer(void *arg)
{
    struct hammer *self = arg;
    while (!atomic_load(&self->stop)) {
        kula_wake(self->ring);
    }
    return NULL;
}

static void waking_all_the_time_loses_no_event(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct hammer self = { .ring = ring };
    int fds[2];
    make_stream_pair(AF_UNIX, fds);
    atomic_init(&self.stop, false);
    assert_int_equal(pthread_create(&self.thread, NULL, hammer, &self), 0);
    bool correct = true;
    for (int round = 0; round < 300 && correct; round++) {
        struct outcome read = { 0 };
        struct outcome timer = { 0 };
        kula_buf buffer = buffer_empty(ring, 4);
        kula_recv(ring, fds[0], &buffer, 4, 0, &read);
        kula_timer(ring, 50 * KULA_MICROSECOND, &timer);
        pump(ring, 0);
        correct = write(fds[1], "data", 4) == 4;
        int64_t limit = harness_now_ns() + PATIENCE_NS;
        while ((read.events == 0 || timer.events == 0) && harness_now_ns() < limit) {
            pump(ring, KULA_SECOND);
        }
        correct = correct && read.result == 4 && timer.events == 1;
        kula_free(&read.buffer);
    }
    atomic_store(&self.stop, true);
    pthread_join(self.thread, NULL);
    assert_true(correct);
    pump(ring, 0); /* the last wake-up */
    retire(ring, fds, 2);
}

static void two_rings_of_one_thread_do_not_disturb_each_other(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct kula_ring *other = harness_open(0);
    struct outcome mine = { 0 };
    struct outcome theirs = { 0 };
    kula_nop(ring, &mine);
    kula_nop(other, &theirs);
    kula_wake(other);
    await(ring, &mine);
    assert_int_equal(theirs.events, 0);
    await(other, &theirs);
    harness_close(&other);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(looking_does_not_wait),
        PROVES(a_wait_that_finds_nothing_is_not_early),
        PROVES(a_wait_ends_with_the_first_event),
        PROVES(a_wait_with_events_ready_does_not_sleep),
        PROVES(what_wait_promises_can_be_pulled),
        PROVES(a_wait_for_ever_ends_when_another_thread_wakes_it),
        PROVES(a_wake_before_the_wait_is_not_lost),
        PROVES(a_wake_waits_for_a_wait_that_finds_no_event),
        PROVES(waking_nothing_is_refused),
        PROVES(a_signal_handler_may_wake),
        PROVES(waking_all_the_time_loses_no_event),
        PROVES(two_rings_of_one_thread_do_not_disturb_each_other),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
