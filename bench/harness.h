/* harness.h - what every measured program needs: clocks, memory, and ways to stop.
 *
 * Nothing in bench/ handles an error: a measurement that went wrong is not a measurement. Functions
 * named *_checked stop the program on failure.
 */
#ifndef BENCH_HARNESS_H
#define BENCH_HARNESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What ctest and automake take for "skipped". */
#define BENCH_EXIT_SKIPPED 77

uint64_t bench_wall_ns(void);

/* CPU time of a whole process with all its threads, the kernel's workers for it included. */
uint64_t bench_process_cpu_ns(pid_t process);

/* Prints "what: message of error" and ends the program; error is a negative errno. */
_Noreturn void bench_fail(const char *what, int error);

/* The same, for something that this machine does not offer: ends with BENCH_EXIT_SKIPPED. */
_Noreturn void bench_skip(const char *what, int error);

/* Returns value, or fails with -errno when it is negative. */
int bench_checked(int value, const char *what);

void *bench_allocate_checked(size_t count, size_t size_bytes);

/* Page aligned, as the buffers of the library are. */
void *bench_allocate_pages_checked(size_t size_bytes);

#endif
