/* sleep_uring.c - one read for which the wait has to sleep, with raw liburing. */
#include "raw_ring.h"
#include "sleep_timer.h"
#include "subject.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct state {
    struct io_uring ring;
    int timer;
    uint64_t expirations;
};

static void *sleep_open(const struct bench_batch_subject *subject, unsigned depth, int fd)
{
    (void)subject;
    (void)depth;
    (void)fd;
    struct state *state = bench_allocate_checked(1, sizeof(*state));
    bench_ring_open(&state->ring);
    state->timer = bench_sleep_timer();
    return state;
}

static inline __attribute__((always_inline)) void run(struct state *state,
                                                      uint64_t batches,
                                                      bench_ring_wait_fn wait)
{
    for (uint64_t batch = 0; batch < batches; batch++) {
        bench_sleep_arm(state->timer);
        struct io_uring_sqe *sqe = bench_ring_sqe(&state->ring);
        io_uring_prep_read(sqe, state->timer, &state->expirations, sizeof(state->expirations),
                           (uint64_t)-1);
        wait(&state->ring);
        struct io_uring_cqe *cqe;
        int error = io_uring_peek_cqe(&state->ring, &cqe);
        if (error < 0 || cqe->res != sizeof(state->expirations)) {
            bench_fail("read", error < 0 ? error : -EIO);
        }
        io_uring_cqe_seen(&state->ring, cqe);
    }
}

static void run_raw(void *state, uint64_t batches)
{
    run(state, batches, bench_ring_submit_and_wait);
}

static void run_first(void *state, uint64_t batches)
{
    run(state, batches, bench_ring_submit_first);
}

static void sleep_close(void *opaque)
{
    struct state *state = opaque;
    io_uring_queue_exit(&state->ring);
    (void)close(state->timer);
    free(state);
}

const struct bench_batch_subject bench_sleep_uring[] = {
    { "raw", NULL, sleep_open, run_raw, sleep_close },
    { "raw-first", NULL, sleep_open, run_first, sleep_close },
    { NULL, NULL, NULL, NULL, NULL },
};
