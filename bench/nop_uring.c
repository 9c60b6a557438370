/* nop_uring.c - no-operations with raw liburing: the floor for everything else. */
#include "harness.h"
#include "raw_ring.h"
#include "subject.h"

#include <errno.h>
#include <stdlib.h>

struct state {
    struct io_uring ring;
    unsigned depth;
};

static void *nop_open(const struct bench_batch_subject *subject, unsigned depth, int fd)
{
    (void)subject;
    (void)fd;
    struct state *state = bench_allocate_checked(1, sizeof(*state));
    bench_ring_open(&state->ring);
    state->depth = depth;
    return state;
}

static inline __attribute__((always_inline)) void run(struct state *state,
                                                      uint64_t batches,
                                                      bench_ring_wait_fn wait)
{
    struct io_uring *ring = &state->ring;
    unsigned depth = state->depth;
    uint64_t started = 0;
    uint64_t sum = 0;
    for (uint64_t batch = 0; batch < batches; batch++) {
        for (unsigned i = 0; i < depth; i++) {
            struct io_uring_sqe *sqe = bench_ring_sqe(ring);
            io_uring_prep_nop(sqe);
            io_uring_sqe_set_data64(sqe, ++started);
        }
        for (unsigned left = depth; left > 0;) {
            wait(ring);
            struct io_uring_cqe *cqe;
            unsigned head;
            unsigned count = 0;
            io_uring_for_each_cqe(ring, head, cqe)
            {
                if (cqe->res < 0) {
                    bench_fail("nop", cqe->res);
                }
                sum += io_uring_cqe_get_data64(cqe);
                count++;
            }
            io_uring_cq_advance(ring, count);
            left -= count;
        }
    }
    if (sum != started * (started + 1) / 2) {
        bench_fail("nop: the wrong completions came", -EPROTO);
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

static void nop_close(void *opaque)
{
    struct state *state = opaque;
    io_uring_queue_exit(&state->ring);
    free(state);
}

const struct bench_batch_subject bench_nop_uring[] = {
    { "raw", NULL, nop_open, run_raw, nop_close },
    { "raw-first", NULL, nop_open, run_first, nop_close },
    { NULL, NULL, NULL, NULL, NULL },
};
