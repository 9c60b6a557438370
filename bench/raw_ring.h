/* raw_ring.h - the io_uring that kula is compared with: what a careful programmer gets from
 * liburing 2.3, with SINGLE_ISSUER, DEFER_TASKRUN and a registered ring descriptor.
 *
 * The per-batch functions are inline so that the reference pays for no call that a hand-written
 * loop would not have. */
#ifndef BENCH_RAW_RING_H
#define BENCH_RAW_RING_H

#include "harness.h"

#include <liburing.h>

/* As many entries as kula takes by default. */
#define BENCH_RING_ENTRIES 256

/* Skips the program where the kernel refuses. */
void bench_ring_open(struct io_uring *ring);

/* Never NULL: submits when the queue is full. */
static inline struct io_uring_sqe *bench_ring_sqe(struct io_uring *ring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    while (!sqe) {
        int result = io_uring_submit(ring);
        if (result < 0) {
            bench_fail("io_uring_submit", result);
        }
        sqe = io_uring_get_sqe(ring);
    }
    return sqe;
}

/* The plain way: one enter that submits and waits for one completion. */
static inline void bench_ring_submit_and_wait(struct io_uring *ring)
{
    int result = io_uring_submit_and_wait(ring, 1);
    if (result < 0) {
        bench_fail("io_uring_submit_and_wait", result);
    }
}

/* An enter that only submits, and a second one only if that brought no completion. For what
 * completes inline the kernel's way into a wait is saved. */
static inline void bench_ring_submit_first(struct io_uring *ring)
{
    int result = io_uring_submit(ring);
    if (result < 0) {
        bench_fail("io_uring_submit", result);
    }
    if (io_uring_cq_ready(ring) == 0) {
        bench_ring_submit_and_wait(ring);
    }
}

/* Always called with a constant, and inlined. */
typedef void (*bench_ring_wait_fn)(struct io_uring *ring);

#endif
