/* Closing: everything in flight at once, what cannot be stopped, what the program still holds. */
#include "support/gate.h"
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static void closing_nothing_is_fine(void **state)
{
    (void)state;
    struct kula_ring *ring = NULL;
    assert_int_equal(kula_close(&ring, 0), 0);
    assert_int_equal(kula_abandon(&ring), 0);
    ring = harness_open(0);
    assert_int_equal(kula_close(&ring, 0), 0);
    assert_null(ring);
    assert_int_equal(kula_close(&ring, 0), 0);
}

static void closing_ends_everything_that_is_under_way(void **state)
{
    struct kula_ring *outer = harness_ring(state);
    struct sockaddr_storage address;
    socklen_t length;
    for (int flushed = 0; flushed < 2; flushed++) {
        struct kula_ring *ring = harness_open(0);
        int pipes[2];
        int sockets[2];
        make_pipe(pipes);
        make_stream_pair(AF_UNIX, sockets);
        fill(sockets[0]);
        int file = make_file("content");
        int listener = make_listener(&address, &length, 4);
        for (int i = 0; i < 20; i++) {
            kula_buf buffer = buffer_empty(ring, 10000);
            kula_read(ring, pipes[0], &buffer, 10000, KULA_CUR, NULL);
            buffer = buffer_empty(ring, 16);
            kula_recv(ring, sockets[0], &buffer, 16, 0, NULL);
            buffer = buffer_empty(ring, 16);
            kula_op op = kula_send(ring, sockets[0], &buffer, 16, 0, NULL);
            kula_option(ring, op, KULA_FULL);
            buffer = buffer_empty(ring, 16);
            kula_read(ring, file, &buffer, 7, 0, NULL);
            kula_vec vec = kula_vec_new(ring);
            buffer = buffer_empty(ring, 16);
            kula_vec_add(vec, &buffer, 16);
            kula_readv(ring, pipes[0], &vec, KULA_CUR, NULL);
            kula_accept(ring, listener, NULL);
            kula_poll(ring, pipes[0], POLLIN, NULL);
            kula_op timer = kula_timer(ring, 3600 * KULA_SECOND, NULL);
            op = kula_openat(ring, AT_FDCWD, ".", O_RDONLY, 0, NULL);
            kula_after(ring, op, timer);
            kula_deadline(ring, timer, 1800 * KULA_SECOND);
            kula_openat(ring, AT_FDCWD, ".", O_RDONLY, 0, NULL);
            kula_fsync(ring, file, NULL);
            kula_post(ring, NULL, i, NULL);
        }
        if (flushed) {
            assert_true(kula_wait(ring, 0) >= 0);
        }
        harness_close(&ring);
        retire(outer, pipes, 2);
        retire(outer, sockets, 2);
        retire(outer, (int[]){ file, listener }, 2);
    }
}

static void a_close_of_a_descriptor_is_done_even_when_the_ring_closes(void **state)
{
    struct kula_ring *outer = harness_ring(state);
    for (int flushed = 0; flushed < 2; flushed++) {
        struct kula_ring *ring = harness_open(0);
        int fds[2];
        make_pipe(fds);
        kula_buf buffer = buffer_empty(ring, 8);
        kula_read(ring, fds[0], &buffer, 8, KULA_CUR, NULL);
        if (flushed) {
            assert_true(kula_submit(ring) >= 0);
        }
        kula_close_fd(ring, fds[0], NULL);
        harness_close(&ring);
        assert_int_equal(fcntl(fds[0], F_GETFD), -1);
        retire(outer, &fds[1], 1);
    }
}

/* Bytes that were in the pipe stay there, or were taken by a read that ended: never half. */
static void closing_takes_no_bytes_from_a_stream(void **state)
{
    struct kula_ring *outer = harness_ring(state);
    for (int round = 0; round < 50; round++) {
        struct kula_ring *ring = harness_open(0);
        int fds[2];
        make_pipe(fds);
        kula_buf buffer = buffer_empty(ring, 4);
        kula_read(ring, fds[0], &buffer, 4, KULA_CUR, NULL);
        assert_true(kula_wait(ring, 0) >= 0);
        harness_close(&ring);
        put(fds[1], "kept");
        harness_sleep_ns(100 * KULA_MICROSECOND);
        expect_bytes(fds[0], "kept");
        retire(outer, fds, 2);
    }
}

static void buffers_that_the_program_holds_stay_valid(void **state)
{
    struct kula_ring *ring = harness_open(0);
    kula_buf buffers[8];
    for (unsigned i = 0; i < 8; i++) {
        buffers[i] = buffer_pattern(ring, 100 + 5000 * i, i);
    }
    harness_context(state)->warnings_expected = true; /* they are counted in the log */
    harness_close(&ring);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(kula_capacity(buffers[i]), 100 + 5000 * i);
        const unsigned char *bytes = kula_bytes(buffers[i]);
        for (size_t k = 0; k < 100; k++) {
            assert_int_equal(bytes[k], pattern_byte(k, i));
        }
    }
    /* any other ring takes them */
    struct kula_ring *other = harness_ring(state);
    int fd = make_file("late");
    struct outcome done = { 0 };
    kula_read(other, fd, &buffers[0], 4, 0, &done);
    await(other, &done);
    assert_read_text(&done, "late");
    outcome_release(&done);
    for (unsigned i = 1; i < 8; i++) {
        kula_free(&buffers[i]);
    }
    retire(other, &fd, 1);
}

static void *free_all(void *arg)
{
    kula_buf *buffers = arg;
    for (int i = 0; i < 100; i++) {
        kula_free(&buffers[i]);
    }
    return NULL;
}

static void buffers_may_be_freed_later_and_on_another_thread(void **state)
{
    for (int late = 0; late < 2; late++) {
        struct kula_ring *ring = harness_open(0);
        kula_buf buffers[100];
        pthread_t thread;
        for (unsigned i = 0; i < 100; i++) {
            buffers[i] = buffer_empty(ring, 1 + 700 * i);
        }
        harness_context(state)->warnings_expected = true;
        if (late) {
            harness_close(&ring);
        }
        assert_int_equal(pthread_create(&thread, NULL, free_all, buffers), 0);
        if (!late) {
            /* what comes back meanwhile is used again */
            for (unsigned i = 0; i < 2000; i++) {
                kula_buf buffer = buffer_pattern(ring, 1 + i, i);
                assert_int_equal(kula_bytes(buffer)[i], pattern_byte(i, i));
                kula_free(&buffer);
            }
        }
        pthread_join(thread, NULL);
        if (!late) {
            harness_close(&ring);
        }
    }
}

/* A call that runs on a worker cannot be stopped, and what it may touch cannot be freed. */
static void what_cannot_be_stopped_makes_close_say_ebusy_and_nothing_is_freed(void **state)
{
    if (harness_backend_is("blocking")) {
        SKIP_BECAUSE("the blocking backend runs functions in place: nothing is left running");
    }
    struct gate gate = GATE_CLOSED(9);
    struct kula_ring *ring = harness_open(0);
    struct outcome offloaded = { 0 };
    struct outcome cancelled = { 0 };
    struct outcome refused[4] = { { 0 } };
    int fds[2];
    make_pipe(fds);
    struct outcome known = { 0 };
    int file = make_file("file");
    kula_buf held = buffer_empty(ring, 4);
    kula_read(ring, file, &held, 4, 0, &known);
    await(ring, &known);
    assert_read_text(&known, "file");
    outcome_release(&known);
    held = buffer_text(ring, "held");
    kula_offload(ring, gate_pass, &gate, &offloaded);
    kula_buf buffer = buffer_empty(ring, 4);
    kula_read(ring, fds[0], &buffer, 4, KULA_CUR, &cancelled);
    assert_true(kula_submit(ring) >= 0);
    gate_await_entered(&gate, 1);
    harness_context(state)->warnings_expected = true; /* it lists what is left */
    assert_result(kula_close(&ring, 0), -EBUSY);
    assert_non_null(ring);
    assert_result(kula_close(&ring, 5 * KULA_MILLISECOND), -EBUSY);
    assert_non_null(ring);
    assert_true(harness_warnings() > 0);

    /* Closing, but alive: what ends can be had, what is new is refused. */
    assert_memory_equal(kula_bytes(held), "held", 4);
    await(ring, &cancelled);
    assert_result(cancelled.result, -ECANCELED);
    outcome_release(&cancelled);
    put(fds[1], "here");
    kula_read(ring, fds[0], &held, 4, KULA_CUR, &refused[0]);
    kula_nop(ring, &refused[1]);
    kula_timer(ring, 0, &refused[2]);
    buffer = buffer_empty(ring, 4);
    kula_read(ring, file, &buffer, 4, 0, &refused[3]);
    for (int i = 0; i < 4; i++) {
        await(ring, &refused[i]);
        assert_result(refused[i].result, -ECANCELED);
    }
    outcome_release(&refused[3]);
    assert_memory_equal(kula_bytes(refused[0].buffer), "held", 4);
    outcome_release(&refused[0]);
    assert_int_equal(offloaded.events, 0);
    assert_int_equal(kula_outstanding(ring), 1);

    gate_open(&gate);
    await(ring, &offloaded);
    assert_result(offloaded.result, 9);
    harness_close(&ring);
    expect_bytes(fds[0], "here");
    retire(harness_ring(state), fds, 2);
    retire(harness_ring(state), &file, 1);
}

static void *open_later(void *arg)
{
    harness_sleep_ns(20 * KULA_MILLISECOND);
    gate_open(arg);
    return NULL;
}

static void closing_waits_for_what_ends_in_time(void **state)
{
    (void)state;
    if (harness_backend_is("blocking")) {
        SKIP_BECAUSE("the blocking backend runs functions in place");
    }
    struct gate gate = GATE_CLOSED(0);
    pthread_t thread;
    struct kula_ring *ring = harness_open(0);
    kula_offload(ring, gate_pass, &gate, NULL);
    assert_true(kula_submit(ring) >= 0);
    gate_await_entered(&gate, 1);
    assert_int_equal(pthread_create(&thread, NULL, open_later, &gate), 0);
    int closed = kula_close(&ring, KULA_FOREVER);
    pthread_join(thread, NULL);
    assert_result(closed, 0);
    assert_null(ring);
}

static void an_abandoned_ring_is_gone_and_what_ran_on_ends_later(void **state)
{
    struct kula_ring *outer = harness_ring(state);
    struct gate gate = GATE_CLOSED(0);
    struct kula_ring *ring = harness_open(0);
    unsigned before = harness_fd_count();
    int fds[2];
    make_pipe(fds);
    kula_buf buffer = buffer_empty(ring, 4096);
    kula_read(ring, fds[0], &buffer, 4096, KULA_CUR, NULL);
    buffer = buffer_empty(ring, 4096);
    kula_buf held = buffer_text(ring, "mine");
    harness_context(state)->warnings_expected = true;
    bool runs = !harness_backend_is("blocking");
    if (runs) {
        kula_offload(ring, gate_pass, &gate, NULL);
    }
    assert_true(kula_submit(ring) >= 0);
    if (runs) {
        gate_await_entered(&gate, 1);
        assert_result(kula_close(&ring, 0), -EBUSY);
    }
    assert_int_equal(kula_abandon(&ring), 0);
    assert_null(ring);
    assert_memory_equal(kula_bytes(held), "mine", 4);
    kula_free(&held);
    kula_free(&buffer);
    gate_open(&gate);

    /* Later calls empty the graveyard; then neither threads nor descriptors are left. */
    int64_t limit = harness_now_ns() + 20 * KULA_SECOND;
    while (harness_fd_count() >= before + 2 && harness_now_ns() < limit) {
        struct kula_ring *other = harness_open(0);
        kula_nop(other, NULL);
        await_all(other);
        harness_close(&other);
        harness_sleep_ns(KULA_MILLISECOND);
    }
    put(fds[1], "kept");
    expect_bytes(fds[0], "kept");
    retire(outer, fds, 2);
}

static void a_ring_that_is_idle_may_be_abandoned(void **state)
{
    (void)state;
    struct kula_ring *ring = harness_open(0);
    assert_true(kula_pollable(ring) >= 0);
    assert_int_equal(kula_abandon(&ring), 0);
    assert_null(ring);
}

static void rings_open_and_close_again_and_again(void **state)
{
    (void)state;
    for (int round = 0; round < 100; round++) {
        struct kula_ring *ring = harness_open((uint32_t)(1 << round % 9));
        kula_nop(ring, NULL);
        if (round % 3 == 0) {
            assert_true(kula_pollable(ring) >= 0);
        }
        if (round % 2) {
            await_all(ring);
        }
        harness_close(&ring);
    }
}

static void *use_a_ring(void *arg)
{
    const char *backend = arg;
    struct kula_config config = KULA_CONFIG_INIT;
    config.backend = backend;
    for (int round = 0; round < 10; round++) {
        struct kula_ring *ring = NULL;
        if (kula_open(&config, &ring) != 0) {
            return "a ring did not open";
        }
        for (int i = 0; i < 100; i++) {
            kula_buf buffer = kula_alloc(ring, 512);
            kula_read(ring, -1, &buffer, 512, 0, NULL);
        }
        while (kula_outstanding(ring) > 0) {
            kula_wait(ring, KULA_SECOND);
            while (kula_next(ring)) {
            }
        }
        if (kula_close(&ring, -1) != 0) {
            return "a ring did not close";
        }
    }
    return NULL;
}

static void many_threads_may_each_have_a_ring(void **state)
{
    (void)state;
    enum {
        THREADS = 8
    };
    pthread_t threads[THREADS];
    static char backend[48];
    snprintf(backend, sizeof backend, "strict:%s", harness_backend());
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, use_a_ring, backend), 0);
    }
    const char *complaint = NULL;
    for (int i = 0; i < THREADS; i++) {
        void *said = NULL;
        pthread_join(threads[i], &said);
        complaint = said ? said : complaint;
    }
    if (complaint) {
        fail_msg("%s", complaint);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(closing_nothing_is_fine),
        PROVES(closing_ends_everything_that_is_under_way),
        PROVES(a_close_of_a_descriptor_is_done_even_when_the_ring_closes),
        PROVES(closing_takes_no_bytes_from_a_stream),
        PROVES(buffers_that_the_program_holds_stay_valid),
        PROVES(buffers_may_be_freed_later_and_on_another_thread),
        PROVES(what_cannot_be_stopped_makes_close_say_ebusy_and_nothing_is_freed),
        PROVES(closing_waits_for_what_ends_in_time),
        PROVES(an_abandoned_ring_is_gone_and_what_ran_on_ends_later),
        PROVES(a_ring_that_is_idle_may_be_abandoned),
        PROVES(rings_open_and_close_again_and_again),
        PROVES(many_threads_may_each_have_a_ring),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
