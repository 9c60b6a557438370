/* backend.h - the contract between the ring and what drives it.
 *
 * A backend is one const table. Nothing in it is optional. All functions run on the ring's owner
 * thread, and none of them calls a function of the program (but for kula_offload on a backend
 * without workers). An operation reaches a backend when it may start: checked, its descriptor's
 * record there, its turn in that descriptor's lane, its predecessor over. From then on its record
 * is the backend's, until the backend gives it to kula__finish(). The way of one operation:
 *
 *     kula_read      check, take record and buffer, put on ring->pending
 *     kula_wait      backend->wait: the whole batch, one system call where that can be
 *     backend        a ring entry, readiness, a worker or a plain call
 *     kula__finish   result normalised, next in line started, event on ring->done
 *
 * What an operation asks for is in the record (slot.h says which field means what) and in
 * cold->block. Rules that hold for every backend and are tested for every backend:
 *
 *   - kula__finish() once for every operation, with the raw result: a count, a descriptor or 0, or a
 *     negative errno. -EINTR is retried inside. -EAGAIN means "wait and try again" and is never a
 *     result, except for an operation with KULA__NOWAIT.
 *   - An operation whose result is there while the kernel still reads its memory (a send without a copy)
 *     is given to kula__let_go() first, and to kula__finish() when nobody reads any more.
 *   - A cancel, a failed submission, a closing ring never end an operation by themselves: only what
 *     the kernel, the worker or the backend's own queue says of that operation does. (Linux 6.18:
 *     -ENOENT as the answer to a cancel came for 2000 of 2000 operations that then completed.)
 *   - Descriptors of the program keep their flags; where one must be non-blocking for a single call
 *     (connect, accept on some systems) it is put back at once.
 *   - No SIGPIPE, no SIGXFSZ reaches the program.
 *   - Nothing is allocated for an operation once the backend is warm.
 */
#ifndef KULA_COMMON_BACKEND_H
#define KULA_COMMON_BACKEND_H

#include "operation.h"

#include <kula.h>

#include <stddef.h>
#include <stdint.h>

struct kula_ring;
struct kula__slot;
struct kula__fd;
struct kula__region;

/* What a backend is told of memory. */
enum kula__memory_notice {
    KULA__REGION_COMES = 1, /* transfers will use region->pages: register it */
    KULA__REGION_GOES,
    KULA__GROUP_COMES, /* region->group may be chosen from */
    KULA__GROUP_GOES,
};

/* An entry of a group's ring: an address, a length and a number, as io_uring wants them. */
#define KULA__GROUP_ENTRY_BYTES ((size_t)16)

enum kula__backend_flags {
    KULA__BACKEND_WORKERS = 1 << 0,       /* it hands calls that block to worker threads */
    KULA__BACKEND_CONFORMS_AUTO = 1 << 1, /* may be chosen without being named */
};

struct kula__backend {
    const char *name;
    size_t state_bytes; /* ring->state is that large, 64-byte aligned, and zeroed before open */
    uint32_t flags;     /* enum kula__backend_flags */

    /* Sets up ring->state and proves with a real round trip that it works: setup, probe and one
     * operation, because a filter may deny only one of the calls. On success fills ring->features
     * (what is there, less ring->settings.features_off), ring->routes (likewise operations_off) and
     * ring->report->setup. On failure nothing is left open, and verdict->error, cause and remedy
     * say which call answered what, and what would help. ring->wake is open already.
     * Returns 0 or a negative errno. */
    int (*open)(struct kula_ring *ring, struct kula_candidate *verdict);

    /* Frees ring->state's resources. Called with nothing in flight: no operation is with the kernel
     * or a worker. */
    void (*close)(struct kula_ring *ring);

    /* Starts everything on ring->pending, in order, and empties it; does not wait. What completes at
     * once may be finished here already. Operations that kula__finish() adds to pending meanwhile
     * may be left for the next call. Returns 0, or -EBADR when the ring cannot be used any more;
     * transient refusals (-EAGAIN, -EBUSY, -EINTR) stay inside, with the operations kept. */
    int (*submit)(struct kula_ring *ring);

    /* Starts everything on ring->pending, then reaps once whatever has completed, whether or not
     * events are ready already. If ring->done is still empty, and kula__sleep_begin() agrees, sleeps
     * until something completes, ring->wake is signalled (clear it then), or timeout_ns (< 0 for
     * ever, 0 never sleeps) has passed; then reaps. May come back early with nothing: the caller
     * loops. A signal (-EINTR) counts as coming back early. Timers are the caller's: timeout_ns is
     * bounded by the next expiry. Returns 0 or -EBADR. */
    int (*wait)(struct kula_ring *ring, int64_t timeout_ns);

    /* The short way of kula_wait: called instead of all the rest when there is nothing to be looked after
     * but what is on ring->pending. Starts all of that and reaps what completes at once into
     * ring->landed; adds one to ring->epoch and returns how many events are ready. If that is none,
     * or anything else is to be done, it goes on with kula__wait_slowly(), which a backend without
     * a short way has here itself. */
    int (*round)(struct kula_ring *ring, int64_t timeout_ns);

    /* Asks for the end of an operation that this backend has. 0: asked, or ended here and now with
     * kula__finish(-ECANCELED); the operation's own result decides. -EALREADY: it runs and cannot be
     * stopped. Sent with the next submit or wait where that takes a system call. May be called more
     * than once for one operation. */
    int (*cancel)(struct kula_ring *ring, struct kula__slot *slot);

    /* The descriptor will be closed or given away, and no operation names it: forget what `record`
     * says of it in the backend's own fields, and zero them. */
    void (*forget)(struct kula_ring *ring, struct kula__fd *record, int fd);

    /* Switches to embedded mode, once, and gives the descriptor that becomes readable when
     * wait(ring, 0) would finish something, when ring->wake is signalled, or when settle() says so.
     * Returns it, or a negative errno and stays as it was. Later calls return the same one. */
    int (*pollable)(struct kula_ring *ring);

    /* Embedded mode only; the end of kula_submit and kula_wait, and of kula_next when it finds
     * nothing. Makes the pollable descriptor readable if kula__is_due() or something is there to
     * be reaped, quiet otherwise, starts nothing, and lets it become readable at `expiry_ns`
     * (monotonic; INT64_MAX = no timer). Must not lose a completion that arrives meanwhile. */
    void (*settle)(struct kula_ring *ring, int64_t expiry_ns);

    /* Makes a region of memory, or a group of buffers in it, known to the kernel side of the ring, or
     * unknown again; region.h. What comes gets region->number or region->group_number from the
     * backend. What goes is in no operation any more, and cannot be refused. What is left when the
     * ring closes goes with it, without a notice. Returns 0 or a negative errno: -EOPNOTSUPP where
     * there is no such thing (kula__memory_unknown is the whole of that), -ENOMEM that a limit does
     * not allow it, -ENOSPC that the ring has no number left, -EFBIG that the region is too large. */
    int (*memory)(struct kula_ring *ring,
                  enum kula__memory_notice notice,
                  struct kula__region *region);
};

/* The entry `memory` of a backend that keeps nothing of memory. */
int kula__memory_unknown(struct kula_ring *ring,
                         enum kula__memory_notice notice,
                         struct kula__region *region);

/* The backends of this build in order of preference, ended by NULL: made in backends/backends.c. */
extern const struct kula__backend *const kula__backends[];

/* What a kernel may have or lack, in one place, so that a mask can take it away (KULA_MASK=feat:...)
 * and the report can name it. X(NAME, name). */
#define KULA__FEATURES(X)                                                                      \
    X(NODROP, nodrop)                   /* completions that overflow are kept (5.5) */         \
    X(SUBMIT_STABLE, submit_stable)     /* arguments are read at submission (5.5) */           \
    X(RW_CUR_POS, rw_cur_pos)           /* offset -1 is the file's position (5.6) */           \
    X(FAST_POLL, fast_poll)             /* waiting for sockets needs no kernel thread (5.7) */ \
    X(EXT_ARG, ext_arg)                 /* a wait takes a time-out (5.11) */                   \
    X(SUBMIT_ALL, submit_all)           /* a bad entry does not stop the batch (5.18) */       \
    X(REGISTERED_RING, registered_ring) /* the ring's own descriptor is registered (5.18) */   \
    X(COOP_TASKRUN, coop_taskrun)       /* no interrupts for completions (5.19) */             \
    X(TASKRUN_FLAG, taskrun_flag)       /* the ring says when it has work to run (5.19) */     \
    X(SINGLE_ISSUER, single_issuer)     /* one thread submits (6.0) */                         \
    X(DEFER_TASKRUN, defer_taskrun)     /* completions run when we ask (6.1) */                \
    X(WORKER_LIMIT, worker_limit)       /* io-wq's threads can be capped (5.15) */             \
    X(FIXED_BUFFERS, fixed_buffers)     /* memory is registered region by region (5.13) */     \
    X(BUFFER_RINGS, buffer_rings)       /* the kernel chooses buffers from a ring (5.19) */    \
    X(SEND_ZC, send_zc)                 /* a send reads the buffer where it is (6.0) */        \
    X(RWF_NOWAIT, rwf_nowait)           /* preadv2 that does not wait (4.14) */                \
    X(RWF_NOSIGNAL, rwf_nosignal)       /* a write that raises no SIGPIPE (seen on 6.18) */    \
    X(EVENTFD, eventfd)                 /* else a pipe */                                      \
    X(PRECISE_EPOLL, precise_epoll)     /* epoll_pwait2: nanoseconds (5.11) */

enum kula__feature_bit {
#define X(NAME, name) KULA__FEATURE_BIT_##NAME,
    KULA__FEATURES(X)
#undef X
    KULA__FEATURE_BITS
};

#define KULA__FEATURE(NAME) (UINT64_C(1) << KULA__FEATURE_BIT_##NAME)

#endif
