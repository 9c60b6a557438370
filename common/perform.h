/* perform.h - every operation as plain calls, for whoever has no ring: workers, the in-place tries of
 * epoll and blocking, and routes that a kernel's ring lacks.
 *
 * What carries the program's bytes is a raw system call on Linux (syscall(2)): a sanitizer's
 * interceptor would look at buffers that are away from the program, and report what is in order.
 */
#ifndef KULA_COMMON_PERFORM_H
#define KULA_COMMON_PERFORM_H

#include "fd.h"
#include "slot.h"

struct kula_ring;

/* Does the operation and waits as long as it takes. For workers (all signals blocked) and, in place,
 * for calls of class QUICK or on files: SIGPIPE and SIGXFSZ do not reach the program there either.
 * `kind` is what the descriptor is (KULA__FD_UNKNOWN where there is none). Returns the raw result.
 * -EINTR is retried. Thread: any, one at a time for a record; touches only the record, its cold
 * part and its block. */
int32_t kula__perform(struct kula__slot *slot, enum kula__fd_kind kind);

/* Tries the operation without waiting, whatever the descriptor's O_NONBLOCK flag says: sockets with
 * MSG_DONTWAIT, pipes and ttys with RWF_NOWAIT where that works on them, else poll(2) first and
 * pieces of at most PIPE_BUF; files with RWF_NOWAIT. accept, connect: one try; a connect under way
 * is remembered in cold->scratch[0] and asked for its outcome (SO_ERROR) by the next try. Returns
 * the raw result, or
 *   -EAGAIN      it has to wait for poll events kula__wanted(slot)
 *   -EOPNOTSUPP  it cannot be tried in place (a file that is not cached, or cannot tell; an operation
 *                that has no such form): give it to a worker, or perform it in place
 * The caller sets scratch[0] to 0 before the first try. `features` as in ring->features: RWF_NOWAIT
 * and RWF_NOSIGNAL are used only when their bits are set. Thread: owner. */
int32_t kula__attempt(struct kula_ring *ring, struct kula__slot *slot, struct kula__fd *record);

/* Whether an openat has to wait for somebody else, as far as can be seen without trying: a FIFO is
 * opened when the other end is. The answer may be old by the time of the open. */
bool kula__open_waits(const struct kula__slot *slot);

/* Whether -EOPNOTSUPP as the answer to a try is the descriptor's own, and not that it cannot be tried: these
 * can be tried on whatever has them. */
static inline bool kula__can_be_tried(const struct kula__slot *slot)
{
    return slot->operation == KULA__OP_RECV || slot->operation == KULA__OP_SEND ||
           slot->operation == KULA__OP_ACCEPT;
}

/* The poll(2) events that an operation waits for. */
short kula__wanted(const struct kula__slot *slot);

/* Forgets what earlier tries have remembered: the operation is given up. A connect under way goes on
 * inside the kernel, as it does after the cancel of one that a ring has. */
void kula__attempt_abandon(struct kula__slot *slot);

/* Asks the running system which of RWF_NOWAIT and RWF_NOSIGNAL work, with a pipe; a set of
 * KULA__FEATURE bits. */
uint64_t kula__perform_features(void);

/* Turns the ring's raw statx answer into kula_stat (Linux). */
void kula__stat_convert(struct kula__slot *slot);

#endif
