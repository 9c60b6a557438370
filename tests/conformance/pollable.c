/* One descriptor that is readable exactly while there are events to be had. */
#include "support/gate.h"
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <unistd.h>

/* Sleeps in poll(2) as a foreign loop does, and says whether the ring's descriptor woke it. */
static bool poll_wakes(struct kula_ring *ring, int64_t limit_ns)
{
    struct pollfd entry = { .fd = kula_pollable(ring), .events = POLLIN };
    assert_true(kula_submit(ring) >= 0);
    return poll(&entry, 1, (int)(limit_ns / KULA_MILLISECOND)) == 1 && (entry.revents & POLLIN);
}

static unsigned pull_all(struct kula_ring *ring)
{
    unsigned pulled = 0;
    assert_true(kula_wait(ring, 0) >= 0);
    for (struct kula_event *event; (event = kula_next(ring));) {
        outcome_store(event);
        pulled++;
    }
    return pulled;
}

/* Runs the foreign loop until the outcome is there; without the descriptor it would hang. */
static void drive(struct kula_ring *ring, const struct outcome *done)
{
    int64_t limit = harness_now_ns() + PATIENCE_NS;
    while (done->events == 0) {
        assert_true(poll_wakes(ring, PATIENCE_NS));
        pull_all(ring);
        assert_true(harness_now_ns() < limit);
    }
}

static void assert_quiet(struct kula_ring *ring)
{
    /* Wake-ups may be left over from what was pulled already, and the kernel signals some of them
     * late (eventfd by RCU callback, 6.18: tens of milliseconds on a loaded machine); but they come
     * to an end. */
    for (int left_over = 0; left_over < 200; left_over++) {
        if (!poll_wakes(ring, 5 * KULA_MILLISECOND)) {
            return;
        }
        assert_int_equal(pull_all(ring), 0);
    }
    fail_msg("the descriptor is readable again and again, and there is nothing to be had");
}

static void nothing_to_be_had_is_not_readable(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_pipe(fds);
    struct outcome read = { 0 };
    struct outcome timer = { 0 };
    assert_true(kula_pollable(ring) >= 0);
    assert_quiet(ring);
    kula_buf buffer = buffer_empty(ring, 4);
    kula_read(ring, fds[0], &buffer, 4, KULA_CUR, &read);
    kula_timer(ring, 3600 * KULA_SECOND, &timer);
    assert_quiet(ring);
    kula_cancel_all(ring);
    drive(ring, &read);
    drive(ring, &timer);
    outcome_release(&read);
    assert_quiet(ring);
    retire(ring, fds, 2);
}

static void data_on_a_socket_makes_it_readable(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_stream_pair(AF_UNIX, fds);
    assert_true(kula_pollable(ring) >= 0);
    for (int round = 0; round < 100; round++) {
        struct outcome done = { 0 };
        kula_buf buffer = buffer_empty(ring, 4);
        kula_recv(ring, fds[0], &buffer, 4, 0, &done);
        assert_true(kula_submit(ring) >= 0);
        put(fds[1], "data");
        drive(ring, &done);
        assert_read_text(&done, "data");
        outcome_release(&done);
    }
    assert_quiet(ring);
    retire(ring, fds, 2);
}

static void a_timer_makes_it_readable(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    assert_true(kula_pollable(ring) >= 0);
    for (int round = 0; round < 10; round++) {
        struct outcome far = { 0 };
        struct outcome near = { 0 };
        int64_t start = harness_now_ns();
        kula_op op = kula_timer(ring, 3600 * KULA_SECOND, &far);
        assert_true(kula_submit(ring) >= 0);
        kula_timer(ring, 3 * KULA_MILLISECOND, &near); /* earlier than what is armed */
        drive(ring, &near);
        assert_true(harness_now_ns() - start >= 3 * KULA_MILLISECOND);
        kula_cancel(ring, op);
        drive(ring, &far);
    }
    assert_quiet(ring);
}

static void a_deadline_makes_it_readable(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_pipe(fds);
    struct outcome done = { 0 };
    assert_true(kula_pollable(ring) >= 0);
    kula_buf buffer = buffer_empty(ring, 4);
    kula_op op = kula_read(ring, fds[0], &buffer, 4, KULA_CUR, &done);
    assert_int_equal(kula_deadline(ring, op, 5 * KULA_MILLISECOND), 0);
    drive(ring, &done);
    assert_result(done.result, -ETIME);
    outcome_release(&done);
    assert_quiet(ring);
    retire(ring, fds, 2);
}

static void a_worker_makes_it_readable(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("file");
    struct gate gate = GATE_CLOSED(3);
    gate_open(&gate);
    assert_true(kula_pollable(ring) >= 0);
    for (int round = 0; round < 50; round++) {
        struct outcome offloaded = { 0 };
        struct outcome read = { 0 };
        struct outcome synced = { 0 };
        kula_offload(ring, gate_pass, &gate, &offloaded);
        kula_buf buffer = buffer_empty(ring, 4);
        kula_read(ring, fd, &buffer, 4, 0, &read);
        kula_fsync(ring, fd, &synced);
        drive(ring, &offloaded);
        drive(ring, &read);
        drive(ring, &synced);
        assert_result(offloaded.result, 3);
        assert_read_text(&read, "file");
        outcome_release(&read);
    }
    assert_quiet(ring);
    retire(ring, &fd, 1);
}

static void a_refused_operation_makes_it_readable(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    assert_true(kula_pollable(ring) >= 0);
    for (int round = 0; round < 20; round++) {
        struct outcome done = { 0 };
        kula_buf buffer = buffer_empty(ring, 4);
        kula_read(ring, -1, &buffer, 4, 0, &done);
        drive(ring, &done);
        assert_result(done.result, -EBADF);
        outcome_release(&done);
    }
    assert_quiet(ring);
}

static void an_event_that_is_left_keeps_it_readable(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    assert_true(kula_pollable(ring) >= 0);
    for (int i = 0; i < 3; i++) {
        kula_nop(ring, NULL);
    }
    assert_true(poll_wakes(ring, PATIENCE_NS));
    assert_true(kula_wait(ring, 0) > 0);
    assert_non_null(kula_next(ring));
    assert_true(poll_wakes(ring, PATIENCE_NS)); /* two are left */
    unsigned pulled = 1;
    while (pulled < 3) {
        assert_true(kula_wait(ring, PATIENCE_NS) > 0);
        while (kula_next(ring)) {
            pulled++;
        }
    }
    assert_quiet(ring);
}

struct messenger {
    pthread_t thread;
    struct kula_ring *ring;
    void *pointer;
};

static void *post_later(void *arg)
{
    struct messenger *messenger = arg;
    harness_sleep_ns(2 * KULA_MILLISECOND);
    kula_post(messenger->ring, NULL, 11, messenger->pointer);
    return NULL;
}

static void *wake_later(void *arg)
{
    struct messenger *messenger = arg;
    harness_sleep_ns(2 * KULA_MILLISECOND);
    kula_wake(messenger->ring);
    return NULL;
}

static void a_message_makes_it_readable(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    assert_true(kula_pollable(ring) >= 0);
    for (int round = 0; round < 20; round++) {
        struct outcome done = { 0 };
        struct messenger messenger = { .ring = ring, .pointer = &done };
        assert_int_equal(pthread_create(&messenger.thread, NULL, post_later, &messenger), 0);
        drive(ring, &done);
        pthread_join(messenger.thread, NULL);
        assert_result(done.result, 11);
    }
    assert_quiet(ring);
}

static void a_wake_makes_it_readable(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    assert_true(kula_pollable(ring) >= 0);
    for (int round = 0; round < 20; round++) {
        struct messenger messenger = { .ring = ring };
        assert_int_equal(pthread_create(&messenger.thread, NULL, wake_later, &messenger), 0);
        assert_true(poll_wakes(ring, PATIENCE_NS));
        assert_int_equal(pull_all(ring), 0);
        pthread_join(messenger.thread, NULL);
    }
    assert_quiet(ring);
}

static void what_happened_before_it_was_asked_for_makes_it_readable(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_stream_pair(AF_UNIX, fds);
    struct outcome read = { 0 };
    struct outcome refused = { 0 };
    kula_buf buffer = buffer_empty(ring, 4);
    kula_recv(ring, fds[0], &buffer, 4, 0, &read);
    kula_timer(ring, -1, &refused);
    assert_true(kula_submit(ring) >= 0);
    put(fds[1], "data");
    assert_true(kula_pollable(ring) >= 0);
    drive(ring, &read);
    drive(ring, &refused);
    outcome_release(&read);
    retire(ring, fds, 2);
}

static void an_edge_triggered_foreign_loop_misses_nothing(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_stream_pair(AF_UNIX, fds);
    int loop = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event wanted = { .events = EPOLLIN | EPOLLET };
    assert_int_equal(epoll_ctl(loop, EPOLL_CTL_ADD, kula_pollable(ring), &wanted), 0);
    for (int round = 0; round < 200; round++) {
        struct outcome read = { 0 };
        struct outcome timer = { 0 };
        kula_buf buffer = buffer_empty(ring, 4);
        kula_recv(ring, fds[0], &buffer, 4, 0, &read);
        kula_timer(ring, (round % 5) * 100 * KULA_MICROSECOND, &timer);
        assert_true(kula_submit(ring) >= 0);
        put(fds[1], "data");
        int64_t limit = harness_now_ns() + PATIENCE_NS;
        while (read.events == 0 || timer.events == 0) {
            struct epoll_event event;
            assert_true(kula_submit(ring) >= 0);
            int woken = epoll_wait(loop, &event, 1, 60000);
            /* A ring's completion may end epoll_wait(2) with EINTR although no signal came (Linux
             * 6.18, DEFER_TASKRUN with an eventfd); any loop has to go round again then. */
            assert_true(woken == 1 || (woken < 0 && errno == EINTR));
            while (pull_all(ring) > 0) {
            }
            assert_true(harness_now_ns() < limit);
        }
        assert_read_text(&read, "data");
        outcome_release(&read);
    }
    assert_int_equal(close(loop), 0);
    retire(ring, fds, 2);
}

static void waiting_in_the_library_still_works(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_stream_pair(AF_UNIX, fds);
    assert_true(kula_pollable(ring) >= 0);
    struct outcome timer = { 0 };
    struct outcome read = { 0 };
    kula_buf buffer = buffer_empty(ring, 4);
    kula_recv(ring, fds[0], &buffer, 4, 0, &read);
    kula_timer(ring, 5 * KULA_MILLISECOND, &timer);
    await(ring, &timer);
    put(fds[1], "data");
    await(ring, &read);
    assert_read_text(&read, "data");
    outcome_release(&read);
    assert_quiet(ring);
    retire(ring, fds, 2);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(nothing_to_be_had_is_not_readable),
        PROVES(data_on_a_socket_makes_it_readable),
        PROVES(a_timer_makes_it_readable),
        PROVES(a_deadline_makes_it_readable),
        PROVES(a_worker_makes_it_readable),
        PROVES(a_refused_operation_makes_it_readable),
        PROVES(an_event_that_is_left_keeps_it_readable),
        PROVES(a_message_makes_it_readable),
        PROVES(a_wake_makes_it_readable),
        PROVES(what_happened_before_it_was_asked_for_makes_it_readable),
        PROVES(an_edge_triggered_foreign_loop_misses_nothing),
        PROVES(waiting_in_the_library_still_works),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
