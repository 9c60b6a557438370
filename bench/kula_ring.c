#include "kula_ring.h"

#include <errno.h>
#include <stdio.h>

struct kula_ring *bench_kula_open(const char *backend)
{
    char strict[32];
    (void)snprintf(strict, sizeof(strict), "strict:%s", backend);
    struct kula_config config = KULA_CONFIG_INIT;
    config.backend = strict;
    config.flags = KULA_CONFIG_IGNORE_ENV;
    struct kula_ring *ring = NULL;
    int error = kula_open(&config, &ring);
    if (error < 0) {
        bench_skip(strict, error);
    }
    return ring;
}

void bench_kula_close(struct kula_ring *ring)
{
    int error = kula_close(&ring, KULA_FOREVER);
    if (error < 0) {
        bench_fail("kula_close", error);
    }
}
