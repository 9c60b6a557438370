/* Functions of the program, run away from the ring. */
#include "support/gate.h"
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

static int32_t give(void *arg)
{
    return *(int32_t *)arg;
}

static void the_result_is_what_the_function_returned(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int32_t values[] = { 0, 1, INT32_MAX, -1, -EAGAIN, -EINTR, INT32_MIN };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        struct outcome done = { 0 };
        kula_offload(ring, give, &values[i], &done);
        await(ring, &done);
        assert_result(done.result, values[i]);
        assert_int_equal(done.flags, 0);
    }
}

static int32_t note_thread(void *arg)
{
    *(pthread_t *)arg = pthread_self();
    return 0;
}

static void the_function_runs_where_the_header_says(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome done = { 0 };
    pthread_t ran = pthread_self();
    kula_offload(ring, note_thread, &ran, &done);
    await(ring, &done);
    bool here = pthread_equal(ran, pthread_self()) != 0;
    assert_int_equal(here, harness_backend_is("blocking"));
}

static int32_t count(void *arg)
{
    atomic_fetch_add((atomic_uint *)arg, 1);
    return 0;
}

static void every_function_runs_exactly_once(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    enum {
        COUNT = 2000
    };
    atomic_uint runs = 0;
    for (int i = 0; i < COUNT; i++) {
        kula_offload(ring, count, &runs, NULL);
        if (i % 100 == 99) {
            assert_true(kula_submit(ring) >= 0);
        }
    }
    await_all(ring);
    assert_int_equal(atomic_load(&runs), COUNT);
}

static void functions_that_wait_do_not_hold_up_the_rest(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    if (harness_backend_is("blocking")) {
        SKIP_BECAUSE("the blocking backend runs functions in place");
    }
    struct gate gate = GATE_CLOSED(0);
    int file = make_file("file");
    int fds[2];
    make_stream_pair(AF_UNIX, fds);
    struct outcome done[3] = { { 0 } };
    struct outcome read = { 0 };
    struct outcome received = { 0 };
    for (int i = 0; i < 3; i++) {
        kula_offload(ring, gate_pass, &gate, &done[i]);
    }
    assert_true(kula_submit(ring) >= 0);
    gate_await_entered(&gate, 3);
    kula_buf buffer = buffer_empty(ring, 4);
    kula_read(ring, file, &buffer, 4, 0, &read);
    buffer = buffer_empty(ring, 4);
    kula_recv(ring, fds[0], &buffer, 4, 0, &received);
    put(fds[1], "sock");
    await(ring, &read);
    await(ring, &received);
    assert_read_text(&read, "file");
    assert_read_text(&received, "sock");
    gate_open(&gate);
    await_all(ring);
    outcome_release(&read);
    outcome_release(&received);
    retire(ring, fds, 2);
    retire(ring, &file, 1);
}

/* Calls that may wait for ever never get all the threads, and what waits for a worker can still be
 * cancelled. */
static void a_function_that_waits_for_a_worker_can_be_cancelled(void **state)
{
    (void)state;
    if (harness_backend_is("blocking")) {
        SKIP_BECAUSE("the blocking backend runs functions in place");
    }
    struct kula_config config = harness_config();
    config.threads_max = 1;
    struct kula_ring *ring = NULL;
    assert_int_equal(kula_open(&config, &ring), 0);
    struct gate gate = GATE_CLOSED(1);
    atomic_uint runs = 0;
    struct outcome inside = { 0 };
    struct outcome waiting[3] = { { 0 } };
    kula_op ops[3];
    kula_offload(ring, gate_pass, &gate, &inside);
    assert_true(kula_submit(ring) >= 0);
    gate_await_entered(&gate, 1);
    for (int i = 0; i < 3; i++) {
        ops[i] = kula_offload(ring, count, &runs, &waiting[i]);
    }
    assert_pending(ring, &waiting[0]);
    assert_int_equal(kula_cancel(ring, ops[1]), 0);
    await(ring, &waiting[1]);
    assert_result(waiting[1].result, -ECANCELED);
    gate_open(&gate);
    await_all(ring);
    assert_int_equal(atomic_load(&runs), 2);
    assert_result(inside.result, 1);
    assert_result(waiting[0].result, 0);
    assert_result(waiting[2].result, 0);
    harness_close(&ring);
}

struct call {
    struct kula_ring *ring;
    int wait;
    int submit;
    int close;
    int wake;
    int post;
};

static int32_t call_the_library(void *arg)
{
    struct call *call = arg;
    struct kula_ring *ring = call->ring;
    call->submit = kula_submit(ring);
    call->wait = kula_wait(ring, 0);
    call->close = kula_close(&ring, 0);
    call->wake = kula_wake(ring);
    call->post = kula_post(ring, NULL, 5, NULL);
    return 0;
}

/* From a worker it is the wrong thread, in place it is a call from inside: refused both ways. */
static void a_function_may_not_drive_the_ring_but_may_wake_and_post(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct call call = { .ring = ring };
    struct outcome done = { 0 };
    kula_offload(ring, call_the_library, &call, &done);
    int64_t limit = harness_now_ns() + PATIENCE_NS;
    unsigned messages = 0;
    while ((done.events == 0 || messages == 0) && harness_now_ns() < limit) {
        assert_true(kula_wait(ring, KULA_SECOND) >= 0);
        for (struct kula_event *event; (event = kula_next(ring));) {
            if (event->flags & KULA_EVENT_MESSAGE) {
                assert_result(event->result, 5);
                messages++;
            } else {
                outcome_store(event);
            }
        }
    }
    assert_result(call.submit, -EDEADLK);
    assert_result(call.wait, -EDEADLK);
    assert_result(call.close, -EDEADLK);
    assert_result(call.wake, 0);
    assert_result(call.post, 0);
    assert_int_equal(messages, 1);
    harness_context(state)->misuses_expected = 3;
}

static void a_function_takes_its_place_in_a_chain(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome done[4] = { { 0 } };
    int32_t good = 1;
    int32_t bad = -EIO;
    kula_op first = kula_offload(ring, give, &good, &done[0]);
    kula_op second = kula_offload(ring, give, &bad, &done[1]);
    kula_op third = kula_offload(ring, give, &good, &done[2]);
    assert_int_equal(kula_after(ring, second, first), 0);
    assert_int_equal(kula_after(ring, third, second), 0);
    await_all(ring);
    assert_result(done[0].result, 1);
    assert_result(done[1].result, -EIO);
    assert_result(done[2].result, -ECANCELED);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(the_result_is_what_the_function_returned),
        PROVES(the_function_runs_where_the_header_says),
        PROVES(every_function_runs_exactly_once),
        PROVES(functions_that_wait_do_not_hold_up_the_rest),
        PROVES(a_function_that_waits_for_a_worker_can_be_cancelled),
        PROVES(a_function_may_not_drive_the_ring_but_may_wake_and_post),
        PROVES(a_function_takes_its_place_in_a_chain),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
