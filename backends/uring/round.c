/* round.c - the round that most programs make most of the time, in few instructions.
 *
 * Both queues are empty, nothing is to be done again, all that is pending is simple, its entries and
 * completions lie one after the other in memory, and of no operation anything but the event is left.
 * A round calls nothing that it comes back from, so that everything stays in registers. What it does
 * not bring to an end is kula__wait_slowly()'s.
 *
 * Simple are no-operations and transfers between a plain buffer and a position in a file. A run is as
 * many of one sort as follow each other.
 */
#include "entry.h"
#include "state.h"

/* ---- Starting ------------------------------------------------------------------------------ */

/* The first four bytes of an entry that has no flags. */
static inline uint32_t head_of(uint8_t opcode)
{
    const struct io_uring_sqe sqe = { .opcode = opcode };
    uint32_t head;
    memcpy(&head, &sqe, sizeof head);
    return head;
}

/* A positional transfer. What lies in the record in the entry's order is copied in that order. */
static inline void transfer_entry(struct io_uring_sqe *sqe,
                                  uint32_t head,
                                  const struct kula__slot *slot)
{
    memcpy(sqe, &head, sizeof head);
    sqe->fd = slot->fd;
#if UINTPTR_MAX == UINT64_MAX
    static_assert(offsetof(struct kula__slot, data) - offsetof(struct kula__slot, offset) ==
                      sizeof sqe->off,
                  "memory behind the position, as in an entry");
    memcpy(&sqe->off, &slot->offset, sizeof sqe->off + sizeof sqe->addr);
#else
    sqe->off = (uint64_t)slot->offset;
    sqe->addr = (uintptr_t)slot->data;
#endif
    static_assert(offsetof(struct kula__slot, opflags) - offsetof(struct kula__slot, length) ==
                      sizeof sqe->len,
                  "flags behind the length, as in an entry");
    memcpy(&sqe->len, &slot->length, sizeof sqe->len + sizeof sqe->rw_flags);
    sqe->user_data = kula__slot_word(slot);
}

/* The next two write entries from `sqe` on, up to `end`, for records from `slot` on that are of their sort.
 * They return the first record that has none, and move *sqe. */

static inline struct kula__slot *fill_nops(const struct kula__uring_state *state,
                                           struct kula__slot *slot,
                                           struct io_uring_sqe **sqe,
                                           const struct io_uring_sqe *end)
{
    uint32_t nop = state->nop_run;
    struct io_uring_sqe *at = *sqe;
    do {
        kula__uring_nop_entry(at, slot);
        at++;
        slot = slot->next;
    } while (slot && at != end && kula__uring_nature(slot) == nop);
    *sqe = at;
    return slot;
}

static inline struct kula__slot *fill_transfers(uint32_t run,
                                                uint8_t opcode,
                                                struct kula__slot *slot,
                                                struct io_uring_sqe **sqe,
                                                const struct io_uring_sqe *end)
{
    uint32_t head = head_of(opcode);
    struct io_uring_sqe *at = *sqe;
    do {
        transfer_entry(at, head, slot);
        at++;
        slot = slot->next;
    } while (slot && at != end && kula__uring_nature(slot) == run);
    *sqe = at;
    return slot;
}

/* ---- Entering ------------------------------------------------------------------------------ */

/* The call is made in place where that can be: a function call would have its caller keep everything
 * out of the registers that it may use. */
static inline int enter_to_submit(const struct kula__uring_state *state, uint32_t to_submit)
{
    int error = kula__fault("io_uring_enter", EINTR);
    if (error < 0) {
        return error;
    }
#if defined __x86_64__ && defined __LP64__
    /* Everything is read first: a sanitizer makes a call of each read, and between a register's own
     * variable and the instruction that wants it there must be none. */
    long call = __NR_io_uring_enter;
    long enter_fd = state->enter_fd;
    long enter_flags = state->enter_flags;
    long entries = to_submit;
    register long flags __asm__("r10") = enter_flags;
    register long signals __asm__("r8") = 0;
    register long signals_bytes __asm__("r9") = 0;
    __asm__ volatile("syscall"
                     : "+a"(call)
                     : "D"(enter_fd), "S"(entries), "d"(0L), "r"(flags), "r"(signals),
                       "r"(signals_bytes)
                     : "rcx", "r11", "memory");
    return (int)call;
#else
    return io_uring_enter2((unsigned)state->enter_fd, to_submit, 0, state->enter_flags, NULL,
                           _NSIG / 8);
#endif
}

/* ---- Landing ------------------------------------------------------------------------------- */

/* What a completion says has ended, if it is the word of a record in flight. */
static inline struct kula__slot *slot_of(const struct io_uring_cqe *cqe)
{
    /* what comes back is a word that was sent, or a token, whose index is 0: both have a record */
    return kula__slot_at(kula__word_index(cqe->user_data));
}

/* The next two land what has succeeded from `cqe` up to `end`, and stop before the first completion that
 * says something else. They return where that is, and move *landed. */

static inline const struct io_uring_cqe *land_nops(struct kula_ring *ring,
                                                   const struct io_uring_cqe *cqe,
                                                   const struct io_uring_cqe *end,
                                                   struct kula__landed **landed)
{
    const uint32_t nop = kula__uring_plain_nature(KULA__OP_NOP, KULA__KIND_OPERATION);
    struct kula__landed *to = *landed;
    struct kula__slot *free_operations = ring->free_operations;
    do {
        uint64_t word = cqe->user_data;
        struct kula__slot *slot = slot_of(cqe);
        if (kula__slot_word(slot) != word || kula__uring_nature(slot) != nop || cqe->res < 0) {
            break;
        }
        to->op = word;
        to->result = cqe->res;
        to->user = slot->user;
        to->private_holder = 0;
        kula__word_undo(slot, word);
        slot->next = free_operations;
        free_operations = slot;
        cqe++;
        to++;
    } while (cqe != end);
    ring->free_operations = free_operations;
    *landed = to;
    return cqe;
}

static inline const struct io_uring_cqe *land_transfers(const struct io_uring_cqe *cqe,
                                                        const struct io_uring_cqe *end,
                                                        struct kula__landed **landed)
{
    /* whatever the operation: of those that have a plain buffer only these have no attention bit */
    const uint32_t any = kula__uring_plain_nature(UINT8_MAX, KULA__KIND_NONE);
    const uint32_t transfer = kula__uring_plain_nature(UINT8_MAX, KULA__KIND_BUFFER);
    struct kula__slot *mark = kula__pulled_mark();
    struct kula__landed *to = *landed;
    do {
        uint64_t word = cqe->user_data;
        struct kula__slot *slot = slot_of(cqe);
        if (kula__slot_word(slot) != word || (kula__uring_nature(slot) | any) != transfer ||
            cqe->res < 0) {
            break;
        }
        to->op = word;
        to->result = cqe->res;
        to->user = slot->user;
        to->private_holder = word;
        kula__word_finish(slot, word);
        slot->next = mark;
        cqe++;
        to++;
    } while (cqe != end);
    *landed = to;
    return cqe;
}

/* Lands what is of one sort and lies in one piece, at least one and at most so many. Returns how many
 * there were. */
static inline uint32_t land(struct kula_ring *ring,
                            struct kula__uring_state *state,
                            struct kula__landed *landed,
                            uint32_t most,
                            bool nops)
{
    const struct io_uring_cqe *start = &state->cqes[state->head & state->cq_mask];
    const struct io_uring_cqe *end = start + most;
    end = end < state->cqes_end ? end : state->cqes_end;
    const struct io_uring_cqe *cqe =
        nops ? land_nops(ring, start, end, &landed) : land_transfers(start, end, &landed);
    uint32_t count = (uint32_t)(cqe - start);
    ring->landed_end = landed;
    ring->in_flight -= count;
    state->head += count;
    /* release: the kernel may write over these from here on */
    io_uring_smp_store_release(state->cq_head, state->head);
    return count;
}

void kula__uring_land(struct kula_ring *ring, struct kula__uring_state *state, uint32_t tail)
{
    if (ring->done.head || ring->closing_down || ring->grounded) {
        return;
    }
    if (ring->landed_next == ring->landed_end) {
        ring->landed_next = ring->landed_end = ring->landed;
    }
    for (uint32_t misses = 0; misses < 2;) {
        uint32_t room = (uint32_t)(ring->landed + KULA__LANDED - ring->landed_end);
        uint32_t ready = tail - state->head;
        uint32_t most = ready < room ? ready : room;
        if (most == 0) {
            return;
        }
        bool nops = misses > 0;
        misses = land(ring, state, ring->landed_end, most, nops) > 0 ? 0 : misses + 1;
    }
}

/* ---- The round ----------------------------------------------------------------------------- */

enum sort {
    NOPS,
    READS,
    WRITES
};

static inline struct kula__slot *fill(const struct kula__uring_state *state,
                                      struct kula__slot *slot,
                                      struct io_uring_sqe **sqe,
                                      enum sort sort)
{
    const struct io_uring_sqe *end = state->sqes_end;
    switch (sort) {
    case READS:
        return fill_transfers(state->read_run, IORING_OP_READ, slot, sqe, end);
    case WRITES:
        return fill_transfers(state->write_run, IORING_OP_WRITE, slot, sqe, end);
    default:
        return fill_nops(state, slot, sqe, end);
    }
}

/* A round of one sort, which the first pending record is of. */
static inline __attribute__((__always_inline__)) int round_of(struct kula_ring *ring,
                                                              int64_t timeout_ns,
                                                              enum sort sort)
{
    struct kula__uring_state *state = kula__uring_state_of(ring);
    if (kula__unlikely(!state->calm || kula__uring_wants_us(state) || kula__has_events(ring))) {
        return kula__wait_slowly(ring, timeout_ns);
    }
    struct io_uring_sqe *start = &state->sqes[state->tail & state->sq_mask];
    struct io_uring_sqe *sqe = start;
    struct kula__slot *rest = fill(state, ring->pending.head, &sqe, sort);
    uint32_t count = (uint32_t)(sqe - start);
    state->tail += count;
    /* release: the kernel sees the entries before the tail that covers them */
    io_uring_smp_store_release(state->sq_tail, state->tail);
    ring->pending.head = rest;
    if (kula__unlikely(rest)) {
        return kula__wait_slowly(ring, timeout_ns);
    }
    ring->pending.tail = &ring->pending.head;
    if (kula__unlikely(enter_to_submit(state, count) != (int)count)) {
        return kula__wait_slowly(ring, timeout_ns);
    }
    uint32_t ready = io_uring_smp_load_acquire(state->cq_tail) - state->head;
    if (kula__unlikely(ready - 1 >= KULA__LANDED ||
                       atomic_load_explicit(&ring->inbox, memory_order_relaxed))) {
        return kula__wait_slowly(ring, timeout_ns);
    }
    ring->landed_next = ring->landed;
    if (kula__unlikely(land(ring, state, ring->landed, ready, sort == NOPS) != ready)) {
        return kula__wait_slowly(ring, timeout_ns);
    }
    ring->epoch++;
    return (int)ready;
}

/* Functions of their own, so that none pays for the registers of the others. */
static __attribute__((__noinline__)) int round_of_nops(struct kula_ring *ring,
                                                       int64_t timeout_ns)
{
    return round_of(ring, timeout_ns, NOPS);
}

static __attribute__((__noinline__)) int round_of_reads(struct kula_ring *ring,
                                                        int64_t timeout_ns)
{
    return round_of(ring, timeout_ns, READS);
}

static __attribute__((__noinline__)) int round_of_writes(struct kula_ring *ring,
                                                         int64_t timeout_ns)
{
    struct kula__uring_state *state = kula__uring_state_of(ring);
    state->writes = KULA__URING_WRITES_UNKNOWN;
    if (kula__unlikely(kula__uring_write_flags(state) != 0)) {
        return kula__wait_slowly(ring, timeout_ns);
    }
    return round_of(ring, timeout_ns, WRITES);
}

int kula__uring_round(struct kula_ring *ring, int64_t timeout_ns)
{
    const struct kula__slot *first = ring->pending.head;
    if (kula__unlikely(!first)) {
        return kula__wait_slowly(ring, timeout_ns);
    }
    const struct kula__uring_state *state = kula__uring_state_of(ring);
    uint32_t nature = kula__uring_nature(first);
    if (nature == state->nop_run) {
        return round_of_nops(ring, timeout_ns);
    }
    if (nature == state->read_run) {
        return round_of_reads(ring, timeout_ns);
    }
    return nature == state->write_run ? round_of_writes(ring, timeout_ns)
                                      : kula__wait_slowly(ring, timeout_ns);
}
