/* kula/borrow.h - memory that cannot be owned: on the stack, or somebody else's. Included by kula.h.
 *
 * Memory that is not a kula_buf can be lent for as long as a call, or a scope, lasts. Both have one
 * rule: they do not return before the kernel is done with the memory, whatever happens: time-out,
 * signal, error. So what was lent is whole again on the next line.
 *
 * One thing can break that promise, and says so with a result of its own: when the ring becomes unusable
 * while the kernel has the memory (the program has closed the ring's descriptor, or the kernel has
 * dropped completions), nobody will ever know when the kernel is done. Then, and never else, the result
 * is -ENOTRECOVERABLE: do not free, reuse or leave the memory; ending the process is what is left.
 */
#ifndef KULA_BORROW_H
#define KULA_BORROW_H

#include "handles.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- One call ----------------------------------------------------------------------------- */

/* These hand one transfer over, wait for its final completion, and return its result. They flush like
 * kula_wait, and the transfer takes its place in the descriptor's order like any other. Events of other
 * operations that end meanwhile, timers and messages are not lost: they wait for kula_next, in their
 * order; so does a kula_wake for the next kula_wait. When the time has passed the transfer is cancelled,
 * and the call returns when it has ended; what cannot be stopped is waited for, and its result counts.
 * kula_send_sync copies, with MSG_ZEROCOPY too: else it would wait for the peer, however little time it has.
 *
 * Sizes:   length in bytes, 0 to 2^31-1; more than KULA_TRANSFER_MAX is cut; offset and msg_flags as
 *          kula_read and kula_recv; timeout_ns in nanoseconds, 0 = what can be done at once, negative =
 *          for ever; options: enum kula_options as for kula_option (KULA_FULL...), or 0
 * Owner:   the memory is the ring's during the call only
 * Errors:  a count, which may be short; -ETIME before any byte moved; the results of kula_read,
 *          kula_write, kula_recv and kula_send; -EFAULT memory that is not there; -EINVAL also an
 *          unknown option; -EAGAIN no record is left (operations_max), or as KULA_NOWAIT has it;
 *          -ECANCELED the ring is closing; -EBADR the ring is broken and the transfer has ended, or was
 *          never started; -ENOTRECOVERABLE see above; -EPERM, -EOWNERDEAD (misuse), -EDEADLK as
 *          kula_wait, and nothing was started
 * Thread:  owner
 * Kernel:  as the operation of the same name */
KULA_API KULA_MUST_USE int32_t kula_read_sync(struct kula_ring *ring,
                                              int fd,
                                              void *memory,
                                              size_t length,
                                              int64_t offset,
                                              uint32_t options,
                                              int64_t timeout_ns);
KULA_API KULA_MUST_USE int32_t kula_write_sync(struct kula_ring *ring,
                                               int fd,
                                               const void *memory,
                                               size_t length,
                                               int64_t offset,
                                               uint32_t options,
                                               int64_t timeout_ns);
KULA_API KULA_MUST_USE int32_t kula_recv_sync(struct kula_ring *ring,
                                              int fd,
                                              void *memory,
                                              size_t length,
                                              int msg_flags,
                                              uint32_t options,
                                              int64_t timeout_ns);
KULA_API KULA_MUST_USE int32_t kula_send_sync(struct kula_ring *ring,
                                              int fd,
                                              const void *memory,
                                              size_t length,
                                              int msg_flags,
                                              uint32_t options,
                                              int64_t timeout_ns);

/* ---- A scope ------------------------------------------------------------------------------ */

/* Several operations on memory that lives as long as a block of the program. Begin it after the
 * memory, end it before the memory goes:
 *
 *     unsigned char head[16], body[4096];
 *     struct kula_scope scope;
 *     if (kula_scope_begin(ring, &scope) == 0) {
 *         kula_scope_read(&scope, fd, head, sizeof head, 0, NULL);
 *         kula_scope_read(&scope, fd, body, sizeof body, 4096, NULL);
 *         kula_scope_end(&scope, KULA_SECOND);
 *     }
 *
 * Its operations are like all others: kula_cancel, kula_deadline, kula_option, kula_after and
 * kula_detach know their names, and their events come through kula_next, also after the end of the scope.
 *
 * A frame that is left without ending its scope cannot be seen. But kula_close, and kula_abandon, with
 * a scope that is open are misuse and reported as such; kula_close then cancels and reaps the scope's
 * operations with all others and ends the scope, or answers -EBUSY, and it is open still. */
struct kula_scope {
    struct kula_ring *ring;    /* NULL: not begun, or ended */
    uint64_t started;          /* operations handed over in it */
    uint64_t private_state[4]; /* not for programs */
};

/* Begins a scope. The ring keeps what it has to know of it in a record of its operation table, and never
 * looks at `scope` or writes into it but in calls that are given it.
 *
 * Sizes:   a scope counts as one operation in operations_max
 * Owner:   the scope is open until kula_scope_end; scopes may be nested and overlap
 * Errors:  0; -EINVAL a NULL argument; -EAGAIN no record is left (operations_max, memory); -ECANCELED
 *          the ring is closing; -EBADR it is broken; -EPERM, -EOWNERDEAD (misuse)
 * Thread:  owner
 * Kernel:  none */
KULA_API KULA_MUST_USE int kula_scope_begin(struct kula_ring *ring, struct kula_scope *scope);

/* As kula_read, kula_write, kula_recv and kula_send, with memory that is lent until the scope's end.
 * The event carries no buffer.
 *
 * Sizes:   as the operation of the same name
 * Owner:   the memory is the ring's until kula_scope_end has returned
 * Errors:  0, and nothing has happened: no room (operations_max, memory), or a scope that is not
 *          begun or was ended (misuse); in the event as the operation of the same name
 * Thread:  owner
 * Kernel:  as the operation of the same name */
KULA_API kula_op kula_scope_read(struct kula_scope *scope,
                                 int fd,
                                 void *memory,
                                 size_t length,
                                 int64_t offset,
                                 void *user);
KULA_API kula_op kula_scope_write(struct kula_scope *scope,
                                  int fd,
                                  const void *memory,
                                  size_t length,
                                  int64_t offset,
                                  void *user);
KULA_API kula_op kula_scope_recv(struct kula_scope *scope,
                                 int fd,
                                 void *memory,
                                 size_t length,
                                 int msg_flags,
                                 void *user);
KULA_API kula_op kula_scope_send(struct kula_scope *scope,
                                 int fd,
                                 const void *memory,
                                 size_t length,
                                 int msg_flags,
                                 void *user);

/* Ends a scope: waits until every operation started in it is over, cancels what is left when the time
 * has passed, and goes on waiting until that is over too. Detached ones are waited for as well. Their
 * events are left for kula_next, as are all others that come meanwhile. `scope` is empty afterwards. A
 * kula_scope_send with MSG_ZEROCOPY is over when nobody reads the memory any more (see kula_send).
 *
 * Sizes:   timeout_ns in nanoseconds; 0 = cancel at once; negative = for ever
 * Owner:   the memory is yours again
 * Errors:  0 all ended in time; -ETIME what was left then has been cancelled, and is over; -EINVAL NULL,
 *          not begun, or ended already (misuse, unless `scope` is empty); -EPERM, -EOWNERDEAD (misuse),
 *          -EDEADLK as kula_wait, and -ENOTRECOVERABLE, see above: the scope has not ended
 * Thread:  owner
 * Kernel:  none */
KULA_API int kula_scope_end(struct kula_scope *scope, int64_t timeout_ns);

#ifdef __cplusplus
}
#endif

#endif
