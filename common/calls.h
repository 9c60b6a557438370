/* calls.h - the system calls that performing and trying share (perform.c, attempt.c).
 *
 * They give -errno and keep -EINTR inside. Those that carry the program's bytes are raw on Linux.
 */
#ifndef KULA_COMMON_CALLS_H
#define KULA_COMMON_CALLS_H

#include "fd.h"
#include "slot.h"

#include <kula.h>

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* Not every system has it, and then nobody can ask for it. */
#ifdef MSG_ZEROCOPY
#    define KULA__MSG_ZEROCOPY MSG_ZEROCOPY
#else
#    define KULA__MSG_ZEROCOPY 0
#endif

/* RWF_NOSIGNAL is younger than most headers. */
#define KULA__RWF_NOWAIT   0x00000008
#define KULA__RWF_NOSIGNAL 0x00000100

/* The bytes of an operation as a vector. */
struct kula__span {
    struct iovec *parts;
    uint32_t count;
};

/* `single` is room for an operation that has only one buffer. */
struct kula__span kula__span_of(const struct kula__slot *slot, struct iovec *single);
uint64_t kula__span_bytes(const struct kula__span *span);

/* Leaves out the first bytes; there are more than that. The vector itself changes: what is returned
 * has to be put back into span->parts[0] before anybody else looks at it. */
struct iovec kula__span_skip(struct kula__span *span, uint64_t bytes);

/* read, write and their other forms; offset KULA_CUR is the file's own position. */
int32_t kula__call_read(int fd, const struct kula__span *span, int64_t offset);
int32_t kula__call_write(int fd, const struct kula__span *span, int64_t offset);

/* preadv2 and pwritev2 with RWF_ flags; -EOPNOTSUPP where there is no such thing. */
int32_t kula__call_read_flagged(int fd,
                                const struct kula__span *span,
                                int64_t offset,
                                int flags);
int32_t kula__call_write_flagged(int fd,
                                 const struct kula__span *span,
                                 int64_t offset,
                                 int flags);

/* recvmsg and sendmsg. */
int32_t kula__call_receive(int fd, const struct kula__span *span, int flags);
int32_t kula__call_send(int fd, const struct kula__span *span, int flags);

/* accept4 with the peer's address into the operation's block; the new descriptor is close-on-exec and
 * blocking. Connections that died while they waited are skipped. */
int32_t kula__call_accept(struct kula__slot *slot);

/* connect without waiting, whatever the socket's O_NONBLOCK flag says; and what became of one that went on by
 * itself. */
int32_t kula__call_connect_at_once(struct kula__slot *slot);
int32_t kula__call_connected(int fd);

/* poll(2) for one descriptor: the events that are there, 0 after the time-out, or -errno. */
int32_t kula__call_poll(int fd, short events, int64_t timeout_ns);

/* Between these two the descriptor is non-blocking, for one call that does not wait. One thread of the
 * process at a time: the first of two that end would make it blocking again before the call of the
 * second. begin gives the flags for end, or -errno, and then there is no end. */
int kula__nonblocking_begin(int fd);
void kula__nonblocking_end(int fd, int flags);

/* Between these two no SIGPIPE and no SIGXFSZ that the calling thread causes is delivered. `suspect`:
 * a call fell short, so that it may have raised one. They nest: two system calls (0.3 us) for a whole
 * batch of writes, if whoever drives it begins. The struct must stay where it is until the end. */
struct kula__quiet {
    sigset_t mask;    /* before */
    sigset_t pending; /* before */
    bool suspect;
};
void kula__quiet_begin(struct kula__quiet *quiet);
void kula__quiet_end(struct kula__quiet *quiet, bool suspect);

#endif
