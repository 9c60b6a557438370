/* read_kula.c - positional reads with kula, each into a buffer that travels there and back. */
#include "kula_ring.h"
#include "subject.h"

#include <errno.h>
#include <stdlib.h>

struct state {
    struct kula_ring *ring;
    int fd;
    unsigned depth;
    kula_buf buffers[];
};

static void *read_open(const struct bench_batch_subject *subject, unsigned depth, int fd)
{
    size_t size_bytes = sizeof(struct state) + depth * sizeof(kula_buf);
    struct state *state = bench_allocate_checked(1, size_bytes);
    state->ring = bench_kula_open(subject->backend);
    state->fd = fd;
    state->depth = depth;
    for (unsigned i = 0; i < depth; i++) {
        state->buffers[i] = kula_alloc(state->ring, BENCH_BLOCK_BYTES);
        if (!state->buffers[i]) {
            bench_fail("kula_alloc", -ENOMEM);
        }
    }
    return state;
}

static void read_run(void *opaque, uint64_t batches)
{
    struct state *state = opaque;
    struct kula_ring *ring = state->ring;
    unsigned depth = state->depth;
    uint64_t started = 0;
    for (uint64_t batch = 0; batch < batches; batch++) {
        for (unsigned i = 0; i < depth; i++) {
            uint64_t offset = started++ % BENCH_FILE_BLOCKS * BENCH_BLOCK_BYTES;
            kula_buf *buffer = &state->buffers[i];
            (void)kula_read(ring, state->fd, buffer, BENCH_BLOCK_BYTES, (int64_t)offset,
                            buffer);
        }
        for (unsigned left = depth; left > 0;) {
            bench_kula_wait(ring);
            for (struct kula_event *event; (event = kula_next(ring));) {
                if (event->result != BENCH_BLOCK_BYTES) {
                    bench_fail("read", event->result < 0 ? event->result : -EIO);
                }
                *(kula_buf *)event->user = kula_take(event);
                left--;
            }
        }
    }
}

static void read_close(void *opaque)
{
    struct state *state = opaque;
    for (unsigned i = 0; i < state->depth; i++) {
        kula_free(&state->buffers[i]);
    }
    bench_kula_close(state->ring);
    free(state);
}

const struct bench_batch_subject bench_read_kula[] = {
    { "kula-uring", "uring", read_open, read_run, read_close },
    { "kula-epoll", "epoll", read_open, read_run, read_close },
    { "kula-blocking", "blocking", read_open, read_run, read_close },
    { NULL, NULL, NULL, NULL, NULL },
};
