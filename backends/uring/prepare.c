/* prepare.c - one submission entry for each kind of operation.
 *
 * The functions are found by the names in the list of operations: one that is missing does not
 * compile. What an entry points to is in the operation's record or block, so it stays until the end:
 * kernels before SUBMIT_STABLE (5.5) read it late.
 */
#include "state.h"

#include "common/block.h"

#include <fcntl.h>
#include <linux/swab.h>

/* Opcodes by operation; -1 for what never goes to the ring. socket, bind and listen do not block, and
 * in place they are done before an accept of the same batch wants them. */
enum ring_opcode {
    OPCODE_NOP = IORING_OP_NOP,
    OPCODE_READ = IORING_OP_READ,
    OPCODE_WRITE = IORING_OP_WRITE,
    OPCODE_READV = IORING_OP_READV,
    OPCODE_WRITEV = IORING_OP_WRITEV,
    OPCODE_RECV = IORING_OP_RECV,
    OPCODE_SEND = IORING_OP_SEND,
    OPCODE_SOCKET = -1,
    OPCODE_BIND = -1,
    OPCODE_LISTEN = -1,
    OPCODE_ACCEPT = IORING_OP_ACCEPT,
    OPCODE_CONNECT = IORING_OP_CONNECT,
    OPCODE_SHUTDOWN = IORING_OP_SHUTDOWN,
    OPCODE_OPENAT = IORING_OP_OPENAT,
    OPCODE_CLOSE = IORING_OP_CLOSE,
    OPCODE_FSYNC = IORING_OP_FSYNC,
    OPCODE_FDATASYNC = IORING_OP_FSYNC,
    OPCODE_STATX = IORING_OP_STATX,
    OPCODE_POLL = IORING_OP_POLL_ADD,
    OPCODE_TIMER = -1,
    OPCODE_OFFLOAD = -1,
};

int kula__uring_opcode(enum kula__operation operation)
{
    static const int opcodes[KULA__OP_COUNT] = { [KULA__OP_NONE] = -1,
#define X(NAME, name, transfer, readiness, result, class) [KULA__OP_##NAME] = OPCODE_##NAME,
                                                 KULA__OPERATIONS(X)
#undef X
    };
    return opcodes[operation];
}

static uint64_t address_of(const void *memory)
{
    return (uint64_t)(uintptr_t)memory;
}

static enum kula__fd_kind kind_of(const struct kula_ring *ring, const struct kula__slot *slot)
{
    const struct kula__fd *record = kula__fd_peek(ring, slot->fd);
    return record ? (enum kula__fd_kind)record->kind : KULA__FD_UNKNOWN;
}

static bool is_socket(enum kula__fd_kind kind)
{
    return kind == KULA__FD_STREAM || kind == KULA__FD_DATAGRAM;
}

/* ---- Transfers ----------------------------------------------------------------------------- */

static void single(struct io_uring_sqe *sqe, uint8_t opcode, const struct kula__slot *slot)
{
    sqe->opcode = opcode;
    sqe->addr = address_of(slot->data);
    sqe->len = slot->length;
}

/* A vector on a socket is a message: the header has its room behind the vector, in the same block. */
static void message(struct io_uring_sqe *sqe, uint8_t opcode, const struct kula__slot *slot)
{
    struct iovec *parts = kula__cold_of(slot)->block;
    struct msghdr *header = (struct msghdr *)(void *)(parts + slot->length);
    *header = (struct msghdr){ .msg_iov = parts, .msg_iovlen = slot->length };
    sqe->opcode = opcode;
    sqe->addr = address_of(header);
    sqe->len = 1;
    sqe->msg_flags = MSG_NOSIGNAL;
}

static void vector(struct io_uring_sqe *sqe, uint8_t opcode, const struct kula__slot *slot)
{
    sqe->opcode = opcode;
    sqe->addr = address_of(kula__cold_of(slot)->block);
    sqe->len = slot->length;
    sqe->off = (uint64_t)slot->offset;
}

/* 6.18: a ring's write to a closed pipe raises SIGPIPE in the thread that submitted it, at once or
 * later, when a reader goes away under a write that waits; with this flag neither does (both
 * measured). start.c keeps writes to pipes away from rings of kernels that do not know it. */
static __kernel_rwf_t write_flags(enum kula__fd_kind kind)
{
    return kind == KULA__FD_PIPE || kind == KULA__FD_UNKNOWN ? KULA__RWF_NOSIGNAL : 0;
}

static uint8_t flags_of_write(const struct kula_ring *ring, enum kula__fd_kind kind)
{
    return kind == KULA__FD_FILE ? kula__uring_write_flags(kula__uring_state_of(ring)) : 0;
}

static void prepare_read(const struct kula_ring *ring,
                         const struct kula__slot *slot,
                         struct io_uring_sqe *sqe)
{
    if (is_socket(kind_of(ring, slot))) {
        single(sqe, IORING_OP_RECV, slot);
        return;
    }
    single(sqe, IORING_OP_READ, slot);
    sqe->off = (uint64_t)slot->offset;
    if (kula__kind_may_be_known(slot)) {
        kula__uring_use_fixed(ring, slot, sqe);
    }
}

static void prepare_write(const struct kula_ring *ring,
                          const struct kula__slot *slot,
                          struct io_uring_sqe *sqe)
{
    enum kula__fd_kind kind = kind_of(ring, slot);
    if (is_socket(kind)) {
        single(sqe, IORING_OP_SEND, slot);
        sqe->msg_flags = MSG_NOSIGNAL;
        return;
    }
    single(sqe, IORING_OP_WRITE, slot);
    sqe->off = (uint64_t)slot->offset;
    sqe->rw_flags = write_flags(kind);
    sqe->flags = flags_of_write(ring, kind);
    if (kula__kind_may_be_known(slot)) {
        kula__uring_use_fixed(ring, slot, sqe);
    }
}

static void prepare_readv(const struct kula_ring *ring,
                          const struct kula__slot *slot,
                          struct io_uring_sqe *sqe)
{
    if (is_socket(kind_of(ring, slot))) {
        message(sqe, IORING_OP_RECVMSG, slot);
    } else {
        vector(sqe, IORING_OP_READV, slot);
    }
}

static void prepare_writev(const struct kula_ring *ring,
                           const struct kula__slot *slot,
                           struct io_uring_sqe *sqe)
{
    enum kula__fd_kind kind = kind_of(ring, slot);
    if (is_socket(kind)) {
        message(sqe, IORING_OP_SENDMSG, slot);
    } else {
        vector(sqe, IORING_OP_WRITEV, slot);
        sqe->rw_flags = write_flags(kind);
        sqe->flags = flags_of_write(ring, kind);
    }
}

static void prepare_recv(const struct kula_ring *ring,
                         const struct kula__slot *slot,
                         struct io_uring_sqe *sqe)
{
    (void)ring;
    single(sqe, IORING_OP_RECV, slot);
    sqe->msg_flags = slot->opflags;
}

static void prepare_send(const struct kula_ring *ring,
                         const struct kula__slot *slot,
                         struct io_uring_sqe *sqe)
{
    (void)ring;
    bool without_copy = kula__uring_without_copy(slot);
    single(sqe, without_copy ? IORING_OP_SEND_ZC : IORING_OP_SEND, slot);
    sqe->msg_flags = (slot->opflags & ~(uint32_t)KULA__MSG_ZEROCOPY) | MSG_NOSIGNAL;
}

/* ---- Sockets ------------------------------------------------------------------------------- */

static void prepare_accept(const struct kula_ring *ring,
                           const struct kula__slot *slot,
                           struct io_uring_sqe *sqe)
{
    (void)ring;
    struct kula__address_block *peer = kula__cold_of(slot)->block;
    peer->length = sizeof peer->address; /* an earlier try may have changed it */
    sqe->opcode = IORING_OP_ACCEPT;
    sqe->addr = address_of(&peer->address);
    sqe->addr2 = address_of(&peer->length);
    sqe->accept_flags = SOCK_CLOEXEC;
}

static void prepare_connect(const struct kula_ring *ring,
                            const struct kula__slot *slot,
                            struct io_uring_sqe *sqe)
{
    (void)ring;
    const struct kula__address_block *peer = kula__cold_of(slot)->block;
    sqe->opcode = IORING_OP_CONNECT;
    sqe->addr = address_of(&peer->address);
    sqe->off = slot->length;
}

static void prepare_shutdown(const struct kula_ring *ring,
                             const struct kula__slot *slot,
                             struct io_uring_sqe *sqe)
{
    (void)ring;
    sqe->opcode = IORING_OP_SHUTDOWN;
    sqe->len = slot->opflags;
}

/* ---- Files --------------------------------------------------------------------------------- */

/* The ring first tries an open with O_NONBLOCK in place, and takes the answer that a FIFO gives to
 * that: O_RDONLY opens at once without a writer, O_WRONLY is -ENXIO, where open(2) waits (6.18,
 * measured). In a kernel worker (IOSQE_ASYNC) it is open(2) to the letter, and unlike in a thread of
 * ours a cancel reaches it there: a wait for a FIFO's other end then ends in -512. What it costs is
 * 3 us for a file whose path is cached. Flags with which nothing can wait need none of this. */
static void prepare_openat(const struct kula_ring *ring,
                           const struct kula__slot *slot,
                           struct io_uring_sqe *sqe)
{
    (void)ring;
    const struct kula__path_block *block = kula__cold_of(slot)->block;
    sqe->opcode = IORING_OP_OPENAT;
    sqe->addr = address_of(block->path);
    sqe->len = slot->length;
    sqe->open_flags = slot->opflags | O_CLOEXEC | O_LARGEFILE;
    if (kula__uring_open_may_wait(slot)) {
        sqe->flags = IOSQE_ASYNC;
    }
}

static void prepare_close_fd(const struct kula_ring *ring,
                             const struct kula__slot *slot,
                             struct io_uring_sqe *sqe)
{
    (void)ring;
    (void)slot;
    sqe->opcode = IORING_OP_CLOSE;
}

static void prepare_fsync(const struct kula_ring *ring,
                          const struct kula__slot *slot,
                          struct io_uring_sqe *sqe)
{
    (void)ring;
    (void)slot;
    sqe->opcode = IORING_OP_FSYNC;
}

static void prepare_fdatasync(const struct kula_ring *ring,
                              const struct kula__slot *slot,
                              struct io_uring_sqe *sqe)
{
    (void)ring;
    (void)slot;
    sqe->opcode = IORING_OP_FSYNC;
    sqe->fsync_flags = IORING_FSYNC_DATASYNC;
}

static void prepare_statx(const struct kula_ring *ring,
                          const struct kula__slot *slot,
                          struct io_uring_sqe *sqe)
{
    (void)ring;
    struct kula__stat_block *block = kula__cold_of(slot)->block;
    block->raw_filled = true; /* by the time anybody asks */
    sqe->opcode = IORING_OP_STATX;
    sqe->addr = address_of(block->path.path);
    sqe->addr2 = address_of(&block->raw);
    sqe->len = STATX_BASIC_STATS | STATX_BTIME;
    sqe->statx_flags = slot->opflags;
}

/* ---- The rest ------------------------------------------------------------------------------ */

static void prepare_nop(const struct kula_ring *ring,
                        const struct kula__slot *slot,
                        struct io_uring_sqe *sqe)
{
    (void)ring;
    (void)slot;
    sqe->opcode = IORING_OP_NOP;
}

static void prepare_poll(const struct kula_ring *ring,
                         const struct kula__slot *slot,
                         struct io_uring_sqe *sqe)
{
    (void)ring;
    io_uring_prep_poll_add(sqe, slot->fd, slot->opflags);
}

/* Those whose opcode is -1: start.c takes them elsewhere. */
#define prepare_socket  prepare_nop
#define prepare_bind    prepare_nop
#define prepare_listen  prepare_nop
#define prepare_timer   prepare_nop
#define prepare_offload prepare_nop

void kula__uring_prepare(const struct kula_ring *ring,
                         const struct kula__slot *slot,
                         struct io_uring_sqe *sqe)
{
    static void (*const preparations[KULA__OP_COUNT])(
        const struct kula_ring *ring, const struct kula__slot *slot,
        struct io_uring_sqe *sqe) = { [KULA__OP_NONE] = prepare_nop,
#define X(NAME, name, transfer, readiness, result, class) [KULA__OP_##NAME] = prepare_##name,
                                      KULA__OPERATIONS(X)
#undef X
    };
    sqe->fd = slot->fd;
    preparations[slot->operation](ring, slot, sqe);
}
