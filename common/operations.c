/* operations.c - the public calls that hand something to a ring. Each fills a record and admits it. */
#include "block.h"
#include "buffer.h"
#include "calls.h"
#include "misuse.h"
#include "submit.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

/* ---- Transfers ---------------------------------------------------------------------------- */

__attribute__((__noinline__)) kula_op kula__admit_transfer(struct kula_ring *ring,
                                                           struct kula__slot *slot,
                                                           size_t length,
                                                           kula_op operation)
{
    if (length > slot->capacity || slot->offset < KULA_CUR) {
        kula__refuse_unpinned(ring, slot, -EINVAL);
        return operation;
    }
    slot->length = length > KULA_TRANSFER_MAX ? KULA_TRANSFER_MAX : (uint32_t)length;
    kula__admit(ring, slot);
    return operation;
}

/* Whether all is known about a transfer at this place that admitting would ask: it is a position in an
 * open file, and the ring takes operations. */
static inline bool is_plain_place(const struct kula_ring *ring, int fd, int64_t offset)
{
    uint32_t number = (uint32_t)fd;
    return offset >= 0 && number < ring->fd_plain_count && ring->fd_plain[number];
}

static inline kula_op transfer(struct kula_ring *ring,
                               enum kula__operation operation,
                               int fd,
                               kula_buf buffer,
                               size_t length,
                               int64_t offset,
                               uint32_t opflags,
                               void *user,
                               const void *place)
{
    uint64_t word = kula__handle_word(buffer);
    struct kula__slot *slot = kula__hand_over(ring, word, KULA__KIND_BUFFER, operation, place);
    if (kula__unlikely(!slot)) {
        return kula__hand_over_refused(ring, word, operation, user);
    }
    slot->operation = (uint8_t)operation;
    slot->attention = 0;
    slot->fd = fd;
    slot->offset = offset;
    slot->length = (uint32_t)length;
    slot->opflags = opflags;
    slot->user = user;
    if (length <= slot->capacity && length <= KULA_TRANSFER_MAX &&
        is_plain_place(ring, fd, offset)) {
        kula__pend(ring, slot); /* not pinned: see kula__fd_pin() */
        return word + KULA__STEP;
    }
    return kula__admit_transfer(ring, slot, length, word + KULA__STEP);
}

static __attribute__((__noinline__)) kula_op read_slowly(struct kula_ring *ring,
                                                         int fd,
                                                         kula_buf buffer,
                                                         size_t length,
                                                         int64_t offset,
                                                         void *user,
                                                         const void *place)
{
    return transfer(ring, KULA__OP_READ, fd, buffer, length, offset, 0, user, place);
}

static __attribute__((__noinline__)) kula_op write_slowly(struct kula_ring *ring,
                                                          int fd,
                                                          kula_buf buffer,
                                                          size_t length,
                                                          int64_t offset,
                                                          void *user,
                                                          const void *place)
{
    return transfer(ring, KULA__OP_WRITE, fd, buffer, length, offset, 0, user, place);
}

/* The common case in few instructions: a buffer of a size class, which is never longer than a transfer,
 * and a plain place. False: it is not that, and nothing has happened. */
static inline bool transfer_at(struct kula_ring *ring,
                               enum kula__operation operation,
                               int fd,
                               kula_buf buffer,
                               size_t length,
                               int64_t offset,
                               void *user,
                               kula_op *ret_operation)
{
    uint64_t word = kula__handle_word(buffer);
    struct kula__slot *slot;
    if (kula__unlikely(!kula__is_owner(ring) || !is_plain_place(ring, fd, offset) ||
                       !(slot = kula__slot_take(word)))) {
        return false;
    }
    if (kula__unlikely(slot->kind != KULA__KIND_BUFFER || length > slot->capacity)) {
        kula__word_hand_back(slot, word);
        return false;
    }
    kula__slot_claim(slot, ring->id);
    ring->in_flight++;
    slot->operation = (uint8_t)operation;
    slot->kind = KULA__KIND_BUFFER; /* it is that already, and so this is one store */
    slot->attention = 0;
    slot->fd = fd;
    slot->offset = offset;
    slot->length = (uint32_t)length;
    slot->opflags = 0;
    slot->user = user;
    kula__pend(ring, slot); /* not pinned: see kula__fd_pin() */
    *ret_operation = word + KULA__STEP;
    return true;
}

kula_op kula_read_(struct kula_ring *ring,
                   int fd,
                   kula_buf buffer,
                   size_t length,
                   int64_t offset,
                   void *user)
{
    kula_op operation;
    if (kula__unlikely(
            !transfer_at(ring, KULA__OP_READ, fd, buffer, length, offset, user, &operation))) {
        return read_slowly(ring, fd, buffer, length, offset, user, KULA__PLACE);
    }
    return operation;
}

kula_op kula_write_(struct kula_ring *ring,
                    int fd,
                    kula_buf buffer,
                    size_t length,
                    int64_t offset,
                    void *user)
{
    kula_op operation;
    if (kula__unlikely(
            !transfer_at(ring, KULA__OP_WRITE, fd, buffer, length, offset, user, &operation))) {
        return write_slowly(ring, fd, buffer, length, offset, user, KULA__PLACE);
    }
    return operation;
}

/* msg_flags that mean the same on every backend. MSG_ZEROCOPY is a wish: where it cannot be had, bytes are
 * copied. */
#define RECEIVE_FLAGS (MSG_PEEK | MSG_TRUNC | MSG_WAITALL | MSG_OOB)
#define PORTABLE_SEND_FLAGS \
    (MSG_OOB | MSG_EOR | MSG_DONTROUTE | MSG_NOSIGNAL | KULA__MSG_ZEROCOPY)
#if defined __linux__ && !defined KULA_NO_LINUX
#    define SEND_FLAGS (PORTABLE_SEND_FLAGS | MSG_MORE | MSG_CONFIRM)
#else
#    define SEND_FLAGS PORTABLE_SEND_FLAGS
#endif

int64_t kula__message_offset(enum kula__operation operation, int msg_flags)
{
    int known_flags = operation == KULA__OP_RECV ? RECEIVE_FLAGS : SEND_FLAGS;
    return msg_flags & ~known_flags ? KULA_CUR - 1 : KULA_CUR;
}

bool kula__message_is_full(enum kula__operation operation, int msg_flags)
{
    return operation == KULA__OP_RECV && (msg_flags & MSG_WAITALL) &&
           !(msg_flags & (MSG_PEEK | MSG_OOB));
}

kula_op kula_recv_(struct kula_ring *ring,
                   int fd,
                   kula_buf buffer,
                   size_t length,
                   int msg_flags,
                   void *user)
{
    int64_t offset = kula__message_offset(KULA__OP_RECV, msg_flags);
    kula_op op = transfer(ring, KULA__OP_RECV, fd, buffer, length, offset,
                          (uint32_t)msg_flags & ~(uint32_t)MSG_WAITALL, user, KULA__PLACE);
    if (kula__unlikely(kula__message_is_full(KULA__OP_RECV, msg_flags) && op != 0 &&
                       kula__is_owner(ring))) {
        kula_option(ring, op, KULA_FULL);
    }
    return op;
}

kula_op kula_send_(struct kula_ring *ring,
                   int fd,
                   kula_buf buffer,
                   size_t length,
                   int msg_flags,
                   void *user)
{
    int64_t offset = kula__message_offset(KULA__OP_SEND, msg_flags);
    return transfer(ring, KULA__OP_SEND, fd, buffer, length, offset, (uint32_t)msg_flags, user,
                    KULA__PLACE);
}

/* Nobody writes what is shared. */
static bool holds_reference(const struct kula__cold *vec)
{
    for (const struct kula__slot *member = vec->vec_first; member; member = member->next) {
        if (member->kind == KULA__KIND_REF) {
            return true;
        }
    }
    return false;
}

/* Lays the buffers of a vec out as iovecs, cut to what one transfer moves. 0 or a negative errno. */
static int lay_out(struct kula_ring *ring, struct kula__slot *slot)
{
    struct kula__cold *cold = kula__cold_of(slot);
    cold->transfer_length = 0;
    slot->length = 0;
    if (cold->vec_error < 0 || cold->vec_count == 0 ||
        (slot->operation == KULA__OP_READV && holds_reference(cold))) {
        return -EINVAL;
    }
    /* The performers put a message header behind the iovecs when the descriptor is a socket. */
    size_t bytes = cold->vec_count * sizeof(struct iovec) + sizeof(struct msghdr);
    struct iovec *parts = kula__block_new(ring, slot, bytes);
    if (!parts) {
        return -ENOMEM;
    }
    uint32_t room = KULA_TRANSFER_MAX;
    for (struct kula__slot *member = cold->vec_first; member; member = member->next) {
        uint32_t length = member->length < room ? member->length : room;
        parts[slot->length].iov_base = member->data;
        parts[slot->length].iov_len = length;
        slot->length++;
        room -= length;
    }
    cold->transfer_length = KULA_TRANSFER_MAX - room;
    return 0;
}

static kula_op transfer_vec(struct kula_ring *ring,
                            enum kula__operation operation,
                            int fd,
                            kula_vec vec,
                            int64_t offset,
                            void *user,
                            const void *place)
{
    uint64_t word = kula__handle_word(vec);
    struct kula__slot *slot = kula__hand_over(ring, word, KULA__KIND_VEC, operation, place);
    if (!slot) {
        return kula__hand_over_refused(ring, word, operation, user);
    }
    slot->operation = (uint8_t)operation;
    slot->attention = 0;
    slot->fd = fd;
    slot->offset = offset;
    slot->opflags = 0;
    slot->user = user;
    int error = lay_out(ring, slot);
    if (error == 0 && offset < KULA_CUR) {
        error = -EINVAL;
    }
    if (error < 0) {
        kula__refuse_unpinned(ring, slot, error);
    } else {
        kula__admit(ring, slot);
    }
    return word + KULA__STEP;
}

kula_op kula_readv_(struct kula_ring *ring, int fd, kula_vec vec, int64_t offset, void *user)
{
    return transfer_vec(ring, KULA__OP_READV, fd, vec, offset, user, KULA__PLACE);
}

kula_op kula_writev_(struct kula_ring *ring, int fd, kula_vec vec, int64_t offset, void *user)
{
    return transfer_vec(ring, KULA__OP_WRITEV, fd, vec, offset, user, KULA__PLACE);
}

/* ---- Operations without a buffer ---------------------------------------------------------- */

/* A filled record, not admitted; NULL: there is no room, or misuse. */
static inline struct kula__slot *prepare(struct kula_ring *ring,
                                         enum kula__operation operation,
                                         const char *name,
                                         int fd,
                                         void *user)
{
    struct kula__slot *slot = kula__operation_take(ring, name);
    if (kula__likely(slot)) {
        slot->operation = (uint8_t)operation;
        slot->attention = 0;
        slot->fd = fd;
        slot->user = user;
        kula__word_start(slot);
    }
    return slot;
}

/* For operations that name no descriptor. */
static kula_op admit_plain(struct kula_ring *ring, struct kula__slot *slot)
{
    kula_op operation = kula__slot_word(slot);
    if (kula__unlikely(ring->closing_down || ring->broken)) {
        kula__refuse(ring, slot, -ECANCELED);
    } else {
        kula__place(ring, slot);
    }
    return operation;
}

static kula_op admit(struct kula_ring *ring, struct kula__slot *slot)
{
    kula_op operation = kula__slot_word(slot);
    kula__admit(ring, slot);
    return operation;
}

static kula_op refuse(struct kula_ring *ring, struct kula__slot *slot, int32_t error)
{
    kula_op operation = kula__slot_word(slot);
    kula__refuse_unpinned(ring, slot, error);
    return operation;
}

static __attribute__((__noinline__)) kula_op nop_slowly(struct kula_ring *ring, void *user)
{
    struct kula__slot *slot = prepare(ring, KULA__OP_NOP, "kula_nop", -1, user);
    return slot ? admit_plain(ring, slot) : 0;
}

kula_op kula_nop(struct kula_ring *ring, void *user)
{
    struct kula__slot *slot;
    if (kula__unlikely(!kula__is_owner(ring) || !(slot = ring->free_operations))) {
        return nop_slowly(ring, user);
    }
    ring->free_operations = slot->next;
    ring->in_flight++;
    slot->operation = KULA__OP_NOP;
    slot->kind = KULA__KIND_OPERATION; /* it is that already, and so this is one store */
    slot->attention = 0;
    slot->fd = -1;
    slot->user = user;
    kula__pend(ring, slot);
    return kula__word_start(slot);
}

kula_op kula_socket(struct kula_ring *ring, int domain, int type, int protocol, void *user)
{
    struct kula__slot *slot = prepare(ring, KULA__OP_SOCKET, "kula_socket", -1, user);
    if (!slot) {
        return 0;
    }
    slot->attention = KULA__DESCRIPTOR;
    slot->length = (uint32_t)domain;
    slot->opflags = (uint32_t)type;
    slot->offset = protocol;
    return admit_plain(ring, slot);
}

static kula_op with_address(struct kula_ring *ring,
                            enum kula__operation operation,
                            const char *name,
                            int fd,
                            const struct sockaddr *address,
                            uint32_t address_length,
                            void *user)
{
    struct kula__slot *slot = prepare(ring, operation, name, fd, user);
    if (!slot) {
        return 0;
    }
    if (!address || address_length == 0 || address_length > sizeof(struct sockaddr_storage)) {
        return refuse(ring, slot, -EINVAL);
    }
    struct kula__address_block *block = kula__block_new(ring, slot, sizeof *block);
    if (!block) {
        return refuse(ring, slot, -ENOMEM);
    }
    memcpy(&block->address, address, address_length);
    block->length = address_length;
    slot->length = address_length;
    return admit(ring, slot);
}

kula_op kula_bind(struct kula_ring *ring,
                  int fd,
                  const struct sockaddr *address,
                  uint32_t address_length,
                  void *user)
{
    return with_address(ring, KULA__OP_BIND, "kula_bind", fd, address, address_length, user);
}

kula_op kula_connect(struct kula_ring *ring,
                     int fd,
                     const struct sockaddr *address,
                     uint32_t address_length,
                     void *user)
{
    return with_address(ring, KULA__OP_CONNECT, "kula_connect", fd, address, address_length,
                        user);
}

kula_op kula_listen(struct kula_ring *ring, int fd, int backlog, void *user)
{
    struct kula__slot *slot = prepare(ring, KULA__OP_LISTEN, "kula_listen", fd, user);
    if (!slot) {
        return 0;
    }
    slot->opflags = (uint32_t)backlog;
    return admit(ring, slot);
}

kula_op kula_accept(struct kula_ring *ring, int fd, void *user)
{
    struct kula__slot *slot = prepare(ring, KULA__OP_ACCEPT, "kula_accept", fd, user);
    if (!slot) {
        return 0;
    }
    slot->attention = KULA__DESCRIPTOR;
    struct kula__address_block *block = kula__block_new(ring, slot, sizeof *block);
    if (!block) {
        return refuse(ring, slot, -ENOMEM);
    }
    block->length = sizeof block->address;
    return admit(ring, slot);
}

kula_op kula_shutdown(struct kula_ring *ring, int fd, int how, void *user)
{
    struct kula__slot *slot = prepare(ring, KULA__OP_SHUTDOWN, "kula_shutdown", fd, user);
    if (!slot) {
        return 0;
    }
    slot->opflags = (uint32_t)how;
    return admit(ring, slot);
}

/* Copies a path behind `head_bytes` of a new block. 0 or a negative errno. */
static int copy_path(struct kula_ring *ring,
                     struct kula__slot *slot,
                     size_t head_bytes,
                     const char *path)
{
    size_t length = path ? strnlen(path, PATH_MAX) : 0;
    if (!path) {
        return -EINVAL;
    }
    if (length >= PATH_MAX) {
        return -ENAMETOOLONG;
    }
    struct kula__path_block *block = kula__block_new(ring, slot, head_bytes + length + 1);
    if (!block) {
        return -ENOMEM;
    }
    memset(block, 0, head_bytes);
    block->path = (char *)block + head_bytes;
    memcpy(block->path, path, length + 1);
    return 0;
}

/* A directory descriptor that is negative (AT_FDCWD) names no file of the ring's and is not pinned. */
static kula_op admit_at(struct kula_ring *ring, struct kula__slot *slot)
{
    return slot->fd < 0 ? admit_plain(ring, slot) : admit(ring, slot);
}

kula_op kula_openat(struct kula_ring *ring,
                    int directory_fd,
                    const char *path,
                    int flags,
                    uint32_t mode,
                    void *user)
{
    struct kula__slot *slot = prepare(ring, KULA__OP_OPENAT, "kula_openat", directory_fd, user);
    if (!slot) {
        return 0;
    }
    slot->attention = KULA__DESCRIPTOR;
    slot->opflags = (uint32_t)flags;
    slot->length = mode;
    int error = copy_path(ring, slot, sizeof(struct kula__path_block), path);
    return error < 0 ? refuse(ring, slot, error) : admit_at(ring, slot);
}

kula_op kula_statx(struct kula_ring *ring,
                   int directory_fd,
                   const char *path,
                   int flags,
                   void *user)
{
    struct kula__slot *slot = prepare(ring, KULA__OP_STATX, "kula_statx", directory_fd, user);
    if (!slot) {
        return 0;
    }
    slot->opflags = (uint32_t)flags;
    if (flags & ~(AT_SYMLINK_NOFOLLOW | KULA__AT_EMPTY_PATH)) {
        return refuse(ring, slot, -EINVAL);
    }
    if (!path && (flags & KULA__AT_EMPTY_PATH)) {
        path = "";
    }
    int error = copy_path(ring, slot, sizeof(struct kula__stat_block), path);
    return error < 0 ? refuse(ring, slot, error) : admit_at(ring, slot);
}

kula_op kula_fsync(struct kula_ring *ring, int fd, void *user)
{
    struct kula__slot *slot = prepare(ring, KULA__OP_FSYNC, "kula_fsync", fd, user);
    return slot ? admit(ring, slot) : 0;
}

kula_op kula_fdatasync(struct kula_ring *ring, int fd, void *user)
{
    struct kula__slot *slot = prepare(ring, KULA__OP_FDATASYNC, "kula_fdatasync", fd, user);
    return slot ? admit(ring, slot) : 0;
}

#ifdef POLLRDHUP
#    define POLL_EVENTS (POLLIN | POLLOUT | POLLPRI | POLLRDHUP)
#else
#    define POLL_EVENTS (POLLIN | POLLOUT | POLLPRI)
#endif

kula_op kula_poll(struct kula_ring *ring, int fd, uint32_t poll_events, void *user)
{
    struct kula__slot *slot = prepare(ring, KULA__OP_POLL, "kula_poll", fd, user);
    if (!slot) {
        return 0;
    }
    if (poll_events == 0 || (poll_events & ~(uint32_t)POLL_EVENTS)) {
        return refuse(ring, slot, -EINVAL);
    }
    slot->opflags = poll_events;
    return admit(ring, slot);
}

kula_op kula_timer(struct kula_ring *ring, int64_t timeout_ns, void *user)
{
    if (kula__is_owner(ring) && kula__timers_reserve(&ring->timers) < 0) {
        return 0;
    }
    struct kula__slot *slot = prepare(ring, KULA__OP_TIMER, "kula_timer", -1, user);
    if (!slot) {
        return 0;
    }
    if (timeout_ns < 0) {
        return refuse(ring, slot, -EINVAL);
    }
    struct kula__cold *cold = kula__cold_of(slot);
    cold->scratch[0] = (uint64_t)timeout_ns;
    cold->epoch = ring->epoch;
    return admit_plain(ring, slot);
}

kula_op kula_offload(struct kula_ring *ring, kula_offload_fn function, void *arg, void *user)
{
    struct kula__slot *slot = prepare(ring, KULA__OP_OFFLOAD, "kula_offload", -1, user);
    if (!slot) {
        return 0;
    }
    if (!function) {
        return refuse(ring, slot, -EINVAL);
    }
    slot->function = function;
    kula__cold_of(slot)->argument = arg;
    return admit_plain(ring, slot);
}

/* ---- Options ------------------------------------------------------------------------------ */

static uint32_t possible_options(const struct kula__slot *slot)
{
    if (kula__operation_facts[slot->operation].transfer != KULA__TRANSFER_NONE) {
        bool peeks = slot->operation == KULA__OP_RECV && (slot->opflags & (MSG_PEEK | MSG_OOB));
        return KULA_UNORDERED | KULA_NOWAIT | KULA_REGARDLESS | (peeks ? 0 : KULA_FULL);
    }
    if (slot->operation == KULA__OP_ACCEPT || slot->operation == KULA__OP_POLL) {
        return KULA_NOWAIT | KULA_REGARDLESS;
    }
    return KULA_REGARDLESS;
}

static void stop_waiting_in_line(struct kula_ring *ring, struct kula__slot *slot)
{
    slot->attention |= KULA__UNORDERED;
    if (slot->attention & KULA__QUEUED) {
        kula__unqueue(ring, slot);
        kula__place(ring, slot);
    } else if (slot->attention & KULA__ORDERED) {
        kula__lane_release(ring, slot); /* it stays pending */
    }
}

int kula_option(struct kula_ring *ring, kula_op op, uint32_t options)
{
    if (!kula__is_owner(ring)) {
        return kula__not_owner(ring, "kula_option");
    }
    struct kula__slot *slot = kula__operation_find(ring, op);
    if (!slot) {
        return -ENOENT;
    }
    if (options & ~possible_options(slot)) {
        return -EINVAL;
    }
    if (!kula__is_fresh(ring, slot)) {
        return -EALREADY;
    }
    if ((options & KULA_FULL) && !(slot->attention & KULA__FULL)) {
        struct kula__cold *cold = kula__cold_of(slot);
        cold->progress = 0;
        if (slot->kind != KULA__KIND_VEC) {
            cold->transfer_length = slot->length;
        }
        slot->attention |= KULA__FULL;
    }
    if (options & KULA_NOWAIT) {
        slot->attention |= KULA__NOWAIT;
    }
    if (options & KULA_REGARDLESS) {
        slot->attention |= KULA__REGARDLESS;
    }
    if ((options & KULA_UNORDERED) && !(slot->attention & KULA__UNORDERED)) {
        stop_waiting_in_line(ring, slot);
    }
    return 0;
}
