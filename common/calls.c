#include "calls.h"

#include "block.h"
#include "system.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#if defined __linux__ && !defined KULA_NO_LINUX
#    include <sys/syscall.h>
#endif

/* ---- Vectors ---- */

struct kula__span kula__span_of(const struct kula__slot *slot, struct iovec *single)
{
    if (slot->operation == KULA__OP_READV || slot->operation == KULA__OP_WRITEV) {
        return (struct kula__span){ kula__cold_of(slot)->block, slot->length };
    }
    *single = (struct iovec){ slot->data, slot->length };
    return (struct kula__span){ single, 1 };
}

uint64_t kula__span_bytes(const struct kula__span *span)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < span->count; i++) {
        bytes += span->parts[i].iov_len;
    }
    return bytes;
}

struct iovec kula__span_skip(struct kula__span *span, uint64_t bytes)
{
    while (bytes >= span->parts->iov_len) {
        bytes -= span->parts->iov_len;
        span->parts++;
        span->count--;
    }
    struct iovec first = *span->parts;
    span->parts->iov_base = (unsigned char *)first.iov_base + bytes;
    span->parts->iov_len = first.iov_len - (size_t)bytes;
    return first;
}

/* ---- The program's bytes ---- */

/* Of a system call that has failed with errno, or answered `result`. */
static int32_t answer(ssize_t result)
{
    return result < 0 ? -errno : (int32_t)result;
}

#if defined __linux__ && !defined KULA_NO_LINUX

/* A position as preadv and its kin take it: in two words, of which the second is looked at where a
 * word has 32 bits. */
#    define POSITION(offset) (unsigned long)(offset), (unsigned long)((uint64_t)(offset) >> 32)

/* With one part, and a position that fits into a word, the older calls save 50 ns of 310. */
static bool is_plain_position(const struct kula__span *span)
{
    return sizeof(long) == sizeof(int64_t) && span->count == 1;
}

int32_t kula__call_read(int fd, const struct kula__span *span, int64_t offset)
{
    int32_t result = kula__fault("read", EIO);
    if (result) {
        return result;
    }
    do {
        if (offset != KULA_CUR && is_plain_position(span)) {
            result = answer(syscall(SYS_pread64, fd, span->parts->iov_base,
                                    span->parts->iov_len, (long)offset));
        } else if (offset != KULA_CUR) {
            result = answer(syscall(SYS_preadv, fd, span->parts, (unsigned long)span->count,
                                    POSITION(offset)));
        } else if (span->count == 1) {
            result = answer(syscall(SYS_read, fd, span->parts->iov_base, span->parts->iov_len));
        } else {
            result = answer(syscall(SYS_readv, fd, span->parts, (unsigned long)span->count));
        }
    } while (result == -EINTR);
    return result;
}

int32_t kula__call_write(int fd, const struct kula__span *span, int64_t offset)
{
    int32_t result = kula__fault("write", EIO);
    if (result) {
        return result;
    }
    do {
        if (offset != KULA_CUR && is_plain_position(span)) {
            result = answer(syscall(SYS_pwrite64, fd, span->parts->iov_base,
                                    span->parts->iov_len, (long)offset));
        } else if (offset != KULA_CUR) {
            result = answer(syscall(SYS_pwritev, fd, span->parts, (unsigned long)span->count,
                                    POSITION(offset)));
        } else if (span->count == 1) {
            result =
                answer(syscall(SYS_write, fd, span->parts->iov_base, span->parts->iov_len));
        } else {
            result = answer(syscall(SYS_writev, fd, span->parts, (unsigned long)span->count));
        }
    } while (result == -EINTR);
    return result;
}

static int32_t call_flagged(long number,
                            int fd,
                            const struct kula__span *span,
                            int64_t offset,
                            int flags)
{
    int32_t result;
    do {
        result = answer(syscall(number, fd, span->parts, (unsigned long)span->count,
                                POSITION(offset), flags));
    } while (result == -EINTR);
    return result == -ENOSYS ? -EOPNOTSUPP : result;
}

int32_t kula__call_read_flagged(int fd,
                                const struct kula__span *span,
                                int64_t offset,
                                int flags)
{
    int32_t error = kula__fault("preadv2", EIO);
    return error ? error : call_flagged(SYS_preadv2, fd, span, offset, flags);
}

int32_t kula__call_write_flagged(int fd,
                                 const struct kula__span *span,
                                 int64_t offset,
                                 int flags)
{
    int32_t error = kula__fault("pwritev2", EIO);
    return error ? error : call_flagged(SYS_pwritev2, fd, span, offset, flags);
}

static ssize_t receive(int fd, const struct kula__span *span, struct msghdr *message, int flags)
{
    if (span->count == 1) {
        const struct iovec *part = span->parts;
        return syscall(SYS_recvfrom, fd, part->iov_base, part->iov_len, flags, NULL, NULL);
    }
    return syscall(SYS_recvmsg, fd, message, flags);
}

static ssize_t send_off(int fd,
                        const struct kula__span *span,
                        const struct msghdr *message,
                        int flags)
{
    if (span->count == 1) {
        const struct iovec *part = span->parts;
        return syscall(SYS_sendto, fd, part->iov_base, part->iov_len, flags, NULL, 0);
    }
    return syscall(SYS_sendmsg, fd, message, flags);
}

#else

/* POSIX has vectors at the file's own position only. */
static int32_t call_positional(bool writing,
                               int fd,
                               const struct kula__span *span,
                               int64_t offset)
{
    int32_t moved = 0;
    for (uint32_t i = 0; i < span->count; i++) {
        off_t position = (off_t)(offset + moved);
        if (position != offset + moved) {
            return moved > 0 ? moved : -EINVAL; /* off_t has 32 bits here */
        }
        void *data = span->parts[i].iov_base;
        size_t length = span->parts[i].iov_len;
        int32_t result = answer(writing ? pwrite(fd, data, length, position)
                                        : pread(fd, data, length, position));
        if (result < 0) {
            return moved > 0 ? moved : result;
        }
        moved += result;
        if ((size_t)result < length) {
            break;
        }
    }
    return moved;
}

int32_t kula__call_read(int fd, const struct kula__span *span, int64_t offset)
{
    int32_t result = kula__fault("read", EIO);
    if (result) {
        return result;
    }
    do {
        if (offset != KULA_CUR) {
            result = call_positional(false, fd, span, offset);
        } else if (span->count == 1) {
            result = answer(read(fd, span->parts->iov_base, span->parts->iov_len));
        } else {
            result = answer(readv(fd, span->parts, (int)span->count));
        }
    } while (result == -EINTR);
    return result;
}

int32_t kula__call_write(int fd, const struct kula__span *span, int64_t offset)
{
    int32_t result = kula__fault("write", EIO);
    if (result) {
        return result;
    }
    do {
        if (offset != KULA_CUR) {
            result = call_positional(true, fd, span, offset);
        } else if (span->count == 1) {
            result = answer(write(fd, span->parts->iov_base, span->parts->iov_len));
        } else {
            result = answer(writev(fd, span->parts, (int)span->count));
        }
    } while (result == -EINTR);
    return result;
}

int32_t kula__call_read_flagged(int fd,
                                const struct kula__span *span,
                                int64_t offset,
                                int flags)
{
    (void)fd;
    (void)span;
    (void)offset;
    (void)flags;
    return -EOPNOTSUPP;
}

int32_t kula__call_write_flagged(int fd,
                                 const struct kula__span *span,
                                 int64_t offset,
                                 int flags)
{
    return kula__call_read_flagged(fd, span, offset, flags);
}

static ssize_t receive(int fd, const struct kula__span *span, struct msghdr *message, int flags)
{
    (void)span;
    return recvmsg(fd, message, flags);
}

static ssize_t send_off(int fd,
                        const struct kula__span *span,
                        const struct msghdr *message,
                        int flags)
{
    (void)span;
    return sendmsg(fd, message, flags);
}

#endif

/* musl has padding among the members, hence memset, and an int for a length, hence the cast: a vector
 * has at most 1024 parts. */
static struct msghdr message_of(const struct kula__span *span)
{
    struct msghdr message;
    memset(&message, 0, sizeof(message));
    message.msg_iov = span->parts;
    message.msg_iovlen = (uint16_t)span->count;
    return message;
}

int32_t kula__call_receive(int fd, const struct kula__span *span, int flags)
{
    int32_t result = kula__fault("recv", ECONNRESET);
    if (result) {
        return result;
    }
    do {
        struct msghdr message = message_of(span);
        result = answer(receive(fd, span, &message, flags));
    } while (result == -EINTR);
    return result;
}

int32_t kula__call_send(int fd, const struct kula__span *span, int flags)
{
    int32_t result = kula__fault("send", ECONNRESET);
    if (result) {
        return result;
    }
    struct msghdr message = message_of(span);
    /* These calls copy. Of a send without a copy, on a socket with SO_ZEROCOPY, only the socket's error queue
     * would tell when it is over. */
    flags = (flags & ~KULA__MSG_ZEROCOPY) | MSG_NOSIGNAL;
    do {
        result = answer(send_off(fd, span, &message, flags));
    } while (result == -EINTR);
    return result;
}

/* ---- Connections ---- */

/* Network errors that accept(2) passes on are the waiting connection's, not the listener's; to the
 * program such a connection is one that never came. */
static bool connection_died(int32_t error)
{
    switch (-error) {
    case ECONNABORTED:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTUNREACH:
    case ENETUNREACH:
#if defined EHOSTDOWN
    case EHOSTDOWN:
#endif
#if defined ENONET
    case ENONET:
#endif
        return true;
    default:
        return false;
    }
}

int32_t kula__call_accept(struct kula__slot *slot)
{
    struct kula__address_block *peer = kula__cold_of(slot)->block;
    int32_t result = kula__fault("accept", EMFILE);
    if (result) {
        return result;
    }
    do {
        peer->length = sizeof(peer->address);
        struct sockaddr *address = (struct sockaddr *)&peer->address;
#if defined __linux__ && !defined KULA_NO_LINUX
        result = answer(accept4(slot->fd, address, &peer->length, SOCK_CLOEXEC));
#else
        result = answer(accept(slot->fd, address, &peer->length));
        if (result >= 0) {
            /* BSDs hand the listener's O_NONBLOCK down to the connection */
            int flags = fcntl(result, F_GETFL);
            (void)fcntl(result, F_SETFD, FD_CLOEXEC);
            (void)fcntl(result, F_SETFL, flags & ~O_NONBLOCK);
        }
#endif
    } while (result == -EINTR || connection_died(result));
    return result;
}

static int32_t connect_once(struct kula__slot *slot)
{
    const struct kula__address_block *peer = kula__cold_of(slot)->block;
    int32_t error = kula__fault("connect", ECONNREFUSED);
    if (error) {
        return error;
    }
    const struct sockaddr *address = (const struct sockaddr *)&peer->address;
    return answer(connect(slot->fd, address, (socklen_t)slot->length));
}

int32_t kula__call_connected(int fd)
{
    int error = 0;
    socklen_t length = sizeof(error);
    int32_t result = kula__fault("getsockopt", ENOBUFS);
    if (result) {
        return result;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0) {
        return -errno;
    }
    if (error) {
        return -error;
    }
    /* No error does not say "connected" when somebody else has asked for it before, or the socket
     * was shut down meanwhile. */
    struct sockaddr_storage peer;
    length = sizeof(peer);
    if (getpeername(fd, (struct sockaddr *)&peer, &length) < 0) {
        return errno == ENOTCONN ? -ECONNABORTED : -errno;
    }
    return 0;
}

/* ---- Waiting ---- */

int32_t kula__call_poll(int fd, short events, int64_t timeout_ns)
{
    struct pollfd polled = { .fd = fd, .events = events };
    int ready;
    do { /* a signal costs the time waited so far: nobody here waits for a limited one */
        ready = kula__sys_poll(&polled, 1, timeout_ns);
    } while (ready == -EINTR);
    return ready < 0 ? ready : polled.revents;
}

static pthread_mutex_t flags_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t flags_once = PTHREAD_ONCE_INIT;

static void flags_lock(void)
{
    (void)pthread_mutex_lock(&flags_mutex);
}

static void flags_unlock(void)
{
    (void)pthread_mutex_unlock(&flags_mutex);
}

/* A child may open a ring of its own, and must not find the mutex with a thread that it has not. */
static void flags_prepare(void)
{
    (void)pthread_atfork(flags_lock, flags_unlock, flags_unlock);
}

int kula__nonblocking_begin(int fd)
{
    (void)pthread_once(&flags_once, flags_prepare);
    flags_lock();
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)) {
        int error = -errno;
        flags_unlock();
        return error;
    }
    return flags;
}

void kula__nonblocking_end(int fd, int flags)
{
    if (!(flags & O_NONBLOCK)) {
        (void)fcntl(fd, F_SETFL, flags);
    }
    flags_unlock();
}

int32_t kula__call_connect_at_once(struct kula__slot *slot)
{
    int before = kula__nonblocking_begin(slot->fd);
    if (before < 0) {
        return before;
    }
    int32_t result = connect_once(slot);
    kula__nonblocking_end(slot->fd, before);
    return result;
}

/* ---- Signals ---- */

static const int write_signals[] = { SIGPIPE, SIGXFSZ };
#define WRITE_SIGNALS (sizeof(write_signals) / sizeof(write_signals[0]))

static _Thread_local struct kula__quiet *outermost;

void kula__quiet_begin(struct kula__quiet *quiet)
{
    if (outermost) {
        return;
    }
    outermost = quiet;
    sigset_t both;
    sigemptyset(&both);
    sigemptyset(&quiet->pending);
    quiet->suspect = false;
    for (size_t i = 0; i < WRITE_SIGNALS; i++) {
        sigaddset(&both, write_signals[i]);
    }
    (void)pthread_sigmask(SIG_BLOCK, &both, &quiet->mask);
    for (size_t i = 0; i < WRITE_SIGNALS; i++) {
        if (sigismember(&quiet->mask, write_signals[i])) {
            (void)sigpending(&quiet->pending); /* only what was blocked can be pending */
            break;
        }
    }
}

/* Takes away a pending signal, if it is. */
static void discard(int number)
{
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, number);
#if defined _POSIX_REALTIME_SIGNALS && _POSIX_REALTIME_SIGNALS > 0
    const struct timespec at_once = { 0, 0 };
    while (sigtimedwait(&one, NULL, &at_once) < 0 && errno == EINTR) {
    }
#else
    /* Does not wait: what a write raises is pending for the thread, so nobody else can take it. */
    sigset_t pending;
    if (sigpending(&pending) == 0 && sigismember(&pending, number)) {
        (void)sigwait(&one, &number);
    }
#endif
}

void kula__quiet_end(struct kula__quiet *quiet, bool suspect)
{
    outermost->suspect |= suspect;
    if (outermost != quiet) {
        return;
    }
    for (size_t i = 0; quiet->suspect && i < WRITE_SIGNALS; i++) {
        if (!sigismember(&quiet->pending, write_signals[i])) {
            discard(write_signals[i]);
        }
    }
    (void)pthread_sigmask(SIG_SETMASK, &quiet->mask, NULL);
    outermost = NULL;
}
