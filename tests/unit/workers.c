/* The worker threads of a ring: how many there are, who gets one, and what happens when the system
 * refuses. Through the ring, since the pool has no other caller. */
#include "unit.h"

#include "common/fault.h"
#include "common/process.h"
#include "common/ring.h"
#include "common/workers.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define THREADS 4
#define CALLS   12

static int open_ring(void **state)
{
    struct kula_config config = KULA_CONFIG_INIT;
    config.backend = "strict:epoll";
    config.mask = "feat:rwf_nowait"; /* nothing is tried in place: files need workers */
    config.threads_max = THREADS;
    struct kula_ring *ring = NULL;
    int error = kula_open(&config, &ring);
    *state = ring;
    return error;
}

static int close_ring(void **state)
{
    kula__fault_disarm();
    struct kula_ring *ring = *state;
    return kula_close(&ring, -1);
}

/* Calls that stay in their threads until the gate opens. */
struct gate {
    atomic_bool open;
    atomic_uint inside;
    atomic_uint most_inside;
    atomic_uint unblocked_signals;
};

static void pause_briefly(void)
{
    struct timespec pause = { 0, 200000 };
    nanosleep(&pause, NULL);
}

static int32_t stay(void *arg)
{
    struct gate *gate = arg;
    unsigned inside = atomic_fetch_add(&gate->inside, 1) + 1;
    unsigned most = atomic_load(&gate->most_inside);
    while (inside > most && !atomic_compare_exchange_weak(&gate->most_inside, &most, inside)) {
    }
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    for (int number = 1; number < 32; number++) { /* above are those that the C library keeps */
        if (number != SIGKILL && number != SIGSTOP && !sigismember(&mask, number)) {
            atomic_fetch_add(&gate->unblocked_signals, 1);
        }
    }
    while (!atomic_load(&gate->open)) {
        pause_briefly();
    }
    atomic_fetch_sub(&gate->inside, 1);
    return kula__in_program_function() ? 1 : 0;
}

/* Waits for that many events and adds up their results. */
static int64_t collect(struct kula_ring *ring, unsigned count)
{
    int64_t sum = 0;
    while (count > 0) {
        assert_true(kula_wait(ring, 10 * KULA_SECOND) > 0);
        struct kula_event *event;
        while (count > 0 && (event = kula_next(ring))) {
            sum += event->result;
            count--;
        }
    }
    return sum;
}

static void fill(struct kula_ring *ring, struct gate *gate)
{
    for (int i = 0; i < CALLS; i++) {
        assert_true(kula_offload(ring, stay, gate, NULL) != 0);
    }
    assert_true(kula_submit(ring) >= 0);
}

static void files_pass_slow_calls_that_do_not_end(void **state)
{
    struct kula_ring *ring = *state;
    struct gate gate = { .open = false };
    fill(ring, &gate);
    for (int i = 0; i < 50; i++) {
        assert_true(kula_statx(ring, AT_FDCWD, "/", 0, NULL) != 0);
    }
    assert_int_equal(collect(ring, 50), 0);
    atomic_store(&gate.open, true);
    assert_int_equal(collect(ring, CALLS), CALLS);
}

static void slow_calls_leave_the_last_quarter_of_the_threads_alone(void **state)
{
    struct kula_ring *ring = *state;
    struct gate gate = { .open = false };
    fill(ring, &gate);
    while (atomic_load(&gate.inside) < THREADS - 1) {
        pause_briefly();
    }
    assert_int_equal(kula__workers_busy(ring), CALLS);
    atomic_store(&gate.open, true);
    assert_int_equal(collect(ring, CALLS), CALLS);
    assert_int_equal(atomic_load(&gate.most_inside), THREADS - 1);
    assert_int_equal(kula__workers_busy(ring), 0);
}

static void workers_have_all_signals_blocked(void **state)
{
    struct kula_ring *ring = *state;
    struct gate gate = { .open = true };
    fill(ring, &gate);
    assert_int_equal(collect(ring, CALLS), CALLS);
    assert_int_equal(atomic_load(&gate.unblocked_signals), 0);
    assert_false(kula__in_program_function());
}

static void a_full_read_goes_on_where_the_worker_stopped(void **state)
{
    struct kula_ring *ring = *state;
    char name[] = "/tmp/kula-unit-XXXXXX";
    int fd = mkostemp(name, O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(unlink(name), 0);
    char content[100];
    memset(content, 'x', sizeof content);
    assert_int_equal(write(fd, content, sizeof content), sizeof content);

    /* From 90 there are 10 bytes, and then the end. */
    kula_buf buffer = kula_alloc(ring, 1000);
    assert_non_null(buffer);
    kula_op read = kula_read(ring, fd, &buffer, 1000, 90, NULL);
    assert_int_equal(kula_option(ring, read, KULA_FULL), 0);
    assert_int_equal(collect(ring, 1), 10);
    assert_int_equal(kula_forget_fd(ring, fd), 0);
    assert_int_equal(close(fd), 0);
}

static kula_op ask_for_root(struct kula_ring *ring)
{
    return kula_statx(ring, AT_FDCWD, "/", 0, NULL);
}

static int32_t answer(void *arg)
{
    (void)arg;
    return 42;
}

static kula_op ask_for_answer(struct kula_ring *ring)
{
    return kula_offload(ring, answer, NULL, NULL);
}

/* The result of an operation for which the first thread of its ring is refused. */
static int64_t without_a_thread(kula_op (*ask)(struct kula_ring *ring))
{
    for (uint64_t nth = 1; nth < 100; nth++) {
        void *opened = NULL;
        assert_int_equal(open_ring(&opened), 0);
        assert_true(ask(opened) != 0);
        kula__fault_arm(nth);
        int64_t result = collect(opened, 1);
        const char *failed = kula__fault_failed();
        assert_int_equal(close_ring(&opened), 0);
        if (failed && strcmp(failed, "pthread_create") == 0) {
            return result;
        }
    }
    fail_msg("no thread was ever asked for");
    return 0;
}

static void without_a_thread_files_are_done_in_place_and_functions_refused(void **state)
{
    (void)state;
    assert_int_equal(without_a_thread(ask_for_root), 0);
    assert_int_equal(without_a_thread(ask_for_answer), -ENOMEM);
}

#define ON_A_RING(test) cmocka_unit_test_setup_teardown(test, open_ring, close_ring)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_A_RING(files_pass_slow_calls_that_do_not_end),
        ON_A_RING(slow_calls_leave_the_last_quarter_of_the_threads_alone),
        ON_A_RING(workers_have_all_signals_blocked),
        ON_A_RING(a_full_read_goes_on_where_the_worker_stopped),
        cmocka_unit_test(without_a_thread_files_are_done_in_place_and_functions_refused),
    };
    return UNIT_MAIN(tests);
}
