/* read_uv.c - positional reads with libuv, whose uv_fs_read hands every read to its threads. */
#include "harness.h"
#include "subject.h"

#include <errno.h>
#include <stdlib.h>
#include <uv.h>

struct state {
    uv_loop_t loop;
    int fd;
    unsigned depth;
    uint64_t started;
    uv_fs_t *requests;
    uv_buf_t *buffers;
};

static void uv_checked(int result, const char *what)
{
    if (result < 0) {
        bench_fail(what, result);
    }
}

static void *read_open(const struct bench_batch_subject *subject, unsigned depth, int fd)
{
    (void)subject;
    struct state *state = bench_allocate_checked(1, sizeof(*state));
    uv_checked(uv_loop_init(&state->loop), "uv_loop_init");
    state->fd = fd;
    state->depth = depth;
    state->requests = bench_allocate_checked(depth, sizeof(*state->requests));
    state->buffers = bench_allocate_checked(depth, sizeof(*state->buffers));
    for (unsigned i = 0; i < depth; i++) {
        char *block = bench_allocate_pages_checked(BENCH_BLOCK_BYTES);
        state->buffers[i] = uv_buf_init(block, BENCH_BLOCK_BYTES);
    }
    return state;
}

static void on_read(uv_fs_t *request)
{
    if (request->result != BENCH_BLOCK_BYTES) {
        bench_fail("uv_fs_read", request->result < 0 ? (int)request->result : -EIO);
    }
    uv_fs_req_cleanup(request);
}

static void read_run(void *opaque, uint64_t batches)
{
    struct state *state = opaque;
    for (uint64_t batch = 0; batch < batches; batch++) {
        for (unsigned i = 0; i < state->depth; i++) {
            int64_t offset =
                (int64_t)(state->started++ % BENCH_FILE_BLOCKS) * BENCH_BLOCK_BYTES;
            int result = uv_fs_read(&state->loop, &state->requests[i], state->fd,
                                    &state->buffers[i], 1, offset, on_read);
            uv_checked(result, "uv_fs_read");
        }
        (void)uv_run(&state->loop, UV_RUN_DEFAULT); /* returns when no read is left */
    }
}

static void read_close(void *opaque)
{
    struct state *state = opaque;
    uv_checked(uv_loop_close(&state->loop), "uv_loop_close");
    for (unsigned i = 0; i < state->depth; i++) {
        free(state->buffers[i].base);
    }
    free(state->buffers);
    free(state->requests);
    free(state);
}

const struct bench_batch_subject bench_read_uv[] = {
    { "libuv", NULL, read_open, read_run, read_close },
    { NULL, NULL, NULL, NULL, NULL },
};
