/* nop_kula.c - no-operations with kula: what an operation's way through the library costs. */
#include "kula_ring.h"
#include "subject.h"

#include <errno.h>
#include <stdlib.h>

struct state {
    struct kula_ring *ring;
    unsigned depth;
};

static void *nop_open(const struct bench_batch_subject *subject, unsigned depth, int fd)
{
    (void)fd;
    struct state *state = bench_allocate_checked(1, sizeof(*state));
    state->ring = bench_kula_open(subject->backend);
    state->depth = depth;
    return state;
}

static void nop_run(void *opaque, uint64_t batches)
{
    struct state *state = opaque;
    struct kula_ring *ring = state->ring;
    unsigned depth = state->depth;
    uint64_t started = 0;
    uint64_t sum = 0;
    for (uint64_t batch = 0; batch < batches; batch++) {
        for (unsigned i = 0; i < depth; i++) {
            started++;
            if (kula_nop(ring, (void *)(uintptr_t)started) == 0) {
                bench_fail("kula_nop", -ENOMEM);
            }
        }
        for (unsigned left = depth; left > 0;) {
            bench_kula_wait(ring);
            for (struct kula_event *event; (event = kula_next(ring));) {
                if (event->result < 0) {
                    bench_fail("nop", event->result);
                }
                sum += (uintptr_t)event->user;
                left--;
            }
        }
    }
    if (sum != started * (started + 1) / 2) {
        bench_fail("nop: the wrong completions came", -EPROTO);
    }
}

static void nop_close(void *opaque)
{
    struct state *state = opaque;
    bench_kula_close(state->ring);
    free(state);
}

const struct bench_batch_subject bench_nop_kula[] = {
    { "kula-uring", "uring", nop_open, nop_run, nop_close },
    { "kula-epoll", "epoll", nop_open, nop_run, nop_close },
    { "kula-blocking", "blocking", nop_open, nop_run, nop_close },
    { NULL, NULL, NULL, NULL, NULL },
};
