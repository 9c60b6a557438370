/* A kernel that may drop completions gets no more than it has room to answer: then idle operations take all
 * the places, and still nothing that ends them is kept from the kernel. */
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum {
    ENTRIES = 8,
    IDLE = 64, /* several times what a ring of that size has places for */
    LAST = IDLE - 1,
};

static struct {
    int fds[IDLE][2];
    struct outcome done[IDLE];
} idle;

static struct kula_ring *open_small(void)
{
    struct kula_config config = harness_config();
    config.mask = "feat:nodrop";
    config.flags = KULA_CONFIG_IGNORE_ENV;
    config.entries = ENTRIES;
    struct kula_ring *ring = NULL;
    assert_result(kula_open(&config, &ring), 0);
    return ring;
}

static void fill_with_receives(struct kula_ring *ring)
{
    memset(&idle, 0, sizeof idle);
    for (int i = 0; i < IDLE; i++) {
        make_stream_pair(AF_UNIX, idle.fds[i]);
        kula_buf buffer = buffer_empty(ring, 16);
        idle.done[i].op = kula_recv(ring, idle.fds[i][0], &buffer, 16, 0, &idle.done[i]);
    }
    assert_pending(ring, &idle.done[0]);
    assert_int_equal(kula_outstanding(ring), IDLE);
}

/* Exactly one event has come for each of them, and its buffer with it. */
static void expect_end(struct outcome *done, int32_t result)
{
    assert_int_equal(done->events, 1);
    assert_result(done->result, result);
    outcome_release(done);
}

static void expect_ends(int from, int until, int32_t result)
{
    for (int i = from; i < until; i++) {
        expect_end(&idle.done[i], result);
    }
}

static void retire_all(struct kula_ring *ring)
{
    for (int i = 0; i < IDLE; i++) {
        retire(ring, idle.fds[i], 2);
    }
}

static void a_cancel_ends_the_first_and_the_last_of_them_and_the_others_receive(void **state)
{
    (void)state;
    struct kula_ring *ring = open_small();
    fill_with_receives(ring);
    assert_result(kula_cancel(ring, idle.done[0].op), 0);
    await(ring, &idle.done[0]);
    assert_result(kula_cancel(ring, idle.done[LAST].op), 0);
    await(ring, &idle.done[LAST]);
    expect_end(&idle.done[0], -ECANCELED);
    expect_end(&idle.done[LAST], -ECANCELED);
    /* of those that have no place yet, one goes to the kernel whenever another one ends */
    for (int i = LAST - 1; i > 0; i--) {
        put(idle.fds[i][1], "came");
    }
    await_all(ring);
    for (int i = 1; i < LAST; i++) {
        assert_read_text(&idle.done[i], "came");
        outcome_release(&idle.done[i]);
    }
    retire_all(ring);
    harness_close(&ring);
}

static void a_deadline_ends_the_first_and_the_last_of_them(void **state)
{
    (void)state;
    struct kula_ring *ring = open_small();
    fill_with_receives(ring);
    assert_result(kula_deadline(ring, idle.done[0].op, KULA_MILLISECOND), 0);
    assert_result(kula_deadline(ring, idle.done[LAST].op, KULA_MILLISECOND), 0);
    await(ring, &idle.done[0]);
    await(ring, &idle.done[LAST]);
    assert_int_equal(kula_outstanding(ring), IDLE - 2);
    kula_cancel_all(ring);
    await_all(ring);
    expect_end(&idle.done[0], -ETIME);
    expect_end(&idle.done[LAST], -ETIME);
    expect_ends(1, LAST, -ECANCELED);
    retire_all(ring);
    harness_close(&ring);
}

struct waker {
    struct kula_ring *ring;
    atomic_bool woken;
};

static void *wake_up(void *arg)
{
    struct waker *waker = arg;
    harness_sleep_ns(5 * KULA_MILLISECOND); /* as a rule the owner sleeps by then */
    atomic_store(&waker->woken, true);
    kula_wake(waker->ring);
    return NULL;
}

static void what_a_wake_makes_the_owner_cancel_ends(void **state)
{
    (void)state;
    struct kula_ring *ring = open_small();
    struct waker waker = { .ring = ring };
    pthread_t thread;
    fill_with_receives(ring);
    assert_int_equal(pthread_create(&thread, NULL, wake_up, &waker), 0);
    while (!atomic_load(&waker.woken)) {
        assert_result(kula_wait(ring, KULA_FOREVER), 0);
    }
    pthread_join(thread, NULL);
    for (int i = 0; i < IDLE; i += 7) {
        assert_result(kula_cancel(ring, idle.done[i].op), 0);
        await(ring, &idle.done[i]);
    }
    kula_cancel_all(ring);
    await_all(ring);
    expect_ends(0, IDLE, -ECANCELED);
    retire_all(ring);
    harness_close(&ring);
}

static void closing_their_descriptors_ends_them(void **state)
{
    (void)state;
    struct kula_ring *ring = open_small();
    struct outcome closed[IDLE] = { { 0 } };
    fill_with_receives(ring);
    for (int i = 0; i < IDLE; i++) {
        kula_close_fd(ring, idle.fds[i][0], &closed[i]);
    }
    await_all(ring);
    for (int i = 0; i < IDLE; i++) {
        assert_int_equal(closed[i].events, 1);
        assert_result(closed[i].result, 0);
        assert_true(idle.done[i].place < closed[i].place);
        expect_end(&idle.done[i], -ECANCELED);
        retire(ring, &idle.fds[i][1], 1);
    }
    harness_close(&ring);
}

static void a_ring_that_is_full_of_them_closes(void **state)
{
    (void)state;
    struct kula_ring *ring = open_small();
    fill_with_receives(ring);
    harness_close(&ring);
    for (int i = 0; i < IDLE; i++) {
        assert_int_equal(idle.done[i].events, 0); /* the library has consumed them */
        retire(harness_ring(state), idle.fds[i], 2);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(a_cancel_ends_the_first_and_the_last_of_them_and_the_others_receive),
        PROVES(a_deadline_ends_the_first_and_the_last_of_them),
        PROVES(what_a_wake_makes_the_owner_cancel_ends),
        PROVES(closing_their_descriptors_ends_them),
        PROVES(a_ring_that_is_full_of_them_closes),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
