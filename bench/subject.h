/* subject.h - what is measured: workloads, and the ways ("subjects") of doing each of them.
 *
 * A subject is one library used in one way. All subjects of a workload do the same work and check
 * the same results, so that what differs is the library. worker.c runs one subject in a process of
 * its own; the scripts next to it repeat, interleave and compare.
 */
#ifndef BENCH_SUBJECT_H
#define BENCH_SUBJECT_H

#include <stdint.h>

/* The file of the read workload, in blocks: small enough to stay in the CPU's caches. */
#define BENCH_BLOCK_BYTES 4096
#define BENCH_FILE_BLOCKS 256

/* Servers offer more room than a message takes: a short receive tells that the socket is empty. */
#define BENCH_MESSAGE_BYTES 64
#define BENCH_RECEIVE_BYTES 256

/* A workload of batches: `depth` operations are started together, and the batch ends when all of
 * them are done. */
struct bench_batch_subject {
    const char *name;
    const char *backend; /* kula: the backend to insist on; others: NULL */
    void *(*open)(const struct bench_batch_subject *subject, unsigned depth, int fd);
    void (*run)(void *state, uint64_t batches);
    void (*close)(void *state);
};

/* An echo server: accepts `connections` connections, sends back what it receives, and returns when
 * all of them are closed. */
struct bench_echo_subject {
    const char *name;
    const char *backend;
    void (*serve)(const char *backend, int listen_fd, unsigned connections);
};

/* Each list ends with a NULL name. */
extern const struct bench_batch_subject bench_handover_kula[];
extern const struct bench_batch_subject bench_nop_kula[];
extern const struct bench_batch_subject bench_nop_uring[];
extern const struct bench_batch_subject bench_read_kula[];
extern const struct bench_batch_subject bench_read_plain[];
extern const struct bench_batch_subject bench_read_uring[];
extern const struct bench_batch_subject bench_read_uv[];
extern const struct bench_batch_subject bench_sleep_kula[];
extern const struct bench_batch_subject bench_sleep_uring[];
extern const struct bench_echo_subject bench_echo_kula[];
extern const struct bench_echo_subject bench_echo_epoll[];
extern const struct bench_echo_subject bench_echo_uring[];
extern const struct bench_echo_subject bench_echo_uv[];
extern const struct bench_echo_subject bench_echo_event[];

#endif
