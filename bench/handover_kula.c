/* handover_kula.c - buffers handed over and taken back, with nothing in between: sends of no bytes on a
 * stream socket, which the ring ends without asking the kernel. What is left is the library's own. */
#include "kula_ring.h"
#include "subject.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct state {
    struct kula_ring *ring;
    int sockets[2];
    unsigned depth;
    kula_buf buffers[];
};

static void *handover_open(const struct bench_batch_subject *subject, unsigned depth, int fd)
{
    (void)fd;
    size_t size_bytes = sizeof(struct state) + depth * sizeof(kula_buf);
    struct state *state = bench_allocate_checked(1, size_bytes);
    state->ring = bench_kula_open(subject->backend);
    state->depth = depth;
    (void)bench_checked(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, state->sockets),
                        "socketpair");
    for (unsigned i = 0; i < depth; i++) {
        state->buffers[i] = kula_alloc(state->ring, 64);
        if (!state->buffers[i]) {
            bench_fail("kula_alloc", -ENOMEM);
        }
    }
    return state;
}

static void handover_run(void *opaque, uint64_t batches)
{
    struct state *state = opaque;
    struct kula_ring *ring = state->ring;
    unsigned depth = state->depth;
    for (uint64_t batch = 0; batch < batches; batch++) {
        for (unsigned i = 0; i < depth; i++) {
            kula_buf *buffer = &state->buffers[i];
            (void)kula_send(ring, state->sockets[0], buffer, 0, 0, buffer);
        }
        for (unsigned left = depth; left > 0;) {
            bench_kula_wait(ring);
            for (struct kula_event *event; (event = kula_next(ring));) {
                if (event->result != 0) {
                    bench_fail("send", event->result < 0 ? event->result : -EIO);
                }
                *(kula_buf *)event->user = kula_take(event);
                left--;
            }
        }
    }
}

static void handover_close(void *opaque)
{
    struct state *state = opaque;
    for (unsigned i = 0; i < state->depth; i++) {
        kula_free(&state->buffers[i]);
    }
    bench_kula_close(state->ring);
    (void)close(state->sockets[0]);
    (void)close(state->sockets[1]);
    free(state);
}

const struct bench_batch_subject bench_handover_kula[] = {
    { "kula-uring", "uring", handover_open, handover_run, handover_close },
    { "kula-epoll", "epoll", handover_open, handover_run, handover_close },
    { "kula-blocking", "blocking", handover_open, handover_run, handover_close },
    { NULL, NULL, NULL, NULL, NULL },
};
