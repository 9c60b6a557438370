/* What could corrupt memory is refused at run time, reported once through the hook, and loses
 * nothing. The compiler catches most of this; here the handles go where it cannot follow. */
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static void a_stale_alias_is_refused_after_the_buffer_came_back(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("content");
    struct outcome done = { 0 };
    kula_buf buffer = buffer_empty(ring, 16);
    kula_buf alias = alias_of(buffer);
    kula_read(ring, fd, &buffer, 7, 0, &done);
    await(ring, &done);
    kula_buf again = alias_of(alias);
    assert_true(kula_write(ring, fd, &again, 1, 0, NULL) == 0);
    again = alias_of(alias);
    kula_free(&again);
    assert_null(kula_bytes(alias));
    assert_read_text(&done, "content");
    expect_content(fd, "content");
    assert_int_equal(kula_outstanding(ring), 0);
    harness_context(state)->misuses_expected = 3;
    outcome_release(&done);
    retire(ring, &fd, 1);
}

static void a_freed_buffer_is_refused_by_every_call(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("content");
    kula_buf buffer = buffer_empty(ring, 16);
    kula_buf alias = alias_of(buffer);
    kula_free(&buffer);
    assert_null(kula_bytes(alias));
    assert_int_equal(kula_capacity(alias), 0);
    assert_result(kula_window(alias, 0), -EBADF);
    kula_buf again = alias_of(alias);
    assert_true(kula_read(ring, fd, &again, 1, 0, NULL) == 0);
    again = alias_of(alias);
    assert_result(kula_post(ring, &again, 0, NULL), -EINVAL);
    again = alias_of(alias);
    kula_free(&again);
    harness_context(state)->misuses_expected = 6;
    assert_int_equal(kula_outstanding(ring), 0);
    retire(ring, &fd, 1);
}

static void a_name_from_before_the_memory_was_given_out_again_is_refused(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    kula_buf first = buffer_empty(ring, 64);
    kula_buf alias = alias_of(first);
    const unsigned char *memory = kula_bytes(first);
    kula_free(&first);
    /* The same slot and the same memory under a new name. */
    kula_buf second = buffer_text(ring, "a second life");
    for (int i = 0; i < 1000 && kula_bytes(second) != memory; i++) {
        kula_free(&second);
        second = buffer_text(ring, "a second life");
    }
    unsigned before = harness_misuses();
    assert_null(kula_bytes(alias));
    kula_free(&alias);
    assert_int_equal(harness_misuses(), before + 2);
    assert_memory_equal(kula_bytes(second), "a second life", 13);
    kula_free(&second);
    harness_context(state)->misuses_expected = before + 2;
}

static void names_stay_different_over_very_many_lives(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    unsigned lives = harness_sanitized() ? 100000 : 1000000;
    kula_buf buffer = buffer_empty(ring, 64);
    uint64_t first = (uint64_t)(uintptr_t)buffer;
    uint64_t last = first;
    for (unsigned i = 0; i < lives; i++) {
        kula_free(&buffer);
        buffer = kula_alloc(ring, 64);
        uint64_t name = (uint64_t)(uintptr_t)buffer;
        assert_true(name != first && name != last);
        last = name;
    }
    kula_free(&buffer);
}

static void an_empty_handle_is_refused(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    kula_buf none = alias_of(NULL);
    assert_true(kula_read(ring, 0, &none, 1, 0, NULL) == 0);
    none = alias_of(NULL);
    assert_true(kula_send(ring, 0, &none, 1, 0, NULL) == 0);
    assert_null(kula_bytes(alias_of(NULL)));
    assert_int_equal(kula_capacity(alias_of(NULL)), 0);
    assert_result(kula_window(alias_of(NULL), 0), -EBADF);
    assert_int_equal(kula_outstanding(ring), 0);
    harness_context(state)->misuses_expected = 5;
}

static void the_name_of_an_operation_is_no_buffer(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fds[2];
    make_pipe(fds);
    struct outcome done = { 0 };
    kula_buf buffer = buffer_empty(ring, 8);
    kula_op op = kula_read(ring, fds[0], &buffer, 8, KULA_CUR, &done);
    kula_op timer = kula_timer(ring, 3600 * KULA_SECOND, NULL);
    const kula_op ops[] = { op, timer };
    for (int i = 0; i < 2; i++) {
        kula_buf forged = alias_of((kula_buf)(uintptr_t)ops[i]);
        assert_null(kula_bytes(forged));
        kula_free(&forged);
    }
    assert_pending(ring, &done);
    kula_cancel_all(ring);
    await_all(ring);
    outcome_release(&done);
    harness_context(state)->misuses_expected = 4;
    retire(ring, fds, 2);
}

static void a_buffer_is_taken_once(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("x");
    kula_buf buffer = buffer_empty(ring, 1);
    kula_read(ring, fd, &buffer, 1, 0, NULL);
    assert_true(kula_wait(ring, PATIENCE_NS) > 0);
    struct kula_event *event = kula_next(ring);
    assert_non_null(event);
    struct kula_event copy = *event;
    buffer = kula_take(event);
    assert_true(buffer != NULL);
    assert_true(kula_take(event) == NULL);
    unsigned misuses = harness_misuses();
    assert_true(kula_take(&copy) == NULL);
    assert_int_equal(kula_bytes(buffer)[0], 'x');
    assert_true(harness_misuses() - misuses <= 1);
    harness_context(state)->misuses_expected = harness_misuses();
    kula_free(&buffer);
    retire(ring, &fd, 1);
}

static void a_copy_of_an_event_that_is_over_gives_nothing(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    int fd = make_file("xy");
    unsigned again = 0;
    for (unsigned round = 0; round < 20; round++) {
        kula_buf buffer = buffer_empty(ring, 1);
        kula_read(ring, fd, &buffer, 1, 0, NULL);
        assert_true(kula_wait(ring, PATIENCE_NS) > 0);
        struct kula_event *event = kula_next(ring);
        assert_non_null(event);
        struct kula_event copy = *event;
        assert_null(kula_next(ring)); /* the event is over, its buffer recycled */
        assert_true(kula_take(&copy) == NULL);
        assert_int_equal(harness_misuses(), round + 1 + again);

        /* nor does it give what has the same memory by then */
        kula_buf other = buffer_text(ring, "z");
        unsigned reported = harness_misuses();
        assert_true(kula_take(&copy) == NULL);
        assert_true(harness_misuses() <= reported + 1);
        again += harness_misuses() - reported;
        assert_int_equal(kula_bytes(other)[0], 'z');
        kula_free(&other);
    }
    harness_context(state)->misuses_expected = 20 + again;
    retire(ring, &fd, 1);
}

static void a_forged_event_gives_nothing(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    kula_buf mine = buffer_text(ring, "mine");
    struct kula_event forged = { .op = 77, .reserved = 1 };
    unsigned random = 3;
    for (int i = 0; i < 10000; i++) {
        random = random * 1103515245u + 12345u;
        forged.reserved = random >> (i % 32);
        forged.private_holder =
            i % 3 ? (uint64_t)random << (i % 40) : (uint64_t)(uintptr_t)mine;
        assert_true(kula_take(&forged) == NULL);
    }
    assert_memory_equal(kula_bytes(mine), "mine", 4);
    harness_context(state)->misuses_expected = harness_misuses();
    kula_free(&mine);
}

struct visitor {
    pthread_t thread;
    struct kula_ring *ring;
    kula_buf buffer;
    void *user;
    kula_op transfer;
    kula_op nop;
    int wait;
    int cancel;
    bool emptied;
    kula_buf allocated;
    struct kula_event *event;
    size_t outstanding;
    int forget;
};

static void *hand_over_elsewhere(void *arg)
{
    struct visitor *self = arg;
    self->transfer = kula_read(self->ring, 0, &self->buffer, 4, 0, self->user);
    self->emptied = self->buffer == NULL;
    self->nop = kula_nop(self->ring, NULL);
    self->wait = kula_wait(self->ring, 0);
    self->cancel = kula_cancel_all(self->ring);
    self->allocated = kula_alloc(self->ring, 64);
    self->event = kula_next(self->ring);
    self->outstanding = kula_outstanding(self->ring);
    self->forget = kula_forget_fd(self->ring, 0);
    return NULL;
}

static void a_buffer_handed_over_on_another_thread_comes_out_on_the_owners(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct outcome done = { 0 };
    struct visitor visitor = { .ring = ring, .user = &done };
    visitor.buffer = buffer_text(ring, "safe");
    assert_int_equal(pthread_create(&visitor.thread, NULL, hand_over_elsewhere, &visitor), 0);
    pthread_join(visitor.thread, NULL);
    assert_true(visitor.emptied);
    assert_true(visitor.nop == 0);
    assert_result(visitor.wait, -EPERM);
    assert_result(visitor.cancel, -EPERM);
    assert_true(visitor.allocated == NULL);
    assert_null(visitor.event);
    assert_int_equal(visitor.outstanding, 0);
    assert_result(visitor.forget, -EPERM);
    await(ring, &done);
    assert_result(done.result, -EPERM);
    assert_memory_equal(kula_bytes(done.buffer), "safe", 4);
    outcome_release(&done);
    assert_int_equal(kula_outstanding(ring), 0);
    assert_int_equal(harness_misuses(), 8);
    harness_context(state)->misuses_expected = 8;
}

static void a_wait_for_ever_hears_of_what_another_thread_handed_over(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    for (int round = 0; round < 20; round++) {
        struct outcome done = { 0 };
        struct visitor visitor = { .ring = ring, .user = &done };
        visitor.buffer = buffer_text(ring, "safe");
        assert_int_equal(pthread_create(&visitor.thread, NULL, hand_over_elsewhere, &visitor),
                         0);
        int64_t limit = harness_now_ns() + PATIENCE_NS;
        while (done.events == 0 && harness_now_ns() < limit) {
            pump(ring, PATIENCE_NS);
        }
        pthread_join(visitor.thread, NULL);
        assert_result(done.result, -EPERM);
        outcome_release(&done);
    }
    harness_context(state)->misuses_expected = 20 * 8;
}

/* Each racer has a ring of its own: it is the buffer that they fight for. */
struct racer {
    pthread_t thread;
    pthread_barrier_t *start;
    const char *backend;
    int rounds;
    const uint64_t *handle;
    atomic_uint_fast64_t *came_home;
    atomic_int *winners;
    atomic_int *returned;
    int error;
};

static void *race(void *arg)
{
    struct racer *self = arg;
    struct kula_config config = KULA_CONFIG_INIT;
    config.backend = self->backend;
    struct kula_ring *ring = NULL;
    self->error = kula_open(&config, &ring);
    for (int round = 0; round < self->rounds; round++) {
        pthread_barrier_wait(self->start); /* the handle is there */
        pthread_barrier_wait(self->start);
        kula_buf mine = (kula_buf)(uintptr_t)*self->handle;
        if (ring && kula_read(ring, -1, &mine, 1, 0, NULL) != 0) {
            atomic_fetch_add(self->winners, 1);
            while (kula_outstanding(ring) > 0 && kula_wait(ring, PATIENCE_NS) > 0) {
                for (struct kula_event *event; (event = kula_next(ring));) {
                    mine = kula_take(event);
                    if (mine) {
                        atomic_store(self->came_home, (uint64_t)(uintptr_t)mine);
                        atomic_fetch_add(self->returned, 1);
                    }
                }
            }
        }
        pthread_barrier_wait(self->start); /* this round is over */
    }
    int closed = ring ? kula_close(&ring, -1) : 0;
    self->error = self->error ? self->error : closed;
    return NULL;
}

static void of_two_threads_that_hand_over_one_buffer_exactly_one_wins(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    enum {
        ROUNDS = 200
    };
    static char backend[48];
    snprintf(backend, sizeof backend, "strict:%s", harness_backend());
    pthread_barrier_t start;
    pthread_barrier_init(&start, NULL, 3);
    uint64_t handle = 0;
    atomic_uint_fast64_t came_home = 0;
    atomic_int winners;
    atomic_int returned;
    struct racer racers[2];
    for (int i = 0; i < 2; i++) {
        racers[i] = (struct racer){ .start = &start,
                                    .backend = backend,
                                    .rounds = ROUNDS,
                                    .handle = &handle,
                                    .came_home = &came_home,
                                    .winners = &winners,
                                    .returned = &returned };
        assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
    }
    int wrong = 0;
    for (int round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&start);
        kula_buf buffer = kula_alloc(ring, 1);
        handle = (uint64_t)(uintptr_t)buffer;
        atomic_store(&winners, 0);
        atomic_store(&returned, 0);
        pthread_barrier_wait(&start);
        pthread_barrier_wait(&start);
        wrong += atomic_load(&winners) != 1 || atomic_load(&returned) != 1;
        buffer = (kula_buf)(uintptr_t)atomic_load(&came_home);
        kula_free(&buffer);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(racers[i].thread, NULL);
        assert_result(racers[i].error, 0);
    }
    pthread_barrier_destroy(&start);
    assert_int_equal(wrong, 0);
    assert_int_equal(harness_misuses(), ROUNDS);
    harness_context(state)->misuses_expected = ROUNDS;
}

static void a_null_ring_is_refused_and_costs_no_buffer(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct kula_ring *volatile none = NULL;
    kula_buf buffer = buffer_text(ring, "kept");
    kula_buf alias = alias_of(buffer);
    assert_true(kula_nop(none, NULL) == 0);
    assert_true(kula_timer(none, 0, NULL) == 0);
    assert_true(kula_alloc(none, 1) == NULL);
    assert_null(kula_next(none));
    assert_true(kula_wait(none, 0) < 0);
    assert_true(kula_submit(none) < 0);
    assert_int_equal(kula_outstanding(none), 0);
    assert_string_equal(kula_backend_name(none), "");
    assert_true(kula_read(none, 0, &buffer, 1, 0, NULL) == 0);
    assert_true(harness_misuses() >= 6);
    harness_context(state)->misuses_expected = harness_misuses();
    /* "No buffer is at stake": the name still works. */
    buffer = alias_of(alias);
    if (kula_bytes(buffer)) {
        kula_free(&buffer);
    }
    harness_context(state)->misuses_expected = harness_misuses();
}

static void misuse_is_counted_and_described(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    uint64_t before = kula_misuse_count();
    kula_buf buffer = buffer_empty(ring, 1);
    kula_buf alias = alias_of(buffer);
    kula_free(&buffer);
    kula_free(&alias);
    assert_true(kula_misuse_count() == before + 1);
    assert_non_null(strstr(harness_last_misuse(), "kula_free"));
    harness_context(state)->misuses_expected = 1;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(a_stale_alias_is_refused_after_the_buffer_came_back),
        PROVES(a_freed_buffer_is_refused_by_every_call),
        PROVES(a_name_from_before_the_memory_was_given_out_again_is_refused),
        PROVES(names_stay_different_over_very_many_lives),
        PROVES(an_empty_handle_is_refused),
        PROVES(the_name_of_an_operation_is_no_buffer),
        PROVES(a_buffer_is_taken_once),
        PROVES(a_copy_of_an_event_that_is_over_gives_nothing),
        PROVES(a_forged_event_gives_nothing),
        PROVES(a_buffer_handed_over_on_another_thread_comes_out_on_the_owners),
        PROVES(a_wait_for_ever_hears_of_what_another_thread_handed_over),
        PROVES(of_two_threads_that_hand_over_one_buffer_exactly_one_wins),
        PROVES(a_null_ring_is_refused_and_costs_no_buffer),
        PROVES(misuse_is_counted_and_described),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
