/* Signals never reach the program from the library, and never disturb it. */
#include "support/outcome.h"
#include "support/places.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

/* SIGPIPE keeps its default action, which is to kill: that the process goes on is the proof. On
 * Linux 6.18 a ring's WRITE to a closed pipe or socket raises it, on 6.1 it does not. */
static void writing_to_a_closed_pipe_or_socket_never_raises_sigpipe(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    assert_true(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
    for (int round = 0; round < 20; round++) {
        int pipes[2];
        int sockets[2];
        int tcp[2];
        make_pipe(pipes);
        make_stream_pair(AF_UNIX, sockets);
        make_stream_pair(AF_INET, tcp);
        retire(ring, (int[]){ pipes[0], sockets[0], tcp[0] }, 3);
        struct outcome done[5] = { { 0 } };
        kula_buf buffer = buffer_text(ring, "x");
        kula_write(ring, pipes[1], &buffer, 1, KULA_CUR, &done[0]);
        buffer = buffer_text(ring, "x");
        kula_write(ring, sockets[1], &buffer, 1, KULA_CUR, &done[1]);
        buffer = buffer_text(ring, "x");
        kula_send(ring, sockets[1], &buffer, 1, 0, &done[2]);
        kula_vec vec = kula_vec_new(ring);
        buffer = buffer_text(ring, "x");
        kula_vec_add(vec, &buffer, 1);
        kula_writev(ring, pipes[1], &vec, KULA_CUR, &done[3]);
        vec = kula_vec_new(ring);
        buffer = buffer_text(ring, "x");
        kula_vec_add(vec, &buffer, 1);
        kula_writev(ring, sockets[1], &vec, KULA_CUR, &done[4]);
        await_all(ring);
        for (int i = 0; i < 5; i++) {
            assert_result(done[i].result, -EPIPE);
            outcome_release(&done[i]);
        }
        /* The first write to the TCP socket may still go out; then comes the reset. */
        for (int i = 0; i < 3; i++) {
            struct outcome reset = { 0 };
            buffer = buffer_text(ring, "x");
            kula_write(ring, tcp[1], &buffer, 1, KULA_CUR, &reset);
            await(ring, &reset);
            assert_true(reset.result == 1 || reset.result == -EPIPE ||
                        reset.result == -ECONNRESET);
            outcome_release(&reset);
        }
        retire(ring, (int[]){ pipes[1], sockets[1], tcp[1] }, 3);
    }
}

static void a_write_that_waits_when_the_pipe_closes_never_raises_sigpipe(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    for (int round = 0; round < 20; round++) {
        int fds[2];
        make_pipe(fds);
        fill(fds[1]);
        struct outcome done = { 0 };
        kula_buf buffer = buffer_text(ring, "x");
        kula_write(ring, fds[1], &buffer, 1, KULA_CUR, &done);
        pump(ring, KULA_MILLISECOND);
        assert_int_equal(done.events, 0);
        retire(ring, &fds[0], 1);
        await(ring, &done);
        assert_result(done.result, -EPIPE);
        outcome_release(&done);
        retire(ring, &fds[1], 1);
    }
}

static atomic_uint pipe_signals;

static void count_signal(int number)
{
    (void)number;
    atomic_fetch_add(&pipe_signals, 1);
}

/* Blocked and pending before: it is the program's signal and has to be there afterwards. */
static void a_sigpipe_of_the_program_itself_is_left_alone(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct sigaction action = { .sa_handler = count_signal };
    sigset_t set;
    sigset_t old;
    sigset_t pending;
    sigset_t mask;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    atomic_store(&pipe_signals, 0);
    sigaction(SIGPIPE, &action, NULL);
    pthread_sigmask(SIG_BLOCK, &set, &old);
    pthread_kill(pthread_self(), SIGPIPE);

    int fds[2];
    make_pipe(fds);
    retire(ring, &fds[0], 1);
    struct outcome done = { 0 };
    kula_buf buffer = buffer_text(ring, "x");
    kula_write(ring, fds[1], &buffer, 1, KULA_CUR, &done);
    await(ring, &done);
    assert_result(done.result, -EPIPE);
    outcome_release(&done);

    sigpending(&pending);
    assert_true(sigismember(&pending, SIGPIPE) == 1);
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    assert_true(sigismember(&mask, SIGPIPE) == 1);
    assert_int_equal(atomic_load(&pipe_signals), 0);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    assert_int_equal(atomic_load(&pipe_signals), 1);
    signal(SIGPIPE, SIG_DFL);
    retire(ring, &fds[1], 1);
}

static void the_signal_mask_and_the_handlers_stay_as_they_were(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    sigset_t before;
    sigset_t after;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    struct sigaction actions[NSIG];
    for (int i = 1; i < NSIG; i++) {
        sigaction(i, NULL, &actions[i]);
    }
    struct kula_ring *other = harness_open(0);
    assert_true(kula_pollable(other) >= 0);
    int fds[2];
    make_pipe(fds);
    struct outcome done = { 0 };
    kula_buf buffer = buffer_text(ring, "x");
    kula_write(ring, fds[1], &buffer, 1, KULA_CUR, &done);
    kula_timer(ring, KULA_MILLISECOND, NULL);
    await_all(ring);
    outcome_release(&done);
    harness_close(&other);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    for (int i = 1; i < NSIG; i++) {
        struct sigaction now;
        if (sigaction(i, NULL, &now) == 0) {
            assert_true(now.sa_handler == actions[i].sa_handler);
            assert_int_equal(sigismember(&before, i), sigismember(&after, i));
        }
    }
    retire(ring, fds, 2);
}

static atomic_uint alarms;

static void count_alarm(int number)
{
    (void)number;
    atomic_fetch_add(&alarms, 1);
}

/* A thousand signals a second without SA_RESTART. */
static void start_storm(struct sigaction *ret_old)
{
    struct sigaction action = { .sa_handler = count_alarm };
    struct itimerval often = { { 0, 1000 }, { 0, 1000 } };
    atomic_store(&alarms, 0);
    assert_int_equal(sigaction(SIGALRM, &action, ret_old), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
}

static void stop_storm(const struct sigaction *old)
{
    struct itimerval never = { { 0, 0 }, { 0, 0 } };
    setitimer(ITIMER_REAL, &never, NULL);
    sigaction(SIGALRM, old, NULL);
}

static void a_wait_outlasts_a_storm_of_signals(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct sigaction old;
    start_storm(&old);
    int64_t start = harness_now_ns();
    int ready = kula_wait(ring, 100 * KULA_MILLISECOND);
    int64_t elapsed = harness_now_ns() - start;
    stop_storm(&old);
    assert_int_equal(ready, 0);
    assert_true(elapsed >= 100 * KULA_MILLISECOND);
    assert_true(atomic_load(&alarms) > 0);
}

static void operations_survive_a_storm_of_signals(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    enum {
        ROUNDS = 300,
        SIZE = 50000
    };
    struct sigaction old;
    int fds[2];
    int file = make_file("");
    make_stream_pair(AF_UNIX, fds);
    start_storm(&old);
    for (int round = 0; round < ROUNDS; round++) {
        struct outcome done[4] = { { 0 } };
        kula_buf buffer = buffer_empty(ring, SIZE);
        kula_op op = kula_recv(ring, fds[0], &buffer, SIZE, 0, &done[0]);
        kula_option(ring, op, KULA_FULL);
        buffer = buffer_pattern(ring, SIZE, 1);
        op = kula_send(ring, fds[1], &buffer, SIZE, 0, &done[1]);
        kula_option(ring, op, KULA_FULL);
        buffer = buffer_text(ring, "storm");
        kula_write(ring, file, &buffer, 5, 0, &done[2]);
        kula_timer(ring, KULA_MILLISECOND, &done[3]);
        int64_t limit = harness_now_ns() + PATIENCE_NS;
        while (kula_outstanding(ring) > 0 && harness_now_ns() < limit) {
            pump(ring, KULA_SECOND);
        }
        if (done[0].result != SIZE || done[1].result != SIZE || done[2].result != 5 ||
            done[3].result != 0) {
            stop_storm(&old);
        }
        assert_result(done[0].result, SIZE);
        assert_result(done[1].result, SIZE);
        assert_result(done[2].result, 5);
        assert_result(done[3].result, 0);
        outcome_release(&done[0]);
        outcome_release(&done[1]);
        outcome_release(&done[2]);
    }
    stop_storm(&old);
    assert_true(atomic_load(&alarms) > 0);
    retire(ring, &file, 1);
    retire(ring, fds, 2);
}

static pthread_t owner;
static atomic_bool on_another_thread;

static void note_thread(int number)
{
    (void)number;
    if (!pthread_equal(pthread_self(), owner)) {
        atomic_store(&on_another_thread, true);
    }
}

static int32_t rest(void *arg)
{
    (void)arg;
    harness_sleep_ns(20 * KULA_MILLISECOND);
    return 0;
}

static void no_thread_of_the_library_takes_the_signals_of_the_program(void **state)
{
    struct kula_ring *ring = harness_ring(state);
    struct sigaction action = { .sa_handler = note_thread };
    struct sigaction old;
    sigset_t set;
    sigset_t mask;
    owner = pthread_self();
    atomic_store(&on_another_thread, false);
    assert_true(kula_pollable(ring) >= 0);
    sigaction(SIGUSR1, &action, &old);
    for (int i = 0; i < 4; i++) {
        kula_offload(ring, rest, NULL, NULL);
    }
    assert_true(kula_submit(ring) >= 0);
    /* With the owner blocking it the signal goes to any thread that does not. */
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, &mask);
    for (int i = 0; i < 20; i++) {
        kill(getpid(), SIGUSR1);
        harness_sleep_ns(KULA_MILLISECOND);
    }
    bool elsewhere = atomic_load(&on_another_thread);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    sigaction(SIGUSR1, &old, NULL);
    await_all(ring);
    assert_false(elsewhere);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        PROVES(writing_to_a_closed_pipe_or_socket_never_raises_sigpipe),
        PROVES(a_write_that_waits_when_the_pipe_closes_never_raises_sigpipe),
        PROVES(a_sigpipe_of_the_program_itself_is_left_alone),
        PROVES(the_signal_mask_and_the_handlers_stay_as_they_were),
        PROVES(a_wait_outlasts_a_storm_of_signals),
        PROVES(operations_survive_a_storm_of_signals),
        PROVES(no_thread_of_the_library_takes_the_signals_of_the_program),
    };
    return HARNESS_MAIN(argc, argv, tests);
}
