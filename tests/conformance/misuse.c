/* What could corrupt memory is refused at run time, reported once through the hook, and loses
 * nothing. The compiler catches most of this; here the handles go where it cannot follow. */
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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

/* Two threads, each with a ring of its own: it is the buffer that they fight for. What a barrier wakes
 * starts microseconds apart, and a hand-over takes nanoseconds: so they watch for each other. */
struct racer {
    _Alignas(64) atomic_uint ready;       /* for this round */
    _Alignas(64) atomic_uint handed_over; /* the last round in which it is past that */
    _Alignas(64) atomic_uint over;        /* the last round that is over for it */
    struct race *race;
    struct racer *other;
    struct kula_ring *ring;
    pthread_t thread;
    int processor; /* the how-manieth of those that the program may use */
    unsigned skew; /* its start is late by up to that, in a pattern of its own */
    int error;
    bool late; /* in this round the other one was past its hand-over before this one began */
    bool won;
    kula_buf came_home;
};

struct race {
    struct racer racers[2];
    const char *backend;
    unsigned rounds;
    uint64_t handle; /* the first racer's to write, before it is ready */
    unsigned close;  /* rounds in which both were handing over before either was past that */
    unsigned wrong;  /* the round that was not won by exactly one, and was the last; or 0 */
};

/* A processor each, also where the machine is so busy that the scheduler would put both on one. */
static void settle_on(int processor)
{
#ifdef CPU_COUNT
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) < 0) {
        return;
    }
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &allowed) && processor-- == 0) {
            CPU_ZERO(&allowed);
            CPU_SET(cpu, &allowed);
            pthread_setaffinity_np(pthread_self(), sizeof allowed, &allowed);
            return;
        }
    }
#else
    (void)processor;
#endif
}

static bool has_several_processors(void)
{
#ifdef CPU_COUNT
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) {
        return CPU_COUNT(&allowed) > 1;
    }
#endif
    return sysconf(_SC_NPROCESSORS_ONLN) > 1;
}

static void watch_for(atomic_uint *counter, unsigned value)
{
    for (unsigned looks = 0; atomic_load(counter) < value; looks++) {
        if (looks > 10000) {
            sched_yield(); /* the other one may need this processor */
        }
    }
}

static void run_round(struct racer *self, unsigned round)
{
    kula_buf mine = (kula_buf)(uintptr_t)self->race->handle;
    for (volatile unsigned left = round % self->skew; left > 0;) {
        left = left - 1;
    }
    self->late = atomic_load(&self->other->handed_over) >= round;
    self->won = kula_read(self->ring, -1, &mine, 1, 0, NULL) != 0;
    atomic_store(&self->handed_over, round);
    self->came_home = NULL;
    while (self->won && !self->came_home && kula_outstanding(self->ring) > 0 &&
           kula_wait(self->ring, PATIENCE_NS) > 0) {
        struct kula_event *event = kula_next(self->ring);
        self->came_home = event ? kula_take(event) : NULL;
    }
    atomic_store(&self->over, round);
}

/* The first one provides the buffer and is the judge. */
static void race_as_first(struct racer *self)
{
    struct race *race = self->race;
    struct racer *other = self->other;
    unsigned last = race->rounds;
    for (unsigned round = 1; round <= last; round++) {
        kula_buf buffer = kula_alloc(self->ring, 1);
        race->handle = (uint64_t)(uintptr_t)buffer;
        atomic_store(&self->ready, round);
        watch_for(&other->ready, round);
        run_round(self, round);
        watch_for(&other->over, round);
        race->close += !self->late && !other->late;
        buffer = self->won ? self->came_home : other->came_home;
        if (self->won == other->won || !buffer || harness_misuses() != round) {
            race->wrong = round;
            last = 0;
        }
        kula_free(&buffer);
    }
    atomic_store(&self->ready, race->rounds + 1);
}

static void race_as_second(struct racer *self)
{
    struct race *race = self->race;
    for (unsigned round = 1; round <= race->rounds; round++) {
        watch_for(&self->other->ready, round);
        if (race->wrong) {
            break;
        }
        atomic_store(&self->ready, round);
        run_round(self, round);
    }
}

static void *race(void *arg)
{
    struct racer *self = arg;
    struct kula_config config = KULA_CONFIG_INIT;
    config.backend = self->race->backend;
    settle_on(self->processor);
    self->error = kula_open(&config, &self->ring);
    (self->processor == 0 ? race_as_first : race_as_second)(self);
    int closed = self->ring ? kula_close(&self->ring, PATIENCE_NS) : 0;
    self->error = self->error ? self->error : closed;
    return NULL;
}

static void of_two_threads_that_hand_over_one_buffer_exactly_one_wins(void **state)
{
    static char backend[48];
    snprintf(backend, sizeof backend, "strict:%s", harness_backend());
    static struct race both;
    both.backend = backend;
    both.rounds = harness_sanitized() || harness_keeps_buffers_apart() ? 10000 : 100000;
    for (int i = 0; i < 2; i++) {
        struct racer *racer = &both.racers[i];
        racer->race = &both;
        racer->other = &both.racers[1 - i];
        racer->processor = i;
        racer->skew = i == 0 ? 61 : 67;
        assert_int_equal(pthread_create(&racer->thread, NULL, race, racer), 0);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(both.racers[i].thread, NULL);
        assert_result(both.racers[i].error, 0);
    }
    print_message("in %u of %u rounds both were handing over at once\n", both.close,
                  both.rounds);
    harness_context(state)->misuses_expected = harness_misuses();
    if (both.wrong) {
        fail_msg("round %u: won by %d and by %d; %u refused so far", both.wrong,
                 both.racers[0].won, both.racers[1].won, harness_misuses());
    }
    if (both.close == 0 && has_several_processors()) {
        fail_msg("in none of %u rounds both were handing over at once", both.rounds);
    }
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
    /* It went back to its pool, as nobody else has it, and its name is over. */
    buffer = alias_of(alias);
    assert_null(kula_bytes(buffer));
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
