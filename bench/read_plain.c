/* read_plain.c - pread(2) in a loop: what one thread gets without any library. */
#include "harness.h"
#include "subject.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct state {
    int fd;
    unsigned depth;
    uint64_t started;
    unsigned char *memory;
};

static void *plain_open(const struct bench_batch_subject *subject, unsigned depth, int fd)
{
    (void)subject;
    struct state *state = bench_allocate_checked(1, sizeof(*state));
    state->fd = fd;
    state->depth = depth;
    state->memory = bench_allocate_pages_checked((size_t)depth * BENCH_BLOCK_BYTES);
    return state;
}

static void plain_run(void *opaque, uint64_t batches)
{
    struct state *state = opaque;
    for (uint64_t batch = 0; batch < batches; batch++) {
        for (unsigned i = 0; i < state->depth; i++) {
            off_t offset = (off_t)(state->started++ % BENCH_FILE_BLOCKS) * BENCH_BLOCK_BYTES;
            unsigned char *block = state->memory + (size_t)i * BENCH_BLOCK_BYTES;
            ssize_t result = pread(state->fd, block, BENCH_BLOCK_BYTES, offset);
            if (result != BENCH_BLOCK_BYTES) {
                bench_fail("pread", result < 0 ? -errno : -EIO);
            }
        }
    }
}

static void plain_close(void *opaque)
{
    struct state *state = opaque;
    free(state->memory);
    free(state);
}

const struct bench_batch_subject bench_read_plain[] = {
    { "pread", NULL, plain_open, plain_run, plain_close },
    { NULL, NULL, NULL, NULL, NULL },
};
