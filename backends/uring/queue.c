/* queue.c - the hot path: filling, entering, harvesting, waiting.
 *
 * Submit first, wait only if needed: what completes at once (files in the page cache, sockets with
 * room) is in the completion queue when the call that submitted it returns, and a call that also
 * waits costs 45 to 75 ns more (6.18, measured). So a batch is one system call, and sleeping a
 * second one.
 */
#include "entry.h"
#include "state.h"

#include <errno.h>
#include <sys/resource.h>

/* An enter that is refused is tried that often before its entries wait for another occasion. */
#define REFUSALS_MAX 16u

/* How often one wait starts what its own completions have made possible, before it goes back to the
 * caller to look at the clock. */
#define ROUNDS_MAX 128u

/* How long to leave a kernel alone that has no memory for a request. */
#define NAP_NS KULA_MILLISECOND

enum flushed {
    FLUSHED = 0,
    STUCK = 1, /* entries are left that the kernel cannot take now */
};

bool kula__uring_has_completions(const struct kula__uring_state *state)
{
    return io_uring_smp_load_acquire(state->cq_tail) != state->head ||
           kula__uring_wants_us(state);
}

bool kula__uring_has_more(const struct kula_ring *ring, const struct kula__uring_state *state)
{
    return ring->pending.head || state->again.head || state->cancels.head ||
           kula__uring_unsent(state) > 0;
}

/* A write beyond RLIMIT_FSIZE raises SIGXFSZ in the thread that does it, which is the submitting one when it
 * is done inline (6.18: direct writes on ext4). A kernel's worker takes no signals, and the answer is -EFBIG
 * as it should be. */
uint8_t kula__uring_write_flags(struct kula__uring_state *state)
{
    if (state->writes == KULA__URING_WRITES_UNKNOWN) {
        struct rlimit limit;
        bool free = kula__fault("getrlimit", 0) == 0 && getrlimit(RLIMIT_FSIZE, &limit) == 0 &&
                    limit.rlim_cur == RLIM_INFINITY;
        state->writes = free ? KULA__URING_WRITES_FREE : KULA__URING_WRITES_LIMITED;
    }
    return state->writes == KULA__URING_WRITES_FREE ? 0 : IOSQE_ASYNC;
}

/* ---- Filling ------------------------------------------------------------------------------- */

/* One past the last entry that may be written. Without NODROP the last few places among the completions are
 * kept (`kept`) for cancels and for being woken, or idle operations could keep these from the kernel. */
static inline uint32_t limit_of(const struct kula__uring_state *state, uint32_t kept)
{
    uint32_t limit = IO_URING_READ_ONCE(*state->sq_head) + state->sq_entries;
    if (kula__unlikely(state->in_kernel != 0)) {
        uint32_t under_way = state->tail - state->head;
        uint32_t most = state->in_kernel - kept;
        uint32_t left = under_way < most ? most - under_way : 0;
        if (left < limit - state->tail) {
            limit = state->tail + left;
        }
    }
    return limit;
}

uint32_t kula__uring_room(const struct kula__uring_state *state)
{
    return limit_of(state, 0) - state->tail;
}

struct io_uring_sqe *kula__uring_entry(struct kula__uring_state *state)
{
    if (kula__uring_room(state) == 0) {
        return NULL;
    }
    struct io_uring_sqe *sqe = &state->sqes[state->tail & state->sq_mask];
    *sqe = (struct io_uring_sqe){ 0 };
    io_uring_smp_store_release(state->sq_tail, ++state->tail);
    return sqe;
}

static inline enum kula__fd_kind kind_of(const struct kula_ring *ring, int fd)
{
    uint32_t number = (uint32_t)fd;
    return (enum kula__fd_kind)ring->fd_pages[number / KULA__FD_PAGE]
        ->fds[number % KULA__FD_PAGE]
        .kind;
}

/* Whether a read without a position is one: that of a socket is a receive, and a terminal's is not for the
 * ring. */
static inline bool has_own_read(const struct kula_ring *ring, int fd)
{
    enum kula__fd_kind kind = kind_of(ring, fd);
    return kind == KULA__FD_FILE || kind == KULA__FD_PIPE || kind == KULA__FD_OTHER;
}

/* The entry of a transfer that is simple to prepare; false: it is not. Only files have positions:
 * without one, a read may be of a socket, which has its own opcode, and a write may raise a signal.
 * Memory that is not plain may be known to the kernel, and then there is a better opcode. */
static inline bool direct_transfer(const struct kula_ring *ring,
                                   const struct kula__slot *slot,
                                   struct io_uring_sqe *sqe)
{
    uint64_t offset = (uint64_t)slot->offset;
    switch (slot->operation) {
    case KULA__OP_READ:
        if (kula__kind_may_be_known(slot) ||
            (slot->offset < 0 && !has_own_read(ring, slot->fd))) {
            return false;
        }
        kula__uring_transfer_entry(sqe, IORING_OP_READ, slot, offset, 0);
        return true;
    case KULA__OP_WRITE:
        if (kula__kind_may_be_known(slot) ||
            (slot->offset < 0 && kind_of(ring, slot->fd) != KULA__FD_FILE)) {
            return false;
        }
        kula__uring_transfer_entry(sqe, IORING_OP_WRITE, slot, offset, 0);
        sqe->flags = kula__uring_write_flags(kula__uring_state_of(ring));
        return true;
    case KULA__OP_RECV:
        kula__uring_transfer_entry(sqe, IORING_OP_RECV, slot, 0, slot->opflags);
        return true;
    case KULA__OP_SEND:
        if (kula__unlikely(slot->opflags & KULA__MSG_ZEROCOPY)) {
            return false;
        }
        kula__uring_transfer_entry(sqe, IORING_OP_SEND, slot, 0, slot->opflags | MSG_NOSIGNAL);
        return true;
    default:
        return false;
    }
}

void kula__uring_allow(struct kula__uring_state *state, uint32_t operations)
{
    state->direct |= operations;
    if (operations & 1u << KULA__OP_NOP) {
        state->nop_run = kula__uring_plain_nature(KULA__OP_NOP, KULA__KIND_OPERATION);
    }
    if (operations & 1u << KULA__OP_READ) {
        state->read_run = kula__uring_plain_nature(KULA__OP_READ, KULA__KIND_BUFFER);
    }
    if (operations & 1u << KULA__OP_WRITE) {
        state->write_run = kula__uring_plain_nature(KULA__OP_WRITE, KULA__KIND_BUFFER);
    }
}

/* The entry of an operation that is wanted often and simple to prepare; false: it is not. */
static inline bool direct_entry(const struct kula_ring *ring,
                                const struct kula__slot *slot,
                                uint32_t direct,
                                struct io_uring_sqe *sqe)
{
    uint32_t operation = slot->operation;
    if (kula__unlikely(!(direct >> operation & 1))) {
        return false;
    }
    if (operation == KULA__OP_NOP) {
        kula__uring_nop_entry(sqe, slot);
        return true;
    }
    return !(slot->attention & KULA__NOWAIT) && direct_transfer(ring, slot, sqe);
}

/* Writes entries for what is pending, as far as there is room. */
static inline void fill(struct kula_ring *ring, struct kula__uring_state *state)
{
    struct io_uring_sqe *sqes = state->sqes;
    uint32_t mask = state->sq_mask;
    uint32_t direct = state->direct;
    uint32_t limit = limit_of(state, state->kept);
    uint32_t tail = state->tail;
    struct kula__slot *slot = ring->pending.head;
    while (slot && (int32_t)(limit - tail) > 0) {
        if (kula__likely(direct_entry(ring, slot, direct, &sqes[tail & mask]))) {
            tail++;
            slot = slot->next;
            continue;
        }
        ring->pending.head = slot;
        state->tail = tail;
        kula__uring_start(ring, state);
        tail = state->tail;
        slot = ring->pending.head;
    }
    ring->pending.head = slot;
    if (!slot) {
        ring->pending.tail = &ring->pending.head;
    }
    state->tail = tail;
    /* release: the kernel sees the entries before the tail that covers them */
    io_uring_smp_store_release(state->sq_tail, tail);
}

/* ---- Entering ------------------------------------------------------------------------------ */

static inline int enter(const struct kula__uring_state *state,
                        uint32_t to_submit,
                        uint32_t min_complete,
                        uint32_t flags,
                        struct io_uring_getevents_arg *arg)
{
    int error = kula__fault("io_uring_enter", EINTR);
    if (error < 0) {
        return error;
    }
    /* the type is what liburing 2.3 has; the size tells the kernel what it is */
    return io_uring_enter2((unsigned)state->enter_fd, to_submit, min_complete,
                           flags | state->enter_flags, (sigset_t *)(void *)arg,
                           arg ? sizeof *arg : _NSIG / 8);
}

int kula__uring_enter(struct kula__uring_state *state,
                      uint32_t min_complete,
                      int64_t timeout_ns)
{
    if (min_complete == 0 || (timeout_ns < 0 && !kula__on_valgrind())) {
        return enter(state, kula__uring_unsent(state), min_complete, IORING_ENTER_GETEVENTS,
                     NULL);
    }
    if (state->timed_enter) {
        struct __kernel_timespec time = { .tv_sec = timeout_ns / KULA_SECOND,
                                          .tv_nsec = timeout_ns % KULA_SECOND };
        struct io_uring_getevents_arg arg = { .ts = (uint64_t)(uintptr_t)&time };
        return enter(state, kula__uring_unsent(state), min_complete,
                     IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &arg);
    }
    /* Before EXT_ARG (5.11) only poll(2) takes a time; and valgrind runs no other thread while one is
     * in io_uring_enter, for how long ever (3.19). The rings that setup.c makes there have no deferred
     * work, so that their own descriptor tells of every completion. */
    int result = enter(state, kula__uring_unsent(state), 0, IORING_ENTER_GETEVENTS, NULL);
    if (result < 0 || io_uring_smp_load_acquire(state->cq_tail) != state->head) {
        return result;
    }
    struct pollfd ring_fd = { .fd = state->ring.ring_fd, .events = POLLIN };
    result = kula__sys_poll(&ring_fd, 1, timeout_ns);
    return result < 0 && result != -EINTR ? -EBADF : 0;
}

/* After an enter that failed: 0 to try again, STUCK to leave the entries where they are, which costs
 * nothing but time (6.18: they run with the next enter that succeeds), or -EBADR. */
static int refused(struct kula_ring *ring, struct kula__uring_state *state, int error)
{
    switch (error) {
    case -ETIME:
    case -EINTR:
        return FLUSHED;
    case -EBUSY: /* completions have overflowed, and must be taken first */
        kula__uring_harvest(ring, state);
        (void)enter(state, 0, 0, IORING_ENTER_GETEVENTS, NULL);
        kula__uring_harvest(ring, state);
        return FLUSHED;
    case -EAGAIN:
    case -ENOMEM: /* no memory for a request */
        kula__uring_harvest(ring, state);
        return STUCK;
    default:
        /* -EBADR: completions were dropped. -EBADF, -ENXIO, -EOPNOTSUPP: the descriptor is not our
         * ring any more, since the program has closed it. Nothing can be known of what is in flight
         * from here on, so nothing of it may be freed. */
        kula__log(
            &ring->settings, KULA_LOG_ERROR,
            "uring: io_uring_enter failed with errno %d: the ring cannot be used any more",
            -error);
        ring->broken = true;
        ring->fd_plain_count = 0;
        return -EBADR;
    }
}

/* Makes room among the completions before more are caused: half a queue is room enough for a whole
 * batch that completes at once. */
static inline void reap_before_submitting(struct kula_ring *ring,
                                          struct kula__uring_state *state)
{
    uint32_t ready = io_uring_smp_load_acquire(state->cq_tail) - state->head;
    if (kula__unlikely(ready >= state->cq_entries / 2)) {
        kula__uring_harvest(ring, state);
    }
}

static int flush(struct kula_ring *ring, struct kula__uring_state *state)
{
    uint32_t refusals = 0;
    state->writes = KULA__URING_WRITES_UNKNOWN;
    while (refusals < REFUSALS_MAX) {
        if (state->again.head || state->cancels.head) {
            kula__uring_resume(ring, state);
        }
        fill(ring, state);
        uint32_t to_submit = kula__uring_unsent(state);
        if (to_submit == 0) {
            return FLUSHED;
        }
        reap_before_submitting(ring, state);
        uint32_t flags = kula__uring_wants_us(state) ? IORING_ENTER_GETEVENTS : 0;
        int result = enter(state, to_submit, 0, flags, NULL);
        if (kula__unlikely(state->fixed_entries)) {
            kula__uring_clear_fixed(state);
        }
        if (kula__unlikely(result < 0)) {
            refusals++;
            result = refused(ring, state, result);
            if (result != FLUSHED) {
                return result;
            }
        } else if (kula__likely(!kula__uring_has_more(ring, state))) {
            return FLUSHED;
        } else if (result == 0) {
            refusals++;
        }
    }
    return STUCK;
}

int kula__uring_flush(struct kula_ring *ring, struct kula__uring_state *state)
{
    int result = flush(ring, state);
    return result < 0 ? result : 0;
}

int kula__uring_submit(struct kula_ring *ring)
{
    struct kula__uring_state *state = kula__uring_state_of(ring);
    state->calm = false;
    return kula__uring_flush(ring, state);
}

/* ---- Harvesting ---------------------------------------------------------------------------- */

/* Ends operations up to the first completion that does not simply end one. It calls nothing, so that
 * all it needs stays in registers. Returns whether there is such a completion. */
static inline bool harvest_plain(struct kula_ring *ring, struct kula__uring_state *state)
{
    const struct io_uring_cqe *cqes = state->cqes;
    uint32_t mask = state->cq_mask;
    /* acquire: the completions before the tail that covers them */
    uint32_t tail = io_uring_smp_load_acquire(state->cq_tail);
    kula__uring_land(ring, state, tail);
    uint32_t head = state->head;
    struct kula__slot **done_tail = ring->done.tail;
    for (; head != tail; head++) {
        const struct io_uring_cqe *cqe = &cqes[head & mask];
        uint64_t word = cqe->user_data;
        struct kula__slot *slot = kula__slot_at(kula__word_index(word));
        if (kula__unlikely(kula__slot_word(slot) != word ||
                           !kula__finish_plain(slot, word, cqe->res))) {
            break;
        }
        *done_tail = slot;
        done_tail = &slot->next;
    }
    *done_tail = NULL;
    ring->done.tail = done_tail;
    ring->in_flight -= head - state->head;
    ring->done_count += head - state->head;
    state->head = head;
    /* release: the kernel may write over these from here on */
    io_uring_smp_store_release(state->cq_head, head);
    return head != tail;
}

static inline void harvest(struct kula_ring *ring, struct kula__uring_state *state)
{
    while (kula__unlikely(harvest_plain(ring, state))) {
        const struct io_uring_cqe *cqe = &state->cqes[state->head & state->cq_mask];
        uint64_t user_data = cqe->user_data;
        int32_t result = cqe->res;
        uint32_t flags = cqe->flags;
        io_uring_smp_store_release(state->cq_head, ++state->head);
        kula__uring_complete(ring, state, user_data, result, flags);
    }
}

void kula__uring_harvest(struct kula_ring *ring, struct kula__uring_state *state)
{
    harvest(ring, state);
}

/* ---- Waiting ------------------------------------------------------------------------------- */

bool kula__uring_watch_wake(struct kula_ring *ring, struct kula__uring_state *state)
{
    if (state->wake_armed) {
        return true;
    }
    struct io_uring_sqe *sqe = kula__uring_entry(state);
    if (!sqe) {
        return false;
    }
    io_uring_prep_poll_add(sqe, ring->wake.read_fd, POLLIN);
    sqe->user_data = kula__uring_token(KULA__URING_WAKE, 0);
    state->wake_armed = true;
    return true;
}

/* The kernel takes nothing now. Whatever ends may give it memory back; nobody tells us when. */
static int nap(struct kula_ring *ring, struct kula__uring_state *state, int64_t timeout_ns)
{
    if (timeout_ns != 0) {
        int64_t nap_ns = timeout_ns < 0 || timeout_ns > NAP_NS ? NAP_NS : timeout_ns;
        struct pollfd wake = { .fd = ring->wake.read_fd, .events = POLLIN };
        (void)kula__sys_poll(&wake, 1, nap_ns);
        kula__uring_harvest(ring, state);
    }
    return 0;
}

static int sleep_on(struct kula_ring *ring, struct kula__uring_state *state, int64_t timeout_ns)
{
    if (!kula__uring_watch_wake(ring, state)) {
        return nap(ring, state, timeout_ns);
    }
    if (!kula__sleep_begin(ring)) {
        kula__sleep_end(ring);
        return 0;
    }
    int result = kula__uring_enter(state, 1, kula__uring_patience(state, timeout_ns));
    kula__sleep_end(ring);
    if (kula__unlikely(state->fixed_entries)) {
        kula__uring_clear_fixed(state);
    }
    if (result < 0 && refused(ring, state, result) < 0) {
        return -EBADR;
    }
    kula__uring_harvest(ring, state);
    /* what has become possible starts now: the program may be away for long */
    return kula__uring_has_more(ring, state) ? kula__uring_flush(ring, state) : 0;
}

static int wait_on(struct kula_ring *ring, struct kula__uring_state *state, int64_t timeout_ns)
{
    if (kula__unlikely(state->later.head || state->held.head)) {
        kula__uring_look_again(state);
    }
    for (uint32_t round = 0; round < ROUNDS_MAX; round++) {
        int result = kula__uring_has_more(ring, state) ? flush(ring, state) : FLUSHED;
        kula__uring_harvest(ring, state);
        if (result != FLUSHED) {
            return result < 0 ? result
                              : nap(ring, state, kula__has_events(ring) ? 0 : timeout_ns);
        }
        if (kula__uring_wants_us(state)) {
            result = enter(state, 0, 0, IORING_ENTER_GETEVENTS, NULL);
            if (result < 0 && refused(ring, state, result) < 0) {
                return -EBADR;
            }
            kula__uring_harvest(ring, state);
        }
        if (!kula__uring_has_more(ring, state)) {
            bool over = timeout_ns == 0 || kula__has_events(ring);
            return over ? 0 : sleep_on(ring, state, timeout_ns);
        }
        if (kula__uring_unsent(state) == 0 && limit_of(state, state->kept) == state->tail) {
            /* without NODROP: the rest has to wait for completions */
            return kula__has_events(ring) ? 0 : sleep_on(ring, state, timeout_ns);
        }
    }
    return 0;
}

int kula__uring_wait(struct kula_ring *ring, int64_t timeout_ns)
{
    struct kula__uring_state *state = kula__uring_state_of(ring);
    int result = wait_on(ring, state, timeout_ns);
    state->calm = !state->again.head && !state->cancels.head && !state->later.head &&
                  kula__uring_unsent(state) == 0 && !state->fixed_entries &&
                  state->in_kernel == 0;
    return result;
}
