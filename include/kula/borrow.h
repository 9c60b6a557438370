/* kula/borrow.h - memory that cannot be owned: on the stack, or somebody else's. Included by kula.h.
 *
 * Memory that is not a kula_buf can be lent for as long as a call, or a scope, lasts. Both have one
 * rule: they do not return before the kernel is done with the memory, whatever happens: time-out,
 * signal, error. So what was lent is whole again on the next line.
 */
#ifndef KULA_BORROW_H
#define KULA_BORROW_H

#include "handles.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- One call ----------------------------------------------------------------------------- */

/* These hand one transfer over, wait for its final completion, and return its result. Events of
 * other operations that end meanwhile wait for kula_next as usual. When the time has passed the
 * transfer is cancelled, and the call returns when it has ended; what cannot be stopped is waited
 * for.
 *
 * Sizes:   length in bytes, 0 to 2^31-1; more than KULA_TRANSFER_MAX is cut; offset as kula_read;
 *          timeout_ns in nanoseconds, negative = for ever; flags: enum kula_option_flags as for
 *          kula_option (KULA_FULL...), or 0
 * Owner:   the memory is the ring's during the call only
 * Errors:  a count, which may be short; -ETIME before any byte moved; the results of kula_read,
 *          kula_write, kula_recv and kula_send; -EAGAIN no record is left (operations_max);
 *          -EPERM, -EOWNERDEAD (misuse), -EDEADLK, -EBADR as kula_wait, and then nothing was started
 * Thread:  owner
 * Kernel:  as the operation of the same name */
KULA_API KULA_MUST_USE int32_t kula_read_sync(struct kula_ring *ring,
                                              int fd,
                                              void *memory,
                                              size_t length,
                                              int64_t offset,
                                              uint32_t flags,
                                              int64_t timeout_ns);
KULA_API KULA_MUST_USE int32_t kula_write_sync(struct kula_ring *ring,
                                               int fd,
                                               const void *memory,
                                               size_t length,
                                               int64_t offset,
                                               uint32_t flags,
                                               int64_t timeout_ns);
KULA_API KULA_MUST_USE int32_t kula_recv_sync(struct kula_ring *ring,
                                              int fd,
                                              void *memory,
                                              size_t length,
                                              int msg_flags,
                                              uint32_t flags,
                                              int64_t timeout_ns);
KULA_API KULA_MUST_USE int32_t kula_send_sync(struct kula_ring *ring,
                                              int fd,
                                              const void *memory,
                                              size_t length,
                                              int msg_flags,
                                              uint32_t flags,
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
 * Its operations are like all others: kula_cancel, kula_deadline, kula_option and kula_after know
 * their names, and their events come through kula_next, also after the end of the scope. */
struct kula_scope {
    struct kula_ring *ring;
    uint64_t started;          /* operations handed over in it */
    uint64_t private_state[4]; /* not for programs */
};

/* Begins a scope, in memory of yours that stays where it is until kula_scope_end.
 *
 * Sizes:   none
 * Owner:   the scope is the ring's until its end; scopes may be nested and overlap
 * Errors:  0; -EINVAL a NULL argument; -ECANCELED the ring is closing; -EPERM, -EOWNERDEAD (misuse)
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
 * has passed, and goes on waiting until that is over too. Their events are left for kula_next.
 *
 * Sizes:   timeout_ns in nanoseconds; 0 = cancel at once; negative = for ever
 * Owner:   the memory is yours again
 * Errors:  0 all ended by themselves; -ETIME some had to be cancelled; -EINVAL not begun, or ended
 *          already; -EPERM, -EOWNERDEAD (misuse), and the scope has not ended
 * Thread:  owner
 * Kernel:  none */
KULA_API int kula_scope_end(struct kula_scope *scope, int64_t timeout_ns);

#ifdef __cplusplus
}
#endif

#endif
