/* kula.h - portable completion-based I/O with checked buffer ownership.
 *
 * You hand a buffer to a ring together with an operation. While the kernel or a worker thread has
 * it you cannot touch it: your variable is empty, your compiler says so, and a check of a few
 * nanoseconds says so at run time. The completion brings the buffer back.
 *
 * One API runs on three backends, chosen by asking the kernel what it can do:
 *
 *   uring      io_uring: whole batches in one system call
 *   epoll      readiness for sockets and pipes, a thread pool for files
 *   blocking   plain POSIX calls driven by poll(2); works anywhere, easy to debug
 *
 * The results are the same on all three. What may differ is in one table: docs/differences.md.
 *
 * A whole program (docs and tests compile and run this very text):
 *
 *     #include <kula.h>
 *     #include <fcntl.h>
 *     #include <stdio.h>
 *     #include <string.h>
 *
 *     int main(int argc, char **argv)
 *     {
 *         struct kula_ring *ring;
 *         int error = kula_open(NULL, &ring);
 *         if (error < 0) {
 *             return fprintf(stderr, "kula_open: %s\n", strerror(-error)), 1;
 *         }
 *         int fd = open(argc > 1 ? argv[1] : "/etc/hostname", O_RDONLY | O_CLOEXEC);
 *         kula_buf buffer = kula_alloc(ring, 4096);
 *         kula_read(ring, fd, &buffer, 4096, 0, NULL); // the ring has it: buffer is NULL now
 *         if (kula_wait(ring, 5 * KULA_SECOND) > 0) {
 *             struct kula_event *event = kula_next(ring);
 *             buffer = kula_take(event); // it comes home, once, whatever the result
 *             if (event->result < 0) {
 *                 fprintf(stderr, "%s\n", kula_event_explain(event));
 *             } else {
 *                 fwrite(kula_bytes(buffer), 1, (size_t)event->result, stdout);
 *             }
 *         }
 *         kula_free(&buffer);          // NULL is fine
 *         kula_close_fd(ring, fd, NULL); // never under an operation that names it
 *         return kula_close(&ring, KULA_FOREVER) < 0;
 *     }
 *
 * The six laws
 * ------------
 *  1. One holder. A buffer is held by you or by the ring, never by both. Handing it over empties
 *     your variable.
 *  2. Handing over never fails. Submitting always takes the buffer. Whatever is wrong comes back as
 *     that operation's completion, and the buffer with it: one error path.
 *  3. Exactly one final completion for every operation, with the buffers that were handed over: on
 *     success, error, cancel and close.
 *  4. Never early. A completion is seen only through kula_next(), never from inside the call that
 *     submitted it, on any backend.
 *  5. Only buffers travel. Every other argument (path, address, name) is copied before the call
 *     returns; `user` passes through. Results larger than a number are read from the event and
 *     stay valid until the next kula_next().
 *  6. A descriptor stays what it was. No descriptor is closed under an operation that names it:
 *     kula_close_fd() cancels and waits for its operations first. A descriptor that a ring has used
 *     is closed by kula_close_fd(), or by you after kula_forget_fd() has answered 0.
 *
 * How to read this file: ring, buffers, operations (kula/operations.h, kula/vec.h), waiting, asking
 * (kula/report.h), errors; and, when they are needed, shared and split buffers (kula/sharing.h), kinds of
 * memory (kula/memory.h), pools (kula/pool.h), lent memory (kula/borrow.h). Each function says in prose what
 * it does, then
 *
 *   Sizes:   units and limits
 *   Owner:   who holds what, before and after, on success and on failure
 *   Errors:  every value that it returns or that its event can carry for its own reasons
 *   Thread:  who may call it
 *   Kernel:  what it needs, or does, underneath
 *
 * Two lines are the same everywhere and are written here once. "Thread: owner" means the thread
 * that opened the ring: any other thread, and a child after fork(), is refused through the misuse
 * hook (see "Errors" at the end) and nothing is lost. "Errors: transfer" means the errno values
 * that the table of documented results gives for the kind of file.
 */
#ifndef KULA_H
#define KULA_H

#include "kula/handles.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KULA_VERSION_MAJOR 0
#define KULA_VERSION_MINOR 1
#define KULA_VERSION_PATCH 0

/* Times are nanoseconds in an int64_t. A negative time-out of a wait means for ever. */
#define KULA_MICROSECOND INT64_C(1000)
#define KULA_MILLISECOND INT64_C(1000000)
#define KULA_SECOND      INT64_C(1000000000)
#define KULA_FOREVER     INT64_C(-1)

/* The file's own position, for kula_read, kula_write and their vectored forms. */
#define KULA_CUR INT64_C(-1)

/* One transfer moves at most this many bytes; longer requests are cut to it, as Linux does. */
#define KULA_TRANSFER_MAX 0x7ffff000

/* Says which library is running, as "MAJOR.MINOR.PATCH".
 *
 * Sizes:   none
 * Owner:   the text is static
 * Errors:  none
 * Thread:  any
 * Kernel:  none */
KULA_API const char *kula_version(void);

/* ---- The ring ----------------------------------------------------------------------------- */

enum kula_log_level {
    KULA_LOG_ERROR = 1,   /* something is lost or broken */
    KULA_LOG_WARNING = 2, /* something is worse than it could be: a fallback, a limit */
    KULA_LOG_INFO = 3,    /* what was chosen, and why */
    KULA_LOG_DEBUG = 4,
};

/* Receives one line without a newline. Runs on the thread that had something to say, which may be
 * a worker. It must not call into the library except for kula_wake and kula_post: other calls on a ring
 * are refused (-EDEADLK). */
typedef void (*kula_log_fn)(void *arg, int level, const char *text);

enum kula_config_flags {
    KULA_CONFIG_IGNORE_ENV = 1 << 0, /* do not look at KULA_* environment variables */
};

struct kula_report;

/* What kula_open and kula_probe are asked for. Start from KULA_CONFIG_INIT; zero means "the
 * default" in every field but the first. */
struct kula_config {
    /* sizeof(struct kula_config): lets the struct grow; 0 is -EINVAL. */
    size_t size;

    /* NULL or "auto"; "uring", "epoll", "blocking" (or "stub"), or a list "epoll,blocking": these are
     * tried first, in that order, and then the others. "strict:uring" fails rather than take another
     * one. The environment variable KULA_BACKEND has the same form and wins. */
    const char *backend;

    /* Takes features away, to rehearse an older kernel: "op:statx,feat:ext_arg". KULA_MASK has the
     * same form and wins. */
    const char *mask;

    uint32_t flags; /* enum kula_config_flags; an unknown bit is -EINVAL */

    /* uring: submission queue entries, 1 to 32768; 0 = 256. It limits the size of one system
     * call's batch, never how much can be in flight. */
    uint32_t entries;

    uint32_t threads_max;    /* most worker threads, 1 to 1024; 0 = 4 to 32, by CPUs */
    uint32_t operations_max; /* most operations without a buffer at a time; 0 = memory */
    uint32_t messages_max;   /* most messages without a buffer waiting in this ring; 0 = 4096 */

    kula_log_fn log; /* NULL = warnings and errors to stderr, unless KULA_DEBUG=quiet */
    void *log_arg;

    /* Filled by kula_open, also and above all when it fails; or NULL. */
    struct kula_report *report;
};

#define KULA_CONFIG_INIT                                                        \
    {                                                                           \
        sizeof(struct kula_config), NULL, NULL, 0, 0, 0, 0, 0, NULL, NULL, NULL \
    }

/* Opens a ring that belongs to the calling thread. `config` may be NULL for the defaults: the best
 * backend that this environment lets the process use, proven by a real round trip on the very ring
 * that is returned. Why it was chosen, and what to change to get a better one, is in the report
 * (kula_describe, or config->report when opening fails) and in the log.
 *
 * Sizes:   a few pages; the kernel's queues for 256 entries are about 29 KiB
 * Owner:   *ret_ring is yours until kula_close; untouched on failure
 * Errors:  -EINVAL a field of config is impossible (the log names it); -ENOSYS, -EPERM, -EACCES,
 *          -EOPNOTSUPP no candidate is available (strict); -ENOMEM, -EMFILE, -ENFILE, -EAGAIN
 *          resources, when no candidate could do with less
 * Thread:  any; the caller becomes the ring's owner
 * Kernel:  uring needs the features of Linux 5.11 unless strict (NODROP, SUBMIT_STABLE, RW_CUR_POS,
 *          FAST_POLL, EXT_ARG); strict and without NODROP it has a limit to what is under way
 *          (docs/differences.md); epoll needs epoll and eventfd; blocking needs POSIX */
KULA_API KULA_MUST_USE int kula_open(const struct kula_config *config,
                                     struct kula_ring **ret_ring);

/* Ends a ring: cancels every operation, waits at most `drain_ns` for every final completion, and
 * only then frees. Events that you have not pulled are consumed by the library: their buffers go
 * back to the pool, their descriptors are closed. Buffers that you hold stay valid, are counted in
 * the log, and are freed with kula_free as ever. With operations left at the deadline (a call that
 * hangs, a send with MSG_ZEROCOPY whose peer does not read) nothing is freed: the ring is closing,
 * kula_wait, kula_next, kula_take and kula_close still work, new operations end in -ECANCELED; call
 * again, or kula_abandon. A NULL *ring is fine and answers 0.
 *
 * Sizes:   drain_ns in nanoseconds; 0 = reap what is there; negative = for ever
 * Owner:   0: *ring is NULL; otherwise the ring is still yours
 * Errors:  -EBUSY operations are left (listed in the log); -EPERM not the owner; -EOWNERDEAD in a
 *          child after fork; -EDEADLK from inside a function that the library called
 * Thread:  owner
 * Kernel:  the kernel goes on writing after a ring's descriptor is closed (measured on 6.18: 283 of
 *          300 rounds with O_DIRECT), which is why nothing is freed before the last completion */
KULA_API int kula_close(struct kula_ring **ring, int64_t drain_ns);

/* Gives up a ring whose operations do not end. What is still in the kernel's hands moves to a
 * process-wide graveyard that later calls empty as its completions arrive; memory that the kernel
 * may still write is never freed. Events that come later are consumed by the library.
 *
 * Sizes:   none
 * Owner:   *ring is NULL afterwards; buffers that you hold stay yours
 * Errors:  0; -EPERM, -EOWNERDEAD, -EDEADLK as kula_close
 * Thread:  owner
 * Kernel:  none */
KULA_API int kula_abandon(struct kula_ring **ring);

/* Says how many operations have been accepted whose final event has not been pulled: what a loop
 * has to wait for. Detached operations and messages do not count.
 *
 * Sizes:   a count
 * Owner:   none
 * Errors:  0 for a NULL ring or the wrong thread (misuse)
 * Thread:  owner
 * Kernel:  none */
KULA_API size_t kula_outstanding(const struct kula_ring *ring);

/* Names the backend of a ring: "uring", "epoll" or "blocking".
 *
 * Sizes:   none
 * Owner:   the text is static
 * Errors:  "" for a NULL ring
 * Thread:  any
 * Kernel:  none */
KULA_API const char *kula_backend_name(const struct kula_ring *ring);

/* ---- Buffers ------------------------------------------------------------------------------ */

/* Gives you a buffer of `size` bytes from the ring's pool. Sizes of 4096 and more are page aligned,
 * smaller ones 64. The contents are undefined. Every ring accepts every buffer: the ring named
 * here only chooses the pool. This may fail, and then nothing is at stake yet.
 *
 * Sizes:   size in bytes, 1 to 2^31-1; the capacity is what was asked for
 * Owner:   the buffer is yours until you hand it over or free it
 * Errors:  NULL: out of memory, size 0 or too large, wrong thread (misuse)
 * Thread:  owner
 * Kernel:  pages come from mmap(2) in regions and are not inherited by children (MADV_DONTFORK) */
KULA_API kula_buf kula_alloc(struct kula_ring *ring, size_t size) KULA_BUF_OWNED_
    KULA_ALLOC_SIZE_(2);

KULA_API unsigned char *kula_bytes_(kula_buf buffer) KULA_PURE_ KULA_NONNULL_(1);
KULA_API size_t kula_capacity_(kula_buf buffer) KULA_PURE_ KULA_NONNULL_(1);

/* Gives the buffer back to its pool and empties your variable. NULL inside is fine.
 *
 * Sizes:   none
 * Owner:   the buffer was yours; afterwards it is nobody's
 * Errors:  a stale or forged handle is refused through the misuse hook and nothing is freed
 * Thread:  any (a buffer may be freed on a thread other than its ring's, and after its ring)
 * Kernel:  none */
KULA_INLINE_ void kula_free(kula_buf *buffer)
{
    kula_buf held = *buffer;
    *buffer = NULL;
    kula_free_(held);
}

/* Gives the address of the bytes that you may read and write while the buffer is yours. The pointer
 * is worthless after the next hand-over: ask again when the buffer has come home.
 *
 * Sizes:   kula_capacity() bytes from here on
 * Owner:   unchanged
 * Errors:  NULL for an empty, stale or forged handle (misuse)
 * Thread:  the one that holds the buffer
 * Kernel:  none */
KULA_INLINE_ unsigned char *kula_bytes(kula_buf buffer)
{
    KULA_CHECK_LIVE_(buffer);
    return KULA_BYTES_(unsigned char, buffer, kula_bytes_(buffer));
}

/* Says how many bytes there are from kula_bytes() on: what was asked for, less the window's offset.
 *
 * Sizes:   bytes
 * Owner:   unchanged
 * Errors:  0 for an empty, stale or forged handle (misuse)
 * Thread:  the one that holds the buffer
 * Kernel:  none */
KULA_INLINE_ size_t kula_capacity(kula_buf buffer)
{
    KULA_CHECK_LIVE_(buffer);
    return kula_capacity_(buffer);
}

/* Moves the start of the part that kula_bytes, kula_capacity and transfers see to `offset` bytes
 * from the start of the whole buffer; 0 shows everything again. The bytes before it are kept, and
 * the window survives the round trip. This is how the rest of a short send is sent.
 *
 * Sizes:   offset in bytes from the buffer's start, 0 to the whole capacity
 * Owner:   unchanged
 * Errors:  -EINVAL offset beyond the end; -EBADF stale or forged handle (misuse)
 * Thread:  the one that holds the buffer
 * Kernel:  none */
KULA_API int kula_window(const struct kula_buf_s *buffer, size_t offset) KULA_NONNULL_(1);

#define kula_free(buffer) kula_free(KULA_BUF_ADDRESS_(buffer))

#ifdef __cplusplus
}
#endif

/* ---- Operations --------------------------------------------------------------------------- */

#include "kula/operations.h"
#include "kula/vec.h"

/* ---- More about buffers ------------------------------------------------------------------- */

#include "kula/borrow.h"
#include "kula/memory.h"
#include "kula/pool.h"
#include "kula/sharing.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Waiting ------------------------------------------------------------------------------ */

enum kula_event_flags {
    KULA_EVENT_MORE = 1 << 0,      /* not the last event of this operation */
    KULA_EVENT_MESSAGE = 1 << 1,   /* from kula_post: op 0, result = value, user = pointer */
    KULA_EVENT_TIMED_OUT = 1 << 2, /* result bytes moved before the deadline stopped it */
    KULA_EVENT_CANCELLED = 1 << 3, /* result bytes moved before a cancel stopped it */
    KULA_EVENT_ERROR = 1 << 4,     /* result bytes moved before `error` stopped it */
    KULA_EVENT_LATE = 1 << 5,      /* the deadline passed, but the call could not be stopped:
                                    * the result is what the call then gave */
};

/* One completion. `result` is a count, a descriptor or 0; or a negative errno. Partial progress is
 * never hidden: if any byte moved, result is that count, and a flag says what stopped it. A
 * descriptor in `result` is yours once kula_next has returned the event. */
struct kula_event {
    kula_op op;              /* the operation; 0 for a message */
    int32_t result;          /* >= 0, or a negative errno */
    uint32_t flags;          /* enum kula_event_flags */
    void *user;              /* as given when the operation was handed over */
    uint64_t private_holder; /* for kula_take; not for programs */
    int32_t error; /* with KULA_EVENT_ERROR: the negative errno that stopped it; else 0 */
    uint32_t reserved;
};

/* Hands everything queued so far to the kernel, without waiting. Calling it is never needed before
 * kula_wait, which does it first; it is for programs that do something else meanwhile, or sleep
 * elsewhere. Transient refusals by the kernel (-EAGAIN, -EBUSY, -EINTR) are kept and retried
 * inside: nothing is lost or reported twice.
 *
 * Sizes:   none
 * Owner:   none
 * Errors:  >= 0 the number of operations flushed; -EINVAL NULL ring, -EPERM wrong thread, -EOWNERDEAD
 *          child (misuse); -EDEADLK from inside a function that the library called; -EBADR the ring is broken
 * Thread:  owner
 * Kernel:  uring: one io_uring_enter for a batch that fits the queue */
KULA_API int kula_submit(struct kula_ring *ring);

/* Flushes, reaps what has completed, and if no event is ready sleeps until one is, the time-out has
 * passed, or kula_wake is called. Never returns -EINTR: a signal restarts the wait against the
 * same point in time.
 *
 * Sizes:   timeout_ns in nanoseconds; 0 = only look; negative = for ever
 * Owner:   none
 * Errors:  > 0 at least that many events can be pulled; 0 time-out or kula_wake; -EINVAL NULL
 *          ring, -EPERM, -EOWNERDEAD (misuse), -EDEADLK as kula_submit; -EBADR the ring is broken
 * Thread:  owner
 * Kernel:  uring: one system call when the batch completes at once, two when it has to sleep */
KULA_API int kula_wait(struct kula_ring *ring, int64_t timeout_ns);

/* Pulls the next event, or NULL when there is none. The event before it ends: what it still holds
 * (a buffer that was not taken, an address) is recycled. Does not flush, reap or wait.
 *
 * Sizes:   none
 * Owner:   the event is the ring's and valid until the next kula_next or kula_close; a descriptor
 *          in its result is yours; its buffers wait for kula_take
 * Errors:  NULL for the wrong thread or a child (misuse)
 * Thread:  owner
 * Kernel:  none */
KULA_API struct kula_event *kula_next(struct kula_ring *ring);

/* Takes a buffer out of an event: once for most operations, one at a time in order for vectored
 * ones; NULL when there is none (left), which ends a loop over them and is no misuse.
 *
 * Sizes:   none
 * Owner:   the buffer is yours
 * Errors:  NULL: no buffer (left); a copy of an event that is over or whose buffer was taken, a forged
 *          event, wrong thread (misuse)
 * Thread:  owner
 * Kernel:  none */
KULA_API kula_buf kula_take(struct kula_event *event) KULA_BUF_OWNED_;

/* The peer of a completed kula_accept. The length goes to *ret_length when that is not NULL.
 *
 * Sizes:   *ret_length in bytes, 0 when there is no address
 * Owner:   the ring's; valid until the next kula_next
 * Errors:  NULL when the event carries no address, or on another thread
 * Thread:  owner
 * Kernel:  none */
KULA_API const struct sockaddr *kula_event_address(const struct kula_event *event,
                                                   uint32_t *ret_length);

/* The result of a completed kula_statx (struct kula_stat is in kula/operations.h).
 *
 * Sizes:   none
 * Owner:   the ring's; valid until the next kula_next
 * Errors:  NULL when the event carries none, or on another thread
 * Thread:  owner
 * Kernel:  none */
KULA_API const struct kula_stat *kula_event_stat(const struct kula_event *event);

/* Says in words what an event's result means for its operation, what may have caused it and what
 * can be done.
 *
 * Sizes:   at most 255 characters
 * Owner:   the ring's; valid until the next kula_event_explain or kula_next on the same ring
 * Errors:  never NULL
 * Thread:  owner
 * Kernel:  none */
KULA_API const char *kula_event_explain(const struct kula_event *event);

/* Gives one descriptor that is readable whenever kula_wait(ring, 0) would yield an event, and after
 * kula_wake until kula_next has found nothing, so that libuv, GLib, libevent, epoll or poll can drive the
 * ring, and switches the ring to embedded mode. Watch it for input; never read, write or close it. Before your loop sleeps call kula_submit; when
 * it wakes, kula_wait(ring, 0) and then kula_next until NULL.
 *
 * Sizes:   none
 * Owner:   the descriptor is the ring's and closes with it
 * Errors:  -EMFILE, -ENFILE, -ENOMEM, -EAGAIN (no thread could be had: blocking backend); -EINVAL NULL
 *          ring, -EPERM, -EOWNERDEAD (misuse)
 * Thread:  owner
 * Kernel:  uring: a registered eventfd, because with DEFER_TASKRUN the ring's own descriptor does
 *          not become readable (measured on 6.18: 0 of 3) */
KULA_API int kula_pollable(struct kula_ring *ring);

/* Makes the ring's kula_wait return, now or, if none is under way, the next one that finds no event.
 * Several calls may be seen as one. Safe in a signal handler.
 *
 * Sizes:   none
 * Owner:   none
 * Errors:  0; -EINVAL NULL ring; -EOWNERDEAD in a child after fork; neither is told to the misuse hook
 * Thread:  any, as long as the ring is not being closed
 * Kernel:  at most one write(2) to an eventfd */
KULA_API int kula_wake(struct kula_ring *ring);

/* Puts a message into a ring: its owner gets one event with op 0 and KULA_EVENT_MESSAGE; the sender
 * gets none. `buffer` is NULL, or the address of a variable whose buffer travels along, hand to
 * hand. With a buffer it cannot fail; messages of one sender arrive in order.
 *
 * Sizes:   at most config.messages_max messages without a buffer wait at a time
 * Owner:   the buffer is the receiving ring's, then its owner's (with a NULL ring it goes back to its
 *          pool); `pointer` passes through
 * Errors:  0; -ENOBUFS the receiver has too many waiting messages (never with a buffer); -EINVAL a
 *          NULL ring, or an empty, stale or forged handle; -EOWNERDEAD in a child after fork (misuse)
 * Thread:  any; posting to a ring that is being closed at the same time is the program's error
 * Kernel:  at most one write(2) to an eventfd, and only when the receiver sleeps */
KULA_INLINE_ int kula_post(struct kula_ring *ring,
                           kula_buf *buffer,
                           int32_t value,
                           void *pointer)
{
    if (!buffer) {
        KULA_ESCAPE_(pointer);
        return kula_post_value_(ring, value, pointer);
    }
    kula_buf held = *buffer;
    KULA_CHECK_LIVE_(held);
    *buffer = NULL;
    KULA_ESCAPE_(pointer);
    return kula_post_(ring, held, value, pointer);
}

/* kula_post with shared bytes: in C11 the plain name takes the address of a kula_ref as well (in C++ a
 * plain NULL would be ambiguous).
 *
 * Sizes:   none
 * Owner:   the reference is the receiving ring's, then its owner's (kula_take_ref); with a NULL ring it
 *          is dropped
 * Errors:  0; -EINVAL a NULL ring, or an empty, stale or forged handle (misuse)
 * Thread:  as kula_post
 * Kernel:  as kula_post */
KULA_INLINE_ int kula_post_ref(struct kula_ring *ring,
                               kula_ref *ref,
                               int32_t value,
                               void *pointer)
{
    kula_ref held = *ref;
    KULA_CHECK_LIVE_(held);
    *ref = NULL;
    KULA_ESCAPE_(pointer);
    return kula_post_ref_(ring, held, value, pointer);
}

#if defined KULA_BUF_OR_REF_OR_NULL_
#    define kula_post(ring, buffer, value, pointer) \
        KULA_BUF_OR_REF_OR_NULL_(buffer, kula_post, kula_post_ref)(ring, buffer, value, pointer)
#endif

#ifdef __cplusplus
}
#endif

/* ---- Asking ------------------------------------------------------------------------------- */

#include "kula/report.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Errors ------------------------------------------------------------------------------- */

/* Errors are negative errno values: in the return value of calls that own nothing, in event.result
 * of operations. There is no errno to look at and no last-error state. The documented results:
 *
 *   -EINVAL      an argument is impossible: length beyond the buffer, negative time, unknown flag
 *   -EBADF       no such descriptor, not open for this, or kula_close_fd was called on it
 *   -ESPIPE      positional I/O on something without positions
 *   -ECANCELED   cancelled: kula_cancel, kula_close_fd, a failed predecessor, a closing ring
 *   -ETIME       the deadline passed before any byte moved
 *   -EPERM       handed over on a thread that does not own the ring; or the system refuses
 *   -ENOMEM      no memory for what the operation has to keep
 *   -EAGAIN      only with KULA_NOWAIT: it would have to wait
 *   -EOPNOTSUPP  the kernel, the file or the backend cannot do this
 *   -EFBIG, -ENOSPC, -EDQUOT, -EIO, -EPIPE, -ECONNRESET, -ECONNREFUSED, -EMFILE, ...  as POSIX
 *                has them for the system call of the same name
 *
 * -EINTR, SIGPIPE and SIGXFSZ never reach the program. */

/* Says in a sentence what a result means and what can be done about it.
 *
 * Sizes:   none
 * Owner:   the text is static
 * Errors:  never NULL
 * Thread:  any
 * Kernel:  none */
KULA_API const char *kula_explain(int32_t result);

/* Everything that could corrupt memory or lose a buffer is found at run time, refused, and reported
 * through one hook. */
struct kula_misuse {
    const char *operation;      /* the function that was called, such as "kula_read" */
    const char *reason;         /* what is wrong, and what to do instead */
    uint64_t handle;            /* as it was given */
    uint32_t index;             /* the buffer or operation that it names */
    uint64_t generation;        /* the generation that it carries */
    uint64_t current;           /* the generation that is current */
    const char *last_operation; /* what its last hand-over was, such as "kula_send"; or NULL */
    const void
        *place; /* where in the program that was: an address in its code. In debug builds of
                        * the library and with KULA_DEBUG=ownership; else NULL */
};

typedef void (*kula_misuse_fn)(void *arg, const struct kula_misuse *misuse);

/* Sets the one misuse hook of the process; NULL puts the default back: in debug builds of the
 * library write a line to stderr and abort, in release builds write the line, refuse the call and
 * keep the memory. KULA_DEBUG=abort aborts in release builds too. The hook must not call into the
 * library except for kula_wake and kula_post: other calls on a ring are refused (-EDEADLK), which is
 * misuse and, so that it ends, written to stderr and not told to the hook.
 *
 * Sizes:   none
 * Owner:   arg passes through
 * Errors:  none
 * Thread:  any; the hook runs on the thread that did it
 * Kernel:  none */
KULA_API void kula_on_misuse(kula_misuse_fn hook, void *arg);

/* Says how often misuse has been found in this process.
 *
 * Sizes:   a count
 * Owner:   none
 * Errors:  none
 * Thread:  any
 * Kernel:  none */
KULA_API uint64_t kula_misuse_count(void);

#ifdef __cplusplus
}
#endif

#endif
