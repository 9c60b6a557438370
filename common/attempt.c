/* attempt.c - trying an operation without waiting, whatever the descriptor's O_NONBLOCK flag says.
 *
 * A socket takes that wish with each call, everything else only if its driver knows RWF_NOWAIT. Of
 * what does not, poll(2) is asked first; it answers for the moment only, and does not say how much
 * can be written. A tty is therefore opened once more for the call, non-blocking. What is left (a
 * pty's master, systems other than Linux) can make the ring's thread wait: when somebody else takes
 * the bytes that poll(2) has seen, or when there is room for a part of a piece.
 */
#include "perform.h"

#include "block.h"
#include "calls.h"
#include "ring.h"
#include "system.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#if !defined PIPE_BUF
#    define PIPE_BUF _POSIX_PIPE_BUF
#endif

/* A pipe that is ready takes PIPE_BUF bytes. Of a tty that is ready one only knows that it takes one;
 * the smaller the piece, the less likely is one that fits in part. */
#define TTY_PIECE 64u

/* kula__fd.no_nowait: what has been found out about a file. */
enum {
    NO_NOWAIT_READING = 1 << 0,
    NO_NOWAIT_WRITING = 1 << 1,
    LOOKED = 1 << 2, /* whether it is one of these: */
    DIRECT = 1 << 3, /* opened with O_DIRECT */
    TTY = 1 << 4,
};

short kula__wanted(const struct kula__slot *slot)
{
    if (slot->operation == KULA__OP_POLL) {
        return (short)slot->opflags;
    }
    if (slot->operation == KULA__OP_RECV && (slot->opflags & MSG_OOB)) {
        return POLLPRI;
    }
    return kula__operation_facts[slot->operation].readiness;
}

static bool is_writing(const struct kula__slot *slot)
{
    return kula__operation_facts[slot->operation].transfer == KULA__TRANSFER_OUT;
}

static uint8_t no_nowait_bit(const struct kula__slot *slot)
{
    return is_writing(slot) ? NO_NOWAIT_WRITING : NO_NOWAIT_READING;
}

static bool knows_nowait(const struct kula_ring *ring,
                         const struct kula__slot *slot,
                         const struct kula__fd *record)
{
    return (ring->features & KULA__FEATURE(RWF_NOWAIT)) &&
           !(record->no_nowait & no_nowait_bit(slot));
}

/* poll(2) for this very moment: > 0 ready, or the result of the try. */
static int32_t look(const struct kula__slot *slot)
{
    int32_t events = kula__call_poll(slot->fd, kula__wanted(slot), 0);
    /* -EINVAL: a single descriptor is more than RLIMIT_NOFILE, which is 0 at the moment */
    return events == 0 || events == -EINVAL ? -EAGAIN : events;
}

/* ---- Files -------------------------------------------------------------------------------- */

/* RWF_NOWAIT keeps a direct transfer from waiting for locks, not for the disk. */
static bool is_direct(struct kula__fd *record, int fd)
{
#if defined O_DIRECT
    if (!(record->no_nowait & LOOKED)) {
        int flags = kula__sys_status_flags(fd);
        record->no_nowait |= LOOKED | (flags >= 0 && (flags & O_DIRECT) ? DIRECT : 0);
    }
    return record->no_nowait & DIRECT;
#else
    (void)record;
    (void)fd;
    return false;
#endif
}

/* Whether the file ends at a position, as far as that is known without waiting. */
static bool ends_at(int fd, int64_t position)
{
    unsigned char byte;
    struct iovec part = { &byte, 1 };
    const struct kula__span span = { &part, 1 };
    return kula__call_read_flagged(fd, &span, position, KULA__RWF_NOWAIT) == 0;
}

/* A transfer that stopped short because the rest would have had to wait. Other ways of doing it give
 * everything up to the end of the file, so this one has to as well. */
static int32_t go_on(const struct kula__slot *slot, struct kula__span *span, int32_t moved)
{
    if (!is_writing(slot) && slot->offset != KULA_CUR) {
        return ends_at(slot->fd, slot->offset + moved) ? moved : -EOPNOTSUPP;
    }
    /* The file's position has moved, or data is in the file, at its end if O_APPEND says so: what is
     * done cannot be done once more, so the rest is waited for here. */
    int64_t offset = slot->offset == KULA_CUR ? KULA_CUR : slot->offset + moved;
    struct iovec first = kula__span_skip(span, (uint64_t)moved);
    int32_t more = is_writing(slot) ? kula__call_write(slot->fd, span, offset)
                                    : kula__call_read(slot->fd, span, offset);
    span->parts[0] = first;
    return more > 0 ? moved + more : moved;
}

static int32_t transfer_file(const struct kula_ring *ring,
                             struct kula__slot *slot,
                             struct kula__fd *record)
{
    bool may_fail = slot->attention & KULA__NOWAIT;
    const int32_t refusal = may_fail ? -EAGAIN : -EOPNOTSUPP;
    if (!knows_nowait(ring, slot, record) || (!may_fail && is_direct(record, slot->fd))) {
        return refusal;
    }
    struct iovec single;
    struct kula__span span = kula__span_of(slot, &single);
    uint64_t length = kula__span_bytes(&span);
    struct kula__quiet quiet;
    int32_t result;
    if (is_writing(slot)) {
        kula__quiet_begin(&quiet);
        result = kula__call_write_flagged(slot->fd, &span, slot->offset, KULA__RWF_NOWAIT);
    } else {
        result = kula__call_read_flagged(slot->fd, &span, slot->offset, KULA__RWF_NOWAIT);
    }
    if (result > 0 && (uint64_t)result < length && !may_fail) {
        result = go_on(slot, &span, result);
    }
    if (is_writing(slot)) {
        kula__quiet_end(&quiet, result < 0 || (uint64_t)result < length);
    }
    if (result == -EOPNOTSUPP) {
        record->no_nowait |= no_nowait_bit(slot);
    }
    return result == -EAGAIN || result == -EOPNOTSUPP ? refusal : result;
}

/* ---- Pipes, ttys, and what else has no positions ------------------------------------------- */

static bool is_tty(struct kula__fd *record, int fd)
{
    if (!(record->no_nowait & LOOKED)) {
        record->no_nowait |=
            (uint8_t)(LOOKED | (kula__fault("isatty", EBADF) == 0 && isatty(fd) ? TTY : 0));
    }
    return record->no_nowait & TTY;
}

/* As look(); what is not open for this direction never becomes ready. */
static int32_t look_at_stream(const struct kula__slot *slot)
{
    int32_t result = look(slot);
    if (result == -EAGAIN) {
        int flags = kula__sys_status_flags(slot->fd);
        if (flags >= 0 && (flags & O_ACCMODE) == (is_writing(slot) ? O_RDONLY : O_WRONLY)) {
            return -EBADF;
        }
    }
    return result;
}

/* A tty by a description of our own: O_NONBLOCK on the program's one would be the shell's as well.
 * -1 where that cannot be had. */
static int open_again(int fd, int access_mode)
{
#if defined __linux__ && !defined KULA_NO_LINUX
    char path[64];
    struct stat wanted;
    struct stat found;
    if (kula__fault("open", EMFILE) ||
        ptsname_r(fd, path, sizeof path) == 0 || /* a master: opening that makes a new pty */
        ttyname_r(fd, path, sizeof path) != 0 || fstat(fd, &wanted) < 0) {
        return -1;
    }
    int own = open(path, access_mode | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    /* the path may lead elsewhere, in another mount namespace for example */
    if (own >= 0 && (fstat(own, &found) < 0 || found.st_rdev != wanted.st_rdev ||
                     found.st_ino != wanted.st_ino || found.st_dev != wanted.st_dev)) {
        (void)kula__sys_close(own);
        own = -1;
    }
    return own;
#else
    (void)fd;
    (void)access_mode;
    return -1;
#endif
}

/* Writes what fits between one look and the next. */
static int32_t write_pieces(const struct kula__slot *slot,
                            const struct kula__span *span,
                            size_t piece_bytes)
{
    int32_t moved = 0;
    for (uint32_t i = 0; i < span->count; i++) {
        unsigned char *data = span->parts[i].iov_base;
        size_t left = span->parts[i].iov_len;
        while (left > 0) {
            struct iovec part = { data, left < piece_bytes ? left : piece_bytes };
            const struct kula__span piece = { &part, 1 };
            int32_t result = look_at_stream(slot);
            if (result > 0) {
                result = kula__call_write(slot->fd, &piece, KULA_CUR);
            }
            if (result < 0) {
                return moved > 0 ? moved : result;
            }
            moved += result;
            if ((size_t)result < part.iov_len) {
                return moved;
            }
            data += result;
            left -= (size_t)result;
        }
    }
    return moved;
}

/* Of what was seen to be ready; but eventfds and their like are tried without having been looked at: one may
 * have room for a number, and not for this one, and what cannot be at all (-EINVAL) need not be waited for. */
static int32_t transfer_at_once(struct kula__slot *slot,
                                const struct kula__fd *record,
                                const struct kula__span *span)
{
    int before = -1;
    if (record->kind == KULA__FD_OTHER && (before = kula__nonblocking_begin(slot->fd)) < 0) {
        return before;
    }
    int32_t result = is_writing(slot) ? kula__call_write(slot->fd, span, KULA_CUR)
                                      : kula__call_read(slot->fd, span, KULA_CUR);
    if (before >= 0) {
        kula__nonblocking_end(slot->fd, before);
    }
    return result;
}

static int32_t write_when_ready(struct kula__slot *slot,
                                struct kula__fd *record,
                                const struct kula__span *span)
{
    /* what cannot be made non-blocking for a moment is looked at first */
    int32_t result = record->kind == KULA__FD_OTHER ? 0 : look_at_stream(slot);
    if (result < 0) {
        return result;
    }
    /* Elsewhere a write may be a message, and whole: an eventfd's number, a packet. */
    bool tty = record->kind == KULA__FD_TERMINAL && is_tty(record, slot->fd);
    int own = tty ? open_again(slot->fd, O_WRONLY) : -1;
    uint64_t length = kula__span_bytes(span);
    size_t piece_bytes = tty ? TTY_PIECE : PIPE_BUF;
    struct kula__quiet quiet;
    kula__quiet_begin(&quiet);
    if (own >= 0) {
        result = kula__call_write(own, span, KULA_CUR);
        (void)kula__sys_close(own);
    } else if ((tty || record->kind == KULA__FD_PIPE) && length > piece_bytes) {
        result = write_pieces(slot, span, piece_bytes);
    } else {
        result = transfer_at_once(slot, record, span);
    }
    kula__quiet_end(&quiet, result < 0 || (uint64_t)result < length);
    return result;
}

static int32_t read_when_ready(struct kula__slot *slot,
                               struct kula__fd *record,
                               const struct kula__span *span)
{
    int32_t result = record->kind == KULA__FD_OTHER ? 0 : look_at_stream(slot);
    if (result < 0) {
        return result;
    }
    bool tty = record->kind == KULA__FD_TERMINAL && is_tty(record, slot->fd);
    int own = tty ? open_again(slot->fd, O_RDONLY) : -1;
    if (own < 0) {
        return transfer_at_once(slot, record, span);
    }
    result = kula__call_read(own, span, KULA_CUR);
    (void)kula__sys_close(own);
    return result;
}

static int32_t write_now(const struct kula_ring *ring,
                         const struct kula__slot *slot,
                         const struct kula__span *span)
{
    if (ring->features & KULA__FEATURE(RWF_NOSIGNAL)) {
        return kula__call_write_flagged(slot->fd, span, KULA_CUR,
                                        KULA__RWF_NOWAIT | KULA__RWF_NOSIGNAL);
    }
    struct kula__quiet quiet;
    kula__quiet_begin(&quiet);
    int32_t result = kula__call_write_flagged(slot->fd, span, KULA_CUR, KULA__RWF_NOWAIT);
    kula__quiet_end(&quiet, result < 0 || (uint64_t)result < kula__span_bytes(span));
    return result;
}

static int32_t transfer_stream(const struct kula_ring *ring,
                               struct kula__slot *slot,
                               struct kula__fd *record)
{
    if (slot->offset != KULA_CUR) {
        return -ESPIPE;
    }
    struct iovec single;
    struct kula__span span = kula__span_of(slot, &single);
    if (knows_nowait(ring, slot, record)) {
        int32_t result = is_writing(slot) ? write_now(ring, slot, &span)
                                          : kula__call_read_flagged(slot->fd, &span, KULA_CUR,
                                                                    KULA__RWF_NOWAIT);
        /* eventfd: -EINVAL on older kernels; -EOPNOTSUPP from it, ttys and inotify on 6.18 */
        if (result != -EOPNOTSUPP && result != -EINVAL) {
            return result;
        }
        record->no_nowait |= no_nowait_bit(slot);
    }
    return is_writing(slot) ? write_when_ready(slot, record, &span)
                            : read_when_ready(slot, record, &span);
}

/* ---- Sockets ------------------------------------------------------------------------------ */

#if defined MSG_DONTWAIT

static int32_t transfer_message(struct kula__slot *slot, int flags)
{
    struct iovec single;
    const struct kula__span span = kula__span_of(slot, &single);
    return is_writing(slot) ? kula__call_send(slot->fd, &span, flags | MSG_DONTWAIT)
                            : kula__call_receive(slot->fd, &span, flags | MSG_DONTWAIT);
}

#else

static int32_t transfer_message(struct kula__slot *slot, int flags)
{
    struct iovec single;
    const struct kula__span span = kula__span_of(slot, &single);
    int before = kula__nonblocking_begin(slot->fd);
    if (before < 0) {
        return before;
    }
    int32_t result = is_writing(slot) ? kula__call_send(slot->fd, &span, flags)
                                      : kula__call_receive(slot->fd, &span, flags);
    kula__nonblocking_end(slot->fd, before);
    return result;
}

#endif

/* A datagram socket whose receiving side was shut down has no end that a receive without waiting would
 * tell of, as one that waits does. */
static bool is_shut(struct kula_ring *ring,
                    const struct kula__slot *slot,
                    struct kula__fd *record)
{
#if defined POLLRDHUP
    if (record->kind == KULA__FD_UNKNOWN) {
        kula__fd_classify(ring, record, slot->fd); /* once; failing, it is taken for a stream */
    }
    if (record->kind == KULA__FD_DATAGRAM) {
        int32_t events = kula__call_poll(slot->fd, POLLRDHUP, 0);
        return events > 0 && (events & POLLRDHUP);
    }
#endif
    (void)ring;
    (void)slot;
    (void)record;
    return false;
}

static int32_t attempt_message(struct kula_ring *ring,
                               struct kula__slot *slot,
                               struct kula__fd *record,
                               int flags)
{
    int32_t result = transfer_message(slot, flags);
    bool ended = result == -EAGAIN && !is_writing(slot) && is_shut(ring, slot, record);
    return ended ? 0 : result;
}

static bool is_listener(int fd)
{
    int listening = 0;
    socklen_t length = sizeof listening;
    return kula__fault("getsockopt", ENOMEM) == 0 &&
           getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) == 0 && listening;
}

/* The connection that poll(2) has seen may be gone when accept(2) looks: another thread or process
 * has taken it. Then accept would wait, so the listener is non-blocking for that one call. */
static int32_t attempt_accept(struct kula__slot *slot)
{
    int32_t result = look(slot);
    /* what is no listener would be waited for in vain, and refuses at once */
    if (result < 0 && (result != -EAGAIN || is_listener(slot->fd))) {
        return result;
    }
    int before = kula__nonblocking_begin(slot->fd);
    if (before < 0) {
        return before;
    }
    result = kula__call_accept(slot);
    kula__nonblocking_end(slot->fd, before);
    return result;
}

/* What came of a connect that went on by itself. Linux is asked by another connect(2): that alone brings
 * the socket to rest, while after SO_ERROR the next connect of the program would be the one to hear that
 * it is connected (0, where -EISCONN is due), or of the failure once more (-ECONNABORTED; both 6.18). */
static int32_t outcome_of_connect(struct kula__slot *slot)
{
#if defined __linux__
    int32_t result = kula__call_connect_at_once(slot);
    switch (result) {
    case -EINPROGRESS:
    case -EALREADY:
    case -EINTR:
        return -EAGAIN;
    case -EISCONN:
        return 0;
    default:
        return result;
    }
#else
    return kula__call_connected(slot->fd);
#endif
}

static int32_t attempt_connect(struct kula__slot *slot)
{
    uint64_t *under_way = &kula__cold_of(slot)->scratch[0];
    if (*under_way) {
        int32_t result = look(slot);
        return result < 0 ? result : outcome_of_connect(slot);
    }
    int32_t result = kula__call_connect_at_once(slot);
    switch (result) {
    case -EINPROGRESS:
    case -EALREADY: /* an earlier connect of this socket was cancelled, and goes on by itself */
    case -EINTR:
        *under_way = 1;
        return -EAGAIN;
    case -EAGAIN:
        /* AF_UNIX: the listener's backlog is full. poll(2) calls such a socket writable all the time
         * (6.18), so that there is no event to wait for. */
        return -EOPNOTSUPP;
    default:
        return result;
    }
}

void kula__attempt_abandon(struct kula__slot *slot)
{
    kula__cold_of(slot)->scratch[0] = 0;
}

/* ---- All of them -------------------------------------------------------------------------- */

static int32_t transfer(struct kula_ring *ring,
                        struct kula__slot *slot,
                        struct kula__fd *record)
{
    switch ((enum kula__fd_kind)record->kind) {
    case KULA__FD_FILE:
        return transfer_file(ring, slot, record);
    case KULA__FD_STREAM:
    case KULA__FD_DATAGRAM:
        return attempt_message(ring, slot, record, 0);
    case KULA__FD_PIPE:
    case KULA__FD_TERMINAL:
    case KULA__FD_OTHER:
        return transfer_stream(ring, slot, record);
    case KULA__FD_UNKNOWN:
    case KULA__FD_DIRECTORY:
        break;
    }
    return -EOPNOTSUPP;
}

int32_t kula__attempt(struct kula_ring *ring, struct kula__slot *slot, struct kula__fd *record)
{
    switch (slot->operation) {
    case KULA__OP_READ:
    case KULA__OP_WRITE:
    case KULA__OP_READV:
    case KULA__OP_WRITEV:
        return transfer(ring, slot, record);
    case KULA__OP_RECV:
    case KULA__OP_SEND:
        return attempt_message(ring, slot, record, (int)slot->opflags);
    case KULA__OP_ACCEPT:
        return attempt_accept(slot);
    case KULA__OP_CONNECT:
        return attempt_connect(slot);
    case KULA__OP_POLL: {
        int32_t events = look(slot);
        return events > 0 && (events & POLLNVAL) ? -EBADF : events;
    }
    default:
        return -EOPNOTSUPP;
    }
}

uint64_t kula__perform_features(void)
{
    uint64_t features = 0;
#if defined __linux__ && !defined KULA_NO_LINUX
    int ends[2];
    if (kula__fault("pipe", EMFILE) || pipe2(ends, O_CLOEXEC) < 0) {
        return 0;
    }
    unsigned char byte = 0;
    struct iovec part = { &byte, 1 };
    const struct kula__span span = { &part, 1 };
    if (kula__call_read_flagged(ends[0], &span, KULA_CUR, KULA__RWF_NOWAIT) == -EAGAIN) {
        features |= KULA__FEATURE(RWF_NOWAIT);
    }
    /* A kernel that does not know a flag says so, and writes nothing. */
    if (kula__call_write_flagged(ends[1], &span, KULA_CUR, KULA__RWF_NOSIGNAL) == 1) {
        features |= KULA__FEATURE(RWF_NOSIGNAL);
    }
    (void)kula__sys_close(ends[0]);
    (void)kula__sys_close(ends[1]);
#endif
    return features;
}
