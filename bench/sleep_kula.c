/* sleep_kula.c - one read for which the wait has to sleep, with kula. Counts system calls. */
#include "kula_ring.h"
#include "sleep_timer.h"
#include "subject.h"

#include <errno.h>
#include <stdlib.h>

struct state {
    struct kula_ring *ring;
    int timer;
    kula_buf buffer;
};

static void *sleep_open(const struct bench_batch_subject *subject, unsigned depth, int fd)
{
    (void)depth;
    (void)fd;
    struct state *state = bench_allocate_checked(1, sizeof(*state));
    state->ring = bench_kula_open(subject->backend);
    state->timer = bench_sleep_timer();
    state->buffer = kula_alloc(state->ring, sizeof(uint64_t));
    if (!state->buffer) {
        bench_fail("kula_alloc", -ENOMEM);
    }
    return state;
}

static void sleep_run(void *opaque, uint64_t batches)
{
    struct state *state = opaque;
    for (uint64_t batch = 0; batch < batches; batch++) {
        bench_sleep_arm(state->timer);
        (void)kula_read(state->ring, state->timer, &state->buffer, sizeof(uint64_t), KULA_CUR,
                        NULL);
        while (!state->buffer) {
            bench_kula_wait(state->ring);
            for (struct kula_event *event; (event = kula_next(state->ring));) {
                if (event->result != sizeof(uint64_t)) {
                    bench_fail("read", event->result < 0 ? event->result : -EIO);
                }
                state->buffer = kula_take(event);
            }
        }
    }
}

static void sleep_close(void *opaque)
{
    struct state *state = opaque;
    kula_free(&state->buffer);
    int timer = state->timer;
    (void)kula_close_fd(state->ring, timer, NULL);
    bench_kula_close(state->ring);
    free(state);
}

const struct bench_batch_subject bench_sleep_kula[] = {
    { "kula-uring", "uring", sleep_open, sleep_run, sleep_close },
    { "kula-epoll", "epoll", sleep_open, sleep_run, sleep_close },
    { "kula-blocking", "blocking", sleep_open, sleep_run, sleep_close },
    { NULL, NULL, NULL, NULL, NULL },
};
