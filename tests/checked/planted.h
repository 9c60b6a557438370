/* planted.h - what the programs with planted faults share.
 *
 * Each of them does one thing that no program may do, in a function of its own, and with -DCORRECTED
 * the nearest thing that is in order. The head comment says which level of checked mode has to say
 * what; checked.py runs them and compares.
 */
#ifndef KULA_TESTS_PLANTED_H
#define KULA_TESTS_PLANTED_H

#include <kula.h>

#include <stdbool.h>
#include <stddef.h>

#define PLANTED_BYTES 4096

/* A ring on the backend that argv names, and nothing but it; the program exits with 77 where that cannot
 * be had. With KULA_DEBUG=guard, a SIGSEGV inside `watched` is told on stderr, with the function
 * that caused it. */
struct kula_ring *planted_open(int argc, char **argv);

/* Closes it; the exit status of the program. */
int planted_close(struct kula_ring *ring);

/* A pool of the ring with a few buffers of this size. */
struct kula_pool *planted_pool(struct kula_ring *ring, size_t buffer_bytes);

/* Two ends of a stream: of a Unix socket; of a TCP connection over loopback. */
void planted_pair(int fds[2]);
void planted_connection(int fds[2]);
void planted_put(int fd, const char *text);

/* Starts what was handed over, without waiting for its end. */
void planted_start(struct kula_ring *ring);

/* Waits for the next event. */
struct kula_event *planted_await(struct kula_ring *ring);

/* A copy of a handle, by a way that no compiler follows. */
kula_buf planted_alias(kula_buf buffer);

/* The culprits. */
unsigned char planted_read(const unsigned char *bytes, size_t at);
void planted_write(unsigned char *bytes, size_t at);

/* Depends on a byte, so that it matters whether anybody ever wrote it. */
void planted_branch(const unsigned char *bytes, size_t at);

/* What a SIGSEGV is measured against. */
void planted_watch(const unsigned char *bytes, size_t count);

#endif
