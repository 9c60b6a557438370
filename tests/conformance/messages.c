/* kula_post: hand to hand between rings and threads. */
#include "support/outcome.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#define SENDERS 4

static void a_message_arrives_with_its_value_and_pointer(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int target;
    const int32_t values[] = { 0, 1, -1, INT32_MAX, INT32_MIN };
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(kula_post(ring, NULL, values[i], &target), 0);
        assert_null(kula_next(ring)); /* never early */
        assert_true(kula_wait(ring, PATIENCE_NS) > 0);
        struct kula_event *event = kula_next(ring);
        assert_non_null(event);
        assert_true(event->op == 0);
        assert_int_equal(event->flags, KULA_EVENT_MESSAGE);
        assert_result(event->result, values[i]);
        assert_ptr_equal(event->user, &target);
        assert_true(kula_take(event) == NULL);
        assert_null(kula_next(ring));
    }
    assert_int_equal(kula_outstanding(ring), 0);
}

static void a_buffer_travels_with_its_content_and_window(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct kula_ring *other = harness_open(0);
    struct outcome done = { 0 };
    kula_buf buffer = buffer_text(ring, "--parcel");
    assert_int_equal(kula_window(buffer, 2), 0);
    assert_int_equal(kula_post(other, &buffer, 1, &done), 0);
    assert_true(buffer == NULL);
    await(other, &done);
    assert_int_equal(kula_capacity(done.buffer), 6);
    assert_memory_equal(kula_bytes(done.buffer), "parcel", 6);

    /* and back again, on a ring that did not make it */
    struct outcome back = { 0 };
    assert_int_equal(kula_post(ring, &done.buffer, 2, &back), 0);
    await(ring, &back);
    assert_memory_equal(kula_bytes(back.buffer), "parcel", 6);
    outcome_release(&back);
    harness_close(&other);
}

static void a_buffer_outlives_the_ring_that_made_it(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct kula_ring *other = harness_open(0);
    struct outcome done = { 0 };
    kula_buf buffer = buffer_text(other, "heirloom");
    assert_int_equal(kula_post(ring, &buffer, 0, &done), 0);
    harness_close(&other);
    await(ring, &done);
    assert_memory_equal(kula_bytes(done.buffer), "heirloom", 8);
    outcome_release(&done);
}

static void too_many_messages_are_refused_but_never_one_with_a_buffer(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct kula_config config = harness_config();
    config.messages_max = 10;
    struct kula_ring *small = NULL;
    assert_int_equal(kula_open(&config, &small), 0);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(kula_post(small, NULL, i, NULL), 0);
    }
    assert_result(kula_post(small, NULL, 10, NULL), -ENOBUFS);
    for (int i = 0; i < 30; i++) {
        kula_buf buffer = buffer_text(ring, "x");
        assert_int_equal(kula_post(small, &buffer, 100 + i, NULL), 0);
    }
    assert_result(kula_post(small, NULL, 10, NULL), -ENOBUFS);
    await_count(small, 40);
    assert_int_equal(kula_post(small, NULL, 10, NULL), 0);
    await_count(small, 1);
    harness_close(&small);
}

static void posting_to_nothing_is_refused(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    assert_result(kula_post(NULL, NULL, 0, NULL), -EINVAL);
    kula_buf buffer = buffer_empty(ring, 2 << 20);
    kula_buf alias = alias_of(buffer);
    assert_result(kula_post(NULL, &buffer, 0, NULL), -EINVAL);
    assert_true(buffer == NULL);
    assert_null(kula_bytes(alias)); /* it is in its pool again */
    assert_int_equal(kula_post(ring, NULL, 0, NULL), 0);
    await_count(ring, 1);
    harness_context(state)->misuses_expected = 3;
}

struct sender {
    pthread_t thread;
    struct kula_ring *ring;
    unsigned number;
    unsigned count;
    atomic_uint *refused;
};

static void *send_values(void *arg)
{
    struct sender *sender = arg;
    for (unsigned i = 0; i < sender->count; i++) {
        while (kula_post(sender->ring, NULL, (int32_t)i, sender) == -ENOBUFS) {
            atomic_fetch_add(sender->refused, 1);
            harness_sleep_ns(20 * KULA_MICROSECOND);
        }
        if (i % 16 == 0) {
            kula_wake(sender->ring);
        }
    }
    return NULL;
}

static void messages_of_four_threads_are_neither_lost_nor_doubled_nor_reordered(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    unsigned count = harness_sanitized() ? 5000 : 50000;
    struct sender senders[SENDERS];
    unsigned expected[SENDERS] = { 0 };
    atomic_uint refused = 0;
    unsigned pulled = 0;
    unsigned wrong = 0;
    for (unsigned i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){ .ring = ring, .number = i, .count = count };
        senders[i].refused = &refused;
        assert_int_equal(pthread_create(&senders[i].thread, NULL, send_values, &senders[i]), 0);
    }
    int64_t limit = harness_now_ns() + PATIENCE_NS;
    while (pulled < SENDERS * count && harness_now_ns() < limit) {
        wrong += kula_wait(ring, KULA_SECOND) < 0;
        for (struct kula_event *event; (event = kula_next(ring)); pulled++) {
            const struct sender *sender = event->user;
            wrong += !(event->flags & KULA_EVENT_MESSAGE);
            wrong += event->result != (int32_t)expected[sender->number]++;
        }
    }
    for (unsigned i = 0; i < SENDERS; i++) {
        pthread_join(senders[i].thread, NULL);
    }
    assert_int_equal(pulled, SENDERS * count);
    assert_int_equal(wrong, 0);
    pump(ring, 0);
    assert_int_equal(pump(ring, 0), 0);
    print_message("%u messages, %u refusals\n", pulled, atomic_load(&refused));
}

/* A thread with a ring of its own: takes what comes and sends it on. */
struct station {
    pthread_t thread;
    struct kula_ring *next;
    atomic_uintptr_t ring;
    atomic_bool stop;
    char backend[48];
    int error;
};

static void *relay(void *arg)
{
    struct station *station = arg;
    struct kula_config config = KULA_CONFIG_INIT;
    config.backend = station->backend;
    struct kula_ring *ring = NULL;
    station->error = kula_open(&config, &ring);
    if (station->error != 0) {
        return NULL;
    }
    atomic_store(&station->ring, (uintptr_t)ring);
    while (!atomic_load(&station->stop)) {
        if (kula_wait(ring, KULA_FOREVER) < 0) {
            station->error = -EIO;
            break;
        }
        for (struct kula_event *event; (event = kula_next(ring));) {
            kula_buf buffer = kula_take(event);
            if (buffer) {
                kula_bytes(buffer)[0]++;
                kula_post(station->next, &buffer, event->result + 1, event->user);
            }
        }
    }
    int closed = kula_close(&ring, -1);
    station->error = station->error ? station->error : closed;
    return NULL;
}

static void a_buffer_goes_round_through_another_thread_many_times(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    unsigned rounds = harness_sanitized() ? 500 : 5000;
    struct station station = { .next = ring };
    snprintf(station.backend, sizeof station.backend, "strict:%s", harness_backend());
    atomic_init(&station.ring, 0);
    atomic_init(&station.stop, false);
    assert_int_equal(pthread_create(&station.thread, NULL, relay, &station), 0);
    int64_t limit = harness_now_ns() + PATIENCE_NS;
    while (atomic_load(&station.ring) == 0 && harness_now_ns() < limit) {
        harness_sleep_ns(100 * KULA_MICROSECOND);
    }
    struct kula_ring *far = (struct kula_ring *)atomic_load(&station.ring);
    assert_non_null(far);
    kula_buf buffer = buffer_empty(ring, 64);
    kula_bytes(buffer)[0] = 0;
    unsigned wrong = 0;
    for (unsigned i = 0; i < rounds; i++) {
        struct outcome done = { 0 };
        wrong += kula_post(far, &buffer, (int32_t)i, &done) != 0;
        while (done.events == 0 && harness_now_ns() < limit) {
            pump(ring, KULA_SECOND);
        }
        wrong += done.result != (int32_t)i + 1 || done.buffers != 1;
        if (done.buffers != 1) {
            break;
        }
        buffer = done.buffer;
    }
    atomic_store(&station.stop, true);
    kula_wake(far);
    pthread_join(station.thread, NULL);
    assert_int_equal(wrong, 0);
    assert_int_equal(kula_bytes(buffer)[0], rounds & 0xff);
    assert_result(station.error, 0);
    kula_free(&buffer);
}

static void messages_that_nobody_pulled_are_consumed_by_the_close(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct kula_ring *other = harness_open(0);
    for (int i = 0; i < 20; i++) {
        kula_buf buffer = buffer_empty(ring, 10000);
        assert_int_equal(kula_post(other, &buffer, i, NULL), 0);
        assert_int_equal(kula_post(other, NULL, i, NULL), 0);
        if (i == 10) {
            assert_true(kula_wait(other, 0) > 0);
        }
    }
    harness_close(&other);
}

/* NULL says that no buffer travels along; an empty variable says that the program is wrong about it. */
static void posting_an_empty_variable_is_misuse_and_sends_nothing(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    if (harness_sanitized()) {
        SKIP_BECAUSE("UndefinedBehaviorSanitizer reports the empty handle itself");
    }
    kula_buf buffer = buffer_text(ring, "once");
    kula_buf *volatile same = &buffer; /* or the compiler would say so */
    assert_int_equal(kula_post(ring, same, 1, NULL), 0);
    assert_int_equal(kula_post(ring, same, 2, NULL), -EINVAL);
    assert_int_equal(kula_wait(ring, 0), 1);
    struct kula_event *event = kula_next(ring);
    assert_result(event->result, 1);
    buffer = kula_take(event);
    assert_memory_equal(kula_bytes(buffer), "once", 4);
    kula_free(&buffer);
    assert_null(kula_next(ring));
    harness_context(state)->misuses_expected = 1;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(a_message_arrives_with_its_value_and_pointer),
        PROVES(a_buffer_travels_with_its_content_and_window),
        PROVES(a_buffer_outlives_the_ring_that_made_it),
        PROVES(too_many_messages_are_refused_but_never_one_with_a_buffer),
        PROVES(posting_to_nothing_is_refused),
        PROVES(messages_of_four_threads_are_neither_lost_nor_doubled_nor_reordered),
        PROVES(a_buffer_goes_round_through_another_thread_many_times),
        PROVES(messages_that_nobody_pulled_are_consumed_by_the_close),
        PROVES(posting_an_empty_variable_is_misuse_and_sends_nothing),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
