/* kula_ring.h - how the kula subjects open and wait: the library's defaults, on one backend. */
#ifndef BENCH_KULA_RING_H
#define BENCH_KULA_RING_H

#include "harness.h"

#include <kula.h>

/* Skips the program where the backend is not available. */
struct kula_ring *bench_kula_open(const char *backend);

void bench_kula_close(struct kula_ring *ring);

/* Fails when kula_wait does. */
static inline void bench_kula_wait(struct kula_ring *ring)
{
    int result = kula_wait(ring, KULA_FOREVER);
    if (result < 0) {
        bench_fail("kula_wait", result);
    }
}

#endif
