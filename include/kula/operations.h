/* kula/operations.h - everything that a ring can be asked to do. Included by kula.h.
 *
 * An operation is queued by these calls and starts at the next kula_submit or kula_wait. Its one
 * final event comes out of kula_next. What all of them share:
 *
 *  - Calls that take a buffer cannot fail and never return 0 for a valid handle of yours; what is
 *    wrong is the result of the event, and the buffer comes back with it.
 *  - Calls without a buffer return 0, and nothing has happened, only when there is no room: the
 *    ring's limit (config.operations_max) or memory.
 *  - Misuse (NULL ring, wrong thread, child after fork, stale handle) is reported through the hook.
 *    An operation without a buffer then returns 0. A valid buffer handed over on the wrong thread
 *    comes out on the ring's own thread, as an event with -EPERM.
 *  - `fd` is an open descriptor; it stays as it was: its O_NONBLOCK flag, its position (unless
 *    KULA_CUR moves it) and its mode are not touched.
 *  - Stream transfers (KULA_CUR, recv, send) on one descriptor and direction run in the order in
 *    which they were handed over, one at a time. Everything else starts at once. KULA_UNORDERED
 *    opts out.
 *  - Waiting is not an error: -EAGAIN, -EINTR and signals stay inside.
 */
#ifndef KULA_OPERATIONS_H
#define KULA_OPERATIONS_H

#include "handles.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Transfers ---------------------------------------------------------------------------- */

/* Reads up to `length` bytes into the buffer. `offset` >= 0 is a position in the file and leaves the
 * file's own position alone; KULA_CUR reads from the file's own position, or from a stream. The
 * result may be short; 0 is the end of the file; KULA_FULL goes on until all of it is there.
 *
 * Sizes:   length in bytes, 0 to the buffer's capacity; more than KULA_TRANSFER_MAX is cut; offset
 *          in bytes
 * Owner:   *buffer is the ring's at once, NULL in your variable, and comes back with the event
 * Errors:  -EINVAL length beyond the capacity, offset below KULA_CUR; -ESPIPE offset on a stream;
 *          -EISDIR a directory; transfer
 * Thread:  owner
 * Kernel:  uring: IORING_OP_READ (5.6), sockets IORING_OP_RECV; epoll: preadv2 with RWF_NOWAIT in
 *          place when cached, else a worker */
KULA_INLINE_ kula_op kula_read(struct kula_ring *ring,
                               int fd,
                               kula_buf *buffer,
                               size_t length,
                               int64_t offset,
                               void *user)
{
    kula_buf held = *buffer;
    KULA_CHECK_LIVE_(held);
    KULA_CHECK_LENGTH_(held, length);
    *buffer = NULL;
    KULA_ESCAPE_(user);
    return kula_read_(ring, fd, held, length, offset, user);
}

/* Writes up to `length` bytes of the buffer. `offset` is as for kula_read; a file opened with
 * O_APPEND ignores it. The result may be short. A closed pipe or socket is -EPIPE, never SIGPIPE; a
 * file size limit is -EFBIG, never SIGXFSZ.
 *
 * Sizes:   as kula_read
 * Owner:   as kula_read; the bytes must not change meanwhile, and cannot: the buffer is not yours
 * Errors:  -EINVAL, -ESPIPE as kula_read; transfer
 * Thread:  owner
 * Kernel:  uring: IORING_OP_WRITE (5.6), sockets IORING_OP_SEND with MSG_NOSIGNAL */
KULA_INLINE_ kula_op kula_write(struct kula_ring *ring,
                                int fd,
                                kula_buf *buffer,
                                size_t length,
                                int64_t offset,
                                void *user)
{
    kula_buf held = *buffer;
    KULA_CHECK_LIVE_(held);
    KULA_CHECK_LENGTH_(held, length);
    *buffer = NULL;
    KULA_ESCAPE_(user);
    return kula_write_(ring, fd, held, length, offset, user);
}

/* Reads into the buffers of a vec, one after the other. The vec is consumed; its buffers come back
 * one at a time from kula_take, in order, whatever the result.
 *
 * Sizes:   result in bytes over all buffers; at most 1024 buffers; the sum is cut to
 *          KULA_TRANSFER_MAX
 * Owner:   *vec and its buffers are the ring's at once; the buffers come back with the event
 * Errors:  as kula_read; -EINVAL an empty vec, or one that was overfilled
 * Thread:  owner
 * Kernel:  uring: IORING_OP_READV (5.1) */
KULA_INLINE_ kula_op
kula_readv(struct kula_ring *ring, int fd, kula_vec *vec, int64_t offset, void *user)
{
    kula_vec held = *vec;
    KULA_CHECK_LIVE_(held);
    *vec = NULL;
    KULA_ESCAPE_(user);
    return kula_readv_(ring, fd, held, offset, user);
}

/* Writes the buffers of a vec, one after the other.
 *
 * Sizes:   as kula_readv
 * Owner:   as kula_readv
 * Errors:  as kula_write; -EINVAL an empty vec, or one that was overfilled
 * Thread:  owner
 * Kernel:  uring: IORING_OP_WRITEV (5.1) */
KULA_INLINE_ kula_op
kula_writev(struct kula_ring *ring, int fd, kula_vec *vec, int64_t offset, void *user)
{
    kula_vec held = *vec;
    KULA_CHECK_LIVE_(held);
    *vec = NULL;
    KULA_ESCAPE_(user);
    return kula_writev_(ring, fd, held, offset, user);
}

/* Receives from a socket. 0 is the end of the stream, or an empty datagram. With MSG_TRUNC the result is the
 * datagram's whole length, which may be more than `length`, and than the buffer holds.
 *
 * Sizes:   length in bytes, 0 to the buffer's capacity; msg_flags as recv(2): MSG_PEEK, MSG_TRUNC,
 *          MSG_WAITALL, MSG_OOB; MSG_DONTWAIT is refused, use KULA_NOWAIT
 * Owner:   as kula_read
 * Errors:  -EINVAL as kula_read, or an unknown flag; -ENOTSOCK; transfer
 * Thread:  owner
 * Kernel:  uring: IORING_OP_RECV (5.6) */
KULA_INLINE_ kula_op kula_recv(struct kula_ring *ring,
                               int fd,
                               kula_buf *buffer,
                               size_t length,
                               int msg_flags,
                               void *user)
{
    kula_buf held = *buffer;
    KULA_CHECK_LIVE_(held);
    KULA_CHECK_LENGTH_(held, length);
    *buffer = NULL;
    KULA_ESCAPE_(user);
    return kula_recv_(ring, fd, held, length, msg_flags, user);
}

/* Sends to a connected socket. Never raises SIGPIPE.
 *
 * With MSG_ZEROCOPY the kernel may send from the buffer itself. The event then comes when nobody reads the
 * buffer any more: with TCP, when the peer has acknowledged the bytes or the connection has ended, which a
 * peer that does not read can put off for long. The bytes are on their way meanwhile: the next send starts
 * (and its event may come first), kula_close_fd closes, kula_forget_fd says 0, and a cancel (-EALREADY) or a
 * deadline changes nothing. With KULA_FULL that is so of the last piece: each is sent when nobody reads the
 * one before, and a cancel or a deadline makes the one under way the last.
 *
 * Where it cannot be had (Unix sockets, other backends, KULA_NOWAIT, locked memory at its limit, memory that
 * no device may read) the bytes are copied. It pays for large buffers on a network; over loopback the kernel
 * copies anyway. SO_ZEROCOPY is not needed.
 *
 * Sizes:   length in bytes, 0 to the buffer's capacity; msg_flags as send(2): MSG_MORE, MSG_OOB,
 *          MSG_EOR, MSG_DONTROUTE, MSG_CONFIRM, MSG_ZEROCOPY; MSG_NOSIGNAL is always added
 * Owner:   as kula_write
 * Errors:  -EINVAL as kula_recv; -ENOTSOCK; -EPIPE; transfer
 * Thread:  owner
 * Kernel:  uring: IORING_OP_SEND (5.6), with MSG_ZEROCOPY IORING_OP_SEND_ZC (6.0), whose pages count
 *          against RLIMIT_MEMLOCK without CAP_IPC_LOCK */
KULA_INLINE_ kula_op kula_send(struct kula_ring *ring,
                               int fd,
                               kula_buf *buffer,
                               size_t length,
                               int msg_flags,
                               void *user)
{
    kula_buf held = *buffer;
    KULA_CHECK_LIVE_(held);
    KULA_CHECK_LENGTH_(held, length);
    *buffer = NULL;
    KULA_ESCAPE_(user);
    return kula_send_(ring, fd, held, length, msg_flags, user);
}

/* kula_write and kula_send of shared bytes: in C11 and C++ the plain names take the address of a
 * kula_ref as well, and these are what they call then.
 *
 * Sizes:   length in bytes, 0 to kula_ref_size(); else as kula_write and kula_send
 * Owner:   *ref is the ring's at once, NULL in your variable, and comes back with the event
 *          (kula_take_ref), or is dropped with it. Others may read the bytes meanwhile
 * Errors:  as kula_write and kula_send
 * Thread:  owner
 * Kernel:  as kula_write and kula_send */
KULA_INLINE_ kula_op kula_write_ref(struct kula_ring *ring,
                                    int fd,
                                    kula_ref *ref,
                                    size_t length,
                                    int64_t offset,
                                    void *user)
{
    kula_ref held = *ref;
    KULA_CHECK_LIVE_(held);
    *ref = NULL;
    KULA_ESCAPE_(user);
    return kula_write_ref_(ring, fd, held, length, offset, user);
}
KULA_INLINE_ kula_op kula_send_ref(struct kula_ring *ring,
                                   int fd,
                                   kula_ref *ref,
                                   size_t length,
                                   int msg_flags,
                                   void *user)
{
    kula_ref held = *ref;
    KULA_CHECK_LIVE_(held);
    *ref = NULL;
    KULA_ESCAPE_(user);
    return kula_send_ref_(ring, fd, held, length, msg_flags, user);
}

#define kula_read(ring, fd, buffer, length, offset, user) \
    kula_read(ring, fd, KULA_BUF_ADDRESS_(buffer), length, offset, user)
#define kula_readv(ring, fd, vec, offset, user) \
    kula_readv(ring, fd, KULA_VEC_ADDRESS_(vec), offset, user)
#define kula_writev(ring, fd, vec, offset, user) \
    kula_writev(ring, fd, KULA_VEC_ADDRESS_(vec), offset, user)
#define kula_recv(ring, fd, buffer, length, msg_flags, user) \
    kula_recv(ring, fd, KULA_BUF_ADDRESS_(buffer), length, msg_flags, user)

#if defined __cplusplus
extern "C++" {
KULA_INLINE_ kula_op kula_write(struct kula_ring *ring,
                                int fd,
                                kula_ref *ref,
                                size_t length,
                                int64_t offset,
                                void *user)
{
    return kula_write_ref(ring, fd, ref, length, offset, user);
}
KULA_INLINE_ kula_op kula_send(struct kula_ring *ring,
                               int fd,
                               kula_ref *ref,
                               size_t length,
                               int msg_flags,
                               void *user)
{
    return kula_send_ref(ring, fd, ref, length, msg_flags, user);
}
}
#elif defined KULA_BUF_OR_REF_
#    define kula_write(ring, fd, buffer, length, offset, user) \
        KULA_BUF_OR_REF_(buffer, kula_write, kula_write_ref)   \
        (ring, fd, buffer, length, offset, user)
#    define kula_send(ring, fd, buffer, length, msg_flags, user) \
        KULA_BUF_OR_REF_(buffer, kula_send, kula_send_ref)       \
        (ring, fd, buffer, length, msg_flags, user)
#endif

/* ---- Operations without a buffer ---------------------------------------------------------- */

/* Does nothing, and completes with 0. Measures the way of an operation; keeps a loop going.
 *
 * Sizes:   none
 * Owner:   none
 * Errors:  returns 0 when there is no room; the event's result is 0
 * Thread:  owner
 * Kernel:  uring: IORING_OP_NOP */
KULA_API kula_op kula_nop(struct kula_ring *ring, void *user);

/* Creates a socket. The result is its descriptor, close-on-exec; yours once its event is pulled.
 *
 * Sizes:   domain, type, protocol as socket(2); SOCK_CLOEXEC is always added
 * Owner:   the library closes the descriptor of an event that nobody pulls
 * Errors:  as socket(2): -EAFNOSUPPORT, -EMFILE, -ENFILE, -ENOBUFS, -ENOMEM, -EPROTONOSUPPORT
 * Thread:  owner
 * Kernel:  socket(2), in place: it never blocks */
KULA_API kula_op
kula_socket(struct kula_ring *ring, int domain, int type, int protocol, void *user);

/* Gives a socket its local address.
 *
 * Sizes:   address_length in bytes, at most 128
 * Owner:   the address is copied before the call returns
 * Errors:  -EINVAL address_length; as bind(2): -EADDRINUSE, -EACCES, -EADDRNOTAVAIL...
 * Thread:  owner
 * Kernel:  bind(2), in place */
KULA_API kula_op kula_bind(struct kula_ring *ring,
                           int fd,
                           const struct sockaddr *address,
                           uint32_t address_length,
                           void *user);

/* Makes a socket accept connections.
 *
 * Sizes:   backlog in connections
 * Owner:   none
 * Errors:  as listen(2)
 * Thread:  owner
 * Kernel:  listen(2), in place */
KULA_API kula_op kula_listen(struct kula_ring *ring, int fd, int backlog, void *user);

/* Accepts one connection. The result is its descriptor, close-on-exec, not non-blocking; the peer's
 * address is in kula_event_address. A connection that went away before it was accepted is skipped.
 * Running out of descriptors ends this accept with -EMFILE or -ENFILE; the connection stays in the
 * backlog for the next one.
 *
 * Sizes:   none
 * Owner:   the library closes the descriptor of an event that nobody pulls, or of a detached accept
 * Errors:  -EMFILE, -ENFILE, -ENOBUFS, -ENOMEM; -EINVAL not listening; -ENOTSOCK, -EOPNOTSUPP
 * Thread:  owner
 * Kernel:  uring: IORING_OP_ACCEPT (5.5); else accept4(2) */
KULA_API kula_op kula_accept(struct kula_ring *ring, int fd, void *user);

/* Connects a socket. The result is 0 once it is connected, or why it could not be.
 *
 * Sizes:   address_length in bytes, at most 128
 * Owner:   the address is copied before the call returns
 * Errors:  -EINVAL address_length; as connect(2): -ECONNREFUSED, -ENETUNREACH, -ETIMEDOUT, -EISCONN;
 *          a socket whose connect was cancelled or failed should be closed
 * Thread:  owner
 * Kernel:  uring: IORING_OP_CONNECT (5.5); else O_NONBLOCK is set for that one call and restored */
KULA_API kula_op kula_connect(struct kula_ring *ring,
                              int fd,
                              const struct sockaddr *address,
                              uint32_t address_length,
                              void *user);

/* Shuts down one or both directions of a connection. A receive that waits there ends with 0.
 *
 * Sizes:   how = SHUT_RD, SHUT_WR or SHUT_RDWR
 * Owner:   none
 * Errors:  -ENOTCONN, -EINVAL, -ENOTSOCK
 * Thread:  owner
 * Kernel:  uring: IORING_OP_SHUTDOWN (5.11); else shutdown(2) in place */
KULA_API kula_op kula_shutdown(struct kula_ring *ring, int fd, int how, void *user);

/* Opens a file. The result is its descriptor, always close-on-exec.
 *
 * Sizes:   path up to PATH_MAX bytes; mode as open(2), looked at with O_CREAT and O_TMPFILE
 * Owner:   the path is copied before the call returns; the library closes the descriptor of an
 *          event that nobody pulls, or of a detached open
 * Errors:  -EINVAL path NULL; -ENAMETOOLONG; as openat(2)
 * Thread:  owner
 * Kernel:  uring: IORING_OP_OPENAT (5.6); else a worker (opening a FIFO may wait for its peer) */
KULA_API kula_op kula_openat(struct kula_ring *ring,
                             int directory_fd,
                             const char *path,
                             int flags,
                             uint32_t mode,
                             void *user);

/* Closes a descriptor safely: operations that name it and are still under way are cancelled, their
 * events come (but for a send that only waits for its buffer, see kula_send), and only then is it
 * closed. Operations handed over after this call end in -EBADF. To let writes finish first, wait for
 * them, or chain the close to them with kula_after.
 *
 * Sizes:   none
 * Owner:   the descriptor is the ring's from now on
 * Errors:  never returns 0 for want of room (its record belongs to the descriptor's); the event:
 *          -EBADF not open, already being closed, or the ring's own (kula_pollable); -EIO, -ENOSPC,
 *          -EDQUOT from the file system (it is closed nevertheless)
 * Thread:  owner
 * Kernel:  close(2): -EINTR means closed on Linux and is reported as 0 */
KULA_API kula_op kula_close_fd(struct kula_ring *ring, int fd, void *user);

/* Waits until a file's data and metadata are on stable storage. It is not ordered after writes that
 * are still in flight: wait for them, or chain it with kula_after. An error is reported once by the
 * kernel: after it, do not believe a later success.
 *
 * Sizes:   none
 * Owner:   none
 * Errors:  -EIO, -ENOSPC, -EDQUOT; -EINVAL on a pipe or socket
 * Thread:  owner
 * Kernel:  uring: IORING_OP_FSYNC (5.1); else a worker */
KULA_API kula_op kula_fsync(struct kula_ring *ring, int fd, void *user);

/* As kula_fsync, without metadata that is not needed to read the data back.
 *
 * Sizes:   none
 * Owner:   none
 * Errors:  as kula_fsync
 * Thread:  owner
 * Kernel:  uring: IORING_OP_FSYNC with IORING_FSYNC_DATASYNC; else a worker */
KULA_API kula_op kula_fdatasync(struct kula_ring *ring, int fd, void *user);

/* What kula_statx found out. Times are nanoseconds since 1970. */
struct kula_stat {
    uint64_t size_bytes;
    uint64_t inode;
    uint64_t blocks_512; /* allocated, in units of 512 bytes */
    uint64_t device;     /* as st_dev */
    uint64_t special;    /* as st_rdev */
    int64_t accessed_ns;
    int64_t modified_ns;
    int64_t changed_ns;
    int64_t born_ns; /* 0 where the file system does not keep it */
    uint32_t mode;   /* type and permission bits, as st_mode */
    uint32_t links;
    uint32_t uid;
    uint32_t gid;
    uint32_t block_bytes; /* the size that the file system likes */
    uint32_t reserved;
};

/* Asks for a file's properties; kula_event_stat reads them from the event.
 *
 * Sizes:   path up to PATH_MAX bytes; flags: AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH (then `path` may be
 *          "" or NULL and directory_fd is the file itself)
 * Owner:   the path is copied before the call returns
 * Errors:  -EINVAL path NULL or flags unknown; -ENAMETOOLONG; as statx(2)
 * Thread:  owner
 * Kernel:  uring: IORING_OP_STATX (5.6); else statx(2) in a worker; fstatat(2) off Linux */
KULA_API kula_op
kula_statx(struct kula_ring *ring, int directory_fd, const char *path, int flags, void *user);

/* Waits until a descriptor is ready. The result is the set of events that are, as poll(2) has them;
 * POLLERR and POLLHUP are always reported. A regular file is ready at once.
 *
 * Sizes:   poll_events: POLLIN, POLLOUT, POLLPRI, POLLRDHUP
 * Owner:   none
 * Errors:  -EINVAL no event, an unknown one, or neither POLLIN nor POLLOUT for a file; -EBADF
 * Thread:  owner
 * Kernel:  uring: IORING_OP_POLL_ADD (5.1); else epoll or poll(2) */
KULA_API kula_op kula_poll(struct kula_ring *ring, int fd, uint32_t poll_events, void *user);

/* Completes with 0 when the time has passed. Timers live in a heap of the library on every backend:
 * making and cancelling them costs no system call.
 *
 * Sizes:   timeout_ns in nanoseconds from now, monotonic; 0 = at the next wait
 * Owner:   none
 * Errors:  the event: 0; -EINVAL negative time
 * Thread:  owner
 * Kernel:  none: the earliest expiry bounds the wait */
KULA_API kula_op kula_timer(struct kula_ring *ring, int64_t timeout_ns, void *user);

/* A function of the program, run away from the ring's thread. It must not call into the library
 * except for kula_wake and kula_post (-EDEADLK). Signals are blocked while it runs on a worker. */
typedef int32_t (*kula_offload_fn)(void *arg);

/* Runs a function on a worker; its return value is the event's result. Cancelling works only while
 * it waits for a worker. The blocking backend runs it in place, at the flush.
 *
 * Sizes:   none
 * Owner:   arg passes through: it must stay valid until the event
 * Errors:  the event: what the function returned; -EINVAL NULL; -ECANCELED
 * Thread:  owner; the function runs on a worker thread (blocking: on the owner's)
 * Kernel:  threads */
KULA_API kula_op kula_offload(struct kula_ring *ring,
                              kula_offload_fn function,
                              void *arg,
                              void *user);

/* ---- Modifiers ---------------------------------------------------------------------------- */

enum kula_options {
    KULA_FULL = 1 << 0,      /* transfers: go on after a short one until everything is moved,
                              * the end of the file, or an error; the result is the total */
    KULA_UNORDERED = 1 << 1, /* stream transfers: do not wait for earlier ones */
    KULA_NOWAIT = 1 << 2,    /* end with -EAGAIN rather than wait */
    KULA_REGARDLESS = 1 << 3 /* with kula_after: start also when the other one failed */
};

/* Limits how long an operation may take, counted from this call. When the time has passed the
 * operation is cancelled and ends in -ETIME, or with what it had moved and KULA_EVENT_TIMED_OUT.
 * A second call replaces the first.
 *
 * Sizes:   timeout_ns in nanoseconds, monotonic
 * Owner:   none
 * Errors:  0; -ENOENT finished, foreign or zero op; -EINVAL negative time; -ENOMEM; -EPERM,
 *          -EOWNERDEAD (misuse). A call that runs on a worker cannot be stopped: its event comes when
 *          the call ends, marked KULA_EVENT_LATE
 * Thread:  owner
 * Kernel:  none: the heap of kula_timer, then a cancel */
KULA_API int kula_deadline(struct kula_ring *ring, kula_op op, int64_t timeout_ns);

/* Makes an operation start only after `other` has ended well: with a result that is not negative
 * and, for a transfer, with everything that was asked for. Otherwise it ends in -ECANCELED, unless
 * it carries KULA_REGARDLESS. While it waits it holds no place in a descriptor's order. A send with
 * MSG_ZEROCOPY has ended when its buffer is free, which is the peer's to decide. An `other` that is
 * already over, and whose event you have pulled, is -ENOENT and changes nothing.
 *
 * Sizes:   one predecessor for an operation, any number of successors
 * Owner:   none
 * Errors:  0; -EALREADY op has started (after the flush); -ENOENT op or other finished, foreign or
 *          zero; -ELOOP op would wait for itself; -EPERM, -EOWNERDEAD (misuse)
 * Thread:  owner
 * Kernel:  none: chains are run by the library, the same on every backend */
KULA_API int kula_after(struct kula_ring *ring, kula_op op, kula_op other);

/* Sets options of an operation that has not started.
 *
 * Sizes:   options: enum kula_options, added to those already set
 * Owner:   none
 * Errors:  0; -EALREADY it has started (after the flush); -ENOENT finished, foreign or zero op;
 *          -EINVAL unknown option, or one that this operation cannot have; -EPERM, -EOWNERDEAD
 *          (misuse)
 * Thread:  owner
 * Kernel:  KULA_NOWAIT on files: RWF_NOWAIT (4.14); where the file system cannot tell, -EAGAIN */
KULA_API int kula_option(struct kula_ring *ring, kula_op op, uint32_t options);

/* ---- Ending early ------------------------------------------------------------------------- */

/* Asks for an operation to end. It is a request: the operation's own event says what came of it,
 * -ECANCELED or its ordinary result, and the buffer comes with that event and not before.
 *
 * Sizes:   none
 * Owner:   unchanged: the buffer is the ring's until the event
 * Errors:  0 asked; -EALREADY asked before, a call that runs and cannot be stopped, or a send without a
 *          copy whose bytes are on their way; -ENOENT finished, foreign or zero op; -EPERM, -EOWNERDEAD
 *          (misuse)
 * Thread:  owner
 * Kernel:  uring: IORING_OP_ASYNC_CANCEL (5.5), sent with the next flush */
KULA_API int kula_cancel(struct kula_ring *ring, kula_op op);

/* Asks for every operation on a descriptor to end; a pending kula_close_fd is not among them.
 *
 * Sizes:   returns how many were asked
 * Owner:   unchanged
 * Errors:  >= 0; -EBADF negative fd; -EPERM, -EOWNERDEAD (misuse)
 * Thread:  owner
 * Kernel:  as kula_cancel, one by one */
KULA_API int kula_cancel_fd(struct kula_ring *ring, int fd);

/* Asks for every operation of the ring to end, except for closing descriptors.
 *
 * Sizes:   returns how many were asked
 * Owner:   unchanged
 * Errors:  >= 0; -EPERM, -EOWNERDEAD (misuse)
 * Thread:  owner
 * Kernel:  as kula_cancel, one by one */
KULA_API int kula_cancel_all(struct kula_ring *ring);

/* Walks away from an operation without stopping it: no event will come, and its name matches nothing
 * any more. When it ends the library gives its buffer back to the pool and closes a descriptor that
 * it produced.
 *
 * Sizes:   none
 * Owner:   the buffer is the library's for good
 * Errors:  0; -ENOENT finished (its event pulled), foreign or zero op; -EPERM, -EOWNERDEAD (misuse)
 * Thread:  owner
 * Kernel:  none */
KULA_API int kula_detach(struct kula_ring *ring, kula_op op);

/* Makes the ring forget a descriptor, so that you may close it, or give it to somebody else, with
 * no help of the ring.
 *
 * Sizes:   none
 * Owner:   the descriptor is yours
 * Errors:  0 (also for one that the ring never saw); -EBUSY operations name it; -EBADF negative;
 *          -EPERM, -EOWNERDEAD (misuse)
 * Thread:  owner
 * Kernel:  epoll: its registration is removed */
KULA_API int kula_forget_fd(struct kula_ring *ring, int fd);

#ifdef __cplusplus
}
#endif

#endif
