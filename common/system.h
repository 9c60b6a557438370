/* system.h - system calls and allocations, through the choke point, with -errno results.
 *
 * What the backends share is here; what only one of them calls (io_uring_enter, epoll_wait) it wraps
 * itself, in the same form: kula__fault() first, then the call, then -errno. -EINTR is retried
 * inside where that is right (everything but sleeping).
 */
#ifndef KULA_COMMON_SYSTEM_H
#define KULA_COMMON_SYSTEM_H

#include "fault.h"

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

/* ---- Memory ---- */

void *kula__memory_new(size_t bytes); /* zeroed; NULL when there is none */
void *kula__memory_resize(void *memory, size_t bytes);
void kula__memory_free(void *memory);

/* Zeroed pages. `private_to_process`: children do not get them (MADV_DONTFORK). NULL: none left. */
void *kula__pages_new(size_t bytes, int private_to_process);
void kula__pages_free(void *pages, size_t bytes);

/* The same at an address that is a multiple of `alignment`, a power of two; and on huge pages that the
 * system has set aside (Linux only). Both are private to the process. */
void *kula__pages_new_aligned(size_t bytes, size_t alignment);
void *kula__pages_new_reserved(size_t bytes);

/* Pages that a child of fork() finds zeroed (MADV_WIPEONFORK where there is such a thing; elsewhere
 * process.c zeroes the owner words in pthread_atfork). */
void *kula__pages_new_wiped(size_t bytes);

size_t kula__page_bytes(void);

/* What one thread did with memory comes before what another does with the next memory at the same
 * address. The kernel's map of the process sees to that; these two say it in the language, one before
 * unmapping, the other after mapping by a call that race detectors do not know. */
void kula__addresses_leave(void);
void kula__addresses_arrive(void);

/* ---- Time ---- */

int64_t kula__now_ns(void); /* monotonic */

/* ---- Descriptors: every new one is close-on-exec ---- */

int kula__sys_close(int fd); /* never retried; -EINTR is 0: closed */
int kula__sys_read(int fd, void *data, size_t bytes);

/* How a descriptor was opened, and its flags (F_GETFL), or a negative errno. */
int kula__sys_status_flags(int fd);
/* Whether a number is an open descriptor. */
bool kula__sys_is_open(int fd);

/* A descriptor to wake a sleeper with: an eventfd, or a pipe off Linux; non-blocking. A signal may be
 * sent from any thread and from a signal handler, and is coalesced. */
struct kula__signal {
    int read_fd;
    int write_fd;
};
int kula__signal_open(struct kula__signal *ret_signal);
void kula__signal_close(struct kula__signal *wake);
void kula__signal_send(const struct kula__signal *wake);
void kula__signal_clear(const struct kula__signal *wake);

/* poll(2) with an absolute end: timeout_ns < 0 for ever. Returns what poll does, or -errno, and
 * -EINTR is returned, for the caller knows whether to go on. */
int kula__sys_poll(struct pollfd *fds, size_t count, int64_t timeout_ns);

#endif
