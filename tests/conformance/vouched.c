/* Memory that the program vouches for: its function is told once, after the last use, on the thread that
 * let go last. */
#include "support/gate.h"
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What the function was told. */
struct told {
    atomic_uint times;
    pthread_t thread;
    void *memory;
    size_t size;
};

static void tell(void *arg, void *memory, size_t size)
{
    struct told *told = arg;
    told->thread = pthread_self();
    told->memory = memory;
    told->size = size;
    memset(memory, 0xdd, size); /* it is the program's again */
    atomic_fetch_add(&told->times, 1);
}

static unsigned char memory[8192];

static kula_buf vouch(struct kula_ring *ring, size_t size, struct told *told)
{
    memset(memory, '.', sizeof memory);
    kula_buf buffer = kula_vouch(ring, memory, size, tell, told);
    assert_non_null(buffer);
    return buffer;
}

#define assert_told(told, count) assert_int_equal(atomic_load(&(told)->times), count)

static void pull_everything(struct kula_ring *ring)
{
    while (kula_outstanding(ring) > 0) {
        assert_true(kula_wait(ring, PATIENCE_NS) >= 0);
        while (kula_next(ring)) {
        }
    }
}

static void freeing_tells_once_with_what_was_given(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct told told = { 0 };
    kula_buf buffer = vouch(ring, 1000, &told);
    assert_ptr_equal(kula_bytes(buffer), memory);
    assert_int_equal(kula_capacity(buffer), 1000);
    assert_int_equal(kula_window(buffer, 10), 0);
    assert_told(&told, 0);
    kula_free(&buffer);
    assert_told(&told, 1);
    assert_ptr_equal(told.memory, memory);
    assert_int_equal(told.size, 1000);
    assert_true(pthread_equal(told.thread, pthread_self()));
    kula_free(&buffer);
    assert_told(&told, 1);
}

static void it_is_read_and_written_like_any_other(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct told told = { 0 };
    int file = make_file("what is in the file");
    struct outcome done = { 0 };
    kula_buf buffer = vouch(ring, 1000, &told);
    kula_read(ring, file, &buffer, 1000, 0, &done);
    await(ring, &done);
    assert_read_text(&done, "what is in the file");
    assert_memory_equal(memory, "what is in the file.", 20);
    struct outcome sent = { 0 };
    int fds[2];
    make_stream_pair(AF_UNIX, fds);
    kula_send(ring, fds[0], &done.buffer, 7, 0, &sent);
    await(ring, &sent);
    expect_bytes(fds[1], "what is");
    assert_told(&told, 0);
    outcome_release(&sent);
    assert_told(&told, 1);
    retire(ring, (int[]){ file, fds[0], fds[1] }, 3);
}

static void nobody_is_told_while_the_system_has_it(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct told told = { 0 };
    int fds[2];
    make_pipe(fds);
    struct outcome done = { 0 };
    kula_buf buffer = vouch(ring, 100, &told);
    kula_op op = kula_read(ring, fds[0], &buffer, 100, KULA_CUR, &done);
    assert_pending(ring, &done);
    assert_told(&told, 0);
    assert_int_equal(kula_detach(ring, op), 0);
    assert_told(&told, 0);
    put(fds[1], "the end");
    int64_t limit = harness_now_ns() + PATIENCE_NS;
    while (atomic_load(&told.times) == 0 && harness_now_ns() < limit) {
        kula_wait(ring, KULA_MILLISECOND);
    }
    assert_told(&told, 1);
    assert_int_equal(done.events, 0);
    retire(ring, fds, 2);
}

static void an_event_that_nobody_takes_from_tells(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct told told = { 0 };
    int file = make_file("x");
    kula_buf buffer = vouch(ring, 100, &told);
    kula_read(ring, file, &buffer, 100, 0, NULL);
    while (!kula_next(ring)) {
        assert_true(kula_wait(ring, PATIENCE_NS) >= 0);
    }
    assert_told(&told, 0); /* it may still be taken */
    assert_null(kula_next(ring));
    assert_told(&told, 1);
    retire(ring, &file, 1);
}

static void each_refused_or_cancelled_hand_over_tells_once(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct told told = { 0 };
    int fds[2];
    make_pipe(fds);
    kula_buf buffer = vouch(ring, 100, &told);
    kula_read(ring, -1, &buffer, 100, 0, NULL);
    pull_everything(ring);
    assert_told(&told, 1);
    buffer = vouch(ring, 100, &told);
    kula_read(ring, fds[0], &buffer, 101, KULA_CUR, NULL);
    pull_everything(ring);
    assert_told(&told, 2);
    buffer = vouch(ring, 100, &told);
    kula_op op = kula_read(ring, fds[0], &buffer, 100, KULA_CUR, NULL);
    assert_true(kula_submit(ring) >= 0);
    kula_cancel(ring, op);
    pull_everything(ring);
    assert_told(&told, 3);
    retire(ring, fds, 2);
}

static void a_list_tells_of_each_of_its_buffers(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct told told[3] = { 0 };
    static unsigned char parts[3][64];
    for (int flown = 0; flown < 2; flown++) {
        int file = make_file("");
        kula_vec vec = kula_vec_new(ring);
        for (int i = 0; i < 3; i++) {
            kula_buf buffer = kula_vouch(ring, parts[i], sizeof parts[i], tell, &told[i]);
            kula_vec_add(vec, &buffer, sizeof parts[i]);
        }
        if (flown) {
            kula_writev(ring, file, &vec, 0, NULL);
            pull_everything(ring);
        } else {
            kula_vec_free(&vec);
        }
        for (int i = 0; i < 3; i++) {
            assert_told(&told[i], (unsigned)flown + 1);
        }
        retire(ring, &file, 1);
    }
}

static void closing_tells_of_what_nobody_has_pulled(void **state)
{
    struct kula_ring *outer = harness_ring(state);
    struct told finished = { 0 };
    struct told waiting = { 0 };
    struct told kept = { 0 };
    static unsigned char more[2][100];
    struct kula_ring *ring = harness_open(0);
    int file = make_file("x");
    int fds[2];
    make_pipe(fds);
    kula_buf buffer = vouch(ring, 100, &finished);
    kula_read(ring, file, &buffer, 100, 0, NULL);
    buffer = kula_vouch(ring, more[0], 100, tell, &waiting);
    kula_read(ring, fds[0], &buffer, 100, KULA_CUR, NULL);
    buffer = kula_vouch(ring, more[1], 100, tell, &kept);
    kula_wait(ring, PATIENCE_NS);
    assert_told(&finished, 0);
    harness_close(&ring);
    assert_told(&finished, 1);
    assert_told(&waiting, 1);
    assert_told(&kept, 0); /* the program's, with a ring or without */
    kula_free(&buffer);
    assert_told(&kept, 1);
    retire(outer, (int[]){ file, fds[0], fds[1] }, 3);
}

/* On a backend with workers a call of the program keeps the ring from closing. */
static void the_graveyard_tells_when_it_is_emptied(void **state)
{
    struct kula_ring *outer = harness_ring(state);
    if (harness_backend_is("blocking")) {
        SKIP_BECAUSE("nothing keeps a ring from closing on a backend without workers");
    }
    harness_context(state)->warnings_expected = true;
    struct told told = { 0 };
    struct gate gate = GATE_CLOSED(0);
    struct kula_ring *ring = harness_open(0);
    unsigned before = harness_fd_count();
    int file = make_file("x");
    kula_offload(ring, gate_pass, &gate, NULL);
    assert_true(kula_submit(ring) >= 0);
    gate_await_entered(&gate, 1);
    kula_buf buffer = vouch(ring, 100, &told);
    kula_read(ring, file, &buffer, 100, 0, NULL);
    assert_true(kula_wait(ring, PATIENCE_NS) > 0);
    assert_int_equal(kula_abandon(&ring), 0);
    assert_told(&told, 0);
    gate_open(&gate);
    int64_t limit = harness_now_ns() + PATIENCE_NS;
    while (atomic_load(&told.times) == 0 && harness_now_ns() < limit) {
        struct kula_ring *other = harness_open(0);
        harness_close(&other);
        harness_sleep_ns(KULA_MILLISECOND);
    }
    assert_told(&told, 1);
    assert_true(harness_fd_count() <= before);
    retire(outer, &file, 1);
}

/* ---- Other threads ------------------------------------------------------------------------- */

struct freeing {
    kula_buf buffer;
    pthread_t thread;
};

static void *free_it(void *arg)
{
    struct freeing *freeing = arg;
    freeing->thread = pthread_self();
    kula_free(&freeing->buffer);
    return NULL;
}

static void the_thread_that_lets_go_last_is_the_one_that_tells(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct told told = { 0 };
    struct freeing freeing = { .buffer = vouch(ring, 100, &told) };
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, free_it, &freeing), 0);
    pthread_join(thread, NULL);
    assert_told(&told, 1);
    assert_true(pthread_equal(told.thread, thread));
}

static void it_travels_with_a_message_and_tells_where_it_ends(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct kula_ring *other = harness_open(0);
    struct told told = { 0 };
    kula_buf buffer = vouch(ring, 100, &told);
    assert_int_equal(kula_post(other, &buffer, 1, NULL), 0);
    assert_told(&told, 0);
    struct kula_event *event;
    while (!(event = kula_next(other))) {
        assert_true(kula_wait(other, PATIENCE_NS) >= 0);
    }
    buffer = kula_take(event);
    assert_ptr_equal(kula_bytes(buffer), memory);
    kula_free(&buffer);
    assert_told(&told, 1);
    harness_close(&other);
}

/* ---- What the function may do ---------------------------------------------------------------- */

struct inside {
    struct kula_ring *ring;
    unsigned times;
    int submit;
    int wait;
    int close;
    bool gave_memory;
    bool gave_operation;
    int wake;
    int post;
};

static void call_into_the_library(void *arg, void *bytes, size_t size)
{
    struct inside *inside = arg;
    (void)bytes;
    (void)size;
    inside->times++;
    inside->submit = kula_submit(inside->ring);
    inside->wait = kula_wait(inside->ring, 0);
    struct kula_ring *ring = inside->ring;
    inside->close = kula_close(&ring, 0);
    kula_buf buffer = kula_alloc(inside->ring, 64);
    inside->gave_memory = buffer != NULL;
    kula_free(&buffer);
    inside->gave_operation = kula_nop(inside->ring, NULL) != 0;
    inside->wake = kula_wake(inside->ring);
    inside->post = kula_post(inside->ring, NULL, 41, NULL);
}

static void the_function_may_wake_and_post_and_nothing_else(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct inside inside = { .ring = ring };
    int file = make_file("x");
    for (unsigned round = 0; round < 3; round++) {
        kula_buf buffer =
            kula_vouch(ring, memory, sizeof memory, call_into_the_library, &inside);
        if (round == 0) {
            kula_free(&buffer);
        } else {
            kula_op op = kula_read(ring, file, &buffer, 1, 0, NULL);
            if (round == 2) {
                assert_int_equal(kula_detach(ring, op), 0);
            }
            while (inside.times == round) {
                assert_true(kula_wait(ring, KULA_MILLISECOND) >= 0);
                while (kula_next(ring)) {
                }
            }
        }
        assert_int_equal(inside.times, round + 1);
        assert_result(inside.submit, -EDEADLK);
        assert_result(inside.wait, -EDEADLK);
        assert_result(inside.close, -EDEADLK);
        assert_false(inside.gave_memory);
        assert_false(inside.gave_operation);
        assert_result(inside.wake, 0);
        assert_result(inside.post, 0);
    }
    harness_context(state)->misuses_expected = 15;
    assert_true(kula_submit(ring) >= 0); /* the ring is its owner's again */
    while (kula_wait(ring, 0) > 0) {
        while (kula_next(ring)) {
        }
    }
    retire(ring, &file, 1);
}

/* ---- What cannot be vouched for --------------------------------------------------------------- */

static void nothing_and_impossible_sizes_are_refused(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct told told = { 0 };
    assert_null(kula_vouch(ring, NULL, 100, tell, &told));
    harness_context(state)->misuses_expected = 1;
    size_t none = 0;
    size_t much = (size_t)INT32_MAX + 1;
    __asm__("" : "+r"(none), "+r"(much)); /* or the header's check would see them */
    assert_null(kula_vouch(ring, memory, none, tell, &told));
    assert_null(kula_vouch(ring, memory, much, tell, &told));
    assert_told(&told, 0);
}

static void debug_builds_refuse_the_stack(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct told told = { 0 };
    unsigned char local[64];
    void *address = local;
    __asm__("" : "+r"(address));
    kula_buf buffer = kula_vouch(ring, address, sizeof local, tell, &told);
    if (KULA_TESTS_DEBUG_LIBRARY) {
        assert_null(buffer);
        assert_non_null(strstr(harness_last_misuse(), "stack"));
        harness_context(state)->misuses_expected = 1;
    } else {
        assert_non_null(buffer);
        kula_free(&buffer);
    }
    assert_told(&told, KULA_TESTS_DEBUG_LIBRARY ? 0 : 1);
}

static void memory_of_the_heap_is_fine(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct told told = { 0 };
    void *bytes = malloc(100000);
    kula_buf buffer = kula_vouch(ring, bytes, 100000, tell, &told);
    assert_non_null(buffer);
    kula_free(&buffer);
    assert_told(&told, 1);
    free(told.memory);
    buffer = kula_vouch(ring, memory, sizeof memory, NULL, NULL);
    assert_non_null(buffer);
    kula_free(&buffer); /* nobody wants to know */
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(freeing_tells_once_with_what_was_given),
        PROVES(it_is_read_and_written_like_any_other),
        PROVES(nobody_is_told_while_the_system_has_it),
        PROVES(an_event_that_nobody_takes_from_tells),
        PROVES(each_refused_or_cancelled_hand_over_tells_once),
        PROVES(a_list_tells_of_each_of_its_buffers),
        PROVES(closing_tells_of_what_nobody_has_pulled),
        PROVES(the_graveyard_tells_when_it_is_emptied),
        PROVES(the_thread_that_lets_go_last_is_the_one_that_tells),
        PROVES(it_travels_with_a_message_and_tells_where_it_ends),
        PROVES(the_function_may_wake_and_post_and_nothing_else),
        PROVES(nothing_and_impossible_sizes_are_refused),
        PROVES(debug_builds_refuse_the_stack),
        PROVES(memory_of_the_heap_is_fine),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
