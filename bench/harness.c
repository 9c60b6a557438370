#include "harness.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAGE_BYTES 4096

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    bench_checked(clock_gettime(clock, &now), "clock_gettime");
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint64_t bench_wall_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t bench_process_cpu_ns(pid_t process)
{
    clockid_t clock;
    int error = clock_getcpuclockid(process, &clock);
    if (error != 0) {
        bench_fail("clock_getcpuclockid", -error);
    }
    return clock_ns(clock);
}

static _Noreturn void stop(const char *what, int error, int status)
{
    (void)fflush(stdout);
    (void)fprintf(stderr, "%s: %s\n", what, strerror(-error));
    exit(status);
}

void bench_fail(const char *what, int error)
{
    stop(what, error, EXIT_FAILURE);
}

void bench_skip(const char *what, int error)
{
    stop(what, error, BENCH_EXIT_SKIPPED);
}

int bench_checked(int value, const char *what)
{
    if (value < 0) {
        bench_fail(what, -errno);
    }
    return value;
}

void *bench_allocate_checked(size_t count, size_t size_bytes)
{
    void *memory = calloc(count, size_bytes);
    if (!memory) {
        bench_fail("calloc", -ENOMEM);
    }
    return memory;
}

void *bench_allocate_pages_checked(size_t size_bytes)
{
    size_t rounded_bytes = (size_bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    void *memory = aligned_alloc(PAGE_BYTES, rounded_bytes);
    if (!memory) {
        bench_fail("aligned_alloc", -ENOMEM);
    }
    return memset(memory, 0, rounded_bytes);
}
