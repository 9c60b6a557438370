/* start.c - operations that do not simply go to the ring, and those that go there a second time. */
#include "state.h"

#include "common/perform.h"
#include "common/workers.h"

#include <errno.h>
#include <fcntl.h>

/* After that many tries in a row that the kernel gave back with "not now", a worker does it. */
#define REDO_MAX 8u

static enum kula__fd_kind kind_of(const struct kula__fd *record)
{
    return record ? (enum kula__fd_kind)record->kind : KULA__FD_UNKNOWN;
}

static struct kula__fd *record_of(const struct kula_ring *ring, const struct kula__slot *slot)
{
    return kula__fd_peek(ring, slot->fd);
}

static bool is_transfer(const struct kula__slot *slot)
{
    return kula__operation_facts[slot->operation].transfer != KULA__TRANSFER_NONE;
}

uint8_t kula__uring_detour(enum kula__operation operation)
{
    const struct kula__operation_facts *facts = &kula__operation_facts[operation];
    if (facts->class == KULA__CLASS_QUICK) {
        return KULA_ROUTE_INLINE;
    }
    if (facts->class == KULA__CLASS_SLOW && (facts->readiness || operation == KULA__OP_POLL)) {
        return KULA_ROUTE_READY;
    }
    return KULA_ROUTE_POOL;
}

/* ---- Ends ---------------------------------------------------------------------------------- */

/* The kernel's workers, and the limits for them, are a thread's and not a ring's. */
static _Thread_local uint32_t opens_of_thread;

static bool may_open(const struct kula__uring_state *state)
{
    return opens_of_thread < state->opens_max;
}

void kula__uring_let_open(struct kula__uring_state *state)
{
    struct kula__slot *next = state->held.head;
    if (next && may_open(state)) {
        kula__uring_line_remove(&state->held, next);
        *kula__uring_marks(next) &= ~(uint64_t)KULA__URING_HELD;
        kula__uring_redo(state, next, false);
    }
}

void kula__uring_release(struct kula__uring_state *state, struct kula__slot *slot)
{
    uint64_t marks = kula__uring_marks_of(slot);
    if (marks & KULA__URING_UNSENT) {
        kula__uring_line_remove(&state->cancels, slot);
    }
    if (marks & KULA__URING_LATER) {
        kula__uring_line_remove(&state->later, slot);
    }
    if (marks & KULA__URING_TRIED) {
        kula__attempt_abandon(slot);
    }
    if (marks & KULA__URING_OPEN) {
        state->opens--;
        opens_of_thread--;
    }
    kula__cold_of(slot)->scratch[2] = 0;
    if (slot->operation == KULA__OP_OPENAT && state->held.head) {
        kula__uring_let_open(state); /* also when this one had been let, and has not started */
    }
}

void kula__uring_end(struct kula_ring *ring,
                     struct kula__uring_state *state,
                     struct kula__slot *slot,
                     int32_t result)
{
    kula__uring_release(state, slot);
    kula__finish(ring, slot, result);
}

/* ---- Workers ------------------------------------------------------------------------------- */

static void give_away(struct kula_ring *ring,
                      struct kula__uring_state *state,
                      struct kula__slot *slot)
{
    kula__uring_release(state, slot); /* the workers want the scratch for themselves */
    kula__workers_give(ring, slot, kind_of(record_of(ring, slot)));
}

/* ---- Readiness ----------------------------------------------------------------------------- */

/* POLLPRI alone never wakes a poll by the ring, which leaves that bit out when it looks at why it was
 * woken; and what wakes it for ordinary data claims to be urgent (both 6.18, measured). Sockets wake
 * with POLLRDBAND as well, and have it on no other occasion, so it stands in, and poll(2) has the last
 * word. */
static unsigned wake_events(const struct kula__slot *slot)
{
    unsigned events = (unsigned short)kula__wanted(slot);
    return events & POLLPRI ? events | POLLRDBAND : events;
}

static void push_poll(struct kula__uring_state *state, struct kula__slot *slot)
{
    struct io_uring_sqe *sqe = kula__uring_entry(state);
    if (!sqe) {
        kula__uring_redo(state, slot, true);
        return;
    }
    *kula__uring_marks(slot) |= KULA__URING_POLL | KULA__URING_LOOK;
    io_uring_prep_poll_add(sqe, slot->fd, wake_events(slot));
    sqe->user_data = kula__slot_word(slot) + KULA__STEP;
}

/* Tries an operation in place, and when it has to wait lets the ring poll its descriptor. */
static void try_in_place(struct kula_ring *ring,
                         struct kula__uring_state *state,
                         struct kula__slot *slot)
{
    struct kula__fd *record = record_of(ring, slot);
    if (!record) {
        give_away(ring, state, slot);
        return;
    }
    *kula__uring_marks(slot) |= KULA__URING_TRIED;
    int32_t result = kula__attempt(ring, slot, record);
    bool nowait = slot->attention & KULA__NOWAIT;
    bool own_answer = kula__can_be_tried(slot);
    if (result == -EOPNOTSUPP && nowait && is_transfer(slot) && !own_answer) {
        result = -EAGAIN; /* it cannot tell without waiting */
    }
    if (result == -EOPNOTSUPP && !own_answer) {
        give_away(ring, state, slot);
    } else if (result == -EAGAIN && !nowait) {
        push_poll(state, slot);
    } else {
        kula__uring_end(ring, state, slot, result);
    }
}

/* ---- The ring ------------------------------------------------------------------------------ */

bool kula__uring_open_may_wait(const struct kula__slot *slot)
{
    return !(slot->opflags & (O_NONBLOCK | O_DIRECTORY | O_PATH));
}

/* Whether the ring does this operation on this descriptor as the contract wants it. */
static bool ring_can(const struct kula_ring *ring,
                     const struct kula__uring_state *state,
                     const struct kula__slot *slot)
{
    if (ring->routes[slot->operation] != KULA_ROUTE_RING) {
        return false;
    }
    enum kula__fd_kind kind = kind_of(record_of(ring, slot));
    bool socket = kind == KULA__FD_STREAM || kind == KULA__FD_DATAGRAM;
    if (kind == KULA__FD_TERMINAL && is_transfer(slot)) {
        /* The kernel polls it and then makes a call that waits, in the thread that submitted: for a reader,
         * if a write does not fit, or for what another reader has taken (6.18: for ever). */
        return false;
    }
    switch (slot->operation) {
    case KULA__OP_READ:
        return !socket || ring->routes[KULA__OP_RECV] == KULA_ROUTE_RING;
    case KULA__OP_WRITE:
    case KULA__OP_WRITEV:
        if (kind == KULA__FD_PIPE || kind == KULA__FD_UNKNOWN) {
            return ring->features & KULA__FEATURE(RWF_NOSIGNAL);
        }
        if (slot->operation == KULA__OP_WRITE) {
            return !socket || ring->routes[KULA__OP_SEND] == KULA_ROUTE_RING;
        }
        return !socket || state->messages;
    case KULA__OP_READV:
        return !socket || state->messages;
    case KULA__OP_POLL:
        return !(slot->opflags & POLLPRI);
    default:
        return true;
    }
}

/* The kernel runs such opens on its bounded workers, which also do fsync and the like. As with our own
 * workers the last quarter is kept for what ends by itself; the other opens wait here. */
static bool hold_open(struct kula__uring_state *state, struct kula__slot *slot)
{
    if (slot->operation != KULA__OP_OPENAT || !kula__uring_open_may_wait(slot)) {
        return false;
    }
    uint64_t *marks = kula__uring_marks(slot);
    if (*marks & KULA__URING_OPEN) {
        return false;
    }
    if (!may_open(state)) {
        *marks |= KULA__URING_HELD;
        kula__uring_line_append(&state->held, slot);
        return true;
    }
    state->opens++;
    opens_of_thread++;
    *marks |= KULA__URING_OPEN;
    return false;
}

/* Leaves the flag to those sends that can do without a copy. */
static void settle_copy(const struct kula_ring *ring, struct kula__slot *slot)
{
    bool can = (ring->features & KULA__FEATURE(SEND_ZC)) &&
               !(kula__fd_known(ring, slot->fd)->backend_bits & KULA__URING_COPIES);
    if (!can) {
        slot->opflags &= ~(uint32_t)KULA__MSG_ZEROCOPY;
    }
}

static void to_ring(struct kula_ring *ring,
                    struct kula__uring_state *state,
                    struct kula__slot *slot)
{
    if (hold_open(state, slot)) {
        return;
    }
    struct io_uring_sqe *sqe = kula__uring_entry(state);
    if (!sqe) {
        kula__uring_redo(state, slot, false);
        return;
    }
    if (kula__uring_without_copy(slot)) {
        settle_copy(ring, slot);
    }
    kula__uring_prepare(ring, slot, sqe);
    sqe->user_data = kula__slot_word(slot);
    if ((state->unproven >> kula__uring_proof_of(ring, slot) & 1) ||
        kula__uring_without_copy(slot)) {
        *kula__uring_marks(slot) |= KULA__URING_LOOK;
        sqe->user_data += KULA__STEP;
    }
}

static void begin(struct kula_ring *ring,
                  struct kula__uring_state *state,
                  struct kula__slot *slot)
{
    if (slot->attention & KULA__NOWAIT) {
        try_in_place(ring, state, slot);
    } else if (ring_can(ring, state, slot)) {
        to_ring(ring, state, slot);
    } else if (ring->routes[slot->operation] == KULA_ROUTE_LIBRARY) {
        kula__uring_end(ring, state, slot, 0);
    } else {
        kula__uring_reroute(ring, state, slot);
    }
}

void kula__uring_start(struct kula_ring *ring, struct kula__uring_state *state)
{
    struct kula__slot *slot = kula__list_pop(&ring->pending);
    slot->attention &=
        (uint16_t)~KULA__POOLED; /* an earlier piece may have been with a worker */
    begin(ring, state, slot);
}

/* ---- A second time ------------------------------------------------------------------------- */

void kula__uring_reroute(struct kula_ring *ring,
                         struct kula__uring_state *state,
                         struct kula__slot *slot)
{
    enum kula__fd_kind kind = kind_of(record_of(ring, slot));
    bool storage = kind == KULA__FD_FILE || kind == KULA__FD_DIRECTORY;
    uint8_t route = kula__uring_detour((enum kula__operation)slot->operation);
    if (route == KULA_ROUTE_INLINE) {
        kula__uring_end(ring, state, slot, kula__perform(slot, kind));
    } else if (route == KULA_ROUTE_READY || (is_transfer(slot) && !storage)) {
        /* also reads and writes: a worker cannot be called back from a pipe */
        try_in_place(ring, state, slot);
    } else {
        give_away(ring, state, slot);
    }
}

void kula__uring_redo(struct kula__uring_state *state, struct kula__slot *slot, bool poll_first)
{
    uint64_t *marks = kula__uring_marks(slot);
    *marks &= ~(uint64_t)(KULA__URING_POLL | KULA__URING_LOOK);
    *marks |= KULA__URING_AGAIN | (poll_first ? KULA__URING_POLL : 0);
    kula__uring_line_append(&state->again, slot);
}

void kula__uring_resume(struct kula_ring *ring, struct kula__uring_state *state)
{
    kula__uring_send_cancels(state);
    while (state->again.head && kula__uring_room(state) > 0) {
        struct kula__slot *slot = state->again.head;
        uint64_t *marks = kula__uring_marks(slot);
        kula__uring_line_remove(&state->again, slot);
        *marks &= ~(uint64_t)KULA__URING_AGAIN;
        if (*marks & KULA__URING_POLL) {
            push_poll(state, slot);
        } else if (kula__uring_count(slot) > REDO_MAX) {
            kula__uring_reroute(ring, state, slot);
        } else {
            begin(ring, state, slot);
        }
    }
}
