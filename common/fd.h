/* fd.h - what a ring knows of a descriptor: what it is, who names it, whose turn it is.
 *
 * Records are kept in pages of 256 that appear with the first descriptor in their range and stay
 * until the ring goes. A page comes with 256 operation records, one for each descriptor's
 * kula_close_fd, so that closing never fails for want of room.
 */
#ifndef KULA_COMMON_FD_H
#define KULA_COMMON_FD_H

#include "slot.h"

#define KULA__FD_PAGE 256u

enum kula__fd_kind {
    KULA__FD_UNKNOWN = 0,
    KULA__FD_FILE,      /* seekable: regular file, block device, /dev/null, /dev/zero, memfd */
    KULA__FD_DIRECTORY, /* reads and writes answer -EISDIR */
    KULA__FD_PIPE,      /* pipe or FIFO */
    KULA__FD_STREAM,    /* socket: stream */
    KULA__FD_DATAGRAM,  /* socket: datagram, seqpacket, raw: zero length is a real transfer */
    KULA__FD_TERMINAL,  /* tty, and other character devices without positions */
    KULA__FD_OTHER, /* eventfd, timerfd, inotify, ...: no positions, may have to be waited for */
};

enum kula__fd_closing {
    KULA__FD_OPEN = 0,
    KULA__FD_CLOSING,     /* kula_close_fd was called: new operations end in -EBADF */
    KULA__FD_CLOSE_ASKED, /* its operations were asked to end; the last one starts the close */
    KULA__FD_CLOSE_RUNS, /* close(2) may have been called: the number may be a new file's already, so
                          * new operations wait in `late` until its result is known */
};

/* A lane is a queue of stream transfers: on streams one for each direction, on a file one for both. */
struct kula__lane {
    struct kula__slot *busy; /* the transfer under way, marked KULA__ORDERED */
    struct kula__slot *head; /* those that wait, marked KULA__QUEUED */
    struct kula__slot *tail;
};

struct kula__fd {
    uint32_t
        pins; /* operations that name this descriptor and have not ended, marked KULA__PINNED:
                      * all but positional transfers on files, see kula__fd_pin() */
    uint8_t kind;    /* enum kula__fd_kind */
    uint8_t closing; /* enum kula__fd_closing */
    uint8_t
        no_nowait; /* bits, in perform.c: this file has no RWF_NOWAIT for reading, for writing */
    uint8_t reserved;
    struct kula__lane lane[2];
    struct kula__slot *close; /* the kula_close_fd under way */
    struct kula__slot
        *next_close; /* handed over while that one runs: for the number's next file */
    struct kula__slot *late_head;
    struct kula__slot *late_tail;

    /* the backend's; zero until it first sees the descriptor, and again after forget() */
    struct kula__slot *ready_head[2]; /* epoll: operations that wait to read, to write */
    struct kula__slot *ready_tail[2];
    uint32_t registration; /* epoll: which registration of this number; 0 = none */
    uint32_t backend_bits;
};
#if UINTPTR_MAX == UINT64_MAX
static_assert(sizeof(struct kula__fd) == 128, "an index into a page is a shift");
#endif

struct kula__fd_page {
    struct kula__fd fds[KULA__FD_PAGE];
    uint32_t close_slots; /* index of the first of 256 operation records */
};

struct kula_ring;

/* The record of fd >= 0; NULL when there is no memory for its page. Makes no page for a number that is
 * not open, or a wild one would cost megabytes. */
struct kula__fd *kula__fd_get(struct kula_ring *ring, int fd);

/* Why kula__fd_get gave nothing: -EBADF for a number that is not open, else -ENOMEM. */
int kula__fd_missing(int fd);

/* The record of fd >= 0 if its page exists, else NULL. Never allocates. */
struct kula__fd *kula__fd_peek(const struct kula_ring *ring, int fd);

/* What the descriptor is, asked from the kernel once: fills fd->kind. 0, or -EBADF. */
int kula__fd_classify(struct kula_ring *ring, struct kula__fd *record, int fd);

/* Writes what the short way of handing over reads of the descriptor (ring->fd_plain). To be called
 * after every change of kind or closing. */
void kula__fd_note(struct kula_ring *ring, const struct kula__fd *record, int fd);

/* Frees the table; nothing may be pinned. */
void kula__fds_fini(struct kula_ring *ring);

static inline bool kula__fd_is_socket(const struct kula__fd *record)
{
    return record->kind == KULA__FD_STREAM || record->kind == KULA__FD_DATAGRAM;
}

#endif
