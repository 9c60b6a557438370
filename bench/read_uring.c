/* read_uring.c - positional reads with raw liburing; file and buffers are not registered, because
 * kula's are not. */
#include "raw_ring.h"
#include "subject.h"

#include <errno.h>
#include <stdlib.h>

struct state {
    struct io_uring ring;
    int fd;
    unsigned depth;
    unsigned char *buffers[];
};

static void *read_open(const struct bench_batch_subject *subject, unsigned depth, int fd)
{
    (void)subject;
    struct state *state =
        bench_allocate_checked(1, sizeof(*state) + depth * sizeof(state->buffers[0]));
    bench_ring_open(&state->ring);
    state->fd = fd;
    state->depth = depth;
    for (unsigned i = 0; i < depth; i++) {
        state->buffers[i] = bench_allocate_pages_checked(BENCH_BLOCK_BYTES);
    }
    return state;
}

static inline __attribute__((always_inline)) void run(struct state *state,
                                                      uint64_t batches,
                                                      bench_ring_wait_fn wait)
{
    struct io_uring *ring = &state->ring;
    unsigned depth = state->depth;
    uint64_t started = 0;
    for (uint64_t batch = 0; batch < batches; batch++) {
        for (unsigned i = 0; i < depth; i++) {
            uint64_t offset = started++ % BENCH_FILE_BLOCKS * BENCH_BLOCK_BYTES;
            struct io_uring_sqe *sqe = bench_ring_sqe(ring);
            io_uring_prep_read(sqe, state->fd, state->buffers[i], BENCH_BLOCK_BYTES, offset);
            io_uring_sqe_set_data(sqe, state->buffers[i]);
        }
        for (unsigned done = 0; done < depth;) {
            wait(ring);
            struct io_uring_cqe *cqe;
            unsigned head;
            unsigned count = 0;
            io_uring_for_each_cqe(ring, head, cqe)
            {
                if (cqe->res != BENCH_BLOCK_BYTES) {
                    bench_fail("read", cqe->res < 0 ? cqe->res : -EIO);
                }
                state->buffers[done + count] = io_uring_cqe_get_data(cqe);
                count++;
            }
            io_uring_cq_advance(ring, count);
            done += count;
        }
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

static void read_close(void *opaque)
{
    struct state *state = opaque;
    io_uring_queue_exit(&state->ring);
    for (unsigned i = 0; i < state->depth; i++) {
        free(state->buffers[i]);
    }
    free(state);
}

const struct bench_batch_subject bench_read_uring[] = {
    { "raw", NULL, read_open, run_raw, read_close },
    { "raw-first", NULL, read_open, run_first, read_close },
    { NULL, NULL, NULL, NULL, NULL },
};
