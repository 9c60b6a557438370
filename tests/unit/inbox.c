/* The stack that other threads push on and the owner takes whole: nothing lost, nothing twice, and a
 * sleeper is always woken. */
#include "unit.h"

#include "common/ring.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#define SENDERS 4
#define EACH    5000

static int open_ring(void **state)
{
    struct kula_config config = KULA_CONFIG_INIT;
    config.backend = "strict:blocking";
    config.messages_max = 100;
    struct kula_ring *ring = NULL;
    int error = kula_open(&config, &ring);
    *state = ring;
    return error;
}

static int close_ring(void **state)
{
    struct kula_ring *ring = *state;
    return kula_close(&ring, -1);
}

struct sender {
    pthread_t thread;
    struct kula_ring *ring;
    kula_buf *buffers; /* half of the messages carry one */
    unsigned number;
};

static void *push(void *arg)
{
    struct sender *sender = arg;
    for (unsigned i = 0; i < EACH; i++) {
        if (i % 2) {
            kula_post(sender->ring, &sender->buffers[i], (int32_t)i, sender);
        } else {
            while (kula_post(sender->ring, NULL, (int32_t)i, sender) != 0) {
                struct timespec pause = { 0, 20000 };
                nanosleep(&pause, NULL);
            }
        }
    }
    return NULL;
}

/* The owner sleeps for ever each time: one wake-up that is lost, and this test hangs. */
static void four_threads_push_and_a_sleeping_owner_gets_all_of_it_in_order(void **state)
{
    struct kula_ring *ring = *state;
    static kula_buf buffers[SENDERS][EACH];
    struct sender senders[SENDERS];
    unsigned next[SENDERS] = { 0 };
    unsigned wrong = 0;
    for (unsigned s = 0; s < SENDERS; s++) {
        for (unsigned i = 1; i < EACH; i += 2) {
            buffers[s][i] = kula_alloc(ring, 64);
            kula_bytes(buffers[s][i])[0] = (unsigned char)(s * 31 + i);
        }
    }
    for (unsigned s = 0; s < SENDERS; s++) {
        senders[s] = (struct sender){ .ring = ring, .buffers = buffers[s], .number = s };
        assert_int_equal(pthread_create(&senders[s].thread, NULL, push, &senders[s]), 0);
    }
    for (unsigned pulled = 0; pulled < SENDERS * EACH;) {
        wrong += kula_wait(ring, KULA_FOREVER) < 0;
        for (struct kula_event *event; (event = kula_next(ring)); pulled++) {
            const struct sender *sender = event->user;
            unsigned i = next[sender->number]++;
            wrong += event->result != (int32_t)i;
            kula_buf buffer = kula_take(event);
            wrong += (buffer != NULL) != (i % 2 == 1);
            if (buffer) {
                wrong += kula_bytes(buffer)[0] != (unsigned char)(sender->number * 31 + i);
            }
            kula_free(&buffer);
        }
    }
    for (unsigned s = 0; s < SENDERS; s++) {
        pthread_join(senders[s].thread, NULL);
        assert_int_equal(next[s], EACH);
    }
    assert_int_equal(wrong, 0);
    assert_null(atomic_load(&ring->inbox));
}

static void what_waits_in_the_inbox_keeps_the_owner_from_sleeping(void **state)
{
    struct kula_ring *ring = *state;
    assert_int_equal(kula_post(ring, NULL, 1, NULL), 0);
    assert_false(kula__sleep_begin(ring));
    kula__sleep_end(ring);
    assert_int_equal(kula_wait(ring, 0), 1);
    assert_non_null(kula_next(ring));
    assert_null(kula_next(ring));
    assert_true(kula__sleep_begin(ring));
    kula__sleep_end(ring);
    assert_int_equal(kula_wake(ring), 0);
    assert_false(kula__sleep_begin(ring));
    kula__sleep_end(ring);
    assert_int_equal(kula_wait(ring, KULA_FOREVER), 0);
}

/* The wake-up is one signal for as many pushes as happen while the owner sleeps. */
static void many_pushes_to_one_sleeper_are_one_signal(void **state)
{
    struct kula_ring *ring = *state;
    assert_true(kula__sleep_begin(ring));
    uint64_t before = kula__fault_count("signal");
    for (int i = 0; i < 50; i++) {
        assert_int_equal(kula_post(ring, NULL, i, NULL), 0);
    }
    assert_true(kula__fault_count("signal") == before + 1);
    kula__sleep_end(ring);
    for (int i = 0; i < 50; i++) {
        assert_true(kula_wait(ring, KULA_FOREVER) >= 0);
        struct kula_event *event = kula_next(ring);
        assert_non_null(event);
        assert_int_equal(event->result, i);
    }
    assert_null(kula_next(ring));
    assert_true(kula_wait(ring, 0) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(four_threads_push_and_a_sleeping_owner_gets_all_of_it_in_order),
        cmocka_unit_test(what_waits_in_the_inbox_keeps_the_owner_from_sleeping),
        cmocka_unit_test(many_pushes_to_one_sleeper_are_one_signal),
    };
    return cmocka_run_group_tests(tests, open_ring, close_ring) == 0 ? EXIT_SUCCESS
                                                                     : EXIT_FAILURE;
}
