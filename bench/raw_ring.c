#include "raw_ring.h"

#include <string.h>

void bench_ring_open(struct io_uring *ring)
{
    struct io_uring_params params;
    memset(&params, 0, sizeof(params));
    params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
    int error = io_uring_queue_init_params(BENCH_RING_ENTRIES, ring, &params);
    if (error < 0) {
        bench_skip("io_uring_setup with SINGLE_ISSUER and DEFER_TASKRUN", error);
    }
    error = io_uring_register_ring_fd(ring);
    if (error < 0) {
        bench_skip("io_uring_register_ring_fd", error);
    }
}
